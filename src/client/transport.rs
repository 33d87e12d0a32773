//! The client's socket, and the deadline of a call.

use std::{
    cell::Cell,
    io::{self, ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::libc::{MSG_DONTWAIT, MSG_PEEK};
use socket2::SockRef;

use crate::{Error, protocol::ClientSession};

/// The longest wait of one system call. After it, the deadline and the interrupt function are checked again.
const SLICE: Duration = Duration::from_millis(100);

/// Asked while a call blocks. The call ends if it returns true.
pub(super) type Interrupt = Box<dyn Fn() -> bool + Send + Sync>;

/// The end of a call: its deadline, or the interrupt function.
pub(super) struct Deadline<'a> {
    /// `None` means never.
    at: Option<Instant>,
    interrupt: Option<&'a Interrupt>,
    /// When to ask the interrupt function next.
    ask: Cell<Instant>,
}

impl<'a> Deadline<'a> {
    pub(super) fn new(timeout: Duration, interrupt: Option<&'a Interrupt>) -> Self {
        let now = Instant::now();
        Deadline { at: now.checked_add(timeout), interrupt, ask: Cell::new(now + SLICE) }
    }

    /// How long the next system call may wait. Asks the interrupt function when that is due.
    pub(super) fn next_wait(&self) -> Result<Duration, Error> {
        let now = Instant::now();
        if now >= self.ask.get()
            && let Some(interrupt) = self.interrupt
        {
            self.ask.set(now + SLICE);
            if interrupt() {
                return Err(Error::Interrupted);
            }
        }
        match self.at.map(|at| at.saturating_duration_since(now)) {
            Some(Duration::ZERO) => Err(Error::Timeout),
            Some(left) => Ok(left.min(SLICE)),
            None => Ok(SLICE),
        }
    }

    /// A deadline after one of `parts` equal parts of the remaining time.
    pub(super) fn split(&self, parts: usize) -> Self {
        let at = self.at.map(|at| {
            let now = Instant::now();
            now + at.saturating_duration_since(now) / u32::try_from(parts).unwrap_or(u32::MAX).max(1)
        });
        Deadline { at, interrupt: self.interrupt, ask: self.ask.clone() }
    }
}

/// The socket. Its timeouts are set only when they change, since each change is a system call.
pub(super) struct Transport {
    pub(super) stream: TcpStream,
    pub(super) input: Box<[u8]>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Transport {
    pub(super) fn new(stream: TcpStream) -> Self {
        Transport { stream, input: vec![0; 16 * 1024].into(), read_timeout: None, write_timeout: None }
    }

    /// Reads once into `input`. Returns 0 if nothing arrived until `quiet`.
    pub(super) fn read(&mut self, deadline: &Deadline<'_>, quiet: Option<Instant>) -> Result<usize, Error> {
        loop {
            let mut wait = deadline.next_wait()?;
            if let Some(quiet) = quiet {
                match quiet.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return Ok(0),
                    left => wait = wait.min(left),
                }
            }
            if self.read_timeout != Some(wait) {
                self.stream.set_read_timeout(Some(wait)).map_err(Error::io("set a timeout"))?;
                self.read_timeout = Some(wait);
            }
            match self.stream.read(&mut self.input) {
                Ok(0) => return Err(Error::Closed),
                Ok(n) => return Ok(n),
                Err(error) => failed(error, "receive")?,
            }
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], deadline: &Deadline<'_>) -> Result<(), Error> {
        while !bytes.is_empty() {
            let wait = deadline.next_wait()?;
            if self.write_timeout != Some(wait) {
                self.stream.set_write_timeout(Some(wait)).map_err(Error::io("set a timeout"))?;
                self.write_timeout = Some(wait);
            }
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) => failed(error, "send")?,
            }
        }
        Ok(())
    }

    /// Fails if anything arrived since the last reply: it would be mistaken for the next one.
    pub(super) fn check_silence(&mut self, session: &mut ClientSession) -> Result<(), Error> {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.stream).recv_with_flags(&mut byte, MSG_PEEK | MSG_DONTWAIT) {
            Ok(0) => Err(Error::Closed),
            Ok(_) => {
                let n = self.stream.read(&mut self.input).map_err(Error::io("receive"))?;
                session.receive(&self.input[..n])?;
                Err(session.take_unexpected().into())
            }
            Err(error) => failed(error, "receive"),
        }
    }
}

/// The error of a failed system call, or `Ok` if the call should be repeated.
fn failed(error: io::Error, context: &str) -> Result<(), Error> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Err(Error::Closed),
        _ => Err(Error::Io(error, context.into())),
    }
}
