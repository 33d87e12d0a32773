//! Deadlines and interrupts.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use daytime::{Client, chrono::Weekday, protocol::errors};

use crate::common::{
    builder,
    fake_server::{BlackHole, FakeServer, original_reply},
    peer::Peer,
    timed,
};
use crate::helpers::{SLACK, assert_broken, client_builder, error_of, with_timeout};

/// An interrupt function that returns true from its second call on.
fn interrupt_at_second_check() -> impl Fn() -> bool + Send + Sync + 'static {
    let calls = AtomicUsize::new(0);
    move || calls.fetch_add(1, SeqCst) > 0
}

/// A client whose interrupt function counts its calls from now on: to connect takes several on a busy machine.
fn interruptible_client(fake: &FakeServer) -> Client {
    let calls = Arc::new(AtomicI64::new(i64::MIN));
    let counted = calls.clone();
    let client = client_builder().interrupt(move || counted.fetch_add(1, SeqCst) > 0).connect(fake.address()).unwrap();
    calls.store(0, SeqCst);
    client
}

#[test]
fn an_interrupt_ends_every_blocking_call() {
    let interruptible = || client_builder().interrupt(interrupt_at_second_check());
    let assert_prompt = |(outcome, took): (String, Duration)| {
        assert_eq!(outcome, "interrupted");
        assert!(took < Duration::from_secs(1), "{took:?}");
    };

    let hole = BlackHole::new((Ipv4Addr::LOCALHOST, 0));
    assert_prompt(timed(|| error_of(interruptible().connect(hole.address()))));
    let silent = FakeServer::new(Peer::stay_silent);
    assert_prompt(timed(|| error_of(interruptible().connect(silent.address()))));

    let calls: [fn(&mut Client) -> String; 4] = [
        |client| error_of(client.request("day")),
        |client| error_of(client.datetime()),
        |client| error_of(client.pipeline(["day"; 10_000])),
        |client| error_of(client.time_in("UTC")),
    ];
    let connected = || {
        let fake = FakeServer::new(|mut peer| {
            peer.complete_greeting("Hi");
            peer.stay_silent();
        });
        let client = interruptible_client(&fake);
        (fake, client)
    };
    for call in calls {
        let (_fake, mut client) = connected();
        assert_prompt(timed(|| call(&mut client)));
        assert_broken(client);
    }
    let (_fake, client) = connected();
    assert_prompt(timed(|| error_of(client.quit())));
}

#[test]
fn an_interrupt_ends_a_call_whose_input_trickles() {
    // The server always sends before the client's next check of the interrupt, and never completes its line.
    let trickle = |mut peer: Peer| {
        let mut remaining = 100;
        while remaining > 0 && peer.try_send(b"x") {
            thread::sleep(Duration::from_millis(20));
            remaining -= 1;
        }
    };
    let fake = FakeServer::new(trickle);
    let (outcome, took) =
        timed(|| error_of(client_builder().interrupt(interrupt_at_second_check()).connect(fake.address())));
    assert_eq!(outcome, "interrupted");
    assert!(took < Duration::from_secs(1), "{took:?}");
    drop(fake);

    let fake = FakeServer::new(move |mut peer| {
        peer.complete_greeting("Hi");
        peer.expect("day\n");
        trickle(peer);
    });
    let mut client = interruptible_client(&fake);
    let (outcome, took) = timed(|| error_of(client.request("day")));
    assert_eq!(outcome, "interrupted");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn the_timeout_can_be_changed() {
    let fake = FakeServer::new(|mut peer| {
        peer.complete_greeting("Hi");
        peer.stay_silent();
    });
    let mut client = client_builder().connect(fake.address()).unwrap();
    client.set_timeout(Duration::from_millis(100));
    let (result, took) = timed(|| client.day());
    assert_eq!(error_of(result), "timeout");
    assert!((Duration::from_millis(100)..SLACK).contains(&took), "{took:?}");
}

#[test]
fn an_endless_timeout_is_allowed() {
    let server = builder().start().unwrap();
    let mut client = Client::builder().timeout(Duration::MAX).connect(&server.addresses()[0]).unwrap();
    assert_eq!(client.day().unwrap(), Weekday::Sun);
    assert_eq!(error_of(Client::builder().timeout(Duration::ZERO).connect(&server.addresses()[0])), "timeout");
}

#[test]
fn every_call_has_one_deadline() {
    // The first two replies arrive before the deadline. The third would arrive after it.
    let (fake, _) = FakeServer::line_based("Hi", |command| {
        thread::sleep(Duration::from_millis(400));
        Some(if command == "datetime" { errors::INVALID.into() } else { original_reply(command) })
    });
    let mut client = with_timeout(1000).connect(fake.address()).unwrap();
    let began = Instant::now();
    assert_eq!(error_of(client.datetime()), "timeout");
    assert!(began.elapsed() < Duration::from_secs(1) + SLACK, "{:?}", began.elapsed());
}
