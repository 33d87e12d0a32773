//! Every setting of a server: its default, its check, and what becomes of it.

use std::{fmt, os::fd::OwnedFd, sync::Arc, time::Duration};

use nix::sys::resource::{Resource, getrlimit};

use super::{
    Server,
    admission::Admission,
    bound::Bound,
    config::{Limits, Setup},
    event::Events,
    handler::{Handler, HandlerResult, Request},
    launch::Parts,
    listen::{self, Addresses, Service},
};
use crate::{
    Address, Error, Networks,
    clock::{Clock, Zones},
    protocol::{Commands, Formats, Framing, GREETING, check_reply},
};

/// The settings of a server that does not exist yet. All are checked by [`bind`](Self::bind), none before. Where one takes
/// an `Option`, `None` is its default.
#[derive(Clone)]
#[must_use = "nothing is bound before `bind` or `start`"]
pub struct ServerBuilder {
    listen: Vec<(Service, Address)>,
    listeners: Vec<(Service, Arc<OwnedFd>)>,
    unix_mode: Option<u32>,
    workers: Option<usize>,
    callers: usize,
    backlog: u32,
    networks: Result<Networks, String>,
    max_clients: Option<usize>,
    max_clients_per_source: Option<usize>,
    idle_timeout: Option<Duration>,
    first_command_timeout: Option<Duration>,
    write_timeout: Duration,
    busy_poll: Option<Duration>,
    greeting: String,
    framing: Framing,
    day_format: String,
    date_format: String,
    time_format: String,
    timezone: Option<String>,
    clock: Clock,
    commands: Vec<(String, Handler)>,
}

