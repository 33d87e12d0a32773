//! The command table: the built-in commands, the custom ones, and how a line names one of them.
//!
//! Names are compared in ASCII letter case only: `ＤＡＹ` or a Kelvin sign is not a command. This file parses a line;
//! [`ServerSession`](super::ServerSession) answers it.

use std::collections::BTreeMap;

use super::{REPLY_MAX, is_blank};

/// A command of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `day [ZONE]`: the name of the weekday.
    Day,
    /// `date [ZONE]`
    Date,
    /// `time [ZONE]`
    Time,
    /// `datetime [ZONE]`: RFC 3339 with the zone's offset.
    Datetime,
    /// `timestamp`: seconds since the Unix epoch.
    Timestamp,
    /// `tz [ZONE]`: the POSIX TZ string of the zone, right for two years.
    Tz,
    /// `next [ZONE]`: the next change of the zone's offset.
    Next,
    /// `help [COMMAND]`: every command in one line, or the usage of one.
    Help,
    /// `quit` and `exit`
    Quit,
    /// A custom command, by its index in the order of registration.
    Custom(usize),
}

impl Command {
    const BUILT_IN: &[(&'static str, Command)] = &[
        ("day", Command::Day),
        ("date", Command::Date),
        ("time", Command::Time),
        ("datetime", Command::Datetime),
        ("timestamp", Command::Timestamp),
        ("tz", Command::Tz),
        ("next", Command::Next),
        ("help", Command::Help),
        ("quit", Command::Quit),
        ("exit", Command::Quit),
    ];

    /// The names of the built-in commands, in the order of `help`.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        Self::BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Whether the argument of the command is a zone, which may be left out.
    #[must_use]
    pub fn takes_zone(self) -> bool {
        matches!(self, Command::Day | Command::Date | Command::Time | Command::Datetime | Command::Tz | Command::Next)
    }
}

/// The commands of a server. The default has the built-in commands alone.
#[derive(Clone, Debug)]
pub struct Commands {
    /// The index of each custom command by its name in lower case.
    custom: BTreeMap<Box<[u8]>, usize>,
    /// The usage of each built-in command, then of each custom one.
    usages: Vec<String>,
    help: String,
}

impl Default for Commands {
    fn default() -> Self {
        let usage = |(name, command): &(&str, Command)| match command.takes_zone() {
            true => format!("{name} [ZONE]"),
            false => (*name).to_owned(),
        };
        let usages = Command::BUILT_IN.iter().map(usage).collect::<Vec<_>>();
        Commands { custom: BTreeMap::new(), help: usages.join(SEPARATOR), usages }
    }
}

/// Between two commands in the reply to `help`.
const SEPARATOR: &str = ", ";

impl Commands {
    /// Adds a custom command. It becomes [`Command::Custom`] with the number of custom commands before it.
    ///
    /// # Errors
    /// Says why a name is rejected. A name is one word without blanks or control characters, unique in any letter case,
    /// and the reply to `help` must still have at most [`REPLY_MAX`] bytes.
    pub fn add(&mut self, name: &str) -> Result<(), String> {
        let reject = |reason: &str| Err(format!("the command name {name:?} {reason}"));
        if name.is_empty() {
            return reject("is empty");
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return reject("has a blank or a control character");
        }
        if self.find(name.as_bytes()).is_some() {
            return reject("is taken");
        }
        if self.help.len() + SEPARATOR.len() + name.len() > REPLY_MAX {
            return reject("makes the reply to help too long");
        }
        let folded = name.to_ascii_lowercase();
        self.usages.push(folded.clone());
        self.custom.insert(folded.into_bytes().into(), self.custom.len());
        self.help = self.usages.join(SEPARATOR);
        Ok(())
    }

    /// Sets how `help` shows a custom command: its name, then its arguments, such as `score NAME`.
    ///
    /// # Errors
    /// Says why a usage is rejected. It has no control characters, its first word is the name of a custom command in any
    /// letter case, and the reply to `help` must still have at most [`REPLY_MAX`] bytes.
    pub fn set_usage(&mut self, usage: &str) -> Result<(), String> {
        let reject = |reason: &str| Err(format!("the usage {usage:?} {reason}"));
        if usage.chars().any(char::is_control) {
            return reject("has a control character");
        }
        let name = usage.split(' ').next().unwrap_or_default();
        let Some(Command::Custom(index)) = self.find(name.as_bytes()) else {
            return reject("does not begin with the name of a custom command");
        };
        let mut usages = self.usages.clone();
        usages[Command::BUILT_IN.len() + index] = usage.trim_end().to_owned();
        let help = usages.join(SEPARATOR);
        if help.len() > REPLY_MAX {
            return reject("makes the reply to help too long");
        }
        (self.usages, self.help) = (usages, help);
        Ok(())
    }

    /// The reply to `help`: the usage of every command.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The reply to `help NAME`: the usage of one command, or of every command if the name is empty. `None` if the command
    /// is unknown.
    pub(super) fn help_of(&self, name: &str) -> Option<&str> {
        if name.is_empty() {
            return Some(&self.help);
        }
        let index = match self.find(name.as_bytes())? {
            Command::Custom(index) => Command::BUILT_IN.len() + index,
            _ => Command::BUILT_IN.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?,
        };
        self.usages.get(index).map(String::as_str)
    }

    /// The command with exactly this name, in any letter case.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<Command> {
        let built_in =
            |&(known, command): &(&str, Command)| name.eq_ignore_ascii_case(known.as_bytes()).then_some(command);
        if let Some(command) = Command::BUILT_IN.iter().find_map(built_in) {
            return Some(command);
        }
        if self.custom.is_empty() {
            return None;
        }
        // Most names are folded without an allocation.
        let (mut short, long);
        let folded = match name.len() {
            0..=32 => {
                short = [0; 32];
                let short = &mut short[..name.len()];
                short.copy_from_slice(name);
                short.make_ascii_lowercase();
                &*short
            }
            _ => {
                long = name.to_ascii_lowercase();
                &long
            }
        };
        self.custom.get(folded).map(|&index| Command::Custom(index))
    }

    /// The command of a line, and its argument. `None` if the line is not a valid command.
    pub(super) fn parse<'a>(&self, line: &'a [u8]) -> Option<(Command, &'a str)> {
        let line = &line[line.iter().take_while(|byte| is_blank(byte)).count()..];
        if line.iter().any(|byte| byte.is_ascii_control() && !is_blank(byte)) {
            return None;
        }
        let line = std::str::from_utf8(line).ok()?;
        let (name, argument) = match line.as_bytes().iter().position(is_blank) {
            Some(end) => (&line[..end], line[end..].trim_matches([' ', '\t', '\r'])),
            None => (line, ""),
        };
        let command = self.find(name.as_bytes())?;
        let takes_argument = command.takes_zone() || matches!(command, Command::Help | Command::Custom(_));
        (argument.is_empty() || takes_argument).then_some((command, argument))
    }
}
