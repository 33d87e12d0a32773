//! Starts the threads of a bound server.

use std::{
    fmt,
    os::fd::AsRawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicBool},
};

use crossbeam_channel::unbounded;
use mio::{Poll, Token, Waker};

use super::{
    Server,
    admission::Admission,
    config::Config,
    datagrams::{Budget, Datagrams},
    events::Events,
    handle::Handle,
    handler_pool::{HandlerPool, Spawn},
    handler_thread::HandlerThread,
    listen::{Addresses, Service, Sockets},
    mailbox::Mailbox,
    process::ProcessMetrics,
    shared::{Shared, ThreadGuard, set_current},
    stats::Handled,
    worker::{Acceptor, DATAGRAMS, HttpServer, LISTENERS, WAKER, Worker},
};
use crate::{
    Error,
    channel::channel,
    clock::{Clock, SettableClock},
    thread,
};

/// The parts of a server before its threads start.
pub(super) struct Parts {
    pub(super) sockets: Sockets,
    pub(super) addresses: Addresses,
    pub(super) workers: usize,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) admission: Admission,
    pub(super) config: Config,
    pub(super) process_metrics: Option<ProcessMetrics>,
    /// Runs the handler threads in place of this crate.
    pub(super) threads: Option<Threads>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("addresses", &self.addresses)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Hands a handler thread to a binding, which runs it. It is called on a thread that may wait.
pub(super) type Threads = Box<dyn Fn(HandlerThread) + Send + Sync>;

pub(super) fn launch(parts: Parts) -> Result<Server, Error> {
    let Parts { mut sockets, addresses, workers, clock, events, admission, config, process_metrics, threads } = parts;
    let metrics: Vec<_> = sockets.listeners.extract_if(.., |listener| listener.service == Service::Metrics).collect();
    let failed = Error::io("make a poller");
    let polls = (0..workers).map(|_| Poll::new()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut mailboxes = Vec::new();
    let mut receivers = Vec::new();
    let watched = (|| {
        for (i, listener) in sockets.listeners.iter_mut().enumerate() {
            listener.register(polls[0].registry(), Token(LISTENERS + i))?;
        }
        for (i, socket) in sockets.datagrams.iter_mut().enumerate() {
            socket.register(polls[0].registry(), Token(DATAGRAMS + i))?;
        }
        for poll in &polls {
            let (sender, receiver) = unbounded();
            mailboxes.push(Mailbox::new(sender, Waker::new(poll.registry(), WAKER)?));
            receivers.push(receiver);
        }
        Ok(())
    })();
    watched.map_err(Error::io("watch the listeners"))?;
    let descriptors = [sockets.descriptors(), metrics.iter().map(AsRawFd::as_raw_fd).collect()];
    let handled = Handled::new(config.handlers.iter().map(|command| &*command.name));
    let clock = SettableClock::new(clock);
    let shared = Arc::new(Shared::new(mailboxes, clock, events, admission, handled, descriptors));
    for mailbox in &shared.mailboxes {
        let shared = Arc::downgrade(&shared);
        mailbox.on_failure(move || {
            if let Some(shared) = shared.upgrade() {
                shared.fail();
            }
        });
    }
    let mut http = (!metrics.is_empty()).then(|| HttpServer::new(shared.clone(), process_metrics, metrics));
    if let Some(http) = &mut http {
        http.register(polls[0].registry()).map_err(Error::io("watch the listeners for metrics"))?;
    }
    let (shutdown_complete_tx, shutdown_complete_rx) = channel(0);
    let server = Server {
        handle: Handle { shared: shared.clone() },
        addresses,
        warnings: config.zones.warnings(),
        shutdown_complete_rx,
        detached: AtomicBool::new(false),
    };
    let config = Arc::new(config);
    let parallel = threads.is_none();
    let spawn = spawn(threads);
    // Until all workers have started, none of them is the last to end.
    let starting = ThreadGuard::new(shared.clone(), shutdown_complete_tx);
    let pool = Arc::new(HandlerPool::new(config.clone(), spawn, parallel, starting.clone()));
    // Each worker holds a clone. The last worker to end closes the pool.
    let pool_guard = Arc::new(HandlerPoolGuard(pool.clone()));
    let datagrams = (!sockets.datagrams.is_empty())
        .then(|| Datagrams::new(sockets.datagrams, Budget::new(config.settings.udp_rate)));
    // Those of the first worker.
    let mut acceptors = Some((Acceptor::new(sockets.listeners), datagrams));
    let started = polls.into_iter().zip(receivers).enumerate().try_for_each(|(index, (poll, receiver))| {
        let config = config.clone();
        let mut worker = Worker::new(index, shared.clone(), config, pool.clone(), poll, receiver, acceptors.take());
        if let Some(http) = http.take() {
            worker.serve_http(http);
        }
        let guard = starting.clone();
        let pool_guard = pool_guard.clone();
        let thread = thread::spawn(format!("daytime-{index}"), move || {
            set_current(&guard.shared);
            // A panic is a bug of this crate. It stops the whole server, since half of a server serves half of its clients.
            if catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                guard.shared.stop();
            }
            drop(pool_guard);
            drop(guard);
        })?;
        shared.keep(thread);
        Ok(())
    });
    drop((pool, pool_guard, starting));
    // If a thread was denied, dropping the server stops and joins those before it.
    started.map(|()| server)
}

/// How the pool starts a thread.
fn spawn(threads: Option<Threads>) -> Box<Spawn> {
    let threads = threads.map(Arc::new);
    Box::new(move |pool, guard| {
        let (shared, threads) = (guard.shared.clone(), threads.clone());
        // It is made on the thread: dropping it ends a thread of the pool, and the system may deny this one.
        let thread = thread::spawn("daytime-handler".into(), move || {
            let thread = HandlerThread::new(pool, guard);
            match threads {
                None => thread.run(),
                Some(threads) => threads(thread),
            }
        });
        shared.keep(thread.map_err(|error| error.to_string())?);
        Ok(())
    })
}

/// Closes the handler pool when the last worker drops it.
pub(super) struct HandlerPoolGuard(Arc<HandlerPool>);

impl Drop for HandlerPoolGuard {
    fn drop(&mut self) {
        self.0.close();
    }
}
