//! `daytime-server`: its addresses, its output, its settings.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use daytime::protocol::{GREETING, errors};
use nix::sys::signal::Signal;

use crate::common::{
    Folder, TIMEOUT, installed,
    process::{CLIENT, Program, SERVER, can_trace, daytime_server, local, port_in, replies_to, run},
    skip, timed,
};

#[test]
fn the_server_prints_its_addresses_and_its_clients() {
    let (mut server, port) = daytime_server(&[]);
    let clients = [(); 3].map(|()| TcpStream::connect(local(port)).unwrap());
    let mut lines = [(); 3].map(|()| server.out.line());
    let mut expected = clients.each_ref().map(|client| {
        let port = client.local_addr().unwrap().port();
        format!("Connection has been established with client IP 127.0.0.1 and port is {port}")
    });
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
    drop(clients);
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

#[test]
fn a_quiet_server_does_not_print_its_clients() {
    let (mut server, port) = daytime_server(&["--quiet"]);
    assert!(replies_to(port, "\nday\nquit\n").starts_with(GREETING));
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

#[test]
fn the_server_listens_at_every_address() {
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--listen=127.0.0.1:0"]);
    let (mut server, port) = Program::listening(&mut command);
    let ports = [port, port_in(&server.out.line()), port_in(&server.out.line())];
    assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
    for port in ports {
        assert!(replies_to(port, "\nquit\n").starts_with(GREETING));
    }
}

#[test]
fn the_server_listens_at_every_address_of_a_name() {
    let mut server = Program::start(Command::new(SERVER).args(["--quiet", "--listen", "localhost:0"]));
    let first = server.out.line();
    let (ip, port) = first.rsplit_once(" and Port: ").unwrap();
    assert!(["Server is listening on IP: 127.0.0.1", "Server is listening on IP: ::1"].contains(&ip), "{first:?}");
    let port = port.parse().unwrap();
    let mut stream = TcpStream::connect(("localhost", port)).unwrap();
    stream.write_all(b"\nquit\n").unwrap();
    let mut output = String::new();
    stream.read_to_string(&mut output).unwrap();
    assert_eq!(output, format!("{GREETING}\n"));
    server.signal(Signal::SIGINT);
    let rest = server.finish();
    for line in rest.out.lines() {
        assert_eq!(line.rsplit_once(" and Port: ").unwrap().1, port.to_string(), "{line:?}");
    }
    assert_eq!((rest.code, &*rest.err), (Some(0), ""));
}

#[test]
fn a_port_in_use_is_retried_and_then_reported() {
    let taken = TcpListener::bind(local(0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = format!("bind {address}: Address already in use (os error 98)");
    let retry = format!("Server socket binding threw an error: {error}\nRetrying ....\n");
    for (seconds, retries) in [("0", 0), ("0.5", 1), ("1", 1)] {
        let arguments = ["--listen", &address, "--bind-timeout", seconds];
        let (outcome, took) = timed(|| run(SERVER, &arguments, ""));
        outcome.assert(1, "", &format!("{}daytime-server: {error}\n", retry.repeat(retries)));
        let bound = Duration::from_secs_f64(seconds.parse().unwrap());
        assert!((bound..bound + Duration::from_secs(3)).contains(&took), "{took:?}");
    }
}

#[test]
fn a_port_that_becomes_free_is_served() {
    let taken = TcpListener::bind(local(0)).unwrap();
    let address = taken.local_addr().unwrap();
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen", &address.to_string(), "--bind-timeout", "30"]);
    let mut server = Program::start(&mut command);
    server.err.until("Retrying ....\n");
    drop(taken);
    assert_eq!(port_in(&server.out.line()), address.port());
    assert!(replies_to(address.port(), "\nquit\n").starts_with(GREETING));
}

#[test]
fn every_setting_has_its_effect() {
    let (_server, port) = daytime_server(&[
        "--quiet",
        "--workers=3",
        "--greeting=Hi there",
        "--framing=line",
        "--timezone=+05:30",
        "--day-format=%%%A%%",
        "--date-format=%d.%m.%Y",
        "--time-format=at %H h",
        "--max-clients=9",
        "--max-clients-per-source=8",
        "--idle-timeout=60",
        "--first-command-timeout=60",
        "--write-timeout=1.5",
        "--busy-poll=50",
        "--drain=0.5",
        "--bind-timeout=0",
    ]);
    // With lines, the greeting ends before the client sends its first byte.
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut greeting = [0; 9];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"Hi there\n");
    let replies = replies_to(port, "day\ndate\ntime\ndatetime\nquit\n");
    let lines: Vec<&str> = replies.lines().collect();
    let ["Hi there", day, date, time, datetime] = lines[..] else { panic!("{replies:?}") };
    assert!(day.starts_with('%') && day.ends_with("day%"), "{day:?}");
    // The server reads all commands at once, so all replies have the same moment.
    let (year, month, day, hour) = (&datetime[..4], &datetime[5..7], &datetime[8..10], &datetime[11..13]);
    assert_eq!((date, time), (&*format!("{day}.{month}.{year}"), &*format!("at {hour} h")));
    assert!(datetime.ends_with("+05:30"), "{datetime:?}");
}

#[test]
fn limits_reject_clients() {
    for (limit, line) in [("--max-clients=1", errors::FULL), ("--max-clients-per-source=1", errors::PER_SOURCE)] {
        let (_server, port) = daytime_server(&["--quiet", limit]);
        let mut first = TcpStream::connect(local(port)).unwrap();
        first.read_exact(&mut [0; GREETING.len()]).unwrap();
        let outcome = run(CLIENT, &["--connect", &format!("127.0.0.1:{port}"), "day"], "");
        outcome.assert(1, "", &format!("daytime-client: {line}\n"));
    }
    for limit in ["--idle-timeout=0.2", "--first-command-timeout=0.2"] {
        let (_server, port) = daytime_server(&["--quiet", limit]);
        assert_eq!(replies_to(port, ""), GREETING, "{limit}");
    }
}

#[test]
fn the_environment_names_the_zone() {
    for (zone, offset) in [("Asia/Tokyo", "+09:00\n"), (":Asia/Kolkata", "+05:30\n"), ("UTC", "+00:00\n")] {
        let mut command = Command::new(SERVER);
        command.args(["--quiet", "--listen", "127.0.0.1:0"]).env("TZ", zone);
        let (_server, port) = Program::listening(&mut command);
        let replies = replies_to(port, "\ndatetime\nquit\n");
        assert!(replies.ends_with(offset), "{zone}: {replies:?}");
    }
    // The argument overrides the environment. An unknown zone gives a warning and UTC.
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen", "127.0.0.1:0", "--timezone", "-03:30"]).env("TZ", "Asia/Tokyo");
    let (_server, port) = Program::listening(&mut command);
    assert!(replies_to(port, "\ndatetime\nquit\n").ends_with("-03:30\n"));
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen", "127.0.0.1:0"]).env("TZ", "Mars/Olympus");
    let (mut server, port) = Program::listening(&mut command);
    assert_eq!(server.err.line(), "daytime-server: the time zone is UTC: TZ=\"Mars/Olympus\" is not a time zone");
    assert!(replies_to(port, "\ndatetime\nquit\n").ends_with("+00:00\n"));
}

#[test]
fn the_server_raises_its_limit_of_descriptors() {
    let line = r#"ulimit -Sn 64 && exec "$0" --quiet --listen 127.0.0.1:0"#;
    let (server, _) = Program::listening(Command::new("sh").args(["-c", line, SERVER]));
    let Ok(limits) = fs::read_to_string(format!("/proc/{}/limits", server.id())) else {
        return skip("this machine does not have /proc");
    };
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = line.split_whitespace().skip(3).take(2).collect::<Vec<_>>()[..] else { panic!("{line:?}") };
    assert_eq!(soft, hard);
    assert_ne!(soft, "64");
}

#[test]
fn the_server_and_the_client_use_unix_sockets() {
    let folder = Folder::new();
    let path = format!("unix:{}", folder.name("socket"));
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
    // A second server on a live socket retries as on a port in use.
    let outcome = run(SERVER, &["--listen", &path, "--bind-timeout=0"], "");
    outcome.assert(1, "", &format!("daytime-server: bind {path}: Address already in use (os error 98)\n"));
    // The file of a killed server is replaced.
    drop(server);
    let socket = folder.name("socket");
    assert!(Path::new(&socket).exists());
    let mut server = Program::start(Command::new(SERVER).args(["--quiet", "--listen", &path]));
    server.out.line();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"\nquit\n").unwrap();
    let mut output = String::new();
    stream.read_to_string(&mut output).unwrap();
    assert_eq!(output, "Welcome to the server\n");
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
    assert!(!Path::new(&socket).exists());
    // A file that is not a socket stays, and binding is not retried.
    let file = folder.write("file", "precious");
    let outcome = run(SERVER, &["--listen", &format!("unix:{file}")], "");
    outcome.assert(2, "", &format!("daytime-server: cannot bind unix:{file}: the file exists and is not a socket\n"));
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    let long = format!("unix:/{}", "x".repeat(107));
    assert_eq!(run(SERVER, &["--listen", &long], "").code, Some(2));
}

#[test]
fn a_server_that_ends_by_itself_prints_an_error() {
    if !can_trace() {
        return;
    }
    let inject = ["-f", "-o", "/dev/null", "-e", "inject=epoll_wait,epoll_pwait:error=EINVAL"];
    let mut server =
        Program::start(Command::new("strace").args(inject).args([SERVER, "--quiet", "--listen=127.0.0.1:0"]));
    let outcome = server.finish();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("daytime-server: the server ended by itself"), "{outcome:?}");
}

// ---- Metrics

#[test]
fn metrics_are_those_of_the_server_and_of_its_process() {
    let (mut server, _) = daytime_server(&["--quiet", "--listen-metrics=127.0.0.1:0"]);
    let line = server.out.line();
    let port =
        line.strip_prefix("Server is listening on 127.0.0.1:").and_then(|line| line.strip_suffix(" for metrics"));
    let port = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
    let response = replies_to(port, "GET /metrics HTTP/1.0\r\n\r\n");
    let (_, text) = response.split_once("\r\n\r\n").unwrap();
    for name in ["daytime_clients 0", "process_start_time_seconds ", "process_cpu_seconds_total "] {
        assert!(text.contains(&format!("\n{name}")), "{text}");
    }
    if installed(&["promtool"]) {
        run("promtool", &["check", "metrics"], text).assert(0, "", "");
    }
    if installed(&["curl"]) {
        let url = format!("http://127.0.0.1:{port}");
        run("curl", &["-sf", &format!("{url}/readyz")], "").assert(0, "ready\n", "");
        let head = run("curl", &["-sfI", &format!("{url}/metrics")], "");
        assert!(head.code == Some(0) && head.out.contains("version=0.0.4"), "{head:?}");
        assert_eq!(run("curl", &["-sf", &format!("{url}/")], "").code, Some(22), "404");
    }
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

// ---- RFC 867 and RFC 868, with third-party clients

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
fn both_older_protocols_give_the_time() {
    let (_server, rfc867, rfc868) = older();
    let before = SystemTime::now() - Duration::from_secs(1);
    let time = daytime::rfc868(format!("127.0.0.1:{rfc868}")).unwrap();
    assert!((before..=SystemTime::now()).contains(&time), "{time:?}");
    let text = daytime::rfc867(format!("127.0.0.1:{rfc867}")).unwrap();
    assert!(text.contains(", 20") && !text.ends_with('\n'), "{text:?}");
}

#[test]
fn rdate_reads_the_time_protocol() {
    if !installed(&["rdate"]) {
        return;
    }
    let (_server, _, rfc868) = older();
    let port = rfc868.to_string();
    let outcome = run("rdate", &["-p", "-o", &port, "127.0.0.1"], "");
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""));
    let year = outcome.out.split_whitespace().last().and_then(|year| year.parse::<i32>().ok());
    assert!(year.is_some_and(|year| year >= 2026), "{outcome:?}");
}

#[test]
fn perls_net_time_reads_both_protocols() {
    if !installed(&["perl"]) {
        return;
    }
    if run("perl", &["-MNet::Time", "-e", ""], "").code != Some(0) {
        return skip("perl's Net::Time is not installed");
    }
    let (_server, rfc867, rfc868) = older();
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let time = format!("use Net::Time 'inet_time'; print inet_time('127.0.0.1:{rfc868}', 'tcp', 20)");
    let seconds: u64 = run("perl", &["-e", &time], "").out.parse().unwrap();
    assert!((before..before + 60).contains(&seconds), "{seconds}");
    let daytime = format!("use Net::Time 'inet_daytime'; print inet_daytime('127.0.0.1:{rfc867}', 'tcp', 20)");
    let text = run("perl", &["-e", &daytime], "").out;
    assert!(text.contains(", 20") && text.ends_with("\r\n"), "{text:?}");
}
