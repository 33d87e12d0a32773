//! What the embedder is told: numbers, events and clients as plain structs.

use std::{
    ffi::{c_char, c_int},
    time::SystemTime,
};

use super::{DAYTIME_ADDR_MAX, Growing, cut};
use crate::{ClientInfo, Event, Reason, Stats};

/// What a server has done since its start. Pass sizeof: this struct may grow at its end.
#[repr(C)]
pub struct daytime_stats {
    /// Connections open now, those that are being closed too.
    pub clients: u64,
    /// Clients accepted.
    pub accepted: u64,
    /// Clients turned away because the server, or their address, had too many, or their network is not let in.
    pub refused: u64,
    /// Commands executed, invalid ones too.
    pub commands: u64,
    /// Of them, those answered by an error line.
    pub invalid: u64,
    /// Bytes received from clients.
    pub bytes_in: u64,
    /// Bytes handed to the system for clients.
    pub bytes_out: u64,
    /// Events lost because the queue was full.
    pub events_dropped: u64,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
}

/// A client that is connected. Pass sizeof: this struct may grow at its end.
#[repr(C)]
pub struct daytime_client_info {
    /// Its number.
    pub client: u64,
    /// The commands executed for it, invalid ones too.
    pub commands: u64,
    /// When it was accepted, in seconds since the Unix epoch.
    pub connected_at: i64,
    /// Where it connects from.
    pub peer: [c_char; DAYTIME_ADDR_MAX],
}

/// What happened: daytime_event.kind. Later versions may have more kinds.
#[repr(C)]
pub enum daytime_event_kind {
    /// A client was accepted: client, peer.
    DAYTIME_EVENT_CONNECTED = 1,
    /// A command was executed, told where that was asked for: client, command, ok.
    DAYTIME_EVENT_COMMAND_SERVED = 2,
    /// An own command's handler failed, or gave what no reply can be: client, command, why.
    DAYTIME_EVENT_COMMAND_FAILED = 3,
    /// A client's connection is closed: client, peer, reason, commands.
    DAYTIME_EVENT_DISCONNECTED = 4,
    /// A client was turned away: peer, reason.
    DAYTIME_EVENT_REFUSED = 5,
    /// No client can be accepted for want of descriptors or memory; that is tried again: why.
    DAYTIME_EVENT_ACCEPT_PAUSED = 6,
}

/// Why a connection was closed or refused: daytime_event.reason. Later versions may have more.
#[repr(C)]
pub enum daytime_reason {
    /// The client said "quit" or "exit", or an own command closed after its reply.
    DAYTIME_REASON_QUIT = 1,
    /// The client closed its side.
    DAYTIME_REASON_EOF = 2,
    /// Nothing came from the client for the idle timeout.
    DAYTIME_REASON_IDLE = 3,
    /// The client said no whole command within the first-command timeout.
    DAYTIME_REASON_NO_COMMAND = 4,
    /// The client took none of its replies for the write timeout.
    DAYTIME_REASON_WRITE_TIMEOUT = 5,
    /// The connection broke.
    DAYTIME_REASON_ERROR = 6,
    /// daytime_server_disconnect()
    DAYTIME_REASON_KICKED = 7,
    /// The server has as many clients as it may have.
    DAYTIME_REASON_FULL = 8,
    /// The client's address has as many clients as one address may have.
    DAYTIME_REASON_PER_SOURCE = 9,
    /// The server stops.
    DAYTIME_REASON_SHUTDOWN = 10,
    /// The client's network is not let in.
    DAYTIME_REASON_DENIED = 11,
    /// It has the answer of a protocol that has no questions: RFC 867 or RFC 868.
    DAYTIME_REASON_ANSWERED = 12,
}

/// Something that happened. What its kind does not name is 0 or "". Texts are NUL-terminated UTF-8 and cut where they do
/// not fit. Pass sizeof: this struct may grow at its end.
#[repr(C)]
pub struct daytime_event {
    /// A daytime_event_kind.
    pub kind: c_int,
    /// A daytime_reason.
    pub reason: c_int,
    /// The client's number.
    pub client: u64,
    /// The commands executed for the client.
    pub commands: u64,
    /// 1 where the reply was no error line.
    pub ok: c_int,
    /// 0.
    pub reserved: c_int,
    /// Where the client connects from.
    pub peer: [c_char; DAYTIME_ADDR_MAX],
    /// The command's name in lower case, without control characters.
    pub command: [c_char; 128],
    /// What the handler gave as its reason, or what the system said.
    pub why: [c_char; 256],
    /// All of it as a line for a log, without control characters.
    pub text: [c_char; 512],
}

impl Growing for daytime_stats {}
impl Growing for daytime_client_info {}
impl Growing for daytime_event {}

impl From<Stats> for daytime_stats {
    fn from(stats: Stats) -> Self {
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
        let mut told = daytime_event {
            kind: 0,
            reason: 0,
            client: 0,
            commands: 0,
            ok: 0,
            reserved: 0,
            peer: cut(""),
            command: cut(""),
            why: cut(""),
            text: cut(&event.to_string()),
        };
        told.kind = match event {
            Event::Connected { client, peer } => {
                told.client = client.into();
                told.peer = cut(&peer.to_string());
                DAYTIME_EVENT_CONNECTED
            }
            Event::CommandServed { client, command, ok } => {
                told.client = client.into();
                told.command = cut(&command);
                told.ok = ok.into();
                DAYTIME_EVENT_COMMAND_SERVED
            }
            Event::CommandFailed { client, command, error: why } => {
                told.client = client.into();
                told.command = cut(&command);
                told.why = cut(&why);
                DAYTIME_EVENT_COMMAND_FAILED
            }
            Event::Disconnected { client, peer, reason, commands } => {
                told.client = client.into();
                told.peer = cut(&peer.to_string());
                told.reason = number(reason);
                told.commands = commands;
                DAYTIME_EVENT_DISCONNECTED
            }
            Event::Refused { peer, reason } => {
                told.peer = cut(&peer.to_string());
                told.reason = number(reason);
                DAYTIME_EVENT_REFUSED
            }
            Event::AcceptPaused { error: why } => {
                told.why = cut(&why.to_string());
                DAYTIME_EVENT_ACCEPT_PAUSED
            }
        } as c_int;
        told
    }
}

fn number(reason: Reason) -> c_int {
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
    };
    reason as c_int
}
