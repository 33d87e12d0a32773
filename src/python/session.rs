//! The client's side of one connection without a socket, for `AsyncClient`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::{prelude::*, pybacked::PyBackedBytes, types::PyBytes};

use super::{convert, errors};
use crate::{check_has_reply, protocol};

/// The client's side of one connection: bytes in, replies out.
#[pyclass(frozen, module = "daytime._daytime")]
pub(super) struct ClientSession(Mutex<protocol::ClientSession>);

#[pymethods]
impl ClientSession {
    #[new]
    fn new() -> Self {
        ClientSession(Mutex::new(protocol::ClientSession::new()))
    }

    /// Takes the bytes of one read. Returns the next reply, or None if it is not complete yet. Raises ServerClosed, or
    /// ProtocolError, also if the bytes answer nothing: then close the connection.
    #[pyo3(signature = (data, /))]
    fn receive(&self, py: Python<'_>, data: PyBackedBytes) -> PyResult<Option<String>> {
        let mut session = self.lock();
        let unasked = session.greeting().is_some() && !session.awaits_replies();
        let reply = match session.receive(&data) {
            Ok(()) if unasked => Err(session.take_unexpected()),
            Ok(()) => session.reply(),
            Err(error) => Err(error),
        };
        reply.map_err(|error| errors::session_error(py, error))
    }

    /// Whether handle_timeout() is due once nothing has arrived for QUIET seconds.
    #[getter]
    fn needs_timeout(&self) -> bool {
        self.lock().needs_timeout()
    }

    /// Nothing has arrived for QUIET seconds: takes the greeting of an original server.
    fn handle_timeout(&self, py: Python<'_>) -> PyResult<()> {
        self.lock().handle_timeout().map_err(|error| errors::session_error(py, error))
    }

    /// The greeting, once its end was found.
    #[getter]
    fn greeting(&self) -> Option<String> {
        self.lock().greeting().map(str::to_owned)
    }

    /// Whether the server frames lines. The original classroom program does not.
    #[getter]
    fn frames_lines(&self) -> bool {
        self.lock().frames_lines()
    }

    /// The bytes that send `command`. Raises ValueError if the command cannot be sent, and ProtocolError if bytes
    /// arrived that answer nothing.
    #[pyo3(signature = (command, /))]
    fn ask<'py>(&self, py: Python<'py>, command: &str) -> PyResult<Bound<'py, PyBytes>> {
        check_has_reply(command).map_err(|error| errors::error(py, error))?;
        self.question(py, command)
    }

    /// The bytes that send quit. Raises ProtocolError if bytes arrived that answer nothing.
    fn quit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.question(py, "quit")
    }

    /// The next reply, as receive() returns it.
    fn reply(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.lock().reply().map_err(|error| errors::session_error(py, error))
    }

    /// The server has closed its side. Raises ServerClosed or ProtocolError.
    fn handle_eof(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::session_error(py, self.lock().handle_eof()))
    }

    /// The deadline has passed. Raises ProtocolError if bytes arrived that are not a greeting.
    fn handle_deadline(&self, py: Python<'_>) -> PyResult<()> {
        let mut session = self.lock();
        match session.greeting().is_none().then(|| session.take_unexpected()) {
            Some(protocol::SessionError::Protocol(bytes)) if !bytes.is_empty() => {
                Err(errors::protocol_error(py, &bytes))
            }
            _ => Ok(()),
        }
    }
}

impl ClientSession {
    fn question<'py>(&self, py: Python<'py>, command: &str) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::new();
        self.lock().ask(command, &mut out).map_err(|error| errors::session_error(py, error))?;
        Ok(PyBytes::new(py, &out))
    }

    /// Held only while attached.
    fn lock(&self) -> MutexGuard<'_, protocol::ClientSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses a reply to day. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_day(py: Python<'_>, reply: &str) -> PyResult<&'static str> {
    parse(py, reply, protocol::parse_day).map(protocol::day_name)
}

/// Parses a reply to date. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_date<'py>(py: Python<'py>, reply: &str) -> PyResult<Bound<'py, PyAny>> {
    convert::date(py, parse(py, reply, protocol::parse_date)?)
}

/// Parses a reply to time. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_time<'py>(py: Python<'py>, reply: &str) -> PyResult<Bound<'py, PyAny>> {
    convert::time(py, parse(py, reply, protocol::parse_time)?)
}

/// Parses a reply to datetime. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_datetime<'py>(py: Python<'py>, reply: &str) -> PyResult<Bound<'py, PyAny>> {
    convert::datetime(py, parse(py, reply, protocol::parse_datetime)?)
}

/// Parses a reply to timestamp. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_timestamp(py: Python<'_>, reply: &str) -> PyResult<i64> {
    parse(py, reply, protocol::parse_timestamp)
}

/// Parses a reply to tz. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_tz(py: Python<'_>, reply: &str) -> PyResult<String> {
    parse(py, reply, protocol::parse_tz)
}

/// Parses a reply to next. Raises ProtocolError.
#[pyfunction]
#[pyo3(signature = (reply, /))]
pub(super) fn parse_next_transition<'py>(py: Python<'py>, reply: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    parse(py, reply, protocol::parse_next_transition)?.map(|next| convert::datetime(py, next)).transpose()
}

fn parse<T>(py: Python<'_>, reply: &str, parse: fn(&str) -> Option<T>) -> PyResult<T> {
    parse(reply).ok_or_else(|| errors::protocol_error(py, reply.as_bytes()))
}
