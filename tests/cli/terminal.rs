//! `daytime-client` on a terminal.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use daytime::protocol::{GREETING, errors};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::client::fixed_server;
use crate::common::{
    Folder,
    fake_server::{FakeServer, original_reply},
    process::{CLIENT, Program, run},
    skip,
};

const PROMPT: &str = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";

/// Runs the client on a new terminal, which `script` opens. The error output goes to the terminal too.
///
/// The tests may run with SIGINT ignored, as in a background job. The client does not.
fn terminal(term: &str, address: &str) -> Option<Program> {
    terminal_with(term, address, "", &[("DAYTIME_HISTORY", Path::new(""))])
}

/// The same with further arguments, as a shell has them, and with an environment.
pub(crate) fn terminal_with(
    term: &str,
    address: &str,
    arguments: &str,
    environment: &[(&str, &Path)],
) -> Option<Program> {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "script"]).env("TERM", term).env("SHELL", "/bin/sh");
    command.envs(environment.iter().copied());
    // A shell runs between script(1) and the client: script(1) stops itself when its direct child stops.
    command.env("CLIENT", CLIENT).env("ADDRESS", address);
    command.env("ARGUMENTS", arguments);
    let line = r#"sh -c 'echo pid=$$.; eval "exec \"\$CLIENT\" --connect \"\$ADDRESS\" $ARGUMENTS"'; exit $?"#;
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

/// As a fast typist and a terminal that pastes do.
#[test]
fn lines_that_are_typed_ahead_are_commands() {
    for term in ["xterm", "dumb"] {
        let (_server, address) = fixed_server();
        let Some(mut client) = terminal(term, &address) else { return };
        // The terminal is not asked to mark what it pastes (xterm's control sequences, "bracketed paste mode").
        assert!(!client.out.until(PROMPT).contains("\x1b[?2004h"), "{term}");
        client.send("day\rtime\rdate\rexit\r");
        for reply in ["Sunday", "15:44:57", "26-11-22"] {
            client.out.until(&format!("{reply}\r\n"));
        }
        assert_eq!(client.finish().code, Some(0), "{term}");
    }
}

#[test]
fn zones_of_the_system_are_completed() {
    let source = Path::new("/usr/share/zoneinfo/UTC");
    if !source.exists() {
        return skip("this machine does not have a zone database");
    }
    // A folder with few zones, of which the server knows some.
    let folder = Folder::new();
    for zone in ["Asia/Tokyo", "Europe/Berlin", "Europe/Bern", "Europe/x/Y", "localtime"] {
        let file = folder.at(zone);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(source, file).unwrap();
    }
    let (_server, address) = fixed_server();
    let environment = [("DAYTIME_HISTORY", Path::new("")), ("TZDIR", folder.path())];
    let Some(mut client) = terminal_with("xterm", &address, "", &environment) else { return };
    client.out.until(PROMPT);
    client.send("datetime ASIA\t");
    client.out.until("Asia/");
    client.send("\t\r");
    client.out.until("\n2026-11-23T00:44:57+09:00\r\n");
    // The common part first, and with the second Tab the candidates.
    client.out.until(PROMPT);
    client.send("time e\t");
    client.out.until("Europe/");
    client.send("\t\t");
    client.out.until("Europe/Berlin");
    client.out.until("Europe/Bern");
    client.out.until("Europe/x/");
    client.send("Berl\t\r");
    client.out.until("\n16:44:57\r\n");
    // Links to the system's choice are not zones, and `timestamp` does not take any.
    client.out.until(PROMPT);
    client.send("time loc\tal\r");
    client.out.until(&format!("\n{}\r\n", errors::UNKNOWN_ZONE));
    client.out.until(PROMPT);
    client.send("timestamp A\tx\r");
    client.out.until(&format!("\n{}\r\n", errors::INVALID));
    client.out.until(PROMPT);
    client.send("help dat\tti\t\r");
    client.out.until("\ndatetime [ZONE]\r\n");
    client.out.until(PROMPT);
    client.send("\x04");
    assert_eq!(client.finish().code, Some(0));
}

