//! Commands, their replies, and custom commands.

use daytime::protocol::{
    Call, Command, Commands, Formats, Framing::Auto, Framing::Line, Next, OWED_MAX, REPLY_MAX, Reply, ServerSession,
    check_reply, errors, parse_next_transition, parse_tz,
};

use crate::conversation::{Conversation, EOF, PAUSE, Step, TestResponder, auto, converse, reply};

#[test]
fn each_command_has_its_reply() {
    let help =
        "day [ZONE], date [ZONE], time [ZONE], datetime [ZONE], timestamp, tz [ZONE], next [ZONE], help, quit, exit";
    for (command, reply) in [
        ("day", "Sunday"),
        ("date", "26-11-22"),
        ("time", "15:44:57"),
        ("datetime", "2026-11-22T15:44:57+00:00"),
        ("timestamp", "1795362297"),
        ("tz", "UTC0"),
        ("next", "none"),
        ("help", &format!("{help}, echo, bye, größe, page, flood, fail")),
        ("day +14:00", "Monday"),
        ("date +14:00", "26-11-23"),
        ("time -03:30", "12:14:57"),
        ("datetime +05:30", "2026-11-22T21:14:57+05:30"),
        ("datetime utc", "2026-11-22T15:44:57+00:00"),
        ("TZ +05:30", "<+0530>-5:30"),
        ("tz -08:00", "<-08>8"),
        ("Next -08:00", "none"),
        ("tz Mars/Phobos", "You entered an unknown time zone"),
        ("next Mars/Phobos", "You entered an unknown time zone"),
        ("time Mars/Phobos", "You entered an unknown time zone"),
        ("time 1", "You entered an unknown time zone"),
        ("tim", "You entered an invalid command"),
        ("echo echo", "echo"),
    ] {
        let line = format!("{command}\n");
        assert_eq!(converse(Auto, &[line.as_bytes()]), format!("Hi\n{reply}\n"), "{command}");
    }
    assert_eq!(Commands::default().help(), help);
    let names: Vec<_> = Command::built_in().collect();
    assert_eq!(names, ["day", "date", "time", "datetime", "timestamp", "tz", "next", "help", "quit", "exit"]);
}

#[test]
fn replies_to_tz_and_next_are_parsed_strictly() {
    for tz in
        ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "EET-2EEST,M3.4.4/50,M10.4.4/50"]
    {
        assert_eq!(parse_tz(tz).as_deref(), Some(tz));
    }
    for reply in
        ["", "none", "Sunday", "26-11-22", "15:44:57", "1795362297", "UTC", "U0", "<+1>1", "<+01", "UTC0 ", "UTC+-"]
    {
        assert_eq!(parse_tz(reply), None, "{reply:?}");
    }
    let next = parse_next_transition("2027-03-28T01:00:00Z +02:00").unwrap().unwrap();
    assert_eq!(next.to_rfc3339(), "2027-03-28T03:00:00+02:00");
    assert_eq!(parse_next_transition("none"), Some(None));
    let moment = "2027-03-28T01:00:00";
    for end in ["", "Z", "Z ", "Z +2:00", "Z  +02:00", "+00:00 +02:00", "z +02:00", "Z +02:00 ", "Z Z"] {
        assert_eq!(parse_next_transition(&format!("{moment}{end}")), None, "{end:?}");
    }
    assert_eq!(parse_next_transition("None"), None);
}

/// A client that asks for the strings of many zones gives others their turns.
#[test]
fn the_first_tz_of_a_zone_is_dear() {
    let zones = || (0..60).map(|minute| format!("+01:{minute:02}"));
    let lines = |commands: Vec<String>| -> Vec<usize> {
        let (mut session, mut responder, mut out) = (ServerSession::new(Line), TestResponder::default(), Vec::new());
        let input: String = commands.iter().map(|command| format!("{command}\n")).collect();
        let (mut rest, mut turns) = (input.as_bytes(), Vec::new());
        while !rest.is_empty() {
            let (taken, next) = session.receive(rest, &mut responder, &mut out).step();
            assert!(next == if taken < rest.len() { Next::Yield } else { Next::Read });
            turns.push(rest[..taken].iter().filter(|&&byte| byte == b'\n').count());
            rest = &rest[taken..];
        }
        turns
    };
    let times = |command: &str| lines(zones().map(|zone| format!("{command} {zone}")).collect());
    assert_eq!(times("time"), [32, 28]);
    assert_eq!(times("tz"), [16, 16, 16, 12]);
    // The same string again is a copy.
    let again = |command: &str| lines(vec![command.into(); 300]);
    assert_eq!(again("tz"), [256 - 8, 52]);
    assert_eq!(again("tz +01:00")[..2], [31, 32]);
}

