//! Properties that hold for every segmentation of a conversation, tested with random segmentations.
//!
//! A reference model checks the invariant of `src/protocol/protocol.md`. The model follows that text and not the
//! session's code. Other properties: a peer or a driver cannot break a session or make it grow. A client understands
//! any server in any segmentation. Every moment has its texts.
//!
//! A case that fails writes its seed to `properties.regressions`, and runs first from then on. Commit that file.
//! `PROPTEST_CASES=100000 cargo test --release --test protocol properties` runs more cases.

use std::{collections::BTreeSet, fmt};

use daytime::protocol::{
    COMMAND_MAX, Call, ClientSession, Command, Formats, FormattedTime, Framing, Next, OWED_MAX, REPLY_MAX,
    ServerSession, SessionError, Zone, check_reply, errors,
};
use proptest::{prelude::*, sample::Index, test_runner::FileFailurePersistence};

use crate::{
    conversation::{CUSTOM, Step, TestResponder, answer, reply, size},
    model::{self, Answer, Custom, Meaning, meaning},
};

/// The maximum of owed bytes that one line adds: a reply, and a terminator before and after it.
const STEP_MAX: usize = REPLY_MAX + 4;

pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..default
    }
}

// The reference model

/// The output for this input and the end of file, in any segmentation: the model of `tests/oracles/model.rs`.
fn expected(framing: Framing, transcript: &[u8]) -> String {
    model::expected(framing, "Hi", &COMMANDS, transcript).text
}

const COMMANDS: Custom = Custom {
    help: concat!(
        "day [ZONE], date [ZONE], time [ZONE], datetime [ZONE], timestamp, tz [ZONE], next [ZONE], help, quit, exit, ",
        "echo, bye, größe, page, flood, fail"
    ),
    answer: &|name, argument| {
        let command = CUSTOM.iter().position(|known| *known == name)?;
        Some(match answer(&Call { command, argument: argument.into() }) {
            (Some(text), false) => Answer::Text(text),
            (Some(text), true) => Answer::Closing(text),
            (None, _) => Answer::Failure,
        })
    },
};

// Transcripts and segmentations

/// Bytes with a short `Debug` text for a failed case, such as `x{65536}`.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("b\"")?;
        for run in self.0.chunk_by(|a, b| a == b) {
            match run.len() {
                1..8 => write!(f, "{}", run.escape_ascii())?,
                n => write!(f, "{}{{{n}}}", run[..1].escape_ascii())?,
            }
        }
        f.write_str("\"")
    }
}

fn blanks() -> impl Strategy<Value = String> {
    "[ \t\r]{0,3}"
}

fn any_case(name: &str, upper: u64) -> String {
    let turn = |(index, c): (usize, char)| if upper >> (index % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c };
    name.chars().enumerate().map(turn).collect()
}

/// A command as a person types it.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        8 => prop::sample::select(vec!["day", "date", "time", "datetime", "timestamp", "tz", "next", "help"]),
        6 => prop::sample::select(CUSTOM.to_vec()),
        1 => prop::sample::select(vec!["quit", "exit"]),
        2 => prop::sample::select(vec!["tim", "days", "daydate", "ＤＡＹ", "tıme", "\u{feff}day"]),
    ];
    let arguments = prop_oneof![
        5 => Just(""),
        3 => prop::sample::select(vec!["UTC", "utc", "+05:30", "+14:00"]),
        2 => prop::sample::select(vec!["Mars/Phobos", "../../etc/passwd", "now", "A  b", "a\tb", "ü", "\u{85}"]),
        1 => prop::sample::select(vec!["\0", "\x1b", "a\x7f"]),
    ];
    (blanks(), names, any::<u64>(), blanks(), arguments, blanks()).prop_map(
        |(before, name, upper, gap, argument, after)| {
            let gap = if argument.is_empty() { gap } else { format!("{gap} ") };
            [before, any_case(name, upper), gap, argument.into(), after].concat().into_bytes()
        },
    )
}

/// A command near the greatest length, with CRs after it.
fn edge() -> impl Strategy<Value = Vec<u8>> {
    let begin = prop::sample::select(vec!["day", "echo x", "nonsense", "quit", "", "time UTC "]);
    let fill = prop::sample::select(vec![b' ', b'\t', b'\r', b'x', 0xff]);
    (begin, fill, COMMAND_MAX - 2..COMMAND_MAX + 3, 0usize..4).prop_map(|(begin, fill, len, crs)| {
        let mut body = begin.as_bytes().to_vec();
        body.resize(len, fill);
        body.resize(len + crs, b'\r');
        body
    })
}

