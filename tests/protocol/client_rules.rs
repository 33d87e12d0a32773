//! The client's side of the protocol, one table a rule: the reads of a client, and its replies. A client's worst fault is to
//! take one reply for another's, so most rows are servers that send other bytes than they should.

use daytime::protocol::{COMMAND_MAX, Dialogue, Fault, errors};

use crate::conversation::{EOF, PAUSE};

const LIMIT: usize = 64 * 1024;

/// The state after these reads: `lines: ` or `bare: ` and the greeting, or the error.
fn greeted(reads: &[&[u8]]) -> String {
    let mut dialogue = Dialogue::new();
    for &read in reads {
        let heard = match read {
            EOF => Err(dialogue.end()),
            PAUSE if dialogue.awaits_quiet() => dialogue.quiet(),
            PAUSE => Ok(()),
            _ => dialogue.receive(read),
        };
        match heard {
            Ok(()) => {}
            Err(Fault::Protocol(text)) => return format!("foreign: {}", text.escape_ascii()),
            Err(fault) => return format!("{fault:?}"),
        }
    }
    match dialogue.greeting() {
        None => "waits".into(),
        Some(greeting) if dialogue.frames_lines() => format!("lines: {greeting}"),
        Some(greeting) => format!("bare: {greeting}"),
    }
}

fn check(rows: &[(&[&[u8]], &str)]) {
    for (reads, expected) in rows {
        let shown: Vec<_> = reads.iter().map(|read| read.escape_ascii().to_string()).collect();
        assert_eq!(greeted(reads), *expected, "after {shown:?}");
    }
}

/// A conversation with a server that frames lines.
fn lines() -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue.receive(b"Hi\n").unwrap();
    assert!(dialogue.frames_lines());
    dialogue
}

/// A conversation with the original.
fn bare() -> Dialogue {
    let mut dialogue = Dialogue::new();
    dialogue.receive(b"Welcome to the serverYou entered an invalid command").unwrap();
    dialogue.quiet().unwrap();
    assert!(!dialogue.frames_lines());
    dialogue
}

/// The bytes that a client sends for this question.
fn ask(dialogue: &mut Dialogue, question: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    let asked = dialogue.ask(question, &mut out);
    assert!(asked.is_ok() || out.is_empty(), "a question that is refused is not sent");
    asked.map(|()| String::from_utf8(out).unwrap())
}

/// The next reply after these bytes, `…` while it has not come whole, or what came instead.
fn reply(dialogue: &mut Dialogue, bytes: &[u8]) -> String {
    dialogue.receive(bytes).unwrap();
    match dialogue.reply() {
        Ok(reply) => reply.unwrap_or("…".into()),
        Err(Fault::Protocol(text)) => format!("foreign: {}", text.escape_ascii()),
        Err(fault) => panic!("{fault:?}"),
    }
}

// The greeting

#[test]
fn a_client_begins_with_an_empty_line() {
    assert_eq!(Dialogue::HELLO, b"\n");
    let dialogue = Dialogue::new();
    assert_eq!((dialogue.greeting(), dialogue.frames_lines(), dialogue.awaits_quiet()), (None, false, false));
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
        // A line that an error text is only a part of.
        (&[b"The server is full!\n"], "lines: The server is full!"),
        (&[b" The server is full\n"], "lines:  The server is full"),
        (&[b"the server is full\n"], "lines: the server is full"),
        (&[b"HiYou entered an invalid command\n"], "lines: HiYou entered an invalid command"),
        (&[b"HiYou entered an invalid command", b"\n"], "lines: HiYou entered an invalid command"),
        // Found for good: what comes later changes nothing.
        (&[b"Hi\n", b"The server is full\n"], "lines: Hi"),
        (&[b"Hi\nYou entered an invalid command", PAUSE], "lines: Hi"),
        (&[b"Hi\n", b"\xff", PAUSE], "lines: Hi"),
    ]);
}

