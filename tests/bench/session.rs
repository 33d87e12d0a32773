//! The cost of the protocol code alone, without a socket, a thread or a clock: `cargo bench --bench session`.
//!
//! The unit is bytes of input a second. The input `time` takes the fast path, and each other input shows the cost of
//! leaving it.

use std::fmt;

use daytime::protocol::{ClientSession, Commands, Formats, FormattedTime, Framing, Next, Respond, ServerSession, Zone};
use divan::{Bencher, black_box, counter::BytesCount};

/// The size of a read: a worker of the server asks a socket for as many bytes.
const READ: usize = 16 * 1024;

/// The name of an input, and its commands, which repeat.
struct Input(&'static str, &'static str);

const INPUTS: [Input; 6] = [
    Input("time", "time\n"),
    Input("day, date and time", "day\ndate\ntime\n"),
    Input("time in CRLF", "time\r\n"),
    Input("time in a zone", "time +05:30\n"),
    Input("datetime", "datetime\n"),
    Input("invalid", "tomorrow\n"),
];

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl Input {
    /// The complete commands that fit into one read.
    fn read(&self) -> Vec<u8> {
        self.1.repeat(READ / self.1.len()).into_bytes()
    }
}

/// A responder that has formatted one second in two zones in advance.
struct TestResponder {
    commands: Commands,
    local: FormattedTime,
    other: FormattedTime,
}

impl TestResponder {
    fn new() -> Self {
        let time = |zone: &str| FormattedTime::new(1_795_362_297, &Zone::parse(zone).unwrap(), &Formats::default());
        TestResponder { commands: Commands::default(), local: time("UTC"), other: time("+05:30") }
    }
}

impl Respond for TestResponder {
    fn commands(&self) -> &Commands {
        &self.commands
    }

    fn formatted_time(&mut self, zone: Option<&str>) -> Option<&FormattedTime> {
        match zone {
            None => Some(&self.local),
            Some("+05:30") => Some(&self.other),
            Some(_) => None,
        }
    }
}

/// A session and its responder. The replies are dropped.
struct Conversation {
    session: ServerSession,
    responder: TestResponder,
    out: Vec<u8>,
}

impl Conversation {
    fn new(framing: Framing) -> Self {
        Conversation { session: ServerSession::new(framing), responder: TestResponder::new(), out: Vec::new() }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.out.clear();
            let received = self.session.receive(black_box(bytes), &mut self.responder, &mut self.out);
            assert!(matches!(received.next, Next::Read | Next::Send | Next::Yield), "unexpected {received:?}");
            bytes = &bytes[received.taken..];
            black_box(&self.out);
        }
    }
}

/// 16 KiB in one read.
#[divan::bench(args = INPUTS)]
fn lines(bencher: Bencher, input: &Input) {
    let (mut conversation, read) = (Conversation::new(Framing::Line), input.read());
    bencher.counter(BytesCount::of_slice(&read)).bench_local(|| conversation.read(&read));
}

/// The same bytes, one for each read.
#[divan::bench]
fn one_byte_a_read(bencher: Bencher) {
    let (mut conversation, read) = (Conversation::new(Framing::Line), INPUTS[0].read());
    bencher
        .counter(BytesCount::of_slice(&read))
        .bench_local(|| read.chunks(1).for_each(|byte| conversation.read(byte)));
}

/// One line a read, as from a client that waits for each reply.
#[divan::bench]
fn one_line_a_read(bencher: Bencher) {
    let mut conversation = Conversation::new(Framing::Line);
    bencher.counter(BytesCount::new(5_usize)).bench_local(|| conversation.read(b"time\n"));
}

/// A bare command in each read, as the clients of the original classroom program send it.
#[divan::bench]
fn one_bare_command_a_read(bencher: Bencher) {
    let mut conversation = Conversation::new(Framing::Auto);
    bencher.counter(BytesCount::new(4_usize)).bench_local(|| conversation.read(b"time"));
}

/// The client's side: a command and its reply. The bytes are those of both.
#[divan::bench]
fn client_session(bencher: Bencher) {
    let (mut session, mut out) = (ClientSession::new(), Vec::new());
    session.receive(b"Welcome to the server\n").unwrap();
    bencher.counter(BytesCount::new(14_usize)).bench_local(|| {
        out.clear();
        session.ask(black_box("time"), &mut out).unwrap();
        session.receive(black_box(b"15:44:57\n")).unwrap();
        session.reply().unwrap()
    });
}

fn main() {
    divan::main();
}
