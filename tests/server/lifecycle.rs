//! The life of a server from bind to the end of its last thread, and its effects on the host process.

use std::{
    fs::{self},
    net::TcpStream,
    thread,
    time::Duration,
};

use daytime::{ClientId, Reason, Server, Stats, protocol::GREETING};

use crate::common::{
    HELP, TIMEOUT, builder, eventually, in_own_process,
    peer::{Peer, assert_bytes, retry_if_slow},
    proc_fs::{descriptors, server_threads, status},
    server, tcp, timed,
};
use crate::helpers::{EventWatcher, assert_refused};

// ---- From bind to join

#[test]
fn clients_queue_between_bind_and_start() {
    let bound = builder().bind().unwrap();
    assert_ne!(bound.port(), 0);
    let mut peers: Vec<Peer> = (0..10).map(|_| Peer::connect(bound.port())).collect();
    peers.iter_mut().for_each(|peer| peer.send("day\n"));
    let (addresses, port) = (bound.addresses().to_vec(), bound.port());
    let server = bound.start().unwrap();
    assert_eq!((server.addresses(), server.port()), (addresses.as_slice(), port));
    peers.iter_mut().for_each(|peer| peer.expect(format!("{GREETING}\nSunday\n")));
}

#[test]
fn a_server_restarts_at_once() {
    // No other test uses this address, so the port stays free meanwhile.
    let first = builder().listen("127.0.0.27:0").start().unwrap();
    let address = tcp(&first.addresses()[1]);
    let mut peer = Peer::connect_to(address);
    peer.send("quit\n");
    peer.expect(format!("{GREETING}\n"));
    peer.expect_eof();
    drop((peer, first));
    // A connection in TIME_WAIT must exist, or the test would show nothing.
    let (local, time_wait) = (format!(" {:08X}:{:04X} ", 0x1b00_007f_u32, address.port()), " 06 ");
    let waits = |line: &str| line.contains(&local) && line.contains(time_wait);
    eventually("a connection is in TIME_WAIT", || fs::read_to_string("/proc/net/tcp").unwrap().lines().any(waits));
    let again = Server::builder().listen(address).start().unwrap();
    Peer::connect_to(address).expect(GREETING);
    assert_eq!(tcp(&again.addresses()[0]), address);
}

#[test]
fn wait_returns_whether_the_server_has_ended() {
    let server = server();
    assert!(!server.wait(Some(Duration::ZERO)));
    assert!(!server.wait(Some(Duration::from_millis(20))));
    let mut peer = Peer::greeted(server.port());
    thread::scope(|scope| {
        let waits = [None, Some(TIMEOUT), Some(Duration::MAX)].map(|timeout| {
            let server = &server;
            scope.spawn(move || server.wait(timeout))
        });
        server.stop();
        assert_eq!(waits.map(|wait| wait.join().unwrap()), [true; 3]);
    });
    assert!(server.wait(Some(Duration::ZERO)));
    peer.wait_closed();
    assert_refused(tcp(&server.addresses()[0]));
    // The server's methods still work.
    server.stop();
    server.drain(Duration::ZERO);
    assert!(server.clients().is_empty());
    let Stats { clients, accepted, .. } = server.stats();
    assert_eq!((clients, accepted), (0, 1));
}

#[test]
fn dropping_a_server_joins_its_threads_and_closes_everything() {
    if !in_own_process() {
        return;
    }
    let before = descriptors("self");
    for workers in [1, 3, 8] {
        let server = builder().workers(workers).start().unwrap();
        let (handle, events) = (server.handle(), server.events());
        let mut peers: Vec<Peer> = (0..10).map(|_| Peer::greeted(server.port())).collect();
        let mut names: Vec<String> = server_threads().into_iter().map(|(_, name)| name).collect();
        names.sort();
        assert_eq!(names, (0..workers).map(|n| format!("daytime-{n}")).collect::<Vec<_>>());
        drop(server);
        assert_eq!(server_threads(), []);
        peers.iter_mut().for_each(Peer::wait_closed);
        drop(peers);
        // A handle does not keep a server running. It only keeps the wakers of the pollers.
        handle.stop();
        assert!(handle.clients().is_empty());
        drop((handle, events));
        assert_eq!(descriptors("self"), before);
    }
}

