//! Real proxies in front of the server: HAProxy and nginx. A proxy that is not installed prints SKIPPED.
//!
//! Each proxy inherits its listening socket from the test. So its port is free for certain, and its first clients wait in
//! the queue until it has started.

#[path = "common/mod.rs"]
mod common;

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use crossbeam_channel::Receiver;
use daytime::{
    Event, EventOptions, Reason, Server, ServerBuilder, Service,
    protocol::{GREETING, errors},
};
use socket2::SockRef;

use common::{
    Folder, SetOnDrop, eventually, installed, next_event,
    peer::{Peer, assert_bytes},
    process::Program,
    skip, tcp, unbound_builder,
};

/// A server for the clients of a proxy at 127.0.0.1.
fn proxied() -> ServerBuilder {
    unbound_builder().listen_as(Service::Proxied, "127.0.0.1:0").proxy("127.0.0.1")
}

fn address(server: &Server) -> SocketAddr {
    tcp(&server.addresses_of(Service::Proxied)[0])
}

/// A socket that listens, for a child.
fn inherited() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_cloexec(false).unwrap();
    listener
}

/// Sections of a configuration of HAProxy.
fn haproxy(folder: &Folder, sections: &str) -> Program {
    let config = format!(
        "global\n  maxconn 500\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 retries 5\n  option redispatch 1\n{sections}"
    );
    let file = folder.write("haproxy.cfg", &config);
    let check = Command::new("haproxy").args(["-c", "-f", &file]).output().unwrap();
    assert!(check.status.success(), "{config}\n{}", String::from_utf8_lossy(&check.stderr));
    Program::start(Command::new("haproxy").args(["-db", "-f", &file]))
}

/// A client of the proxy has its address in the events of the server, and in its limits and networks.
fn addresses_count(port: u16, events: &Receiver<Event>) {
    let mut clients = Vec::new();
    for last in 2..=8 {
        let mut client = Peer::connect_from([127, 0, 0, last], port);
        client.ask("day\n", format!("{GREETING}\nSunday\n"));
        assert_eq!(of_a_client(events), format!("connected {}", client.address()));
        clients.push(client);
    }
    let mut second = Peer::connect_from([127, 0, 0, 2], port);
    second.expect(format!("{}\n", errors::PER_SOURCE));
    second.expect_eof();
    assert_eq!(of_a_client(events), format!("refused {}: {}", second.address(), Reason::PerSource));
    let denied = Peer::connect_from([127, 0, 0, 9], port);
    let refused = format!("refused {}: {}", denied.address(), Reason::Denied);
    denied.expect_nothing();
    assert_eq!(of_a_client(events), refused);
    drop(clients.swap_remove(0));
    while !of_a_client(events).starts_with("disconnected 127.0.0.2:") {}
    Peer::connect_from([127, 0, 0, 2], port).ask("\n", format!("{GREETING}\n"));
}

/// The next event of a client at another address than the proxy's, which is that of its checks.
fn of_a_client(events: &Receiver<Event>) -> String {
    loop {
        let (text, peer) = match next_event(events) {
            Event::Connected { peer, .. } => (format!("connected {peer}"), peer),
            Event::Disconnected { peer, .. } => (format!("disconnected {peer}"), peer),
            Event::Refused { peer, reason } => (format!("refused {peer}: {reason}"), peer),
            other => panic!("{other:?}"),
        };
        if tcp(&peer).ip().to_string() != "127.0.0.1" {
            return text;
        }
    }
}

#[test]
fn haproxy_names_its_clients() {
    if !installed(&["haproxy"]) {
        return;
    }
    for (options, of_server) in [
        ("", "send-proxy"),
        ("", "send-proxy-v2"),
        ("", "send-proxy-v2 check inter 100ms"),
        ("", "send-proxy check inter 100ms"),
        ("", "send-proxy check-send-proxy check inter 100ms port PORT"),
        ("  option tcp-check\n", "send-proxy-v2 check inter 100ms"),
        ("  option tcp-check\n  tcp-check expect string Welcome\n", "send-proxy-v2 check inter 100ms"),
        ("", "send-proxy-v2 proxy-v2-options unique-id,crc32c"),
    ] {
        let folder = Folder::new();
        let server = proxied().max_clients_per_source(1).deny("127.0.0.9").start().unwrap();
        // Some checks are refused as a second client of their source.
        let (events, checks) = (
            server.events_with(EventOptions::new().capacity(1 << 16)),
            server.events_with(EventOptions::new().capacity(1 << 16)),
        );
        let (at, front) = (address(&server), inherited());
        let of_server = of_server.replace("PORT", &at.port().to_string());
        let _proxy = haproxy(
            &folder,
            &format!("listen front\n  bind fd@{}\n{options}  server a {at} {of_server}\n", front.as_raw_fd()),
        );
        let port = front.local_addr().unwrap().port();
        addresses_count(port, &events);
        // A check is the proxy's own client, and its header is valid.
        if of_server.contains("check") {
            let is_check = |event: &Event| matches!(event, Event::Connected { peer, .. } if tcp(peer).ip().to_string() == "127.0.0.1");
            while !is_check(&next_event(&checks)) {}
        }
        for event in checks.try_iter() {
            assert!(!matches!(event, Event::Refused { reason: Reason::ProxyHeader, .. }), "{of_server}: {event:?}");
        }
    }
}

