//! Handlers of own commands, run on Python's own threads.
//!
//! The engine's caller hands its call over and waits for the answer, without Python. The call is taken by a daemon
//! thread of Python's, started when there is none idle, whose loop is Python code (`_handlers.py`): while a handler
//! runs there is no Rust frame below it, so that the interpreter can end though it never returns.

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

use super::{convert::peer, errors::import_attr, interpreter};
use crate::{Address, HandlerResult, Reply, Request, protocol::check_reply};

/// How long a thread waits for a call before it ends.
const IDLE: Duration = Duration::from_secs(2);

/// A handler, which belongs to the Python object of its server: that shows it to the garbage collector, and empties
/// this. Locked only while attached.
pub(super) struct Handler(Mutex<Option<Py<PyAny>>>);

impl Handler {
    pub(super) fn new(callable: Py<PyAny>) -> Arc<Self> {
        Arc::new(Handler(Mutex::new(Some(callable))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the callers of one server leave their calls. Its sender is gone once the engine has let go of every handler.
pub(super) struct CallQueue {
    /// The server's number.
    server: usize,
    sender: Sender<Job>,
    queue: Queue,
}

#[derive(Clone)]
struct Queue {
    jobs: Receiver<Job>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    idle: AtomicUsize,
}

struct Job {
    server: usize,
    handler: Arc<Handler>,
    command: String,
    argument: String,
    peer: Address,
    client: u64,
    answer: Sender<HandlerResult>,
}

impl CallQueue {
    pub(super) fn new(server: usize) -> Arc<Self> {
        let (sender, jobs) = unbounded();
        Arc::new(CallQueue { server, sender, queue: Queue { jobs, counts: Arc::default() } })
    }

    /// Has a handler called, and waits for its answer.
    pub(super) fn call(&self, handler: &Arc<Handler>, request: &Request<'_>) -> HandlerResult {
        let (answer, answered) = bounded(1);
        let waiting = self.queue.counts.waiting.fetch_add(1, SeqCst) + 1;
        self.sender.send(Job {
            server: self.server,
            handler: handler.clone(),
            command: request.command.into(),
            argument: request.argument.into(),
            peer: request.peer.clone(),
            client: request.client.into(),
            answer,
        })?;
        if self.queue.counts.idle.load(SeqCst) < waiting {
            let started = interpreter::attach(|py| self.start_thread(py).map_err(|error| error.to_string()));
            started.ok_or("the interpreter ends")??;
        }
        answered.recv()?
    }

    fn start_thread(&self, py: Python<'_>) -> PyResult<()> {
        let calls = Calls { queue: self.queue.clone() };
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

/// The calls of one server, for the threads that answer them.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct Calls {
    queue: Queue,
}

#[pymethods]
impl Calls {
    /// The next call, or None where there was none for two seconds, or there will be none any more.
    fn take(&self, py: Python<'_>) -> Option<Call> {
        SERVING.set(0);
        let job = interpreter::detach(py, || self.queue.take())?;
        SERVING.set(job.server);
        Some(Call { job })
    }
}

impl Queue {
    fn take(&self) -> Option<Job> {
        self.counts.idle.fetch_add(1, SeqCst);
        let deadline = Instant::now() + IDLE;
        let mut job = None;
        while !interpreter::must_not_attach() {
            match self.jobs.recv_timeout(interpreter::TICK) {
                Ok(there) => job = Some(there),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => continue,
                Err(_) => {}
            }
            break;
        }
        self.counts.idle.fetch_sub(1, SeqCst);
        // Whoever left one just now may have counted on this thread.
        let job = job.or_else(|| self.jobs.try_recv().ok())?;
        self.counts.waiting.fetch_sub(1, SeqCst);
        Some(job)
    }
}

/// One call: what is asked, who answers, and where the answer goes.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct Call {
    job: Job,
}

#[pymethods]
impl Call {
    /// Whom to call.
    #[getter]
    fn handler(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let handler = self.job.handler.lock().as_ref().map(|handler| handler.clone_ref(py));
        handler.ok_or_else(|| exceptions::PyRuntimeError::new_err("the server is gone"))
    }

    /// With what.
    #[getter]
    fn request<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Job { command, argument, client, .. } = &self.job;
        import_attr(py, "daytime._vocabulary", "Request")?.call1((command, argument, peer(py, &self.job.peer)?, client))
    }

    /// Answers with what the handler has returned.
    fn settle(&self, py: Python<'_>, reply: &Bound<'_, PyAny>) {
        if reply.is_none() {
            self.answer(Ok(Reply::closing("")));
            return;
        }
        match self.check(reply) {
            Ok(text) => self.answer(Ok(text.into())),
            Err(error) => self.fail(py, error),
        }
    }

    /// Answers that the handler has raised this.
    #[pyo3(name = "fail")]
    fn raised(&self, error: &Bound<'_, PyAny>) {
        self.fail(error.py(), PyErr::from_value(error.clone()));
    }
}

impl Call {
    fn check(&self, reply: &Bound<'_, PyAny>) -> PyResult<String> {
        let Ok(text) = reply.cast::<PyString>() else {
            let (command, wrong) = (&self.job.command, reply.get_type().name()?);
            let why = format!("the handler of {command:?} must return str or None, not {wrong}");
            return Err(exceptions::PyTypeError::new_err(why));
        };
        let text = text.to_str()?;
        check_reply(text).map_err(|why| {
            exceptions::PyValueError::new_err(format!("the reply to {:?} is none: {why}", self.job.command))
        })?;
        Ok(text.to_owned())
    }

    /// The peer learns that the command failed, events what was raised, `sys.unraisablehook` everything.
    fn fail(&self, py: Python<'_>, error: PyErr) {
        self.answer(Err(error.to_string().into()));
        let handler = self.job.handler.lock().as_ref().map(|handler| handler.clone_ref(py));
        error.write_unraisable(py, handler.as_ref().map(|handler| handler.bind(py)));
    }

    fn answer(&self, result: HandlerResult) {
        // Nobody waits for a second one.
        let _ = self.job.answer.try_send(result);
    }
}
