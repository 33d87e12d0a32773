//! The protocol without sockets: the sessions of the server and of the client, fed read by read.

#[path = "../common/mod.rs"]
mod common;
/// The reference model, which the fuzz targets use too.
#[path = "../oracles/model.rs"]
#[allow(dead_code, reason = "the fuzz targets use all of it")]
mod model;

/// What holds for every PROXY header, with a model and another implementation.
#[path = "../oracles/proxy_header.rs"]
mod proxy_oracle;

mod client_rules;
mod commands;
mod conversation;
mod formats;
mod http;
mod properties;
mod proxy;
mod rfc;
mod server_rules;