#[test]
fn the_host_process_stays_unchanged() {
    if !in_own_process() {
        return;
    }
    let state = || {
        // The signals of this thread, which starts the server.
        let signals = ["SigCgt", "SigIgn", "SigBlk", "Umask"].map(|field| status("thread-self", field));
        (signals, std::env::current_dir().unwrap(), std::env::vars_os().collect::<Vec<_>>())
    };
    let before = state();
    let server = server();
    Peer::greeted(server.port()).ask("day\n", "\nSunday\n");
    // A failure does not print the state: an environment may contain secrets.
    assert!(state() == before);
    // Every signal, except two that cannot be blocked and two that glibc reserves.
    let blockable = [9, 19, 32, 33].iter().fold(u64::MAX, |mask, signal| mask & !(1 << (signal - 1)));
    let threads = server_threads();
    assert_eq!(threads.len(), 2);
    for (thread, name) in threads {
        let blocked = u64::from_str_radix(&status(&format!("self/task/{thread}"), "SigBlk"), 16).unwrap();
        assert_eq!(blocked & blockable, blockable, "{name}: {blocked:x}");
        assert!(name.len() <= 15, "{name}");
    }
    drop(server);
    assert!(state() == before);
}

#[test]
fn an_idle_server_uses_no_processor_time() {
    if !in_own_process() {
        return;
    }
    let switches = || -> u64 {
        let switches = |(task, _): &(String, String)| status(&format!("self/task/{task}"), "voluntary_ctxt_switches");
        server_threads().iter().map(|thread| switches(thread).parse::<u64>().unwrap()).sum()
    };
    let nanoseconds = || -> u64 {
        let spent = |(task, _): &(String, String)| fs::read_to_string(format!("/proc/self/task/{task}/schedstat"));
        server_threads()
            .iter()
            .map(|thread| spent(thread).map_or(0, |text| text.split(' ').next().unwrap().parse().unwrap()))
            .sum()
    };
    // A worker with busy_poll spins for a moment, and then sleeps too.
    for busy_poll in [None, Some(Duration::from_micros(200))] {
        let server = builder().idle_timeout(Duration::from_secs(3600)).busy_poll(busy_poll).start().unwrap();
        let mut peers: Vec<Peer> = (0..400).map(|_| Peer::greeted(server.port())).collect();
        peers.iter_mut().for_each(|peer| peer.ask("day", "Sunday"));
        let (before, spent) = (switches(), nanoseconds());
        thread::sleep(Duration::from_secs(1));
        assert!(switches() - before <= 2, "no worker wakes up while all clients are silent, {busy_poll:?}");
        assert!(nanoseconds() - spent < 500_000_000, "no worker spins, {busy_poll:?}");
    }
}

#[test]
fn stop_may_be_called_twice_and_from_two_threads() {
    for _ in 0..50 {
        let server = builder().workers(2).start().unwrap();
        let handle = server.handle();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| handle.stop());
            }
        });
        assert!(server.wait(Some(TIMEOUT)));
        handle.stop();
        assert!(handle.clients().is_empty());
        assert!(!handle.disconnect(ClientId::from(1)));
    }
}

// ---- Draining

