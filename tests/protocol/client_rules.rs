//! The client's side of the protocol, one table for each rule: the reads of a client, and the replies it returns.
//!
//! A client's worst fault is a reply that belongs to another request. So most rows are servers that send wrong bytes.

use daytime::protocol::{COMMAND_MAX, ClientSession, SessionError, errors};

use crate::conversation::{EOF, PAUSE};

const LIMIT: usize = 64 * 1024;

/// The state after these reads: `lines: ` or `bare: ` with the greeting, `waits`, or the error.
fn greeted(reads: &[&[u8]]) -> String {
    let mut session = ClientSession::new();
    for &read in reads {
        let result = match read {
            EOF => Err(session.handle_eof()),
            PAUSE if session.needs_timeout() => session.handle_timeout(),
            PAUSE => Ok(()),
            _ => session.receive(read),
        };
        match result {
            Ok(()) => {}
            Err(SessionError::Protocol(text)) => return format!("unexpected: {}", text.escape_ascii()),
            Err(error) => return format!("{error:?}"),
        }
    }
    match session.greeting() {
        None => "waits".into(),
        Some(greeting) if session.frames_lines() => format!("lines: {greeting}"),
        Some(greeting) => format!("bare: {greeting}"),
    }
}

fn check(rows: &[(&[&[u8]], &str)]) {
    for (reads, expected) in rows {
        let shown: Vec<_> = reads.iter().map(|read| read.escape_ascii().to_string()).collect();
        assert_eq!(greeted(reads), *expected, "after {shown:?}");
    }
}

/// A session with a server that frames lines.
fn lines() -> ClientSession {
    let mut session = ClientSession::new();
    session.receive(b"Hi\n").unwrap();
    assert!(session.frames_lines());
    session
}

/// A session with the original server.
fn bare() -> ClientSession {
    let mut session = ClientSession::new();
    session.receive(b"Welcome to the serverYou entered an invalid command").unwrap();
    session.handle_timeout().unwrap();
    assert!(!session.frames_lines());
    session
}

/// The bytes that a client sends for this command.
fn ask(session: &mut ClientSession, command: &str) -> Result<String, SessionError> {
    let mut out = Vec::new();
    let result = session.ask(command, &mut out);
    assert!(result.is_ok() || out.is_empty(), "a rejected command is not sent");
    result.map(|()| String::from_utf8(out).unwrap())
}

/// The next reply after these bytes, `…` while it is incomplete, or the unexpected bytes.
fn reply(session: &mut ClientSession, bytes: &[u8]) -> String {
    session.receive(bytes).unwrap();
    match session.reply() {
        Ok(reply) => reply.unwrap_or("…".into()),
        Err(SessionError::Protocol(text)) => format!("unexpected: {}", text.escape_ascii()),
        Err(error) => panic!("{error:?}"),
    }
}

// The greeting

#[test]
fn a_client_begins_with_an_empty_line() {
    assert_eq!(ClientSession::HELLO, b"\n");
    let session = ClientSession::new();
    assert_eq!((session.greeting(), session.frames_lines(), session.needs_timeout()), (None, false, false));
}

#[test]
fn the_first_newline_ends_the_greeting_of_a_server_that_frames_lines() {
    check(&[
        (&[b"Welcome to the server\n"], "lines: Welcome to the server"),
        (&[b"Welcome to the server", b"\n"], "lines: Welcome to the server"),
        (&[b"W", b"elcome\r", b"\n"], "lines: Welcome"),
        (&[b"Welcome\r\n"], "lines: Welcome"),
        (&[b"Welcome\r\r\n"], "lines: Welcome\r"),
        (&[b"\n"], "lines: "),
        (&[b"\r", b"\n"], "lines: "),
        (&["Grüß Gott\n".as_bytes()], "lines: Grüß Gott"),
        (&[b"Gr\xc3", b"\xbc\xc3\x9f Gott\n"], "lines: Grüß Gott"),
        // A line that contains an error text and more is a greeting.
        (&[b"The server is full!\n"], "lines: The server is full!"),
        (&[b" The server is full\n"], "lines:  The server is full"),
        (&[b"the server is full\n"], "lines: the server is full"),
        (&[b"HiYou entered an invalid command\n"], "lines: HiYou entered an invalid command"),
        (&[b"HiYou entered an invalid command", b"\n"], "lines: HiYou entered an invalid command"),
        // The state is final: later bytes do not change it.
        (&[b"Hi\n", b"The server is full\n"], "lines: Hi"),
        (&[b"Hi\nYou entered an invalid command", PAUSE], "lines: Hi"),
        (&[b"Hi\n", b"\xff", PAUSE], "lines: Hi"),
    ]);
}

