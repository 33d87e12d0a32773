//! The server's side of one connection: framing and replies.
//!
//! # Theory of operation
//!
//! The clients of the original classroom program end their commands with nothing, and take each of their reads for one
//! reply. All other clients end lines. A session detects which kind it serves:
//!
//! - **Bare.** Before the first `\n`, a read that is exactly a command's name is answered at once, without a
//!   terminator. All other input is held until a `\n` arrives, or until nothing has arrived for [`QUIET`](super::QUIET).
//! - **Framed.** The first `\n` makes the connection line-framed for good: `\n` ends a command, one CR before it
//!   belongs to the terminator, and the reply ends with the terminator of its command.
//!
//! The last text sent without a terminator (the greeting, a bare reply) is an *open* line. The first `\n` completes it
//! with its own terminator, so that a program that reads lines is in step from then on.
//!
//! | held | receives | does |
//! |---|---|---|
//! | nothing, bare | exactly a name | replies bare |
//! | anything, bare | no `\n` | holds it; [`needs_timeout`](ServerSession::needs_timeout) |
//! | anything, bare | the quiet time passes, or EOF | takes it as one command, answered bare; blanks alone are an error |
//! | anything | `…\n` | completes the open line; takes it as one line, answered with its terminator |
//! | anything, framed | EOF | takes it as one command, answered bare; ignores blanks alone |
//!
//! A line of blanks is an empty line: it completes the open line, or if none is open, the answer is its own terminator.
//! Of a command longer than [`COMMAND_MAX`] the session keeps only a flag: whether it ends in CR so far.
//!
//! **The invariant.** Let t be a line's terminator and r its reply. Line 1 gives t·r·t, or t if it is blank; a later
//! line gives r·t, or t if it is blank; the first `quit` ends the output (after t if it is line 1); a tail that is not
//! blank adds its r at EOF. For every segmentation the output is greeting · line 1 · line 2 …, given one fixed clock,
//! no read before the first `\n` that is exactly a name, and no quiet time before the first `\n`.

use std::{fmt, str::FromStr};

use memchr::memchr;

use super::{
    COMMAND_MAX, Command, Commands, FormattedTime, OWED_MAX, REPLY_MAX, check_reply, check_text, errors, fast_path,
    is_blank, strip_cr,
};

/// How a server finds the end of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Detected for each connection: clients that end lines are served, and clients of the original classroom program,
    /// which end nothing.
    #[default]
    Auto,
    /// Lines from the start, the greeting included: for deployments without clients of the original.
    Line,
}

impl FromStr for Framing {
    type Err = String;

    /// Parses `auto` or `line`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Framing::Auto),
            "line" => Ok(Framing::Line),
            _ => Err(format!("{text:?} is not a framing; expected `auto` or `line`")),
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

/// What a [`ServerSession`] needs from its driver: the commands and the time.
pub trait Respond {
    /// The table of commands.
    fn commands(&self) -> &Commands;

    /// The replies of this moment in `zone`, spelled as the client sent it, or in the server's zone if it is `None`.
    /// Returns `None` if the zone is unknown.
    ///
    /// All commands of one call of [`ServerSession::receive`] should be answered from one reading of the clock.
    fn formatted_time(&mut self, zone: Option<&str>) -> Option<&FormattedTime>;

    /// Whether to call [`executed`](Self::executed). Default: never.
    fn wants_names(&self) -> bool {
        false
    }

    /// Receives the line of each executed command, `quit` and invalid commands included. `ok` is false if the reply is
    /// an error line. A custom command is reported by its driver instead, together with its reply.
    fn executed(&mut self, line: &[u8], ok: bool) {
        let _ = (line, ok);
    }
}

/// What the session needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More bytes. All that were given are taken, or none while the reply of a custom command is awaited.
    Read,
    /// [`OWED_MAX`] bytes are owed: send them, then pass the bytes again that were not taken.
    Send,
    /// A turn for other clients: the commands of this call took a while. Send the replies, serve the others, then pass the
    /// bytes again that were not taken.
    Yield,
    /// The reply of a custom command, for [`ServerSession::reply`]. Until then the session takes no bytes.
    Call(Call),
    /// The end of the connection, after the replies so far were sent. Nothing more is executed.
    Close,
}

/// What a call of [`ServerSession`] did, and what the session needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "bytes that were not taken must be passed again, and `next` says when"]
pub struct Received {
    /// The number of bytes taken. Pass the others again, before any new ones.
    pub taken: usize,
    /// The number of commands executed, invalid ones included.
    pub executed: u64,
    /// The number of those that were answered with an error line.
    pub invalid: u64,
    /// What the session needs next.
    pub next: Next,
}

