//! Events, the list of clients, statistics.

use std::{
    collections::BTreeSet,
    io::Write,
    iter,
    net::SocketAddr,
    thread,
    time::{Duration, SystemTime},
};

use daytime::{Address, ClientId, Event, EventOptions, Reason, Server, Service, Stats, protocol::errors::INVALID};

use crate::common::{
    TIMEOUT, builder, eventually, next_disconnect, next_event, next_event_or_end, peer::Peer, server, tcp,
};
use crate::helpers::EventWatcher;

#[test]
fn events_report_every_client_in_order() {
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
    assert!(server.wait(Some(TIMEOUT)));
    // The subscription ends with the server.
    let actual: Vec<Event> = iter::from_fn(|| next_event_or_end(&events)).collect();
    let expected: Vec<Event> = (1..)
        .zip(addresses)
        .flat_map(|(client, peer)| {
            let (client, peer) = (client.into(), Address::from(peer));
            let disconnected = Event::Disconnected { client, peer: peer.clone(), reason: Reason::Eof, commands: 2 };
            [Event::Connected { client, peer }, disconnected]
        })
        .collect();
    assert_eq!(actual, expected);
    // A subscription to a server that has ended ends at once.
    assert_eq!(next_event_or_end(&server.events()), None);
}

/// The same lines as in tests/python/test_log.py.
#[test]
fn an_event_is_one_line_of_a_log() {
    let [v4, v6, unix] = ["192.0.2.1:4711", "[2001:db8::1]:4711", "unix:/run/\u{202e}client"]
        .map(|address| address.parse::<Address>().unwrap());
    let client = ClientId::from(7);
    let left = |commands| Event::Disconnected { client, peer: v6.clone(), reason: Reason::NoCommand, commands };
    let served = |command: &str, ok| Event::CommandServed { client, command: command.into(), ok };
    for (event, line) in [
        (
            Event::Connected { client, peer: v4.clone() },
            "Connection has been established with client IP 192.0.2.1 and port is 4711",
        ),
        (
            Event::Connected { client, peer: v6.clone() },
            "Connection has been established with client IP 2001:db8::1 and port is 4711",
        ),
        (
            Event::Connected { client, peer: unix },
            "Connection has been established with client unix:/run/\\u{202e}client",
        ),
        (
            left(3),
            "Connection with [2001:db8::1]:4711 has been closed after 3 commands: the first-command timeout passed",
        ),
        (
            left(1),
            "Connection with [2001:db8::1]:4711 has been closed after 1 command: the first-command timeout passed",
        ),
        (served("day", true), "Command of client 7 was answered: day"),
        (served("tea", false), "Command of client 7 was an error: tea"),
        (
            Event::CommandFailed { client, command: "age".into(), error: "not\na number".into() },
            "Command age of client 7 failed: not\\na number",
        ),
        (
            Event::Refused { peer: v4, reason: Reason::PerSource },
            "Connection from 192.0.2.1:4711 has been refused: too many connections from its address",
        ),
    ] {
        assert_eq!(event.to_string(), line);
    }
}

#[test]
fn events_report_why_a_client_left() {
    let server = builder().write_timeout(Duration::from_millis(300)).start().unwrap();
    let events = EventWatcher::new(&server);
    let [mut quits, mut ends, breaks, mut stays] = [(); 4].map(|()| Peer::greeted(server.port()));
    let mut slow = Peer::narrow(server.port());
    let addresses = [&quits, &ends, &breaks, &slow, &stays].map(Peer::address);
    quits.send("day\nquit\n");
    quits.expect("\nSunday\n");
    quits.expect_eof();
    drop(quits);
    ends.send("day");
    ends.finish();
    ends.expect("Sunday");
    ends.expect_eof();
    breaks.reset();
    // The write timeout closes a client that does not read, even if the client always sends.
    while slow.0.write_all(&b"help\n".repeat(100)).is_ok() {}
    stays.ask("time\n", "\n15:44:57\n");
    let actual = addresses.map(|address| {
        if address == stays.address() {
            server.stop();
        }
        events.disconnect_of(address)
    });
    let commands = actual[3].1;
    assert!(commands > 0);
    let expected = [
        (Reason::Quit, 2),
        (Reason::Eof, 1),
        (Reason::Error, 0),
        (Reason::WriteTimeout, commands),
        (Reason::Shutdown, 1),
    ];
    assert_eq!(actual, expected);
    assert!(server.wait(Some(TIMEOUT)));
    assert_eq!(server.stats().commands, 4 + commands);
}

