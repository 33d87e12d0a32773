"""Types for annotations, in a separate module because their imports are slow."""

import datetime as dt
import socket
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypedDict

from daytime._daytime import Request, Responder
from daytime._vocabulary import ClientContext

Clock: TypeAlias = dt.datetime | dt.timedelta
Handler: TypeAlias = Callable[[Request], str | None] | Callable[[Request], Awaitable[str | None]]
DeferredHandler: TypeAlias = Callable[[Request, Responder], object]
_OnConnect: TypeAlias = Callable[[ClientContext], object]
_OnDisconnect: TypeAlias = Callable[[ClientContext, Any, Any], object]
_Listen: TypeAlias = str | Iterable[str | tuple[str, int]] | None


class ServerSettings(TypedDict, total=False):
    """The keywords of Server and serve()."""

    listen: _Listen
    listen_rfc867: _Listen
    listen_rfc868: _Listen
    listen_metrics: _Listen
    listen_proxied: _Listen
    proxy: Iterable[str]
    sock: socket.socket | None
    unix_mode: int | None
    allow: Iterable[str]
    deny: Iterable[str]
    backlog: int
    reuse_port: bool
    workers: int | None
    handler_threads: int
    max_clients: int | None
    max_clients_per_source: int | None
    idle_timeout: float | None
    first_command_timeout: float | None
    write_timeout: float | None
    proxy_timeout: float | None
    busy_poll: float | None
    greeting: str
    framing: Literal["auto", "line"]
    day_format: str
    date_format: str
    time_format: str
    timezone: str | None
    clock: Clock | None
    commands: Mapping[str, Handler] | None
    loop: AbstractEventLoop | None
    on_connect: _OnConnect | None
    on_disconnect: _OnDisconnect | None