/// The second proxy reads the header of the first, and writes its own with the same client.
#[test]
fn a_chain_of_haproxies_names_the_first_client() {
    if !installed(&["haproxy"]) {
        return;
    }
    let folder = Folder::new();
    let server = proxied().max_clients_per_source(1).deny("127.0.0.9").start().unwrap();
    let events = server.events();
    let (front, second) = (inherited(), inherited());
    let _proxy = haproxy(
        &folder,
        &format!(
            "listen front\n  bind fd@{}\n  server a {} send-proxy-v2\n\
             listen second\n  bind fd@{} accept-proxy\n  server a {} send-proxy-v2\n",
            front.as_raw_fd(),
            second.local_addr().unwrap(),
            second.as_raw_fd(),
            address(&server),
        ),
    );
    addresses_count(front.local_addr().unwrap().port(), &events);
}

/// A proxy that sends no header is not served, and the log names its address.
#[test]
fn a_proxy_without_a_header_is_refused() {
    if !installed(&["haproxy"]) {
        return;
    }
    let folder = Folder::new();
    let server = proxied().start().unwrap();
    let events = server.events();
    let front = inherited();
    let _proxy =
        haproxy(&folder, &format!("listen front\n  bind fd@{}\n  server a {}\n", front.as_raw_fd(), address(&server)));
    let mut client = Peer::connect_from([127, 0, 0, 2], front.local_addr().unwrap().port());
    client.send("day\n");
    client.expect_nothing();
    match next_event(&events) {
        Event::Refused { peer, reason: Reason::ProxyHeader } => assert_eq!(tcp(&peer).ip().to_string(), "127.0.0.1"),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.stats().accepted, 0);
}

/// One of two servers behind HAProxy drains and ends, another takes its port, and the second one ends.
#[test]
fn no_session_is_lost_when_one_server_of_two_ends() {
    if !installed(&["haproxy"]) {
        return;
    }
    let folder = Folder::new();
    let [first, second] = [(); 2].map(|()| proxied().start().unwrap());
    let places = [address(&first), address(&second)];
    let front = inherited();
    let servers = places.map(|at| format!("  server s{} {at} send-proxy-v2 check inter 100ms\n", at.port())).concat();
    let _proxy = haproxy(&folder, &format!("listen front\n  bind fd@{}\n{servers}", front.as_raw_fd()));
    let port = front.local_addr().unwrap().port();
    let (ended, sessions) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let end = SetOnDrop(&ended);
        let clients: Vec<_> = (2..=5)
            .map(|last| {
                let (ended, sessions) = (&ended, &sessions);
                scope.spawn(move || {
                    while !ended.load(SeqCst) {
                        let mut client = Peer::connect_from([127, 0, 0, last], port);
                        client.send("\nday\nquit\n");
                        assert_bytes(&client.rest(), format!("{GREETING}\nSunday\n").as_bytes());
                        sessions.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let more = |n: usize| {
            let before = sessions.load(SeqCst);
            // A client that has failed does not leave this test waiting.
            let goes_on = || clients.iter().all(|client| !client.is_finished());
            eventually("the clients go on", || !goes_on() || sessions.load(SeqCst) >= before + n);
        };
        more(100);
        first.drain(Duration::from_secs(20));
        assert!(first.wait(Some(Duration::from_secs(25))));
        more(100);
        let again = unbound_builder().listen_as(Service::Proxied, places[0]).proxy("127.0.0.1").start().unwrap();
        // HAProxy has found it.
        let served = || again.stats().commands > 0;
        eventually("it serves", || served() || clients.iter().any(thread::ScopedJoinHandle::is_finished));
        more(100);
        second.drain(Duration::from_secs(20));
        assert!(second.wait(Some(Duration::from_secs(25))));
        more(100);
        // While the last server serves them.
        drop(end);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    assert!(sessions.load(SeqCst) >= 400);
}

/// nginx sends the header and the client's first bytes in one segment, and needs `proxy_half_close on` for a client that
/// closes its side after its commands.
#[test]
fn nginx_names_its_clients_and_serves_half_closed_ones() {
    if !installed(&["nginx"]) {
        return;
    }
    let folder = Folder::new();
    let server = proxied().max_clients_per_source(1).deny("127.0.0.9").start().unwrap();
    let events = server.events();
    let front = inherited();
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let load = if Path::new(module).exists() { format!("load_module {module};\n") } else { String::new() };
    let config = format!(
        "{load}daemon off;\nworker_processes 1;\npid {};\nerror_log stderr;\nevents {{}}\nstream {{\n  server {{\n    \
         listen {};\n    proxy_pass {};\n    proxy_protocol on;\n    proxy_half_close on;\n  }}\n}}\n",
        folder.name("pid"),
        front.local_addr().unwrap(),
        address(&server),
    );
    let file = folder.write("nginx.conf", &config);
    // The variable that nginx passes to its successor: the sockets that listen already.
    let command = |arguments: &[&str]| {
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-c", &file]).args(arguments).env("NGINX", format!("{};", front.as_raw_fd()));
        command
    };
    let check = command(&["-t"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&check.stderr);
    if complaint.contains("unknown directive \"stream\"") {
        return skip("nginx has no module for streams");
    }
    assert!(check.status.success(), "{complaint}");
    let _proxy = Program::start(&mut command(&[]));
    let port = front.local_addr().unwrap().port();
    addresses_count(port, &events);
    eventually("all have left", || server.stats().clients == 0);
    for n in 0..100 {
        let mut client = Peer::connect_from([127, 0, 1, n], port);
        client.send("\nday\ntime UTC\n");
        client.finish();
        assert_bytes(&client.rest(), format!("{GREETING}\nSunday\n15:44:57\n").as_bytes());
    }
    // A client of the original, whose command nginx glues to the header.
    let mut client = Peer::connect_from([127, 0, 0, 3], port);
    client.send("day");
    client.expect(format!("{GREETING}Sunday"));
}
