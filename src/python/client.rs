//! The blocking client.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use pyo3::{
    exceptions::{PyKeyboardInterrupt, PyResourceWarning},
    prelude::*,
    types::{PyList, PyString},
};

use super::{
    convert::{self, Given, Host, Port, Seconds},
    errors::{self, state_error},
    interpreter::{self, ForkGeneration},
};
use crate::{Address, ClientBuilder, Error, protocol::day_name};

/// The default timeout.
const TIMEOUT: Seconds = Seconds(Some(Duration::from_secs(5)));

/// The client, for the thread that uses it. None once the connection is closed.
type Slot = Option<Box<crate::Client>>;

/// Holds the client between calls. A thread takes it for one call and gives it back.
#[derive(Default)]
struct ClientLock {
    left: Mutex<Option<Slot>>,
    changed: Condvar,
}

impl ClientLock {
    fn give(&self, turn: Slot) {
        *self.left() = Some(turn);
        self.changed.notify_one();
    }

    /// Takes the client without waiting.
    fn take_at_once(&self) -> Option<Slot> {
        self.left.try_lock().ok()?.take()
    }

    /// Waits for the client. Called detached.
    fn take(&self, timeout: Duration) -> Option<Slot> {
        let waited = self.changed.wait_timeout_while(self.left(), timeout, |left| left.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    fn left(&self) -> MutexGuard<'_, Option<Slot>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exception of a signal handler that ran during a call of the engine.
type Raised = Arc<Mutex<Option<PyErr>>>;

/// One connection to a server of this package, or to the original classroom program. The constructor connects to the
/// first address of the host that answers. The host "unix:PATH" is a Unix socket, "unix:@NAME" an abstract one, and its
/// port is ignored. `timeout` is in seconds (default 5.0, None means unlimited), for connecting and for each call.
///
/// Calls of several threads take turns. Every call releases the GIL and honours Ctrl-C. An error other than CommandError
/// and ValueError closes the connection, since the next bytes could be the answer to an earlier command.
///
/// Raises OSError if it cannot connect, RequestTimeout, ServerClosed with the error line of a server that refuses, and
/// ProtocolError if the peer is not such a server.
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
        let (client, peer) = begin(py, timeout, &raised, |builder| {
            let client = builder.connect(host.at(port))?;
            let peer = client.peer()?;
            Ok((client, peer))
        })?;
        let greeting = client.greeting().to_owned();
        let lock = ClientLock::default();
        lock.give(Some(Box::new(client)));
        Ok(Client {
            lock,
            closed: false.into(),
            timeout,
            peer,
            greeting,
            raised,
            generation: ForkGeneration::current(),
        })
    }

    /// The English name of the weekday, in the server's zone or in `zone`: an IANA name, UTC, or an offset such as
    /// +05:30.
    ///
    /// Raises CommandError if the server does not know the zone, and the errors of request().
    #[pyo3(signature = (zone=None))]
    fn day<'py>(&self, py: Python<'py>, zone: Option<&str>) -> PyResult<Bound<'py, PyString>> {
        let day = self.ask(py, "day", zone, |client| match zone {
            None => client.day(),
            Some(zone) => client.day_in(zone),
        })?;
        Ok(PyString::new(py, day_name(day)))
    }

    /// The date, in the server's zone or in `zone`; see day().
    #[pyo3(signature = (zone=None))]
    fn date(&self, py: Python<'_>, zone: Option<&str>) -> PyResult<Py<PyAny>> {
        let date = self.ask(py, "date", zone, |client| match zone {
            None => client.date(),
            Some(zone) => client.date_in(zone),
        })?;
        convert::date(py, date)
    }

    /// The time of day, in the server's zone or in `zone`, to the second; see day().
    #[pyo3(signature = (zone=None))]
    fn time(&self, py: Python<'_>, zone: Option<&str>) -> PyResult<Py<PyAny>> {
        let time = self.ask(py, "time", zone, |client| match zone {
            None => client.time(),
            Some(zone) => client.time_in(zone),
        })?;
        convert::time(py, time)
    }

    /// The date and the time of one moment, in the server's zone or in `zone`; see day(). It is aware. From the original
    /// classroom program, which does not send its offset, it is naive.
    #[pyo3(signature = (zone=None))]
    fn datetime(&self, py: Python<'_>, zone: Option<&str>) -> PyResult<Py<PyAny>> {
        let moment = self.ask(py, "datetime", zone, |client| {
            let moment = match zone {
                None => client.datetime(),
                Some(zone) => client.datetime_in(zone),
            };
            match moment {
                Ok(moment) => Ok(Ok(moment)),
                Err(Error::NoOffset(local)) => Ok(Err(local)),
                Err(error) => Err(error),
            }
        })?;
        match moment {
            Ok(moment) => convert::datetime(py, moment),
            Err(local) => convert::naive_datetime(py, local),
        }
    }

    /// The seconds since the Unix epoch. Raises CommandError for the original classroom program, which does not know the
    /// command, and the errors of request().
    fn timestamp(&self, py: Python<'_>) -> PyResult<i64> {
        self.ask(py, "timestamp", None, crate::Client::timestamp)
    }

    /// Sends a command and returns the text of the reply. `timeout` is in seconds; by default it is the client's timeout.
    ///
    /// Raises CommandError if the server answers with an error line. Raises ValueError if the command cannot be sent: it
    /// is blank, exceeds 1,024 bytes, has a control character, or is quit, for which there is close(). Raises
    /// RequestTimeout, ServerClosed, ProtocolError or OSError if the connection ends, and StateError if it was closed
    /// before.
    #[pyo3(signature = (command, /, *, timeout=Given::No), text_signature = "($self, command, /, *, timeout=...)")]
    fn request(&self, py: Python<'_>, command: &str, timeout: Given) -> PyResult<String> {
        let timeout = timeout.or(self.timeout)?;
        self.talk(py, timeout, |client| client.request(command))
            .map_err(|error| explain(py, error, timeout, &self.raised, Some(command)))
    }

    /// Sends many commands without waiting for each reply. Returns for each, in order, the text of the reply, or the
    /// CommandError or ValueError that request() would raise. `timeout` is in seconds, for all of them together.
    ///
    /// Raises the errors that end the connection, see request().
    #[pyo3(signature = (commands, /, *, timeout=Given::No), text_signature = "($self, commands, /, *, timeout=...)")]
    fn pipeline<'py>(
        &self,
        py: Python<'py>,
        commands: &Bound<'py, PyAny>,
        timeout: Given,
    ) -> PyResult<Bound<'py, PyList>> {
        let timeout = timeout.or(self.timeout)?;
        let commands = commands.try_iter()?.map(|command| command?.extract()).collect::<PyResult<Vec<String>>>()?;
        let replies = self
            .talk(py, timeout, |client| client.pipeline(commands.iter().map(String::as_str)))
            .map_err(|error| explain(py, error, timeout, &self.raised, None))?;
        let list = PyList::empty(py);
        for (reply, command) in replies.into_iter().zip(&commands) {
            match reply {
                Ok(text) => list.append(text)?,
                Err(error) => {
                    list.append(
                        explain(py, CallError::Error(error), timeout, &self.raised, Some(command)).into_value(py),
                    )?;
                }
            }
        }
        Ok(list)
    }

    /// Sends quit, waits until the server has closed, at most `timeout`, and closes. Further calls do nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.load(SeqCst) || !self.generation.is_current() {
            self.closed.store(true, SeqCst);
            return Ok(());
        }
        let client = self.turn(py)?;
        self.closed.store(true, SeqCst);
        let said = interpreter::detach(py, || {
            let said = client.map(|client| client.quit());
            self.lock.give(None);
            said
        });
        match said {
            // An exception of a signal handler is raised. Other errors do not matter, since the client is closed anyway.
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
    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        name: &str,
        zone: Option<&str>,
        question: impl FnOnce(&mut crate::Client) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        self.talk(py, self.timeout, question).map_err(|error| {
            let command = zone.map(|zone| format!("{name} {zone}"));
            explain(py, error, self.timeout, &self.raised, Some(command.as_deref().unwrap_or(name)))
        })
    }

    /// Uses the client for one call. An error that breaks it closes the connection.
    fn talk<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Seconds,
        speech: impl FnOnce(&mut crate::Client) -> Result<T, Error> + Send,
    ) -> Result<T, CallError> {
        let mut speech = Some(speech);
        let mut said = None;
        // One body for all types of results.
        self.talk_over(py, timeout, &mut |client| {
            said = speech.take().map(|speech| speech(client)).transpose()?;
            Ok(())
        })?;
        said.ok_or_else(|| CallError::Raised(state_error(py, "the client is closed")))
    }

    fn talk_over(
        &self,
        py: Python<'_>,
        timeout: Seconds,
        speech: &mut (dyn FnMut(&mut crate::Client) -> Result<(), Error> + Send),
    ) -> Result<(), CallError> {
        self.check(py).map_err(CallError::Raised)?;
        let mut client = match self.lock.take_at_once() {
            Some(turn) => turn,
            None => self.turn(py).map_err(CallError::Raised)?,
        };
        let result = interpreter::detach(py, || {
            let result = client.as_mut().map(|client| {
                client.set_timeout(timeout.or_unlimited());
                speech(client)
            });
            if let Some(Err(error)) = &result
                && !matches!(error, Error::Invalid(_) | Error::Refused(_))
            {
                client = None;
                self.closed.store(true, SeqCst);
            }
            self.lock.give(client);
            result
        });
        result.unwrap_or(Ok(())).map_err(CallError::Error)
    }

    fn turn(&self, py: Python<'_>) -> PyResult<Slot> {
        Ok(interpreter::wait(py, None, |tick| self.lock.take(tick))?.flatten())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let left = self.lock.left.get_mut().unwrap_or_else(PoisonError::into_inner);
        let open = !matches!(left, Some(None));
        if open && !self.closed() && self.generation.is_current() {
            interpreter::warn_unclosed::<PyResourceWarning>(&self.__repr__());
        }
    }
}

