//! A session that is away: a handler thread has it in a conversation, for a custom command or a hook.
//!
//! The connection keeps the socket, and reads nothing until the session is back. A command is called once the replies
//! before it are sent. Meanwhile its conversation waits here.

use std::{mem, os::fd::AsRawFd};

use super::{
    super::{
        super::{
            conversation::Conversation,
            events::Reason,
            handler_pool::{Job, JobId},
            stats::add,
        },
        context::Context,
    },
    Connection, Place, Progress,
};
use crate::protocol::{Framing, Next, ServerSession};

impl Connection {
    /// Takes the session back, with the replies of a conversation.
    pub(crate) fn resume(&mut self, mut conversation: Box<Conversation>, cx: &mut Context) -> Progress {
        self.since = cx.now;
        self.commands += mem::take(&mut conversation.executed);
        add(&cx.shared.counters[cx.worker].bytes_out, mem::take(&mut conversation.sent));
        mem::swap(&mut cx.out, &mut conversation.out);
        let sent = self.send(cx);
        mem::swap(&mut cx.out, &mut conversation.out);
        if sent.is_ok() && conversation.next_command().is_some() {
            self.call(conversation, cx);
            return self.drive(cx);
        }
        let session = mem::replace(&mut conversation.session, ServerSession::new(Framing::Auto));
        self.session = Place::Here(session);
        cx.away -= 1;
        if sent.is_err() {
            return Progress::Close(Reason::Error);
        }
        if !conversation.rest().is_empty() {
            self.pending.get_or_insert_default().input = conversation.rest().to_vec();
        }
        if conversation.is_closed() {
            self.close();
        }
        cx.recycle(conversation);
        self.drive(cx)
    }

    /// Counts commands of the session while it is away, and sends their replies.
    pub(crate) fn executed(&mut self, commands: u64, mut out: Vec<u8>, cx: &mut Context) -> Progress {
        self.commands += commands;
        cx.out.append(&mut out);
        match self.send(cx) {
            Ok(()) => Progress::Pending,
            Err(_) => Progress::Close(Reason::Error),
        }
    }

    /// The job of the session, if it is away.
    pub(crate) fn job(&self) -> Option<JobId> {
        match self.session {
            Place::Away(job) => Some(job),
            Place::Here(_) | Place::Awaited(_) => None,
        }
    }

    /// Whether the conversation of the session waits here until the replies before it are sent.
    pub(crate) fn holds_conversation(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.conversation.is_some())
    }

    /// Moves the session into a conversation. `None` if it is not here.
    pub(super) fn depart(&mut self, next: Next, rest: &[u8], cx: &mut Context) -> Option<Box<Conversation>> {
        let session = match mem::replace(&mut self.session, Place::Away(JobId::NONE)) {
            Place::Here(session) => session,
            other => {
                self.session = other;
                return None;
            }
        };
        let mut conversation = cx.conversation();
        conversation.worker = cx.worker;
        conversation.slot = self.slot as usize;
        conversation.client = self.id;
        conversation.peer = self.peer.address();
        conversation.session = session;
        conversation.socket = self.stream.as_raw_fd();
        conversation.set_next(next, rest);
        cx.away += 1;
        Some(conversation)
    }

    /// Has the handler of a conversation's command called, once no reply is owed any more.
    pub(super) fn call(&mut self, conversation: Box<Conversation>, cx: &mut Context) {
        match conversation.next_command() {
            Some(command) if !self.blocked() => self.submit(conversation, command, cx),
            _ => self.pending.get_or_insert_default().conversation = Some(conversation),
        }
    }

    pub(super) fn submit(&mut self, mut conversation: Box<Conversation>, queue: usize, cx: &mut Context) {
        conversation.state = cx.states.get(&self.id).cloned();
        // A server has fewer commands than fit into one reply to `help`.
        let id = JobId { queue: queue as u32, submitted: cx.now };
        self.session = Place::Away(id);
        cx.submit(id, self.id, Job::Converse(conversation));
    }

    /// The poller reports an error while the session is away.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }
}
