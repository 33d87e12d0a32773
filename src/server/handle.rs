//! Access to a running server, from any thread.

use std::{
    fmt, iter,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    events::ClientId,
    mailbox::Message,
    shared::Shared,
    stats::{ClientInfo, Stats},
};
use crate::{Networks, channel::channel, clock::Clock};

/// Access to a running server, from any thread. It is cheap to clone, and does not keep the server running.
///
/// [`Server`](super::Server) derefs to its handle; [`Server::handle`](super::Server::handle) returns a clone, and
/// [`Request::server`](super::Request::server) the handle of a handler's server.
#[derive(Clone)]
#[must_use]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    /// Stops the server: every connection is closed at once, without the replies still owed. Returns before that is
    /// done. It sets a flag and wakes the workers, without a lock or an allocation, so that a signal handler may call it.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Starts to shut down, and returns at once. The server accepts the clients that wait in the queues of its listeners,
    /// and no more. It closes idle clients, and sends the replies that it owes. A client that has sent no command may still
    /// send one within a second after it was accepted. The server stops when the last client is gone, or after `grace`, which
    /// [`Server::wait`](super::Server::wait) reports. Only the first call has an effect.
    pub fn drain(&self, grace: Duration) {
        self.shared.drain(grace);
    }

    /// Replaces the clock, from the next read of each client on. Timeouts do not depend on it.
    ///
    /// ```
    /// use daytime::{Client, Clock, Server};
    ///
    /// let server = Server::builder().listen("127.0.0.1:0").clock(Clock::fixed_unix(0)).start()?;
    /// let mut client = Client::connect(&server.addresses()[0])?;
    /// assert_eq!(client.timestamp()?, 0);
    /// server.set_clock(Clock::fixed_unix(60));
    /// assert_eq!(client.timestamp()?, 60);
    /// # Ok::<(), daytime::Error>(())
    /// ```
    pub fn set_clock(&self, clock: Clock) {
        self.shared.clock.set(clock);
    }

    /// Replaces the networks whose clients are accepted. Connected clients stay.
    pub fn set_networks(&self, networks: Networks) {
        self.shared.admission.set_networks(networks);
    }

    /// Replaces the proxies that may name the address of a client, see
    /// [`ServerBuilder::proxies`](super::ServerBuilder::proxies). For a connection that waits for its header, the former
    /// decision holds. With an empty list each later TCP connection of a proxy is refused.
    pub fn set_proxies(&self, proxies: Networks) {
        self.shared.admission.set_proxies(proxies);
    }

    /// Reads the files of the time zones again. The server also does that every five minutes.
    pub fn reload_zones(&self) {
        self.shared.zone_reloads.fetch_add(1, Relaxed);
    }

    /// The connected clients, in the order of their ids. Clients that are being closed are left out.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientInfo> {
        if self.shared.is_inherited() {
            return Vec::new();
        }
        let (sender, parts) = channel(self.shared.mailboxes.len());
        for mailbox in &self.shared.mailboxes {
            mailbox.send(Message::ListClients(sender.clone()));
        }
        // A worker that has ended drops its messages, and with them its sender.
        drop(sender);
        let mut clients: Vec<ClientInfo> = iter::from_fn(|| parts.receive(None).ok()).flatten().collect();
        clients.sort_by_key(|client| client.id);
        clients
    }

    /// Closes a client's connection at once, without the replies still owed. Returns whether it was connected. Ids are
    /// not reused, so that the id of a client that left affects no other client.
    #[expect(clippy::must_use_candidate, reason = "the caller may not care")]
    pub fn disconnect(&self, client: ClientId) -> bool {
        if self.shared.is_inherited() {
            return false;
        }
        let (sender, disconnected) = channel(1);
        self.shared.mailbox_of(client).send(Message::Disconnect(client, sender));
        disconnected.receive(None).unwrap_or(false)
    }

    /// Whether nobody waits for the reply to a client's custom command, see
    /// [`Request::is_cancelled`](super::Request::is_cancelled).
    #[cfg(feature = "python")]
    pub(crate) fn is_cancelled(&self, client: ClientId) -> bool {
        self.shared.has_left(client)
    }

    /// The counters of the server.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The counters as text for Prometheus, in its text format 0.0.4: a few kilobytes, in a few microseconds. An embedder
    /// with an HTTP server of its own appends it to its `/metrics`. The names begin with `daytime_`, and those of a release
    /// stay. A [listener for metrics](super::Service::Metrics) sends this text by itself.
    ///
    /// ```
    /// let server = daytime::Server::builder().listen("127.0.0.1:0").command("one", |_| "1").start()?;
    /// let text = server.metrics();
    /// assert!(text.contains("\ndaytime_clients_accepted_total{service=\"text\"} 0\n"));
    /// assert!(text.contains("\ndaytime_handler_failures_total{command=\"one\"} 0\n"));
    /// # Ok::<(), daytime::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> String {
        self.shared.metrics()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
