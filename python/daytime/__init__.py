"""A server and a client for the day, the date and the time over TCP and Unix sockets.

>>> import daytime
>>> with daytime.serve(port=0) as server, daytime.connect(*server.address) as client:
...     print(client.datetime())  # doctest: +SKIP
2026-11-22 15:44:57+00:00

Server, serve: a server whose threads never wait for the GIL. Client, connect, request: a blocking client, which several
threads may share. AsyncClient: the client for asyncio. rfc867, rfc868: clients for servers of those protocols.

The host "unix:PATH" is a Unix socket everywhere, "unix:@NAME" one in the abstract namespace. Every exception of this
package derives from DaytimeError and from the matching built-in exception. Errors of the system are raised as OSError.
"""

from daytime._daytime import (
    DEFAULT_PORT,
    Client,
    Request,
    Responder,
    Server,
    __version__,
    rfc867,
    rfc867_udp,
    rfc868,
    rfc868_udp,
)
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


def serve(host="localhost", port=DEFAULT_PORT, **settings):
    """Returns a started server. The keywords are those of Server.

    Raises the exceptions of Server and of its start().
    """
    server = Server(host, port, **settings)
    server.start()
    return server


def connect(host="localhost", port=DEFAULT_PORT, *, timeout=5.0):
    """Returns a connected client. `timeout` is in seconds, for connecting and for each call; None is unlimited.

    Raises the exceptions of Client.
    """
    return Client(host, port, timeout=timeout)


def request(command, host="localhost", port=DEFAULT_PORT, *, timeout=5.0):
    """Connects, sends one command, closes, and returns the text of the reply. `timeout` is in seconds, for each step.

    Raises the exceptions of Client and of Client.request().
    """
    with Client(host, port, timeout=timeout) as client:
        return client.request(command)


def __getattr__(name):
    # These names need slow imports, which most programs do without.
    if name == "AsyncClient":
        from daytime._asyncio import AsyncClient as value
    elif name in ("Clock", "DeferredHandler", "Handler"):
        from daytime import _types

        value = getattr(_types, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
