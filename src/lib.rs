//! Day, date and time over TCP.

pub mod protocol;

mod address;
mod civil;
mod client;
mod clock;
mod error;
mod server;
mod thread;

pub use address::{Address, DEFAULT_PORT};
pub use civil::{Date, DateTime, Time, Weekday};
pub use client::{Client, ClientBuilder};
pub use clock::Clock;
pub use error::Error;
pub use protocol::Framing;
pub use server::{
    Bound, ClientId, ClientInfo, Event, Handle, HandlerResult, Reason, Reply, Request, Server, ServerBuilder, Stats,
};
