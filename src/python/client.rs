//! The blocking client.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use pyo3::{
    IntoPyObjectExt,
    exceptions::{PyKeyboardInterrupt, PyResourceWarning},
    prelude::*,
    types::{PyList, PyString},
};

use super::{
    convert::{self, Host, Port, Seconds, Timeout},
    errors::{self, state_error},
    interpreter::{self, ForkGeneration},
};
use crate::{Address, ClientBuilder, Error, protocol::day_name};

/// The default timeout.
const TIMEOUT: Seconds = Seconds(Some(Duration::from_secs(5)));

/// The connection, or None once it is closed.
type Slot = Option<Box<crate::Client>>;

/// A lock around the connection, which one call at a time holds. A std Mutex cannot be taken with a timeout.
#[derive(Default)]
struct ClientLock {
    /// None while a call holds the lock.
    slot: Mutex<Option<Slot>>,
    released: Condvar,
}

impl ClientLock {
    fn release(&self, slot: Slot) {
        *self.slot() = Some(slot);
        self.released.notify_one();
    }

    /// Never waits, not even for the mutex.
    fn try_acquire(&self) -> Option<Slot> {
        self.slot.try_lock().ok()?.take()
    }

    /// Called detached.
    fn acquire(&self, timeout: Duration) -> Option<Slot> {
        let waited = self.released.wait_timeout_while(self.slot(), timeout, |slot| slot.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Slot>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exception that a signal handler has raised during a call of the engine.
type Raised = Arc<Mutex<Option<PyErr>>>;

/// One connection to a server of this package, or to the original classroom program, with which it is compatible.
///
/// The constructor connects to the first of the host's addresses that answers. The host "unix:PATH" is a Unix socket,
/// "unix:@NAME" one in the abstract namespace; both ignore the port. `timeout` is in seconds (default 5.0; None:
/// unlimited), for connecting and for each call.
///
/// Several threads may share a client; their calls run one after another. Every call releases the GIL and honours
/// Ctrl-C. An exception other than CommandError and ValueError closes the connection, since a later reply could belong
/// to an earlier command.
///
/// Raises OSError if it cannot connect, RequestTimeout, ServerClosed with the server's error line if that rejects the
/// client, and ProtocolError if the peer does not speak this protocol.
#[pyclass(frozen, weakref, module = "daytime")]
pub(super) struct Client {
    lock: ClientLock,
    closed: AtomicBool,
    timeout: Seconds,
    peer: Address,
    greeting: String,
    raised: Raised,
    generation: ForkGeneration,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(
        signature = (host=Host::local(), port=Port(crate::DEFAULT_PORT), *, timeout=TIMEOUT),
        text_signature = "(host='localhost', port=9990, *, timeout=5.0)"
    )]
    fn new(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<Self> {
        let raised = Raised::default();
        let (client, peer) = connect(py, timeout, &raised, |builder| {
            let client = builder.connect(host.with_port(port))?;
            let peer = client.peer()?;
            Ok((client, peer))
        })?;
        let greeting = client.greeting().to_owned();
        let lock = ClientLock::default();
        lock.release(Some(Box::new(client)));
        let generation = ForkGeneration::current();
        Ok(Client { lock, closed: false.into(), timeout, peer, greeting, raised, generation })
    }

    /// The English name of the day of the week, in the server's zone or in `zone`: an IANA name, UTC, or an offset such
    /// as +05:30.
    ///
    /// Raises CommandError if the server does not know the zone, and the exceptions of request().
    #[pyo3(signature = (zone=None))]
    fn day<'py>(&self, py: Python<'py>, zone: Option<&str>) -> PyResult<Bound<'py, PyString>> {
        let day = self.builtin(py, "day", zone, |client| match zone {
            None => client.day(),
            Some(zone) => client.day_in(zone),
        })?;
        Ok(PyString::new(py, day_name(day)))
    }

    /// The date, in the server's zone or in `zone`, see day().
    #[pyo3(signature = (zone=None))]
    fn date<'py>(&self, py: Python<'py>, zone: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let date = self.builtin(py, "date", zone, |client| match zone {
            None => client.date(),
            Some(zone) => client.date_in(zone),
        })?;
        convert::date(py, date)
    }

