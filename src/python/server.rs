//! The server.

use std::{
    ffi::OsString,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyResourceWarning, PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyList, PyMapping, PyTuple},
};

use super::{
    calls::{self, CallQueue, Handler},
    convert::{self, Host, Port, Seconds},
    errors::{self, import_attr, state_error},
    events::Events,
    interpreter::{self, ForkGeneration, Stoppable},
    listen::{adopt, listening, networks, several, tuple},
    settings,
};
use crate::{Address, Bound as BoundServer, ClientId, Error, Service};

/// How long `serve_forever` waits for the server to end after an interrupt.
const LAST_WAIT: Duration = Duration::from_millis(100);
/// The largest buffer of a subscription, which is allocated at once.
const BUFFER_MAX: usize = 1 << 20;

/// The services by their names in Python.
const SERVICES: [(&str, Service); 3] =
    [("text", Service::Text), ("rfc867", Service::Rfc867), ("rfc868", Service::Rfc868)];

/// A server without its Python object. The interpreter's finalization and forks can reach it.
pub(super) struct Core {
    number: usize,
    generation: ForkGeneration,
    /// Until the start. Held for a moment only.
    ready: Mutex<Option<Ready>>,
    server: OnceLock<crate::Server>,
    stopping: AtomicBool,
}

struct Ready {
    bound: BoundServer,
    calls: Arc<CallQueue>,
}

impl Core {
    fn ready(&self) -> MutexGuard<'_, Option<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.stopping.store(true, SeqCst);
        drop(self.ready().take());
        if let Some(server) = self.server.get() {
            server.stop();
        }
    }
}

impl Stoppable for Core {
    fn shut_down(&self) {
        self.stop();
        if let Some(server) = self.server.get() {
            server.detach();
        }
    }

    fn ended(&self, timeout: Duration) -> bool {
        match self.server.get() {
            Some(server) => server.wait(Some(timeout)),
            None => self.stopping.load(SeqCst),
        }
    }
}

