"""Addresses, events, counters and exceptions. The native module creates them.

The string of an event is one line for a log, with the words that the library has in Rust and C.

The named tuples are made without `typing`, whose import takes longer than the rest of this package.
"""

from collections import namedtuple

_REASONS = {
    "quit": "the client quit",
    "eof": "the client closed the connection",
    "idle": "the idle timeout passed",
    "no_command": "the first-command timeout passed",
    "write_timeout": "the write timeout passed",
    "error": "the connection failed",
    "kicked": "the client was disconnected",
    "full": "the server is full",
    "per_source": "too many connections from its address",
    "denied": "its network is denied",
    "proxy_header": "its PROXY header is missing or invalid",
    "shutdown": "the server stopped",
    "answered": "the reply was sent",
}


def _tuple(name, fields, doc, line=None):
    made = namedtuple(name, fields, module="daytime")
    made.__doc__ = doc
    if line is not None:
        made.__str__ = line
    return made


def _escaped(text):
    """The text on one line, without characters that hide others."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _peer(address):
    host, port = address
    if host.startswith("unix:"):
        return _escaped(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _connected(event):
    if event.peer.host.startswith("unix:"):
        return f"Connection has been established with client {_peer(event.peer)}"
    return f"Connection has been established with client IP {event.peer.host} and port is {event.peer.port}"


def _disconnected(event):
    peer, reason = _peer(event.peer), _REASONS[event.reason]
    s = "" if event.commands == 1 else "s"
    return f"Connection with {peer} has been closed after {event.commands} command{s}: {reason}"


def _command_served(event):
    outcome = "was answered" if event.ok else "was an error"
    return f"Command of client {event.client} {outcome}: {_escaped(event.command)}"


def _command_failed(event):
    return f"Command {_escaped(event.command)} of client {event.client} failed: {_escaped(event.error)}"


def _refused(event):
    return f"Connection from {_peer(event.peer)} has been refused: {_REASONS[event.reason]}"


def _accept_paused(event):
    return f"Accepting clients is paused, the system lacks file descriptors or memory: {event.error}"


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
Connected = _tuple("Connected", "client peer", "A client was accepted.", _connected)
Disconnected = _tuple(
    "Disconnected",
    "client peer reason commands",
    "A connection is closed, and everything of its client is released. The reason is quit, eof, idle, no_command,\n"
    "write_timeout, error, kicked or shutdown; for RFC 867 and RFC 868 also answered.",
    _disconnected,
)
CommandServed = _tuple(
    "CommandServed",
    "client command ok",
    "A command was executed. ok is False if the reply was an error line. Emitted only by events(commands=True).",
    _command_served,
)
CommandFailed = _tuple(
    "CommandFailed",
    "client command error",
    "The handler of a custom command raised an exception, or returned an invalid reply.",
    _command_failed,
)
Refused = _tuple(
    "Refused",
    "peer reason",
    "A client was rejected. The reason is full, per_source, denied or proxy_header.",
    _refused,
)
AcceptPaused = _tuple(
    "AcceptPaused",
    "error",
    "The system lacks file descriptors or memory to accept clients. The server retries at least once a second.",
    _accept_paused,
)
Event = Connected | Disconnected | CommandServed | CommandFailed | Refused | AcceptPaused

ServerStats = _tuple(
    "ServerStats",
    "clients accepted refused commands invalid bytes_in bytes_out events_dropped uptime "
    "max_clients accept_pauses handler_failures hook_failures handlers_waiting datagrams_answered datagrams_dropped "
    "by_service by_reason",
    "The counters of a server: open connections, accepted clients, rejected clients, executed commands, commands with\n"
    "an error line as their reply, received bytes, sent bytes, events dropped by full buffers, and the time since the\n"
    "start (a timedelta). Then the most clients at a time, pauses of accepting for lack of descriptors or memory,\n"
    "failed custom commands, failed hooks, calls that wait for a handler thread now, answered and dropped\n"
    "datagrams of UDP. by_service has the accepted\n"
    "clients of each service, by_reason the rejected and disconnected clients for each reason.",
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
