//! A server's session and its environment, without sockets, threads and a running clock. A conversation is a list of
//! reads, and its outcome is a text.

use std::collections::HashMap;

use daytime::protocol::{
    Call, Commands, Formats, FormattedTime, Framing, Next, OWED_MAX, REPLY_MAX, Received, Reply, Respond,
    ServerSession, Zone,
};

use crate::common::MOMENT;

/// A pause in place of a read: the session's timeout passes, if the session has one.
pub(crate) const PAUSE: &[u8] = b"(the quiet time passes)";
/// The end of file: an empty read, as on a socket.
pub(crate) const EOF: &[u8] = b"";
/// The custom commands. [`answer`] has their replies.
pub(crate) const CUSTOM: [&str; 6] = ["echo", "bye", "größe", "page", "flood", "fail"];

/// The responder of a session, with a fixed clock.
pub(crate) struct TestResponder {
    pub(crate) commands: Commands,
    pub(crate) formats: Formats,
    pub(crate) now: i64,
    /// The executed commands, as the session reported them.
    pub(crate) log: Vec<(String, bool)>,
    times: HashMap<(i64, Option<String>), FormattedTime>,
}

impl Default for TestResponder {
    fn default() -> Self {
        let mut commands = Commands::default();
        CUSTOM.iter().for_each(|name| commands.add(name).unwrap());
        TestResponder { commands, formats: Formats::default(), now: MOMENT, log: Vec::new(), times: HashMap::new() }
    }
}

impl Respond for TestResponder {
    fn commands(&self) -> &Commands {
        &self.commands
    }

    fn formatted_time(&mut self, zone: Option<&str>) -> Option<&FormattedTime> {
        let offset = zone.map_or(Some(Zone::UTC), Zone::parse)?;
        let time = || FormattedTime::new(self.now, &offset, &self.formats);
        Some(self.times.entry((self.now, zone.map(str::to_owned))).or_insert_with(time))
    }

    fn wants_names(&self) -> bool {
        true
    }

    fn executed(&mut self, name: &[u8], ok: bool) {
        self.log.push((name.escape_ascii().to_string(), ok));
    }
}

/// The handlers of [`CUSTOM`]: the reply, and whether it closes the connection.
pub(crate) fn answer(call: &Call) -> (Option<String>, bool) {
    match CUSTOM[call.command] {
        "echo" => (Some(call.argument.clone()), false),
        "bye" => (Some("Bye".into()), true),
        "größe" => (Some("groß".into()), false),
        "page" => (Some("p".repeat(REPLY_MAX)), false),
        "flood" => (Some("f".repeat(REPLY_MAX + 1)), false),
        _ => (None, false),
    }
}

/// The number of bytes that a call of the session has taken, and the next step. The call's counts must be consistent.
pub(crate) trait Step {
    fn step(self) -> (usize, Next);
}

impl Step for Received {
    fn step(self) -> (usize, Next) {
        assert!(self.invalid <= self.executed, "{self:?}");
        (self.taken, self.next)
    }
}

/// The reply of a handler. A failure that closes is a closing reply with an invalid text.
pub(crate) fn reply(text: Option<&str>, closing: bool) -> Option<Reply> {
    match (text, closing) {
        (None, true) => Some(Reply::closing("\0")),
        (text, true) => text.map(Reply::closing),
        (text, false) => text.map(Reply::from),
    }
}

/// A session and the state of its connection.
pub(crate) struct Conversation {
    pub(crate) session: ServerSession,
    pub(crate) responder: TestResponder,
    sent: Vec<u8>,
    out: Vec<u8>,
    closed: bool,
}

impl Conversation {
    pub(crate) fn new(framing: Framing, greeting: &str) -> Self {
        let (session, mut out) = (ServerSession::new(framing), Vec::new());
        session.greet(greeting, &mut out);
        Conversation { session, responder: TestResponder::default(), sent: Vec::new(), out, closed: false }
    }

    /// Feeds a read, [`PAUSE`] or [`EOF`].
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        if self.closed {
            return;
        }
        if bytes == EOF {
            let next = self.session.handle_eof(&mut self.responder, &mut self.out).next;
            self.follow(next);
            assert!(self.closed, "the session continues after the end of file");
        } else if bytes == PAUSE {
            if self.session.needs_timeout() {
                let next = self.session.handle_timeout(&mut self.responder, &mut self.out).next;
                self.follow(next);
            }
        } else {
            while !bytes.is_empty() && !self.closed {
                let (taken, next) = self.session.receive(bytes, &mut self.responder, &mut self.out).step();
                assert!(next != Next::Read || taken == bytes.len(), "{taken} bytes taken of {}", bytes.len());
                bytes = &bytes[taken..];
                self.follow(next);
            }
        }
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Read => {}
            Next::Yield => self.sent.append(&mut self.out),
            Next::Send => {
                assert!(self.out.len() >= OWED_MAX, "{} bytes owed", self.out.len());
                self.sent.append(&mut self.out);
            }
            Next::Call(call) => {
                let (text, closing) = answer(&call);
                let next = self.session.reply(reply(text.as_deref(), closing).as_ref(), &mut self.out).next;
                self.follow(next);
            }
            Next::Close => self.closed = true,
        }
    }

    /// Everything that was sent, and `■` if the server has closed.
    pub(crate) fn text(&self) -> String {
        let sent = String::from_utf8([&self.sent[..], &self.out].concat()).expect("a server sends UTF-8");
        sent + if self.closed { "■" } else { "" }
    }
}

/// The output for these reads. The greeting is `Hi`, and `■` stands for the server's close.
pub(crate) fn converse(framing: Framing, reads: &[&[u8]]) -> String {
    let mut conversation = Conversation::new(framing, "Hi");
    reads.iter().for_each(|read| conversation.read(read));
    conversation.text()
}

/// The size of a session: its `Debug` text has up to five characters for each byte held.
pub(crate) fn size(session: &ServerSession) -> usize {
    format!("{session:?}").len()
}

/// The reads of a server, and its output.
pub(crate) type Row<'a> = (&'a [&'a [u8]], &'a str);

pub(crate) fn auto(rows: &[Row]) {
    check(Framing::Auto, rows);
}

pub(crate) fn framed(rows: &[Row]) {
    check(Framing::Line, rows);
}

pub(crate) fn check(framing: Framing, rows: &[Row]) {
    for (reads, expected) in rows {
        let shown: Vec<_> = reads.iter().map(|read| read.escape_ascii().to_string()).collect();
        assert_eq!(converse(framing, reads), *expected, "where {framing:?} reads {shown:?}");
    }
}
