//! The client over sockets.

#[path = "../common/mod.rs"]
mod common;

mod helpers;

mod addresses;
mod deadlines;
mod misbehaving_server;
mod original_server;
mod pipeline;
mod requests;
mod typed;
