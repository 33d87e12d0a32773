//! Listeners behind a proxy: the header of the PROXY protocol, the admission after it, and its faults.
//!
//! `tests/protocol/proxy.rs` has every form and every fault of a header. Here are a few of each, over sockets.

use std::{
    io::{ErrorKind, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};

use crossbeam_channel::Receiver;
use daytime::{
    Event, Networks, Reason, Server, ServerBuilder, Service,
    protocol::{GREETING, errors},
};
use socket2::SockRef;

use crate::common::{
    Folder, TIMEOUT, eventually, next_event,
    peer::{Peer, assert_bytes},
    tcp, timed, unbound_builder,
};
use crate::helpers::{assert_invalid, connect_unix, unix_address};

const CLIENT: &str = "192.0.2.1:56324";
const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 9990\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A header of version 2 for [`CLIENT`], with additions of this many bytes.
fn v2(additions: u16) -> Vec<u8> {
    let [high, low] = (12 + additions).to_be_bytes();
    let start =
        [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, 0x11, high, low, 192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x27, 0x06][..]];
    [start.concat(), vec![0xEE; additions.into()]].concat()
}

/// A header of version 1 for a client.
fn header(client: &str) -> String {
    let client: SocketAddr = client.parse().unwrap();
    let (family, server) = if client.is_ipv4() { ("TCP4", "198.51.100.1") } else { ("TCP6", "2001:db8::2") };
    format!("PROXY {family} {} {server} {} 9990\r\n", client.ip(), client.port())
}

fn proxied() -> ServerBuilder {
    unbound_builder().listen_as(Service::Proxied, "127.0.0.1:0").proxy("127.0.0.1")
}

/// A server with a listener behind a proxy, its port there, and its events.
fn start(builder: ServerBuilder) -> (Server, u16, Receiver<Event>) {
    let server = builder.start().unwrap();
    let port = tcp(&server.addresses_of(Service::Proxied)[0]).port();
    let events = server.events();
    (server, port, events)
}

