//! How a server is set up: addresses, commands, zone and clock here, all other settings in `config.rs`.

use std::{fmt, os::fd::OwnedFd, sync::Arc, time::Duration};

use nix::sys::resource::{Resource, getrlimit};

use super::{
    Server,
    admission::Admission,
    bound::Bound,
    config::{Config, CustomCommand, Settings, with_settings},
    events::{Events, Reason},
    handler::{ClientContext, Handler, Hooks, IntoReply, Request},
    launch::Parts,
    listen::{self, Addresses, Service},
    process::ProcessMetrics,
    responder::{Responder, deferred},
};
use crate::{
    Address, Error, Networks,
    clock::{Clock, Zones},
    protocol::{Commands, Formats, Framing},
};

/// The settings of a server that does not exist yet. [`bind`](Self::bind) checks them all; no setter does. If a setter
/// takes an `Option`, `None` is the default.
///
/// ```
/// use std::time::Duration;
/// use daytime::{Networks, Server};
///
/// let server = Server::builder()
///     .listen("127.0.0.1:0") // port 0: the system chooses a free port
///     .workers(2)
///     .max_clients(1000)
///     .idle_timeout(Duration::from_secs(600))
///     .allow("127.0.0.0/8")
///     .start()?;
/// assert_ne!(server.port(), 0);
///
/// let error = Server::builder().workers(0).check().unwrap_err();
/// assert_eq!(error.to_string(), "workers must be between 1 and 1,024, got 0");
/// # Ok::<(), daytime::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is bound before `bind` or `start`"]
pub struct ServerBuilder {
    settings: Settings,
    listen: Vec<(Service, Address)>,
    listeners: Vec<(Service, Arc<OwnedFd>)>,
    networks: Result<Networks, String>,
    proxies: Result<Networks, String>,
    timezone: Option<String>,
    clock: Clock,
    commands: Vec<(String, Handler)>,
    usages: Vec<String>,
    hooks: Hooks,
    process_metrics: Option<ProcessMetrics>,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        ServerBuilder {
            settings: Settings::default(),
            listen: Vec::new(),
            listeners: Vec::new(),
            networks: Ok(Networks::new()),
            proxies: Ok(Networks::new()),
            timezone: None,
            clock: Clock::system(),
            commands: Vec::new(),
            usages: Vec::new(),
            hooks: Hooks::default(),
            process_metrics: None,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($argument:ty): $type:ty = $default:expr, $check:expr;)*) => {
        /// One setter for each row of `config.rs`.
        impl ServerBuilder {
            $(
                $(#[$doc])*
                #[allow(clippy::useless_conversion)]
                pub fn $name(mut self, $name: $argument) -> Self {
                    self.settings.$name = $name.into();
                    self
                }
            )*
        }
    };
}
with_settings!(setters);

impl Server {
    /// The default settings of a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}

impl ServerBuilder {
    /// Adds an address to listen on. Default, if nothing but listeners for metrics is added: `localhost:9990`.
    ///
    /// A name stands for all of its addresses that this machine has. For port 0 the system chooses a free port, the same
    /// for all addresses of a name. `[::]` also accepts IPv4, unless an IPv4 address with the same port is added.
    ///
    /// The file of a Unix socket is replaced if no server answers on it, and removed when the server stops listening.
    pub fn listen(self, address: impl Into<Address>) -> Self {
        self.listen_as(Service::Text, address)
    }

    /// Adds an address to listen on for a service. The service determines the default port, see [`Service`].
    pub fn listen_as(mut self, service: Service, address: impl Into<Address>) -> Self {
        self.listen.push((service, address.into()));
        self
    }

    /// Adds a TCP or Unix socket that listens already, such as one that the process inherited. The file of such a Unix
    /// socket is not removed.
    pub fn listener(self, listener: impl Into<OwnedFd>) -> Self {
        self.listener_as(Service::Text, listener)
    }

    /// Adds a socket that listens already for a service, see [`listener`](Self::listener).
    pub fn listener_as(mut self, service: Service, listener: impl Into<OwnedFd>) -> Self {
        self.listeners.push((service, Arc::new(listener.into())));
        self
    }

    /// Accepts the clients of a network, and rejects addresses that no network contains. See [`Networks`].
    pub fn allow(mut self, network: impl AsRef<str>) -> Self {
        self.networks = self.networks.and_then(|networks| with(networks, Networks::allow, network.as_ref()));
        self
    }

