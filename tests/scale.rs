//! Many clients at once, the server a process of its own.
#![cfg(feature = "cli")]

mod common;

use std::thread;

use crate::common::peer::{Peer, descriptors, eventually, memory, skip};
use crate::common::server_program::{PLAIN, Program, command};
use daytime::protocol::GREETING;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const CLIENTS: usize = 9000;
const THREADS: usize = 6;

#[test]
fn nine_thousand_clients_at_once() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = CLIENTS as u64 + 1000;
    if hard < wanted {
        return skip(format!("{wanted} descriptors are wanted, and {hard} are allowed"));
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(wanted), hard).unwrap();
    let (program, port) = Program::start(command(&PLAIN, &["--workers", "2", "--quiet"]));
    let pid = program.pid();
    let (idle, before) = (descriptors(&pid), memory(&pid));
    // Each thread comes from an address of its own.
    let connect = |thread: usize| -> Vec<Peer> {
        (0..CLIENTS / THREADS).map(|_| Peer::connect_from([127, 0, 9, thread as u8], port)).collect()
    };
    let mut crowd: Vec<Vec<Peer>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || connect(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    eventually("all are accepted", || descriptors(&pid) == idle + CLIENTS);
    let each = (memory(&pid) - before) / CLIENTS as u64;
    assert!(each < 2048, "{each} bytes for an idle client");
    thread::scope(|scope| {
        for peers in &mut crowd {
            scope.spawn(|| {
                peers.iter_mut().for_each(|peer| peer.send("time\n"));
                peers.iter_mut().for_each(|peer| peer.expect(format!("{GREETING}\n15:44:57\n")));
            });
        }
    });
    assert_eq!(descriptors(&pid), idle + CLIENTS);
    // Some say so, some close, some break.
    thread::scope(|scope| {
        for (way, peers) in crowd.into_iter().enumerate() {
            scope.spawn(move || {
                for mut peer in peers {
                    match way % 3 {
                        0 => peer.send("quit\n"),
                        1 => peer.finish(),
                        _ => peer.reset(),
                    }
                }
            });
        }
    });
    eventually("all are gone", || descriptors(&pid) == idle);
    Peer::greeted(port).ask("day\n", "\nSunday\n");
}
