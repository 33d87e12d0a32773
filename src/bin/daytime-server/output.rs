//! Lines for standard output and standard error. A thread for each writes them, so that a reader that does not read stops
//! neither the server nor the thread that hears signals.

use std::{
    fs::File,
    io::Write,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use daytime::{
    Error,
    crossbeam_channel::{Receiver, Sender, bounded},
};

use crate::{args::LogFormat, spawn};

/// The most lines that wait to be written. Further lines are dropped.
const LINES_MAX: usize = 1024;

/// An output of the program. All clones write by the same thread.
#[derive(Clone)]
pub(crate) struct Output {
    items: Sender<Item>,
    format: LogFormat,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Line(String),
    /// Everything before it is written or failed once this sender is gone.
    Flush(Sender<()>),
}

impl Output {
    pub(crate) fn start(output: &impl AsFd, format: LogFormat) -> Result<Output, Error> {
        // A copy without std's buffer: a line that failed is dropped, and is not written again with the next one.
        let file = output.as_fd().try_clone_to_owned().map(File::from);
        let file = file.map_err(|error| Error::Io(error, "copy the descriptor of an output".into()))?;
        let (items, receiver) = bounded(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let output = Output { items, format, dropped: dropped.clone() };
        spawn(move || write_all(file, &receiver, format, &dropped))?;
        Ok(output)
    }

    /// Writes a line later. It never waits: if too many lines wait already, the line is dropped.
    pub(crate) fn line(&self, line: impl Into<String>) {
        if self.items.try_send(Item::Line(line.into())).is_err() {
            self.drop(1);
        }
    }

    /// Counts lines that were dropped before they came here.
    pub(crate) fn drop(&self, lines: u64) {
        self.dropped.fetch_add(lines, Relaxed);
    }

    /// Writes an error of the program later.
    pub(crate) fn error(&self, error: impl ToString) {
        self.line(self.format.error(&error.to_string()));
    }

    /// Writes a warning of the program later.
    pub(crate) fn warning(&self, warning: impl ToString) {
        self.line(self.format.warning(&warning.to_string()));
    }

    /// Waits until the lines so far are written, at most until the deadline.
    pub(crate) fn flush(&self, deadline: Instant) {
        let (sender, flushed) = bounded(0);
        if self.items.send_deadline(Item::Flush(sender), deadline).is_ok() {
            let _ = flushed.recv_deadline(deadline);
        }
    }
}

/// Writes lines until the last sender is gone. The number of dropped lines precedes the next line that is written.
fn write_all(mut file: File, items: &Receiver<Item>, format: LogFormat, dropped: &AtomicU64) {
    for item in items {
        let line = match item {
            Item::Line(line) => line,
            Item::Flush(flushed) => {
                drop(flushed);
                continue;
            }
        };
        let missing = dropped.swap(0, Relaxed);
        let told = match missing {
            0 => Ok(()),
            _ => file.write_all((format.dropped(missing) + "\n").as_bytes()),
        };
        if told.is_err() {
            dropped.fetch_add(missing + 1, Relaxed);
        } else if file.write_all((line + "\n").as_bytes()).is_err() {
            dropped.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, pipe},
        thread,
        time::Duration,
    };

    use super::*;

    /// The pipe and the queue are full when the program ends, and then the lines are read.
    #[test]
    fn a_flush_waits_for_a_reader_even_if_the_queue_is_full() {
        let (reader, writer) = pipe().unwrap();
        let output = Output::start(&writer, LogFormat::Text).unwrap();
        drop(writer);
        let lines = 3000;
        let text = "x".repeat(100);
        (0..lines).for_each(|_| output.line(text.as_str()));
        let flush = thread::spawn(move || {
            output.flush(Instant::now() + Duration::from_secs(60));
            // The last sender: the reader gets the end.
            drop(output);
        });
        let read: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        flush.join().unwrap();
        let is_whole = |line: &&String| **line == text;
        let dropped: usize = read
            .iter()
            .filter_map(|line| line.strip_prefix("daytime-server: ")?.split_once(" lines were dropped here"))
            .map(|(dropped, _)| dropped.parse::<usize>().unwrap())
            .sum();
        assert!(dropped > 0, "{} lines", read.len());
        assert_eq!(read.iter().filter(is_whole).count() + dropped, lines);
    }
}