    /// The time of day in whole seconds, in the server's zone or in `zone`, see day().
    #[pyo3(signature = (zone=None))]
    fn time<'py>(&self, py: Python<'py>, zone: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let time = self.builtin(py, "time", zone, |client| match zone {
            None => client.time(),
            Some(zone) => client.time_in(zone),
        })?;
        convert::time(py, time)
    }

    /// The date and the time of one moment, in the server's zone or in `zone`, see day(). An aware datetime. The original
    /// classroom program does not send its offset, so that its datetime is naive.
    #[pyo3(signature = (zone=None))]
    fn datetime<'py>(&self, py: Python<'py>, zone: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let moment = self.builtin(py, "datetime", zone, |client| {
            let moment = match zone {
                None => client.datetime(),
                Some(zone) => client.datetime_in(zone),
            };
            match moment {
                Err(Error::NoOffset(local)) => Ok(Err(local)),
                moment => moment.map(Ok),
            }
        })?;
        match moment {
            Ok(aware) => convert::datetime(py, aware),
            Err(naive) => naive.into_bound_py_any(py),
        }
    }

    /// The seconds since 1970-01-01 00:00 UTC.
    ///
    /// Raises CommandError if the server is the original classroom program, and the exceptions of request().
    fn timestamp(&self, py: Python<'_>) -> PyResult<i64> {
        self.builtin(py, "timestamp", None, |client| client.timestamp())
    }

    /// The POSIX TZ string of the server's zone or of `zone`, see day(): "CET-1CEST,M3.5.0,M10.5.0/3". It is for
    /// time.tzset() on a device that has no time zone database, and right for the two years after the server's time. If
    /// the rules of the zone do not fit into such a string, it has the present offset alone, "<+00>0", until
    /// next_transition().
    ///
    /// Raises CommandError if the server does not know the zone, or the command, as the original classroom program.
    /// Raises the exceptions of request().
    #[pyo3(signature = (zone=None))]
    fn tz(&self, py: Python<'_>, zone: Option<&str>) -> PyResult<String> {
        self.builtin(py, "tz", zone, |client| match zone {
            None => client.tz(),
            Some(zone) => client.tz_in(zone),
        })
    }

    /// The next change of the offset of the server's zone or of `zone`, see day(): an aware datetime, at the offset that
    /// begins then. None if the offset does not change any more.
    ///
    /// Raises the exceptions of tz().
    #[pyo3(signature = (zone=None))]
    fn next_transition<'py>(&self, py: Python<'py>, zone: Option<&str>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = self.builtin(py, "next", zone, |client| match zone {
            None => client.next_transition(),
            Some(zone) => client.next_transition_in(zone),
        })?;
        next.map(|next| convert::datetime(py, next)).transpose()
    }

    /// Sends a command and returns the text of the reply. `timeout` is in seconds; by default it is the client's.
    ///
    /// Raises CommandError if the reply is an error line. Raises ValueError if the command cannot be sent: it is blank,
    /// exceeds 1,024 bytes, has a control character, or is quit, which close() sends. Raises RequestTimeout,
    /// ServerClosed, ProtocolError or OSError if the connection ends, and StateError if it was closed before.
    #[pyo3(signature = (command, /, *, timeout=Timeout::Default), text_signature = "($self, command, /, *, timeout=...)")]
    fn request(&self, py: Python<'_>, command: &str, timeout: Timeout) -> PyResult<String> {
        let timeout = timeout.or(self.timeout)?;
        self.call(py, timeout, |client| client.request(command))
            .map_err(|error| exception(py, error, timeout, &self.raised, Some(command)))
    }

    /// Sends many commands without a wait for each reply. Returns a list, in order, with the text of each reply, or with
    /// the CommandError or ValueError that request() would raise. `timeout` is in seconds, for all of them together.
    ///
    /// Raises the exceptions that end the connection, see request().
    #[pyo3(signature = (commands, /, *, timeout=Timeout::Default), text_signature = "($self, commands, /, *, timeout=...)")]
    fn pipeline<'py>(
        &self,
        py: Python<'py>,
        commands: &Bound<'py, PyAny>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyList>> {
        let timeout = timeout.or(self.timeout)?;
        let commands = commands.try_iter()?.map(|command| command?.extract()).collect::<PyResult<Vec<String>>>()?;
        let replies = self
            .call(py, timeout, |client| client.pipeline(commands.iter().map(String::as_str)))
            .map_err(|error| exception(py, error, timeout, &self.raised, None))?;
        let list = PyList::empty(py);
        for (reply, command) in replies.into_iter().zip(&commands) {
            match reply {
                Ok(text) => list.append(text)?,
                Err(error) => {
                    let error = CallError::Engine(error);
                    list.append(exception(py, error, timeout, &self.raised, Some(command)).into_value(py))?;
                }
            }
        }
        Ok(list)
    }

    /// Sends quit, waits until the server has closed, at most for `timeout`, and closes. Further calls have no effect.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.load(SeqCst) || !self.generation.is_current() {
            self.closed.store(true, SeqCst);
            return Ok(());
        }
        let client = self.acquire(py)?;
        self.closed.store(true, SeqCst);
        let result = interpreter::detach(py, || {
            let result = client.map(|client| client.quit());
            self.lock.release(None);
            result
        });
        match result {
            // Other errors do not matter: the connection is closed.
            Some(Err(Error::Interrupted)) => Err(interrupted(&self.raised)),
            _ => Ok(()),
        }
    }

    /// Whether the connection is closed, by close() or by an error.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// The address of the server.
    #[getter]
    fn peer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::peer(py, &self.peer)
    }

    /// The greeting of the server.
    #[getter]
    fn greeting(&self) -> &str {
        &self.greeting
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().check(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type, exc, tb, /))]
    #[allow(unused_variables)]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        let closed = if self.closed() { " closed" } else { "" };
        format!("<daytime.Client {}{closed}>", self.peer)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::no_pickle("Client"))
    }
}

