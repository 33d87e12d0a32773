//! The server over sockets.

#[path = "../common/mod.rs"]
mod common;

mod helpers;
mod model;

mod clock_and_zones;
mod events;
#[cfg(feature = "cli")]
mod faults;
mod fork;
mod framing;
mod handlers;
mod lifecycle;
mod limits;
mod listeners;
mod metrics;
mod networks;
mod proxied;
mod rfc;
mod shared_ports;
mod unix_sockets;
