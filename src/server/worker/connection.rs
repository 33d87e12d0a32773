//! One socket and its session: reads, writes, buffers what the kernel does not take, and closes without losing replies.
//!
//! Each call of [`Connection::drive`] does the work of at most one full read and one short read. Nothing is read while
//! replies are owed. So a connection buffers at most [`OWED_MAX`](crate::protocol::OWED_MAX) bytes of replies (and one more
//! reply), and the untaken rest of one read, whatever its peer does. An idle connection has no buffer at all. Nothing is
//! read while a handler runs either.

mod away;
mod proxied;

use std::{
    io::{self, ErrorKind, Read, Write},
    mem,
    net::Shutdown,
    time::{Duration, SystemTime},
};

use mio::net::TcpStream;

use super::{
    super::{
        conversation::Conversation,
        events::{ClientId, Reason},
        handler_pool::JobId,
        listen::{Peer, Service},
        stats::{ClientInfo, add},
        tick::{NEVER, Tick},
        time_cache::ReadResponder,
    },
    context::Context,
};
use crate::protocol::{Framing, Next, ProxyHeader, Received, ServerSession, rfc867, rfc868};

/// The most reads before other connections are driven: a short one, and the one that finds EOF or nothing more.
const READS_MAX: usize = 2;

/// What a connection needs after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing until the poller reports the socket, or the deadline passes.
    Pending,
    /// To be driven again, after the other connections.
    Yield,
    /// To be closed: everything is done, or the connection failed.
    Close(Reason),
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// The index in the worker's slab.
    slot: u32,
    pub(super) id: ClientId,
    pub(super) peer: Peer,
    connected: Tick,
    pub(super) commands: u64,
    session: Place,
    pending: Option<Box<Pending>>,
    phase: Phase,
    /// When a byte last arrived or left. Deadlines count from here.
    since: Tick,
    /// When the worker checks the deadline.
    pub(super) wake: Tick,
    /// The socket may have input. The poller reports each edge once, so this stays true until a read finds nothing more.
    readable: bool,
    /// A short read does not mean that the kernel has nothing more, because a read also ends at the peer's EOF, at urgent
    /// data (MSG_OOB), and at passed descriptors (SCM_RIGHTS). The poller reports EOF, and urgent data of TCP on Linux.
    /// Other connections always read on until the kernel has nothing.
    reads_on: bool,
    /// The greeting was sent, so that the hooks are called for this client.
    pub(super) greeted: bool,
    /// The socket has failed while the session was away.
    failed: bool,
    /// The worker has it in its list of connections to drive again.
    pub(super) queued: bool,
    /// The poller also reports when the socket is writable.
    pub(super) watches_writes: bool,
}

/// Where the session of a connection is.
enum Place {
    Here(ServerSession),
    /// In a conversation, with this job.
    Away(JobId),
    /// Nowhere: the header of the proxy has not ended. The connection has a seat, and is not a client yet.
    Awaited(Box<ProxyHeader>),
}

/// Work that could not be done at once.
#[derive(Default)]
struct Pending {
    out: Vec<u8>,
    sent: usize,
    /// The rest of a read that the session has not taken.
    input: Vec<u8>,
    /// The conversation of a custom command, which is called once the replies before it are sent.
    conversation: Option<Box<Conversation>>,
}

/// The life of a connection, in this order. `Open`, `Leaving` and `Ended` still execute commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The server is draining: to be closed as soon as the replies owed are sent. A client that has just connected may
    /// send its first command before.
    Leaving,
    /// The peer's EOF was read: to be closed as soon as the replies owed are sent.
    Ended,
    /// Nothing more is executed. The replies owed are sent, then the socket is closed.
    Closing(Reason),
    /// Our side is closed. Input is discarded until the peer closes, since closing a socket with unread input would send
    /// a reset and destroy replies on their way.
    Lingering(Reason),
}

impl Connection {
    pub(super) fn new(stream: TcpStream, slot: usize, id: ClientId, peer: Peer, framing: Framing, now: Tick) -> Self {
        let reads_on = matches!(peer, Peer::Unix(_)) || cfg!(not(target_os = "linux"));
        Connection {
            stream,
            // A process has fewer file descriptors than that.
            slot: slot as u32,
            id,
            peer,
            connected: now,
            commands: 0,
            session: Place::Here(ServerSession::new(framing)),
            pending: None,
            phase: Phase::Open,
            since: now,
            wake: NEVER,
            readable: false,
            reads_on,
            greeted: false,
            failed: false,
            queued: false,
            watches_writes: false,
        }
    }

    /// Greets a client whose address is known.
    pub(super) fn greet(&mut self, cx: &mut Context) -> Progress {
        match self.begin(&[], cx) {
            Ok(()) => Progress::Pending,
            Err(_) => Progress::Close(Reason::Error),
        }
    }

