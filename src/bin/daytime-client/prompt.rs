//! The prompt on a terminal: lines are edited, completed, and remembered.

use std::{
    cell::OnceCell,
    env, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use daytime::{
    Client, Error,
    cli::{print_error, zone_names},
    protocol::{Command, Commands},
};
use rustyline::{
    CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator, completion::Completer,
    error::ReadlineError, history::FileHistory,
};

use crate::{
    INTERRUPTED, is_quit,
    output::{Failure, Output},
};

/// The prompt of the original classroom program.
const PROMPT: &str = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";

/// The most commands of a history.
const HISTORY_MAX: usize = 1000;

/// The most bytes of the file of a history, which is read at the start. Most commands are shorter than 1 KiB.
const HISTORY_BYTES: u64 = 16 << 20;

/// The loop of the original.
pub(crate) fn converse(mut client: Client, output: Output) -> Result<ExitCode, Failure> {
    let failed = |error: ReadlineError| Error::Io(io::Error::other(error), "read a command".into());
    let config = Config::builder().max_history_size(HISTORY_MAX).map_err(failed)?;
    let config = config.history_ignore_space(true).completion_type(CompletionType::List);
    // Each line that is pasted is a command, as one that is typed. Otherwise they are inserted into one line.
    let config = config.bracketed_paste(false).build();
    let history = FileHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history).map_err(failed)?;
    editor.set_helper(Some(Names::default()));
    let mut file = history_file();
    remember(&mut file, |path| open_history(&mut editor, path));
    loop {
        let line = match editor.readline(PROMPT) {
            Ok(line) if !is_quit(&line) => line,
            Ok(_) | Err(ReadlineError::Eof) => {
                client.quit()?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(ReadlineError::Interrupted) => return Ok(ExitCode::from(INTERRUPTED)),
            Err(error) => return Err(failed(error).into()),
        };
        editor.add_history_entry(&line).map_err(failed)?;
        // At once, so that another session sees it, and a kill does not lose it.
        remember(&mut file, |path| editor.append_history(path));
        let command = line.trim();
        if command.is_empty() {
            continue;
        }
        match client.request(command) {
            Ok(reply) | Err(Error::Refused(reply) | Error::Invalid(reply)) => output.line(&reply)?,
            Err(error) => return Err(Failure::Connection(Some(command.to_owned()), error)),
        }
    }
}

/// The file of the history: `DAYTIME_HISTORY`, or one in the folder of the XDG Base Directory Specification for state.
/// `None` if the variable is empty, or no folder is known.
fn history_file() -> Option<PathBuf> {
    if let Some(path) = env::var_os("DAYTIME_HISTORY") {
        return (!path.is_empty()).then(|| path.into());
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("daytime/history"))
}

/// Reads the history. A file that does not exist is created when the first command is written, for its owner only.
fn open_history(editor: &mut Editor<Names, FileHistory>, path: &Path) -> rustyline::Result<()> {
    match fs::metadata(path) {
        // rustyline would wait for a FIFO, and change the mode of a device.
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file").into()),
        Ok(metadata) if metadata.len() > HISTORY_BYTES => Err(io::Error::other("it has more than 16 MiB").into()),
        Ok(_) => editor.load_history(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            folder.map_or(Ok(()), |folder| Ok(fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?))
        }
        Err(error) => Err(error.into()),
    }
}

/// Does something with the file of the history. After an error, no more history is kept.
fn remember(file: &mut Option<PathBuf>, keep: impl FnOnce(&Path) -> rustyline::Result<()>) {
    let Some(path) = file else { return };
    if let Err(error) = keep(path) {
        print_error("daytime-client", format!("the history is not kept: {}: {error}", path.display()));
        *file = None;
    }
}

/// Completes the names of the built-in commands, and their zones.
#[derive(Default, Helper, Highlighter, Hinter, Validator)]
struct Names {
    /// Listed at the first use.
    zones: OnceCell<Vec<String>>,
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = line[..at].trim_start();
        let start = at - begun.len();
        let Some((name, argument)) = begun.split_once(' ') else {
            return Ok((start, commands(begun)));
        };
        let argument = argument.trim_start();
        let candidates = match Commands::default().find(name.as_bytes()) {
            Some(Command::Help) => commands(argument),
            Some(command) if command.takes_zone() => zones(self.zones.get_or_init(zone_names), argument),
            _ => Vec::new(),
        };
        Ok((at - argument.len(), candidates))
    }
}

fn commands(begun: &str) -> Vec<String> {
    Command::built_in().filter(|name| starts_with(name, begun)).map(str::to_owned).collect()
}

/// The zones that begin so. Of those with a further `/`, the part up to it, once: as a shell completes folders.
fn zones(names: &[String], begun: &str) -> Vec<String> {
    let part = |name: &String| match name[begun.len()..].find('/') {
        Some(slash) => name[..=begun.len() + slash].to_owned(),
        None => name.clone(),
    };
    let mut parts: Vec<String> = names.iter().filter(|name| starts_with(name, begun)).map(part).collect();
    parts.dedup();
    parts
}

fn starts_with(name: &str, begun: &str) -> bool {
    name.get(..begun.len()).is_some_and(|start| start.eq_ignore_ascii_case(begun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_completed_part_by_part_in_any_letter_case() {
        let names = ["America/Lima", "Asia/Tokyo", "Europe/Berlin", "Europe/Bern", "Europe/x/Y", "Japan"];
        let names = names.map(str::to_owned);
        for (begun, parts) in [
            ("", &["America/", "Asia/", "Europe/", "Japan"][..]),
            ("a", &["America/", "Asia/"]),
            ("asia/to", &["Asia/Tokyo"]),
            ("EUROPE/BER", &["Europe/Berlin", "Europe/Bern"]),
            ("Europe/", &["Europe/Berlin", "Europe/Bern", "Europe/x/"]),
            ("Japan", &["Japan"]),
            ("Japan/", &[]),
            ("ü", &[]),
        ] {
            assert_eq!(zones(&names, begun), parts, "{begun:?}");
        }
    }
}
