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
//! Threads end when the state says so. Each holds a sender of the channel `done`, on which nothing is ever sent: once
//! the last one is dropped, whoever waits knows that all have ended.

mod acceptor;
mod builder;
mod connection;
mod event;
mod listen;
mod stats;
mod texts;
mod worker;

use std::{
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use mio::{Interest, Poll, Token, Waker, net::TcpListener};

pub use builder::{Bound, ServerBuilder};
pub use event::{ClientId, Event, Reason};
pub use stats::{ClientInfo, Stats};

use crate::{
    Address, Error,
    clock::{Clock, SettableClock, Zones},
    protocol::{Commands, Formats, Framing},
    thread,
};
use acceptor::Acceptor;
use event::Events;
use stats::Counters;
use worker::{LISTENERS, MAIL, Mail, Worker};

/// A running server.
///
/// Dropping it stops it and joins its threads.
pub struct Server {
    handle: Handle,
    addresses: Vec<Address>,
    warnings: Vec<String>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    done: Receiver<Infallible>,
}

impl Server {
    /// The settings of a new server, all at their defaults.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    fn start(bound: Bound) -> Result<Server, Error> {
        let Bound { listeners, addresses, workers, clock, setup } = bound;
        let failed = Error::io("make a poller");
        let polls = (0..workers).map(|_| Poll::new()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let mut listeners: Vec<_> = listeners.into_iter().map(TcpListener::from_std).collect();
        let mut doors = Vec::new();
        let mut mailboxes = Vec::new();
        let watched = (|| {
            for (i, listener) in listeners.iter_mut().enumerate() {
                polls[0].registry().register(listener, Token(LISTENERS + i), Interest::READABLE)?;
            }
            for poll in &polls {
                let (sender, mailbox) = unbounded();
                doors.push(Door {
                    mail: sender,
                    waker: Waker::new(poll.registry(), MAIL)?,
                    rung: AtomicBool::new(false),
                });
                mailboxes.push(mailbox);
            }
            Ok(())
        })();
        watched.map_err(Error::io("watch the listeners"))?;
        let control = Arc::new(Control {
            stopped: AtomicBool::new(false),
            drain_until: OnceLock::new(),
            doors,
            clock: SettableClock::new(clock),
            events: Events::new(),
            counters: (0..workers).map(|_| Counters::default()).collect(),
            running: AtomicUsize::new(workers),
            began: Instant::now(),
            started: SystemTime::now(),
        });
        let (alive, done) = bounded(0);
        let server = Server {
            handle: Handle { control: control.clone() },
            addresses,
            warnings: setup.zones.warnings().to_vec(),
            threads: Mutex::default(),
            done,
        };
        let setup = Arc::new(setup);
        let mut acceptor = Some(Acceptor::new(listeners));
        let started = polls.into_iter().zip(mailboxes).enumerate().try_for_each(|(index, (poll, mailbox))| {
            let worker = Worker::new(index, control.clone(), setup.clone(), poll, mailbox, acceptor.take());
            let post = Post { control: control.clone(), _alive: alive.clone() };
            let thread = thread::spawn(format!("daytime-{index}"), move || {
                // A panic is a bug of this crate: no half of a server is left running.
                if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                    post.control.stop();
                }
                drop(post);
            })?;
            server.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            Ok(())
        });
        drop(alive);
        // Where a thread was refused, dropping the server stops and joins those before it.
        started.map(|()| server)
    }

    /// The bound addresses, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The port of the first address.
    pub fn port(&self) -> u16 {
        builder::port(&self.addresses)
    }

    /// What `start` had to put up with, such as a machine without time zones; empty if nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// For stopping and asking from elsewhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// [`events_with`](Self::events_with) a capacity of 1,024.
    pub fn events(&self) -> Receiver<Event> {
        self.events_with(1024)
    }

    /// A subscription of its own to what happens from now on. A reader that leaves more than `capacity` events unread
    /// (at least 1) loses the ones that follow, which [`Stats::events_dropped`] counts; it never slows the server down.
    /// The receiver is disconnected once the server has ended and the last event was read.
    pub fn events_with(&self, capacity: usize) -> Receiver<Event> {
        self.handle.control.events.subscribe(capacity)
    }

    /// Waits until every thread of the server has ended, or for `timeout`; true if they have.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let ended = match timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
            None => self.done.recv().is_err(),
            Some(deadline) => self.done.recv_deadline(deadline) == Err(RecvTimeoutError::Disconnected),
        };
        if ended {
            // Their last act was to say so; this takes no time.
            let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
            for thread in threads {
                let _ = thread.join();
            }
        }
        ended
    }

    /// See [`Handle::stop`].
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// See [`Handle::drain`].
    pub fn drain(&self, grace: Duration) {
        self.handle.drain(grace);
    }

    /// See [`Handle::set_clock`].
    pub fn set_clock(&self, clock: Clock) {
        self.handle.set_clock(clock);
    }

    /// See [`Handle::clients`].
    pub fn clients(&self) -> Vec<ClientInfo> {
        self.handle.clients()
    }

    /// See [`Handle::stats`].
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        self.wait(None);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
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

    /// The clients that are connected, in the order of their numbers; those being closed are left out.
    pub fn clients(&self) -> Vec<ClientInfo> {
        let (sender, parts) = unbounded();
        for door in &self.control.doors {
            door.post(Mail::Clients(sender.clone()));
        }
        // A worker that has ended drops its mail, and with it the sender.
        drop(sender);
        let mut clients: Vec<ClientInfo> = parts.iter().flatten().collect();
        clients.sort_by_key(|client| client.id);
        clients
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        let control = &self.control;
        let mut stats = Stats::sum(&control.counters);
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
#[derive(Debug)]
struct Setup {
    greeting: String,
    framing: Framing,
    write_timeout: Duration,
    formats: Formats,
    zones: Zones,
    commands: Commands,
}

/// What handles and workers share. It holds nothing of the embedder's, so that a handle kept anywhere is no cycle.
struct Control {
    stopped: AtomicBool,
    drain_until: OnceLock<Instant>,
    doors: Vec<Door>,
    clock: SettableClock,
    events: Events,
    counters: Box<[Counters]>,
    /// Workers that have not ended.
    running: AtomicUsize,
    began: Instant,
    started: SystemTime,
}

/// What the server is at.
enum State {
    Running,
    /// Until when.
    Draining(Instant),
    Stopped,
}

impl Control {
    fn state(&self) -> State {
        if self.stopped.load(Acquire) {
            return State::Stopped;
        }
        match self.drain_until.get() {
            Some(until) => State::Draining(*until),
            None => State::Running,
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Release);
        self.wake();
    }

    fn drain(&self, grace: Duration) {
        // A grace that no clock can show is for ever: a century.
        let until =
            || Instant::now().checked_add(grace).unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 31));
        self.drain_until.get_or_init(until);
        self.wake();
    }

    fn wake(&self) {
        for door in &self.doors {
            // Without regard to whether it was rung: this must reach a worker that is just going to sleep.
            let _ = door.waker.wake();
        }
    }
}

/// A worker's mailbox from outside.
struct Door {
    mail: Sender<Mail>,
    waker: Waker,
    /// The worker was woken and has not looked yet.
    rung: AtomicBool,
}

impl Door {
    /// Leaves mail and wakes the worker; dropped if that has ended.
    fn post(&self, mail: Mail) {
        if self.mail.send(mail).is_ok() && !self.rung.swap(true, AcqRel) {
            let _ = self.waker.wake();
        }
    }

    /// The worker is about to read its mail.
    fn open(&self) {
        self.rung.swap(false, AcqRel);
    }
}

/// A worker's place, left when its thread ends, however it ends.
struct Post {
    control: Arc<Control>,
    _alive: Sender<Infallible>,
}

impl Drop for Post {
    fn drop(&mut self) {
        if self.control.running.fetch_sub(1, AcqRel) == 1 {
            self.control.events.close();
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("stopped", &self.stopped.load(Relaxed)).finish_non_exhaustive()
    }
}
