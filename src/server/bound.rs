//! A server that listens and does not serve yet.

use std::{net::SocketAddr, sync::Arc};

use crossbeam_channel::Receiver;

use super::{
    Server,
    config::CustomCommand,
    conversation::State,
    events::{Event, EventOptions, Reason},
    handler::{ClientContext, Handler, IntoReply, Request},
    launch::{Parts, launch},
    listen::Service,
    responder::{Responder, deferred},
};
#[cfg(feature = "python")]
use super::{handler::HandlerResult, handler_thread::HandlerThread};
use crate::{Address, Error, Networks, clock::Clock};
#[cfg(feature = "capi")]
use {crate::channel, crossbeam_channel::RecvTimeoutError, std::time::Instant};

/// A server that listens and does not serve yet. Its ports are real, and clients wait in the queues of its listeners.
///
/// ```
/// use daytime::{Client, Event, Server};
///
/// let bound = Server::builder().listen("127.0.0.1:0").bind()?;
/// let events = bound.events(); // before the first client, so that no event is missed
/// println!("port {}", bound.port());
///
/// let server = bound.start()?;
/// let _client = Client::connect(&server.addresses()[0])?;
/// assert!(matches!(events.recv(), Ok(Event::Connected { .. })));
/// # Ok::<(), daytime::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it serves no client before `start`"]
pub struct Bound(pub(super) Parts);

impl Bound {
    /// The bound addresses of the text protocol, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        self.addresses_of(Service::Text)
    }

    /// The bound addresses of a service.
    #[must_use]
    pub fn addresses_of(&self, service: Service) -> &[Address] {
        self.0.addresses.of_service(service)
    }

    /// The first TCP address of the text protocol. `None` if there is none.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.addresses.local_addr()
    }

    /// The port of [`local_addr`](Self::local_addr); 0 if there is none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.local_addr().map_or(0, |address| address.port())
    }

    /// Adds a custom command, see [`ServerBuilder::command`](super::ServerBuilder::command).
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong with the name. The server is unchanged then.
    pub fn command<F, R>(&mut self, name: impl AsRef<str>, handler: F) -> Result<(), Error>
    where
        F: Fn(&Request<'_>) -> R + Send + Sync + 'static,
        R: IntoReply,
    {
        self.add(name.as_ref(), Arc::new(move |request: &Request<'_>| handler(request).into_reply()))
    }

    /// Adds a custom command whose reply comes later, see
    /// [`ServerBuilder::command_deferred`](super::ServerBuilder::command_deferred).
    ///
    /// # Errors
    /// Those of [`command`](Self::command).
    pub fn command_deferred<F>(&mut self, name: impl AsRef<str>, handler: F) -> Result<(), Error>
    where
        F: Fn(&Request<'_>, Responder) + Send + Sync + 'static,
    {
        self.add(name.as_ref(), deferred(handler))
    }

    fn add(&mut self, name: &str, handler: Handler) -> Result<(), Error> {
        let config = &mut self.0.config;
        config.commands.add(name).map_err(Error::Invalid)?;
        config.handlers.push(CustomCommand::new(name, handler));
        Ok(())
    }

    /// Adds a custom command that a binding handles by itself, and its usage: both or, with an error, neither.
    #[cfg(feature = "python")]
    pub(crate) fn reserve(&mut self, name: &str, usage: Option<&str>) -> Result<(), Error> {
        let config = &mut self.0.config;
        let mut commands = config.commands.clone();
        commands.add(name).map_err(Error::Invalid)?;
        if let Some(usage) = usage {
            commands.set_usage(usage).map_err(Error::Invalid)?;
        }
        config.commands = commands;
        let never = |_: &Request<'_>| -> HandlerResult { Err("this command is handled elsewhere".into()) };
        config.handlers.push(CustomCommand::new(name, Arc::new(never)));
        Ok(())
    }

    /// Sets how `help` shows a custom command, see [`ServerBuilder::usage`](super::ServerBuilder::usage).
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong with the usage. The server is unchanged then.
    pub fn usage(&mut self, usage: impl AsRef<str>) -> Result<(), Error> {
        self.0.config.commands.set_usage(usage.as_ref()).map_err(Error::Invalid)
    }

    /// Sets the hook for clients that connect, see [`ServerBuilder::on_connect`](super::ServerBuilder::on_connect).
    pub fn on_connect<F, T>(&mut self, hook: F)
    where
        F: Fn(&ClientContext<'_>) -> T + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let hook = move |client: &ClientContext<'_>| -> State { Arc::new(hook(client)) };
        self.0.config.hooks.on_connect = Some(Arc::new(hook));
    }

    /// Sets the hook for clients that left, see [`ServerBuilder::on_disconnect`](super::ServerBuilder::on_disconnect).
    pub fn on_disconnect<F>(&mut self, hook: F)
    where
        F: Fn(&ClientContext<'_>, Reason) + Send + Sync + 'static,
    {
        self.0.config.hooks.on_disconnect = Some(Arc::new(hook));
    }

    /// Sets the clock of the replies, see [`ServerBuilder::clock`](super::ServerBuilder::clock).
    pub fn set_clock(&mut self, clock: Clock) {
        self.0.clock = clock;
    }

    /// Replaces the networks, see [`ServerBuilder::networks`](super::ServerBuilder::networks).
    pub fn set_networks(&mut self, networks: Networks) {
        self.0.admission.set_networks(networks);
    }

    /// Replaces the proxies, see [`ServerBuilder::proxies`](super::ServerBuilder::proxies).
    pub fn set_proxies(&mut self, proxies: Networks) {
        self.0.admission.set_proxies(proxies);
    }

    /// Subscribes to events before the first client, so that none is missed. See [`Server::events`].
    #[must_use = "if the receiver is dropped, the subscription ends"]
    pub fn events(&self) -> Receiver<Event> {
        self.events_with(EventOptions::new())
    }

    /// [`events`](Self::events) with other options.
    #[must_use = "if the receiver is dropped, the subscription ends"]
    pub fn events_with(&self, options: EventOptions) -> Receiver<Event> {
        self.0.events.subscribe(options)
    }

    /// [`events_with`](Self::events_with) for the C API, without crossbeam: a function that waits for the next event
    /// until a deadline.
    #[cfg(feature = "capi")]
    pub(crate) fn queue(
        &self,
        capacity: usize,
        commands: bool,
    ) -> impl Fn(Option<Instant>) -> Result<Event, RecvTimeoutError> + Send + Sync + use<> {
        let (sender, receiver) = channel::channel(capacity);
        self.0.events.add(Box::new(sender), commands);
        move |deadline| receiver.receive(deadline)
    }

    /// Has handlers called by threads of a binding, in place of threads of this crate. `run` is called with each new handler
    /// thread, on a thread that may wait. It starts a thread that calls [`HandlerThread::enter`], then takes tasks.
    #[cfg(feature = "python")]
    pub(crate) fn run_handlers_on(&mut self, run: impl Fn(HandlerThread) + Send + Sync + 'static) {
        self.0.threads = Some(Box::new(run));
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// [`Error::Io`] if the system denies a poller or a thread. Everything is released then.
    pub fn start(self) -> Result<Server, Error> {
        launch(self.0)
    }
}
