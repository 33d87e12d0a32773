//! The client's side of a conversation without a socket, for `AsyncClient`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::{prelude::*, types::PyBytes};

use super::{convert, errors};
use crate::{Date, DateTime, Time, Weekday, protocol};

/// Bytes in, replies out.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct ClientSession(Mutex<protocol::ClientSession>);

#[pymethods]
impl ClientSession {
    #[new]
    fn new() -> Self {
        ClientSession(Mutex::new(protocol::ClientSession::new()))
    }

    /// Takes what one read gave. Raises ServerClosed or ProtocolError: to be closed.
    #[pyo3(signature = (data, /))]
    fn receive(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        self.lock().receive(data).map_err(|fault| errors::fault(py, fault))
    }

    /// Whether quiet() is to be called if nothing comes for QUIET seconds.
    #[getter]
    fn needs_timeout(&self) -> bool {
        self.lock().needs_timeout()
    }

    /// Nothing has come for QUIET seconds.
    fn quiet(&self, py: Python<'_>) -> PyResult<()> {
        self.lock().quiet().map_err(|fault| errors::fault(py, fault))
    }

    /// The greeting, once it has come whole.
    #[getter]
    fn greeting(&self) -> Option<String> {
        self.lock().greeting().map(str::to_owned)
    }

    /// Whether the server frames lines; the original does not.
    #[getter]
    fn frames_lines(&self) -> bool {
        self.lock().frames_lines()
    }

    /// The bytes that ask `command`. Raises ValueError where it cannot be asked, ProtocolError where something came
    /// that nobody had asked for.
    #[pyo3(signature = (command, /))]
    fn ask<'py>(&self, py: Python<'py>, command: &str) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        self.lock().ask(command, &mut out).map_err(|fault| errors::fault(py, fault))?;
        Ok(PyBytes::new(py, &out))
    }

    /// The next reply, or None while it has not come whole. Raises ProtocolError: to be closed.
    fn reply(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.lock().reply().map_err(|fault| errors::fault(py, fault))
    }

    /// The server sends nothing more. Raises what that means.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::fault(py, self.lock().end()))
    }

    /// Nothing more came in time. Raises ProtocolError with what came, if that was no greeting.
    fn late(&self, py: Python<'_>) -> PyResult<()> {
        let mut session = self.lock();
        match session.greeting().is_none().then(|| session.take_unexpected()) {
            Some(protocol::SessionError::Protocol(bytes)) if !bytes.is_empty() => Err(errors::protocol_error(py, &bytes)),
            _ => Ok(()),
        }
    }
}

impl ClientSession {
    /// Only ever held while attached.
    fn lock(&self) -> MutexGuard<'_, protocol::ClientSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a reply to day. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_day(py: Python<'_>, reply: &str) -> PyResult<&'static str> {
    let day: Weekday = reply.parse().map_err(|error| errors::error(py, error))?;
    Ok(day.name())
}

/// Reads a reply to date. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_date(py: Python<'_>, reply: &str) -> PyResult<Py<PyAny>> {
    let date: Date = reply.parse().map_err(|error| errors::error(py, error))?;
    convert::date(py, date)
}

/// Reads a reply to time. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_time(py: Python<'_>, reply: &str) -> PyResult<Py<PyAny>> {
    let time: Time = reply.parse().map_err(|error| errors::error(py, error))?;
    convert::time(py, time)
}

/// Reads a reply to datetime. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_datetime(py: Python<'_>, reply: &str) -> PyResult<Py<PyAny>> {
    let moment: DateTime = reply.parse().map_err(|error| errors::error(py, error))?;
    convert::datetime(py, moment)
}
