//! A handler thread: takes a job, calls the embedder's code, and goes on with the conversation as long as it can.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    conversation::{Answer, Conversation, State},
    events::{ClientId, Event},
    handler::{ClientContext, Request},
    handler_pool::{Departure, HandlerPool, Job, Running, Waited},
    mailbox::Message,
    responder::{executed, settle},
    shared::{ThreadGuard, set_current},
    tick::ticks,
    time_cache::{ReadResponder, TimeCache},
};
#[cfg(feature = "python")]
use super::{handle::Handle, responder::Responder};
use crate::{
    Address,
    protocol::{Call, Reply},
};

/// How long a thread waits for a job before it ends.
pub(crate) const IDLE: Duration = Duration::from_secs(2);
/// How long a thread stays with one client while its read has more custom commands. Then the client gets its replies, and
/// others their turn. A command that is not quick is not worth to hold the replies before it back.
const SLICE: Duration = Duration::from_millis(1);
/// The most time for which a reply waits for others that are sent together with it.
const RING: Duration = Duration::from_micros(100);

/// A thread that serves a pool.
pub(crate) struct HandlerThread {
    pool: Arc<HandlerPool>,
    /// Made when the first built-in command follows a custom one.
    time_cache: Option<Box<TimeCache>>,
    task: Option<Work>,
    /// The conversation of the task, unless its reply was deferred.
    answer: Answer,
    /// The conversation of the task before, until the pool says whether its client is still there.
    ended: Option<Box<Conversation>>,
    /// What the hook `on_connect` has returned, for the pool.
    made: Option<State>,
    running: Option<Running>,
    /// It has looked for a job.
    begun: bool,
    /// When the running job was taken, and how many handlers it has called.
    began: Instant,
    calls: u32,
    /// No other job waited then: this thread sends the replies.
    alone: bool,
    now: Instant,
    /// The worker to ring, and since when.
    owed: Option<(usize, Instant)>,
    /// Dropped last: the server's end is reported then.
    guard: ThreadGuard,
}

/// What a thread is to call.
enum Work {
    Command(Call),
    Connect,
    Disconnect(Box<Departure>),
}

/// What a thread is to call, for a binding that calls it by itself.
#[cfg(feature = "python")]
pub(crate) enum Task<'a> {
    /// The handler of a custom command. Then call [`HandlerThread::finish`].
    Command {
        /// In the order of registration.
        index: usize,
        name: &'a str,
        argument: &'a str,
    },
    /// The hook `on_connect`. Then call [`HandlerThread::finish_connect`].
    Connect,
    /// The hook `on_disconnect`. Then call [`HandlerThread::finish_disconnect`].
    Disconnect(crate::Reason),
}

impl HandlerThread {
    pub(super) fn new(pool: Arc<HandlerPool>, guard: ThreadGuard) -> Self {
        let now = Instant::now();
        HandlerThread {
            pool,
            time_cache: None,
            task: None,
            answer: Answer::default(),
            ended: None,
            made: None,
            running: None,
            begun: false,
            began: now,
            calls: 0,
            alone: false,
            now,
            owed: None,
            guard,
        }
    }

