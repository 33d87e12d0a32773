//! Events for the embedder: any number of subscribers, none of which can slow the server down.

use std::{
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::{Address, channel};

/// The id of a client. The clients of a server are numbered from 1 in the order of their acceptance, and no number is
/// reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(super) u64);

impl ClientId {
    /// The index of this client's worker among `n` workers.
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

/// An event of a server. Its `Display` is one line for a log, without control characters, invisible ones, and those that
/// change the direction of text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A client was accepted.
    Connected {
        /// Its id.
        client: ClientId,
        /// Its address.
        peer: Address,
    },
    /// A command was executed. Emitted only to subscribers that asked for commands.
    CommandServed {
        /// The id of the client.
        client: ClientId,
        /// The name of the command in lower case. For an invalid command it is the first word, at most 64 bytes, with
        /// control characters, invisible ones and those that change the direction of text escaped.
        command: String,
        /// Whether the reply was not an error line.
        ok: bool,
    },
    /// The handler of a custom command returned an error, panicked, or returned an invalid reply. Or a hook panicked; then
    /// the command is `on_connect` or `on_disconnect`.
    CommandFailed {
        /// The id of the client.
        client: ClientId,
        /// The name of the command in lower case.
        command: String,
        /// The error of the handler, or what is wrong with its reply.
        error: String,
    },
    /// A connection is closed, and everything of its client is released.
    Disconnected {
        /// The id of the client.
        client: ClientId,
        /// Its address.
        peer: Address,
        /// Why the connection was closed.
        reason: Reason,
        /// The number of commands executed for the client, invalid ones included.
        commands: u64,
    },
    /// A connection was accepted and closed at once. A client of the text protocol that exceeds a limit gets an error
    /// line, unless 32 others are reading theirs; a client of a denied network gets nothing.
    Refused {
        /// The address of the client, or of the proxy before its header has arrived.
        peer: Address,
        /// [`Reason::Full`], [`Reason::PerSource`], [`Reason::Denied`] or [`Reason::ProxyHeader`].
        reason: Reason,
    },
    /// The system lacks file descriptors or memory to accept clients. Emitted once for each episode. The server retries
    /// after 10 ms, and doubles the pause up to 1 s.
    AcceptPaused {
        /// The kind of the system's error.
        error: io::ErrorKind,
        /// The words of the system, such as `Too many open files (os error 24)`.
        message: String,
    },
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The client sent `quit` or `exit`, or a custom command closed the connection.
    Quit,
    /// The client closed its side.
    Eof,
    /// The idle timeout passed.
    Idle,
    /// The first-command timeout passed.
    NoCommand,
    /// The write timeout passed: the client took none of the replies owed to it.
    WriteTimeout,
    /// The connection failed.
    Error,
    /// The embedder disconnected the client.
    Kicked,
    /// The server has the maximum of clients.
    Full,
    /// The client's address has the maximum of clients for one address.
    PerSource,
    /// The client's network is denied.
    Denied,
    /// The server stopped.
    Shutdown,
    /// The reply of RFC 867 or RFC 868 was sent.
    Answered,
    /// The header of the PROXY protocol is invalid, or did not arrive in time.
    ProxyHeader,
}

impl Event {
    /// The name of the kind of event, for logs that programs read: `connected`, `disconnected`, `refused`,
    /// `command_served`, `command_failed` or `accept_paused`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Event::Connected { .. } => "connected",
            Event::CommandServed { .. } => "command_served",
            Event::CommandFailed { .. } => "command_failed",
            Event::Disconnected { .. } => "disconnected",
            Event::Refused { .. } => "refused",
            Event::AcceptPaused { .. } => "accept_paused",
        }
    }
}

