//! Which handler runs next, and on how many threads: a slow handler delays only its own client.
//!
//! Each command has a queue, and so have the hooks. The queues take turns. While there are several queues, a command gets
//! another thread only if it holds fewer than three times as many as would be left: of 16 threads the first slow command
//! gets at most 12, the second 3, and one is left for the others. A client is in at most one queue, and a client that
//! leaves is taken out of it, so that all queues together are never longer than the client list.
//!
//! # When a thread is woken
//!
//! A wake-up costs more than a quick handler, so as few threads as possible are awake. *Quick* is a command whose
//! calls took less than [`QUICK`] of late.
//!
//! - A worker submits the jobs of one turn together. It wakes a thread if none is awake, or if all of those that are run
//!   slow handlers.
//! - A thread that takes a job wakes another one if more jobs wait, and this one is not quick or has waited for
//!   [`OVERDUE`].
//! - A worker that waits for replies looks each millisecond: if no job was taken since the last look, a handler was quick
//!   and is slow now, and [`HandlerPool::nudge`] wakes a thread.
//!
//! The pool starts without threads. A thread that stays idle ends.
//!
//! models.rs checks every order of these steps.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use mio::net::TcpStream;

use super::{
    config::Config,
    conversation::{Conversation, State},
    events::{ClientId, Reason},
    handle::Handle,
    listen::Peer,
    mailbox::Message,
    responder::settle,
    shared::ThreadGuard,
    stats::{add, sub},
    tick::{NEVER, Tick},
};
use crate::{
    Address,
    sync::{Condvar, Mutex, MutexGuard},
};

/// A call shorter than this is not worth a wake-up of another thread.
const QUICK: Duration = Duration::from_micros(50);
/// A job that waited this long shows that one thread is not enough.
const OVERDUE: Duration = Duration::from_micros(500);

/// Something to do on a handler thread.
pub(super) enum Job {
    /// Call the handler that a conversation waits for, or the hook `on_connect` if it waits for none.
    Converse(Box<Conversation>),
    /// Call the hook `on_disconnect`, and drop the client's state.
    Depart(Box<Departure>),
}

/// A client that has left.
pub(super) struct Departure {
    pub(super) client: ClientId,
    /// Call the hook `on_disconnect`.
    pub(super) hook: bool,
    pub(super) address: Address,
    /// The peer, if it is admitted until the hook has returned. So the departures are never more than the clients that may
    /// be admitted. `None` if nothing of the embedder is to be called or dropped.
    pub(super) peer: Option<Peer>,
    pub(super) reason: Reason,
    pub(super) state: Option<State>,
    /// Its job, if that was still in a queue.
    pub(super) queued: Option<Job>,
    /// Its socket, which stays open while a handler runs.
    pub(super) stream: Option<TcpStream>,
}

impl Departure {
    /// One with nothing of the embedder.
    pub(super) fn new(client: ClientId, reason: Reason) -> Self {
        let address = Address::Unix("".into());
        Departure { client, hook: false, address, peer: None, reason, state: None, queued: None, stream: None }
    }
}

/// A job in a queue: the queue, and the moment when it was submitted. With the client that identifies the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobId {
    pub(super) queue: u32,
    pub(super) submitted: Tick,
}

impl JobId {
    /// Of a session that is away, and not in a queue yet.
    pub(super) const NONE: JobId = JobId { queue: 0, submitted: NEVER };
}

/// A job with what identifies it.
pub(super) struct Submitted {
    pub(super) id: JobId,
    pub(super) client: ClientId,
    pub(super) job: Job,
}

/// Starts a thread that serves the pool, in place of a plain thread.
pub(crate) type Spawn = dyn Fn(Arc<HandlerPool>, ThreadGuard) -> Result<(), String> + Send + Sync;

