//! The keywords of `daytime.Server` that set one value each.
//!
//! A row here and one in `ServerSettings` of `_daytime.pyi` are all that a new setting needs in Python. A keyword that is
//! left out is not passed on, so that its default stays in the engine.

use pyo3::{Borrowed, exceptions::PyTypeError, prelude::*, types::PyDict};

use super::{convert::Seconds, errors};
use crate::{Error, ServerBuilder};

macro_rules! settings {
    ($($name:ident: $type:ty => $value:expr;)*) => {
        /// The names of the keywords, in the order of the documentation.
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// Sets the values of keywords. Raises TypeError for an unknown one.
        pub(super) fn apply(mut builder: ServerBuilder, keywords: &Bound<'_, PyDict>) -> PyResult<ServerBuilder> {
            for (name, value) in keywords {
                let name: String = name.extract()?;
                match &*name {
                    $(stringify!($name) => {
                        let $name: $type = argument(&name, &value)?;
                        builder = builder.$name($value);
                    })*
                    _ => {
                        let message = format!("Server() got an unexpected keyword argument '{name}'");
                        return Err(PyTypeError::new_err(message));
                    }
                }
            }
            Ok(builder)
        }
    };
}

settings! {
    unix_mode: Option<u32> => unix_mode;
    backlog: u32 => backlog;
    workers: Option<usize> => workers;
    handler_threads: usize => handler_threads;
    max_clients: Option<usize> => max_clients;
    max_clients_per_source: Option<usize> => max_clients_per_source;
    idle_timeout: Seconds => idle_timeout.0;
    first_command_timeout: Seconds => first_command_timeout.0;
    write_timeout: Seconds => write_timeout.or_unlimited();
    busy_poll: Seconds => busy_poll.0;
    greeting: String => greeting;
    framing: Framing => framing.0;
    day_format: String => day_format;
    date_format: String => date_format;
    time_format: String => time_format;
}

/// Extracts the value of a keyword, and names the keyword if its type is wrong, as Python does.
fn argument<'py, T>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>,
{
    value.extract::<T>().map_err(|error| {
        let error: PyErr = error.into();
        match error.is_instance_of::<PyTypeError>(value.py()) {
            true => PyTypeError::new_err(format!("argument '{name}': {}", error.value(value.py()))),
            false => error,
        }
    })
}

struct Framing(crate::Framing);

impl<'a, 'py> FromPyObject<'a, 'py> for Framing {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let text: String = value.extract()?;
        text.parse().map(Framing).map_err(|error| errors::error(value.py(), Error::Invalid(error)))
    }
}
