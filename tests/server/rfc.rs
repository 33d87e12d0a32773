//! The daytime and time protocols of RFC 867 and RFC 868: the server and the readers.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::{Duration, Instant, UNIX_EPOCH},
};

use daytime::{
    Address, Client, Clock, Error, Event, EventOptions, Reason, Server, ServerBuilder, Service, protocol::GREETING,
    rfc867, rfc868,
};

use crate::common::{
    Folder, MOMENT, TIMEOUT,
    fake_server::FakeServer,
    next_disconnect, next_event, outcome,
    peer::{Peer, assert_bytes, retry_if_slow},
    tcp, timed, unbound_builder,
};
use crate::helpers::unix_address;

/// [`MOMENT`] as RFC 867 shows it.
pub(crate) const LINE: &str = "Sunday, November 22, 2026 15:44:57-UTC\r\n";

/// [`MOMENT`] since 1900.
pub(crate) const SECONDS: [u8; 4] = (MOMENT as u32).wrapping_add(2_208_988_800).to_be_bytes();

/// The time that a peer has to close.
const LINGER: Duration = Duration::from_secs(1);

/// The settings of a server of both protocols on free ports.
fn rfc_settings() -> ServerBuilder {
    unbound_builder().listen_as(Service::Rfc867, "127.0.0.1:0").listen_as(Service::Rfc868, "127.0.0.1:0")
}

fn rfc_ports(server: &Server) -> [u16; 2] {
    [&server.addresses_of(Service::Rfc867)[0], &server.addresses_of(Service::Rfc868)[0]]
        .map(|address| tcp(address).port())
}

// ---- The server

#[test]
fn the_replies_of_rfc_867_and_rfc_868_are_exact() {
    for (moment, zone, line, seconds) in [
        (MOMENT, "UTC", LINE, SECONDS),
        (MOMENT, "+05:30", "Sunday, November 22, 2026 21:14:57-+05:30\r\n", SECONDS),
        (MOMENT, "Asia/Tokyo", "Monday, November 23, 2026 00:44:57-JST\r\n", SECONDS),
        (1_793_491_199, "UTC", "Saturday, October 31, 2026 23:59:59-UTC\r\n", [0xee, 0x90, 0xff, 0x7f]),
        (1_793_491_200, "UTC", "Sunday, November 1, 2026 00:00:00-UTC\r\n", [0xee, 0x90, 0xff, 0x80]),
        (2_085_978_495, "UTC", "Thursday, February 7, 2036 06:28:15-UTC\r\n", [0xff; 4]),
        (2_085_978_496, "UTC", "Thursday, February 7, 2036 06:28:16-UTC\r\n", [0; 4]),
        (2_085_978_497, "UTC", "Thursday, February 7, 2036 06:28:17-UTC\r\n", [0, 0, 0, 1]),
    ] {
        let server = rfc_settings().clock(Clock::fixed_unix(moment)).timezone(zone).start().unwrap();
        let [of_867, of_868] = rfc_ports(&server);
        assert_bytes(&Peer::connect(of_867).rest(), line.as_bytes());
        assert_bytes(&Peer::connect(of_868).rest(), &seconds);
        // The readers parse the replies.
        assert_eq!(rfc867(&server.addresses_of(Service::Rfc867)[0]).unwrap(), line.trim_end());
        let read = rfc868(&server.addresses_of(Service::Rfc868)[0]).unwrap();
        assert_eq!(read, UNIX_EPOCH + Duration::from_secs(moment as u64));
    }
}

#[test]
fn a_server_of_the_rfcs_alone_has_no_text_listener() {
    let server = rfc_settings().start().unwrap();
    assert_eq!((server.addresses(), server.port()), (&[][..], 0));
    assert!(rfc_ports(&server).iter().all(|port| *port != 0));
}

#[test]
fn the_clock_of_the_rfcs_is_set_while_they_are_served() {
    let server = rfc_settings().start().unwrap();
    let [of_867, of_868] = rfc_ports(&server);
    server.set_clock(Clock::fixed_unix(MOMENT + 1));
    for _ in 0..2 {
        assert_bytes(&Peer::connect(of_867).rest(), LINE.replace(":57", ":58").as_bytes());
        assert_bytes(&Peer::connect(of_868).rest(), &(u32::from_be_bytes(SECONDS) + 1).to_be_bytes());
    }
}

