//! The state that handles, workers and handler threads share.

use std::{
    cell::Cell,
    collections::BTreeSet,
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
    events::{ClientId, Events},
    mailbox::Mailbox,
    metrics,
    stats::{Counters, DatagramCounters, Handled, Stats},
    tick::Tick,
};
use crate::{channel, clock::SettableClock};

/// The state that handles, workers and handler threads share. It owns nothing of the embedder, so that a handle inside a
/// handler is not a cycle of references.
pub(super) struct Shared {
    /// The server is draining or stopped. It is set last, and workers look at nothing else while it is false.
    pub(super) ending: AtomicBool,
    stopped: AtomicBool,
    drain_until: OnceLock<Instant>,
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) clock: SettableClock,
    pub(super) events: Events,
    pub(super) counters: Box<[Counters]>,
    pub(super) handled: Handled,
    pub(super) datagrams: DatagramCounters,
    pub(super) admission: Admission,
    /// How many times a reload of the time zones was requested.
    pub(super) zone_reloads: AtomicU64,
    /// The threads to join.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The number of threads that have not ended.
    running: AtomicUsize,
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    /// The process of the threads. A forked child does not have them.
    process: u32,
    /// The listeners that a forked child inherits. It must close them, or the ports would stay taken.
    listeners: Vec<RawFd>,
    /// The listeners are open.
    pub(super) listening: AtomicBool,
    /// The same for the listeners for metrics, which are closed later.
    metrics_listeners: Vec<RawFd>,
    pub(super) metrics_listening: AtomicBool,
    /// The number of workers that have not ended.
    pub(super) serving: AtomicUsize,
    /// Clients that left while their sessions are away.
    left: Mutex<BTreeSet<ClientId>>,
}

/// The phase of a server.
pub(super) enum State {
    Running,
    /// Until this moment.
    Draining(Instant),
    Stopped,
}

impl Shared {
    pub(super) fn new(
        mailboxes: Vec<Mailbox>,
        clock: SettableClock,
        events: Events,
        admission: Admission,
        handled: Handled,
        [listeners, metrics_listeners]: [Vec<RawFd>; 2],
    ) -> Self {
        Shared {
            ending: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            drain_until: OnceLock::new(),
            clock,
            events,
            counters: mailboxes.iter().map(|_| Counters::default()).collect(),
            handled,
            datagrams: DatagramCounters::default(),
            serving: AtomicUsize::new(mailboxes.len()),
            mailboxes,
            admission,
            zone_reloads: AtomicU64::new(0),
            threads: Mutex::default(),
            running: AtomicUsize::new(0),
            started: Instant::now(),
            started_at: SystemTime::now(),
            process: process::id(),
            listeners,
            listening: AtomicBool::new(true),
            metrics_listeners,
            metrics_listening: AtomicBool::new(true),
            left: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> State {
        if self.is_stopped() {
            return State::Stopped;
        }
        match self.drain_until.get() {
            Some(until) => State::Draining(*until),
            None => State::Running,
        }
    }

    /// Nanoseconds since the start of the server: 64 bits count 584 years.
    pub(super) fn now(&self) -> Tick {
        self.started.elapsed().as_nanos() as Tick
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats::sum(&self.counters, &self.handled, &self.datagrams);
        stats.max_clients = self.admission.max() as u64;
        stats.events_dropped = self.events.dropped();
        stats.uptime = self.started.elapsed();
        stats
    }

    /// The counters as text for Prometheus.
    pub(super) fn metrics(&self) -> String {
        metrics::text(&self.stats(), &self.handled.handlers(), &self.datagrams)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Acquire)
    }

    /// Whether this process is a forked child of the server's process.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != process::id()
    }

    /// Closes the listeners in a forked child. The thread that owns them exists only in the parent.
    pub(super) fn close_inherited(&self) {
        if !self.is_inherited() {
            return;
        }
        for (listening, listeners) in
            [(&self.listening, &self.listeners), (&self.metrics_listening, &self.metrics_listeners)]
        {
            if listening.swap(false, AcqRel) {
                for listener in listeners {
                    let _ = nix::unistd::close(*listener);
                }
            }
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Release);
        self.wake();
    }

    /// A worker has left its loop. The first one may wait for that.
    pub(super) fn end_worker(&self) {
        self.serving.fetch_sub(1, AcqRel);
        self.mailboxes[0].wake();
    }

