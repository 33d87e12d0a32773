//! Lines for standard output and standard error. A thread for each writes them, so that a reader that does not read stops
//! neither the server nor the thread that hears signals.

use std::{
    fs::File,
    io::Write,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Instant,
};

use daytime::{Error, cli::escape};

use crate::spawn;

/// The most lines that wait to be written. Further lines are lost.
const LINES_MAX: usize = 1024;

/// An output of the program. All clones write by the same thread.
#[derive(Clone)]
pub(crate) struct Output {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

enum Item {
    Line(String),
    /// Everything before it is written or lost once this is dropped.
    Flush(SyncSender<()>),
}

impl Output {
    pub(crate) fn start(output: &impl AsFd) -> Result<Output, Error> {
        // A copy without std's buffer: a line that failed is lost, and is not written again with the next one.
        let file = output.as_fd().try_clone_to_owned().map(File::from);
        let file = file.map_err(|error| Error::Io(error, "copy the descriptor of an output".into()))?;
        let (items, receiver) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let output = Output { items, lost: lost.clone() };
        spawn(move || write_all(file, &receiver, &lost))?;
        Ok(output)
    }

    /// Writes a line later. It never waits: if too many lines wait already, the line is lost.
    pub(crate) fn line(&self, line: impl Into<String>) {
        if self.items.try_send(Item::Line(line.into())).is_err() {
            self.lose(1);
        }
    }

    /// Counts lines that were lost before they came here.
    pub(crate) fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Relaxed);
    }

    /// Writes an error or a warning of the program later.
    pub(crate) fn error(&self, error: impl ToString) {
        self.line(format!("daytime-server: {}", escape(&error.to_string())));
    }

    /// Waits until the lines so far are written, at most until the deadline. It does not wait if too many lines wait.
    pub(crate) fn flush(&self, deadline: Instant) {
        let (sender, flushed) = sync_channel(0);
        if self.items.try_send(Item::Flush(sender)).is_ok() {
            let _ = flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// Writes lines until the last sender is dropped. The number of lost lines precedes the next line that is written.
fn write_all(mut file: File, items: &Receiver<Item>, lost: &AtomicU64) {
    for item in items {
        let line = match item {
            Item::Line(line) => line,
            Item::Flush(flushed) => {
                drop(flushed);
                continue;
            }
        };
        let missing = lost.swap(0, Relaxed);
        let told = match missing {
            0 => Ok(()),
            _ => file.write_all(
                format!("daytime-server: {missing} lines are missing here, because they could not be written\n")
                    .as_bytes(),
            ),
        };
        if told.is_err() {
            lost.fetch_add(missing + 1, Relaxed);
        } else if file.write_all((line + "\n").as_bytes()).is_err() {
            lost.fetch_add(1, Relaxed);
        }
    }
}
