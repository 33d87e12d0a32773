//! The server's side of one conversation: framing and replies.
//!
//! # Theory of operation
//!
//! The original's clients end their commands with nothing and take each read of theirs for one reply;
//! everybody else ends lines. A session finds out which it has:
//!
//! - **Bare.** Before the first `\n`, a read that is exactly a command's name is answered at once, without a
//!   terminator. Anything else is held until a `\n` comes, or until nothing has come for [`QUIET`](super::QUIET).
//! - **Framed.** The first `\n` makes the connection line-framed for good: `\n` ends a command, one CR before it
//!   belongs to the terminator, and the reply ends as the command did.
//!
//! The last thing sent bare (the greeting, a bare reply) is an *open* line. The first `\n` completes it with its own
//! terminator, so that a program that reads lines is in step from there on.
//!
//! | held | receives | does |
//! |---|---|---|
//! | nothing, bare | exactly a name | replies bare |
//! | anything, bare | no `\n` | holds it; [`awaits_quiet`](Session::awaits_quiet) |
//! | anything, bare | quiet time, EOF | that is one command, answered bare; blanks alone are an error |
//! | anything | `…\n` | completes the open line; that is one line, answered with its terminator |
//! | anything, framed | EOF | that is one command, answered bare; blanks alone are nothing |
//!
//! A line of blanks is an empty line: it completes the open line, or where none is open is answered by its own
//! terminator. Of a command longer than [`COMMAND_MAX`] nothing is kept but a flag and whether it ends in CR.
//!
//! **The invariant.** Let t be a line's terminator and r its reply. Line 1 gives t·r·t, or t if it is blank; a later
//! line gives r·t, or t if it is blank; the first `quit` ends the output (after t if it is line 1); a tail that is not
//! blank adds its r at EOF. For every segmentation the output is greeting · line 1 · line 2 …, given one fixed clock,
//! no read before the first `\n` that is exactly a name, and no quiet time before the first `\n`.

use std::{fmt, str::FromStr};

use memchr::memchr;

use super::{COMMAND_MAX, Command, Commands, OWED_MAX, Stamp, check_reply, errors, is_blank, strip_cr};

/// How a server finds the ends of commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Found out for each connection, so that clients that end lines and the original's, which end nothing, are
    /// both served.
    #[default]
    Auto,
    /// Lines from the start, the greeting too, for deployments without original clients.
    Line,
}

impl FromStr for Framing {
    type Err = String;

    /// Reads `auto` or `line`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Framing::Auto),
            "line" => Ok(Framing::Line),
            _ => Err(format!("the framing {text:?} is neither `auto` nor `line`")),
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Framing::Auto => "auto",
            Framing::Line => "line",
        })
    }
}

/// What a session asks of whoever runs it.
pub trait Host {
    /// The table of commands.
    fn commands(&self) -> &Commands;

    /// The texts of this moment in `zone`, as the client wrote it, or in the server's own; `None` for an unknown zone.
    ///
    /// All commands of one call of [`Session::receive`] should be answered from one reading of the clock.
    fn stamp(&mut self, zone: Option<&str>) -> Option<&Stamp>;

    /// Called for each command, also for `quit` and for one that is invalid; `ok` unless the reply is an error line.
    /// An own command is reported by whoever runs its handler, not here.
    fn executed(&mut self, name: &[u8], ok: bool) {
        let _ = (name, ok);
    }

    /// Called instead for `count` commands at once, none of them invalid, each of them a line that is a name and an LF.
    fn executed_lines(&mut self, lines: &[u8], count: u64) {
        let _ = count;
        lines.trim_ascii_end().split(|&byte| byte == b'\n').for_each(|name| self.executed(name, true));
    }
}

/// What the session wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More bytes: everything given was taken, or nothing while an own command's reply is waited for.
    Read,
    /// [`OWED_MAX`] bytes are owed: send them, then give what was not taken again.
    Send,
    /// The reply of an own command: [`Session::reply`] takes it. Until then the session takes no bytes.
    Call(Call),
    /// To be closed, after the replies so far have been sent. Nothing more is executed.
    Close,
}

/// An own command that waits for its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The command's place in the order of registration.
    pub command: usize,
    /// The rest of the line without blanks around it; may be empty.
    pub argument: String,
}

/// What a handler answers: 1 to 1,023 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(crate) text: String,
    pub(crate) closing: bool,
}

impl Reply {
    /// A reply after which the connection is closed; an empty text closes it without a reply, as `quit` does.
    pub fn closing(text: impl Into<String>) -> Self {
        Reply { text: text.into(), closing: true }
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Reply { text: text.into(), closing: false }
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Reply { text, closing: false }
    }
}

