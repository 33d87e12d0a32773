//! The rules of framing, one table for each rule: the reads of a server and its output.
//!
//! The rules are those of `src/protocol/protocol.md`, and the name of a test has the number of its rule. properties.rs
//! tests the invariant for every segmentation.

use daytime::protocol::{
    COMMAND_MAX, Call, Command, Framing, Framing::Auto, Framing::Line, GREETING, Next, QUIET, ServerSession,
};

use crate::conversation::{Conversation, EOF, PAUSE, Step, TestResponder, auto, converse, framed, size};

/// `text`, then blanks up to `len` bytes.
fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(len, b' ');
    bytes
}

// ---- The original

#[test]
fn clients_of_the_original_get_the_replies_of_the_original() {
    let full = |reads: &[&[u8]]| {
        let mut conversation = Conversation::new(Auto, GREETING);
        reads.iter().for_each(|read| conversation.read(read));
        conversation.text()
    };
    assert_eq!(full(&[]), "Welcome to the server");
    assert_eq!(GREETING.len(), 21);
    assert_eq!(full(&[b"day", b"DATE", b"time"]), "Welcome to the serverSunday26-11-2215:44:57");
    assert_eq!(full(&[b"dAy", b"date", b"TiMe", b"quit"]), "Welcome to the serverSunday26-11-2215:44:57■");
    assert_eq!(full(&[b"exit", b"day"]), "Welcome to the server■");
    for other in [&b"hello"[..], b"days", b"daydate", b" ", b"\xff", b"day\0", &[b'x'; 5000]] {
        assert_eq!(full(&[other, PAUSE]), "Welcome to the serverYou entered an invalid command");
    }
}

#[test]
fn the_faults_of_the_original_are_fixed() {
    auto(&[
        (&[b"day\n"], "Hi\nSunday\n"),
        (&[b"day\ntime\n"], "Hi\nSunday\n15:44:57\n"),
        (&[b"d", b"ay"], "Hi"),
        (&[b"d", b"ay", PAUSE], "HiSunday"),
        (&[b"d", b"ay\n"], "Hi\nSunday\n"),
        (&[b"day", EOF], "HiSunday■"),
        (&[b"what", EOF], "HiYou entered an invalid command■"),
        (&[b"\xff\n", b"day\n"], "Hi\nYou entered an invalid command\nSunday\n"),
        (&[b"\n"], "Hi\n"),
    ]);
}

// ---- Framing

#[test]
fn rule_1_a_reply_ends_as_its_command_did() {
    auto(&[
        (&[b"day\n"], "Hi\nSunday\n"),
        (&[b"day\r\n"], "Hi\r\nSunday\r\n"),
        (&[b"day"], "HiSunday"),
        (&[b"day\nDATE\r\ntime\nquit\n"], "Hi\nSunday\n26-11-22\r\n15:44:57\n■"),
        (&[b"day\r\ntime", EOF], "Hi\r\nSunday\r\n15:44:57■"),
        (
            &[b"what\r\nday x\nfail\r\n"],
            concat!(
                "Hi\r\nYou entered an invalid command\r\n",
                "You entered an unknown time zone\n",
                "The command failed\r\n"
            ),
        ),
        // One CR belongs to the terminator. A second CR is a blank of the command.
        (&[b"day\r\r\n"], "Hi\r\nSunday\r\n"),
        (&[b"day\r", b"\n"], "Hi\r\nSunday\r\n"),
        (&[b"day\r", b"\r", b"\n"], "Hi\r\nSunday\r\n"),
        (&[b"\nday\r", b"\ntime", b"\r\n"], "Hi\nSunday\r\n15:44:57\r\n"),
    ]);
}

#[test]
fn rule_2_the_first_line_end_frames_lines_for_good() {
    auto(&[
        (&[b"\n", b"day"], "Hi\n"),
        (&[b"\n", b"day", PAUSE], "Hi\n"),
        (&[b"\n", b"day", PAUSE, b"\n"], "Hi\nSunday\n"),
        (&[b"\n", b"day", PAUSE, EOF], "Hi\nSunday■"),
        (&[b"time\n", b"day", b"date\n"], "Hi\n15:44:57\nYou entered an invalid command\n"),
        (&[b"day", b"time\n", b"date", PAUSE], "HiSunday\n15:44:57\n"),
        (&[b"what", PAUSE, b"\n", b"quit"], "HiYou entered an invalid command\n"),
    ]);
    let mut conversation = Conversation::new(Auto, "Hi");
    for (read, awaits) in [(&b"da"[..], true), (b"y\nti", false), (b"me", false), (b"\nd", false)] {
        conversation.read(read);
        assert_eq!(conversation.session.needs_timeout(), awaits, "after {read:?}");
    }
}

