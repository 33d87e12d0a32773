//! The iterator over a server's events, for threads and for asyncio.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst, fence},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use pyo3::{PyTraverseError, PyVisit, exceptions::PyStopAsyncIteration, prelude::*};

use super::{
    convert,
    errors::import_attr,
    interpreter::{self, ForkGeneration},
};
use crate::Event;

/// How an event loop learns of events: a socket becomes readable. Nothing is written before the loop has asked for it.
#[derive(Default)]
pub(super) struct Bell {
    pair: OnceLock<(UnixStream, UnixStream)>,
    /// The loop was woken, and has not looked yet.
    rung: AtomicBool,
}

impl Bell {
    /// The engine calls it after each event.
    pub(super) fn ring(&self) {
        // Either this thread sees the socket, or the loop sees the event.
        fence(SeqCst);
        if let Some((_, ringer)) = self.pair.get()
            && !self.rung.swap(true, SeqCst)
        {
            let _ = (&mut &*ringer).write(&[0]);
        }
    }

    /// The socket to watch. Look for events after this call, before the wait.
    fn socket(&self) -> io::Result<RawFd> {
        if self.pair.get().is_none() {
            let (watched, ringer) = UnixStream::pair()?;
            watched.set_nonblocking(true)?;
            ringer.set_nonblocking(true)?;
            let _ = self.pair.set((watched, ringer));
        }
        fence(SeqCst);
        Ok(self.pair.get().map_or(-1, |(watched, _)| watched.as_raw_fd()))
    }

    /// Makes the socket silent. Look for events after this call.
    fn silence(&self) {
        if let Some((watched, _)) = self.pair.get()
            && self.rung.load(SeqCst)
        {
            let _ = (&mut &*watched).read(&mut [0; 16]);
            self.rung.store(false, SeqCst);
            fence(SeqCst);
        }
    }
}

/// An iterator over a server's events, for `for` and `async for`, see Server.events().
#[pyclass(frozen, module = "daytime")]
pub(super) struct Events {
    /// Kept alive while its events are read.
    server: Py<PyAny>,
    generation: ForkGeneration,
    events: Receiver<Event>,
    bell: Arc<Bell>,
    timeout: Option<Duration>,
    ended: AtomicBool,
}

impl Events {
    pub(super) fn new(
        server: Py<PyAny>,
        generation: ForkGeneration,
        events: Receiver<Event>,
        bell: Arc<Bell>,
        timeout: Option<Duration>,
    ) -> Self {
        Events { server, generation, events, bell, timeout, ended: AtomicBool::new(false) }
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

    fn __aiter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        let timeout = slf.get().timeout.map(|timeout| timeout.as_secs_f64());
        import_attr(slf.py(), "daytime._loop", "AsyncEvents")?.call1((slf, timeout))
    }

    /// The next event, or None if there is none yet. Raises StopAsyncIteration at the end.
    fn _poll<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.generation.check(py, "server")?;
        self.bell.silence();
        match self.events.try_recv() {
            Ok(event) => convert::event(py, event).map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(PyStopAsyncIteration::new_err(())),
        }
    }

    /// The file descriptor that is readable after an event. Call `_poll` after this, before the wait.
    fn _fileno(&self) -> io::Result<RawFd> {
        self.bell.socket()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.server)
    }
}
