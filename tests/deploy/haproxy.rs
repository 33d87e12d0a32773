//! `examples/haproxy`, run by HAProxy.

use std::{
    collections::HashSet,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::Command,
    thread,
};

use nix::sys::signal::Signal;

use crate::{
    common::{
        Folder, eventually, installed,
        process::{Program, run},
    },
    example_with_ports, free_port,
    load::{End, Load, SOURCES, losses},
    server_behind_proxy,
};

/// HAProxy with the example's configuration, and its two servers.
struct Balanced {
    port: u16,
    servers: [(u16, Program); 2],
    folder: Folder,
    haproxy: Program,
}

impl Balanced {
    /// Starts all three, with a change of the configuration. Returns `None` if HAProxy is missing.
    #[track_caller]
    fn start(arguments: &[&str], change: fn(String) -> String) -> Option<Balanced> {
        if !installed(&["haproxy"]) {
            return None;
        }
        let folder = Folder::new();
        let port = free_port();
        let servers = [(); 2].map(|()| {
            let port = free_port();
            (port, server_behind_proxy(port, arguments))
        });
        let ports = [("9990", port), ("9993", servers[0].0), ("9994", servers[1].0)];
        let text = change(example_with_ports("haproxy/haproxy.cfg", &ports));
        let config = folder.write("haproxy.cfg", &text);
        // Only the tests ask HAProxy for the state of its servers.
        let socket = format!("global\n stats socket {} level user\n", folder.name("stats"));
        let stats = folder.write("stats.cfg", &socket);
        let files = ["-f", &config, "-f", &stats];
        let checked = run("haproxy", &[&files[..], &["-c"]].concat(), "");
        assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""), "{checked:?}");
        let haproxy = Program::start(Command::new("haproxy").args(files).arg("-db"));
        let mut balanced = Balanced { port, servers, folder, haproxy };
        eventually("HAProxy runs", || {
            assert!(balanced.haproxy.is_running(), "{}", balanced.haproxy.err.rest());
            balanced.ask("show stat").is_some()
        });
        Some(balanced)
    }

    /// The reply of HAProxy's socket for statistics.
    fn ask(&self, question: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.at("stats")).ok()?;
        stream.write_all(format!("{question}\n").as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        Some(reply)
    }

    /// A column of a server's statistics, such as `status`.
    fn column(&self, server: &str, column: &str) -> String {
        let table = self.ask("show stat").unwrap();
        let mut rows = table.trim_start_matches("# ").lines().map(|line| line.split(',').collect::<Vec<_>>());
        let names = rows.next().unwrap();
        let row = rows.find(|row| row.starts_with(&["servers", server])).unwrap();
        row[names.iter().position(|name| *name == column).unwrap()].to_owned()
    }

    #[track_caller]
    fn wait_until_up(&self) {
        eventually("HAProxy has checked both servers", || {
            ["a", "b"]
                .iter()
                .all(|server| self.column(server, "status") == "UP" && self.column(server, "check_status") == "L7OK")
        });
    }
}

/// A server that is asked to end, and started again, while clients begin sessions all the time.
#[test]
fn every_session_survives_a_rolling_restart() {
    const RESTARTS: usize = 8;
    let Some(mut balanced) = Balanced::start(&["--quiet"], |config| config) else { return };
    let load = Load::default();
    thread::scope(|scope| {
        let _stop = load.start(scope, balanced.port);
        for restart in 0..RESTARTS {
            balanced.wait_until_up();
            load.wait_for(400);
            let (port, server) = &mut balanced.servers[restart % 2];
            server.signal(Signal::SIGTERM);
            assert_eq!(server.wait(), (Some(0), String::new()));
            *server = server_behind_proxy(*port, &["--quiet"]);
        }
        load.wait_for(400);
    });
    let lost = load.lost.into_inner().unwrap();
    println!("{} sessions, {RESTARTS} restarts, {} lost", load.sessions.into_inner(), lost.len());
    assert_eq!(lost, [""; 0]);
}

#[test]
fn a_killed_server_is_replaced_by_the_other() {
    let Some(mut balanced) = Balanced::start(&["--quiet"], |config| config) else { return };
    balanced.wait_until_up();
    let (port, server) = &mut balanced.servers[0];
    server.signal(Signal::SIGKILL);
    assert_eq!(server.wait().0, None);
    let port = *port;
    assert_eq!(losses(200, balanced.port, End::Quit), [""; 0], "HAProxy tries the other server");
    eventually("HAProxy marks the server down", || balanced.column("a", "status") == "DOWN");
    assert_eq!(balanced.column("a", "check_status"), "L4CON");
    assert_eq!(losses(200, balanced.port, End::HalfClose), [""; 0]);
    balanced.servers[0].1 = server_behind_proxy(port, &["--quiet"]);
    balanced.wait_until_up();
    let served = |balanced: &Balanced| balanced.column("a", "stot").parse::<u32>().unwrap();
    let before = served(&balanced);
    assert_eq!(losses(200, balanced.port, End::Quit), [""; 0]);
    assert!(served(&balanced) > before, "the restarted server gets clients");
}

/// The other side of the test above: it finds lost sessions.
#[test]
fn without_redispatch_a_killed_server_loses_sessions() {
    // Without checks HAProxy does not notice by itself that the server is gone.
    let change = |config: String| {
        let config = config.replace("option redispatch 1", "").replace("retries 3", "retries 0");
        config.replace("default-server check", "default-server")
    };
    let Some(mut balanced) = Balanced::start(&["--quiet"], change) else { return };
    assert_eq!(losses(40, balanced.port, End::Quit), [""; 0]);
    balanced.servers[0].1.signal(Signal::SIGKILL);
    balanced.servers[0].1.wait();
    assert_ne!(losses(40, balanced.port, End::Quit), [""; 0]);
}

/// The kernel still accepts connections for a server that hangs. Only a check with a question notices.
#[test]
fn a_server_that_hangs_is_marked_down() {
    let Some(balanced) = Balanced::start(&["--quiet"], |config| config) else { return };
    balanced.wait_until_up();
    balanced.servers[1].1.stop();
    eventually("HAProxy marks the server down", || balanced.column("b", "status") == "DOWN");
    assert_eq!(balanced.column("b", "check_status"), "L7TOUT");
    assert_eq!(losses(40, balanced.port, End::Quit), [""; 0]);
    balanced.servers[1].1.signal(Signal::SIGCONT);
    balanced.wait_until_up();
}

#[test]
fn servers_see_the_addresses_of_the_clients() {
    let Some(mut balanced) = Balanced::start(&[], |config| config) else { return };
    assert_eq!(losses(40, balanced.port, End::Quit), [""; 0]);
    let mut seen = HashSet::new();
    for (_, server) in &mut balanced.servers {
        server.signal(Signal::SIGTERM);
        seen.extend(crate::client_addresses(&server.finish().out));
    }
    for source in SOURCES {
        assert!(seen.contains(&source.into()), "{source:?} in {seen:?}");
    }
}
