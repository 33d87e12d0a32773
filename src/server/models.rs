//! Models: loom runs the code of the handler pool and of the clock in every order of the steps of its threads.
//!
//! A model fails if an assertion fails in one of the orders, or if no thread can go on. `sleep.rs` has the model of the
//! mailbox. CONTRIBUTING.md says how to run them.
//!
//! loom sees the primitives of `crate::sync`. Those of std are not steps: no thread of a model ever waits for one.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

use loom::{
    model::Builder,
    thread::{self, JoinHandle},
};

use super::{
    admission::Admission,
    config::{Config, CustomCommand, Settings},
    events::{ClientId, Events, Reason},
    handler::Hooks,
    handler_pool::{Departure, HandlerPool, Job, JobId, Submitted, Waited},
    listen::Peer,
    shared::{Shared, ThreadGuard},
    stats::Handled,
    time_cache::{ReadResponder, TimeCache},
};
use crate::{
    Networks,
    channel::channel,
    clock::{Clock, SettableClock, Zones},
    protocol::{Commands, Formats, FormattedTime, Reply, Respond},
};

/// Checks a model in all orders in which the system takes the processor from running threads at most `preemptions` times.
/// One more finds nothing more, and takes minutes. One less misses that a client leaves during its handler.
fn check_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    check_within(3, model);
}

fn shared(clock: Clock) -> Arc<Shared> {
    let admission = Admission::new(usize::MAX, None, Networks::default(), Networks::default());
    let (clock, handled) = (SettableClock::new(clock), Handled::new(["one", "two"]));
    Arc::new(Shared::new(Vec::new(), clock, Events::new(), admission, handled, Default::default()))
}

/// A configuration with two custom commands, and a hook for clients that leave.
fn config(handler_threads: usize) -> Arc<Config> {
    let command = |name| CustomCommand::new(name, Arc::new(|_| Ok(Reply::from(""))));
    Arc::new(Config {
        settings: Settings { handler_threads, ..Settings::default() },
        formats: Formats::default(),
        zones: Zones::open(Some("UTC")).unwrap(),
        commands: Commands::default(),
        handlers: vec![command("one"), command("two")],
        hooks: Hooks { on_disconnect: Some(Arc::new(|_, _| ())), ..Hooks::default() },
    })
}

/// The queues of the first custom command, and of the hook for clients that leave.
const COMMAND: usize = 0;
const HOOK: usize = 3;
/// The clients of a model. The last one stands for the hook of the first one.
const CLIENTS: usize = 3;
const GONE: usize = 2;

/// A pool with its threads, and what became of the job of each client.
#[derive(Clone)]
struct Model {
    pool: Arc<HandlerPool>,
    run: Arc<Run>,
}

struct Run {
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The number of threads that have started and not ended, and the most that are allowed.
    alive: AtomicUsize,
    most: usize,
    /// The system denies the next thread.
    denies: AtomicBool,
    /// How many times the handler was called.
    calls: [AtomicUsize; CLIENTS],
    /// How many jobs were dropped, after the call or without one.
    ended: loom::sync::Mutex<[usize; CLIENTS]>,
    changed: loom::sync::Condvar,
    /// What the handler does for a client.
    handler: fn(&Run, usize),
}

impl Run {
    /// Waits until the job of a client has ended.
    fn wait_for(&self, client: usize) {
        let mut ended = self.ended.lock().unwrap();
        while ended[client] == 0 {
            ended = self.changed.wait(ended).unwrap();
        }
    }

    fn calls(&self) -> [usize; CLIENTS] {
        self.calls.each_ref().map(|calls| calls.load(Relaxed))
    }

