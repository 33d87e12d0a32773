//! One socket and its session: read, write through, keep what the kernel does not take, close without losing replies.
//!
//! A *turn* does the work of at most one full read. Nothing is read while replies are owed, so a connection holds at
//! most [`OWED_MAX`](crate::protocol::OWED_MAX) bytes of replies (and one reply more) and one read's unread rest,
//! whatever its peer does; an idle one holds no buffer at all. Nor is anything read while a handler runs.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mio::net::TcpStream;

use super::{
    callers::{Callers, Job, Ticket},
    config::Limits,
    control::Control,
    event::{ClientId, Reason},
    listen::Service,
    peer::Peer,
    stats::{ClientInfo, add},
    texts::Texts,
    tick::{NEVER, Tick, ticks},
};
use crate::protocol::{Framing, Host, Next, QUIET, Reply, Session, rfc867, rfc868};

/// The bytes of one read.
const READ_MAX: usize = 16 * 1024;
/// How long a peer is given to close after the last reply.
const LINGER: Duration = Duration::from_secs(1);

/// What a worker lends to each connection in turn.
pub(super) struct Desk {
    pub(super) control: Arc<Control>,
    pub(super) worker: usize,
    pub(super) callers: Arc<Callers>,
    pub(super) now: Tick,
    limits: Limits,
    texts: Texts,
    /// Where reads go.
    input: Box<[u8]>,
    /// Where replies are gathered; empty between turns.
    out: Vec<u8>,
}

