//! A server's session sends what the models of `src/protocol/protocol.md` send, in every segmentation.
//!
//! The first byte of the input is a set of flags: the framing, and habits of the driver. The rest is the transcript, in
//! which three bytes mean something else:
//!
//! | byte | meaning |
//! |---|---|
//! | 0xFF | the end of a segment |
//! | 0xFD | the end of a segment, then a pause of the quiet time |
//! | 0xFE, BYTE, N | BYTE, 1,000 + N times |

use std::{collections::BTreeMap, mem, sync::LazyLock};

use daytime::protocol::{
    COMMAND_MAX, Call, Commands, Formats, FormattedTime, Framing, Next, OWED_MAX, REPLY_MAX, Received, Respond,
    ServerSession, Zone,
};

use super::{
    Input,
    model::{Answer, Custom, Output, Rules, expected},
};

const GREETING: &str = "Hi";
const CUSTOM: [&str; 9] = ["echo", "deny", "bye", "leave", "größe", "page", "flood", "fail", "broken"];
const HELP: &str = "day [ZONE], date [ZONE], time [ZONE], datetime [ZONE], timestamp, tz [ZONE], next [ZONE], help, quit, exit, \
                    echo TEXT, deny TEXT, bye TEXT, leave, größe, page, flood, fail, broken";

/// The handlers of [`CUSTOM`].
fn answer(name: &str, argument: &str) -> Option<Answer> {
    Some(match name {
        "echo" => Answer::Text(argument.into()),
        "deny" => Answer::Error(argument.into()),
        "bye" => Answer::Closing(argument.into()),
        "leave" => Answer::Closing(String::new()),
        "größe" => Answer::Text("groß".into()),
        "page" => Answer::Text("p".repeat(1023)),
        "flood" => Answer::Text("f".repeat(1024)),
        "fail" => Answer::Failure,
        "broken" => Answer::Error("e".repeat(1003 + argument.len())),
        _ => return None,
    })
}

struct TestResponder {
    times: BTreeMap<Option<String>, FormattedTime>,
    wants_names: bool,
    /// The commands that the session reported, and those of them that were errors.
    reported: (u64, u64),
}

static COMMANDS: LazyLock<Commands> = LazyLock::new(|| {
    let mut commands = Commands::default();
    CUSTOM.iter().for_each(|name| commands.add(name).expect("the name is valid"));
    ["echo TEXT", "deny TEXT", "bye TEXT"].iter().for_each(|usage| commands.set_usage(usage).expect("it is valid"));
    commands
});

impl Respond for TestResponder {
    fn commands(&self) -> &Commands {
        &COMMANDS
    }

    fn formatted_time(&mut self, zone: Option<&str>) -> Option<&FormattedTime> {
        let offset = zone.map_or(Some(Zone::UTC), Zone::parse)?;
        let time = || FormattedTime::new(1_795_362_297, &offset, &Formats::default());
        Some(self.times.entry(zone.map(str::to_owned)).or_insert_with(time))
    }

    fn wants_names(&self) -> bool {
        self.wants_names
    }

    fn executed(&mut self, _: &[u8], ok: bool) {
        self.reported.0 += 1;
        self.reported.1 += u64::from(!ok);
    }
}

/// A segment of the input, or a pause.
enum Step {
    Read(Vec<u8>),
    Pause,
}

fn steps(mut input: Input) -> Vec<Step> {
    let (mut steps, mut segment) = (Vec::new(), Vec::new());
    let mut end = |segment: &mut Vec<u8>, pause: bool| {
        if !segment.is_empty() {
            steps.push(Step::Read(mem::take(segment)));
        }
        if pause {
            steps.push(Step::Pause);
        }
    };
    while !input.is_empty() {
        match input.byte() {
            0xFF => end(&mut segment, false),
            0xFD => end(&mut segment, true),
            0xFE => {
                let [byte, more] = input.bytes();
                segment.resize(segment.len() + 1000 + usize::from(more), byte);
            }
            byte => segment.push(byte),
        }
    }
    end(&mut segment, false);
    steps
}

/// A session and its driver, with the habits that the flags say.
struct Driver {
    session: ServerSession,
    responder: TestResponder,
    out: Vec<u8>,
    sent: Vec<u8>,
    counts: (u64, u64),
    custom: (u64, u64),
    closed: bool,
    framed: bool,
    /// Sends at most so many bytes when the session asks for it.
    sends: usize,
    /// Sends all bytes after each call.
    eager: bool,
    /// Tells the session about the end of file while a handler runs.
    early_end: bool,
}

impl Driver {
    fn new(framing: Framing, flags: u8) -> Self {
        let (session, mut out) = (ServerSession::new(framing), Vec::new());
        session.greet(GREETING, &mut out);
        Driver {
            session,
            responder: TestResponder { times: BTreeMap::new(), wants_names: flags & 2 != 0, reported: (0, 0) },
            out,
            sent: Vec::new(),
            counts: (0, 0),
            custom: (0, 0),
            closed: false,
            framed: framing == Framing::Line,
            sends: if flags & 4 == 0 { usize::MAX } else { 1000 },
            eager: flags & 8 != 0,
            early_end: flags & 16 != 0,
        }
    }

