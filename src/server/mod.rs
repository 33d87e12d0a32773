//! The server: worker threads that serve, and the handle that owns them.
//!
//! # Which thread owns what
//!
//! Each of the N worker threads owns a poller, the connections given to it, their timers, a buffer to read into, one
//! to gather replies in, and the texts of this second. Nothing of that is ever touched from outside. The first worker
//! owns the listeners too, keeps every N-th client that it accepts and mails the others.
//!
//! Everybody else sees the [`Control`]: flags and counters that are atomics, the subscribers to events, and for each
//! worker a door: a channel, and a waker that ends its wait. What workers read and nobody writes is the [`Setup`].
//!
//! The embedder's handlers run on callers, threads of their own: a session that waits for its handler reads nothing
//! more, and the reply comes back to its worker by mail. No worker ever runs the embedder's code or waits for it.
//!
//! Threads end when the state says so. Each holds a sender of the channel `done`, on which nothing is ever sent: once
//! the last one is dropped, whoever waits knows that all have ended.

mod acceptor;
mod admission;
mod bound;
mod builder;
mod callers;
mod config;
mod connection;
mod control;
mod event;
mod handle;
mod handler;
mod launch;
mod listen;
mod mailbox;
mod peer;
mod stats;
mod texts;
mod tick;
mod unix;
mod worker;

use std::{
    convert::Infallible,
    fmt,
    sync::atomic::{AtomicBool, Ordering::Release},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};

pub use bound::Bound;
pub use builder::ServerBuilder;
pub use event::{ClientId, Event, Reason};
pub use handle::Handle;
pub use handler::{HandlerResult, Request};
pub use stats::{ClientInfo, Stats};

use crate::{Address, Networks, clock::Clock, waiting};
use listen::Addresses;

/// A running server.
///
/// Dropping it stops it and joins its threads; on one of these, inside a handler, it only stops it. A process that was
/// forked off has none of the threads: there, nothing waits, the list of clients is empty, and dropping it closes the
/// inherited listeners.
pub struct Server {
    handle: Handle,
    addresses: Addresses,
    warnings: Vec<String>,
    done: waiting::Receiver<Infallible>,
    abandoned: AtomicBool,
}

impl Server {
    /// The bound addresses, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses.text
    }

    /// Those of [`ServerBuilder::listen_rfc867`].
    pub fn rfc867_addresses(&self) -> &[Address] {
        &self.addresses.rfc867
    }

    /// Those of [`ServerBuilder::listen_rfc868`].
    pub fn rfc868_addresses(&self) -> &[Address] {
        &self.addresses.rfc868
    }

    /// The port of the first TCP address; 0 if there is none.
    pub fn port(&self) -> u16 {
        self.addresses.port()
    }

    /// What `start` had to put up with, such as a machine without time zones; empty if nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// For stopping and asking from elsewhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// [`events_with`](Self::events_with) a capacity of 1,024, without [`Event::Command`].
    pub fn events(&self) -> Receiver<Event> {
        self.events_with(1024, false)
    }

    /// A subscription of its own to what happens from now on. A reader that leaves more than `capacity` events unread
    /// (at least 1) loses the ones that follow, which [`Stats::events_dropped`] counts; it never slows the server down.
    /// The receiver is disconnected once the server has ended and the last event was read.
    ///
    /// With `commands` each command is an event, too: that costs an allocation a command.
    pub fn events_with(&self, capacity: usize, commands: bool) -> Receiver<Event> {
        self.handle.control.events.subscribe(capacity, commands)
    }

    /// Waits until every thread of the server has ended, or for `timeout`; true if they have. A handler that runs on
    /// is waited for. On [one of its own threads](Self::is_own_thread) it is false at once: that would wait for itself.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let control = &self.handle.control;
        if self.is_own_thread() || control.is_inherited() {
            return false;
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let ended = self.done.receive(deadline) == Err(RecvTimeoutError::Disconnected);
        if ended {
            // Their last act was to say so; this takes no time.
            let threads = std::mem::take(&mut *control.threads());
            for thread in threads {
                let _ = thread.join();
            }
        }
        ended
    }

    /// Whether this call comes from a thread of the server: from a handler, or from what is dropped with one.
    pub fn is_own_thread(&self) -> bool {
        self.handle.control.is_own_thread()
    }

    /// See [`Handle::stop`].
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// Stops the server as dropping it does, and waits for nothing, nor will dropping it from now on: its threads end by
    /// themselves. For hosts that must not wait where they let go of it, such as a garbage collector, and for a process
    /// that was forked off: there this closes the inherited listeners.
    pub fn abandon(&self) {
        self.abandoned.store(true, Release);
        self.stop();
        self.handle.control.close_inherited();
    }

    /// See [`Handle::drain`].
    pub fn drain(&self, grace: Duration) {
        self.handle.drain(grace);
    }

    /// See [`Handle::set_clock`].
    pub fn set_clock(&self, clock: Clock) {
        self.handle.set_clock(clock);
    }

    /// See [`Handle::set_networks`].
    pub fn set_networks(&self, networks: Networks) {
        self.handle.set_networks(networks);
    }

    /// See [`Handle::reload_zones`].
    pub fn reload_zones(&self) {
        self.handle.reload_zones();
    }

    /// See [`Handle::clients`].
    pub fn clients(&self) -> Vec<ClientInfo> {
        self.handle.clients()
    }

    /// See [`Handle::disconnect`].
    pub fn disconnect(&self, client: ClientId) -> bool {
        self.handle.disconnect(client)
    }

    /// See [`Handle::stats`].
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if !*self.abandoned.get_mut() {
            self.wait(None);
        }
        self.handle.control.close_inherited();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses.text).finish_non_exhaustive()
    }
}
