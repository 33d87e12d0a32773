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
    events::Events,
    handle::Handle,
    handler_pool::{HandlerPool, Spawn},
    handler_thread::HandlerThread,
    listen::{Addresses, Listener},
    mailbox::Mailbox,
    shared::{Shared, ThreadGuard, set_current},
    worker::{Acceptor, LISTENERS, WAKER, Worker},
};
use crate::{
    Error,
    channel::channel,
    clock::{Clock, SettableClock},
    thread,
};

/// The parts of a server before its threads start.
pub(super) struct Parts {
    pub(super) listeners: Vec<Listener>,
    pub(super) addresses: Addresses,
    pub(super) workers: usize,
    pub(super) clock: Clock,
    pub(super) events: Events,
    pub(super) admission: Admission,
    pub(super) config: Config,
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
    let Parts { mut listeners, addresses, workers, clock, events, admission, config, threads } = parts;
    let failed = Error::io("make a poller");
    let polls = (0..workers).map(|_| Poll::new()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut mailboxes = Vec::new();
    let mut receivers = Vec::new();
    let watched = (|| {
        for (i, listener) in listeners.iter_mut().enumerate() {
            listener.register(polls[0].registry(), Token(LISTENERS + i))?;
        }
        for poll in &polls {
            let (sender, receiver) = unbounded();
            mailboxes.push(Mailbox::new(sender, Waker::new(poll.registry(), WAKER)?));
            receivers.push(receiver);
        }
        Ok(())
    })();
    watched.map_err(Error::io("watch the listeners"))?;
    let descriptors = listeners.iter().map(AsRawFd::as_raw_fd).collect();
    let shared = Arc::new(Shared::new(mailboxes, SettableClock::new(clock), events, admission, descriptors));
    for mailbox in &shared.mailboxes {
        let shared = Arc::downgrade(&shared);
        mailbox.on_failure(move || {
            if let Some(shared) = shared.upgrade() {
                shared.fail();
            }
        });
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
    let mut acceptor = Some(Acceptor::new(listeners));
    let started = polls.into_iter().zip(receivers).enumerate().try_for_each(|(index, (poll, receiver))| {
        let config = config.clone();
        let worker = Worker::new(index, shared.clone(), config, pool.clone(), poll, receiver, acceptor.take());
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