/// A command as programs pipeline it, or a variation of such a command.
fn plain() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        6 => prop::sample::select(vec![&b"day"[..], b"DATE", b"tIme"]),
        1 => prop::sample::select(vec![&b"dayz"[..], b"day*", b"DA9", b"tim%", b"4ate", b"dat", b"timed", b"d\x81y"]),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => command(),
        4 => plain().prop_map(<[u8]>::to_vec),
        3 => blanks().prop_map(String::into_bytes),
        3 => edge(),
        2 => prop::collection::vec(any::<u8>(), 0..12),
        1 => (any::<u8>(), 0..3 * COMMAND_MAX).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn end() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["\n", "\n", "\r\n", "\r\n", "\r\r\n", "\n\n"])
}

/// Lines, and a last command without a line end, which may be empty.
fn transcript() -> impl Strategy<Value = Bytes> {
    let lines = prop::collection::vec((body(), end()), 0..8);
    let tail = prop_oneof![Just(Vec::new()), body()];
    (lines, tail).prop_map(|(lines, tail)| {
        let mut bytes: Vec<u8> = lines.into_iter().flat_map(|(body, end)| [&body, end.as_bytes()].concat()).collect();
        bytes.extend(tail);
        Bytes(bytes)
    })
}

/// The places where TCP cuts the input.
#[derive(Clone, Debug)]
enum Cuts {
    Everywhere,
    At(Vec<Index>),
    /// Around line ends, between words, and where a line gets too long.
    AtEdges(Vec<Index>),
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let some = || prop::collection::vec(any::<Index>(), 0..10);
    prop_oneof![1 => Just(Cuts::Everywhere), 3 => some().prop_map(Cuts::At), 5 => some().prop_map(Cuts::AtEdges)]
}

impl Cuts {
    fn reads<'a>(&self, bytes: &'a [u8], framing: Framing) -> Vec<&'a [u8]> {
        let mut cuts: BTreeSet<usize> = match self {
            Cuts::Everywhere => (0..bytes.len()).collect(),
            Cuts::At(cuts) => cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect(),
            Cuts::AtEdges(cuts) => {
                let edges = edges(bytes);
                cuts.iter().map(|cut| *cut.get(&edges)).collect()
            }
        };
        cuts.remove(&0);
        // The invariant has a precondition, because of rule 3: the first read is not exactly a command's name.
        let is_name = |read: &[u8]| {
            let names = Command::built_in().chain(CUSTOM);
            names.into_iter().any(|name| name.as_bytes().eq_ignore_ascii_case(read))
        };
        if framing == Framing::Auto {
            cuts.retain(|&cut| !is_name(&bytes[..cut]));
        }
        cuts.insert(bytes.len());
        let mut from = 0;
        let read = |to| &bytes[std::mem::replace(&mut from, to)..to];
        cuts.into_iter().map(read).filter(|read| !read.is_empty()).collect()
    }
}

fn edges(bytes: &[u8]) -> Vec<usize> {
    let mut from = 0;
    let mut edges = vec![bytes.len()];
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let end = from + line.len();
        let is_blank = |byte: u8| b" \t\r".contains(&byte);
        edges.extend((from + 1..end).filter(|&at| is_blank(bytes[at - 1]) != is_blank(bytes[at])));
        edges.extend((end.saturating_sub(3)..=end).chain(from + 1022..from + 1028).filter(|&at| at <= bytes.len()));
        from = end;
    }
    edges
}

/// The behavior of a driver, within its duties.
#[derive(Clone, Debug)]
struct Habits {
    /// Joins the bytes that were not taken with the next read.
    joins: bool,
    /// Sends at most as many owed bytes before the next call.
    sends: usize,
}

fn habits() -> impl Strategy<Value = Habits> {
    let sends = prop::sample::select(vec![1000, 5000, usize::MAX]);
    (any::<bool>(), sends).prop_map(|(joins, sends)| Habits { joins, sends })
}

