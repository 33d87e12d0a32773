//! The client's side of one connection: what to send, and the greeting and the replies in the received bytes.
//!
//! # Theory of operation
//!
//! A client connects and sends [`ClientSession::HELLO`], an empty line. A server that frames lines completes its greeting
//! with it: the first line is the greeting, and every reply after it is a line. The original classroom program answers
//! with its error text instead. If the bytes end in exactly that text, and nothing more arrives for
//! [`QUIET`](super::QUIET), the greeting is the text before it. From then on commands and replies are *bare*: one at a
//! time, and the end of a reply is found by its known shape. Silence alone proves nothing.
//!
//! Bytes that arrive without a question are never taken for an answer: they are a [`SessionError`] when the next command
//! is sent.

use memchr::{memchr, memchr_iter};

use super::{COMMAND_MAX, errors, is_blank, strip_cr};

/// The most bytes that are read in search of the end of the greeting, or of a reply.
const LINE_MAX: usize = 64 * 1024;

/// Why a session cannot go on, or why a command was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The command cannot be sent. The session is unchanged.
    InvalidCommand(String),
    /// The server sent these bytes, which do not belong to this protocol.
    Protocol(Vec<u8>),
    /// The server sent this error line in place of its greeting.
    Refused(String),
    /// The server closed the connection.
    Closed,
}

/// The client's side of one connection.
#[derive(Debug, Default)]
pub struct ClientSession {
    /// The received bytes, of which the first `taken` were returned already.
    bytes: Vec<u8>,
    taken: usize,
    mode: Mode,
    greeting: String,
    /// The number of commands without a reply so far.
    asked: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Greeting,
    Lines,
    /// The mode of the original: replies have no terminator, and the next one has one of these shapes. `#` is any digit.
    Bare(&'static [&'static str]),
}

impl ClientSession {
    /// The bytes that a client sends as soon as it is connected.
    pub const HELLO: &[u8] = b"\n";

