//! Handlers, called on Python's threads.
//!
//! A handler thread of the engine is served by a daemon thread of Python, whose loop is Python code (`_handlers.py`). So
//! there is no Rust frame below a running handler, and the interpreter can be finalized even if the handler never
//! returns. For each command the loop calls [`HandlerThread::next`] once: it takes the last reply and returns the next
//! request, without a release of the interpreter. The thread detaches only to wait.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use pyo3::{
    prelude::*,
    sync::PyOnceLock,
    types::{PyString, PyTuple},
};

use super::{
    errors::{import_attr, model_class},
    handlers::{Callee, Handlers, Kind},
    interpreter,
    replies::{self, Outcome},
    request::Request,
    responder::{Responder, Slot},
};
use crate::{ClientId, IDLE, Reason, Task, Waited};

/// One thread that calls handlers, for the loop in Python.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct HandlerThread {
    seat: Arc<Seat>,
    handlers: Arc<Handlers>,
}

/// Empty while the thread waits, and once it has ended. One thread uses it, attached.
type Seat = Mutex<Option<Box<Serving>>>;

struct Serving {
    thread: crate::HandlerThread,
    current: Current,
}

/// What Python calls now.
enum Current {
    Nothing,
    Command(usize),
    Deferred(usize, Arc<Slot>),
    Connect(ClientId),
    Disconnect,
}

/// Starts a Python thread for a handler thread of the engine. It is called on a Rust thread, which may wait for the
/// interpreter.
pub(super) fn run(handlers: &Arc<Handlers>, thread: crate::HandlerThread) {
    handlers.handle.get_or_init(|| thread.handle().clone());
    let serving = Box::new(Serving { thread, current: Current::Nothing });
    let seat = Arc::new(Mutex::new(Some(serving)));
    let started = interpreter::attach(|py| {
        let thread = HandlerThread { seat: seat.clone(), handlers: handlers.clone() };
        let start = || import_attr(py, "daytime._handlers", "start")?.call1((thread,)).map(drop);
        start().map_err(|error| error.to_string())
    });
    let error = match started {
        Some(Ok(())) => return,
        Some(Err(error)) => error,
        None => "the interpreter is being finalized".into(),
    };
    // Without a thread, the waiting commands fail.
    let serving = seat.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut thread) = serving.map(|serving| serving.thread) else { return };
    while thread.next() {
        let client = thread.task().map(|(_, client, _)| client);
        thread.finish(Err(error.clone()));
        thread.finish_connect(Err(error.clone()));
        thread.finish_disconnect(Err(error.clone()));
        interpreter::attach(|_| client.and_then(|client| handlers.take_state(client)));
    }
}

#[pymethods]
impl HandlerThread {
    /// Waits until there is something to call. False if nothing came for two seconds, or if the server has ended: then
    /// this thread ends.
    fn wait(&self, py: Python<'_>) -> bool {
        let Some(mut serving) = self.seat().and_then(|mut seat| seat.take()) else { return false };
        // If the interpreter ends, the thread never returns, and the server must not wait for it.
        let woken = interpreter::detach(py, move || {
            serving.thread.enter();
            let deadline = Instant::now() + IDLE;
            loop {
                let waited = serving.thread.wait(interpreter::TICK);
                let goes_on = match waited {
                    Waited::Woken => true,
                    Waited::TimedOut => Instant::now() < deadline,
                    Waited::Closed => false,
                };
                if !goes_on || interpreter::must_not_attach() {
                    return None;
                }
                if waited == Waited::Woken {
                    return Some(serving);
                }
            }
        });
        match (woken, self.seat()) {
            (Some(serving), Some(mut seat)) => {
                *seat = Some(serving);
                true
            }
            _ => false,
        }
    }

    /// Takes what the last call returned, and returns the next one, (function, argument). None if there is none.
    #[pyo3(signature = (returned, /))]
    fn next<'py>(&self, returned: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = returned.py();
        let Some(mut seat) = self.seat() else { return Ok(None) };
        let Some(serving) = seat.as_mut() else { return Ok(None) };
        let mut dropped = None;
        let failure = match mem::replace(&mut serving.current, Current::Nothing) {
            Current::Nothing => None,
            Current::Deferred(..) => {
                // The engine ignores this result: the responder has the client.
                serving.thread.finish(Err(String::new()));
                None
            }
            Current::Command(index) => match replies::returned(serving.command(), returned) {
                Ok(reply) => {
                    serving.thread.finish(Ok(reply));
                    None
                }
                Err(error) => Some((index, error)),
            },
            Current::Connect(client) => {
                if !returned.is_none() {
                    dropped = self.handlers.keep_state(client, returned.clone().unbind());
                }
                serving.thread.finish_connect(Ok(None));
                None
            }
            Current::Disconnect => {
                serving.thread.finish_disconnect(Ok(()));
                None
            }
        };
        if failure.is_none() && dropped.is_none() {
            return self.take(py, serving);
        }
        drop(seat);
        drop(dropped);
        if let Some((index, error)) = failure {
            // The text of an exception is made by Python code.
            let result = Err(error.to_string());
            if let Some(mut seat) = self.seat()
                && let Some(serving) = seat.as_mut()
            {
                serving.thread.finish(result);
            }
            self.report(py, Some(error), self.handlers.handler(py, index));
        }
        self.take_next(py)
    }

    /// Takes the exception of the last call, and returns the next one.
    #[pyo3(signature = (error, /))]
    fn fail<'py>(&self, error: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = error.py();
        let error = PyErr::from_value(error.clone());
        let Some((current, command)) = self.take_current() else {
            // A forked child has no server.
            error.write_unraisable(py, None);
            return Ok(None);
        };
        let is_hook = matches!(current, Current::Connect(_) | Current::Disconnect);
        let Outcome { result, report } = match is_hook {
            true => Outcome { result: Err(error.to_string()), report: Some(error) },
            false => replies::raised(py, &command, error),
        };
        let callee = match &current {
            Current::Command(index) | Current::Deferred(index, _) => self.handlers.handler(py, *index),
            Current::Connect(_) => self.handlers.hook(py, |hooks| &mut hooks.on_connect),
            Current::Disconnect => self.handlers.hook(py, |hooks| &mut hooks.on_disconnect),
            Current::Nothing => None,
        };
        let result = match &current {
            Current::Deferred(_, slot) => {
                slot.answer(result);
                Err(String::new())
            }
            _ => result,
        };
        if let Some(mut seat) = self.seat()
            && let Some(Serving { thread, .. }) = seat.as_deref_mut()
        {
            match current {
                Current::Command(_) | Current::Deferred(..) => thread.finish(result),
                Current::Connect(_) => thread.finish_connect(result.map(|_| None)),
                Current::Disconnect => thread.finish_disconnect(result.map(drop)),
                Current::Nothing => {}
            }
        }
        self.report(py, report, callee);
        self.take_next(py)
    }
}

