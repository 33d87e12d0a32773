"""Ask, or serve, the day, the date and the time over TCP and Unix sockets."""

import socket
from collections.abc import Iterable, Mapping
from typing import Final, Unpack

from daytime._asyncio import AsyncClient as AsyncClient
from daytime._daytime import Client as Client
from daytime._daytime import Server as Server
from daytime._daytime import ServerSettings
from daytime._daytime import rfc867 as rfc867
from daytime._daytime import rfc868 as rfc868
from daytime._types import Clock as Clock
from daytime._types import Handler as Handler
from daytime._vocabulary import AcceptPaused as AcceptPaused
from daytime._vocabulary import Address as Address
from daytime._vocabulary import ClientInfo as ClientInfo
from daytime._vocabulary import CommandError as CommandError
from daytime._vocabulary import CommandFailed as CommandFailed
from daytime._vocabulary import CommandServed as CommandServed
from daytime._vocabulary import Connected as Connected
from daytime._vocabulary import DaytimeError as DaytimeError
from daytime._vocabulary import Disconnected as Disconnected
from daytime._vocabulary import Event as Event
from daytime._vocabulary import ProtocolError as ProtocolError
from daytime._vocabulary import Refused as Refused
from daytime._vocabulary import Request as Request
from daytime._vocabulary import RequestTimeout as RequestTimeout
from daytime._vocabulary import ServerClosed as ServerClosed
from daytime._vocabulary import ServerStats as ServerStats
from daytime._vocabulary import StateError as StateError

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

def serve(
    host: str = "localhost",
    port: int = 9990,
    *,
    listen: str | Iterable[str | tuple[str, int]] | None = None,
    listen_rfc867: str | Iterable[str | tuple[str, int]] | None = None,
    listen_rfc868: str | Iterable[str | tuple[str, int]] | None = None,
    sock: socket.socket | None = None,
    allow: Iterable[str] = (),
    deny: Iterable[str] = (),
    timezone: str | None = None,
    clock: Clock | None = None,
    commands: Mapping[str, Handler] | None = None,
    **settings: Unpack[ServerSettings],
) -> Server: ...
def connect(host: str = "localhost", port: int = 9990, *, timeout: float | None = 5.0) -> Client: ...
def request(command: str, host: str = "localhost", port: int = 9990, *, timeout: float | None = 5.0) -> str: ...