/// A server of the day, the date and the time. The constructor binds and listens: a taken port raises there, and `port`
/// is real at once, even for port 0. start(), or `with`, starts to serve, on threads that never wait for the GIL.
///
/// host, port: where to listen. A name stands for all of its addresses that this machine has, port 0 for any free port.
///     The host "unix:PATH" is a Unix socket, and "unix:@NAME" an abstract one; their port is ignored. The file of a Unix
///     socket is replaced if no server answers on it, and removed when the server stops.
/// listen: addresses in place of host and port, each "HOST:PORT", "unix:PATH" or (host, port).
/// listen_rfc867, listen_rfc868: addresses for the daytime protocol (RFC 867) and the time protocol (RFC 868). The default
///     ports are 13 and 37. With an empty `listen` the server has no other listeners.
/// sock: a bound TCP or Unix socket in place of host and port. It is closed here, and the server keeps a copy.
/// unix_mode: permissions of the files of Unix sockets, such as 0o660 (0o777 less the umask).
/// allow, deny: networks whose clients are accepted, or closed silently, see set_networks() (all are accepted).
/// backlog: the most connections that wait to be accepted (4096).
/// workers: worker threads, 1 to 1024 (one for each core).
/// handler_threads: the most handlers of custom commands that run at a time, 1 to 1024 (16).
/// max_clients: the most clients at a time (the limit of file descriptors less 64).
/// max_clients_per_source: the same for one IPv4 address, or one IPv6 network of 64 bits (unlimited).
/// idle_timeout: seconds after which a silent client is disconnected (never).
/// first_command_timeout: seconds in which a client must send a complete command (unlimited).
/// write_timeout: seconds in which a client must take some of its replies (10.0; None: unlimited).
/// busy_poll: seconds for which each worker polls before it sleeps, for sooner replies (not at all).
/// greeting: the greeting ("Welcome to the server").
/// framing: "auto" also serves clients of the original classroom program, "line" frames lines from the start ("auto").
/// day_format, date_format, time_format: strftime formats of the replies ("%A", "%y-%m-%d", "%H:%M:%S").
/// timezone: an IANA name, "UTC", or an offset such as "+05:30" (the system's).
/// clock: a datetime, at which the clock stops, or a timedelta, which shifts the system's clock (the system's). A naive
///     datetime is in the server's timezone.
/// commands: custom commands, see command().
///
/// Raises OSError if it cannot bind, and ValueError, OverflowError or TypeError for an invalid setting.
#[pyclass(frozen, weakref, module = "daytime")]
pub(super) struct Server {
    core: Arc<Core>,
    /// Those of each of [`SERVICES`].
    addresses: [Vec<Address>; 3],
    timezone: Option<String>,
    /// Held while attached only.
    handlers: Mutex<Vec<Arc<Handler>>>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(
        signature = (
            host=Host::local(), port=Port(crate::DEFAULT_PORT), *, listen=None, listen_rfc867=None, listen_rfc868=None,
            sock=None, allow=None, deny=None, timezone=None, clock=None, commands=None, **settings
        ),
        text_signature = "(host='localhost', port=9990, *, listen=None, listen_rfc867=None, listen_rfc868=None, \
            sock=None, allow=(), deny=(), timezone=None, clock=None, commands=None, **settings)"
    )]
    #[allow(clippy::too_many_arguments)] // keywords
    fn new(
        py: Python<'_>,
        host: Host,
        port: Port,
        listen: Option<&Bound<'_, PyAny>>,
        listen_rfc867: Option<&Bound<'_, PyAny>>,
        listen_rfc868: Option<&Bound<'_, PyAny>>,
        sock: Option<&Bound<'_, PyAny>>,
        allow: Option<&Bound<'_, PyAny>>,
        deny: Option<&Bound<'_, PyAny>>,
        timezone: Option<String>,
        clock: Option<&Bound<'_, PyAny>>,
        commands: Option<&Bound<'_, PyMapping>>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let mut builder = crate::Server::builder()
            .networks(networks(allow, deny)?)
            .clock(convert::clock(clock, timezone.as_deref())?);
        if let Some(settings) = settings {
            builder = settings::apply(builder, settings)?;
        }
        if let Some(timezone) = &timezone {
            builder = builder.timezone(timezone);
        }
        if listen.is_none() && sock.is_none() {
            builder = builder.listen(host.at(port));
        }
        let services = [(Service::Text, listen), (Service::Rfc867, listen_rfc867), (Service::Rfc868, listen_rfc868)];
        for (service, addresses) in services {
            for address in several(addresses)? {
                builder = builder.listen_as(service, listening(&address)?);
            }
        }
        builder.check().map_err(|error| errors::error(py, error))?;
        if let Some(sock) = sock {
            let listener = adopt(sock, builder.effective_backlog())?;
            builder = builder.listener(listener);
        }
        let mut bound = interpreter::detach(py, || builder.bind()).map_err(|error| errors::error(py, error))?;
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let number = COUNT.fetch_add(1, Relaxed);
        let calls = CallQueue::new(number);
        let mut handlers = Vec::new();
        if let Some(commands) = commands {
            for item in commands.items()? {
                let (name, handler): (String, Bound<'_, PyAny>) = item.extract()?;
                let handler = callable(&name, &handler)?;
                add(&mut bound, &calls, &name, &handler).map_err(|error| errors::error(py, error))?;
                handlers.push(handler);
            }
        }
        if let Some(sock) = sock {
            sock.call_method0("close")?;
        }
        let addresses = SERVICES.map(|(_, service)| bound.addresses_of(service).to_vec());
        let core = Arc::new(Core {
            number,
            generation: ForkGeneration::current(),
            ready: Mutex::new(Some(Ready { bound, calls })),
            server: OnceLock::new(),
            stopping: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&core);
        interpreter::remember(weak);
        Ok(Server { core, addresses, timezone, handlers: Mutex::new(handlers) })
    }

    /// Starts to serve. Raises StateError if it was started or stopped before, OSError if the system denies a thread.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        let Some(Ready { bound, calls }) = self.core.ready().take() else {
            let what = if self.core.server.get().is_some() { "started" } else { "stopped" };
            return Err(state_error(py, &format!("the server was {what} before")));
        };
        let started = interpreter::detach(py, || {
            drop(calls);
            bound.start()
        });
        match started {
            Ok(server) => {
                let _ = self.core.server.set(server);
                if self.core.stopping.load(SeqCst) {
                    self.core.stop();
                }
                Ok(())
            }
            Err(error) => {
                self.core.stopping.store(true, SeqCst);
                Err(errors::error(py, error))
            }
        }
    }

    /// Stops the server: every connection is closed at once. Then waits until the server's threads have ended, at most
    /// `timeout` seconds (5.0; None: unlimited), unless `wait` is false or this is a handler of this server. `state` says
    /// whether they have ended. Further calls do nothing.
    #[pyo3(
        signature = (*, timeout=Seconds(Some(Duration::from_secs(5))), wait=true),
        text_signature = "($self, *, timeout=5.0, wait=True)"
    )]
    fn stop(&self, py: Python<'_>, timeout: Seconds, wait: bool) -> PyResult<()> {
        self.check(py)?;
        self.core.stop();
        if wait {
            self.wait_for_end(py, timeout)?;
        }
        Ok(())
    }

    /// Waits until the server has stopped, at most `timeout` seconds (None: unlimited). Returns whether it has. In a
    /// handler of this server it returns False at once. Raises StateError before the start.
    #[pyo3(signature = (timeout=Seconds(None)), text_signature = "($self, timeout=None)")]
    fn wait(&self, py: Python<'_>, timeout: Seconds) -> PyResult<bool> {
        self.check(py)?;
        if self.core.server.get().is_none() && !self.core.stopping.load(SeqCst) {
            return Err(state_error(py, "the server is not started"));
        }
        self.wait_for_end(py, timeout)
    }

    /// Starts the server unless it runs, and waits until it has stopped. An exception of a signal handler, such as
    /// KeyboardInterrupt, stops the server and is raised here.
    fn serve_forever(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        if self.core.server.get().is_none() {
            self.start(py)?;
        }
        let ended = self.wait_for_end(py, Seconds(None));
        if ended.is_err() {
            self.core.stop();
            interpreter::detach(py, || self.core.ended(LAST_WAIT));
        }
        ended.map(drop)
    }

    /// Starts to shut down, and returns at once. The server accepts no more clients, closes idle ones, and sends the
    /// replies that it owes. It stops when the last client is gone, or after `grace` seconds; see wait().
    #[pyo3(signature = (grace=Seconds(Some(Duration::from_secs(5)))), text_signature = "($self, grace=5.0)")]
    fn drain(&self, py: Python<'_>, grace: Seconds) -> PyResult<()> {
        self.check(py)?;
        match self.core.server.get() {
            Some(server) => {
                self.core.stopping.store(true, SeqCst);
                server.drain(grace.or_unlimited());
            }
            None => self.core.stop(),
        }
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let server = slf.get();
        server.check(slf.py())?;
        if server.core.server.get().is_none() || server.core.stopping.load(SeqCst) {
            server.start(slf.py())?;
        }
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
        if !self.core.generation.is_current() {
            return Ok(());
        }
        self.stop(py, Seconds(Some(Duration::from_secs(5))), true)
    }

    /// The first bound address, with its real port; ("unix:PATH", 0) for a Unix socket. Raises StateError if the server
    /// only has listeners for RFC 867 and RFC 868.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::peer(py, self.first(py)?)
    }

    /// The bound addresses of the text protocol.
    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tuple(py, &self.addresses[0])
    }

    /// The bound addresses of "text", "rfc867" or "rfc868". Raises ValueError for another name.
    #[pyo3(signature = (service, /))]
    fn addresses_of<'py>(&self, py: Python<'py>, service: &str) -> PyResult<Bound<'py, PyTuple>> {
        match SERVICES.iter().position(|(name, _)| *name == service) {
            Some(index) => tuple(py, &self.addresses[index]),
            None => {
                Err(PyValueError::new_err(format!("{service:?} is not a service; expected text, rfc867 or rfc868")))
            }
        }
    }

    /// The host of `address`.
    #[getter]
    fn host(&self, py: Python<'_>) -> PyResult<OsString> {
        Ok(convert::parts(self.first(py)?).0)
    }

    /// The port of `address`.
    #[getter]
    fn port(&self, py: Python<'_>) -> PyResult<u16> {
        Ok(convert::parts(self.first(py)?).1)
    }

    /// Problems that the start survived, such as a missing time zone database.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.core.server.get().map(|server| server.warnings().to_vec()).unwrap_or_default()
    }

    /// "ready", "running", "stopping" or "stopped".
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.check(py)?;
        let ended = interpreter::detach(py, || self.core.ended(Duration::ZERO));
        Ok(match self.core.server.get() {
            _ if ended => "stopped",
            None => "ready",
            Some(_) if self.core.stopping.load(SeqCst) => "stopping",
            Some(_) => "running",
        })
    }

    /// The counters of the server; all zero before the start.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check(py)?;
        let stats = self.core.server.get().map(|server| server.stats()).unwrap_or_default();
        let counts = (
            stats.clients,
            stats.accepted,
            stats.refused,
            stats.commands,
            stats.invalid,
            stats.bytes_in,
            stats.bytes_out,
            stats.events_dropped,
            convert::duration(py, stats.uptime)?,
        );
        import_attr(py, "daytime._vocabulary", "ServerStats")?.call1(counts)
    }

    /// Adds a custom command. The name is one word without blanks, unique in any letter case. With the name alone it is a
    /// decorator.
    ///
    /// The handler is called with a Request, on a thread of Python. Its client waits for the reply, and other clients are
    /// not delayed. It returns the reply, 1 to 1,023 bytes of UTF-8 without control characters, or None to close the
    /// connection. An exception goes to sys.unraisablehook, and the client gets "The command failed".
    ///
    /// Raises ValueError if the name is invalid, StateError once the server was started.
    #[pyo3(signature = (name, handler=None, /))]
    fn command<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        handler: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let server = slf.get();
        server.check(py)?;
        let Some(handler) = handler else {
            return import_attr(py, "functools", "partial")?.call1((slf.getattr("command")?, name));
        };
        let own = callable(name, &handler)?;
        // Exceptions are made after the lock is released, since that runs Python code.
        let added = server.core.ready().as_mut().map(|ready| add(&mut ready.bound, &ready.calls, name, &own));
        match added {
            Some(added) => added.map_err(|error| errors::error(py, error))?,
            None => return Err(state_error(py, "the server is started already; add commands before the start")),
        }
        server.handlers().push(own);
        Ok(handler)
    }

    /// Replaces the clock of the replies, see the constructor. Timeouts do not depend on it.
    #[pyo3(signature = (clock, /))]
    fn set_clock(&self, py: Python<'_>, clock: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.check(py)?;
        let clock = convert::clock(clock, self.timezone.as_deref())?;
        if let Some(ready) = self.core.ready().as_mut() {
            ready.bound.set_clock(clock);
        }
        if let Some(server) = self.core.server.get() {
            server.set_clock(clock);
        }
        Ok(())
    }

    /// Replaces the networks of the constructor. Connected clients stay.
    ///
    /// A network is "192.0.2.0/24", "2001:db8::/32" or one address. The longest prefix that contains a client's address
    /// decides. A network that is both allowed and denied is denied. An address that no network contains is accepted,
    /// unless at least one network is allowed. For Unix sockets the permissions of the file decide.
    ///
    /// Raises ValueError if a text is not a network. The networks are unchanged then.
    #[pyo3(signature = (*, allow=None, deny=None), text_signature = "($self, *, allow=(), deny=())")]
    fn set_networks(
        &self,
        py: Python<'_>,
        allow: Option<&Bound<'_, PyAny>>,
        deny: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.check(py)?;
        let networks = networks(allow, deny)?;
        if let Some(ready) = self.core.ready().as_mut() {
            ready.bound.set_networks(networks);
        } else if let Some(server) = self.core.server.get() {
            // A worker may hold the lock: wait for it detached.
            interpreter::detach(py, || server.set_networks(networks));
        }
        Ok(())
    }

    /// Reads the files of the time zones again. The server also does that every five minutes. Raises StateError before the
    /// start.
    fn reload_zones(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        match self.core.server.get() {
            Some(server) => server.reload_zones(),
            None => return Err(state_error(py, "the server is not started")),
        }
        Ok(())
    }

    /// The connected clients, in the order of their ids.
    fn clients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.check(py)?;
        let clients =
            interpreter::detach(py, || self.core.server.get().map(|server| server.clients()).unwrap_or_default());
        let class = import_attr(py, "daytime._vocabulary", "ClientInfo")?;
        let list = PyList::empty(py);
        for client in clients {
            let at = convert::moment(py, client.connected_at)?;
            let info = (u64::from(client.id), convert::peer(py, &client.peer)?, at, client.commands);
            list.append(class.call1(info)?)?;
        }
        Ok(list)
    }

    /// Closes a client's connection at once. Returns whether it was connected.
    #[pyo3(signature = (client_id, /))]
    fn disconnect(&self, py: Python<'_>, client_id: u64) -> PyResult<bool> {
        self.check(py)?;
        let client = ClientId::from(client_id);
        Ok(interpreter::detach(py, || self.core.server.get().is_some_and(|server| server.disconnect(client))))
    }

    /// An iterator over the events from this call on. It ends once the server has stopped, or after `timeout` seconds
    /// without an event (None: unlimited). At most `buffer` events are buffered, 1 to 1,048,576. Further ones are lost, and
    /// counted in stats().events_dropped. With `commands`, each executed command is an event too.
    ///
    /// Raises StateError before the start.
    #[pyo3(
        signature = (*, buffer=1024, commands=false, timeout=Seconds(None)),
        text_signature = "($self, *, buffer=1024, commands=False, timeout=None)"
    )]
    fn events(slf: &Bound<'_, Self>, buffer: usize, commands: bool, timeout: Seconds) -> PyResult<Events> {
        let (py, server) = (slf.py(), slf.get());
        server.check(py)?;
        if !(1..=BUFFER_MAX).contains(&buffer) {
            return Err(PyValueError::new_err(format!("buffer must be between 1 and {BUFFER_MAX}, got {buffer}")));
        }
        let Some(engine) = server.core.server.get() else {
            return Err(state_error(py, "the server is not started"));
        };
        let events = interpreter::detach(py, || engine.events_with(buffer, commands));
        Ok(Events::new(slf.clone().into_any().unbind(), server.core.generation, events, timeout.0))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = if self.core.generation.is_current() {
            self.state(py).unwrap_or("stopped")
        } else {
            "of the parent process"
        };
        let clients = match self.core.server.get() {
            Some(server) if state == "running" => format!(" clients={}", server.stats().clients),
            _ => String::new(),
        };
        format!("<daytime.Server {} {state}{clients}>", self.shown())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::no_pickle("Server"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Both locks are free: they are held only while attached, and never during a call into Python.
        let Ok(handlers) = self.handlers.try_lock() else { return Ok(()) };
        handlers.iter().try_for_each(|handler| match &*handler.lock() {
            Some(callable) => visit.call(callable),
            None => Ok(()),
        })
    }

    fn __clear__(&self) {
        self.release();
    }
}