    /// Rejects the clients of a network: their connections are closed silently. See [`Networks`].
    pub fn deny(mut self, network: impl AsRef<str>) -> Self {
        self.networks = self.networks.and_then(|networks| with(networks, Networks::deny, network.as_ref()));
        self
    }

    /// Replaces the networks that were allowed and denied so far. Default: every client is accepted.
    pub fn networks(mut self, networks: Networks) -> Self {
        self.networks = Ok(networks);
        self
    }

    /// Trusts the proxies of a network: on a TCP listener for [`Service::Proxied`], each connection from there begins with a
    /// header of the PROXY protocol, version 1 or 2, as HAProxy, nginx and cloud load balancers send it. The client's
    /// address in it counts for events, limits and networks. Connections from elsewhere are closed silently. A Unix
    /// listener accepts each proxy that may connect to its file.
    ///
    /// A header that is missing or invalid closes the connection with
    /// [`Reason::ProxyHeader`](super::Reason::ProxyHeader), and so does one that is later than
    /// [`proxy_timeout`](Self::proxy_timeout). If the header names no TCP client, the proxy is the client, as for its
    /// health check; [`allow`](Self::allow) and [`deny`](Self::deny) do not apply to it.
    ///
    /// A named host can claim any address. Firewall the listener, so that clients reach it through the proxy only.
    ///
    /// ```
    /// use std::{io::{Read, Write}, net::TcpStream};
    /// use daytime::{Event, Server, Service};
    ///
    /// let server = Server::builder().listen_as(Service::Proxied, "127.0.0.1:0").proxy("127.0.0.1").start()?;
    /// let events = server.events();
    /// let mut proxy = TcpStream::connect(server.addresses_of(Service::Proxied)[0].to_string())?;
    /// proxy.write_all(b"PROXY TCP4 192.0.2.1 127.0.0.1 56324 9990\r\nquit\n")?;
    /// let Ok(Event::Connected { peer, .. }) = events.recv() else { unreachable!() };
    /// assert_eq!(peer.to_string(), "192.0.2.1:56324");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn proxy(mut self, network: impl AsRef<str>) -> Self {
        self.proxies = self.proxies.and_then(|proxies| with(proxies, Networks::allow, network.as_ref()));
        self
    }

    /// Replaces the networks of proxies that were named so far, see [`proxy`](Self::proxy). A proxy is trusted if a network
    /// allows it by name: an empty list trusts none. Default: none, and [`bind`](Self::bind) fails if a TCP listener
    /// needs one.
    pub fn proxies(mut self, proxies: Networks) -> Self {
        self.proxies = Ok(proxies);
        self
    }

    /// The zone of replies to commands without a zone: a name of the system's time zone database, `UTC`, or an offset
    /// such as `+05:30`. Default: the system's zone. A zone that is named here and cannot be read is an error of
    /// [`bind`](Self::bind); a system's zone that cannot be read is UTC, with a [warning](Server::warnings).
    pub fn timezone(mut self, zone: impl Into<String>) -> Self {
        self.timezone = Some(zone.into());
        self
    }

