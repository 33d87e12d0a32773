//! Unix sockets: the protocol over them, and their files.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{MetadataExt, PermissionsExt, symlink},
            net::{self, UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use daytime::{
    Address, Bound, Client, ClientId, Error, Event, EventOptions, Reason, Service,
    chrono::Weekday,
    protocol::{GREETING, errors},
    rfc867,
};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::SigSet,
};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::common::{
    Folder, HELP, TIMEOUT, eventually, in_own_process, next_disconnect, next_event,
    peer::{Peer, assert_bytes},
    proc_fs::{descriptors, server_threads, status},
    skip, unbound_builder,
};
use crate::helpers::{assert_bind_fails, assert_invalid, assert_serves_unix, connect_unix, unix_address, unix_peer};
use crate::model::model;

/// Makes the file that a killed server leaves: a socket without a listener.
fn stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

// ---- The protocol

#[test]
fn a_unix_socket_speaks_the_same_protocol() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let server = unbound_builder().listen(unix_address(&path)).start().unwrap();
    assert_eq!((server.addresses(), server.port()), (&[Address::Unix(path.clone())][..], 0));
    // The exchange of the original, and lines.
    let mut peer = connect_unix(&path);
    peer.expect(GREETING);
    for (command, reply) in [("day", "Sunday"), ("DATE", "26-11-22"), ("tImE", "15:44:57"), ("tiem", errors::INVALID)] {
        peer.ask(command, reply);
    }
    peer.ask("day\r\nhelp\n", format!("\r\nSunday\r\n{HELP}\n"));
    peer.send("quit\n");
    peer.expect_eof();
    // This crate's client.
    let mut client = Client::connect(unix_address(&path)).unwrap();
    assert_eq!(client.greeting(), GREETING);
    assert_eq!(client.peer().unwrap(), Address::Unix(path.clone()));
    assert_eq!(client.peer().unwrap().to_string(), unix_address(&path));
    assert_eq!(client.day().unwrap(), Weekday::Sun);
    assert_eq!(client.datetime().unwrap().to_rfc3339(), "2026-11-22T15:44:57+00:00");
    let results = client.pipeline(["day", "tiem", "time"].into_iter().cycle().take(3000)).unwrap();
    for (n, result) in results.into_iter().enumerate() {
        match (n % 3, result) {
            (0, Ok(reply)) => assert_eq!(reply, "Sunday"),
            (1, Err(Error::Refused(line))) => assert_eq!(line, errors::INVALID),
            (2, Ok(reply)) => assert_eq!(reply, "15:44:57"),
            other => panic!("{other:?}"),
        }
    }
    client.quit().unwrap();
}

#[test]
fn every_worker_serves_and_reports_clients_of_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let bound = unbound_builder().listen(unix_address(&path)).bind().unwrap();
    let events = bound.events_with(EventOptions::new().capacity(1000));
    let server = bound.start().unwrap();
    let mut peers: Vec<Peer> = (0..8).map(|_| connect_unix(&path)).collect();
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
    let actual: Vec<Event> = (0..16).map(|_| next_event(&events)).collect();
    let unix = Address::Unix(PathBuf::new());
    for client in (1..=8).map(ClientId::from) {
        let (peer, reason) = (unix.clone(), Reason::Quit);
        assert!(actual.contains(&Event::Connected { client, peer: peer.clone() }));
        assert!(actual.contains(&Event::Disconnected { client, peer, reason, commands: 401 }));
    }
}

#[test]
fn a_client_that_has_bound_a_name_is_reported_by_that_name() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let server = unbound_builder().listen(unix_address(&path)).start().unwrap();
    let events = server.events();
    let name = folder.at("bound\nname");
    let abstract_name = format!("daytime-{}-peer", process::id());
    for (address, shown) in [
        (SockAddr::unix(&name).unwrap(), unix_address(&name).replace('\n', "\\n")),
        (SockAddr::unix(format!("\0{abstract_name}")).unwrap(), format!("unix:@{abstract_name}")),
    ] {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&address).unwrap();
        socket.connect(&SockAddr::unix(&path).unwrap()).unwrap();
        let mut peer = Peer(socket.into());
        peer.expect(GREETING);
        let Event::Connected { peer: from, .. } = next_event(&events) else {
            panic!("the first event is the connection")
        };
        assert_eq!(from.to_string(), shown);
        drop(peer);
        assert_eq!(next_disconnect(&events).1, Reason::Eof);
    }
}

