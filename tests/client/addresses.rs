//! Addresses that refuse connections, and names with several addresses or without one: K2 of tests/server/faults.rs.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, TcpListener, ToSocketAddrs},
    time::Duration,
};

use daytime::{Address, Error};

use crate::common::{
    fake_server::{BlackHole, FakeServer, refusing_address},
    skip, timed,
};
use crate::helpers::{SLACK, client_builder, error_of, with_timeout};

#[test]
fn a_refused_connection_is_an_error_with_the_address() {
    let (_kept, address) = refusing_address();
    let by_name = Address::from(format!("localhost:{}", address.port()));
    for target in [Address::from(address), by_name] {
        let Err(Error::Io(error, context)) = client_builder().connect(&target) else { panic!("{target}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(context.starts_with("connect ") && context.ends_with(&format!(":{}", address.port())), "{context}");
    }
}

#[test]
fn invalid_and_unknown_names_are_errors() {
    for name in ["", "host:", "host:99999", "two words:1", "[::1", ":1", "a/b:1"] {
        assert_eq!(error_of(client_builder().connect(name)), "invalid", "{name:?}");
    }
    let (result, took) = timed(|| with_timeout(1000).connect("no-such-host.invalid:9990"));
    match result {
        Err(Error::Io(_, context)) => assert_eq!(context, "resolve no-such-host.invalid:9990"),
        // The resolver times out if it cannot reach a name server.
        Err(Error::Timeout) => {}
        other => panic!("{other:?}"),
    }
    assert!(took < Duration::from_secs(1) + SLACK, "{took:?}");
}

#[test]
fn every_address_of_a_name_is_tried() {
    // `localhost` may also have the address ::1, which refuses connections here.
    let (fake, _) = FakeServer::line_based("Hi", |_| None);
    let client = client_builder().connect(format!("localhost:{}", fake.address().port())).unwrap();
    assert_eq!(client.peer().unwrap(), Address::from(fake.address()));

    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        return skip("this machine does not have IPv6");
    };
    let (fake, _) = (FakeServer::on(listener, |mut peer| peer.complete_greeting("Hi six")), ());
    assert_eq!(client_builder().connect(fake.address()).unwrap().greeting(), "Hi six");
}

#[test]
fn a_dead_address_before_a_live_one_takes_its_share_of_the_timeout() {
    let resolved: Vec<_> = ("localhost", 1).to_socket_addrs().unwrap().map(|address| address.ip()).collect();
    let [dead, live] = resolved[..] else {
        return skip("localhost has one address on this machine; tests/cli/client.rs tests a name with two");
    };
    let hole = BlackHole::new((dead, 0));
    let Ok(listener) = TcpListener::bind((live, hole.address().port())) else {
        return skip(format!("the port is in use at {live}"));
    };
    let fake = FakeServer::on(listener, |mut peer| peer.complete_greeting("Hi"));
    let port = hole.address().port();
    let (client, took) = timed(|| with_timeout(4000).connect(format!("localhost:{port}")).unwrap());
    assert_eq!(client.peer().unwrap(), Address::from(fake.address()));
    assert!((Duration::from_millis(1900)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

#[test]
fn unreachable_addresses_take_no_longer_than_the_deadline() {
    let hole = BlackHole::new((Ipv4Addr::LOCALHOST, 0));
    let (result, took) = timed(|| with_timeout(500).connect(hole.address()));
    assert_eq!(error_of(result), "timeout");
    assert!((Duration::from_millis(500)..Duration::from_millis(500) + SLACK).contains(&took), "{took:?}");

    for address in ["192.0.2.1:9", "[2001:db8::1]:9", "240.0.0.1:9"] {
        let (result, took) = timed(|| with_timeout(500).connect(address));
        match result {
            Err(Error::Timeout) => {}
            Err(Error::Io(_, context)) => assert_eq!(context, format!("connect {address}")),
            other => panic!("{other:?}"),
        }
        assert!(took < Duration::from_millis(500) + SLACK, "{took:?}");
    }
}
