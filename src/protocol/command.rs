//! The command table: the built-in commands and the embedder's own, and how a line names one of them.
//!
//! Names fold in ASCII only: `ＤＡＹ` or a Kelvin sign is no command. What a line names is decided here;
//! what it answers is the [session](super::Session)'s business.

use std::collections::BTreeMap;

use super::{REPLY_MAX, is_blank};

/// What a name in the table stands for.
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
    /// `help`: every command in one line.
    Help,
    /// `quit` and `exit`
    Quit,
    /// The embedder's own, by its place in the order of registration.
    Own(usize),
}

impl Command {
    const BUILT_IN: [(&'static str, Command); 8] = [
        ("day", Command::Day),
        ("date", Command::Date),
        ("time", Command::Time),
        ("datetime", Command::Datetime),
        ("timestamp", Command::Timestamp),
        ("help", Command::Help),
        ("quit", Command::Quit),
        ("exit", Command::Quit),
    ];

    /// The names of the built-in commands, in the order of `help`.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        Self::BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The command whose name, and then an LF, `input` begins with, and the length of both; only for names of three and
    /// four letters that tell the time.
    pub(super) fn short_line(input: &[u8]) -> Option<(Command, usize)> {
        /// Clears the bit that tells lower case from upper: no two other bytes become alike that are letters then.
        const FOLD: u64 = 0xDF_DF_DF_DF;
        const fn line(name: &[u8; 4]) -> u64 {
            u32::from_le_bytes(*name) as u64 | (b'\n' as u64) << 32
        }
        let word = match input.first_chunk() {
            Some(window) => u64::from_le_bytes(*window),
            None => input.iter().rfold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        let five = word & (0xFF << 32 | FOLD);
        if five == const { line(b"TIME") } {
            Some((Command::Time, 5))
        } else if five == const { line(b"DATE") } {
            Some((Command::Date, 5))
        } else if word & 0xFF_DF_DF_DF == const { u32::from_le_bytes(*b"DAY\n") as u64 } {
            Some((Command::Day, 4))
        } else {
            None
        }
    }

    pub(super) fn takes_zone(self) -> bool {
        matches!(self, Command::Day | Command::Date | Command::Time | Command::Datetime)
    }
}

/// Every command that a server knows. The default has the built-in ones alone.
#[derive(Clone, Debug)]
pub struct Commands {
    own: BTreeMap<Box<[u8]>, usize>,
    help: String,
}

impl Default for Commands {
    fn default() -> Self {
        let help = Command::BUILT_IN.map(|(name, command)| match command.takes_zone() {
            true => format!("{name} [ZONE]"),
            false => name.to_owned(),
        });
        Commands { own: BTreeMap::new(), help: help.join(", ") }
    }
}

impl Commands {
    /// Adds an own command, which becomes [`Command::Own`] with the number of those before it.
    ///
    /// # Errors
    /// Says why a name is refused: it is one word without blanks or control characters, of which the table has no
    /// second one in any letter case, and `help` still fits into one reply.
    pub fn add(&mut self, name: &str) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("the command name {name:?} {why}"));
        if name.is_empty() {
            return refuse("is empty");
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refuse("has a blank or a control character");
        }
        if self.find(name.as_bytes()).is_some() {
            return refuse("is taken");
        }
        if self.help.len() + ", ".len() + name.len() > REPLY_MAX {
            return refuse("makes the reply to help too long");
        }
        let folded = name.to_ascii_lowercase();
        self.help.push_str(", ");
        self.help.push_str(&folded);
        self.own.insert(folded.into_bytes().into(), self.own.len());
        Ok(())
    }

    /// The reply to `help`.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The command with exactly this name, in any letter case.
    pub fn find(&self, name: &[u8]) -> Option<Command> {
        let built_in =
            |&(known, command): &(&str, Command)| name.eq_ignore_ascii_case(known.as_bytes()).then_some(command);
        if let Some(command) = Command::BUILT_IN.iter().find_map(built_in) {
            return Some(command);
        }
        if self.own.is_empty() {
            return None;
        }
        self.own.get(&*name.to_ascii_lowercase()).map(|&index| Command::Own(index))
    }

    /// The command that a line names, and its argument: `None` where the line is no valid command.
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
        let allowed = argument.is_empty() || command.takes_zone() || matches!(command, Command::Own(_));
        allowed.then_some((command, argument))
    }
}