#[test]
fn a_subscriber_that_does_not_read_loses_events() {
    let server = server();
    let slow = server.events_with(EventOptions::new().capacity(0)); // at least 1
    let dropped = server.events_with(EventOptions::new().capacity(1));
    drop(dropped); // a dropped subscription loses no events
    let events = EventWatcher::new(&server);
    let addresses: Vec<SocketAddr> = (0..5).map(|_| Peer::greeted(server.port()).address()).collect();
    for address in &addresses {
        events.disconnect_of(*address);
    }
    assert_eq!(server.stats().events_dropped, 9);
    assert!(matches!(next_event_or_end(&slow), Some(Event::Connected { peer, .. }) if addresses.contains(&tcp(&peer))));
    // The subscription has room for an event again.
    let address = Peer::greeted(server.port()).address();
    events.disconnect_of(address);
    assert!(matches!(next_event_or_end(&slow), Some(Event::Connected { peer, .. }) if tcp(&peer) == address));
    assert_eq!(server.stats().events_dropped, 10);
    drop(server);
    assert_eq!(next_event_or_end(&slow), None);
}

#[test]
fn clients_and_stats_are_exact() {
    let began = SystemTime::now();
    let server = server();
    let events = EventWatcher::new(&server);
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::greeted(server.port())).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.ask("\n", "\n");
        peer.ask("day\n".repeat(n), "Sunday\n".repeat(n));
        peer.ask("dya\n", format!("{INVALID}\n"));
    }
    let clients = server.clients();
    let known: Vec<_> =
        clients.iter().map(|client| (u64::from(client.id), tcp(&client.peer), client.commands)).collect();
    let expected: Vec<_> = (1..).zip(&peers).map(|(n, peer)| (n, peer.address(), n)).collect();
    assert_eq!(known, expected);
    let ended = SystemTime::now();
    assert!(clients.iter().all(|client| (began..=ended).contains(&client.connected_at)));

    let lines: u64 = (0..20).sum();
    let stats = server.stats();
    let counted = (stats.clients, stats.accepted, stats.commands, stats.invalid, stats.bytes_in, stats.bytes_out);
    let error = INVALID.len() as u64 + 1;
    assert_eq!(counted, (20, 20, lines + 20, 20, 20 * 5 + lines * 4, 20 * (22 + error) + lines * 7));
    assert!(stats.uptime <= ended.duration_since(began).unwrap());

    // After `quit`, a peer that keeps its side open is a connection that is closing, and not a client.
    let mut closing = peers.pop().unwrap();
    closing.send("quit\n");
    closing.expect_eof();
    assert_eq!((server.clients().len(), server.stats().clients), (19, 20));
    let addresses: Vec<_> = peers.iter().chain([&closing]).map(Peer::address).collect();
    drop((peers, closing));
    for address in addresses {
        events.disconnect_of(address);
    }
    assert!(server.clients().is_empty());
    let Stats { clients, accepted, .. } = server.stats();
    assert_eq!((clients, accepted), (0, 20));
    assert_eq!(by_reason(&server), [(Reason::Quit, 1), (Reason::Eof, 19)]);
    // The server uses each number once.
    let peer = Peer::greeted(server.port());
    assert_eq!(server.clients().iter().map(|client| client.id.into()).collect::<Vec<u64>>(), [21]);
    drop(peer);
}

#[test]
fn disconnect_closes_only_the_client_with_that_number() {
    let server = server();
    let events = server.events();
    let mut stale = Peer::greeted(server.port());
    let Event::Connected { client: first, .. } = next_event(&events) else { panic!() };
    stale.send("quit");
    stale.expect_eof();
    drop(stale);
    assert!(matches!(next_event(&events), Event::Disconnected { client, .. } if client == first));
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::greeted(server.port())).collect();
    for unknown in [first, ClientId::from(0), ClientId::from(999), ClientId::from(u64::MAX)] {
        assert!(!server.disconnect(unknown), "{unknown:?}");
    }
    for peer in &mut peers {
        peer.ask("day", "Sunday");
    }
    let listed = server.clients();
    assert_eq!(listed.len(), 4);
    assert!(listed.is_sorted_by_key(|client| client.id), "clients are in the order of their numbers");
    let kicked = peers.remove(2);
    let id = listed.iter().find(|client| client.peer == kicked.address().into()).unwrap().id;
    assert!(server.disconnect(id));
    assert!(!server.disconnect(id));
    let mut kicked = kicked;
    kicked.wait_closed();
    for peer in &mut peers {
        peer.ask("day", "Sunday");
    }
    let disconnected = events.iter().find(|event| matches!(event, Event::Disconnected { .. })).unwrap();
    assert!(
        matches!(disconnected, Event::Disconnected { client, reason: Reason::Kicked, commands: 1, .. } if client == id)
    );
}

