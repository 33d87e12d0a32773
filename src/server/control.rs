//! What is shared: the state of a server, the doors of its workers, and the places of its threads.

use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    os::fd::RawFd,
    process,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use super::{
    admission::Admission,
    event::{ClientId, Events},
    mailbox::Door,
    stats::Counters,
};
use crate::{clock::SettableClock, waiting};

/// What handles and workers share. It holds nothing of the embedder's, so that a handle kept anywhere is no cycle.
pub(super) struct Control {
    stopped: AtomicBool,
    drain_until: OnceLock<Instant>,
    pub(super) doors: Vec<Door>,
    pub(super) clock: SettableClock,
    pub(super) events: Events,
    pub(super) counters: Box<[Counters]>,
    pub(super) admission: Admission,
    pub(super) refused: AtomicU64,
    /// How often it was asked to read the zones anew.
    pub(super) zones_wanted: AtomicU64,
    /// To be joined.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Threads that have not ended.
    running: AtomicUsize,
    pub(super) began: Instant,
    pub(super) started: SystemTime,
    /// The process whose threads these are: after a fork, the child has none of them.
    process: u32,
    /// What a child has inherited and must close, lest it hold the ports for ever.
    listeners: Vec<RawFd>,
    /// Those are open.
    pub(super) listening: AtomicBool,
}

/// What the server is at.
pub(super) enum State {
    Running,
    /// Until when.
    Draining(Instant),
    Stopped,
}

impl Control {
    /// That of a server that is about to start in this process.
    pub(super) fn new(
        doors: Vec<Door>,
        clock: SettableClock,
        events: Events,
        admission: Admission,
        listeners: Vec<RawFd>,
    ) -> Self {
        Control {
            stopped: AtomicBool::new(false),
            drain_until: OnceLock::new(),
            clock,
            events,
            counters: doors.iter().map(|_| Counters::default()).collect(),
            doors,
            admission,
            refused: AtomicU64::new(0),
            zones_wanted: AtomicU64::new(0),
            threads: Mutex::default(),
            running: AtomicUsize::new(0),
            began: Instant::now(),
            started: SystemTime::now(),
            process: process::id(),
            listeners,
            listening: AtomicBool::new(true),
        }
    }

    pub(super) fn state(&self) -> State {
        if self.stopped.load(Acquire) {
            return State::Stopped;
        }
        match self.drain_until.get() {
            Some(until) => State::Draining(*until),
            None => State::Running,
        }
    }

    /// Whether this is a child of the process that has the threads.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != process::id()
    }

    /// Closes the listeners in a child of that process: the thread that owned them is not in it, so nobody else will.
    pub(super) fn close_inherited(&self) {
        if self.is_inherited() && self.listening.swap(false, AcqRel) {
            for listener in &self.listeners {
                let _ = nix::unistd::close(*listener);
            }
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Release);
        self.wake();
    }

    pub(super) fn drain(&self, grace: Duration) {
        // A grace that no clock can show is for ever: a century.
        let until =
            || Instant::now().checked_add(grace).unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 31));
        self.drain_until.get_or_init(until);
        self.wake();
    }

    /// The number alone tells which worker has the client.
    pub(super) fn door_of(&self, client: ClientId) -> &Door {
        &self.doors[client.worker(self.doors.len())]
    }

    /// Remembers a thread, and forgets those that have ended.
    pub(super) fn keep(&self, thread: JoinHandle<()>) {
        let mut threads = self.threads();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    pub(super) fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_own_thread(&self) -> bool {
        std::ptr::eq(OWN.get(), self)
    }

    fn wake(&self) {
        // A child has the same eventfds, and would wake its parent's threads.
        if self.is_inherited() {
            return;
        }
        for door in &self.doors {
            door.wake();
        }
    }
}

thread_local! {
    /// On a worker and on a caller, whose it is. Only ever compared.
    static OWN: Cell<*const Control> = const { Cell::new(std::ptr::null()) };
}

pub(super) fn mark_as_own(control: &Arc<Control>) {
    OWN.set(Arc::as_ptr(control));
}

/// A thread's place, left when it ends, however it ends.
pub(super) struct Post {
    pub(super) control: Arc<Control>,
    _alive: waiting::Sender<Infallible>,
}

impl Post {
    pub(super) fn new(control: Arc<Control>, alive: waiting::Sender<Infallible>) -> Self {
        control.running.fetch_add(1, AcqRel);
        Post { control, _alive: alive }
    }
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