#[test]
fn rule_3_a_bare_name_is_answered_at_once() {
    auto(&[
        (&[b"day"], "HiSunday"),
        (&[b"DATETIME"], "Hi2026-11-22T15:44:57+00:00"),
        (&[b"Timestamp"], "Hi1795362297"),
        (&[b"QuIt"], "Hi■"),
        (&[b"ECHO"], "HiThe command failed"),
        (&["GRößE".as_bytes()], "Higroß"),
        (&[b"day", b"day", b"day"], "HiSundaySundaySunday"),
        // After a command that the quiet time has ended, the session holds no bytes.
        (&[b"what", PAUSE, b"day"], "HiYou entered an invalid commandSunday"),
        // A name with blanks or with an argument is held.
        (&[b"day "], "Hi"),
        (&[b" day"], "Hi"),
        (&[b"day\r"], "Hi"),
        (&[b"day UTC"], "Hi"),
        (&[b"dayday"], "Hi"),
        // A name after held bytes is held too: after blanks, half a name, or a command that is too long.
        (&[b" ", b"day"], "Hi"),
        (&[b" ", b"day", PAUSE], "HiSunday"),
        (&[b"date", b"time", b"x", b"day", PAUSE], "Hi26-11-2215:44:57You entered an invalid command"),
        (&[&[b'x'; 1025], b"quit"], "Hi"),
    ]);
}

#[test]
fn rule_4_the_quiet_time_ends_a_held_command() {
    auto(&[
        (&[b"day UTC", PAUSE], "HiSunday"),
        (&[b" day\t", PAUSE], "HiSunday"),
        (&[b"day\r", PAUSE], "HiSunday"),
        (&[b"time +05:30", PAUSE, b"day", PAUSE], "Hi21:14:57Sunday"),
        (&[b"daytime", PAUSE], "HiYou entered an invalid command"),
        (&[b"day x", PAUSE], "HiYou entered an unknown time zone"),
        (&[b" quit", PAUSE, b"day"], "Hi■"),
        (&[b"echo hello world", PAUSE], "Hihello world"),
        (&[b"bye ", PAUSE], "HiBye■"),
        // A client that has sent only blanks gets an error, and does not wait forever.
        (&[b" ", PAUSE], "HiYou entered an invalid command"),
        (&[b"\r", PAUSE, b" \t\r", PAUSE], "HiYou entered an invalid commandYou entered an invalid command"),
        (&[b" ", EOF], "HiYou entered an invalid command■"),
        (&[b"day", b"\t", EOF], "HiSundayYou entered an invalid command■"),
        // Without held bytes, the quiet time has no effect.
        (&[PAUSE, PAUSE], "Hi"),
        (&[b"day", PAUSE], "HiSunday"),
        (&[b"what", PAUSE, PAUSE], "HiYou entered an invalid command"),
    ]);
    assert_eq!(QUIET.as_millis(), 300);
}

#[test]
fn rule_5_a_line_end_completes_a_bare_reply() {
    auto(&[
        (&[b"day\n"], "Hi\nSunday\n"),
        (&[b"day\r\n"], "Hi\r\nSunday\r\n"),
        (&[b"day", b"time\n"], "HiSunday\n15:44:57\n"),
        (&[b"what", PAUSE, b"time\r\n"], "HiYou entered an invalid command\r\n15:44:57\r\n"),
        (&[b"echo a", PAUSE, b"echo b\n"], "Hia\nb\n"),
        (&[b"quit\n"], "Hi\n■"),
        (&[b"quit\r\n"], "Hi\r\n■"),
        (&[b"day", b"quit\n"], "HiSunday\n■"),
        (&[b"day\nquit\n"], "Hi\nSunday\n■"),
        (&[b"what\n"], "Hi\nYou entered an invalid command\n"),
        (&[b"echo a\n"], "Hi\na\n"),
        (&[&[b'x'; 1025], b"\r\n"], "Hi\r\nYou entered an invalid command\r\n"),
    ]);
}

