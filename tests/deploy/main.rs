//! The examples for HAProxy, nginx, Kubernetes, containers and Debian, run by the programs they are written for.
//!
//! A test takes the file that a reader would take, and replaces its ports by free ones. `tests/python/test_deploy.py`
//! has the checks that need tools written in Python.

#[path = "../common/mod.rs"]
mod common;

mod container;
mod debian;
mod haproxy;
mod kubernetes;
mod load;
mod nginx;

use std::{
    fs,
    net::{IpAddr, TcpListener},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use common::process::{Program, SERVER, local};

/// The path of an example.
fn example(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "examples", name].iter().collect()
}

/// The text of an example, with other ports: pairs of the example's port and the test's.
#[track_caller]
fn example_with_ports(name: &str, ports: &[(&str, u16)]) -> String {
    let text = fs::read_to_string(example(name)).unwrap();
    ports.iter().fold(text, |text, (from, to)| {
        let without_comments = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert_eq!(without_comments.flat_map(|line| line.matches(from)).count(), 1, "{from} in {name}");
        text.replace(from, &to.to_string())
    })
}

/// A port that no program listens on. It is below the ports that the kernel gives to clients, so that it stays free
/// while a server restarts.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() % 1000 * 10;
    loop {
        let port = 12_000 + (first as u16 + NEXT.fetch_add(1, Relaxed)) % 20_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A server on this port with constant replies. With a flag for it, the server expects the PROXY protocol.
#[track_caller]
fn server_behind_proxy(port: u16, arguments: &[&str]) -> Program {
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(SERVER);
    command.args(["--listen-proxied", &address, "--proxy", "127.0.0.1"]);
    command.args(["--day-format", "Sunday", "--time-format", "15:44:57", "--workers", "1"]).args(arguments);
    let mut program = Program::start(&mut command);
    let line = program.out.line();
    assert!(line.starts_with("Server is listening on "), "{line}");
    assert!(TcpListener::bind(local(port)).is_err());
    program
}

/// The addresses in the lines that a server prints for new clients.
fn client_addresses(output: &str) -> Vec<IpAddr> {
    let rest_of =
        |line: &'_ str| line.strip_prefix("Connection has been established with client IP ").map(str::to_owned);
    output.lines().filter_map(rest_of).map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
}