/// The output for these reads and the end of file, and the number of times that the session returned [`Next::Send`].
fn converse(framing: Framing, reads: &[&[u8]], habits: &Habits) -> (String, usize) {
    let (mut session, mut responder) = (ServerSession::new(framing), TestResponder::default());
    let (mut out, mut sent, mut pauses) = (Vec::new(), Vec::new(), 0);
    let mut framed = framing == Framing::Line;
    session.greet("Hi", &mut out);
    let (mut reads, mut input) = (reads.iter(), Vec::new());
    loop {
        if input.is_empty() || habits.joins {
            input.extend(reads.next().copied().unwrap_or_default());
        }
        let ended = input.is_empty();
        let (taken, mut next) = match ended {
            true => (0, session.handle_eof(&mut responder, &mut out).next),
            false => session.receive(&input, &mut responder, &mut out).step(),
        };
        framed |= input.drain(..taken).any(|byte| byte == b'\n');
        if framed {
            // After the first line end, a pause changes nothing.
            assert!(!session.needs_timeout());
            assert_eq!(session.handle_timeout(&mut responder, &mut out).next, Next::Read);
        }
        if let Next::Call(call) = &next {
            assert_eq!(session.receive(&input, &mut responder, &mut out).step(), (0, Next::Read), "a handler runs");
            assert!(session.awaits_reply() && !session.needs_timeout());
            let (text, closing) = answer(call);
            next = session.reply(reply(text.as_deref(), closing).as_ref(), &mut out).next;
        }
        assert!(out.len() < OWED_MAX + STEP_MAX);
        match next {
            Next::Read => assert!(!ended),
            Next::Call(call) => panic!("{call:?} after a reply"),
            Next::Yield => sent.append(&mut out),
            Next::Send => {
                assert!(out.len() >= OWED_MAX);
                sent.extend(out.drain(..habits.sends.min(out.len())));
                pauses += 1;
            }
            Next::Close => break,
        }
    }
    sent.append(&mut out);
    // A closed session stays closed.
    assert_eq!(session.receive(b"day\ntime", &mut responder, &mut out).step(), (8, Next::Close));
    assert_eq!((session.handle_eof(&mut responder, &mut out).next, out.len()), (Next::Close, 0));
    (String::from_utf8(sent).expect("a server sends UTF-8") + "■", pauses)
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn every_segmentation_gives_the_same_conversation(
        transcript in transcript(), cuts in cuts(), habits in habits(),
        framing in prop_oneof![2 => Just(Framing::Auto), 1 => Just(Framing::Line)],
    ) {
        let reads = cuts.reads(&transcript.0, framing);
        prop_assert_eq!(converse(framing, &reads, &habits).0, expected(framing, &transcript.0));
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn every_segmentation_gives_the_same_conversation_beyond_owed_max(
        lines in prop::collection::vec(prop::sample::select(vec![
            "help\n", "help\r\n", "HELP  \n", "page\n", "flood\r\n", " \n", "time\n", "day\nDAY\ndate\n",
        ]), 300..1000),
        tail in prop::sample::select(vec!["", "day", "page", "quit\nday\n", "\r"]),
        cuts in cuts(), habits in habits(),
    ) {
        let transcript = lines.concat() + tail;
        for framing in [Framing::Auto, Framing::Line] {
            let expected = expected(framing, transcript.as_bytes());
            let (text, pauses) = converse(framing, &cuts.reads(transcript.as_bytes(), framing), &habits);
            prop_assert!(text == expected, "{} bytes instead of {}", text.len(), expected.len());
            prop_assert!(pauses > 0 || expected.len() < OWED_MAX + STEP_MAX);
        }
    }
}

// Random events

#[derive(Clone, Debug)]
enum Event {
    Read(Bytes),
    Quiet,
    End,
    /// A handler returns.
    Reply(Option<String>, bool),
    /// A client requests a command.
    Ask(String),
}

fn server_event() -> impl Strategy<Value = Event> {
    let text = prop_oneof!["\\PC{0,8}", ".{0,8}", (1000..1100usize).prop_map(|len| "x".repeat(len))];
    let reply = (prop::option::of(text), prop::bool::weighted(0.1));
    prop_oneof![
        12 => transcript().prop_map(Event::Read),
        6 => body().prop_map(|body| Event::Read(Bytes(body))),
        1 => (500..2000usize).prop_map(|lines| Event::Read(Bytes(b"help\n".repeat(lines)))),
        4 => Just(Event::Quiet),
        1 => Just(Event::End),
        8 => reply.prop_map(|(text, closing)| Event::Reply(text, closing)),
    ]
}

fn client_event() -> impl Strategy<Value = Event> {
    let usual = prop::sample::select(vec!["Sunday", "15:44:57\n26-11-22", errors::INVALID, errors::FULL]);
    let text = prop_oneof!["\\PC{0,20}\n", "\\PC{0,20}", usual.prop_map(str::to_owned)];
    let command = prop_oneof!["\\PC{0,8}", ".{0,8}", Just("day".into()), Just("time".into())];
    prop_oneof![
        4 => text.prop_map(|text| Event::Read(Bytes(text.into_bytes()))),
        2 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Event::Read(Bytes(bytes))),
        1 => (1..200_000usize).prop_map(|len| Event::Read(Bytes(vec![b'x'; len]))),
        2 => Just(Event::Quiet),
        1 => Just(Event::End),
        5 => command.prop_map(Event::Ask),
    ]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn a_server_session_survives_anything_and_stays_small(
        events in prop::collection::vec(server_event(), 0..24),
        framing in prop_oneof![Just(Framing::Auto), Just(Framing::Line)],
    ) {
        let (mut session, mut responder, mut out) = (ServerSession::new(framing), TestResponder::default(), Vec::new());
        let fresh = size(&session);
        let (mut waits, mut closed) = (false, false);
        for event in events {
            // While so many bytes are owed, neither a timeout nor a reply of a handler occurs.
            if out.len() >= OWED_MAX && !matches!(event, Event::Read(_)) {
                out.clear();
            }
            let (before, was_closed) = (out.len(), closed && !waits);
            let next = match event {
                Event::Read(Bytes(bytes)) => {
                    let (taken, next) = session.receive(&bytes, &mut responder, &mut out).step();
                    match &next {
                        _ if waits => prop_assert_eq!((taken, &next), (0, &Next::Read)),
                        Next::Read => prop_assert_eq!(taken, bytes.len()),
                        Next::Send => prop_assert!(taken < bytes.len().max(1) && out.len() >= OWED_MAX),
                        Next::Yield => prop_assert!(0 < taken && taken < bytes.len()),
                        Next::Call(_) | Next::Close => prop_assert!(taken > 0 || bytes.is_empty()),
                    }
                    prop_assert!(before < OWED_MAX || out.len() == before, "the session owes more than OWED_MAX");
                    next
                }
                Event::Quiet => session.handle_timeout(&mut responder, &mut out).next,
                Event::End => {
                    closed = true;
                    let next = session.handle_eof(&mut responder, &mut out).next;
                    prop_assert_eq!(waits, next == Next::Read, "the end of file waits for a handler");
                    next
                }
                Event::Reply(text, closing) => {
                    waits = false;
                    let next = session.reply(reply(text.as_deref(), closing).as_ref(), &mut out).next;
                    prop_assert!(!closed || next == Next::Close);
                    next
                }
                Event::Ask(_) => continue,
            };
            waits |= matches!(next, Next::Call(_));
            closed |= next == Next::Close;
            prop_assert!(!was_closed || (out.len() == before && !waits), "a closed session sends");
            prop_assert_eq!(waits, session.awaits_reply());
            prop_assert!(!waits || !session.needs_timeout(), "the quiet time runs while a handler does");
            prop_assert!(out.len() < OWED_MAX + STEP_MAX, "{} bytes owed", out.len());
            prop_assert!(str::from_utf8(&out).is_ok(), "a server sends UTF-8");
            prop_assert!(size(&session) < fresh + 64 + 5 * (COMMAND_MAX + 1), "{session:?}");
        }
    }

    #[test]
    fn a_client_session_survives_anything_and_returns_only_requested_replies(
        events in prop::collection::vec(client_event(), 0..24),
    ) {
        let (mut session, mut requests) = (ClientSession::new(), 0);
        for event in events {
            let result = match event {
                Event::Read(Bytes(bytes)) => session.receive(&bytes),
                Event::Quiet => session.handle_timeout(),
                Event::End => Err(session.handle_eof()),
                Event::Reply(..) => continue,
                Event::Ask(command) => {
                    let mut out = Vec::new();
                    let asked = session.ask(&command, &mut out);
                    requests += usize::from(asked.is_ok());
                    prop_assert_eq!(asked.is_ok(), !out.is_empty());
                    if let Err(SessionError::InvalidCommand(_)) = asked { Ok(()) } else { asked }
                }
            };
            let mut reply = result.and_then(|()| session.reply());
            while let Ok(Some(_)) = reply {
                prop_assert!(requests > 0, "{reply:?} without a request");
                requests -= 1;
                reply = session.reply();
            }
            prop_assert!(reply.is_err() || session.awaits_replies() == (requests > 0));
            match reply {
                Ok(_) | Err(SessionError::Closed) => {}
                Err(SessionError::Protocol(text)) => prop_assert!(text.len() <= 64 * 1024),
                Err(SessionError::InvalidCommand(reason)) => prop_assert!(false, "{reason}"),
                Err(SessionError::Refused(error)) => prop_assert!(errors::ALL.contains(&&error[..])),
            }
        }
    }
}

