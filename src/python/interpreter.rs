//! The Python interpreter: how to wait in it, and what to do when it forks or is finalized.
//!
//! During finalization, a thread that tries to attach is killed in the middle of its Rust frames. So one `atexit`
//! function stops every server and forbids all other threads to attach. Then it waits briefly until every thread that is
//! about to attach has either done so or parked itself.

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

/// How long a thread waits before it checks for signals and for finalization.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// The most time that this module may add to the finalization of the interpreter.
const FINALIZATION_WAIT: Duration = Duration::from_millis(500);
/// The part of [`FINALIZATION_WAIT`] for handlers that are still running.
const HANDLER_WAIT: Duration = Duration::from_millis(100);

static FINALIZING: AtomicBool = AtomicBool::new(false);
/// The thread that finalizes the interpreter. It still runs Python code.
static FINALIZER: OnceLock<ThreadId> = OnceLock::new();
/// The number of threads that are detached or about to attach.
static DETACHED: AtomicUsize = AtomicUsize::new(0);
static FORKS: AtomicU64 = AtomicU64::new(0);
/// Locked only while attached.
static SERVERS: Mutex<Vec<Weak<dyn Stoppable>>> = Mutex::new(Vec::new());

/// Whether the interpreter is being finalized, so that this thread must not attach to it.
pub(super) fn must_not_attach() -> bool {
    FINALIZING.load(SeqCst) && FINALIZER.get() != Some(&thread::current().id())
}

/// Whether the interpreter is being finalized, by this thread or another one.
pub(super) fn finalizing_anywhere() -> bool {
    FINALIZING.load(SeqCst)
}

/// Runs a function that may block, detached from the interpreter. It never returns if the interpreter was finalized in
/// the meantime.
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

/// Attaches a detached thread for a short time. `None` if the interpreter is being finalized.
pub(super) fn attach<T>(body: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    DETACHED.fetch_add(1, SeqCst);
    let result = if must_not_attach() { None } else { Python::try_attach(body) };
    DETACHED.fetch_sub(1, SeqCst);
    result
}

/// Calls `attempt` detached, with the longest time that it may take, until it returns a value or `deadline` has passed.
/// Signal handlers run between the calls.
///
/// # Errors
/// The exception that a signal handler raises.
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

/// The process that an object belongs to, as a count of forks. A forked child does not have the threads of its parent,
/// and shares its connections.
#[derive(Clone, Copy)]
pub(super) struct ForkGeneration(u64);

impl ForkGeneration {
    pub(super) fn current() -> Self {
        ForkGeneration(FORKS.load(SeqCst))
    }

    pub(super) fn is_current(self) -> bool {
        self.0 == FORKS.load(SeqCst)
    }

    /// Raises StateError in a forked child.
    pub(super) fn check(self, py: Python<'_>, what: &str) -> PyResult<()> {
        match self.is_current() {
            true => Ok(()),
            false => {
                Err(state_error(py, &format!("this {what} belongs to the parent process: it is older than a fork")))
            }
        }
    }
}

/// A server, which must be stopped before the interpreter is finalized, and closed in a forked child.
pub(super) trait Stoppable: Send + Sync {
    /// Stops without waiting, and makes later drops not wait either. In a forked child it closes the inherited listeners.
    fn shut_down(&self);

    /// Waits, and returns whether every thread has ended.
    fn ended(&self, timeout: Duration) -> bool;
}

/// Registers a server for finalization and forks, until it is dropped.
pub(super) fn register(server: Weak<dyn Stoppable>) {
    let mut servers = servers();
    servers.retain(|server| server.strong_count() > 0);
    servers.push(server);
}

fn servers() -> MutexGuard<'static, Vec<Weak<dyn Stoppable>>> {
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pyfunction]
fn at_exit(py: Python<'_>) {
    // The first thread stays the finalizer if another thread of the same interpreter calls this again.
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
        while DETACHED.load(SeqCst) > 0 && began.elapsed() < FINALIZATION_WAIT {
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

/// Warns that an object was dropped before it was closed. It is called while objects are deallocated: an exception that
/// is being raised is put back, and a warning that is an error goes to `sys.unraisablehook`.
pub(super) fn warn_unclosed<W: pyo3::PyTypeInfo>(what: &str) {
    if finalizing_anywhere() {
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