#[test]
fn an_error_line_in_place_of_the_greeting_is_the_error() {
    for error in errors::ALL {
        let refused = format!("{:?}", SessionError::Refused(error.into()));
        for end in ["\n", "\r\n", "\nmore", "\n\n"] {
            let text = format!("{error}{end}");
            assert_eq!(greeted(&[text.as_bytes()]), refused, "{text:?}");
            for cut in 1..=error.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                assert_eq!(greeted(&[first, second]), refused, "{text:?} cut at {cut}");
            }
        }
        // Without a line end the error line is incomplete.
        assert_eq!(greeted(&[error.as_bytes()]), "waits");
        assert_eq!(greeted(&[error.as_bytes(), EOF]), format!("unexpected: {error}"));
    }
}

#[test]
fn the_quiet_time_ends_the_greeting_of_the_original() {
    check(&[
        (&[b"Welcome to the serverYou entered an invalid command", PAUSE], "bare: Welcome to the server"),
        (&[b"Welcome to the server", b"You entered an invalid command", PAUSE], "bare: Welcome to the server"),
        (&[b"Welcome", PAUSE, b"You entered an inv", PAUSE, b"alid command", PAUSE], "bare: Welcome"),
        (&[b"You entered an invalid command", PAUSE], "bare: "),
        (&["Grüß GottYou entered an invalid command".as_bytes(), PAUSE], "bare: Grüß Gott"),
        (&[b"The server is full", b"You entered an invalid command", PAUSE], "bare: The server is full"),
        (&[b"You entered", b"You entered an invalid command", PAUSE], "bare: You entered"),
        // Before the quiet time, these bytes may be the start of another greeting.
        (&[b"HiYou entered an invalid command"], "waits"),
        (&[b"HiYou entered an invalid command", b".", PAUSE], "waits"),
        (&[b"HiYou entered an invalid command", b".", PAUSE, b"\n"], "lines: HiYou entered an invalid command."),
        // The state is final.
        (&[b"HiYou entered an invalid command", PAUSE, b"\n", PAUSE], "bare: Hi"),
    ]);
}

#[test]
fn the_quiet_time_alone_does_not_end_the_greeting() {
    check(&[
        (&[PAUSE, PAUSE], "waits"),
        (&[b"Welcome to the server", PAUSE], "waits"),
        (&[b"Welcome to the server", PAUSE, b"\n"], "lines: Welcome to the server"),
        (&[b"You entered an invalid comman", PAUSE], "waits"),
        (&[b"you entered an invalid command", PAUSE], "waits"),
        (&[b"HiYou entered an invalid command ", PAUSE], "waits"),
        (&[b"HiYou entered an invalid command\r", PAUSE], "waits"),
        (&[b"HiYou entered an unknown time zone", PAUSE], "waits"),
    ]);
    // A timeout that the session did not ask for changes nothing.
    let mut session = ClientSession::new();
    session.receive(b"Hi").unwrap();
    assert_eq!((session.handle_timeout(), session.greeting()), (Ok(()), None));
}

#[test]
fn an_eof_before_the_greeting_is_an_error_that_contains_the_text() {
    check(&[
        (&[EOF], "Closed"),
        (&[b"Welcome to the server", EOF], "unexpected: Welcome to the server"),
        (&[b"SSH-2.0-Open", b"SSH_9.9\r", EOF], "unexpected: SSH-2.0-OpenSSH_9.9\\r"),
        (&[b"HiYou entered an invalid command", EOF], "unexpected: HiYou entered an invalid command"),
        (&[b"\xff\xfb\x01", EOF], "unexpected: \\xff\\xfb\\x01"),
        (&[b"Hi\n", EOF], "Closed"),
        (&[b"HiYou entered an invalid command", PAUSE, EOF], "Closed"),
    ]);
    // The caller has the deadline. The session has the bytes for its error.
    let mut session = ClientSession::new();
    session.receive(b"Welc").unwrap();
    assert_eq!(session.take_unexpected(), SessionError::Protocol(b"Welc".to_vec()));
}

