//! `daytime-client --watch`, in a pipe and on a terminal.

use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use daytime::{Clock, protocol::errors};
use nix::sys::signal::Signal;

use crate::client::fixed_server;
use crate::common::{
    Folder, MOMENT, eventually,
    fake_server::{FakeServer, refusing_address},
    peer::Peer,
    process::{CLIENT, Program, run},
    timed, unbound_builder,
};
use crate::terminal::terminal_with;

fn watching(address: &str, arguments: &[&str]) -> Program {
    Program::start(Command::new(CLIENT).args(["--connect", address]).args(arguments))
}

#[test]
fn each_round_is_printed_on_lines_in_a_pipe() {
    let (_server, address) = fixed_server();
    let arguments = ["--connect", &address, "--watch=0.1", "--count", "3", "day", "time", "Asia/Tokyo"];
    let (outcome, took) = timed(|| run(CLIENT, &arguments, ""));
    outcome.assert(0, &"Sunday\n00:44:57\n".repeat(3), "");
    // The third round begins after two intervals.
    assert!(took >= Duration::from_millis(200), "{took:?}");
    // `--watch time` has its default interval, and `time` is a command.
    run(CLIENT, &["--connect", &address, "--watch", "--count=1", "time"], "").assert(0, "15:44:57\n", "");
    // `quit` ends the commands of a round.
    run(CLIENT, &["--connect", &address, "--watch=9", "--count=1", "time", "quit", "day"], "").assert(
        0,
        "15:44:57\n",
        "",
    );
    run(CLIENT, &["--connect", &address, "--watch", "quit"], "").assert(0, "", "");
}

#[test]
fn each_line_is_printed_at_once() {
    let (_server, address) = fixed_server();
    // Longer than the test waits.
    let mut client = watching(&address, &["--watch=3600", "day", "time"]);
    assert_eq!((client.out.line(), client.out.line()), ("Sunday".into(), "15:44:57".into()));
}

#[test]
fn a_round_is_never_early() {
    // The server notes when a command arrives, and answers slowly. src/bin/daytime-client/watch.rs tests the schedule.
    let (sender, arrivals) = channel();
    let (fake, _) = FakeServer::line_based("Hi", move |command| {
        let _ = sender.send(Instant::now());
        thread::sleep(Duration::from_millis(30));
        (command != "quit").then(|| "x".into())
    });
    let address = fake.address().to_string();
    run(CLIENT, &["--connect", &address, "--watch=0.1", "--count=5", "day"], "").assert(0, &"x\n".repeat(5), "");
    let arrivals: Vec<Instant> = arrivals.iter().take(5).collect();
    for (k, arrival) in (0..).zip(&arrivals) {
        let since = arrival.duration_since(arrivals[0]);
        // The first command may arrive late.
        assert!(since + Duration::from_millis(90) >= Duration::from_millis(100) * k, "round {k} after {since:?}");
    }
}

#[test]
fn errors_of_a_round_name_their_command() {
    let (_server, address) = fixed_server();
    let outcome = run(CLIENT, &["--connect", &address, "--watch=0.01", "--count=2", "day", "time Mars"], "");
    let error = format!("daytime-client: time Mars: {}\n", errors::UNKNOWN_ZONE);
    outcome.assert(1, &"Sunday\n".repeat(2), &error.repeat(2));
    let outcome = run(CLIENT, &["--connect", &address, "--watch=0.01", "--count=2", "--json", "day", "x"], "");
    let round = concat!(
        r#"{"command":"day","ok":true,"reply":"Sunday"}"#,
        "\n",
        r#"{"command":"x","ok":false,"error":"You entered an invalid command"}"#,
        "\n"
    );
    outcome.assert(1, &round.repeat(2), "");
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_an_error() {
    let (_kept, refusing) = refusing_address();
    let outcome = run(CLIENT, &["--connect", &refusing.to_string(), "--watch", "day"], "");
    outcome.assert(1, "", &format!("daytime-client: connect {refusing}: Connection refused (os error 111)\n"));
}

#[test]
fn a_server_that_is_gone_is_reported_once_and_reconnected_to() {
    let folder = Folder::new();
    let address = format!("unix:{}", folder.name("socket"));
    let start = |day: i64| {
        let clock = Clock::fixed_unix(MOMENT + 86_400 * day);
        unbound_builder().clock(clock).listen(&*address).start().unwrap()
    };
    let error = format!("connect {address}: No such file or directory (os error 2)");
    for json in [false, true] {
        let server = start(0);
        let mut client =
            watching(&address, if json { &["--watch=0.05", "--json", "day"] } else { &["--watch=0.05", "day"] });
        let line = |day: &str| match json {
            true => format!("{{\"command\":\"day\",\"ok\":true,\"reply\":\"{day}\"}}"),
            false => day.to_owned(),
        };
        assert_eq!(client.out.line(), line("Sunday"));
        drop(server);
        match json {
            true => {
                client.out.until(&format!("{{\"ok\":false,\"error\":\"{error}\",\"kind\":\"io\"}}\n"));
            }
            false => assert_eq!(client.err.line(), format!("daytime-client: {error}; reconnecting")),
        }
        // Further attempts fail, of which nothing is printed.
        let closing = UnixListener::bind(folder.at("socket")).unwrap();
        for _ in 0..3 {
            drop(closing.accept().unwrap());
        }
        drop(closing);
        fs::remove_file(folder.at("socket")).unwrap();
        let _server = start(1);
        client.out.until(&(line("Monday") + "\n"));
        client.signal(Signal::SIGINT);
        let outcome = client.finish();
        assert_eq!((outcome.code, &*outcome.err), (Some(130), ""));
    }
}

/// As after the idle timeout of a server: it is not gone.
#[test]
fn a_server_that_closes_between_two_rounds_is_not_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        for round in 1..=3 {
            let mut peer = Peer::new(listener.accept().unwrap().0);
            peer.complete_greeting("Hi");
            peer.expect("day\n");
            peer.send("Sunday\n");
            if round == 3 {
                peer.expect("quit\n");
            }
        }
    });
    let outcome = run(CLIENT, &["--connect", &address, "--watch=0.1", "--count=3", "day"], "");
    outcome.assert(0, &"Sunday\n".repeat(3), "");
    server.join().unwrap();
}

