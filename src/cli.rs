//! What both programs share. It is not a part of the library's API.

mod generate;

use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

pub use generate::{Generate, Page, generate};

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
#[must_use]
pub fn escape(text: &str) -> String {
    crate::escape::escape(text)
}

/// A value as one line of JSON (RFC 8259), without its line end. The characters that [`escape`] escapes are escapes of
/// JSON, so that the line is safe on a terminal too.
pub fn json(value: &impl Serialize) -> String {
    // A value of the programs is a struct of texts and numbers, which always serializes.
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if crate::escape::is_safe(c) {
            out.push(c);
        } else {
            // Outside of strings JSON has ASCII only, so this is in a string. RFC 8259, section 7: units of UTF-16.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// The names of the zones in this system's database, in order. A server on another machine may have others.
#[must_use]
pub fn zone_names() -> Vec<String> {
    crate::clock::zone_names()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_line_that_is_safe_on_a_terminal() {
        for (text, line) in [
            ("größe", r#""größe""#),
            ("a\"b\\c\n\x1b", r#""a\"b\\c\n\u001b""#),
            ("\x7f\u{9b}2J\u{202e}\u{2028}", r#""\u007f\u009b2J\u202e\u2028""#),
            ("\u{e0041}", r#""\udb40\udc41""#),
        ] {
            assert_eq!(json(&text), line);
            assert_eq!(serde_json::from_str::<String>(line).unwrap(), text);
        }
    }
}
