//! The arguments of `daytime-client`.

use std::{str::FromStr, time::Duration};

use clap::{CommandFactory, Parser};
use daytime::{
    Address, Error,
    cli::{Generate, Page, seconds, zone_names},
    protocol::{Commands, errors},
};

/// Asks a daytime server, or the original classroom program.
///
/// Without a COMMAND it reads commands from standard input, one for each line, until `quit`, `exit` or EOF. On a
/// terminal it edits lines, completes commands and zones with Tab, and keeps a history.
///
/// Replies go to standard output, and errors to standard error. An error names its command.
#[derive(Parser)]
#[command(name = "daytime-client", version)]
pub(crate) struct Args {
    /// Address to connect to, HOST:PORT, unix:PATH or unix:@NAME
    #[arg(long, value_name = "ADDR", default_value = "localhost:9990", value_parser = Address::from_str)]
    pub(crate) connect: Address,
    /// Timeout of connecting, and of each command
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = longer_than_zero)]
    pub(crate) timeout: Duration,
    /// Send the commands again and again, once in SECONDS, or once a second. On a terminal each round of replies overwrites
    /// the one before
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        value_parser = longer_than_zero,
        requires = "commands"
    )]
    pub(crate) watch: Option<Duration>,
    /// End after N rounds of --watch
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Print an object of JSON on a line for each command, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the manual page or the completions of a shell, and exit
    #[arg(long, value_name = "WHAT", exclusive = true)]
    pub(crate) generate: Option<Generate>,
    /// A command. A zone after `day`, `date`, `time`, `datetime`, `tz` or `next` belongs to it; quote other arguments together
    /// with their command: 'help time'. Each reply is printed as one line
    #[arg(value_name = "COMMAND")]
    pub(crate) commands: Vec<String>,
}

impl Args {
    /// The arguments of the program. Ends it for `--help`, `--version` and invalid arguments.
    pub(crate) fn load() -> Self {
        let mut args = Args::parse();
        args.commands = joined(args.commands);
        args
    }

    /// The text of an error that is the reply to a command. It names the command. If that is a zone of this system after a
    /// command that takes one, it says how to write both.
    pub(crate) fn complaint(&self, command: &str, error: &Error) -> String {
        match error {
            // The text names the command.
            Error::Invalid(message) => message.clone(),
            Error::Refused(line) if line == errors::INVALID => {
                let mut pairs = self.commands.windows(2);
                match pairs.find(|pair| pair[1] == command && takes_zone(&pair[0]) && is_zone(command)) {
                    Some(pair) => format!("{command}: {line}; for a zone, write '{} {command}'", pair[0].trim()),
                    None => format!("{command}: {line}"),
                }
            }
            error => format!("{command}: {error}"),
        }
    }

    /// For `--generate`.
    pub(crate) fn command() -> clap::Command {
        <Args as CommandFactory>::command()
    }
}

fn longer_than_zero(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("the time must be longer than zero".into()),
        duration => Ok(duration),
    }
}

/// Joins a zone to the command before it, so that `time Asia/Tokyo` need not be quoted. A zone alone is not a command of
/// any server, unless a custom command has such a name.
fn joined(arguments: Vec<String>) -> Vec<String> {
    let mut commands: Vec<String> = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match commands.last_mut() {
            Some(command) if looks_like_zone(&argument) && takes_zone(command) => {
                *command = format!("{} {argument}", command.trim());
            }
            _ => commands.push(argument),
        }
    }
    commands
}

/// Whether an argument is the name of a built-in command that takes a zone.
fn takes_zone(argument: &str) -> bool {
    Commands::default().find(argument.trim().as_bytes()).is_some_and(|command| command.takes_zone())
}

fn is_zone(argument: &str) -> bool {
    zone_names().iter().any(|name| name.eq_ignore_ascii_case(argument))
}

