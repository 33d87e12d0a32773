//! The package's exceptions, raised from Rust.

use std::{io, time::Duration};

use pyo3::{
    call::PyCallArgs,
    exceptions::{PyOSError, PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::PyBytes,
};

use crate::{Error, protocol::SessionError};

/// An attribute of a Python module.
pub(super) fn import_attr<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(module)?.getattr(name)
}

/// A class of the package's model: a named tuple or an exception.
pub(super) fn model_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("daytime._vocabulary").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

/// An exception of the package.
fn raise<'py, A: PyCallArgs<'py>>(py: Python<'py>, name: &str, arguments: A) -> PyErr {
    match model_class(py, name).and_then(|class| class.call1(arguments)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

pub(super) fn state_error(py: Python<'_>, why: &str) -> PyErr {
    raise(py, "StateError", (why,))
}

pub(super) fn request_timeout(py: Python<'_>, timeout: Option<Duration>) -> PyErr {
    raise(py, "RequestTimeout", (timeout.unwrap_or_default().as_secs_f64(),))
}

pub(super) fn command_error(py: Python<'_>, command: &str, reason: &str) -> PyErr {
    raise(py, "CommandError", (command, reason))
}

pub(super) fn server_closed(py: Python<'_>, words: &str) -> PyErr {
    raise(py, "ServerClosed", (words,))
}

pub(super) fn protocol_error(py: Python<'_>, line: &[u8]) -> PyErr {
    raise(py, "ProtocolError", (PyBytes::new(py, line),))
}

/// The exception for an error, without the context of a call.
pub(super) fn error(py: Python<'_>, error: Error) -> PyErr {
    match error {
        // The engine names its method for this.
        Error::Invalid(why) => PyValueError::new_err(why.replace("Client::quit", "close()")),
        Error::Io(error, doing) => os_error(py, &error, &doing),
        Error::Timeout => request_timeout(py, None),
        Error::Closed => server_closed(py, "the server closed the connection"),
        Error::Protocol(line) => protocol_error(py, &line),
        Error::Refused(line) => server_closed(py, &line),
        error => state_error(py, &error.to_string()),
    }
}

pub(super) fn session_error(py: Python<'_>, fault: SessionError) -> PyErr {
    error(py, fault.into())
}

/// An OSError with errno, so that CPython picks the subclass, and without the suffix that Rust adds to the message.
fn os_error(py: Python<'_>, error: &io::Error, doing: &str) -> PyErr {
    let text = error.to_string();
    if let Some(errno) = error.raw_os_error() {
        let words = text.split(" (os error").next().unwrap_or(&text);
        return PyOSError::new_err((errno, format!("{words}: {doing}")));
    }
    if doing.starts_with("resolve") {
        // The standard library keeps the resolver's message and drops its number.
        let code = if text.contains("emporary") { "EAI_AGAIN" } else { "EAI_NONAME" };
        let made = py
            .import("socket")
            .and_then(|socket| socket.getattr("gaierror")?.call1((socket.getattr(code)?, format!("{text}: {doing}"))));
        return made.map_or_else(|error| error, PyErr::from_value);
    }
    PyOSError::new_err(format!("{text}: {doing}"))
}

pub(super) fn no_pickle(name: &str) -> PyErr {
    PyTypeError::new_err(format!("cannot pickle or copy a daytime.{name}: it is of this process"))
}
