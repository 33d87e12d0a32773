//! The two programs as their users meet them: arguments, pipes, a terminal, signals, exit codes.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use crate::common::fake_server::{BlackHole, Fake, MOMENT, PATIENCE, nobody, skip, stopped, timed};
use crate::common::process::{CLIENT, Program, SERVER, converse, daytime_server, listening, local, port_in, run};
use daytime::{
    Clock, Server,
    protocol::{GREETING, errors},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};

const PROMPT: &str = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";

/// This crate's server at a fixed moment, for the client program.
fn serve() -> (Server, String) {
    let server = Server::builder().listen("127.0.0.1:0").workers(1).timezone("UTC").clock(Clock::fixed_unix(MOMENT));
    let server = server.start().unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

// daytime-client with commands.

#[test]
fn commands_are_answered_one_a_line() {
    let (_server, address) = serve();
    for (commands, replies) in [
        (&["day"][..], "Sunday\n"),
        (&["day", "DATE", "time"], "Sunday\n26-11-22\n15:44:57\n"),
        (&["datetime +05:30", " timestamp "], "2026-11-22T21:14:57+05:30\n1795362297\n"),
        (&["quit"], ""),
        (&["day", "Exit", "time"], "Sunday\n"),
        (&["--", "day"], "Sunday\n"),
    ] {
        let arguments = [&["--connect", &address], commands].concat();
        run(CLIENT, &arguments, "date\n").assert(0, replies, "");
    }
}

#[test]
fn an_error_line_is_told_and_the_other_commands_are_answered() {
    let (_server, address) = serve();
    for (command, complaint) in [
        ("nonsense", errors::INVALID),
        ("day Mars", errors::UNKNOWN_ZONE),
        ("", "the command \"\" is blank"),
        ("day\ntime", "the command \"day\\ntime\" has a control character"),
        ("\x1b[31m", "the command \"\\u{1b}[31m\" has a control character"),
    ] {
        let outcome = run(CLIENT, &["--connect", &address, "day", command, "time"], "");
        outcome.assert(1, "Sunday\n15:44:57\n", &format!("daytime-client: {complaint}\n"));
    }
}

#[test]
fn the_original_answers_commands() {
    let (original, received) = Fake::original(stopped);
    let address = original.address().to_string();
    let outcome = run(CLIENT, &["--connect", &address, "day", "date", "help", "time"], "");
    outcome.assert(1, "Sunday\n26-11-22\n15:44:57\n", &format!("daytime-client: {}\n", errors::INVALID));
    original.finish();
    assert_eq!(received.iter().collect::<Vec<_>>(), ["\n", "day", "date", "help", "time", "quit"]);
}

// daytime-client with a pipe.

#[test]
fn the_loop_reads_a_pipe_without_prompts() {
    let (_server, address) = serve();
    for (input, replies) in [
        ("", ""),
        ("quit\n", ""),
        ("day\nDATE\ntime\nquit\n", "Sunday\n26-11-22\n15:44:57\n"),
        ("day\nexit\ntime\n", "Sunday\n"),
        ("day\n QUIT \ntime\n", "Sunday\n"),
        ("day\r\nExit\r\ntime\n", "Sunday\n"),
        ("day\ntime", "Sunday\n15:44:57\n"),
        ("day\nquit", "Sunday\n"),
        ("\n\n \t\nday\n\n", "Sunday\n"),
        ("datetime UTC\ntime +01:00\n", "2026-11-22T15:44:57+00:00\n16:44:57\n"),
        ("nonsense\nday\n", "You entered an invalid command\nSunday\n"),
        ("a\x01b\nday\n", "the command \"a\\u{1}b\" has a control character\nSunday\n"),
    ] {
        let outcome = run(CLIENT, &["--connect", &address], input);
        outcome.assert(0, &format!("{GREETING}\n{replies}"), "");
    }
}

#[test]
fn the_loop_with_the_original() {
    let (original, _) = Fake::original(stopped);
    let outcome = run(CLIENT, &["--connect", &original.address().to_string()], "day\n\nDATE\nx\ntime\nquit\n");
    let replies = "Sunday\n26-11-22\nYou entered an invalid command\n15:44:57\n";
    outcome.assert(0, &format!("{GREETING}\n{replies}"), "");
}

#[test]
fn each_reply_is_there_before_the_next_command() {
    let (_server, address) = serve();
    let mut client = Program::start(Command::new(CLIENT).args(["--connect", &address]));
    assert_eq!(client.out.line(), GREETING);
    for (command, reply) in [("day", "Sunday"), ("time", "15:44:57")] {
        client.say(&format!("{command}\n"));
        assert_eq!(client.out.line(), reply);
    }
    client.finish().assert(0, "", "");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let (_server, address) = serve();
    // What `| head -1` does.
    let head = |arguments: &str| {
        let line = format!("{{ '{CLIENT}' --connect {address} {arguments}; echo $? >&2; }} | head -1");
        let mut shell = Program::start(Command::new("sh").args(["-c", &line]));
        let first = shell.out.line();
        // The reader has gone, or goes before it reads more.
        for _ in 0..1000 {
            if shell.input.as_mut().unwrap().write_all(b"day\n").is_err() {
                break;
            }
        }
        let outcome = shell.finish();
        assert_eq!((&*outcome.out, &*outcome.err), ("", "0\n"), "{arguments}");
        first
    };
    assert_eq!(head(""), GREETING);
    assert_eq!(head(&"day ".repeat(1000)), "Sunday");
}

#[test]
fn a_server_that_cannot_be_used_is_told() {
    let (_kept, nobody) = nobody();
    let hole = BlackHole::new((Ipv4Addr::LOCALHOST, 0));
    let says = |text: &'static str| {
        Fake::new(move |mut peer| {
            peer.expect("\n");
            peer.send(text);
        })
    };
    for commands in [&["day"][..], &[]] {
        let (full, other) = (says("The server is full\n"), says("220 \x1b[31mmail"));
        for (address, complaint) in [
            (nobody, format!("connect {nobody}: Connection refused (os error 111)")),
            (hole.address(), "no complete answer in time".into()),
            (full.address(), "The server is full".into()),
            (other.address(), "the peer does not speak this protocol, it sent 13 bytes: 220 \\x1b[31mmail".into()),
        ] {
            let address = address.to_string();
            let arguments = [&["--timeout", "0.3", "--connect", &address], commands].concat();
            let (outcome, took) = timed(|| run(CLIENT, &arguments, "day\n"));
            outcome.assert(1, "", &format!("daytime-client: {complaint}\n"));
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }
}

#[test]
fn a_server_that_goes_away_ends_the_loop() {
    let (fake, _) = Fake::lines("Hi", |command| (command == "day").then(|| "Sunday".into()));
    let outcome = run(CLIENT, &["--connect", &fake.address().to_string()], "day\ntime\nday\n");
    outcome.assert(1, "Hi\nSunday\n", "daytime-client: the connection is closed\n");
}

#[test]
fn a_dead_address_before_a_live_one_of_a_name() {
    // A name with two addresses, for one process: a hosts file of its own in a namespace of its own.
    let hosts = format!("{}/hosts-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::write(&hosts, "::1 twin\n127.0.0.1 twin\n").unwrap();
    let within = |line: &str| {
        let script = format!("mount --bind '{hosts}' /etc/hosts && {line}");
        Program::start(Command::new("unshare").args(["-rm", "sh", "-c", &script])).finish()
    };
    let possible = Command::new("unshare").arg("-V").output().is_ok_and(|output| output.status.success())
        && within("getent ahosts twin").out.starts_with("::1");
    if !possible {
        return skip("no namespace with a hosts file of its own here");
    }
    let hole = BlackHole::new((Ipv6Addr::LOCALHOST, 0));
    let port = hole.address().port();
    let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else {
        return skip(format!("port {port} is taken"));
    };
    let fake = Fake::on(listener, |mut peer| {
        peer.greet("Hi");
        peer.expect("day\n");
        peer.send("Sunday\n");
        peer.expect("quit\n");
    });
    let (outcome, took) = timed(|| within(&format!("exec '{CLIENT}' --timeout 2 --connect twin:{port} day")));
    outcome.assert(0, "Sunday\n", "");
    // Half of the patience for each of two.
    assert!((Duration::from_millis(1000)..Duration::from_millis(1900)).contains(&took), "{took:?}");
    fake.finish();
}

// daytime-client on a terminal.

/// Runs the client on a terminal of its own, which `script` makes; its error output is the terminal too. SIGINT may be
/// ignored here, as it is in a background job: not there.
fn terminal(term: &str, address: &str) -> Option<Program> {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "script"]).env("TERM", term).env("SHELL", "/bin/sh");
    // A shell between them: script(1) stops itself when its own child is stopped.
    command.env("CLIENT", CLIENT).env("ADDRESS", address);
    let line = r#"sh -c 'echo pid=$$.; exec "$CLIENT" --connect "$ADDRESS"'; exit $?"#;
    let version = Command::new("env").args(["--default-signal=INT", "script", "--version"]).output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
        skip("no script(1) of util-linux, or no env(1) that resets signals");
        return None;
    }
    Some(Program::start(command.args(["-qec", line, "/dev/null"])))
}

