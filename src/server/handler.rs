//! What the handler of a custom command gets and returns.

use std::sync::Arc;

use super::{events::ClientId, handle::Handle};
use crate::{Address, protocol::Reply};

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
}

impl Request<'_> {
    /// The server of this handler. A handler may call all of its methods.
    pub fn server(&self) -> &Handle {
        self.handle
    }
}

/// The result of a handler: the reply for the client, or an error for the embedder. The client does not get the error.
pub type HandlerResult = Result<Reply, Box<dyn std::error::Error + Send + Sync>>;

/// The handler of a custom command.
pub(super) type Handler = Arc<dyn Fn(&Request<'_>) -> HandlerResult + Send + Sync>;
