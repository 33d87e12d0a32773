//! Conversions between values of Python and of the engine.

use std::{
    ffi::{OsStr, OsString},
    net::{IpAddr, SocketAddr},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use pyo3::{
    Borrowed, IntoPyObjectExt,
    exceptions::{PyOverflowError, PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::PyType,
};

use super::errors::{error, import_attr, model_class, protocol_error};
use crate::{
    Address, Clock, Event, Reason,
    chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime},
};

/// A number of seconds, or None.
#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) Option<Duration>);

impl Seconds {
    /// None means unlimited.
    pub(super) fn or_unlimited(self) -> Duration {
        self.0.unwrap_or(Duration::MAX)
    }

    /// The timeout of a client, which must be longer than zero.
    pub(super) fn positive(self) -> PyResult<Self> {
        if self.0 == Some(Duration::ZERO) {
            return Err(PyValueError::new_err("a timeout of zero: nothing could be answered"));
        }
        Ok(self)
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        /// Longer than any process runs, and in the range of every clock.
        const MOST: f64 = 9e9;
        if value.is_none() {
            return Ok(Seconds(None));
        }
        let seconds: f64 = value.extract()?;
        if seconds.is_nan() || seconds < 0.0 {
            return Err(PyValueError::new_err(format!("{seconds} is no number of seconds to wait")));
        }
        if seconds > MOST {
            return Err(PyOverflowError::new_err(format!("{seconds} seconds are too many")));
        }
        let duration = Duration::try_from_secs_f64(seconds);
        Ok(Seconds(Some(duration.map_err(|error| PyOverflowError::new_err(error.to_string()))?)))
    }
}

/// A timeout that can be left out. Leaving it out differs from None.
#[derive(Clone, Copy)]
pub(super) enum Given {
    No,
    Yes(Seconds),
}

impl Given {
    pub(super) fn or(self, default: Seconds) -> PyResult<Seconds> {
        match self {
            Given::No => Ok(default),
            Given::Yes(timeout) => timeout.positive(),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Given {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if value.is(value.py().Ellipsis()) { Ok(Given::No) } else { value.extract().map(Given::Yes) }
    }
}

/// A port. An invalid one raises the error of Python's sockets.
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

/// The host of an address.
pub(super) enum Host {
    /// A host name or an IP address.
    Name(String),
    /// `unix:PATH`. The path can have any bytes, as all paths of Python (os.fsencode()).
    Unix(PathBuf),
}

impl Host {
    pub(super) fn local() -> Self {
        Host::Name("localhost".into())
    }

    /// The address with a port, which a Unix socket ignores.
    pub(super) fn at(self, port: Port) -> Address {
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
        let text: OsString = value.extract()?;
        match text.as_bytes().strip_prefix(UNIX.as_bytes()) {
            Some(path) => Ok(Host::Unix(OsStr::from_bytes(path).into())),
            None => value.extract().map(Host::Name),
        }
    }
}

/// The host and the port of an address in Python. `Host` and the port make the same address again.
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

/// The `Address` of the Python package.
pub(super) fn peer<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyAny>> {
    model_class(py, "Address")?.call1(parts(address))
}

/// The path of `unix:PATH` for a socket, where an abstract name starts with a NUL. None for another host.
///
/// Raises ValueError if it is not a path of a Unix socket.
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

/// A clock from None (the system's), a datetime (a stopped clock) or a timedelta (the system's, shifted). A naive datetime
/// is in the server's `timezone`.
pub(super) fn clock(value: Option<&Bound<'_, PyAny>>, timezone: Option<&str>) -> PyResult<Clock> {
    /// From the year 1 to the year 9999.
    const MOST: i64 = 315_537_897_599;
    let Some(value) = value else { return Ok(Clock::system()) };
    let py = value.py();
    if value.is_instance(class(py, &DATETIME, "datetime")?)? {
        let seconds = import_attr(py, "daytime._clock", "unix_seconds")?.call1((value, timezone))?;
        return Ok(Clock::fixed_unix(seconds.extract()?));
    }
    if value.is_instance(class(py, &TIMEDELTA, "timedelta")?)? {
        let seconds: i64 = import_attr(py, "daytime._clock", "whole_seconds")?.call1((value,))?.extract()?;
        if seconds.abs() > MOST {
            return Err(PyOverflowError::new_err("a clock cannot be shifted by more than 9,998 years"));
        }
        return Ok(Clock::offset(seconds));
    }
    let message = format!("clock must be a datetime, a timedelta or None, got {}", value.get_type().name()?);
    Err(PyTypeError::new_err(message))
}

static DATETIME: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static TIMEDELTA: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static TIMEZONE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

fn class<'a, 'py>(py: Python<'py>, cache: &'a PyOnceLock<Py<PyType>>, name: &str) -> PyResult<&'a Bound<'py, PyType>> {
    cache.import(py, "datetime", name)
}

/// Python does not have the year 0, which a reply can have: then the reply is a ProtocolError.
fn converted<'py, T>(py: Python<'py>, value: T, text: impl FnOnce() -> String) -> PyResult<Py<PyAny>>
where
    T: IntoPyObjectExt<'py>,
{
    value.into_py_any(py).map_err(|_| protocol_error(py, text().as_bytes()))
}

pub(super) fn date(py: Python<'_>, date: NaiveDate) -> PyResult<Py<PyAny>> {
    converted(py, date, || date.to_string())
}

pub(super) fn time(py: Python<'_>, time: NaiveTime) -> PyResult<Py<PyAny>> {
    converted(py, time, || time.to_string())
}

/// An aware datetime. The zone of UTC is `datetime.timezone.utc`.
pub(super) fn datetime(py: Python<'_>, moment: DateTime<FixedOffset>) -> PyResult<Py<PyAny>> {
    match moment.offset().local_minus_utc() {
        0 => converted(py, moment.to_utc(), || moment.to_rfc3339()),
        _ => converted(py, moment, || moment.to_rfc3339()),
    }
}

/// A naive datetime.
pub(super) fn naive_datetime(py: Python<'_>, local: NaiveDateTime) -> PyResult<Py<PyAny>> {
    converted(py, local, || local.format("%FT%T").to_string())
}

/// An aware datetime in UTC.
pub(super) fn moment(py: Python<'_>, moment: SystemTime) -> PyResult<Bound<'_, PyAny>> {
    let since = match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    let utc = class(py, &TIMEZONE, "timezone")?.getattr("utc")?;
    class(py, &DATETIME, "datetime")?.call_method1("fromtimestamp", (since, utc))
}

pub(super) fn duration(py: Python<'_>, duration: Duration) -> PyResult<Bound<'_, PyAny>> {
    class(py, &TIMEDELTA, "timedelta")?.call1((0, duration.as_secs_f64()))
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Quit => "quit",
        Reason::Eof => "eof",
        Reason::Idle => "idle",
        Reason::NoCommand => "no_command",
        Reason::WriteTimeout => "write_timeout",
        Reason::Error => "error",
        Reason::Kicked => "kicked",
        Reason::Full => "full",
        Reason::PerSource => "per_source",
        Reason::Denied => "denied",
        Reason::Shutdown => "shutdown",
        Reason::Answered => "answered",
    }
}

/// The NamedTuple of an event.
pub(super) fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    match event {
        Event::Connected { client, peer: from } => {
            model_class(py, "Connected")?.call1((u64::from(client), peer(py, &from)?))
        }
        Event::Disconnected { client, peer: from, reason: ended, commands } => {
            model_class(py, "Disconnected")?.call1((u64::from(client), peer(py, &from)?, reason(ended), commands))
        }
        Event::CommandServed { client, command, ok } => {
            model_class(py, "CommandServed")?.call1((u64::from(client), command, ok))
        }
        Event::CommandFailed { client, command, error } => {
            model_class(py, "CommandFailed")?.call1((u64::from(client), command, error))
        }
        Event::Refused { peer: from, reason: refused } => {
            model_class(py, "Refused")?.call1((peer(py, &from)?, reason(refused)))
        }
        Event::AcceptPaused { error } => model_class(py, "AcceptPaused")?.call1((error.to_string(),)),
    }
}