#[test]
fn a_terminal_is_prompted_in_the_originals_words() {
    for term in ["xterm", "dumb"] {
        let (_server, address) = serve();
        let Some(mut client) = terminal(term, &address) else { return };
        client.out.until(&format!("{GREETING}\r\n"));
        for (command, reply) in [("day", "Sunday"), ("", ""), ("TIME", "15:44:57"), ("x", errors::INVALID)] {
            client.out.until(PROMPT);
            client.say(&format!("{command}\r"));
            if !reply.is_empty() {
                client.out.until(&format!("\n{reply}\r\n"));
            }
        }
        client.out.until(PROMPT);
        client.say("Quit\r");
        assert_eq!(client.finish().code, Some(0), "{term}");
    }
}

#[test]
fn lines_are_edited_remembered_and_completed() {
    let (_server, address) = serve();
    let Some(mut client) = terminal("xterm", &address) else { return };
    for (keys, reply) in [
        ("day\r", "Sunday"),
        // Up.
        ("\x1b[A\r", "Sunday"),
        ("date\r", "26-11-22"),
        ("\x1b[A\x1b[A\r", "Sunday"),
        ("datet\t\r", "2026-11-22T15:44:57+00:00"),
        ("TIMES\t\r", "1795362297"),
        // Left twice, a letter, and one that is taken back.
        ("tme\x1b[D\x1b[Dix\x7f\r", "15:44:57"),
    ] {
        client.out.until(PROMPT);
        client.say(keys);
        client.out.until(&format!("\n{reply}\r\n"));
    }
    client.out.until(PROMPT);
    client.say("ex\t\r");
    assert_eq!(client.finish().code, Some(0));
}

