//! RFC 867 and RFC 868 over UDP: which datagrams are questions, how often a source is answered, and that no loop exists.
//!
//! A dropped question is followed by one that is answered, on the same socket: the answers come in order.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::ErrorKind,
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use daytime::{Client, Clock, Error, Server, ServerBuilder, Service, rfc867_udp, rfc868_udp};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

use crate::common::{
    MOMENT, SetOnDrop, TIMEOUT, eventually, in_own_network, in_own_process, in_own_process_with, outcome, skip, tcp,
    timed, unbound_builder,
};
use crate::rfc::{LINE, SECONDS};

/// More than any test asks in a second.
const UNLIMITED: u32 = 10_000;

fn udp_settings(address: &str) -> ServerBuilder {
    unbound_builder().listen_as(Service::Rfc867Udp, address).listen_as(Service::Rfc868Udp, address).udp_rate(UNLIMITED)
}

fn udp_server() -> Server {
    udp_settings("127.0.0.1:0").start().unwrap()
}

fn addresses(server: &Server) -> [SocketAddr; 2] {
    [Service::Rfc867Udp, Service::Rfc868Udp].map(|service| tcp(&server.addresses_of(service)[0]))
}

/// Waits until so many datagrams were answered and dropped. A datagram is counted after it was answered.
fn expect_counts(server: &Server, answered: u64, dropped: u64) {
    let counts = || (server.stats().datagrams_answered, server.stats().datagrams_dropped);
    eventually("the datagrams are counted", || counts() == (answered, dropped));
}

/// A client of a server, on any port.
struct Asker(UdpSocket);

impl Asker {
    fn new(at: impl Into<SocketAddr>) -> Self {
        let socket = UdpSocket::bind(at.into()).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Asker(socket)
    }

    fn local() -> Self {
        Asker::new((Ipv4Addr::LOCALHOST, 0))
    }

    /// One that does not read its answers. Its address differs from that of others, who could get its port and the answers.
    fn leaving() -> Self {
        Asker::new(([127, 0, 0, 6], 0))
    }

    fn send(&self, question: &[u8], to: SocketAddr) {
        assert_eq!(self.0.send_to(question, to).unwrap(), question.len());
    }

    /// The next answer, and where it came from.
    fn answer(&self) -> (Vec<u8>, SocketAddr) {
        let mut answer = [0; 2048];
        let (size, from) = self.0.recv_from(&mut answer).unwrap();
        (answer[..size].to_vec(), from)
    }

    fn ask(&self, question: &[u8], to: SocketAddr) -> Vec<u8> {
        self.send(question, to);
        let (answer, from) = self.answer();
        assert_eq!(from, to, "it comes from the address that was asked");
        answer
    }
}

// ---- The server

#[test]
fn a_short_datagram_gets_one_answer() {
    let server = udp_server();
    let [of_867, of_868] = addresses(&server);
    let asker = Asker::local();
    for question in [&b""[..], b"\n", b"\r\n", b"day"] {
        assert_eq!(asker.ask(question, of_867), LINE.as_bytes());
        assert_eq!(asker.ask(question, of_868), SECONDS);
    }
    expect_counts(&server, 8, 0);
    // Nothing of it is a client.
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.commands, stats.clients), (0, 0, 0));
}

/// Counts the allocations of this process.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: each call is one of `System`, with the same arguments.
#[expect(unsafe_code, reason = "an allocator is unsafe")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_datagram_costs_no_allocation_and_no_event() {
    if !in_own_process() {
        return;
    }
    let server = udp_server();
    let events = server.events();
    let addresses = addresses(&server);
    let asker = Asker::local();
    let mut answer = [0; 64];
    let mut ask = |rounds: u64| {
        for _ in 0..rounds {
            for address in addresses {
                asker.0.send_to(b"a longer datagram", address).unwrap();
                asker.0.send_to(b"\n", address).unwrap();
                asker.0.recv(&mut answer).unwrap();
            }
        }
    };
    // Threads that have just started also allocate. Fewer questions than all sources together get at once.
    let rounds = [(); 4].map(|()| {
        let before = ALLOCATIONS.load(Relaxed);
        ask(100);
        ALLOCATIONS.load(Relaxed) - before
    });
    assert!(rounds.contains(&0), "{rounds:?}");
    expect_counts(&server, 800, 800);
    server.stop();
    assert!(server.wait(Some(TIMEOUT)));
    drop(server);
    assert!(events.iter().next().is_none());
}

