//! What the program prints: replies to standard output, errors to standard error, or both as JSON to standard output.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use daytime::{
    Error,
    cli::{escape, json, print_error},
};
use serde::Serialize;

use crate::args::Args;

/// The name of the program, before an error.
const PROGRAM: &str = "daytime-client";

/// Why the program ends early.
pub(crate) enum Failure {
    /// Standard output failed.
    Output(io::Error),
    /// The connection failed, or standard input: the command that was sent, if any.
    Connection(Option<String>, Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Connection(None, error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Only if the connection failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) is_terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json, is_terminal: io::stdout().is_terminal() }
    }

    /// Whether a line of standard output can be overwritten.
    pub(crate) fn can_overwrite(self) -> bool {
        self.is_terminal && !self.json && env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
    }

    /// Prints a line.
    pub(crate) fn line(self, text: &str) -> io::Result<()> {
        self.raw(&(self.shown(text) + "\n"))
    }

    /// A text of the server as it is printed. On a terminal it is escaped, so that a server cannot control the terminal.
    pub(crate) fn shown(self, text: &str) -> String {
        if self.is_terminal { escape(text) } else { text.to_owned() }
    }

    /// Prints a text at once.
    pub(crate) fn raw(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }

    /// Prints the reply to a command.
    pub(crate) fn reply(self, command: &str, reply: &str) -> io::Result<()> {
        match self.json {
            true => self.object(Line { command: Some(command), ok: true, reply: Some(reply), error: None, kind: None }),
            false => self.line(reply),
        }
    }

    /// Prints the error that is the reply to a command.
    pub(crate) fn error(self, args: &Args, command: &str, error: &Error) -> io::Result<()> {
        if self.json {
            let error = Some(error.to_string());
            return self.object(Line { command: Some(command), ok: false, reply: None, error, kind: None });
        }
        print_error(PROGRAM, args.complaint(command, error));
        Ok(())
    }

    /// Prints why a connection failed, and what the program does about it.
    pub(crate) fn failure(self, command: Option<&str>, error: &Error, consequence: &str) -> io::Result<()> {
        if self.json {
            let (error, kind) = (Some(error.to_string()), Some(kind(error)));
            return self.object(Line { command, ok: false, reply: None, error, kind });
        }
        match command {
            Some(command) => print_error(PROGRAM, format!("{command}: {error}{consequence}")),
            None => print_error(PROGRAM, format!("{error}{consequence}")),
        }
        Ok(())
    }

    fn object(self, line: Line<'_>) -> io::Result<()> {
        self.raw(&(json(&line) + "\n"))
    }
}

/// The kind of an error that ends a connection.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Closed => "closed",
        Error::Io(..) => "io",
        Error::Protocol(_) => "protocol",
        Error::Refused(_) => "refused",
        Error::Timeout => "timeout",
        _ => "other",
    }
}
