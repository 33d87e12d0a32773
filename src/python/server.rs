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
    types::{PyDict, PyList, PyTuple},
};

use super::{
    calls::{self, CallQueue, Handler},
    convert::{self, Host, Port, Seconds},
    errors::{self, import_attr, model_class, state_error},
    events::Events,
    interpreter::{self, ForkGeneration, Stoppable},
    listen,
    settings::{Settings, add_networks, documentation, signature, with_settings},
};
use crate::{Address, Bound as BoundServer, ClientId, Error, Networks, Service};

/// How long `serve_forever` waits for the server's threads after an interrupt.
const INTERRUPT_WAIT: Duration = Duration::from_millis(100);
/// The largest buffer of a subscription, whose memory is allocated at once.
const BUFFER_MAX: usize = 1 << 20;
/// The order of [`Server::addresses`].
const SERVICES: [Service; 3] = [Service::Text, Service::Rfc867, Service::Rfc868];

/// A server without its Python object. It stays reachable for forks and for the finalization of the interpreter.
pub(super) struct Core {
    number: usize,
    generation: ForkGeneration,
    /// `None` after the start. Held only briefly.
    ready: Mutex<Option<Ready>>,
    server: OnceLock<crate::Server>,
    stopping: AtomicBool,
}

struct Ready {
    bound: BoundServer,
    queue: Arc<CallQueue>,
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
    addresses: [Vec<Address>; SERVICES.len()],
    timezone: Option<String>,
    /// Held only while attached.
    handlers: Mutex<Vec<Arc<Handler>>>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (host=Host::local(), port=Port(crate::DEFAULT_PORT), **settings), text_signature = None)]
    fn new(py: Python<'_>, host: Host, port: Port, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let Settings { builder, timezone, commands, sock, .. } = Settings::new(py, host, port, settings)?;
        let mut bound = interpreter::detach(py, || builder.bind()).map_err(|error| errors::error(py, error))?;
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let number = COUNT.fetch_add(1, Relaxed);
        let queue = CallQueue::new(number);
        let mut handlers = Vec::new();
        if let Some(commands) = commands {
            for item in commands.items()? {
                let (name, handler): (String, Bound<'_, PyAny>) = item.extract()?;
                let handler = callable(&name, &handler)?;
                add(&mut bound, &queue, &name, &handler).map_err(|error| errors::error(py, error))?;
                handlers.push(handler);
            }
        }
        if let Some(sock) = sock {
            sock.call_method0("close")?;
        }
        let addresses = SERVICES.map(|service| bound.addresses_of(service).to_vec());
        let core = Arc::new(Core {
            number,
            generation: ForkGeneration::current(),
            ready: Mutex::new(Some(Ready { bound, queue })),
            server: OnceLock::new(),
            stopping: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&core);
        interpreter::register(weak);
        Ok(Server { core, addresses, timezone, handlers: Mutex::new(handlers) })
    }

    /// Begins to serve. Raises StateError if the server was started or stopped before, and OSError if the system denies a
    /// thread.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        let Some(Ready { bound, queue }) = self.core.ready().take() else {
            let done = if self.core.server.get().is_some() { "started" } else { "stopped" };
            return Err(state_error(py, &format!("the server was {done} before")));
        };
        let started = interpreter::detach(py, || {
            drop(queue);
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

    /// The first bound address of the text protocol, with its real port; ("unix:PATH", 0) for a Unix socket. Raises
    /// StateError if the server listens only for RFC 867 and RFC 868.
    #[getter]
    fn address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::peer(py, self.first(py)?)
    }

    /// All bound addresses of the text protocol.
    #[getter]
    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.addresses_of(py, "text")
    }

    /// The bound addresses of a service: "text", "rfc867" or "rfc868". Raises ValueError for another name.
    #[pyo3(signature = (service, /))]
    fn addresses_of<'py>(&self, py: Python<'py>, service: &str) -> PyResult<Bound<'py, PyTuple>> {
        let service = listen::service(service)?;
        let addresses = SERVICES.iter().zip(&self.addresses).find(|(other, _)| **other == service);
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
        let counts = (
            stats.clients,
            stats.accepted,
            stats.refused,
            stats.commands,
            stats.invalid,
            stats.bytes_in,
            stats.bytes_out,
            stats.events_dropped,
            stats.uptime,
        );
        model_class(py, "ServerStats")?.call1(counts)
    }

    /// Adds a custom command. Its name is one word without blanks or control characters, unique in any letter case. With
    /// the name alone, it is a decorator.
    ///
    /// The handler is called with a Request, on a Python thread, and only its client waits for it. It returns the reply,
    /// 1 to 1,023 bytes of UTF-8 without control characters, or None to close the connection. If it raises, the client
    /// gets "The command failed", and the exception goes to sys.unraisablehook.
    ///
    /// Raises ValueError if the name is invalid, and StateError after the start.
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
        let callable = callable(name, &handler)?;
        // Exceptions are made after the lock is released, since that runs Python code.
        let added = server.core.ready().as_mut().map(|ready| add(&mut ready.bound, &ready.queue, name, &callable));
        match added {
            Some(added) => added.map_err(|error| errors::error(py, error))?,
            None => return Err(state_error(py, "custom commands must be added before the server starts")),
        }
        server.handlers().push(callable);
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
            ready.bound.set_networks(networks);
        } else if let Some(server) = self.core.server.get() {
            // A worker may be reading the networks, and the wait for it needs no interpreter.
            interpreter::detach(py, || server.set_networks(networks));
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

    /// An iterator over the events from now on. It ends once the server has stopped, or when no event came for `timeout`
    /// seconds (None: it waits). It buffers `buffer` events, 1 to 1,048,576. Further events are lost, and
    /// stats().events_dropped counts them. With `commands`, each executed command is an event too.
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
            return Err(PyValueError::new_err(format!("buffer must be between 1 and 1,048,576, got {buffer}")));
        }
        let Some(engine) = server.core.server.get() else {
            return Err(state_error(py, "the server was not started"));
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
        format!("<daytime.Server {} {state}{clients}>", self.any_address())
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
        let error = || state_error(py, "the server listens only for RFC 867 and RFC 868");
        self.addresses[0].first().ok_or_else(error)
    }

    /// An address for messages.
    fn any_address(&self) -> String {
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

    /// Releases the server and the handlers, without waiting, and without a lock while Python code may run.
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
            interpreter::warn_unclosed::<PyResourceWarning>(&format!("<daytime.Server {}>", self.any_address()));
        }
        self.release();
    }
}

fn callable(name: &str, handler: &Bound<'_, PyAny>) -> PyResult<Arc<Handler>> {
    if handler.is_callable() {
        return Ok(Handler::new(handler.clone().unbind()));
    }
    let given = handler.get_type().name()?;
    Err(PyTypeError::new_err(format!("the handler of {name:?} must be callable, got {given}")))
}

/// Registers a handler. The engine's closure does not own the Python object.
fn add(bound: &mut BoundServer, queue: &Arc<CallQueue>, name: &str, handler: &Arc<Handler>) -> Result<(), Error> {
    let (handler, queue) = (handler.clone(), queue.clone());
    bound.command(name, move |request| queue.call(&handler, request))
}