#[test]
fn error_lines_have_their_exact_texts() {
    assert_eq!(
        errors::ALL,
        [
            "You entered an invalid command",
            "You entered an unknown time zone",
            "The command failed",
            "The server is full",
            "Too many connections from your address",
        ]
    );
    let named = [errors::INVALID, errors::UNKNOWN_ZONE, errors::FAILED, errors::FULL, errors::PER_SOURCE];
    assert_eq!(errors::ALL, named);
}

#[test]
fn an_error_line_of_a_handler_begins_with_the_prefix() {
    for (text, line) in [
        ("no", Some("The command failed: no")),
        ("The server is full", Some("The command failed: The server is full")),
        (&"x".repeat(1003), Some(&*format!("The command failed: {}", "x".repeat(1003)))),
        ("", None),
        ("a\nb", None),
        (&"x".repeat(1004), None),
    ] {
        let (mut session, mut responder, mut out) = (ServerSession::new(Line), TestResponder::default(), Vec::new());
        session.receive(b"echo\n", &mut responder, &mut out).step();
        let received = session.reply(Some(&Reply::error(text)), &mut out);
        assert_eq!((received.executed, received.invalid, received.next), (1, 1, Next::Read));
        assert_eq!(String::from_utf8(out).unwrap(), format!("{}\n", line.unwrap_or("The command failed")));
        if let Some(line) = line {
            assert_eq!(errors::reason(line), Some(text));
        }
    }
}

#[test]
fn only_error_lines_are_errors() {
    for line in errors::ALL {
        assert_eq!(errors::reason(line), Some(line));
    }
    for line in
        ["", "The command failed:", "The command failed: ", "the command failed: x", " The command failed: x", "day"]
    {
        assert_eq!(errors::reason(line), None, "{line:?}");
    }
    // A reply is never mistaken for an error: a handler that returns such a text fails.
    for text in errors::ALL.into_iter().chain(["The command failed: x"]) {
        for closing in [false, true] {
            let (mut session, mut responder, mut out) =
                (ServerSession::new(Line), TestResponder::default(), Vec::new());
            session.receive(b"echo\n", &mut responder, &mut out).step();
            let received = session.reply(reply(Some(text), closing).as_ref(), &mut out);
            assert_eq!((received.invalid, out.as_slice()), (1, &b"The command failed\n"[..]), "{text}");
        }
    }
}

