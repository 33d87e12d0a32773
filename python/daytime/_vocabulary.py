"""The values of the package: addresses, events, counters, errors. The native module makes them.

The named tuples do without `typing`, whose import takes longer than the rest of the package.
"""

from collections import namedtuple


def _tuple(name, fields, doc):
    made = namedtuple(name, fields, module="daytime")
    made.__doc__ = doc
    return made


Address = _tuple(
    "Address",
    "host port",
    "A host and a port, which unpack as a socket's address does. The host of a Unix socket is unix:PATH, or unix:\n"
    "for a client without a path, and its port is 0.",
)
Request = _tuple(
    "Request",
    "command argument peer client",
    "A custom command of a client, for its handler: the name in lower case, the rest of the line without the blanks\n"
    "around it, and the address and the id of the client.",
)
ClientInfo = _tuple(
    "ClientInfo",
    "client_id peer connected_at commands",
    "A connected client: its id, its address, the aware datetime of its acceptance, and the number of commands\n"
    "executed for it.",
)
Connected = _tuple("Connected", "client peer", "A client was accepted.")
Disconnected = _tuple(
    "Disconnected",
    "client peer reason commands",
    "A connection is closed, and everything of its client is released. The reason is one of quit, eof, idle,\n"
    "no_command, write_timeout, error, kicked, shutdown, and answered for RFC 867 and RFC 868.",
)
CommandServed = _tuple(
    "CommandServed",
    "client command ok",
    "A command was executed. ok is False if the reply was an error line. Only from events(commands=True).",
)
CommandFailed = _tuple(
    "CommandFailed",
    "client command error",
    "The handler of a custom command raised, or returned an invalid reply.",
)
Refused = _tuple("Refused", "peer reason", "A connection was refused. The reason is full, per_source or denied.")
AcceptPaused = _tuple(
    "AcceptPaused",
    "error",
    "The system lacks file descriptors or memory to accept clients. The server retries at least once a second.",
)
ServerStats = _tuple(
    "ServerStats",
    "clients accepted refused commands invalid bytes_in bytes_out events_dropped uptime",
    "The counters of a server: connections open now, clients accepted and refused, commands executed and commands\n"
    "answered with an error line, bytes received and sent, events lost by full subscriptions, and the time since the\n"
    "start as a timedelta.",
)


Event = Connected | Disconnected | CommandServed | CommandFailed | Refused | AcceptPaused


class DaytimeError(Exception):
    """The base of all exceptions of this package. Each also derives from the matching built-in exception."""

    __module__ = "daytime"


class ProtocolError(DaytimeError, ValueError):
    """The peer does not speak this protocol. `line` has the received bytes, at most 64 KiB."""

    __module__ = "daytime"

    def __init__(self, line, /):
        super().__init__(line)
        self.line = line

    def __str__(self):
        shown = repr(self.line[:80])[1:]
        return f"the peer does not speak this protocol; it sent {len(self.line)} bytes: {shown}"


class CommandError(DaytimeError, LookupError):
    """The server answered `command` with the error line `reply`. The connection stays usable."""

    __module__ = "daytime"

    def __init__(self, command, reply, /):
        super().__init__(command, reply)
        self.command = command
        self.reply = reply

    def __str__(self):
        return f"{self.command}: {self.reply}"


class RequestTimeout(DaytimeError, TimeoutError):
    """The reply was not complete within `timeout` seconds. The connection is closed."""

    __module__ = "daytime"

    def __init__(self, timeout, /):
        super().__init__(timeout)
        self.timeout = timeout

    def __str__(self):
        return f"timed out after {self.timeout:g} s before the reply was complete"


class ServerClosed(DaytimeError, ConnectionError):
    """The server closed the connection, or refused it with an error line, which is the message."""

    __module__ = "daytime"


class StateError(DaytimeError, RuntimeError):
    """A closed object was used, a server was started twice, or an object was used after a fork."""

    __module__ = "daytime"
