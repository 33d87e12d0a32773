//! One socket and its session: read, write through, keep what the kernel does not take, close without losing replies.
//!
//! A *turn* does the work of at most one full read. Nothing is read while replies are owed, so a connection holds at
//! most [`OWED_MAX`](crate::protocol::OWED_MAX) bytes of replies (and one reply more) and one read's unread rest,
//! whatever its peer does; an idle one holds no buffer at all.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use mio::net::TcpStream;

use super::{
    Control,
    event::{ClientId, Reason},
    stats::{ClientInfo, add},
    texts::Texts,
};
use crate::protocol::{Framing, Next, QUIET, Session};

/// The bytes of one read.
const READ_MAX: usize = 16 * 1024;
/// How long a peer is given to close after the last reply.
const LINGER: Duration = Duration::from_secs(1);

/// A point on the monotonic clock: nanoseconds since the worker began.
pub(super) type Tick = u64;
/// Later than any tick.
pub(super) const NEVER: Tick = Tick::MAX;

/// What a worker lends to each connection in turn.
pub(super) struct Desk {
    pub(super) control: Arc<Control>,
    pub(super) worker: usize,
    pub(super) now: Tick,
    pub(super) write_timeout: Duration,
    pub(super) texts: Texts,
    /// Where reads go.
    input: Box<[u8]>,
    /// Where replies are gathered; empty between turns.
    out: Vec<u8>,
}

impl Desk {
    pub(super) fn new(control: Arc<Control>, worker: usize, write_timeout: Duration, texts: Texts) -> Self {
        Desk { control, worker, now: 0, write_timeout, texts, input: vec![0; READ_MAX].into(), out: Vec::new() }
    }
}

/// What a turn leaves to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing until the poller tells of the socket again, or the deadline comes.
    Wait,
    /// Another turn, after the others have had theirs.
    Again,
    /// To be closed: everything is done, or lost.
    Gone(Reason),
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) id: ClientId,
    pub(super) peer: SocketAddr,
    connected: Tick,
    pub(super) commands: u64,
    session: Session,
    pending: Option<Box<Pending>>,
    phase: Phase,
    /// When a byte last came or went: what every deadline counts from.
    since: Tick,
    /// When the worker looks at the deadline.
    pub(super) wake: Tick,
    /// The socket may have something to read. The poller tells of an edge once, so this is kept until a read finds
    /// nothing more.
    readable: bool,
    /// The peer has closed its side, so that a short read is not the last one.
    peer_closed: bool,
    /// To be closed as soon as what is owed has gone.
    leaving: bool,
    /// The worker has it in its list of those that want another turn.
    pub(super) queued: bool,
    /// The poller watches for writability too.
    pub(super) watches_writes: bool,
}

/// What could not be done at once.
#[derive(Default)]
struct Pending {
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No more commands; what is owed is sent, then the socket is closed.
    Closing(Reason),
    /// Our side is closed. What the peer still sends is discarded, lest a reset destroy the replies on their way.
    Lingering(Reason),
}

impl Connection {
    pub(super) fn new(stream: TcpStream, id: ClientId, peer: SocketAddr, framing: Framing, now: Tick) -> Self {
        Connection {
            stream,
            id,
            peer,
            connected: now,
            commands: 0,
            session: Session::new(framing),
            pending: None,
            phase: Phase::Open,
            since: now,
            wake: NEVER,
            readable: false,
            peer_closed: false,
            leaving: false,
            queued: false,
            watches_writes: false,
        }
    }

    /// Sends the greeting.
    pub(super) fn greet(&mut self, greeting: &str, desk: &mut Desk) -> Turn {
        self.session.greet(greeting, &mut desk.out);
        match self.send(desk) {
            Ok(()) => Turn::Wait,
            Err(_) => Turn::Gone(Reason::Error),
        }
    }

    /// The poller says that there is something to read, perhaps the end.
    pub(super) fn readable(&mut self, peer_closed: bool) {
        self.readable = true;
        self.peer_closed |= peer_closed;
    }

    /// Does what can be done without waiting, up to the work of one full read.
    pub(super) fn turn(&mut self, desk: &mut Desk) -> Turn {
        self.try_turn(desk).unwrap_or(Turn::Gone(Reason::Error))
    }

