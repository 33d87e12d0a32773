//! `daytime-server` under systemd: sockets, notifications, unit files.

use std::{
    fs,
    io::ErrorKind,
    iter,
    net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener},
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::Signal;

use crate::common::{
    Folder, TIMEOUT, eventually, installed,
    process::{CLIENT, Program, SERVER, can_trace, local, port_in, replies_to, run},
    skip,
};

/// The server with these sockets as descriptors from 3 on, as a service manager starts it. They also stay open in the
/// test.
pub(crate) fn activated(sockets: &[(&str, &dyn AsFd)], process: &str, arguments: &str) -> Program {
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let line = format!("export LISTEN_PID={process}; exec '{SERVER}' {arguments}");
    let mappings = (3..).zip(sockets).map(|(child_fd, (_, socket))| {
        let parent_fd = socket.as_fd().try_clone_to_owned().unwrap();
        FdMapping { parent_fd, child_fd }
    });
    let mut command = Command::new("bash");
    command.args(["-c", &line]).env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    // Not a redirection of the shell: it keeps descriptors of its own from 10 on, and overwrites or closes others there.
    Program::start(command.fd_mappings(mappings.collect()).unwrap())
}

#[test]
fn sockets_of_a_service_manager_are_served_by_their_names() {
    let folder = Folder::new();
    let (tcp, v6) = (TcpListener::bind(local(0)).unwrap(), TcpListener::bind((Ipv6Addr::LOCALHOST, 0)));
    let [rfc867, rfc868, metrics, proxied] = [(); 4].map(|()| TcpListener::bind(local(0)).unwrap());
    let [rfc867_udp, rfc868_udp] = [(); 2].map(|()| UdpSocket::bind(local(0)).unwrap());
    let path = folder.name("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let mut sockets: Vec<(&str, &dyn AsFd)> = vec![
        ("daytime.socket", &tcp),
        ("rfc868", &rfc868),
        ("unknown", &unix),
        ("rfc867", &rfc867),
        ("metrics", &metrics),
        ("proxied", &proxied),
        ("rfc867-udp", &rfc867_udp),
        ("rfc868-udp", &rfc868_udp),
    ];
    match &v6 {
        Ok(v6) => sockets.push(("", v6)),
        Err(_) => skip("this machine does not have IPv6"),
    }
    let mut server = activated(&sockets, "$$", "--quiet --proxy 127.0.0.1");
    let port = tcp.local_addr().unwrap().port();
    assert_eq!(server.out.line(), format!("Server is listening on IP: 127.0.0.1 and Port: {port}"));
    assert_eq!(server.out.line(), format!("Server is listening on unix:{path}"));
    if let Ok(v6) = &v6 {
        let port = v6.local_addr().unwrap().port();
        assert_eq!(server.out.line(), format!("Server is listening on IP: ::1 and Port: {port}"));
    }
    // A server with passed sockets does not bind its default address.
    for (socket, service) in [(&rfc867, "RFC 867"), (&rfc868, "RFC 868"), (&metrics, "metrics")] {
        let address = socket.local_addr().unwrap();
        assert_eq!(server.out.line(), format!("Server is listening on {address} for {service}"));
    }
    let behind = proxied.local_addr().unwrap();
    assert_eq!(server.out.line(), format!("Server is listening on {behind} behind a proxy"));
    for (socket, rfc) in [(&rfc867_udp, 867), (&rfc868_udp, 868)] {
        let address = socket.local_addr().unwrap();
        assert_eq!(server.out.line(), format!("Server is listening on {address} for RFC {rfc} over UDP"));
    }
    daytime::rfc868_udp(rfc868_udp.local_addr().unwrap()).unwrap();
    assert!(daytime::rfc867_udp(rfc867_udp.local_addr().unwrap()).unwrap().contains(", 20"));
    let header = "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n";
    assert!(replies_to(behind.port(), &format!("{header}\nday\nquit\n")).ends_with("day\n"));
    assert!(replies_to(port, "\nday\nquit\n").ends_with("day\n"));
    let outcome = run(CLIENT, &["--connect", &format!("unix:{path}"), "timestamp"], "");
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
    daytime::rfc868(rfc868.local_addr().unwrap()).unwrap();
    assert!(daytime::rfc867(rfc867.local_addr().unwrap()).unwrap().contains(", 20"));
    // A child of the server does not inherit the sockets.
    if let Ok(info) = fs::read_to_string(format!("/proc/{}/fdinfo/3", server.id())) {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "close on exec: {flags}");
    }
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
    assert!(Path::new(&path).exists(), "the file is the service manager's");
}

