//! Nine thousand clients at once, with the server in another process.
//!
//! This test is alone in its crate, because it raises the limit of open descriptors of its process.

mod common;

use std::thread;

use common::{
    eventually,
    peer::Peer,
    proc_fs::{descriptors, memory},
    process::{PLAIN, Program, fixed_server},
    skip,
};
use daytime::protocol::GREETING;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const CLIENTS: usize = 9000;
const THREADS: usize = 6;

#[test]
fn nine_thousand_clients_at_once() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let needed = CLIENTS as u64 + 1000;
    if hard < needed {
        return skip(format!("{needed} descriptors are needed, and the limit is {hard}"));
    }
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed), hard).unwrap();
    let (program, port) = Program::listening(&mut fixed_server(&PLAIN, &["--workers", "2", "--quiet"]));
    let pid = program.id();
    let (idle, before) = (descriptors(&pid), memory(&pid));
    // Each thread has a separate source address.
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
    // A client leaves by `quit`, by a half-close or by a reset.
    thread::scope(|scope| {
        for (thread, peers) in crowd.into_iter().enumerate() {
            scope.spawn(move || {
                for mut peer in peers {
                    match thread % 3 {
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