#[test]
fn a_greeting_that_is_not_utf_8_is_an_error_that_contains_the_text() {
    check(&[
        (&[b"Hi\xff\n"], "unexpected: Hi\\xff\\n"),
        (&[b"Hi\xff"], "waits"),
        (&[b"Hi\xc3", b"\n"], "unexpected: Hi\\xc3\\n"),
        (&[b"\xffYou entered an invalid command", PAUSE], "unexpected: \\xffYou entered an invalid command"),
    ]);
}

#[test]
fn at_most_64_kib_are_read_for_the_greeting() {
    let long = vec![b'x'; LIMIT];
    let (greeting, unexpected) =
        (format!("lines: {}", "x".repeat(LIMIT)), format!("unexpected: {}", "x".repeat(LIMIT)));
    let error = &b"You entered an invalid command"[..];
    let text = &[&long[error.len()..], error].concat()[..];
    let tail = &text[..LIMIT - error.len()];
    for (reads, expected) in [
        (vec![&long[..]], "waits"),
        (vec![&long[..], b"\n"], &greeting),
        (vec![&[&long[..], b"\n"].concat()], &greeting),
        // The error contains at most as many bytes.
        (vec![&long[..], b"x"], &unexpected),
        (vec![&[&long[..], b"x\n"].concat()], &unexpected),
        (vec![&long[..], &long], &unexpected),
        (vec![text, PAUSE], &format!("bare: {}", str::from_utf8(tail).unwrap())),
    ] {
        let lens: Vec<_> = reads.iter().map(|read| read.len()).collect();
        assert!(greeted(&reads) == *expected, "reads of {lens:?}");
    }
    // The limit also holds for many small reads.
    let mut session = ClientSession::new();
    assert!(long.chunks(64).all(|piece| session.receive(piece) == Ok(())));
    assert_eq!(session.receive(b"x"), Err(SessionError::Protocol(long)));
}

// Requests

#[test]
fn a_command_is_sent_as_a_line_or_bare() {
    for (command, line) in [
        ("day", "day\n"),
        ("Time Europe/Berlin", "Time Europe/Berlin\n"),
        (" day\t", " day\t\n"),
        ("grüße", "grüße\n"),
        (&"x".repeat(COMMAND_MAX), &format!("{}\n", "x".repeat(COMMAND_MAX))),
    ] {
        assert_eq!(ask(&mut lines(), command).as_deref(), Ok(line));
        assert_eq!(ask(&mut bare(), command).as_deref(), Ok(command));
    }
}

#[test]
fn invalid_commands_are_rejected_and_change_nothing() {
    let (long, wide) = ("x".repeat(COMMAND_MAX + 1), "ß".repeat(COMMAND_MAX / 2 + 1));
    let blank = ["", " ", "\t", "\r", "\n", " \t\r"];
    let control = ["day\n", "day\r", "day\r\n", "\nday", "day\nquit", "a\rb", "\0", "day\x1b", "day \x7f", "\x01day"];
    for mut session in [lines(), bare()] {
        for command in [&blank[..], &control, &[&long, &wide]].concat() {
            assert!(matches!(ask(&mut session, command), Err(SessionError::InvalidCommand(_))), "{command:?}");
            assert_eq!(session.reply(), Ok(None));
        }
        assert!(ask(&mut session, "day").is_ok());
        let reply = if session.frames_lines() { &b"Sunday\n"[..] } else { b"Sunday" };
        session.receive(reply).unwrap();
        assert_eq!(session.reply(), Ok(Some("Sunday".into())));
        assert!(ask(&mut session, "time").is_ok());
    }
}

#[test]
fn a_command_before_the_greeting_is_rejected() {
    let mut session = ClientSession::new();
    assert!(matches!(ask(&mut session, "day"), Err(SessionError::InvalidCommand(_))));
    session.receive(b"Hi\n").unwrap();
    assert_eq!(ask(&mut session, "day"), Ok("day\n".into()));
}

