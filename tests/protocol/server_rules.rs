//! The rules of the wire, one table each: what a client sends, read by read, and what it reads. They hold the server's
//! side of the core to `protocol.md`, whose numbers the names carry; what holds for *every* segmentation is the
//! business of `invariant.rs`.

use crate::conversation::{Desk, EOF, NOW, PAUSE, Talk, size, talk};
use daytime::protocol::{
    COMMAND_MAX, Call, Command, Commands, Formats, Framing, Framing::Auto, Framing::Line, GREETING, Next, OWED_MAX,
    QUIET, REPLY_MAX, Session, Stamp, Zone, check_reply, errors, rfc867, rfc868, rfc868_seconds,
};
use proptest::prelude::*;

type Row<'a> = (&'a [&'a [u8]], &'a str);

fn auto(rows: &[Row]) {
    check(Auto, rows);
}

fn framed(rows: &[Row]) {
    check(Line, rows);
}

fn check(framing: Framing, rows: &[Row]) {
    for (reads, expected) in rows {
        let shown: Vec<_> = reads.iter().map(|read| read.escape_ascii().to_string()).collect();
        assert_eq!(talk(framing, reads), *expected, "where {framing:?} reads {shown:?}");
    }
}

/// `text`, then blanks up to `len` bytes.
fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(len, b' ');
    bytes
}

// What the original does

#[test]
fn the_originals_clients_read_what_they_read_from_it() {
    let full = |reads: &[&[u8]]| {
        let mut talk = Talk::new(Auto, GREETING);
        reads.iter().for_each(|read| talk.read(read));
        talk.text()
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
fn the_originals_faults_are_gone() {
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

// Framing

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
        // One CR belongs to the terminator; a second is a blank of the command.
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
    let mut talk = Talk::new(Auto, "Hi");
    for (read, awaits) in [(&b"da"[..], true), (b"y\nti", false), (b"me", false), (b"\nd", false)] {
        talk.read(read);
        assert_eq!(talk.session.awaits_quiet(), awaits, "after {read:?}");
    }
}

#[test]
fn rule_3_before_that_a_read_that_is_exactly_a_name_is_answered_at_once() {
    auto(&[
        (&[b"day"], "HiSunday"),
        (&[b"DATETIME"], "Hi2026-11-22T15:44:57+00:00"),
        (&[b"Timestamp"], "Hi1795362297"),
        (&[b"QuIt"], "Hi■"),
        (&[b"ECHO"], "HiThe command failed"),
        (&["GRößE".as_bytes()], "Higroß"),
        (&[b"day", b"day", b"day"], "HiSundaySundaySunday"),
        // After a command that the quiet time ended, nothing is held.
        (&[b"what", PAUSE, b"day"], "HiYou entered an invalid commandSunday"),
        // No blanks, no argument.
        (&[b"day "], "Hi"),
        (&[b" day"], "Hi"),
        (&[b"day\r"], "Hi"),
        (&[b"day UTC"], "Hi"),
        (&[b"dayday"], "Hi"),
        // Nothing held before it: blanks, half a name, and what is too long are held.
        (&[b" ", b"day"], "Hi"),
        (&[b" ", b"day", PAUSE], "HiSunday"),
        (&[b"date", b"time", b"x", b"day", PAUSE], "Hi26-11-2215:44:57You entered an invalid command"),
        (&[&[b'x'; 1025], b"quit"], "Hi"),
    ]);
}

#[test]
fn rule_4_what_is_held_is_one_command_once_it_is_quiet() {
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
        // A client that waits for some answer gets one.
        (&[b" ", PAUSE], "HiYou entered an invalid command"),
        (&[b"\r", PAUSE, b" \t\r", PAUSE], "HiYou entered an invalid commandYou entered an invalid command"),
        (&[b" ", EOF], "HiYou entered an invalid command■"),
        (&[b"day", b"\t", EOF], "HiSundayYou entered an invalid command■"),
        // Where nothing is held nothing is said.
        (&[PAUSE, PAUSE], "Hi"),
        (&[b"day", PAUSE], "HiSunday"),
        (&[b"what", PAUSE, PAUSE], "HiYou entered an invalid command"),
    ]);
    assert_eq!(QUIET.as_millis(), 300);
}

#[test]
fn rule_5_a_line_end_completes_what_was_sent_bare() {
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
        // S9: blanks alone are an empty line too, whole or in pieces.
        (&[b" \n"], "Hi\n"),
        (&[b"\t \n \n"], "Hi\n\n"),
        (&[b"\r\r\n"], "Hi\r\n"),
        (&[b"\r", b"\r", b"\n"], "Hi\r\n"),
        (&[b"\n", b" ", b"\r", b"\n"], "Hi\n\r\n"),
        (&[b"\n", b"\r ", b"\n"], "Hi\n\n"),
    ]);
    assert_eq!(talk(Auto, &[&b"\n".repeat(200)]), format!("Hi{}", "\n".repeat(200)));
    assert_eq!(talk(Auto, &[&b"\n"[..]; 200]), format!("Hi{}", "\n".repeat(200)));
    // As many blanks as a command may have bytes, and one more.
    assert_eq!(talk(Auto, &[&padded("", 1024), b"\n"]), "Hi\n");
    assert_eq!(talk(Auto, &[&padded("", 1025), b"\n"]), "Hi\nYou entered an invalid command\n");
}

