//! Counters, events and clients as plain structs.

use std::{
    ffi::{c_char, c_int},
    time::SystemTime,
};

use super::{DAYTIME_ADDR_MAX, Extensible, cut, listen};
use crate::{ClientInfo, Event, Reason, Service, Stats};

/// The counters of a server since its start. Pass its sizeof: this struct may grow at its end.
#[repr(C)]
pub struct daytime_stats {
    /// Connections open now, including those that are being closed.
    pub clients: u64,
    /// Clients accepted.
    pub accepted: u64,
    /// Connections refused, because of a limit, a denied network, or the header of a proxy.
    pub refused: u64,
    /// Commands executed, invalid ones included.
    pub commands: u64,
    /// Commands answered with an error line.
    pub invalid: u64,
    /// Bytes received from clients, and from proxies for them.
    pub bytes_in: u64,
    /// Bytes that the system took for clients.
    pub bytes_out: u64,
    /// Events dropped because the queue was full.
    pub events_dropped: u64,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// The most clients at a time, see daytime_server_set_max_clients().
    pub max_clients: u64,
    /// Pauses of accepting, because the system lacked file descriptors or memory. Each pause of an episode counts.
    pub accept_pauses: u64,
    /// Custom commands that failed: the handler returned a failure or an invalid reply.
    pub handler_failures: u64,
    /// Hooks that failed. A hook in C cannot.
    pub hook_failures: u64,
    /// Custom commands and hooks that wait for a handler thread now.
    pub handlers_waiting: u64,
    /// Clients accepted, by daytime_service. They add up to accepted.
    pub by_service: [u64; DAYTIME_SERVICES_MAX],
    /// Clients refused, or whose connection was closed, by daytime_reason. Index 0 is unused.
    pub by_reason: [u64; DAYTIME_REASONS_MAX],
}

/// The size of daytime_stats.by_service, which has places for services of later versions.
pub const DAYTIME_SERVICES_MAX: usize = 8;
/// The size of daytime_stats.by_reason, which has places for reasons of later versions.
pub const DAYTIME_REASONS_MAX: usize = 32;

/// A connected client. Pass its sizeof: this struct may grow at its end.
#[repr(C)]
pub struct daytime_client_info {
    /// Its id.
    pub client: u64,
    /// The number of commands executed for it, invalid ones included.
    pub commands: u64,
    /// When it was accepted, in seconds since the Unix epoch.
    pub connected_at: i64,
    /// Its address.
    pub peer: [c_char; DAYTIME_ADDR_MAX],
}

/// The kind of an event: daytime_event.kind. Later versions may have more kinds.
#[repr(C)]
pub enum daytime_event_kind {
    /// A client was accepted: client, peer.
    DAYTIME_EVENT_CONNECTED = 1,
    /// A command was executed, if commands were asked for: client, command, ok.
    DAYTIME_EVENT_COMMAND_SERVED = 2,
    /// The handler of a custom command failed, or returned an invalid reply: client, command, error.
    DAYTIME_EVENT_COMMAND_FAILED = 3,
    /// The connection of a client is closed: client, peer, reason, commands.
    DAYTIME_EVENT_DISCONNECTED = 4,
    /// A connection was refused: peer, reason.
    DAYTIME_EVENT_REFUSED = 5,
    /// The system lacks file descriptors or memory to accept clients; the server retries: error.
    DAYTIME_EVENT_ACCEPT_PAUSED = 6,
}

/// Why a connection was closed or refused: daytime_event.reason. Later versions may have more reasons.
#[repr(C)]
pub enum daytime_reason {
    /// The client sent "quit" or "exit", or a custom command closed the connection.
    DAYTIME_REASON_QUIT = 1,
    /// The client closed its side.
    DAYTIME_REASON_EOF = 2,
    /// The idle timeout passed.
    DAYTIME_REASON_IDLE = 3,
    /// The first-command timeout passed.
    DAYTIME_REASON_NO_COMMAND = 4,
    /// The write timeout passed: the client took none of the replies owed to it.
    DAYTIME_REASON_WRITE_TIMEOUT = 5,
    /// The connection failed.
    DAYTIME_REASON_ERROR = 6,
    /// daytime_server_disconnect() closed it.
    DAYTIME_REASON_KICKED = 7,
    /// The server has the maximum of clients.
    DAYTIME_REASON_FULL = 8,
    /// The client's address has the maximum of clients for one address.
    DAYTIME_REASON_PER_SOURCE = 9,
    /// The server stopped.
    DAYTIME_REASON_SHUTDOWN = 10,
    /// The client's network is denied.
    DAYTIME_REASON_DENIED = 11,
    /// The reply of RFC 867 or RFC 868 was sent.
    DAYTIME_REASON_ANSWERED = 12,
    /// The header of the PROXY protocol is invalid, or did not arrive in time.
    DAYTIME_REASON_PROXY_HEADER = 13,
}