#[test]
fn rule_5_an_empty_line_gives_one_terminator_in_all() {
    auto(&[
        (&[b"\n"], "Hi\n"),
        (&[b"\r\n"], "Hi\r\n"),
        (&[b"\n\n\r\n\n"], "Hi\n\n\r\n\n"),
        (&[b"\n", b"\n"], "Hi\n\n"),
        (&[b"day", b"\n"], "HiSunday\n"),
        (&[b"day", b"\n", b"\n"], "HiSunday\n\n"),
        (&[b"day\n\n"], "Hi\nSunday\n\n"),
        // S9 of tests/server/faults.rs: a line of blanks is an empty line too, whole or in pieces.
        (&[b" \n"], "Hi\n"),
        (&[b"\t \n \n"], "Hi\n\n"),
        (&[b"\r\r\n"], "Hi\r\n"),
        (&[b"\r", b"\r", b"\n"], "Hi\r\n"),
        (&[b"\n", b" ", b"\r", b"\n"], "Hi\n\r\n"),
        (&[b"\n", b"\r ", b"\n"], "Hi\n\n"),
    ]);
    assert_eq!(converse(Auto, &[&b"\n".repeat(200)]), format!("Hi{}", "\n".repeat(200)));
    assert_eq!(converse(Auto, &[&b"\n"[..]; 200]), format!("Hi{}", "\n".repeat(200)));
    // The greatest length of a command in blanks, and one blank more.
    assert_eq!(converse(Auto, &[&padded("", 1024), b"\n"]), "Hi\n");
    assert_eq!(converse(Auto, &[&padded("", 1025), b"\n"]), "Hi\nYou entered an invalid command\n");
}

#[test]
fn rule_5_an_empty_greeting_is_completed_like_any_other() {
    for (framing, read, expected) in [
        (Auto, &b"\n"[..], "\n"),
        (Auto, b"day\r\n", "\r\nSunday\r\n"),
        (Auto, b"day", "Sunday"),
        (Line, b"\n", "\n"),
        (Line, b"day\n", "\nSunday\n"),
    ] {
        let mut conversation = Conversation::new(framing, "");
        conversation.read(read);
        assert_eq!(conversation.text(), expected, "{framing:?} {read:?}");
    }
}

#[test]
fn rule_6_an_eof_ends_a_held_command() {
    auto(&[
        (&[EOF], "Hi■"),
        (&[b"time UTC", EOF], "Hi15:44:57■"),
        (&[b"time UTC\r", EOF], "Hi15:44:57■"),
        (&[b"day\ntime", EOF], "Hi\nSunday\n15:44:57■"),
        (&[b"day\r\nti", b"me\r", EOF], "Hi\r\nSunday\r\n15:44:57■"),
        (&[b"\nwhat", EOF], "Hi\nYou entered an invalid command■"),
        (&[b"\nquit", EOF], "Hi\n■"),
        (&[b"\necho a", EOF], "Hi\na■"),
        (&[b"\nbye", EOF], "Hi\nBye■"),
        // After a line, a tail of blanks alone has no reply.
        (&[b"day\n ", EOF], "Hi\nSunday\n■"),
        (&[b"day\n\r", EOF], "Hi\nSunday\n■"),
        (&[b"\n", b"\t", b" \r", EOF], "Hi\n■"),
    ]);
}

#[test]
fn rule_7_a_command_may_have_1024_bytes() {
    assert_eq!(COMMAND_MAX, 1024);
    let (sunday, invalid) = ("Sunday", "You entered an invalid command");
    for (len, reply) in [(1023, sunday), (1024, sunday), (1025, invalid), (1026, invalid), (100_000, invalid)] {
        let day = &padded("day", len)[..];
        let [lf, cr, crlf, more] = [&b"\n"[..], b"\r", b"\r\n", b"\nday\n"].map(|end| [day, end].concat());
        let one = [
            (&[&lf[..]][..], format!("Hi\n{reply}\n")),
            (&[day, b"\n"], format!("Hi\n{reply}\n")),
            // The `\n` and one `\r` before it do not count, wherever TCP cuts them.
            (&[&crlf], format!("Hi\r\n{reply}\r\n")),
            (&[&cr, b"\n"], format!("Hi\r\n{reply}\r\n")),
            (&[day, b"\r\n"], format!("Hi\r\n{reply}\r\n")),
            (&[day, b"\r", b"\n"], format!("Hi\r\n{reply}\r\n")),
            // The error takes the place of the reply.
            (&[day, PAUSE], format!("Hi{reply}")),
            (&[&cr, PAUSE], format!("Hi{reply}")),
            (&[day, EOF], format!("Hi{reply}■")),
            (&[&cr, EOF], format!("Hi{reply}■")),
            (&[b"\n", day, EOF], format!("Hi\n{reply}■")),
            (&[b"\n", day, PAUSE], "Hi\n".to_owned()),
            (&[b"\n", day, PAUSE, b"\n"], format!("Hi\n{reply}\n")),
            (&[&more], format!("Hi\n{reply}\nSunday\n")),
        ];
        for (reads, expected) in one {
            let lens: Vec<_> = reads.iter().map(|read| read.len()).collect();
            assert_eq!(converse(Auto, reads), expected, "{len} bytes in reads of {lens:?}");
        }
    }
}