#[test]
fn control_keys_end_it() {
    for term in ["xterm", "dumb"] {
        for (key, code) in [("\x04", 0), ("\x03", 130)] {
            let (_server, address) = serve();
            let Some(mut client) = terminal(term, &address) else { return };
            client.out.until(PROMPT);
            client.say(key);
            let rest = client.out.rest();
            assert!(!rest.contains("panic") && !rest.contains("daytime-client:"), "{rest:?}");
            assert_eq!(client.finish().code, Some(code), "{term} {key:?}");
        }
    }
}

#[test]
fn a_resized_or_stopped_terminal_goes_on() {
    let (_server, address) = serve();
    let Some(mut client) = terminal("xterm", &address) else { return };
    client.out.until("pid=");
    let client_itself = Pid::from_raw(client.out.until(".").parse().unwrap());
    for signals in [&[Signal::SIGWINCH][..], &[Signal::SIGSTOP, Signal::SIGCONT]] {
        client.out.until(PROMPT);
        client.say("da");
        client.out.until("da");
        for signal in signals {
            kill(client_itself, *signal).unwrap();
        }
        client.say("y\r");
        client.out.until("\nSunday\r\n");
    }
    client.out.until(PROMPT);
    client.say("\x04");
    assert_eq!(client.finish().code, Some(0));
}