/// An event. Fields that its kind does not list are 0 or "". Texts are NUL-terminated UTF-8, cut if they do not fit.
/// Pass its sizeof: this struct may grow at its end.
#[repr(C)]
pub struct daytime_event {
    /// A daytime_event_kind.
    pub kind: c_int,
    /// A daytime_reason.
    pub reason: c_int,
    /// The id of the client.
    pub client: u64,
    /// The number of commands executed for the client.
    pub commands: u64,
    /// 1 if the reply was not an error line.
    pub ok: c_int,
    /// 0.
    pub reserved: c_int,
    /// The address of the client.
    pub peer: [c_char; DAYTIME_ADDR_MAX],
    /// The command's name in lower case, without control characters.
    pub command: [c_char; 128],
    /// The error of the handler or of the system.
    pub error: [c_char; 256],
    /// The event as one line for a log, without control characters.
    pub text: [c_char; 512],
}

impl Extensible for daytime_stats {}
impl Extensible for daytime_client_info {}
impl Extensible for daytime_event {}

impl From<Stats> for daytime_stats {
    fn from(stats: Stats) -> Self {
        let (mut by_service, mut by_reason) = ([0; DAYTIME_SERVICES_MAX], [0; DAYTIME_REASONS_MAX]);
        for service in Service::ALL {
            by_service[listen::number(*service) as usize] = stats.by_service(*service);
        }
        for reason in Reason::ALL {
            by_reason[number(*reason) as usize] = stats.by_reason(*reason);
        }
        daytime_stats {
            clients: stats.clients,
            accepted: stats.accepted,
            refused: stats.refused,
            commands: stats.commands,
            invalid: stats.invalid,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            events_dropped: stats.events_dropped,
            uptime_ms: u64::try_from(stats.uptime.as_millis()).unwrap_or(u64::MAX),
            max_clients: stats.max_clients,
            accept_pauses: stats.accept_pauses,
            handler_failures: stats.handler_failures,
            hook_failures: stats.hook_failures,
            handlers_waiting: stats.handlers_waiting,
            by_service,
            by_reason,
        }
    }
}

impl From<ClientInfo> for daytime_client_info {
    fn from(info: ClientInfo) -> Self {
        let since = info.connected_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        daytime_client_info {
            client: info.id.into(),
            commands: info.commands,
            connected_at: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            peer: cut(&info.peer.to_string()),
        }
    }
}

impl From<Event> for daytime_event {
    fn from(event: Event) -> Self {
        use daytime_event_kind::*;
        let mut out = daytime_event {
            kind: 0,
            reason: 0,
            client: 0,
            commands: 0,
            ok: 0,
            reserved: 0,
            peer: cut(""),
            command: cut(""),
            error: cut(""),
            text: cut(&event.to_string()),
        };
        out.kind = match event {
            Event::Connected { client, peer } => {
                out.client = client.into();
                out.peer = cut(&peer.to_string());
                DAYTIME_EVENT_CONNECTED
            }
            Event::CommandServed { client, command, ok } => {
                out.client = client.into();
                out.command = cut(&command);
                out.ok = ok.into();
                DAYTIME_EVENT_COMMAND_SERVED
            }
            Event::CommandFailed { client, command, error } => {
                out.client = client.into();
                out.command = cut(&command);
                out.error = cut(&error);
                DAYTIME_EVENT_COMMAND_FAILED
            }
            Event::Disconnected { client, peer, reason, commands } => {
                out.client = client.into();
                out.peer = cut(&peer.to_string());
                out.reason = number(reason);
                out.commands = commands;
                DAYTIME_EVENT_DISCONNECTED
            }
            Event::Refused { peer, reason } => {
                out.peer = cut(&peer.to_string());
                out.reason = number(reason);
                DAYTIME_EVENT_REFUSED
            }
            Event::AcceptPaused { message, .. } => {
                out.error = cut(&message);
                DAYTIME_EVENT_ACCEPT_PAUSED
            }
        } as c_int;
        out
    }
}

pub(super) fn number(reason: Reason) -> c_int {
    use daytime_reason::*;
    let reason = match reason {
        Reason::Quit => DAYTIME_REASON_QUIT,
        Reason::Eof => DAYTIME_REASON_EOF,
        Reason::Idle => DAYTIME_REASON_IDLE,
        Reason::NoCommand => DAYTIME_REASON_NO_COMMAND,
        Reason::WriteTimeout => DAYTIME_REASON_WRITE_TIMEOUT,
        Reason::Error => DAYTIME_REASON_ERROR,
        Reason::Kicked => DAYTIME_REASON_KICKED,
        Reason::Full => DAYTIME_REASON_FULL,
        Reason::PerSource => DAYTIME_REASON_PER_SOURCE,
        Reason::Shutdown => DAYTIME_REASON_SHUTDOWN,
        Reason::Denied => DAYTIME_REASON_DENIED,
        Reason::Answered => DAYTIME_REASON_ANSWERED,
        Reason::ProxyHeader => DAYTIME_REASON_PROXY_HEADER,
    };
    reason as c_int
}