#[test]
fn rule_7_a_cr_at_the_edge_counts_if_it_does_not_end_the_line() {
    let (sunday, invalid) = ("Hi\r\nSunday\r\n", "Hi\r\nYou entered an invalid command\r\n");
    for (blanks, crs, expected) in [(1020, 2, sunday), (1019, 3, sunday), (1021, 2, invalid), (1020, 3, invalid)] {
        let line = ["day", &" ".repeat(blanks), &"\r".repeat(crs), "\n"].concat();
        let bytes = line.as_bytes();
        for cut in 1020..bytes.len() {
            assert_eq!(converse(Auto, &[&bytes[..cut], &bytes[cut..]]), expected, "{blanks} {crs} cut at {cut}");
        }
    }
    // The session keeps one CR beyond the limit. Here the line continues after that CR.
    assert_eq!(converse(Auto, &[&padded("day", 1024), b"\r", b"x", b"\r\n"]), invalid);
    assert_eq!(converse(Auto, &[&padded("day", 1024), b"\r", b"x", b"\n"]), "Hi\nYou entered an invalid command\n");
    // In a command that is too long, only the last byte before the `\n` decides its line end.
    assert_eq!(converse(Auto, &[&padded("day", 1025), b"\r", b" ", b"\n"]), "Hi\nYou entered an invalid command\n");
}

#[test]
fn rule_7_a_longer_command_is_discarded() {
    let mut conversation = Conversation::new(Auto, "Hi");
    let fresh = size(&conversation.session);
    conversation.read(&[0xff; COMMAND_MAX]);
    assert!(size(&conversation.session) > fresh + 4 * COMMAND_MAX, "`size` counts held bytes");
    conversation.read(b"\xff");
    for _ in 0..100 {
        assert!(size(&conversation.session) < fresh + 32);
        conversation.read(&[b'x'; 10_000]);
    }
    conversation.read(b"\n");
    assert!(size(&conversation.session) < fresh + 32);
    assert_eq!(conversation.text(), "Hi\nYou entered an invalid command\n");
}

#[test]
fn rule_7_the_quiet_time_ends_a_longer_command_only_before_the_first_line_end() {
    let long: &[u8] = &[b'x'; 2000];
    auto(&[
        (&[long, PAUSE], "HiYou entered an invalid command"),
        (&[long, long, PAUSE, b"day"], "HiYou entered an invalid commandSunday"),
        (&[long, PAUSE, b"y\n"], "HiYou entered an invalid command\nYou entered an invalid command\n"),
        (&[b"\n", long, PAUSE, long], "Hi\n"),
        (&[b"\n", long, PAUSE, long, b"\nday\n"], "Hi\nYou entered an invalid command\nSunday\n"),
    ]);
}

#[test]
fn rule_8_blanks_around_a_command_are_ignored() {
    let lines =
        ["day", " day", "day ", "\tday\t", "\rday \r ", " \t\r day \t\r UTC\t", "day\tUTC", "day\rUTC", "DAY utc"];
    for line in lines {
        let line = format!("{line}\n");
        assert_eq!(converse(Auto, &[line.as_bytes()]), "Hi\nSunday\n", "{line:?}");
        assert_eq!(converse(Line, &[line.as_bytes()]), "Hi\nSunday\n", "{line:?}");
    }
}

