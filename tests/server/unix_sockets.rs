//! What an operator has of the engine: Unix sockets and their files, networks, several listeners at once, the daytime
//! and time protocols of RFC 867 and RFC 868 and their readers, sockets that listen already, zones read anew.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            fs::{MetadataExt, PermissionsExt, symlink},
            net::{self, UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use crate::common::fake_server::{Fake, timed};
use crate::common::peer::{
    HELP, MOMENT, PATIENCE, Peer, alone, alone_with, descriptors, eventually, model, same, server_threads, skip,
    status, swiftly,
};
use crossbeam_channel::Receiver;
use daytime::{
    Address, Bound, Client, ClientId, Clock, Error, Event, Networks, Reason, Server, ServerBuilder, Weekday,
    protocol::{GREETING, errors},
    rfc867, rfc868,
};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::SigSet,
};
use proptest::prelude::*;
use socket2::{Domain, SockAddr, Socket, Type};

/// [`MOMENT`] as RFC 867 shows it.
const LINE: &str = "Sunday, November 22, 2026 15:44:57-UTC\r\n";
/// [`MOMENT`] since 1900.
const SECONDS: [u8; 4] = (MOMENT as u32).wrapping_add(2_208_988_800).to_be_bytes();
/// How long a peer is given to close.
const LINGER: Duration = Duration::from_secs(1);

/// The settings of a server that always answers from [`MOMENT`] and listens nowhere so far.
fn settings() -> ServerBuilder {
    Server::builder().clock(Clock::fixed_unix(MOMENT)).timezone("UTC").workers(2)
}

