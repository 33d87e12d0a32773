//! What everybody reads and nobody writes once the server has started.

use std::{fmt, time::Duration};

use super::handler::Handler;
use crate::{
    clock::Zones,
    protocol::{Commands, Formats, Framing},
};

/// What everybody reads and nobody writes once the server has started.
pub(super) struct Setup {
    pub(super) greeting: String,
    pub(super) framing: Framing,
    pub(super) limits: Limits,
    pub(super) busy_poll: Option<Duration>,
    pub(super) formats: Formats,
    pub(super) zones: Zones,
    pub(super) commands: Commands,
    /// By the numbers that the table of commands has given them, with their names.
    pub(super) handlers: Vec<(String, Handler)>,
}

/// How long a client may do nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) write: Duration,
    pub(super) idle: Option<Duration>,
    pub(super) first_command: Option<Duration>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("greeting", &self.greeting).finish_non_exhaustive()
    }
}