#[test]
fn rule_5_an_empty_greeting_is_completed_as_any_other() {
    for (framing, read, expected) in [
        (Auto, &b"\n"[..], "\n"),
        (Auto, b"day\r\n", "\r\nSunday\r\n"),
        (Auto, b"day", "Sunday"),
        (Line, b"\n", "\n"),
        (Line, b"day\n", "\nSunday\n"),
    ] {
        let mut talk = Talk::new(framing, "");
        talk.read(read);
        assert_eq!(talk.text(), expected, "{framing:?} {read:?}");
    }
}

#[test]
fn rule_6_the_end_ends_what_is_held() {
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
        // After a line, a tail of only blanks is nothing.
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
            // The `\n` and one `\r` before it are not counted, wherever TCP cuts them.
            (&[&crlf], format!("Hi\r\n{reply}\r\n")),
            (&[&cr, b"\n"], format!("Hi\r\n{reply}\r\n")),
            (&[day, b"\r\n"], format!("Hi\r\n{reply}\r\n")),
            (&[day, b"\r", b"\n"], format!("Hi\r\n{reply}\r\n")),
            // The one reply goes where it would have gone.
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
            assert_eq!(talk(Auto, reads), expected, "{len} bytes in reads of {lens:?}");
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
            assert_eq!(talk(Auto, &[&bytes[..cut], &bytes[cut..]]), expected, "{blanks} {crs} cut at {cut}");
        }
    }
    // The one CR that is kept beyond the edge is not at the end after all.
    assert_eq!(talk(Auto, &[&padded("day", 1024), b"\r", b"x", b"\r\n"]), invalid);
    assert_eq!(talk(Auto, &[&padded("day", 1024), b"\r", b"x", b"\n"]), "Hi\nYou entered an invalid command\n");
    // Of what is too long the last byte alone says how the line ended.
    assert_eq!(talk(Auto, &[&padded("day", 1025), b"\r", b" ", b"\n"]), "Hi\nYou entered an invalid command\n");
}

#[test]
fn rule_7_of_a_longer_one_nothing_is_kept() {
    let mut talk = Talk::new(Auto, "Hi");
    let fresh = size(&talk.session);
    talk.read(&[0xff; COMMAND_MAX]);
    assert!(size(&talk.session) > fresh + 4 * COMMAND_MAX, "`size` sees what is held");
    talk.read(b"\xff");
    for _ in 0..100 {
        assert!(size(&talk.session) < fresh + 32);
        talk.read(&[b'x'; 10_000]);
    }
    talk.read(b"\n");
    assert!(size(&talk.session) < fresh + 32);
    assert_eq!(talk.text(), "Hi\nYou entered an invalid command\n");
}

#[test]
fn rule_7_the_quiet_time_ends_a_long_one_only_before_the_first_line_end() {
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
        assert_eq!(talk(Auto, &[line.as_bytes()]), "Hi\nSunday\n", "{line:?}");
        assert_eq!(talk(Line, &[line.as_bytes()]), "Hi\nSunday\n", "{line:?}");
    }
}

#[test]
fn rule_8_the_argument_is_trimmed_neither_folded_nor_split() {
    for (line, argument) in [
        (&b"echo\n"[..], ""),
        (b" echo \t\r\n", ""),
        (b"\tEcho \r A  b\tC \r\r\n", "A  b\tC"),
        (b"ECHO echo\n", "echo"),
        ("echo ÄÖ\u{a0}\u{85}\n".as_bytes(), "ÄÖ\u{a0}\u{85}"),
    ] {
        let (taken, next) = Session::new(Auto).receive(line, &mut Desk::default(), &mut Vec::new());
        let call = Call { command: 0, argument: argument.into() };
        assert_eq!((taken, next), (line.len(), Next::Call(call)), "{}", line.escape_ascii());
    }
}

#[test]
fn rule_8_names_fold_in_ascii_only() {
    // S10: full width, a dotless i, the Kelvin sign, a long s, a soft hyphen.
    for name in ["ＤＡＹ", "tıme", "tİme", "timeſtamp", "da\u{ad}y", "gRÖßE", "gröẞe", "\u{feff}day"] {
        let line = format!("{name}\n");
        assert_eq!(talk(Auto, &[line.as_bytes()]), "Hi\nYou entered an invalid command\n", "{name:?}");
    }
    let mut desk = Desk::default();
    desk.commands.add("k").unwrap();
    assert_eq!(desk.commands.find("K".as_bytes()), Some(Command::Own(6)));
    assert_eq!(desk.commands.find("\u{212a}".as_bytes()), None);
    for letters in ["timestamp", "TIMESTAMP", "tImEsTaMp"] {
        assert_eq!(desk.commands.find(letters.as_bytes()), Some(Command::Timestamp));
    }
}