pub(crate) struct HandlerPool {
    pub(super) handle: Handle,
    pub(super) config: Arc<Config>,
    spawn: Box<Spawn>,
    /// Handlers can run in parallel, so that more threads help where one is not enough.
    parallel: bool,
    state: Mutex<PoolState>,
    /// Signalled once for each thread to wake, and for all when the pool closes.
    changed: Condvar,
    /// How long a call of each queue takes: a moving average in nanoseconds. `u64::MAX` if it is not known.
    costs: Box<[AtomicU64]>,
}

struct PoolState {
    queues: Vec<Queue>,
    /// The queues that have jobs, in the order of their turns.
    turns: VecDeque<usize>,
    /// Threads that were started and have not ended.
    threads: usize,
    /// Those of them that have not looked for a job yet.
    starting: usize,
    /// Threads that wait and were not woken.
    idle: usize,
    /// Wake-ups that no thread has noticed yet.
    wakeups: usize,
    /// Jobs that run now.
    running: usize,
    /// The threads that run jobs of slow commands now.
    slow: usize,
    /// The clients of the running jobs.
    clients: Vec<ClientId>,
    /// Clients that left while their handlers run.
    departures: BTreeMap<ClientId, Box<Departure>>,
    /// What the hook `on_connect` has returned, until the client's worker takes it.
    states: BTreeMap<ClientId, State>,
    /// The number of jobs that were taken, and that number at the last nudge.
    taken: u64,
    nudged: u64,
    /// For new threads. `None` once no worker is left.
    guard: Option<ThreadGuard>,
}

#[derive(Default)]
struct Queue {
    jobs: BTreeMap<(Tick, ClientId), Job>,
    running: usize,
}

/// A job that a thread has taken.
pub(super) struct Taken {
    pub(super) job: Job,
    pub(super) running: Running,
    /// No other job waits.
    pub(super) alone: bool,
}

/// The part of the pool that a running job occupies.
#[derive(Clone, Copy)]
pub(super) struct Running {
    queue: usize,
    client: ClientId,
    /// The job is not known to be quick.
    pub(super) slow: bool,
}

/// What a thread finds that has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Perhaps a job.
    Woken,
    TimedOut,
    /// The pool is closed.
    Closed,
}

/// What to do for jobs that wait.
enum Wake {
    Nothing,
    Notify,
    Start(ThreadGuard),
}

impl HandlerPool {
    pub(super) fn new(config: Arc<Config>, spawn: Box<Spawn>, parallel: bool, guard: ThreadGuard) -> Self {
        let queues = config.handlers.len() + 2;
        HandlerPool {
            handle: Handle { shared: guard.shared.clone() },
            parallel,
            config,
            spawn,
            state: Mutex::new(PoolState {
                queues: (0..queues).map(|_| Queue::default()).collect(),
                turns: VecDeque::new(),
                threads: 0,
                starting: 0,
                idle: 0,
                wakeups: 0,
                running: 0,
                slow: 0,
                clients: Vec::new(),
                departures: BTreeMap::new(),
                states: BTreeMap::new(),
                taken: 0,
                nudged: 0,
                guard: Some(guard),
            }),
            changed: Condvar::new(),
            costs: (0..queues).map(|_| AtomicU64::new(u64::MAX)).collect(),
        }
    }

    /// The queue of the hook `on_connect`. Those of the commands have the commands' indices.
    pub(super) fn connect_queue(&self) -> usize {
        self.config.handlers.len()
    }

    /// The queue of the hook `on_disconnect`.
    pub(super) fn disconnect_queue(&self) -> usize {
        self.config.handlers.len() + 1
    }

    /// Queues jobs, and wakes a thread if none looks for jobs.
    pub(super) fn submit(self: &Arc<Self>, jobs: &mut Vec<Submitted>) {
        if jobs.is_empty() {
            return;
        }
        let mut state = self.state();
        for Submitted { id, client, job } in jobs.drain(..) {
            self.push(&mut state, id.queue as usize, id.submitted, client, job);
        }
        let wake = match state.threads - state.idle > state.slow {
            true => Wake::Nothing,
            false => self.wake(&mut state, None),
        };
        drop(state);
        self.finish_wake(wake);
    }