#[test]
fn rule_8_the_argument_is_trimmed_but_neither_folded_nor_split() {
    for (line, argument) in [
        (&b"echo\n"[..], ""),
        (b" echo \t\r\n", ""),
        (b"\tEcho \r A  b\tC \r\r\n", "A  b\tC"),
        (b"ECHO echo\n", "echo"),
        ("echo ÄÖ\u{a0}\u{85}\n".as_bytes(), "ÄÖ\u{a0}\u{85}"),
    ] {
        let (taken, next) =
            ServerSession::new(Auto).receive(line, &mut TestResponder::default(), &mut Vec::new()).step();
        let call = Call { command: 0, argument: argument.into() };
        assert_eq!((taken, next), (line.len(), Next::Call(call)), "{}", line.escape_ascii());
    }
}

#[test]
fn rule_8_names_fold_in_ascii_only() {
    // S10 of tests/server/faults.rs: full width, a dotless i, a dotted I, a long s, a soft hyphen, and others.
    for name in ["ＤＡＹ", "tıme", "tİme", "timeſtamp", "da\u{ad}y", "gRÖßE", "gröẞe", "\u{feff}day"] {
        let line = format!("{name}\n");
        assert_eq!(converse(Auto, &[line.as_bytes()]), "Hi\nYou entered an invalid command\n", "{name:?}");
    }
    let mut responder = TestResponder::default();
    responder.commands.add("k").unwrap();
    assert_eq!(responder.commands.find("K".as_bytes()), Some(Command::Custom(6)));
    assert_eq!(responder.commands.find("\u{212a}".as_bytes()), None);
    for letters in ["timestamp", "TIMESTAMP", "tImEsTaMp"] {
        assert_eq!(responder.commands.find(letters.as_bytes()), Some(Command::Timestamp));
    }
}

#[test]
fn rule_8_a_command_with_control_bytes_or_invalid_utf_8_is_an_error() {
    let mut invalid: Vec<Vec<u8>> = Vec::new();
    for byte in (0..=0x1f).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        // The byte is before, within and after the name, and in the argument.
        invalid.extend([
            vec![byte],
            [&[byte], &b"day"[..]].concat(),
            vec![b'd', byte, b'y'],
            [b"day", &[byte][..]].concat(),
        ]);
        invalid.extend([[b"day UTC", &[byte][..]].concat(), [b"echo a", &[byte][..], b"b"].concat()]);
    }
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82", b"day \xff"] {
        invalid.extend([bytes.to_vec(), [b"echo ", bytes].concat(), [bytes, b" "].concat()]);
    }
    // S7 and S8 of tests/server/faults.rs: other encodings and other protocols.
    invalid.extend([
        b"\xff\xfb\x1f\xff\xfd\x03".to_vec(),
        b"\xff\xfed\0a\0y\0".to_vec(),
        b"\xef\xbb\xbfday".to_vec(),
        b"\x1b[Aday".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1".to_vec(),
        b"SSH-2.0-OpenSSH_9.9".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443".to_vec(),
    ]);
    for body in invalid {
        let shown = body.escape_ascii();
        let replies = "Hi\nYou entered an invalid command\nSunday\n";
        assert_eq!(converse(Auto, &[&body, b"\n", b"day\n"]), replies, "{shown}");
        assert_eq!(converse(Auto, &[&[&body, &b"\nday\n"[..]].concat()]), replies, "{shown}");
        assert_eq!(converse(Auto, &[&body, PAUSE, b"day"]), "HiYou entered an invalid commandSunday", "{shown}");
        assert_eq!(converse(Auto, &[b"day", &body, EOF]), "HiSundayYou entered an invalid command■", "{shown}");
    }
}

#[test]
fn rule_8_a_command_with_an_extra_argument_is_an_error() {
    for name in ["timestamp", "help", "quit", "exit"] {
        let line = format!("{name} now\nday\n");
        assert_eq!(converse(Auto, &[line.as_bytes()]), "Hi\nYou entered an invalid command\nSunday\n", "{name}");
    }
    auto(&[
        (&[b"quit now", PAUSE, b"day"], "HiYou entered an invalid commandSunday"),
        (&[b"quit \r\n"], "Hi\r\n■"),
        (&[b"timestamp\t\n"], "Hi\n1795362297\n"),
        // Everything after the name is one argument, the zone.
        (&[b"day UTC UTC\n"], "Hi\nYou entered an unknown time zone\n"),
    ]);
}