#[test]
fn input_of_the_client_does_not_destroy_the_reply() {
    let server = rfc_settings().start().unwrap();
    let events = server.events();
    for (port, reply) in rfc_ports(&server).into_iter().zip([LINE.as_bytes(), &SECONDS]) {
        for size in [1, 100_000] {
            // A client that takes longer than the linger time may be reset.
            let received = retry_if_slow(|| {
                let mut peer = Peer::connect(port);
                let mut received = Vec::new();
                let read = peer.0.write_all(&vec![b'x'; size]).and_then(|()| peer.0.read_to_end(&mut received));
                read.map(|_| received)
            });
            assert_bytes(&received.unwrap(), reply);
            let (_, reason, commands) = next_disconnect(&events);
            assert_eq!((reason, commands), (Reason::Answered, 0));
        }
    }
}

#[test]
fn events_report_clients_that_got_their_reply() {
    let server = rfc_settings().start().unwrap();
    let events = server.events_with(EventOptions::new().capacity(100).commands(true));
    for port in rfc_ports(&server) {
        let mut peer = Peer::connect(port);
        peer.rest();
        let address = Address::from(peer.address());
        let Event::Connected { client, peer: from } = next_event(&events) else {
            panic!("the first event is the connection")
        };
        assert_eq!(from, address);
        assert!(server.clients().is_empty() && !server.disconnect(client), "the client is not listed");
        drop(peer);
        let reason = Reason::Answered;
        assert_eq!(next_event(&events), Event::Disconnected { client, peer: address, reason, commands: 0 });
    }
    let stats = server.stats();
    assert_eq!((stats.clients, stats.accepted, stats.commands), (0, 2, 0));
    assert_eq!(stats.bytes_out, (LINE.len() + SECONDS.len()) as u64);
    assert_eq!(Reason::Answered.to_string(), "the reply was sent");
}

#[test]
fn a_client_that_does_not_close_is_disconnected_after_a_second() {
    let server = rfc_settings().start().unwrap();
    let events = server.events();
    let began = Instant::now();
    let mut open = rfc_ports(&server).map(Peer::connect);
    open.iter_mut().for_each(|peer| drop(peer.rest()));
    for _ in 0..2 {
        assert_eq!(next_disconnect(&events).1, Reason::Answered);
    }
    assert!(began.elapsed() >= LINGER, "the client has time to close");
    // A client that sends endlessly does not get more time.
    let mut flooding = Peer::connect(rfc_ports(&server)[0]);
    while flooding.0.write_all(&[b'x'; 10_000]).is_ok() {}
    assert_eq!(next_disconnect(&events).1, Reason::Answered);
}

#[test]
fn a_full_server_sends_no_time() {
    for (limit, reason) in [
        (rfc_settings().max_clients(1), Reason::Full),
        (rfc_settings().max_clients(2).max_clients_per_source(1), Reason::PerSource),
    ] {
        let server = limit.listen("127.0.0.1:0").start().unwrap();
        let events = server.events();
        let accepted = Peer::greeted(server.port());
        next_event(&events);
        for port in rfc_ports(&server) {
            let peer = Peer::connect(port);
            let address = peer.address().into();
            peer.expect_nothing();
            assert_eq!(next_event(&events), Event::Refused { peer: address, reason });
        }
        drop(accepted);
        next_disconnect(&events);
        // A client counts until it has closed.
        for port in rfc_ports(&server) {
            assert!(!Peer::connect(port).rest().is_empty());
            assert_eq!(next_disconnect(&events).1, Reason::Answered);
        }
        assert_eq!(server.stats().refused, 2);
    }
}

#[test]
fn clients_of_a_server_that_ends_count_as_answered() {
    for end in [|server: &Server| server.stop(), |server: &Server| server.drain(TIMEOUT)] {
        let server = rfc_settings().start().unwrap();
        let events = server.events();
        let mut peers = rfc_ports(&server).map(Peer::connect);
        peers[0].expect(LINE);
        peers[1].expect(SECONDS);
        end(&server);
        assert!(server.wait(Some(TIMEOUT)));
        peers.iter_mut().for_each(Peer::expect_eof);
        for _ in 0..2 {
            assert_eq!(next_disconnect(&events).1, Reason::Answered);
        }
    }
}