#[test]
fn an_error_line_in_place_of_the_greeting_is_the_error() {
    for error in errors::ALL {
        let refused = format!("{:?}", Fault::Refused(error.into()));
        for end in ["\n", "\r\n", "\nmore", "\n\n"] {
            let text = format!("{error}{end}");
            assert_eq!(greeted(&[text.as_bytes()]), refused, "{text:?}");
            for cut in 1..=error.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                assert_eq!(greeted(&[first, second]), refused, "{text:?} cut at {cut}");
            }
        }
        // Not a line so far.
        assert_eq!(greeted(&[error.as_bytes()]), "waits");
        assert_eq!(greeted(&[error.as_bytes(), EOF]), format!("foreign: {error}"));
    }
}

#[test]
fn the_originals_greeting_stands_before_its_error_text_once_it_is_quiet() {
    check(&[
        (&[b"Welcome to the serverYou entered an invalid command", PAUSE], "bare: Welcome to the server"),
        (&[b"Welcome to the server", b"You entered an invalid command", PAUSE], "bare: Welcome to the server"),
        (&[b"Welcome", PAUSE, b"You entered an inv", PAUSE, b"alid command", PAUSE], "bare: Welcome"),
        (&[b"You entered an invalid command", PAUSE], "bare: "),
        (&["Grüß GottYou entered an invalid command".as_bytes(), PAUSE], "bare: Grüß Gott"),
        (&[b"The server is full", b"You entered an invalid command", PAUSE], "bare: The server is full"),
        (&[b"You entered", b"You entered an invalid command", PAUSE], "bare: You entered"),
        // Without the quiet time it may be the beginning of something else.
        (&[b"HiYou entered an invalid command"], "waits"),
        (&[b"HiYou entered an invalid command", b".", PAUSE], "waits"),
        (&[b"HiYou entered an invalid command", b".", PAUSE, b"\n"], "lines: HiYou entered an invalid command."),
        // Found for good.
        (&[b"HiYou entered an invalid command", PAUSE, b"\n", PAUSE], "bare: Hi"),
    ]);
}

#[test]
fn silence_alone_proves_nothing() {
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
    // Nor does a call at the wrong time.
    let mut dialogue = Dialogue::new();
    dialogue.receive(b"Hi").unwrap();
    assert_eq!((dialogue.quiet(), dialogue.greeting()), (Ok(()), None));
}

#[test]
fn the_end_before_the_greeting_is_an_error_that_carries_the_text() {
    check(&[
        (&[EOF], "Closed"),
        (&[b"Welcome to the server", EOF], "foreign: Welcome to the server"),
        (&[b"SSH-2.0-Open", b"SSH_9.9\r", EOF], "foreign: SSH-2.0-OpenSSH_9.9\\r"),
        (&[b"HiYou entered an invalid command", EOF], "foreign: HiYou entered an invalid command"),
        (&[b"\xff\xfb\x01", EOF], "foreign: \\xff\\xfb\\x01"),
        (&[b"Hi\n", EOF], "Closed"),
        (&[b"HiYou entered an invalid command", PAUSE, EOF], "Closed"),
    ]);
    // A deadline is the caller's, the text is here.
    let mut dialogue = Dialogue::new();
    dialogue.receive(b"Welc").unwrap();
    assert_eq!(dialogue.foreign(), Fault::Protocol(b"Welc".to_vec()));
}

#[test]
fn a_greeting_that_is_not_utf_8_is_an_error_that_carries_the_text() {
    check(&[
        (&[b"Hi\xff\n"], "foreign: Hi\\xff\\n"),
        (&[b"Hi\xff"], "waits"),
        (&[b"Hi\xc3", b"\n"], "foreign: Hi\\xc3\\n"),
        (&[b"\xffYou entered an invalid command", PAUSE], "foreign: \\xffYou entered an invalid command"),
    ]);
}