#[test]
fn the_history_is_kept_for_the_next_session() {
    let folder = Folder::new();
    let (_server, address) = fixed_server();
    let file = folder.at("state/daytime/history");
    let state = folder.at("state");
    let session = |environment: &[(&str, &Path)], lines: &[(&str, &str)]| {
        let Some(mut client) = terminal_with("xterm", &address, "", environment) else { return false };
        for (keys, reply) in lines {
            client.out.until(PROMPT);
            client.send(keys);
            client.out.until(&format!("\n{reply}\r\n"));
        }
        client.out.until(PROMPT);
        client.send("\x04");
        let outcome = client.finish();
        assert_eq!((outcome.code, outcome.out.contains("history")), (Some(0), false), "{outcome:?}");
        true
    };
    let environment = [("XDG_STATE_HOME", &*state), ("HOME", Path::new("/nonexistent"))];
    // A command that begins with a blank is not kept.
    if !session(&environment, &[("date\r", "26-11-22"), ("time UTC\r", "15:44:57"), (" day\r", "Sunday")]) {
        return;
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    session(&environment, &[("\x1b[A\r", "15:44:57"), ("\x1b[A\x1b[A\r", "26-11-22")]);
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.ends_with("date\ntime UTC\ndate\n") && !kept.contains("day"), "{kept:?}");
    // The folder of HOME; a file of its own; and none.
    session(&[("HOME", folder.path()), ("XDG_STATE_HOME", Path::new("relative"))], &[("date\r", "26-11-22")]);
    assert!(folder.at(".local/state/daytime/history").exists());
    let other = folder.at("other");
    session(&[("DAYTIME_HISTORY", &other), ("XDG_STATE_HOME", &state)], &[("day\r", "Sunday")]);
    assert!(fs::read_to_string(&other).unwrap().ends_with("\nday\n"));
    fs::remove_file(&file).unwrap();
    session(&[("DAYTIME_HISTORY", Path::new("")), ("XDG_STATE_HOME", &state)], &[("day\r", "Sunday")]);
    assert!(!file.exists());
}

#[test]
fn a_history_that_cannot_be_kept_is_reported_once() {
    let folder = Folder::new();
    let (_server, address) = fixed_server();
    let huge = folder.at("huge");
    fs::File::create(&huge).and_then(|file| file.set_len((16 << 20) + 1)).unwrap();
    for (file, reason) in [(Path::new("/dev/null"), "it is not a regular file"), (&huge, "it has more than 16 MiB")] {
        let Some(mut client) = terminal_with("xterm", &address, "", &[("DAYTIME_HISTORY", file)]) else { return };
        client.out.until(&format!("daytime-client: the history is not kept: {}: {reason}\r\n", file.display()));
        client.out.until(PROMPT);
        client.send("day\r");
        client.out.until("\nSunday\r\n");
        client.out.until(PROMPT);
        client.send("\x04");
        let outcome = client.finish();
        assert_eq!((outcome.code, outcome.out.contains("history")), (Some(0), false), "{outcome:?}");
    }
}

#[test]
fn two_sessions_at_once_share_a_history() {
    let folder = Folder::new();
    let (_server, address) = fixed_server();
    let file = folder.at("history");
    let session = || terminal_with("xterm", &address, "", &[("DAYTIME_HISTORY", &file)]);
    let (Some(first), Some(second)) = (session(), session()) else { return };
    let mut clients = [first, second];
    clients.iter_mut().for_each(|client| _ = client.out.until(PROMPT));
    for (at, command, reply) in [(0, "day", "Sunday"), (1, "date", "26-11-22"), (0, "time", "15:44:57")] {
        clients[at].send(&format!("{command}\r"));
        clients[at].out.until(&format!("\n{reply}\r\n"));
        clients[at].out.until(PROMPT);
    }
    for mut client in clients {
        client.send("\x04");
        assert_eq!(client.finish().code, Some(0));
    }
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.ends_with("day\ndate\ntime\n"), "{kept:?}");
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
fn a_file_is_read_without_prompts_on_a_terminal_too() {
    let (_server, address) = fixed_server();
    let folder = Folder::new();
    let file = folder.write("commands", "day\nx\ntime\n");
    let environment = [("FILE", Path::new(&file))];
    let Some(mut client) = terminal_with("xterm", &address, "< \"$FILE\"", &environment) else { return };
    client.out.until(".\r\n");
    let printed = format!("{GREETING}\r\nSunday\r\ndaytime-client: x: {}\r\n15:44:57\r\n", errors::INVALID);
    client.finish().assert(1, &printed, "");
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