#[test]
fn a_command_within_the_greeting_is_rejected_and_changes_nothing() {
    let mut session = ClientSession::new();
    session.receive(b"H").unwrap();
    assert!(matches!(ask(&mut session, "day"), Err(SessionError::InvalidCommand(_))));
    session.receive(b"i\n").unwrap();
    assert_eq!(session.greeting(), Some("Hi"));
}

#[test]
fn the_original_gets_one_command_at_a_time() {
    let mut session = bare();
    ask(&mut session, "day").unwrap();
    assert!(matches!(ask(&mut session, "time"), Err(SessionError::InvalidCommand(_))));
    assert_eq!(reply(&mut session, b"Sun"), "…");
    assert!(matches!(ask(&mut session, "time"), Err(SessionError::InvalidCommand(_))));
    assert_eq!(reply(&mut session, b"day"), "Sunday");
    assert_eq!(ask(&mut session, "time"), Ok("time".into()));
    // The session waits for the reply to the first command, not to the rejected one.
    assert_eq!(reply(&mut session, b"15:44:57"), "15:44:57");
}

// Replies

#[test]
fn a_reply_is_any_line_and_may_be_an_error_line() {
    for (read, expected) in [
        (&b"Sunday\n"[..], "Sunday"),
        (b"Sunday\r\n", "Sunday"),
        (b"Sunday", "…"),
        (b"Sunday\r", "…"),
        (b"\n", ""),
        (b"You entered an unknown time zone\n", "You entered an unknown time zone"),
        (b"The command failed\n", "The command failed"),
        (b"You entered an invalid command", "…"),
        ("groß 🙂\n".as_bytes(), "groß 🙂"),
        (b"gro\xdf\n", "unexpected: gro\\xdf\\n"),
        (b"gro\xdf", "…"),
    ] {
        let mut session = lines();
        ask(&mut session, "day").unwrap();
        assert_eq!(reply(&mut session, read), expected, "{}", read.escape_ascii());
    }
}

#[test]
fn split_and_joined_replies_are_returned_one_by_one() {
    let mut session = lines();
    for command in ["day", "time", "echo a", "date"] {
        ask(&mut session, command).unwrap();
        assert!(session.awaits_replies());
    }
    for (read, expected) in [
        (&b"Sun"[..], "…"),
        (b"day", "…"),
        (b"\r", "…"),
        (b"\n15:44:57\na\n26", "Sunday"),
        (b"-", "15:44:57"),
        (b"", "a"),
        (b"", "…"),
        (b"11-22\n", "26-11-22"),
        (b"", "…"),
    ] {
        assert_eq!(reply(&mut session, read), expected, "{}", read.escape_ascii());
    }
    assert!(!session.awaits_replies());
    assert!(ask(&mut session, "day").is_ok(), "no bytes are left over");
}

#[test]
fn a_session_without_a_request_returns_no_reply() {
    let mut session = lines();
    assert!(!session.awaits_replies());
    assert_eq!(reply(&mut session, b""), "…");
    assert_eq!(reply(&mut session, b"Sunday\n"), "…");
    assert_eq!(ClientSession::new().reply(), Ok(None));
}

#[test]
fn leftover_bytes_break_the_next_request() {
    for (read, leftover) in [
        (&b"Sunday\n15:44:57\n"[..], &b"15:44:57\n"[..]),
        (b"Sunday\n\n", b"\n"),
        (b"Sunday\n1", b"1"),
        (b"Sunday\r\n\xff", b"\xff"),
    ] {
        let mut session = lines();
        ask(&mut session, "day").unwrap();
        assert_eq!(reply(&mut session, read), "Sunday");
        assert_eq!(ask(&mut session, "time"), Err(SessionError::Protocol(leftover.to_vec())));
    }
    // The bytes may also arrive with the greeting, or between two requests.
    let mut session = ClientSession::new();
    session.receive(b"Hi\nSunday\n").unwrap();
    assert_eq!(ask(&mut session, "day"), Err(SessionError::Protocol(b"Sunday\n".to_vec())));
    let mut session = lines();
    session.receive(b"b").unwrap();
    session.receive(b"ye").unwrap();
    assert_eq!(ask(&mut session, "day"), Err(SessionError::Protocol(b"bye".to_vec())));
    // The same holds for the original.
    for (read, leftover) in [(&b"Sunday\n"[..], &b"\n"[..]), (b"SundaySunday", b"Sunday"), (b"Sunday15", b"15")] {
        let mut session = bare();
        ask(&mut session, "day").unwrap();
        assert_eq!(reply(&mut session, read), "Sunday");
        assert_eq!(ask(&mut session, "time"), Err(SessionError::Protocol(leftover.to_vec())));
    }
    let mut session = bare();
    session.receive(b"\n").unwrap();
    assert_eq!(ask(&mut session, "day"), Err(SessionError::Protocol(b"\n".to_vec())));
}

