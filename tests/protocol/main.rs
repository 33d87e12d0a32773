//! The protocol without sockets: the sessions of the server and of the client, fed read by read.

#[path = "../common/mod.rs"]
mod common;

mod client_rules;
mod commands;
mod conversation;
mod formats;
mod properties;
mod rfc;
mod server_rules;
