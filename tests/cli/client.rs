//! `daytime-client` with commands as arguments and with a pipe.

use std::{
    io::Write,
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    path::Path,
    process::Command,
    time::Duration,
};

use daytime::{
    Server,
    protocol::{GREETING, errors},
};

use crate::common::{
    Folder, builder,
    fake_server::{BlackHole, FakeServer, original_reply, refusing_address},
    process::{CLIENT, Program, run},
    skip, timed,
};

/// A server of this crate for the client program, and its address.
pub(crate) fn fixed_server() -> (Server, String) {
    let server = builder().workers(1).start().unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

// ---- Commands as arguments

#[test]
fn each_reply_is_printed_on_a_line() {
    let (_server, address) = fixed_server();
    for (commands, replies) in [
        (&["day"][..], "Sunday\n"),
        (&["day", "DATE", "time"], "Sunday\n26-11-22\n15:44:57\n"),
        (&["datetime +05:30", " timestamp "], "2026-11-22T21:14:57+05:30\n1795362297\n"),
        (&["quit"], ""),
        (&["day", "Exit", "time"], "Sunday\n"),
        (&["--", "day"], "Sunday\n"),
        (&["time", "Asia/Tokyo", "day", "utc", "date"], "00:44:57\nSunday\n26-11-22\n"),
        (&["datetime", "+05:30", "timestamp"], "2026-11-22T21:14:57+05:30\n1795362297\n"),
        (&["--", "time", "-03:30"], "12:14:57\n"),
    ] {
        let arguments = [&["--connect", &address], commands].concat();
        run(CLIENT, &arguments, "date\n").assert(0, replies, "");
    }
}

#[test]
fn an_error_line_is_reported_and_the_other_commands_are_answered() {
    let (_server, address) = fixed_server();
    for (command, error) in [
        ("nonsense", "nonsense: You entered an invalid command"),
        ("day Mars", "day Mars: You entered an unknown time zone"),
        ("a\u{202e}b", "a\\u{202e}b: You entered an invalid command"),
        ("", "the command \"\" is blank"),
        ("day\ntime", "the command \"day\\ntime\" has a control character"),
        ("\x1b[31m", "the command \"\\u{1b}[31m\" has a control character"),
    ] {
        let outcome = run(CLIENT, &["--connect", &address, "day", command, "time"], "");
        outcome.assert(1, "Sunday\n15:44:57\n", &format!("daytime-client: {error}\n"));
    }
}

#[test]
fn the_error_of_a_zone_that_was_sent_as_a_command_says_how_to_write_it() {
    if !Path::new("/usr/share/zoneinfo/Japan").exists() || !Path::new("/usr/share/zoneinfo/GMT").exists() {
        return skip("this machine's zone database does not have Japan and GMT");
    }
    let (_server, address) = fixed_server();
    let error = |command: &str, hint: &str| format!("daytime-client: {command}: {}{hint}\n", errors::INVALID);
    for (commands, replies, error) in [
        (&["time", "Japan"][..], "15:44:57\n", error("Japan", "; for a zone, write 'time Japan'")),
        (&[" TZ ", "GMT", "day"], "UTC0\nSunday\n", error("GMT", "; for a zone, write 'TZ GMT'")),
        (&["timestamp", "Japan"], "1795362297\n", error("Japan", "")),
        (&["time", "tea"], "15:44:57\n", error("tea", "")),
        (&["time UTC", "Japan"], "15:44:57\n", error("Japan", "")),
        (&["time", "day Mars"], "15:44:57\n", format!("daytime-client: day Mars: {}\n", errors::UNKNOWN_ZONE)),
    ] {
        run(CLIENT, &[&["--connect", &address], commands].concat(), "").assert(1, replies, &error);
    }
    // A line of a pipe is not an argument.
    let outcome = run(CLIENT, &["--connect", &address], "time\nJapan\n");
    outcome.assert(1, &format!("{GREETING}\n15:44:57\n"), &error("Japan", ""));
}

#[test]
fn the_original_answers_commands() {
    let (original, received) = FakeServer::original(original_reply);
    let address = original.address().to_string();
    let outcome = run(CLIENT, &["--connect", &address, "day", "date", "help", "time"], "");
    outcome.assert(1, "Sunday\n26-11-22\n15:44:57\n", &format!("daytime-client: help: {}\n", errors::INVALID));
    original.finish();
    assert_eq!(received.iter().collect::<Vec<_>>(), ["\n", "day", "date", "help", "time", "quit"]);
}

#[test]
fn a_timeout_names_the_command() {
    let (fake, _) = FakeServer::original(|command| if command == "day" { "Sunday".into() } else { String::new() });
    let outcome = run(CLIENT, &["--timeout=0.4", "--connect", &fake.address().to_string(), "day", "time"], "");
    outcome.assert(1, "Sunday\n", "daytime-client: time: timed out before the reply was complete\n");
}

// ---- JSON

#[test]
fn json_is_an_object_a_line() {
    let (_server, address) = fixed_server();
    let expected = concat!(
        r#"{"command":"time Asia/Tokyo","ok":true,"reply":"00:44:57"}"#,
        "\n",
        r#"{"command":"x\"y","ok":false,"error":"You entered an invalid command"}"#,
        "\n",
        r#"{"command":"a\u001bb","ok":false,"error":"the command \"a\\u{1b}b\" has a control character"}"#,
        "\n",
        r#"{"command":"day","ok":true,"reply":"Sunday"}"#,
        "\n",
    );
    let commands = ["time", "Asia/Tokyo", "x\"y", "a\x1bb", "day", "quit", "day"];
    let arguments = [&["--json", "--connect", &address], &commands[..]].concat();
    run(CLIENT, &arguments, "date\n").assert(1, expected, "");
    // The same from standard input, without the greeting.
    let input = "time Asia/Tokyo\n\nx\"y\na\x1bb\n day \nquit\nday\n";
    run(CLIENT, &["--json", "--connect", &address], input).assert(1, expected, "");
    run(CLIENT, &["--json", "--connect", &address], "").assert(0, "", "");
}

#[test]
fn an_error_of_the_connection_in_json_has_a_kind() {
    let (_kept, refusing) = refusing_address();
    let connect = refusing.to_string();
    let error = format!("connect {refusing}: Connection refused (os error 111)");
    let line = format!("{{\"ok\":false,\"error\":\"{error}\",\"kind\":\"io\"}}\n");
    run(CLIENT, &["--json", "--connect", &connect, "day"], "").assert(1, &line, "");

    let (fake, _) = FakeServer::line_based("Hi", |command| (command == "day").then(|| "Sunday".into()));
    let outcome = run(CLIENT, &["--json", "--connect", &fake.address().to_string(), "day", "time", "day"], "");
    let lines = concat!(
        r#"{"command":"day","ok":true,"reply":"Sunday"}"#,
        "\n",
        r#"{"command":"time","ok":false,"error":"the connection is closed","kind":"closed"}"#,
        "\n"
    );
    outcome.assert(1, lines, "");

    let full = FakeServer::new(|mut peer| {
        peer.expect("\n");
        peer.send("The server is full\n");
    });
    let outcome = run(CLIENT, &["--json", "--connect", &full.address().to_string()], "day\n");
    outcome.assert(1, "{\"ok\":false,\"error\":\"The server is full\",\"kind\":\"refused\"}\n", "");

    let hole = BlackHole::new((Ipv4Addr::LOCALHOST, 0));
    let outcome = run(CLIENT, &["--json", "--timeout=0.3", "--connect", &hole.address().to_string(), "day"], "");
    let error = "timed out before the reply was complete";
    outcome.assert(1, &format!("{{\"ok\":false,\"error\":\"{error}\",\"kind\":\"timeout\"}}\n"), "");
}

// ---- A pipe

#[test]
fn the_loop_reads_a_pipe_without_prompts() {
    let (_server, address) = fixed_server();
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
    ] {
        let outcome = run(CLIENT, &["--connect", &address], input);
        outcome.assert(0, &format!("{GREETING}\n{replies}"), "");
    }
    // Errors go to the other output, and into the exit code.
    for (input, error) in [
        ("nonsense\nday\n", "nonsense: You entered an invalid command"),
        ("  time  Mars \nday\n", "time  Mars: You entered an unknown time zone"),
        ("a\x01b\nday\n", "the command \"a\\u{1}b\" has a control character"),
    ] {
        let outcome = run(CLIENT, &["--connect", &address], input);
        outcome.assert(1, &format!("{GREETING}\nSunday\n"), &format!("daytime-client: {error}\n"));
    }
}