#[test]
fn subscriptions_are_independent_and_only_some_have_commands() {
    let server = builder().command("own", |_| "x").command("bad", |_| Err::<daytime::Reply, _>("y")).start().unwrap();
    let (plain, all, slow) = (
        server.events(),
        server.events_with(EventOptions::new().capacity(100).commands(true)),
        server.events_with(EventOptions::new().capacity(1).commands(true)),
    );
    let mut peer = Peer::greeted(server.port());
    peer.send("day\nTIME Asia/Tokyo\n\ntime nowhere\n bad\x01 word\nown 1\nbad\nquit\n");
    peer.rest();
    drop(peer);
    eventually("the client has left", || server.stats().clients == 0);
    let dropped = server.stats().events_dropped;
    drop(server);
    let commands: Vec<(String, bool)> = all
        .iter()
        .filter_map(
            |event| if let Event::CommandServed { command, ok, .. } = event { Some((command, ok)) } else { None },
        )
        .collect();
    let expected = [
        ("day", true),
        ("time", true),
        ("time", false),
        ("bad\\u{1}", false),
        ("own", true),
        ("bad", false),
        ("quit", true),
    ];
    assert_eq!(commands, expected.map(|(name, ok)| (name.to_owned(), ok)));
    let plain: Vec<Event> = plain.iter().collect();
    assert!(
        matches!(
            plain[..],
            [Event::Connected { .. }, Event::CommandFailed { .. }, Event::Disconnected { commands: 7, .. }]
        ),
        "{plain:?}"
    );
    assert_eq!(slow.iter().count(), 1, "the subscription keeps the events that fit");
    assert_eq!(dropped, 9, "the server counts the lost events");
}

#[test]
fn a_subscription_begins_at_once_and_may_be_dropped() {
    let server = server();
    drop(server.events());
    let mut peer = Peer::greeted(server.port());
    let late = server.events();
    peer.send("quit");
    peer.expect_eof();
    drop(peer);
    assert!(matches!(next_event(&late), Event::Disconnected { reason: Reason::Quit, .. }));
    server.stop();
    assert!(server.wait(Some(TIMEOUT)));
    assert!(server.events().recv_timeout(TIMEOUT).is_err(), "a subscription to a server that has ended ends at once");
    assert_eq!(server.stats().events_dropped, 0);
}

/// The reasons for which clients were refused or closed, with their counts.
fn by_reason(server: &Server) -> Vec<(Reason, u64)> {
    let stats = server.stats();
    Reason::ALL.iter().map(|reason| (*reason, stats.by_reason(*reason))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn each_refusal_and_each_end_counts_for_its_reason() {
    let server = builder()
        .listen_as(Service::Rfc867, "127.0.0.1:0")
        .listen_as(Service::Rfc868, "127.0.0.1:0")
        .max_clients(2)
        .max_clients_per_source(1)
        .deny("127.0.0.2")
        .start()
        .unwrap();
    let events = server.events();
    assert_eq!((server.stats().max_clients, by_reason(&server)), (2, vec![]));
    for service in [Service::Rfc867, Service::Rfc868, Service::Rfc868] {
        Peer::connect(tcp(&server.addresses_of(service)[0]).port()).rest();
        next_disconnect(&events);
    }
    let first = Peer::greeted(server.port());
    Peer::connect(server.port()).rest();
    Peer::connect_from([127, 0, 0, 2], server.port()).expect_nothing();
    let other = Peer::connect_from([127, 0, 0, 3], server.port());
    eventually("the server is full", || server.stats().clients == 2);
    Peer::connect_from([127, 0, 0, 4], server.port()).rest();
    server.disconnect(server.clients()[0].id);
    server.stop();
    assert!(server.wait(Some(TIMEOUT)));
    drop((first, other));
    let expected = [
        (Reason::Kicked, 1),
        (Reason::Shutdown, 1),
        (Reason::Answered, 3),
        (Reason::Full, 1),
        (Reason::PerSource, 1),
        (Reason::Denied, 1),
    ];
    assert_eq!(by_reason(&server), expected);
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.refused, stats.clients), (5, 3, 0));
    assert_eq!([Service::Text, Service::Rfc867, Service::Rfc868].map(|service| stats.by_service(service)), [2, 1, 2]);
    let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len(), "each reason has a name of its own");
}

#[test]
fn counters_are_exact_and_return_to_zero_after_a_storm() {
    let server = builder().max_clients_per_source(10_000).start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.ask("day\r\nfoo\r\n", "\r\nSunday\r\nYou entered an invalid command\r\n");
    // Sent bytes are counted right after the send, so the reply may arrive first.
    eventually("the server has counted all bytes", || server.stats().bytes_out == 21 + 2 + 8 + 32);
    let stats = server.stats();
    assert_eq!((stats.clients, stats.accepted, stats.commands, stats.invalid, stats.bytes_in), (1, 1, 2, 1, 10));
    drop(peer);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut peer = Peer::connect(server.port());
                    peer.send("day\nti");
                    peer.reset();
                }
            });
        }
    });
    eventually("all clients have left", || server.stats().clients == 0 && server.stats().accepted == 2001);
    assert_eq!(by_reason(&server).iter().map(|(_, count)| count).sum::<u64>(), 2001);
    assert!(server.clients().is_empty());
    let mut peer = Peer::greeted(server.port());
    peer.ask("day", "Sunday");
    assert!(server.stats().uptime > Duration::ZERO);
}
