//! Accepting: listeners in the first worker's own loop, back-off when the system has no more to give, clients handed
//! to the workers in turn.
//!
//! A thread of its own would cost a context switch a connection on one core; a listener in each worker's poller would
//! wake them all. The first worker keeps every n-th client and mails the others, so that the distribution is exact.

use std::{io, time::Duration};

use mio::net::TcpStream;
use nix::errno::Errno;
use socket2::SockRef;

use super::{
    control::Control,
    event::{ClientId, Event, Reason},
    listen::{Listener, Listening, Service},
    peer::Peer,
    tick::{NEVER, Tick, ticks},
};

/// Connections accepted from one listener before other sockets have their turn.
const BATCH: usize = 64;
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Acceptor {
    listeners: Vec<Watched>,
    last: ClientId,
    /// The length of the next pause; above the least one while an episode of failures lasts.
    pause: Duration,
    paused_until: Option<Tick>,
}

struct Watched {
    listener: Listener,
    /// It may have a connection. The poller tells of an edge once, so this is kept until `accept` finds none.
    ready: bool,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>) -> Self {
        let listeners = listeners.into_iter().map(|listener| Watched { listener, ready: true }).collect();
        Acceptor { listeners, last: ClientId(0), pause: PAUSE_MIN, paused_until: None }
    }

    pub(super) fn ready(&mut self, listener: usize) {
        if let Some(watched) = self.listeners.get_mut(listener) {
            watched.ready = true;
        }
    }

    /// When to call [`accept`](Self::accept) though no listener tells of anything new.
    pub(super) fn deadline(&self) -> Tick {
        match self.paused_until {
            Some(until) => until,
            None if self.listeners.iter().any(|watched| watched.ready) => 0,
            None => NEVER,
        }
    }

    /// Accepts what is there, a batch from each listener; each client is given its number, or the reason why it is
    /// turned away.
    pub(super) fn accept(
        &mut self,
        now: Tick,
        control: &Control,
        mut arrive: impl FnMut(TcpStream, Peer, Service, Result<ClientId, Reason>),
    ) {
        if self.paused_until.is_some_and(|until| until > now) {
            return;
        }
        self.paused_until = None;
        for watched in self.listeners.iter_mut().filter(|watched| watched.ready) {
            let mut failed = 0;
            for _ in 0..BATCH {
                match accept(&watched.listener.socket) {
                    Ok((stream, peer)) => {
                        self.pause = PAUSE_MIN;
                        let admitted = control.admission.admit(&peer).map(|()| {
                            self.last.0 += 1;
                            self.last
                        });
                        arrive(stream, peer, watched.listener.service, admitted);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        watched.ready = false;
                        break;
                    }
                    // That connection is lost, the next may be well.
                    Err(error) if concerns_one_connection(&error) && failed + 1 < BATCH => failed += 1,
                    Err(error) => {
                        if self.pause == PAUSE_MIN {
                            control.events.tell(|| Event::AcceptPaused { why: error.kind() });
                        }
                        self.paused_until = Some(now.saturating_add(ticks(self.pause)));
                        self.pause = (self.pause * 2).min(PAUSE_MAX);
                        return;
                    }
                }
            }
        }
    }
}

/// One connection, if there is one. That of a Unix socket is carried by the type for TCP, too: what that does, read,
/// write and shut down, is the same for both, and it writes with MSG_NOSIGNAL. It is not mio that accepts it: version
/// 1.2.5 panics at a peer whose path fills the system's structure, and takes abstract names for none.
fn accept(listening: &Listening) -> io::Result<(TcpStream, Peer)> {
    match listening {
        Listening::Tcp(socket) => socket.accept().map(|(stream, peer)| (stream, peer.into())),
        Listening::Unix(socket) => {
            let (stream, peer) = SockRef::from(socket).accept()?;
            stream.set_nonblocking(true)?;
            Ok((TcpStream::from_std(stream.into()), Peer::unix(&peer)))
        }
    }
}

/// accept(2): errors that are already pending on the new socket, which are to be treated as if there was none.
fn concerns_one_connection(error: &io::Error) -> bool {
    use Errno::*;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(
            EINTR
                | ECONNABORTED
                | EPROTO
                | EPERM
                | ENETDOWN
                | ENOPROTOOPT
                | EHOSTDOWN
                | EHOSTUNREACH
                | EOPNOTSUPP
                | ENETUNREACH
        )
    )
}
