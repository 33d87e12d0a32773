//! Accepting clients, in the loop of the first worker, with a pause while the system lacks resources.
//!
//! A separate thread would cost a context switch a connection on one core, and a listener in each worker's poller would
//! wake them all. The first worker keeps every n-th client and sends the others to the other workers, so that the
//! distribution is exact.

use std::{io, time::Duration};

use mio::net::TcpStream;
use nix::errno::Errno;
use socket2::SockRef;

use super::super::{
    events::{ClientId, Event, Reason},
    listen::{Listener, Listening, Peer, Service},
    shared::Shared,
    stats::add,
    tick::{NEVER, Tick, ticks},
};

/// The most connections accepted from one listener before other sockets are served.
const BATCH: usize = 64;
/// The most of them that are refused. Those that have left are forgotten before the next batch. Otherwise they would look as
/// if many read their error line, and a further one would get none.
const REFUSED_BATCH: usize = 16;
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// An accepted connection. It has an id, or a reason why it is refused.
pub(super) type Arrival = (TcpStream, Peer, Service, Result<ClientId, Reason>);

pub(crate) struct Acceptor {
    listeners: Vec<Watched>,
    last: ClientId,
    /// The length of the next pause. It exceeds the minimum while an episode of failures lasts.
    pause: Duration,
    paused_until: Option<Tick>,
}

struct Watched {
    listener: Listener,
    /// A connection may wait. The poller reports each edge once, so this stays true until `accept` finds none.
    ready: bool,
}

impl Acceptor {
    pub(crate) fn new(listeners: Vec<Listener>) -> Self {
        let listeners = listeners.into_iter().map(|listener| Watched { listener, ready: true }).collect();
        Acceptor { listeners, last: ClientId(0), pause: PAUSE_MIN, paused_until: None }
    }

    pub(super) fn ready(&mut self, listener: usize) {
        if let Some(watched) = self.listeners.get_mut(listener) {
            watched.ready = true;
        }
    }

    /// When to call [`accept`](Self::accept) even if the poller reports no listener.
    pub(super) fn deadline(&self) -> Tick {
        match self.paused_until {
            Some(until) => until,
            None if self.listeners.iter().any(|watched| watched.ready) => 0,
            None => NEVER,
        }
    }

    /// Lets no further client into the queues.
    pub(super) fn close_queues(&self) {
        self.listeners.iter().for_each(|watched| watched.listener.close_queue());
    }

    /// Accepts the connections that wait in the queues, before the listeners are closed. A queue holds one connection more
    /// than its backlog. So clients that come faster than this accepts do not keep it going, if the queue is open.
    pub(super) fn accept_queued(&mut self, backlog: u32, shared: &Shared, mut arrive: impl FnMut(Arrival)) {
        for Watched { listener, .. } in &self.listeners {
            let mut failed = 0;
            for _ in 0..=backlog {
                match accept(&listener.socket) {
                    Ok((stream, peer)) => {
                        let admitted = Self::admit(&mut self.last, &peer, listener.service, shared);
                        arrive((stream, peer, listener.service, admitted));
                    }
                    Err(error) if concerns_one_connection(&error) && failed < BATCH => failed += 1,
                    // The queue is empty, or the system lacks resources.
                    Err(_) => break,
                }
            }
        }
    }

    /// Accepts a batch of connections from each listener. Each connection gets an id, or the reason why it is refused.
    pub(super) fn accept(&mut self, now: Tick, shared: &Shared, mut arrive: impl FnMut(Arrival)) {
        if self.paused_until.is_some_and(|until| until > now) {
            return;
        }
        self.paused_until = None;
        for watched in self.listeners.iter_mut().filter(|watched| watched.ready) {
            let (mut failed, mut refused) = (0, 0);
            for _ in 0..BATCH {
                if refused == REFUSED_BATCH {
                    break;
                }
                match accept(&watched.listener.socket) {
                    Ok((stream, peer)) => {
                        self.pause = PAUSE_MIN;
                        let service = watched.listener.service;
                        let admitted = Self::admit(&mut self.last, &peer, service, shared);
                        refused += usize::from(admitted.is_err());
                        arrive((stream, peer, service, admitted));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        watched.ready = false;
                        break;
                    }
                    // This connection is lost. The next one may succeed.
                    Err(error) if concerns_one_connection(&error) && failed + 1 < BATCH => failed += 1,
                    Err(error) => {
                        // The acceptor belongs to the first worker.
                        add(&shared.counters[0].accept_pauses, 1);
                        if self.pause == PAUSE_MIN {
                            let message = error.to_string();
                            shared.events.emit(|| Event::AcceptPaused { error: error.kind(), message });
                        }
                        self.paused_until = Some(now.saturating_add(ticks(self.pause)));
                        self.pause = (self.pause * 2).min(PAUSE_MAX);
                        return;
                    }
                }
            }
        }
    }

    /// Admits a client. The client of a proxy gets a seat, and enters once the proxy has named its address.
    fn admit(last: &mut ClientId, peer: &Peer, service: Service, shared: &Shared) -> Result<ClientId, Reason> {
        match service {
            Service::Proxied if !shared.admission.is_proxy(peer) => return Err(Reason::Denied),
            Service::Proxied => shared.admission.seat()?,
            _ => shared.admission.admit(peer)?,
        }
        last.0 += 1;
        Ok(*last)
    }
}

/// Accepts one connection. `TcpStream` also carries the connection of a Unix socket: reading, writing and shutting down
/// are the same for both, and it writes with MSG_NOSIGNAL. A Unix connection is accepted without mio: its version 1.2.5
/// panics for a peer whose path fills the system's structure, and loses abstract names.
pub(super) fn accept(listening: &Listening) -> io::Result<(TcpStream, Peer)> {
    match listening {
        Listening::Tcp(socket) => socket.accept().map(|(stream, peer)| (stream, peer.into())),
        Listening::Unix(socket) => {
            let (stream, peer) = SockRef::from(socket).accept()?;
            stream.set_nonblocking(true)?;
            Ok((TcpStream::from_std(stream.into()), Peer::unix(&peer)))
        }
    }
}

/// Whether an error concerns only the new connection: accept(2) lists errors that were already pending on its socket.
pub(super) fn concerns_one_connection(error: &io::Error) -> bool {
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
