"""What the package speaks of: addresses, events, counts, errors. The native module builds these.

Named tuples without `typing`, whose import takes longer than all of this package's.
"""

from collections import namedtuple

__all__ = [
    "AcceptPaused",
    "Address",
    "ClientInfo",
    "CommandError",
    "CommandFailed",
    "CommandServed",
    "Connected",
    "DaytimeError",
    "Disconnected",
    "ProtocolError",
    "Refused",
    "Request",
    "RequestTimeout",
    "ServerClosed",
    "ServerStats",
    "StateError",
]


def _tuple(name, fields, doc):
    made = namedtuple(name, fields, module="daytime")
    made.__doc__ = doc
    return made


Address = _tuple(
    "Address",
    "host port",
    "A host and a port: it unpacks as a socket's address does. A Unix socket's host is unix:PATH, or unix: alone of a\n"
    "client, which has none, and its port 0.",
)
Request = _tuple(
    "Request",
    "command argument peer client",
    "What an own command's handler is given: the command's name in lower case, the rest of the line without blanks\n"
    'around it ("" if there is none), where the client connects from, and its number.',
)
ClientInfo = _tuple(
    "ClientInfo",
    "client_id peer connected_at commands",
    "A client that is connected: its number, its address, since when (an aware datetime), and how many commands were\n"
    "executed for it.",
)
Connected = _tuple("Connected", "client peer", "A client was accepted.")
Disconnected = _tuple(
    "Disconnected",
    "client peer reason commands",
    "A client's connection is closed and everything of it released. The reason is one of quit, eof, idle, no_command,\n"
    "write_timeout, error, kicked, shutdown, and answered for RFC 867 and RFC 868.",
)
CommandServed = _tuple(
    "CommandServed",
    "client command ok",
    "A command was executed; ok is False where the reply was an error line. Only from events(commands=True).",
)
CommandFailed = _tuple(
    "CommandFailed",
    "client command why",
    "An own command's handler raised, or returned what no reply can be.",
)
Refused = _tuple("Refused", "peer reason", "A client was turned away; the reason is full, per_source or denied.")
AcceptPaused = _tuple(
    "AcceptPaused",
    "why",
    "No client can be accepted for want of descriptors or memory. It is tried again, at least once a second.",
)
ServerStats = _tuple(
    "ServerStats",
    "clients accepted refused commands invalid bytes_in bytes_out events_dropped uptime",
    "What a server has done: connections open now; clients accepted and turned away; commands executed, and of them\n"
    "those answered by an error line; bytes received and sent; events that a full subscription lost; a timedelta\n"
    "since the start.",
)


class DaytimeError(Exception):
    """Every error that this package invents is one, and the built-in exception named beside it."""

    __module__ = "daytime"


class ProtocolError(DaytimeError, ValueError):
    """The peer said something that is not this protocol: `line`, at most 64 KiB."""

    __module__ = "daytime"

    def __init__(self, line, /):
        super().__init__(line)
        self.line = line

    def __str__(self):
        shown = repr(self.line[:80])[1:]
        return f"the peer does not speak this protocol, it sent {len(self.line)} bytes: {shown}"


class CommandError(DaytimeError, LookupError):
    """The server answered `command` with the error line `reason`. The connection goes on."""

    __module__ = "daytime"

    def __init__(self, command, reason, /):
        super().__init__(command, reason)
        self.command = command
        self.reason = reason

    def __str__(self):
        return f"{self.command}: {self.reason}"


class RequestTimeout(DaytimeError, TimeoutError):
    """No complete answer within `timeout` seconds; the connection has been closed."""

    __module__ = "daytime"

    def __init__(self, timeout, /):
        super().__init__(timeout)
        self.timeout = timeout

    def __str__(self):
        return f"no complete answer within {self.timeout:g} s"


class ServerClosed(DaytimeError, ConnectionError):
    """The server closed the connection, or refused it: then in its own words."""

    __module__ = "daytime"


class StateError(DaytimeError, RuntimeError):
    """Something closed was used, a server started twice, or an object of the process that this one was forked from."""

    __module__ = "daytime"