impl Server {
    pub(super) fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.core.generation.check(py, "server")
    }

    fn first(&self, py: Python<'_>) -> PyResult<&Address> {
        let none = || state_error(py, "the server only has listeners for RFC 867 and RFC 868");
        self.addresses[0].first().ok_or_else(none)
    }

    /// The address for `repr`.
    fn shown(&self) -> String {
        self.addresses.iter().flatten().next().map(Address::to_string).unwrap_or_default()
    }

    fn wait_for_end(&self, py: Python<'_>, timeout: Seconds) -> PyResult<bool> {
        if calls::is_serving(self.core.number) {
            return Ok(false);
        }
        let deadline = timeout.0.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(interpreter::wait(py, deadline, |tick| self.core.ended(tick).then_some(()))?.is_some())
    }

    fn handlers(&self) -> MutexGuard<'_, Vec<Arc<Handler>>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases everything, without waiting, and without a lock while Python code can run.
    fn release(&self) {
        if self.core.generation.is_current() {
            self.core.shut_down();
        }
        let handlers = std::mem::take(&mut *self.handlers());
        let callables: Vec<_> = handlers.iter().map(|handler| handler.lock().take()).collect();
        drop(callables);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let open = self.core.generation.is_current() && !self.core.stopping.load(SeqCst);
        if open {
            interpreter::warn_unclosed::<PyResourceWarning>(&format!("<daytime.Server {}>", self.shown()));
        }
        self.release();
    }
}

fn callable(name: &str, handler: &Bound<'_, PyAny>) -> PyResult<Arc<Handler>> {
    if handler.is_callable() {
        return Ok(Handler::new(handler.clone().unbind()));
    }
    let wrong = handler.get_type().name()?;
    Err(PyTypeError::new_err(format!("the handler of {name:?} must be callable, got {wrong}")))
}

/// Registers a handler, which the engine's closure does not own.
fn add(bound: &mut BoundServer, calls: &Arc<CallQueue>, name: &str, handler: &Arc<Handler>) -> Result<(), Error> {
    let (handler, calls) = (handler.clone(), calls.clone());
    bound.command(name, move |request| calls.call(&handler, request))
}