/// Asks a server of the daytime protocol (RFC 867), and returns its reply without the line end. The RFC does not prescribe
/// a syntax. `timeout` is in seconds, for the whole call; None means unlimited. Ctrl-C is honoured. The host may be
/// "unix:PATH".
///
/// Raises OSError if it cannot connect, RequestTimeout, ServerClosed if the server sent nothing, ProtocolError if the
/// reply exceeds 4 KiB or is not text, and ValueError if the address is invalid.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(13), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=13, *, timeout=5.0)"
)]
pub(super) fn rfc867(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<String> {
    begin(py, timeout, &Raised::default(), |builder| builder.rfc867(host.at(port)))
}

/// Asks a server of the time protocol (RFC 868), and returns an aware datetime in UTC, in whole seconds from 1968-01-20
/// 03:14:08 to 2104-02-26 09:42:23. `timeout` is in seconds, for the whole call; None means unlimited. Ctrl-C is honoured.
/// The host may be "unix:PATH".
///
/// Raises OSError if it cannot connect, RequestTimeout, ServerClosed if the server sent nothing, ProtocolError if the
/// reply is not four bytes, and ValueError if the address is invalid.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(37), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=37, *, timeout=5.0)"
)]
pub(super) fn rfc868(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<Bound<'_, PyAny>> {
    let moment = begin(py, timeout, &Raised::default(), |builder| builder.rfc868(host.at(port)))?;
    convert::moment(py, moment)
}

