//! `--watch`: the same commands again and again, as ping(8) does.
//!
//! Round k begins at the start + k times the interval, on the monotonic clock. A round that takes longer than the interval
//! is not made up for: the next begins at the next of these moments. If the server is gone, the program says so once and
//! reconnects, with a pause that doubles.

use std::{
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use daytime::{Client, Error};
use nix::sys::signal::{SigSet, Signal};

use crate::{
    INTERRUPTED,
    args::Args,
    is_quit,
    output::{Failure, Output},
};

/// The first pause before the program reconnects, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long SIGINT waits for the main thread, which may wait for a reader of its output. A client asks every 100 ms whether
/// it is interrupted.
const GRACE: Duration = Duration::from_millis(500);

/// Asks until the last round or SIGINT.
pub(crate) fn watch(args: &Args, interval: Duration, output: Output) -> Result<ExitCode, Failure> {
    let commands = args.commands.iter().map(String::as_str).take_while(|command| !is_quit(command)).collect();
    let interrupt = Interrupt::on_sigint()?;
    let mut watch = Watch { args, commands, output, interrupt, row: Row::new(output), failed: false };
    let result = watch.rounds(interval);
    watch.row.end()?;
    match result {
        Err(Failure::Connection(_, Error::Interrupted)) => Ok(ExitCode::from(INTERRUPTED)),
        result => result.map(|()| if watch.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    }
}

struct Watch<'a> {
    args: &'a Args,
    commands: Vec<&'a str>,
    output: Output,
    interrupt: Interrupt,
    row: Row,
    /// A reply was an error.
    failed: bool,
}

impl Watch<'_> {
    fn rounds(&mut self, interval: Duration) -> Result<(), Failure> {
        let mut client = self.connect()?;
        let start = Instant::now();
        let mut rounds = 0;
        loop {
            let mut failure = self.round(&mut client);
            let (mut pause, mut is_told) = (Duration::ZERO, false);
            // Until a whole round succeeds. A server that accepts and closes is gone too.
            while let Err(Failure::Connection(command, error)) = failure {
                if matches!(error, Error::Interrupted) {
                    return Err(error.into());
                }
                // A server may close idle clients. It is not gone if it accepts again.
                if !is_told && (pause > Duration::ZERO || !matches!(error, Error::Closed)) {
                    is_told = true;
                    self.row.end()?;
                    self.output.failure(command.as_deref(), &error, "; reconnecting")?;
                }
                self.interrupt.sleep(Instant::now().checked_add(pause))?;
                pause = (pause * 2).clamp(PAUSE.0, PAUSE.1);
                failure = self.connect().and_then(|connected| {
                    client = connected;
                    self.round(&mut client)
                });
            }
            failure?;
            rounds += 1;
            if self.commands.is_empty() || self.args.count == Some(rounds) {
                return Ok(client.quit()?);
            }
            let now = Instant::now();
            self.interrupt.sleep(now.checked_add(wait(now.duration_since(start), interval)))?;
        }
    }

    fn connect(&self) -> Result<Client, Failure> {
        let interrupt = self.interrupt.clone();
        let builder = Client::builder().timeout(self.args.timeout).interrupt(move || interrupt.is_set());
        Ok(builder.connect(&self.args.connect)?)
    }

    /// Sends each command once.
    fn round(&mut self, client: &mut Client) -> Result<(), Failure> {
        let mut texts = Vec::new();
        for &command in &self.commands {
            match client.request(command) {
                Ok(reply) if self.row.is_overwritten => texts.push(self.output.shown(&reply)),
                Ok(reply) => self.output.reply(command, &reply)?,
                Err(error @ (Error::Refused(_) | Error::Invalid(_))) => {
                    self.failed = true;
                    match self.row.is_overwritten {
                        true => texts.push(self.output.shown(&self.args.complaint(command, &error))),
                        false => self.output.error(self.args, command, &error)?,
                    }
                }
                Err(error) => return Err(Failure::Connection(Some(command.to_owned()), error)),
            }
        }
        self.row.overwrite(&texts.join("  "))
    }
}

/// How long to wait for the next round, this long after the first.
fn wait(elapsed: Duration, interval: Duration) -> Duration {
    let late = elapsed.as_nanos() % interval.as_nanos();
    interval - Duration::new((late / 1_000_000_000) as u64, (late % 1_000_000_000) as u32)
}

/// The row of a terminal that shows the last round.
struct Row {
    output: Output,
    /// Each round overwrites the one before. Otherwise each reply is a line.
    is_overwritten: bool,
    is_open: bool,
}

impl Row {
    fn new(output: Output) -> Self {
        Row { output, is_overwritten: output.can_overwrite(), is_open: false }
    }

    fn overwrite(&mut self, text: &str) -> Result<(), Failure> {
        if self.is_overwritten {
            self.is_open = true;
            // The start of the row, erase to its end, and no wrap at the margin, where a second row would begin: CR, EL and
            // DECAWM, see console_codes(4).
            self.output.raw(&format!("\r\x1b[K\x1b[?7l{text}\x1b[?7h"))?;
        }
        Ok(())
    }

    /// Goes on below the row.
    fn end(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_open) {
            self.output.raw("\n")?;
        }
        Ok(())
    }
}

/// Whether SIGINT has come. The program has no signal handler: a thread waits for the signal.
#[derive(Clone)]
struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The calling thread is the one that [`sleep`](Self::sleep) wakes.
    fn on_sigint() -> Result<Self, Error> {
        let signals = SigSet::from(Signal::SIGINT);
        // Before the first thread, so that every thread inherits the mask.
        signals.thread_block().map_err(|error| Error::Io(error.into(), "block SIGINT".into()))?;
        let (interrupt, main) = (Interrupt(Arc::new(AtomicBool::new(false))), thread::current());
        let set = interrupt.clone();
        let wait = move || {
            while signals.wait().is_err() {}
            set.0.store(true, Relaxed);
            main.unpark();
            thread::sleep(GRACE);
            process::exit(INTERRUPTED.into());
        };
        let started = thread::Builder::new().spawn(wait);
        started.map(|_| interrupt).map_err(|error| Error::Io(error, "start the thread for SIGINT".into()))
    }

    fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Sleeps until a moment; `None` is never.
    fn sleep(&self, until: Option<Instant>) -> Result<(), Error> {
        loop {
            if self.is_set() {
                return Err(Error::Interrupted);
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Ok(()),
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_at_multiples_of_the_interval() {
        let ms = Duration::from_millis;
        for (elapsed, interval, expected) in [
            (ms(0), ms(100), ms(100)),
            (ms(1), ms(100), ms(99)),
            (ms(99), ms(100), ms(1)),
            // Exactly on time, late by 30 ms, and late by more than an interval.
            (ms(700), ms(100), ms(100)),
            (ms(730), ms(100), ms(70)),
            (ms(250), ms(100), ms(50)),
            (ms(5), Duration::MAX, Duration::MAX - ms(5)),
            (Duration::MAX, Duration::from_nanos(1), Duration::from_nanos(1)),
        ] {
            assert_eq!(wait(elapsed, interval), expected, "{elapsed:?} {interval:?}");
        }
    }
}