#[test]
fn a_hostile_server_commands_no_terminal() {
    let hostile = "\x1b[31mred\x1b]0;title\x07 \u{9b}2J\x08\x7f";
    let shown = r"\u{1b}[31mred\u{1b}]0;title\u{7} \u{9b}2J\u{8}\u{7f}";
    let answer = move |command: &str| (command != "quit").then(|| hostile.to_owned());

    let (fake, _) = Fake::lines(hostile, answer);
    let Some(mut client) = terminal("xterm", &fake.address().to_string()) else { return };
    client.out.until(&format!("{shown}\r\n"));
    client.out.until(PROMPT);
    client.say("day\r");
    client.out.until(&format!("\n{shown}\r\n"));
    client.out.until(PROMPT);
    client.say("\x04");
    let everything = client.finish();
    assert_eq!(everything.code, Some(0));

    // A pipe gets the words as they are, and what is wrong is told without them.
    let (fake, _) = Fake::lines(hostile, answer);
    let outcome = run(CLIENT, &["--connect", &fake.address().to_string(), "day"], "");
    outcome.assert(0, &format!("{hostile}\n"), "");
}

#[test]
fn the_original_on_a_terminal() {
    let (original, _) = Fake::original(stopped);
    let Some(mut client) = terminal("xterm", &original.address().to_string()) else { return };
    client.out.until(&format!("{GREETING}\r\n"));
    for (command, reply) in [("day", "Sunday"), ("date", "26-11-22"), ("time", "15:44:57"), ("x", errors::INVALID)] {
        client.out.until(PROMPT);
        client.say(&format!("{command}\r"));
        client.out.until(&format!("\n{reply}\r\n"));
    }
    client.out.until(PROMPT);
    client.say("quit\r");
    assert_eq!(client.finish().code, Some(0));
}

// daytime-server.

