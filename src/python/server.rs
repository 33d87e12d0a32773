//! The server.

use std::{
    ffi::OsString,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyResourceWarning, PyTypeError, PyValueError},
    prelude::*,
    types::{IntoPyDict, PyDict, PyList, PyMapping, PyTuple},
};

use super::{
    convert::{self, Host, Port, Seconds},
    errors::{self, import_attr, model_class, state_error},
    events::{Bell, Events},
    handler_thread,
    handlers::{Handlers, Kind},
    interpreter::{self, ForkGeneration, Stoppable},
    listen,
    settings::{Settings, add_networks, documentation, signature, with_settings},
};
use crate::{Address, Bound as BoundServer, ClientId, Error, EventOptions, Networks, Reason, Service};

/// How long `serve_forever` waits for the server's threads after an interrupt.
const INTERRUPT_WAIT: Duration = Duration::from_millis(100);
/// The largest capacity of a subscription, whose memory is allocated at once.
const CAPACITY_MAX: usize = 1 << 20;

/// A server without its Python object. It stays reachable for forks and for the finalization of the interpreter.
pub(super) struct Core {
    generation: ForkGeneration,
    /// `None` after the start. Held only briefly.
    ready: Mutex<Option<BoundServer>>,
    server: OnceLock<crate::Server>,
    stopping: AtomicBool,
}

