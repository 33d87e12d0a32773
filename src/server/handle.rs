//! The way to a running server, from anywhere.

use std::{
    fmt, iter,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    control::Control,
    event::ClientId,
    mailbox::Mail,
    stats::{ClientInfo, Stats},
};
use crate::{Networks, clock::Clock, waiting::channel};

/// Reaches a running server from anywhere. Cheap to clone; it keeps no server running.
#[derive(Clone)]
pub struct Handle {
    pub(super) control: Arc<Control>,
}

impl Handle {
    /// Stops the server: every connection is closed at once, without the replies still owed. Returns before that is
    /// done. A flag and a wake-up, no lock and no allocation: to be called from anywhere, a signal handler included.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Begins to close down, and returns at once: no new clients; idle ones are closed, replies owed are sent. The
    /// server stops when the last client is gone, or after `grace`; [`Server::wait`] tells when. The first call counts.
    pub fn drain(&self, grace: Duration) {
        self.control.drain(grace);
    }

    /// Answers from another clock, from the next read of each client on. Timeouts never depend on it.
    pub fn set_clock(&self, clock: Clock) {
        self.control.clock.set(clock);
    }

    /// Whose clients are let in from now on; those that are connected stay.
    pub fn set_networks(&self, networks: Networks) {
        self.control.admission.set_networks(networks);
    }

    /// Reads the files of time zones anew, which is done every five minutes without being asked.
    pub fn reload_zones(&self) {
        self.control.zones_wanted.fetch_add(1, Relaxed);
    }

    /// The clients that are connected, in the order of their numbers; those being closed are left out.
    pub fn clients(&self) -> Vec<ClientInfo> {
        if self.control.is_inherited() {
            return Vec::new();
        }
        let (sender, parts) = channel(self.control.doors.len());
        for door in &self.control.doors {
            door.post(Mail::Clients(sender.clone()));
        }
        // A worker that has ended drops its mail, and with it the sender.
        drop(sender);
        let mut clients: Vec<ClientInfo> = iter::from_fn(|| parts.receive(None).ok()).flatten().collect();
        clients.sort_by_key(|client| client.id);
        clients
    }

    /// Closes a client's connection at once, without the replies still owed; true if it was there. The number of a
    /// client that has left hits nobody: no number is used twice.
    pub fn disconnect(&self, client: ClientId) -> bool {
        if self.control.is_inherited() {
            return false;
        }
        let (sender, kicked) = channel(1);
        self.control.door_of(client).post(Mail::Kick(client, sender));
        kicked.receive(None).unwrap_or(false)
    }

    /// What the server has done so far.
    pub fn stats(&self) -> Stats {
        let control = &self.control;
        let mut stats = Stats::sum(&control.counters);
        stats.refused = control.refused.load(Relaxed);
        stats.events_dropped = control.events.dropped();
        stats.uptime = control.began.elapsed();
        stats
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