#[test]
fn leftover_bytes_break_the_next_request_of_a_pipeline() {
    for (requests, read, leftover) in [
        (1, &b"Sunday\nnobody asked\n"[..], &b"nobody asked\n"[..]),
        (1, b"Sunday\n1", b"1"),
        (2, b"Sunday\n15:44:57\n\n", b"\n"),
        (3, b"a\nb\nc\nd\ne", b"d\ne"),
    ] {
        let mut session = lines();
        (0..requests).for_each(|_| drop(ask(&mut session, "day").unwrap()));
        session.receive(read).unwrap();
        assert_eq!(
            ask(&mut session, "time"),
            Err(SessionError::Protocol(leftover.to_vec())),
            "{}",
            read.escape_ascii()
        );
    }
    // A pipeline may continue with as many replies as requests, or fewer.
    for read in [&b"Sunday\nMonday\n"[..], b"Sunday\nMon", b"Sunday\n", b"Sun", b""] {
        let mut session = lines();
        (0..2).for_each(|_| drop(ask(&mut session, "day").unwrap()));
        session.receive(read).unwrap();
        assert!(ask(&mut session, "time").is_ok(), "{}", read.escape_ascii());
    }
}

#[test]
fn at_most_64_kib_are_read_for_a_reply() {
    let long = vec![b'x'; LIMIT];
    let mut session = lines();
    ask(&mut session, "day").unwrap();
    assert_eq!(reply(&mut session, &long), "…");
    assert_eq!(reply(&mut session, b"\n"), "x".repeat(LIMIT));
    let mut session = lines();
    ask(&mut session, "day").unwrap();
    assert_eq!(reply(&mut session, &long), "…");
    assert_eq!(reply(&mut session, b"x"), format!("unexpected: {}", "x".repeat(LIMIT)));
    // A newline in the same read does not change that.
    let mut session = lines();
    ask(&mut session, "day").unwrap();
    assert_eq!(reply(&mut session, &[&long[..], b"x\n"].concat()), format!("unexpected: {}", "x".repeat(LIMIT)));
    // Several replies together may have more bytes.
    let mut session = lines();
    (0..3).for_each(|_| drop(ask(&mut session, "day").unwrap()));
    let line = [&long[..40_000], b"\n"].concat();
    assert_eq!(reply(&mut session, &line.repeat(3)).len(), 40_000);
    assert_eq!(reply(&mut session, b"").len(), 40_000);
    assert_eq!(reply(&mut session, b"").len(), 40_000);
    assert!(ask(&mut session, "day").is_ok());
}

#[test]
fn an_error_contains_at_most_64_kib() {
    for read in [[&b"Hi\n"[..], &[b'x'; LIMIT + 1]].concat(), [&b"Hi\n"[..], &b"x\n".repeat(LIMIT)].concat()] {
        let mut session = ClientSession::new();
        session.receive(&read).unwrap();
        let Err(SessionError::Protocol(text)) = ask(&mut session, "day") else { panic!("leftover bytes are an error") };
        assert_eq!(text.len(), LIMIT);
    }
}

