//! The two programs as their users run them.

#[path = "../common/mod.rs"]
mod common;

mod arguments;
mod client;
mod config_file;
mod generate;
mod log;
mod server;
mod shared_ports;
mod signals;
mod systemd;
mod terminal;
mod watch;
