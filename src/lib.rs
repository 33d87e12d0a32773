//! Day, date and time over TCP and Unix sockets: a server that anyone can embed, and its client.
//!
//! ```
//! use daytime::{Client, Clock, Server};
//!
//! let server = Server::builder()
//!     .listen("127.0.0.1:0")
//!     .timezone("UTC")
//!     .clock(Clock::fixed_unix(1_795_362_297))
//!     .start()?;
//! let mut client = Client::connect(&server.addresses()[0])?;
//! assert_eq!(client.datetime()?.to_string(), "2026-11-22T15:44:57+00:00");
//! assert_eq!(client.request("time Asia/Tokyo")?, "00:44:57");
//! # Ok::<(), daytime::Error>(())
//! ```
//!
//! | | |
//! |---|---|
//! | [`Server`], [`ServerBuilder`], [`Bound`], [`Handle`] | worker threads that serve; every setting; what can be done while they do |
//! | [`Request`], [`Reply`] | own commands |
//! | [`Event`], [`Stats`], [`ClientInfo`] | what the embedder is told |
//! | [`Client`], [`ClientBuilder`] | a blocking client, every call of which ends by its deadline |
//! | [`Address`], [`Networks`] | where a server listens and who may connect |
//! | [`rfc867`], [`rfc868`] | readers of the two older protocols, which a [`Server`] speaks too |
//! | [`Clock`] | what time replies tell: the system's, a fixed one, a shifted one |
//! | [`protocol`] | the wire as pure functions, for other servers and clients, and for fuzzers |
//!
//! The README tells the protocol, and how it differs from the original program's.
//!
//! Feature `cli` (default) has the two programs and nothing of the library: set `default-features = false`. Feature
//! `capi` adds the exported functions of `include/daytime.h` and nothing for Rust; `python` is the Python module, which
//! `pip install .` builds.

pub mod protocol;

mod address;
#[cfg(feature = "capi")]
#[allow(unsafe_code)]
mod capi;
mod civil;
mod client;
mod clock;
mod error;
mod networks;
#[cfg(feature = "python")]
mod python;
mod server;
mod thread;
mod waiting;

pub use address::{Address, DEFAULT_PORT};
pub use civil::{Date, DateTime, Time, Weekday};
pub use client::{Client, ClientBuilder, rfc867, rfc868};
pub use clock::Clock;
pub use error::Error;
pub use networks::Networks;
pub use protocol::{Framing, Reply};
pub use server::{
    Bound, ClientId, ClientInfo, Event, Handle, HandlerResult, Reason, Request, Server, ServerBuilder, Stats,
};

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
