//! What both programs share. It is not a part of the library's API.

use std::{
    io::{self, Write},
    time::Duration,
};

/// Parses a number of seconds, such as `5` or `0.25`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is not a number of seconds; expected for example 5 or 0.25");
    let seconds: f64 = text.parse().map_err(|_| invalid())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// Prints an error of a program to standard error. If that is closed, the error is lost.
pub fn print_error(program: &str, error: impl ToString) {
    let _ = writeln!(io::stderr(), "{program}: {}", escape(&error.to_string()));
}

/// Escapes control characters, and those that hide or reverse text, so that text of a peer cannot control a terminal.
pub fn escape(text: &str) -> String {
    crate::escape::escape(text)
}
