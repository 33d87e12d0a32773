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

/// How long to wait, unless it is said.
const TIMEOUT: Seconds = Seconds(Some(Duration::from_secs(5)));

/// Whoever has this may speak; None once the connection is closed.
type Slot = Option<Box<crate::Client>>;

/// Where it is left between calls, for the next one who speaks.
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

    /// Without waiting, not even for whoever takes or gives at the moment.
    fn take_at_once(&self) -> Option<Slot> {
        self.left.try_lock().ok()?.take()
    }

    /// Called detached.
    fn take(&self, patience: Duration) -> Option<Slot> {
        let waited = self.changed.wait_timeout_while(self.left(), patience, |left| left.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    fn left(&self) -> MutexGuard<'_, Option<Slot>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a signal handler has raised while the engine was at work.
type Raised = Arc<Mutex<Option<PyErr>>>;

/// One connection to a server: this package's, or the original's. It connects in the constructor, to the first of the
/// host's addresses that answers; the host "unix:PATH" is a Unix socket, "unix:@NAME" an abstract one, and its port means
/// nothing. `timeout` is in seconds (default 5.0, None is for ever) and holds for connecting and for each call.
///
/// Calls of several threads take lock. Every call releases the GIL and honours Ctrl-C. One that fails with anything but
/// CommandError and ValueError closes the connection: what came later might be the answer to an earlier question.
///
/// Raises OSError where no connection is made, RequestTimeout, ServerClosed with the server's words where it refuses,
/// and ProtocolError where the peer is no such server.
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

    /// The day of the week, in English: in the server's zone, or in `zone`, which is an IANA name, UTC, or an offset
    /// such as +05:30.
    ///
    /// Raises CommandError where the server does not know the zone, and what query() raises.
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

    /// The date and the time of one moment, in the server's zone or in `zone`; see day(). It is aware, but from an
    /// original server, which does not tell its offset, naive.
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

    /// Sends a command and returns the reply's text. `timeout` is in seconds; left out, it is the client's own.
    ///
    /// Raises CommandError where the server answers with an error line, and ValueError where the command cannot be
    /// sent: it is blank, over 1,024 bytes, has a control character, or is quit, which close() says. Raises
    /// RequestTimeout, ServerClosed, ProtocolError or OSError where the connection is over, and StateError where it was
    /// closed before.
    #[pyo3(signature = (command, /, *, timeout=Given::No), text_signature = "($self, command, /, *, timeout=...)")]
    fn request(&self, py: Python<'_>, command: &str, timeout: Given) -> PyResult<String> {
        let timeout = timeout.or(self.timeout)?;
        self.talk(py, timeout, |client| client.request(command))
            .map_err(|error| explain(py, error, timeout, &self.raised, Some(command)))
    }

    /// Sends many commands without waiting for each reply, and returns for each, in order, the reply's text, or the
    /// CommandError or ValueError that query() would raise. `timeout` is in seconds and for all of them together.
    ///
    /// Raises what ends the connection, see query().
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

    /// Says quit, waits until the server has closed, for `timeout` at most, and closes. Once is enough; more does nothing.
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
            // What a signal handler raised is its own; that the server was not polite is no matter any more.
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

    /// What the server said first.
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

    /// Asks one of the built-in commands.
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

    /// Takes a turn to speak. The connection goes with an error that breaks it.
    fn talk<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Seconds,
        speech: impl FnOnce(&mut crate::Client) -> Result<T, Error> + Send,
    ) -> Result<T, CallError> {
        let mut speech = Some(speech);
        let mut said = None;
        // One body for all the kinds of answers.
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

/// What a server of the daytime protocol (RFC 867) says, whoever's it is, less the line end: the date and the time in no
/// prescribed form. `timeout` is in seconds, for all of it; None is for ever. Ctrl-C is honoured. The host may be
/// "unix:PATH".
///
/// Raises OSError where no connection is made, RequestTimeout, ServerClosed where nothing was said, ProtocolError where
/// it is over 4 KiB or no text, and ValueError where the address is none.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(13), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=13, *, timeout=5.0)"
)]
pub(super) fn rfc867(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<String> {
    begin(py, timeout, &Raised::default(), |builder| builder.rfc867(host.at(port)))
}

/// The time that a server of the time protocol (RFC 868) tells, whoever's it is: an aware datetime in UTC, whole seconds
/// from 1968-01-20 03:14:08 to 2104-02-26 09:42:23. `timeout` is in seconds, for all of it; None is for ever. Ctrl-C is
/// honoured. The host may be "unix:PATH".
///
/// Raises OSError where no connection is made, RequestTimeout, ServerClosed where nothing was said, ProtocolError where
/// it is not four bytes, and ValueError where the address is none.
#[pyfunction]
#[pyo3(
    signature = (host=Host::local(), port=Port(37), *, timeout=TIMEOUT),
    text_signature = "(host='localhost', port=37, *, timeout=5.0)"
)]
pub(super) fn rfc868(py: Python<'_>, host: Host, port: Port, timeout: Seconds) -> PyResult<Bound<'_, PyAny>> {
    let moment = begin(py, timeout, &Raised::default(), |builder| builder.rfc868(host.at(port)))?;
    convert::moment(py, moment)
}

/// Connects for whatever purpose, detached, in the patience of one call.
fn begin<T: Send>(
    py: Python<'_>,
    timeout: Seconds,
    raised: &Raised,
    purpose: impl FnOnce(ClientBuilder) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let timeout = timeout.patience()?;
    let keeper = raised.clone();
    let builder = crate::Client::builder().timeout(timeout.or_unlimited()).interrupt(move || is_interrupted(&keeper));
    interpreter::detach(py, || purpose(builder)).map_err(|error| explain(py, error, timeout, raised, None))
}

/// Why a call was cut short.
enum CallError {
    /// By the engine.
    Error(Error),
    /// By Python.
    Raised(PyErr),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        CallError::Error(error)
    }
}

/// The exception for whoever asked `command`, or was connecting where there is none.
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

/// Asked by the engine, detached, every 100 ms while it waits.
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
