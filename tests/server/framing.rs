//! Streams and lines: the exchange of the original, both framings, and the same output for every segmentation.

use std::{
    io::{ErrorKind, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

use daytime::{
    Error, Framing, Reason, Server, Stats,
    protocol::{Command, GREETING, errors::INVALID},
};
use proptest::prelude::*;

use crate::common::{
    HELP, builder,
    peer::{PAUSE, Peer, assert_bytes, converse, retry_if_slow},
    server,
};
use crate::helpers::EventWatcher;
use crate::model::model;

// ---- The exchange of the original, and its faults

#[test]
fn the_exchange_of_the_original_is_unchanged() {
    assert_eq!(GREETING.len(), 21);
    let server = server();
    let mut peer = Peer::greeted(server.port());
    for (command, reply) in [("day", "Sunday"), ("DATE", "26-11-22"), ("tImE", "15:44:57"), ("tiem", INVALID)] {
        peer.ask(command, reply);
    }
    peer.send("quit");
    peer.expect_eof();
    for quit in ["exit", "EXIT", "Quit"] {
        let mut peer = Peer::greeted(server.port());
        peer.send(quit);
        peer.expect_eof();
    }
}

#[test]
fn original_fault_newline_makes_an_error() {
    Peer::greeted(server().port()).ask("day\n", "\nSunday\n");
}

#[test]
fn original_fault_joined_sends() {
    let server = server();
    // Two bare names that TCP joins are one unknown command. Two joined lines are two commands.
    Peer::greeted(server.port()).ask("daydate", INVALID);
    Peer::greeted(server.port()).ask("day\ndate\n", "\nSunday\n26-11-22\n");
}

#[test]
fn original_fault_split_command() {
    let server = server();
    let pause = Duration::from_millis(5);
    for (command, reply) in [("day", "Sunday"), (" TIME\r\n", "\r\n15:44:57\r\n")] {
        let mut peer = retry_if_slow(|| {
            let mut peer = Peer::greeted(server.port());
            peer.trickle(command, pause);
            peer
        });
        peer.expect(reply);
    }
}

#[test]
fn original_fault_flood_at_half_close() {
    let server = server();
    for (input, output) in [("", ""), ("day", "Sunday"), ("dya", INVALID), ("time\nday", "\n15:44:57\nSunday")] {
        assert_bytes(&converse(server.port(), input.as_bytes()), format!("{GREETING}{output}").as_bytes());
    }
}

#[test]
fn original_fault_bytes_that_are_not_utf8() {
    let server = server();
    let mut peer = Peer::greeted(server.port());
    peer.ask(b"\xff", INVALID);
    peer.ask("day", "Sunday");
    peer.ask(b"time \xc3\x28\n", format!("\n{INVALID}\n"));
    peer.ask("time\n", "15:44:57\n");
}

#[test]
fn original_fault_empty_line_waits_forever() {
    let server = server();
    Peer::greeted(server.port()).ask("\n", "\n");
    Peer::greeted(server.port()).ask("  ", INVALID);
}

#[test]
fn original_fault_port_in_use_recurses() {
    let taken = server();
    let error = Server::builder().listen(&taken.addresses()[0]).start().unwrap_err();
    let Error::Io(io, context) = &error else { panic!("{error:?}") };
    assert_eq!(io.kind(), ErrorKind::AddrInUse);
    assert_eq!(context, &format!("bind 127.0.0.1:{}", taken.port()));
}

// ---- The rules of the protocol

#[derive(Clone, Copy)]
enum Step {
    Send(&'static [u8]),
    /// Reads exactly these bytes. After the last step, the server must send nothing more.
    Expect(&'static [u8]),
    ExpectInvalid,
    /// A pause longer than the quiet time, which ends a bare command.
    Pause,
    Finish,
}

use Step::*;

/// Plays conversations in parallel. Each ends with the client's half-close, after which the server must send nothing.
fn play(server: &Server, greeting: &str, conversations: &[(&str, &[Step])]) {
    let play = |steps: &[Step]| {
        let mut peer = Peer::connect(server.port());
        peer.expect(greeting);
        for step in steps {
            match *step {
                Send(bytes) => peer.send(bytes),
                Expect(bytes) => peer.expect(bytes),
                ExpectInvalid => peer.expect(INVALID),
                Pause => thread::sleep(PAUSE),
                Finish => peer.finish(),
            }
        }
        // The server may have closed already.
        let _ = peer.0.shutdown(Shutdown::Write);
        peer.expect_eof();
    };
    thread::scope(|scope| {
        let players: Vec<_> =
            conversations.iter().map(|(rule, steps)| (rule, scope.spawn(move || play(steps)))).collect();
        let failed: Vec<_> =
            players.into_iter().filter_map(|(rule, player)| player.join().err().map(|_| rule)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

const OVERLONG: [u8; 1025] = [b'x'; 1025];

#[test]
fn rules_of_auto_framing() {
    play(
        &server(),
        GREETING,
        &[
            (
                "1: LF and CRLF are mirrored",
                &[Send(b"day\ntime\r\ndate\n"), Expect(b"\nSunday\n15:44:57\r\n26-11-22\n")],
            ),
            ("1: CRLF completes with CRLF", &[Send(b"day\r\ntime\n"), Expect(b"\r\nSunday\r\n15:44:57\n")]),
            ("1: one CR belongs to the terminator", &[Send(b"day\r\r\n"), Expect(b"\r\nSunday\r\n")]),
            (
                "2: framed for good",
                &[Send(b"\n"), Expect(b"\n"), Send(b"day"), Pause, Send(b"\n"), Expect(b"Sunday\n")],
            ),
            ("2: until EOF", &[Send(b"\ntime"), Expect(b"\n"), Pause, Finish, Expect(b"15:44:57")]),
            (
                "3: exactly a name",
                &[Send(b"timestamp"), Expect(b"1795362297"), Send(b"DateTime"), Expect(b"2026-11-22T15:44:57+00:00")],
            ),
            ("3: with a blank it is held", &[Send(b" day"), Expect(b"Sunday")]),
            ("3: with an argument it is held", &[Send(b"time +05:30"), Expect(b"21:14:57")]),
            ("3: held bytes before a name", &[Send(b"to"), Pause, ExpectInvalid, Send(b"day"), Expect(b"Sunday")]),
            (
                "4: a pause ends it",
                &[Send(b"da"), Pause, Send(b"y\n"), ExpectInvalid, Expect(b"\n"), ExpectInvalid, Expect(b"\n")],
            ),
            ("4: blanks alone are an error", &[Send(b" \t\r"), ExpectInvalid]),
            ("4: EOF ends it", &[Send(b" date "), Finish, Expect(b"26-11-22")]),
            ("4: blanks alone at EOF", &[Send(b"  "), Finish, ExpectInvalid]),
            ("5: the greeting is completed", &[Send(b"\r\n"), Expect(b"\r\n"), Send(b"day\n"), Expect(b"Sunday\n")]),
            (
                "5: a bare reply is completed",
                &[Send(b"day"), Expect(b"Sunday"), Send(b"time\r\n"), Expect(b"\r\n15:44:57\r\n")],
            ),
            (
                "5: a reply before quit is completed",
                &[Send(b"day"), Expect(b"Sunday"), Send(b"quit\r\n"), Expect(b"\r\n")],
            ),
            ("5: a first line quit", &[Send(b"quit\n"), Expect(b"\n")]),
            ("5: a later line quit", &[Send(b"day\nexit\n"), Expect(b"\nSunday\n")]),
            ("5: empty lines", &[Send(b"\n\r\n \t \n\r\r\n"), Expect(b"\n\r\n\n\r\n")]),
            ("6: a tail of blanks has no reply", &[Send(b"day\n \t"), Finish, Expect(b"\nSunday\n")]),
            ("6: a tail is a command", &[Send(b"day\r\nhel"), Finish, Expect(b"\r\nSunday\r\n"), ExpectInvalid]),
            ("6: a tail quit", &[Send(b"day\nquit"), Finish, Expect(b"\nSunday\n")]),
            ("7: too long, before any line end", &[Send(&OVERLONG), ExpectInvalid, Send(b"day"), Expect(b"Sunday")]),
            (
                "7: too long, at its line end",
                &[
                    Send(b"\n"),
                    Send(&OVERLONG),
                    Pause,
                    Send(b"\r\nday\n"),
                    Expect(b"\n"),
                    ExpectInvalid,
                    Expect(b"\r\nSunday\n"),
                ],
            ),
            ("7: too long, at EOF", &[Send(b"\n"), Send(&OVERLONG), Finish, Expect(b"\n"), ExpectInvalid]),
            ("8: blanks around", &[Send(b"\t DaY \r \ntime \t UTC \n"), Expect(b"\nSunday\n15:44:57\n")]),
            (
                "8: an argument too many",
                &[Send(b"\nquit now\nday\n"), Expect(b"\n"), ExpectInvalid, Expect(b"\nSunday\n")],
            ),
            ("8: an argument to timestamp", &[Send(b"\ntimestamp UTC\n"), Expect(b"\n"), ExpectInvalid, Expect(b"\n")]),
            (
                "8: control bytes",
                &[
                    Send(b"\nday\x7f\ntime U\x00TC\n"),
                    Expect(b"\n"),
                    ExpectInvalid,
                    Expect(b"\n"),
                    ExpectInvalid,
                    Expect(b"\n"),
                ],
            ),
            ("9: no command is executed after quit", &[Send(b"day\nquit\ntime\n"), Expect(b"\nSunday\n")]),
        ],
    );
}

#[test]
fn rules_of_line_framing() {
    play(
        &builder().framing(Framing::Line).start().unwrap(),
        &format!("{GREETING}\n"),
        &[
            ("a line", &[Send(b"day\ntime\r\n"), Expect(b"Sunday\n15:44:57\r\n")]),
            ("a bare command is held", &[Send(b"day"), Pause, Send(b"\n"), Expect(b"Sunday\n")]),
            ("EOF ends a command", &[Send(b"day"), Finish, Expect(b"Sunday")]),
            ("a tail of blanks has no reply", &[Send(b" "), Pause, Finish]),
            ("the greeting's newline answers a first empty line", &[Send(b"\n"), Send(b"\r\n"), Expect(b"\r\n")]),
            ("only one empty line", &[Send(b" \r\n \n"), Expect(b"\n")]),
            ("quit", &[Send(b"quit\n")]),
        ],
    );
}

#[test]
fn help_names_every_command_and_each_works() {
    let server = server();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    peer.ask("help\n", format!("{HELP}\n"));
    let table = [
        ("day", "Sunday"),
        ("date", "26-11-22"),
        ("time", "15:44:57"),
        ("datetime", "2026-11-22T15:44:57+00:00"),
        ("timestamp", "1795362297"),
    ];
    for (command, reply) in table {
        peer.ask(format!("{command}\n"), format!("{reply}\n"));
    }
}

#[test]
fn formats_and_greeting_are_settings() {
    let server =
        builder().greeting("Hi, \u{263a}").day_format("%a").date_format("%F").time_format("%H.%M").start().unwrap();
    assert_bytes(&converse(server.port(), b"day\ndate\ntime\n"), "Hi, \u{263a}\nSun\n2026-11-22\n15.44\n".as_bytes());
    let without_greeting = builder().greeting("").start().unwrap();
    assert_bytes(&converse(without_greeting.port(), b"day\n"), b"\nSunday\n");
}

/// The client must get every reply before the close. Unread input must not make the close a reset.
#[test]
fn quit_delivers_replies_and_discards_the_rest() {
    let server = server();
    let events = EventWatcher::new(&server);
    let input = [b"day\n".repeat(2000), b"quit\n".to_vec(), vec![b'x'; 1 << 20]].concat();
    let mut peer = Peer::connect(server.port());
    let mut writer = peer.again();
    thread::scope(|scope| {
        // The write fails once the server has stopped lingering.
        scope.spawn(move || drop(writer.0.write_all(&input)));
        assert_bytes(&peer.rest(), format!("{GREETING}\n{}", "Sunday\n".repeat(2000)).as_bytes());
    });
    let address = peer.address();
    drop(peer);
    assert_eq!(events.disconnect_of(address), (Reason::Quit, 2001));
}

/// A peer that never closes, and a peer that never stops sending, get a second.
#[test]
fn lingering_ends_after_a_second() {
    let server = server();
    let events = EventWatcher::new(&server);
    let [mut silent, mut flooding] = [(); 2].map(|()| Peer::greeted(server.port()));
    for peer in [&mut silent, &mut flooding] {
        peer.send("quit");
        peer.expect_eof();
    }
    while flooding.0.write_all(&[b'x'; 65536]).is_ok() {}
    for peer in [&silent, &flooding] {
        assert_eq!(events.disconnect_of(peer.address()), (Reason::Quit, 1));
    }
    assert_eq!(server.stats().clients, 0);
}

// ---- Streams

#[test]
fn streams_of_lines_get_every_reply() {
    let server = server();
    for terminator in ["\n", "\r\n"] {
        let lines = |lines: &[&str]| lines.iter().flat_map(|line| [line, terminator]).collect::<String>();
        // An empty first line: no cut makes it a command's name. See the limits in `src/protocol/protocol.md`.
        let input = lines(&["", "day", "time", "quit"]);
        let output = GREETING.to_owned() + &lines(&["", "Sunday", "15:44:57"]);
        assert_bytes(&converse(server.port(), input.as_bytes()), output.as_bytes());
        let mut peer = Peer::connect(server.port());
        peer.trickle(&input, Duration::ZERO);
        assert_bytes(&peer.rest(), output.as_bytes());
    }
    // The same as `printf 'day\ntime\nquit\n' | nc`.
    let printf = b"day\ntime\nquit\n";
    assert_bytes(&converse(server.port(), printf), format!("{GREETING}\nSunday\n15:44:57\n").as_bytes());
}

#[test]
fn one_stream_may_have_200_000_commands() {
    let table = [
        ("day\n", "Sunday\n"),
        ("date\r\n", "26-11-22\r\n"),
        ("time Asia/Tokyo\n", "00:44:57\n"),
        ("\n", "\n"),
        ("what\n", "You entered an invalid command\n"),
        ("TIMESTAMP\r\n", "1795362297\r\n"),
    ];
    let turns = || table.iter().cycle().take(200_000);
    let input: String = turns().map(|(command, _)| *command).collect();
    let output: String = turns().map(|(_, reply)| *reply).collect();
    let server = server();
    let events = EventWatcher::new(&server);
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    let mut writer = peer.again();
    thread::scope(|scope| {
        scope.spawn(|| writer.send(&input));
        peer.expect(&output);
    });
    peer.finish();
    peer.expect_eof();
    // Empty lines do not count as commands.
    let commands = turns().filter(|(command, _)| *command != "\n").count() as u64;
    assert_eq!(events.disconnect_of(peer.address()), (Reason::Eof, commands));
    let Stats { accepted, commands: all, bytes_in, bytes_out, .. } = server.stats();
    let counted = (accepted, all, bytes_in, bytes_out);
    assert_eq!(counted, (1, commands, input.len() as u64 + 1, (GREETING.len() + 1 + output.len()) as u64));
}

/// Transcripts of names, line ends, blanks, arguments and random bytes.
fn transcripts() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(Command::built_in().filter(|name| *name != "exit").collect::<Vec<_>>());
    let piece = prop_oneof![
        6 => name.prop_map(|name| name.as_bytes().to_vec()),
        8 => prop::sample::select(vec!["\n", "\r\n", "\r\r\n", "\n\n"]).prop_map(Vec::from),
        3 => prop::sample::select(vec![" ", "\t", "\r", " UTC", " +05:30", " No/Where", " now"]).prop_map(Vec::from),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        1 => (1000_usize..1100).prop_map(|n| vec![b'x'; n]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// The invariant: the output does not depend on how TCP cuts the input.
    #[test]
    fn every_segmentation_gives_the_same_output(
        input in transcripts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        line in any::<bool>(),
    ) {
        let framing = if line { Framing::Line } else { Framing::Auto };
        let first = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let name = |bytes: &[u8]| Command::built_in().any(|name| name.as_bytes().eq_ignore_ascii_case(bytes));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        // The precondition: before the first line end, no read is exactly a command's name.
        cuts.retain(|&cut| line || cut > first || !name(&input[..cut]));
        cuts.sort_unstable();
        let expected = model(framing, &input);
        let server = builder().framing(framing).workers(1).start().unwrap();
        let mut peer = retry_if_slow(|| {
            let mut peer = Peer::connect(server.port());
            peer.send_cut(&input, &cuts, Duration::ZERO);
            peer.finish();
            peer
        });
        assert_bytes(&peer.rest(), &expected);
    }
}
