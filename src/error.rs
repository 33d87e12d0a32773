//! The errors of this crate.

use std::{fmt, io};

use chrono::NaiveDateTime;

/// An error of a server or a client. Its `Display` is complete: [`source`](std::error::Error::source) repeats nothing of
/// it, so that a report of the whole chain says each thing once.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an argument is invalid. The text says which one, what was given, and what was expected.
    Invalid(String),
    /// A call came in the wrong order, or from the wrong thread.
    State(String),
    /// The operating system reported an error. The text is its context, such as `bind 127.0.0.1:9990`.
    Io(io::Error, String),
    /// The deadline passed. A client that was waiting for a reply is broken.
    Timeout,
    /// The server closed the connection, or an earlier error broke this client.
    Closed,
    /// The client's interrupt function returned true. A client that was waiting for a reply is broken.
    Interrupted,
    /// The peer does not speak this protocol: the bytes that it sent, at most 64 KiB.
    Protocol(Vec<u8>),
    /// The server answered with one of the [error lines](crate::protocol::errors), exactly this text.
    Refused(String),
    /// The server does not send its offset from UTC, as the original classroom program does not. The value is the date
    /// and the time of one moment on the server's clock. The client stays usable.
    NoOffset(NaiveDateTime),
}

impl Error {
    /// For `map_err`: adds the context to an error of the operating system.
    pub(crate) fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let context = context.into();
        |error| Error::Io(error, context)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(message) | Error::State(message) => f.write_str(message),
            Error::Io(error, context) => write!(f, "{context}: {error}"),
            Error::Timeout => f.write_str("timed out before the reply was complete"),
            Error::Closed => f.write_str("the connection is closed"),
            Error::Interrupted => f.write_str("interrupted"),
            Error::Protocol(bytes) => {
                let shown = &bytes[..bytes.len().min(80)];
                let (count, shown) = (bytes.len(), shown.escape_ascii());
                write!(f, "the peer does not speak this protocol; it sent {count} bytes: {shown}")
            }
            Error::Refused(line) => f.write_str(line),
            Error::NoOffset(local) => {
                write!(f, "the server does not send its offset from UTC; its clock shows {}", local.format("%FT%T"))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The text of the system's error is a part of ours.
            Error::Io(error, _) => error.source(),
            _ => None,
        }
    }
}