/// Lists every reason once: the compiler rejects a list that lacks one.
macro_rules! reasons {
    (closed { $($closed:ident = $closed_name:literal,)* } refused { $($refused:ident = $refused_name:literal,)* }) => {
        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$closed,)* $(Reason::$refused,)*];

            /// The name, such as `no_command`: one word for a label of a metric or a field of a log.
            pub fn name(self) -> &'static str {
                match self {
                    $(Reason::$closed => $closed_name,)*
                    $(Reason::$refused => $refused_name,)*
                }
            }

            /// Whether it is a reason of [`Event::Refused`], as opposed to [`Event::Disconnected`].
            pub fn is_refusal(self) -> bool {
                match self {
                    $(Reason::$closed => false,)*
                    $(Reason::$refused => true,)*
                }
            }
        }
    };
}
reasons! {
    closed {
        Quit = "quit",
        Eof = "eof",
        Idle = "idle",
        NoCommand = "no_command",
        WriteTimeout = "write_timeout",
        Error = "error",
        Kicked = "kicked",
        Shutdown = "shutdown",
        Answered = "answered",
    }
    refused {
        Full = "full",
        PerSource = "per_source",
        Denied = "denied",
        ProxyHeader = "proxy_header",
    }
}

impl fmt::Display for Event {
    /// One line for a log. A new client is reported with the words of the original classroom program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Connected { peer: Address::Tcp(peer), .. } => {
                let (ip, port) = (peer.ip(), peer.port());
                write!(f, "Connection has been established with client IP {ip} and port is {port}")
            }
            Event::Connected { peer, .. } => write!(f, "Connection has been established with client {peer}"),
            Event::Disconnected { peer, reason, commands, .. } => {
                let s = if *commands == 1 { "" } else { "s" };
                write!(f, "Connection with {peer} has been closed after {commands} command{s}: {reason}")
            }
            Event::CommandServed { client, command, ok } => {
                let (client, outcome) = (client.0, if *ok { "was answered" } else { "was an error" });
                write!(f, "Command of client {client} {outcome}: {}", command.escape_debug())
            }
            Event::CommandFailed { client, command, error } => {
                let (client, command, error) = (client.0, command.escape_debug(), error.escape_debug());
                write!(f, "Command {command} of client {client} failed: {error}")
            }
            Event::Refused { peer, reason } => write!(f, "Connection from {peer} has been refused: {reason}"),
            Event::AcceptPaused { message, .. } => {
                write!(f, "Accepting clients is paused, the system lacks file descriptors or memory: {message}")
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Quit => "the client quit",
            Reason::Eof => "the client closed the connection",
            Reason::Idle => "the idle timeout passed",
            Reason::NoCommand => "the first-command timeout passed",
            Reason::WriteTimeout => "the write timeout passed",
            Reason::Error => "the connection failed",
            Reason::Kicked => "the client was disconnected",
            Reason::Full => "the server is full",
            Reason::PerSource => "too many connections from its address",
            Reason::Denied => "its network is denied",
            Reason::Shutdown => "the server stopped",
            Reason::Answered => "the reply was sent",
            Reason::ProxyHeader => "its PROXY header is missing or invalid",
        })
    }
}

/// How [`Server::events_with`](super::Server::events_with) subscribes to events.
///
/// ```
/// use daytime::{EventOptions, Server};
///
/// let server = Server::builder().listen("127.0.0.1:0").start()?;
/// let events = server.events_with(EventOptions::new().capacity(64).commands(true));
/// # Ok::<(), daytime::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is an argument of `events_with`"]
pub struct EventOptions {
    pub(super) capacity: usize,
    pub(super) commands: bool,
}

impl EventOptions {
    /// A capacity of 1,024, without [`Event::CommandServed`].
    pub fn new() -> Self {
        EventOptions { capacity: 1024, commands: false }
    }

    /// The most events that are buffered, at least 1. Further events are dropped, which
    /// [`Stats::events_dropped`](super::Stats::events_dropped) counts. Default: 1,024.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// Whether each command is an event too, [`Event::CommandServed`], which costs an allocation a command. Default: false.
    pub fn commands(mut self, commands: bool) -> Self {
        self.commands = commands;
        self
    }
}

impl Default for EventOptions {
    fn default() -> Self {
        EventOptions::new()
    }
}

/// The subscribers. A full subscription drops events, which are counted. Without subscribers an event is not even made.
#[derive(Debug)]
pub(super) struct Events {
    wanted: AtomicBool,
    /// A subscriber asked for commands.
    commands_wanted: AtomicBool,
    dropped: AtomicU64,
    /// `None` once the server has ended, so that no receiver waits forever.
    subscribers: Mutex<Option<Vec<Subscriber>>>,
}

