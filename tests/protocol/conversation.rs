//! What the tests of the wire core share: everything around a session that a server has, but no socket, no thread and
//! a clock that stands still. A conversation is a list of reads, its outcome is one text.

use std::collections::HashMap;

use daytime::protocol::{Call, Commands, Formats, Framing, Host, Next, OWED_MAX, REPLY_MAX, Session, Stamp, Zone};

/// Sunday, 2026-11-22 15:44:57 UTC.
pub(crate) const NOW: i64 = 1_795_362_297;
/// In place of a read: the quiet time passes, if the session awaits it.
pub(crate) const PAUSE: &[u8] = b"(the quiet time passes)";
/// As on a socket, a read of nothing is the end.
pub(crate) const EOF: &[u8] = b"";
/// The embedder's own commands, which [`answer`] answers.
pub(crate) const OWN: [&str; 6] = ["echo", "bye", "größe", "page", "flood", "fail"];

/// What a session asks its surroundings.
pub(crate) struct Desk {
    pub(crate) commands: Commands,
    pub(crate) formats: Formats,
    pub(crate) now: i64,
    /// What was reported as executed.
    pub(crate) log: Vec<(String, bool)>,
    stamps: HashMap<(i64, Option<String>), Stamp>,
}

impl Default for Desk {
    fn default() -> Self {
        let mut commands = Commands::default();
        OWN.iter().for_each(|name| commands.add(name).unwrap());
        Desk { commands, formats: Formats::default(), now: NOW, log: Vec::new(), stamps: HashMap::new() }
    }
}

impl Host for Desk {
    fn commands(&self) -> &Commands {
        &self.commands
    }

    fn stamp(&mut self, zone: Option<&str>) -> Option<&Stamp> {
        let offset = zone.map_or(Some(Zone::UTC), Zone::parse)?;
        let stamp = || Stamp::new(self.now, &offset, &self.formats);
        Some(self.stamps.entry((self.now, zone.map(str::to_owned))).or_insert_with(stamp))
    }

    fn executed(&mut self, name: &[u8], ok: bool) {
        self.log.push((name.escape_ascii().to_string(), ok));
    }
}

/// The handlers of [`OWN`]: the reply, and whether it closes the connection.
pub(crate) fn answer(call: &Call) -> (Option<String>, bool) {
    match OWN[call.command] {
        "echo" => (Some(call.argument.clone()), false),
        "bye" => (Some("Bye".into()), true),
        "größe" => (Some("groß".into()), false),
        "page" => (Some("p".repeat(REPLY_MAX)), false),
        "flood" => (Some("f".repeat(REPLY_MAX + 1)), false),
        _ => (None, false),
    }
}

/// A session and what a server does for it.
pub(crate) struct Talk {
    pub(crate) session: Session,
    pub(crate) desk: Desk,
    sent: Vec<u8>,
    out: Vec<u8>,
    closed: bool,
}

impl Talk {
    pub(crate) fn new(framing: Framing, greeting: &str) -> Self {
        let (session, mut out) = (Session::new(framing), Vec::new());
        session.greet(greeting, &mut out);
        Talk { session, desk: Desk::default(), sent: Vec::new(), out, closed: false }
    }

    /// One read, [`PAUSE`] or [`EOF`].
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        if self.closed {
            return;
        }
        if bytes == EOF {
            let next = self.session.end(&mut self.desk, &mut self.out);
            self.follow(next);
            assert!(self.closed, "the conversation goes on after its end");
        } else if bytes == PAUSE {
            if self.session.awaits_quiet() {
                let next = self.session.quiet(&mut self.desk, &mut self.out);
                self.follow(next);
            }
        } else {
            while !bytes.is_empty() && !self.closed {
                let (taken, next) = self.session.receive(bytes, &mut self.desk, &mut self.out);
                assert!(next != Next::Read || taken == bytes.len(), "{taken} bytes taken of {}", bytes.len());
                bytes = &bytes[taken..];
                self.follow(next);
            }
        }
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Read => {}
            Next::Send => {
                assert!(self.out.len() >= OWED_MAX, "{} bytes owed", self.out.len());
                self.sent.append(&mut self.out);
            }
            Next::Call(call) => {
                let (text, closing) = answer(&call);
                let next = self.session.reply(text.as_deref(), closing, &mut self.out);
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

/// What a client reads that sends these reads: the greeting is `Hi`, and `■` is the server's close.
pub(crate) fn talk(framing: Framing, reads: &[&[u8]]) -> String {
    let mut talk = Talk::new(framing, "Hi");
    reads.iter().for_each(|read| talk.read(read));
    talk.text()
}

/// How much a session keeps: its `Debug` text has up to five characters for each byte held.
pub(crate) fn size(session: &Session) -> usize {
    format!("{session:?}").len()
}
