//! The threads on which the embedder's handlers run, so that a slow one delays nobody but its own client.
//!
//! None exists until an own command is asked for. A call finds an idle caller, or a new one is started, or it waits
//! its turn once there are as many as there may be; a caller that stays idle ends. A client waits for one call at
//! most, and one that leaves takes its waiting call back, so that the queue is never longer than the client list.

use std::{
    any::Any,
    collections::BTreeMap,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    config::Setup,
    control::{Control, Post, mark_as_own},
    event::{ClientId, Event},
    handle::Handle,
    handler::Request,
    mailbox::Mail,
};
use crate::{
    Address,
    protocol::{Call, Reply, check_reply},
    thread,
    waiting::Sender,
};

/// How long a caller waits for work before it ends.
const IDLE: Duration = Duration::from_secs(2);

/// One call that waits for a caller.
pub(super) struct Job {
    pub(super) worker: usize,
    pub(super) slot: usize,
    pub(super) client: ClientId,
    pub(super) peer: Address,
    pub(super) call: Call,
}

/// Takes a waiting call back.
pub(super) type Ticket = u64;

pub(super) struct Callers {
    handle: Handle,
    setup: Arc<Setup>,
    most: usize,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    waiting: BTreeMap<Ticket, Job>,
    next: Ticket,
    threads: usize,
    idle: usize,
    /// For new threads; `None` once no worker is left that could want one.
    alive: Option<Sender<Infallible>>,
}

impl Callers {
    pub(super) fn new(control: Arc<Control>, setup: Arc<Setup>, most: usize, alive: Sender<Infallible>) -> Self {
        let state = State { waiting: BTreeMap::new(), next: 0, threads: 0, idle: 0, alive: Some(alive) };
        Callers { handle: Handle { control }, setup, most, state: Mutex::new(state), work: Condvar::new() }
    }

    /// Has a job done, and answered by mail.
    pub(super) fn submit(self: &Arc<Self>, job: Job) -> Ticket {
        let mut state = self.state();
        let ticket = state.next;
        state.next += 1;
        state.waiting.insert(ticket, job);
        if state.idle >= state.waiting.len() || state.threads == self.most {
            self.work.notify_one();
            return ticket;
        }
        if let Err(why) = self.start(&mut state)
            && state.threads == 0
            && let Some(job) = state.waiting.remove(&ticket)
        {
            drop(state);
            self.answer(&job, Err(why));
        }
        ticket
    }

    /// The client has left: nobody wants the answer.
    pub(super) fn take_back(&self, ticket: Ticket) {
        self.state().waiting.remove(&ticket);
    }

    /// Ends the threads: the idle ones now, the others when their handlers return.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.waiting.clear();
        state.alive = None;
        self.work.notify_all();
    }

    fn start(self: &Arc<Self>, state: &mut State) -> Result<(), String> {
        let Some(alive) = state.alive.clone() else { return Err("the server stops".into()) };
        let control = &self.handle.control;
        let post = Post::new(control.clone(), alive);
        let callers = self.clone();
        let thread = thread::spawn("daytime-caller".into(), move || {
            mark_as_own(&post.control);
            callers.run();
            drop(callers);
            drop(post);
        });
        control.keep(thread.map_err(|error| error.to_string())?);
        state.threads += 1;
        Ok(())
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            if let Some((_, job)) = state.waiting.pop_first() {
                drop(state);
                let result = self.call(&job);
                self.answer(&job, result);
                state = self.state();
                continue;
            }
            if state.alive.is_none() {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.waiting.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Runs a handler. A panic is a failure like another.
    fn call(&self, job: &Job) -> Result<Reply, String> {
        let (name, handler) = &self.setup.handlers[job.call.command];
        let request = Request {
            command: name,
            argument: &job.call.argument,
            peer: &job.peer,
            client: job.client,
            handle: &self.handle,
        };
        let reply = catch_unwind(AssertUnwindSafe(|| handler(&request)))
            .map_err(|panic| format!("the handler panicked: {}", words(&*panic)))?
            .map_err(|error| error.to_string())?;
        if !(reply.closing && reply.text.is_empty()) {
            check_reply(&reply.text).map_err(|why| format!("the handler's reply is none: {why}"))?;
        }
        Ok(reply)
    }

    fn answer(&self, job: &Job, result: Result<Reply, String>) {
        let control = &self.handle.control;
        let reply = result.map_err(|why| {
            let command = self.setup.handlers[job.call.command].0.clone();
            control.events.tell(|| Event::CommandFailed { client: job.client, command, why });
        });
        control.doors[job.worker].post(Mail::Reply {
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

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