    /// A session in which nothing has been sent or received.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of one read.
    ///
    /// # Errors
    /// [`SessionError::Refused`] and [`SessionError::Protocol`]: close the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if self.mode != Mode::Greeting {
            return Ok(());
        }
        let Some(end) = memchr(b'\n', bytes).map(|end| before + end) else {
            return if self.bytes.len() > LINE_MAX { Err(self.take_unexpected()) } else { Ok(()) };
        };
        match std::str::from_utf8(strip_cr(&self.bytes[..end])) {
            Ok(line) if errors::ALL.contains(&line) => Err(SessionError::Refused(line.to_owned())),
            Ok(line) if end <= LINE_MAX => {
                self.greeting = line.to_owned();
                self.mode = Mode::Lines;
                self.take(end + 1);
                Ok(())
            }
            _ => Err(self.take_unexpected()),
        }
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) is due once nothing has arrived for [`QUIET`](super::QUIET):
    /// then the bytes are the greeting of an original server.
    #[must_use]
    pub fn needs_timeout(&self) -> bool {
        self.mode == Mode::Greeting && self.bytes.ends_with(errors::INVALID.as_bytes())
    }

    /// Takes the greeting of an original server. Call it when [`needs_timeout`](Self::needs_timeout) was true, and
    /// nothing arrived, for [`QUIET`](super::QUIET).
    ///
    /// # Errors
    /// [`SessionError::Protocol`] if the greeting is not UTF-8.
    pub fn handle_timeout(&mut self) -> Result<(), SessionError> {
        if !self.needs_timeout() {
            return Ok(());
        }
        let end = self.bytes.len() - errors::INVALID.len();
        match std::str::from_utf8(&self.bytes[..end]) {
            Ok(greeting) => self.greeting = greeting.to_owned(),
            Err(_) => return Err(self.take_unexpected()),
        }
        self.mode = Mode::Bare(&[]);
        self.take(self.bytes.len());
        Ok(())
    }

    /// The greeting, once its end was found.
    #[must_use]
    pub fn greeting(&self) -> Option<&str> {
        (self.mode != Mode::Greeting).then_some(&self.greeting)
    }

    /// Whether the server frames lines. The original does not: it takes one command at a time.
    #[must_use]
    pub fn frames_lines(&self) -> bool {
        self.mode == Mode::Lines
    }

    /// Whether a command has not been answered yet.
    #[must_use]
    pub fn awaits_replies(&self) -> bool {
        self.asked > 0
    }

    /// Appends the bytes that send `command` to `out`.
    ///
    /// # Errors
    /// [`SessionError::InvalidCommand`] if the command is blank, is too long, has a control character, or comes before
    /// an original server has answered the previous one. [`SessionError::Protocol`] if bytes arrived that answer
    /// nothing: close the connection.
    pub fn ask(&mut self, command: &str, out: &mut Vec<u8>) -> Result<(), SessionError> {
        let reject = |reason: &str| Err(SessionError::InvalidCommand(format!("the command {command:?} {reason}")));
        let name = command.trim_matches([' ', '\t', '\r']);
        if name.is_empty() {
            return reject("is blank");
        }
        if command.len() > COMMAND_MAX {
            return reject("is too long");
        }
        if command.bytes().any(|byte| byte.is_ascii_control() && (!is_blank(&byte) || byte == b'\r')) {
            return reject("has a control character");
        }
        if self.mode == Mode::Greeting {
            return reject("comes before the greeting");
        }
        // Bytes beyond the replies that are still expected answer nothing.
        let rest = &self.bytes[self.taken..];
        let answers = match self.asked.checked_sub(1) {
            Some(others) => memchr_iter(b'\n', rest).nth(others).map_or(rest.len(), |end| end + 1),
            None => 0,
        };
        if answers < rest.len() {
            let unexpected = &rest[answers..];
            return Err(SessionError::Protocol(unexpected[..unexpected.len().min(LINE_MAX)].to_vec()));
        }
        match &mut self.mode {
            Mode::Greeting | Mode::Lines => {
                out.extend_from_slice(command.as_bytes());
                out.push(b'\n');
            }
            Mode::Bare(_) if self.asked > 0 => return reject("comes before the reply to another"),
            Mode::Bare(replies) => {
                *replies = replies_of_the_original(command);
                out.extend_from_slice(command.as_bytes());
            }
        }
        self.asked += 1;
        Ok(())
    }

    /// The next reply, error lines included, or `None` if it is not complete yet.
    ///
    /// # Errors
    /// [`SessionError::Protocol`]: close the connection.
    pub fn reply(&mut self) -> Result<Option<String>, SessionError> {
        if self.asked == 0 {
            return Ok(None);
        }
        let rest = &self.bytes[self.taken..];
        let (end, next) = match self.mode {
            Mode::Greeting => return Ok(None),
            Mode::Lines => match memchr(b'\n', rest) {
                Some(end) if end <= LINE_MAX => (end, end + 1),
                None if rest.len() <= LINE_MAX => return Ok(None),
                _ => return Err(self.take_unexpected()),
            },
            Mode::Bare(shapes) => match shapes.iter().find(|shape| fits(shape, rest)) {
                Some(shape) if rest.len() < shape.len() => return Ok(None),
                Some(shape) => (shape.len(), shape.len()),
                None => return Err(self.take_unexpected()),
            },
        };
        let Ok(reply) = std::str::from_utf8(strip_cr(&rest[..end])) else { return Err(self.take_unexpected()) };
        let reply = reply.to_owned();
        self.take(self.taken + next);
        self.asked -= 1;
        Ok(Some(reply))
    }

    /// Takes the end of the server's bytes. Returns the reason why the session is over.
    pub fn handle_eof(&mut self) -> SessionError {
        match self.mode {
            Mode::Greeting if !self.bytes.is_empty() => self.take_unexpected(),
            _ => SessionError::Closed,
        }
    }

    /// Takes the bytes that were received and not returned yet, at most 64 KiB, as a [`SessionError::Protocol`].
    pub fn take_unexpected(&mut self) -> SessionError {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.taken));
        bytes.truncate(LINE_MAX);
        SessionError::Protocol(bytes)
    }

    /// Marks the bytes before `at` as returned.
    fn take(&mut self, at: usize) {
        self.taken = at;
        if at == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if at > LINE_MAX {
            self.bytes.drain(..at);
            self.taken = 0;
        }
    }
}

const DAYS: [&str; 8] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", errors::INVALID];

fn replies_of_the_original(command: &str) -> &'static [&'static str] {
    // The original does not trim: a command with a blank around it is an error there.
    if command.eq_ignore_ascii_case("day") {
        &DAYS
    } else if command.eq_ignore_ascii_case("date") {
        &["##-##-##", errors::INVALID]
    } else if command.eq_ignore_ascii_case("time") {
        &["##:##:##", errors::INVALID]
    } else {
        &[errors::INVALID]
    }
}

/// Whether the bytes are the start of a text of this shape.
fn fits(shape: &str, bytes: &[u8]) -> bool {
    shape.bytes().zip(bytes).all(|(known, &byte)| if known == b'#' { byte.is_ascii_digit() } else { known == byte })
}