#[test]
fn help_of_one_command_is_its_usage() {
    auto(&[
        (&[b"help day\nhelp\tTIMESTAMP \nHELP quit\r\n"], "Hi\nday [ZONE]\ntimestamp\nquit\r\n"),
        (&[b"help echo\nhelp help\n"], "Hi\necho\nhelp\n"),
        (&[b"help nothing\nhelp day day\n"], "Hi\nYou entered an invalid command\nYou entered an invalid command\n"),
        (&[b"help day", PAUSE], "Hiday [ZONE]"),
    ]);
    let mut commands = Commands::default();
    commands.add("Score").unwrap();
    for wrong in ["", " score", "day", "scores A", "score A\n"] {
        assert!(commands.set_usage(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(commands.set_usage("SCORE NAME "), Ok(()));
    assert!(commands.help().ends_with(", exit, SCORE NAME"));
    let room = REPLY_MAX - commands.help().len() + "SCORE NAME".len();
    let most = format!("score {}", "x".repeat(room - "score ".len()));
    assert!(commands.set_usage(&format!("{most}x")).is_err());
    assert!(commands.help().ends_with(", exit, SCORE NAME"), "unchanged after an error");
    assert_eq!(commands.set_usage(&most), Ok(()));
    assert_eq!(commands.help().len(), REPLY_MAX);
    assert!(commands.add("x").is_err());
}

#[test]
fn a_reply_is_1_to_1023_bytes_without_control_characters() {
    assert_eq!(REPLY_MAX, 1023);
    for (text, good) in [
        ("", false),
        ("a", true),
        (" ", true),
        (&"a".repeat(1023), true),
        (&"a".repeat(1024), false),
        (&"ß".repeat(511), true),
        (&"ß".repeat(512), false),
        ("Äpfel 🙂", true),
        ("a\n", false),
        ("a\r", false),
        ("a\tb", false),
        ("\0", false),
        ("\x1b[31m", false),
        ("\x7f", false),
        ("a\u{85}b", false),
    ] {
        assert_eq!(check_reply(text).is_ok(), good, "{text:?}");
        let mut session = ServerSession::new(Line);
        let (mut responder, mut out) = (TestResponder::default(), Vec::new());
        assert!(matches!(session.receive(b"echo\r\n", &mut responder, &mut out).step(), (6, Next::Call(_))));
        assert_eq!(session.reply(reply(Some(text), false).as_ref(), &mut out).next, Next::Read);
        let reply = if good { text } else { "The command failed" };
        assert_eq!(String::from_utf8(out).unwrap(), format!("{reply}\r\n"));
    }
}

#[test]
fn a_handler_that_fails_is_answered_and_the_connection_lives() {
    auto(&[
        (&[b"fail\nday\n"], "Hi\nThe command failed\nSunday\n"),
        (&[b"flood\nday\n"], "Hi\nThe command failed\nSunday\n"),
        (&[b"echo\nday\n"], "Hi\nThe command failed\nSunday\n"),
        (&[b"echo a\tb\nday\n"], "Hi\nThe command failed\nSunday\n"),
        (&["echo a\u{85}b\nday\n".as_bytes()], "Hi\nThe command failed\nSunday\n"),
        (&[b"fail", b"day"], "HiThe command failedSunday"),
        (&[b"\nfail", EOF], "Hi\nThe command failed■"),
    ]);
    // A closing reply closes the connection, also after a failure.
    let (mut session, mut responder, mut out) = (ServerSession::new(Line), TestResponder::default(), Vec::new());
    session.receive(b"fail\nday\n", &mut responder, &mut out).step();
    assert_eq!(session.reply(reply(None, true).as_ref(), &mut out).next, Next::Close);
    assert_eq!(session.receive(b"day\n", &mut responder, &mut out).step(), (4, Next::Close));
    assert_eq!(out, b"The command failed\n");
}

#[test]
fn a_handler_may_close_without_a_reply() {
    for (read, expected) in [(&b"echo x"[..], ""), (b"day\necho x\r\nday\n", "\nSunday\n"), (b"echo x\r\n", "\r\n")] {
        let (mut session, mut responder, mut out) = (ServerSession::new(Auto), TestResponder::default(), Vec::new());
        let mut next = session.receive(read, &mut responder, &mut out).step().1;
        if next == Next::Read {
            next = session.handle_timeout(&mut responder, &mut out).next;
        }
        assert!(matches!(next, Next::Call(_)));
        assert_eq!(session.reply(reply(Some(""), true).as_ref(), &mut out).next, Next::Close);
        assert_eq!(session.receive(b"day\n", &mut responder, &mut out).step(), (4, Next::Close));
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{}", read.escape_ascii());
    }
}

#[test]
fn custom_names_are_single_words_that_are_not_in_use() {
    let mut commands = Commands::default();
    for name in ["", " ", "two words", "a\tb", "a\rb", "a\n", "\0", "a\x7f", "a\u{85}", "a\u{a0}b"] {
        assert!(commands.add(name).is_err(), "{name:?}");
    }
    for name in Command::built_in() {
        assert!(commands.add(name).is_err(), "{name}");
        assert!(commands.add(&name.to_uppercase()).is_err(), "{name} in capitals");
    }
    for (index, name) in ["Weather", "größe", "days", "day[ZONE],"].into_iter().enumerate() {
        assert_eq!(commands.add(name), Ok(()));
        assert_eq!(commands.find(name.as_bytes()), Some(Command::Custom(index)));
    }
    for name in ["weather", "WEATHER", "Größe"] {
        assert!(commands.add(name).is_err(), "{name}");
    }
    // Names fold in ASCII only, so this is another name.
    assert_eq!(commands.add("GRÖSSE"), Ok(()));
    assert_eq!(commands.find(b""), None);
    assert_eq!(commands.find(b"weather "), None);
    assert!(commands.help().ends_with(", weather, größe, days, day[zone],, grÖsse"), "{}", commands.help());
}

#[test]
fn the_reply_to_help_never_exceeds_the_limit_of_a_reply() {
    let mut commands = Commands::default();
    let longest = REPLY_MAX - commands.help().len() - ", ".len();
    assert!(commands.add(&"x".repeat(longest + 1)).is_err());
    assert_eq!(commands.find(&vec![b'x'; longest + 1]), None);
    assert_eq!(commands.add(&"x".repeat(longest)), Ok(()));
    assert_eq!(commands.help().len(), REPLY_MAX);
    assert_eq!(check_reply(commands.help()), Ok(()));
    assert!(commands.add("y").is_err());
}

#[test]
fn a_session_takes_no_input_while_a_handler_runs() {
    let (mut session, mut responder, mut out) = (ServerSession::new(Auto), TestResponder::default(), Vec::new());
    let (taken, next) = session.receive(b"day\necho x\r\ntime\nqu", &mut responder, &mut out).step();
    assert_eq!((taken, next), (12, Next::Call(Call { command: 0, argument: "x".into() })));
    for _ in 0..3 {
        assert!(session.awaits_reply());
        assert_eq!(session.receive(b"time\nqu", &mut responder, &mut out).step(), (0, Next::Read));
        assert!(!session.needs_timeout(), "the session does not wait for the quiet time");
        assert_eq!(session.handle_timeout(&mut responder, &mut out).next, Next::Read);
    }
    assert_eq!(out, b"\nSunday\n");
    // Commands that the server has read already run after the handler.
    assert_eq!(session.reply(reply(Some("x"), false).as_ref(), &mut out).next, Next::Read);
    assert!(!session.awaits_reply());
    assert_eq!(session.receive(b"time\nqu", &mut responder, &mut out).step(), (7, Next::Read));
    assert_eq!(out, b"\nSunday\nx\r\n15:44:57\n");
    // A reply without a call is ignored.
    assert_eq!(session.reply(reply(Some("y"), true).as_ref(), &mut out).next, Next::Read);
    assert_eq!(out, b"\nSunday\nx\r\n15:44:57\n");
}

#[test]
fn a_last_custom_command_without_a_line_end_gets_its_reply() {
    for (framing, reads) in [(Auto, &b"echo x"[..]), (Auto, b"\necho x"), (Line, b"echo x")] {
        let (mut session, mut responder, mut out) = (ServerSession::new(framing), TestResponder::default(), Vec::new());
        assert_eq!(session.receive(reads, &mut responder, &mut out).step(), (reads.len(), Next::Read));
        assert!(matches!(session.handle_eof(&mut responder, &mut out).next, Next::Call(_)));
        assert_eq!(session.receive(b"day\n", &mut responder, &mut out).step(), (0, Next::Read));
        out.clear();
        assert_eq!(session.reply(reply(Some("x"), false).as_ref(), &mut out).next, Next::Close);
        assert_eq!(out, b"x");
    }
}

#[test]
fn an_eof_waits_for_the_reply_of_a_custom_command() {
    for (framing, read, expected) in [(Line, &b"echo x\n"[..], "x\n"), (Auto, b"echo", "The command failed")] {
        let (mut session, mut responder, mut out) = (ServerSession::new(framing), TestResponder::default(), Vec::new());
        assert!(matches!(session.receive(read, &mut responder, &mut out).step(), (_, Next::Call(_))));
        assert_eq!(session.handle_eof(&mut responder, &mut out).next, Next::Read);
        assert_eq!(session.receive(b"day\n", &mut responder, &mut out).step(), (0, Next::Read));
        assert_eq!(session.reply(reply(Some(expected.trim_end()), false).as_ref(), &mut out).next, Next::Close);
        assert_eq!(out, expected.as_bytes());
        assert_eq!(session.receive(b"day\n", &mut responder, &mut out).step(), (4, Next::Close));
    }
}

#[test]
fn a_custom_command_ends_the_reading_of_the_clock() {
    let (mut session, mut responder, mut out) = (ServerSession::new(Line), TestResponder::default(), Vec::new());
    let input = b"time\ntime\necho x\ntime\n";
    let (taken, _) = session.receive(input, &mut responder, &mut out).step();
    assert_eq!(&input[taken..], b"time\n", "the commands after it wait for the next reading");
    responder.now += 3;
    let _ = session.reply(reply(Some("x"), false).as_ref(), &mut out).next;
    session.receive(&input[taken..], &mut responder, &mut out).step();
    assert_eq!(out, b"15:44:57\n15:44:57\nx\n15:45:00\n");
}

#[test]
fn every_command_except_custom_ones_is_reported() {
    let mut conversation = Conversation::new(Auto, "Hi");
    conversation.read(b"DAY");
    conversation.read(b"day  x");
    conversation.read(PAUSE);
    conversation.read(b"\r\n \necho x\nfail\n\x1b\n");
    conversation.read(&[b'x'; 1025]);
    conversation.read(b"\ntime +01:00\nday\nDATE\nTime\nquit\nday\n");
    let log: Vec<_> = conversation.responder.log.iter().map(|(name, ok)| (name.as_str(), *ok)).collect();
    let bare = [("DAY", true), ("day  x", false)];
    let lines = [("\\x1b", false), ("", false), ("time +01:00", true), ("day", true), ("DATE", true), ("Time", true)];
    assert_eq!(log, [&bare[..], &lines, &[("quit", true)]].concat());
}

#[test]
fn a_session_that_owes_owed_max_executes_no_line() {
    assert_eq!(OWED_MAX, 64 * 1024);
    for (line, format, reply) in [
        ("datetime\n", "%A", "2026-11-22T15:44:57+00:00"),
        ("day\n", "%A", "Sunday"),
        ("DAY\n", "%a", "Sun"),
        ("TIME\n", "%A", "15:44:57"),
    ] {
        let (mut session, mut responder, mut out) = (ServerSession::new(Line), TestResponder::default(), Vec::new());
        responder.formats = Formats::new(format, "%F", "%T").unwrap();
        let (line, reply) = (line.as_bytes(), reply.len() + 1);
        let input = line.repeat(20_000);
        let (mut taken, mut next) = (0, Next::Yield);
        while next == Next::Yield {
            let step = session.receive(&input[taken..], &mut responder, &mut out).step();
            (taken, next) = (taken + step.0, step.1);
        }
        assert_eq!(next, Next::Send);
        assert_eq!(taken, OWED_MAX.div_ceil(reply) * line.len());
        assert_eq!(out.len(), OWED_MAX.div_ceil(reply) * reply);
        // While so many bytes are owed, the session takes no input, not even a part of a command.
        assert_eq!(session.receive(&input[taken..], &mut responder, &mut out).step(), (0, Next::Send));
        assert_eq!(session.receive(b"d", &mut responder, &mut out).step(), (0, Next::Send));
        out.truncate(OWED_MAX - 1);
        assert_eq!(session.receive(&input[taken..], &mut responder, &mut out).step(), (line.len(), Next::Send));
        out.clear();
        let end = [line, line, b"quit\n"].concat();
        assert_eq!(session.receive(&end, &mut responder, &mut out).step(), (end.len(), Next::Close));
        assert_eq!(out.len(), 2 * reply);
    }
}

#[test]
fn a_session_yields_after_many_commands() {
    for (line, most) in
        [("datetime\n", 256), ("time\r\n", 256), ("nonsense\n", 256), ("time +01:00\n", 32), ("help\n", 32)]
    {
        let (mut session, mut responder, mut out) = (ServerSession::new(Line), TestResponder::default(), Vec::new());
        let (line, input) = (line.as_bytes(), line.repeat(most + 1));
        let (taken, next) = session.receive(input.as_bytes(), &mut responder, &mut out).step();
        assert_eq!((taken, next), (most * line.len(), Next::Yield), "{}", line.escape_ascii());
        let step = session.receive(&input.as_bytes()[taken..], &mut responder, &mut out).step();
        assert_eq!(step, (line.len(), Next::Read));
        // Not if nothing is left.
        let all = line.repeat(most);
        assert_eq!(session.receive(&all, &mut responder, &mut Vec::new()).step(), (all.len(), Next::Read));
    }
}

#[test]
fn a_session_that_owes_owed_max_executes_no_bare_name() {
    let (mut session, mut responder, mut out) =
        (ServerSession::new(Auto), TestResponder::default(), vec![b'.'; OWED_MAX]);
    assert_eq!(session.receive(b"day", &mut responder, &mut out).step(), (0, Next::Send));
    assert_eq!(out.len(), OWED_MAX);
}

#[test]
fn the_fast_path_and_the_slow_path_have_the_same_output() {
    // A line that arrives byte by byte takes the slow path, a line of a stream the fast one. Each byte has every value.
    for name in ["day", "DATE", "Time"] {
        let line = format!("{name}\n");
        for (place, byte) in (0..line.len()).flat_map(|place| (0..=0xff).map(move |byte| (place, byte))) {
            let mut stream = ["\nday\n", &line, "time\nday\n"].concat().into_bytes();
            stream["\nday\n".len() + place] = byte;
            let pieces: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(converse(Auto, &[&stream]), converse(Auto, &pieces), "{}", stream.escape_ascii());
        }
    }
    // The output depends neither on the cut of the stream, nor on an open line, the line ends, or the last line.
    let stream = b"day\nDATE\ntime\r\ntime\nDay\n\ndaY\ntimed\nday UTC\ndate\ndate\nday\ntime";
    let expected = concat!(
        "Hi\nSunday\n26-11-22\n15:44:57\r\n15:44:57\nSunday\n\nSunday\nYou entered an invalid command\n",
        "Sunday\n26-11-22\n26-11-22\nSunday\n15:44:57■"
    );
    for cut in (1..stream.len()).filter(|&cut| cut != 3) {
        assert_eq!(converse(Auto, &[&stream[..cut], &stream[cut..], EOF]), expected, "cut at {cut}");
        assert_eq!(converse(Line, &[&stream[..cut], &stream[cut..], EOF]), expected, "cut at {cut}");
    }
}

#[test]
fn a_pipelined_stream_gets_whole_replies_of_every_length() {
    for len in (1..=40).chain([1022, 1023]) {
        let [day, date, time] = &["d", "a", "t"].map(|letter| letter.repeat(len));
        let mut conversation = Conversation::new(Line, "Hi");
        conversation.responder.formats = Formats::new(day, date, time).unwrap();
        conversation.read(b"\nday\nday\ndate\nDate\ntime\ntime\nday\ndate\ntime\n");
        let texts = [day, day, date, date, time, time, day, date, time].map(|text| format!("{text}\n"));
        assert_eq!(conversation.text(), format!("Hi\n{}", texts.concat()), "{len} bytes");
        // The session reports each command once, with the name as it is in the line.
        let reported: Vec<_> = conversation.responder.log.iter().map(|(name, ok)| (name.as_str(), *ok)).collect();
        let names = ["day", "day", "date", "Date", "time", "time", "day", "date", "time"];
        assert_eq!(reported, names.map(|name| (name, true)), "{len} bytes");
    }
}

#[test]
fn pipelined_streams_of_every_length_get_every_reply() {
    for lines in 0..200 {
        let mut conversation = Conversation::new(Line, "Hi");
        let stream = (0..lines).map(|i| ["day\n", "date\n", "time\n"][i % 3]).collect::<String>();
        let replies = (0..lines).map(|i| ["Sunday\n", "26-11-22\n", "15:44:57\n"][i % 3]).collect::<String>();
        conversation.read(format!("\n{stream}da").as_bytes());
        assert_eq!(conversation.text(), format!("Hi\n{replies}"));
        assert_eq!(conversation.responder.log.len(), lines);
    }
}