    /// Stops after a failure of the system. A failure to stop does not stop again.
    pub(super) fn fail(&self) {
        if !self.stopped.load(Acquire) {
            self.stop();
        }
    }

    pub(super) fn drain(&self, grace: Duration) {
        // A grace beyond the range of the clock becomes 68 years.
        let until =
            || Instant::now().checked_add(grace).unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 31));
        self.drain_until.get_or_init(until);
        self.wake();
    }

    /// The mailbox of a client's worker, which follows from the id alone.
    pub(super) fn mailbox_of(&self, client: ClientId) -> &Mailbox {
        &self.mailboxes[client.worker(self.mailboxes.len())]
    }

    /// Notes that a client left while its session is away.
    pub(super) fn note_left(&self, client: ClientId) {
        self.left().insert(client);
    }

    /// The session of a client that left is back, and is dropped.
    pub(super) fn forget(&self, client: ClientId) {
        self.left().remove(&client);
    }

    /// Whether nobody waits for the reply to a client whose session is away.
    pub(super) fn has_left(&self, client: ClientId) -> bool {
        self.is_stopped() || self.left().contains(&client)
    }

    fn left(&self) -> MutexGuard<'_, BTreeSet<ClientId>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a thread to be joined, and drops those that have ended.
    pub(super) fn keep(&self, thread: JoinHandle<()>) {
        let mut threads = self.threads();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// Joins the threads. Call it once all of them have sent their last sign of life: then it does not block.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_own_thread(&self) -> bool {
        std::ptr::eq(CURRENT.get(), self)
    }

    fn wake(&self) {
        self.ending.store(true, Release);
        // A forked child has the same eventfds, and would wake the threads of its parent.
        if self.is_inherited() {
            return;
        }
        for mailbox in &self.mailboxes {
            mailbox.wake();
        }
    }
}

thread_local! {
    /// The server of this thread, if it is a worker or a handler thread. It is compared, never dereferenced.
    static CURRENT: Cell<*const Shared> = const { Cell::new(std::ptr::null()) };
}

/// Marks the calling thread as one of this server's threads.
pub(super) fn set_current(shared: &Arc<Shared>) {
    CURRENT.set(Arc::as_ptr(shared));
}

/// Held by each thread of a server until it ends, in whichever way. The last one closes the subscriptions to events.
pub(super) struct ThreadGuard {
    pub(super) shared: Arc<Shared>,
    shutdown_complete: channel::Sender<Infallible>,
}

impl ThreadGuard {
    pub(super) fn new(shared: Arc<Shared>, shutdown_complete: channel::Sender<Infallible>) -> Self {
        shared.running.fetch_add(1, AcqRel);
        ThreadGuard { shared, shutdown_complete }
    }
}

/// For another thread.
impl Clone for ThreadGuard {
    fn clone(&self) -> Self {
        ThreadGuard::new(self.shared.clone(), self.shutdown_complete.clone())
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        if self.shared.running.fetch_sub(1, AcqRel) == 1 {
            self.shared.events.close();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stopped", &self.stopped.load(Relaxed)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::TcpStream,
        sync::mpsc,
        time::{Duration, Instant},
    };

    use socket2::SockRef;

    use super::*;
    use crate::Server;

    /// The soak found that a client was noted forever if its connection failed while its last reply was sent.
    #[test]
    fn a_client_that_resets_its_connection_during_a_command_is_forgotten() {
        let (resets, streams) = mpsc::channel::<TcpStream>();
        let streams = Mutex::new(streams);
        let server = Server::builder()
            .listen("127.0.0.1:0")
            .command("reset", move |_| {
                // The client resets its connection, before the reply to this command is sent.
                let stream = streams.lock().unwrap().recv().unwrap();
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                drop(stream);
                "too late"
            })
            .start()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let shared = &server.handle().shared;
        for n in 1..=100 {
            let mut client = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            client.write_all(b"reset\n").unwrap();
            resets.send(client).unwrap();
            while server.stats().accepted < n || server.stats().clients > 0 || !shared.left().is_empty() {
                assert!(Instant::now() < deadline, "{} noted, {:?}", shared.left().len(), server.stats());
                std::thread::yield_now();
            }
        }
    }
}
