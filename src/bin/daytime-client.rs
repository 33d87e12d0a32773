//! `daytime-client`: arguments in, library, exit code out.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use clap::Parser;
use daytime::{
    Address, Client, Error,
    cli::{escape, print_error, seconds},
    protocol::Command,
};
use rustyline::{
    Context, Editor, Helper, Highlighter, Hinter, Validator, completion::Completer, error::ReadlineError,
    history::MemHistory,
};

/// The prompt of the original classroom program.
const PROMPT: &str = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";

/// Asks a daytime server, or the original classroom program.
///
/// Without a COMMAND it reads commands from standard input, one for each line, until `quit`, `exit` or EOF.
#[derive(Parser)]
#[command(name = "daytime-client", version)]
struct Args {
    /// Address to connect to, HOST:PORT, unix:PATH or unix:@NAME
    #[arg(long, value_name = "ADDR", default_value = "localhost:9990", value_parser = Address::from_str)]
    connect: Address,
    /// Timeout of connecting, and of each command
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
    /// A command, quoted together with its argument: 'time Asia/Tokyo'. Each reply is printed as one line
    #[arg(value_name = "COMMAND")]
    commands: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        // The reader of the output has closed it, as `| head -1` does.
        Err(Error::Io(error, _)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            print_error("daytime-client", error);
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
            Ok(reply) => print(&reply)?,
            Err(error @ (Error::Refused(_) | Error::Invalid(_))) => {
                print_error("daytime-client", error);
                code = ExitCode::FAILURE;
            }
            Err(error) => return Err(error),
        }
    }
    client.quit()?;
    Ok(code)
}

/// The loop of the original. On a terminal, lines are edited with history and completion. From a pipe or a file they are
/// read without a prompt, unless standard output is a terminal.
fn converse(mut client: Client) -> Result<ExitCode, Error> {
    print(client.greeting())?;
    let (input, screen) = (io::stdin(), io::stdout().is_terminal());
    let failed = |error: ReadlineError| Error::Io(io::Error::other(error), "read a command".into());
    let mut editor =
        Editor::<Names, MemHistory>::with_history(rustyline::Config::default(), MemHistory::new()).map_err(failed)?;
    editor.set_helper(Some(Names));
    loop {
        let mut line = String::new();
        if screen && input.is_terminal() {
            match editor.readline(PROMPT) {
                Ok(edited) => line = editor.add_history_entry(&edited).map(|_| edited + "\n").map_err(failed)?,
                Err(ReadlineError::Eof) => {}
                // The exit code of a shell for SIGINT.
                Err(ReadlineError::Interrupted) => return Ok(ExitCode::from(130)),
                Err(error) => return Err(failed(error)),
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
            Ok(reply) | Err(Error::Refused(reply) | Error::Invalid(reply)) => print(&reply)?,
            Err(error) => return Err(error),
        }
    }
}

fn is_quit(command: &str) -> bool {
    matches!(command.trim().to_ascii_lowercase().as_str(), "quit" | "exit")
}

/// Prints a line. On a terminal control characters are escaped, so that a server cannot control the terminal.
fn print(text: &str) -> Result<(), Error> {
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
