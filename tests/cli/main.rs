//! The two programs as their users meet them.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod systemd;
