//! Limits: clients, clients of one source, timeouts, and settings beyond their bounds.

use std::{thread, time::Duration};

use daytime::{
    Client, Error, Event, Reason,
    protocol::{GREETING, errors},
};

use crate::common::{TIMEOUT, builder, eventually, in_own_process, peer::Peer};
use crate::helpers::blocking_command;

#[test]
fn a_full_server_rejects_clients_until_one_leaves() {
    let server = builder().max_clients(2).start().unwrap();
    let events = server.events();
    let (mut first, mut second) = (Peer::greeted(server.port()), Peer::greeted(server.port()));
    for round in 1..=100 {
        let mut third = Peer::connect(server.port());
        // Unread input of the client must not destroy the error line.
        third.send("day\ntime\n");
        third.expect("The server is full\n");
        third.expect_eof();
        assert_eq!(server.stats().refused, round);
    }
    first.ask("day", "Sunday");
    second.send("quit");
    second.expect_eof();
    drop(second);
    eventually("a client has left", || server.stats().clients == 1);
    let mut third = Peer::greeted(server.port());
    third.ask("day", "Sunday");
    let refused =
        events.try_iter().filter(|event| matches!(event, Event::Refused { reason: Reason::Full, .. })).count();
    assert_eq!(refused, 100);
    assert_eq!(server.stats().accepted, 3);
}

#[test]
fn rejected_clients_keep_a_limited_number_of_connections() {
    let server = builder().workers(1).max_clients(1).start().unwrap();
    let mut accepted = Peer::greeted(server.port());
    // Rejected clients that neither read nor leave. Each gets its error line, or a close.
    let mut rejected: Vec<Peer> = (0..200).map(|_| Peer::connect(server.port())).collect();
    eventually("the server has rejected all of them", || server.stats().refused == 200);
    accepted.ask("day", "Sunday");
    let with_line = rejected.iter_mut().filter(|peer| {
        let mut line = [0; 19];
        std::io::Read::read_exact(&mut peer.0.try_clone().unwrap(), &mut line).is_ok()
    });
    let with_line = with_line.count();
    assert!((1..=64).contains(&with_line), "{with_line}");
    assert_eq!(server.stats().clients, 1);
}

#[test]
fn a_rejected_client_gets_its_error_line_after_many_that_have_left() {
    let bound = builder().workers(1).max_clients(1).bind().unwrap();
    let mut accepted = Peer::connect(bound.port());
    // All of them are in the queue when the server starts, and have closed their side.
    let mut left: Vec<Peer> = (0..60).map(|_| Peer::connect(bound.port())).collect();
    left.iter_mut().for_each(Peer::finish);
    let mut last = Peer::connect(bound.port());
    let server = bound.start().unwrap();
    accepted.expect(GREETING);
    last.expect("The server is full\n");
    last.expect_eof();
    assert_eq!(server.stats().refused, 61);
}

#[test]
fn the_client_reports_the_error_line_of_a_full_server() {
    let server = builder().max_clients(1).start().unwrap();
    let accepted = Client::connect(&server.addresses()[0]).unwrap();
    let refused = Client::connect(&server.addresses()[0]).unwrap_err();
    assert!(matches!(&refused, Error::Refused(line) if line == errors::FULL), "{refused:?}");
    accepted.quit().unwrap();
}

#[test]
fn a_source_has_a_limited_number_of_clients() {
    let server = builder().max_clients_per_source(2).start().unwrap();
    let from = |source: [u8; 4]| Peer::connect_from(source, server.port());
    let mut peers: Vec<Peer> = (0..2).map(|_| from([127, 0, 0, 2])).collect();
    peers.iter_mut().for_each(|peer| peer.expect(GREETING));
    let mut third = from([127, 0, 0, 2]);
    third.expect("Too many connections from your address\n");
    third.expect_eof();
    from([127, 0, 0, 3]).expect(GREETING);
    peers.pop();
    eventually("a client has left", || server.stats().clients == 2 || server.stats().clients == 1);
    eventually("the server accepts another client", || {
        let mut peer = from([127, 0, 0, 2]);
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut peer.0, &mut first).unwrap();
        first == *b"W"
    });
}