#[track_caller]
fn expect_connected(events: &Receiver<Event>, client: &str) {
    match next_event(events) {
        Event::Connected { peer, .. } => assert_eq!(peer.to_string(), client),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn expect_refused(events: &Receiver<Event>, client: &str, reason: Reason) {
    assert_eq!(next_event(events), Event::Refused { peer: client.parse::<SocketAddr>().unwrap().into(), reason });
}

/// The client's events, once it has left.
#[track_caller]
fn expect_departure(events: &Receiver<Event>, client: &str) -> (Reason, u64) {
    match next_event(events) {
        Event::Disconnected { peer, reason, commands, .. } if peer.to_string() == client => (reason, commands),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_names_the_client() {
    let (server, port, events) = start(proxied());
    let ipv6 = header("[2001:db8::1]:9");
    let mapped = header("[::ffff:192.0.2.7]:9");
    let long = [b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r\n"].concat();
    let tlv = b"\r\n\r\n\0\r\nQUIT\n\x20\xF1\0\x04\x04\0\x01\0";
    let unix = [b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xD8", &[0; 216][..]].concat();
    let datagram = [b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0C", &[1; 12][..]].concat();
    for (header, client) in [
        (V1, Some(CLIENT)),
        (&v2(0), Some(CLIENT)),
        (&v2(65_523), Some(CLIENT)),
        (ipv6.as_bytes(), Some("[2001:db8::1]:9")),
        (mapped.as_bytes(), Some("192.0.2.7:9")),
        // The proxy itself is the client.
        (b"PROXY UNKNOWN\r\n", None),
        (&long, None),
        (LOCAL, None),
        (tlv, None),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\0", None),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", None),
        (&unix, None),
        (&datagram, None),
    ] {
        let mut peer = Peer::connect(port);
        let client = client.map_or_else(|| peer.address().to_string(), str::to_owned);
        peer.send([header, b"day\n"].concat());
        peer.expect(format!("{GREETING}\nSunday\n"));
        expect_connected(&events, &client);
        let clients = server.clients();
        assert_eq!((clients.len(), clients[0].peer.to_string()), (1, client.clone()));
        assert_eq!((server.stats().clients, server.port()), (1, 0));
        peer.send("quit\n");
        peer.expect_eof();
        drop(peer);
        assert_eq!(expect_departure(&events, &client), (Reason::Quit, 2));
    }
    assert_eq!((server.stats().accepted, server.stats().refused), (13, 0));
}

/// nginx sends the header and the client's first bytes in one segment, HAProxy in two.
#[test]
fn the_rest_of_the_read_is_the_first_read_of_the_client() {
    let (_server, port, events) = start(proxied());
    for header in [V1, &v2(0), &v2(9)] {
        for cut in 0..=header.len() {
            let mut peer = Peer::connect(port);
            peer.send(&header[..cut]);
            if cut < header.len() {
                // The last piece of the header comes with a bare command, which is answered at once and bare.
                thread::sleep(Duration::from_millis(2));
                peer.send([&header[cut..], b"day"].concat());
            } else {
                peer.expect(GREETING);
                peer.send("day");
                peer.expect("Sunday");
                peer.finish();
                peer.expect_eof();
                continue;
            }
            peer.expect(format!("{GREETING}Sunday"));
            peer.finish();
            peer.expect_eof();
        }
        let mut peer = Peer::connect(port);
        peer.trickle(header, Duration::from_millis(2));
        peer.expect(GREETING);
        peer.ask("time\r\n", "\r\n15:44:57\r\n");
    }
    expect_connected(&events, CLIENT);
    // A client that has sent everything, and has closed its side.
    let mut peer = Peer::connect(port);
    peer.send([V1, b"\nday\ntime UTC\n"].concat());
    peer.finish();
    assert_bytes(&peer.rest(), format!("{GREETING}\nSunday\n15:44:57\n").as_bytes());
}

#[test]
fn a_hook_of_the_client_comes_before_its_first_bytes() {
    let builder = proxied()
        .on_connect(|client| client.peer.to_string())
        .command("peer", |request| format!("{} {}", request.peer, request.state::<String>().unwrap()));
    let (_server, port, _events) = start(builder);
    let mut peer = Peer::connect(port);
    peer.send([V1, b"peer\nday\n"].concat());
    peer.expect(format!("{GREETING}\n{CLIENT} {CLIENT}\nSunday\n"));
}

#[test]
fn an_invalid_header_closes_the_connection_at_once() {
    let (server, port, events) = start(proxied());
    for fault in [
        // The proxy sends none.
        &b"d"[..],
        b"\n",
        b"day\n",
        // Version 1.
        b"PROXY TCP4 192.0.2.1 198.51.100.1 +9152 1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 09152 1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 1\r\n",
        b"PROXY TCP4 192.0.2.010 198.51.100.1 1 1\r\n",
        b"PROXY TCP4 192.0.2.1  198.51.100.1 1 1\r\n",
        b"PROXY TCP4 ::1 ::1 1 1\r\n",
        b"PROXY UNKNOWNfoo\r\n",
        b"PROXY UNKNOWN\n",
        b"PROXY UNKNOWN\rx",
        b"proxy",
        &[b"PROXY UNKNOWN ", &[b'x'; 93][..]].concat(),
        // Version 2.
        b"\r\n\r\n\0\r\nQUIT\n\x31",
        b"\r\n\r\n\0\r\nQUIT\n\x22",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x41",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x13",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0B",
    ] {
        let mut peer = Peer::connect(port);
        let proxy = peer.address().to_string();
        peer.send(fault);
        expect_refused(&events, &proxy, Reason::ProxyHeader);
        peer.expect_nothing();
        // The header ends in the middle, by EOF or by a reset.
        for reset in [false, true] {
            let mut peer = Peer::connect(port);
            let proxy = peer.address().to_string();
            peer.send(&V1[..20]);
            if reset {
                peer.reset()
            } else {
                peer.finish()
            }
            expect_refused(&events, &proxy, Reason::ProxyHeader);
        }
    }
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.clients, stats.bytes_out, stats.refused), (0, 0, 0, 57));
    assert_eq!(Reason::ProxyHeader.to_string(), "its PROXY header is missing or invalid");
}

/// HAProxy's `check`, and the check of a load balancer that only connects.
#[test]
fn checks_of_a_proxy_leave_no_trace_but_their_events() {
    let (server, port, events) = start(proxied().max_clients(100));
    for _ in 0..30 {
        Peer::connect(port).reset();
        let mut closed = Peer::connect(port);
        closed.finish();
        closed.expect_eof();
        let mut check = Peer::connect(port);
        check.ask(LOCAL, GREETING);
        check.reset();
        // The reset may be there when the server reads the header.
        let mut check = Peer::connect(port);
        check.send(LOCAL);
        check.reset();
    }
    // Each seat is free again.
    eventually("100 clients find a seat", || {
        let mut clients: Vec<Peer> = (0..100).map(|_| Peer::connect(port)).collect();
        clients.iter_mut().for_each(|client| client.send([V1, b"\n"].concat()));
        clients.iter_mut().all(|client| client.next_line().is_some_and(|line| line == GREETING))
    });
    eventually("all have left", || server.stats().clients == 0);
    for event in events.try_iter() {
        match event {
            Event::Connected { .. } | Event::Refused { reason: Reason::Full, .. } => {}
            Event::Disconnected { reason: Reason::Eof | Reason::Error, commands: 0, .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_header_that_does_not_come_in_time_closes_the_connection() {
    let (server, port, events) = start(proxied().proxy_timeout(Duration::from_secs(3)).max_clients(4));
    let silent = Peer::connect(port);
    let mut slow = Peer::connect(port);
    let mut additions = Peer::connect(port);
    slow.send("PROXY TCP4 ");
    // Its length is 65,535.
    additions.send(&v2(65_523)[..40]);
    let mut stays = Peer::connect(port);
    stays.send(V1);
    stays.expect(GREETING);
    expect_connected(&events, CLIENT);
    let trickle = thread::spawn(move || {
        while additions.try_send(b"x") {
            thread::sleep(Duration::from_millis(20));
        }
    });
    // They have their seats, and are not clients.
    assert_eq!((server.clients().len(), server.stats().clients), (1, 1));
    let mut full = Peer::connect(port);
    full.send(V1);
    full.expect(format!("{}\n", errors::FULL));
    expect_refused(&events, &full.address().to_string(), Reason::Full);
    drop(full);
    let (mut late, took) = timed(|| {
        [0; 3].map(|_| match next_event(&events) {
            Event::Refused { peer, reason: Reason::ProxyHeader } => peer.to_string(),
            other => panic!("{other:?}"),
        })
    });
    assert!(took < Duration::from_secs(20), "{took:?}");
    late.sort();
    assert!(late.contains(&silent.address().to_string()) && late.contains(&slow.address().to_string()), "{late:?}");
    silent.expect_nothing();
    slow.expect_nothing();
    trickle.join().unwrap();
    stays.ask("\nday\n", "\nSunday\n");
    Peer::connect(port).ask(V1, GREETING);
}

#[test]
fn a_peer_that_is_not_a_proxy_is_closed_unread() {
    let (server, port, events) = start(proxied());
    for input in [V1, LOCAL, b"day\n", b""] {
        let mut stranger = Peer::connect_from([127, 0, 0, 2], port);
        let _ = stranger.0.write_all(input);
        expect_refused(&events, &stranger.address().to_string(), Reason::Denied);
        stranger.expect_nothing();
    }
    assert_eq!(server.stats().bytes_in, 0);
    // The decision is made when the connection is accepted.
    let mut waits = Peer::connect(port);
    waits.send(&V1[..9]);
    eventually("the start of its header is read", || server.stats().bytes_in == 9);
    let mut proxies = Networks::new();
    proxies.allow("127.0.0.2").unwrap();
    server.set_proxies(proxies);
    let former = Peer::connect(port);
    expect_refused(&events, &former.address().to_string(), Reason::Denied);
    former.expect_nothing();
    waits.ask(&V1[9..], GREETING);
    expect_connected(&events, CLIENT);
    Peer::connect_from([127, 0, 0, 2], port).ask(V1, GREETING);
    expect_connected(&events, CLIENT);
    // An empty list names none, unlike an empty list of clients' networks.
    server.set_proxies(Networks::new());
    for from in [1, 2, 3] {
        Peer::connect_from([127, 0, 0, from], port).expect_nothing();
    }
}

#[test]
fn limits_and_networks_apply_to_the_client_and_not_to_the_proxy() {
    let builder = proxied().max_clients_per_source(1).deny("192.0.2.66").deny("127.0.0.1");
    let (server, port, events) = start(builder);
    let mut first = Peer::connect(port);
    first.ask(V1, GREETING);
    expect_connected(&events, CLIENT);
    // Another client of the same proxy.
    let mut second = Peer::connect(port);
    second.ask(header("192.0.2.2:1"), GREETING);
    expect_connected(&events, "192.0.2.2:1");
    // A second one from the same source gets the line through the proxy.
    let mut again = Peer::connect(port);
    again.send([header("192.0.2.1:2").as_bytes(), b"day\n"].concat());
    again.expect(format!("{}\n", errors::PER_SOURCE));
    again.expect_eof();
    expect_refused(&events, "192.0.2.1:2", Reason::PerSource);
    // A denied one gets nothing.
    let mut denied = Peer::connect(port);
    denied.send([header("192.0.2.66:3").as_bytes(), b"day\n"].concat());
    expect_refused(&events, "192.0.2.66:3", Reason::Denied);
    denied.expect_nothing();
    // The proxy itself is trusted, and is one source.
    let mut check = Peer::connect(port);
    check.ask(LOCAL, GREETING);
    expect_connected(&events, &check.address().to_string());
    let mut other = Peer::connect(port);
    other.ask(LOCAL, format!("{}\n", errors::PER_SOURCE));
    expect_refused(&events, &other.address().to_string(), Reason::PerSource);
    // But as the client that version 1 names, its network counts.
    let named = Peer::connect(port);
    let address = named.address().to_string();
    named.again().send(header(&address));
    expect_refused(&events, &address, Reason::Denied);
    drop(named);
    assert_eq!((server.stats().accepted, server.stats().refused), (3, 4));
    // The places are free again.
    first.finish();
    first.expect_eof();
    assert_eq!(expect_departure(&events, CLIENT), (Reason::Eof, 0));
    Peer::connect(port).ask(V1, GREETING);
    expect_connected(&events, CLIENT);
}

/// More refused clients than may read their line. Each seat and each place is given back.
#[test]
fn many_refused_clients_give_their_seats_back() {
    let (server, port, _events) = start(proxied().max_clients_per_source(1).max_clients(60));
    let mut first = Peer::connect(port);
    first.ask(V1, GREETING);
    for round in 0..3 {
        let mut refused: Vec<Peer> = (0..50).map(|_| Peer::connect(port)).collect();
        for peer in &mut refused {
            peer.send(V1);
        }
        let lines = refused.iter_mut().filter_map(Peer::next_line).filter(|line| line == errors::PER_SOURCE).count();
        assert!(lines >= 32, "{lines}");
        drop(refused);
        eventually("all are refused", || server.stats().refused == 50 * (round + 1));
    }
    drop(first);
    eventually("it has left", || server.stats().clients == 0);
    let all: Vec<Peer> = (0..60)
        .map(|n| {
            let mut peer = Peer::connect(port);
            peer.ask(header(&format!("192.0.2.{n}:1")), GREETING);
            peer
        })
        .collect();
    assert_eq!((all.len(), server.stats().clients), (60, 60));
}

#[test]
fn only_the_first_header_counts_and_only_on_its_listener() {
    let (server, port, events) = start(proxied().listen("127.0.0.1:0"));
    let mut peer = Peer::connect(port);
    peer.send([V1, header("192.0.2.9:1").as_bytes(), b"day\n"].concat());
    peer.expect(format!("{GREETING}\r\n{}\r\nSunday\n", errors::INVALID));
    expect_connected(&events, CLIENT);
    let mut direct = Peer::connect(server.port());
    direct.send([V1, b"day\n"].concat());
    direct.expect(format!("{GREETING}\r\n{}\r\nSunday\n", errors::INVALID));
    expect_connected(&events, &direct.address().to_string());
    let addresses = [server.addresses(), server.addresses_of(Service::Proxied)];
    assert_eq!(addresses.map(<[_]>::len), [1, 1], "a client does not find the listener of the proxy");
    assert_ne!(server.port(), port);
}

#[test]
fn a_unix_listener_needs_no_named_proxy() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let server = unbound_builder().listen_as(Service::Proxied, unix_address(&path)).start().unwrap();
    let events = server.events();
    let mut peer = connect_unix(&path);
    peer.ask([V1, b"day\n"].concat(), format!("{GREETING}\nSunday\n"));
    expect_connected(&events, CLIENT);
    let mut check = connect_unix(&path);
    check.ask(LOCAL, GREETING);
    assert!(matches!(next_event(&events), Event::Connected { peer, .. } if peer.to_string() == "unix:"));
}

#[test]
fn a_tcp_listener_without_a_named_proxy_is_an_error() {
    let expected = "a TCP listener behind a proxy needs the proxy's network, got none; expected a network such as";
    let bare = || unbound_builder().listen_as(Service::Proxied, "127.0.0.1:0");
    let mut denied = Networks::new();
    denied.deny("192.0.2.1").unwrap();
    for builder in [bare(), bare().proxies(Networks::new()), bare().proxies(denied), bare().allow("127.0.0.1")] {
        assert_invalid(builder.check(), expected);
        assert_invalid(builder.bind(), expected);
    }
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let passed = unbound_builder().listener_as(Service::Proxied, socket);
    assert_invalid(passed.clone().bind(), expected);
    let (_server, port, events) = start(passed.proxy("127.0.0.1"));
    Peer::connect(port).ask(V1, GREETING);
    expect_connected(&events, CLIENT);
    assert_invalid(bare().proxy("proxy").check(), "\"proxy\" is not a network");
    for (time, given) in [(0, "0"), (2999, "2.999")] {
        let builder = proxied().proxy_timeout(Duration::from_millis(time));
        assert_invalid(builder.check(), &format!("proxy_timeout must be at least 3 s, got {given} s"));
    }
    proxied().proxy_timeout(Duration::from_secs(3)).check().unwrap();
}

/// `first_command_timeout` counts from the header on.
#[test]
fn the_timeouts_of_a_client_start_after_the_header() {
    let (_server, port, events) = start(proxied().first_command_timeout(Duration::from_millis(300)));
    let mut peer = Peer::connect(port);
    thread::sleep(Duration::from_millis(700));
    let (_, took) = timed(|| {
        peer.ask(V1, GREETING);
        expect_connected(&events, CLIENT);
        peer.expect_eof();
    });
    assert!(took > Duration::from_millis(250), "{took:?}");
    drop(peer);
    assert_eq!(expect_departure(&events, CLIENT), (Reason::NoCommand, 0));
}

/// A header that has been sent is read, and its client is served within the second that every client has.
#[test]
fn a_drain_waits_a_second_for_a_header_and_no_longer() {
    let (server, port, events) = start(proxied().max_clients(10));
    let silent = Peer::connect(port);
    let mut late = Peer::connect(port);
    late.send(&V1[..9]);
    eventually("the start of its header is read", || server.stats().bytes_in == 9);
    server.drain(Duration::from_secs(20));
    late.send([&V1[9..], b"\nday\n"].concat());
    late.expect(format!("{GREETING}\nSunday\n"));
    expect_connected(&events, CLIENT);
    drop(late);
    let (ended, took) = timed(|| server.wait(Some(Duration::from_secs(15))));
    assert!(ended, "{took:?}");
    silent.expect_nothing();
    // The silent one was not a client, and had no fault.
    assert!(matches!(next_event(&events), Event::Disconnected { .. }));
    assert!(events.recv().is_err());
}

#[test]
fn a_stop_closes_connections_that_wait_for_a_header() {
    let (server, port, events) = start(proxied());
    let (silent, mut started) = (Peer::connect(port), Peer::connect(port));
    started.send(&V1[..9]);
    eventually("the start of its header is read", || server.stats().bytes_in == 9);
    assert!(!server.disconnect(1.into()) && !server.disconnect(2.into()), "they are not clients");
    server.stop();
    assert!(server.wait(Some(Duration::from_secs(15))));
    silent.expect_nothing();
    started.expect_nothing();
    assert!(events.recv().is_err());
}

/// Connections that say nothing hold seats, and nothing else.
#[test]
fn silent_connections_do_not_delay_others() {
    let (server, port, events) = start(proxied().proxy_timeout(TIMEOUT).max_clients(300).listen("127.0.0.1:0"));
    let silent: Vec<Peer> = (0..200).map(|_| Peer::connect(port)).collect();
    for _ in 0..10 {
        Peer::connect(port).ask([V1, b"day\n"].concat(), format!("{GREETING}\nSunday\n"));
        expect_connected(&events, CLIENT);
        expect_departure(&events, CLIENT);
        Peer::greeted(server.port()).ask("day", "Sunday");
        while !matches!(next_event(&events), Event::Disconnected { .. }) {}
    }
    assert_eq!(server.stats().clients, 0);
    for peer in silent {
        assert_eq!(SockRef::from(&peer.0).take_error().unwrap().map(|error| error.kind()), None::<ErrorKind>);
        peer.0.set_nonblocking(true).unwrap();
        assert_eq!(peer.0.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it is still open");
    }
}
