//! Signals to `daytime-server`: SIGINT, SIGTERM and SIGHUP.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use daytime::protocol::GREETING;
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::common::{
    Folder, TIMEOUT, eventually, installed,
    proc_fs::status,
    process::{Program, SERVER, daytime_server, fixed_server, inject, local, replies_to},
    skip, timed,
};

// ---- SIGINT and SIGTERM

/// A client that does not read, and has requested more replies than the system can buffer.
fn client_that_never_reads(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&std::net::SocketAddr::from(local(port)).into()).unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let commands = "help\n".repeat(10_000);
    loop {
        match (&socket).write(commands.as_bytes()) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return socket,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_signal_drains_the_server() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut server, port) = daytime_server(&["--quiet"]);
        let mut idle = TcpStream::connect(local(port)).unwrap();
        idle.set_read_timeout(Some(TIMEOUT)).unwrap();
        idle.write_all(b"\nday\n").unwrap();
        idle.read_exact(&mut [0; GREETING.len() + 1]).unwrap();
        server.signal(signal);
        let mut replies = String::new();
        idle.read_to_string(&mut replies).unwrap();
        assert!(replies.ends_with("day\n"), "{replies:?}");
        drop(idle);
        server.finish().assert(0, "", "");
        assert_eq!(TcpStream::connect(local(port)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn the_drain_ends_after_its_grace() {
    let (mut server, port) = daytime_server(&["--quiet", "--drain", "0.3", "--write-timeout", "60"]);
    let _client = client_that_never_reads(port);
    server.signal(Signal::SIGTERM);
    let (outcome, took) = timed(|| server.finish());
    outcome.assert(0, "", "");
    assert!((Duration::from_millis(300)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

/// A client that could connect gets its reply. A client that connects later is refused, and never reset.
#[test]
fn a_restart_under_load_resets_no_client() {
    let answered = AtomicUsize::new(0);
    for _ in 0..10 {
        let (server, port) = daytime_server(&["--quiet"]);
        let before = answered.load(Relaxed);
        let mut server = thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let mut stream = match TcpStream::connect(local(port)) {
                            Ok(stream) => stream,
                            Err(error) => return assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
                        };
                        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
                        stream.read_exact(&mut [0; GREETING.len()]).unwrap();
                        stream.write_all(b"timestamp\nquit\n").unwrap();
                        let mut reply = String::new();
                        stream.read_to_string(&mut reply).unwrap();
                        assert!(reply.trim().parse::<i64>().is_ok(), "{reply:?}");
                        answered.fetch_add(1, Relaxed);
                    }
                });
            }
            // If this fails, the panic drops the server, and the clients end too.
            eventually("clients are answered", || answered.load(Relaxed) > before + 500);
            server.signal(Signal::SIGTERM);
            server
        });
        server.finish().assert(0, "", "");
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for second in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut server, port) = daytime_server(&["--quiet", "--drain", "60", "--write-timeout", "60"]);
        let _client = client_that_never_reads(port);
        let mut idle = TcpStream::connect(local(port)).unwrap();
        idle.set_read_timeout(Some(TIMEOUT)).unwrap();
        idle.read_exact(&mut [0; GREETING.len()]).unwrap();
        server.signal(Signal::SIGTERM);
        // The server has handled the first signal when it closes the idle client.
        idle.read_to_end(&mut Vec::new()).unwrap();
        server.signal(second);
        let (outcome, took) = timed(|| server.finish());
        outcome.assert(1, "", "");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

/// An output that nobody reads and that takes no more bytes, and its other end.
fn full_output() -> (Stdio, UnixStream) {
    let (mut full, other) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.write(&[b'x'; 4096]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    (OwnedFd::from(full).into(), other)
}

#[test]
fn a_signal_is_heard_while_nobody_reads_the_output() {
    let folder = Folder::new();
    let file = folder.write("daytime.toml", "");
    // An invalid zone makes the server print a warning.
    for (zone, lines) in [("UTC", 0), ("No/Where", 1)] {
        let ((out, _other_out), (err, _other_err)) = (full_output(), full_output());
        let mut command = Command::new(SERVER);
        command.args(["--listen=127.0.0.1:0", "--config", &file]).env("TZ", zone);
        let (mut server, port) = Program::start_with(&mut command, out, err).and_port(&command);
        for _ in 0..10 {
            assert_ne!(replies_to(port, "\nquit\n"), "");
        }
        // The server complains about the file. SIGHUP comes before SIGTERM, since its number is lower.
        folder.write("daytime.toml", "deny");
        server.signal(Signal::SIGHUP);
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().0, Some(0), "with {lines} warnings");
        folder.write("daytime.toml", "");
    }
}

