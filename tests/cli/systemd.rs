//! `daytime-server` as its operator meets it: a file of settings, signals, systemd, and clients of RFC 867 and RFC 868
//! that others wrote.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    iter,
    net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use crate::common::fake_server::{PATIENCE, skip};
use crate::common::process::{CLIENT, Program, SERVER, converse, daytime_server, listening, local, port_in, run};
use nix::sys::signal::Signal;
use socket2::SockRef;

/// A folder that is gone with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("daytime-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a program that others wrote is installed here.
fn installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

// A file of settings.

#[test]
fn a_file_has_the_settings_of_flags_and_a_flag_counts_for_more() {
    let folder = Folder::new("config");
    let socket = folder.path("socket");
    let file = folder.write(
        "daytime.toml",
        &format!(
            r#"
            listen = ["127.0.0.1:0", "unix:{socket}"]
            listen-rfc867 = ["127.0.0.1:0"]
            unix-mode = "600"
            deny = ["192.0.2.0/24"]
            workers = 1
            framing = "line"
            timezone = "+05:30"
            date-format = "%Y"
            greeting = "Hi"
            idle-timeout = 60
            write-timeout = 2.5
            busy-poll = 10
            drain = 0.5
            quiet = true
            "#
        ),
    );
    let (mut server, port) = listening(Command::new(SERVER).args(["--config", &file, "--greeting=Ahoy"]));
    assert_eq!(server.out.line(), format!("Server is listening on unix:{socket}"));
    assert!(server.out.line().ends_with(" for RFC 867"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let said = converse(local(port), "datetime\ndate\nquit\n");
    let lines: Vec<&str> = said.lines().collect();
    let ["Ahoy", datetime, date] = lines[..] else { panic!("{said:?}") };
    assert!(datetime.ends_with("+05:30") && datetime.starts_with(date), "{said:?}");
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
    assert!(!Path::new(&socket).exists());

    // A list is replaced, and not made longer.
    let mut server = Program::start(Command::new(SERVER).args(["--config", &file, "--listen=127.0.0.1:0"]));
    server.out.line();
    assert!(server.out.line().ends_with(" for RFC 867"), "no Unix socket");
    server.signal(Signal::SIGTERM);
    server.finish();
}

#[test]
fn an_error_in_a_file_has_its_line() {
    let folder = Folder::new("errors");
    for (text, line, complaint) in [
        ("quiet = true\nlisen = []\n", 2, "unknown field `lisen`, expected one of `listen`,"),
        ("\n\nworkers = \"two\"\n", 3, "invalid type: string \"two\", expected usize"),
        ("workers = -1", 1, "invalid value: integer `-1`, expected usize"),
        ("listen = \"localhost\"\n", 1, "invalid type: string \"localhost\", expected a sequence"),
        ("greeting = \"a\"\nframing = \"words\"\n", 2, "the framing \"words\" is neither `auto` nor `line`"),
        ("idle-timeout = -1\n", 1, ""),
        ("idle-timeout = true\n", 1, "invalid type: boolean `true`, expected f64"),
        ("unix-mode = 0o660\n", 1, "invalid type: integer `432`, expected a string"),
        ("unix-mode = \"999\"\n", 1, "\"999\" is no mode, such as 660"),
        ("quiet = true\nquiet = false\n", 2, "duplicate key"),
        ("quiet = true\n[more]\n", 2, "unknown field `more`"),
        ("quiet: true\n", 1, ""),
        ("config = \"other\"\n", 1, "unknown field `config`"),
    ] {
        let file = folder.write("wrong.toml", text);
        let outcome = run(SERVER, &["--config", &file], "");
        let expected = format!("daytime-server: {file}:{line}: {complaint}");
        assert_eq!((outcome.code, &*outcome.out), (Some(2), ""), "{text:?}: {outcome:?}");
        assert!(outcome.err.starts_with(&expected) && outcome.err.lines().count() == 1, "{text:?}: {}", outcome.err);
    }
    // What its type allows and the server does not is named as in a flag.
    for (text, complaint) in [
        ("listen = [\"localhost:\"]", "the address \"localhost:\" has no port number after its colon"),
        ("allow = [\"10.0.0.0/33\"]", "\"10.0.0.0/33\" is no network, such as 192.0.2.0/24"),
        ("workers = 0", "0 workers: there can be 1 to 1,024"),
        ("timezone = \"Mars/Olympus\"", "the time zone \"Mars/Olympus\" is unknown"),
    ] {
        let file = folder.write("refused.toml", text);
        run(SERVER, &["--config", &file], "").assert(2, "", &format!("daytime-server: {complaint}\n"));
    }
    let missing = folder.path("missing.toml");
    let complaint = format!("daytime-server: read {missing}: No such file or directory (os error 2)\n");
    run(SERVER, &["--config", &missing], "").assert(1, "", &complaint);
}

#[test]
fn printed_settings_are_a_file_of_settings() {
    let folder = Folder::new("print");
    let arguments = [
        "--listen=localhost:9",
        "--listen=unix:@name",
        "--listen-rfc867=[::1]:13",
        "--listen-rfc868=127.0.0.1",
        "--unix-mode=640",
        "--allow=10.0.0.0/8",
        "--deny=10.1.0.0/16",
        "--workers=3",
        "--framing=line",
        "--timezone=Europe/Berlin",
        "--day-format=%a",
        "--greeting=\"quoted\" \\ größe",
        "--max-clients=7",
        "--max-clients-per-source=6",
        "--idle-timeout=1.5",
        "--first-command-timeout=2",
        "--write-timeout=0.25",
        "--busy-poll=50",
        "--drain=0",
        "--bind-timeout=1",
        "--quiet",
        "--print-config",
    ];
    let printed = run(SERVER, &arguments, "");
    assert_eq!((printed.code, &*printed.err), (Some(0), ""));
    assert!(printed.out.contains("idle-timeout = 1.5\n"), "{}", printed.out);
    let file = folder.write("daytime.toml", &printed.out);
    run(SERVER, &["--config", &file, "--print-config"], "").assert(0, &printed.out, "");
    // Of the defaults too, and a setting that is refused is refused here.
    let printed = run(SERVER, &["--print-config"], "");
    assert!(printed.out.contains("greeting = \"Welcome to the server\"\n"), "{}", printed.out);
    let file = folder.write("defaults.toml", &printed.out);
    run(SERVER, &["--config", &file, "--print-config"], "").assert(0, &printed.out, "");
    assert_eq!(run(SERVER, &["--print-config", "--workers=0"], "").code, Some(2));
}

#[test]
fn check_says_what_would_be_bound_and_binds_nothing() {
    let folder = Folder::new("check");
    let socket = folder.path("socket");
    let taken = TcpListener::bind(local(0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (listen, unix) = (format!("--listen={address}"), format!("--listen=unix:{socket}"));
    let arguments = [&*listen, &unix, "--listen-rfc867=127.0.0.1", "--listen-rfc868=[::1]", "--deny=10.0.0.0/8"];
    let limits = ["--workers=3", "--max-clients=100", "--max-clients-per-source=9", "--idle-timeout=2.5", "--check"];
    let expected = format!(
        "listen: {address}\nlisten: unix:{socket}\nlisten-rfc867: 127.0.0.1:13\nlisten-rfc868: [::1]:37\n\
         networks: 0 allowed, 1 denied, others allowed\nworkers: 3\nmax-clients: 100\nmax-clients-per-source: 9\n\
         idle-timeout: 2.5 s\nfirst-command-timeout: never\nwrite-timeout: 10 s\n"
    );
    run(SERVER, &[&arguments[..], &limits].concat(), "").assert(0, &expected, "");
    assert!(!Path::new(&socket).exists());
    let outcome = run(SERVER, &["--check"], "");
    assert!(outcome.out.starts_with("listen: ") && outcome.out.contains(":9990"), "{outcome:?}");
    assert!(
        outcome.out.contains("networks: all allowed\n") && outcome.out.contains("max-clients-per-source: no limit\n")
    );
    run(SERVER, &["--check", "--deny=x"], "").assert(
        2,
        "",
        "daytime-server: \"x\" is no network, such as 192.0.2.0/24\n",
    );
}

// Signals.

/// What is told to a client from 127.0.0.1 until the server closes; nothing where it is denied.
fn told(port: u16) -> String {
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = String::new();
    // Who is denied may be reset: there is something that nobody reads.
    let _ = stream.write_all(b"\nquit\n");
    match stream.read_to_string(&mut said) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => said,
    }
}

#[test]
fn sighup_reads_networks_anew() {
    let folder = Folder::new("reload");
    let file = folder.write("daytime.toml", "deny = [\"127.0.0.0/8\"]\nquiet = false\n");
    let arguments = ["--config", &file, "--listen", "127.0.0.1:0"];
    let (mut server, port) = listening(Command::new(SERVER).args(arguments));
    assert_eq!(told(port), "");
    let line = server.out.line();
    assert!(
        line.starts_with("Connection from 127.0.0.1:") && line.ends_with("has been refused: its network is denied")
    );

    folder.write("daytime.toml", "deny = [\"192.0.2.0/24\"]\n");
    server.signal(Signal::SIGHUP);
    let deadline = Instant::now() + PATIENCE;
    while told(port).is_empty() {
        assert!(Instant::now() < deadline, "the networks stay as they were");
    }
    // An error leaves them as they were, and is told.
    folder.write("daytime.toml", "deny = [\"192.0.2.0/24\"]\nquiet = \n");
    server.signal(Signal::SIGHUP);
    let complaint = server.err.line();
    let expected = format!("daytime-server: networks stay as they were: {file}:2: ");
    assert!(complaint.starts_with(&expected), "{complaint}");
    assert_ne!(told(port), "");
    // It is no signal to end.
    server.signal(Signal::SIGTERM);
    assert_eq!(server.finish().code, Some(0));
}

#[test]
fn sighup_reads_zones_anew() {
    let source = Path::new("/usr/share/zoneinfo");
    if !source.join("Asia/Tokyo").exists() || !source.join("UTC").exists() {
        return skip("there is no zone database");
    }
    let folder = Folder::new("zones");
    let zone = folder.path("localtime");
    fs::copy(source.join("UTC"), &zone).unwrap();
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen=127.0.0.1:0", "--workers=2"]).env("TZ", format!(":{zone}"));
    let (server, port) = listening(&mut command);
    let offset = || {
        let said = converse(local(port), "\ndatetime\nquit\n");
        said.trim_end()[said.trim_end().len() - "+00:00".len()..].to_owned()
    };
    assert_eq!(offset(), "+00:00");
    fs::copy(source.join("Asia/Tokyo"), folder.path("new")).unwrap();
    fs::rename(folder.path("new"), &zone).unwrap();
    assert_eq!(offset(), "+00:00", "not before it is told to");
    server.signal(Signal::SIGHUP);
    let deadline = Instant::now() + PATIENCE;
    // Clients go to the workers in turn: both have it.
    while offset() != "+09:00" || offset() != "+09:00" {
        assert!(Instant::now() < deadline, "the zone stays as it was");
    }
}

// Addresses.

#[test]
fn unix_sockets_are_served_and_asked() {
    let folder = Folder::new("unix");
    let path = format!("unix:{}", folder.path("socket"));
    let name = format!("unix:@daytime-test-{}", std::process::id());
    let mut server = Program::start(Command::new(SERVER).args(["--listen", &path, "--listen", &name]));
    for address in [&path, &name] {
        assert_eq!(server.out.line(), format!("Server is listening on {address}"));
    }
    for address in [&path, &name] {
        let outcome = run(CLIENT, &["--connect", address, "datetime UTC"], "");
        assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
        assert!(outcome.out.ends_with("+00:00\n"), "{outcome:?}");
        assert_eq!(server.out.line(), "Connection has been established with client unix:");
    }
    // A second server on a live one retries as on a taken port.
    let outcome = run(SERVER, &["--listen", &path, "--bind-timeout=0"], "");
    outcome.assert(1, "", &format!("daytime-server: bind {path}: Address already in use (os error 98)\n"));
    // What a killed one leaves is replaced.
    drop(server);
    let socket = folder.path("socket");
    assert!(Path::new(&socket).exists());
    let mut server = Program::start(Command::new(SERVER).args(["--quiet", "--listen", &path]));
    server.out.line();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"\nquit\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "Welcome to the server\n");
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
    assert!(!Path::new(&socket).exists());
    // What is no socket stays, and nothing is retried.
    let file = folder.write("file", "precious");
    let outcome = run(SERVER, &["--listen", &format!("unix:{file}")], "");
    outcome.assert(2, "", &format!("daytime-server: cannot bind unix:{file}: the file there is no socket\n"));
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    let long = format!("unix:/{}", "x".repeat(107));
    assert_eq!(run(SERVER, &["--listen", &long], "").code, Some(2));
}

/// A server with listeners for both older protocols, and their ports.
fn older() -> (Program, u16, u16) {
    let (mut server, _) = daytime_server(&["--quiet", "--listen-rfc867=127.0.0.1:0", "--listen-rfc868=127.0.0.1:0"]);
    let [rfc867, rfc868] = ["867", "868"].map(|rfc| {
        let line = server.out.line();
        let port = line.strip_prefix("Server is listening on 127.0.0.1:");
        let port = port.and_then(|line| line.strip_suffix(&format!(" for RFC {rfc}")));
        port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
    });
    (server, rfc867, rfc868)
}

#[test]
fn both_older_protocols_tell_the_time() {
    let (_server, rfc867, rfc868) = older();
    let before = SystemTime::now() - Duration::from_secs(1);
    let told = daytime::rfc868(format!("127.0.0.1:{rfc868}")).unwrap();
    assert!((before..=SystemTime::now()).contains(&told), "{told:?}");
    let text = daytime::rfc867(format!("127.0.0.1:{rfc867}")).unwrap();
    assert!(text.contains(", 20") && !text.ends_with('\n'), "{text:?}");
}

#[test]
fn rdate_reads_the_time_protocol() {
    if !installed("rdate") {
        return skip("rdate is not installed");
    }
    let (_server, _, rfc868) = older();
    let port = rfc868.to_string();
    let outcome = run("rdate", &["-p", "-o", &port, "127.0.0.1"], "");
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
    let year = outcome.out.split_whitespace().last().and_then(|year| year.parse::<i32>().ok());
    assert!(year.is_some_and(|year| year >= 2026), "{outcome:?}");
}

#[test]
fn perls_net_time_reads_both() {
    if !installed("perl") || run("perl", &["-MNet::Time", "-e", ""], "").code != Some(0) {
        return skip("perl's Net::Time is not installed");
    }
    let (_server, rfc867, rfc868) = older();
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let time = format!("use Net::Time 'inet_time'; print inet_time('127.0.0.1:{rfc868}', 'tcp', 20)");
    let told: u64 = run("perl", &["-e", &time], "").out.parse().unwrap();
    assert!((before..before + 60).contains(&told), "{told}");
    let daytime = format!("use Net::Time 'inet_daytime'; print inet_daytime('127.0.0.1:{rfc867}', 'tcp', 20)");
    let text = run("perl", &["-e", &daytime], "").out;
    assert!(text.contains(", 20") && text.ends_with("\r\n"), "{text:?}");
}

// systemd.

/// The server with these sockets as descriptors from 3 on, as a service manager starts it. The sockets stay open here.
fn activated(sockets: &[(&str, &dyn AsFd)], process: &str, arguments: &str) -> Program {
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let numbered = |first: usize| (first..).zip(sockets);
    // By way of higher numbers: one may have the number that another is to have.
    let up = numbered(50).map(|(to, (_, socket))| format!("{to}<&{}", socket.as_fd().as_raw_fd()));
    let down = numbered(3).map(|(to, _)| format!("{to}<&{} {}<&-", to + 47, to + 47));
    let [up, down] = [up.collect::<Vec<_>>(), down.collect()].map(|moves| moves.join(" "));
    let line = format!(
        "exec {up}; exec {down}; export LISTEN_PID={process} LISTEN_FDS={} LISTEN_FDNAMES={}; exec {SERVER} {arguments}",
        names.len(),
        names.join(":"),
    );
    for (_, socket) in sockets {
        SockRef::from(&socket.as_fd()).set_cloexec(false).unwrap();
    }
    Program::start(Command::new("bash").args(["-c", &line]))
}

#[test]
fn sockets_of_a_service_manager_are_served_by_their_names() {
    let folder = Folder::new("activation");
    let (tcp, v6) = (TcpListener::bind(local(0)).unwrap(), TcpListener::bind((Ipv6Addr::LOCALHOST, 0)));
    let [rfc867, rfc868] = [(); 2].map(|()| TcpListener::bind(local(0)).unwrap());
    let path = folder.path("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let mut sockets: Vec<(&str, &dyn AsFd)> =
        vec![("daytime.socket", &tcp), ("rfc868", &rfc868), ("unknown", &unix), ("rfc867", &rfc867)];
    match &v6 {
        Ok(v6) => sockets.push(("", v6)),
        Err(_) => skip("there is no IPv6 here"),
    }
    let mut server = activated(&sockets, "$$", "--quiet");
    let port = tcp.local_addr().unwrap().port();
    assert_eq!(server.out.line(), format!("Server is listening on IP: 127.0.0.1 and Port: {port}"));
    assert_eq!(server.out.line(), format!("Server is listening on unix:{path}"));
    if let Ok(v6) = &v6 {
        let port = v6.local_addr().unwrap().port();
        assert_eq!(server.out.line(), format!("Server is listening on IP: ::1 and Port: {port}"));
    }
    // And nowhere else: where there are such sockets, there is no default address.
    for (socket, rfc) in [(&rfc867, "867"), (&rfc868, "868")] {
        let address = socket.local_addr().unwrap();
        assert_eq!(server.out.line(), format!("Server is listening on {address} for RFC {rfc}"));
    }
    assert!(converse(local(port), "\nday\nquit\n").ends_with("day\n"));
    let outcome = run(CLIENT, &["--connect", &format!("unix:{path}"), "timestamp"], "");
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
    daytime::rfc868(rfc868.local_addr().unwrap()).unwrap();
    assert!(daytime::rfc867(rfc867.local_addr().unwrap()).unwrap().contains(", 20"));
    // No child of this program would have them.
    if let Ok(info) = fs::read_to_string(format!("/proc/{}/fdinfo/3", server.child.id())) {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "close on exec: {flags}");
    }
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
    assert!(Path::new(&path).exists(), "the file is the service manager's");
}

#[test]
fn sockets_that_are_none_to_serve_on_are_named() {
    let folder = Folder::new("wrong-sockets");
    let listener = TcpListener::bind(local(0)).unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let udp = UdpSocket::bind(local(0)).unwrap();
    let datagrams = UnixDatagram::unbound().unwrap();
    let file = fs::File::create(folder.path("file")).unwrap();
    let no_stream = "take over a socket from LISTEN_FDS: fd 3 is not a valid stream socket of TCP or Unix";
    for (socket, code, complaint) in [
        (&udp as &dyn AsFd, 1, no_stream),
        (&datagrams, 1, no_stream),
        (&connected, 2, "the descriptor 3 is no stream socket that listens"),
    ] {
        let mut server = activated(&[("daytime", socket)], "$$", "--quiet");
        server.finish().assert(code, "", &format!("daytime-server: {complaint}\n"));
    }
    let no_socket = "daytime-server: take over a socket from LISTEN_FDS: fd 3 is not a socket\n";
    for third in [format!("3<{}", folder.path("file")), "3<&-".into()] {
        let line = format!("exec {third}; export LISTEN_PID=$$ LISTEN_FDS=1; exec {SERVER} --quiet");
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
    assert!(converse(local(port), "\nquit\n").starts_with("Welcome"));
}

#[test]
fn systemd_socket_activate_starts_it() {
    if !installed("systemd-socket-activate") {
        return skip("systemd-socket-activate is not installed");
    }
    let folder = Folder::new("activate");
    let path = folder.path("socket");
    let arguments = ["--listen", &path, "--fdname", "rfc867", SERVER, "--quiet"];
    let mut activate = Program::start(Command::new("systemd-socket-activate").args(arguments));
    activate.err.until("Listening on");
    // The first to connect starts the server, which is its own process from then on.
    assert!(daytime::rfc867(format!("unix:{path}")).unwrap().contains(", 20"));
    assert_eq!(activate.out.line(), format!("Server is listening on unix:{path} for RFC 867"));
    assert!(daytime::rfc867(format!("unix:{path}")).unwrap().contains(", 20"));
    activate.signal(Signal::SIGTERM);
    assert_eq!(activate.finish().code, Some(0));
}

#[test]
fn systemd_is_told_when_it_serves_and_when_it_stops() {
    let folder = Folder::new("notify");
    let manager = UnixDatagram::bind(folder.path("notify")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut message = [0; 100];
        let n = loop {
            match manager.recv(&mut message) {
                // signal(7): of a socket with a time-out, where this process was stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.unwrap(),
            }
        };
        String::from_utf8(message[..n].to_vec()).unwrap().trim_end().to_owned()
    };
    let serving = |place: &str| {
        let mut command = Command::new(SERVER);
        command.args(["--quiet", "--listen=127.0.0.1:0"]).env("NOTIFY_SOCKET", place).env("WATCHDOG_USEC", "100000");
        let (server, port) = listening(&mut command);
        assert_ne!(converse(local(port), "\nquit\n"), "");
        server
    };
    let mut server = serving(&folder.path("notify"));
    // As often as its manager wants to hear it.
    assert_eq!([(); 3].map(|()| told()), ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    server.signal(Signal::SIGTERM);
    let last = iter::repeat_with(told).find(|word| word != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    server.finish().assert(0, "", "");
    // Nobody there, or where the crate does not look: that is told, and nothing else is wrong.
    for nobody in [folder.path("nobody"), "@daytime-nobody".into()] {
        let mut server = serving(&nobody);
        assert!(server.err.line().starts_with("daytime-server: cannot notify systemd: "));
    }
}

#[test]
fn the_units_are_valid() {
    if !installed("systemd-analyze") {
        return skip("systemd-analyze is not installed");
    }
    let folder = Folder::new("units");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let service = fs::read_to_string(examples.join("daytime.service")).unwrap();
    // The program is where it was built.
    let service = service.replace("/usr/local/bin/daytime-server", SERVER);
    let service = folder.write("daytime.service", &service);
    let socket = folder.write("daytime.socket", &fs::read_to_string(examples.join("daytime.socket")).unwrap());
    run("systemd-analyze", &["verify", "--man=no", &service, &socket], "").assert(0, "", "");
    // And so are their settings.
    let config = examples.join("daytime.toml");
    let outcome = run(SERVER, &["--config", config.to_str().unwrap(), "--check"], "");
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
    assert!(outcome.out.contains("networks: 4 allowed, 1 denied, others denied\n"), "{outcome:?}");
}

#[test]
fn a_server_that_ends_by_itself_says_so() {
    if !installed("strace") || !traces() {
        return skip("strace is not installed, or may not trace here");
    }
    let inject = ["-f", "-o", "/dev/null", "-e", "inject=epoll_wait,epoll_pwait:error=EINVAL"];
    let mut server =
        Program::start(Command::new("strace").args(inject).args([SERVER, "--quiet", "--listen=127.0.0.1:0"]));
    let outcome = server.finish();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("daytime-server: the server has ended by itself"), "{outcome:?}");
}

fn traces() -> bool {
    run("strace", &["-o", "/dev/null", "true"], "").code == Some(0)
}
