//! How to wait inside the interpreter, and what to do when it forks or finalizes.
//!
//! When an interpreter finalizes, it kills a thread that tries to attach, even with Rust frames on its stack. So one
//! `atexit` function stops every server and forbids attaching from then on. It waits briefly until every thread that is
//! about to re-attach has either done so or parked itself.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use pyo3::{prelude::*, types::PyDict};

use super::errors::state_error;

/// How long a thread waits before it checks for signals and for the finalization.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// How long the finalization may be delayed in all.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// How much of that for a running handler.
const HANDLER_WAIT: Duration = Duration::from_millis(100);

static FINALIZING: AtomicBool = AtomicBool::new(false);
/// The thread that finalizes the interpreter, which continues to run Python code.
static FINALIZER: OnceLock<ThreadId> = OnceLock::new();
/// The number of threads that are detached or about to attach.
static DETACHED: AtomicUsize = AtomicUsize::new(0);
static FORKS: AtomicU64 = AtomicU64::new(0);
/// Locked only while attached.
static SERVERS: Mutex<Vec<Weak<dyn Stoppable>>> = Mutex::new(Vec::new());

/// Whether the interpreter finalizes, and this thread must not attach any more.
pub(super) fn must_not_attach() -> bool {
    FINALIZING.load(SeqCst) && FINALIZER.get() != Some(&thread::current().id())
}

/// Whether the interpreter finalizes.
pub(super) fn is_finalizing() -> bool {
    FINALIZING.load(SeqCst)
}

/// Runs a body that may wait, detached from the interpreter. If the interpreter finalizes in the meantime, this never
/// returns.
pub(super) fn detach<T: Send>(py: Python<'_>, body: impl FnOnce() -> T + Send) -> T {
    DETACHED.fetch_add(1, SeqCst);
    let result = py.detach(|| {
        let result = body();
        if must_not_attach() {
            DETACHED.fetch_sub(1, SeqCst);
            loop {
                thread::park();
            }
        }
        result
    });
    DETACHED.fetch_sub(1, SeqCst);
    result
}

/// Attaches a detached thread for a moment. `None` if the interpreter finalizes.
pub(super) fn attach<T>(body: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    DETACHED.fetch_add(1, SeqCst);
    let result = if must_not_attach() { None } else { Python::try_attach(body) };
    DETACHED.fetch_sub(1, SeqCst);
    result
}

/// Calls `attempt` detached, with the time that it may take, until it returns a value or `deadline` passes. Signal
/// handlers run between the calls.
///
/// # Errors
/// The exception of a signal handler.
pub(super) fn wait<T: Send>(
    py: Python<'_>,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    loop {
        let left = deadline.map_or(TICK, |deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(result) = detach(py, || attempt(left.min(TICK))) {
            return Ok(Some(result));
        }
        py.check_signals()?;
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(None);
        }
    }
}

/// The process of an object, as the number of forks before it. A forked child does not have the threads of its parent, and
/// shares its connections.
#[derive(Clone, Copy)]
pub(super) struct ForkGeneration(u64);

impl ForkGeneration {
    pub(super) fn current() -> Self {
        ForkGeneration(FORKS.load(SeqCst))
    }

    pub(super) fn is_current(self) -> bool {
        self.0 == FORKS.load(SeqCst)
    }

    pub(super) fn check(self, py: Python<'_>, what: &str) -> PyResult<()> {
        if self.is_current() { Ok(()) } else { Err(state_error(py, &format!("this {what} was made before a fork"))) }
    }
}

/// What must be stopped before the interpreter ends, and closed in a forked child.
pub(super) trait Stoppable: Send + Sync {
    /// Stops, and lets nobody wait for that any more. In a forked child: closes what was inherited.
    fn shut_down(&self);

    /// Waits, and tells whether every thread has ended.
    fn ended(&self, timeout: Duration) -> bool;
}

/// Remembers a server until it is gone.
pub(super) fn remember(core: Weak<dyn Stoppable>) {
    let mut servers = servers();
    servers.retain(|server| server.strong_count() > 0);
    servers.push(core);
}

fn servers() -> MutexGuard<'static, Vec<Weak<dyn Stoppable>>> {
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pyfunction]
fn at_exit(py: Python<'_>) {
    // Only the first finalization counts.
    let _ = FINALIZER.set(thread::current().id());
    FINALIZING.store(true, SeqCst);
    let servers: Vec<_> = servers().drain(..).filter_map(|server| server.upgrade()).collect();
    py.detach(|| {
        let began = Instant::now();
        for server in &servers {
            server.shut_down();
        }
        for server in &servers {
            server.ended(HANDLER_WAIT.saturating_sub(began.elapsed()));
        }
        while DETACHED.load(SeqCst) > 0 && began.elapsed() < LAST_WAIT {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

#[pyfunction]
fn after_fork() {
    FORKS.fetch_add(1, SeqCst);
    DETACHED.store(0, SeqCst);
    for server in std::mem::take(&mut *servers()) {
        if let Some(server) = server.upgrade() {
            server.shut_down();
        }
    }
}

pub(super) fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(at_exit, module)?,))?;
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", wrap_pyfunction!(after_fork, module)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

/// Says that something was left to the garbage collector. Called where objects are deallocated: whatever is raised at
/// the moment is put back, and a warning that is an error goes to `sys.unraisablehook`.
pub(super) fn warn_unclosed<W: pyo3::PyTypeInfo>(what: &str) {
    if is_finalizing() {
        return;
    }
    let _ = attach(|py| {
        let raised = PyErr::take(py);
        let text = std::ffi::CString::new(format!("unclosed {what}")).unwrap_or_default();
        if let Err(error) = PyErr::warn(py, &py.get_type::<W>(), &text, 1) {
            error.write_unraisable(py, None);
        }
        if let Some(raised) = raised {
            raised.restore(py);
        }
    });
}