    /// Passes bytes until all are taken, or the session has closed. `last` says whether the end of file follows.
    fn read(&mut self, mut bytes: &[u8], last: bool) {
        while !bytes.is_empty() && !self.closed {
            let owed = self.out.len();
            let received = self.session.receive(bytes, &mut self.responder, &mut self.out);
            assert!(owed < OWED_MAX || self.out.len() == owed, "the session owes too much");
            let (taken, rest) = bytes.split_at(received.taken);
            self.framed |= taken.contains(&b'\n');
            match &received.next {
                Next::Read => assert!(rest.is_empty(), "{} bytes are not taken", rest.len()),
                Next::Yield => assert!(!taken.is_empty() && !rest.is_empty()),
                Next::Send => assert!(self.out.len() >= OWED_MAX && !rest.is_empty() || taken.len() == bytes.len()),
                Next::Call(_) | Next::Close => assert!(!taken.is_empty()),
            }
            self.follow(received, last && rest.is_empty());
            bytes = rest;
        }
        // A held command of the greatest size is shown as numbers with commas.
        assert!(format!("{:?}", self.session).len() < 200 + 5 * (COMMAND_MAX + 1), "{:?}", self.session);
    }

    fn pause(&mut self) {
        let due = self.session.needs_timeout();
        assert!(!due || !self.framed && !self.closed);
        if !self.closed {
            let received = self.session.handle_timeout(&mut self.responder, &mut self.out);
            assert!(due || (received.executed, &received.next) == (0, &Next::Read), "{received:?}");
            self.follow(received, false);
        }
    }

    fn end(&mut self) {
        if !self.closed {
            let received = self.session.handle_eof(&mut self.responder, &mut self.out);
            self.follow(received, false);
        }
        assert!(self.closed, "the session continues after the end of file");
        self.sent.append(&mut self.out);
        // A closed session stays closed.
        let received = self.session.receive(b"day\ntime", &mut self.responder, &mut self.out);
        assert_eq!((received.taken, received.executed, received.next), (8, 0, Next::Close));
        assert!(!self.session.needs_timeout());
        let received = self.session.handle_eof(&mut self.responder, &mut self.out);
        assert_eq!((received.executed, received.next, self.out.len()), (0, Next::Close, 0));
    }

    /// Does what the session needs next.
    fn follow(&mut self, received: Received, last: bool) {
        assert!(received.invalid <= received.executed, "{received:?}");
        self.counts.0 += received.executed;
        self.counts.1 += received.invalid;
        let next = match received.next {
            Next::Call(call) => self.handle(&call, last),
            next => next,
        };
        assert!(self.out.len() < OWED_MAX + REPLY_MAX + 4, "{} bytes owed", self.out.len());
        match next {
            Next::Read => {}
            Next::Yield => self.sent.append(&mut self.out),
            Next::Send => self.sent.extend(self.out.drain(..self.sends.min(self.out.len()))),
            Next::Close => self.closed = true,
            Next::Call(call) => panic!("{call:?} after a reply"),
        }
        if self.eager {
            self.sent.append(&mut self.out);
        }
    }

    /// Runs a handler. Meanwhile the session takes nothing and sends nothing.
    fn handle(&mut self, call: &Call, last: bool) -> Next {
        let owed = self.out.len();
        assert!(self.session.awaits_reply() && !self.session.needs_timeout());
        let received = self.session.receive(b"day\n", &mut self.responder, &mut self.out);
        assert_eq!((received.taken, received.executed, received.next), (0, 0, Next::Read), "a handler runs");
        let received = self.session.handle_timeout(&mut self.responder, &mut self.out);
        assert_eq!((received.executed, received.next), (0, Next::Read), "a handler runs");
        let ended = last && self.early_end;
        if ended {
            let received = self.session.handle_eof(&mut self.responder, &mut self.out);
            assert_eq!((received.executed, received.next), (0, Next::Read), "the end of file waits for the reply");
        }
        assert_eq!(self.out.len(), owed, "the session sends while a handler runs");

        let reply = answer(CUSTOM[call.command], &call.argument).and_then(Answer::reply);
        let received = self.session.reply(reply.as_ref(), &mut self.out);
        assert!(!self.session.awaits_reply() && received.executed == 1);
        assert!(!ended || received.next == Next::Close);
        self.counts.0 += 1;
        self.counts.1 += received.invalid;
        self.custom.0 += 1;
        self.custom.1 += received.invalid;
        received.next
    }
}

pub(crate) fn check(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let framing = if flags & 1 == 0 { Framing::Auto } else { Framing::Line };
    let steps = steps(input);
    let custom = Custom { help: HELP, answer: &answer };

    let (mut driver, mut rules) = (Driver::new(framing, flags), Rules::new(framing, GREETING, &custom));
    let (mut transcript, mut paused) = (Vec::new(), false);
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Read(bytes) => {
                driver.read(bytes, index + 1 == steps.len());
                rules.read(bytes);
                transcript.extend_from_slice(bytes);
            }
            Step::Pause => {
                paused |= !rules.framed;
                driver.pause();
                rules.pause();
            }
        }
    }
    driver.end();
    rules.end();

    let (executed, invalid) = driver.counts;
    let reported = (driver.responder.reported.0 + driver.custom.0, driver.responder.reported.1 + driver.custom.1);
    assert!(!driver.responder.wants_names || reported == driver.counts, "{reported:?}, {:?}", driver.counts);
    let text = String::from_utf8(driver.sent).expect("a server sends UTF-8") + "■";
    let output = Output { text, executed, invalid };
    assert_eq!(output, rules.output(), "the rules");
    if !paused && !rules.answered_a_name {
        assert_eq!(output, expected(framing, GREETING, &custom, &transcript), "the invariant");
    }
}
