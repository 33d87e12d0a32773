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
mod builder;
mod callers;
mod connection;
mod control;
mod event;
mod listen;
mod peer;
mod stats;
mod texts;
mod unix;
mod worker;

use std::{
    convert::Infallible,
    fmt, iter,
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use mio::{Poll, Token, Waker};

pub use builder::{Bound, ServerBuilder};
pub use callers::{HandlerResult, Reply, Request};
pub use event::{ClientId, Event, Reason};
pub use stats::{ClientInfo, Stats};

use crate::{
    Address, Error, Networks,
    clock::{Clock, SettableClock, Zones},
    protocol::{Commands, Formats, Framing},
    thread,
    waiting::{self, channel},
};
use acceptor::Acceptor;
use builder::Addresses;
use callers::{Callers, Handler};
use control::{Control, Crew, Door, Post, State, mark_as_own};
use worker::{LISTENERS, MAIL, Mail, Worker};

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
    /// The settings of a new server, all at their defaults.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    fn start(bound: Bound) -> Result<Server, Error> {
        let Bound { mut listeners, addresses, workers, callers, clock, events, admission, setup } = bound;
        let failed = Error::io("make a poller");
        let polls = (0..workers).map(|_| Poll::new()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let mut doors = Vec::new();
        let mut mailboxes = Vec::new();
        let watched = (|| {
            for (i, listener) in listeners.iter_mut().enumerate() {
                listener.register(polls[0].registry(), Token(LISTENERS + i))?;
            }
            for poll in &polls {
                let (sender, mailbox) = unbounded();
                doors.push(Door::new(sender, Waker::new(poll.registry(), MAIL)?));
                mailboxes.push(mailbox);
            }
            Ok(())
        })();
        watched.map_err(Error::io("watch the listeners"))?;
        let descriptors = listeners.iter().map(AsRawFd::as_raw_fd).collect();
        let control = Arc::new(Control::new(doors, SettableClock::new(clock), events, admission, descriptors));
        let (alive, done) = channel(0);
        let server = Server {
            handle: Handle { control: control.clone() },
            addresses,
            warnings: setup.zones.warnings(),
            done,
            abandoned: AtomicBool::new(false),
        };
        let setup = Arc::new(setup);
        let callers = Arc::new(Callers::new(control.clone(), setup.clone(), callers, alive.clone()));
        // Each worker has a share of this; the last one to end lets the callers go.
        let crew = Arc::new(Crew(callers.clone()));
        // Until all have begun, none can be the last to end.
        let starting = Post::new(control.clone(), alive.clone());
        let mut acceptor = Some(Acceptor::new(listeners));
        let started = polls.into_iter().zip(mailboxes).enumerate().try_for_each(|(index, (poll, mailbox))| {
            let setup = setup.clone();
            let worker = Worker::new(index, control.clone(), setup, callers.clone(), poll, mailbox, acceptor.take());
            let post = Post::new(control.clone(), alive.clone());
            let crew = crew.clone();
            let thread = thread::spawn(format!("daytime-{index}"), move || {
                mark_as_own(&post.control);
                // A panic is a bug of this crate: no half of a server is left running.
                if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                    post.control.stop();
                }
                drop(crew);
                drop(post);
            })?;
            control.keep(thread);
            Ok(())
        });
        drop((alive, callers, crew, starting));
        // Where a thread was refused, dropping the server stops and joins those before it.
        started.map(|()| server)
    }

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

/// Reaches a running server from anywhere. Cheap to clone; it keeps no server running.
#[derive(Clone)]
pub struct Handle {
    control: Arc<Control>,
}

impl Handle {
    /// Stops the server: every connection is closed at once, without the replies still owed. Returns before that is
    /// done. A flag and a wake-up, no lock and no allocation: to be called from anywhere, a signal handler included.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Begins to close down, and returns at once: no new clients; idle ones are closed, replies owed are sent. The
    /// server stops when the last client is gone, or after `grace`; [`Server::wait`] tells when. The first call counts.
    pub fn drain(&self, grace: Duration) {
        self.control.drain(grace);
    }

    /// Answers from another clock, from the next read of each client on. Timeouts never depend on it.
    pub fn set_clock(&self, clock: Clock) {
        self.control.clock.set(clock);
    }

    /// Whose clients are let in from now on; those that are connected stay.
    pub fn set_networks(&self, networks: Networks) {
        self.control.admission.set_networks(networks);
    }

    /// Reads the files of time zones anew, which is done every five minutes without being asked.
    pub fn reload_zones(&self) {
        self.control.zones_wanted.fetch_add(1, Relaxed);
    }

    /// The clients that are connected, in the order of their numbers; those being closed are left out.
    pub fn clients(&self) -> Vec<ClientInfo> {
        if self.control.is_inherited() {
            return Vec::new();
        }
        let (sender, parts) = channel(self.control.doors.len());
        for door in &self.control.doors {
            door.post(Mail::Clients(sender.clone()));
        }
        // A worker that has ended drops its mail, and with it the sender.
        drop(sender);
        let mut clients: Vec<ClientInfo> = iter::from_fn(|| parts.receive(None).ok()).flatten().collect();
        clients.sort_by_key(|client| client.id);
        clients
    }

    /// Closes a client's connection at once, without the replies still owed; true if it was there. The number of a
    /// client that has left hits nobody: no number is used twice.
    pub fn disconnect(&self, client: ClientId) -> bool {
        if self.control.is_inherited() {
            return false;
        }
        let (sender, kicked) = channel(1);
        self.control.door_of(client).post(Mail::Kick(client, sender));
        kicked.receive(None).unwrap_or(false)
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        let control = &self.control;
        let mut stats = Stats::sum(&control.counters);
        stats.refused = control.refused.load(Relaxed);
        stats.events_dropped = control.events.dropped();
        stats.uptime = control.began.elapsed();
        stats
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// What everybody reads and nobody writes once the server has started.
struct Setup {
    greeting: String,
    framing: Framing,
    limits: Limits,
    busy_poll: Option<Duration>,
    formats: Formats,
    zones: Zones,
    commands: Commands,
    /// By the numbers that the table of commands has given them, with their names.
    handlers: Vec<(String, Handler)>,
}

/// How long a client may do nothing.
#[derive(Clone, Copy, Debug)]
struct Limits {
    write: Duration,
    idle: Option<Duration>,
    first_command: Option<Duration>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("greeting", &self.greeting).finish_non_exhaustive()
    }
}
