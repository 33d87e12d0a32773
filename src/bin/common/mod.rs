//! What both programs share.

use std::{
    io::{self, Write},
    time::Duration,
};

/// Reads a number of seconds, such as `5` or `0.25`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Says on standard error what is wrong; where that is closed there is nobody to tell.
pub(crate) fn complain(program: &str, what: impl ToString) {
    let _ = writeln!(io::stderr(), "{program}: {}", escape(&what.to_string()));
}

/// Shows control characters: the words of a peer command no terminal.
pub(crate) fn escape(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