#[test]
fn a_longer_datagram_gets_nothing() {
    let server = udp_server();
    let [of_867, of_868] = addresses(&server);
    let asker = Asker::local();
    for size in [4, 5, 40, 1500, 65_507] {
        asker.send(&vec![b'\n'; size], of_867);
        asker.send(&vec![0; size], of_868);
    }
    // The only answers.
    assert_eq!(asker.ask(b"", of_867), LINE.as_bytes());
    assert_eq!(asker.ask(b"", of_868), SECONDS);
    expect_counts(&server, 2, 10);
}

#[test]
fn the_port_of_a_service_gets_nothing() {
    // Nobody else uses its ports, and a test may bind them.
    if !in_own_network("true") {
        return;
    }
    let server = udp_server();
    let [of_867, of_868] = addresses(&server);
    let at = |port| Asker::new((Ipv4Addr::LOCALHOST, port));
    for port in [7, 13, 19, 37, 123, 1023] {
        at(port).send(b"", of_867);
    }
    forge((Ipv4Addr::LOCALHOST, 0).into(), of_867, b"");
    let first = at(1024);
    assert_eq!(first.ask(b"", of_867), LINE.as_bytes());
    assert_eq!(first.ask(b"", of_868), SECONDS);
    expect_counts(&server, 2, 7);
}

#[test]
fn a_broadcast_gets_nothing() {
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let server = match udp_settings(wildcard).start() {
            Ok(server) => server,
            Err(error) => return skip(error.to_string()),
        };
        let port = addresses(&server)[0].port();
        let asker = Asker::local();
        asker.0.set_broadcast(true).unwrap();
        asker.send(b"", ([127, 255, 255, 255], port).into());
        assert_eq!(asker.ask(b"", ([127, 0, 0, 1], port).into()), LINE.as_bytes());
        expect_counts(&server, 1, 1);
        // For its address, and not because the system refused to send the answer from there.
        let counter = "daytime_udp_datagrams_total{service=\"rfc867_udp\",result=\"port\"} 1\n";
        assert!(server.metrics().contains(counter), "{wildcard}: {}", server.metrics());
    }
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let server = match udp_settings(wildcard).start() {
            Ok(server) => server,
            Err(error) => return skip(error.to_string()),
        };
        let [of_867, of_868] = addresses(&server).map(|address| address.port());
        let asker = Asker::local();
        for host in [[127, 0, 0, 1], [127, 9, 9, 9], [127, 0, 0, 2]] {
            assert_eq!(asker.ask(b"", (host, of_867).into()), LINE.as_bytes());
            assert_eq!(asker.ask(b"\n", (host, of_868).into()), SECONDS);
        }
        if wildcard.contains("::") {
            let asker = Asker::new((Ipv6Addr::LOCALHOST, 0));
            assert_eq!(asker.ask(b"", (Ipv6Addr::LOCALHOST, of_867).into()), LINE.as_bytes());
        }
    }
}

#[test]
fn a_denied_network_gets_nothing() {
    let server = udp_settings("0.0.0.0:0").deny("127.0.0.3").start().unwrap();
    let to = ([127, 0, 0, 1], addresses(&server)[0].port()).into();
    let denied = Asker::new(([127, 0, 0, 3], 0));
    denied.send(b"", to);
    assert_eq!(Asker::local().ask(b"", to), LINE.as_bytes());
    expect_counts(&server, 1, 1);
    server.set_networks(daytime::Networks::new());
    assert_eq!(denied.ask(b"", to), LINE.as_bytes());
}

#[test]
fn a_source_that_asks_too_often_gets_its_rate() {
    let server = unbound_builder().listen_as(Service::Rfc868Udp, "127.0.0.1:0").start().unwrap();
    let to = tcp(&server.addresses_of(Service::Rfc868Udp)[0]);
    let began = Instant::now();
    for n in 1..=1000 {
        // Each question from another port: a source is an address.
        Asker::leaving().send(b"", to);
        if n % 50 == 0 {
            // The system's buffer holds some hundred datagrams.
            eventually("all questions are counted", || {
                let stats = server.stats();
                stats.datagrams_answered + stats.datagrams_dropped == n
            });
        }
    }
    // 10 at once, and one more each tenth of a second.
    let most = 10 + began.elapsed().as_millis() as u64 / 100 + 1;
    let answered = server.stats().datagrams_answered;
    assert!((10..=most).contains(&answered), "{answered} of at most {most}");
    // Another source is not affected. Of two, one at most shares the budget of the first by chance.
    for host in [7, 8] {
        Asker::new(([127, 0, 0, host], 0)).send(b"", to);
    }
    let sum = || server.stats().datagrams_answered + server.stats().datagrams_dropped;
    eventually("both questions are counted", || sum() == 1002);
    assert!(server.stats().datagrams_answered > answered);
}