#[test]
fn at_most_64_kib_are_read_for_the_greeting() {
    let long = vec![b'x'; LIMIT];
    let (greeting, foreign) = (format!("lines: {}", "x".repeat(LIMIT)), format!("foreign: {}", "x".repeat(LIMIT)));
    let error = &b"You entered an invalid command"[..];
    let text = &[&long[error.len()..], error].concat()[..];
    let tail = &text[..LIMIT - error.len()];
    for (reads, expected) in [
        (vec![&long[..]], "waits"),
        (vec![&long[..], b"\n"], &greeting),
        (vec![&[&long[..], b"\n"].concat()], &greeting),
        // The bytes in the error are bounded too.
        (vec![&long[..], b"x"], &foreign),
        (vec![&[&long[..], b"x\n"].concat()], &foreign),
        (vec![&long[..], &long], &foreign),
        (vec![text, PAUSE], &format!("bare: {}", str::from_utf8(tail).unwrap())),
    ] {
        let lens: Vec<_> = reads.iter().map(|read| read.len()).collect();
        assert!(greeted(&reads) == *expected, "reads of {lens:?}");
    }
    // Piece by piece.
    let mut dialogue = Dialogue::new();
    assert!(long.chunks(64).all(|piece| dialogue.receive(piece) == Ok(())));
    assert_eq!(dialogue.receive(b"x"), Err(Fault::Protocol(long)));
}

// Questions

#[test]
fn a_question_is_a_line_or_bare() {
    for (question, line) in [
        ("day", "day\n"),
        ("Time Europe/Berlin", "Time Europe/Berlin\n"),
        (" day\t", " day\t\n"),
        ("grüße", "grüße\n"),
        (&"x".repeat(COMMAND_MAX), &format!("{}\n", "x".repeat(COMMAND_MAX))),
    ] {
        assert_eq!(ask(&mut lines(), question).as_deref(), Ok(line));
        assert_eq!(ask(&mut bare(), question).as_deref(), Ok(question));
    }
}

#[test]
fn questions_that_cannot_be_asked_are_refused_and_change_nothing() {
    let (long, wide) = ("x".repeat(COMMAND_MAX + 1), "ß".repeat(COMMAND_MAX / 2 + 1));
    let blank = ["", " ", "\t", "\r", "\n", " \t\r"];
    let control = ["day\n", "day\r", "day\r\n", "\nday", "day\nquit", "a\rb", "\0", "day\x1b", "day \x7f", "\x01day"];
    for mut dialogue in [lines(), bare()] {
        for question in [&blank[..], &control, &[&long, &wide]].concat() {
            assert!(matches!(ask(&mut dialogue, question), Err(Fault::Question(_))), "{question:?}");
            assert_eq!(dialogue.reply(), Ok(None));
        }
        assert!(ask(&mut dialogue, "day").is_ok());
        let reply = if dialogue.frames_lines() { &b"Sunday\n"[..] } else { b"Sunday" };
        dialogue.receive(reply).unwrap();
        assert_eq!(dialogue.reply(), Ok(Some("Sunday".into())));
        assert!(ask(&mut dialogue, "time").is_ok());
    }
}

#[test]
fn a_question_before_the_greeting_is_refused() {
    let mut dialogue = Dialogue::new();
    assert!(matches!(ask(&mut dialogue, "day"), Err(Fault::Question(_))));
    dialogue.receive(b"Hi\n").unwrap();
    assert_eq!(ask(&mut dialogue, "day"), Ok("day\n".into()));
}

#[test]
fn a_question_within_the_greeting_is_refused_and_changes_nothing() {
    let mut dialogue = Dialogue::new();
    dialogue.receive(b"H").unwrap();
    assert!(matches!(ask(&mut dialogue, "day"), Err(Fault::Question(_))));
    dialogue.receive(b"i\n").unwrap();
    assert_eq!(dialogue.greeting(), Some("Hi"));
}