#[test]
fn a_signal_is_heard_while_systemd_does_not_listen() {
    let folder = Folder::new();
    let path = folder.at("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let filling = UnixDatagram::unbound().unwrap();
    filling.set_nonblocking(true).unwrap();
    while filling.send_to(b"FULL=1", &path).is_ok() {}
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen=127.0.0.1:0"]).env("NOTIFY_SOCKET", &path);
    let (mut server, port) = Program::listening(&mut command);
    assert_ne!(replies_to(port, "\nquit\n"), "");
    server.signal(Signal::SIGTERM);
    let (code, err) = server.wait();
    assert_eq!(
        (code, &*err),
        (Some(0), "daytime-server: cannot notify systemd: Resource temporarily unavailable (os error 11)")
    );
}

/// nohup(1) and the shell's `&` start programs that ignore signals. This program handles them nevertheless.
#[test]
fn ignored_and_blocked_signals_are_heard() {
    for wrapper in [
        &["sh", "-c", "trap '' HUP INT TERM; exec \"$@\"", "sh"][..],
        &["env", "--block-signal=HUP", "--block-signal=INT", "--block-signal=TERM"],
    ] {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let (mut server, port) = Program::listening(&mut fixed_server(wrapper, &["--quiet"]));
            assert_ne!(replies_to(port, "\nquit\n"), "");
            server.signal(Signal::SIGHUP);
            server.signal(signal);
            server.finish().assert(0, "", "");
        }
    }
}

/// A handler would need a pipe to the thread that waits, and the kernel may refuse to write to it.
#[test]
fn the_program_has_no_signal_handler() {
    let (server, _) = daytime_server(&["--quiet"]);
    let mask = |field| u64::from_str_radix(&status(&server.id(), field), 16).unwrap();
    let signals = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].map(|signal| 1 << (signal as i32 - 1));
    for signal in signals {
        assert_eq!((mask("SigCgt") & signal, mask("SigBlk") & signal), (0, signal), "{signal:x}");
    }
    drop(server);
    // Each thread's first write to a socket fails.
    let Some(wrapper) = inject(&["sendto:error=ENOBUFS:when=1"]) else { return };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut server, port) = Program::listening(&mut fixed_server(&wrapper, &["--quiet", "--workers=1"]));
        assert_eq!(replies_to(port, ""), "", "the greeting fails");
        server.signal(signal);
        assert_eq!(server.wait(), (Some(0), String::new()));
    }
}

// ---- SIGHUP

#[test]
fn sighup_reads_regular_files_only() {
    if !installed(&["mkfifo"]) {
        return;
    }
    let folder = Folder::new();
    let file = folder.write("daytime.toml", "deny = [\"127.0.0.0/8\"]\n");
    let arguments = ["--config", &file, "--quiet", "--listen", "127.0.0.1:0"];
    let (mut server, port) = Program::listening(Command::new(SERVER).args(arguments));
    for other in ["mkfifo", "ln -s /dev/zero"] {
        fs::remove_file(&file).unwrap();
        let line = format!("{other} {file}");
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
        server.signal(Signal::SIGHUP);
        let error = format!("the networks are unchanged: read {file}: it is not a regular file, and is read only once");
        assert_eq!(server.err.line(), format!("daytime-server: {error}"));
        assert_eq!(replies_or_nothing(port), "", "still denied");
    }
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

/// The replies to `quit` from 127.0.0.1 up to the close. Empty if the client is denied.
fn replies_or_nothing(port: u16) -> String {
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut replies = String::new();
    // A denied client may be reset, since the server does not read its input.
    let _ = stream.write_all(b"\nquit\n");
    match stream.read_to_string(&mut replies) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => replies,
    }
}

