//! What the embedder's handlers are given, and what they return.

use std::sync::Arc;

use super::{event::ClientId, handle::Handle};
use crate::{Address, protocol::Reply};

/// An own command as the client asked it, given to its handler.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The command's name, as it was registered but in lower case.
    pub command: &'a str,
    /// The rest of the line without blanks around it; may be empty.
    pub argument: &'a str,
    /// Where the client connects from.
    pub peer: &'a Address,
    /// Who asks.
    pub client: ClientId,
    pub(super) handle: &'a Handle,
}

impl Request<'_> {
    /// The server that was asked. Everything that a handle does may be done from inside a handler.
    pub fn server(&self) -> &Handle {
        self.handle
    }
}

/// What a handler returns: the reply, or why there is none, which the embedder is told and the peer is not.
pub type HandlerResult = Result<Reply, Box<dyn std::error::Error + Send + Sync>>;

/// An own command's handler.
pub(super) type Handler = Arc<dyn Fn(&Request<'_>) -> HandlerResult + Send + Sync>;
