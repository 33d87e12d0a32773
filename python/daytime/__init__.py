"""Ask, or serve, the day, the date and the time over TCP and Unix sockets.

>>> import daytime
>>> with daytime.serve(port=0) as server, daytime.connect(*server.address) as client:
...     print(client.datetime())  # doctest: +SKIP
2026-11-22 15:44:57+00:00

Server and serve run a server on worker threads, without the GIL. Client, connect and request are a blocking client,
which several threads may share. AsyncClient is the same for asyncio. rfc867 and rfc868 ask servers of those protocols.
The host "unix:PATH" is a Unix socket everywhere, "unix:@NAME" an abstract one. Every exception of this package derives
from DaytimeError and from the matching built-in exception. Errors of the operating system are OSError.
"""

from daytime._daytime import DEFAULT_PORT, Client, Server, __version__, rfc867, rfc868
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


def serve(host="localhost", port=DEFAULT_PORT, **settings):
    """A server that was started. The keywords are those of Server.

    Raises the errors of Server and of start().
    """
    server = Server(host, port, **settings)
    server.start()
    return server


def connect(host="localhost", port=DEFAULT_PORT, *, timeout=5.0):
    """A connected client. `timeout` is in seconds, for connecting and for each call; None means unlimited.

    Raises the errors of Client.
    """
    return Client(host, port, timeout=timeout)


def request(command, host="localhost", port=DEFAULT_PORT, *, timeout=5.0):
    """Connects, sends one command, closes, and returns the text of the reply. `timeout` is in seconds, for each step.

    Raises the errors of Client and of request().
    """
    with Client(host, port, timeout=timeout) as client:
        return client.request(command)


def __getattr__(name):
    # Names whose imports most programs do not need.
    if name == "AsyncClient":
        from daytime._asyncio import AsyncClient as value
    elif name in ("Clock", "Handler"):
        from daytime import _types

        value = getattr(_types, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