#[test]
fn sigint_ends_a_watch() {
    let (_server, address) = fixed_server();
    // While it sleeps.
    let mut client = watching(&address, &["--watch=3600", "day"]);
    assert_eq!(client.out.line(), "Sunday");
    client.signal(Signal::SIGINT);
    client.finish().assert(130, "", "");
    // While it waits for a reply.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut client = watching(&address, &["--timeout=3600", "--watch", "day"]);
    let mut peer = Peer::new(listener.accept().unwrap().0);
    peer.complete_greeting("Hi");
    peer.expect("day\n");
    client.signal(Signal::SIGINT);
    client.finish().assert(130, "", "");
    // While nobody reads its output.
    let (server, address) = fixed_server();
    let mut client = watching(&address, &["--watch=0.000001", "help"]);
    client.out.line();
    let (mut before, mut unchanged) = (0, 0);
    eventually("the output is full", || {
        let commands = server.stats().commands;
        unchanged = if std::mem::replace(&mut before, commands) == commands { unchanged + 1 } else { 0 };
        unchanged == 50
    });
    client.signal(Signal::SIGINT);
    let (code, err) = client.wait();
    assert_eq!((code, &*err), (Some(130), ""));
}

#[test]
fn a_reader_that_closes_a_watch_is_not_an_error() {
    let (_server, address) = fixed_server();
    let line = r#"{ "$0" --connect "$1" --watch=0.01 day; echo $? >&2; } | head -2"#;
    run("sh", &["-c", line, CLIENT, &address], "").assert(0, "Sunday\nSunday\n", "0\n");
}

// ---- A terminal

#[test]
fn a_round_overwrites_the_one_before_on_a_terminal() {
    let (_server, address) = fixed_server();
    let off = [("DAYTIME_HISTORY", Path::new(""))];
    let arguments = "--watch=0.05 --count 3 day time";
    let Some(mut client) = terminal_with("xterm", &address, arguments, &off) else { return };
    client.out.until("pid=");
    client.out.until("\r\n");
    let outcome = client.finish();
    let round = "\r\x1b[K\x1b[?7lSunday  15:44:57\x1b[?7h";
    outcome.assert(0, &format!("{}\r\n", round.repeat(3)), "");
    // A terminal without control sequences gets lines, and so does JSON.
    for (term, arguments, line) in [
        ("dumb", "--watch=0.05 --count 2 day", "Sunday\r\n"),
        ("xterm", "--json --watch=0.05 --count 2 day", "{\"command\":\"day\",\"ok\":true,\"reply\":\"Sunday\"}\r\n"),
    ] {
        let Some(mut client) = terminal_with(term, &address, arguments, &off) else { return };
        client.out.until("pid=");
        client.out.until("\r\n");
        client.finish().assert(0, &line.repeat(2), "");
    }
}

#[test]
fn the_row_of_a_terminal_is_completed_before_an_error_and_at_the_end() {
    let (server, address) = fixed_server();
    let off = [("DAYTIME_HISTORY", Path::new(""))];
    let Some(mut client) = terminal_with("xterm", &address, "--watch=0.05 day x", &off) else { return };
    let row = format!("\r\x1b[K\x1b[?7lSunday  x: {}\x1b[?7h", errors::INVALID);
    client.out.until(&row);
    drop(server);
    client
        .out
        .until(&format!("\r\ndaytime-client: connect {address}: Connection refused (os error 111); reconnecting\r\n"));
    client.send("\x03");
    let outcome = client.finish();
    assert_eq!((outcome.code, &*outcome.out), (Some(130), "^C"), "{outcome:?}");
}

#[test]
fn replies_and_errors_of_a_server_are_escaped_in_a_row() {
    let hostile = "\x1b[31m\u{9b}2J\u{202e}yaD";
    let shown = r"\u{1b}[31m\u{9b}2J\u{202e}yaD";
    let (fake, _) = FakeServer::line_based("Hi", move |command| match command {
        "quit" => None,
        "bad" => Some(format!("The command failed: {hostile}")),
        _ => Some(hostile.into()),
    });
    let off = [("DAYTIME_HISTORY", Path::new(""))];
    let address = fake.address().to_string();
    let Some(mut client) = terminal_with("xterm", &address, "--watch --count 1 day bad", &off) else { return };
    client.out.until(&format!("\x1b[?7l{shown}  bad: {shown}\x1b[?7h"));
    assert_eq!(client.finish().code, Some(1));
    // JSON has escapes of its own.
    let (fake, _) = FakeServer::line_based("Hi", move |command| (command != "quit").then(|| hostile.into()));
    let outcome = run(CLIENT, &["--json", "--connect", &fake.address().to_string(), "day"], "");
    let reply = r"\u001b[31m\u009b2J\u202eyaD";
    outcome.assert(0, &format!("{{\"command\":\"day\",\"ok\":true,\"reply\":\"{reply}\"}}\n"), "");
}
