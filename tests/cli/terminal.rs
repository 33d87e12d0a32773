//! `daytime-client` on a terminal.

use std::process::Command;

use daytime::protocol::{GREETING, errors};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::client::fixed_server;
use crate::common::{
    fake_server::{FakeServer, original_reply},
    process::{CLIENT, Program, run},
    skip,
};

const PROMPT: &str = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";

/// Runs the client on a new terminal, which `script` opens. The error output goes to the terminal too.
///
/// The tests may run with SIGINT ignored, as in a background job. The client does not.
fn terminal(term: &str, address: &str) -> Option<Program> {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "script"]).env("TERM", term).env("SHELL", "/bin/sh");
    // A shell runs between script(1) and the client: script(1) stops itself when its direct child stops.
    command.env("CLIENT", CLIENT).env("ADDRESS", address);
    let line = r#"sh -c 'echo pid=$$.; exec "$CLIENT" --connect "$ADDRESS"'; exit $?"#;
    let version = Command::new("env").args(["--default-signal=INT", "script", "--version"]).output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("util-linux")) {
        skip("script(1) of util-linux or env(1) with --default-signal is missing");
        return None;
    }
    Some(Program::start(command.args(["-qec", line, "/dev/null"])))
}

#[test]
fn a_terminal_shows_the_prompt_of_the_original() {
    for term in ["xterm", "dumb"] {
        let (_server, address) = fixed_server();
        let Some(mut client) = terminal(term, &address) else { return };
        client.out.until(&format!("{GREETING}\r\n"));
        for (command, reply) in [("day", "Sunday"), ("", ""), ("TIME", "15:44:57"), ("x", errors::INVALID)] {
            client.out.until(PROMPT);
            client.send(&format!("{command}\r"));
            if !reply.is_empty() {
                client.out.until(&format!("\n{reply}\r\n"));
            }
        }
        client.out.until(PROMPT);
        client.send("Quit\r");
        assert_eq!(client.finish().code, Some(0), "{term}");
    }
}

#[test]
fn lines_are_edited_remembered_and_completed() {
    let (_server, address) = fixed_server();
    let Some(mut client) = terminal("xterm", &address) else { return };
    for (keys, reply) in [
        ("day\r", "Sunday"),
        // The key Up.
        ("\x1b[A\r", "Sunday"),
        ("date\r", "26-11-22"),
        ("\x1b[A\x1b[A\r", "Sunday"),
        ("datet\t\r", "2026-11-22T15:44:57+00:00"),
        ("TIMES\t\r", "1795362297"),
        // The key Left twice, a letter, another letter, and Backspace.
        ("tme\x1b[D\x1b[Dix\x7f\r", "15:44:57"),
    ] {
        client.out.until(PROMPT);
        client.send(keys);
        client.out.until(&format!("\n{reply}\r\n"));
    }
    client.out.until(PROMPT);
    client.send("ex\t\r");
    assert_eq!(client.finish().code, Some(0));
}

#[test]
fn control_keys_end_the_client() {
    for term in ["xterm", "dumb"] {
        for (key, code) in [("\x04", 0), ("\x03", 130)] {
            let (_server, address) = fixed_server();
            let Some(mut client) = terminal(term, &address) else { return };
            client.out.until(PROMPT);
            client.send(key);
            let rest = client.out.rest();
            assert!(!rest.contains("panic") && !rest.contains("daytime-client:"), "{rest:?}");
            assert_eq!(client.finish().code, Some(code), "{term} {key:?}");
        }
    }
}

#[test]
fn the_client_survives_a_resized_or_stopped_terminal() {
    let (_server, address) = fixed_server();
    let Some(mut client) = terminal("xterm", &address) else { return };
    client.out.until("pid=");
    let client_itself = Pid::from_raw(client.out.until(".").parse().unwrap());
    for signals in [&[Signal::SIGWINCH][..], &[Signal::SIGSTOP, Signal::SIGCONT]] {
        client.out.until(PROMPT);
        client.send("da");
        client.out.until("da");
        for signal in signals {
            kill(client_itself, *signal).unwrap();
        }
        client.send("y\r");
        client.out.until("\nSunday\r\n");
    }
    client.out.until(PROMPT);
    client.send("\x04");
    assert_eq!(client.finish().code, Some(0));
}

#[test]
fn control_characters_of_a_server_are_escaped_on_a_terminal() {
    let hostile = "\x1b[31mred\x1b]0;title\x07 \u{9b}2J\x08\x7f\u{202e}yaD\u{2028}";
    let shown = r"\u{1b}[31mred\u{1b}]0;title\u{7} \u{9b}2J\u{8}\u{7f}\u{202e}yaD\u{2028}";
    let answer = move |command: &str| (command != "quit").then(|| hostile.to_owned());

    let (fake, _) = FakeServer::line_based(hostile, answer);
    let Some(mut client) = terminal("xterm", &fake.address().to_string()) else { return };
    client.out.until(&format!("{shown}\r\n"));
    client.out.until(PROMPT);
    client.send("day\r");
    client.out.until(&format!("\n{shown}\r\n"));
    client.out.until(PROMPT);
    client.send("\x04");
    let everything = client.finish();
    assert_eq!(everything.code, Some(0));

    // A pipe gets the reply unchanged.
    let (fake, _) = FakeServer::line_based(hostile, answer);
    let outcome = run(CLIENT, &["--connect", &fake.address().to_string(), "day"], "");
    outcome.assert(0, &format!("{hostile}\n"), "");
}

#[test]
fn the_client_works_with_the_original_on_a_terminal() {
    let (original, _) = FakeServer::original(original_reply);
    let Some(mut client) = terminal("xterm", &original.address().to_string()) else { return };
    client.out.until(&format!("{GREETING}\r\n"));
    for (command, reply) in [("day", "Sunday"), ("date", "26-11-22"), ("time", "15:44:57"), ("x", errors::INVALID)] {
        client.out.until(PROMPT);
        client.send(&format!("{command}\r"));
        client.out.until(&format!("\n{reply}\r\n"));
    }
    client.out.until(PROMPT);
    client.send("quit\r");
    assert_eq!(client.finish().code, Some(0));
}
