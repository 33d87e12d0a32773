//! The wire core: bytes in, bytes out.
//!
//! Nothing here knows a socket, a thread or a clock, so every rule of the wire is tested as a pure
//! function, and anything that moves bytes can drive it: this crate's server and client, an async
//! runtime, a fuzzer.
//!
//! - [`Session`] is the server's side of one connection: framing and replies.
//! - [`Dialogue`] is the client's side: the greeting and the replies found in what the server sent.
//! - [`Commands`] is the table of command names; [`Stamp`] holds the texts of one second in one [`Zone`].
//! - [`rfc867`] and [`rfc868`] are what a server of those protocols sends.
//!
//! A session asks its surroundings, a [`Host`], for the table and the texts:
//!
//! ```
//! use daytime::protocol::{Commands, Formats, Framing, Host, Next, Session, Stamp, Zone};
//!
//! struct Noon(Commands, Stamp);
//! impl Host for Noon {
//!     fn commands(&self) -> &Commands { &self.0 }
//!     fn stamp(&mut self, zone: Option<&str>) -> Option<&Stamp> { zone.is_none().then_some(&self.1) }
//! }
//! let stamp = Stamp::new(1_795_362_297, &Zone::UTC, &Formats::default());
//! let mut host = Noon(Commands::default(), stamp);
//!
//! let (mut session, mut out) = (Session::new(Framing::Auto), Vec::new());
//! session.greet("Welcome to the server", &mut out);
//! let (taken, next) = session.receive(b"day\r\ntime\nqu", &mut host, &mut out);
//! assert_eq!((taken, next), (12, Next::Read));
//! assert_eq!(out, b"Welcome to the server\r\nSunday\r\n15:44:57\n");
//! ```

mod command;
mod dialogue;
mod rfc;
mod session;
mod stamp;

use std::time::Duration;

pub use command::{Command, Commands};
pub use dialogue::{Dialogue, Fault};
pub use rfc::{rfc867, rfc868, rfc868_seconds};
pub use session::{Call, Framing, Host, Next, Reply, Session};
pub use stamp::{Formats, Stamp, Zone};

/// What a client reads first, unless the server is told otherwise.
pub const GREETING: &str = "Welcome to the server";
/// The bytes that a command may have, its line terminator not counted.
pub const COMMAND_MAX: usize = 1024;
/// The bytes that a reply may have, its line terminator not counted.
pub const REPLY_MAX: usize = 1023;
/// Before the first line end, a pause this long ends a command. It is above TCP's shortest retransmission timeout.
pub const QUIET: Duration = Duration::from_millis(300);
/// Once this many bytes of replies are owed to a client, no more of its commands are executed.
pub const OWED_MAX: usize = 64 * 1024;

/// The error lines, word for word. A client recognises an error by equality with one of [`errors::ALL`].
pub mod errors {
    /// The command is not in the table, has an argument too many, or bytes that no command has.
    pub const INVALID: &str = "You entered an invalid command";
    /// `ZONE` is neither a name in the zone database, nor `UTC`, nor an offset.
    pub const UNKNOWN_ZONE: &str = "You entered an unknown time zone";
    /// The embedder's handler failed, panicked, or gave a text that no reply can be.
    pub const FAILED: &str = "The command failed";
    /// Sent in place of the greeting: the server has as many clients as it may have.
    pub const FULL: &str = "The server is full";
    /// Sent in place of the greeting: the peer's address has as many clients as one address may have.
    pub const PER_SOURCE: &str = "Too many connections from your address";
    /// All of them.
    pub const ALL: [&str; 5] = [INVALID, UNKNOWN_ZONE, FAILED, FULL, PER_SOURCE];
}

/// Says why `text` cannot be a reply: it must have 1 to [`REPLY_MAX`] bytes and no control character.
pub fn check_reply(text: &str) -> Result<(), String> {
    match text.len() {
        0 => Err("it is empty".into()),
        1..=REPLY_MAX => match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(format!("it has the control character {c:?}")),
            None => Ok(()),
        },
        n => Err(format!("it has {n} bytes, and {REPLY_MAX} is the most")),
    }
}

/// Space, tab and CR: around a command they mean nothing.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// What stands before a `\n`, less the one CR that belongs to the terminator.
fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
