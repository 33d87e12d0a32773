//! `examples/nginx`, run by nginx.

use std::{net::TcpStream, process::Command};

use nix::sys::signal::Signal;

use crate::{
    common::{
        Folder, eventually, installed,
        process::{Program, local, run},
        skip,
    },
    example_with_ports, free_port,
    load::{End, SOURCES, losses},
    server_behind_proxy,
};

/// nginx with the example's configuration, and its two servers.
struct Balanced {
    port: u16,
    servers: [Program; 2],
    _folder: Folder,
    _nginx: Program,
}

impl Balanced {
    /// Starts all three, with a change of the configuration. Returns `None` if nginx or its stream module is missing.
    #[track_caller]
    fn start(arguments: &[&str], change: fn(String) -> String) -> Option<Balanced> {
        if !installed(&["nginx"]) {
            return None;
        }
        let folder = Folder::new();
        let [port, first, second] = [(); 3].map(|()| free_port());
        let ports = [("9990", port), ("9993", first), ("9994", second)];
        let text = change(example_with_ports("nginx/stream.conf", &ports));
        let stream = folder.write("stream.conf", &text);
        let main = format!(
            "include /etc/nginx/modules-enabled/*stream*.conf;\npid {};\ndaemon off;\nevents {{}}\ninclude {stream};\n",
            folder.name("pid")
        );
        let main = folder.write("nginx.conf", &main);
        let files = ["-e", "stderr", "-c", &main];
        let checked = run("nginx", &[&files[..], &["-t"]].concat(), "");
        if checked.err.contains("unknown directive \"stream\"") {
            skip("nginx does not have its stream module");
            return None;
        }
        assert_eq!(checked.code, Some(0), "{checked:?}");
        let servers = [first, second].map(|port| server_behind_proxy(port, arguments));
        let mut nginx = Program::start(Command::new("nginx").args(files));
        eventually("nginx listens", || {
            assert!(nginx.is_running(), "{}", nginx.err.rest());
            TcpStream::connect(local(port)).is_ok()
        });
        Some(Balanced { port, servers, _folder: folder, _nginx: nginx })
    }
}

/// A client that closes its side before it reads gets all replies, as README.md's `nc -N` does.
#[test]
fn half_closing_clients_get_every_reply() {
    let Some(balanced) = Balanced::start(&["--quiet"], |config| config) else { return };
    assert_eq!(losses(200, balanced.port, End::HalfClose), [""; 0]);
    assert_eq!(losses(200, balanced.port, End::Quit), [""; 0]);
}

/// The other side of the test above: nginx's default loses replies.
#[test]
fn without_proxy_half_close_nginx_loses_replies() {
    let change = |config: String| config.replace("proxy_half_close on;", "");
    let Some(balanced) = Balanced::start(&["--quiet"], change) else { return };
    assert_eq!(losses(40, balanced.port, End::Quit), [""; 0]);
    let lost = losses(200, balanced.port, End::HalfClose);
    println!("{} of 200 lost", lost.len());
    assert_ne!(lost, [""; 0]);
}

#[test]
fn a_killed_server_is_replaced_by_the_other() {
    let Some(mut balanced) = Balanced::start(&["--quiet"], |config| config) else { return };
    balanced.servers[0].signal(Signal::SIGKILL);
    balanced.servers[0].wait();
    assert_eq!(losses(200, balanced.port, End::HalfClose), [""; 0]);
}

#[test]
fn servers_see_the_addresses_of_the_clients() {
    let Some(mut balanced) = Balanced::start(&[], |config| config) else { return };
    assert_eq!(losses(40, balanced.port, End::HalfClose), [""; 0]);
    let outputs = balanced.servers.each_mut().map(|server| {
        server.signal(Signal::SIGTERM);
        server.finish().out
    });
    let seen = crate::client_addresses(&outputs.concat());
    for source in SOURCES {
        assert!(seen.contains(&source.into()), "{source:?} in {seen:?}");
    }
}