    /// Whether replies are owed that the kernel does not take.
    pub(super) fn blocked(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.sent < pending.out.len())
    }

    /// When something must happen though the socket is silent.
    pub(super) fn deadline(&self, desk: &Desk) -> Tick {
        let limit = match self.phase {
            _ if self.blocked() => desk.write_timeout,
            Phase::Lingering(_) => LINGER,
            Phase::Open if self.session.awaits_quiet() => QUIET,
            _ => return NEVER,
        };
        self.since.saturating_add(ticks(limit))
    }

    /// The deadline may have come. A socket that has something to read is read first.
    pub(super) fn expire(&mut self, desk: &mut Desk) -> Turn {
        self.readable = true;
        let turn = self.turn(desk);
        if turn != Turn::Wait || self.deadline(desk) > desk.now {
            return turn;
        }
        match self.phase {
            _ if self.blocked() => Turn::Gone(Reason::WriteTimeout),
            Phase::Closing(reason) | Phase::Lingering(reason) => Turn::Gone(reason),
            Phase::Open => match self.quiet(desk) {
                Ok(()) => self.turn(desk),
                Err(_) => Turn::Gone(Reason::Error),
            },
        }
    }

    /// Closes once the commands that were received already are answered: those of one more read, and one that only
    /// waits for the quiet time.
    pub(super) fn leave(&mut self, desk: &mut Desk) -> Turn {
        self.readable = true;
        match self.turn(desk) {
            Turn::Gone(reason) => Turn::Gone(reason),
            _ => {
                self.leaving = true;
                self.turn(desk)
            }
        }
    }

    /// What `clients()` tells of it, unless it is being closed.
    pub(super) fn info(&self, started: SystemTime) -> Option<ClientInfo> {
        (self.phase == Phase::Open).then(|| ClientInfo {
            id: self.id,
            peer: self.peer.into(),
            connected_at: started + Duration::from_nanos(self.connected),
            commands: self.commands,
        })
    }

    fn try_turn(&mut self, desk: &mut Desk) -> io::Result<Turn> {
        loop {
            self.flush(desk)?;
            if self.blocked() {
                return Ok(Turn::Wait);
            }
            match self.phase {
                Phase::Closing(reason) if self.peer_closed && !self.readable => return Ok(Turn::Gone(reason)),
                Phase::Closing(reason) => {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.phase = Phase::Lingering(reason);
                    self.since = desk.now;
                    continue;
                }
                Phase::Lingering(_) => {}
                Phase::Open => {
                    if let Some(pending) = self.pending.take() {
                        self.serve(&pending.input, desk)?;
                        continue;
                    }
                    if self.leaving {
                        self.quiet(desk)?;
                        self.phase = Phase::Closing(Reason::Shutdown);
                        continue;
                    }
                }
            }
            if !self.readable {
                return Ok(Turn::Wait);
            }
            let mut input = std::mem::take(&mut desk.input);
            let turn = self.read(&mut input, desk);
            desk.input = input;
            if let Some(turn) = turn? {
                return Ok(turn);
            }
        }
    }

    /// One read and its replies. `None` where this turn goes on.
    fn read(&mut self, input: &mut [u8], desk: &mut Desk) -> io::Result<Option<Turn>> {
        let n = match self.stream.read(input) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(Some(Turn::Wait));
            }
            Err(error) => return Err(error),
        };
        let full = n == input.len();
        // After a short read the kernel has nothing more, unless the end has come: then the next read finds that.
        self.readable = full || (self.peer_closed && n > 0);
        if let Phase::Lingering(reason) = self.phase {
            return Ok(match n {
                0 => Some(Turn::Gone(reason)),
                _ if full => Some(Turn::Again),
                _ => None,
            });
        }
        if n == 0 {
            self.peer_closed = true;
            self.readable = false;
            self.session.end(&mut desk.texts, &mut desk.out);
            self.commands += desk.texts.count();
            self.phase = Phase::Closing(Reason::EndOfFile);
            self.send(desk)?;
            return Ok(None);
        }
        self.since = desk.now;
        add(&desk.control.counters[desk.worker].bytes_in, n as u64);
        self.serve(&input[..n], desk)?;
        Ok(full.then_some(Turn::Again))
    }

    /// Answers what was read. Stops where the kernel takes no more replies, and keeps the rest.
    fn serve(&mut self, input: &[u8], desk: &mut Desk) -> io::Result<()> {
        desk.texts.begin();
        let mut at = 0;
        loop {
            let (taken, next) = self.session.receive(&input[at..], &mut desk.texts, &mut desk.out);
            at += taken;
            self.commands += desk.texts.count();
            self.send(desk)?;
            match next {
                Next::Read => return Ok(()),
                Next::Send if self.blocked() => {
                    self.pending.get_or_insert_default().input = input[at..].to_vec();
                    return Ok(());
                }
                Next::Send => {}
                Next::Call(_) => unreachable!("no own command can be registered"),
                Next::Close => {
                    self.phase = Phase::Closing(Reason::Quit);
                    return Ok(());
                }
            }
        }
    }

    /// What is held is one command.
    fn quiet(&mut self, desk: &mut Desk) -> io::Result<()> {
        desk.texts.begin();
        let next = self.session.quiet(&mut desk.texts, &mut desk.out);
        self.commands += desk.texts.count();
        self.send(desk)?;
        if next == Next::Close {
            self.phase = Phase::Closing(Reason::Quit);
        }
        Ok(())
    }

    /// Writes the gathered replies through to the kernel, and keeps what it does not take. Nothing else is owed.
    fn send(&mut self, desk: &mut Desk) -> io::Result<()> {
        if desk.out.is_empty() {
            return Ok(());
        }
        let sent = write(&mut self.stream, &desk.out);
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => {
                desk.out.clear();
                return Err(error);
            }
        };
        add(&desk.control.counters[desk.worker].bytes_out, sent as u64);
        if sent < desk.out.len() {
            self.since = desk.now;
            self.pending.get_or_insert_default().out = desk.out[sent..].to_vec();
        }
        desk.out.clear();
        Ok(())
    }

    /// Goes on sending what was kept.
    fn flush(&mut self, desk: &mut Desk) -> io::Result<()> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let sent = write(&mut self.stream, &pending.out[pending.sent..])?;
        pending.sent += sent;
        if sent > 0 {
            self.since = desk.now;
            add(&desk.control.counters[desk.worker].bytes_out, sent as u64);
        }
        if pending.sent == pending.out.len() {
            pending.out = Vec::new();
            pending.sent = 0;
            if pending.input.is_empty() {
                self.pending = None;
            }
        }
        Ok(())
    }
}

pub(super) fn ticks(duration: Duration) -> Tick {
    duration.as_nanos().try_into().unwrap_or(NEVER)
}

/// Writes until everything is written or the kernel takes no more. Only `write`: it passes MSG_NOSIGNAL, so that a
/// peer that has gone away is an error and never SIGPIPE.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