#[test]
fn replies_of_the_original_are_recognized_by_their_shape() {
    for (command, read, expected) in [
        ("day", &b"Sunday"[..], "Sunday"),
        ("DAY", b"Wednesday", "Wednesday"),
        ("day", b"Satur", "…"),
        ("day", b"S", "…"),
        ("day", b"T", "…"),
        ("Date", b"26-11-22", "26-11-22"),
        ("date", b"26-11-2", "…"),
        ("tIME", b"15:44:57", "15:44:57"),
        ("time", b"1", "…"),
        ("time", b"", "…"),
        // Any command may get an error line.
        ("day", b"You entered an invalid command", "You entered an invalid command"),
        ("date", b"You entered an invalid command", "You entered an invalid command"),
        ("time", b"You entered an invalid command", "You entered an invalid command"),
        ("help", b"You entered an invalid command", "You entered an invalid command"),
        ("datetime", b"You entered an invalid command", "You entered an invalid command"),
        ("day", b"Y", "…"),
        ("help", b"You entered an invalid comman", "…"),
        // The original neither trims a command nor knows zones, so it rejects these.
        ("day ", b"You entered an invalid command", "You entered an invalid command"),
        ("time UTC", b"You entered an invalid command", "You entered an invalid command"),
        // A wrong shape is an error at its first wrong byte.
        ("day", b"Someday", "unexpected: Someday"),
        ("day", b"s", "unexpected: s"),
        ("day", b"SUN", "unexpected: SUN"),
        ("day", b"\n", "unexpected: \\n"),
        ("day", b"26-11-22", "unexpected: 26-11-22"),
        ("day", b"15:44:57", "unexpected: 15:44:57"),
        ("date", b"15:44:57", "unexpected: 15:44:57"),
        ("date", b"26-1x", "unexpected: 26-1x"),
        ("date", b"2026-11-22", "unexpected: 2026-11-22"),
        ("date", "２６-11-22".as_bytes(), "unexpected: \\xef\\xbc\\x92\\xef\\xbc\\x96-11-22"),
        ("time", b"26-11-22", "unexpected: 26-11-22"),
        ("time", b"3:44:57", "unexpected: 3:44:57"),
        ("time", b"15:44\xff", "unexpected: 15:44\\xff"),
        ("time", b"Sunday", "unexpected: Sunday"),
        ("help", b"Sunday", "unexpected: Sunday"),
        ("day ", b"Sunday", "unexpected: Sunday"),
        ("time UTC", b"15:44:57", "unexpected: 15:44:57"),
        ("help", b"You entered an unknown time zone", "unexpected: You entered an unknown time zone"),
    ] {
        let mut session = bare();
        ask(&mut session, command).unwrap();
        assert_eq!(reply(&mut session, read), expected, "{command:?} answered by {}", read.escape_ascii());
        // The same bytes, one in each read.
        let mut session = bare();
        ask(&mut session, command).unwrap();
        let last = read.iter().map(|&byte| reply(&mut session, &[byte])).find(|reply| reply != "…");
        let last = last.unwrap_or("…".into());
        assert!(
            last == expected || (last.starts_with("unexpected") && expected.starts_with(&last)),
            "{last} {expected}"
        );
    }
}

#[test]
fn every_weekday_is_a_reply_of_the_original() {
    let mut session = bare();
    for day in ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] {
        ask(&mut session, "day").unwrap();
        for byte in &day.as_bytes()[..day.len() - 1] {
            assert_eq!(reply(&mut session, &[*byte]), "…");
        }
        assert_eq!(reply(&mut session, &day.as_bytes()[day.len() - 1..]), day);
    }
}

#[test]
fn an_eof_in_place_of_a_reply_closes_the_session() {
    for mut session in [lines(), bare()] {
        ask(&mut session, "quit").unwrap();
        assert_eq!(session.reply(), Ok(None));
        assert_eq!(session.handle_eof(), SessionError::Closed);
    }
}

#[test]
fn a_session_understands_the_original() {
    // For the original classroom server, each read is a command.
    let original = |read: &str| match read.to_lowercase().as_str() {
        "day" => "Sunday",
        "date" => "26-11-22",
        "time" => "15:44:57",
        "quit" | "exit" => "",
        _ => "You entered an invalid command",
    };
    let mut session = ClientSession::new();
    session.receive(b"Welcome to the server").unwrap();
    session.receive(original(str::from_utf8(ClientSession::HELLO).unwrap()).as_bytes()).unwrap();
    assert!(session.needs_timeout());
    session.handle_timeout().unwrap();
    assert_eq!(session.greeting(), Some("Welcome to the server"));
    for command in ["day", "DATE", "Time", "datetime", "help", " day", "day UTC", "daytime", "time"] {
        let sent = ask(&mut session, command).unwrap();
        assert_eq!(reply(&mut session, original(&sent).as_bytes()), original(command), "{command:?}");
    }
}