#[test]
fn the_original_is_asked_one_question_at_a_time() {
    let mut dialogue = bare();
    ask(&mut dialogue, "day").unwrap();
    assert!(matches!(ask(&mut dialogue, "time"), Err(Fault::Question(_))));
    assert_eq!(reply(&mut dialogue, b"Sun"), "…");
    assert!(matches!(ask(&mut dialogue, "time"), Err(Fault::Question(_))));
    assert_eq!(reply(&mut dialogue, b"day"), "Sunday");
    assert_eq!(ask(&mut dialogue, "time"), Ok("time".into()));
    // The question that was refused is not the one that waits.
    assert_eq!(reply(&mut dialogue, b"15:44:57"), "15:44:57");
}

// Replies

#[test]
fn a_reply_is_a_line_an_error_line_as_any_other() {
    for (come, expected) in [
        (&b"Sunday\n"[..], "Sunday"),
        (b"Sunday\r\n", "Sunday"),
        (b"Sunday", "…"),
        (b"Sunday\r", "…"),
        (b"\n", ""),
        (b"You entered an unknown time zone\n", "You entered an unknown time zone"),
        (b"The command failed\n", "The command failed"),
        (b"You entered an invalid command", "…"),
        ("groß 🙂\n".as_bytes(), "groß 🙂"),
        (b"gro\xdf\n", "foreign: gro\\xdf\\n"),
        (b"gro\xdf", "…"),
    ] {
        let mut dialogue = lines();
        ask(&mut dialogue, "day").unwrap();
        assert_eq!(reply(&mut dialogue, come), expected, "{}", come.escape_ascii());
    }
}

#[test]
fn split_and_joined_replies_come_out_one_by_one() {
    let mut dialogue = lines();
    for question in ["day", "time", "echo a", "date"] {
        ask(&mut dialogue, question).unwrap();
        assert!(dialogue.awaits_replies());
    }
    for (come, expected) in [
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
        assert_eq!(reply(&mut dialogue, come), expected, "{}", come.escape_ascii());
    }
    assert!(!dialogue.awaits_replies());
    assert!(ask(&mut dialogue, "day").is_ok(), "nothing is left over");
}

#[test]
fn nobody_who_did_not_ask_gets_a_reply() {
    let mut dialogue = lines();
    assert!(!dialogue.awaits_replies());
    assert_eq!(reply(&mut dialogue, b""), "…");
    assert_eq!(reply(&mut dialogue, b"Sunday\n"), "…");
    assert_eq!(Dialogue::new().reply(), Ok(None));
}

#[test]
fn what_is_left_over_breaks_the_next_question() {
    for (come, left) in [
        (&b"Sunday\n15:44:57\n"[..], &b"15:44:57\n"[..]),
        (b"Sunday\n\n", b"\n"),
        (b"Sunday\n1", b"1"),
        (b"Sunday\r\n\xff", b"\xff"),
    ] {
        let mut dialogue = lines();
        ask(&mut dialogue, "day").unwrap();
        assert_eq!(reply(&mut dialogue, come), "Sunday");
        assert_eq!(ask(&mut dialogue, "time"), Err(Fault::Protocol(left.to_vec())));
    }
    // Also with the greeting, and in a pause.
    let mut dialogue = Dialogue::new();
    dialogue.receive(b"Hi\nSunday\n").unwrap();
    assert_eq!(ask(&mut dialogue, "day"), Err(Fault::Protocol(b"Sunday\n".to_vec())));
    let mut dialogue = lines();
    dialogue.receive(b"b").unwrap();
    dialogue.receive(b"ye").unwrap();
    assert_eq!(ask(&mut dialogue, "day"), Err(Fault::Protocol(b"bye".to_vec())));
    // The original's.
    for (come, left) in [(&b"Sunday\n"[..], &b"\n"[..]), (b"SundaySunday", b"Sunday"), (b"Sunday15", b"15")] {
        let mut dialogue = bare();
        ask(&mut dialogue, "day").unwrap();
        assert_eq!(reply(&mut dialogue, come), "Sunday");
        assert_eq!(ask(&mut dialogue, "time"), Err(Fault::Protocol(left.to_vec())));
    }
    let mut dialogue = bare();
    dialogue.receive(b"\n").unwrap();
    assert_eq!(ask(&mut dialogue, "day"), Err(Fault::Protocol(b"\n".to_vec())));
}