#[derive(Debug)]
struct Subscriber {
    sink: Box<dyn Sink>,
    commands: bool,
}

/// The sending side of a subscription.
pub(crate) trait Sink: fmt::Debug + Send {
    /// Sends without waiting.
    fn send(&self, event: Event) -> Result<(), TrySendError<Event>>;
}

impl Sink for Sender<Event> {
    fn send(&self, event: Event) -> Result<(), TrySendError<Event>> {
        self.try_send(event)
    }
}

impl Sink for channel::Sender<Event> {
    fn send(&self, event: Event) -> Result<(), TrySendError<Event>> {
        channel::Sender::send(self, event)
    }
}

/// A subscription that calls a function after each event, and once it is disconnected.
#[cfg(feature = "python")]
pub(super) struct Ringing<F: Fn() + Send> {
    /// `None` while it is dropped.
    sender: Option<Sender<Event>>,
    ring: F,
}

#[cfg(feature = "python")]
impl<F: Fn() + Send> Sink for Ringing<F> {
    fn send(&self, event: Event) -> Result<(), TrySendError<Event>> {
        let sent = self.sender.as_ref().map_or(Ok(()), |sender| sender.try_send(event));
        (self.ring)();
        sent
    }
}

#[cfg(feature = "python")]
impl<F: Fn() + Send> Drop for Ringing<F> {
    fn drop(&mut self) {
        self.sender = None;
        (self.ring)();
    }
}

#[cfg(feature = "python")]
impl<F: Fn() + Send> fmt::Debug for Ringing<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ringing")
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

    pub(super) fn subscribe(&self, options: EventOptions) -> Receiver<Event> {
        let (sender, receiver) = bounded(options.capacity.max(1));
        self.add(Box::new(sender), options.commands);
        receiver
    }

    /// Like [`subscribe`](Self::subscribe), for a reader that waits elsewhere: `ring` must neither wait nor panic.
    #[cfg(feature = "python")]
    pub(super) fn subscribe_ringing(&self, options: EventOptions, ring: impl Fn() + Send + 'static) -> Receiver<Event> {
        let (sender, receiver) = bounded(options.capacity.max(1));
        self.add(Box::new(Ringing { sender: Some(sender), ring }), options.commands);
        receiver
    }

    pub(super) fn add(&self, sink: Box<dyn Sink>, commands: bool) {
        if let Some(subscribers) = self.subscribers().as_mut() {
            subscribers.push(Subscriber { sink, commands });
            self.update(subscribers);
        }
    }

    pub(super) fn emit(&self, event: impl FnOnce() -> Event) {
        if !self.wanted.load(Relaxed) {
            return;
        }
        let mut subscribers = self.subscribers();
        let Some(subscribers) = subscribers.as_mut() else { return };
        let event = event();
        let is_command = matches!(event, Event::CommandServed { .. });
        let before = subscribers.len();
        let (mut event, mut left) = (Some(event), before);
        subscribers.retain(|subscriber| {
            left -= 1;
            if is_command && !subscriber.commands {
                return true;
            }
            // The last subscriber gets the event, the others get clones.
            let event = if left == 0 { event.take() } else { event.clone() };
            match event.map_or(Ok(()), |event| subscriber.sink.send(event)) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    self.dropped.fetch_add(1, Relaxed);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            }
        });
        if subscribers.len() < before {
            self.update(subscribers);
        }
    }

    /// Whether a subscriber asked for commands.
    pub(super) fn wants_commands(&self) -> bool {
        self.commands_wanted.load(Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Ends every subscription: its receiver returns the buffered events, and is disconnected then.
    pub(super) fn close(&self) {
        *self.subscribers() = None;
    }

    /// Updates the flags after a change of the subscribers.
    fn update(&self, subscribers: &[Subscriber]) {
        self.wanted.store(!subscribers.is_empty(), Relaxed);
        self.commands_wanted.store(subscribers.iter().any(|subscriber| subscriber.commands), Relaxed);
    }

    fn subscribers(&self) -> MutexGuard<'_, Option<Vec<Subscriber>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