#[test]
fn each_rfc_has_its_default_port() {
    for (text, port) in [("127.0.0.1", 13), ("localhost", 37), ("::1", 13), ("[::1]", 37)] {
        assert!(Address::from(text).resolve(port).unwrap().iter().all(|address| address.port() == port), "{text}");
    }
    assert_eq!(Address::from("127.0.0.1:99").resolve(13).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 99))]);
    // Only a privileged process may bind these ports. The error of another process names the address.
    let services = [("127.0.0.13", 13, Service::Rfc867), ("127.0.0.37", 37, Service::Rfc868)];
    for (ip, port, service) in services {
        assert_eq!(service.port(), port);
        let server = unbound_builder().listen_as(service, ip).start();
        // Readers have the same default ports.
        let read = if port == 13 { rfc867(ip).map(drop) } else { rfc868(ip).map(drop) };
        match (&server, read) {
            (Ok(_), Ok(())) => {}
            (Err(server), Err(reader)) => {
                assert!(server.to_string().starts_with(&format!("bind {ip}:{port}: ")), "{server}");
                assert!(reader.to_string().starts_with(&format!("connect {ip}:{port}: ")), "{reader}");
            }
            other => panic!("{ip}: {other:?}"),
        }
    }
}

// ---- The readers

/// A reader with this timeout.
fn within(milliseconds: u64) -> daytime::ClientBuilder {
    Client::builder().timeout(Duration::from_millis(milliseconds))
}

#[test]
fn the_reader_of_rfc_868_accepts_four_bytes() {
    // The server sends these pieces, with a pause between two, and then closes.
    type Row = (&'static [&'static [u8]], String);
    let table: [Row; 7] = [
        (&[b"\xee\xad\x8cy"], MOMENT.to_string()),
        (&[b"\xee", b"\xad", b"\x8c", b"y"], MOMENT.to_string()),
        (&[b"\xee\xad"], "protocol: \\xee\\xad".into()),
        (&[b"\xee", b"\xad\x8c"], "protocol: \\xee\\xad\\x8c".into()),
        (&[b"\xee\xad\x8cy\n"], "protocol: \\xee\\xad\\x8cy\\n".into()),
        (&[b"Welcome to the server"], "protocol: Welcome to the server".into()),
        (&[], "closed".into()),
    ];
    for (pieces, expected) in table {
        let fake = FakeServer::new(move |mut peer| peer.send_pieces(pieces));
        let read = within(30_000).rfc868(fake.address());
        assert_eq!(outcome(read.map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs())), expected);
        fake.finish();
    }
    // The reader does not wait for the end of the stream after four bytes.
    let fake = FakeServer::new(|mut peer| {
        peer.send(SECONDS);
        peer.stay_silent();
    });
    let (read, took) = timed(|| within(30_000).rfc868(fake.address()));
    assert_eq!(read.unwrap(), UNIX_EPOCH + Duration::from_secs(MOMENT as u64));
    assert!(took < Duration::from_secs(20), "{took:?}");
    fake.finish();
    // Before 1970.
    let fake = FakeServer::new(|mut peer| peer.send([0x80, 0, 0, 0]));
    let read = within(30_000).rfc868(fake.address()).unwrap();
    assert_eq!(UNIX_EPOCH.duration_since(read).unwrap(), Duration::from_secs(61_505_152));
}