#[test]
fn rule_8_a_control_byte_or_bad_utf_8_make_it_invalid_and_the_connection_lives() {
    let mut bad: Vec<Vec<u8>> = Vec::new();
    for byte in (0..=0x1f).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        // Before, within and after the name, and in the argument.
        bad.extend([
            vec![byte],
            [&[byte], &b"day"[..]].concat(),
            vec![b'd', byte, b'y'],
            [b"day", &[byte][..]].concat(),
        ]);
        bad.extend([[b"day UTC", &[byte][..]].concat(), [b"echo a", &[byte][..], b"b"].concat()]);
    }
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82", b"day \xff"] {
        bad.extend([bytes.to_vec(), [b"echo ", bytes].concat(), [bytes, b" "].concat()]);
    }
    // S7, S8: other protocols, other encodings.
    bad.extend([
        b"\xff\xfb\x1f\xff\xfd\x03".to_vec(),
        b"\xff\xfed\0a\0y\0".to_vec(),
        b"\xef\xbb\xbfday".to_vec(),
        b"\x1b[Aday".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1".to_vec(),
        b"SSH-2.0-OpenSSH_9.9".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443".to_vec(),
    ]);
    for body in bad {
        let shown = body.escape_ascii();
        let answers = "Hi\nYou entered an invalid command\nSunday\n";
        assert_eq!(talk(Auto, &[&body, b"\n", b"day\n"]), answers, "{shown}");
        assert_eq!(talk(Auto, &[&[&body, &b"\nday\n"[..]].concat()]), answers, "{shown}");
        assert_eq!(talk(Auto, &[&body, PAUSE, b"day"]), "HiYou entered an invalid commandSunday", "{shown}");
        assert_eq!(talk(Auto, &[b"day", &body, EOF]), "HiSundayYou entered an invalid command■", "{shown}");
    }
}