/// A directory of a test's own.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("daytime-{}-{name}", process::id()));
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A path of just so many bytes; `None` where that of the directory alone is longer.
    fn long(&self, bytes: usize) -> Option<PathBuf> {
        let free = bytes.checked_sub(self.0.as_os_str().len() + 1).filter(|free| *free > 0)?;
        Some(self.at(&"x".repeat(free)))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As an embedder writes it.
fn text(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A client by std's own type; the one for TCP carries it from there on.
fn connect(path: &Path) -> Peer {
    carry(UnixStream::connect(path).unwrap())
}

fn carry(stream: UnixStream) -> Peer {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    Peer(TcpStream::from(OwnedFd::from(stream)))
}

/// Asserts that a server answers there.
#[track_caller]
fn serves(path: &Path) {
    connect(path).ask("day\n", format!("{GREETING}\nSunday\n"));
}

/// What a server that was killed leaves: a socket's file that nobody answers on.
fn stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn tcp(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        other => panic!("{other:?}"),
    }
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(PATIENCE).unwrap()
}

/// The next client that leaves: who, why, after how many commands.
fn farewell(events: &Receiver<Event>) -> (ClientId, Reason, u64) {
    loop {
        if let Event::Disconnected { client, reason, commands, .. } = next(events) {
            return (client, reason, commands);
        }
    }
}

/// Asserts that this fails with such an error of the system, which names the address.
#[track_caller]
fn fails_to_bind(address: &str, kind: ErrorKind) {
    match settings().listen(address).bind() {
        Err(Error::Io(error, doing)) => {
            assert_eq!((error.kind(), doing), (kind, format!("bind {address}")), "{error}");
        }
        other => panic!("{address}: {other:?}"),
    }
}

/// Asserts that this is refused in words that have that.
#[track_caller]
fn is_refused<T: std::fmt::Debug>(result: Result<T, Error>, named: &str) {
    match result {
        Err(Error::Invalid(why)) => assert!(why.contains(named), "{named:?} is not in {why:?}"),
        other => panic!("{named:?}: {other:?}"),
    }
}

/// Asserts that a connection is closed, in whatever way, and nothing came before that.
#[track_caller]
fn hears_nothing(mut peer: Peer) {
    match peer.0.read(&mut [0; 100]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Unix sockets: the protocol

#[test]
fn a_unix_socket_speaks_the_same_protocol() {
    let dir = Dir::new("protocol");
    let path = dir.at("socket");
    let server = settings().listen(text(&path)).start().unwrap();
    assert_eq!((server.addresses(), server.port()), (&[Address::Unix(path.clone())][..], 0));
    // The original's exchange, and lines.
    let mut peer = connect(&path);
    peer.expect(GREETING);
    for (command, reply) in [("day", "Sunday"), ("DATE", "26-11-22"), ("tImE", "15:44:57"), ("tiem", errors::INVALID)] {
        peer.ask(command, reply);
    }
    peer.ask("day\r\nhelp\n", format!("\r\nSunday\r\n{HELP}\n"));
    peer.send("quit\n");
    peer.expect_eof();
    // This crate's client.
    let mut client = Client::connect(text(&path)).unwrap();
    assert_eq!(client.greeting(), GREETING);
    assert_eq!(client.peer().unwrap(), Address::Unix(path.clone()));
    assert_eq!(client.peer().unwrap().to_string(), text(&path));
    assert_eq!(client.day().unwrap(), Weekday::Sunday);
    assert_eq!(client.datetime().unwrap().to_string(), "2026-11-22T15:44:57+00:00");
    let told = client.pipeline(["day", "tiem", "time"].into_iter().cycle().take(3000)).unwrap();
    for (n, told) in told.into_iter().enumerate() {
        match (n % 3, told) {
            (0, Ok(reply)) => assert_eq!(reply, "Sunday"),
            (1, Err(Error::Refused(line))) => assert_eq!(line, errors::INVALID),
            (2, Ok(reply)) => assert_eq!(reply, "15:44:57"),
            other => panic!("{other:?}"),
        }
    }
    client.quit().unwrap();
}

#[test]
fn clients_of_a_unix_socket_are_served_by_every_worker_and_told_of() {
    let dir = Dir::new("crowd");
    let path = dir.at("socket");
    let bound = settings().listen(text(&path)).bind().unwrap();
    let events = bound.events_with(1000, false);
    let server = bound.start().unwrap();
    let mut peers: Vec<Peer> = (0..8).map(|_| connect(&path)).collect();
    peers.iter_mut().for_each(|peer| peer.expect(GREETING));
    let infos = server.clients();
    assert_eq!(infos.iter().map(|info| u64::from(info.id)).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(infos.iter().all(|info| info.peer == Address::Unix(PathBuf::new()) && info.peer.to_string() == "unix:"));
    thread::scope(|scope| {
        for peer in &mut peers {
            scope.spawn(|| {
                peer.ask("\n", "\n");
                (0..200).for_each(|_| peer.ask("time\ndate\n", "15:44:57\n26-11-22\n"));
                peer.send("quit\n");
                peer.expect_eof();
            });
        }
    });
    drop(peers);
    let told: Vec<Event> = (0..16).map(|_| next(&events)).collect();
    let unix = Address::Unix(PathBuf::new());
    for client in (1..=8).map(ClientId::from) {
        let (peer, reason) = (unix.clone(), Reason::Quit);
        assert!(told.contains(&Event::Connected { client, peer: peer.clone() }));
        assert!(told.contains(&Event::Disconnected { client, peer, reason, commands: 401 }));
    }
}

#[test]
fn a_client_that_has_bound_a_name_is_told_by_it() {
    let dir = Dir::new("named-peers");
    let path = dir.at("socket");
    let server = settings().listen(text(&path)).start().unwrap();
    let events = server.events();
    let own = dir.at("own\nname");
    let hidden = format!("daytime-{}-peer", process::id());
    for (address, shown) in [
        (SockAddr::unix(&own).unwrap(), text(&own).replace('\n', "\\n")),
        (SockAddr::unix(format!("\0{hidden}")).unwrap(), format!("unix:@{hidden}")),
    ] {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&address).unwrap();
        socket.connect(&SockAddr::unix(&path).unwrap()).unwrap();
        let mut peer = Peer(socket.into());
        peer.expect(GREETING);
        let Event::Connected { peer: from, .. } = next(&events) else { panic!("who comes is told first") };
        assert_eq!(from.to_string(), shown);
        drop(peer);
        assert_eq!(farewell(&events).1, Reason::EndOfFile);
    }
}

#[test]
fn a_client_whose_name_has_no_room_for_its_end_is_served() {
    // A path of 108 bytes fills the system's structure, which then tells of 109; no safe interface binds one.
    const CLIENT: &str = "
import ctypes, socket, sys
client = socket.socket(socket.AF_UNIX)
own = socket.AF_UNIX.to_bytes(2, sys.byteorder) + sys.argv[2].encode()
assert len(own) == 110 and ctypes.CDLL(None).bind(client.fileno(), own, 110) == 0
client.settimeout(30)
client.connect(sys.argv[1])
client.sendall(b'day')
client.shutdown(socket.SHUT_WR)
while told := client.recv(1000):
    sys.stdout.buffer.write(told)
";
    let dir = Dir::new("longest");
    let (path, Some(own)) = (dir.at("socket"), dir.long(108)) else {
        return skip("the directory for temporary files has a long name");
    };
    let server = settings().listen(text(&path)).start().unwrap();
    let events = server.events();
    let Ok(client) = Command::new("python3").args(["-c", CLIENT]).args([&path, &own]).output() else {
        return skip("there is no python3");
    };
    assert!(client.status.success(), "{client:?}");
    same(&client.stdout, format!("{GREETING}Sunday").as_bytes());
    assert!(matches!(next(&events), Event::Connected { peer, .. } if peer == Address::Unix(own)));
    serves(&path);
}

#[test]
fn a_half_closed_unix_client_gets_every_reply() {
    let dir = Dir::new("half-close");
    let path = dir.at("socket");
    let _server = settings().listen(text(&path)).start().unwrap();
    let input = b"day\ntime\r\ndate\nhelp\n".repeat(20_000);
    let wanted = model(daytime::Framing::Auto, &input);
    let mut peer = connect(&path);
    let mut writer = peer.again();
    let come = thread::scope(|scope| {
        scope.spawn(|| {
            writer.send(&input);
            writer.finish();
        });
        peer.rest()
    });
    same(&come, &wanted);
}

#[test]
fn a_unix_client_that_takes_no_replies_is_disconnected() {
    let dir = Dir::new("slow");
    let path = dir.at("socket");
    let server = settings().listen(text(&path)).write_timeout(Duration::from_millis(200)).start().unwrap();
    let events = server.events();
    let mut deaf = connect(&path);
    let error = loop {
        if let Err(error) = deaf.0.write_all(&b"help\n".repeat(1000)) {
            break error.kind();
        }
    };
    assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert_eq!(farewell(&events).1, Reason::WriteTimeout);
}

#[test]
fn a_unix_client_that_vanishes_raises_no_signal() {
    if !alone("a_unix_client_that_vanishes_raises_no_signal") {
        return;
    }
    // SIGPIPE is ignored here, and blocked in the workers. A signal that is blocked waits to be delivered none the less.
    const SIGPIPE: u64 = 1 << 12;
    let pending = |thread: &str| u64::from_str_radix(&status(thread, "SigPnd"), 16).unwrap() & SIGPIPE == SIGPIPE;
    let seen = thread::spawn(move || {
        SigSet::all().thread_block().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        pending("thread-self")
    });
    assert!(seen.join().unwrap(), "a signal would be seen");
    let dir = Dir::new("vanish");
    let path = dir.at("socket");
    let bound = settings().listen(text(&path)).listen_rfc867(text(&dir.at("rfc867"))).bind().unwrap();
    let events = bound.events_with(1000, false);
    for _ in 0..10 {
        // Gone before the first byte is sent to it.
        connect(&path).send("day\n");
        drop(connect(&dir.at("rfc867")));
    }
    let server = bound.start().unwrap();
    for _ in 0..20 {
        assert_eq!(farewell(&events).1, Reason::Error);
    }
    serves(&path);
    let threads = server_threads();
    assert_eq!(threads.len(), 2);
    for (thread, name) in threads {
        assert!(!pending(&format!("self/task/{thread}")), "{name}");
    }
    drop(server);
}

#[test]
fn limits_by_address_are_none_of_unix_clients_and_the_others_are() {
    let dir = Dir::new("limits");
    let path = dir.at("socket");
    let server = settings()
        .listen(text(&path))
        .max_clients(3)
        .max_clients_per_source(1)
        .allow("192.0.2.0/24")
        .deny("0.0.0.0/0")
        .deny("::/0")
        .start()
        .unwrap();
    let events = server.events();
    let mut peers: Vec<Peer> = (0..3).map(|_| connect(&path)).collect();
    peers.iter_mut().for_each(|peer| peer.expect(GREETING));
    same(&connect(&path).rest(), format!("{}\n", errors::FULL).as_bytes());
    let refused =
        |event: &Event| *event == Event::Refused { peer: Address::Unix(PathBuf::new()), reason: Reason::Full };
    assert!(events.try_iter().any(|event| refused(&event)));
    assert_eq!(server.stats().refused, 1);
    drop(peers.pop());
    assert_eq!(farewell(&events).1, Reason::EndOfFile);
    connect(&path).expect(GREETING);
}

// ---------------------------------------------------------------------------------------------------------------------
// Unix sockets: their files

#[test]
fn a_file_has_its_mode_before_anybody_can_connect() {
    let dir = Dir::new("mode");
    let path = dir.at("socket");
    for mode in [0o600, 0o660, 0o606, 0o777, 0o200].into_iter().cycle().take(100) {
        thread::scope(|scope| {
            // Tries without a pause until it is let in.
            let first = scope.spawn(|| {
                let began = Instant::now();
                while UnixStream::connect(&path).is_err() {
                    assert!(began.elapsed() < PATIENCE);
                }
                fs::metadata(&path).unwrap().mode() & 0o777
            });
            let bound = settings().listen(text(&path)).unix_mode(mode).bind().unwrap();
            assert_eq!(first.join().unwrap(), mode, "{mode:o}");
            drop(bound);
        });
    }
    is_refused(settings().listen(text(&path)).unix_mode(0o1000).bind(), "a mode of 0o1000");
    assert!(!path.exists());
}

#[test]
fn a_file_that_nobody_answers_on_is_replaced() {
    let dir = Dir::new("stale");
    let path = dir.at("socket");
    stale(&path);
    // Whatever kind of socket it was.
    stale(&dir.at("listener"));
    drop(UnixDatagram::bind(dir.at("datagram")).unwrap());
    for path in [path, dir.at("listener"), dir.at("datagram")] {
        assert!(path.exists());
        let server = settings().listen(text(&path)).start().unwrap();
        serves(&path);
        drop(server);
        assert!(!path.exists());
    }
}

#[test]
fn a_file_that_somebody_answers_on_is_not() {
    let dir = Dir::new("live");
    let path = dir.at("socket");
    let server = settings().listen(text(&path)).start().unwrap();
    let before = inode(&path);
    fails_to_bind(&text(&path), ErrorKind::AddrInUse);
    assert_eq!(inode(&path), before);
    serves(&path);
    // Twice in one server.
    let own = dir.at("own");
    let error = settings().listen(text(&own)).listen(text(&own)).bind().unwrap_err();
    assert!(matches!(&error, Error::Io(error, _) if error.kind() == ErrorKind::AddrInUse), "{error:?}");
    assert!(!own.exists(), "what was bound is given back");
    // One that is only too busy.
    let busy = dir.at("busy");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&busy).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let queue: Vec<Socket> = (0..10)
        .map_while(|_| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&SockAddr::unix(&busy).unwrap()).ok().map(|()| socket)
        })
        .collect();
    assert!(queue.len() < 10, "its queue is full");
    fails_to_bind(&text(&busy), ErrorKind::AddrInUse);
    // A socket of another kind.
    let other = dir.at("datagram");
    let datagram = UnixDatagram::bind(&other).unwrap();
    fails_to_bind(&text(&other), ErrorKind::AddrInUse);
    UnixDatagram::unbound().unwrap().send_to(b"still there", &other).unwrap();
    let mut come = [0; 100];
    let n = datagram.recv(&mut come).unwrap();
    assert_eq!(&come[..n], b"still there");
    drop(server);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = Dir::new("files");
    fs::write(dir.at("file"), "precious").unwrap();
    fs::create_dir(dir.at("directory")).unwrap();
    symlink(dir.at("nowhere"), dir.at("dangling")).unwrap();
    stale(&dir.at("socket"));
    symlink(dir.at("socket"), dir.at("link")).unwrap();
    for name in ["file", "directory", "dangling", "link"] {
        let path = dir.at(name);
        let before = inode(&path);
        let error = settings().listen(text(&path)).bind().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot bind {}: the file there is no socket", text(&path)));
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        assert_eq!(inode(&path), before, "{name}");
    }
    assert_eq!(fs::read(dir.at("file")).unwrap(), b"precious");
    assert!(!dir.at("nowhere").exists() && dir.at("socket").exists());
}

