//! The client's side of one conversation: what to send, and the greeting and replies found in what comes back.
//!
//! # Theory of operation
//!
//! A client connects and sends [`Dialogue::HELLO`], an empty line. A server that frames lines completes its greeting
//! with it: the first line is the greeting, and every reply after it is a line. The original answers it with its error
//! text instead: if the bytes end in exactly that text and stay so for [`QUIET`](super::QUIET), the greeting stands
//! before it, and from there on commands and replies are *bare*, one at a time, the end of a reply being found by its
//! known shape. Silence alone proves nothing.
//!
//! What arrives unasked is never taken for an answer: it is a [`Fault`] when the next question is put.

use memchr::{memchr, memchr_iter};

use super::{COMMAND_MAX, errors, is_blank, strip_cr};

/// The most bytes that are read in search of the greeting's end, or of a reply's.
const LINE_MAX: usize = 64 * 1024;

/// Why a conversation cannot go on, or why a question was not put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The question cannot be asked; the conversation is as it was.
    Question(String),
    /// The server sent this, which is not this protocol.
    Protocol(Vec<u8>),
    /// The server sent this error line in place of its greeting.
    Refused(String),
    /// The server closed the connection.
    Closed,
}

/// One conversation, seen from the client.
#[derive(Debug, Default)]
pub struct Dialogue {
    /// What came and was not yet handed out.
    bytes: Vec<u8>,
    taken: usize,
    mode: Mode,
    greeting: String,
    /// Questions without a reply so far.
    asked: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Greeting,
    Lines,
    /// The original's: replies have no terminator, one of these texts is next. `#` is any digit.
    Bare(&'static [&'static str]),
}

impl Dialogue {
    /// What a client sends as soon as it is connected.
    pub const HELLO: &[u8] = b"\n";