#[test]
fn a_client_whose_name_fills_the_address_structure_is_served() {
    // A path of 108 bytes fills the system's structure, which then reports 109 bytes. Safe interfaces cannot bind it.
    const CLIENT: &str = "
import ctypes, socket, sys
client = socket.socket(socket.AF_UNIX)
name = socket.AF_UNIX.to_bytes(2, sys.byteorder) + sys.argv[2].encode()
assert len(name) == 110 and ctypes.CDLL(None).bind(client.fileno(), name, 110) == 0
client.settimeout(30)
client.connect(sys.argv[1])
client.sendall(b'day')
client.shutdown(socket.SHUT_WR)
while received := client.recv(1000):
    sys.stdout.buffer.write(received)
";
    let folder = Folder::new();
    let (path, Some(name)) = (folder.at("socket"), folder.path_of_length(108)) else {
        return skip("the directory for temporary files has a long name");
    };
    let server = unbound_builder().listen(unix_address(&path)).start().unwrap();
    let events = server.events();
    let Ok(client) = Command::new("python3").args(["-c", CLIENT]).args([&path, &name]).output() else {
        return skip("python3 is missing");
    };
    assert!(client.status.success(), "{client:?}");
    assert_bytes(&client.stdout, format!("{GREETING}Sunday").as_bytes());
    assert!(matches!(next_event(&events), Event::Connected { peer, .. } if peer == Address::Unix(name)));
    assert_serves_unix(&path);
}

#[test]
fn a_half_closed_unix_client_gets_every_reply() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let _server = unbound_builder().listen(unix_address(&path)).start().unwrap();
    let input = b"day\ntime\r\ndate\nhelp\n".repeat(20_000);
    let expected = model(daytime::Framing::Auto, &input);
    let mut peer = connect_unix(&path);
    let mut writer = peer.again();
    let received = thread::scope(|scope| {
        scope.spawn(|| {
            writer.send(&input);
            writer.finish();
        });
        peer.rest()
    });
    assert_bytes(&received, &expected);
}

#[test]
fn a_unix_client_that_does_not_read_is_disconnected() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let server =
        unbound_builder().listen(unix_address(&path)).write_timeout(Duration::from_millis(200)).start().unwrap();
    let events = server.events();
    let mut stalled = connect_unix(&path);
    let error = loop {
        if let Err(error) = stalled.0.write_all(&b"help\n".repeat(1000)) {
            break error.kind();
        }
    };
    assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert_eq!(next_disconnect(&events).1, Reason::WriteTimeout);
}

#[test]
fn a_unix_client_that_vanishes_raises_no_signal() {
    if !in_own_process() {
        return;
    }
    // This process ignores SIGPIPE, and the workers block it. A blocked signal is pending even if it is ignored.
    const SIGPIPE: u64 = 1 << 12;
    let pending = |thread: &str| u64::from_str_radix(&status(thread, "SigPnd"), 16).unwrap() & SIGPIPE == SIGPIPE;
    let is_visible = thread::spawn(move || {
        SigSet::all().thread_block().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        pending("thread-self")
    });
    assert!(is_visible.join().unwrap(), "a blocked signal is pending");
    let folder = Folder::new();
    let path = folder.at("socket");
    let bound = unbound_builder()
        .listen(unix_address(&path))
        .listen_as(Service::Rfc867, unix_address(&folder.at("rfc867")))
        .bind()
        .unwrap();
    let events = bound.events_with(EventOptions::new().capacity(1000));
    for _ in 0..10 {
        // The client leaves before the server sends its first byte.
        connect_unix(&path).send("day\n");
        drop(connect_unix(&folder.at("rfc867")));
    }
    let server = bound.start().unwrap();
    for _ in 0..20 {
        assert_eq!(next_disconnect(&events).1, Reason::Error);
    }
    assert_serves_unix(&path);
    let threads = server_threads();
    assert_eq!(threads.len(), 2);
    for (thread, name) in threads {
        assert!(!pending(&format!("self/task/{thread}")), "{name}");
    }
    drop(server);
}