#[test]
fn paths_that_no_socket_can_have() {
    let dir = Dir::new("paths");
    for path in ["unix:", "unix:@", "unix:a\0b", "unix:@a\0b"] {
        let shown = path.replace('\0', "\\u{0}");
        is_refused(path.parse::<Address>(), &shown);
        is_refused(settings().listen(path).check(), &shown);
        is_refused(settings().listen_rfc868(path).bind(), &shown);
        is_refused(Client::connect(path), &shown);
        is_refused(rfc867(path), &shown);
    }
    let abstract_name = |bytes: usize| format!("unix:@{:x<1$}", process::id(), bytes - 1);
    is_refused(settings().listen(abstract_name(108)).bind(), "at most 107 bytes");
    let server = settings().listen(abstract_name(107)).start().unwrap();
    assert_eq!(Client::connect(abstract_name(107)).unwrap().peer().unwrap(), server.addresses()[0]);
    fails_to_bind(&text(&dir.at("missing/socket")), ErrorKind::NotFound);
    fs::write(dir.at("file"), "").unwrap();
    fails_to_bind(&text(&dir.at("file/socket")), ErrorKind::NotADirectory);
    let (Some(long), Some(too_long)) = (dir.long(107), dir.long(108)) else {
        return skip("the directory for temporary files has a long name");
    };
    is_refused(settings().listen(text(&too_long)).bind(), "at most 107 bytes");
    assert!(!too_long.exists());
    let server = settings().listen(text(&long)).start().unwrap();
    serves(&long);
    assert_eq!(Client::connect(text(&long)).unwrap().peer().unwrap(), server.addresses()[0]);
    drop(server);
    assert!(!long.exists());
}

#[test]
fn a_directory_that_may_not_be_written() {
    let dir = Dir::new("unwritable");
    let (closed, path) = (dir.at("closed"), dir.at("closed/socket"));
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    if File::create(&path).is_ok() {
        // Permissions mean nothing to root, but for what the kernel makes up.
        return fails_to_bind("unix:/sys/daytime", ErrorKind::PermissionDenied);
    }
    fails_to_bind(&text(&path), ErrorKind::PermissionDenied);
}