impl Core {
    fn ready(&self) -> MutexGuard<'_, Option<BoundServer>> {
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

#[doc = with_settings!(signature)]
/// A server that sends the day, the date and the time.
///
/// The constructor binds and listens. So a taken port raises there, and `port` is real at once, even if 0 was given.
/// start(), or `with`, begins to serve, on threads that never wait for the GIL.
///
/// A host name stands for all of its addresses that this machine has. For port 0 the system chooses a free port. The
/// host "unix:PATH" is a Unix socket: its file is replaced if no server answers on it, and removed when the server stops.
/// "unix:@NAME" is a Unix socket in the abstract namespace. Both ignore the port.
///
/// Raises OSError if it cannot bind, and ValueError, OverflowError or TypeError if a setting is invalid. The settings:
///
#[doc = with_settings!(documentation)]
#[pyclass(frozen, weakref, module = "daytime")]
pub(super) struct Server {
    core: Arc<Core>,
    /// In the order of [`Service::ALL`].
    addresses: Vec<Vec<Address>>,
    timezone: Option<String>,
    handlers: Arc<Handlers>,
    /// The loop of `async def` handlers.
    event_loop: Option<Py<PyAny>>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (host=Host::local(), port=Port(crate::DEFAULT_PORT), **settings), text_signature = None)]
    fn new(py: Python<'_>, host: Host, port: Port, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let Settings { builder, timezone, commands, on_connect, on_disconnect, event_loop, sock, .. } =
            Settings::new(py, host, port, settings)?;
        let event_loop = match event_loop {
            None => running_loop(py)?,
            given => given,
        };
        let bound = interpreter::detach(py, || builder.bind()).map_err(|error| errors::error(py, error))?;
        let addresses = Service::ALL.iter().map(|service| bound.addresses_of(*service).to_vec()).collect();
        let core = Arc::new(Core {
            generation: ForkGeneration::current(),
            ready: Mutex::new(Some(bound)),
            server: OnceLock::new(),
            stopping: AtomicBool::new(false),
        });
        let server = Server {
            core,
            addresses,
            timezone,
            handlers: Arc::new(Handlers::new()),
            event_loop: event_loop.map(Bound::unbind),
        };
        let added = server.add_all(commands, on_connect, on_disconnect);
        if let Err(error) = added {
            server.core.stop();
            return Err(error);
        }
        if let Some(sock) = sock {
            sock.call_method0("close")?;
        }
        let weak = Arc::downgrade(&server.core);
        interpreter::register(weak);
        Ok(server)
    }

    /// Begins to serve. Raises StateError if the server was started or stopped before, and OSError if the system denies a
    /// thread.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        let Some(mut bound) = self.core.ready().take() else {
            let done = if self.core.server.get().is_some() { "started" } else { "stopped" };
            return Err(state_error(py, &format!("the server was {done} before")));
        };
        let handlers = self.handlers.clone();
        bound.run_handlers_on(move |thread| handler_thread::run(&handlers, thread));
        let started = interpreter::detach(py, || bound.start());
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
    /// for `timeout` seconds (default 5.0; None: unlimited). It does not wait if `wait` is false, or in a handler of this
    /// server. Afterwards, `state` says whether the threads have ended. Further calls have no effect.
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

    /// Waits until the server has stopped, at most for `timeout` seconds (None: unlimited). Returns whether it has. In a
    /// handler of this server it returns False at once, since waiting would deadlock. Raises StateError before the start.
    #[pyo3(signature = (timeout=Seconds(None)), text_signature = "($self, timeout=None)")]
    fn wait(&self, py: Python<'_>, timeout: Seconds) -> PyResult<bool> {
        self.check(py)?;
        if self.core.server.get().is_none() && !self.core.stopping.load(SeqCst) {
            return Err(state_error(py, "the server was not started"));
        }
        self.wait_for_end(py, timeout)
    }

    /// Starts the server, unless it was started before, and waits until it has stopped. An exception of a signal handler,
    /// such as KeyboardInterrupt, stops the server and is raised here.
    fn serve_forever(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        if self.core.server.get().is_none() {
            self.start(py)?;
        }
        let ended = self.wait_for_end(py, Seconds(None));
        if ended.is_err() {
            self.core.stop();
            interpreter::detach(py, || self.core.ended(INTERRUPT_WAIT));
        }
        ended.map(drop)
    }

    /// Starts to shut down, and returns at once. The server accepts no more clients, closes idle ones, and sends the
    /// replies that it owes. It stops when the last client is gone, or after `grace` seconds. wait() waits for that.
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

    /// Stops the server like stop(), and waits without blocking the event loop. It cancels the tasks of `async def` handlers.
    #[pyo3(signature = (*, timeout=Seconds(Some(Duration::from_secs(5)))), text_signature = "($self, *, timeout=5.0)")]
    fn astop<'py>(slf: &Bound<'py, Self>, timeout: Seconds) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check(py)?;
        let tasks = slf.get().handlers.tasks(py);
        let seconds = timeout.0.map(|timeout| timeout.as_secs_f64());
        import_attr(py, "daytime._loop", "stop")?.call1((slf, tasks, seconds))
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        import_attr(slf.py(), "daytime._loop", "enter")?.call1((slf,))
    }

    #[pyo3(signature = (exc_type, exc, tb, /))]
    #[allow(unused_variables)]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        tb: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::astop(slf, Seconds(Some(Duration::from_secs(5))))
    }

    /// The first bound address of the text protocol, with its real port; ("unix:PATH", 0) for a Unix socket. Raises
    /// StateError if the server does not listen for it.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::peer(py, self.first(py)?)
    }

    /// All bound addresses of the text protocol.
    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.addresses_of(py, "text")
    }

    /// The bound addresses of a service: "text", "rfc867", "rfc868", "metrics" or "proxied". Raises ValueError for another name.
    #[pyo3(signature = (service, /))]
    fn addresses_of<'py>(&self, py: Python<'py>, service: &str) -> PyResult<Bound<'py, PyTuple>> {
        let service = listen::service(service)?;
        let addresses = Service::ALL.iter().zip(&self.addresses).find(|(other, _)| **other == service);
        listen::addresses(py, addresses.map_or(&[], |(_, addresses)| addresses))
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

    /// The counters of the server; all are zero before the start.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check(py)?;
        let stats = self.core.server.get().map(|server| server.stats()).unwrap_or_default();
        let fields = PyDict::new(py);
        for (name, count) in [
            ("clients", stats.clients),
            ("accepted", stats.accepted),
            ("refused", stats.refused),
            ("commands", stats.commands),
            ("invalid", stats.invalid),
            ("bytes_in", stats.bytes_in),
            ("bytes_out", stats.bytes_out),
            ("events_dropped", stats.events_dropped),
            ("max_clients", stats.max_clients),
            ("accept_pauses", stats.accept_pauses),
            ("handler_failures", stats.handler_failures),
            ("hook_failures", stats.hook_failures),
            ("handlers_waiting", stats.handlers_waiting),
        ] {
            fields.set_item(name, count)?;
        }
        fields.set_item("uptime", stats.uptime)?;
        let by_service = Service::ALL.iter().map(|service| (service.name(), stats.by_service(*service)));
        fields.set_item("by_service", by_service.into_py_dict(py)?)?;
        let by_reason = Reason::ALL.iter().map(|reason| (reason.name(), stats.by_reason(*reason)));
        fields.set_item("by_reason", by_reason.into_py_dict(py)?)?;
        model_class(py, "ServerStats")?.call((), Some(&fields))
    }

    /// The counters as text for Prometheus, in its text format 0.0.4, for an HTTP server of one's own. A server with
    /// `listen_metrics` sends this text by itself. Raises StateError before the start.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        self.check(py)?;
        let started = self.core.server.get().ok_or_else(|| state_error(py, "the server was not started"));
        started.map(|server| server.metrics())
    }

    /// Adds a custom command. Its name is one word without blanks or control characters, unique in any letter case. With
    /// the name alone, it is a decorator. `usage` is how `help` shows the command, such as "score NAME"; its first word is
    /// the name.
    ///
    /// The handler is called with a Request, on a Python thread, and only its client waits for it. It returns the reply,
    /// 1 to 1,023 bytes of UTF-8 without control characters, or None to close the connection. If it raises ReplyError, the
    /// client gets that text as an error. If it raises another exception, the client gets "The command failed", and the
    /// exception goes to sys.unraisablehook.
    ///
    /// An `async def` handler runs as a task on the loop that was running when the server was made, or on `loop`. If the
    /// task is cancelled, or the loop is closed, the client gets "The command failed".
    ///
    /// Raises ValueError if the name or the usage is invalid, TypeError if an `async def` handler has no loop, and
    /// StateError after the start.
    #[pyo3(signature = (name, handler=None, /, *, usage=None))]
    fn command<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        handler: Option<Bound<'py, PyAny>>,
        usage: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::register(slf, "command", name, handler, usage)
    }

    /// Adds a custom command whose reply comes later, from any thread. It is a decorator like command().
    ///
    /// The handler is called with a Request and a Responder. It passes the responder on and returns, so that no thread
    /// waits for the reply. Its return value is ignored. If it raises, the command fails, unless the reply was given
    /// before.
    ///
    /// Raises ValueError if the name or the usage is invalid, and StateError after the start.
    #[pyo3(signature = (name, handler=None, /, *, usage=None))]
    fn command_deferred<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
        handler: Option<Bound<'py, PyAny>>,
        usage: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::register(slf, "command_deferred", name, handler, usage)
    }

    /// Sets the hook for clients that connect; also a decorator. It is called with a ClientContext, on a Python thread,
    /// before the first command of the client. What it returns is the state of the client: `state` of its requests. The
    /// server drops the state once the client has left. If the hook raises, the client has no state.
    ///
    /// Raises StateError after the start.
    #[pyo3(signature = (hook, /))]
    fn on_connect<'py>(&self, hook: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.set_on_connect(&hook)?;
        Ok(hook)
    }

    /// Sets the hook for clients that left; also a decorator. It is called with the ClientContext, the reason as in
    /// Disconnected, and the state (or None), on a Python thread, after the last handler of the client has returned. It is
    /// called for every client, also when the server stops. Until it returns, the client counts for `max_clients`.
    ///
    /// Raises StateError after the start.
    #[pyo3(signature = (hook, /))]
    fn on_disconnect<'py>(&self, hook: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.set_on_disconnect(&hook)?;
        Ok(hook)
    }

    /// Replaces the clock of the replies, see the constructor. Timeouts do not depend on it.
    #[pyo3(signature = (clock, /))]
    fn set_clock(&self, py: Python<'_>, clock: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.check(py)?;
        let clock = convert::clock(clock, self.timezone.as_deref())?;
        if let Some(ready) = self.core.ready().as_mut() {
            ready.set_clock(clock);
        }
        if let Some(server) = self.core.server.get() {
            server.set_clock(clock);
        }
        Ok(())
    }

    /// Replaces the networks whose clients are accepted or rejected. Connected clients stay.
    ///
    /// A network is "192.0.2.0/24", "2001:db8::/32" or one address. The longest prefix that contains a client's address
    /// decides. A network that is both allowed and denied is denied. An address that no network contains is accepted,
    /// unless at least one network is allowed. Clients on Unix sockets have no network: the permissions of the file
    /// decide.
    ///
    /// Raises ValueError if a text is not a network. The server is unchanged then.
    #[pyo3(signature = (*, allow=None, deny=None), text_signature = "($self, *, allow=(), deny=())")]
    fn set_networks(
        &self,
        py: Python<'_>,
        allow: Option<&Bound<'_, PyAny>>,
        deny: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.check(py)?;
        let mut networks = Networks::new();
        if let Some(allow) = allow {
            add_networks(&mut networks, Networks::allow, allow)?;
        }
        if let Some(deny) = deny {
            add_networks(&mut networks, Networks::deny, deny)?;
        }
        if let Some(ready) = self.core.ready().as_mut() {
            ready.set_networks(networks);
        } else if let Some(server) = self.core.server.get() {
            // A worker may be reading the networks, and the wait for it needs no interpreter.
            interpreter::detach(py, || server.set_networks(networks));
        }
        Ok(())
    }

    /// Replaces the networks of the proxies that may connect to a TCP address of `listen_proxied`. A connection that waits
    /// for its header stays. With an empty iterable each later one is refused.
    ///
    /// Raises ValueError if a text is not a network. The server is unchanged then.
    #[pyo3(signature = (proxy, /))]
    fn set_proxies(&self, py: Python<'_>, proxy: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check(py)?;
        let mut proxies = Networks::new();
        add_networks(&mut proxies, Networks::allow, proxy)?;
        if let Some(ready) = self.core.ready().as_mut() {
            ready.set_proxies(proxies);
        } else if let Some(server) = self.core.server.get() {
            interpreter::detach(py, || server.set_proxies(proxies));
        }
        Ok(())
    }

    /// Reads the files of the time zones again. The server also does that every five minutes. Raises StateError before
    /// the start.
    fn reload_zones(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        match self.core.server.get() {
            Some(server) => server.reload_zones(),
            None => return Err(state_error(py, "the server was not started")),
        }
        Ok(())
    }

    /// The connected clients, in the order of their ids.
    fn clients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.check(py)?;
        let clients =
            interpreter::detach(py, || self.core.server.get().map(|server| server.clients()).unwrap_or_default());
        let class = model_class(py, "ClientInfo")?;
        let list = PyList::empty(py);
        for client in clients {
            let at = convert::utc(py, client.connected_at)?;
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

    /// An iterator over the events from now on, for `for` and for `async for`. It ends once the server has stopped, or when no event came for `timeout`
    /// seconds (None: it waits). It buffers `capacity` events, 1 to 1,048,576. Further events are dropped, and
    /// stats().events_dropped counts them. With `commands`, each executed command is an event too.
    ///
    /// Raises StateError before the start.
    #[pyo3(
        signature = (*, capacity=1024, commands=false, timeout=Seconds(None)),
        text_signature = "($self, *, capacity=1024, commands=False, timeout=None)"
    )]
    fn events(slf: &Bound<'_, Self>, capacity: usize, commands: bool, timeout: Seconds) -> PyResult<Events> {
        let (py, server) = (slf.py(), slf.get());
        server.check(py)?;
        if !(1..=CAPACITY_MAX).contains(&capacity) {
            return Err(PyValueError::new_err(format!("capacity must be between 1 and 1,048,576, got {capacity}")));
        }
        let Some(engine) = server.core.server.get() else {
            return Err(state_error(py, "the server was not started"));
        };
        let bell = Arc::new(Bell::default());
        let ringer = bell.clone();
        let options = EventOptions::new().capacity(capacity).commands(commands);
        let events = interpreter::detach(py, || engine.events_ringing(options, move || ringer.ring()));
        Ok(Events::new(slf.clone().into_any().unbind(), server.core.generation, events, bell, timeout.0))
    }

    /// Logs the events from now on, on a thread of its own: a slow handler of the log delays no client. `logger` is a
    /// logging.Logger (default: that of the name "daytime"). With `commands`, each command is an event too.
    ///
    /// The message is str(event), and the record has the event as its attribute `event`. The level of CommandFailed and
    /// AcceptPaused is WARNING, that of CommandServed DEBUG, that of the others INFO.
    ///
    /// Returns the thread, a daemon, which ends after the server and after the last event was logged. Raises StateError
    /// before the start.
    #[pyo3(signature = (logger=None, *, commands=false), text_signature = "($self, logger=None, *, commands=False)")]
    fn log_events<'py>(
        slf: &Bound<'py, Self>,
        logger: Option<Bound<'py, PyAny>>,
        commands: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let events = Self::events(slf, 1024, commands, Seconds(None))?;
        import_attr(slf.py(), "daytime._log", "start")?.call1((events, logger))
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
        format!("<daytime.Server {} {state}{clients}>", self.any_address())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(errors::no_pickle("Server"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        self.handlers.traverse(&visit)
    }

    fn __clear__(&self) {
        self.warn_if_open();
        self.release();
    }
}

