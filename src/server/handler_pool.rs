//! The threads on which the embedder's handlers run, so that a slow handler delays only its own client.
//!
//! The pool starts without threads. A job goes to an idle thread, or to a new one. It waits in the queue if there are as
//! many threads as allowed. A thread that stays idle ends. A client has at most one job, and a client that leaves cancels
//! its queued job, so the queue is never longer than the client list.

use std::{
    any::Any,
    collections::BTreeMap,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    config::Config,
    events::{ClientId, Event},
    handle::Handle,
    handler::Request,
    mailbox::Message,
    shared::{Shared, ThreadGuard, set_current},
};
use crate::{
    Address,
    channel::Sender,
    protocol::{Call, Reply},
    thread,
};

/// How long a thread waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(2);

/// A call of a handler.
pub(super) struct Job {
    pub(super) worker: usize,
    pub(super) slot: usize,
    pub(super) client: ClientId,
    pub(super) peer: Address,
    pub(super) call: Call,
}

/// Identifies a queued job.
pub(super) type JobId = u64;

pub(super) struct HandlerPool {
    handle: Handle,
    config: Arc<Config>,
    state: Mutex<State>,
    /// Signalled for each new job, and when the pool closes.
    changed: Condvar,
}

struct State {
    queue: BTreeMap<JobId, Job>,
    next: JobId,
    threads: usize,
    idle: usize,
    /// For new threads. `None` once no worker is left.
    shutdown_complete: Option<Sender<Infallible>>,
}

impl HandlerPool {
    pub(super) fn new(shared: Arc<Shared>, config: Arc<Config>, shutdown_complete: Sender<Infallible>) -> Self {
        let shutdown_complete = Some(shutdown_complete);
        let state = State { queue: BTreeMap::new(), next: 0, threads: 0, idle: 0, shutdown_complete };
        HandlerPool { handle: Handle { shared }, config, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Queues a job. Its reply is sent to the worker's mailbox.
    pub(super) fn submit(self: &Arc<Self>, job: Job) -> JobId {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.queue.insert(id, job);
        if state.idle >= state.queue.len() || state.threads == self.config.settings.handler_threads {
            self.changed.notify_one();
            return id;
        }
        if let Err(error) = self.start(&mut state)
            && state.threads == 0
            && let Some(job) = state.queue.remove(&id)
        {
            drop(state);
            self.answer(&job, Err(error));
        }
        id
    }

    /// Removes a queued job, after its client has left.
    pub(super) fn cancel(&self, id: JobId) {
        self.state().queue.remove(&id);
    }

    /// Ends the threads: the idle ones now, the others when their handlers return.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.queue.clear();
        state.shutdown_complete = None;
        self.changed.notify_all();
    }

    fn start(self: &Arc<Self>, state: &mut State) -> Result<(), String> {
        let Some(shutdown_complete) = state.shutdown_complete.clone() else { return Err("the server stops".into()) };
        let shared = &self.handle.shared;
        let guard = ThreadGuard::new(shared.clone(), shutdown_complete);
        let pool = self.clone();
        let thread = thread::spawn("daytime-handler".into(), move || {
            set_current(&guard.shared);
            pool.run();
            drop(pool);
            drop(guard);
        });
        shared.keep(thread.map_err(|error| error.to_string())?);
        state.threads += 1;
        Ok(())
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            if let Some((_, job)) = state.queue.pop_first() {
                drop(state);
                let result = self.call(&job);
                self.answer(&job, result);
                state = self.state();
                continue;
            }
            if state.shutdown_complete.is_none() {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Calls a handler. A panic is a failure like any other.
    fn call(&self, job: &Job) -> Result<Reply, String> {
        let (name, handler) = &self.config.handlers[job.call.command];
        let request = Request {
            command: name,
            argument: &job.call.argument,
            peer: &job.peer,
            client: job.client,
            handle: &self.handle,
        };
        let reply = catch_unwind(AssertUnwindSafe(|| handler(&request)))
            .map_err(|panic| format!("the handler panicked: {}", panic_message(&*panic)))?
            .map_err(|error| error.to_string())?;
        reply.check().map_err(|error| format!("the handler returned an invalid reply: {error}"))?;
        Ok(reply)
    }

    fn answer(&self, job: &Job, result: Result<Reply, String>) {
        let shared = &self.handle.shared;
        let reply = result.map_err(|error| {
            let command = self.config.handlers[job.call.command].0.clone();
            shared.events.emit(|| Event::CommandFailed { client: job.client, command, error });
        });
        shared.mailboxes[job.worker].send(Message::Reply {
            slot: job.slot,
            client: job.client,
            command: job.call.command,
            reply: reply.ok(),
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
