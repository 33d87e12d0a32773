"""Addresses, events, counters and exceptions. The native module creates them.

The named tuples are made without `typing`, whose import takes longer than the rest of this package.
"""

from collections import namedtuple


def _tuple(name, fields, doc):
    made = namedtuple(name, fields, module="daytime")
    made.__doc__ = doc
    return made


Address = _tuple(
    "Address",
    "host port",
    "A host and a port, as sockets take them. The host of a Unix socket is unix:PATH, and its port is 0. Most clients\n"
    "on Unix sockets do not have a path, and their host is unix: alone.",
)
ClientContext = _tuple(
    "ClientContext",
    "client peer",
    "A client, for the hooks on_connect and on_disconnect: its id and its address.",
)
ClientInfo = _tuple(
    "ClientInfo",
    "client_id peer connected_at commands",
    "A connected client: its id, its address, the time when it connected (an aware datetime), and the number of\n"
    "commands executed for it.",
)
Connected = _tuple("Connected", "client peer", "A client was accepted.")
Disconnected = _tuple(
    "Disconnected",
    "client peer reason commands",
    "A connection is closed, and everything of its client is released. The reason is quit, eof, idle, no_command,\n"
    "write_timeout, error, kicked or shutdown; for RFC 867 and RFC 868 also answered.",
)
CommandServed = _tuple(
    "CommandServed",
    "client command ok",
    "A command was executed. ok is False if the reply was an error line. Emitted only by events(commands=True).",
)
CommandFailed = _tuple(
    "CommandFailed",
    "client command error",
    "The handler of a custom command raised an exception, or returned an invalid reply.",
)
Refused = _tuple(
    "Refused", "peer reason", "A client was rejected. The reason is full, per_source, denied or proxy_header."
)
AcceptPaused = _tuple(
    "AcceptPaused",
    "error",
    "The system lacks file descriptors or memory to accept clients. The server retries at least once a second.",
)
Event = Connected | Disconnected | CommandServed | CommandFailed | Refused | AcceptPaused

ServerStats = _tuple(
    "ServerStats",
    "clients accepted refused commands invalid bytes_in bytes_out events_dropped uptime",
    "The counters of a server: open connections, accepted clients, rejected clients, executed commands, commands with\n"
    "an error line as their reply, received bytes, sent bytes, events lost by full buffers, and the time since the\n"
    "start (a timedelta).",
)


class DaytimeError(Exception):
    """The base of every exception of this package. Each one also derives from a built-in exception."""

    __module__ = "daytime"


class ProtocolError(DaytimeError, ValueError):
    """The peer does not speak this protocol. `line` has the bytes that it sent, at most 64 KiB."""

    __module__ = "daytime"

    def __init__(self, line, /):
        super().__init__(line)
        self.line = line

    def __str__(self):
        shown = repr(self.line[:80])[1:]
        return f"the peer does not speak this protocol; it sent {len(self.line)} bytes: {shown}"


class CommandError(DaytimeError, LookupError):
    """The server answered `command` with an error line. `reply` is the line, or the text of a handler's ReplyError. The
    connection stays open.
    """

    __module__ = "daytime"

    def __init__(self, command, reply, /):
        super().__init__(command, reply)
        self.command = command
        self.reply = reply

    def __str__(self):
        return f"{self.command}: {self.reply}"


class ReplyError(DaytimeError, RuntimeError):
    """A handler raises it with a text for the client: ReplyError("no such player"). The client gets an error line.

    The text has 1 to 1,003 bytes of UTF-8 without control characters. The clients of this package raise CommandError
    with the text as its `reply`.
    """

    __module__ = "daytime"


class RequestTimeout(DaytimeError, TimeoutError):
    """The reply was not complete after `timeout` seconds. The connection is closed."""

    __module__ = "daytime"

    def __init__(self, timeout, /):
        super().__init__(timeout)
        self.timeout = timeout

    def __str__(self):
        return f"timed out after {self.timeout:g} s before the reply was complete"


class ServerClosed(DaytimeError, ConnectionError):
    """The server closed the connection, or rejected it with an error line, which is the message then."""

    __module__ = "daytime"


class StateError(DaytimeError, RuntimeError):
    """A closed client, a second start of a server, or an object of the parent process in a forked child."""

    __module__ = "daytime"