impl Client {
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.generation.check(py, "client")?;
        if self.closed() { Err(state_error(py, "the client is closed")) } else { Ok(()) }
    }

    /// Sends a built-in command.
    fn builtin<T: Send>(
        &self,
        py: Python<'_>,
        name: &str,
        zone: Option<&str>,
        request: impl FnOnce(&mut crate::Client) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        self.call(py, self.timeout, request).map_err(|error| {
            let command = zone.map(|zone| format!("{name} {zone}"));
            exception(py, error, self.timeout, &self.raised, Some(command.as_deref().unwrap_or(name)))
        })
    }

    /// Calls the engine's client with the lock held.
    fn call<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Seconds,
        request: impl FnOnce(&mut crate::Client) -> Result<T, Error> + Send,
    ) -> Result<T, CallError> {
        let mut request = Some(request);
        let mut reply = None;
        // One function for all types of replies keeps the module small.
        self.call_untyped(py, timeout, &mut |client| {
            reply = request.take().map(|request| request(client)).transpose()?;
            Ok(())
        })?;
        reply.ok_or_else(|| CallError::Python(state_error(py, "the client is closed")))
    }

    /// Drops the connection after an error that breaks it.
    fn call_untyped(
        &self,
        py: Python<'_>,
        timeout: Seconds,
        request: &mut (dyn FnMut(&mut crate::Client) -> Result<(), Error> + Send),
    ) -> Result<(), CallError> {
        self.check(py).map_err(CallError::Python)?;
        let mut client = match self.lock.try_acquire() {
            Some(slot) => slot,
            None => self.acquire(py).map_err(CallError::Python)?,
        };
        let result = interpreter::detach(py, || {
            let result = client.as_mut().map(|client| {
                client.set_timeout(timeout.or_unlimited());
                request(client)
            });
            if let Some(Err(error)) = &result
                && !matches!(error, Error::Invalid(_) | Error::Refused(_))
            {
                client = None;
                self.closed.store(true, SeqCst);
            }
            self.lock.release(client);
            result
        });
        result.unwrap_or(Ok(())).map_err(CallError::Engine)
    }

    fn acquire(&self, py: Python<'_>) -> PyResult<Slot> {
        Ok(interpreter::wait(py, None, |tick| self.lock.acquire(tick))?.flatten())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let slot = self.lock.slot.get_mut().unwrap_or_else(PoisonError::into_inner);
        let open = !matches!(slot, Some(None));
        if open && !self.closed() && self.generation.is_current() {
            interpreter::warn_unclosed::<PyResourceWarning>(&self.__repr__());
        }
    }
}

