//! What the embedder is told: events, to as many subscribers as ask, none of whom can slow the server down.

use std::{
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::Address;

/// Numbers the clients of a server in the order of their acceptance, from 1. No number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(super) u64);

impl From<ClientId> for u64 {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

impl From<u64> for ClientId {
    fn from(id: u64) -> Self {
        ClientId(id)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A client was accepted.
    Connected {
        /// Who.
        client: ClientId,
        /// From where.
        peer: Address,
    },
    /// A client's connection is closed and everything of it released.
    Disconnected {
        /// Who.
        client: ClientId,
        /// From where.
        peer: Address,
        /// Why.
        reason: Reason,
        /// The commands that were executed for it, invalid ones too.
        commands: u64,
    },
    /// No client can be accepted for want of descriptors or memory. Told once; accepting is tried again after 10 ms,
    /// then after twice as long each time, at least once a second.
    AcceptPaused {
        /// What the system said.
        why: io::ErrorKind,
    },
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The client said `quit` or `exit`.
    Quit,
    /// The client closed its side.
    EndOfFile,
    /// The client took none of the replies owed to it for the write timeout.
    WriteTimeout,
    /// The connection broke.
    Error,
    /// The server stops.
    Shutdown,
}

impl fmt::Display for Event {
    /// A line for a log, without control characters whatever a peer has sent; of a new client in the original's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Connected { peer: Address::Tcp(peer), .. } => {
                let (ip, port) = (peer.ip(), peer.port());
                write!(f, "Connection has been established with client IP {ip} and port is {port}")
            }
            Event::Connected { peer, .. } => write!(f, "Connection has been established with client {peer}"),
            Event::Disconnected { peer, reason, commands, .. } => {
                write!(f, "Connection with {peer} has been closed after {commands} commands: {reason}")
            }
            Event::AcceptPaused { why } => write!(f, "No client can be accepted for now: {why}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Quit => "it said quit",
            Reason::EndOfFile => "it closed",
            Reason::WriteTimeout => "it took no reply in time",
            Reason::Error => "the connection broke",
            Reason::Shutdown => "the server stops",
        })
    }
}

/// The subscribers. A deaf one loses events, which is counted; without any, an event is not even made.
#[derive(Debug)]
pub(super) struct Events {
    wanted: AtomicBool,
    dropped: AtomicU64,
    /// `None` once the server has ended, so that no receiver waits for ever.
    subscribers: Mutex<Option<Vec<Sender<Event>>>>,
}

impl Events {
    pub(super) fn new() -> Self {
        Events { wanted: AtomicBool::new(false), dropped: AtomicU64::new(0), subscribers: Mutex::new(Some(Vec::new())) }
    }

    pub(super) fn subscribe(&self, capacity: usize) -> Receiver<Event> {
        let (sender, receiver) = bounded(capacity.max(1));
        if let Some(subscribers) = self.subscribers().as_mut() {
            subscribers.push(sender);
            self.wanted.store(true, Relaxed);
        }
        receiver
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if !self.wanted.load(Relaxed) {
            return;
        }
        let mut subscribers = self.subscribers();
        let Some(subscribers) = subscribers.as_mut() else { return };
        let event = event();
        subscribers.retain(|subscriber| match subscriber.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
        self.wanted.store(!subscribers.is_empty(), Relaxed);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Ends every subscription: its receiver gives what is queued, then nothing more.
    pub(super) fn close(&self) {
        *self.subscribers() = None;
    }

    fn subscribers(&self) -> MutexGuard<'_, Option<Vec<Sender<Event>>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