#[test]
fn errors_name_the_sockets_that_cannot_be_served() {
    let folder = Folder::new();
    let listener = TcpListener::bind(local(0)).unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let udp = UdpSocket::bind(local(0)).unwrap();
    let datagrams = UnixDatagram::unbound().unwrap();
    let file = fs::File::create(folder.name("file")).unwrap();
    let no_service =
        "adopt a socket of LISTEN_FDS: fd 3 is not a valid stream socket of TCP or Unix, or a socket of UDP";
    let no_listener = "the file descriptor 3 is not a listening stream socket";
    for (name, socket, code, error) in [
        ("daytime", &udp as &dyn AsFd, 2, no_listener),
        ("daytime", &datagrams, 1, no_service),
        ("daytime", &connected, 2, no_listener),
        ("rfc868-udp", &listener, 2, "the file descriptor 3 is not a bound UDP socket"),
    ] {
        let mut server = activated(&[(name, socket)], "$$", "--quiet");
        server.finish().assert(code, "", &format!("daytime-server: {error}\n"));
    }
    let no_socket = "daytime-server: adopt a socket of LISTEN_FDS: fd 3 is not a socket\n";
    for third in [format!("3<{}", folder.name("file")), "3<&-".into()] {
        let line = format!("exec {third}; export LISTEN_PID=$$ LISTEN_FDS=1; exec '{SERVER}' --quiet");
        Program::start(Command::new("bash").args(["-c", &line])).finish().assert(1, "", no_socket);
    }
    drop(file);
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let listener = TcpListener::bind(local(0)).unwrap();
    let mut server = activated(&[("daytime", &listener)], "1", "--quiet --listen 127.0.0.1:0");
    let port = port_in(&server.out.line());
    assert_ne!(port, listener.local_addr().unwrap().port());
    assert!(replies_to(port, "\nquit\n").starts_with("Welcome"));
}

#[test]
fn systemd_socket_activate_starts_the_server() {
    if !installed(&["systemd-socket-activate"]) {
        return;
    }
    let folder = Folder::new();
    let path = folder.name("socket");
    let arguments = ["--listen", &path, "--fdname", "rfc867", SERVER, "--quiet"];
    let mut activate = Program::start(Command::new("systemd-socket-activate").args(arguments));
    activate.err.until("Listening on");
    // The first connection starts the server, which replaces the process of systemd-socket-activate.
    assert!(daytime::rfc867(format!("unix:{path}")).unwrap().contains(", 20"));
    assert_eq!(activate.out.line(), format!("Server is listening on unix:{path} for RFC 867"));
    assert!(daytime::rfc867(format!("unix:{path}")).unwrap().contains(", 20"));
    activate.signal(Signal::SIGTERM);
    assert_eq!(activate.finish().code, Some(0));
}

