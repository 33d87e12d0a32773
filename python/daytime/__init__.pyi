"""A server and a client for the day, the date and the time over TCP and Unix sockets."""

from typing import Final, Unpack

from daytime._asyncio import AsyncClient
from daytime._daytime import Client, Server, rfc867, rfc868
from daytime._types import Clock, Handler, ServerSettings
from daytime._vocabulary import (
    AcceptPaused,
    Address,
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
    Request,
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
    "ClientInfo",
    "Clock",
    "CommandError",
    "CommandFailed",
    "CommandServed",
    "Connected",
    "DaytimeError",
    "Disconnected",
    "Event",
    "Handler",
    "ProtocolError",
    "Refused",
    "Request",
    "RequestTimeout",
    "Server",
    "ServerClosed",
    "ServerStats",
    "StateError",
    "__version__",
    "connect",
    "request",
    "rfc867",
    "rfc868",
    "serve",
]

__version__: Final[str]
DEFAULT_PORT: Final[int]

def serve(host: str = "localhost", port: int = 9990, **settings: Unpack[ServerSettings]) -> Server: ...
def connect(host: str = "localhost", port: int = 9990, *, timeout: float | None = 5.0) -> Client: ...
def request(command: str, host: str = "localhost", port: int = 9990, *, timeout: float | None = 5.0) -> str: ...