    /// Marks the calling thread as one of the server's. Call it first, on the thread that calls the handlers.
    pub(crate) fn enter(&mut self) {
        set_current(&self.guard.shared);
        self.now = Instant::now();
        self.begin();
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.pool.begin_thread();
        }
    }

    /// Serves the pool until no job comes, or the pool is closed.
    pub(super) fn run(mut self) {
        self.enter();
        loop {
            while self.next() {
                self.call();
            }
            if self.wait(IDLE) != Waited::Woken {
                break;
            }
        }
    }

    /// Takes the next task without waiting. Returns false if there is none.
    pub(crate) fn next(&mut self) -> bool {
        if self.task.is_some() {
            return true;
        }
        let now = ticks(self.now.saturating_duration_since(self.guard.shared.started));
        let (has_left, taken) = self.pool.take(self.running.take(), self.made.take(), now);
        if let Some(conversation) = self.ended.take() {
            self.give_back(conversation, has_left);
        }
        let Some(taken) = taken else {
            self.ring();
            return false;
        };
        let running = taken.running;
        let overdue = self.owed.is_some_and(|(_, since)| self.now.saturating_duration_since(since) > RING);
        if running.slow || overdue {
            self.ring();
        }
        self.running = Some(running);
        self.began = self.now;
        self.calls = 0;
        self.alone = taken.alone;
        self.task = Some(match taken.job {
            Job::Converse(mut conversation) => {
                conversation.called = now;
                let work = conversation.take_call().map_or(Work::Connect, Work::Command);
                self.answer.put(conversation);
                work
            }
            Job::Depart(departure) => Work::Disconnect(departure),
        });
        true
    }

    /// Waits for a job, at most for `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Waited {
        let waited = self.pool.wait(timeout);
        self.now = Instant::now();
        waited
    }

    /// The current task, and the client that it is for.
    #[cfg(feature = "python")]
    pub(crate) fn task(&mut self) -> Option<(Task<'_>, ClientId, &Address)> {
        let task = match self.task.as_ref()? {
            Work::Command(call) => {
                let name = &self.pool.config.handlers[call.command].name;
                Task::Command { index: call.command, name, argument: &call.argument }
            }
            Work::Connect => Task::Connect,
            Work::Disconnect(departure) => {
                return Some((Task::Disconnect(departure.reason), departure.client, &departure.address));
            }
        };
        let conversation = self.answer.get()?;
        Some((task, conversation.client, &conversation.peer))
    }

    /// Defers the reply of the current command, see [`Request::defer`].
    #[cfg(feature = "python")]
    pub(crate) fn defer(&mut self) -> Option<Responder> {
        let Some(Work::Command(call)) = &self.task else { return None };
        let command = self.pool.config.handlers[call.command].name.clone();
        Some(Responder::new(self.answer.take()?, command, self.pool.handle.clone()))
    }

    /// The server of this thread.
    #[cfg(feature = "python")]
    pub(crate) fn handle(&self) -> &Handle {
        &self.pool.handle
    }

    /// Calls the embedder's code. A panic is a failure like any other.
    fn call(&mut self) {
        let (config, handle) = (&self.pool.config, &self.pool.handle);
        match &self.task {
            None => {}
            Some(Work::Command(call)) => {
                let custom = &config.handlers[call.command];
                let Some(conversation) = self.answer.get() else { return };
                let (client, state) = (conversation.client, conversation.state.clone());
                let peer = mem::replace(&mut conversation.peer, Address::Name(String::new()));
                let request = Request {
                    command: &custom.name,
                    argument: &call.argument,
                    peer: &peer,
                    client,
                    handle,
                    state: state.as_ref(),
                    answer: &self.answer,
                };
                let result =
                    catch(|| (custom.handler)(&request)).and_then(|result| result.map_err(|error| error.to_string()));
                if let Some(conversation) = self.answer.get() {
                    conversation.peer = peer;
                }
                self.finish(result);
            }
            Some(Work::Connect) => {
                let Some(conversation) = self.answer.get() else { return };
                let (client, peer) = (conversation.client, conversation.peer.clone());
                let context = ClientContext { peer: &peer, client, handle, state: None };
                let state = match &config.hooks.on_connect {
                    Some(hook) => catch(|| hook(&context)).map(Some),
                    None => Ok(None),
                };
                self.finish_connect(state);
            }
            Some(Work::Disconnect(departure)) => {
                let Departure { client, hook: is_due, address, reason, state, .. } = &**departure;
                let context = ClientContext { peer: address, client: *client, handle, state: state.as_ref() };
                let result = match &config.hooks.on_disconnect {
                    Some(hook) if *is_due => catch(|| hook(&context, *reason)),
                    _ => Ok(()),
                };
                self.finish_disconnect(result);
            }
        }
    }

    /// Takes the result of a handler.
    pub(crate) fn finish(&mut self, result: Result<Reply, String>) {
        let Some(Work::Command(call)) = self.task.take() else { return };
        self.calls += 1;
        let config = &self.pool.config;
        if let Some(mut conversation) = self.answer.take_back() {
            settle(&mut conversation, &config.handlers[call.command].name, result, &self.guard.shared);
            if conversation.can_proceed() {
                let cache = self
                    .time_cache
                    .get_or_insert_with(|| Box::new(TimeCache::new(self.guard.shared.clone(), config.clone())));
                let now = ticks(self.now.saturating_duration_since(self.guard.shared.started));
                let mut read = cache.begin(conversation.client, now);
                let (executed, invalid) = conversation.proceed(&mut ReadResponder { cache, read: &mut read });
                self.guard.shared.handled.add(executed, invalid);
            }
            self.now = Instant::now();
            let now = ticks(self.now.saturating_duration_since(self.guard.shared.started));
            self.guard.shared.handled.took(call.command, now.saturating_sub(conversation.called));
            if let Some(command) = conversation.next_command()
                && self.now.saturating_duration_since(self.began) < SLICE
                && self.pool.is_quick(command)
                && let Some(running) = &mut self.running
                && self.pool.switch(running, command)
            {
                self.task = conversation.take_call().map(Work::Command);
                conversation.called = now;
                self.answer.put(conversation);
                return;
            }
            // A handler that stops its server is not answered.
            if self.alone && !self.guard.shared.is_stopped() {
                // A client that has the reply may ask for its count.
                let executed = executed(&mut conversation, Vec::new());
                self.send_lazily(conversation.worker, executed);
                // While the job is running: the socket is open until the pool knows that it has ended.
                conversation.send();
            }
            self.ended = Some(conversation);
        } else {
            self.now = Instant::now();
        }
        self.note_cost();
    }

    /// Takes the result of the hook `on_connect`.
    pub(crate) fn finish_connect(&mut self, state: Result<Option<State>, String>) {
        let Some(Work::Connect) = self.task.take() else { return };
        if let Some(conversation) = self.answer.take() {
            match state {
                Ok(state) => self.made = state,
                Err(error) => self.hook_failed("on_connect", conversation.client, error),
            }
            self.ended = Some(conversation);
        }
        self.now = Instant::now();
        self.note_cost();
    }

    /// Takes the result of the hook `on_disconnect`.
    pub(crate) fn finish_disconnect(&mut self, result: Result<(), String>) {
        let Some(Work::Disconnect(departure)) = self.task.take() else { return };
        if let Err(error) = result {
            self.hook_failed("on_disconnect", departure.client, error);
        }
        if let Some(peer) = &departure.peer {
            self.guard.shared.admission.leave(peer);
        }
        // Drops the client's state, whose code may panic like a handler.
        let _ = catch(|| drop(departure));
        self.now = Instant::now();
        self.note_cost();
    }

    fn hook_failed(&self, hook: &str, client: ClientId, error: String) {
        let command = hook.to_owned();
        self.guard.shared.handled.hook_failed();
        self.guard.shared.events.emit(|| Event::CommandFailed { client, command, error });
    }

    fn note_cost(&self) {
        if let Some(running) = &self.running {
            let took = self.now.saturating_duration_since(self.began);
            self.pool.note_cost(running, took / self.calls.max(1));
        }
    }

    /// Returns a session to its worker, unless its client has left, or the server has stopped: a worker that does not know
    /// that yet would send the replies.
    fn give_back(&mut self, mut conversation: Box<Conversation>, has_left: bool) {
        // The worker has the client's state. In the mailbox of a worker that ends, the conversation would keep it alive.
        conversation.state = None;
        let shared = &self.guard.shared;
        if has_left || shared.is_stopped() {
            shared.forget(conversation.client);
            return;
        }
        self.send_lazily(conversation.worker, Message::Return(conversation));
    }

    /// Sends a message that waits for others.
    fn send_lazily(&mut self, worker: usize, message: Message) {
        if self.guard.shared.mailboxes[worker].send_lazily(message) {
            match self.owed {
                Some((other, _)) if other != worker => {
                    self.ring();
                    self.owed = Some((worker, self.now));
                }
                Some(_) => {}
                None => self.owed = Some((worker, self.now)),
            }
        }
    }

    /// Rings the worker that has replies to send.
    fn ring(&mut self) {
        if let Some((worker, _)) = self.owed.take() {
            self.guard.shared.mailboxes[worker].ring();
        }
    }
}

impl Drop for HandlerThread {
    fn drop(&mut self) {
        // The thread ended inside a task. (A binding's thread may, since it calls the handlers by itself.)
        self.finish(Err("the handler's thread ended".into()));
        self.finish_connect(Err("the hook's thread ended".into()));
        self.finish_disconnect(Err("the hook's thread ended".into()));
        if let Some(conversation) = self.ended.take() {
            self.give_back(conversation, false);
        }
        self.ring();
        self.begin();
        self.pool.end_thread(self.running.take(), self.made.take(), &self.guard);
    }
}

fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| format!("the handler panicked: {}", panic_message(&*panic)))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
