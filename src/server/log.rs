//! Events as those of the crate tracing, for an embedder who has a subscriber of it.

use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use tracing::{Dispatch, debug, dispatcher, info, warn};

use super::{
    Bound, Server,
    events::{Event, EventOptions},
};
use crate::{Error, thread};

impl Server {
    /// Emits the server's events as events of [tracing](https://docs.rs/tracing), for the subscriber that is current here,
    /// on a thread of its own: a slow subscriber delays no client. Beyond [`EventOptions::capacity`] events are lost, which
    /// [`Stats::events_dropped`](super::Stats::events_dropped) counts. Feature `tracing`.
    ///
    /// The target is `daytime`. The message is the event's `Display`, and its values are fields: `client`, `peer`, `reason`,
    /// `commands`, `command`, `ok`, `error`. The level of [`Event::CommandFailed`] and [`Event::AcceptPaused`] is WARN, that
    /// of [`Event::CommandServed`] DEBUG, that of the others INFO.
    ///
    /// The thread ends after the server, and after it has logged the last event. Join it to wait for that.
    ///
    /// ```
    /// use daytime::{EventOptions, Server};
    ///
    /// let server = Server::builder().listen("127.0.0.1:0").start()?;
    /// let log = server.log_events(EventOptions::new())?;
    /// drop(server);
    /// log.join().unwrap();
    /// # Ok::<(), daytime::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if the system denies a thread.
    pub fn log_events(&self, options: EventOptions) -> Result<JoinHandle<()>, Error> {
        log(self.events_with(options))
    }
}

impl Bound {
    /// [`Server::log_events`] before the first client, so that no event is missed.
    ///
    /// # Errors
    /// [`Error::Io`] if the system denies a thread.
    pub fn log_events(&self, options: EventOptions) -> Result<JoinHandle<()>, Error> {
        log(self.events_with(options))
    }
}

fn log(events: Receiver<Event>) -> Result<JoinHandle<()>, Error> {
    let dispatch = dispatcher::get_default(Dispatch::clone);
    let log = move || dispatcher::with_default(&dispatch, || events.iter().for_each(|event| emit(&event)));
    thread::spawn("daytime-log".into(), log)
}

fn emit(event: &Event) {
    match event {
        Event::Connected { client, peer } => {
            info!(target: "daytime", client = u64::from(*client), %peer, "{event}");
        }
        Event::CommandServed { client, command, ok } => {
            debug!(target: "daytime", client = u64::from(*client), command, ok, "{event}");
        }
        Event::CommandFailed { client, command, error } => {
            warn!(target: "daytime", client = u64::from(*client), command, error, "{event}");
        }
        Event::Disconnected { client, peer, reason, commands } => {
            info!(target: "daytime", client = u64::from(*client), %peer, %reason, commands, "{event}");
        }
        Event::Refused { peer, reason } => info!(target: "daytime", %peer, %reason, "{event}"),
        Event::AcceptPaused { message, .. } => warn!(target: "daytime", error = message, "{event}"),
    }
}
