//! The server: its threads, and the value that owns them.
//!
//! # Which thread owns what
//!
//! ```text
//!                    Server, Handle (any thread)
//!                        |  flags and messages
//!          +-------------+-------------+
//!          v                           v
//!   worker 0  -- every n-th client --> worker 1 … n-1
//!   listeners, connections,            connections,
//!   poller, timers, time cache         poller, timers, time cache
//!          |                           ^
//!          |  conversations            |  conversations, with replies
//!          +------> handler threads ---+
//!                   (custom commands)
//! ```
//!
//! Each worker owns a poller, its connections and their timers, a buffer for input and one for replies, and the
//! formatted replies of the current second. No other thread touches them. The first worker also owns the listeners. It
//! keeps every n-th client and sends the others to the other workers' mailboxes.
//!
//! All other threads see [`Shared`]: atomic flags and counters, the subscribers to events, and one
//! [`Mailbox`](mailbox::Mailbox) for each worker. [`Config`](config::Config) does not change after the start.
//!
//! The embedder's handlers run on the threads of the [`HandlerPool`](handler_pool::HandlerPool). With a custom command the
//! client's session moves to a [`HandlerThread`](handler_thread::HandlerThread), as a
//! [`Conversation`](conversation::Conversation). It returns through the worker's mailbox, with the replies. Meanwhile the
//! worker reads nothing from that client. A worker never runs the embedder's code, and never waits for it.
//!
//! Threads stop when `state` says so. Each holds a sender of the shutdown channel, on which nothing is ever sent. When the
//! last sender is dropped, `wait` returns.

mod admission;
mod bound;
mod builder;
mod config;
mod conversation;
mod datagrams;
mod events;
mod handle;
mod handler;
mod handler_pool;
mod handler_thread;
mod launch;
mod listen;
#[cfg(feature = "tracing")]
mod log;
mod mailbox;
mod metrics;
#[cfg(all(test, loom))]
mod models;
mod process;
mod responder;
mod shared;
mod sleep;
mod stats;
mod tick;
mod time_cache;
mod worker;

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    ops::Deref,
    sync::atomic::{AtomicBool, Ordering::Release},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};

pub use bound::Bound;
pub use builder::ServerBuilder;
pub use events::{ClientId, Event, EventOptions, Reason};
pub use handle::Handle;
pub use handler::{ClientContext, HandlerResult, IntoReply, Request};
#[cfg(feature = "python")]
pub(crate) use handler_pool::Waited;
#[cfg(feature = "python")]
pub(crate) use handler_thread::{HandlerThread, IDLE, Task};
pub use listen::Service;
pub use responder::Responder;
pub use stats::{ClientInfo, Stats};

use crate::{Address, channel};
use listen::Addresses;
#[cfg(doc)]
use shared::Shared;

/// A running server. It derefs to its [`Handle`], which has the methods that any thread may call.
///
/// Dropping it stops the server and joins its threads, for which it waits without a limit: a handler that sleeps delays
/// it. [`close`](Self::close) is a drop with a limit. On one of these threads, inside a handler, a drop only stops the
/// server. A forked child does not have the threads: there, nothing waits, the list of clients is empty, and dropping the
/// server closes the inherited listeners.
#[must_use = "dropping it stops the server"]
pub struct Server {
    handle: Handle,
    addresses: Addresses,
    warnings: Vec<String>,
    shutdown_complete_rx: channel::Receiver<Infallible>,
    detached: AtomicBool,
}

impl Server {
    /// The bound addresses of the text protocol, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        self.addresses_of(Service::Text)
    }

    /// The bound addresses of a service.
    #[must_use]
    pub fn addresses_of(&self, service: Service) -> &[Address] {
        self.addresses.of_service(service)
    }

    /// The first TCP address of the text protocol. `None` if there is none.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses.local_addr()
    }

    /// The port of [`local_addr`](Self::local_addr); 0 if there is none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.local_addr().map_or(0, |address| address.port())
    }

    /// Problems that the start survived, such as a missing time zone database. Most often there are none.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A clone of the handle, for another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Subscribes to the events from now on. At most 1,024 events are buffered. Further events are dropped, which
    /// [`Stats::events_dropped`] counts; a slow reader never slows the server down. The receiver is disconnected once the
    /// server has ended and the last event was read.
    ///
    /// ```
    /// use daytime::{Client, Event, Reason, Server};
    ///
    /// let server = Server::builder().listen("127.0.0.1:0").start()?;
    /// let events = server.events();
    /// Client::connect(&server.addresses()[0])?.quit()?;
    /// let disconnected = events.iter().find(|event| matches!(event, Event::Disconnected { .. }));
    /// let Some(Event::Disconnected { reason, commands, .. }) = disconnected else { unreachable!() };
    /// assert_eq!((reason, commands), (Reason::Quit, 1));
    /// # Ok::<(), daytime::Error>(())
    /// ```
    #[must_use = "if the receiver is dropped, the subscription ends"]
    pub fn events(&self) -> Receiver<Event> {
        self.events_with(EventOptions::new())
    }

    /// [`events`](Self::events) with other options: a capacity, and whether each command is an event.
    #[must_use = "if the receiver is dropped, the subscription ends"]
    pub fn events_with(&self, options: EventOptions) -> Receiver<Event> {
        self.handle.shared.events.subscribe(options)
    }

    /// [`events_with`](Self::events_with) for an event loop: `ring` is called after each event, and once the receiver is
    /// disconnected. It must neither wait nor panic.
    #[cfg(feature = "python")]
    pub(crate) fn events_ringing(&self, options: EventOptions, ring: impl Fn() + Send + 'static) -> Receiver<Event> {
        self.handle.shared.events.subscribe_ringing(options, ring)
    }

    /// Waits until every thread of the server has ended, or for `timeout`. Returns whether they have. It also waits for
    /// running handlers. On [one of the server's own threads](Self::is_own_thread) it returns false at once, since
    /// waiting would deadlock.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let shared = &self.handle.shared;
        if self.is_own_thread() || shared.is_inherited() {
            return false;
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let ended = self.shutdown_complete_rx.receive(deadline) == Err(RecvTimeoutError::Disconnected);
        if ended {
            shared.join();
        }
        ended
    }

    /// Stops the server, and waits for its threads for at most `timeout`. Returns whether they have ended. Those that have
    /// not, since their handlers still run, end by themselves.
    ///
    /// ```
    /// use std::time::Duration;
    /// use daytime::Server;
    ///
    /// let server = Server::builder().listen("127.0.0.1:0").start()?;
    /// assert!(server.close(Duration::from_secs(5)));
    /// # Ok::<(), daytime::Error>(())
    /// ```
    pub fn close(self, timeout: Duration) -> bool {
        self.detach();
        self.wait(Some(timeout))
    }

    /// Whether the calling thread belongs to the server: inside a handler, or while a handler is dropped.
    #[must_use]
    pub fn is_own_thread(&self) -> bool {
        self.handle.shared.is_own_thread()
    }

    /// Stops the server without waiting, and dropping it later does not wait either: its threads end by themselves. This
    /// is for embedders that must not block when they release the server, such as a garbage collector. In a forked child
    /// it closes the inherited listeners.
    pub fn detach(&self) {
        self.detached.store(true, Release);
        self.stop();
        self.handle.shared.close_inherited();
    }
}

impl Deref for Server {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if !*self.detached.get_mut() {
            self.wait(None);
        }
        self.handle.shared.close_inherited();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
