//! A client's session on its way: a worker gives it to a handler thread with a custom command, and gets it back with the
//! replies.
//!
//! A handler thread also executes the commands after the custom one, as far as the client's read goes. So a client that
//! pipelines a hundred custom commands costs two hand-overs, not two hundred. While its session is away, the worker keeps
//! the socket and reads nothing from it.
//!
//! A handler thread that has nothing else to do also sends the replies, one switch of threads sooner than the worker. The
//! socket stays open meanwhile: if the client leaves, the worker leaves the socket to the pool until the job has ended.

use std::{
    any::Any,
    mem,
    os::fd::RawFd,
    sync::{Arc, Mutex, PoisonError},
};

use nix::sys::socket::{MsgFlags, send};

use super::{events::ClientId, tick::Tick};
use crate::{
    Address,
    protocol::{Call, Framing, Next, Received, Reply, Respond, ServerSession},
};

/// The state of a client: the value that the hook `on_connect` returned for it.
pub(super) type State = Arc<dyn Any + Send + Sync>;

/// A client's session, and everything that a handler thread needs to answer for it.
pub(super) struct Conversation {
    /// The index of the worker to return to.
    pub(super) worker: usize,
    /// The connection's slot there.
    pub(super) slot: usize,
    pub(super) client: ClientId,
    pub(super) peer: Address,
    pub(super) session: ServerSession,
    pub(super) state: Option<State>,
    /// The socket, which stays open while a handler runs for this client.
    pub(super) socket: RawFd,
    /// The index of the current custom command, and when its handler was called.
    pub(super) command: usize,
    pub(super) called: Tick,
    /// The number of bytes that a handler thread has sent.
    pub(super) sent: u64,
    /// A read of the client, of which the session has taken the first `taken` bytes.
    rest: Vec<u8>,
    taken: usize,
    /// The replies so far.
    pub(super) out: Vec<u8>,
    /// The number of commands executed.
    pub(super) executed: u64,
    /// What the session needs next.
    next: Next,
}

impl Default for Conversation {
    fn default() -> Self {
        Conversation {
            worker: 0,
            slot: 0,
            client: ClientId::default(),
            peer: Address::Unix("".into()),
            session: ServerSession::new(Framing::Auto),
            state: None,
            socket: -1,
            command: 0,
            called: 0,
            sent: 0,
            rest: Vec::new(),
            taken: 0,
            out: Vec::new(),
            executed: 0,
            next: Next::Read,
        }
    }
}

impl Conversation {
    /// The largest buffer that is kept for the next conversation.
    const BUFFER_MAX: usize = 16 * 1024;

    /// Takes what the session needs next, and the bytes that it has not taken.
    pub(super) fn set_next(&mut self, next: Next, rest: &[u8]) {
        self.next = next;
        self.rest.clear();
        self.rest.extend_from_slice(rest);
        self.taken = 0;
    }

    /// The custom command that is due, if one is.
    pub(super) fn take_call(&mut self) -> Option<Call> {
        match mem::replace(&mut self.next, Next::Read) {
            Next::Call(call) => {
                self.command = call.command;
                Some(call)
            }
            next => {
                self.next = next;
                None
            }
        }
    }

    /// The index of the custom command that is due, if one is.
    pub(super) fn next_command(&self) -> Option<usize> {
        match &self.next {
            Next::Call(call) => Some(call.command),
            _ => None,
        }
    }

    /// Appends the reply of the awaited handler, or `None` if it failed. `valid` if the reply was checked. Returns the
    /// numbers of executed and invalid commands.
    pub(super) fn reply(&mut self, reply: Option<&Reply>, valid: bool) -> (u64, u64) {
        let received = match valid {
            true => self.session.reply_valid(reply, &mut self.out),
            false => self.session.reply(reply, &mut self.out),
        };
        self.follow(received)
    }

    /// Whether the session can take more of the read.
    pub(super) fn can_proceed(&self) -> bool {
        self.next == Next::Read && self.taken < self.rest.len()
    }

    /// Passes the rest of the read to the session. Returns the numbers of executed and invalid commands.
    pub(super) fn proceed(&mut self, responder: &mut impl Respond) -> (u64, u64) {
        let received = self.session.receive(&self.rest[self.taken..], responder, &mut self.out);
        self.taken += received.taken;
        self.follow(received)
    }

    fn follow(&mut self, received: Received) -> (u64, u64) {
        self.executed += received.executed;
        self.next = received.next;
        (received.executed, received.invalid)
    }

    /// Sends the replies, as far as the kernel takes them. Only the thread of the running job may call it, and only while
    /// the worker owes the client nothing. An error is left to the worker, whose next send has it too.
    pub(super) fn send(&mut self) {
        if !self.out.is_empty()
            && let Ok(sent) = send(self.socket, &self.out, MsgFlags::MSG_NOSIGNAL)
        {
            self.out.drain(..sent);
            self.sent += sent as u64;
        }
    }

    /// Whether the session has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.next == Next::Close
    }

    /// The bytes that the session has not taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest[self.taken..]
    }

    /// Forgets its client, and keeps the buffers unless they are large.
    pub(super) fn clear(&mut self) {
        let (mut rest, mut out) = (mem::take(&mut self.rest), mem::take(&mut self.out));
        rest.clear();
        rest.shrink_to(Self::BUFFER_MAX);
        out.clear();
        out.shrink_to(Self::BUFFER_MAX);
        *self = Conversation { rest, out, ..Conversation::default() };
    }
}

/// Holds a conversation while its handler runs. A handler that defers its reply takes the conversation out.
#[derive(Default)]
pub(super) struct Answer(Mutex<Option<Box<Conversation>>>);

impl Answer {
    pub(super) fn take(&self) -> Option<Box<Conversation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// [`take`](Self::take) for the thread that owns it.
    pub(super) fn take_back(&mut self) -> Option<Box<Conversation>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn put(&mut self, conversation: Box<Conversation>) {
        *self.0.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(conversation);
    }

    pub(super) fn get(&mut self) -> Option<&mut Box<Conversation>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}