    /// Sends the greeting, and calls the hook `on_connect`. The conversation of the hook takes the client's first bytes
    /// along.
    fn begin(&mut self, first: &[u8], cx: &mut Context) -> io::Result<()> {
        if let Place::Here(session) = &self.session {
            session.greet(&cx.config.settings.greeting, &mut cx.out);
        }
        self.send(cx)?;
        self.greeted = true;
        if cx.config.hooks.on_connect.is_some() {
            let queue = cx.pool.connect_queue();
            if let Some(conversation) = self.depart(Next::Read, first, cx) {
                self.submit(conversation, queue, cx);
            }
        }
        Ok(())
    }

    /// Sends a text in place of the greeting, and closes.
    pub(super) fn refuse(&mut self, text: &[u8], reason: Reason, cx: &mut Context) -> Progress {
        self.phase = Phase::Closing(reason);
        cx.out.extend_from_slice(text);
        match self.send(cx) {
            Ok(()) => self.drive(cx),
            Err(_) => Progress::Close(Reason::Error),
        }
    }

    /// Sends the reply of a protocol without commands, and closes.
    pub(super) fn answer(&mut self, service: Service, cx: &mut Context) -> Progress {
        let mut read = cx.time_cache.begin(self.id, cx.now);
        let (second, zone) = cx.time_cache.now(&mut read);
        match service {
            Service::Rfc868 => self.refuse(&rfc868(second), Reason::Answered, cx),
            _ => {
                let line = rfc867(second, zone);
                self.refuse(line.as_bytes(), Reason::Answered, cx)
            }
        }
    }

    /// The poller reports input. `reads_on` if a read may end before the last byte, at EOF or at urgent data.
    pub(super) fn readable(&mut self, reads_on: bool) {
        self.readable = true;
        self.reads_on |= reads_on;
    }

    /// Does what can be done without waiting, up to the work of one full read.
    pub(super) fn drive(&mut self, cx: &mut Context) -> Progress {
        self.try_drive(cx).unwrap_or(Progress::Close(Reason::Error))
    }