#[test]
fn the_file_goes_when_nobody_listens_any_more() {
    let dir = Dir::new("removed");
    let path = dir.at("socket");
    let bind = || -> Bound {
        let bound = settings().listen(text(&path)).bind().unwrap();
        assert!(path.exists());
        bound
    };
    drop(bind());
    assert!(!path.exists(), "it was never started");
    drop(bind().start().unwrap());
    assert!(!path.exists(), "dropped");
    let server = bind().start().unwrap();
    server.stop();
    assert!(server.wait(Some(PATIENCE)) && !path.exists(), "stopped");
    let server = bind().start().unwrap();
    server.abandon();
    eventually("abandoned", || !path.exists());
    // While somebody is still served.
    let (entered, entries) = crossbeam_channel::unbounded();
    let (leave, left) = crossbeam_channel::unbounded::<()>();
    let mut bound = bind();
    let wait = move |_: &daytime::Request<'_>| {
        entered.send(())?;
        left.recv_timeout(PATIENCE)?;
        Ok("waited".into())
    };
    bound.command("wait", wait).unwrap();
    let server = bound.start().unwrap();
    let mut peer = connect(&path);
    peer.ask("wait\n", GREETING);
    entries.recv_timeout(PATIENCE).unwrap();
    server.drain(PATIENCE);
    eventually("drained", || !path.exists());
    leave.send(()).unwrap();
    peer.expect("\nwaited\n");
    peer.expect_eof();
    assert!(server.wait(Some(PATIENCE)));
    // One of several that cannot be bound.
    let error = settings().listen(text(&path)).listen("192.0.2.1:0").bind();
    assert!(matches!(error, Err(Error::Io(..))) && !path.exists());
    let file = File::open("/dev/null").unwrap();
    is_refused(settings().listen(text(&path)).listener(file).bind(), "descriptor");
    assert!(!path.exists());
}

#[test]
fn the_file_goes_when_the_server_cannot_start() {
    if !alone("the_file_goes_when_the_server_cannot_start") {
        return;
    }
    let dir = Dir::new("start");
    let path = dir.at("socket");
    let bound = settings().listen(text(&path)).bind().unwrap();
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let open = descriptors("self") as u64;
    setrlimit(Resource::RLIMIT_NOFILE, open - 1, hard).unwrap();
    let failed = bound.start();
    setrlimit(Resource::RLIMIT_NOFILE, before, hard).unwrap();
    assert!(matches!(failed, Err(Error::Io(..))), "{failed:?}");
    assert!(!path.exists());
}

#[test]
fn a_file_that_somebody_else_has_put_there_stays() {
    let dir = Dir::new("replaced");
    let path = dir.at("socket");
    let server = settings().listen(text(&path)).start().unwrap();
    fs::remove_file(&path).unwrap();
    let other = settings().listen(text(&path)).start().unwrap();
    drop(server);
    serves(&path);
    // Nor does it go where it only has another name.
    fs::rename(&path, dir.at("moved")).unwrap();
    fs::write(&path, "precious").unwrap();
    serves(&dir.at("moved"));
    drop(other);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert!(dir.at("moved").exists());
}

