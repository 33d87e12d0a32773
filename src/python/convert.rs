//! Conversions between Python's values and the engine's.

use std::{
    ffi::{OsStr, OsString},
    net::{IpAddr, SocketAddr},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, SecondsFormat, Utc};
use pyo3::{
    Borrowed, IntoPyObjectExt,
    exceptions::{PyOverflowError, PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::PyType,
};

use super::errors::{error, import_attr, model_class, protocol_error};
use crate::{Address, Clock, Event};

/// A number of seconds, or None.
#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) Option<Duration>);

impl Seconds {
    /// None is unlimited.
    pub(super) fn or_unlimited(self) -> Duration {
        self.0.unwrap_or(Duration::MAX)
    }

    /// Checks the timeout of a client, which cannot be zero.
    pub(super) fn as_timeout(self) -> PyResult<Self> {
        if self.0 == Some(Duration::ZERO) {
            return Err(PyValueError::new_err("the timeout must be longer than zero, got 0 s"));
        }
        Ok(self)
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        /// Longer than any process runs, and in the range of every clock.
        const MAX: f64 = 9e9;
        if value.is_none() {
            return Ok(Seconds(None));
        }
        let seconds: f64 = value.extract()?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err(PyValueError::new_err(format!("a number of seconds must be 0 or more, got {seconds}")));
        }
        if seconds > MAX {
            return Err(PyOverflowError::new_err(format!("a number of seconds must be at most {MAX}, got {seconds}")));
        }
        let duration = Duration::try_from_secs_f64(seconds);
        Ok(Seconds(Some(duration.map_err(|error| PyOverflowError::new_err(error.to_string()))?)))
    }
}

/// A timeout that may be left out. (None is unlimited.)
#[derive(Clone, Copy)]
pub(super) enum Timeout {
    Default,
    Given(Seconds),
}

impl Timeout {
    pub(super) fn or(self, default: Seconds) -> PyResult<Seconds> {
        match self {
            Timeout::Default => Ok(default),
            Timeout::Given(timeout) => timeout.as_timeout(),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Timeout {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if value.is(value.py().Ellipsis()) { Ok(Timeout::Default) } else { value.extract().map(Timeout::Given) }
    }
}

/// A port, with the errors of Python's sockets.
pub(super) struct Port(pub(super) u16);

impl<'a, 'py> FromPyObject<'a, 'py> for Port {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<u16>() {
            Ok(port) => Ok(Port(port)),
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
                Err(PyOverflowError::new_err("port must be 0-65535"))
            }
            Err(error) => Err(error),
        }
    }
}

/// The prefix of a Unix socket's path.
const UNIX: &str = "unix:";

/// An address to listen on or to connect to, without its port.
pub(super) enum Host {
    /// A host name or an IP address.
    Name(String),
    /// `unix:PATH`. The path may have any bytes, as all paths in Python may: see os.fsencode().
    Unix(PathBuf),
}

impl Host {
    pub(super) fn local() -> Self {
        Host::Name("localhost".into())
    }

