//! The exceptions of the package, raised from Rust.

use std::{io, time::Duration};

use pyo3::{
    call::PyCallArgs,
    exceptions::{PyOSError, PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::PyBytes,
};

use crate::{
    Error,
    protocol::{self, SessionError},
};

/// Imports an attribute of a Python module.
pub(super) fn import_attr<'py>(py: Python<'py>, module: &str, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(module)?.getattr(name)
}

/// A class of `daytime._vocabulary`.
pub(super) fn model_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("daytime._vocabulary").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

/// An exception of the package.
fn exception<'py, A: PyCallArgs<'py>>(py: Python<'py>, name: &str, arguments: A) -> PyErr {
    match model_class(py, name).and_then(|class| class.call1(arguments)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

pub(super) fn state_error(py: Python<'_>, message: &str) -> PyErr {
    exception(py, "StateError", (message,))
}

pub(super) fn request_timeout(py: Python<'_>, timeout: Option<Duration>) -> PyErr {
    exception(py, "RequestTimeout", (timeout.unwrap_or_default().as_secs_f64(),))
}

pub(super) fn command_error(py: Python<'_>, command: &str, reply: &str) -> PyErr {
    exception(py, "CommandError", (command, reply))
}

pub(super) fn server_closed(py: Python<'_>, message: &str) -> PyErr {
    exception(py, "ServerClosed", (message,))
}

pub(super) fn protocol_error(py: Python<'_>, line: &[u8]) -> PyErr {
    exception(py, "ProtocolError", (PyBytes::new(py, line),))
}

/// What is wrong, if `line` is an error line: the text of a handler's ReplyError, or the line itself. None for any other
/// reply.
#[pyfunction]
#[pyo3(signature = (line, /))]
pub(super) fn error_reason(line: &str) -> Option<&str> {
    protocol::errors::reason(line)
}

/// The exception for an error, if that does not depend on the call.
pub(super) fn error(py: Python<'_>, error: Error) -> PyErr {
    match error {
        Error::Invalid(message) => PyValueError::new_err(message),
        Error::Io(error, context) => os_error(py, &error, &context),
        Error::Timeout => request_timeout(py, None),
        Error::Closed => server_closed(py, "the server closed the connection"),
        Error::Protocol(line) => protocol_error(py, &line),
        Error::Refused(line) => server_closed(py, &line),
        error => state_error(py, &error.to_string()),
    }
}

pub(super) fn session_error(py: Python<'_>, session_error: SessionError) -> PyErr {
    error(py, session_error.into())
}

/// With errno, so that CPython picks the subclass, and without the number that Rust appends to the system's message.
fn os_error(py: Python<'_>, error: &io::Error, context: &str) -> PyErr {
    let text = error.to_string();
    if let Some(errno) = error.raw_os_error() {
        let message = text.split(" (os error").next().unwrap_or(&text);
        return PyOSError::new_err((errno, format!("{message}: {context}")));
    }
    if context.starts_with("resolve") {
        // The standard library keeps the message of the resolver and drops its number.
        let code = if text.contains("emporary") { "EAI_AGAIN" } else { "EAI_NONAME" };
        let gaierror = py.import("socket").and_then(|socket| {
            socket.getattr("gaierror")?.call1((socket.getattr(code)?, format!("{text}: {context}")))
        });
        return gaierror.map_or_else(|error| error, PyErr::from_value);
    }
    PyOSError::new_err(format!("{text}: {context}"))
}

pub(super) fn no_pickle(name: &str) -> PyErr {
    PyTypeError::new_err(format!("cannot pickle or copy a daytime.{name}: it belongs to this process"))
}
