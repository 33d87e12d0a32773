//! The keywords of the constructor of `Server`, one row each.
//!
//! A row of [`with_settings!`] is the only place of a new setting in Rust: its documentation, its name, and what it does
//! with a value. The signature and the documentation of the class come from the same rows. The row of the stubs is in
//! `ServerSettings` of `python/daytime/_types.py`. A keyword that is left out is not applied, so that every default is
//! the engine's.

use std::{mem, time::Duration};

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyMapping},
};

use super::{
    convert::{self, Host, Port, Seconds},
    errors,
    listen::{self, adopt},
};
use crate::{Error, Framing, Networks, ServerBuilder, Service};

/// Calls a macro with the rows of all settings. A row with one variable is the argument of the builder's method of the
/// same name. A row with two variables changes the [`Settings`] itself.
macro_rules! with_settings {
    ($callback:ident) => {
        $callback! {
            /// Addresses in place of host and port: one or an iterable of "HOST:PORT", "unix:PATH" or (host, port).
            listen |settings, value| settings.listen(Service::Text, value);
            /// Addresses for the daytime protocol (RFC 867), whose default port is 13. The server sends the reply to
            /// each client that connects. Default: none. With an empty `listen` they are the only addresses.
            listen_rfc867 |settings, value| settings.listen(Service::Rfc867, value);
            /// The same for the time protocol (RFC 868), whose default port is 37.
            listen_rfc868 |settings, value| settings.listen(Service::Rfc868, value);
            /// Addresses for metrics and health checks over HTTP, whose default port is 9991: /metrics, /healthz, /readyz. Anyone
            /// who reaches the port reads the counters. Default: none.
            listen_metrics |settings, value| settings.listen(Service::Metrics, value);
            /// Addresses for the clients of a proxy, whose default port is 9990. Each connection begins with a header of
            /// the PROXY protocol, which names the client. Default: none.
            listen_proxied |settings, value| settings.listen(Service::Proxied, value);
            /// Networks of the proxies that may connect to a TCP address of `listen_proxied`, which needs one.
            proxy |settings, value| add_networks(&mut settings.proxies, Networks::allow, value);
            /// A bound TCP or Unix socket in place of host and port. The server takes it over and closes this object.
            sock |settings, value| settings.sock(value);
            /// The permissions of the files of Unix sockets, such as 0o660. Default: 0o777 less the umask.
            unix_mode |value| value.extract::<Option<u32>>()?;
            /// Networks whose clients are accepted; other addresses are rejected. See set_networks(). Default: all.
            allow |settings, value| add_networks(&mut settings.networks, Networks::allow, value);
            /// Networks whose clients are closed silently, see set_networks(). Default: none.
            deny |settings, value| add_networks(&mut settings.networks, Networks::deny, value);
            /// The most connections that wait to be accepted. Default: 4096.
            backlog |settings, value| settings.backlog(value);
            /// Whether other servers of the same user that set this too may bind the same TCP ports (SO_REUSEPORT). The
            /// system distributes new clients among them. Limits and counters are each server's. Default: False.
            reuse_port |value| value.extract::<bool>()?;
            /// The number of worker threads, 1 to 1,024. Default: one for each core.
            workers |value| value.extract::<Option<usize>>()?;
            /// The most handlers of custom commands that run at a time, 1 to 1,024. Default: 16.
            handler_threads |value| value.extract::<usize>()?;
            /// The most clients at a time. Further clients get "The server is full". Default: the limit of file
            /// descriptors less 64.
            max_clients |value| value.extract::<Option<usize>>()?;
            /// The same for one IPv4 address, or one IPv6 network of 64 bits. Default: unlimited.
            max_clients_per_source |value| value.extract::<Option<usize>>()?;
            /// The seconds after which a silent client is disconnected. Default: None, never.
            idle_timeout |value| seconds(value)?;
            /// The seconds within which a new client must send a complete command. Default: None, unlimited.
            first_command_timeout |value| seconds(value)?;
            /// The seconds within which a client must read some of its replies. None: unlimited. Default: 10.
            write_timeout |value| value.extract::<Seconds>()?.or_unlimited();
            /// The seconds within which a proxy must send its header, at least 3. Default: 5.
            proxy_timeout |value| value.extract::<Seconds>()?.or_unlimited();
            /// The seconds for which each worker polls before it sleeps, for faster replies. Default: None, never.
            busy_poll |value| seconds(value)?;
            /// The greeting of each client. Default: "Welcome to the server".
            greeting |value| value.extract::<String>()?;
            /// "auto" also serves clients of the original classroom program, which send no line ends. "line" is for
            /// deployments without them. Default: "auto".
            framing |value| framing(value)?;
            /// The strftime format of the reply to `day`. Default: "%A".
            day_format |value| value.extract::<String>()?;
            /// The strftime format of the reply to `date`. Default: "%y-%m-%d".
            date_format |value| value.extract::<String>()?;
            /// The strftime format of the reply to `time`. Default: "%H:%M:%S".
            time_format |value| value.extract::<String>()?;
            /// An IANA name, "UTC", or an offset such as "+05:30". Default: the system's zone.
            timezone |settings, value| settings.timezone(value);
            /// A datetime, at which the clock stands still, or a timedelta by which the system's clock is shifted. A
            /// naive datetime is a time in the server's zone. Default: the system's clock.
            clock |settings, value| settings.clock(value);
            /// A mapping from the names of custom commands to their handlers, see command(). Default: none.
            commands |settings, value| settings.commands(value);
            /// The event loop for `async def` handlers. Default: the one that runs where the server is made.
            loop |settings, value| settings.event_loop(value);
            /// The hook for clients that connect, see on_connect(). Default: none.
            on_connect |settings, value| hook(&mut settings.on_connect, value);
            /// The hook for clients that left, see on_disconnect(). Default: none.
            on_disconnect |settings, value| hook(&mut settings.on_disconnect, value);
        }
    };
}
pub(super) use with_settings;