#[test]
fn rule_9_after_quit_nothing_more_is_executed() {
    auto(&[
        (&[b"day\nquit\ntime\necho x\n"], "Hi\nSunday\n■"),
        (&[b"day\nquit\n", b"time\n", PAUSE, EOF], "Hi\nSunday\n■"),
        (&[b"day\nexit\r\n\n\n"], "Hi\nSunday\n■"),
        (&[b"bye\nday\n"], "Hi\nBye\n■"),
        (&[b"bye", b"day"], "HiBye■"),
        (&[b"\nday\nquit", b"\ntime\n"], "Hi\nSunday\n■"),
    ]);
    let (mut session, mut responder, mut out) = (ServerSession::new(Auto), TestResponder::default(), Vec::new());
    assert_eq!(session.receive(b"quit\nday\n", &mut responder, &mut out).step(), (5, Next::Close));
    // The session takes later input and discards it.
    for _ in 0..3 {
        assert_eq!(session.receive(b"day\ntim", &mut responder, &mut out).step(), (7, Next::Close));
        assert!(!session.needs_timeout());
    }
    assert_eq!(session.handle_eof(&mut responder, &mut out).next, Next::Close);
    assert_eq!(out, b"\n");
    assert_eq!(responder.log, [("quit".to_owned(), true)]);
}

#[test]
fn framing_line_ends_the_greeting_and_never_answers_bare() {
    framed(&[
        (&[], "Hi\n"),
        // Rules 3 and 4 do not apply.
        (&[b"day"], "Hi\n"),
        (&[b"day", PAUSE], "Hi\n"),
        (&[b"what", PAUSE, b"\n"], "Hi\nYou entered an invalid command\n"),
        (&[b"day", PAUSE, b"\n"], "Hi\nSunday\n"),
        (&[b"day", b"time\n"], "Hi\nYou entered an invalid command\n"),
        // The greeting has its newline, so a line end completes nothing.
        (&[b"day\ntime\r\n"], "Hi\nSunday\n15:44:57\r\n"),
        (&[b"quit\n"], "Hi\n■"),
        // The newline of the greeting is the reply to an empty first line, and to no other line.
        (&[b"\n"], "Hi\n"),
        (&[b"\r\n"], "Hi\n"),
        (&[b" \t\r\n"], "Hi\n"),
        (&[b"\n\n"], "Hi\n\n"),
        (&[b"\n", b"\r\n", b"\n"], "Hi\n\r\n\n"),
        (&[b"\nday\n"], "Hi\nSunday\n"),
        (&[b"day\n\n"], "Hi\nSunday\n\n"),
        // Rule 6 applies.
        (&[EOF], "Hi\n■"),
        (&[b"day", EOF], "Hi\nSunday■"),
        (&[b" \r", EOF], "Hi\n■"),
        (&[b"day\n", b"quit", EOF], "Hi\nSunday\n■"),
        (&[&[b'x'; 1025], PAUSE], "Hi\n"),
        (&[&[b'x'; 1025], EOF], "Hi\nYou entered an invalid command■"),
    ]);
}

#[test]
fn framing_is_auto_or_line() {
    assert_eq!(["auto", "line"].map(str::parse), [Ok(Auto), Ok(Line)]);
    assert_eq!(Framing::default(), Auto);
    for text in ["", "Auto", "LINE", "line ", "none"] {
        assert!(text.parse::<Framing>().is_err(), "{text:?}");
    }
}

#[test]
fn limits_are_as_documented() {
    auto(&[
        // TCP cuts a first line exactly after a command's name. An empty first line avoids that, as does `line`.
        (&[b"time", b"\n"], "Hi15:44:57\n"),
        (&[b"day", b" UTC\n"], "HiSunday\nYou entered an invalid command\n"),
        (&[b"\n", b"time", b"\n"], "Hi\n15:44:57\n"),
        // TCP joins two bare commands.
        (&[b"daydate", PAUSE], "HiYou entered an invalid command"),
        // Telnet in character mode: the user types slower than the quiet time, until Enter.
        (
            &[b"d", PAUSE, b"a", PAUSE, b"\r\n", b"d", PAUSE, b"a", b"y", PAUSE, b"\r\n"],
            "HiYou entered an invalid commandYou entered an invalid command\r\nSunday\r\n",
        ),
        // A line that ends in CR alone is a bare command. Two such lines in one read are an error.
        (&[b"day\r", PAUSE, b"time\r", PAUSE], "HiSunday15:44:57"),
        (&[b"time\rdate\r", PAUSE], "HiYou entered an unknown time zone"),
        (&[b"quit\rdate\r", PAUSE], "HiYou entered an invalid command"),
    ]);
    assert_eq!(converse(Line, &[b"time", b"\n"]), "Hi\n15:44:57\n");
}