#[test]
fn rule_8_an_argument_too_many_makes_it_invalid() {
    for name in ["timestamp", "help", "quit", "exit"] {
        let line = format!("{name} now\nday\n");
        assert_eq!(talk(Auto, &[line.as_bytes()]), "Hi\nYou entered an invalid command\nSunday\n", "{name}");
    }
    auto(&[
        (&[b"quit now", PAUSE, b"day"], "HiYou entered an invalid commandSunday"),
        (&[b"quit \r\n"], "Hi\r\n■"),
        (&[b"timestamp\t\n"], "Hi\n1795362297\n"),
        // A zone is one argument, whatever it is.
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
    let (mut session, mut desk, mut out) = (Session::new(Auto), Desk::default(), Vec::new());
    assert_eq!(session.receive(b"quit\nday\n", &mut desk, &mut out), (5, Next::Close));
    // What else comes is taken and forgotten.
    for _ in 0..3 {
        assert_eq!(session.receive(b"day\ntim", &mut desk, &mut out), (7, Next::Close));
        assert!(!session.awaits_quiet());
    }
    assert_eq!(session.end(&mut desk, &mut out), Next::Close);
    assert_eq!(out, b"\n");
    assert_eq!(desk.log, [("quit".to_owned(), true)]);
}

#[test]
fn framing_line_ends_the_greeting_and_never_answers_bare() {
    framed(&[
        (&[], "Hi\n"),
        // Rules 3 and 4 are off.
        (&[b"day"], "Hi\n"),
        (&[b"day", PAUSE], "Hi\n"),
        (&[b"what", PAUSE, b"\n"], "Hi\nYou entered an invalid command\n"),
        (&[b"day", PAUSE, b"\n"], "Hi\nSunday\n"),
        (&[b"day", b"time\n"], "Hi\nYou entered an invalid command\n"),
        // Nothing is open, so nothing is completed.
        (&[b"day\ntime\r\n"], "Hi\nSunday\n15:44:57\r\n"),
        (&[b"quit\n"], "Hi\n■"),
        // The greeting's newline is itself the answer to an empty first line, and to no other.
        (&[b"\n"], "Hi\n"),
        (&[b"\r\n"], "Hi\n"),
        (&[b" \t\r\n"], "Hi\n"),
        (&[b"\n\n"], "Hi\n\n"),
        (&[b"\n", b"\r\n", b"\n"], "Hi\n\r\n\n"),
        (&[b"\nday\n"], "Hi\nSunday\n"),
        (&[b"day\n\n"], "Hi\nSunday\n\n"),
        // Rule 6 as ever.
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
fn limits_as_the_docs_have_them() {
    auto(&[
        // A first line that TCP cuts exactly after a command's name; and the two ways around it.
        (&[b"time", b"\n"], "Hi15:44:57\n"),
        (&[b"day", b" UTC\n"], "HiSunday\nYou entered an invalid command\n"),
        (&[b"\n", b"time", b"\n"], "Hi\n15:44:57\n"),
        // Two bare sends that TCP joins.
        (&[b"daydate", PAUSE], "HiYou entered an invalid command"),
        // Telnet's character mode, typed slower than the quiet time, until Enter.
        (
            &[b"d", PAUSE, b"a", PAUSE, b"\r\n", b"d", PAUSE, b"a", b"y", PAUSE, b"\r\n"],
            "HiYou entered an invalid commandYou entered an invalid command\r\nSunday\r\n",
        ),
        // Lines that end in CR alone: bare, and an error where two join.
        (&[b"day\r", PAUSE, b"time\r", PAUSE], "HiSunday15:44:57"),
        (&[b"time\rdate\r", PAUSE], "HiYou entered an unknown time zone"),
        (&[b"quit\rdate\r", PAUSE], "HiYou entered an invalid command"),
    ]);
    assert_eq!(talk(Line, &[b"time", b"\n"]), "Hi\n15:44:57\n");
}

// Commands

#[test]
fn each_command_has_its_reply() {
    let help = "day [ZONE], date [ZONE], time [ZONE], datetime [ZONE], timestamp, help, quit, exit";
    for (command, reply) in [
        ("day", "Sunday"),
        ("date", "26-11-22"),
        ("time", "15:44:57"),
        ("datetime", "2026-11-22T15:44:57+00:00"),
        ("timestamp", "1795362297"),
        ("help", &format!("{help}, echo, bye, größe, page, flood, fail")),
        ("day +14:00", "Monday"),
        ("date +14:00", "26-11-23"),
        ("time -03:30", "12:14:57"),
        ("datetime +05:30", "2026-11-22T21:14:57+05:30"),
        ("datetime utc", "2026-11-22T15:44:57+00:00"),
        ("time Mars/Phobos", "You entered an unknown time zone"),
        ("time 1", "You entered an unknown time zone"),
        ("tim", "You entered an invalid command"),
        ("echo echo", "echo"),
    ] {
        let line = format!("{command}\n");
        assert_eq!(talk(Auto, &[line.as_bytes()]), format!("Hi\n{reply}\n"), "{command}");
    }
    assert_eq!(Commands::default().help(), help);
    let names: Vec<_> = Command::built_in().collect();
    assert_eq!(names, ["day", "date", "time", "datetime", "timestamp", "help", "quit", "exit"]);
}

#[test]
fn error_lines_word_for_word() {
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
        let mut session = Session::new(Line);
        let (mut desk, mut out) = (Desk::default(), Vec::new());
        assert!(matches!(session.receive(b"echo\r\n", &mut desk, &mut out), (6, Next::Call(_))));
        assert_eq!(session.reply(Some(text), false, &mut out), Next::Read);
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
    // A closing reply closes, also one that failed.
    let (mut session, mut desk, mut out) = (Session::new(Line), Desk::default(), Vec::new());
    session.receive(b"fail\nday\n", &mut desk, &mut out);
    assert_eq!(session.reply(None, true, &mut out), Next::Close);
    assert_eq!(session.receive(b"day\n", &mut desk, &mut out), (4, Next::Close));
    assert_eq!(out, b"The command failed\n");
}

#[test]
fn a_handler_may_close_without_a_reply() {
    for (read, expected) in [(&b"echo x"[..], ""), (b"day\necho x\r\nday\n", "\nSunday\n"), (b"echo x\r\n", "\r\n")] {
        let (mut session, mut desk, mut out) = (Session::new(Auto), Desk::default(), Vec::new());
        let mut next = session.receive(read, &mut desk, &mut out).1;
        if next == Next::Read {
            next = session.quiet(&mut desk, &mut out);
        }
        assert!(matches!(next, Next::Call(_)));
        assert_eq!(session.reply(Some(""), true, &mut out), Next::Close);
        assert_eq!(session.receive(b"day\n", &mut desk, &mut out), (4, Next::Close));
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{}", read.escape_ascii());
    }
}

#[test]
fn own_names_are_one_word_no_built_in_and_not_twice() {
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
        assert_eq!(commands.find(name.as_bytes()), Some(Command::Own(index)));
    }
    for name in ["weather", "WEATHER", "Größe"] {
        assert!(commands.add(name).is_err(), "{name}");
    }
    // Folded in ASCII only, so another word.
    assert_eq!(commands.add("GRÖSSE"), Ok(()));
    assert_eq!(commands.find(b""), None);
    assert_eq!(commands.find(b"weather "), None);
    assert!(commands.help().ends_with(", weather, größe, days, day[zone],, grÖsse"), "{}", commands.help());
}

#[test]
fn the_reply_to_help_is_a_reply_whatever_is_added() {
    let mut commands = Commands::default();
    let most = REPLY_MAX - commands.help().len() - ", ".len();
    assert!(commands.add(&"x".repeat(most + 1)).is_err());
    assert_eq!(commands.find(&vec![b'x'; most + 1]), None);
    assert_eq!(commands.add(&"x".repeat(most)), Ok(()));
    assert_eq!(commands.help().len(), REPLY_MAX);
    assert_eq!(check_reply(commands.help()), Ok(()));
    assert!(commands.add("y").is_err());
}

#[test]
fn while_a_handler_runs_nothing_is_taken() {
    let (mut session, mut desk, mut out) = (Session::new(Auto), Desk::default(), Vec::new());
    let (taken, next) = session.receive(b"day\necho x\r\ntime\nqu", &mut desk, &mut out);
    assert_eq!((taken, next), (12, Next::Call(Call { command: 0, argument: "x".into() })));
    for _ in 0..3 {
        assert!(session.awaits_reply());
        assert_eq!(session.receive(b"time\nqu", &mut desk, &mut out), (0, Next::Read));
        assert!(!session.awaits_quiet(), "no quiet time runs");
        assert_eq!(session.quiet(&mut desk, &mut out), Next::Read);
    }
    assert_eq!(out, b"\nSunday\n");
    // What was read already runs after it.
    assert_eq!(session.reply(Some("x"), false, &mut out), Next::Read);
    assert!(!session.awaits_reply());
    assert_eq!(session.receive(b"time\nqu", &mut desk, &mut out), (7, Next::Read));
    assert_eq!(out, b"\nSunday\nx\r\n15:44:57\n");
    // A reply that nobody waits for is none.
    assert_eq!(session.reply(Some("y"), true, &mut out), Next::Read);
    assert_eq!(out, b"\nSunday\nx\r\n15:44:57\n");
}

#[test]
fn the_end_of_a_last_own_command_is_its_reply() {
    for (framing, reads) in [(Auto, &b"echo x"[..]), (Auto, b"\necho x"), (Line, b"echo x")] {
        let (mut session, mut desk, mut out) = (Session::new(framing), Desk::default(), Vec::new());
        assert_eq!(session.receive(reads, &mut desk, &mut out), (reads.len(), Next::Read));
        assert!(matches!(session.end(&mut desk, &mut out), Next::Call(_)));
        assert_eq!(session.receive(b"day\n", &mut desk, &mut out), (0, Next::Read));
        out.clear();
        assert_eq!(session.reply(Some("x"), false, &mut out), Next::Close);
        assert_eq!(out, b"x");
    }
}

#[test]
fn the_end_waits_for_the_reply_of_an_own_command() {
    for (framing, read, expected) in [(Line, &b"echo x\n"[..], "x\n"), (Auto, b"echo", "The command failed")] {
        let (mut session, mut desk, mut out) = (Session::new(framing), Desk::default(), Vec::new());
        assert!(matches!(session.receive(read, &mut desk, &mut out), (_, Next::Call(_))));
        assert_eq!(session.end(&mut desk, &mut out), Next::Read);
        assert_eq!(session.receive(b"day\n", &mut desk, &mut out), (0, Next::Read));
        assert_eq!(session.reply(Some(expected.trim_end()), false, &mut out), Next::Close);
        assert_eq!(out, expected.as_bytes());
        assert_eq!(session.receive(b"day\n", &mut desk, &mut out), (4, Next::Close));
    }
}

#[test]
fn an_own_command_ends_the_reading_of_the_clock() {
    let (mut session, mut desk, mut out) = (Session::new(Line), Desk::default(), Vec::new());
    let input = b"time\ntime\necho x\ntime\n";
    let (taken, _) = session.receive(input, &mut desk, &mut out);
    assert_eq!(&input[taken..], b"time\n", "what comes after it is left for the next reading");
    desk.now += 3;
    session.reply(Some("x"), false, &mut out);
    session.receive(&input[taken..], &mut desk, &mut out);
    assert_eq!(out, b"15:44:57\n15:44:57\nx\n15:45:00\n");
}

#[test]
fn every_command_but_the_own_ones_is_reported() {
    let mut talk = Talk::new(Auto, "Hi");
    talk.read(b"DAY");
    talk.read(b"day  x");
    talk.read(PAUSE);
    talk.read(b"\r\n \necho x\nfail\n\x1b\n");
    talk.read(&[b'x'; 1025]);
    talk.read(b"\ntime +01:00\nday\nDATE\nTime\nquit\nday\n");
    let log: Vec<_> = talk.desk.log.iter().map(|(name, ok)| (name.as_str(), *ok)).collect();
    let bare = [("DAY", true), ("day  x", false)];
    let lines = [("\\x1b", false), ("", false), ("time +01:00", true), ("day", true), ("DATE", true), ("Time", true)];
    assert_eq!(log, [&bare[..], &lines, &[("quit", true)]].concat());
}

#[test]
fn once_owed_max_is_owed_nothing_more_is_executed() {
    assert_eq!(OWED_MAX, 64 * 1024);
    for (line, format, reply) in [
        ("datetime\n", "%A", "2026-11-22T15:44:57+00:00"),
        ("day\n", "%A", "Sunday"),
        ("DAY\n", "%a", "Sun"),
        ("TIME\n", "%A", "15:44:57"),
    ] {
        let (mut session, mut desk, mut out) = (Session::new(Line), Desk::default(), Vec::new());
        desk.formats = Formats::new(format, "%F", "%T").unwrap();
        let (line, reply) = (line.as_bytes(), reply.len() + 1);
        let input = line.repeat(20_000);
        let (taken, next) = session.receive(&input, &mut desk, &mut out);
        assert_eq!(next, Next::Send);
        assert_eq!(taken, OWED_MAX.div_ceil(reply) * line.len());
        assert_eq!(out.len(), OWED_MAX.div_ceil(reply) * reply);
        // As long as they are owed nothing is taken, not even what ends no command.
        assert_eq!(session.receive(&input[taken..], &mut desk, &mut out), (0, Next::Send));
        assert_eq!(session.receive(b"d", &mut desk, &mut out), (0, Next::Send));
        out.truncate(OWED_MAX - 1);
        assert_eq!(session.receive(&input[taken..], &mut desk, &mut out), (line.len(), Next::Send));
        out.clear();
        let end = [line, line, b"quit\n"].concat();
        assert_eq!(session.receive(&end, &mut desk, &mut out), (end.len(), Next::Close));
        assert_eq!(out.len(), 2 * reply);
    }
}

#[test]
fn once_owed_max_is_owed_no_bare_name_is_executed() {
    let (mut session, mut desk, mut out) = (Session::new(Auto), Desk::default(), vec![b'.'; OWED_MAX]);
    assert_eq!(session.receive(b"day", &mut desk, &mut out), (0, Next::Send));
    assert_eq!(out.len(), OWED_MAX);
}

#[test]
fn the_short_way_of_pipelined_lines_gives_what_the_long_way_gives() {
    // A line that comes byte by byte is held; one of a stream is not. A byte of it is any byte.
    for name in ["day", "DATE", "Time"] {
        let line = format!("{name}\n");
        for (place, byte) in (0..line.len()).flat_map(|place| (0..=0xff).map(move |byte| (place, byte))) {
            let mut stream = ["\nday\n", &line, "time\nday\n"].concat().into_bytes();
            stream["\nday\n".len() + place] = byte;
            let pieces: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(talk(Auto, &[&stream]), talk(Auto, &pieces), "{}", stream.escape_ascii());
        }
    }
    // Nor does it matter where the stream is cut, whether a line is open, how lines end, or which is the last.
    let stream = b"day\nDATE\ntime\r\ntime\nDay\n\ndaY\ntimed\nday UTC\ndate\ndate\nday\ntime";
    let expected = concat!(
        "Hi\nSunday\n26-11-22\n15:44:57\r\n15:44:57\nSunday\n\nSunday\nYou entered an invalid command\n",
        "Sunday\n26-11-22\n26-11-22\nSunday\n15:44:57■"
    );
    for cut in (1..stream.len()).filter(|&cut| cut != 3) {
        assert_eq!(talk(Auto, &[&stream[..cut], &stream[cut..], EOF]), expected, "cut at {cut}");
        assert_eq!(talk(Line, &[&stream[..cut], &stream[cut..], EOF]), expected, "cut at {cut}");
    }
}

#[test]
fn replies_of_every_length_are_whole_in_a_pipelined_stream() {
    for len in (1..=40).chain([1022, 1023]) {
        let [day, date, time] = &["d", "a", "t"].map(|letter| letter.repeat(len));
        let mut talk = Talk::new(Line, "Hi");
        talk.desk.formats = Formats::new(day, date, time).unwrap();
        talk.read(b"\nday\nday\ndate\nDate\ntime\ntime\nday\ndate\ntime\n");
        let texts = [day, day, date, date, time, time, day, date, time].map(|text| format!("{text}\n"));
        assert_eq!(talk.text(), format!("Hi\n{}", texts.concat()), "{len} bytes");
        // Each of them was told once, by the name that it came with.
        let told: Vec<_> = talk.desk.log.iter().map(|(name, ok)| (name.as_str(), *ok)).collect();
        let names = ["day", "day", "date", "Date", "time", "time", "day", "date", "time"];
        assert_eq!(told, names.map(|name| (name, true)), "{len} bytes");
    }
}

#[test]
fn pipelined_streams_of_every_length_are_answered_whole() {
    for lines in 0..200 {
        let mut talk = Talk::new(Line, "Hi");
        let stream = (0..lines).map(|i| ["day\n", "date\n", "time\n"][i % 3]).collect::<String>();
        let replies = (0..lines).map(|i| ["Sunday\n", "26-11-22\n", "15:44:57\n"][i % 3]).collect::<String>();
        talk.read(format!("\n{stream}da").as_bytes());
        assert_eq!(talk.text(), format!("Hi\n{replies}"));
        assert_eq!(talk.desk.log.len(), lines);
    }
}

// Zones, formats, stamps

#[test]
fn zones_of_the_core_are_utc_and_offsets() {
    for (zone, expected) in [
        ("UTC", "2026-11-22T15:44:57+00:00"),
        ("utc", "2026-11-22T15:44:57+00:00"),
        ("uTc", "2026-11-22T15:44:57+00:00"),
        ("+00:00", "2026-11-22T15:44:57+00:00"),
        ("-00:00", "2026-11-22T15:44:57+00:00"),
        ("+05:30", "2026-11-22T21:14:57+05:30"),
        ("-08:00", "2026-11-22T07:44:57-08:00"),
        ("-00:01", "2026-11-22T15:43:57-00:01"),
        ("+23:59", "2026-11-23T15:43:57+23:59"),
        ("-23:59", "2026-11-21T15:45:57-23:59"),
    ] {
        let zone = Zone::parse(zone).unwrap_or_else(|| panic!("{zone} is refused"));
        assert_eq!(Stamp::new(NOW, &zone, &Formats::default()).text(Command::Datetime), expected);
    }
    let no_offset = ["+24:00", "-24:00", "+05:60", "+5:30", "+0530", "+05", "05:30", "+05:3", "+05:300", "+05:30:00"];
    let no_text = ["", "+", "Z", "UT", "UTC+1", " UTC", "+05:30 ", " +05:30", "+ 5:30", "++5:30", "+0x:30", "−05:30"];
    let no_digit = ["+٠٥:٣٠", "+05：30", "+05-30", "\0", "+05:3\0"];
    // S11: names and paths are nothing that the core reads.
    let names = ["Europe/Berlin", "../../etc/passwd", "/etc/passwd", ".", "tzdata.zi", "posixrules", "localtime"];
    for zone in [&no_offset[..], &no_text, &no_digit, &names].concat() {
        assert!(Zone::parse(zone).is_none(), "{zone:?}");
        let line = format!("time {zone}\n");
        let reply = match zone {
            " UTC" => "15:44:57",
            "+05:30 " | " +05:30" => "21:14:57",
            "" => "15:44:57",
            _ if zone.contains('\0') => "You entered an invalid command",
            _ => "You entered an unknown time zone",
        };
        assert_eq!(talk(Auto, &[line.as_bytes()]), format!("Hi\n{reply}\n"), "{zone:?}");
    }
    let long = format!("time {}\n", "z".repeat(1019));
    assert_eq!(talk(Auto, &[long.as_bytes()]), "Hi\nYou entered an unknown time zone\n");
}

#[test]
fn stamps_are_right_at_every_edge_of_time() {
    let texts = |second| {
        let stamp = Stamp::new(second, &Zone::UTC, &Formats::default());
        [Command::Day, Command::Date, Command::Time, Command::Datetime, Command::Timestamp]
            .map(|command| stamp.text(command).to_owned())
    };
    for (second, expected) in [
        (NOW, ["Sunday", "26-11-22", "15:44:57", "2026-11-22T15:44:57+00:00", "1795362297"]),
        (0, ["Thursday", "70-01-01", "00:00:00", "1970-01-01T00:00:00+00:00", "0"]),
        (-1, ["Wednesday", "69-12-31", "23:59:59", "1969-12-31T23:59:59+00:00", "-1"]),
        // C2: nothing panics, what has no text gives that of the nearer end.
        (-62_135_596_800, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (-62_135_596_801, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (i64::MIN, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (253_402_207_200, ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"]),
        (253_402_207_201, ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"]),
        (i64::MAX, ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"]),
        // C7: the leap second at the end of 2016 has no text of its own.
        (1_483_228_799, ["Saturday", "16-12-31", "23:59:59", "2016-12-31T23:59:59+00:00", "1483228799"]),
        (1_483_228_800, ["Sunday", "17-01-01", "00:00:00", "2017-01-01T00:00:00+00:00", "1483228800"]),
        // Where 32 bits end, signed and unsigned; a leap day; a century that is no leap year.
        (2_147_483_648, ["Tuesday", "38-01-19", "03:14:08", "2038-01-19T03:14:08+00:00", "2147483648"]),
        (4_294_967_296, ["Sunday", "06-02-07", "06:28:16", "2106-02-07T06:28:16+00:00", "4294967296"]),
        (1_709_164_800, ["Thursday", "24-02-29", "00:00:00", "2024-02-29T00:00:00+00:00", "1709164800"]),
        (4_107_542_400, ["Monday", "00-03-01", "00:00:00", "2100-03-01T00:00:00+00:00", "4107542400"]),
    ] {
        assert_eq!(texts(second), expected);
    }
    let last = [Command::Help, Command::Quit, Command::Own(0)];
    let stamp = Stamp::new(NOW, &Zone::UTC, &Formats::default());
    assert_eq!(last.map(|command| stamp.text(command)), [""; 3]);
}

#[test]
fn the_ends_of_time_have_texts_in_every_zone() {
    for (second, zone, expected) in [
        (i64::MIN, "-23:59", "0000-12-31T00:01:00-23:59"),
        (i64::MIN, "+23:59", "0001-01-01T23:59:00+23:59"),
        (i64::MAX, "-23:59", "9999-12-29T22:01:00-23:59"),
        (i64::MAX, "+23:59", "9999-12-31T21:59:00+23:59"),
    ] {
        let stamp = Stamp::new(second, &Zone::parse(zone).unwrap(), &Formats::default());
        assert_eq!(stamp.text(Command::Datetime), expected);
    }
    assert_eq!(Stamp::RANGE, -62_135_596_800..=253_402_207_200);
}

#[test]
fn formats_have_the_conversions_of_strftime() {
    let text = |format: &str, second| {
        let formats = Formats::new("%A", format, "%T").unwrap_or_else(|why| panic!("{why}"));
        Stamp::new(second, &Zone::UTC, &formats).text(Command::Date).to_owned()
    };
    for (format, expected) in [
        ("%a %A %b %B %h", "Sun Sunday Nov November Nov"),
        ("%C %y %Y %g %G", "20 26 2026 26 2026"),
        ("%d %e %j %m", "22 22 326 11"),
        ("%D %F %R %T", "11/22/26 2026-11-22 15:44 15:44:57"),
        ("%H %I %k %l %M %S", "15 03 15  3 44 57"),
        ("%p %P", "PM pm"),
        ("%s", "1795362297"),
        ("%u %w %U %V %W", "7 0 47 47 46"),
        ("%z %Z", "+0000 UTC"),
        ("%-I %_m %^a %#Z %%", "3 11 SUN utc %"),
        ("%d. November %Y, %H Uhr: schön", "22. November 2026, 15 Uhr: schön"),
        ("no conversion", "no conversion"),
    ] {
        assert_eq!(text(format, NOW), expected, "{format}");
    }
    // The first of January 2027, which is of the last week of 2026; one digit wide.
    assert_eq!(text("%e %k %l %-d %j %U %W %V %G %g", 1_798_765_200), " 1  1  1 1 001 00 00 53 2026 26");
}

#[test]
fn formats_that_give_no_reply_are_refused_when_they_are_set() {
    // S12, and what depends on a locale.
    let bad = ["%Q", "%", "%2f", "%9999Y", "%n", "", "%t", "%A %", "%%%", "%-", "%_-", "%é", "%.3f", "%f", "%N", "%:z"];
    let locale = ["%c", "%r", "%x", "%X", "%+", "%Ey", "%Od", "%E", "%O"];
    let text = ["a\nb", "\t", "\r", "\0", "\x1b[31m%T", "\u{85}"];
    let long = ["x".repeat(1024), "ß".repeat(512), "%A".repeat(114), "%%".repeat(1024), "%Y".repeat(100_000)];
    let all = bad.into_iter().chain(locale).chain(text).map(str::to_owned).chain(long);
    for format in all {
        for [day, date, time] in [[&format[..], "x", "x"], ["x", &format, "x"], ["x", "x", &format]] {
            let shown: String = format.chars().take(20).collect();
            assert!(Formats::new(day, date, time).is_err(), "{shown:?} is taken");
        }
    }
    for format in ["x".repeat(1023), "ß".repeat(511), "%A".repeat(113), "%%".repeat(1023), " ".into()] {
        assert!(Formats::new(&format, &format, &format).is_ok());
    }
    let why = Formats::new("%A", "%Q", "%T").unwrap_err();
    assert!(why.contains("%Q"), "{why}");
}

#[test]
fn formats_belong_each_to_its_command() {
    let formats = Formats::new("%a", "%F", "%R").unwrap();
    let stamp = Stamp::new(NOW, &Zone::UTC, &formats);
    let commands = [Command::Day, Command::Date, Command::Time, Command::Datetime];
    assert_eq!(
        commands.map(|command| stamp.text(command)),
        ["Sun", "2026-11-22", "15:44", "2026-11-22T15:44:57+00:00"]
    );
    assert_eq!(Formats::new("%A", "%y-%m-%d", "%H:%M:%S"), Ok(Formats::default()));
}

#[test]
fn a_text_that_grows_beyond_a_reply_is_cut() {
    let formats = Formats::new(&"%Z".repeat(341), &format!("{}%Z", "ß".repeat(510)), "%T").unwrap();
    for (zone, day, date) in [("UTC", "UTC".repeat(341), "UTC"), ("+05:30", "+05:30".repeat(171), "+05")] {
        let stamp = Stamp::new(NOW, &Zone::parse(zone).unwrap(), &formats);
        assert_eq!(stamp.text(Command::Day), &day[..1023]);
        assert_eq!(stamp.text(Command::Date), format!("{}{date}", "ß".repeat(510)));
    }
}

// RFC 867 and RFC 868

#[test]
fn a_line_of_rfc_867_is_of_its_first_syntax() {
    let zone = |name: &str| Zone::parse(name).unwrap();
    for (second, name, line) in [
        (NOW, "UTC", "Sunday, November 22, 2026 15:44:57-UTC"),
        (NOW, "-08:00", "Sunday, November 22, 2026 07:44:57--08"),
        (NOW, "+05:30", "Sunday, November 22, 2026 21:14:57-+05:30"),
        (NOW, "+09:00", "Monday, November 23, 2026 00:44:57-+09"),
        // A day of one digit.
        (1_793_491_200, "UTC", "Sunday, November 1, 2026 00:00:00-UTC"),
        (1_794_268_799, "UTC", "Monday, November 9, 2026 23:59:59-UTC"),
        (1_794_268_800, "UTC", "Tuesday, November 10, 2026 00:00:00-UTC"),
        // The ends of time, and what is beyond them.
        (*Stamp::RANGE.start(), "UTC", "Monday, January 1, 0001 00:00:00-UTC"),
        (*Stamp::RANGE.end(), "UTC", "Thursday, December 30, 9999 22:00:00-UTC"),
        (i64::MIN, "UTC", "Monday, January 1, 0001 00:00:00-UTC"),
        (i64::MAX, "UTC", "Thursday, December 30, 9999 22:00:00-UTC"),
    ] {
        assert_eq!(rfc867(second, &zone(name)), format!("{line}\r\n"), "{second} {name}");
    }
}

#[test]
fn bytes_of_rfc_868_count_from_1900_and_begin_anew() {
    for (second, bytes) in [
        (NOW, 0xeead_8c79),
        // The table of RFC 868: 1970, 1976, 1980, 1983.
        (0, 2_208_988_800),
        (189_302_400, 2_398_291_200),
        (315_532_800, 2_524_521_600),
        (420_595_200, 2_629_584_000),
        // The first second, the one before, and 17 November 1858.
        (-2_208_988_800, 0),
        (-2_208_988_799, 1),
        (-2_208_988_801, u32::MAX),
        (-3_506_716_800, (-1_297_728_000_i32).cast_unsigned()),
        // 2036-02-07 06:28:15 UTC and after.
        (2_085_978_495, u32::MAX),
        (2_085_978_496, 0),
        (2_085_978_497, 1),
        // The next time.
        (2_085_978_495 + (1 << 32), u32::MAX),
        (2_085_978_496 + (1 << 32), 0),
    ] {
        assert_eq!(rfc868(second), u32::to_be_bytes(bytes), "{second}");
    }
    // Nobody asks for these, and nothing breaks.
    for second in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
        let _ = rfc868(second);
    }
}

/// 1968-01-20 03:14:08 UTC and 2104-02-26 09:42:23 UTC.
const PIVOT: std::ops::RangeInclusive<i64> = -61_505_152..=4_233_462_143;

#[test]
fn bytes_of_rfc_868_mean_a_time_about_2036() {
    assert_eq!(PIVOT.end() - PIVOT.start(), u32::MAX.into());
    for (bytes, second) in [
        (0x8000_0000, *PIVOT.start()),
        (0x8000_0001, PIVOT.start() + 1),
        (2_208_988_800, 0),
        (u32::MAX, 2_085_978_495),
        (0, 2_085_978_496),
        (1, 2_085_978_497),
        (0x7fff_ffff, *PIVOT.end()),
    ] {
        assert_eq!(rfc868_seconds(bytes.to_be_bytes()), second, "{bytes:#x}");
        assert_eq!(rfc868(second), bytes.to_be_bytes(), "{second}");
    }
    // Beyond either end begins the other one.
    assert_eq!(rfc868_seconds(rfc868(PIVOT.start() - 1)), *PIVOT.end());
    assert_eq!(rfc868_seconds(rfc868(PIVOT.end() + 1)), *PIVOT.start());
    assert_eq!(rfc867(*PIVOT.start(), &Zone::UTC), "Saturday, January 20, 1968 03:14:08-UTC\r\n");
    assert_eq!(rfc867(*PIVOT.end(), &Zone::UTC), "Tuesday, February 26, 2104 09:42:23-UTC\r\n");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_time_about_2036_survives_rfc_868(second in PIVOT) {
        prop_assert_eq!(rfc868_seconds(rfc868(second)), second);
    }

    #[test]
    fn any_four_bytes_of_rfc_868_mean_a_time_that_has_them(bytes: [u8; 4]) {
        prop_assert!(PIVOT.contains(&rfc868_seconds(bytes)));
        prop_assert_eq!(rfc868(rfc868_seconds(bytes)), bytes);
    }
}
