//! `daytime-server --log-format json`.

use std::{net::TcpListener, process::Command};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::{
    Folder,
    peer::Peer,
    process::{Program, SERVER, fixed_server, inject, local, run},
};

/// A line of the log, without its time, which is checked.
#[track_caller]
fn object(line: &str) -> Value {
    let mut object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let time = object.as_object_mut().unwrap().remove("time").unwrap_or_default();
    let time = daytime::chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap();
    assert!(time.timestamp() > 1_700_000_000 && line.starts_with("{\"time\":\"") && line.contains("Z\","), "{line}");
    object
}

#[test]
fn each_event_is_an_object() {
    let arguments = ["--log-format", "json", "--workers=1", "--listen-rfc868=127.0.0.1:0", "--max-clients=1"];
    let mut server = Program::start(&mut fixed_server(&[""; 0], &arguments));
    let listening = object(&server.out.line());
    let address = listening["address"].as_str().unwrap().to_owned();
    let port: u16 = address.strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
    let message = format!("Server is listening on IP: 127.0.0.1 and Port: {port}");
    let expected = serde_json::json!({
        "event": "listening", "address": address, "protocol": "text", "message": message
    });
    assert_eq!(listening, expected);
    assert_eq!(object(&server.out.line())["protocol"], "rfc868");

    let mut first = Peer::greeted(port);
    let connected = object(&server.out.line());
    let peer = connected["peer"].as_str().unwrap().to_owned();
    let (ip, from) = peer.rsplit_once(':').unwrap();
    let message = format!("Connection has been established with client IP {ip} and port is {from}");
    assert_eq!(connected, serde_json::json!({"event": "connected", "client": 1, "peer": peer, "message": message}));
    drop(Peer::connect(port));
    let refused = object(&server.out.line());
    assert_eq!((&refused["event"], &refused["reason"]), (&"refused".into(), &"full".into()), "{refused}");
    assert!(refused["message"].as_str().unwrap().ends_with("has been refused: the server is full"));
    first.send("\nday\nquit\n");
    let closed = object(&server.out.line());
    let message = format!("Connection with {peer} has been closed after 2 commands: the client quit");
    let expected = serde_json::json!({
        "event": "disconnected", "client": 1, "peer": peer, "reason": "quit", "commands": 2, "message": message
    });
    assert_eq!(closed, expected);
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

#[test]
fn messages_are_objects_too() {
    let folder = Folder::new();
    let file = folder.write("daytime.toml", "log-format = \"json\"\nquiet = true\nlisten = [\"127.0.0.1:0\"]\n");
    let mut server = Program::start(Command::new(SERVER).args(["--config", &file]).env("TZ", "Mars/Olympus"));
    let message = "the time zone is UTC: TZ=\"Mars/Olympus\" is not a time zone";
    assert_eq!(object(&server.err.line()), serde_json::json!({"event": "warning", "message": message}));
    assert_eq!(object(&server.out.line())["event"], "listening");
    folder.write("daytime.toml", "quiet = \n");
    server.signal(Signal::SIGHUP);
    let error = object(&server.err.line());
    assert_eq!(error["event"], "error");
    assert!(error["message"].as_str().unwrap().starts_with(&format!("the networks are unchanged: {file}:1: ")));
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");

    let taken = TcpListener::bind(local(0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = run(SERVER, &["--listen", &address, "--bind-timeout=0.5", "--log-format=json"], "");
    let error = format!("bind {address}: Address already in use (os error 98)");
    let lines: Vec<Value> = outcome.err.lines().map(object).collect();
    let retry = format!("Server socket binding threw an error: {error}");
    let expected = [
        serde_json::json!({"event": "retry", "message": retry}),
        serde_json::json!({"event": "error", "message": error}),
    ];
    assert_eq!((outcome.code, &*outcome.out, &lines[..]), (Some(1), "", &expected[..]));
}

/// In both formats the log has the words of the system.
#[test]
fn a_lack_of_descriptors_is_told_with_the_words_of_the_system() {
    let words = "Too many open files (os error 24)";
    for format in ["text", "json"] {
        let Some(wrapper) = inject(&["accept4:error=EMFILE:when=1"]) else { return };
        let mut server = Program::start(&mut fixed_server(&wrapper, &["--workers=1", "--log-format", format]));
        let first = server.out.line();
        let port = first.split(" and Port: ").nth(1).unwrap();
        let port: u16 = port.split('"').next().unwrap().parse().unwrap();
        let _client = Peer::connect(port);
        let line = server.out.line();
        let message = format!("Accepting clients is paused, the system lacks file descriptors or memory: {words}");
        match format {
            "text" => assert_eq!(line, message),
            _ => {
                let expected = serde_json::json!({"event": "accept_paused", "error": words, "message": message});
                assert_eq!(object(&line), expected);
            }
        }
    }
}

/// The line before the next one that is written says how many were dropped, with one word in both formats.
#[test]
fn dropped_lines_are_counted_in_an_object() {
    let arguments = ["--log-format=json", "--workers=1", "--drain=0"];
    let mut server = Program::start(&mut fixed_server(&[""; 0], &arguments));
    let port = object(&server.out.line())["address"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    // More than the kernel and the program buffer: each client has two lines.
    let clients = 3000;
    for _ in 0..clients {
        let mut peer = Peer::greeted(port);
        peer.ask("\nquit\n", "\n");
    }
    // The program tells it as soon as its output takes a line again.
    let mut printed = 0;
    let told = loop {
        let object = object(&server.out.line());
        match object["event"].as_str().unwrap() {
            "dropped" => break object,
            event => assert!(["connected", "disconnected"].contains(&event), "{object}"),
        }
        printed += 1;
    };
    let dropped = told["dropped"].as_u64().unwrap();
    assert!(dropped > 0 && printed + dropped <= 2 * clients, "{printed} lines, {dropped} dropped");
    let message = format!("{dropped} lines were dropped here, because they could not be written");
    assert_eq!(told, serde_json::json!({"event": "dropped", "dropped": dropped, "message": message}));
}
