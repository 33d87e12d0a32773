//! Replies that come later than their handler returns.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pyo3::{exceptions::PyBaseException, prelude::*};

use super::{
    errors::state_error,
    interpreter::ForkGeneration,
    replies::{self, Outcome},
};
use crate::Reply;

/// A responder of the engine, which the handler thread can answer too: with the exception of the handler.
pub(super) struct Slot {
    /// None after the reply. Locked only while attached, and only to take it.
    responder: Mutex<Option<crate::Responder>>,
    generation: ForkGeneration,
}

impl Slot {
    pub(super) fn new(responder: crate::Responder) -> Arc<Self> {
        Arc::new(Slot { responder: Mutex::new(Some(responder)), generation: ForkGeneration::current() })
    }

    /// Answers, unless it was answered before. Returns whether it has answered.
    pub(super) fn answer(&self, result: Result<Reply, String>) -> bool {
        let responder = self.responder().take();
        responder.map(|responder| responder.reply(result)).is_some()
    }

    fn responder(&self) -> MutexGuard<'_, Option<crate::Responder>> {
        self.responder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the engine's responder, which makes the command fail. A forked child leaves it to its parent.
    fn give_up(&self) {
        let responder = self.responder().take();
        if !self.generation.is_current() {
            mem::forget(responder);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The reply of a custom command that comes later, from any thread. See Server.command_deferred().
///
/// It takes one reply: reply(), error() or fail(). If it is garbage before that, the client gets "The command failed".
#[pyclass(frozen, weakref, module = "daytime")]
pub(super) struct Responder {
    pub(super) slot: Arc<Slot>,
    pub(super) command: String,
    /// The id of the client.
    #[pyo3(get)]
    pub(super) client: u64,
}

#[pymethods]
impl Responder {
    /// Replies: 1 to 1,023 bytes of UTF-8 without control characters, or None to close the connection.
    ///
    /// If the client has left, or the server has stopped, the reply is dropped. Raises TypeError or ValueError if the reply
    /// is invalid; the responder can still be used then. Raises StateError if it has replied before.
    #[pyo3(signature = (text, /))]
    fn reply(&self, text: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check(text.py())?;
        let reply = replies::returned(&self.command, text)?;
        self.answer(text.py(), Ok(reply))
    }

    /// Replies with an error line, as ReplyError does: 1 to 1,003 bytes. Raises the exceptions of reply().
    #[pyo3(signature = (text, /))]
    fn error(&self, text: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check(text.py())?;
        let reply = replies::refused(&self.command, text)?;
        self.answer(text.py(), Ok(reply))
    }

    /// Fails: the client gets "The command failed", and CommandFailed has the text. An exception has the effect of one that
    /// a handler raises. Raises StateError if it has replied before, and TypeError for another type.
    #[pyo3(signature = (error, /))]
    fn fail(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = error.py();
        self.check(py)?;
        if !error.is_instance_of::<PyBaseException>() {
            return self.answer(py, Err(error.extract::<String>()?));
        }
        let Outcome { result, report } = replies::raised(py, &self.command, PyErr::from_value(error.clone()));
        self.answer(py, result)?;
        if let Some(error) = report {
            error.write_unraisable(py, None);
        }
        Ok(())
    }

    /// Whether the reply is no longer needed: it was given, the client has left, or the server has stopped.
    #[getter]
    fn is_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.generation.check(py, "responder")?;
        Ok(self.slot.responder().as_ref().is_none_or(crate::Responder::is_cancelled))
    }

    fn __repr__(&self) -> String {
        format!("<daytime.Responder of {:?} for client {}>", self.command, self.client)
    }
}

impl Responder {
    /// Raises StateError if there is no reply to give.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.generation.check(py, "responder")?;
        match self.slot.responder().is_some() {
            true => Ok(()),
            false => Err(replied(py)),
        }
    }

    fn answer(&self, py: Python<'_>, result: Result<Reply, String>) -> PyResult<()> {
        if self.slot.answer(result) { Ok(()) } else { Err(replied(py)) }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.slot.give_up();
    }
}

fn replied(py: Python<'_>) -> PyErr {
    state_error(py, "the responder has replied before")
}
