//! `daytime-client`: arguments in, library, exit code out.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

mod common;

use clap::Parser;
use common::{complain, escape, seconds};
use daytime::{Address, Client, Error, protocol::Command};
use rustyline::{
    Context, Editor, Helper, Highlighter, Hinter, Validator, completion::Completer, error::ReadlineError,
    history::MemHistory,
};

/// The original's, which its users know.
const PROMPT: &str = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";

/// Asks a daytime server, this one or the original.
///
/// Without a COMMAND it reads commands from standard input, one a line, until `quit`, `exit` or the end.
#[derive(Parser)]
#[command(name = "daytime-client", version)]
struct Args {
    /// Address to connect to, HOST:PORT, unix:PATH or unix:@NAME
    #[arg(long, value_name = "ADDR", default_value = "localhost:9990", value_parser = Address::from_str)]
    connect: Address,
    /// How long connecting, and each command, may take
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
    /// A command, with its argument in the same word of the shell: 'time Asia/Tokyo'; one reply a line is printed
    #[arg(value_name = "COMMAND")]
    commands: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        // Whoever read the output has enough: `| head -1`.
        Err(Error::Io(error, _)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain("daytime-client", error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut client = Client::builder().timeout(args.timeout).connect(&args.connect)?;
    if args.commands.is_empty() {
        return converse(client);
    }
    let mut code = ExitCode::SUCCESS;
    for command in &args.commands {
        if is_quit(command) {
            break;
        }
        match client.request(command) {
            Ok(reply) => say(&reply)?,
            Err(error @ (Error::Refused(_) | Error::Invalid(_))) => {
                complain("daytime-client", error);
                code = ExitCode::FAILURE;
            }
            Err(error) => return Err(error),
        }
    }
    client.quit()?;
    Ok(code)
}

/// The original's loop. Lines are edited on a terminal, with history and completion; they come as they are from a pipe
/// or a file, without a prompt unless standard output is a terminal.
fn converse(mut client: Client) -> Result<ExitCode, Error> {
    say(client.greeting())?;
    let (input, screen) = (io::stdin(), io::stdout().is_terminal());
    let trouble = |error: ReadlineError| Error::Io(io::Error::other(error), "read a command".into());
    let mut editor =
        Editor::<Names, MemHistory>::with_history(rustyline::Config::default(), MemHistory::new()).map_err(trouble)?;
    editor.set_helper(Some(Names));
    loop {
        let mut line = String::new();
        if screen && input.is_terminal() {
            match editor.readline(PROMPT) {
                Ok(edited) => line = editor.add_history_entry(&edited).map(|_| edited + "\n").map_err(trouble)?,
                Err(ReadlineError::Eof) => {}
                // As a shell tells of SIGINT.
                Err(ReadlineError::Interrupted) => return Ok(ExitCode::from(130)),
                Err(error) => return Err(trouble(error)),
            }
        } else {
            if screen {
                write!(io::stdout(), "{PROMPT}").and_then(|()| io::stdout().flush()).map_err(output)?;
            }
            input.read_line(&mut line).map_err(|error| Error::Io(error, "read a command".into()))?;
        }
        if line.is_empty() || is_quit(&line) {
            client.quit()?;
            return Ok(ExitCode::SUCCESS);
        }
        if line.trim().is_empty() {
            continue;
        }
        match client.request(line.trim()) {
            Ok(reply) | Err(Error::Refused(reply) | Error::Invalid(reply)) => say(&reply)?,
            Err(error) => return Err(error),
        }
    }
}

fn is_quit(command: &str) -> bool {
    matches!(command.trim().to_ascii_lowercase().as_str(), "quit" | "exit")
}

/// Prints a line. On a terminal control characters are shown escaped: a server's words command nothing.
fn say(text: &str) -> Result<(), Error> {
    let mut out = io::stdout();
    let line = if out.is_terminal() { escape(text) } else { text.to_owned() };
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(output)
}

fn output(error: io::Error) -> Error {
    Error::Io(error, "write to standard output".into())
}

/// Completes the names of the built-in commands.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Names;

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = line[..at].to_ascii_lowercase();
        Ok((0, Command::built_in().filter(|name| name.starts_with(&begun)).map(str::to_owned).collect()))
    }
}
