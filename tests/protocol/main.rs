//! The protocol without sockets: the two sessions, fed read by read.

mod client_rules;
mod conversation;
mod properties;
mod server_rules;
