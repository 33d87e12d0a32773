//! The Python module `daytime._daytime`, over the public API of this crate. `python/daytime/__init__.py` exports what
//! Python programmers use.
//!
//! # Rules for every file here
//!
//! - A call that may block detaches from the interpreter and waits in ticks. Between two ticks it checks for signals. So
//!   a busy interpreter never delays the server, and Ctrl-C ends every call. See [`interpreter`].
//! - A lock that is taken while attached is held only while attached, and only briefly. So no thread waits for a lock
//!   while it holds the interpreter, and no fork finds a locked one.
//! - The engine's threads never wait for anything while they hold one of its locks, so that a reply may take these while
//!   attached. A fork may find them locked: a forked child leaves all objects of the engine alone.
//! - Rust threads never run Python code: handlers run on Python's threads, see [`handler_thread`].
//! - Python objects are owned by Python objects, which show them to the garbage collector.

mod client;
mod convert;
mod errors;
mod events;
mod handler_thread;
mod handlers;
mod interpreter;
mod listen;
mod replies;
mod request;
mod responder;
mod server;
mod session;
mod settings;

use pyo3::prelude::*;

// Not tested yet on an interpreter without the GIL: there, the import switches the GIL on, and Python warns of that.
#[pymodule(gil_used = true)]
mod _daytime {
    use super::*;

    #[pymodule_export]
    use super::{
        client::{Client, rfc867, rfc868},
        convert::unix_path,
        errors::error_reason,
        events::Events,
        handler_thread::HandlerThread,
        request::Request,
        responder::Responder,
        server::Server,
        session::{
            ClientSession, parse_date, parse_datetime, parse_day, parse_next_transition, parse_time, parse_timestamp,
            parse_tz,
        },
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("DEFAULT_PORT", crate::DEFAULT_PORT)?;
        module.add("HELLO", crate::protocol::ClientSession::HELLO)?;
        module.add("QUIET", crate::protocol::QUIET.as_secs_f64())?;
        module.add("ERRORS", crate::protocol::errors::ALL)?;
        super::interpreter::install(module)?;
        // The module is private, and its stubs would have to repeat the list.
        module.delattr("__all__")
    }
}
