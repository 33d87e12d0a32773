"""A server and a client for the day, the date and the time over TCP and Unix sockets."""

from typing import Final, Unpack

from daytime._asyncio import AsyncClient
from daytime._daytime import Client, Request, Responder, Server, rfc867, rfc867_udp, rfc868, rfc868_udp
from daytime._types import Clock, DeferredHandler, Handler, ServerSettings
from daytime._vocabulary import (
    AcceptPaused,
    Address,
    ClientContext,
    ClientInfo,
    CommandError,
    CommandFailed,
    CommandServed,
    Connected,
    DaytimeError,
    Disconnected,
    Event,
    ProtocolError,
    Refused,
    ReplyError,
    RequestTimeout,
    ServerClosed,
    ServerStats,
    StateError,
)

__all__ = [
    "DEFAULT_PORT",
    "AcceptPaused",
    "Address",
    "AsyncClient",
    "Client",
    "ClientContext",
    "ClientInfo",
    "Clock",
    "CommandError",
    "CommandFailed",
    "CommandServed",
    "Connected",
    "DaytimeError",
    "DeferredHandler",
    "Disconnected",
    "Event",
    "Handler",
    "ProtocolError",
    "Refused",
    "ReplyError",
    "Request",
    "RequestTimeout",
    "Responder",
    "Server",
    "ServerClosed",
    "ServerStats",
    "StateError",
    "__version__",
    "connect",
    "request",
    "rfc867",
    "rfc867_udp",
    "rfc868",
    "rfc868_udp",
    "serve",
]

__version__: Final[str]
DEFAULT_PORT: Final[int]

def serve(host: str = "localhost", port: int = 9990, **settings: Unpack[ServerSettings]) -> Server: ...
def connect(host: str = "localhost", port: int = 9990, *, timeout: float | None = 5.0) -> Client: ...
def request(command: str, host: str = "localhost", port: int = 9990, *, timeout: float | None = 5.0) -> str: ...