#[test]
fn draining_closes_idle_clients_and_delivers_owed_replies() {
    let server = server();
    let events = EventWatcher::new(&server);
    let mut idle: Vec<Peer> = (0..6).map(|_| Peer::greeted(server.port())).collect();
    idle[0].ask("day", "Sunday");
    idle[1].ask("day\n", "\nSunday\n");
    // With framed lines, the start of a line is not a command.
    idle[1].send("tim");
    let mut busy: Vec<Peer> = (0..4).map(|_| Peer::narrow(server.port())).collect();
    for peer in &mut busy {
        peer.send("help\n".repeat(3000));
        peer.expect(GREETING);
    }
    server.drain(TIMEOUT);
    server.drain(Duration::ZERO); // only the first call has an effect
    for mut peer in idle {
        peer.expect_eof();
        let address = peer.address();
        drop(peer);
        assert_eq!(events.disconnect_of(address).0, Reason::Shutdown);
    }
    assert_refused(tcp(&server.addresses()[0]));
    assert!(!server.wait(Some(Duration::ZERO)));
    for mut peer in busy {
        let (rest, address) = (peer.rest(), peer.address());
        drop(peer);
        let (reason, commands) = events.disconnect_of(address);
        assert_eq!(reason, Reason::Shutdown);
        // The client gets the reply to each executed command, and the replies are more than the kernel buffers.
        assert_bytes(&rest, ("\n".to_owned() + &format!("{HELP}\n").repeat(commands as usize)).as_bytes());
        assert!(rest.len() > 65536, "{}", rest.len());
    }
    assert!(server.wait(Some(TIMEOUT)));
}

#[test]
fn draining_ends_after_its_grace() {
    let server = server();
    let mut stalled = Peer::narrow(server.port());
    stalled.send("help\n".repeat(3000));
    stalled.expect(GREETING);
    server.drain(Duration::from_millis(200));
    assert!(server.wait(Some(TIMEOUT)));
    stalled.wait_closed();
    assert_eq!(server.stats().clients, 0);
}

#[test]
fn draining_without_clients_ends_at_once() {
    let server = server();
    server.drain(Duration::MAX);
    assert!(server.wait(Some(TIMEOUT)));
}

/// When the drain begins, the acceptor has accepted clients that their workers do not have yet. Others wait in the queue.
#[test]
fn draining_answers_clients_that_were_just_accepted_or_wait() {
    for round in 0..100 {
        let bound = builder().bind().unwrap();
        let mut peers: Vec<Peer> = (0..50).map(|_| Peer::connect(bound.port())).collect();
        peers.iter_mut().for_each(|peer| peer.send("day\n"));
        let server = bound.start().unwrap();
        if round % 2 == 1 {
            // The server has begun to accept.
            peers[0].expect(format!("{GREETING}\nSunday\n"));
            peers.remove(0);
        }
        server.drain(TIMEOUT);
        for peer in &mut peers {
            peer.expect(format!("{GREETING}\nSunday\n"));
            peer.expect_eof();
        }
        drop(peers);
        assert!(server.wait(Some(TIMEOUT)));
        assert_eq!((server.stats().accepted, server.stats().clients), (50, 0));
    }
}

#[test]
fn draining_gives_new_clients_a_second_for_their_first_command() {
    // The client sends its command within the second. The first line end alone is not a command.
    let (server, mut peers) = retry_if_slow(|| {
        let server = self::server();
        let mut peers = [(); 3].map(|()| Peer::greeted(server.port()));
        peers[1].ask("\n", "\n");
        server.drain(TIMEOUT);
        eventually("the server is draining", || TcpStream::connect(tcp(&server.addresses()[0])).is_err());
        peers[0].send("day\n");
        peers[1].send("day\n");
        (server, peers)
    });
    peers[0].expect("\nSunday\n");
    peers[1].expect("Sunday\n");
    peers[..2].iter_mut().for_each(Peer::expect_eof);
    let ((), took) = timed(|| peers[2].expect_eof());
    assert!((Duration::from_millis(500)..TIMEOUT / 3).contains(&took), "a silent client was closed after {took:?}");
    drop(peers);
    assert!(server.wait(Some(TIMEOUT)));

    // The end of the drain comes first.
    let server = self::server();
    let mut silent = Peer::greeted(server.port());
    let ((), took) = timed(|| {
        server.drain(Duration::from_millis(100));
        silent.wait_closed();
    });
    assert!(took < Duration::from_millis(900), "{took:?}");
    assert!(server.wait(Some(TIMEOUT)));
}
