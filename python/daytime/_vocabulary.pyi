import datetime as dt
from typing import Literal, NamedTuple, TypeAlias

class Address(NamedTuple):
    host: str
    port: int

class ClientContext(NamedTuple):
    client: int
    peer: Address

class ClientInfo(NamedTuple):
    client_id: int
    peer: Address
    connected_at: dt.datetime
    commands: int

_Reason: TypeAlias = Literal[
    "quit", "eof", "idle", "no_command", "write_timeout", "error", "kicked", "shutdown", "answered"
]

_Refusal: TypeAlias = Literal["full", "per_source", "denied", "proxy_header"]
_Service: TypeAlias = Literal["text", "rfc867", "rfc868", "metrics", "proxied"]

class Connected(NamedTuple):
    client: int
    peer: Address

class Disconnected(NamedTuple):
    client: int
    peer: Address
    reason: _Reason
    commands: int

class CommandServed(NamedTuple):
    client: int
    command: str
    ok: bool

class CommandFailed(NamedTuple):
    client: int
    command: str
    error: str

class Refused(NamedTuple):
    peer: Address
    reason: _Refusal

class AcceptPaused(NamedTuple):
    error: str

Event: TypeAlias = Connected | Disconnected | CommandServed | CommandFailed | Refused | AcceptPaused

class ServerStats(NamedTuple):
    clients: int
    accepted: int
    refused: int
    commands: int
    invalid: int
    bytes_in: int
    bytes_out: int
    events_dropped: int
    uptime: dt.timedelta
    max_clients: int
    accept_pauses: int
    handler_failures: int
    hook_failures: int
    handlers_waiting: int
    by_service: dict[_Service, int]
    by_reason: dict[_Reason | _Refusal, int]

class DaytimeError(Exception): ...

class ProtocolError(DaytimeError, ValueError):
    line: bytes
    def __init__(self, line: bytes, /) -> None: ...

class CommandError(DaytimeError, LookupError):
    command: str
    reply: str
    def __init__(self, command: str, reply: str, /) -> None: ...

class ReplyError(DaytimeError, RuntimeError): ...

class RequestTimeout(DaytimeError, TimeoutError):
    timeout: float
    def __init__(self, timeout: float, /) -> None: ...

class ServerClosed(DaytimeError, ConnectionError): ...
class StateError(DaytimeError, RuntimeError): ...
