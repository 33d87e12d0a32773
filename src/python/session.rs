//! The client's side of a connection without a socket, for `AsyncClient`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::{prelude::*, types::PyBytes};

use super::{convert, errors};
use crate::protocol::{self, SessionError, parse_date, parse_datetime, parse_day, parse_time, parse_timestamp};

/// Bytes in, replies out.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct ClientSession(Mutex<protocol::ClientSession>);

#[pymethods]
impl ClientSession {
    #[new]
    fn new() -> Self {
        ClientSession(Mutex::new(protocol::ClientSession::new()))
    }

    /// Takes the bytes of one read. Raises ServerClosed or ProtocolError: close the connection.
    #[pyo3(signature = (data, /))]
    fn receive(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        self.lock().receive(data).map_err(|error| errors::session_error(py, error))
    }

    /// Whether handle_timeout() is due once nothing has arrived for QUIET seconds.
    #[getter]
    fn needs_timeout(&self) -> bool {
        self.lock().needs_timeout()
    }

    /// Nothing has arrived for QUIET seconds.
    fn handle_timeout(&self, py: Python<'_>) -> PyResult<()> {
        self.lock().handle_timeout().map_err(|error| errors::session_error(py, error))
    }

    /// The greeting, once it is complete.
    #[getter]
    fn greeting(&self) -> Option<String> {
        self.lock().greeting().map(str::to_owned)
    }

    /// Whether the server frames lines. The original classroom program does not.
    #[getter]
    fn frames_lines(&self) -> bool {
        self.lock().frames_lines()
    }

    /// The bytes that send `command`. Raises ValueError if it cannot be sent, ProtocolError if bytes arrived that answer
    /// nothing.
    #[pyo3(signature = (command, /))]
    fn ask<'py>(&self, py: Python<'py>, command: &str) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        self.lock().ask(command, &mut out).map_err(|error| errors::session_error(py, error))?;
        Ok(PyBytes::new(py, &out))
    }

    /// The next reply, or None if it is not complete yet. Raises ProtocolError: close the connection.
    fn reply(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.lock().reply().map_err(|error| errors::session_error(py, error))
    }

    /// The server sends nothing more. Raises the error that follows.
    fn handle_eof(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::session_error(py, self.lock().handle_eof()))
    }

    /// The deadline passed. Raises ProtocolError with the received bytes if they are not a greeting.
    fn handle_deadline(&self, py: Python<'_>) -> PyResult<()> {
        let mut session = self.lock();
        match session.greeting().is_none().then(|| session.take_unexpected()) {
            Some(SessionError::Protocol(bytes)) if !bytes.is_empty() => Err(errors::protocol_error(py, &bytes)),
            _ => Ok(()),
        }
    }
}

impl ClientSession {
    /// Held while attached only.
    fn lock(&self) -> MutexGuard<'_, protocol::ClientSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses the replies of the commands that have a type. Each raises ProtocolError.
#[pyfunction(name = "parse_day")]
#[pyo3(signature = (reply, /))]
pub(super) fn day(py: Python<'_>, reply: &str) -> PyResult<&'static str> {
    parse_day(reply).map(protocol::day_name).ok_or_else(|| errors::protocol_error(py, reply.as_bytes()))
}

/// Parses the reply to date. Raises ProtocolError.
#[pyfunction(name = "parse_date")]
#[pyo3(signature = (reply, /))]
pub(super) fn date(py: Python<'_>, reply: &str) -> PyResult<Py<PyAny>> {
    convert::date(py, parse_date(reply).ok_or_else(|| errors::protocol_error(py, reply.as_bytes()))?)
}

/// Parses the reply to time. Raises ProtocolError.
#[pyfunction(name = "parse_time")]
#[pyo3(signature = (reply, /))]
pub(super) fn time(py: Python<'_>, reply: &str) -> PyResult<Py<PyAny>> {
    convert::time(py, parse_time(reply).ok_or_else(|| errors::protocol_error(py, reply.as_bytes()))?)
}

/// Parses the reply to datetime. Raises ProtocolError.
#[pyfunction(name = "parse_datetime")]
#[pyo3(signature = (reply, /))]
pub(super) fn datetime(py: Python<'_>, reply: &str) -> PyResult<Py<PyAny>> {
    convert::datetime(py, parse_datetime(reply).ok_or_else(|| errors::protocol_error(py, reply.as_bytes()))?)
}

/// Parses the reply to timestamp. Raises ProtocolError.
#[pyfunction(name = "parse_timestamp")]
#[pyo3(signature = (reply, /))]
pub(super) fn timestamp(py: Python<'_>, reply: &str) -> PyResult<i64> {
    parse_timestamp(reply).ok_or_else(|| errors::protocol_error(py, reply.as_bytes()))
}
