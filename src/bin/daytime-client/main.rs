//! `daytime-client`: arguments in, library, exit code out. `args.rs` has the arguments and the manual page, `output.rs`
//! prints, `prompt.rs` talks to a terminal, and `watch.rs` asks again and again.

mod args;
mod output;
mod prompt;
mod watch;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use args::Args;
use daytime::{
    Client, Error,
    cli::{generate, print_error},
};
use output::{Failure, Output};

/// The exit code of a shell for SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::load();
    let output = Output::new(args.json);
    match run(&args, output) {
        Ok(code) => code,
        // The reader of the output has closed it, as `| head -1` does.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => {
            print_error("daytime-client", format!("write to standard output: {error}"));
            ExitCode::FAILURE
        }
        Err(Failure::Connection(command, error)) => {
            // If this is not written either, the exit code says it.
            let _ = output.failure(command.as_deref(), &error, "");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, output: Output) -> Result<ExitCode, Failure> {
    if let Some(what) = args.generate {
        io::stdout().write_all(&generate(what, Args::command(), &args::PAGE)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(interval) = args.watch {
        return watch::watch(args, interval, output);
    }
    let client = Client::builder().timeout(args.timeout).connect(&args.connect)?;
    if !args.commands.is_empty() {
        return ask(client, args, args.commands.iter().cloned().map(Ok), output);
    }
    if !output.json {
        output.line(client.greeting())?;
        if output.is_terminal && io::stdin().is_terminal() {
            return prompt::converse(client, output);
        }
    }
    let lines = io::stdin().lines().map(|line| line.map(|line| line.trim().to_owned()));
    ask(client, args, lines.filter(|line| !line.as_ref().is_ok_and(String::is_empty)), output)
}

/// Sends commands until `quit` or `exit`, and prints each reply before the next command is read.
fn ask(
    mut client: Client,
    args: &Args,
    commands: impl Iterator<Item = io::Result<String>>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for command in commands {
        let command = command.map_err(|error| Error::Io(error, "read a command".into()))?;
        if is_quit(&command) {
            break;
        }
        match client.request(&command) {
            Ok(reply) => output.reply(&command, &reply)?,
            Err(error @ (Error::Refused(_) | Error::Invalid(_))) => {
                output.error(args, &command, &error)?;
                code = ExitCode::FAILURE;
            }
            Err(error) => return Err(Failure::Connection(Some(command), error)),
        }
    }
    client.quit()?;
    Ok(code)
}

fn is_quit(command: &str) -> bool {
    matches!(command.trim().to_ascii_lowercase().as_str(), "quit" | "exit")
}