/// The text that CPython takes the class's signature from.
macro_rules! signature {
    ($($(#[doc = $doc:literal])* $name:ident |$($argument:ident),+| $apply:expr;)*) => {
        concat!("Server(host='localhost', port=9990, *", $(", ", stringify!($name), "=..."),*, ")\n--\n")
    };
}
pub(super) use signature;

/// The documentation of the settings.
macro_rules! documentation {
    ($($(#[doc = $doc:literal])* $name:ident |$($argument:ident),+| $apply:expr;)*) => {
        concat!($(stringify!($name), $("\n   ", $doc,)* "\n"),*)
    };
}
pub(super) use documentation;

/// The settings of a server. A few of them need others, and are collected first.
#[derive(Default)]
pub(super) struct Settings<'py> {
    pub(super) builder: ServerBuilder,
    pub(super) timezone: Option<String>,
    pub(super) commands: Option<Bound<'py, PyMapping>>,
    pub(super) event_loop: Option<Bound<'py, PyAny>>,
    pub(super) on_connect: Option<Bound<'py, PyAny>>,
    pub(super) on_disconnect: Option<Bound<'py, PyAny>>,
    pub(super) sock: Option<Bound<'py, PyAny>>,
    listens: bool,
    networks: Networks,
    proxies: Networks,
    backlog: Option<u32>,
    clock: Option<Bound<'py, PyAny>>,
}

macro_rules! define_apply {
    ($($(#[doc = $doc:literal])* $name:ident |$($argument:ident),+| $apply:expr;)*) => {
        impl<'py> Settings<'py> {
            /// Applies one keyword. Returns whether it is a setting.
            fn apply(&mut self, name: &str, value: &Bound<'py, PyAny>) -> PyResult<bool> {
                match name {
                    $(stringify!($name) => apply_row!(self, value, $name |$($argument),+| $apply),)*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}

macro_rules! apply_row {
    ($self:ident, $given:ident, $name:ident |$value:ident| $argument:expr) => {{
        let $value = $given;
        let argument = $argument;
        $self.builder = mem::take(&mut $self.builder).$name(argument);
    }};
    ($self:ident, $given:ident, $name:ident |$settings:ident, $value:ident| $apply:expr) => {{
        let ($settings, $value) = ($self, $given);
        $apply?;
    }};
}
with_settings!(define_apply);

impl<'py> Settings<'py> {
    /// Applies the arguments of the constructor, and checks them.
    pub(super) fn new(
        py: Python<'py>,
        host: Host,
        port: Port,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        let mut settings = Settings::default();
        for (name, value) in keywords.into_iter().flatten() {
            let name: String = name.extract()?;
            if !settings.apply(&name, &value).map_err(|error| with_name(py, &name, error))? {
                let message = format!("Server() got an unexpected keyword argument '{name}'");
                return Err(PyTypeError::new_err(message));
            }
        }
        let clock = convert::clock(settings.clock.as_ref(), settings.timezone.as_deref())?;
        let (networks, proxies) = (mem::take(&mut settings.networks), mem::take(&mut settings.proxies));
        let mut builder = settings.builder.clock(clock).networks(networks).proxies(proxies);
        if !settings.listens && settings.sock.is_none() {
            builder = builder.listen(host.with_port(port));
        }
        builder.check().map_err(|error| errors::error(py, error))?;
        if let Some(sock) = &settings.sock {
            builder = builder.listener(adopt(sock, settings.backlog)?);
        }
        settings.builder = builder;
        Ok(settings)
    }

    fn listen(&mut self, service: Service, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.listens |= service == Service::Text && !value.is_none();
        for address in listen::items(value)? {
            self.builder = mem::take(&mut self.builder).listen_as(service, listen::address(&address)?);
        }
        Ok(())
    }

    fn sock(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.sock = value.extract()?;
        Ok(())
    }

    fn backlog(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let backlog = value.extract()?;
        self.backlog = Some(backlog);
        self.builder = mem::take(&mut self.builder).backlog(backlog);
        Ok(())
    }

    fn timezone(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.timezone = value.extract()?;
        if let Some(timezone) = &self.timezone {
            self.builder = mem::take(&mut self.builder).timezone(timezone);
        }
        Ok(())
    }

    fn clock(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.clock = value.extract()?;
        Ok(())
    }

    fn event_loop(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if !value.is_none() && !value.hasattr("call_soon_threadsafe")? {
            return Err(PyTypeError::new_err(format!("must be an event loop, got {}", value.get_type().name()?)));
        }
        self.event_loop = value.extract()?;
        Ok(())
    }

    fn commands(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.commands = if value.is_none() { None } else { Some(value.cast::<PyMapping>()?.clone()) };
        Ok(())
    }
}

/// Adds networks with `add`.
pub(super) fn add_networks(
    networks: &mut Networks,
    add: fn(&mut Networks, &str) -> Result<(), Error>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    for network in listen::items(value)? {
        add(networks, network.extract()?).map_err(|error| errors::error(network.py(), error))?;
    }
    Ok(())
}

fn hook<'py>(hook: &mut Option<Bound<'py, PyAny>>, value: &Bound<'py, PyAny>) -> PyResult<()> {
    *hook = value.extract()?;
    Ok(())
}

fn seconds(value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    Ok(value.extract::<Seconds>()?.0)
}

fn framing(value: &Bound<'_, PyAny>) -> PyResult<Framing> {
    let text: String = value.extract()?;
    text.parse().map_err(|_| PyValueError::new_err(format!("framing must be auto or line, got {text:?}")))
}

/// Adds the name of the argument to a TypeError, as Python's functions do.
fn with_name(py: Python<'_>, name: &str, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyTypeError>(py) {
        return error;
    }
    let named = PyTypeError::new_err(format!("argument '{name}': {}", error.value(py)));
    named.set_cause(py, error.cause(py));
    named
}
