//! The client's socket, and its patience: how long a call of the system may take.

use std::{
    cell::Cell,
    io::{self, ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::libc::{MSG_DONTWAIT, MSG_PEEK};
use socket2::SockRef;

use crate::{Error, protocol::Dialogue};

/// The longest that one call of the system may take while there is more patience than that.
const SLICE: Duration = Duration::from_millis(100);

/// Asked while a call blocks; true ends it.
pub(super) type Interrupt = Box<dyn Fn() -> bool + Send + Sync>;

/// When to give up.
pub(super) struct Patience<'a> {
    /// `None` is never.
    deadline: Option<Instant>,
    interrupt: Option<&'a Interrupt>,
    /// When the interrupt function is to be asked.
    ask: Cell<Instant>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(timeout: Duration, interrupt: Option<&'a Interrupt>) -> Self {
        let now = Instant::now();
        Patience { deadline: now.checked_add(timeout), interrupt, ask: Cell::new(now + SLICE) }
    }

    /// How long the next call of the system may take. Asks the interrupt function when it is time to.
    pub(super) fn slice(&self) -> Result<Duration, Error> {
        let now = Instant::now();
        if now >= self.ask.get()
            && let Some(interrupt) = self.interrupt
        {
            self.ask.set(now + SLICE);
            if interrupt() {
                return Err(Error::Interrupted);
            }
        }
        match self.deadline.map(|deadline| deadline.saturating_duration_since(now)) {
            Some(Duration::ZERO) => Err(Error::Timeout),
            Some(left) => Ok(left.min(SLICE)),
            None => Ok(SLICE),
        }
    }

    /// The same with only a part of the time that is left.
    pub(super) fn share(&self, among: usize) -> Self {
        let share = self.deadline.map(|deadline| {
            let now = Instant::now();
            now + deadline.saturating_duration_since(now) / u32::try_from(among).unwrap_or(u32::MAX).max(1)
        });
        Patience { deadline: share, interrupt: self.interrupt, ask: self.ask.clone() }
    }
}

/// The socket, with time-outs that are set only when they change: that is a system call each.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    pub(super) input: Box<[u8]>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Wire { stream, input: vec![0; 16 * 1024].into(), read_timeout: None, write_timeout: None }
    }

    /// Reads once into `input`. 0 means that nothing came until `quiet`.
    pub(super) fn read(&mut self, patience: &Patience<'_>, quiet: Option<Instant>) -> Result<usize, Error> {
        loop {
            let mut slice = patience.slice()?;
            if let Some(quiet) = quiet {
                match quiet.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return Ok(0),
                    left => slice = slice.min(left),
                }
            }
            if self.read_timeout != Some(slice) {
                self.stream.set_read_timeout(Some(slice)).map_err(Error::io("set a time-out"))?;
                self.read_timeout = Some(slice);
            }
            match self.stream.read(&mut self.input) {
                Ok(0) => return Err(Error::Closed),
                Ok(n) => return Ok(n),
                Err(error) => failed(error, "receive")?,
            }
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], patience: &Patience<'_>) -> Result<(), Error> {
        while !bytes.is_empty() {
            let slice = patience.slice()?;
            if self.write_timeout != Some(slice) {
                self.stream.set_write_timeout(Some(slice)).map_err(Error::io("set a time-out"))?;
                self.write_timeout = Some(slice);
            }
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) => failed(error, "send")?,
            }
        }
        Ok(())
    }

    /// Nothing may have come since the last reply: it would be taken for the next one.
    pub(super) fn check_silence(&mut self, dialogue: &mut Dialogue) -> Result<(), Error> {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.stream).recv_with_flags(&mut byte, MSG_PEEK | MSG_DONTWAIT) {
            Ok(0) => Err(Error::Closed),
            Ok(_) => {
                let n = self.stream.read(&mut self.input).map_err(Error::io("receive"))?;
                dialogue.receive(&self.input[..n])?;
                Err(dialogue.foreign().into())
            }
            Err(error) => failed(error, "receive"),
        }
    }
}

/// What a failed call of the socket means; `Ok` where it should be made again.
fn failed(error: io::Error, doing: &str) -> Result<(), Error> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Err(Error::Closed),
        _ => Err(Error::Io(error, doing.into())),
    }
}
