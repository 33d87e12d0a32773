//! Replies that come later than their handler returns, and how every reply reaches its session.

use std::{fmt, mem, sync::Arc, thread};

use super::{
    conversation::Conversation,
    events::{ClientId, Event},
    handle::Handle,
    handler::{Handler, IntoReply, Request},
    mailbox::Message,
    shared::Shared,
};
use crate::protocol::Reply;

/// The reply of a custom command that comes later, from any thread.
///
/// Its client waits for the reply, and occupies no thread in the meantime. If the responder is dropped without a reply,
/// the client gets `The command failed`. A server that drains waits for the reply within the grace of
/// [`Handle::drain`].
///
/// ```
/// use std::thread;
/// use daytime::{Client, Server};
///
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .command_deferred("hello", |request, responder| {
///         let name = request.argument.to_owned();
///         thread::spawn(move || responder.reply(format!("Hello, {name}")));
///     })
///     .start()?;
/// let mut client = Client::connect(&server.addresses()[0])?;
/// assert_eq!(client.request("hello Ada")?, "Hello, Ada");
/// # Ok::<(), daytime::Error>(())
/// ```
#[must_use = "if a responder is dropped, its client gets `The command failed`"]
pub struct Responder {
    /// `None` after the reply.
    conversation: Option<Box<Conversation>>,
    client: ClientId,
    command: String,
    handle: Handle,
}

impl Responder {
    pub(super) fn new(mut conversation: Box<Conversation>, command: String, handle: Handle) -> Self {
        // The worker keeps the client's state. A responder that is kept for long does not keep the state alive.
        conversation.state = None;
        if !conversation.out.is_empty() {
            // The replies to the commands before this one do not wait for it.
            let out = mem::take(&mut conversation.out);
            let executed = executed(&mut conversation, out);
            handle.shared.mailboxes[conversation.worker].send(executed);
        }
        Responder { client: conversation.client, conversation: Some(conversation), command, handle }
    }

    /// Replies. See [`IntoReply`] for what can be a reply. If the client has left, or the server has stopped, the reply is
    /// dropped.
    pub fn reply(mut self, reply: impl IntoReply) {
        self.finish(reply.into_reply().map_err(|error| error.to_string()));
    }

    /// The id of the client.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Whether the reply is no longer needed: the client has left, or the server has stopped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.handle.shared.has_left(self.client)
    }

    fn finish(&mut self, result: Result<Reply, String>) {
        let Some(mut conversation) = self.conversation.take() else { return };
        let shared = &self.handle.shared;
        if shared.is_inherited() {
            // The client belongs to the parent of this forked process.
            return;
        }
        shared.handled.took(conversation.command, shared.now().saturating_sub(conversation.called));
        settle(&mut conversation, &self.command, result, shared);
        if !shared.is_stopped() {
            shared.mailboxes[conversation.worker].send(Message::Return(conversation));
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let error = match thread::panicking() {
            true => "the handler panicked",
            false => "the responder was dropped without a reply",
        };
        self.finish(Err(error.into()));
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("client", &self.client)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

impl Request<'_> {
    /// Defers the reply: the result of the handler is ignored from now on. `None` if it was called before.
    pub(crate) fn defer(&self) -> Option<Responder> {
        Some(Responder::new(self.answer.take()?, self.command.to_owned(), self.handle.clone()))
    }
}

/// The handler of a command whose replies come later.
pub(super) fn deferred(handler: impl Fn(&Request<'_>, Responder) + Send + Sync + 'static) -> Handler {
    Arc::new(move |request: &Request<'_>| {
        match request.defer() {
            Some(responder) => handler(request, responder),
            None => return Err("the reply was deferred before".into()),
        }
        // The responder has the conversation, so that this result is ignored.
        Ok(Reply::closing(""))
    })
}

/// The message that counts the commands of a conversation so far, and sends these replies.
pub(super) fn executed(conversation: &mut Conversation, out: Vec<u8>) -> Message {
    let (slot, client) = (conversation.slot, conversation.client);
    Message::Executed { slot, client, commands: mem::take(&mut conversation.executed), out }
}

/// Gives the result of a handler to its session. An error, or a reply that cannot be sent, is an event, and an error line
/// for the client.
pub(super) fn settle(conversation: &mut Conversation, command: &str, result: Result<Reply, String>, shared: &Shared) {
    let client = conversation.client;
    let error = match &result {
        Ok(reply) => reply.check().map_err(|error| format!("the handler returned an invalid reply: {error}")).err(),
        Err(error) => Some(error.clone()),
    };
    let (executed, invalid) = conversation.reply(result.as_ref().ok(), error.is_none());
    if let Some(error) = error {
        shared.handled.handler_failed(conversation.command);
        shared.events.emit(|| Event::CommandFailed { client, command: command.into(), error });
    }
    shared.handled.add(executed, invalid);
    if shared.events.wants_commands() {
        shared.events.emit(|| Event::CommandServed { client, command: command.into(), ok: invalid == 0 });
    }
}