// The client's side

/// A line without its line end. It does not end in CR, because a session would remove that CR.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "\\PC{1,30}",
        1 => prop::sample::select(errors::ALL.to_vec()).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["Sunday", "x", "a\rb\tc", ""]).prop_map(str::to_owned),
        1 => (1..3000usize).prop_map(|len| "ß".repeat(len)),
    ]
}

/// All complete replies.
fn replies(session: &mut ClientSession) -> Result<Vec<String>, SessionError> {
    std::iter::from_fn(|| session.reply().transpose()).collect()
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn every_segmentation_of_a_server_that_frames_lines_gives_the_same_replies(
        greeting in text(), greets in cuts(),
        texts in prop::collection::vec((text(), prop::sample::select(vec!["\n", "\r\n"])), 0..8),
        answers in cuts(), eager in any::<bool>(),
    ) {
        let mut session = ClientSession::new();
        let refused = errors::ALL.contains(&&greeting[..]);
        let mut result = Ok(());
        for read in greets.reads(format!("{greeting}\r\n").as_bytes(), Framing::Line) {
            result = result.and_then(|()| session.receive(read));
        }
        if refused {
            prop_assert_eq!(result, Err(SessionError::Refused(greeting)));
            return Ok(());
        }
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!((session.greeting(), session.frames_lines()), (Some(&greeting[..]), true));

        for _ in &texts {
            prop_assert_eq!(session.ask("day", &mut Vec::new()), Ok(()));
        }
        let (texts, lines): (Vec<_>, Vec<_>) = texts.into_iter().map(|(text, end)| (text.clone(), text + end)).unzip();
        let mut received = Vec::new();
        for read in answers.reads(lines.concat().as_bytes(), Framing::Line) {
            prop_assert_eq!(session.receive(read), Ok(()));
            if eager {
                received.extend(replies(&mut session).unwrap());
            }
        }
        received.extend(replies(&mut session).unwrap());
        prop_assert_eq!(received, texts);
        prop_assert_eq!(session.ask("day", &mut Vec::new()), Ok(()), "no bytes are left over");
    }

    #[test]
    fn every_segmentation_of_the_original_gives_the_same_replies(
        greeting in text(), greets in cuts(),
        commands in prop::collection::vec((prop::sample::select(vec![
            ("day", "Saturday"), ("DAY", "Sunday"), ("date", "26-11-22"), ("time", "15:44:57"),
            ("help", errors::INVALID), ("day", errors::INVALID), ("time UTC", errors::INVALID),
        ]), cuts()), 0..8),
    ) {
        let mut session = ClientSession::new();
        for read in greets.reads(format!("{greeting}{}", errors::INVALID).as_bytes(), Framing::Line) {
            prop_assert_eq!((session.receive(read), session.greeting()), (Ok(()), None));
        }
        prop_assert!(session.needs_timeout());
        prop_assert_eq!(session.handle_timeout(), Ok(()));
        prop_assert_eq!((session.greeting(), session.frames_lines()), (Some(&greeting[..]), false));
        for ((command, answer), cuts) in commands {
            let mut out = Vec::new();
            prop_assert_eq!((session.ask(command, &mut out), &out[..]), (Ok(()), command.as_bytes()));
            for read in cuts.reads(answer.as_bytes(), Framing::Line) {
                prop_assert_eq!(session.reply(), Ok(None));
                prop_assert_eq!(session.receive(read), Ok(()));
            }
            prop_assert_eq!(session.reply(), Ok(Some(answer.to_owned())));
        }
    }

    #[test]
    fn the_client_understands_the_server_in_every_segmentation(
        framing in prop_oneof![Just(Framing::Auto), Just(Framing::Line)],
        commands in prop::collection::vec(command(), 0..12),
        there in cuts(), back in cuts(), habits in habits(),
    ) {
        let mut session = ClientSession::new();
        session.receive(converse(framing, &[ClientSession::HELLO], &habits).0.trim_end_matches('■').as_bytes()).unwrap();
        prop_assert_eq!((session.greeting(), session.frames_lines()), (Some("Hi"), true));

        let mut sent = ClientSession::HELLO.to_vec();
        let mut expected = Vec::new();
        for command in &commands {
            let command = str::from_utf8(command).unwrap();
            match session.ask(command, &mut sent) {
                Err(SessionError::InvalidCommand(_)) => continue,
                result => prop_assert_eq!(result, Ok(())),
            }
            match meaning(command.as_bytes(), &COMMANDS) {
                Meaning::Blank => prop_assert!(false, "{command:?} was sent"),
                Meaning::Quit => break,
                Meaning::Reply(reply) => expected.push(reply),
                Meaning::LastReply(reply) => {
                    expected.push(reply);
                    break;
                }
            }
        }
        let (text, _) = converse(framing, &there.reads(&sent, Framing::Line), &habits);
        let stream = text.strip_prefix("Hi\n").unwrap().trim_end_matches('■');
        for read in back.reads(stream.as_bytes(), Framing::Line) {
            prop_assert_eq!(session.receive(read), Ok(()));
        }
        prop_assert_eq!(replies(&mut session), Ok(expected));
        prop_assert_eq!(session.handle_eof(), SessionError::Closed);
    }
}