    fn ended(&self) -> [usize; CLIENTS] {
        *self.ended.lock().unwrap()
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a client, which tells when its job is dropped.
struct State(Arc<Run>, usize);

impl Drop for State {
    fn drop(&mut self) {
        self.0.ended.lock().unwrap()[self.1] += 1;
        self.0.changed.notify_all();
    }
}

impl Model {
    fn new(config: &Arc<Config>, handler: fn(&Run, usize)) -> Self {
        let run = Arc::new(Run {
            threads: Mutex::default(),
            alive: AtomicUsize::new(0),
            most: config.settings.handler_threads,
            denies: AtomicBool::new(false),
            calls: Default::default(),
            ended: loom::sync::Mutex::new([0; CLIENTS]),
            changed: loom::sync::Condvar::new(),
            handler,
        });
        let spawner = run.clone();
        let spawn = move |pool: Arc<HandlerPool>, guard: ThreadGuard| {
            if spawner.denies.swap(false, Relaxed) {
                return Err("denied".into());
            }
            assert!(spawner.alive.fetch_add(1, Relaxed) < spawner.most, "more threads than allowed");
            let run = spawner.clone();
            let thread = thread::spawn(move || serve(&pool, &run, guard));
            spawner.threads().push(thread);
            Ok(())
        };
        let (shutdown_complete, _) = channel(0);
        let guard = ThreadGuard::new(shared(Clock::system()), shutdown_complete);
        let pool = HandlerPool::new(config.clone(), Box::new(spawn), true, guard);
        Model { pool: Arc::new(pool), run }
    }

    /// Submits a job of each client, all in one turn of a worker.
    fn submit(&self, queue: usize, clients: &[usize]) {
        let mut jobs = Vec::new();
        for &client in clients {
            let mut departure = Departure::new(ClientId(client as u64), Reason::Eof);
            departure.state = Some(Arc::new(State(self.run.clone(), client)));
            jobs.push(Submitted { id: id(queue), client: departure.client, job: Job::Depart(Box::new(departure)) });
        }
        self.pool.submit(&mut jobs);
    }

    /// The first client leaves, as `Worker::release` has it.
    fn leave(&self) {
        let mut departure = Box::new(Departure::new(ClientId(0), Reason::Eof));
        departure.hook = true;
        departure.peer = Some(Peer::Unix(None));
        departure.state = Some(Arc::new(State(self.run.clone(), GONE)));
        if let Some(mut departure) = self.pool.leave(id(COMMAND), departure) {
            departure.queued = None;
            let client = departure.client;
            self.pool.submit(&mut vec![Submitted { id: id(HOOK), client, job: Job::Depart(departure) }]);
        }
    }

    /// Stops as the last worker does. Every thread must end, or loom finds that no thread can go on.
    fn stop(&self) {
        self.pool.close();
        loop {
            let threads = mem::take(&mut *self.run.threads());
            if threads.is_empty() {
                break;
            }
            for thread in threads {
                thread.join().unwrap();
            }
        }
        assert_eq!(self.run.alive.load(Relaxed), 0);
        assert_eq!(self.pool.left(), [0; 4]);
    }
}

fn id(queue: usize) -> JobId {
    JobId { queue: queue as u32, submitted: 0 }
}

/// A handler thread, with the steps of `HandlerThread::run`.
fn serve(pool: &Arc<HandlerPool>, run: &Run, guard: ThreadGuard) {
    pool.begin_thread();
    let mut running = None;
    loop {
        while let (_, Some(taken)) = pool.take(running.take(), None, 0) {
            running = Some(taken.running);
            if let Job::Depart(departure) = taken.job {
                let client = if departure.hook { GONE } else { departure.client.0 as usize };
                run.calls[client].fetch_add(1, Relaxed);
                (run.handler)(run, client);
            }
        }
        if pool.wait(Duration::from_secs(2)) != Waited::Woken {
            break;
        }
    }
    // Before the pool may start another one.
    run.alive.fetch_sub(1, Relaxed);
    pool.end_thread(None, None, &guard);
}

#[test]
fn no_job_waits_while_a_thread_sleeps() {
    for quick in [false, true] {
        let config = config(2);
        check(move || {
            let model = Model::new(&config, |_, _| ());
            if quick {
                model.pool.set_quick(COMMAND);
            }
            let other = model.clone();
            let worker = thread::spawn(move || other.submit(COMMAND, &[1]));
            model.submit(COMMAND, &[0]);
            model.run.wait_for(0);
            model.run.wait_for(1);
            worker.join().unwrap();
            model.stop();
            assert_eq!((model.run.calls(), model.run.ended()), ([1, 1, 0], [1, 1, 0]));
        });
    }
}

#[test]
fn no_job_waits_for_a_thread_that_ends() {
    let config = config(1);
    check(move || {
        let model = Model::new(&config, |_, _| ());
        let other = model.clone();
        let time = thread::spawn(move || other.pool.expire());
        model.submit(COMMAND, &[0]);
        model.run.wait_for(0);
        model.submit(COMMAND, &[1]);
        model.run.wait_for(1);
        time.join().unwrap();
        model.stop();
        assert_eq!((model.run.calls(), model.run.ended()), ([1, 1, 0], [1, 1, 0]));
    });
}

/// The handler of the first client needs that of the second one: without another thread, both wait forever.
#[test]
fn a_slow_handler_delays_its_own_client_alone() {
    let handler = |run: &Run, client: usize| {
        if client == 0 {
            run.wait_for(1);
        }
    };
    for together in [false, true] {
        let config = config(2);
        check(move || {
            let model = Model::new(&config, handler);
            if together {
                model.submit(COMMAND, &[0, 1]);
            } else {
                model.submit(COMMAND, &[0]);
                model.submit(COMMAND, &[1]);
            }
            model.run.wait_for(0);
            model.stop();
            assert_eq!(model.run.calls(), [1, 1, 0]);
        });
    }
    // A handler that was quick before: the worker looks after it.
    let config = config(2);
    check(move || {
        let model = Model::new(&config, handler);
        model.pool.set_quick(COMMAND);
        model.submit(COMMAND, &[0, 1]);
        while model.pool.nudge() {
            thread::yield_now();
        }
        model.run.wait_for(0);
        model.stop();
        assert_eq!(model.run.calls(), [1, 1, 0]);
    });
}

#[test]
fn a_client_that_leaves_has_one_departure_after_its_handler() {
    let config = config(2);
    check(move || {
        let model = Model::new(&config, |run, client| {
            if client == GONE {
                assert_eq!(run.ended()[0], 1, "the hook was called during the handler");
            }
        });
        model.submit(COMMAND, &[0]);
        model.leave();
        model.run.wait_for(GONE);
        model.stop();
        let [called, _, gone] = model.run.calls();
        assert!(called <= 1);
        assert_eq!((gone, model.run.ended()), (1, [1, 0, 1]));
    });
}

#[test]
fn a_stop_ends_every_thread_and_completes_departures() {
    let config = config(2);
    check(move || {
        let model = Model::new(&config, |_, _| ());
        let other = model.clone();
        let time = thread::spawn(move || other.pool.expire());
        model.submit(COMMAND, &[0]);
        model.submit(HOOK, &[1]);
        model.stop();
        time.join().unwrap();
        let [called, departed, _] = model.run.calls();
        assert!(called <= 1);
        assert_eq!((departed, model.run.ended()), (1, [1, 1, 0]));
    });
}

#[test]
fn a_thread_that_is_denied_leaves_no_job_waiting() {
    let config = config(2);
    check(move || {
        let model = Model::new(&config, |_, _| ());
        model.run.denies.store(true, Relaxed);
        let other = model.clone();
        let worker = thread::spawn(move || other.submit(COMMAND, &[1]));
        model.submit(COMMAND, &[0]);
        model.run.wait_for(0);
        model.run.wait_for(1);
        worker.join().unwrap();
        model.stop();
        assert_eq!(model.run.ended(), [1, 1, 0]);
    });
}

/// Two workers answer while the clock is set, far back and forth again. Before a client asks, it is told which times were
/// set or shown. It is told in a way that orders memory, as a socket does.
#[test]
fn once_set_clock_has_returned_each_later_reply_shows_the_new_time() {
    /// What the clocks show, in the order in which they are set.
    const TIMES: [i64; 3] = [1_000, *FormattedTime::RANGE.start(), 500];

    fn ask(cache: &mut TimeCache, told: &loom::sync::atomic::AtomicUsize) {
        let before = told.load(Acquire);
        let mut read = cache.begin(ClientId(0), 0);
        let mut responder = ReadResponder { cache, read: &mut read };
        let [local, other] = [None, Some("+01:00")].map(|zone| responder.formatted_time(zone).unwrap().second());
        assert_eq!(local, other, "two moments in one read");
        let shown = TIMES.iter().position(|second| *second == local).expect("a time that was never set");
        assert!(shown >= before, "the time {shown} was shown after the time {before}");
        told.fetch_max(shown, AcqRel);
    }

    let config = config(1);
    // Most of its steps are those of independent workers.
    check_within(2, move || {
        let shared = shared(Clock::fixed_unix(TIMES[0]));
        let told = loom::sync::Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let workers = [(); 2].map(|()| {
            let (told, mut cache) = (told.clone(), TimeCache::new(shared.clone(), config.clone()));
            thread::spawn(move || [(); 2].map(|()| ask(&mut cache, &told)))
        });
        for (n, clock) in [(1, Clock::offset(i64::MIN)), (2, Clock::fixed_unix(TIMES[2]))] {
            shared.clock.set(clock);
            told.fetch_max(n, AcqRel);
        }
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