    /// Whether the kernel does not take all replies owed.
    pub(super) fn blocked(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.sent < pending.out.len())
    }

    /// When to call [`expire`](Self::expire) even if the poller does not report the socket.
    pub(super) fn deadline(&self, cx: &Context) -> Tick {
        match self.phase {
            _ if self.blocked() => self.since.saturating_add(cx.limits.write),
            Phase::Lingering(_) => self.since.saturating_add(cx.limits.linger),
            Phase::Closing(_) => NEVER,
            Phase::Open | Phase::Leaving | Phase::Ended => {
                let leaving = match self.phase {
                    Phase::Leaving => self.first_words_deadline(cx),
                    _ => NEVER,
                };
                match &self.session {
                    Place::Away(_) => NEVER,
                    Place::Here(session) => {
                        let quiet = match session.needs_timeout() {
                            true => self.since.saturating_add(cx.limits.quiet),
                            false => NEVER,
                        };
                        quiet.min(leaving).min(self.idle_deadline(cx).0)
                    }
                    Place::Awaited(_) => self.connected.saturating_add(cx.limits.proxy).min(leaving),
                }
            }
        }
    }

    /// When a leaving connection is closed although no command came.
    fn first_words_deadline(&self, cx: &Context) -> Tick {
        match self.commands {
            0 => self.connected.saturating_add(cx.limits.first_words),
            _ => 0,
        }
    }

    /// When an open connection is closed for lack of commands, and the reason then.
    fn idle_deadline(&self, cx: &Context) -> (Tick, Reason) {
        let idle = self.since.saturating_add(cx.limits.idle);
        let first = match self.commands {
            0 => self.connected.saturating_add(cx.limits.first_command),
            _ => NEVER,
        };
        if first < idle { (first, Reason::NoCommand) } else { (idle, Reason::Idle) }
    }

    /// Acts on a deadline that may have passed. Input that has arrived is read first. A socket that always has input is
    /// closed in time nevertheless.
    pub(super) fn expire(&mut self, cx: &mut Context) -> Progress {
        self.readable = true;
        let progress = self.drive(cx);
        if matches!(progress, Progress::Close(_)) || self.deadline(cx) > cx.now {
            return progress;
        }
        match self.phase {
            _ if self.blocked() => Progress::Close(Reason::WriteTimeout),
            Phase::Closing(reason) | Phase::Lingering(reason) => Progress::Close(reason),
            Phase::Open | Phase::Leaving | Phase::Ended => {
                if self.awaited_header().is_some() {
                    return Progress::Close(Reason::ProxyHeader);
                }
                match self.idle_deadline(cx) {
                    (due, reason) if due <= cx.now => self.phase = Phase::Closing(reason),
                    _ if self.handle_timeout(cx).is_err() => return Progress::Close(Reason::Error),
                    _ => {}
                }
                self.drive(cx)
            }
        }
    }

    /// Closes the connection for a drain, once the commands that were read are answered. If no reply is owed, the
    /// commands of one more read are answered too, and a command that only waits for the quiet time. A client that has sent
    /// no command stays until a second after it was accepted, and until its first command is answered.
    pub(super) fn leave(&mut self, cx: &mut Context) -> Progress {
        self.readable = true;
        match self.drive(cx) {
            Progress::Close(reason) => Progress::Close(reason),
            _ => {
                if self.phase == Phase::Open {
                    self.phase = Phase::Leaving;
                }
                self.drive(cx)
            }
        }
    }

    /// Ends the connection for the peer at once. Closing the socket alone would not, if a forked child has inherited it.
    pub(super) fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether this is a client, as opposed to a refused connection.
    pub(super) fn is_client(&self) -> bool {
        self.id != ClientId::default()
    }

    /// Why it is being closed, if it is.
    pub(super) fn closing(&self) -> Option<Reason> {
        match self.phase {
            Phase::Open | Phase::Leaving | Phase::Ended => None,
            Phase::Closing(reason) | Phase::Lingering(reason) => Some(reason),
        }
    }

    /// Whether it is a client that may send commands.
    pub(super) fn is_open(&self) -> bool {
        self.closing().is_none() && self.awaited_header().is_none()
    }

    /// The entry for `clients()`, unless it is being closed, or is not a client yet.
    pub(super) fn info(&self, started: SystemTime) -> Option<ClientInfo> {
        self.is_open().then(|| ClientInfo {
            id: self.id,
            peer: self.peer.address(),
            connected_at: started + Duration::from_nanos(self.connected),
            commands: self.commands,
        })
    }

    fn try_drive(&mut self, cx: &mut Context) -> io::Result<Progress> {
        let mut reads = 0;
        loop {
            if self.pending.is_some() {
                self.flush(cx)?;
                if self.blocked() {
                    return Ok(Progress::Pending);
                }
                if let Some(conversation) = self.pending.as_mut().and_then(|pending| pending.conversation.take()) {
                    self.call(conversation, cx);
                }
            }
            match self.phase {
                // The peer has closed its side, so that nothing it sends can destroy the replies.
                Phase::Closing(Reason::Eof) => return Ok(Progress::Close(Reason::Eof)),
                Phase::Closing(reason) => {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.phase = Phase::Lingering(reason);
                    self.since = cx.now;
                    continue;
                }
                Phase::Lingering(_) => {}
                Phase::Open | Phase::Leaving | Phase::Ended => {
                    let needs_timeout = match &self.session {
                        Place::Here(session) => session.needs_timeout(),
                        Place::Awaited(_) => false,
                        // Nothing can send the reply to a peer that is gone.
                        Place::Away(_) if self.failed => return Ok(Progress::Close(Reason::Error)),
                        Place::Away(_) => return Ok(Progress::Pending),
                    };
                    if let Some(pending) = self.pending.take() {
                        if self.serve(&pending.input, cx)? {
                            return Ok(Progress::Yield);
                        }
                        continue;
                    }
                    if self.phase == Phase::Leaving {
                        if needs_timeout {
                            self.handle_timeout(cx)?;
                            continue;
                        }
                        if self.first_words_deadline(cx) <= cx.now {
                            self.phase = Phase::Closing(Reason::Shutdown);
                            continue;
                        }
                    }
                }
            }
            if !self.readable {
                return Ok(Progress::Pending);
            }
            if reads == READS_MAX {
                return Ok(Progress::Yield);
            }
            reads += 1;
            let mut input = mem::take(&mut cx.input);
            let progress = self.read(&mut input, cx);
            cx.input = input;
            if let Some(progress) = progress? {
                return Ok(progress);
            }
        }
    }

    /// Reads once and answers. Returns `None` if there is more to do at once.
    fn read(&mut self, input: &mut [u8], cx: &mut Context) -> io::Result<Option<Progress>> {
        let n = match self.stream.read(input) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(Some(Progress::Pending));
            }
            Err(error) => return Err(error),
        };
        let full = n == input.len();
        self.readable = full || (self.reads_on && n > 0);
        if let Phase::Lingering(reason) = self.phase {
            return Ok(match n {
                0 => Some(Progress::Close(reason)),
                _ if full => Some(Progress::Yield),
                _ => None,
            });
        }
        if n == 0 {
            self.phase = Phase::Ended;
            self.handle_eof(cx)?;
            return Ok(None);
        }
        self.since = cx.now;
        add(&cx.shared.counters[cx.worker].bytes_in, n as u64);
        let yields = self.serve(&input[..n], cx)?;
        Ok((full || yields).then_some(Progress::Yield))
    }

    /// Passes input to the session, as far as the kernel takes replies and no handler is awaited. Before the session, it
    /// is the header of a proxy. Returns true if other clients are to be served before the rest.
    fn serve(&mut self, input: &[u8], cx: &mut Context) -> io::Result<bool> {
        let mut read = cx.time_cache.begin(self.id, cx.now);
        let mut at = 0;
        loop {
            let Place::Here(session) = &mut self.session else { return self.introduce(&input[at..], cx) };
            let mut responder = ReadResponder { cache: &mut cx.time_cache, read: &mut read };
            let received = session.receive(&input[at..], &mut responder, &mut cx.out);
            at += received.taken;
            let yields = received.next == Next::Yield;
            if !self.follow(received, &input[at..], cx)? {
                return Ok(yields && !self.blocked());
            }
        }
    }

    /// The quiet time has passed.
    fn handle_timeout(&mut self, cx: &mut Context) -> io::Result<()> {
        let Place::Here(session) = &mut self.session else { return Ok(()) };
        let mut read = cx.time_cache.begin(self.id, cx.now);
        let mut responder = ReadResponder { cache: &mut cx.time_cache, read: &mut read };
        let received = session.handle_timeout(&mut responder, &mut cx.out);
        self.follow(received, &[], cx).map(drop)
    }

    fn handle_eof(&mut self, cx: &mut Context) -> io::Result<()> {
        let session = match &mut self.session {
            Place::Here(session) => session,
            Place::Away(_) => return Ok(()),
            Place::Awaited(_) => return Err(ErrorKind::UnexpectedEof.into()),
        };
        let mut read = cx.time_cache.begin(self.id, cx.now);
        let mut responder = ReadResponder { cache: &mut cx.time_cache, read: &mut read };
        let received = session.handle_eof(&mut responder, &mut cx.out);
        self.follow(received, &[], cx).map(drop)
    }

    /// Counts the commands, sends their replies, and does what the session needs next. `rest` is the input that was not
    /// taken. Returns true if the session can take it now.
    fn follow(&mut self, received: Received, rest: &[u8], cx: &mut Context) -> io::Result<bool> {
        if received.executed > 0 {
            let counters = &cx.shared.counters[cx.worker];
            self.commands += received.executed;
            add(&counters.commands, received.executed);
            add(&counters.invalid, received.invalid);
        }
        self.send(cx)?;
        match received.next {
            Next::Read => {}
            Next::Send if !self.blocked() => return Ok(true),
            Next::Send | Next::Yield => self.pending.get_or_insert_default().input = rest.to_vec(),
            Next::Call(_) => {
                if let Some(conversation) = self.depart(received.next, rest, cx) {
                    self.call(conversation, cx);
                }
            }
            Next::Close => self.close(),
        }
        Ok(false)
    }

    /// The session has ended.
    fn close(&mut self) {
        self.phase = Phase::Closing(match self.phase {
            Phase::Ended => Reason::Eof,
            _ => Reason::Quit,
        });
    }

    /// Writes replies, and buffers what the kernel does not take.
    fn send(&mut self, cx: &mut Context) -> io::Result<()> {
        if cx.out.is_empty() {
            return Ok(());
        }
        // Replies of a conversation that come while earlier ones are still owed.
        if self.blocked()
            && let Some(pending) = &mut self.pending
        {
            pending.out.append(&mut cx.out);
            return Ok(());
        }
        let sent = match write(&mut self.stream, &cx.out) {
            Ok(sent) => sent,
            Err(error) => {
                cx.out.clear();
                return Err(error);
            }
        };
        add(&cx.shared.counters[cx.worker].bytes_out, sent as u64);
        if sent < cx.out.len() {
            self.since = cx.now;
            self.pending.get_or_insert_default().out = cx.out[sent..].to_vec();
        }
        cx.out.clear();
        Ok(())
    }

    /// Writes the buffered replies.
    fn flush(&mut self, cx: &mut Context) -> io::Result<()> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let sent = write(&mut self.stream, &pending.out[pending.sent..])?;
        pending.sent += sent;
        if sent > 0 {
            self.since = cx.now;
            add(&cx.shared.counters[cx.worker].bytes_out, sent as u64);
        }
        if pending.sent == pending.out.len() {
            pending.out = Vec::new();
            pending.sent = 0;
            if pending.input.is_empty() && pending.conversation.is_none() {
                self.pending = None;
            }
        }
        Ok(())
    }
}

/// Writes until everything is written or the kernel takes no more. `write` passes MSG_NOSIGNAL, so that a peer that has
/// vanished is an error and never SIGPIPE.
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
        // The sockets of mio have one more word if debug assertions are on.
        let debug = if cfg!(debug_assertions) { 16 } else { 0 };
        assert!(size_of::<Connection>() <= 112 + debug, "{}", size_of::<Connection>());
    }
}