#[test]
fn only_limits_without_addresses_apply_to_unix_clients() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let server = unbound_builder()
        .listen(unix_address(&path))
        .max_clients(3)
        .max_clients_per_source(1)
        .allow("192.0.2.0/24")
        .deny("0.0.0.0/0")
        .deny("::/0")
        .start()
        .unwrap();
    let events = server.events();
    let mut peers: Vec<Peer> = (0..3).map(|_| connect_unix(&path)).collect();
    peers.iter_mut().for_each(|peer| peer.expect(GREETING));
    assert_bytes(&connect_unix(&path).rest(), format!("{}\n", errors::FULL).as_bytes());
    let refused =
        |event: &Event| *event == Event::Refused { peer: Address::Unix(PathBuf::new()), reason: Reason::Full };
    assert!(events.try_iter().any(|event| refused(&event)));
    assert_eq!(server.stats().refused, 1);
    drop(peers.pop());
    assert_eq!(next_disconnect(&events).1, Reason::Eof);
    connect_unix(&path).expect(GREETING);
}

// ---- The files of Unix sockets

#[test]
fn a_file_has_its_mode_before_a_client_can_connect() {
    let folder = Folder::new();
    let path = folder.at("socket");
    for mode in [0o600, 0o660, 0o606, 0o777, 0o200].into_iter().cycle().take(100) {
        thread::scope(|scope| {
            // The thread connects in a loop, without a pause, until a connection succeeds.
            let first = scope.spawn(|| {
                let began = Instant::now();
                while UnixStream::connect(&path).is_err() {
                    assert!(began.elapsed() < TIMEOUT);
                }
                fs::metadata(&path).unwrap().mode() & 0o777
            });
            let bound = unbound_builder().listen(unix_address(&path)).unix_mode(mode).bind().unwrap();
            assert_eq!(first.join().unwrap(), mode, "{mode:o}");
            drop(bound);
        });
    }
    assert_invalid(
        unbound_builder().listen(unix_address(&path)).unix_mode(0o1000).bind(),
        "unix_mode must be at most 0o777, got 0o1000",
    );
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let folder = Folder::new();
    let path = folder.at("socket");
    stale(&path);
    // Stale files of other kinds of sockets.
    stale(&folder.at("listener"));
    drop(UnixDatagram::bind(folder.at("datagram")).unwrap());
    for path in [path, folder.at("listener"), folder.at("datagram")] {
        assert!(path.exists());
        let server = unbound_builder().listen(unix_address(&path)).start().unwrap();
        assert_serves_unix(&path);
        drop(server);
        assert!(!path.exists());
    }
}

#[test]
fn a_socket_file_in_use_is_not_replaced() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let server = unbound_builder().listen(unix_address(&path)).start().unwrap();
    let before = inode(&path);
    assert_bind_fails(&unix_address(&path), ErrorKind::AddrInUse);
    assert_eq!(inode(&path), before);
    assert_serves_unix(&path);
    // The same path twice in one server.
    let twice = folder.at("twice");
    let error = unbound_builder().listen(unix_address(&twice)).listen(unix_address(&twice)).bind().unwrap_err();
    assert!(matches!(&error, Error::Io(error, _) if error.kind() == ErrorKind::AddrInUse), "{error:?}");
    assert!(!twice.exists(), "the failure removes the file");
    // A socket in use whose queue is full.
    let busy = folder.at("busy");
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
    assert_bind_fails(&unix_address(&busy), ErrorKind::AddrInUse);
    // A socket of another kind.
    let other = folder.at("datagram");
    let datagram = UnixDatagram::bind(&other).unwrap();
    assert_bind_fails(&unix_address(&other), ErrorKind::AddrInUse);
    UnixDatagram::unbound().unwrap().send_to(b"still there", &other).unwrap();
    let mut received = [0; 100];
    let n = datagram.recv(&mut received).unwrap();
    assert_eq!(&received[..n], b"still there");
    drop(server);
}

