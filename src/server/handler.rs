//! What the handlers of an embedder get and return.

use std::{borrow::Cow, error, sync::Arc};

use super::{
    conversation::{Answer, State},
    events::{ClientId, Reason},
    handle::Handle,
};
use crate::{Address, protocol::Reply};

/// The result of a handler: the reply for the client, or an error for the embedder. The client does not get the error.
pub type HandlerResult = Result<Reply, Box<dyn error::Error + Send + Sync>>;

/// The handler of a custom command.
pub(super) type Handler = Arc<dyn Fn(&Request<'_>) -> HandlerResult + Send + Sync>;

/// The hooks of a server.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) on_connect: Option<OnConnect>,
    pub(super) on_disconnect: Option<OnDisconnect>,
}

type OnConnect = Arc<dyn Fn(&ClientContext<'_>) -> State + Send + Sync>;
type OnDisconnect = Arc<dyn Fn(&ClientContext<'_>, Reason) + Send + Sync>;

impl Hooks {
    pub(super) fn are_none(&self) -> bool {
        self.on_connect.is_none() && self.on_disconnect.is_none()
    }
}

/// What a handler of a custom command may return.
///
/// A `&'static str`, a `String` and a `Cow<'static, str>` are the text of the reply. A [`Reply`] can also be an error
/// line, or close the connection. An `Err` is for the embedder: the client gets `The command failed`.
///
/// If the compiler cannot infer the error type of a closure with `?`, write `|request| -> HandlerResult { … }`, and return
/// the reply as `Ok("text".into())`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reply of a handler",
    label = "expected a reply, got `{Self}`",
    note = "a reply is a `&'static str`, a `String`, a `daytime::Reply`, or a `Result` of one of them",
    note = "a value of another type needs a conversion, such as `.to_string()`"
)]
pub trait IntoReply {
    /// Converts it to the result of a handler.
    ///
    /// # Errors
    /// The error of the handler.
    fn into_reply(self) -> HandlerResult;
}

impl IntoReply for Reply {
    fn into_reply(self) -> HandlerResult {
        Ok(self)
    }
}

impl IntoReply for &'static str {
    fn into_reply(self) -> HandlerResult {
        Ok(self.into())
    }
}

impl IntoReply for String {
    fn into_reply(self) -> HandlerResult {
        Ok(self.into())
    }
}

impl IntoReply for Cow<'static, str> {
    fn into_reply(self) -> HandlerResult {
        Ok(self.into_owned().into())
    }
}

impl<T: IntoReply, E: Into<Box<dyn error::Error + Send + Sync>>> IntoReply for Result<T, E> {
    fn into_reply(self) -> HandlerResult {
        self.map_err(Into::into)?.into_reply()
    }
}

/// A client, for the hooks of its server.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientContext<'a> {
    /// The address of the client.
    pub peer: &'a Address,
    /// The id of the client.
    pub client: ClientId,
    pub(super) handle: &'a Handle,
    pub(super) state: Option<&'a State>,
}

impl ClientContext<'_> {
    /// The server of this client. A hook may call all of its methods.
    pub fn server(&self) -> &Handle {
        self.handle
    }

    /// The state of the client: the value that [`on_connect`](super::ServerBuilder::on_connect) returned. `None` if it has
    /// another type, or if there is not such a hook.
    #[must_use]
    pub fn state<T: 'static>(&self) -> Option<&T> {
        self.state?.downcast_ref()
    }
}

/// A custom command of a client, for its handler.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The name of the command in lower case.
    pub command: &'a str,
    /// The rest of the line without the blanks around it; may be empty.
    pub argument: &'a str,
    /// The address of the client.
    pub peer: &'a Address,
    /// The id of the client.
    pub client: ClientId,
    pub(super) handle: &'a Handle,
    pub(super) state: Option<&'a State>,
    pub(super) answer: &'a Answer,
}

impl Request<'_> {
    /// The server of this handler. A handler may call all of its methods.
    pub fn server(&self) -> &Handle {
        self.handle
    }

    /// The state of the client, see [`ClientContext::state`].
    #[must_use]
    pub fn state<T: 'static>(&self) -> Option<&T> {
        self.state?.downcast_ref()
    }

    /// Whether nobody waits for the reply any more: the client has left, or the server has stopped. A long handler can
    /// ask from time to time, and give up.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.handle.shared.has_left(self.client)
    }
}