    /// A client left while its session is away. The pool keeps the departure if a handler of the client runs, and gives it
    /// back otherwise.
    pub(super) fn leave(&self, id: JobId, departure: Box<Departure>) -> Option<Box<Departure>> {
        let mut departure = departure;
        let mut state = self.state();
        let client = departure.client;
        let index = id.queue as usize;
        if let Some(job) = state.queues[index].jobs.remove(&(id.submitted, client)) {
            if state.queues[index].jobs.is_empty() {
                state.turns.retain(|turn| *turn != index);
            }
            departure.queued = Some(job);
            sub(self.waiting(), 1);
        } else if state.clients.contains(&client) {
            state.departures.insert(client, departure);
            return None;
        } else if let Some(made) = state.states.remove(&client) {
            departure.state = Some(made);
        }
        Some(departure)
    }

    /// Takes what the hook `on_connect` has returned for a client.
    pub(super) fn take_state(&self, client: ClientId) -> Option<State> {
        self.state().states.remove(&client)
    }

    /// A worker calls this each millisecond while it waits for replies and nothing else happens. Returns whether another
    /// call makes sense.
    pub(super) fn nudge(self: &Arc<Self>) -> bool {
        let mut state = self.state();
        if self.eligible(&state).is_none() {
            return false;
        }
        // A thread that starts may need milliseconds: a binding's waits for its interpreter.
        let stuck = state.taken == state.nudged && state.starting == 0;
        state.nudged = state.taken;
        let wake = if stuck { self.wake(&mut state, None) } else { Wake::Nothing };
        drop(state);
        self.finish_wake(wake);
        true
    }

    /// Ends a job if there was one, and takes the next one. The first value is true if the client of the ended job has left.
    /// `made` is the client's state, if the job was its hook `on_connect`.
    pub(super) fn take(
        self: &Arc<Self>,
        ended: Option<Running>,
        made: Option<State>,
        now: Tick,
    ) -> (bool, Option<Taken>) {
        let mut state = self.state();
        let has_left = ended.is_some_and(|ended| self.end(&mut state, ended, made, now));
        let Some(index) = self.eligible(&state) else { return (has_left, None) };
        let PoolState { queues, turns, .. } = &mut *state;
        let queue = &mut queues[index];
        let Some(((submitted, client), job)) = queue.jobs.pop_first() else { return (has_left, None) };
        sub(self.waiting(), 1);
        turns.retain(|turn| *turn != index);
        if !queue.jobs.is_empty() {
            turns.push_back(index);
        }
        let running = Running { queue: index, client, slow: !self.is_quick(index) };
        state.begin(running);
        state.taken += 1;
        let overdue = self.parallel && now.saturating_sub(submitted) > OVERDUE.as_nanos() as Tick;
        let wake = match (running.slow || overdue) && self.eligible(&state).is_some() {
            true => self.wake(&mut state, None),
            false => Wake::Nothing,
        };
        let alone = state.turns.is_empty();
        drop(state);
        self.finish_wake(wake);
        (has_left, Some(Taken { job, running, alone }))
    }

    /// Whether a running job may go on with another command. Its thread then counts for that one.
    pub(super) fn switch(&self, running: &mut Running, queue: usize) -> bool {
        if running.queue == queue {
            return true;
        }
        let mut state = self.state();
        if !self.may_run(&state, queue, 1) {
            return false;
        }
        // The client goes on: a departure waits for the end of the job.
        state.queues[running.queue].running -= 1;
        state.slow -= usize::from(running.slow);
        running.queue = queue;
        running.slow = !self.is_quick(queue);
        state.queues[queue].running += 1;
        state.slow += usize::from(running.slow);
        true
    }