impl HandlerThread {
    /// None in a forked child, which must not touch its parent's server.
    fn seat(&self) -> Option<MutexGuard<'_, Option<Box<Serving>>>> {
        let is_current = self.handlers.generation.is_current();
        is_current.then(|| self.seat.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The current call, and the name of its command.
    fn take_current(&self) -> Option<(Current, String)> {
        let mut seat = self.seat()?;
        let serving = seat.as_mut()?;
        let current = mem::replace(&mut serving.current, Current::Nothing);
        Some((current, serving.command().to_owned()))
    }

    fn take_next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        match self.seat().as_deref_mut() {
            Some(Some(serving)) => self.take(py, serving),
            _ => Ok(None),
        }
    }

    fn report(&self, py: Python<'_>, error: Option<PyErr>, callee: Option<Py<PyAny>>) {
        if let Some(error) = error {
            error.write_unraisable(py, callee.as_ref().map(|callee| callee.bind(py)));
        }
    }

    /// The next call, without waiting. It runs no Python code but that of this package.
    fn take<'py>(&self, py: Python<'py>, serving: &mut Serving) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Serving { thread, current } = serving;
        while thread.next() {
            let Some((task, client, peer)) = thread.task() else { return Ok(None) };
            match task {
                Task::Command { index, name, argument } => {
                    let Some(Callee { handler, name: command, kind, state }) = self.handlers.callee(py, index, client)
                    else {
                        thread.finish(Err("the server was released".into()));
                        continue;
                    };
                    let argument = PyString::new(py, argument).unbind();
                    let request = Request::new(command, argument, peer.clone(), client, state, self.handlers.clone());
                    if kind == Kind::Returned {
                        *current = Current::Command(index);
                        return (handler, request).into_pyobject(py).map(Some);
                    }
                    let command = name.to_owned();
                    let Some(responder) = thread.defer() else {
                        thread.finish(Err("the reply was deferred before".into()));
                        continue;
                    };
                    let slot = Slot::new(responder);
                    *current = Current::Deferred(index, slot.clone());
                    let responder = Responder { slot, command, client: client.into() };
                    return spread(py, (handler, request, responder)).map(Some);
                }
                Task::Connect => {
                    let Some(hook) = self.handlers.hook(py, |hooks| &mut hooks.on_connect) else {
                        thread.finish_connect(Ok(None));
                        continue;
                    };
                    *current = Current::Connect(client);
                    let context = model_class(py, "ClientContext")?;
                    let context = context.call1((u64::from(client), super::convert::peer(py, peer)?))?;
                    return (hook, context).into_pyobject(py).map(Some);
                }
                Task::Disconnect(reason) => {
                    let hook = self.handlers.hook(py, |hooks| &mut hooks.on_disconnect);
                    let state = self.handlers.take_state(client);
                    if hook.is_none() && state.is_none() {
                        thread.finish_disconnect(Ok(()));
                        continue;
                    }
                    *current = Current::Disconnect;
                    return departed(py, hook, client, peer, reason, state).map(Some);
                }
            }
        }
        Ok(None)
    }
}

impl Serving {
    /// The name of the current command, or nothing.
    fn command(&mut self) -> &str {
        match self.thread.task() {
            Some((Task::Command { name, .. }, ..)) => name,
            _ => "",
        }
    }
}

impl Drop for HandlerThread {
    fn drop(&mut self) {
        if !self.handlers.generation.is_current()
            && let Ok(mut seat) = self.seat.try_lock()
        {
            mem::forget(seat.take());
        }
    }
}

/// The call of the hook for a client that left. Without the hook, Python only drops the state.
fn departed<'py>(
    py: Python<'py>,
    hook: Option<Py<PyAny>>,
    client: ClientId,
    peer: &crate::Address,
    reason: Reason,
    state: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let Some(hook) = hook else {
        return (import_attr(py, "daytime._handlers", "forget")?, state).into_pyobject(py);
    };
    let context = model_class(py, "ClientContext")?;
    let context = context.call1((u64::from(client), super::convert::peer(py, peer)?))?;
    spread(py, (hook, context, reason.name(), state))
}

/// A call with several arguments.
fn spread<'py>(
    py: Python<'py>,
    call: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Bound<'py, PyTuple>> {
    static SPREAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let spread = SPREAD.get_or_try_init(py, || import_attr(py, "daytime._handlers", "spread").map(Bound::unbind))?;
    (spread, call.into_pyobject(py)?).into_pyobject(py)
}
