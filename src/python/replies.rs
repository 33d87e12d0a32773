//! What the handlers return and raise, as the engine takes it.

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::PyString,
};

use super::errors::model_class;
use crate::Reply;

/// The reply of a return value. It runs no Python code.
pub(super) fn returned(command: &str, value: &Bound<'_, PyAny>) -> PyResult<Reply> {
    if value.is_none() {
        return Ok(Reply::closing(""));
    }
    checked(command, "reply", text(command, "reply", value, "str or None")?.into())
}

/// The error line of a text.
pub(super) fn refused(command: &str, value: &Bound<'_, PyAny>) -> PyResult<Reply> {
    checked(command, "error", Reply::error(text(command, "error", value, "str")?))
}

/// What a handler has come to.
pub(super) struct Outcome {
    pub(super) result: Result<Reply, String>,
    /// For `sys.unraisablehook`.
    pub(super) report: Option<PyErr>,
}

/// The outcome of an exception: a ReplyError is for the client, any other exception for the embedder.
pub(super) fn raised(py: Python<'_>, command: &str, error: PyErr) -> Outcome {
    let failed = |error: PyErr| Outcome { result: Err(error.to_string()), report: Some(error) };
    let is_reply = model_class(py, "ReplyError").is_ok_and(|class| error.is_instance(py, &class));
    if !is_reply {
        return failed(error);
    }
    match error.value(py).str().and_then(|text| refused(command, text.as_any())) {
        Ok(reply) => Outcome { result: Ok(reply), report: None },
        Err(invalid) => {
            invalid.set_cause(py, Some(error));
            failed(invalid)
        }
    }
}

fn text(command: &str, what: &str, value: &Bound<'_, PyAny>, expected: &str) -> PyResult<String> {
    match value.cast::<PyString>() {
        Ok(text) => Ok(text.to_str()?.to_owned()),
        Err(_) => {
            let given = value.get_type().name()?;
            Err(PyTypeError::new_err(format!("the {what} of {command:?} must be {expected}, got {given}")))
        }
    }
}

fn checked(command: &str, what: &str, reply: Reply) -> PyResult<Reply> {
    match reply.check() {
        Ok(()) => Ok(reply),
        Err(error) => Err(PyValueError::new_err(format!("the {what} of {command:?} is invalid: {error}"))),
    }
}