#[test]
fn a_source_that_is_gone_delays_nobody() {
    let server = udp_server();
    let [of_867, of_868] = addresses(&server);
    for _ in 0..100 {
        // Its system answers with ICMP's "port unreachable".
        Asker::leaving().send(b"", of_867);
    }
    let asker = Asker::local();
    assert_eq!(asker.ask(b"", of_867), LINE.as_bytes());
    assert_eq!(asker.ask(b"", of_868), SECONDS);
}

#[test]
fn the_clock_and_the_end_of_the_server_hold_for_datagrams() {
    // An address that no other test uses: its ports stay free.
    let server = udp_settings("127.0.0.77:0").start().unwrap();
    let [of_867, of_868] = addresses(&server);
    let asker = Asker::local();
    assert_eq!(asker.ask(b"", of_868), SECONDS);
    server.set_clock(Clock::fixed_unix(MOMENT + 1));
    assert_eq!(asker.ask(b"", of_868), u32::from_be_bytes(SECONDS).wrapping_add(1).to_be_bytes());
    assert_eq!(asker.ask(b"", of_867), LINE.replace(":57-", ":58-").as_bytes());
    // A drain closes the sockets, and their ports are free. A program that another test starts at that moment has copies of
    // them for a while, until the system executes it.
    server.drain(TIMEOUT);
    assert!(server.wait(Some(TIMEOUT)));
    eventually("the ports are free", || [of_867, of_868].iter().all(|address| UdpSocket::bind(address).is_ok()));
}

#[test]
fn a_flood_delays_no_client_of_tcp() {
    let server = udp_settings("127.0.0.1:0").listen("127.0.0.1:0").workers(1).udp_rate(1).start().unwrap();
    let [of_867, _] = addresses(&server);
    let mut client = Client::connect(server.local_addr().unwrap()).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = SetOnDrop(&stop);
        scope.spawn(|| {
            let asker = Asker::leaving();
            while !stop.load(Relaxed) {
                asker.send(b"", of_867);
            }
        });
        eventually("the flood arrives", || server.stats().datagrams_dropped > 10_000);
        for _ in 0..100 {
            assert_eq!(client.timestamp().unwrap(), MOMENT);
        }
    });
}

#[test]
fn a_socket_that_is_bound_already_is_adopted() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = unbound_builder().listener_as(Service::Rfc868Udp, socket.try_clone().unwrap()).start().unwrap();
    assert_eq!(addresses_of(&server, Service::Rfc868Udp), [address]);
    assert_eq!(Asker::local().ask(b"", address), SECONDS);

    let stream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = unbound_builder().listener_as(Service::Rfc867Udp, stream).bind().unwrap_err();
    assert!(error.to_string().ends_with("is not a bound UDP socket"), "{error}");
    let error = unbound_builder().listener_as(Service::Text, socket).bind().unwrap_err();
    assert!(error.to_string().ends_with("is not a listening stream socket"), "{error}");
    let error = unbound_builder().listen_as(Service::Rfc867Udp, "unix:/tmp/socket").bind().unwrap_err();
    assert_eq!(error.to_string(), "the address \"unix:/tmp/socket\" is a Unix socket; expected a host, for UDP");
}

fn addresses_of(server: &Server, service: Service) -> Vec<SocketAddr> {
    server.addresses_of(service).iter().map(tcp).collect()
}

#[test]
fn tcp_and_udp_share_a_port_and_two_servers_do_not() {
    // An address that no other test uses: the port of TCP is free for UDP.
    let first = unbound_builder().listen_as(Service::Rfc867, "127.0.0.78:0").start().unwrap();
    let address = tcp(&first.addresses_of(Service::Rfc867)[0]);
    let second = unbound_builder().listen_as(Service::Rfc867Udp, address).start().unwrap();
    assert_eq!(addresses_of(&second, Service::Rfc867Udp), [address]);
    let error = unbound_builder().listen_as(Service::Rfc868Udp, address).bind().unwrap_err();
    assert!(matches!(&error, Error::Io(error, _) if error.kind() == ErrorKind::AddrInUse), "{error}");
    // All addresses of a name have the same free port.
    let server = unbound_builder().listen_as(Service::Rfc868Udp, "localhost:0").start().unwrap();
    let ports = addresses_of(&server, Service::Rfc868Udp);
    assert!(ports.iter().all(|address| address.port() == ports[0].port()), "{ports:?}");
}

