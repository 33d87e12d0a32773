//! The public types: where they may go, what the conversions accept, and how an error reports itself.

mod common;

use std::{
    error::Error as _,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use common::{TIMEOUT, builder};
use daytime::{
    Address, Bound, Client, ClientBuilder, ClientContext, ClientId, ClientInfo, Clock, Error, Event, EventOptions,
    Framing, Handle, Networks, Reason, Reply, Request, Responder, Server, ServerBuilder, Service, Stats,
};

#[test]
fn every_type_can_be_sent_and_shared_and_printed() {
    fn check<T: Send + Sync + Debug>() {}
    check::<Address>();
    check::<Bound>();
    check::<Client>();
    check::<ClientBuilder>();
    check::<ClientContext<'_>>();
    check::<ClientId>();
    check::<ClientInfo>();
    check::<Clock>();
    check::<Error>();
    check::<Event>();
    check::<EventOptions>();
    check::<Framing>();
    check::<Handle>();
    check::<Networks>();
    check::<Reason>();
    check::<Reply>();
    check::<Request<'_>>();
    check::<Responder>();
    check::<Server>();
    check::<ServerBuilder>();
    check::<Service>();
    check::<Stats>();
    // The receiver of events has a name in this crate.
    check::<daytime::crossbeam_channel::Receiver<Event>>();
}

#[test]
fn listen_accepts_the_addresses_of_std() {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let text = String::from("127.0.0.1:0");
    let unbound = SocketAddr::new(ip, 0);
    let addresses: [Address; 8] = [
        ("127.0.0.1", 0).into(),
        (String::from("127.0.0.1"), 0).into(),
        (ip, 0).into(),
        (Ipv4Addr::LOCALHOST, 0).into(),
        unbound.into(),
        (&text).into(),
        text.clone().into(),
        "127.0.0.1:0".into(),
    ];
    for address in addresses {
        assert_eq!(address.socket_addr(), Some(unbound));
        let server = Server::builder().listen(address).start().unwrap();
        let bound = server.local_addr().unwrap();
        assert_eq!((bound.ip(), bound.port()), (ip, server.port()));
        assert_ne!(bound.port(), 0);
        drop(Client::connect(bound).unwrap());
    }
    assert_eq!(Address::from(("localhost", 9990)), Address::from("localhost:9990"));
    assert_eq!(Address::from(("::1", 9990)), Address::from("[::1]:9990"));

    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("socket");
    for address in [Address::from(path.as_path()), (&path).into(), path.clone().into()] {
        let server = Server::builder().listen(address).start().unwrap();
        assert_eq!(server.addresses(), [Address::Unix(path.clone())]);
        assert_eq!((server.local_addr(), server.port()), (None, 0));
        Client::connect(Path::new(&path)).unwrap().quit().unwrap();
    }
}

#[test]
fn the_chain_of_an_error_says_each_thing_once() {
    let server = builder().start().unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let error = Client::connect(address).unwrap_err();
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        source = error.source();
    }
    assert_eq!(chain, format!("connect {address}: Connection refused (os error 111)"));
}

#[test]
fn a_server_closes_within_a_time() {
    let server = builder().start().unwrap();
    assert!(server.close(TIMEOUT));

    // A handler that does not return delays it for the given time, no longer.
    let (entered_tx, entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let server = builder()
        .command("wait", move |_| {
            entered_tx.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            "released"
        })
        .start()
        .unwrap();
    let mut peer = common::peer::Peer::greeted(server.port());
    peer.send("wait\n");
    entered.recv_timeout(TIMEOUT).unwrap();
    assert!(!server.close(Duration::from_millis(10)));
    // The server has stopped, although a thread of it still runs.
    peer.wait_closed();
    drop(release);
}