#[test]
fn the_server_notifies_systemd_when_it_serves_and_when_it_stops() {
    let folder = Folder::new();
    let abstract_name = format!("daytime-test-{}", std::process::id());
    let managers = [
        UnixDatagram::bind(folder.name("notify")),
        SocketAddr::from_abstract_name(&abstract_name).and_then(|address| UnixDatagram::bind_addr(&address)),
    ];
    let next_message = |manager: &UnixDatagram| {
        let mut message = [0; 100];
        let n = loop {
            match manager.recv(&mut message) {
                // signal(7): a read with a timeout is interrupted when the process stops and continues.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.unwrap(),
            }
        };
        String::from_utf8(message[..n].to_vec()).unwrap().trim_end().to_owned()
    };
    let serving = |socket: &str| {
        let mut command = Command::new(SERVER);
        command.args(["--quiet", "--listen=127.0.0.1:0"]).env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "100000");
        let (server, port) = Program::listening(&mut command);
        assert_ne!(replies_to(port, "\nquit\n"), "");
        server
    };
    for (manager, name) in managers.into_iter().zip([folder.name("notify"), format!("@{abstract_name}")]) {
        let manager = manager.unwrap();
        manager.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut server = serving(&name);
        // The server sends WATCHDOG as often as its manager expects it.
        assert_eq!([(); 3].map(|()| next_message(&manager)), ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
        server.signal(Signal::SIGTERM);
        let last = iter::repeat_with(|| next_message(&manager)).find(|message| message != "WATCHDOG=1");
        assert_eq!(last.as_deref(), Some("STOPPING=1"));
        server.finish().assert(0, "", "");
    }
    // A socket that is missing: the server prints an error and serves.
    for missing in [folder.name("missing"), "@daytime-missing".into()] {
        let mut server = serving(&missing);
        assert!(server.err.line().starts_with("daytime-server: cannot notify systemd: "));
    }
}

#[test]
fn the_watchdog_is_not_pinged_while_a_worker_does_not_respond() {
    if !can_trace() {
        return;
    }
    let folder = Folder::new();
    let manager = UnixDatagram::bind(folder.name("notify")).unwrap();
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen=127.0.0.1:0", "--workers=2"]);
    command.env("NOTIFY_SOCKET", folder.name("notify")).env("WATCHDOG_USEC", "100000");
    let (server, _) = Program::listening(&mut command);
    // Whether a ping arrives within ten times its interval.
    let is_pinged = || {
        manager.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        manager.recv(&mut [0; 100]).is_ok()
    };
    eventually("a ping", is_pinged);
    // Each further wait of one worker for its events takes a minute.
    let threads = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap().map(|thread| thread.unwrap().path());
    let is_worker = |thread: &PathBuf| fs::read_to_string(thread.join("comm")).unwrap() == "daytime-1\n";
    let worker = threads.into_iter().find(is_worker).unwrap();
    let delay = ["-e", "trace=epoll_wait", "-e", "inject=epoll_wait:delay_enter=60s", "-o", "/dev/null", "-p"];
    let mut strace = Program::start(Command::new("strace").args(delay).arg(worker.file_name().unwrap()));
    strace.err.until("attached");
    eventually("no more pings", || !is_pinged());
    strace.signal(Signal::SIGKILL);
    eventually("pings again", is_pinged);
}

#[test]
fn the_units_are_valid() {
    if !installed(&["systemd-analyze"]) {
        return;
    }
    let folder = Folder::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let service = fs::read_to_string(examples.join("daytime.service")).unwrap();
    // A bare name, so that the unit finds a package's /usr/bin and an administrator's /usr/local/bin. The tests' program
    // is in the target directory.
    let bare = "\nExecStart=daytime-server ";
    assert!(service.contains(bare), "{service}");
    let service = service.replace(bare, &format!("\nExecStart=\"{SERVER}\" "));
    let service = folder.write("daytime.service", &service);
    let socket = folder.write("daytime.socket", &fs::read_to_string(examples.join("daytime.socket")).unwrap());
    run("systemd-analyze", &["verify", "--man=no", &service, &socket], "").assert(0, "", "");
    // The configuration file is valid too.
    let config = examples.join("daytime.toml");
    let outcome = run(SERVER, &["--config", config.to_str().unwrap(), "--check"], "");
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
    assert!(outcome.out.contains("networks: 4 allowed, 1 denied, others denied\n"), "{outcome:?}");
}