#[test]
fn sighup_reloads_networks() {
    let folder = Folder::new();
    let file = folder.write("daytime.toml", "deny = [\"127.0.0.0/8\"]\nquiet = false\n");
    let arguments = ["--config", &file, "--listen", "127.0.0.1:0"];
    let (mut server, port) = Program::listening(Command::new(SERVER).args(arguments));
    assert_eq!(replies_or_nothing(port), "");
    let line = server.out.line();
    assert!(
        line.starts_with("Connection from 127.0.0.1:") && line.ends_with("has been refused: its network is denied")
    );

    folder.write("daytime.toml", "deny = [\"192.0.2.0/24\"]\n");
    server.signal(Signal::SIGHUP);
    let deadline = Instant::now() + TIMEOUT;
    while replies_or_nothing(port).is_empty() {
        assert!(Instant::now() < deadline, "the networks do not change");
    }
    // After an error the networks are unchanged, and the server prints the error.
    folder.write("daytime.toml", "deny = [\"192.0.2.0/24\"]\nquiet = \n");
    server.signal(Signal::SIGHUP);
    let error = server.err.line();
    let expected = format!("daytime-server: the networks are unchanged: {file}:2: ");
    assert!(error.starts_with(&expected), "{error}");
    assert_ne!(replies_or_nothing(port), "");
    // SIGHUP does not end the server.
    server.signal(Signal::SIGTERM);
    assert_eq!(server.finish().code, Some(0));
}

#[test]
fn sighup_reloads_proxies() {
    let folder = Folder::new();
    let file = folder.write("daytime.toml", "listen-proxied = [\"127.0.0.1:0\"]\nproxy = [\"192.0.2.0/24\"]\n");
    let mut server = Program::start(Command::new(SERVER).args(["--config", &file]));
    let line = server.out.line();
    let address = line.strip_prefix("Server is listening on 127.0.0.1:").expect(&line);
    let port = address.strip_suffix(" behind a proxy").expect(&line).parse().unwrap();
    assert_eq!(replies_or_nothing(port), "");
    let line = server.out.line();
    assert!(line.ends_with("has been refused: its network is denied"), "{line}");
    folder.write("daytime.toml", "proxy = [\"127.0.0.0/8\"]\n");
    server.signal(Signal::SIGHUP);
    let refused = "has been refused: its PROXY header is missing or invalid";
    let deadline = Instant::now() + TIMEOUT;
    loop {
        // A client that speaks without a header is closed too, with another reason.
        assert_eq!(replies_or_nothing(port), "");
        let line = server.out.line();
        assert!(line.starts_with("Connection from 127.0.0.1:") && Instant::now() < deadline, "{line}");
        if line.ends_with(refused) {
            break;
        }
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.finish().code, Some(0));
}

#[test]
fn sighup_reloads_zones() {
    let source = Path::new("/usr/share/zoneinfo");
    if !source.join("Asia/Tokyo").exists() || !source.join("UTC").exists() {
        return skip("this machine does not have a zone database");
    }
    let folder = Folder::new();
    let zone = folder.name("localtime");
    fs::copy(source.join("UTC"), &zone).unwrap();
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen=127.0.0.1:0", "--workers=2"]).env("TZ", format!(":{zone}"));
    let (server, port) = Program::listening(&mut command);
    let offset = || {
        let replies = replies_to(port, "\ndatetime\nquit\n");
        replies.trim_end()[replies.trim_end().len() - "+00:00".len()..].to_owned()
    };
    assert_eq!(offset(), "+00:00");
    fs::copy(source.join("Asia/Tokyo"), folder.name("new")).unwrap();
    fs::rename(folder.name("new"), &zone).unwrap();
    assert_eq!(offset(), "+00:00", "the server reloads zones only at a signal");
    server.signal(Signal::SIGHUP);
    let deadline = Instant::now() + TIMEOUT;
    // Clients go to the workers in turn, so two clients show that both workers have the new zone.
    while offset() != "+09:00" || offset() != "+09:00" {
        assert!(Instant::now() < deadline, "the zone does not change");
    }
}