#[test]
fn the_reader_of_rfc_867_accepts_text() {
    let longest = "x".repeat(4096);
    let longer = longest.clone() + "x";
    for (sent, expected) in [
        ("Sunday, November 22, 2026 15:44:57-UTC\r\n", "Sunday, November 22, 2026 15:44:57-UTC"),
        ("22 NOV 2026 15:44:57 UTC\n", "22 NOV 2026 15:44:57 UTC"),
        ("\n61366 26-11-22 15:44:57 00 0 0 12.3 UTC(NIST) * \n", "\n61366 26-11-22 15:44:57 00 0 0 12.3 UTC(NIST) *"),
        ("no line end", "no line end"),
        ("two\r\nlines\tand a tab\r\n", "two\r\nlines\tand a tab"),
        ("Märchenzeit", "Märchenzeit"),
        (&longest, &longest),
        (&longer, &format!("protocol: {longer}")),
        ("\x1b[31mred", "protocol: \\x1b[31mred"),
        ("nul\0", "protocol: nul\\x00"),
        // A control sequence to terminals of 8 bits.
        ("\u{9b}31mred", "protocol: \\xc2\\x9b31mred"),
        ("", "closed"),
        ("\r\n", "protocol: \\r\\n"),
    ] {
        let bytes = sent.to_owned();
        let fake = FakeServer::new(move |mut peer| peer.send(bytes));
        assert_eq!(outcome(within(30_000).rfc867(fake.address())), *expected);
        fake.finish();
    }
    let fake = FakeServer::new(|mut peer| peer.send([0xee, 0xad]));
    assert_eq!(outcome(within(30_000).rfc867(fake.address())), "protocol: \\xee\\xad");
    // A cut within a letter.
    let fake = FakeServer::new(|mut peer| peer.send_pieces([&b"M\n"[..], b"\xc3", b"\xa4"]));
    assert_eq!(outcome(within(30_000).rfc867(fake.address())), "M\nä");
    // A reader gives up on an endless text.
    let fake = FakeServer::new(|mut peer| while peer.try_send(&[b'x'; 10_000]) {});
    assert!(matches!(within(30_000).rfc867(fake.address()), Err(Error::Protocol(bytes)) if bytes.len() > 4096));
    fake.finish();
}

#[test]
fn readers_wait_no_longer_than_their_timeout() {
    type Read = fn(daytime::ClientBuilder, SocketAddr) -> String;
    let readers: [Read; 2] = [
        |builder, address| outcome(builder.rfc867(address)),
        |builder, address| outcome(builder.rfc868(address).map(|time| format!("{time:?}"))),
    ];
    for read in readers {
        for sent in ["", "x"] {
            let fake = FakeServer::new(move |mut peer| {
                peer.send(sent);
                peer.stay_silent();
            });
            let (result, took) = timed(|| read(within(200), fake.address()));
            assert_eq!(result, "timeout", "after {sent:?}");
            assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(20), "{took:?}");
            fake.finish();
        }
    }
    let fake = FakeServer::new(|peer| peer.stay_silent());
    let error = within(30_000).interrupt(|| true).rfc868(fake.address()).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    fake.finish();
}

#[test]
fn readers_and_clients_of_another_protocol_fail_at_once() {
    const WRAPPED: i64 = 2_085_978_497;
    let folder = Folder::new();
    let server = rfc_settings()
        .clock(Clock::fixed_unix(WRAPPED))
        .listen(unix_address(&folder.at("text")))
        .listen_as(Service::Rfc868, unix_address(&folder.at("rfc868")))
        .start()
        .unwrap();
    let at = |name: &str| unix_address(&folder.at(name));
    assert_eq!(rfc868(at("rfc868")).unwrap(), UNIX_EPOCH + Duration::from_secs(WRAPPED as u64));
    // The line of RFC 867 may be any server's greeting, but no reply follows.
    let (result, took) = timed(|| {
        within(30_000).connect(&server.addresses_of(Service::Rfc867)[0]).and_then(|mut client| client.request("day"))
    });
    assert_eq!(outcome(result), "closed");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let (result, took) = timed(|| within(30_000).connect(&server.addresses_of(Service::Rfc868)[0]));
    assert_eq!(outcome(result.map(|client| client.greeting().to_owned())), "protocol: \\x00\\x00\\x00\\x01");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(
        outcome(within(30_000).rfc867(&server.addresses_of(Service::Rfc868)[0])),
        "protocol: \\x00\\x00\\x00\\x01"
    );
    let read = within(30_000).rfc868(&server.addresses_of(Service::Rfc867)[0]).map(|time| format!("{time:?}"));
    assert_eq!(outcome(read), "protocol: Thursday, February 7, 2036 06:28:17-UTC\\r\\n");
    let read = within(30_000).rfc868(at("text")).map(|time| format!("{time:?}"));
    assert_eq!(outcome(read), format!("protocol: {GREETING}"));
    // The reader waits for the end of the stream, and the server for a command.
    assert_eq!(outcome(within(100).rfc867(at("text"))), "timeout");
}
