//! The Python module `daytime._daytime`, over the public API of this crate. `python/daytime/__init__.py`
//! assembles the package.
//!
//! # What holds in every file here
//!
//! - A call that can wait does so detached from the interpreter, in ticks, and checks for signals between them: a busy
//!   interpreter never delays the server, and Ctrl-C ends every call. See [`interpreter`].
//! - A lock that is taken while attached is held only while attached and for a moment, so that no thread waits for it
//!   while attached, and no fork finds it locked.
//! - Rust threads never run Python code: handlers run on threads of Python, see [`calls`].
//! - Python objects are owned by Python objects, and shown to the garbage collector by them.

mod calls;
mod client;
mod convert;
mod errors;
mod events;
mod interpreter;
mod listen;
mod server;
mod session;
mod settings;

use pyo3::prelude::*;

#[pymodule]
mod _daytime {
    use super::*;

    #[pymodule_export]
    use super::{
        calls::{Call, Calls},
        client::{Client, rfc867, rfc868},
        convert::unix_path,
        events::Events,
        server::Server,
        session::{ClientSession, date, datetime, day, time, timestamp},
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("DEFAULT_PORT", crate::DEFAULT_PORT)?;
        module.add("GREETING", crate::protocol::GREETING)?;
        module.add("HELLO", crate::protocol::ClientSession::HELLO)?;
        module.add("QUIET", crate::protocol::QUIET.as_secs_f64())?;
        module.add("ERRORS", crate::protocol::errors::ALL)?;
        module.add("SETTINGS", super::settings::NAMES)?;
        super::interpreter::install(module)
    }
}
