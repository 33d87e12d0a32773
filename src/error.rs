//! Every error of this crate.

use std::{fmt, io};

/// What can go wrong with a server or a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an argument: says which, and why it is refused.
    Invalid(String),
    /// A call in the wrong order or from the wrong thread.
    State(String),
    /// An error of the operating system, and what was being done, such as `bind 127.0.0.1:9990`.
    Io(io::Error, String),
    /// The deadline has passed. A client that was waiting for a reply is broken.
    Timeout,
    /// The server closed the connection, or this client is broken by an earlier error.
    Closed,
    /// The client's interrupt function asked for it. A client that was waiting for a reply is broken.
    Interrupted,
    /// The peer does not speak this protocol: what it sent, at most 64 KiB.
    Protocol(Vec<u8>),
    /// The server answered with one of the [error lines](crate::protocol::errors), word for word.
    Refused(String),
}

impl Error {
    /// For `map_err`: an error of the operating system with what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let doing = doing.into();
        |error| Error::Io(error, doing)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(why) | Error::State(why) => f.write_str(why),
            Error::Io(error, doing) => write!(f, "{doing}: {error}"),
            Error::Timeout => f.write_str("no complete answer in time"),
            Error::Closed => f.write_str("the connection is closed"),
            Error::Interrupted => f.write_str("interrupted"),
            Error::Protocol(bytes) => {
                let shown = &bytes[..bytes.len().min(80)];
                write!(
                    f,
                    "the peer does not speak this protocol, it sent {} bytes: {}",
                    bytes.len(),
                    shown.escape_ascii()
                )
            }
            Error::Refused(line) => f.write_str(line),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error, _) => Some(error),
            _ => None,
        }
    }
}
