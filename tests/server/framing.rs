//! The server over sockets: the original's exchange, the rules of the wire, its life from bind to join, what it tells.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    fs,
    io::{ErrorKind, Write},
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::common::peer::{
    HELP, MOMENT, PATIENCE, PAUSE, Peer, alone, builder, converse, descriptors, eventually, model, same, server,
    server_threads, skip, status, swiftly,
};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use daytime::{
    Address, Clock, Error, Event, Framing, Reason, Server, Stats,
    protocol::{
        Command, GREETING,
        errors::{INVALID, UNKNOWN_ZONE},
    },
};
use proptest::prelude::*;

// ---------------------------------------------------------------------------------------------------------------------
// The original's exchange, and its faults

#[test]
fn original_exchange() {
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
    // What nobody can tell apart is one unknown command still; what ends lines is not.
    Peer::greeted(server.port()).ask("daydate", INVALID);
    Peer::greeted(server.port()).ask("day\ndate\n", "\nSunday\n26-11-22\n");
}

#[test]
fn original_fault_split_command() {
    let server = server();
    let pause = Duration::from_millis(5);
    for (command, reply) in [("day", "Sunday"), (" TIME\r\n", "\r\n15:44:57\r\n")] {
        let mut peer = swiftly(|| {
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
        same(&converse(server.port(), input.as_bytes()), format!("{GREETING}{output}").as_bytes());
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
fn original_fault_empty_line_waits_for_ever() {
    let server = server();
    Peer::greeted(server.port()).ask("\n", "\n");
    Peer::greeted(server.port()).ask("  ", INVALID);
}

#[test]
fn original_fault_taken_port_recurses() {
    let taken = server();
    let error = Server::builder().listen(&taken.addresses()[0]).start().unwrap_err();
    let Error::Io(io, doing) = &error else { panic!("{error:?}") };
    assert_eq!(io.kind(), ErrorKind::AddrInUse);
    assert_eq!(doing, &format!("bind 127.0.0.1:{}", taken.port()));
}

// ---------------------------------------------------------------------------------------------------------------------
// The rules of the wire

#[derive(Clone, Copy)]
enum Step {
    Say(&'static [u8]),
    /// Comes next, and in the end nothing more does.
    Hear(&'static [u8]),
    HearInvalid,
    /// Longer than the quiet time: what was said last is not going on.
    Pause,
    Finish,
}
use Step::*;

/// Plays conversations, all at once; each ends with the client's half-close, after which nothing may come.
fn play(server: &Server, greeting: &str, conversations: &[(&str, &[Step])]) {
    let play = |steps: &[Step]| {
        let mut peer = Peer::connect(server.port());
        peer.expect(greeting);
        for step in steps {
            match *step {
                Say(bytes) => peer.send(bytes),
                Hear(bytes) => peer.expect(bytes),
                HearInvalid => peer.expect(INVALID),
                Pause => thread::sleep(PAUSE),
                Finish => peer.finish(),
            }
        }
        // It may have closed already.
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
            ("1: LF and CRLF are mirrored", &[Say(b"day\ntime\r\ndate\n"), Hear(b"\nSunday\n15:44:57\r\n26-11-22\n")]),
            ("1: CRLF completes with CRLF", &[Say(b"day\r\ntime\n"), Hear(b"\r\nSunday\r\n15:44:57\n")]),
            ("1: one CR belongs to the terminator", &[Say(b"day\r\r\n"), Hear(b"\r\nSunday\r\n")]),
            ("2: framed for good", &[Say(b"\n"), Hear(b"\n"), Say(b"day"), Pause, Say(b"\n"), Hear(b"Sunday\n")]),
            ("2: until EOF", &[Say(b"\ntime"), Hear(b"\n"), Pause, Finish, Hear(b"15:44:57")]),
            (
                "3: exactly a name",
                &[Say(b"timestamp"), Hear(b"1795362297"), Say(b"DateTime"), Hear(b"2026-11-22T15:44:57+00:00")],
            ),
            ("3: with a blank it is held", &[Say(b" day"), Hear(b"Sunday")]),
            ("3: with an argument it is held", &[Say(b"time +05:30"), Hear(b"21:14:57")]),
            ("3: not after what is held", &[Say(b"to"), Pause, HearInvalid, Say(b"day"), Hear(b"Sunday")]),
            (
                "4: a pause ends it",
                &[Say(b"da"), Pause, Say(b"y\n"), HearInvalid, Hear(b"\n"), HearInvalid, Hear(b"\n")],
            ),
            ("4: blanks alone are an error", &[Say(b" \t\r"), HearInvalid]),
            ("4: EOF ends it", &[Say(b" date "), Finish, Hear(b"26-11-22")]),
            ("4: blanks alone at EOF", &[Say(b"  "), Finish, HearInvalid]),
            ("5: the greeting is completed", &[Say(b"\r\n"), Hear(b"\r\n"), Say(b"day\n"), Hear(b"Sunday\n")]),
            (
                "5: a bare reply is completed",
                &[Say(b"day"), Hear(b"Sunday"), Say(b"time\r\n"), Hear(b"\r\n15:44:57\r\n")],
            ),
            ("5: for quit too", &[Say(b"day"), Hear(b"Sunday"), Say(b"quit\r\n"), Hear(b"\r\n")]),
            ("5: a first line quit", &[Say(b"quit\n"), Hear(b"\n")]),
            ("5: a later line quit", &[Say(b"day\nexit\n"), Hear(b"\nSunday\n")]),
            ("5: empty lines", &[Say(b"\n\r\n \t \n\r\r\n"), Hear(b"\n\r\n\n\r\n")]),
            ("6: a tail of blanks is nothing", &[Say(b"day\n \t"), Finish, Hear(b"\nSunday\n")]),
            ("6: a tail is a command", &[Say(b"day\r\nhel"), Finish, Hear(b"\r\nSunday\r\n"), HearInvalid]),
            ("6: a tail quit", &[Say(b"day\nquit"), Finish, Hear(b"\nSunday\n")]),
            ("7: too long, before any line end", &[Say(&OVERLONG), HearInvalid, Say(b"day"), Hear(b"Sunday")]),
            (
                "7: too long, at its line end",
                &[
                    Say(b"\n"),
                    Say(&OVERLONG),
                    Pause,
                    Say(b"\r\nday\n"),
                    Hear(b"\n"),
                    HearInvalid,
                    Hear(b"\r\nSunday\n"),
                ],
            ),
            ("7: too long, at EOF", &[Say(b"\n"), Say(&OVERLONG), Finish, Hear(b"\n"), HearInvalid]),
            ("8: blanks around", &[Say(b"\t DaY \r \ntime \t UTC \n"), Hear(b"\nSunday\n15:44:57\n")]),
            ("8: an argument too many", &[Say(b"\nquit now\nday\n"), Hear(b"\n"), HearInvalid, Hear(b"\nSunday\n")]),
            ("8: none to timestamp", &[Say(b"\ntimestamp UTC\n"), Hear(b"\n"), HearInvalid, Hear(b"\n")]),
            (
                "8: control bytes",
                &[Say(b"\nday\x7f\ntime U\x00TC\n"), Hear(b"\n"), HearInvalid, Hear(b"\n"), HearInvalid, Hear(b"\n")],
            ),
            ("9: after quit nothing is run", &[Say(b"day\nquit\ntime\n"), Hear(b"\nSunday\n")]),
        ],
    );
}

#[test]
fn rules_of_line_framing() {
    play(
        &builder().framing(Framing::Line).start().unwrap(),
        &format!("{GREETING}\n"),
        &[
            ("a line", &[Say(b"day\ntime\r\n"), Hear(b"Sunday\n15:44:57\r\n")]),
            ("no bare command", &[Say(b"day"), Pause, Say(b"\n"), Hear(b"Sunday\n")]),
            ("EOF ends a command", &[Say(b"day"), Finish, Hear(b"Sunday")]),
            ("a tail of blanks is nothing", &[Say(b" "), Pause, Finish]),
            ("the greeting's newline answers a first empty line", &[Say(b"\n"), Say(b"\r\n"), Hear(b"\r\n")]),
            ("one empty line only", &[Say(b" \r\n \n"), Hear(b"\n")]),
            ("quit", &[Say(b"quit\n")]),
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
    same(&converse(server.port(), b"day\ndate\ntime\n"), "Hi, \u{263a}\nSun\n2026-11-22\n15.44\n".as_bytes());
    let mute = builder().greeting("").start().unwrap();
    same(&converse(mute.port(), b"day\n"), b"\nSunday\n");
}

/// A reply that is on its way must survive the close: unread input would turn that into a reset.
#[test]
fn quit_delivers_replies_and_discards_the_rest() {
    let server = server();
    let events = Watch::new(&server);
    let input = [b"day\n".repeat(2000), b"quit\n".to_vec(), vec![b'x'; 1 << 20]].concat();
    let mut peer = Peer::connect(server.port());
    let mut writer = peer.again();
    thread::scope(|scope| {
        // Once the server has given up on an end, it may be told that nobody reads.
        scope.spawn(move || drop(writer.0.write_all(&input)));
        same(&peer.rest(), format!("{GREETING}\n{}", "Sunday\n".repeat(2000)).as_bytes());
    });
    let address = peer.address();
    drop(peer);
    assert_eq!(events.farewell(address), (Reason::Quit, 2001));
}

/// A peer that never closes, and one that never stops sending, are given a second.
#[test]
fn lingering_ends() {
    let server = server();
    let events = Watch::new(&server);
    let [mut silent, mut flooding] = [(); 2].map(|()| Peer::greeted(server.port()));
    for peer in [&mut silent, &mut flooding] {
        peer.send("quit");
        peer.expect_eof();
    }
    while flooding.0.write_all(&[b'x'; 65536]).is_ok() {}
    for peer in [&silent, &flooding] {
        assert_eq!(events.farewell(peer.address()), (Reason::Quit, 1));
    }
    assert_eq!(server.stats().clients, 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// Streams

#[test]
fn streams_of_lines() {
    let server = server();
    for terminator in ["\n", "\r\n"] {
        let lines = |lines: &[&str]| lines.iter().flat_map(|line| [line, terminator]).collect::<String>();
        // A first line that nothing can cut into a command's name, see the limits in the docs.
        let input = lines(&["", "day", "time", "quit"]);
        let output = GREETING.to_owned() + &lines(&["", "Sunday", "15:44:57"]);
        same(&converse(server.port(), input.as_bytes()), output.as_bytes());
        let mut peer = Peer::connect(server.port());
        peer.trickle(&input, Duration::ZERO);
        same(&peer.rest(), output.as_bytes());
    }
    // As `printf 'day\ntime\nquit\n' | nc`.
    let printf = b"day\ntime\nquit\n";
    same(&converse(server.port(), printf), format!("{GREETING}\nSunday\n15:44:57\n").as_bytes());
}

#[test]
fn two_hundred_thousand_commands_in_one_stream() {
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
    let events = Watch::new(&server);
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    let mut writer = peer.again();
    thread::scope(|scope| {
        scope.spawn(|| writer.send(&input));
        peer.expect(&output);
    });
    peer.finish();
    peer.expect_eof();
    // Empty lines are no commands.
    let commands = turns().filter(|(command, _)| *command != "\n").count() as u64;
    assert_eq!(events.farewell(peer.address()), (Reason::EndOfFile, commands));
    let Stats { accepted, commands: all, bytes_in, bytes_out, .. } = server.stats();
    let counted = (accepted, all, bytes_in, bytes_out);
    assert_eq!(counted, (1, commands, input.len() as u64 + 1, (GREETING.len() + 1 + output.len()) as u64));
}

/// Pieces of transcripts: what lines, names, blanks, and rubbish are made of.
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
    fn any_segmentation_gives_the_same(
        input in transcripts(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        line in any::<bool>(),
    ) {
        let framing = if line { Framing::Line } else { Framing::Auto };
        let first = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let name = |bytes: &[u8]| Command::built_in().any(|name| name.as_bytes().eq_ignore_ascii_case(bytes));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        // The precondition: no read before the first line end that is exactly a command's name.
        cuts.retain(|&cut| line || cut > first || !name(&input[..cut]));
        cuts.sort_unstable();
        let wanted = model(framing, &input);
        let server = builder().framing(framing).workers(1).start().unwrap();
        let mut peer = swiftly(|| {
            let mut peer = Peer::connect(server.port());
            peer.send_cut(&input, &cuts, Duration::ZERO);
            peer.finish();
            peer
        });
        same(&peer.rest(), &wanted);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// From bind to join

#[test]
fn clients_queue_between_bind_and_start() {
    let bound = builder().bind().unwrap();
    assert_ne!(bound.port(), 0);
    let mut peers: Vec<Peer> = (0..10).map(|_| Peer::connect(bound.port())).collect();
    peers.iter_mut().for_each(|peer| peer.send("day\n"));
    let (addresses, port) = (bound.addresses().to_vec(), bound.port());
    let server = bound.start().unwrap();
    assert_eq!((server.addresses(), server.port()), (addresses.as_slice(), port));
    peers.iter_mut().for_each(|peer| peer.expect(format!("{GREETING}\nSunday\n")));
}

#[test]
fn several_listeners() {
    let server = builder().listen("127.0.0.2:0").listen(SocketAddr::from(([127, 0, 0, 3], 0))).start().unwrap();
    let bound: Vec<SocketAddr> = server.addresses().iter().map(tcp).collect();
    let ips: Vec<IpAddr> = bound.iter().map(SocketAddr::ip).collect();
    assert_eq!(ips, [1, 2, 3].map(|n| IpAddr::from([127, 0, 0, n])));
    assert_eq!(server.port(), bound[0].port());
    for address in bound {
        Peer::connect_to(address).expect(GREETING);
    }
}

#[test]
fn a_name_binds_all_its_addresses_with_one_port() {
    let server = Server::builder().listen("localhost:0").start().unwrap();
    let bound: Vec<SocketAddr> = server.addresses().iter().map(tcp).collect();
    let wanted = ("localhost", server.port()).to_socket_addrs().unwrap();
    // Those that this machine has, each once.
    let mut wanted: Vec<_> = wanted.filter(|address| TcpListener::bind((address.ip(), 0)).is_ok()).collect();
    wanted.dedup();
    assert_eq!(bound, wanted);
    for address in bound {
        Peer::connect_to(address).expect(GREETING);
    }
}

#[test]
fn any_ipv6_address_takes_ipv4_too_unless_that_has_a_listener() {
    let both = match builder().listen("[::]:0").start() {
        Ok(server) => server,
        Err(error) => return skip(format!("there is no IPv6: {error}")),
    };
    let port = tcp(&both.addresses()[1]).port();
    for ip in [Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        Peer::connect_to((ip, port).into()).expect(GREETING);
    }
    drop(both);
    // The same port for both kinds, on addresses that no other test uses.
    let apart = builder().listen(format!("127.0.0.6:{port}")).listen(format!("[::]:{port}")).start().unwrap();
    Peer::connect_to(([127, 0, 0, 6], port).into()).expect(GREETING);
    Peer::connect_to((Ipv6Addr::LOCALHOST, port).into()).expect(GREETING);
    drop(apart);
}

#[test]
fn addresses_that_cannot_be_bound() {
    let taken = server();
    let taken = taken.addresses()[0].to_string();
    let long = format!("{}:1", "x".repeat(300));
    let of_system = |kind: ErrorKind| move |error: &Error| matches!(error, Error::Io(io, _) if io.kind() == kind);
    let invalid = |error: &Error| matches!(error, Error::Invalid(_));
    type Fits<'a> = &'a dyn Fn(&Error) -> bool;
    let table: [(&str, Fits); 11] = [
        (&taken, &of_system(ErrorKind::AddrInUse)),
        ("192.0.2.1:0", &of_system(ErrorKind::AddrNotAvailable)),
        ("no-such-host.invalid:0", &|error| matches!(error, Error::Io(..))),
        ("127.0.0.1:99999", &invalid),
        ("localhost:", &invalid),
        ("localhost:http", &invalid),
        ("", &invalid),
        (":9990", &invalid),
        ("[::1", &invalid),
        ("a b:1", &invalid),
        (&long, &invalid),
    ];
    for (address, fits) in table {
        // After one that can be bound, which must be given back.
        let bound = Server::builder().listen("127.0.0.1:0").listen(address).bind();
        let error = bound.map(|bound| bound.addresses().to_vec()).unwrap_err();
        assert!(fits(&error), "{address:?}: {error:?}");
        assert!(error.to_string().contains(address), "{address:?} is not in {error}");
    }
}

#[test]
fn settings_that_are_refused() {
    let long = "x".repeat(1024);
    let table = [
        ("1025 workers", builder().workers(1025)),
        ("a backlog of 4294967295", builder().backlog(u32::MAX)),
        ("greeting \"a\\nb\"", builder().greeting("a\nb")),
        ("the greeting", builder().greeting(&long)),
        ("format \"%Q\"", builder().day_format("%Q")),
        ("format \"%\"", builder().date_format("%")),
        ("format \"\"", builder().time_format("")),
        ("time zone \"No/Where\"", builder().timezone("No/Where")),
        ("time zone \"/etc/localtime\"", builder().timezone("/etc/localtime")),
    ];
    for (named, builder) in table {
        match builder.bind() {
            Err(Error::Invalid(why)) => assert!(why.contains(named), "{named} is not in {why}"),
            other => panic!("{named}: {other:?}"),
        }
    }
}

#[test]
fn restarts_at_once() {
    // An address of its own, so that no other test takes the port meanwhile.
    let first = builder().listen("127.0.0.27:0").start().unwrap();
    let address = tcp(&first.addresses()[1]);
    let mut peer = Peer::connect_to(address);
    peer.send("quit\n");
    peer.expect(format!("{GREETING}\n"));
    peer.expect_eof();
    drop((peer, first));
    // Without that this would prove nothing.
    let (local, time_wait) = (format!(" {:08X}:{:04X} ", 0x1b00_007f_u32, address.port()), " 06 ");
    let waits = |line: &str| line.contains(&local) && line.contains(time_wait);
    eventually("a connection is in TIME_WAIT", || fs::read_to_string("/proc/net/tcp").unwrap().lines().any(waits));
    let again = Server::builder().listen(address).start().unwrap();
    Peer::connect_to(address).expect(GREETING);
    assert_eq!(tcp(&again.addresses()[0]), address);
}

#[test]
fn wait_tells_whether_it_has_ended() {
    let server = server();
    assert!(!server.wait(Some(Duration::ZERO)));
    assert!(!server.wait(Some(Duration::from_millis(20))));
    let mut peer = Peer::greeted(server.port());
    thread::scope(|scope| {
        let waits = [None, Some(PATIENCE), Some(Duration::MAX)].map(|timeout| {
            let server = &server;
            scope.spawn(move || server.wait(timeout))
        });
        server.stop();
        assert_eq!(waits.map(|wait| wait.join().unwrap()), [true; 3]);
    });
    assert!(server.wait(Some(Duration::ZERO)));
    peer.wait_closed();
    refused(tcp(&server.addresses()[0]));
    // What is left answers still.
    server.stop();
    server.drain(Duration::ZERO);
    assert!(server.clients().is_empty());
    let Stats { clients, accepted, .. } = server.stats();
    assert_eq!((clients, accepted), (0, 1));
}

#[test]
fn dropping_it_joins_its_threads_and_closes_everything() {
    if !alone("dropping_it_joins_its_threads_and_closes_everything") {
        return;
    }
    let before = descriptors("self");
    for workers in [1, 3, 8] {
        let server = builder().workers(workers).start().unwrap();
        let (handle, events) = (server.handle(), server.events());
        let mut peers: Vec<Peer> = (0..10).map(|_| Peer::greeted(server.port())).collect();
        let mut names: Vec<String> = server_threads().into_iter().map(|(_, name)| name).collect();
        names.sort();
        assert_eq!(names, (0..workers).map(|n| format!("daytime-{n}")).collect::<Vec<_>>());
        drop(server);
        assert_eq!(server_threads(), []);
        peers.iter_mut().for_each(Peer::wait_closed);
        drop(peers);
        // A handle keeps no server running; the pollers' wakers are all that it keeps.
        handle.stop();
        assert!(handle.clients().is_empty());
        drop((handle, events));
        assert_eq!(descriptors("self"), before);
    }
}

#[test]
fn the_host_process_is_left_as_it_was() {
    if !alone("the_host_process_is_left_as_it_was") {
        return;
    }
    let state = || {
        // Of this thread, which is the one that starts the server.
        let signals = ["SigCgt", "SigIgn", "SigBlk", "Umask"].map(|field| status("thread-self", field));
        (signals, std::env::current_dir().unwrap(), std::env::vars_os().collect::<Vec<_>>())
    };
    let before = state();
    let server = server();
    Peer::greeted(server.port()).ask("day\n", "\nSunday\n");
    // Not shown: an environment may hold secrets.
    assert!(state() == before);
    // Every signal but those that cannot be blocked and the two that glibc keeps for itself.
    let blockable = [9, 19, 32, 33].iter().fold(u64::MAX, |mask, signal| mask & !(1 << (signal - 1)));
    let threads = server_threads();
    assert_eq!(threads.len(), 2);
    for (thread, name) in threads {
        let blocked = u64::from_str_radix(&status(&format!("self/task/{thread}"), "SigBlk"), 16).unwrap();
        assert_eq!(blocked & blockable, blockable, "{name}: {blocked:x}");
        assert!(name.len() <= 15, "{name}");
    }
    drop(server);
    assert!(state() == before);
}

// ---------------------------------------------------------------------------------------------------------------------
// Draining

#[test]
fn draining_closes_idle_clients_and_delivers_what_is_owed() {
    let server = server();
    let events = Watch::new(&server);
    let mut idle: Vec<Peer> = (0..6).map(|_| Peer::greeted(server.port())).collect();
    idle[0].ask("day", "Sunday");
    idle[1].ask("day\n", "\nSunday\n");
    // What was begun and is no line yet is nothing, where lines are framed.
    idle[1].send("tim");
    let mut busy: Vec<Peer> = (0..4).map(|_| Peer::narrow(server.port())).collect();
    for peer in &mut busy {
        peer.send("help\n".repeat(3000));
        peer.expect(GREETING);
    }
    server.drain(PATIENCE);
    server.drain(Duration::ZERO); // the first call counts
    for mut peer in idle {
        peer.expect_eof();
        let address = peer.address();
        drop(peer);
        assert_eq!(events.farewell(address).0, Reason::Shutdown);
    }
    refused(tcp(&server.addresses()[0]));
    assert!(!server.wait(Some(Duration::ZERO)));
    for mut peer in busy {
        let (rest, address) = (peer.rest(), peer.address());
        drop(peer);
        let (reason, commands) = events.farewell(address);
        assert_eq!(reason, Reason::Shutdown);
        // To each command that was executed, and they were more than the kernel takes the replies of.
        same(&rest, ("\n".to_owned() + &format!("{HELP}\n").repeat(commands as usize)).as_bytes());
        assert!(rest.len() > 65536, "{}", rest.len());
    }
    assert!(server.wait(Some(PATIENCE)));
}

#[test]
fn draining_ends_with_its_grace() {
    let server = server();
    let mut deaf = Peer::narrow(server.port());
    deaf.send("help\n".repeat(3000));
    deaf.expect(GREETING);
    server.drain(Duration::from_millis(200));
    assert!(server.wait(Some(PATIENCE)));
    deaf.wait_closed();
    assert_eq!(server.stats().clients, 0);
}

#[test]
fn draining_without_clients_ends_at_once() {
    let server = server();
    server.drain(Duration::MAX);
    assert!(server.wait(Some(PATIENCE)));
}

/// A client that was accepted, and is on its way to its worker, when the drain begins.
#[test]
fn draining_forgets_no_client_that_has_just_come() {
    let grace = Duration::from_secs(10);
    for round in 0..100 {
        let server = server();
        let mut peers: Vec<Peer> = (0..8).map(|_| Peer::connect(server.port())).collect();
        let began = Instant::now();
        server.drain(grace);
        peers.iter_mut().for_each(Peer::wait_closed);
        assert!(began.elapsed() < grace / 2, "in round {round} an idle client lasted for the whole grace");
        drop(peers);
        assert!(server.wait(Some(PATIENCE)));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What it tells

/// Listens to a server's events.
struct Watch {
    events: Receiver<Event>,
    gone: RefCell<HashMap<SocketAddr, (Reason, u64)>>,
}

impl Watch {
    fn new(server: &Server) -> Self {
        Watch { events: server.events(), gone: RefCell::default() }
    }

    /// Waits until a client has left: why, and after how many commands.
    #[track_caller]
    fn farewell(&self, who: SocketAddr) -> (Reason, u64) {
        let mut gone = self.gone.borrow_mut();
        while !gone.contains_key(&who) {
            if let Event::Disconnected { peer, reason, commands, .. } = next(&self.events).unwrap() {
                gone.insert(tcp(&peer), (reason, commands));
            }
        }
        gone[&who]
    }
}

/// The next event; `None` once there is no more to come.
#[track_caller]
fn next(events: &Receiver<Event>) -> Option<Event> {
    match events.recv_timeout(PATIENCE) {
        Ok(event) => Some(event),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("nothing happens, and it does not end"),
    }
}

fn tcp(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(address: SocketAddr) {
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn events_tell_of_every_client_in_order() {
    let server = builder().workers(1).start().unwrap();
    let events = server.events();
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::greeted(server.port());
        peer.ask("day\nwhat\n\n", format!("\nSunday\n{INVALID}\n\n"));
        peer.finish();
        peer.expect_eof();
        addresses.push(peer.address());
    }
    server.stop();
    assert!(server.wait(Some(PATIENCE)));
    // The receiver ends with the server.
    let told: Vec<Event> = iter::from_fn(|| next(&events)).collect();
    let wanted: Vec<Event> = (1..)
        .zip(addresses)
        .flat_map(|(client, peer)| {
            let (client, peer) = (client.into(), Address::from(peer));
            let gone = Event::Disconnected { client, peer: peer.clone(), reason: Reason::EndOfFile, commands: 2 };
            [Event::Connected { client, peer }, gone]
        })
        .collect();
    assert_eq!(told, wanted);
    // A subscription that comes too late ends at once.
    assert_eq!(next(&server.events()), None);
}

#[test]
fn events_tell_why_a_client_left() {
    let server = builder().write_timeout(Duration::from_millis(300)).start().unwrap();
    let events = Watch::new(&server);
    let [mut quits, mut ends, breaks, mut stays] = [(); 4].map(|()| Peer::greeted(server.port()));
    let mut deaf = Peer::narrow(server.port());
    let addresses = [&quits, &ends, &breaks, &deaf, &stays].map(Peer::address);
    quits.send("day\nquit\n");
    quits.expect("\nSunday\n");
    quits.expect_eof();
    drop(quits);
    ends.send("day");
    ends.finish();
    ends.expect("Sunday");
    ends.expect_eof();
    breaks.reset();
    // It is always sending, and that does not help.
    while deaf.0.write_all(&b"help\n".repeat(100)).is_ok() {}
    stays.ask("time\n", "\n15:44:57\n");
    let told = addresses.map(|address| {
        if address == stays.address() {
            server.stop();
        }
        events.farewell(address)
    });
    let commands = told[3].1;
    assert!(commands > 0);
    let wanted = [
        (Reason::Quit, 2),
        (Reason::EndOfFile, 1),
        (Reason::Error, 0),
        (Reason::WriteTimeout, commands),
        (Reason::Shutdown, 1),
    ];
    assert_eq!(told, wanted);
    assert!(server.wait(Some(PATIENCE)));
    assert_eq!(server.stats().commands, 4 + commands);
}

#[test]
fn a_deaf_subscriber_loses_events() {
    let server = server();
    let deaf = server.events_with(0, false); // at least 1
    let hasty = server.events_with(1, false);
    drop(hasty); // is no subscriber any more, and loses nothing
    let events = Watch::new(&server);
    let addresses: Vec<SocketAddr> = (0..5).map(|_| Peer::greeted(server.port()).address()).collect();
    for address in &addresses {
        events.farewell(*address);
    }
    assert_eq!(server.stats().events_dropped, 9);
    assert!(matches!(next(&deaf), Some(Event::Connected { peer, .. }) if addresses.contains(&tcp(&peer))));
    // It has room again.
    let address = Peer::greeted(server.port()).address();
    events.farewell(address);
    assert!(matches!(next(&deaf), Some(Event::Connected { peer, .. }) if tcp(&peer) == address));
    assert_eq!(server.stats().events_dropped, 10);
    drop(server);
    assert_eq!(next(&deaf), None);
}

#[test]
fn clients_and_stats_are_exact() {
    let began = SystemTime::now();
    let server = server();
    let events = Watch::new(&server);
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::greeted(server.port())).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.ask("\n", "\n");
        peer.ask("day\n".repeat(n), "Sunday\n".repeat(n));
        peer.ask("dya\n", format!("{INVALID}\n"));
    }
    let clients = server.clients();
    let known: Vec<_> =
        clients.iter().map(|client| (u64::from(client.id), tcp(&client.peer), client.commands)).collect();
    let wanted: Vec<_> = (1..).zip(&peers).map(|(n, peer)| (n, peer.address(), n)).collect();
    assert_eq!(known, wanted);
    let late = SystemTime::now();
    assert!(clients.iter().all(|client| (began..=late).contains(&client.connected_at)));

    let lines: u64 = (0..20).sum();
    let stats = server.stats();
    let counted = (stats.clients, stats.accepted, stats.commands, stats.invalid, stats.bytes_in, stats.bytes_out);
    let error = INVALID.len() as u64 + 1;
    assert_eq!(counted, (20, 20, lines + 20, 20, 20 * 5 + lines * 4, 20 * (22 + error) + lines * 7));
    assert!(stats.uptime <= late.duration_since(began).unwrap());

    // One that has said quit and keeps its side open is being closed: no client any more, a connection still.
    let mut closing = peers.pop().unwrap();
    closing.send("quit\n");
    closing.expect_eof();
    assert_eq!((server.clients().len(), server.stats().clients), (19, 20));
    let addresses: Vec<_> = peers.iter().chain([&closing]).map(Peer::address).collect();
    drop((peers, closing));
    for address in addresses {
        events.farewell(address);
    }
    assert!(server.clients().is_empty());
    let Stats { clients, accepted, .. } = server.stats();
    assert_eq!((clients, accepted), (0, 20));
    // No number is used twice.
    let peer = Peer::greeted(server.port());
    assert_eq!(server.clients().iter().map(|client| client.id.into()).collect::<Vec<u64>>(), [21]);
    drop(peer);
}

// ---------------------------------------------------------------------------------------------------------------------
// Clocks and zones

#[test]
fn the_clock_is_set_while_clients_are_served() {
    let server = server();
    let mut peers = [(); 2].map(|()| Peer::greeted(server.port()));
    peers.iter_mut().for_each(|peer| peer.ask("\n", "\n"));
    let nines = ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"];
    let table = [
        (MOMENT, ["Sunday", "26-11-22", "15:44:57", "2026-11-22T15:44:57+00:00", "1795362297"]),
        (MOMENT - 3600, ["Sunday", "26-11-22", "14:44:57", "2026-11-22T14:44:57+00:00", "1795358697"]),
        (MOMENT + 31_536_000, ["Monday", "27-11-22", "15:44:57", "2027-11-22T15:44:57+00:00", "1826898297"]),
        (0, ["Thursday", "70-01-01", "00:00:00", "1970-01-01T00:00:00+00:00", "0"]),
        (-1, ["Wednesday", "69-12-31", "23:59:59", "1969-12-31T23:59:59+00:00", "-1"]),
        (-62_135_596_800, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (i64::MIN, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (253_402_207_200, nines),
        (i64::MAX, nines),
        (MOMENT, ["Sunday", "26-11-22", "15:44:57", "2026-11-22T15:44:57+00:00", "1795362297"]),
    ];
    for (seconds, replies) in table {
        server.set_clock(Clock::fixed_unix(seconds));
        for peer in &mut peers {
            peer.ask("day\ndate\ntime\ndatetime\ntimestamp\n", replies.join("\n") + "\n");
        }
    }
    // No offset leads out of what can be written.
    for (offset, text) in [(i64::MAX, nines[3]), (i64::MIN, "0001-01-01T00:00:00+00:00")] {
        server.set_clock(Clock::offset(offset));
        peers[0].ask("datetime\n", format!("{text}\n"));
    }
    // A clock that runs.
    server.set_clock(Clock::offset(-1_000_000));
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - 1_000_000;
    let before = now();
    peers[1].send("timestamp\n");
    let told = peers[1].line().parse().unwrap();
    assert!((before..=now()).contains(&told), "{told}");
}

/// What stands unterminated at the end of file is answered from a clock that is read then.
#[test]
fn the_clock_is_read_anew_for_a_last_command() {
    let server = builder().workers(1).start().unwrap();
    let mut waiting = Peer::greeted(server.port());
    waiting.ask("\ntime", "\n");
    let mut other = Peer::greeted(server.port());
    other.ask("time\n", "\n15:44:57\n");
    server.set_clock(Clock::fixed_unix(MOMENT + 3600));
    waiting.finish();
    waiting.expect("16:44:57");
    waiting.expect_eof();
}

/// However the clock jumps, the commands of one read are answered from one reading of it.
#[test]
fn one_read_is_answered_from_one_reading() {
    let midnight = 1_795_392_000;
    let replies = [
        "Sunday\n26-11-22\n23:59:59\n2026-11-22T23:59:59+00:00\n1795391999\n",
        "Monday\n26-11-23\n00:00:00\n2026-11-23T00:00:00+00:00\n1795392000\n",
    ];
    let server = builder().clock(Clock::fixed_unix(midnight)).start().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for seconds in [midnight - 1, midnight].into_iter().cycle().take_while(|_| !done.load(Relaxed)) {
                server.set_clock(Clock::fixed_unix(seconds));
            }
        });
        let mut peer = Peer::greeted(server.port());
        peer.ask("\n", "\n");
        let mut seen = HashSet::new();
        for _ in 0..2000 {
            peer.send("day\ndate\ntime\ndatetime\ntimestamp\n");
            let reply = (0..5).map(|_| peer.line() + "\n").collect::<String>();
            assert!(replies.contains(&reply.as_str()), "{reply}");
            seen.insert(reply);
        }
        done.store(true, Relaxed);
        assert_eq!(seen.len(), 2, "the clock was never set between two reads");
    });
}

/// S11, as far as sockets show it; `faults.rs` shows what is opened.
#[test]
fn zones() {
    let server = server();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    let known = [
        ("day Asia/Tokyo", "Monday"),
        ("date Asia/Tokyo", "26-11-23"),
        ("time asia/tokyo", "00:44:57"),
        ("datetime ASIA/TOKYO", "2026-11-23T00:44:57+09:00"),
        ("datetime America/Argentina/Buenos_Aires", "2026-11-22T12:44:57-03:00"),
        ("datetime Etc/GMT+3", "2026-11-22T12:44:57-03:00"),
        ("datetime utc", "2026-11-22T15:44:57+00:00"),
        ("datetime +05:30", "2026-11-22T21:14:57+05:30"),
        ("datetime -23:59", "2026-11-21T15:45:57-23:59"),
        ("datetime", "2026-11-22T15:44:57+00:00"),
    ];
    for (command, reply) in known {
        peer.ask(format!("{command}\n"), format!("{reply}\n"));
    }
    let long = "x/".repeat(500);
    let unknown = [
        "No/Where",
        "../../etc/passwd",
        "Europe/../Europe/Berlin",
        "/usr/share/zoneinfo/Europe/Berlin",
        "/etc/localtime",
        ".",
        "..",
        "/",
        "-",
        "tzdata.zi",
        "zone.tab",
        "leapseconds",
        "localtime",
        "posixrules",
        "Europe",
        "Europe/",
        "Europe/Berlin/",
        "Europe//Berlin",
        "Europe/Berlin Asia/Tokyo",
        "+5:30",
        "+24:00",
        "+05:60",
        "EST5EDT,M3.2.0,M11.1.0",
        "Europe/Berl\u{0131}n",
        "%s%n",
        &long,
    ];
    for zone in unknown {
        peer.ask(format!("time {zone}\n"), format!("{UNKNOWN_ZONE}\n"));
    }
    // 10 kB make no command.
    peer.ask(format!("time {}\n", "x".repeat(10_000)), format!("{INVALID}\n"));
    // More names than are remembered.
    for n in 0..600 {
        peer.ask(format!("time No/Where{n}\n"), format!("{UNKNOWN_ZONE}\n"));
    }
    peer.ask("day Asia/Tokyo\n", "Monday\n");
}

#[test]
fn the_zone_of_the_server_is_a_setting() {
    for (zone, reply) in
        [("Asia/Kolkata", "+05:30"), ("asia/kolkata", "+05:30"), ("+05:30", "+05:30"), ("UTC", "+00:00")]
    {
        let server = builder().timezone(zone).start().unwrap();
        assert!(server.warnings().is_empty());
        let told = String::from_utf8(converse(server.port(), b"\ndatetime")).unwrap();
        assert!(told.ends_with(reply), "{zone}: {told}");
    }
}