/// One client's conversation, seen from the server.
#[derive(Debug)]
pub struct Session {
    /// The beginning of a command whose end was not seen: at most [`COMMAND_MAX`] bytes and a CR. No allocation
    /// when it is empty, and no word for a capacity: of ten thousand idle sessions all are empty.
    held: Box<[u8]>,
    /// In place of `held`, of a command that is too long: whether its last byte so far was CR.
    overlong: Option<bool>,
    framed: bool,
    open: Open,
    waiting: Option<Terminator>,
    closed: bool,
}

/// The state of the last line sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// It has no terminator yet.
    Yes,
    No,
    /// It has one, which is the answer to an empty first line: the greeting with [`Framing::Line`].
    Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminator {
    None,
    Lf,
    CrLf,
}

impl Terminator {
    fn push(self, out: &mut Vec<u8>) {
        match self {
            Terminator::None => {}
            Terminator::Lf => out.push(b'\n'),
            Terminator::CrLf => out.extend_from_slice(b"\r\n"),
        }
    }
}

impl Session {
    /// A conversation in which nothing has been said.
    pub fn new(framing: Framing) -> Self {
        let framed = framing == Framing::Line;
        Session {
            held: Box::default(),
            overlong: None,
            framed,
            open: if framed { Open::Answered } else { Open::Yes },
            waiting: None,
            closed: false,
        }
    }

    /// Puts the greeting, which may be empty, into `out`. To be called once, before anything is received.
    pub fn greet(&self, greeting: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(greeting.as_bytes());
        if self.framed {
            Terminator::Lf.push(out);
        }
    }

    /// Takes what one read gave and appends the replies to `out`. Gives the number of bytes taken, and what is wanted
    /// next; bytes that were not taken are to be given again, before any others.
    pub fn receive(&mut self, input: &[u8], host: &mut impl Host, out: &mut Vec<u8>) -> (usize, Next) {
        if self.waiting.is_some() {
            return (0, Next::Read);
        }
        if self.closed {
            return (input.len(), Next::Close);
        }
        if out.len() >= OWED_MAX {
            return (0, Next::Send);
        }
        if !self.framed && !self.holds() && host.commands().find(input).is_some() {
            return (input.len(), self.execute(Some(input), Terminator::None, host, out));
        }
        let mut at = 0;
        while at < input.len() {
            let bulk = self.bulk(&input[at..], host, out);
            at += bulk;
            if out.len() >= OWED_MAX {
                return (at, Next::Send);
            }
            if bulk > 0 {
                continue;
            }
            let rest = &input[at..];
            let Some(end) = memchr(b'\n', rest) else {
                self.hold(rest);
                break;
            };
            at += end + 1;
            match self.line(&rest[..end], host, out) {
                Next::Read => {}
                next => return (at, next),
            }
        }
        (input.len(), Next::Read)
    }