    /// A conversation in which nothing has been said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what one read gave.
    ///
    /// # Errors
    /// [`Fault::Refused`] and [`Fault::Protocol`]: to be closed.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if self.mode != Mode::Greeting {
            return Ok(());
        }
        let Some(end) = memchr(b'\n', bytes).map(|end| before + end) else {
            return if self.bytes.len() > LINE_MAX { Err(self.foreign()) } else { Ok(()) };
        };
        match std::str::from_utf8(strip_cr(&self.bytes[..end])) {
            Ok(line) if errors::ALL.contains(&line) => Err(Fault::Refused(line.to_owned())),
            Ok(line) if end <= LINE_MAX => {
                self.greeting = line.to_owned();
                self.mode = Mode::Lines;
                self.take(end + 1);
                Ok(())
            }
            _ => Err(self.foreign()),
        }
    }

    /// Whether what came is an original server's greeting as soon as nothing more comes for
    /// [`QUIET`](super::QUIET).
    pub fn awaits_quiet(&self) -> bool {
        self.mode == Mode::Greeting && self.bytes.ends_with(errors::INVALID.as_bytes())
    }

    /// To be called when [`awaits_quiet`](Self::awaits_quiet) has been true, and nothing has come, for
    /// [`QUIET`](super::QUIET).
    ///
    /// # Errors
    /// [`Fault::Protocol`] where the greeting is not UTF-8.
    pub fn quiet(&mut self) -> Result<(), Fault> {
        if !self.awaits_quiet() {
            return Ok(());
        }
        let end = self.bytes.len() - errors::INVALID.len();
        match std::str::from_utf8(&self.bytes[..end]) {
            Ok(greeting) => self.greeting = greeting.to_owned(),
            Err(_) => return Err(self.foreign()),
        }
        self.mode = Mode::Bare(&[]);
        self.take(self.bytes.len());
        Ok(())
    }

    /// The greeting, once it is known where it ends.
    pub fn greeting(&self) -> Option<&str> {
        (self.mode != Mode::Greeting).then_some(&self.greeting)
    }

    /// Whether the server frames lines. The original does not: it takes one question at a time.
    pub fn frames_lines(&self) -> bool {
        self.mode == Mode::Lines
    }

    /// Whether a question has no reply so far.
    pub fn awaits_replies(&self) -> bool {
        self.asked > 0
    }

    /// Appends to `out` what asks `command`.
    ///
    /// # Errors
    /// [`Fault::Question`] says why it cannot be asked: it is blank, too long, has a control character, or is one too
    /// many for the original. [`Fault::Protocol`] where something came that nobody asked for: to be closed.
    pub fn ask(&mut self, command: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let refuse = |why: &str| Err(Fault::Question(format!("the command {command:?} {why}")));
        let name = command.trim_matches([' ', '\t', '\r']);
        if name.is_empty() {
            return refuse("is blank");
        }
        if command.len() > COMMAND_MAX {
            return refuse("is too long");
        }
        if command.bytes().any(|byte| byte.is_ascii_control() && (!is_blank(&byte) || byte == b'\r')) {
            return refuse("has a control character");
        }
        if self.mode == Mode::Greeting {
            return refuse("comes before the greeting");
        }
        // What comes after the replies that are still to be taken answers nothing.
        let come = &self.bytes[self.taken..];
        let answers = match self.asked.checked_sub(1) {
            Some(others) => memchr_iter(b'\n', come).nth(others).map_or(come.len(), |end| end + 1),
            None => 0,
        };
        if answers < come.len() {
            let foreign = &come[answers..];
            return Err(Fault::Protocol(foreign[..foreign.len().min(LINE_MAX)].to_vec()));
        }
        match &mut self.mode {
            Mode::Greeting | Mode::Lines => {
                out.extend_from_slice(command.as_bytes());
                out.push(b'\n');
            }
            Mode::Bare(_) if self.asked > 0 => return refuse("comes before the reply to another"),
            Mode::Bare(replies) => {
                *replies = replies_of_the_original(command);
                out.extend_from_slice(command.as_bytes());
            }
        }
        self.asked += 1;
        Ok(())
    }

    /// The next reply, an error line as any other, or `None` while it has not come whole.
    ///
    /// # Errors
    /// [`Fault::Protocol`]: to be closed.
    pub fn reply(&mut self) -> Result<Option<String>, Fault> {
        if self.asked == 0 {
            return Ok(None);
        }
        let come = &self.bytes[self.taken..];
        let (end, next) = match self.mode {
            Mode::Greeting => return Ok(None),
            Mode::Lines => match memchr(b'\n', come) {
                Some(end) if end <= LINE_MAX => (end, end + 1),
                None if come.len() <= LINE_MAX => return Ok(None),
                _ => return Err(self.foreign()),
            },
            Mode::Bare(replies) => match replies.iter().find(|reply| begins_alike(reply, come)) {
                Some(reply) if come.len() < reply.len() => return Ok(None),
                Some(reply) => (reply.len(), reply.len()),
                None => return Err(self.foreign()),
            },
        };
        let Ok(reply) = std::str::from_utf8(strip_cr(&come[..end])) else { return Err(self.foreign()) };
        let reply = reply.to_owned();
        self.take(self.taken + next);
        self.asked -= 1;
        Ok(Some(reply))
    }

    /// Why the conversation is over, to be called when the server sends nothing more.
    pub fn end(&mut self) -> Fault {
        match self.mode {
            Mode::Greeting if !self.bytes.is_empty() => self.foreign(),
            _ => Fault::Closed,
        }
    }

    /// What came and fits nowhere.
    pub fn foreign(&mut self) -> Fault {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.taken));
        bytes.truncate(LINE_MAX);
        Fault::Protocol(bytes)
    }

    /// Everything before `at` was handed out.
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
    // The original trims nothing: with a blank around it, a command is an error there.
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

fn begins_alike(pattern: &str, come: &[u8]) -> bool {
    pattern.bytes().zip(come).all(|(known, &byte)| known == byte || (known == b'#' && byte.is_ascii_digit()))
}