    /// Waits until this thread is woken, at most for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) -> Waited {
        let mut state = self.state();
        if self.eligible(&state).is_some() {
            return Waited::Woken;
        }
        state.idle += 1;
        let mut timed_out = false;
        loop {
            if state.wakeups > 0 {
                // The waker has taken this thread out of the idle ones.
                state.wakeups -= 1;
                return Waited::Woken;
            }
            if state.guard.is_none() || timed_out {
                state.idle -= 1;
                return if timed_out { Waited::TimedOut } else { Waited::Closed };
            }
            let (woken, waited) = self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            timed_out = waited.timed_out();
        }
    }

    /// A thread has started, and looks for jobs from now on.
    pub(super) fn begin_thread(&self) {
        self.state().starting -= 1;
    }

    /// A thread ends. Without threads nobody takes the waiting jobs: another one is started, or they fail. It is started also
    /// after the end of the last worker, who may have left departures to the thread that ends.
    pub(super) fn end_thread(self: &Arc<Self>, running: Option<Running>, made: Option<State>, guard: &ThreadGuard) {
        let mut state = self.state();
        if let Some(running) = running {
            self.end(&mut state, running, made, 0);
        }
        state.threads -= 1;
        let wake = match self.eligible(&state).is_some() && state.threads == state.idle {
            true => self.wake(&mut state, Some(guard)),
            false => Wake::Nothing,
        };
        drop(state);
        self.finish_wake(wake);
    }

    /// Ends the threads: the idle ones now, the others when their handlers return. Departures are still completed.
    pub(super) fn close(&self) {
        let disconnect = self.disconnect_queue();
        let mut dropped = Vec::new();
        let mut state = self.state();
        for (index, queue) in state.queues.iter_mut().enumerate() {
            if index != disconnect {
                dropped.append(&mut std::mem::take(&mut queue.jobs).into_values().collect());
            }
        }
        sub(self.waiting(), dropped.len() as u64);
        state.turns.retain(|turn| *turn == disconnect);
        let guard = state.guard.take();
        drop(state);
        self.changed.notify_all();
        drop((dropped, guard));
    }

    /// Whether the calls of a queue are shorter than a wake-up is worth.
    pub(super) fn is_quick(&self, queue: usize) -> bool {
        self.costs[queue].load(Relaxed) < QUICK.as_nanos() as u64
    }

    /// Notes how long a call of a running job took.
    pub(super) fn note_cost(&self, running: &Running, took: Duration) {
        /// A handler that was slow once counts as quick again after a dozen quick calls.
        const MAX: u128 = 10_000_000;
        let took = took.as_nanos().min(MAX) as u64;
        let average = match self.costs[running.queue].load(Relaxed) {
            u64::MAX => took,
            average => average - average / 4 + took / 4,
        };
        self.costs[running.queue].store(average, Relaxed);
    }

    /// Ends a job. Returns whether its client has left, and no other handler runs for it: its departure is due then.
    fn end(&self, state: &mut PoolState, ended: Running, made: Option<State>, now: Tick) -> bool {
        state.running -= 1;
        state.queues[ended.queue].running -= 1;
        state.slow -= usize::from(ended.slow);
        if let Some(at) = state.clients.iter().position(|client| *client == ended.client) {
            state.clients.swap_remove(at);
        }
        if let Some(made) = made {
            // No other job of this client runs. A worker that closes its connection from now on finds its state.
            match state.departures.get_mut(&ended.client) {
                Some(departure) => departure.state = Some(made),
                None => drop(state.states.insert(ended.client, made)),
            }
        }
        if state.departures.is_empty() || state.clients.contains(&ended.client) {
            return false;
        }
        let Some(mut departure) = state.departures.remove(&ended.client) else { return false };
        departure.stream = None;
        if departure.peer.is_some() {
            self.push(state, self.disconnect_queue(), now, ended.client, Job::Depart(departure));
        }
        true
    }

    /// The next queue whose turn it is and that may have another thread.
    fn eligible(&self, state: &PoolState) -> Option<usize> {
        state.turns.iter().copied().find(|&queue| self.may_run(state, queue, 0))
    }

    /// Whether a queue may have another thread. `freed` threads are given up for it.
    fn may_run(&self, state: &PoolState, queue: usize, freed: usize) -> bool {
        let free = (self.config.settings.handler_threads + freed).saturating_sub(state.running);
        let alone = self.config.handlers.len() == 1 && self.config.hooks.are_none();
        alone && free > 0 || state.queues[queue].running < 3 * free
    }

    /// Wakes or starts a thread, once the lock is released. `ending` is the guard of a thread that ends, which suffices to
    /// start another one.
    fn wake(&self, state: &mut PoolState, ending: Option<&ThreadGuard>) -> Wake {
        if state.idle > 0 {
            state.idle -= 1;
            state.wakeups += 1;
            Wake::Notify
        } else if state.threads < self.config.settings.handler_threads
            && let Some(guard) = state.guard.as_ref().or(ending)
        {
            let guard = guard.clone();
            state.threads += 1;
            state.starting += 1;
            Wake::Start(guard)
        } else {
            Wake::Nothing
        }
    }

    fn finish_wake(self: &Arc<Self>, wake: Wake) {
        match wake {
            Wake::Nothing => {}
            Wake::Notify => self.changed.notify_one(),
            Wake::Start(guard) => {
                if let Err(error) = (self.spawn)(self.clone(), guard) {
                    self.not_started(&error);
                }
            }
        }
    }

    /// The system denied a thread. Without any thread, the waiting calls fail.
    fn not_started(&self, error: &str) {
        let mut state = self.state();
        state.threads -= 1;
        state.starting -= 1;
        if state.threads > 0 {
            return;
        }
        let mut jobs = Vec::new();
        for queue in &mut state.queues {
            jobs.append(&mut std::mem::take(&mut queue.jobs).into_values().collect());
        }
        sub(self.waiting(), jobs.len() as u64);
        state.turns.clear();
        drop(state);
        for job in jobs {
            self.fail(job, error);
        }
    }

    fn fail(&self, job: Job, error: &str) {
        let shared = &self.handle.shared;
        match job {
            Job::Converse(mut conversation) => {
                if let Some(call) = conversation.take_call() {
                    let command = &self.config.handlers[call.command].name;
                    settle(&mut conversation, command, Err(error.into()), shared);
                }
                shared.mailboxes[conversation.worker].send(Message::Return(conversation));
            }
            Job::Depart(departure) => {
                if let Some(peer) = &departure.peer {
                    shared.admission.leave(peer);
                }
            }
        }
    }

    fn push(&self, state: &mut PoolState, queue: usize, submitted: Tick, client: ClientId, job: Job) {
        if state.queues[queue].jobs.is_empty() {
            state.turns.push_back(queue);
        }
        state.queues[queue].jobs.insert((submitted, client), job);
        add(self.waiting(), 1);
    }

    /// The number of jobs in the queues, which the holder of the lock changes.
    fn waiting(&self) -> &AtomicU64 {
        &self.handle.shared.handled.waiting
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What only the models see and do.
#[cfg(all(test, loom))]
impl HandlerPool {
    /// Lets every wait time out.
    pub(super) fn expire(&self) {
        let _state = self.state();
        self.changed.expire();
    }

    /// Makes a queue one of quick calls.
    pub(super) fn set_quick(&self, queue: usize) {
        self.costs[queue].store(0, Relaxed);
    }

    /// What is left: jobs that wait and that run, threads, and wake-ups.
    pub(super) fn left(&self) -> [usize; 4] {
        let state = self.state();
        let waiting = state.queues.iter().map(|queue| queue.jobs.len()).sum();
        let running = state.queues.iter().map(|queue| queue.running).sum::<usize>();
        let clients = state.clients.len() + state.departures.len() + state.states.len();
        let threads = state.threads + state.starting + state.idle;
        [waiting, running + state.running + state.slow + clients, threads, state.wakeups]
    }
}

impl PoolState {
    fn begin(&mut self, running: Running) {
        self.running += 1;
        self.queues[running.queue].running += 1;
        self.slow += usize::from(running.slow);
        self.clients.push(running.client);
    }
}