#[test]
fn what_is_left_over_breaks_the_next_question_of_a_pipeline_too() {
    for (asked, come, left) in [
        (1, &b"Sunday\nnobody asked\n"[..], &b"nobody asked\n"[..]),
        (1, b"Sunday\n1", b"1"),
        (2, b"Sunday\n15:44:57\n\n", b"\n"),
        (3, b"a\nb\nc\nd\ne", b"d\ne"),
    ] {
        let mut dialogue = lines();
        (0..asked).for_each(|_| drop(ask(&mut dialogue, "day").unwrap()));
        dialogue.receive(come).unwrap();
        assert_eq!(ask(&mut dialogue, "time"), Err(Fault::Protocol(left.to_vec())), "{}", come.escape_ascii());
    }
    // As many replies as questions, or fewer, are none too many.
    for come in [&b"Sunday\nMonday\n"[..], b"Sunday\nMon", b"Sunday\n", b"Sun", b""] {
        let mut dialogue = lines();
        (0..2).for_each(|_| drop(ask(&mut dialogue, "day").unwrap()));
        dialogue.receive(come).unwrap();
        assert!(ask(&mut dialogue, "time").is_ok(), "{}", come.escape_ascii());
    }
}

#[test]
fn at_most_64_kib_are_read_for_a_reply() {
    let long = vec![b'x'; LIMIT];
    let mut dialogue = lines();
    ask(&mut dialogue, "day").unwrap();
    assert_eq!(reply(&mut dialogue, &long), "…");
    assert_eq!(reply(&mut dialogue, b"\n"), "x".repeat(LIMIT));
    let mut dialogue = lines();
    ask(&mut dialogue, "day").unwrap();
    assert_eq!(reply(&mut dialogue, &long), "…");
    assert_eq!(reply(&mut dialogue, b"x"), format!("foreign: {}", "x".repeat(LIMIT)));
    // Its newline in the same read makes it no shorter.
    let mut dialogue = lines();
    ask(&mut dialogue, "day").unwrap();
    assert_eq!(reply(&mut dialogue, &[&long[..], b"x\n"].concat()), format!("foreign: {}", "x".repeat(LIMIT)));
    // Many replies may be more.
    let mut dialogue = lines();
    (0..3).for_each(|_| drop(ask(&mut dialogue, "day").unwrap()));
    let line = [&long[..40_000], b"\n"].concat();
    assert_eq!(reply(&mut dialogue, &line.repeat(3)).len(), 40_000);
    assert_eq!(reply(&mut dialogue, b"").len(), 40_000);
    assert_eq!(reply(&mut dialogue, b"").len(), 40_000);
    assert!(ask(&mut dialogue, "day").is_ok());
}

#[test]
fn what_an_error_carries_is_at_most_64_kib() {
    for come in [[&b"Hi\n"[..], &[b'x'; LIMIT + 1]].concat(), [&b"Hi\n"[..], &b"x\n".repeat(LIMIT)].concat()] {
        let mut dialogue = Dialogue::new();
        dialogue.receive(&come).unwrap();
        let Err(Fault::Protocol(text)) = ask(&mut dialogue, "day") else { panic!("what is left over is nothing") };
        assert_eq!(text.len(), LIMIT);
    }
}

