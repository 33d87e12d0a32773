//! What the test crates share.
#![allow(dead_code, reason = "each test crate uses a part of it")]

pub(crate) mod fake_server;
pub(crate) mod peer;
#[cfg(feature = "cli")]
pub(crate) mod process;
#[cfg(feature = "cli")]
pub(crate) mod server_program;