    /// Whether an own command's reply is waited for.
    pub fn awaits_reply(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether what is held is a command as soon as nothing more comes for [`QUIET`](super::QUIET).
    pub fn awaits_quiet(&self) -> bool {
        !self.framed && self.waiting.is_none() && self.holds()
    }

    /// To be called when [`awaits_quiet`](Self::awaits_quiet) has been true, and nothing has come, for
    /// [`QUIET`](super::QUIET).
    pub fn quiet(&mut self, host: &mut impl Host, out: &mut Vec<u8>) -> Next {
        if !self.awaits_quiet() {
            return Next::Read;
        }
        let held = self.take_held();
        self.execute(held.as_deref(), Terminator::None, host, out)
    }

    /// To be called once, when the peer will send nothing more and all that it sent was taken. Ends in
    /// [`Next::Close`], at once or with the reply of an own command that waits for its handler.
    pub fn end(&mut self, host: &mut impl Host, out: &mut Vec<u8>) -> Next {
        let closed = std::mem::replace(&mut self.closed, true);
        if self.waiting.is_some() {
            return Next::Read;
        }
        if closed || !self.holds() {
            return Next::Close;
        }
        let held = self.take_held();
        if self.framed && held.as_ref().is_some_and(|held| held.iter().all(is_blank)) {
            return Next::Close;
        }
        match self.execute(held.as_deref(), Terminator::None, host, out) {
            Next::Read => Next::Close,
            next => next,
        }
    }

    /// The reply to the [`Call`] that waits: `None`, or a text that [`check_reply`] refuses, says that the command
    /// failed; `closing` ends the conversation after it, and an empty text then ends it without a reply. Without such a
    /// call it does nothing.
    pub fn reply(&mut self, text: Option<&str>, closing: bool, out: &mut Vec<u8>) -> Next {
        let Some(terminator) = self.waiting.take() else {
            return if self.closed { Next::Close } else { Next::Read };
        };
        if !(closing && text == Some("")) {
            let text = text.filter(|text| check_reply(text).is_ok()).unwrap_or(errors::FAILED);
            self.say(text, terminator, out);
        }
        self.closed |= closing;
        if self.closed { Next::Close } else { Next::Read }
    }

    /// The short way for the bulk of a pipelined stream: a run of lines that are exactly `day`, `date` or `time` and an
    /// LF, while nothing is held and no line is open. Does what [`line`](Self::line) does with them, at a tenth of the
    /// cost; gives the number of bytes taken.
    fn bulk(&self, input: &[u8], host: &mut impl Host, out: &mut Vec<u8>) -> usize {
        if self.open != Open::No || self.holds() || Command::short_line(input).is_none() {
            return 0;
        }
        let Some(stamp) = host.stamp(None) else { return 0 };
        let (taken, count) = stamp.answer_lines(input, out);
        if count > 0 {
            host.executed_lines(&input[..taken], count);
        }
        taken
    }

    fn holds(&self) -> bool {
        !self.held.is_empty() || self.overlong.is_some()
    }

    /// Keeps the beginning of a command, or of one that is too long what must be known of it.
    fn hold(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        let ends_in_cr = last == b'\r';
        if self.overlong.is_some() {
            self.overlong = Some(ends_in_cr);
        } else if self.held.len() + bytes.len() - usize::from(ends_in_cr) > COMMAND_MAX {
            self.held = Box::default();
            self.overlong = Some(ends_in_cr);
        } else {
            self.held = [&self.held, bytes].concat().into();
        }
    }

    /// What was held, less one CR at its end; `None` of what was too long. Leaves nothing held and nothing allocated.
    fn take_held(&mut self) -> Option<Vec<u8>> {
        let mut held = std::mem::take(&mut self.held).into_vec();
        held.truncate(strip_cr(&held).len());
        self.overlong.take().is_none().then_some(held)
    }

    /// The end of a line has come: `piece` is what stands between the bytes held and its `\n`.
    fn line(&mut self, piece: &[u8], host: &mut impl Host, out: &mut Vec<u8>) -> Next {
        if !self.holds() {
            let body = strip_cr(piece);
            let terminator = if body.len() < piece.len() { Terminator::CrLf } else { Terminator::Lf };
            return self.end_line((body.len() <= COMMAND_MAX).then_some(body), terminator, host, out);
        }
        self.hold(piece);
        let ends_in_cr = self.overlong.unwrap_or(self.held.ends_with(b"\r"));
        let terminator = if ends_in_cr { Terminator::CrLf } else { Terminator::Lf };
        let held = self.take_held();
        self.end_line(held.as_deref(), terminator, host, out)
    }

    fn end_line(
        &mut self,
        body: Option<&[u8]>,
        terminator: Terminator,
        host: &mut impl Host,
        out: &mut Vec<u8>,
    ) -> Next {
        self.framed = true;
        let open = std::mem::replace(&mut self.open, Open::No);
        let blank = body.is_some_and(|body| body.iter().all(is_blank));
        if open == Open::Yes || (blank && open == Open::No) {
            terminator.push(out);
        }
        if blank { Next::Read } else { self.execute(body, terminator, host, out) }
    }

    /// Answers one command; `None` is one that was too long.
    fn execute(
        &mut self,
        body: Option<&[u8]>,
        terminator: Terminator,
        host: &mut impl Host,
        out: &mut Vec<u8>,
    ) -> Next {
        let body = body.unwrap_or_default();
        let Some((command, argument)) = host.commands().parse(body) else {
            host.executed(body, false);
            self.say(errors::INVALID, terminator, out);
            return Next::Read;
        };
        let known = match command {
            Command::Quit => {
                host.executed(body, true);
                self.closed = true;
                return Next::Close;
            }
            Command::Own(command) => {
                self.waiting = Some(terminator);
                return Next::Call(Call { command, argument: argument.to_owned() });
            }
            Command::Help => {
                let help = host.commands().help();
                out.extend_from_slice(help.as_bytes());
                true
            }
            _ => match host.stamp((!argument.is_empty()).then_some(argument)) {
                Some(stamp) => {
                    out.extend_from_slice(stamp.text(command).as_bytes());
                    true
                }
                None => {
                    out.extend_from_slice(errors::UNKNOWN_ZONE.as_bytes());
                    false
                }
            },
        };
        host.executed(body, known);
        self.say("", terminator, out);
        Next::Read
    }

    /// Ends the reply that `text` is the last part of.
    fn say(&mut self, text: &str, terminator: Terminator, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
        terminator.push(out);
        if terminator == Terminator::None {
            self.open = Open::Yes;
        }
    }
}
