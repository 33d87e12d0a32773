//! The server over sockets.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "cli")]
mod faults;
mod framing;
mod handlers;
mod unix_sockets;