/// Whether an argument has the form of `Asia/Tokyo`, `+05:30`, `-3` or `UTC`. Names without a slash, such as `Japan`, have
/// the form of a command.
fn looks_like_zone(argument: &str) -> bool {
    let is_offset =
        argument.strip_prefix(['+', '-']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_path = argument.contains('/') && !argument.contains(char::is_whitespace);
    is_path || is_offset || argument.eq_ignore_ascii_case("UTC")
}

/// What the manual page has besides the flags.
pub(crate) const PAGE: Page = Page {
    section: "1",
    synopsis: &[
        "[--connect ADDR] [--timeout SECONDS] [--json]",
        "[--connect ADDR] [--timeout SECONDS] [--json] [--watch[=SECONDS]] [--count N] COMMAND...",
        "--generate man|complete-bash|complete-zsh|complete-fish",
    ],
    sections: &[
        (
            "EXAMPLES",
            &[
                ("daytime-client", "Reads commands from the terminal, with the prompt of the original program."),
                ("daytime-client day time", "Prints the day and the time, each on a line."),
                (
                    "daytime-client time Asia/Tokyo datetime +05:30",
                    "Prints the time in Tokyo, and the date and time at an offset.",
                ),
                ("daytime-client -- datetime -03:30", "Ends the flags first, since the offset begins with a hyphen."),
                ("printf 'day\\ntime\\n' | daytime-client --json", "Prints an object of JSON for each command."),
                ("daytime-client --watch=0.5 --count 10 time", "Prints the time ten times, once in half a second."),
                (
                    "daytime-client --connect unix:/run/daytime.sock help",
                    "Asks a server at a Unix socket for its commands.",
                ),
                (
                    "daytime-client --generate complete-bash > /usr/share/bash-completion/completions/daytime-client",
                    "Installs the completions of bash.",
                ),
            ],
        ),
        (
            "OUTPUT OF --JSON",
            &[
                (r#"{"command":"time Asia/Tokyo","ok":true,"reply":"00:44:57"}"#, "A reply."),
                (
                    r#"{"command":"tea","ok":false,"error":"You entered an invalid command"}"#,
                    "An error of one command. The next command is sent.",
                ),
                (
                    r#"{"command":"time","ok":false,"error":"the connection is closed","kind":"closed"}"#,
                    "An error that ends the program, or that --watch reconnects after. Without a command, connecting failed. \
                     The kind is closed, io, protocol, refused, timeout or other.",
                ),
            ],
        ),
        (
            "EXIT STATUS",
            &[
                ("0", "Every command has a reply, or standard output was closed by its reader."),
                ("1", "A reply was an error, or the connection failed. At a prompt an error reply counts as a reply."),
                ("2", "An argument is invalid."),
                ("130", "SIGINT ended the prompt or --watch."),
            ],
        ),
        (
            "FILES",
            &[
                (
                    "$XDG_STATE_HOME/daytime/history, by default ~/.local/state/daytime/history",
                    "The last 1,000 commands of the prompt. Only its owner may read it. A command that begins with a blank is \
                     left out.",
                ),
                ("/usr/share/zoneinfo", "The zones that Tab completes: those of this system, not those of the server."),
            ],
        ),
        (
            "ENVIRONMENT",
            &[
                ("DAYTIME_HISTORY", "The file of the history. Empty: no history is kept."),
                ("XDG_STATE_HOME, HOME", "The folder of the history."),
                ("TZDIR", "A folder of zones for completion."),
                ("TERM", "If it is dumb, --watch prints lines."),
                ("NO_COLOR", "If it is set, the help has no styles. Replies never have any."),
            ],
        ),
        ("SIGNALS", &[("SIGINT", "Ends the program. With --watch the line of the terminal is completed first.")]),
    ],
    see_also: "daytime-server(8), date(1), zdump(8)",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_joined_to_the_command_before_it() {
        for (arguments, commands) in [
            (&["time", "Asia/Tokyo"][..], &["time Asia/Tokyo"][..]),
            (&["TIME", "utc", "day"], &["TIME utc", "day"]),
            (&["day", "+05:30", "datetime", "-3"], &["day +05:30", "datetime -3"]),
            (&["date", "a/b", "c/d"], &["date a/b", "c/d"]),
            (&[" time ", "America/Argentina/Ushuaia"], &["time America/Argentina/Ushuaia"]),
            // A command without a zone, a zone first, and a name that could be a command.
            (&["timestamp", "Asia/Tokyo"], &["timestamp", "Asia/Tokyo"]),
            (&["UTC", "time"], &["UTC", "time"]),
            (&["time", "Japan"], &["time", "Japan"]),
            (&["time", "ratio 1/2"], &["time", "ratio 1/2"]),
            (&["time", "", "+", "-x"], &["time", "", "+", "-x"]),
            (&["time UTC", "UTC"], &["time UTC", "UTC"]),
        ] {
            assert_eq!(joined(arguments.iter().map(ToString::to_string).collect()), commands);
        }
    }
}
