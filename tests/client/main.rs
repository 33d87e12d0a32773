//! The client over sockets.

#[path = "../common/mod.rs"]
mod common;

mod misbehaving_server;