#[test]
fn a_server_follows_another_without_a_gap() {
    let dir = Dir::new("restarts");
    let path = dir.at("socket");
    let mut server = settings().workers(1).listen(text(&path)).start().unwrap();
    for _ in 0..200 {
        server = thread::scope(|scope| {
            scope.spawn(|| drop(server));
            let began = Instant::now();
            loop {
                match settings().workers(1).listen(text(&path)).start() {
                    Ok(next) => return next,
                    // The other one listens still.
                    Err(Error::Io(error, _)) if error.kind() == ErrorKind::AddrInUse => {
                        assert!(began.elapsed() < PATIENCE);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        serves(&path);
    }
}

#[test]
fn the_host_may_change_its_directory() {
    if !alone("the_host_may_change_its_directory") {
        return;
    }
    let dir = Dir::new("chdir");
    std::env::set_current_dir(&dir.0).unwrap();
    let server = settings().listen("unix:socket").listen("unix:./other").start().unwrap();
    assert_eq!(server.addresses(), ["unix:socket", "unix:./other"].map(Address::from));
    serves(Path::new("socket"));
    std::env::set_current_dir("/").unwrap();
    serves(&dir.at("socket"));
    drop(server);
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
}

#[test]
fn abstract_names_have_no_file() {
    let name = format!("daytime-{}-abstract", process::id());
    let address = format!("unix:@{name}");
    for _ in 0..2 {
        // A mode is that of files.
        let server = settings().listen(&*address).unix_mode(0o600).start().unwrap();
        assert_eq!(server.addresses(), [Address::Unix(format!("@{name}").into())]);
        let at = net::SocketAddr::from_abstract_name(&name).unwrap();
        carry(UnixStream::connect_addr(&at).unwrap()).ask("day\n", format!("{GREETING}\nSunday\n"));
        let mut client = Client::connect(&*address).unwrap();
        assert_eq!(client.peer().unwrap(), server.addresses()[0]);
        assert_eq!(client.request("time").unwrap(), "15:44:57");
        fails_to_bind(&address, ErrorKind::AddrInUse);
        assert_eq!(client.request("time").unwrap(), "15:44:57");
        assert!(!Path::new(&format!("@{name}")).exists() && !Path::new(&name).exists());
    }
    let error = Client::connect(&*address).unwrap_err();
    assert!(matches!(&error, Error::Io(error, _) if error.kind() == ErrorKind::ConnectionRefused), "{error:?}");
    assert!(error.to_string().starts_with(&format!("connect {address}: ")), "{error}");
}

// ---------------------------------------------------------------------------------------------------------------------
// Networks

#[test]
fn who_is_denied_is_closed_without_a_word() {
    let server =
        settings().listen("127.0.0.1:0").listen_rfc868("127.0.0.1:0").allow("127.0.0.2").deny("127.0.0.4/30").start();
    let server = server.unwrap();
    let events = server.events();
    let refused = |peer: SocketAddr, port: u16, says: &str| {
        let mut denied = Peer::connect_from(peer.ip().to_string().parse::<Ipv4Addr>().unwrap().octets(), port);
        // It may have been reset already.
        let _ = denied.0.write_all(says.as_bytes());
        let peer = denied.address().into();
        hears_nothing(denied);
        assert_eq!(next(&events), Event::Refused { peer, reason: Reason::Denied });
    };
    let rfc868 = tcp(&server.rfc868_addresses()[0]).port();
    for (n, (last, says)) in [(1, ""), (1, "day\n"), (5, ""), (3, "day")].into_iter().enumerate() {
        refused(([127, 0, 0, last], 0).into(), server.port(), says);
        refused(([127, 0, 0, last], 0).into(), rfc868, says);
        assert_eq!(server.stats().refused, 2 * n as u64 + 2);
    }
    assert_eq!((server.stats().accepted, server.stats().bytes_out), (0, 0));
    let mut allowed = Peer::connect_from([127, 0, 0, 2], server.port());
    allowed.ask("day\n", format!("{GREETING}\nSunday\n"));
    assert!(matches!(next(&events), Event::Connected { peer, .. } if peer == allowed.address().into()));
    same(&Peer::connect_from([127, 0, 0, 2], rfc868).rest(), &SECONDS);
    assert_eq!(Reason::Denied.to_string(), "its network is denied");
}

#[test]
fn networks_are_set_while_clients_are_served() {
    let server = crate::common::peer::server();
    let mut stays = Peer::greeted(server.port());
    let mut networks = Networks::new();
    networks.deny("127.0.0.0/8").unwrap();
    server.set_networks(networks.clone());
    hears_nothing(Peer::connect(server.port()));
    hears_nothing(Peer::connect_from([127, 0, 0, 2], server.port()));
    stays.ask("day", "Sunday");
    networks.allow("127.0.0.2").unwrap();
    server.handle().set_networks(networks);
    hears_nothing(Peer::connect(server.port()));
    Peer::connect_from([127, 0, 0, 2], server.port()).expect(GREETING);
    stays.ask("time", "15:44:57");
    server.set_networks(Networks::new());
    Peer::connect(server.port()).expect(GREETING);
    stays.ask("date", "26-11-22");
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_is_of_ipv4() {
    let server = match settings().listen("[::]:0").deny("127.0.0.0/8").start() {
        Ok(server) => server,
        Err(error) => return skip(format!("there is no IPv6: {error}")),
    };
    let events = server.events();
    let denied = Peer::connect(server.port());
    let peer = denied.address().into();
    hears_nothing(denied);
    assert_eq!(next(&events), Event::Refused { peer, reason: Reason::Denied });
    Peer::connect_to((Ipv6Addr::LOCALHOST, server.port()).into()).expect(GREETING);
    let mut networks = Networks::new();
    networks.allow("::/0").unwrap();
    server.set_networks(networks.clone());
    hears_nothing(Peer::connect(server.port()));
    Peer::connect_to((Ipv6Addr::LOCALHOST, server.port()).into()).expect(GREETING);
    networks.allow("::ffff:127.0.0.1").unwrap();
    server.set_networks(networks);
    Peer::connect(server.port()).expect(GREETING);
    hears_nothing(Peer::connect_from([127, 0, 0, 2], server.port()));
}

#[test]
fn a_text_that_is_no_network_is_refused_when_it_is_bound() {
    for text in ["localhost", "127.0.0.0/33", "::1/129", "127.0.0/8", "127.0.0.1:80", ""] {
        for builder in [settings().allow(text), settings().deny(text)] {
            // The first one is told, whatever comes later.
            let builder = builder.listen("127.0.0.1:0").allow("127.0.0.1").deny("nonsense");
            is_refused(builder.check(), &format!("{text:?} is no network"));
            is_refused(builder.clone().bind(), &format!("{text:?} is no network"));
            drop(builder.networks(Networks::new()).bind().unwrap());
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    ip: IpAddr,
    prefix: u8,
    denied: bool,
}

/// Addresses from a few small neighbourhoods, so that networks nest and addresses meet them.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let low = prop_oneof![0..4u32, 0..=255u32, any::<u32>()];
    let v4 = (prop_oneof![Just(0x0a00_0000), Just(0xc000_0200), Just(0)], low.clone())
        .prop_map(|(base, low): (u32, u32)| Ipv4Addr::from(base ^ low));
    let v6 = (prop_oneof![Just(0x2001_0db8 << 96), Just(0), Just(0xfe80 << 112)], 0..=128u32, low)
        .prop_map(|(base, shift, low): (u128, u32, u32)| base ^ u128::from(low).checked_shl(shift).unwrap_or(0));
    prop_oneof![
        v4.clone().prop_map(IpAddr::from),
        v4.prop_map(|ip| ip.to_ipv6_mapped().into()),
        v6.prop_map(|bits| Ipv6Addr::from(bits).into()),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    (addresses(), any::<prop::sample::Index>(), any::<bool>()).prop_map(|(ip, prefix, denied)| {
        let most = if ip.is_ipv4() { 33 } else { 129 };
        Entry { ip, prefix: prefix.index(most) as u8, denied }
    })
}

/// What a network is: IPv4 or not, its first bits, and how many they are. A mapped one is IPv4 if all of it is mapped.
fn bits(ip: IpAddr, prefix: u8) -> (bool, u128, u8) {
    match ip {
        IpAddr::V4(ip) => (true, u128::from(u32::from(ip)) << 96, prefix),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) if prefix >= 96 => bits(v4.into(), prefix - 96),
            _ => (false, v6.into(), prefix),
        },
    }
}

fn scan(entries: &[Entry], ip: IpAddr) -> bool {
    let (v4, address, _) = bits(ip, 128u8.min(if ip.is_ipv4() { 32 } else { 128 }));
    let mut decided = (None, !entries.iter().any(|entry| !entry.denied));
    for entry in entries {
        let (of_v4, network, prefix) = bits(entry.ip, entry.prefix);
        let has = of_v4 == v4 && (network ^ address).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0;
        if has && (decided.0 < Some(prefix) || decided.0 == Some(prefix) && entry.denied) {
            decided = (Some(prefix), !entry.denied);
        }
    }
    decided.1
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn networks_decide_as_a_scan_of_all_of_them(
        entries in prop::collection::vec(entries(), 0..24),
        others in prop::collection::vec(addresses(), 1..24),
    ) {
        let mut networks = Networks::new();
        for Entry { ip, prefix, denied } in &entries {
            let add = if *denied { Networks::deny } else { Networks::allow };
            add(&mut networks, &format!("{ip}/{prefix}")).unwrap();
        }
        for ip in others.into_iter().chain(entries.iter().map(|entry| entry.ip)) {
            prop_assert_eq!(networks.allows(ip), scan(&entries, ip), "{}", ip);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Several listeners

#[test]
fn listeners_of_every_kind_are_each_served_by_every_worker() {
    let dir = Dir::new("listeners");
    let server = settings()
        .listen("127.0.0.1:0")
        .listen("127.0.0.2:0")
        .listen(text(&dir.at("text")))
        .listen_rfc867("127.0.0.1:0")
        .listen_rfc867(text(&dir.at("rfc867")))
        .listen_rfc868("127.0.0.1:0")
        .listen_rfc868(text(&dir.at("rfc868")))
        .start()
        .unwrap();
    let events = server.events();
    let unix = |name: &str| Address::Unix(dir.at(name));
    assert_eq!(server.addresses()[2..], [unix("text")]);
    assert_eq!(server.rfc867_addresses()[1..], [unix("rfc867")]);
    assert_eq!(server.rfc868_addresses()[1..], [unix("rfc868")]);
    assert_eq!(server.port(), tcp(&server.addresses()[0]).port());
    let greeting = GREETING.as_bytes();
    let all = [
        (server.addresses(), greeting),
        (server.rfc867_addresses(), LINE.as_bytes()),
        (server.rfc868_addresses(), &SECONDS),
    ];
    // Clients are given to the workers in turn.
    for n in 0..2 {
        for (address, reply) in all.iter().flat_map(|(addresses, reply)| addresses.iter().map(move |a| (a, *reply))) {
            let mut peer = match address {
                Address::Unix(path) => connect(path),
                address => Peer::connect_to(tcp(address)),
            };
            peer.expect(reply);
            peer.finish();
            peer.expect_eof();
            let (client, reason, commands) = farewell(&events);
            let why = if reply == greeting { Reason::EndOfFile } else { Reason::Answered };
            assert_eq!((reason, commands), (why, 0), "{address}");
            assert!(n == 0 || u64::from(client) > 7);
        }
    }
    assert_eq!(server.stats().accepted, 14, "seven listeners: each of them met both workers");
}

#[test]
fn an_ipv6_listener_leaves_ipv4_to_a_listener_of_another_protocol() {
    let any = match settings().listen_rfc868("[::]:0").start() {
        Ok(server) => server,
        Err(error) => return skip(format!("there is no IPv6: {error}")),
    };
    let of_both = tcp(&any.rfc868_addresses()[0]).port();
    same(&Peer::connect(of_both).rest(), &SECONDS);
    same(&Peer::connect_to((Ipv6Addr::LOCALHOST, of_both).into()).rest(), &SECONDS);
    // The same port for both kinds; another test may just have taken it.
    let began = Instant::now();
    let (server, port) = loop {
        let port = UdpSocket::bind("127.0.0.8:0").unwrap().local_addr().unwrap().port();
        let both = settings().listen_rfc868(format!("[::]:{port}")).listen_rfc867(format!("127.0.0.8:{port}"));
        match both.start() {
            Ok(server) => break (server, port),
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    };
    same(&Peer::connect_to((Ipv6Addr::LOCALHOST, port).into()).rest(), &SECONDS);
    same(&Peer::connect_to(([127, 0, 0, 8], port).into()).rest(), LINE.as_bytes());
    let elsewhere = TcpStream::connect(("127.0.0.9", port)).map(drop);
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(server);
}

// ---------------------------------------------------------------------------------------------------------------------
// RFC 867 and RFC 868: the server

/// One that speaks both, on free ports.
fn rfc_settings() -> ServerBuilder {
    settings().listen_rfc867("127.0.0.1:0").listen_rfc868("127.0.0.1:0")
}

fn rfc_ports(server: &Server) -> [u16; 2] {
    [&server.rfc867_addresses()[0], &server.rfc868_addresses()[0]].map(|address| tcp(address).port())
}

#[test]
fn the_answers_of_rfc_867_and_rfc_868_are_exact() {
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
        same(&Peer::connect(of_867).rest(), line.as_bytes());
        same(&Peer::connect(of_868).rest(), &seconds);
        // And back.
        assert_eq!(rfc867(&server.rfc867_addresses()[0]).unwrap(), line.trim_end());
        let read = rfc868(&server.rfc868_addresses()[0]).unwrap();
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
        same(&Peer::connect(of_867).rest(), LINE.replace(":57", ":58").as_bytes());
        same(&Peer::connect(of_868).rest(), &(u32::from_be_bytes(SECONDS) + 1).to_be_bytes());
    }
}

#[test]
fn what_the_client_sent_does_not_destroy_the_answer() {
    let server = rfc_settings().start().unwrap();
    let events = server.events();
    for (port, answer) in rfc_ports(&server).into_iter().zip([LINE.as_bytes(), &SECONDS]) {
        for much in [1, 100_000] {
            // Who takes longer than the linger time may be reset.
            let come = swiftly(|| {
                let mut peer = Peer::connect(port);
                let mut come = Vec::new();
                let read = peer.0.write_all(&vec![b'x'; much]).and_then(|()| peer.0.read_to_end(&mut come));
                read.map(|_| come)
            });
            same(&come.unwrap(), answer);
            let (_, reason, commands) = farewell(&events);
            assert_eq!((reason, commands), (Reason::Answered, 0));
        }
    }
}

#[test]
fn events_tell_of_clients_that_have_their_answer() {
    let server = rfc_settings().start().unwrap();
    let events = server.events_with(100, true);
    for port in rfc_ports(&server) {
        let mut peer = Peer::connect(port);
        peer.rest();
        let address = Address::from(peer.address());
        let Event::Connected { client, peer: from } = next(&events) else { panic!("who comes is told first") };
        assert_eq!(from, address);
        assert!(server.clients().is_empty() && !server.disconnect(client), "it can ask for nothing");
        drop(peer);
        let reason = Reason::Answered;
        assert_eq!(next(&events), Event::Disconnected { client, peer: address, reason, commands: 0 });
    }
    let stats = server.stats();
    assert_eq!((stats.clients, stats.accepted, stats.commands), (0, 2, 0));
    assert_eq!(stats.bytes_out, (LINE.len() + SECONDS.len()) as u64);
    assert_eq!(Reason::Answered.to_string(), "it has its answer");
}

#[test]
fn a_client_that_does_not_close_is_gone_after_a_second() {
    let server = rfc_settings().start().unwrap();
    let events = server.events();
    let began = Instant::now();
    let mut silent = rfc_ports(&server).map(Peer::connect);
    silent.iter_mut().for_each(|peer| drop(peer.rest()));
    for _ in 0..2 {
        assert_eq!(farewell(&events).1, Reason::Answered);
    }
    assert!(began.elapsed() >= LINGER, "it was given time to close");
    // One that sends for ever is not given more.
    let mut loud = Peer::connect(rfc_ports(&server)[0]);
    while loud.0.write_all(&[b'x'; 10_000]).is_ok() {}
    assert_eq!(farewell(&events).1, Reason::Answered);
}

#[test]
fn a_full_server_tells_no_wrong_time() {
    for (limit, reason) in [
        (rfc_settings().max_clients(1), Reason::Full),
        (rfc_settings().max_clients(2).max_clients_per_source(1), Reason::PerSource),
    ] {
        let server = limit.listen("127.0.0.1:0").start().unwrap();
        let events = server.events();
        let sitting = Peer::greeted(server.port());
        next(&events);
        for port in rfc_ports(&server) {
            let peer = Peer::connect(port);
            let address = peer.address().into();
            hears_nothing(peer);
            assert_eq!(next(&events), Event::Refused { peer: address, reason });
        }
        drop(sitting);
        farewell(&events);
        // A seat is taken until the client has closed.
        for port in rfc_ports(&server) {
            assert!(!Peer::connect(port).rest().is_empty());
            assert_eq!(farewell(&events).1, Reason::Answered);
        }
        assert_eq!(server.stats().refused, 2);
    }
}

#[test]
fn a_server_that_ends_has_answered() {
    for end in [|server: &Server| server.stop(), |server: &Server| server.drain(PATIENCE)] {
        let server = rfc_settings().start().unwrap();
        let events = server.events();
        let mut peers = rfc_ports(&server).map(Peer::connect);
        peers[0].expect(LINE);
        peers[1].expect(SECONDS);
        end(&server);
        assert!(server.wait(Some(PATIENCE)));
        peers.iter_mut().for_each(Peer::expect_eof);
        for _ in 0..2 {
            assert_eq!(farewell(&events).1, Reason::Answered);
        }
    }
}

#[test]
fn the_rfcs_have_their_own_default_ports() {
    for (text, port) in [("127.0.0.1", 13), ("localhost", 37), ("::1", 13), ("[::1]", 37)] {
        assert!(Address::from(text).resolve(port).unwrap().iter().all(|address| address.port() == port), "{text}");
    }
    assert_eq!(Address::from("127.0.0.1:99").resolve(13).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 99))]);
    // Only who is privileged may bind them; who may not is told where that was tried.
    type Listen = fn(ServerBuilder, &'static str) -> ServerBuilder;
    let services: [(&'static str, u16, Listen); 2] =
        [("127.0.0.13", 13, ServerBuilder::listen_rfc867), ("127.0.0.37", 37, ServerBuilder::listen_rfc868)];
    for (ip, port, listen) in services {
        let server = listen(settings(), ip).start();
        // Readers have the same.
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

// ---------------------------------------------------------------------------------------------------------------------
// RFC 867 and RFC 868: the readers

/// A reader that waits for `fake` so long.
fn within(milliseconds: u64) -> daytime::ClientBuilder {
    Client::builder().timeout(Duration::from_millis(milliseconds))
}

/// A result in short, for tables.
fn told<T: ToString>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(Error::Protocol(bytes)) => format!("protocol: {}", bytes.escape_ascii()),
        Err(Error::Timeout) => "timeout".into(),
        Err(Error::Closed) => "closed".into(),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn the_reader_of_rfc_868_takes_four_bytes() {
    // What the server sends, a pause between two of them; then it closes.
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
        let fake = Fake::new(move |mut peer| peer.send_pieces(pieces));
        let read = within(30_000).rfc868(fake.address());
        assert_eq!(told(read.map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs())), expected);
        fake.finish();
    }
    // After four bytes it waits for nobody.
    let fake = Fake::new(|mut peer| {
        peer.send(SECONDS);
        peer.fall_silent();
    });
    let (read, took) = timed(|| within(30_000).rfc868(fake.address()));
    assert_eq!(read.unwrap(), UNIX_EPOCH + Duration::from_secs(MOMENT as u64));
    assert!(took < Duration::from_secs(20), "{took:?}");
    fake.finish();
    // Before 1970.
    let fake = Fake::new(|mut peer| peer.send([0x80, 0, 0, 0]));
    let read = within(30_000).rfc868(fake.address()).unwrap();
    assert_eq!(UNIX_EPOCH.duration_since(read).unwrap(), Duration::from_secs(61_505_152));
}

#[test]
fn the_reader_of_rfc_867_takes_text() {
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
    ] {
        let bytes = sent.to_owned();
        let fake = Fake::new(move |mut peer| peer.send(bytes));
        assert_eq!(told(within(30_000).rfc867(fake.address())), *expected);
        fake.finish();
    }
    let fake = Fake::new(|mut peer| peer.send([0xee, 0xad]));
    assert_eq!(told(within(30_000).rfc867(fake.address())), "protocol: \\xee\\xad");
    // In pieces, the end of a letter in the next one.
    let fake = Fake::new(|mut peer| peer.send_pieces([&b"M\n"[..], b"\xc3", b"\xa4"]));
    assert_eq!(told(within(30_000).rfc867(fake.address())), "M\nä");
    // One that does not end is not waited for until it does.
    let fake = Fake::new(|mut peer| while peer.pour(&[b'x'; 10_000]) {});
    assert!(matches!(within(30_000).rfc867(fake.address()), Err(Error::Protocol(bytes)) if bytes.len() > 4096));
    fake.finish();
}

#[test]
fn readers_wait_no_longer_than_they_were_told() {
    type Read = fn(daytime::ClientBuilder, SocketAddr) -> String;
    let readers: [Read; 2] = [
        |builder, address| told(builder.rfc867(address)),
        |builder, address| told(builder.rfc868(address).map(|time| format!("{time:?}"))),
    ];
    for read in readers {
        for said in ["", "x"] {
            let fake = Fake::new(move |mut peer| {
                peer.send(said);
                peer.fall_silent();
            });
            let (told, took) = timed(|| read(within(200), fake.address()));
            assert_eq!(told, "timeout", "after {said:?}");
            assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(20), "{took:?}");
            fake.finish();
        }
    }
    let fake = Fake::new(|peer| peer.fall_silent());
    let error = within(30_000).interrupt(|| true).rfc868(fake.address()).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    fake.finish();
}

#[test]
fn readers_and_clients_at_the_wrong_door_fail_at_once() {
    const WRAPPED: i64 = 2_085_978_497;
    let dir = Dir::new("doors");
    let server = rfc_settings()
        .clock(Clock::fixed_unix(WRAPPED))
        .listen(text(&dir.at("text")))
        .listen_rfc868(text(&dir.at("rfc868")))
        .start()
        .unwrap();
    let at = |name: &str| text(&dir.at(name));
    assert_eq!(rfc868(at("rfc868")).unwrap(), UNIX_EPOCH + Duration::from_secs(WRAPPED as u64));
    // The line of RFC 867 may be any server's greeting; what comes after it is none.
    let (asked, took) =
        timed(|| within(30_000).connect(&server.rfc867_addresses()[0]).and_then(|mut client| client.request("day")));
    assert_eq!(told(asked), "closed");
    assert!(took < Duration::from_secs(20), "{took:?}");
    let (asked, took) = timed(|| within(30_000).connect(&server.rfc868_addresses()[0]));
    assert_eq!(told(asked.map(|client| client.greeting().to_owned())), "protocol: \\x00\\x00\\x00\\x01");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(told(within(30_000).rfc867(&server.rfc868_addresses()[0])), "protocol: \\x00\\x00\\x00\\x01");
    let read = within(30_000).rfc868(&server.rfc867_addresses()[0]).map(|time| format!("{time:?}"));
    assert_eq!(told(read), "protocol: Thursday, February 7, 2036 06:28:17-UTC\\r\\n");
    let read = within(30_000).rfc868(at("text")).map(|time| format!("{time:?}"));
    assert_eq!(told(read), format!("protocol: {GREETING}"));
    // It waits for the end, and the other one for a command.
    assert_eq!(told(within(100).rfc867(at("text"))), "timeout");
}

// ---------------------------------------------------------------------------------------------------------------------
// Sockets that listen already

#[test]
fn sockets_that_listen_already_are_taken() {
    let dir = Dir::new("adopted");
    let path = dir.at("socket");
    let of_867 = UnixListener::bind(dir.at("rfc867")).unwrap();
    let [text, of_868] = [1, 2].map(|n| TcpListener::bind((Ipv4Addr::new(127, 0, 0, n), 0)).unwrap());
    let wanted = [&text, &of_868].map(|listener| Address::from(listener.local_addr().unwrap()));
    let server = settings()
        .listener(UnixListener::bind(&path).unwrap())
        .listener(text)
        .listener_rfc867(of_867)
        .listener_rfc868(of_868)
        .max_clients_per_source(1)
        .start()
        .unwrap();
    assert_eq!(server.addresses(), [Address::Unix(path.clone()), wanted[0].clone()], "and no other");
    assert_eq!(server.rfc867_addresses(), [Address::Unix(dir.at("rfc867"))]);
    assert_eq!(server.rfc868_addresses(), &wanted[1..]);
    assert_eq!(server.port(), tcp(&wanted[0]).port());
    serves(&path);
    same(&connect(&dir.at("rfc867")).rest(), LINE.as_bytes());
    same(&Peer::connect_to(tcp(&wanted[1])).rest(), &SECONDS);
    Peer::connect_from([127, 0, 0, 3], server.port()).expect(GREETING);
    drop(server);
    assert!(path.exists() && dir.at("rfc867").exists(), "somebody else's files");
    let refused = TcpStream::connect(tcp(&wanted[0])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "nothing is left of the descriptor");
}

#[test]
fn clients_that_had_queued_up_are_served() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut early: Vec<Peer> = (0..5).map(|_| Peer::connect(port)).collect();
    early.iter_mut().for_each(|peer| peer.send("day\n"));
    let _server = settings().listener(listener).start().unwrap();
    early.iter_mut().for_each(|peer| peer.expect(format!("{GREETING}\nSunday\n")));
}

#[test]
fn descriptors_of_anything_else_are_refused_by_number() {
    let dir = Dir::new("descriptors");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let packets = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    packets.bind(&SockAddr::unix(dir.at("packets")).unwrap()).unwrap();
    packets.listen(1).unwrap();
    let not_listening = "is no stream socket that listens";
    let table: [(OwnedFd, &str); 8] = [
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), not_listening),
        (TcpStream::connect(listener.local_addr().unwrap()).unwrap().into(), not_listening),
        (UnixDatagram::bind(dir.at("datagram")).unwrap().into(), not_listening),
        (UnixStream::pair().unwrap().0.into(), not_listening),
        (silent.into(), not_listening),
        (packets.into(), not_listening),
        (File::open("/dev/null").unwrap().into(), "is no socket"),
        (io::pipe().unwrap().0.into(), "is no socket"),
    ];
    type Give = fn(ServerBuilder, OwnedFd) -> ServerBuilder;
    let ways: [Give; 3] = [ServerBuilder::listener, ServerBuilder::listener_rfc867, ServerBuilder::listener_rfc868];
    for (n, (descriptor, why)) in table.into_iter().enumerate() {
        let number = descriptor.as_raw_fd();
        let error = ways[n % 3](settings(), descriptor).bind().unwrap_err();
        assert_eq!(error.to_string(), format!("the descriptor {number} {why}"));
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Zones

#[test]
fn zones_are_read_anew_by_every_worker() {
    // The database is where the environment says, which only a new process can be told.
    let dir = Dir::new("zones");
    if !alone_with("zones_are_read_anew_by_every_worker", &[("TZDIR", &dir.0)]) {
        return;
    }
    let zones = PathBuf::from(std::env::var_os("TZDIR").unwrap());
    fs::create_dir(zones.join("Here")).unwrap();
    let put = |zone: &str| {
        // As package managers do: a new file takes the place of the old one.
        let copied = fs::copy(Path::new("/usr/share/zoneinfo").join(zone), zones.join("new"));
        copied.and_then(|_| fs::rename(zones.join("new"), zones.join("Here/Now"))).is_ok()
    };
    if !put("Asia/Tokyo") {
        return skip("there are no files of time zones");
    }
    let settings = settings().listen("127.0.0.1:0").listen_rfc867("127.0.0.1:0");
    let server = settings.timezone("Here/Now").start().unwrap();
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::greeted(server.port())).collect();
    peers.iter_mut().for_each(|peer| peer.ask("\n", "\n"));
    let mut all_say = |replies: &str, line: &str| {
        peers.iter_mut().for_each(|peer| peer.ask("time\ntime here/now\n", replies));
        for _ in 0..2 {
            assert_eq!(rfc867(&server.rfc867_addresses()[0]).unwrap(), line);
        }
    };
    let tokyo = ("00:44:57\n00:44:57\n", "Monday, November 23, 2026 00:44:57-JST");
    all_say(tokyo.0, tokyo.1);
    assert!(put("America/New_York"));
    all_say(tokyo.0, tokyo.1);
    server.reload_zones();
    let new_york = ("10:44:57\n10:44:57\n", "Sunday, November 22, 2026 10:44:57-EST");
    all_say(new_york.0, new_york.1);
    // The server's own stays as it was where it is gone.
    fs::remove_file(zones.join("Here/Now")).unwrap();
    server.handle().reload_zones();
    all_say(&format!("10:44:57\n{}\n", errors::UNKNOWN_ZONE), new_york.1);
    assert!(put("Asia/Tokyo"));
    server.reload_zones();
    all_say(tokyo.0, tokyo.1);
}