#[test]
fn a_file_that_is_not_a_socket_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.at("file"), "precious").unwrap();
    fs::create_dir(folder.at("directory")).unwrap();
    symlink(folder.at("nowhere"), folder.at("dangling")).unwrap();
    stale(&folder.at("socket"));
    symlink(folder.at("socket"), folder.at("link")).unwrap();
    for name in ["file", "directory", "dangling", "link"] {
        let path = folder.at(name);
        let before = inode(&path);
        let error = unbound_builder().listen(unix_address(&path)).bind().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot bind {}: the file exists and is not a socket", unix_address(&path))
        );
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        assert_eq!(inode(&path), before, "{name}");
    }
    assert_eq!(fs::read(folder.at("file")).unwrap(), b"precious");
    assert!(!folder.at("nowhere").exists() && folder.at("socket").exists());
}

#[test]
fn paths_that_a_socket_cannot_have_are_rejected() {
    let folder = Folder::new();
    for path in ["unix:", "unix:@", "unix:a\0b", "unix:@a\0b"] {
        let shown = path.replace('\0', "\\u{0}");
        assert_invalid(path.parse::<Address>(), &shown);
        assert_invalid(unbound_builder().listen(path).check(), &shown);
        assert_invalid(unbound_builder().listen_as(Service::Rfc868, path).bind(), &shown);
        assert_invalid(Client::connect(path), &shown);
        assert_invalid(rfc867(path), &shown);
    }
    let abstract_name = |bytes: usize| format!("unix:@{:x<1$}", process::id(), bytes - 1);
    assert_invalid(unbound_builder().listen(abstract_name(108)).bind(), "at most 107 bytes");
    let server = unbound_builder().listen(abstract_name(107)).start().unwrap();
    assert_eq!(Client::connect(abstract_name(107)).unwrap().peer().unwrap(), server.addresses()[0]);
    assert_bind_fails(&unix_address(&folder.at("missing/socket")), ErrorKind::NotFound);
    fs::write(folder.at("file"), "").unwrap();
    assert_bind_fails(&unix_address(&folder.at("file/socket")), ErrorKind::NotADirectory);
    let (Some(long), Some(too_long)) = (folder.path_of_length(107), folder.path_of_length(108)) else {
        return skip("the directory for temporary files has a long name");
    };
    assert_invalid(unbound_builder().listen(unix_address(&too_long)).bind(), "at most 107 bytes");
    assert!(!too_long.exists());
    let server = unbound_builder().listen(unix_address(&long)).start().unwrap();
    assert_serves_unix(&long);
    assert_eq!(Client::connect(unix_address(&long)).unwrap().peer().unwrap(), server.addresses()[0]);
    drop(server);
    assert!(!long.exists());
}

#[test]
fn a_directory_without_write_permission_is_an_error() {
    let folder = Folder::new();
    let (closed, path) = (folder.at("closed"), folder.at("closed/socket"));
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    if File::create(&path).is_ok() {
        // Root ignores permissions, except in file systems of the kernel.
        return assert_bind_fails("unix:/sys/daytime", ErrorKind::PermissionDenied);
    }
    assert_bind_fails(&unix_address(&path), ErrorKind::PermissionDenied);
}

#[test]
fn the_file_is_removed_when_its_listener_closes() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let bind = || -> Bound {
        let bound = unbound_builder().listen(unix_address(&path)).bind().unwrap();
        assert!(path.exists());
        bound
    };
    drop(bind());
    assert!(!path.exists(), "the server was never started");
    drop(bind().start().unwrap());
    assert!(!path.exists(), "the server was dropped");
    let server = bind().start().unwrap();
    server.stop();
    assert!(server.wait(Some(TIMEOUT)) && !path.exists(), "the server was stopped");
    let server = bind().start().unwrap();
    server.detach();
    eventually("the file of a detached server is removed", || !path.exists());
    // The server removes the file while it still has a client.
    let (entered, entries) = crossbeam_channel::unbounded();
    let (release, released) = crossbeam_channel::unbounded::<()>();
    let mut bound = bind();
    let wait = move |_: &daytime::Request<'_>| -> daytime::HandlerResult {
        entered.send(())?;
        released.recv_timeout(TIMEOUT)?;
        Ok("waited".into())
    };
    bound.command("wait", wait).unwrap();
    let server = bound.start().unwrap();
    let mut peer = connect_unix(&path);
    peer.ask("wait\n", GREETING);
    entries.recv_timeout(TIMEOUT).unwrap();
    server.drain(TIMEOUT);
    eventually("the file of a draining server is removed", || !path.exists());
    release.send(()).unwrap();
    peer.expect("\nwaited\n");
    peer.expect_eof();
    assert!(server.wait(Some(TIMEOUT)));
    // Another address of the server cannot be bound.
    let error = unbound_builder().listen(unix_address(&path)).listen("192.0.2.1:0").bind();
    assert!(matches!(error, Err(Error::Io(..))) && !path.exists());
    let file = File::open("/dev/null").unwrap();
    assert_invalid(unbound_builder().listen(unix_address(&path)).listener(file).bind(), "descriptor");
    assert!(!path.exists());
}