// Moments

/// The date of a day number, where day 0 is 1970-01-01. The function counts year by year and month by month.
fn calendar(mut day: i64) -> (i64, usize, i64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // 400 years have 146,097 days.
    let mut year = 1970 + 400 * day.div_euclid(146_097);
    day = day.rem_euclid(146_097);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let days = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = (0..12).find(|&month| day < days[..=month].iter().sum()).unwrap();
    (year, month + 1, day - days[..month].iter().sum::<i64>() + 1)
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn every_second_has_the_texts_of_the_calendar(
        seconds in prop_oneof![FormattedTime::RANGE, 0..4_102_444_800i64], sign in prop_oneof![Just("+"), Just("-")],
        hours in 0..24i64, minutes in 0..60i64,
    ) {
        let offset = format!("{sign}{hours:02}:{minutes:02}");
        let formatted = FormattedTime::new(seconds, &Zone::parse(&offset).unwrap(), &Formats::default());
        let east = (hours * 60 + minutes) * 60;
        let local = if sign == "-" { seconds - east } else { seconds + east };
        let (day, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, date) = calendar(day);
        let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        let days = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
        let offset = if offset == "-00:00" { "+00:00" } else { &offset };
        prop_assert_eq!(formatted.text(Command::Day), days[day.rem_euclid(7) as usize]);
        prop_assert_eq!(formatted.text(Command::Date), format!("{:02}-{month:02}-{date:02}", year % 100));
        prop_assert_eq!(formatted.text(Command::Time), &time);
        prop_assert_eq!(formatted.text(Command::Datetime), format!("{year:04}-{month:02}-{date:02}T{time}{offset}"));
        prop_assert_eq!(formatted.text(Command::Timestamp), seconds.to_string());
    }

    #[test]
    fn an_accepted_format_gives_a_reply_at_every_moment(
        parts in prop::collection::vec(prop_oneof![
            3 => "%[_0^#-]{0,2}[a-zA-Z%]",
            1 => "\\PC{1,3}",
            1 => "%.{0,2}",
        ], 1..6),
        times in prop_oneof![4 => Just(1), 1 => 1..200usize],
        seconds in any::<i64>(), recent in 0..4_102_444_800i64, offset in "[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]",
    ) {
        let format = parts.concat().repeat(times);
        if let Ok(formats) = Formats::new(&format, &format, &format) {
            for (second, zone) in [(seconds, "UTC"), (seconds, &offset), (recent, "utc"), (recent, &offset)] {
                let formatted = FormattedTime::new(second, &Zone::parse(zone).unwrap(), &formats);
                for command in [Command::Day, Command::Date, Command::Time] {
                    prop_assert_eq!(check_reply(formatted.text(command)), Ok(()));
                }
            }
        }
    }

    #[test]
    fn a_zone_is_utc_or_an_offset(text in prop_oneof!["[+-]?[0-9]{1,3}:?[0-9]{1,3}", "\\PC{0,8}", "[uU][tT][cCzZ]"]) {
        let &[sign, h1, h2, colon, m1, m2] = &text.chars().collect::<Vec<_>>()[..] else {
            prop_assert_eq!(Zone::parse(&text).is_some(), text.eq_ignore_ascii_case("utc"));
            return Ok(());
        };
        let digits = [h1, h2, m1, m2].iter().all(char::is_ascii_digit);
        let good = "+-".contains(sign) && colon == ':' && digits && [h1, h2] <= ['2', '3'] && m1 <= '5';
        prop_assert_eq!(Zone::parse(&text).is_some(), good);
    }
}