impl Server {
    pub(super) fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.core.generation.check(py, "server")
    }

    fn first(&self, py: Python<'_>) -> PyResult<&Address> {
        let error = || state_error(py, "the server listens only for other services, such as RFC 867");
        self.addresses[0].first().ok_or_else(error)
    }

    /// An address for messages.
    fn any_address(&self) -> String {
        self.addresses.iter().flatten().next().map(Address::to_string).unwrap_or_default()
    }

    fn wait_for_end(&self, py: Python<'_>, timeout: Seconds) -> PyResult<bool> {
        if self.core.server.get().is_some_and(|server| server.is_own_thread()) {
            return Ok(false);
        }
        let deadline = timeout.0.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(interpreter::wait(py, deadline, |tick| self.core.ended(tick).then_some(()))?.is_some())
    }

    /// Adds a command, or returns the decorator that does.
    fn register<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        name: &str,
        handler: Option<Bound<'py, PyAny>>,
        usage: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check(py)?;
        let Some(handler) = handler else {
            let keywords = PyDict::new(py);
            keywords.set_item("usage", usage)?;
            return import_attr(py, "functools", "partial")?.call((slf.getattr(method)?, name), Some(&keywords));
        };
        let kind = if method == "command" { Kind::Returned } else { Kind::Deferred };
        slf.get().add(name, &handler, kind, usage)?;
        Ok(handler)
    }

    fn add(&self, name: &str, handler: &Bound<'_, PyAny>, kind: Kind, usage: Option<&str>) -> PyResult<()> {
        let py = handler.py();
        callable(&format!("the handler of {name:?}"), handler)?;
        let (handler, kind) = match is_async(handler)? {
            false => (handler.clone(), kind),
            true => (self.task_starter(name, handler, kind)?, Kind::Deferred),
        };
        if let Some(usage) = usage
            && !usage.split(' ').next().unwrap_or_default().eq_ignore_ascii_case(name)
        {
            let message = format!("the usage of {name:?} must begin with the name, got {usage:?}");
            return Err(PyValueError::new_err(message));
        }
        self.before_start(py, "custom commands must be added", |bound| {
            bound.reserve(name, usage)?;
            self.handlers.add(py, name, handler.unbind(), kind);
            Ok(())
        })
    }

    /// A deferred handler that runs an `async def` handler as a task.
    fn task_starter<'py>(&self, name: &str, handler: &Bound<'py, PyAny>, kind: Kind) -> PyResult<Bound<'py, PyAny>> {
        let py = handler.py();
        if kind == Kind::Deferred {
            let message =
                format!("the deferred handler of {name:?} must be a plain function; command() takes async ones");
            return Err(PyTypeError::new_err(message));
        }
        let Some(event_loop) = &self.event_loop else {
            let message = format!(
                "the async handler of {name:?} needs an event loop: make the server in a running one, or with loop="
            );
            return Err(PyTypeError::new_err(message));
        };
        let tasks = match self.handlers.tasks(py) {
            Some(tasks) => tasks.into_bound(py),
            None => {
                let tasks = import_attr(py, "daytime._loop", "Tasks")?.call1((event_loop,))?;
                self.handlers.set_tasks(tasks.clone().unbind());
                tasks
            }
        };
        tasks.call_method1("starter", (handler,))
    }

    fn add_all(
        &self,
        commands: Option<Bound<'_, PyMapping>>,
        on_connect: Option<Bound<'_, PyAny>>,
        on_disconnect: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if let Some(commands) = commands {
            for item in commands.items()? {
                let (name, handler): (String, Bound<'_, PyAny>) = item.extract()?;
                self.add(&name, &handler, Kind::Returned, None)?;
            }
        }
        on_connect.map_or(Ok(()), |hook| self.set_on_connect(&hook))?;
        on_disconnect.map_or(Ok(()), |hook| self.set_on_disconnect(&hook))
    }

    fn set_on_connect(&self, hook: &Bound<'_, PyAny>) -> PyResult<()> {
        plain("on_connect", hook)?;
        let mut before = None;
        let set = self.before_start(hook.py(), "hooks must be set", |bound| {
            bound.on_connect(|_| ());
            // It ends the state, with or without a hook.
            bound.on_disconnect(|_, _| ());
            before = self.handlers.set_hook(|hooks| &mut hooks.on_connect, hook.clone().unbind());
            Ok(())
        });
        drop(before);
        set
    }

    fn set_on_disconnect(&self, hook: &Bound<'_, PyAny>) -> PyResult<()> {
        plain("on_disconnect", hook)?;
        let mut before = None;
        let set = self.before_start(hook.py(), "hooks must be set", |bound| {
            bound.on_disconnect(|_, _| ());
            before = self.handlers.set_hook(|hooks| &mut hooks.on_disconnect, hook.clone().unbind());
            Ok(())
        });
        drop(before);
        set
    }

    /// Changes the server before its start.
    fn before_start(
        &self,
        py: Python<'_>,
        what: &str,
        change: impl FnOnce(&mut BoundServer) -> Result<(), Error>,
    ) -> PyResult<()> {
        self.check(py)?;
        // Exceptions are made after the lock is released, since that runs Python code.
        let changed = self.core.ready().as_mut().map(change);
        match changed {
            Some(changed) => changed.map_err(|error| errors::error(py, error)),
            None => Err(state_error(py, &format!("{what} before the server starts"))),
        }
    }

    fn warn_if_open(&self) {
        if self.core.generation.is_current() && !self.core.stopping.load(SeqCst) {
            interpreter::warn_unclosed::<PyResourceWarning>(&format!("<daytime.Server {}>", self.any_address()));
        }
    }

    /// Releases the server and the handlers, without waiting.
    fn release(&self) {
        if self.core.generation.is_current() {
            self.core.shut_down();
        }
        self.handlers.release();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.warn_if_open();
        self.release();
    }
}

/// The loop that runs on this thread. A program that has not imported asyncio has none.
fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let modules = py.import("sys")?.getattr("modules")?;
    let events = modules.call_method1("get", ("asyncio.events",))?;
    if events.is_none() {
        return Ok(None);
    }
    let running = events.call_method0("_get_running_loop")?;
    Ok(Some(running).filter(|running| !running.is_none()))
}

fn is_async(handler: &Bound<'_, PyAny>) -> PyResult<bool> {
    import_attr(handler.py(), "daytime._handlers", "is_async")?.call1((handler,))?.extract()
}

fn plain(what: &str, given: &Bound<'_, PyAny>) -> PyResult<()> {
    callable(what, given)?;
    match is_async(given)? {
        true => Err(PyTypeError::new_err(format!("{what} must be a plain function, got an async one"))),
        false => Ok(()),
    }
}

fn callable(what: &str, given: &Bound<'_, PyAny>) -> PyResult<()> {
    if given.is_callable() {
        return Ok(());
    }
    let given = given.get_type().name()?;
    Err(PyTypeError::new_err(format!("{what} must be callable, got {given}")))
}