#[test]
fn the_originals_replies_are_found_by_their_shape() {
    for (question, come, expected) in [
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
        // An error reply, to any question.
        ("day", b"You entered an invalid command", "You entered an invalid command"),
        ("date", b"You entered an invalid command", "You entered an invalid command"),
        ("time", b"You entered an invalid command", "You entered an invalid command"),
        ("help", b"You entered an invalid command", "You entered an invalid command"),
        ("datetime", b"You entered an invalid command", "You entered an invalid command"),
        ("day", b"Y", "…"),
        ("help", b"You entered an invalid comman", "…"),
        // The original trims nothing and knows no zones: there these are no commands.
        ("day ", b"You entered an invalid command", "You entered an invalid command"),
        ("time UTC", b"You entered an invalid command", "You entered an invalid command"),
        // Wrong shapes, as soon as they are seen.
        ("day", b"Someday", "foreign: Someday"),
        ("day", b"s", "foreign: s"),
        ("day", b"SUN", "foreign: SUN"),
        ("day", b"\n", "foreign: \\n"),
        ("day", b"26-11-22", "foreign: 26-11-22"),
        ("day", b"15:44:57", "foreign: 15:44:57"),
        ("date", b"15:44:57", "foreign: 15:44:57"),
        ("date", b"26-1x", "foreign: 26-1x"),
        ("date", b"2026-11-22", "foreign: 2026-11-22"),
        ("date", "２６-11-22".as_bytes(), "foreign: \\xef\\xbc\\x92\\xef\\xbc\\x96-11-22"),
        ("time", b"26-11-22", "foreign: 26-11-22"),
        ("time", b"3:44:57", "foreign: 3:44:57"),
        ("time", b"15:44\xff", "foreign: 15:44\\xff"),
        ("time", b"Sunday", "foreign: Sunday"),
        ("help", b"Sunday", "foreign: Sunday"),
        ("day ", b"Sunday", "foreign: Sunday"),
        ("time UTC", b"15:44:57", "foreign: 15:44:57"),
        ("help", b"You entered an unknown time zone", "foreign: You entered an unknown time zone"),
    ] {
        let mut dialogue = bare();
        ask(&mut dialogue, question).unwrap();
        assert_eq!(reply(&mut dialogue, come), expected, "{question:?} answered by {}", come.escape_ascii());
        // Byte by byte as well.
        let mut dialogue = bare();
        ask(&mut dialogue, question).unwrap();
        let last = come.iter().map(|&byte| reply(&mut dialogue, &[byte])).find(|reply| reply != "…");
        let last = last.unwrap_or("…".into());
        assert!(last == expected || (last.starts_with("foreign") && expected.starts_with(&last)), "{last} {expected}");
    }
}

#[test]
fn every_weekday_is_a_reply_of_the_original() {
    let mut dialogue = bare();
    for day in ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] {
        ask(&mut dialogue, "day").unwrap();
        for byte in &day.as_bytes()[..day.len() - 1] {
            assert_eq!(reply(&mut dialogue, &[*byte]), "…");
        }
        assert_eq!(reply(&mut dialogue, &day.as_bytes()[day.len() - 1..]), day);
    }
}

#[test]
fn the_end_while_a_reply_is_awaited_is_the_end() {
    for mut dialogue in [lines(), bare()] {
        ask(&mut dialogue, "quit").unwrap();
        assert_eq!(dialogue.reply(), Ok(None));
        assert_eq!(dialogue.end(), Fault::Closed);
    }
}

#[test]
fn what_the_original_answers_is_understood() {
    // `reference/seed_server.py`, of which each read is a command.
    let original = |read: &str| match read.to_lowercase().as_str() {
        "day" => "Sunday",
        "date" => "26-11-22",
        "time" => "15:44:57",
        "quit" | "exit" => "",
        _ => "You entered an invalid command",
    };
    let mut dialogue = Dialogue::new();
    dialogue.receive(b"Welcome to the server").unwrap();
    dialogue.receive(original(str::from_utf8(Dialogue::HELLO).unwrap()).as_bytes()).unwrap();
    assert!(dialogue.awaits_quiet());
    dialogue.quiet().unwrap();
    assert_eq!(dialogue.greeting(), Some("Welcome to the server"));
    for question in ["day", "DATE", "Time", "datetime", "help", " day", "day UTC", "daytime", "time"] {
        let sent = ask(&mut dialogue, question).unwrap();
        assert_eq!(reply(&mut dialogue, original(&sent).as_bytes()), original(question), "{question:?}");
    }
}