#[test]
fn timeouts_close_silent_clients_with_a_reason() {
    // A slow client is never silent, and never completes a command.
    let server = builder()
        .idle_timeout(Duration::from_millis(1000))
        .first_command_timeout(Duration::from_millis(2500))
        .start()
        .unwrap();
    let events = server.events();
    let mut silent = Peer::greeted(server.port());
    silent.expect_eof();
    drop(silent);
    let mut slow = Peer::greeted(server.port());
    slow.ask("\n", "\n");
    let mut trickle = slow.again();
    let writer = thread::spawn(move || {
        while std::io::Write::write_all(&mut trickle.0, b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    slow.expect_eof();
    drop(slow);
    writer.join().unwrap();
    let mut active = Peer::greeted(server.port());
    active.ask("day\n", "\nSunday\n");
    active.expect_eof();
    drop(active);
    let reasons: Vec<Reason> = events
        .iter()
        .filter_map(|event| if let Event::Disconnected { reason, .. } = event { Some(reason) } else { None })
        .take(3)
        .collect();
    assert_eq!(reasons, [Reason::Idle, Reason::NoCommand, Reason::Idle]);
}

#[test]
fn a_client_that_waits_for_its_handler_is_not_idle() {
    let (builder, entries, release) = blocking_command(
        builder().idle_timeout(Duration::from_millis(200)).first_command_timeout(Duration::from_millis(200)),
    );
    let server = builder.start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("wait long\n");
    entries.recv_timeout(TIMEOUT).unwrap();
    thread::sleep(Duration::from_millis(600));
    release.send(()).unwrap();
    peer.expect("\nwaited long\n");
    peer.expect_eof();
}

#[test]
fn slow_clients_delay_no_other_client() {
    // With those of the tests beside it, their sockets would exceed a usual limit of 1,024.
    if !in_own_process() {
        return;
    }
    let server = builder().first_command_timeout(Duration::from_secs(2)).start().unwrap();
    let mut slow: Vec<Peer> = (0..400).map(|_| Peer::greeted(server.port())).collect();
    // Lines are framed, because without lines a pause would end a command.
    slow.iter_mut().for_each(|peer| peer.ask("\n", "\n"));
    let mut active = Peer::greeted(server.port());
    active.ask("\nday\n", "\nSunday\n");
    for _ in 0..20 {
        slow.iter_mut().for_each(|peer| {
            let _ = std::io::Write::write_all(&mut peer.0, b"d");
        });
        active.ask("day\n", "Sunday\n");
    }
    eventually("the server has closed the slow clients", || server.stats().clients == 1);
    active.ask("day\n", "Sunday\n");
}

#[test]
fn limits_are_checked_when_they_are_set() {
    let zero = Duration::ZERO;
    for (builder, expected) in [
        (builder().max_clients(0), "max_clients must be at least 1, got 0"),
        (builder().max_clients_per_source(0), "max_clients_per_source must be at least 1, got 0"),
        (builder().idle_timeout(zero), "idle_timeout must be longer than zero, got 0 s"),
        (builder().first_command_timeout(zero), "first_command_timeout must be longer than zero, got 0 s"),
        (builder().write_timeout(zero), "write_timeout must be longer than zero, got 0 s"),
        (builder().workers(0), "workers must be between 1 and 1,024, got 0"),
        (builder().handler_threads(5000), "handler_threads must be between 1 and 1,024, got 5,000"),
        (builder().backlog(0), "backlog must be between 1 and 2,147,483,647, got 0"),
    ] {
        let error = builder.check().unwrap_err();
        assert!(matches!(&error, Error::Invalid(message) if message.contains(expected)), "{error}");
        assert_eq!(builder.bind().unwrap_err().to_string(), error.to_string());
    }
    builder().max_clients(None).idle_timeout(None).workers(None).check().unwrap();
}

#[test]
fn settings_out_of_bounds_are_rejected() {
    let long = "x".repeat(1024);
    let table = [
        ("workers must be between 1 and 1,024, got 1,025", builder().workers(1025)),
        ("backlog must be between 1 and 2,147,483,647, got 4,294,967,295", builder().backlog(u32::MAX)),
        ("greeting must be empty or a line of at most 1,023 bytes, got \"a\\nb\"", builder().greeting("a\nb")),
        ("greeting must be empty", builder().greeting(&long)),
        ("format \"%Q\"", builder().day_format("%Q")),
        ("format \"%\"", builder().date_format("%")),
        ("format \"\"", builder().time_format("")),
        ("time zone \"No/Where\"", builder().timezone("No/Where")),
        ("time zone \"/etc/localtime\"", builder().timezone("/etc/localtime")),
    ];
    for (expected, builder) in table {
        match builder.bind() {
            Err(Error::Invalid(message)) => assert!(message.contains(expected), "{expected} is not in {message}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
}
