//! A server that listens and does not serve yet.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::{
    Server,
    event::Event,
    handler::{Handler, HandlerResult, Request},
    launch::{Parts, launch},
};
use crate::{Address, Error, Networks, clock::Clock};
#[cfg(feature = "capi")]
use {crate::waiting, crossbeam_channel::RecvTimeoutError, std::time::Instant};

/// A server that listens and does not serve yet: its ports are real, and clients queue up.
#[derive(Debug)]
#[must_use = "it serves nobody before `start`"]
pub struct Bound(pub(super) Parts);

impl Bound {
    /// The bound addresses, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.0.addresses.text
    }

    /// Those of [`ServerBuilder::listen_rfc867`].
    pub fn rfc867_addresses(&self) -> &[Address] {
        &self.0.addresses.rfc867
    }

    /// Those of [`ServerBuilder::listen_rfc868`].
    pub fn rfc868_addresses(&self) -> &[Address] {
        &self.0.addresses.rfc868
    }

    /// The port of the first TCP address; 0 if there is none.
    pub fn port(&self) -> u16 {
        self.0.addresses.port()
    }

    /// Adds an own command, see [`ServerBuilder::command`].
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong with the name; the server is as it was.
    pub fn command<F>(&mut self, name: impl Into<String>, handler: F) -> Result<(), Error>
    where
        F: Fn(&Request<'_>) -> HandlerResult + Send + Sync + 'static,
    {
        self.add_command(name.into(), Arc::new(handler))
    }

    /// Sets the clock that replies are made from, see [`ServerBuilder::clock`].
    pub fn set_clock(&mut self, clock: Clock) {
        self.0.clock = clock;
    }

    /// Sets whose clients are let in, see [`ServerBuilder::networks`].
    pub fn set_networks(&mut self, networks: Networks) {
        self.0.admission.set_networks(networks);
    }

    fn add_command(&mut self, name: String, handler: Handler) -> Result<(), Error> {
        self.0.setup.commands.add(&name).map_err(Error::Invalid)?;
        self.0.setup.handlers.push((name.to_ascii_lowercase(), handler));
        Ok(())
    }

    /// A subscription that misses nothing, see [`Server::events_with`]: it is there before the first client.
    pub fn events_with(&self, capacity: usize, commands: bool) -> Receiver<Event> {
        self.0.events.subscribe(capacity, commands)
    }

    /// [`events_with`](Self::events_with) for a host that takes nothing of crossbeam: gives the next event, once it has
    /// come, until a deadline.
    #[cfg(feature = "capi")]
    pub(crate) fn queue(
        &self,
        capacity: usize,
        commands: bool,
    ) -> impl Fn(Option<Instant>) -> Result<Event, RecvTimeoutError> + Send + Sync + use<> {
        let (sender, receiver) = waiting::channel(capacity);
        self.0.events.add(Box::new(sender), commands);
        move |deadline| receiver.receive(deadline)
    }

    /// Starts serving.
    ///
    /// # Errors
    /// [`Error::Io`] where the system gives no poller or no thread; nothing is left behind then.
    pub fn start(self) -> Result<Server, Error> {
        launch(self.0)
    }
}