    /// The clock of the replies. Default: [`Clock::system`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Adds a custom command. Its name is one word without blanks or control characters, unique in any letter case;
    /// `help` lists it.
    ///
    /// The handler runs on a handler thread. Its client waits for the reply, and other clients are not delayed. The handler
    /// may call all methods of [`Request::server`]. It may also be a client of its server; a custom command of that client
    /// needs another handler thread. See [`IntoReply`] for what a handler can return. If the handler panics, returns an error, or returns an invalid reply, the
    /// client gets `The command failed` and [`Event::CommandFailed`](super::Event::CommandFailed) is emitted. A reply is
    /// invalid if it is empty, exceeds 1,023 bytes, has control characters, or is itself an error line.
    ///
    /// ```
    /// use daytime::{Client, Server};
    ///
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .command("double", |request| request.argument.parse::<i64>().map(|n| (2 * n).to_string()))
    ///     .start()?;
    /// let mut client = Client::connect(&server.addresses()[0])?;
    /// assert_eq!(client.request("double 21")?, "42");
    /// assert_eq!(client.request("double it").unwrap_err().to_string(), "The command failed");
    /// # Ok::<(), daytime::Error>(())
    /// ```
    pub fn command<F, R>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(&Request<'_>) -> R + Send + Sync + 'static,
        R: IntoReply,
    {
        self.commands.push((name.into(), Arc::new(move |request: &Request<'_>| handler(request).into_reply())));
        self
    }

    /// Adds a custom command whose reply comes later, from any thread: see [`Responder`]. If the handler panics before it
    /// has moved the responder elsewhere, the client gets `The command failed`.
    pub fn command_deferred<F>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(&Request<'_>, Responder) + Send + Sync + 'static,
    {
        self.commands.push((name.into(), deferred(handler)));
        self
    }

    /// Sets how `help` shows a custom command: its name, then its arguments, such as `score NAME`. Default: the name.
    ///
    /// ```
    /// use daytime::{Client, Server};
    ///
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .command("score", |request| format!("{} has 3 points", request.argument))
    ///     .usage("score NAME")
    ///     .start()?;
    /// let mut client = Client::connect(&server.addresses()[0])?;
    /// assert!(client.request("help")?.ends_with("quit, exit, score NAME"));
    /// assert_eq!(client.request("help score")?, "score NAME");
    /// # Ok::<(), daytime::Error>(())
    /// ```
    pub fn usage(mut self, usage: impl Into<String>) -> Self {
        self.usages.push(usage.into());
        self
    }

    /// Calls `hook` for each client that connects, on a handler thread, before the client's first command. The value that
    /// it returns is the client's state: its handlers get it by [`Request::state`]. It is dropped on a handler thread after
    /// the client has left and its last handler has returned. If the hook panics, the client has no state, and
    /// [`Event::CommandFailed`](super::Event::CommandFailed) is emitted with the command `on_connect`.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use daytime::{Client, Server};
    ///
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .on_connect(|_client| AtomicU64::new(0))
    ///     .command("count", |request| match request.state::<AtomicU64>() {
    ///         Some(count) => (count.fetch_add(1, Relaxed) + 1).to_string(),
    ///         None => "0".into(),
    ///     })
    ///     .start()?;
    /// let mut client = Client::connect(&server.addresses()[0])?;
    /// assert_eq!(client.request("count")?, "1");
    /// assert_eq!(client.request("count")?, "2");
    /// assert_eq!(Client::connect(&server.addresses()[0])?.request("count")?, "1");
    /// # Ok::<(), daytime::Error>(())
    /// ```
    pub fn on_connect<F, T>(mut self, hook: F) -> Self
    where
        F: Fn(&ClientContext<'_>) -> T + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.hooks.on_connect = Some(Arc::new(move |client: &ClientContext<'_>| Arc::new(hook(client))));
        self
    }

    /// Calls `hook` for each client that has left, on a handler thread, after its last handler has returned and before its
    /// state is dropped. Unlike an event, a call is never dropped. It is called for every client for which `on_connect` was called
    /// (or, without that hook, for every client), also when the server stops. Until it has returned, the client counts for
    /// `max_clients` and `max_clients_per_source`.
    pub fn on_disconnect<F>(mut self, hook: F) -> Self
    where
        F: Fn(&ClientContext<'_>, Reason) + Send + Sync + 'static,
    {
        self.hooks.on_disconnect = Some(Arc::new(hook));
        self
    }

    /// Adds the metrics of the process to the listeners for metrics: its memory, its file descriptors, its processor time.
    /// It is for programs that are nothing but this server.
    #[cfg(feature = "cli")]
    #[doc(hidden)]
    pub fn process_metrics(mut self) -> Self {
        self.process_metrics = Some(ProcessMetrics::new());
        self
    }

    /// Checks every setting without binding anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which setting is invalid, what was given, and what was expected. [`Error::Io`] names the
    /// time zone that cannot be read.
    pub fn check(&self) -> Result<(), Error> {
        self.checked().map(drop)
    }

    /// Checks every setting and binds every address, so that a taken port fails here.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`check`](Self::check), [`Error::Io`] with the address that cannot be bound.
    pub fn bind(self) -> Result<Bound, Error> {
        let Checked { backlog, formats, commands, networks, proxies, zones } = self.checked()?;
        let (workers, max_clients) = (self.effective_workers(), self.effective_max_clients());
        let mut addresses = self.listen;
        let services = addresses.iter().map(|(service, _)| *service);
        let serves = services
            .chain(self.listeners.iter().map(|(service, _)| *service))
            .any(|service| service != Service::Metrics);
        if !serves {
            addresses.push((Service::Text, "localhost".into()));
        }
        let mut sockets = listen::bind(&addresses, backlog, self.settings.unix_mode, self.settings.reuse_port)?;
        for (service, socket) in &self.listeners {
            match service.is_udp() {
                true => sockets.datagrams.push(listen::adopt_datagrams(socket, *service)?),
                false => sockets.listeners.push(listen::adopt(socket, *service)?),
            }
        }
        let handlers = self.commands.into_iter().map(|(name, handler)| CustomCommand::new(&name, handler)).collect();
        Ok(Bound(Parts {
            addresses: Addresses::of(&sockets)?,
            sockets,
            workers,
            clock: self.clock,
            events: Events::new(),
            admission: Admission::new(max_clients, self.settings.max_clients_per_source, networks, proxies),
            config: Config { settings: self.settings, formats, zones, commands, handlers, hooks: self.hooks },
            process_metrics: self.process_metrics,
            threads: None,
        }))
    }

    fn checked(&self) -> Result<Checked, Error> {
        let settings = &self.settings;
        settings.check()?;
        for (service, address) in &self.listen {
            address.check()?;
            if settings.reuse_port && service.is_shared() && address.port() == Some(0) {
                return Err(Error::Invalid(format!("reuse_port expects a port other than 0, got {address}")));
            }
        }
        let networks = self.networks.clone().map_err(Error::Invalid)?;
        let proxies = self.proxies.clone().map_err(Error::Invalid)?;
        if !proxies.names_any() && self.is_proxied_by_tcp() {
            let expected = "expected a network such as 192.0.2.0/24";
            return Err(Error::Invalid(format!(
                "a TCP listener behind a proxy needs the proxy's network, got none; {expected}"
            )));
        }
        let formats = Formats::new(&settings.day_format, &settings.date_format, &settings.time_format);
        let mut commands = Commands::default();
        for (name, _) in &self.commands {
            commands.add(name).map_err(Error::Invalid)?;
        }
        for usage in &self.usages {
            commands.set_usage(usage).map_err(Error::Invalid)?;
        }
        let zones = Zones::open(self.timezone.as_deref())?;
        // `Settings::check` has bounded it.
        let backlog = i32::try_from(settings.backlog).unwrap_or(i32::MAX);
        Ok(Checked { backlog, formats: formats.map_err(Error::Invalid)?, commands, networks, proxies, zones })
    }

    /// Whether a listener for the clients of a proxy is not a Unix socket.
    fn is_proxied_by_tcp(&self) -> bool {
        let mut addresses = self.listen.iter().filter(|(service, _)| *service == Service::Proxied);
        let mut listeners = self.listeners.iter().filter(|(service, _)| *service == Service::Proxied);
        addresses.any(|(_, address)| !matches!(address, Address::Unix(_)))
            || listeners.any(|(_, listener)| !listen::is_unix(listener))
    }

    /// The number of worker threads of a server with these settings.
    pub fn effective_workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.settings.workers.unwrap_or_else(cores)
    }

    /// The write timeout of a server with these settings.
    pub fn effective_write_timeout(&self) -> Duration {
        self.settings.write_timeout
    }

    /// The time for the header of a proxy of a server with these settings.
    pub fn effective_proxy_timeout(&self) -> Duration {
        self.settings.proxy_timeout
    }

    /// The answers over UDP in a second for one source of a server with these settings.
    pub fn effective_udp_rate(&self) -> u32 {
        self.settings.udp_rate
    }

    /// The backlog of the listeners of a server with these settings.
    pub fn effective_backlog(&self) -> u32 {
        self.settings.backlog
    }

    /// The most clients of a server with these settings. The default depends on RLIMIT_NOFILE.
    pub fn effective_max_clients(&self) -> usize {
        self.settings.max_clients.unwrap_or_else(default_max_clients)
    }

    /// [`bind`](Self::bind), then [`Bound::start`].
    ///
    /// # Errors
    /// Those of both.
    pub fn start(self) -> Result<Server, Error> {
        self.bind()?.start()
    }
}

/// The checked form of settings.
struct Checked {
    backlog: i32,
    formats: Formats,
    commands: Commands,
    networks: Networks,
    proxies: Networks,
    zones: Zones,
}

/// Adds a network, or returns the error as text, which can be cloned.
fn with(
    mut networks: Networks,
    add: fn(&mut Networks, &str) -> Result<(), Error>,
    network: &str,
) -> Result<Networks, String> {
    add(&mut networks, network).map_err(|error| error.to_string())?;
    Ok(networks)
}

/// The file descriptors of this process, less those for polite rejections, listeners, pollers and the embedder's use.
fn default_max_clients() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(64).max(1)
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (settings, listen) = (&self.settings, &self.listen);
        f.debug_struct("ServerBuilder").field("settings", settings).field("listen", listen).finish_non_exhaustive()
    }
}