#[test]
fn the_file_is_removed_when_the_server_cannot_start() {
    if !in_own_process() {
        return;
    }
    let folder = Folder::new();
    let path = folder.at("socket");
    let bound = unbound_builder().listen(unix_address(&path)).bind().unwrap();
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let open = descriptors("self") as u64;
    setrlimit(Resource::RLIMIT_NOFILE, open - 1, hard).unwrap();
    let failed = bound.start();
    setrlimit(Resource::RLIMIT_NOFILE, before, hard).unwrap();
    assert!(matches!(failed, Err(Error::Io(..))), "{failed:?}");
    assert!(!path.exists());
}

#[test]
fn a_file_of_another_owner_stays() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let server = unbound_builder().listen(unix_address(&path)).start().unwrap();
    fs::remove_file(&path).unwrap();
    let other = unbound_builder().listen(unix_address(&path)).start().unwrap();
    drop(server);
    assert_serves_unix(&path);
    // The file also stays if another process has renamed it.
    fs::rename(&path, folder.at("moved")).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_serves_unix(&folder.at("moved"));
    drop(other);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert!(folder.at("moved").exists());
}

#[test]
fn a_server_takes_the_path_of_the_one_before() {
    let folder = Folder::new();
    let path = folder.at("socket");
    let mut server = unbound_builder().workers(1).listen(unix_address(&path)).start().unwrap();
    for _ in 0..200 {
        server = thread::scope(|scope| {
            scope.spawn(|| drop(server));
            let began = Instant::now();
            loop {
                match unbound_builder().workers(1).listen(unix_address(&path)).start() {
                    Ok(next) => return next,
                    // The server before still listens.
                    Err(Error::Io(error, _)) if error.kind() == ErrorKind::AddrInUse => {
                        assert!(began.elapsed() < TIMEOUT);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        assert_serves_unix(&path);
    }
}

#[test]
fn the_host_may_change_its_directory() {
    if !in_own_process() {
        return;
    }
    let folder = Folder::new();
    std::env::set_current_dir(folder.path()).unwrap();
    let server = unbound_builder().listen("unix:socket").listen("unix:./other").start().unwrap();
    assert_eq!(server.addresses(), ["unix:socket", "unix:./other"].map(Address::from));
    assert_serves_unix(Path::new("socket"));
    std::env::set_current_dir("/").unwrap();
    assert_serves_unix(&folder.at("socket"));
    drop(server);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn abstract_names_have_no_file() {
    let name = format!("daytime-{}-abstract", process::id());
    let address = format!("unix:@{name}");
    for _ in 0..2 {
        // A mode applies to files only.
        let server = unbound_builder().listen(&*address).unix_mode(0o600).start().unwrap();
        assert_eq!(server.addresses(), [Address::Unix(format!("@{name}").into())]);
        let at = net::SocketAddr::from_abstract_name(&name).unwrap();
        unix_peer(UnixStream::connect_addr(&at).unwrap()).ask("day\n", format!("{GREETING}\nSunday\n"));
        let mut client = Client::connect(&*address).unwrap();
        assert_eq!(client.peer().unwrap(), server.addresses()[0]);
        assert_eq!(client.request("time").unwrap(), "15:44:57");
        assert_bind_fails(&address, ErrorKind::AddrInUse);
        assert_eq!(client.request("time").unwrap(), "15:44:57");
        assert!(!Path::new(&format!("@{name}")).exists() && !Path::new(&name).exists());
    }
    let error = Client::connect(&*address).unwrap_err();
    assert!(matches!(&error, Error::Io(error, _) if error.kind() == ErrorKind::ConnectionRefused), "{error:?}");
    assert!(error.to_string().starts_with(&format!("connect {address}: ")), "{error}");
}