/// Connects, detached, within the timeout of one call.
fn begin<T: Send>(
    py: Python<'_>,
    timeout: Seconds,
    raised: &Raised,
    purpose: impl FnOnce(ClientBuilder) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let timeout = timeout.positive()?;
    let keeper = raised.clone();
    let builder = crate::Client::builder().timeout(timeout.or_unlimited()).interrupt(move || is_interrupted(&keeper));
    interpreter::detach(py, || purpose(builder)).map_err(|error| explain(py, error, timeout, raised, None))
}

/// The error of a call.
enum CallError {
    /// Of the engine.
    Error(Error),
    /// Of Python.
    Raised(PyErr),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        CallError::Error(error)
    }
}

/// The exception for the caller that sent `command`, or was connecting if it is None.
fn explain(
    py: Python<'_>,
    cut: impl Into<CallError>,
    timeout: Seconds,
    raised: &Raised,
    command: Option<&str>,
) -> PyErr {
    match (cut.into(), command) {
        (CallError::Raised(error), _) => error,
        (CallError::Error(Error::Interrupted), _) => interrupted(raised),
        (CallError::Error(Error::Timeout), _) => errors::request_timeout(py, timeout.0),
        (CallError::Error(Error::Refused(reason)), Some(command)) => errors::command_error(py, command, &reason),
        (CallError::Error(error), _) => errors::error(py, error),
    }
}

/// The interrupt function of the engine, called detached every 100 ms while it waits.
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