/// A custom command that waits for its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The index of the command, in the order of registration.
    pub command: usize,
    /// The rest of the line without the blanks around it; may be empty.
    pub argument: String,
}

/// The reply of a handler: 1 to 1,023 bytes of UTF-8 without control characters.
///
/// ```
/// use daytime::{Client, Reply, Server};
///
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .command("age", |request| match request.argument.parse::<u8>() {
///         Ok(age) => Reply::from(format!("{age} years")),
///         Err(_) => Reply::error("age must be a number from 0 to 255"),
///     })
///     .command("bye", |_| Reply::closing("See you"))
///     .start()?;
/// let mut client = Client::connect(&server.addresses()[0])?;
/// assert_eq!(client.request("age 7")?, "7 years");
/// let error = client.request("age seven").unwrap_err(); // sent as `The command failed: age must be …`
/// assert_eq!(error.to_string(), "age must be a number from 0 to 255");
/// assert_eq!(client.request("bye")?, "See you");
/// # Ok::<(), daytime::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Reply {
    pub(crate) text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// Sent after [`errors::PREFIX`].
    Error,
    /// The connection is closed after the text.
    Closing,
}

impl Reply {
    /// A reply that closes the connection. An empty text closes it without a reply, as `quit` does.
    pub fn closing(text: impl Into<String>) -> Self {
        Reply { text: text.into(), kind: Kind::Closing }
    }

    /// An error line for the client: [`errors::PREFIX`], then the text, 1 to 1,003 bytes. A client of this crate returns
    /// the text as [`Error::Refused`](crate::Error::Refused). Other clients get the whole line as a reply.
    pub fn error(text: impl Into<String>) -> Self {
        Reply { text: text.into(), kind: Kind::Error }
    }

    fn closes(&self) -> bool {
        self.kind == Kind::Closing
    }

    fn is_error(&self) -> bool {
        self.kind == Kind::Error
    }

    /// Says why this reply cannot be sent.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.kind {
            Kind::Closing if self.text.is_empty() => Ok(()),
            Kind::Error => check_text(&self.text, REPLY_MAX - errors::PREFIX.len()),
            // A client would take it for an error.
            Kind::Text | Kind::Closing if errors::reason(&self.text).is_some() => Err("it is an error line".into()),
            Kind::Text | Kind::Closing => check_reply(&self.text),
        }
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Reply { text, kind: Kind::Text }
    }
}

/// The server's side of one connection.
#[derive(Debug)]
pub struct ServerSession {
    /// The start of a command whose end has not arrived: at most [`COMMAND_MAX`] bytes and a CR. An empty one has no
    /// allocation, and a box has no word for a capacity: nearly all of ten thousand idle sessions are empty.
    held: Box<[u8]>,
    /// In place of `held`, for a command that is too long: whether its last byte so far was CR.
    overlong: Option<bool>,
    framed: bool,
    open: Open,
    /// The terminator for the reply of the custom command that is awaited.
    awaited: Option<Terminator>,
    closed: bool,
}

/// The state of the last line sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// It does not have a terminator yet.
    Yes,
    No,
    /// Its terminator already answered an empty first line: the greeting with [`Framing::Line`].
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

/// One call of the session: where answers come from and go to, and what was executed.
struct Exchange<'a, R> {
    responder: &'a mut R,
    out: &'a mut Vec<u8>,
    executed: u64,
    invalid: u64,
    /// The cost of the executed commands: 1 each, or [`DEAR`].
    cost: u32,
}

/// The cost of a command with an argument, or with a long reply: about a microsecond. The first `tz` of a second in a zone
/// costs as much again, since it searches two years for transitions.
const DEAR: u32 = 8;
/// The cost at which a call of the session ends, so that other clients get their turn.
const COST_MAX: u32 = 256;

impl<'a, R: Respond> Exchange<'a, R> {
    fn new(responder: &'a mut R, out: &'a mut Vec<u8>) -> Self {
        Exchange { responder, out, executed: 0, invalid: 0, cost: 0 }
    }

    fn count(&mut self, line: &[u8], ok: bool) {
        self.executed += 1;
        self.invalid += u64::from(!ok);
        if self.responder.wants_names() {
            self.responder.executed(line, ok);
        }
    }

    fn done(&self, taken: usize, next: Next) -> Received {
        Received { taken, executed: self.executed, invalid: self.invalid, next }
    }
}