#[test]
fn the_loop_works_with_the_original() {
    let (original, _) = FakeServer::original(original_reply);
    let outcome = run(CLIENT, &["--connect", &original.address().to_string()], "day\n\nDATE\nx\ntime\nquit\n");
    let replies = "Sunday\n26-11-22\n15:44:57\n";
    outcome.assert(1, &format!("{GREETING}\n{replies}"), &format!("daytime-client: x: {}\n", errors::INVALID));
}

#[test]
fn each_reply_is_printed_before_the_next_command() {
    let (_server, address) = fixed_server();
    let mut client = Program::start(Command::new(CLIENT).args(["--connect", &address]));
    assert_eq!(client.out.line(), GREETING);
    for (command, reply) in [("day", "Sunday"), ("time", "15:44:57")] {
        client.send(&format!("{command}\n"));
        assert_eq!(client.out.line(), reply);
    }
    client.finish().assert(0, "", "");
}

#[test]
fn a_reader_that_closes_early_is_not_an_error() {
    let (_server, address) = fixed_server();
    // The pipe `| head -1` closes after one line.
    let head = |arguments: &str| {
        let line = format!("{{ '{CLIENT}' --connect {address} {arguments}; echo $? >&2; }} | head -1");
        let mut shell = Program::start(Command::new("sh").args(["-c", &line]));
        let first = shell.out.line();
        // `head` has closed the pipe, or closes it soon.
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
fn a_server_that_cannot_be_used_is_reported() {
    let (_kept, refusing) = refusing_address();
    let hole = BlackHole::new((Ipv4Addr::LOCALHOST, 0));
    let server_that_sends = |text: &'static str| {
        FakeServer::new(move |mut peer| {
            peer.expect("\n");
            peer.send(text);
        })
    };
    for commands in [&["day"][..], &[]] {
        let (full, other) = (server_that_sends("The server is full\n"), server_that_sends("220 \x1b[31mmail"));
        for (address, error) in [
            (refusing, format!("connect {refusing}: Connection refused (os error 111)")),
            (hole.address(), "timed out before the reply was complete".into()),
            (full.address(), "The server is full".into()),
            (other.address(), "the peer does not speak this protocol; it sent 13 bytes: 220 \\x1b[31mmail".into()),
        ] {
            let address = address.to_string();
            let arguments = [&["--timeout", "0.3", "--connect", &address], commands].concat();
            let (outcome, took) = timed(|| run(CLIENT, &arguments, "day\n"));
            outcome.assert(1, "", &format!("daytime-client: {error}\n"));
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }
}

#[test]
fn a_server_that_goes_away_ends_the_loop() {
    let (fake, _) = FakeServer::line_based("Hi", |command| (command == "day").then(|| "Sunday".into()));
    let outcome = run(CLIENT, &["--connect", &fake.address().to_string()], "day\ntime\nday\n");
    outcome.assert(1, "Hi\nSunday\n", "daytime-client: time: the connection is closed\n");
}

#[test]
fn a_name_with_a_dead_address_before_a_live_one_connects() {
    // A new mount namespace has a hosts file with two addresses for one name.
    let folder = Folder::new();
    let hosts = folder.write("hosts", "::1 twin\n127.0.0.1 twin\n");
    let within = |line: &str| {
        let script = format!("mount --bind '{hosts}' /etc/hosts && {line}");
        Program::start(Command::new("unshare").args(["-rm", "sh", "-c", &script])).finish()
    };
    let possible = Command::new("unshare").arg("-V").output().is_ok_and(|output| output.status.success())
        && within("getent ahosts twin").out.starts_with("::1");
    if !possible {
        return skip("a namespace with another hosts file is not possible on this machine");
    }
    let hole = BlackHole::new((Ipv6Addr::LOCALHOST, 0));
    let port = hole.address().port();
    let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else {
        return skip(format!("port {port} is in use"));
    };
    let fake = FakeServer::on(listener, |mut peer| {
        peer.complete_greeting("Hi");
        peer.expect("day\n");
        peer.send("Sunday\n");
        peer.expect("quit\n");
    });
    let (outcome, took) = timed(|| within(&format!("exec '{CLIENT}' --timeout 4 --connect twin:{port} day")));
    outcome.assert(0, "Sunday\n", "");
    // Each of the two addresses has half of the timeout.
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
    fake.finish();
}