/// Asks any server of the daytime protocol (RFC 867). Returns its reply without the line end: the date and the time, in
/// a form that the RFC does not prescribe. `timeout` is in seconds, for the whole call; None is unlimited. Ctrl-C is
/// honoured. The host may be "unix:PATH".
///
/// Raises OSError if it cannot connect, RequestTimeout, ServerClosed if the reply is empty, ProtocolError if the reply
/// exceeds 4 KiB, is blank or is not text, and ValueError if the address is invalid.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(13), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=13, *, timeout=5.0)"
)]
pub(super) fn rfc867(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<String> {
    connect(py, timeout, &Raised::default(), |builder| builder.rfc867(host.with_port(port)))
}

/// Asks any server of the time protocol (RFC 868). Returns an aware datetime in UTC, in whole seconds, from 1968-01-20
/// 03:14:08 to 2104-02-26 09:42:23. `timeout` is in seconds, for the whole call; None is unlimited. Ctrl-C is honoured.
/// The host may be "unix:PATH".
///
/// Raises OSError if it cannot connect, RequestTimeout, ServerClosed if the reply is empty, ProtocolError if the reply
/// is not four bytes, and ValueError if the address is invalid.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(37), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=37, *, timeout=5.0)"
)]
pub(super) fn rfc868(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<Bound<'_, PyAny>> {
    let moment = connect(py, timeout, &Raised::default(), |builder| builder.rfc868(host.with_port(port)))?;
    convert::utc(py, moment)
}

/// Asks any server of the daytime protocol over UDP (RFC 867), as rfc867(). A datagram can be lost, so the question is
/// repeated after 0.5 s, then after twice as long each time, until the timeout.
///
/// Raises OSError if the system says that nothing listens, RequestTimeout, ProtocolError if the reply exceeds 4 KiB, is
/// blank or is not text, and ValueError if the address is invalid or a Unix socket.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(13), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=13, *, timeout=5.0)"
)]
pub(super) fn rfc867_udp(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<String> {
    connect(py, timeout, &Raised::default(), |builder| builder.rfc867_udp(host.with_port(port)))
}

/// Asks any server of the time protocol over UDP (RFC 868), as rfc868(), with the repetitions of rfc867_udp().
///
/// Raises the exceptions of rfc867_udp(), and ProtocolError if the reply is not four bytes.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(37), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=37, *, timeout=5.0)"
)]
pub(super) fn rfc868_udp(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<Bound<'_, PyAny>> {
    let moment = connect(py, timeout, &Raised::default(), |builder| builder.rfc868_udp(host.with_port(port)))?;
    convert::utc(py, moment)
}

/// Runs a function of the engine that connects, detached, within the timeout of one call.
fn connect<T: Send>(
    py: Python<'_>,
    timeout: Seconds,
    raised: &Raised,
    connect: impl FnOnce(ClientBuilder) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let timeout = timeout.as_timeout()?;
    let keeper = raised.clone();
    let builder = crate::Client::builder().timeout(timeout.or_unlimited()).interrupt(move || is_interrupted(&keeper));
    interpreter::detach(py, || connect(builder))
        .map_err(|error| exception(py, CallError::Engine(error), timeout, raised, None))
}

/// The error of a call, from one of its two sides.
enum CallError {
    Engine(Error),
    Python(PyErr),
}

/// The exception for an error of `command`, or of connecting if there is no command.
fn exception(py: Python<'_>, error: CallError, timeout: Seconds, raised: &Raised, command: Option<&str>) -> PyErr {
    match (error, command) {
        (CallError::Python(error), _) => error,
        (CallError::Engine(Error::Interrupted), _) => interrupted(raised),
        (CallError::Engine(Error::Timeout), _) => errors::request_timeout(py, timeout.0),
        (CallError::Engine(Error::Refused(reply)), Some(command)) => errors::command_error(py, command, &reply),
        (CallError::Engine(error), _) => errors::error(py, error),
    }
}

/// The engine calls it, detached, every 100 ms while it waits.
fn is_interrupted(raised: &Raised) -> bool {
    if interpreter::must_not_attach() {
        return true;
    }
    match interpreter::attach(|py| py.check_signals()) {
        Some(Ok(())) => false,
        Some(Err(error)) => {
            *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            true
        }
        None => true,
    }
}

fn interrupted(raised: &Raised) -> PyErr {
    let error = raised.lock().unwrap_or_else(PoisonError::into_inner).take();
    error.unwrap_or_else(|| PyKeyboardInterrupt::new_err(()))
}
