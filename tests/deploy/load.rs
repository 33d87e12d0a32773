//! Sessions of clients with several source addresses.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, Scope},
};

use daytime::protocol::GREETING;
use socket2::{Domain, Socket, Type};

use crate::common::{SetOnDrop, TIMEOUT, eventually};

/// The source addresses of the clients.
pub(crate) const SOURCES: [[u8; 4]; 4] = [[127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4], [127, 0, 0, 5]];

/// How a client ends its session.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// It sends `quit`.
    Quit,
    /// It closes its side before it reads, as `nc -N` does.
    HalfClose,
}

/// A whole session. Returns an error unless every reply arrives.
pub(crate) fn session(source: [u8; 4], port: u16, end: End) -> Result<(), String> {
    let received = converse(source, port, end).map_err(|error| error.to_string())?;
    let expected = format!("{GREETING}\nSunday\n15:44:57\n");
    if received == expected.as_bytes() { Ok(()) } else { Err(format!("got {:?}", received.escape_ascii().to_string())) }
}

fn converse(source: [u8; 4], port: u16, end: End) -> io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)).into(), TIMEOUT)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT))?;
    match end {
        End::Quit => stream.write_all(b"\nday\ntime UTC\nquit\n")?,
        End::HalfClose => {
            stream.write_all(b"\nday\ntime UTC\n")?;
            stream.shutdown(Shutdown::Write)?;
        }
    }
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    Ok(received)
}

/// The errors of so many sessions, which the source addresses share.
pub(crate) fn losses(sessions: usize, port: u16, end: End) -> Vec<String> {
    thread::scope(|scope| {
        let threads = SOURCES.map(|source| {
            scope.spawn(move || {
                let sessions = (0..sessions / SOURCES.len()).map(|_| session(source, port, end));
                sessions.filter_map(Result::err).collect::<Vec<_>>()
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Clients that begin a new session as soon as one ends.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) sessions: AtomicUsize,
    pub(crate) lost: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Load {
    /// Starts a thread for each source address. The threads end when the result is dropped.
    pub(crate) fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, port: u16) -> SetOnDrop<'scope> {
        for source in SOURCES {
            scope.spawn(move || {
                while !self.stop.load(Relaxed) {
                    if let Err(error) = session(source, port, End::Quit) {
                        self.lost.lock().unwrap().push(error);
                    }
                    self.sessions.fetch_add(1, Relaxed);
                }
            });
        }
        SetOnDrop(&self.stop)
    }

    /// Waits until so many more sessions have ended.
    #[track_caller]
    pub(crate) fn wait_for(&self, more: usize) {
        let goal = self.sessions.load(Relaxed) + more;
        eventually("the clients had their sessions", || self.sessions.load(Relaxed) >= goal);
    }
}