impl Desk {
    pub(super) fn new(
        control: Arc<Control>,
        callers: Arc<Callers>,
        worker: usize,
        limits: Limits,
        texts: Texts,
    ) -> Self {
        let input = vec![0; READ_MAX].into();
        Desk { control, worker, callers, now: 0, limits, texts, input, out: Vec::new() }
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
    /// Its place in the worker's list.
    slot: u32,
    pub(super) id: ClientId,
    pub(super) peer: Peer,
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
    /// The end was read.
    ended: bool,
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
    /// Of the call whose handler's reply is waited for.
    ticket: Option<Ticket>,
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
    pub(super) fn new(stream: TcpStream, slot: usize, id: ClientId, peer: Peer, framing: Framing, now: Tick) -> Self {
        Connection {
            stream,
            // A process has fewer descriptors than that.
            slot: slot as u32,
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
            ended: false,
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

    /// Sends this in place of the greeting, and closes.
    pub(super) fn tell(&mut self, text: &[u8], reason: Reason, desk: &mut Desk) -> Turn {
        self.phase = Phase::Closing(reason);
        desk.out.extend_from_slice(text);
        match self.send(desk) {
            Ok(()) => self.turn(desk),
            Err(_) => Turn::Gone(Reason::Error),
        }
    }

    /// Sends the answer of a protocol that has no questions, and closes.
    pub(super) fn answer(&mut self, service: Service, desk: &mut Desk) -> Turn {
        desk.texts.begin(self.id, desk.now);
        let (second, zone) = desk.texts.now();
        match service {
            Service::Rfc868 => self.tell(&rfc868(second), Reason::Answered, desk),
            _ => {
                let line = rfc867(second, zone);
                self.tell(line.as_bytes(), Reason::Answered, desk)
            }
        }
    }

    /// The handler of the own command that was asked for last has answered.
    pub(super) fn reply(&mut self, command: &str, reply: Option<Reply>, desk: &mut Desk) -> Turn {
        if let Some(pending) = &mut self.pending {
            pending.ticket = None;
        }
        self.since = desk.now;
        desk.texts.begin(self.id, desk.now);
        desk.texts.executed(command.as_bytes(), reply.is_some());
        let text = reply.as_ref().map(|reply| reply.text.as_str());
        let closing = reply.as_ref().is_some_and(|reply| reply.closing);
        let next = self.session.reply(text, closing, &mut desk.out);
        match self.follow(next, &[], desk) {
            Ok(_) => self.turn(desk),
            Err(_) => Turn::Gone(Reason::Error),
        }
    }

    /// The call that must be taken back when this connection goes.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        self.pending.as_ref().and_then(|pending| pending.ticket)
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
        let since = |limit| self.since.saturating_add(ticks(limit));
        match self.phase {
            _ if self.blocked() => since(desk.limits.write),
            Phase::Lingering(_) => since(LINGER),
            Phase::Closing(_) => NEVER,
            Phase::Open if self.session.awaits_reply() => NEVER,
            Phase::Open => {
                let quiet = if self.session.awaits_quiet() { since(QUIET) } else { NEVER };
                quiet.min(self.patience(desk).0)
            }
        }
    }

    /// When an open connection is closed for want of commands, and why.
    fn patience(&self, desk: &Desk) -> (Tick, Reason) {
        let after =
            |from: Tick, limit: Option<Duration>| limit.map_or(NEVER, |limit| from.saturating_add(ticks(limit)));
        let idle = after(self.since, desk.limits.idle);
        let first = if self.commands == 0 { after(self.connected, desk.limits.first_command) } else { NEVER };
        if first < idle { (first, Reason::NoCommand) } else { (idle, Reason::Idle) }
    }

    /// The deadline may have come. A socket that has something to read is read first; one that always has is none the
    /// less closed in time.
    pub(super) fn expire(&mut self, desk: &mut Desk) -> Turn {
        self.readable = true;
        let turn = self.turn(desk);
        if matches!(turn, Turn::Gone(_)) || self.deadline(desk) > desk.now {
            return turn;
        }
        match self.phase {
            _ if self.blocked() => Turn::Gone(Reason::WriteTimeout),
            Phase::Closing(reason) | Phase::Lingering(reason) => Turn::Gone(reason),
            Phase::Open => {
                match self.patience(desk) {
                    (due, reason) if due <= desk.now => self.phase = Phase::Closing(reason),
                    _ if self.quiet(desk).is_err() => return Turn::Gone(Reason::Error),
                    _ => {}
                }
                self.turn(desk)
            }
        }
    }

    /// Closes once the commands that were read already are answered: where no reply is owed, those of one more read
    /// too, and one that only waits for the quiet time.
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

    /// Ends the connection for a peer that was told of no end: a process that was forked off meanwhile has the
    /// descriptor, too, so that closing it here would end nothing.
    pub(super) fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether it is a client, and not somebody who is turned away.
    pub(super) fn is_client(&self) -> bool {
        self.id != ClientId::default()
    }

    /// Why it is being closed, if it is.
    pub(super) fn closing(&self) -> Option<Reason> {
        match self.phase {
            Phase::Open => None,
            Phase::Closing(reason) | Phase::Lingering(reason) => Some(reason),
        }
    }

    /// Whether it is a client that may still ask.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// What `clients()` tells of it, unless it is being closed.
    pub(super) fn info(&self, started: SystemTime) -> Option<ClientInfo> {
        self.is_open().then(|| ClientInfo {
            id: self.id,
            peer: self.peer.address(),
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
                Phase::Closing(reason) if self.ended => return Ok(Turn::Gone(reason)),
                Phase::Closing(reason) => {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.phase = Phase::Lingering(reason);
                    self.since = desk.now;
                    continue;
                }
                Phase::Lingering(_) => {}
                Phase::Open => {
                    if self.session.awaits_reply() {
                        return Ok(Turn::Wait);
                    }
                    if let Some(pending) = self.pending.take() {
                        self.serve(&pending.input, desk)?;
                        continue;
                    }
                    if self.leaving {
                        match self.session.awaits_quiet() {
                            true => self.quiet(desk)?,
                            false => self.phase = Phase::Closing(Reason::Shutdown),
                        }
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
            self.ended = true;
            desk.texts.begin(self.id, desk.now);
            let next = self.session.end(&mut desk.texts, &mut desk.out);
            self.follow(next, &[], desk)?;
            return Ok(None);
        }
        self.since = desk.now;
        add(&desk.control.counters[desk.worker].bytes_in, n as u64);
        self.serve(&input[..n], desk)?;
        Ok(full.then_some(Turn::Again))
    }

    /// Answers what was read, as far as the kernel takes replies and no handler is waited for.
    fn serve(&mut self, input: &[u8], desk: &mut Desk) -> io::Result<()> {
        desk.texts.begin(self.id, desk.now);
        let mut at = 0;
        loop {
            let (taken, next) = self.session.receive(&input[at..], &mut desk.texts, &mut desk.out);
            at += taken;
            if !self.follow(next, &input[at..], desk)? {
                return Ok(());
            }
        }
    }

    /// What is held is one command.
    fn quiet(&mut self, desk: &mut Desk) -> io::Result<()> {
        desk.texts.begin(self.id, desk.now);
        let next = self.session.quiet(&mut desk.texts, &mut desk.out);
        self.follow(next, &[], desk).map(drop)
    }

    /// Sends the replies gathered and does what the session wants next. `rest` is what it has not taken: true if it
    /// is to be given that now.
    fn follow(&mut self, next: Next, rest: &[u8], desk: &mut Desk) -> io::Result<bool> {
        self.commands += desk.texts.count();
        self.send(desk)?;
        match next {
            Next::Read => {}
            Next::Send if self.blocked() => self.pending.get_or_insert_default().input = rest.to_vec(),
            Next::Send => return Ok(true),
            Next::Call(call) => {
                let (worker, slot) = (desk.worker, self.slot as usize);
                let job = Job { worker, slot, client: self.id, peer: self.peer.address(), call };
                let ticket = desk.callers.submit(job);
                let pending = self.pending.get_or_insert_default();
                pending.input = rest.to_vec();
                pending.ticket = Some(ticket);
            }
            Next::Close => {
                self.phase = Phase::Closing(if self.ended { Reason::EndOfFile } else { Reason::Quit });
            }
        }
        Ok(false)
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
            if pending.input.is_empty() && pending.ticket.is_none() {
                self.pending = None;
            }
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // mio's sockets carry a word more where debug assertions are on.
        let debug = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size_of::<Connection>() <= 112 + debug, "{}", size_of::<Connection>());
    }
}
