"""Ask, or serve, the day, the date and the time over TCP and Unix sockets.

>>> import daytime
>>> with daytime.serve(port=0) as server, daytime.connect(*server.address) as client:
...     print(client.now())  # doctest: +SKIP
2026-11-22 15:44:57+00:00

Server, serve: worker threads that serve, without the GIL. Client, connect, query: a blocking client, which several
threads may share. AsyncClient: the same for asyncio. rfc867, rfc868: what a server of those protocols tells. The host
"unix:PATH" is a Unix socket everywhere, "unix:@NAME" an abstract one. Every error that this package invents is a
DaytimeError and the built-in exception that one would catch anyway; those of the system are OSError.
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
    "query",
    "rfc867",
    "rfc868",
    "serve",
]

Event = Connected | Disconnected | CommandServed | CommandFailed | Refused | AcceptPaused


def serve(host="localhost", port=DEFAULT_PORT, **settings):
    """A server that is started already; the keywords are those of Server.

    Raises what Server and its start() raise.
    """
    server = Server(host, port, **settings)
    server.start()
    return server


def connect(host="localhost", port=DEFAULT_PORT, *, timeout=5.0):
    """A connected client. `timeout` is in seconds, for connecting and for each call; None is for ever.

    Raises what Client raises.
    """
    return Client(host, port, timeout=timeout)


def query(command, host="localhost", port=DEFAULT_PORT, *, timeout=5.0):
    """Connects, asks one command, closes, and returns the reply's text. `timeout` is in seconds, for each step.

    Raises what Client and Client.query() raise.
    """
    with Client(host, port, timeout=timeout) as client:
        return client.query(command)


def __getattr__(name):
    # What costs an import that most programs have no use for.
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