impl Server {
    /// The settings of a new server, all at their defaults.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        ServerBuilder {
            listen: Vec::new(),
            listeners: Vec::new(),
            unix_mode: None,
            workers: None,
            callers: 16,
            backlog: 4096,
            networks: Ok(Networks::new()),
            max_clients: None,
            max_clients_per_source: None,
            idle_timeout: None,
            first_command_timeout: None,
            write_timeout: Duration::from_secs(10),
            busy_poll: None,
            greeting: GREETING.into(),
            framing: Framing::Auto,
            day_format: "%A".into(),
            date_format: "%y-%m-%d".into(),
            time_format: "%H:%M:%S".into(),
            timezone: None,
            clock: Clock::system(),
            commands: Vec::new(),
        }
    }

    /// An address to listen on, one more with each call; `localhost:9990` if this builder has nothing else to listen on. A
    /// name stands for all of its addresses that this machine has. With port 0 the system chooses a free one, the same
    /// for all addresses of one name. `[::]` takes IPv4 too, unless an IPv4 address with the same port is given.
    ///
    /// The file of a Unix socket that nobody answers on is replaced; it is removed when the server stops listening.
    pub fn listen(mut self, address: impl Into<Address>) -> Self {
        self.listen.push((Service::Text, address.into()));
        self
    }

    /// An address where the daytime protocol of RFC 867 is spoken, by default on port 13: whoever connects is sent the
    /// date and the time in the server's zone. One more with each call.
    pub fn listen_rfc867(mut self, address: impl Into<Address>) -> Self {
        self.listen.push((Service::Rfc867, address.into()));
        self
    }

    /// An address where the time protocol of RFC 868 is spoken, by default on port 37: whoever connects is sent four
    /// bytes. One more with each call.
    pub fn listen_rfc868(mut self, address: impl Into<Address>) -> Self {
        self.listen.push((Service::Rfc868, address.into()));
        self
    }

    /// A TCP or Unix socket that listens already, one more with each call: from whoever started the process, or bound by
    /// other means. The file of such a Unix socket is left alone.
    pub fn listener(mut self, listener: impl Into<OwnedFd>) -> Self {
        self.listeners.push((Service::Text, Arc::new(listener.into())));
        self
    }

    /// As [`listener`](Self::listener), for [`listen_rfc867`](Self::listen_rfc867).
    pub fn listener_rfc867(mut self, listener: impl Into<OwnedFd>) -> Self {
        self.listeners.push((Service::Rfc867, Arc::new(listener.into())));
        self
    }

    /// As [`listener`](Self::listener), for [`listen_rfc868`](Self::listen_rfc868).
    pub fn listener_rfc868(mut self, listener: impl Into<OwnedFd>) -> Self {
        self.listeners.push((Service::Rfc868, Arc::new(listener.into())));
        self
    }

    /// The permissions of Unix sockets' files, at most `0o777`: who may write there may connect. Default: what the
    /// process's umask leaves of that.
    pub fn unix_mode(mut self, mode: impl Into<Option<u32>>) -> Self {
        self.unix_mode = mode.into();
        self
    }

    /// Lets the clients of a network in, and nobody who is in no network; one more with each call, see [`Networks`].
    pub fn allow(mut self, network: impl AsRef<str>) -> Self {
        self.networks = self.networks.and_then(|networks| with(networks, Networks::allow, network.as_ref()));
        self
    }

    /// Turns the clients of a network away without a word; one more with each call, see [`Networks`].
    pub fn deny(mut self, network: impl AsRef<str>) -> Self {
        self.networks = self.networks.and_then(|networks| with(networks, Networks::deny, network.as_ref()));
        self
    }

    /// Whose clients are let in, in place of what was allowed and denied so far. Default: everybody's.
    pub fn networks(mut self, networks: Networks) -> Self {
        self.networks = Ok(networks);
        self
    }

    /// The number of worker threads, 1 to 1,024. Default: one a core.
    pub fn workers(mut self, n: impl Into<Option<usize>>) -> Self {
        self.workers = n.into();
        self
    }

    /// The number of threads on which handlers of own commands may run at a time, 1 to 1,024. They are started when
    /// they are needed and end when they are idle. Default: 16.
    pub fn callers(mut self, n: usize) -> Self {
        self.callers = n;
        self
    }

    /// The connections that may wait to be accepted, at least 1; the system may allow fewer (listen(2)). Default: 4,096.
    pub fn backlog(mut self, n: u32) -> Self {
        self.backlog = n;
        self
    }

    /// The clients that may be connected at a time, at least 1; more are told `The server is full`. Default: the
    /// process's limit of descriptors (RLIMIT_NOFILE) less 64.
    pub fn max_clients(mut self, n: impl Into<Option<usize>>) -> Self {
        self.max_clients = n.into();
        self
    }

    /// The clients that may be connected from one IPv4 address, or from one IPv6 network of 64 bits, at least 1; more
    /// are told `Too many connections from your address`. Default: no limit.
    pub fn max_clients_per_source(mut self, n: impl Into<Option<usize>>) -> Self {
        self.max_clients_per_source = n.into();
        self
    }

    /// A client from which nothing comes for so long, while nothing is owed to it, is disconnected. Default: never.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// A client that has not said one whole command so long after connecting is disconnected, whatever it sends; an
    /// empty line is no command. Default: never.
    pub fn first_command_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.first_command_timeout = timeout.into();
        self
    }

    /// A client that takes none of the replies owed to it for so long is disconnected. Default: 10 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How long each worker spins before it sleeps, whenever it has nothing to do: a reply comes some tens of microseconds
    /// sooner, for a core that is busy meanwhile. A server that nobody speaks to sleeps all the same. Default: not at all.
    pub fn busy_poll(mut self, spin: impl Into<Option<Duration>>) -> Self {
        self.busy_poll = spin.into();
        self
    }

    /// The greeting: up to 1,023 bytes without control characters, or nothing. Default: [`GREETING`].
    pub fn greeting(mut self, text: impl Into<String>) -> Self {
        self.greeting = text.into();
        self
    }

    /// How ends of commands are found. Default: [`Framing::Auto`].
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The strftime format of the reply to `day`, see [`Formats::new`]. Default: `%A`.
    pub fn day_format(mut self, strftime: impl Into<String>) -> Self {
        self.day_format = strftime.into();
        self
    }

    /// The strftime format of the reply to `date`, see [`Formats::new`]. Default: `%y-%m-%d`.
    pub fn date_format(mut self, strftime: impl Into<String>) -> Self {
        self.date_format = strftime.into();
        self
    }

    /// The strftime format of the reply to `time`, see [`Formats::new`]. Default: `%H:%M:%S`.
    pub fn time_format(mut self, strftime: impl Into<String>) -> Self {
        self.time_format = strftime.into();
        self
    }

    /// The zone of replies to commands that name none: a name of the system's zone database, `UTC`, or an offset such
    /// as `+05:30`. Default: the system's.
    pub fn timezone(mut self, zone: impl Into<String>) -> Self {
        self.timezone = Some(zone.into());
        self
    }

    /// The clock that replies are made from. Default: [`Clock::system`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// An own command: one word without blanks or control characters, no built-in command's name in any letter case, and
    /// no other's. `help` lists it.
    ///
    /// The handler runs on a caller, a thread of its own, while its client waits and nobody else. An error, a panic and
    /// a reply that is none are answered `The command failed`, and told as [`Event::CommandFailed`](super::Event::CommandFailed).
    pub fn command<F>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(&Request<'_>) -> HandlerResult + Send + Sync + 'static,
    {
        self.commands.push((name.into(), Arc::new(handler)));
        self
    }

    /// Checks every setting without binding anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which setting is refused and why.
    pub fn check(&self) -> Result<(), Error> {
        self.checked().map(drop)
    }

    /// Checks every setting and binds every address, so that a taken port fails here.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which setting is refused and why, [`Error::Io`] which address and why.
    pub fn bind(self) -> Result<Bound, Error> {
        let Checked { backlog, formats, commands, networks } = self.checked()?;
        let (workers, max_clients) = (self.effective_workers(), self.effective_max_clients());
        let zones = Zones::open(self.timezone.as_deref());
        let mut wanted = self.listen;
        if wanted.is_empty() && self.listeners.is_empty() {
            wanted.push((Service::Text, "localhost".into()));
        }
        let mut listeners = listen::bind(&wanted, backlog, self.unix_mode)?;
        for (service, listener) in &self.listeners {
            listeners.push(listen::adopt(listener, *service)?);
        }
        Ok(Bound(Parts {
            addresses: Addresses::of(&listeners)?,
            listeners,
            workers,
            callers: self.callers,
            clock: self.clock,
            events: Events::new(),
            admission: Admission::new(max_clients, self.max_clients_per_source, networks),
            setup: Setup {
                greeting: self.greeting,
                framing: self.framing,
                limits: Limits {
                    write: self.write_timeout,
                    idle: self.idle_timeout,
                    first_command: self.first_command_timeout,
                },
                busy_poll: self.busy_poll,
                formats,
                zones,
                commands,
                handlers: self
                    .commands
                    .into_iter()
                    .map(|(name, handler)| (name.to_ascii_lowercase(), handler))
                    .collect(),
            },
        }))
    }

    fn checked(&self) -> Result<Checked, Error> {
        let invalid = |why: String| Err(Error::Invalid(why));
        for (n, name) in [(self.workers.unwrap_or(1), "workers"), (self.callers, "callers")] {
            if !(1..=1024).contains(&n) {
                return invalid(format!("{n} {name}: there can be 1 to 1,024"));
            }
        }
        let backlog = match i32::try_from(self.backlog) {
            Ok(backlog @ 1..) => backlog,
            _ => return invalid(format!("a backlog of {}: it can be 1 to 2,147,483,647", self.backlog)),
        };
        for (limit, name) in [(self.max_clients, "clients"), (self.max_clients_per_source, "clients per source")] {
            if limit == Some(0) {
                return invalid(format!("a maximum of 0 {name}: nobody could be served"));
            }
        }
        for (timeout, name) in [
            (Some(self.write_timeout), "a write"),
            (self.idle_timeout, "an idle"),
            (self.first_command_timeout, "a first-command"),
        ] {
            if timeout == Some(Duration::ZERO) {
                return invalid(format!("{name} timeout of zero: nobody could be served"));
            }
        }
        if !self.greeting.is_empty()
            && let Err(why) = check_reply(&self.greeting)
        {
            return invalid(format!("the greeting {:?} is refused: {why}", self.greeting));
        }
        for (_, address) in &self.listen {
            address.check()?;
        }
        if let Some(mode) = self.unix_mode.filter(|mode| *mode > 0o777) {
            return invalid(format!("a mode of {mode:#o}: it can be 0 to 0o777"));
        }
        let networks = self.networks.clone().map_err(Error::Invalid)?;
        let formats = Formats::new(&self.day_format, &self.date_format, &self.time_format).map_err(Error::Invalid)?;
        let mut commands = Commands::default();
        for (name, _) in &self.commands {
            commands.add(name).map_err(Error::Invalid)?;
        }
        self.timezone.as_deref().map_or(Ok(()), Zones::check)?;
        Ok(Checked { backlog, formats, commands, networks })
    }

    /// The number of worker threads that a server of these settings has.
    pub fn effective_workers(&self) -> usize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// The clients that a server of these settings has at most, which depends on RLIMIT_NOFILE by default.
    pub fn effective_max_clients(&self) -> usize {
        self.max_clients.unwrap_or_else(default_max_clients)
    }

    /// [`bind`](Self::bind), then [`Bound::start`].
    ///
    /// # Errors
    /// Those of both.
    pub fn start(self) -> Result<Server, Error> {
        self.bind()?.start()
    }
}

/// What checking makes of the settings.
struct Checked {
    backlog: i32,
    formats: Formats,
    commands: Commands,
    networks: Networks,
}

/// Networks and one more, or what is wrong with that.
fn with(
    mut networks: Networks,
    add: fn(&mut Networks, &str) -> Result<(), Error>,
    network: &str,
) -> Result<Networks, String> {
    add(&mut networks, network).map_err(|error| error.to_string())?;
    Ok(networks)
}

/// The descriptors of this process, less those for refusing politely, for listeners, pollers and the host's own.
fn default_max_clients() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(64).max(1)
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("listen", &self.listen).finish_non_exhaustive()
    }
}
