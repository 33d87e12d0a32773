//! Ports that several servers share.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs},
};

use daytime::{Address, Error, Server, ServerBuilder, Service, protocol::GREETING};

use crate::common::{
    Folder, TIMEOUT, builder, eventually,
    peer::{Peer, assert_bytes},
    shared_port, tcp, unbound_builder,
};
use crate::helpers::{assert_bind_fails, assert_invalid, assert_refused, assert_serves_unix, unix_address};
use crate::rfc::LINE;

const PER_SOURCE: &str = "Too many connections from your address";

fn sharing(port: u16) -> ServerBuilder {
    unbound_builder().listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).reuse_port(true)
}

#[test]
fn servers_share_a_port_and_each_gets_clients() {
    let (_reserved, port) = shared_port();
    let servers = [(); 2].map(|()| sharing(port).start().unwrap());
    let mut peers: Vec<Peer> = (0..60).map(|_| Peer::greeted(port)).collect();
    peers.iter_mut().for_each(|peer| peer.ask("day\n", "\nSunday\n"));
    let clients = servers.each_ref().map(|server| server.stats().clients);
    // With chance, a server gets none of 60 clients once in 2^59 times.
    assert!(clients[0] > 0 && clients[1] > 0 && clients[0] + clients[1] == 60, "{clients:?}");
    // The clients of a server that ends are closed, and those of the other are not. Later clients are the other's.
    let [ends, stays] = servers;
    ends.drain(TIMEOUT);
    eventually("the server has closed its clients, and shares the port no more", || ends.wait(Some(TIMEOUT)));
    peers.extend((0..20).map(|_| Peer::greeted(port)));
    drop(peers);
    assert_eq!(stays.stats().accepted, clients[1] + 20);
    drop(stays);
    assert_refused(([127, 0, 0, 1], port).into());
}

#[test]
fn all_listeners_of_a_server_share_their_ports() {
    let (_reserved, port) = shared_port();
    let build = || Server::builder().listen(format!("localhost:{port}")).reuse_port(true).start().unwrap();
    let servers = [(); 2].map(|()| build());
    assert_eq!(servers[0].addresses(), servers[1].addresses());
    let resolved = ("localhost", port).to_socket_addrs().unwrap();
    let own = resolved.filter(|address| TcpListener::bind((address.ip(), 0)).is_ok());
    own.for_each(|address| Peer::connect_to(address).expect(GREETING));
    drop(servers);

    let build = || unbound_builder().listen_as(Service::Rfc867, format!("127.0.0.1:{port}")).reuse_port(true);
    let servers = [(); 2].map(|()| build().start().unwrap());
    (0..60).for_each(|_| assert_bytes(&Peer::connect(port).rest(), LINE.as_bytes()));
    assert!(servers.iter().all(|server| server.stats().accepted > 0));
}

#[test]
fn each_server_of_a_port_has_its_own_limits() {
    let (_reserved, port) = shared_port();
    let servers = [(); 2].map(|()| sharing(port).max_clients_per_source(1).start().unwrap());
    let mut peers: Vec<Peer> = (0..30).map(|_| Peer::connect(port)).collect();
    let lines = peers.iter_mut().map(|peer| {
        peer.send("\n");
        peer.line()
    });
    let (served, refused): (Vec<_>, Vec<_>) = lines.partition(|line| line == GREETING);
    assert_eq!((served.len(), refused.len()), (2, 28));
    assert!(refused.iter().all(|line| line == PER_SOURCE), "{refused:?}");
    assert_eq!(servers.map(|server| server.stats().refused).iter().sum::<u64>(), 28);
}

#[test]
fn both_servers_of_a_port_must_share_it() {
    let (_reserved, port) = shared_port();
    let address = format!("127.0.0.1:{port}");
    let first = sharing(port).start().unwrap();
    assert_bind_fails(&address, ErrorKind::AddrInUse);
    let second = sharing(port).start().unwrap();
    drop((first, second));

    let alone = builder().start().unwrap();
    let error = sharing(alone.port()).bind().unwrap_err();
    assert!(matches!(&error, Error::Io(error, _) if error.kind() == ErrorKind::AddrInUse), "{error:?}");
    let expected = format!(
        "bind 127.0.0.1:{}, which is taken, or shared by a program without reuse_port or of another user: \
         Address already in use (os error 98)",
        alone.port()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn port_0_cannot_be_shared() {
    let addresses = ["127.0.0.1:0", "[::1]:0", "localhost:0"].map(Address::from);
    for address in addresses.into_iter().chain([SocketAddr::from(([127, 0, 0, 1], 0)).into()]) {
        for service in [Service::Text, Service::Rfc867, Service::Rfc868, Service::Proxied] {
            let builder = unbound_builder().listen_as(service, address.clone()).proxy("127.0.0.1").reuse_port(true);
            let expected = format!("reuse_port expects a port other than 0, got {address}");
            assert_invalid(builder.clone().check(), &expected);
            assert_invalid(builder.clone().bind(), &expected);
            builder.reuse_port(false).check().unwrap();
        }
    }
    // Each server has its own port for metrics.
    unbound_builder().listen_as(Service::Metrics, "127.0.0.1:0").reuse_port(true).check().unwrap();
    // The default port of a service is a port.
    unbound_builder().listen_as(Service::Rfc867, "127.0.0.1").listen("localhost").reuse_port(true).check().unwrap();
}

#[test]
fn unix_sockets_metrics_and_sockets_that_listen_already_are_not_shared() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let builder = || unbound_builder().listen(unix_address(&path)).reuse_port(true);
    let server = builder().listen_as(Service::Metrics, "127.0.0.1:0").listener(listener).start().unwrap();
    let metrics = tcp(&server.addresses_of(Service::Metrics)[0]);
    let second = unbound_builder().listen_as(Service::Metrics, metrics).reuse_port(true).bind();
    assert!(matches!(second, Err(Error::Io(error, _)) if error.kind() == ErrorKind::AddrInUse));
    assert_serves_unix(&path);
    Peer::greeted(port);
    assert!(matches!(builder().bind(), Err(Error::Io(error, _)) if error.kind() == ErrorKind::AddrInUse));
    assert!(matches!(sharing(port).bind(), Err(Error::Io(error, _)) if error.kind() == ErrorKind::AddrInUse));
}
