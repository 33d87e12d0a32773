//! The iterator over a server's events.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use pyo3::{PyTraverseError, PyVisit, prelude::*};

use super::{
    convert,
    interpreter::{self, ForkGeneration},
};
use crate::Event;

/// An iterator over a server's events, see Server.events().
#[pyclass(frozen, module = "daytime")]
pub(super) struct Events {
    /// Kept alive while its events are read.
    server: Py<PyAny>,
    generation: ForkGeneration,
    events: Receiver<Event>,
    timeout: Option<Duration>,
    ended: AtomicBool,
}

impl Events {
    pub(super) fn new(
        server: Py<PyAny>,
        generation: ForkGeneration,
        events: Receiver<Event>,
        timeout: Option<Duration>,
    ) -> Self {
        Events { server, generation, events, timeout, ended: AtomicBool::new(false) }
    }
}

#[pymethods]
impl Events {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.generation.check(py, "server")?;
        if self.ended.load(SeqCst) {
            return Ok(None);
        }
        let event = match self.events.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
                interpreter::wait(py, deadline, |tick| match self.events.recv_timeout(tick) {
                    Ok(event) => Some(Some(event)),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => Some(None),
                })?
                .flatten()
            }
        };
        match event {
            Some(event) => convert::event(py, event).map(Some),
            None => {
                self.ended.store(true, SeqCst);
                Ok(None)
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)
    }
}
