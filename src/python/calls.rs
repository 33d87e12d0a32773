//! Handlers of custom commands, run on Python's threads.
//!
//! A handler thread of the engine queues a call and waits for the reply, without Python. A daemon thread of Python takes
//! the call; a new one is started if none is idle. Its loop is Python code (`_handlers.py`). So there is no Rust frame
//! below a running handler, and the interpreter can be finalized even if the handler never returns.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use pyo3::{exceptions, prelude::*, types::PyString};

use super::{
    convert::peer,
    errors::{import_attr, model_class},
    interpreter,
};
use crate::{Address, HandlerResult, Reply, Request, protocol::check_reply};

/// How long a thread waits for a call before it ends.
const IDLE: Duration = Duration::from_secs(2);

/// A handler. It belongs to the Python object of its server, which shows it to the garbage collector and clears it.
/// Locked only while attached.
pub(super) struct Handler(Mutex<Option<Py<PyAny>>>);

impl Handler {
    pub(super) fn new(callable: Py<PyAny>) -> Arc<Self> {
        Arc::new(Handler(Mutex::new(Some(callable))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue of one server's calls. Its sender is dropped once the engine has dropped every handler.
pub(super) struct CallQueue {
    /// The number of the server.
    server: usize,
    sender: Sender<Job>,
    pending: Pending,
}

/// The receiving side of a queue.
#[derive(Clone)]
struct Pending {
    jobs: Receiver<Job>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Jobs that no thread has taken yet.
    waiting: AtomicUsize,
    /// Threads that wait for a job.
    idle: AtomicUsize,
}

struct Job {
    server: usize,
    handler: Arc<Handler>,
    command: String,
    argument: String,
    peer: Address,
    client: u64,
    result: Sender<HandlerResult>,
}

impl CallQueue {
    pub(super) fn new(server: usize) -> Arc<Self> {
        let (sender, jobs) = unbounded();
        Arc::new(CallQueue { server, sender, pending: Pending { jobs, counts: Arc::default() } })
    }

    /// Queues a call of a handler, and waits for its result.
    pub(super) fn call(&self, handler: &Arc<Handler>, request: &Request<'_>) -> HandlerResult {
        let (result, results) = bounded(1);
        let waiting = self.pending.counts.waiting.fetch_add(1, SeqCst) + 1;
        self.sender.send(Job {
            server: self.server,
            handler: handler.clone(),
            command: request.command.into(),
            argument: request.argument.into(),
            peer: request.peer.clone(),
            client: request.client.into(),
            result,
        })?;
        if self.pending.counts.idle.load(SeqCst) < waiting {
            let started = interpreter::attach(|py| self.start_thread(py).map_err(|error| error.to_string()));
            started.ok_or("the interpreter is being finalized")??;
        }
        results.recv()?
    }

    fn start_thread(&self, py: Python<'_>) -> PyResult<()> {
        let calls = Calls { pending: self.pending.clone() };
        import_attr(py, "daytime._handlers", "start")?.call1((calls,))?;
        Ok(())
    }
}

thread_local! {
    /// The number of the server whose handler runs on this thread, or 0.
    static SERVING: Cell<usize> = const { Cell::new(0) };
}

/// Whether a handler of this server runs on this thread.
pub(super) fn is_serving(server: usize) -> bool {
    SERVING.get() == server
}

/// The queued calls of one server, for the Python threads that run handlers.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct Calls {
    pending: Pending,
}

#[pymethods]
impl Calls {
    /// The next call. None if no call came for two seconds, or if the server has ended.
    fn take(&self, py: Python<'_>) -> Option<Call> {
        SERVING.set(0);
        let job = interpreter::detach(py, || self.pending.take())?;
        SERVING.set(job.server);
        Some(Call { job })
    }
}

impl Pending {
    fn take(&self) -> Option<Job> {
        self.counts.idle.fetch_add(1, SeqCst);
        let deadline = Instant::now() + IDLE;
        let mut job = None;
        while !interpreter::must_not_attach() {
            match self.jobs.recv_timeout(interpreter::TICK) {
                Ok(next) => job = Some(next),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => continue,
                Err(_) => {}
            }
            break;
        }
        self.counts.idle.fetch_sub(1, SeqCst);
        // A job that was queued just now may have counted on this thread.
        let job = job.or_else(|| self.jobs.try_recv().ok())?;
        self.counts.waiting.fetch_sub(1, SeqCst);
        Some(job)
    }
}

/// One call of a handler.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct Call {
    job: Job,
}

#[pymethods]
impl Call {
    /// The handler.
    #[getter]
    fn handler(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let handler = self.job.handler.lock().as_ref().map(|handler| handler.clone_ref(py));
        handler.ok_or_else(|| exceptions::PyRuntimeError::new_err("the server was released"))
    }

    /// The argument of the handler.
    #[getter]
    fn request<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Job { command, argument, client, .. } = &self.job;
        model_class(py, "Request")?.call1((command, argument, peer(py, &self.job.peer)?, client))
    }

    /// Takes the return value of the handler.
    fn settle(&self, py: Python<'_>, reply: &Bound<'_, PyAny>) {
        if reply.is_none() {
            self.finish(Ok(Reply::closing("")));
            return;
        }
        match self.check(reply) {
            Ok(text) => self.finish(Ok(text.into())),
            Err(error) => self.fail(py, error),
        }
    }

    /// Takes the exception of the handler.
    #[pyo3(name = "fail")]
    fn raised(&self, error: &Bound<'_, PyAny>) {
        self.fail(error.py(), PyErr::from_value(error.clone()));
    }
}

impl Call {
    fn check(&self, reply: &Bound<'_, PyAny>) -> PyResult<String> {
        let Ok(text) = reply.cast::<PyString>() else {
            let (command, wrong) = (&self.job.command, reply.get_type().name()?);
            let message = format!("the handler of {command:?} must return str or None, not {wrong}");
            return Err(exceptions::PyTypeError::new_err(message));
        };
        let text = text.to_str()?;
        check_reply(text).map_err(|error| {
            let command = &self.job.command;
            exceptions::PyValueError::new_err(format!("the handler of {command:?} returned an invalid reply: {error}"))
        })?;
        Ok(text.to_owned())
    }

    /// The client gets an error line, the event the text of the exception, and `sys.unraisablehook` the exception.
    fn fail(&self, py: Python<'_>, error: PyErr) {
        self.finish(Err(error.to_string().into()));
        let handler = self.job.handler.lock().as_ref().map(|handler| handler.clone_ref(py));
        error.write_unraisable(py, handler.as_ref().map(|handler| handler.bind(py)));
    }

    fn finish(&self, result: HandlerResult) {
        // Only the first result has a receiver.
        let _ = self.job.result.try_send(result);
    }
}