#[test]
fn the_server_says_where_it_listens_and_who_connects() {
    let (mut server, port) = daytime_server(&[]);
    let clients = [(); 3].map(|()| TcpStream::connect(local(port)).unwrap());
    let mut told = [(); 3].map(|()| server.out.line());
    let mut expected = clients.each_ref().map(|client| {
        let port = client.local_addr().unwrap().port();
        format!("Connection has been established with client IP 127.0.0.1 and port is {port}")
    });
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    drop(clients);
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

#[test]
fn the_server_says_nothing_of_clients_when_quiet() {
    let (mut server, port) = daytime_server(&["--quiet"]);
    assert!(converse(local(port), "\nday\nquit\n").starts_with(GREETING));
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

#[test]
fn the_server_listens_at_every_address() {
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--listen=127.0.0.1:0"]);
    let (mut server, port) = listening(&mut command);
    let ports = [port, port_in(&server.out.line()), port_in(&server.out.line())];
    assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
    for port in ports {
        assert!(converse(local(port), "\nquit\n").starts_with(GREETING));
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
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, format!("{GREETING}\n"));
    server.signal(Signal::SIGINT);
    let rest = server.finish();
    for line in rest.out.lines() {
        assert_eq!(line.rsplit_once(" and Port: ").unwrap().1, port.to_string(), "{line:?}");
    }
    assert_eq!((rest.code, &*rest.err), (Some(0), ""));
}

#[test]
fn a_taken_port_is_retried_and_then_told() {
    let taken = TcpListener::bind(local(0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let complaint = format!("bind {address}: Address already in use (os error 98)");
    let retry = format!("Server socket binding threw an error: {complaint}\nRetrying ....\n");
    for (seconds, retries) in [("0", 0), ("0.5", 1), ("1", 1)] {
        let arguments = ["--listen", &address, "--bind-timeout", seconds];
        let (outcome, took) = timed(|| run(SERVER, &arguments, ""));
        outcome.assert(1, "", &format!("{}daytime-server: {complaint}\n", retry.repeat(retries)));
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
    assert!(converse(local(address.port()), "\nquit\n").starts_with(GREETING));
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
    // A greeting that ends before anything is said: lines.
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = [0; 9];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"Hi there\n");
    let said = converse(local(port), "day\ndate\ntime\ndatetime\nquit\n");
    let lines: Vec<&str> = said.lines().collect();
    let ["Hi there", day, date, time, datetime] = lines[..] else { panic!("{said:?}") };
    assert!(day.starts_with('%') && day.ends_with("day%"), "{day:?}");
    // All of one read, so all of one moment.
    let (year, month, day, hour) = (&datetime[..4], &datetime[5..7], &datetime[8..10], &datetime[11..13]);
    assert_eq!((date, time), (&*format!("{day}.{month}.{year}"), &*format!("at {hour} h")));
    assert!(datetime.ends_with("+05:30"), "{datetime:?}");
}

#[test]
fn limits_turn_clients_away() {
    for (limit, line) in [("--max-clients=1", errors::FULL), ("--max-clients-per-source=1", errors::PER_SOURCE)] {
        let (_server, port) = daytime_server(&["--quiet", limit]);
        let mut first = TcpStream::connect(local(port)).unwrap();
        first.read_exact(&mut [0; GREETING.len()]).unwrap();
        let outcome = run(CLIENT, &["--connect", &format!("127.0.0.1:{port}"), "day"], "");
        outcome.assert(1, "", &format!("daytime-client: {line}\n"));
    }
    for limit in ["--idle-timeout=0.2", "--first-command-timeout=0.2"] {
        let (_server, port) = daytime_server(&["--quiet", limit]);
        assert_eq!(converse(local(port), ""), GREETING, "{limit}");
    }
}

#[test]
fn the_environment_names_the_zone() {
    for (zone, offset) in [("Asia/Tokyo", "+09:00\n"), (":Asia/Kolkata", "+05:30\n"), ("UTC", "+00:00\n")] {
        let mut command = Command::new(SERVER);
        command.args(["--quiet", "--listen", "127.0.0.1:0"]).env("TZ", zone);
        let (_server, port) = listening(&mut command);
        let said = converse(local(port), "\ndatetime\nquit\n");
        assert!(said.ends_with(offset), "{zone}: {said:?}");
    }
    // The argument counts for more; a zone that is none makes a warning and UTC.
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen", "127.0.0.1:0", "--timezone", "-03:30"]).env("TZ", "Asia/Tokyo");
    let (_server, port) = listening(&mut command);
    assert!(converse(local(port), "\ndatetime\nquit\n").ends_with("-03:30\n"));
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--listen", "127.0.0.1:0"]).env("TZ", "Mars/Olympus");
    let (mut server, port) = listening(&mut command);
    assert_eq!(server.err.line(), "daytime-server: the time zone is UTC: TZ=\"Mars/Olympus\" names no zone");
    assert!(converse(local(port), "\ndatetime\nquit\n").ends_with("+00:00\n"));
}

/// A client that reads nothing and has asked for more replies than the system can keep for it.
fn glutton(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&std::net::SocketAddr::from(local(port)).into()).unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let questions = "help\n".repeat(10_000);
    loop {
        match (&socket).write(questions.as_bytes()) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return socket,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_signal_ends_the_server_in_good_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut server, port) = daytime_server(&["--quiet"]);
        let mut idle = TcpStream::connect(local(port)).unwrap();
        idle.set_read_timeout(Some(PATIENCE)).unwrap();
        idle.write_all(b"\nday\n").unwrap();
        idle.read_exact(&mut [0; GREETING.len() + 1]).unwrap();
        server.signal(signal);
        let mut said = String::new();
        idle.read_to_string(&mut said).unwrap();
        assert!(said.ends_with("day\n"), "{said:?}");
        drop(idle);
        server.finish().assert(0, "", "");
        assert_eq!(TcpStream::connect(local(port)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn the_drain_has_an_end() {
    let (mut server, port) = daytime_server(&["--quiet", "--drain", "0.3", "--write-timeout", "60"]);
    let _glutton = glutton(port);
    server.signal(Signal::SIGTERM);
    let (outcome, took) = timed(|| server.finish());
    outcome.assert(0, "", "");
    assert!((Duration::from_millis(300)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for second in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut server, port) = daytime_server(&["--quiet", "--drain", "60", "--write-timeout", "60"]);
        let _glutton = glutton(port);
        let mut idle = TcpStream::connect(local(port)).unwrap();
        idle.set_read_timeout(Some(PATIENCE)).unwrap();
        idle.read_exact(&mut [0; GREETING.len()]).unwrap();
        server.signal(Signal::SIGTERM);
        // The idle client is closed: the first signal has been heard.
        idle.read_to_end(&mut Vec::new()).unwrap();
        server.signal(second);
        let (outcome, took) = timed(|| server.finish());
        outcome.assert(1, "", "");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn the_server_takes_all_descriptors_that_it_may() {
    let line = r#"ulimit -Sn 64 && exec "$0" --quiet --listen 127.0.0.1:0"#;
    let (server, _) = listening(Command::new("sh").args(["-c", line, SERVER]));
    let Ok(limits) = fs::read_to_string(format!("/proc/{}/limits", server.child.id())) else {
        return skip("no /proc here");
    };
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = line.split_whitespace().skip(3).take(2).collect::<Vec<_>>()[..] else { panic!("{line:?}") };
    assert_eq!(soft, hard);
    assert_ne!(soft, "64");
}

// Both.

#[test]
fn bad_arguments_are_named() {
    let long = format!("--greeting={}", "x".repeat(1024));
    for (program, argument, named) in [
        (SERVER, "--nonsense", "--nonsense"),
        (SERVER, "extra", "extra"),
        (SERVER, "--listen", "--listen"),
        (SERVER, "--listen=", "address \"\""),
        (SERVER, "--listen=localhost:", "address \"localhost:\""),
        (SERVER, "--listen=localhost:99999", "address \"localhost:99999\""),
        (SERVER, "--listen=two words:1", "address \"two words:1\""),
        (SERVER, "--listen=[::1", "address \"[::1\""),
        (SERVER, "--listen=unix:", "address \"unix:\""),
        (SERVER, "--listen-rfc867=localhost:", "address \"localhost:\""),
        (SERVER, "--listen-rfc868=unix:@", "address \"unix:@\""),
        (SERVER, "--unix-mode=rw", "no mode"),
        (SERVER, "--unix-mode=1777", "mode of 0o1777"),
        (SERVER, "--allow=localhost", "\"localhost\" is no network"),
        (SERVER, "--deny=192.0.2.0/33", "\"192.0.2.0/33\" is no network"),
        (SERVER, "--check=x", "--check"),
        (SERVER, "--workers=x", "--workers"),
        (SERVER, "--workers=-1", "--workers"),
        (SERVER, "--workers=0", "0 workers"),
        (SERVER, "--workers=1025", "1025 workers"),
        (SERVER, "--framing=x", "--framing"),
        (SERVER, "--framing=", "--framing"),
        (SERVER, "--timezone=Mars/Olympus", "time zone \"Mars/Olympus\""),
        (SERVER, "--timezone=../../etc/passwd", "time zone \"../../etc/passwd\""),
        (SERVER, "--timezone=+24:00", "time zone \"+24:00\""),
        (SERVER, "--timezone=", "time zone \"\""),
        (SERVER, "--day-format=%Q", "format \"%Q\""),
        (SERVER, "--day-format=", "format \"\""),
        (SERVER, "--date-format=%", "format \"%\""),
        (SERVER, "--date-format=%9999Y", "format \"%9999Y\""),
        (SERVER, "--time-format=%n", "format \"%n\""),
        (SERVER, "--time-format=\x1b", "format \"\\u{1b}\""),
        (SERVER, "--greeting=a\nb", "greeting \"a\\nb\""),
        (SERVER, &long, "greeting \"xxx"),
        (SERVER, "--max-clients=x", "--max-clients"),
        (SERVER, "--max-clients=0", "maximum of 0 clients"),
        (SERVER, "--max-clients-per-source=-1", "--max-clients-per-source"),
        (SERVER, "--max-clients-per-source=0", "maximum of 0 clients per source"),
        (SERVER, "--idle-timeout=x", "--idle-timeout"),
        (SERVER, "--idle-timeout=0", "idle timeout"),
        (SERVER, "--first-command-timeout=nan", "--first-command-timeout"),
        (SERVER, "--first-command-timeout=0", "first-command timeout"),
        (SERVER, "--busy-poll=0.5", "--busy-poll"),
        (SERVER, "--write-timeout=x", "--write-timeout"),
        (SERVER, "--write-timeout=-1", "--write-timeout"),
        (SERVER, "--write-timeout=nan", "--write-timeout"),
        (SERVER, "--write-timeout=1e300", "--write-timeout"),
        (SERVER, "--write-timeout=0", "write timeout"),
        (SERVER, "--drain=x", "--drain"),
        (SERVER, "--drain=inf", "--drain"),
        (SERVER, "--bind-timeout=", "--bind-timeout"),
        (SERVER, "--bind-timeout=-0.5", "--bind-timeout"),
        (SERVER, "--quiet=x", "--quiet"),
        (CLIENT, "--nonsense", "--nonsense"),
        (CLIENT, "--connect", "--connect"),
        (CLIENT, "--connect=", "address \"\""),
        (CLIENT, "--connect=localhost:", "address \"localhost:\""),
        (CLIENT, "--connect=localhost:99999", "address \"localhost:99999\""),
        (CLIENT, "--connect=two words", "address \"two words\""),
        (CLIENT, "--timeout=x", "--timeout"),
        (CLIENT, "--timeout=-1", "--timeout"),
        (CLIENT, "--timeout=NaN", "--timeout"),
        (CLIENT, "--timeout=1e300", "--timeout"),
    ] {
        let outcome = run(program, &[argument], "");
        assert_eq!((outcome.code, &*outcome.out), (Some(2), ""), "{argument:?}");
        assert!(outcome.err.contains(named) && !outcome.err.contains("panic"), "{argument:?}: {}", outcome.err);
        assert!(!outcome.err.contains('\x1b'), "{argument:?}");
    }
}

#[test]
fn help_and_version_are_told() {
    let server: &[&str] = &[
        "--config",
        "--print-config",
        "--check",
        "--listen",
        "--listen-rfc867",
        "--listen-rfc868",
        "--unix-mode",
        "--allow",
        "--deny",
        "--workers",
        "--framing",
        "--timezone",
        "--day-format",
        "--date-format",
        "--time-format",
        "--greeting",
        "--max-clients",
        "--max-clients-per-source",
        "--idle-timeout",
        "--first-command-timeout",
        "--write-timeout",
        "--busy-poll",
        "--drain",
        "--bind-timeout",
        "--quiet",
        "--help",
        "--version",
    ];
    let client: &[&str] = &["--connect", "--timeout", "COMMAND", "--help", "--version"];
    for (program, name, flags) in [(SERVER, "daytime-server", server), (CLIENT, "daytime-client", client)] {
        let help = run(program, &["--help"], "");
        assert_eq!((help.code, &*help.err), (Some(0), ""));
        for flag in flags {
            assert!(help.out.contains(flag), "{name} --help says nothing of {flag}");
        }
        let told = help.out.split_whitespace().filter(|word| word.starts_with("--"));
        for flag in told.map(|word| word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric())) {
            assert!(flags.contains(&flag), "{name} --help tells of {flag}, which no test here knows");
        }
        run(program, &["--version"], "").assert(0, &format!("{name} {}\n", env!("CARGO_PKG_VERSION")), "");
    }
}
