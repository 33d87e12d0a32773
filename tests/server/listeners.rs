//! Addresses to listen on: several of them, names, IPv6, and sockets that listen already.

use std::{
    fs::File,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixDatagram, UnixListener, UnixStream},
    },
    time::Instant,
};

use daytime::{Address, Error, Reason, Server, Service, protocol::GREETING};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::common::{
    Folder, TIMEOUT, builder, next_disconnect,
    peer::{Peer, assert_bytes},
    server, skip, tcp, unbound_builder,
};
use crate::helpers::{assert_serves_unix, connect_unix, unix_address};
use crate::rfc::{LINE, SECONDS};

#[test]
fn a_server_may_have_several_listeners() {
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
fn a_name_binds_all_its_addresses_to_one_port() {
    let server = Server::builder().listen("localhost:0").start().unwrap();
    let bound: Vec<SocketAddr> = server.addresses().iter().map(tcp).collect();
    let expected = ("localhost", server.port()).to_socket_addrs().unwrap();
    // The addresses of the name that this machine has, each once.
    let mut expected: Vec<_> = expected.filter(|address| TcpListener::bind((address.ip(), 0)).is_ok()).collect();
    expected.dedup();
    assert_eq!(bound, expected);
    for address in bound {
        Peer::connect_to(address).expect(GREETING);
    }
}

#[test]
fn the_ipv6_wildcard_serves_ipv4_unless_ipv4_has_a_listener() {
    let both = match builder().listen("[::]:0").start() {
        Ok(server) => server,
        Err(error) => return skip(format!("this machine does not have IPv6: {error}")),
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
fn addresses_that_cannot_be_bound_are_errors() {
    let taken = server();
    let taken = taken.addresses()[0].to_string();
    let long = format!("{}:1", "x".repeat(300));
    let io_error = |kind: ErrorKind| move |error: &Error| matches!(error, Error::Io(io, _) if io.kind() == kind);
    let invalid = |error: &Error| matches!(error, Error::Invalid(_));
    type Fits<'a> = &'a dyn Fn(&Error) -> bool;
    let table: [(&str, Fits); 11] = [
        (&taken, &io_error(ErrorKind::AddrInUse)),
        ("192.0.2.1:0", &io_error(ErrorKind::AddrNotAvailable)),
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
        // The address before can be bound. The failure must release it.
        let bound = Server::builder().listen("127.0.0.1:0").listen(address).bind();
        let error = bound.map(|bound| bound.addresses().to_vec()).unwrap_err();
        assert!(fits(&error), "{address:?}: {error:?}");
        assert!(error.to_string().contains(address), "{address:?} is not in {error}");
    }
}

#[test]
fn every_worker_serves_listeners_of_every_kind() {
    let folder = Folder::new();
    let server = unbound_builder()
        .listen("127.0.0.1:0")
        .listen("127.0.0.2:0")
        .listen(unix_address(&folder.at("text")))
        .listen_as(Service::Rfc867, "127.0.0.1:0")
        .listen_as(Service::Rfc867, unix_address(&folder.at("rfc867")))
        .listen_as(Service::Rfc868, "127.0.0.1:0")
        .listen_as(Service::Rfc868, unix_address(&folder.at("rfc868")))
        .start()
        .unwrap();
    let events = server.events();
    let unix = |name: &str| Address::Unix(folder.at(name));
    assert_eq!(server.addresses()[2..], [unix("text")]);
    assert_eq!(server.addresses_of(Service::Rfc867)[1..], [unix("rfc867")]);
    assert_eq!(server.addresses_of(Service::Rfc868)[1..], [unix("rfc868")]);
    assert_eq!(server.port(), tcp(&server.addresses()[0]).port());
    let greeting = GREETING.as_bytes();
    let all = [
        (server.addresses(), greeting),
        (server.addresses_of(Service::Rfc867), LINE.as_bytes()),
        (server.addresses_of(Service::Rfc868), &SECONDS),
    ];
    // The acceptor gives clients to the workers in turn.
    for n in 0..2 {
        for (address, reply) in all.iter().flat_map(|(addresses, reply)| addresses.iter().map(move |a| (a, *reply))) {
            let mut peer = match address {
                Address::Unix(path) => connect_unix(path),
                address => Peer::connect_to(tcp(address)),
            };
            peer.expect(reply);
            peer.finish();
            peer.expect_eof();
            let (client, reason, commands) = next_disconnect(&events);
            let expected = if reply == greeting { Reason::Eof } else { Reason::Answered };
            assert_eq!((reason, commands), (expected, 0), "{address}");
            assert!(n == 0 || u64::from(client) > 7);
        }
    }
    assert_eq!(server.stats().accepted, 14, "both workers have served a client of each of the seven listeners");
}

#[test]
fn an_ipv6_listener_leaves_ipv4_to_a_listener_of_another_protocol() {
    let any = match unbound_builder().listen_as(Service::Rfc868, "[::]:0").start() {
        Ok(server) => server,
        Err(error) => return skip(format!("this machine does not have IPv6: {error}")),
    };
    let of_both = tcp(&any.addresses_of(Service::Rfc868)[0]).port();
    assert_bytes(&Peer::connect(of_both).rest(), &SECONDS);
    assert_bytes(&Peer::connect_to((Ipv6Addr::LOCALHOST, of_both).into()).rest(), &SECONDS);
    // The same port for both kinds. Another test may have taken that port.
    let began = Instant::now();
    let (server, port) = loop {
        let port = UdpSocket::bind("127.0.0.8:0").unwrap().local_addr().unwrap().port();
        let both = unbound_builder()
            .listen_as(Service::Rfc868, format!("[::]:{port}"))
            .listen_as(Service::Rfc867, format!("127.0.0.8:{port}"));
        match both.start() {
            Ok(server) => break (server, port),
            Err(error) => assert!(began.elapsed() < TIMEOUT, "{error}"),
        }
    };
    assert_bytes(&Peer::connect_to((Ipv6Addr::LOCALHOST, port).into()).rest(), &SECONDS);
    assert_bytes(&Peer::connect_to(([127, 0, 0, 8], port).into()).rest(), LINE.as_bytes());
    let elsewhere = TcpStream::connect(("127.0.0.9", port)).map(drop);
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(server);
}

// ---- Sockets that listen already

#[test]
fn listening_sockets_are_adopted() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let of_867 = UnixListener::bind(folder.at("rfc867")).unwrap();
    let [text, of_868] = [1, 2].map(|n| TcpListener::bind((Ipv4Addr::new(127, 0, 0, n), 0)).unwrap());
    let expected = [&text, &of_868].map(|listener| Address::from(listener.local_addr().unwrap()));
    let server = unbound_builder()
        .listener(UnixListener::bind(&path).unwrap())
        .listener(text)
        .listener_as(Service::Rfc867, of_867)
        .listener_as(Service::Rfc868, of_868)
        .max_clients_per_source(1)
        .start()
        .unwrap();
    assert_eq!(
        server.addresses(),
        [Address::Unix(path.clone()), expected[0].clone()],
        "the server has no other address"
    );
    assert_eq!(server.addresses_of(Service::Rfc867), [Address::Unix(folder.at("rfc867"))]);
    assert_eq!(server.addresses_of(Service::Rfc868), &expected[1..]);
    assert_eq!(server.port(), tcp(&expected[0]).port());
    assert_serves_unix(&path);
    assert_bytes(&connect_unix(&folder.at("rfc867")).rest(), LINE.as_bytes());
    assert_bytes(&Peer::connect_to(tcp(&expected[1])).rest(), &SECONDS);
    Peer::connect_from([127, 0, 0, 3], server.port()).expect(GREETING);
    drop(server);
    assert!(path.exists() && folder.at("rfc867").exists(), "the files belong to another owner");
    let refused = TcpStream::connect(tcp(&expected[0])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "the server has closed the descriptor");
}

#[test]
fn queued_clients_of_an_adopted_socket_are_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut early: Vec<Peer> = (0..5).map(|_| Peer::connect(port)).collect();
    early.iter_mut().for_each(|peer| peer.send("day\n"));
    let _server = unbound_builder().listener(listener).start().unwrap();
    early.iter_mut().for_each(|peer| peer.expect(format!("{GREETING}\nSunday\n")));
}

#[test]
fn other_descriptors_are_rejected_by_number() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let packets = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    packets.bind(&SockAddr::unix(folder.at("packets")).unwrap()).unwrap();
    packets.listen(1).unwrap();
    let not_listening = "is not a listening stream socket";
    let table: [(OwnedFd, &str); 8] = [
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), not_listening),
        (TcpStream::connect(listener.local_addr().unwrap()).unwrap().into(), not_listening),
        (UnixDatagram::bind(folder.at("datagram")).unwrap().into(), not_listening),
        (UnixStream::pair().unwrap().0.into(), not_listening),
        (silent.into(), not_listening),
        (packets.into(), not_listening),
        (File::open("/dev/null").unwrap().into(), "is not a socket"),
        (io::pipe().unwrap().0.into(), "is not a socket"),
    ];
    let services = [Service::Text, Service::Rfc867, Service::Rfc868];
    for (n, (descriptor, reason)) in table.into_iter().enumerate() {
        let number = descriptor.as_raw_fd();
        let error = unbound_builder().listener_as(services[n % 3], descriptor).bind().unwrap_err();
        assert_eq!(error.to_string(), format!("the file descriptor {number} {reason}"));
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}