// ---- Loops

/// Sends a datagram with a forged source.
fn forge(from: SocketAddr, to: SocketAddr, payload: &[u8]) {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.ip(), to.ip()) else { unreachable!() };
    let udp_size = 8 + payload.len() as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    for field in [from.port(), to.port(), udp_size, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
    // IPPROTO_RAW: the packet has its own header of IP, whose sizes and checksum the system fills in.
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
    socket.send_to(&packet, &SocketAddr::new(to.ip(), 0).into()).unwrap();
}

/// Answers every datagram, as servers without guards do, until port 1 sends one. Returns its address.
fn unguarded(answer: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut question = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut question) {
            if from.port() == 1 {
                return;
            }
            let _ = socket.send_to(answer, from);
        }
    });
    address
}

/// The datagrams that this namespace has sent: /proc/net/snmp, of the thread that asks.
fn datagrams_sent() -> u64 {
    let counters = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut udp = counters.lines().filter(|line| line.starts_with("Udp: "));
    let (names, values) = (udp.next().unwrap(), udp.next().unwrap());
    let at = names.split(' ').position(|name| name == "OutDatagrams").unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

#[test]
fn a_forged_question_between_two_servers_ends_after_one_answer() {
    if !in_own_network("true") {
        return;
    }
    let (first, second) = (udp_server(), udp_server());
    let ([a_867, a_868], [b_867, b_868]) = (addresses(&first), addresses(&second));
    let sum = || {
        let [a, b] = [first.stats(), second.stats()];
        (a.datagrams_answered + b.datagrams_answered, a.datagrams_dropped + b.datagrams_dropped)
    };
    for (from, to) in [(a_867, b_868), (a_868, b_867), (b_867, a_867), (b_868, a_868), (a_867, a_868), (a_867, a_867)] {
        let (sent, (answered, dropped)) = (datagrams_sent(), sum());
        forge(from, to, b"");
        // The answer is a long datagram for the other server, which drops it.
        eventually("the answer is dropped", || sum() == (answered + 1, dropped + 1));
        // Whatever a loop would send comes before the answers to these two questions.
        let asker = Asker::local();
        asker.ask(b"", a_867);
        asker.ask(b"", b_867);
        eventually("all datagrams are counted", || sum() == (answered + 1 + 2, dropped + 1));
        // One answer to the forged question; two questions and two answers of the asker.
        assert_eq!(datagrams_sent() - sent, 1 + 4);
    }
}

/// A client on the same link, whose address means nothing without the interface.
#[test]
fn a_link_local_question_is_answered_on_its_link() {
    if !in_own_network("true") {
        return;
    }
    let added = Command::new("ip").args(["addr", "add", "fe80::867/64", "dev", "lo", "nodad"]).status();
    if !added.is_ok_and(|status| status.success()) {
        return skip("this machine does not have IPv6");
    }
    let index = if_nametoindex("lo").unwrap();
    let server = udp_settings("[::]:0").start().unwrap();
    let [of_867, of_868] = addresses(&server).map(|address| address.port());
    let at = |port| SocketAddr::V6(SocketAddrV6::new("fe80::867".parse().unwrap(), port, 0, index));
    // The system takes a while until it routes a new address.
    let probe = UdpSocket::bind(at(0)).unwrap();
    probe.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    eventually("the address is routed", || {
        let _ = probe.send_to(b"", at(of_868));
        probe.recv(&mut [0; 4]).is_ok()
    });
    let asker = Asker::new(at(0));
    assert_eq!(asker.ask(b"", at(of_867)), LINE.as_bytes());
    assert_eq!(asker.ask(b"", at(of_868)), SECONDS);
}

#[test]
fn a_server_without_guards_cannot_loop_with_this_one() {
    if !in_own_network("true") {
        return;
    }
    let server = udp_server();
    let [of_867, of_868] = addresses(&server);
    // The control: two servers without guards answer each other.
    let (first, second) = (unguarded(b"Sunday, November 22, 2026\r\n"), unguarded(b"1234"));
    forge(first, second, b"");
    eventually("two servers without guards loop", || datagrams_sent() > 1000);
    for other in [first, second] {
        forge((Ipv4Addr::LOCALHOST, 1).into(), other, b""); // ends it
    }
    // An echo, a chargen, a daytime and a time server.
    for answer in [&b"0123456789012345678901234567890123456789"[..], b"Sunday, November 22, 2026\r\n", b"1234"] {
        let other = unguarded(answer);
        for ours in [of_867, of_868] {
            let (answered, dropped) = (server.stats().datagrams_answered, server.stats().datagrams_dropped);
            forge(other, ours, b"");
            eventually("its answer is dropped", || server.stats().datagrams_dropped == dropped + 1);
            assert_eq!(server.stats().datagrams_answered, answered + 1);
        }
    }
}

#[test]
fn an_answer_is_at_most_three_times_its_question() {
    // The server's zone, whose abbreviation is cut.
    if !in_own_process_with(&[("TZ", Path::new("<ABCDEFGHIJKLMNOPQRSTUVWXYZ>0"))]) {
        return;
    }
    // Wednesday and September are the longest words.
    let settings = Server::builder().clock(Clock::fixed_unix(1_790_769_599)).udp_rate(UNLIMITED);
    for (settings, zone) in [
        (settings.clone(), "ABCDEFGHIJKLMNO"),
        (settings.clone().timezone("+05:30"), "+05:30"),
        (settings.timezone("UTC"), "UTC"),
    ] {
        let server = settings.listen_as(Service::Rfc867Udp, "127.0.0.1:0").start().unwrap();
        let answer = Asker::local().ask(b"", tcp(&server.addresses_of(Service::Rfc867Udp)[0]));
        assert!(answer.starts_with(b"Wednesday, September "), "{}", answer.escape_ascii());
        assert!(answer.ends_with(format!("-{zone}\r\n").as_bytes()), "{}", answer.escape_ascii());
        // In bytes of IP: the headers of IP and UDP have 28.
        assert!(28 + answer.len() <= 3 * 28, "{} bytes", answer.len());
    }
}

// ---- The clients

#[test]
fn the_clients_read_both_protocols() {
    let server = udp_server();
    let [of_867, of_868] = addresses(&server);
    assert_eq!(rfc867_udp(of_867).unwrap(), LINE.trim_end());
    assert_eq!(rfc868_udp(of_868).unwrap(), UNIX_EPOCH + Duration::from_secs(MOMENT as u64));
    // The first address of a name that answers.
    let named = format!("localhost:{}", of_868.port());
    assert_eq!(rfc868_udp(named).unwrap(), UNIX_EPOCH + Duration::from_secs(MOMENT as u64));
    // Each protocol's answer is not one of the other.
    assert!(matches!(rfc868_udp(of_867), Err(Error::Protocol(_))));
    assert!(matches!(rfc867_udp("unix:/tmp/socket"), Err(Error::Invalid(_))));
}

/// Such as one of an echo.
#[test]
fn an_empty_datagram_is_not_an_answer() {
    let echo = unguarded(b"");
    assert_eq!(outcome(rfc867_udp(echo)), "protocol: ");
    assert_eq!(outcome(rfc868_udp(echo).map(|time| format!("{time:?}"))), "protocol: ");
}

#[test]
fn a_lost_datagram_is_repeated() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let late = thread::spawn(move || {
        let mut question = [0; 8];
        // The first question is lost.
        server.recv_from(&mut question).unwrap();
        let (size, from) = server.recv_from(&mut question).unwrap();
        assert_eq!(size, 0);
        server.send_to(&SECONDS, from).unwrap();
    });
    assert_eq!(rfc868_udp(address).unwrap(), UNIX_EPOCH + Duration::from_secs(MOMENT as u64));
    late.join().unwrap();
}

#[test]
fn a_server_that_says_nothing_costs_the_timeout() {
    // An address that no other test uses: its port stays free.
    let silent = UdpSocket::bind("127.0.0.79:0").unwrap();
    let address = silent.local_addr().unwrap();
    // The question is repeated after 0.5 s and after 1.5 s.
    let timeout = Duration::from_millis(1400);
    let (result, took) = timed(|| Client::builder().timeout(timeout).rfc868_udp(address));
    assert_eq!(outcome(result.map(|time| format!("{time:?}"))), outcome(Err::<String, _>(Error::Timeout)));
    assert!(took >= timeout, "{took:?}");
    // It was asked twice.
    silent.set_nonblocking(true).unwrap();
    let mut question = [MaybeUninit::<u8>::uninit(); 8];
    let silent = Socket::from(silent);
    assert!((0..2).all(|_| silent.recv(&mut question).is_ok()));
    assert!(silent.recv(&mut question).is_err());
    // Nothing listens: the system says so.
    drop(silent);
    let (result, took) = timed(|| rfc867_udp(address));
    assert!(matches!(result, Err(Error::Io(error, _)) if error.kind() == ErrorKind::ConnectionRefused));
    assert!(took < TIMEOUT, "{took:?}");
}
