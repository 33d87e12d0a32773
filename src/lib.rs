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
//! assert_eq!(client.datetime()?.to_rfc3339(), "2026-11-22T15:44:57+00:00");
//! assert_eq!(client.request("time Asia/Tokyo")?, "00:44:57");
//! # Ok::<(), daytime::Error>(())
//! ```
//!
//! | | |
//! |---|---|
//! | [`Server`], [`ServerBuilder`], [`Bound`], [`Handle`] | a running server, its settings, a server before its start, and access to a running one from any thread |
//! | [`Request`], [`Reply`], [`IntoReply`], [`Responder`], [`ClientContext`] | custom commands, and hooks for clients that come and go |
//! | [`Event`], [`EventOptions`], [`Stats`], [`ClientInfo`] | observing a server |
//! | [`Client`], [`ClientBuilder`] | a blocking client with a deadline for each call |
//! | [`Address`], [`Service`], [`Networks`] | where a server listens, for which protocol, and whose clients it accepts |
//! | [`rfc867`], [`rfc868`], [`rfc867_udp`], [`rfc868_udp`] | clients of two older protocols, which a [`Server`] also speaks |
//! | [`Clock`] | the clock of the replies: the system's, a stopped one, a shifted one |
//! | [`protocol`] | the wire as pure functions, for other servers and clients, and for fuzzers |
//!
//! [`protocol`] documents every rule of the wire. Dates and times are those of [`chrono`], and the receivers of events
//! those of [`crossbeam_channel`]. This crate re-exports both.
//!
//! The feature `cli` (default) builds the two programs and adds nothing to the library: set `default-features = false`.
//! `capi` exports the functions of `include/daytime.h`, and `python` is the Python module that `pip install .` builds.

pub mod protocol;

mod address;
#[cfg(feature = "capi")]
#[allow(unsafe_code)]
mod capi;
mod channel;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod client;
mod clock;
mod error;
mod escape;
mod networks;
#[cfg(feature = "python")]
mod python;
mod server;
mod sync;
mod thread;

pub use chrono;
pub use crossbeam_channel;

pub use address::{Address, DEFAULT_PORT};
#[cfg(feature = "python")]
pub(crate) use client::check_has_reply;
pub use client::{Client, ClientBuilder, rfc867, rfc867_udp, rfc868, rfc868_udp};
pub use clock::Clock;
pub use error::Error;
pub use networks::Networks;
pub use protocol::{Framing, Reply};
pub use server::{
    Bound, ClientContext, ClientId, ClientInfo, Event, EventOptions, Handle, HandlerResult, IntoReply, Reason, Request,
    Responder, Server, ServerBuilder, Service, Stats,
};

/// For the Python module, which runs handlers on threads of its own.
#[cfg(feature = "python")]
pub(crate) use server::{HandlerThread, IDLE, Task, Waited};

/// Checks the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
