//! What the embedder is told: events, to as many subscribers as ask, none of whom can slow the server down.

use std::{
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::{Address, waiting};

/// Numbers the clients of a server in the order of their acceptance, from 1. No number is used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(super) u64);

impl ClientId {
    /// The worker of `n` that has this client.
    pub(super) fn worker(self, n: usize) -> usize {
        (self.0 % n as u64) as usize
    }
}

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
    /// A command was executed; told only where it was asked for.
    Command {
        /// For whom.
        client: ClientId,
        /// The command's name in lower case; of an invalid command its first word, at most 64 bytes of it, with
        /// control characters escaped.
        command: String,
        /// Whether the reply was no error line.
        ok: bool,
    },
    /// An own command's handler failed, panicked, or gave what no reply can be.
    CommandFailed {
        /// For whom.
        client: ClientId,
        /// The command's name in lower case.
        command: String,
        /// What the handler said, or what is wrong with its reply.
        why: String,
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
    /// A client was turned away: its connection was accepted, and closed, after a line that says why where it would
    /// have been greeted.
    Refused {
        /// From where.
        peer: Address,
        /// [`Reason::Full`], [`Reason::PerSource`] or [`Reason::Denied`], the last one without a line.
        reason: Reason,
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
    /// The client said `quit` or `exit`, or an own command closed after its reply.
    Quit,
    /// The client closed its side.
    EndOfFile,
    /// Nothing came from the client, and nothing was owed to it, for the idle timeout.
    Idle,
    /// The client did not say a whole command within the first-command timeout.
    NoCommand,
    /// The client took none of the replies owed to it for the write timeout.
    WriteTimeout,
    /// The connection broke.
    Error,
    /// The embedder disconnected it.
    Kicked,
    /// The server has as many clients as it may have.
    Full,
    /// The client's address has as many clients as one address may have.
    PerSource,
    /// The client's network is not let in.
    Denied,
    /// The server stops.
    Shutdown,
    /// It has the answer of a protocol that has no questions: RFC 867 or RFC 868.
    Answered,
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
            Event::Command { client, command, ok } => {
                let (client, outcome) = (client.0, if *ok { "has been answered" } else { "was an error" });
                write!(f, "Command of client {client} {outcome}: {}", command.escape_debug())
            }
            Event::CommandFailed { client, command, why } => {
                let (client, command, why) = (client.0, command.escape_debug(), why.escape_debug());
                write!(f, "Command {command} of client {client} failed: {why}")
            }
            Event::Refused { peer, reason } => write!(f, "Connection from {peer} has been refused: {reason}"),
            Event::AcceptPaused { why } => {
                write!(f, "No client can be accepted for now, for want of descriptors or memory: {why}")
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Quit => "it said quit",
            Reason::EndOfFile => "it closed",
            Reason::Idle => "it was idle",
            Reason::NoCommand => "it said no command",
            Reason::WriteTimeout => "it took no reply in time",
            Reason::Error => "the connection broke",
            Reason::Kicked => "it was disconnected",
            Reason::Full => "the server is full",
            Reason::PerSource => "too many connections from its address",
            Reason::Denied => "its network is denied",
            Reason::Shutdown => "the server stops",
            Reason::Answered => "it has its answer",
        })
    }
}

/// The subscribers. A deaf one loses events, which is counted; without any, an event is not even made.
#[derive(Debug)]
pub(super) struct Events {
    wanted: AtomicBool,
    commands_wanted: AtomicBool,
    dropped: AtomicU64,
    /// `None` once the server has ended, so that no receiver waits for ever.
    subscribers: Mutex<Option<Vec<Subscriber>>>,
}

#[derive(Debug)]
struct Subscriber {
    sink: Box<dyn Sink>,
    commands: bool,
}

/// The end of a subscription that events go into; it never waits.
pub(crate) trait Sink: fmt::Debug + Send {
    fn give(&self, event: Event) -> Result<(), TrySendError<Event>>;
}

impl Sink for Sender<Event> {
    fn give(&self, event: Event) -> Result<(), TrySendError<Event>> {
        self.try_send(event)
    }
}

impl Sink for waiting::Sender<Event> {
    fn give(&self, event: Event) -> Result<(), TrySendError<Event>> {
        self.send(event)
    }
}

impl Events {
    pub(super) fn new() -> Self {
        Events {
            wanted: AtomicBool::new(false),
            commands_wanted: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            subscribers: Mutex::new(Some(Vec::new())),
        }
    }

    pub(super) fn subscribe(&self, capacity: usize, commands: bool) -> Receiver<Event> {
        let (sender, receiver) = bounded(capacity.max(1));
        self.add(Box::new(sender), commands);
        receiver
    }

    pub(super) fn add(&self, sink: Box<dyn Sink>, commands: bool) {
        if let Some(subscribers) = self.subscribers().as_mut() {
            subscribers.push(Subscriber { sink, commands });
            self.note(subscribers);
        }
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if !self.wanted.load(Relaxed) {
            return;
        }
        let mut subscribers = self.subscribers();
        let Some(subscribers) = subscribers.as_mut() else { return };
        let event = event();
        let is_command = matches!(event, Event::Command { .. });
        let before = subscribers.len();
        let (mut event, mut left) = (Some(event), before);
        subscribers.retain(|subscriber| {
            left -= 1;
            if is_command && !subscriber.commands {
                return true;
            }
            // The last one has it, the others have copies.
            let given = if left == 0 { event.take() } else { event.clone() };
            match given.map_or(Ok(()), |event| subscriber.sink.give(event)) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    self.dropped.fetch_add(1, Relaxed);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            }
        });
        if subscribers.len() < before {
            self.note(subscribers);
        }
    }

    /// Whether anybody wants to be told of commands.
    pub(super) fn commands_wanted(&self) -> bool {
        self.commands_wanted.load(Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Ends every subscription: its receiver gives what is queued, then nothing more.
    pub(super) fn close(&self) {
        *self.subscribers() = None;
    }

    fn note(&self, subscribers: &[Subscriber]) {
        self.wanted.store(!subscribers.is_empty(), Relaxed);
        self.commands_wanted.store(subscribers.iter().any(|subscriber| subscriber.commands), Relaxed);
    }

    fn subscribers(&self) -> MutexGuard<'_, Option<Vec<Subscriber>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
