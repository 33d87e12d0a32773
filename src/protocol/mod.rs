//! The wire core: bytes in, bytes out.
//!
//! Nothing here knows a socket, a thread or a clock. Every rule of the wire is tested as a pure function, and other
//! drivers can use it: an async runtime, a fuzzer, a client of another language.
//!
//! - [`ServerSession`] is the server's side of one connection: framing and replies.
//! - [`ClientSession`] is the client's side: it finds the greeting and the replies in the server's bytes.
//! - [`Commands`] is the table of command names; [`FormattedTime`] holds the replies of one second in one [`Zone`].
//! - [`parse_datetime`] and its siblings read replies.
//! - [`http`] reads the requests of a listener for metrics, and writes the responses.
//! - [`rfc867`] and [`rfc868`] format what a server of those protocols sends.
//! - [`ProxyHeader`] finds the client's address in what a proxy sends first.
//!
//! A session asks its driver, which implements [`Respond`], for the table and the time:
//!
//! ```
//! use daytime::protocol::{Commands, FormattedTime, Formats, Framing, Next, Respond, ServerSession, Zone};
//!
//! struct StoppedClock(Commands, FormattedTime);
//!
//! impl Respond for StoppedClock {
//!     fn commands(&self) -> &Commands {
//!         &self.0
//!     }
//!     fn formatted_time(&mut self, zone: Option<&str>) -> Option<&FormattedTime> {
//!         zone.is_none().then_some(&self.1)
//!     }
//! }
//!
//! let time = FormattedTime::new(1_795_362_297, &Zone::UTC, &Formats::default());
//! let mut responder = StoppedClock(Commands::default(), time);
//!
//! let (mut session, mut out) = (ServerSession::new(Framing::Auto), Vec::new());
//! session.greet("Welcome to the server", &mut out);
//! let received = session.receive(b"day\r\ntime\nqu", &mut responder, &mut out);
//! assert_eq!((received.taken, received.executed, received.next), (12, 2, Next::Read));
//! assert_eq!(out, b"Welcome to the server\r\nSunday\r\n15:44:57\n");
//! ```
#![doc = include_str!("protocol.md")]

mod client_session;
mod command;
mod fast_path;
mod formatted_time;
pub mod http;
mod proxy;
mod replies;
mod rfc;
mod server_session;
mod zone;

use std::time::Duration;

pub use client_session::{ClientSession, SessionError};
pub use command::{Command, Commands};
pub use formatted_time::{Formats, FormattedTime};
pub use proxy::{InvalidProxyHeader, Proxied, ProxyHeader};
pub use replies::{
    day_name, parse_date, parse_datetime, parse_day, parse_next_transition, parse_time, parse_timestamp, parse_tz,
};
pub use rfc::{rfc867, rfc868, rfc868_seconds};
pub use server_session::{Call, Framing, Next, Received, Reply, Respond, ServerSession};
pub use zone::Zone;
pub(crate) use zone::footer;

/// The default greeting, which a client reads first.
pub const GREETING: &str = "Welcome to the server";
/// The largest size of a command in bytes, without its terminator.
pub const COMMAND_MAX: usize = 1024;
/// The largest size of a reply in bytes, without its terminator.
pub const REPLY_MAX: usize = 1023;
/// The quiet time: before the first line end, a pause of this length ends a command. It exceeds TCP's shortest
/// retransmission timeout.
pub const QUIET: Duration = Duration::from_millis(300);
/// A session pauses execution while this many bytes of replies are owed to its client.
pub const OWED_MAX: usize = 64 * 1024;

/// The error lines, exactly as they are sent. A client recognises an error with [`errors::reason`].
pub mod errors {
    /// The command is unknown, has an argument that it does not take, or has bytes that are not allowed in a command.
    pub const INVALID: &str = "You entered an invalid command";
    /// `ZONE` is neither a name of the time zone database, nor `UTC`, nor an offset.
    pub const UNKNOWN_ZONE: &str = "You entered an unknown time zone";
    /// The handler of a custom command failed, panicked, or returned an invalid reply.
    pub const FAILED: &str = "The command failed";
    /// Sent in place of the greeting: the server has the maximum of clients.
    pub const FULL: &str = "The server is full";
    /// Sent in place of the greeting: the peer's address has the maximum of clients for one address.
    pub const PER_SOURCE: &str = "Too many connections from your address";
    /// The start of an error line of a custom command's handler; the handler's text follows, see
    /// [`Reply::error`](super::Reply::error).
    pub const PREFIX: &str = "The command failed: ";
    /// The lines that are errors as a whole.
    pub const ALL: [&str; 5] = [INVALID, UNKNOWN_ZONE, FAILED, FULL, PER_SOURCE];

    /// What is wrong, if `line` is an error line: the line itself if it is one of [`ALL`], or the text after [`PREFIX`].
    #[must_use]
    pub fn reason(line: &str) -> Option<&str> {
        if ALL.contains(&line) {
            return Some(line);
        }
        line.strip_prefix(PREFIX).filter(|text| !text.is_empty())
    }
}

/// Says why `text` cannot be a reply: it must have 1 to [`REPLY_MAX`] bytes and no control character.
pub fn check_reply(text: &str) -> Result<(), String> {
    check_text(text, REPLY_MAX)
}

fn check_text(text: &str, max: usize) -> Result<(), String> {
    match text.len() {
        0 => Err("it is empty".into()),
        // Three checks of each reply of a custom command come this way, and most are ASCII.
        n if n <= max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(()),
        n if n <= max => match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(format!("it has the control character {c:?}")),
            None => Ok(()),
        },
        n => Err(format!("it has {n} bytes, and the maximum is {max}")),
    }
}

/// Space, tab and CR: blanks around a command are ignored.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// The bytes before a `\n`, less the one CR that belongs to the terminator.
fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