impl ServerSession {
    /// A session in which nothing has been sent or received.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let framed = framing == Framing::Line;
        ServerSession {
            held: Box::default(),
            overlong: None,
            framed,
            open: if framed { Open::Answered } else { Open::Yes },
            awaited: None,
            closed: false,
        }
    }

    /// Appends the greeting, which may be empty, to `out`. Call it once, before anything is received.
    pub fn greet(&self, greeting: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(greeting.as_bytes());
        if self.framed {
            Terminator::Lf.push(out);
        }
    }

    /// Takes the bytes of one read and appends the replies to `out`.
    pub fn receive(&mut self, input: &[u8], responder: &mut impl Respond, out: &mut Vec<u8>) -> Received {
        let mut exchange = Exchange::new(responder, out);
        if self.awaited.is_some() {
            return exchange.done(0, Next::Read);
        }
        if self.closed {
            return exchange.done(input.len(), Next::Close);
        }
        if exchange.out.len() >= OWED_MAX {
            return exchange.done(0, Next::Send);
        }
        if !self.framed && !self.holds() && exchange.responder.commands().find(input).is_some() {
            let next = self.execute(Some(input), Terminator::None, &mut exchange);
            return exchange.done(input.len(), next);
        }
        let mut at = 0;
        while at < input.len() {
            let (run, count) = match self.open {
                Open::No if !self.holds() => fast_path::answer(&input[at..], exchange.responder, exchange.out),
                _ => (0, 0),
            };
            at += run;
            exchange.executed += count;
            if exchange.out.len() >= OWED_MAX {
                return exchange.done(at, Next::Send);
            }
            if run > 0 {
                continue;
            }
            let rest = &input[at..];
            let Some(end) = memchr(b'\n', rest) else {
                self.hold(rest);
                break;
            };
            at += end + 1;
            match self.line(&rest[..end], &mut exchange) {
                Next::Read if exchange.cost >= COST_MAX && at < input.len() => return exchange.done(at, Next::Yield),
                Next::Read => {}
                next => return exchange.done(at, next),
            }
        }
        exchange.done(input.len(), Next::Read)
    }

    /// Whether the reply of a custom command is awaited.
    #[must_use]
    pub fn awaits_reply(&self) -> bool {
        self.awaited.is_some()
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) is due once nothing has arrived for [`QUIET`](super::QUIET):
    /// then the held bytes are a command.
    #[must_use]
    pub fn needs_timeout(&self) -> bool {
        !self.framed && self.awaited.is_none() && self.holds()
    }

    /// Takes the held bytes as a command. Call it when [`needs_timeout`](Self::needs_timeout) was true, and nothing
    /// arrived, for [`QUIET`](super::QUIET).
    pub fn handle_timeout(&mut self, responder: &mut impl Respond, out: &mut Vec<u8>) -> Received {
        let mut exchange = Exchange::new(responder, out);
        if !self.needs_timeout() {
            return exchange.done(0, Next::Read);
        }
        let held = self.take_held();
        let next = self.execute(held.as_deref(), Terminator::None, &mut exchange);
        exchange.done(0, next)
    }

    /// Takes the end of the peer's bytes. Call it once, after all of them were taken. The result is [`Next::Close`], at
    /// once or with the reply of the custom command that is awaited.
    pub fn handle_eof(&mut self, responder: &mut impl Respond, out: &mut Vec<u8>) -> Received {
        let mut exchange = Exchange::new(responder, out);
        let closed = std::mem::replace(&mut self.closed, true);
        if self.awaited.is_some() {
            return exchange.done(0, Next::Read);
        }
        if closed || !self.holds() {
            return exchange.done(0, Next::Close);
        }
        let held = self.take_held();
        if self.framed && held.as_ref().is_some_and(|held| held.iter().all(is_blank)) {
            return exchange.done(0, Next::Close);
        }
        match self.execute(held.as_deref(), Terminator::None, &mut exchange) {
            Next::Call(call) => exchange.done(0, Next::Call(call)),
            _ => exchange.done(0, Next::Close),
        }
    }

    /// Appends the reply of the custom command that is awaited to `out`. `None`, or a reply that cannot be sent, becomes
    /// [`errors::FAILED`].
    pub fn reply(&mut self, reply: Option<&Reply>, out: &mut Vec<u8>) -> Received {
        let valid = reply.filter(|reply| reply.check().is_ok());
        if valid.is_none() && self.awaited.is_some() {
            self.closed |= reply.is_some_and(Reply::closes);
        }
        self.reply_valid(valid, out)
    }

    /// [`reply`](Self::reply) with a reply that was checked.
    pub(crate) fn reply_valid(&mut self, reply: Option<&Reply>, out: &mut Vec<u8>) -> Received {
        let Some(terminator) = self.awaited.take() else {
            return Received { taken: 0, executed: 0, invalid: 0, next: self.next() };
        };
        let ok = match reply {
            Some(reply) if reply.text.is_empty() => true,
            Some(reply) => {
                if reply.is_error() {
                    out.extend_from_slice(errors::PREFIX.as_bytes());
                }
                self.end_reply(&reply.text, terminator, out);
                !reply.is_error()
            }
            None => {
                self.end_reply(errors::FAILED, terminator, out);
                false
            }
        };
        self.closed |= reply.is_some_and(Reply::closes);
        Received { taken: 0, executed: 1, invalid: u64::from(!ok), next: self.next() }
    }

    fn next(&self) -> Next {
        if self.closed { Next::Close } else { Next::Read }
    }

    fn holds(&self) -> bool {
        !self.held.is_empty() || self.overlong.is_some()
    }

    /// Keeps the start of a command. Of a command that is too long it keeps only whether the last byte is CR.
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

    /// The held bytes, less one CR at their end; `None` if they were too long. Nothing is held and allocated afterwards.
    fn take_held(&mut self) -> Option<Vec<u8>> {
        let mut held = std::mem::take(&mut self.held).into_vec();
        held.truncate(strip_cr(&held).len());
        self.overlong.take().is_none().then_some(held)
    }

    /// Takes a line whose `\n` has arrived: the held bytes, then `piece`.
    fn line<R: Respond>(&mut self, piece: &[u8], exchange: &mut Exchange<'_, R>) -> Next {
        if !self.holds() {
            let body = strip_cr(piece);
            let terminator = if body.len() < piece.len() { Terminator::CrLf } else { Terminator::Lf };
            return self.end_line((body.len() <= COMMAND_MAX).then_some(body), terminator, exchange);
        }
        self.hold(piece);
        let ends_in_cr = self.overlong.unwrap_or(self.held.ends_with(b"\r"));
        let terminator = if ends_in_cr { Terminator::CrLf } else { Terminator::Lf };
        let held = self.take_held();
        self.end_line(held.as_deref(), terminator, exchange)
    }

    fn end_line<R: Respond>(
        &mut self,
        body: Option<&[u8]>,
        terminator: Terminator,
        exchange: &mut Exchange<'_, R>,
    ) -> Next {
        self.framed = true;
        let open = std::mem::replace(&mut self.open, Open::No);
        let blank = body.is_some_and(|body| body.iter().all(is_blank));
        if open == Open::Yes || (blank && open == Open::No) {
            terminator.push(exchange.out);
        }
        if blank { Next::Read } else { self.execute(body, terminator, exchange) }
    }

    /// Answers one command. `None` stands for a command that was too long.
    fn execute<R: Respond>(
        &mut self,
        body: Option<&[u8]>,
        terminator: Terminator,
        exchange: &mut Exchange<'_, R>,
    ) -> Next {
        let body = body.unwrap_or_default();
        exchange.cost += 1;
        let Some((command, argument)) = exchange.responder.commands().parse(body) else {
            exchange.count(body, false);
            self.end_reply(errors::INVALID, terminator, exchange.out);
            return Next::Read;
        };
        if !argument.is_empty() || command == Command::Help {
            exchange.cost += DEAR - 1;
        }
        let ok = match command {
            Command::Quit => {
                exchange.count(body, true);
                self.closed = true;
                return Next::Close;
            }
            Command::Custom(command) => {
                self.awaited = Some(terminator);
                return Next::Call(Call { command, argument: argument.to_owned() });
            }
            Command::Help => match exchange.responder.commands().help_of(argument) {
                Some(help) => {
                    exchange.out.extend_from_slice(help.as_bytes());
                    true
                }
                None => {
                    exchange.out.extend_from_slice(errors::INVALID.as_bytes());
                    false
                }
            },
            _ => match exchange.responder.formatted_time((!argument.is_empty()).then_some(argument)) {
                Some(time) => {
                    if time.is_first_tz(command) {
                        exchange.cost += DEAR;
                    }
                    exchange.out.extend_from_slice(time.text(command).as_bytes());
                    true
                }
                None => {
                    exchange.out.extend_from_slice(errors::UNKNOWN_ZONE.as_bytes());
                    false
                }
            },
        };
        exchange.count(body, ok);
        self.end_reply("", terminator, exchange.out);
        Next::Read
    }

    /// Ends the reply whose last part is `text`.
    fn end_reply(&mut self, text: &str, terminator: Terminator, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
        terminator.push(out);
        if terminator == Terminator::None {
            self.open = Open::Yes;
        }
    }
}