    /// Adds a port, which a Unix socket ignores.
    pub(super) fn with_port(self, port: Port) -> Address {
        match self {
            Host::Unix(path) => Address::Unix(path),
            Host::Name(host) => match host.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::from((ip, port.0)).into(),
                Err(_) => Address::Name(format!("{host}:{}", port.0)),
            },
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Host {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Some(path) = unix(&value)? {
            return Ok(Host::Unix(path));
        }
        let host: String = value.extract()?;
        match host.rsplit_once(':') {
            // Not an IPv6 address, whose last group looks like a port.
            Some((name, port)) if host.parse::<IpAddr>().is_err() && port.parse::<u16>().is_ok() => {
                let name = name.trim_start_matches('[').trim_end_matches(']');
                let error = format!("the host {host:?} has a port; expected host {name:?} and port {port}");
                Err(PyValueError::new_err(error))
            }
            _ => Ok(Host::Name(host)),
        }
    }
}

/// The path of `unix:PATH`.
pub(super) fn unix(value: &Bound<'_, PyAny>) -> PyResult<Option<PathBuf>> {
    let text: OsString = value.extract()?;
    Ok(text.as_bytes().strip_prefix(UNIX.as_bytes()).map(|path| OsStr::from_bytes(path).into()))
}

/// The host and the port of an address in Python. `Host` and `Port` convert them back to the same address.
pub(super) fn parts(address: &Address) -> (OsString, u16) {
    match address {
        Address::Tcp(address) => (address.ip().to_string().into(), address.port()),
        Address::Name(name) => (name.into(), 0),
        Address::Unix(path) => {
            let mut host = OsString::from(UNIX);
            host.push(path);
            (host, 0)
        }
    }
}

/// The `daytime.Address` of an address.
pub(super) fn peer<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyAny>> {
    model_class(py, "Address")?.call1(parts(address))
}

/// The path of `unix:PATH` as sockets take it: an abstract name begins with a NUL. None for any other host.
///
/// Raises ValueError if it is not the path of a Unix socket.
#[pyfunction]
#[pyo3(signature = (host, /))]
pub(super) fn unix_path(py: Python<'_>, host: Host) -> PyResult<Option<OsString>> {
    let Host::Unix(path) = host else { return Ok(None) };
    let address = Address::Unix(path.clone());
    address.check().map_err(|invalid| error(py, invalid))?;
    let mut bytes = path.into_os_string().into_vec();
    if let Some(first) = bytes.first_mut().filter(|first| **first == b'@') {
        *first = 0;
    }
    Ok(Some(OsString::from_vec(bytes)))
}

/// A clock from None (the system's), a datetime (stopped) or a timedelta (the system's, shifted). A naive datetime is
/// read in the server's `timezone`.
pub(super) fn clock(value: Option<&Bound<'_, PyAny>>, timezone: Option<&str>) -> PyResult<Clock> {
    static DATETIME: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static TIMEDELTA: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    /// From the year 1 to the year 9999.
    const MAX: i64 = 315_537_897_599;
    let Some(value) = value else { return Ok(Clock::system()) };
    let py = value.py();
    if value.is_instance(DATETIME.import(py, "datetime", "datetime")?)? {
        let seconds = import_attr(py, "daytime._clock", "unix_seconds")?.call1((value, timezone))?;
        return Ok(Clock::fixed_unix(seconds.extract()?));
    }
    if value.is_instance(TIMEDELTA.import(py, "datetime", "timedelta")?)? {
        let seconds: i64 = import_attr(py, "daytime._clock", "whole_seconds")?.call1((value,))?.extract()?;
        if seconds.abs() > MAX {
            return Err(PyOverflowError::new_err("a clock can be shifted by at most 9,998 years"));
        }
        return Ok(Clock::offset(seconds));
    }
    let given = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("a clock is a datetime, a timedelta or None, not {given}")))
}

/// Raises ProtocolError for the year 0, which the engine parses and Python does not have.
pub(super) fn date(py: Python<'_>, date: NaiveDate) -> PyResult<Bound<'_, PyAny>> {
    date.into_bound_py_any(py).map_err(|_| protocol_error(py, date.to_string().as_bytes()))
}

pub(super) fn time(py: Python<'_>, time: NaiveTime) -> PyResult<Bound<'_, PyAny>> {
    time.into_bound_py_any(py)
}

/// An aware datetime. Raises ProtocolError for the year 0, see [`date`].
pub(super) fn datetime(py: Python<'_>, moment: DateTime<FixedOffset>) -> PyResult<Bound<'_, PyAny>> {
    let reply = || moment.to_rfc3339_opts(SecondsFormat::Secs, false);
    moment.into_bound_py_any(py).map_err(|_| protocol_error(py, reply().as_bytes()))
}

/// An aware datetime in UTC.
pub(super) fn utc(py: Python<'_>, moment: SystemTime) -> PyResult<Bound<'_, PyAny>> {
    DateTime::<Utc>::from(moment).into_bound_py_any(py)
}

/// The named tuple of an event.
pub(super) fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    let class = |name| model_class(py, name);
    match event {
        Event::Connected { client, peer: from } => class("Connected")?.call1((u64::from(client), peer(py, &from)?)),
        Event::Disconnected { client, peer: from, reason: why, commands } => {
            class("Disconnected")?.call1((u64::from(client), peer(py, &from)?, why.name(), commands))
        }
        Event::CommandServed { client, command, ok } => class("CommandServed")?.call1((u64::from(client), command, ok)),
        Event::CommandFailed { client, command, error } => {
            class("CommandFailed")?.call1((u64::from(client), command, error))
        }
        Event::Refused { peer: from, reason: why } => class("Refused")?.call1((peer(py, &from)?, why.name())),
        Event::AcceptPaused { message, .. } => class("AcceptPaused")?.call1((message,)),
    }
}
