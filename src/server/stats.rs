//! Counters: each worker has its own, and `stats()` adds them up.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use super::events::ClientId;
use crate::Address;

/// The counters of a server since its start. Each number is exact; they are read one after another while the server
/// runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Stats {
    /// Connections open now, including those that are being closed.
    pub clients: u64,
    /// Clients accepted.
    pub accepted: u64,
    /// Connections refused, because of a limit or a denied network.
    pub refused: u64,
    /// Commands executed, invalid ones included.
    pub commands: u64,
    /// Commands answered with an error line.
    pub invalid: u64,
    /// Bytes received from clients.
    pub bytes_in: u64,
    /// Bytes that the system took for clients.
    pub bytes_out: u64,
    /// Events lost by full subscriptions.
    pub events_dropped: u64,
    /// The time since the start.
    pub uptime: Duration,
}

/// A connected client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its id.
    pub id: ClientId,
    /// Its address.
    pub peer: Address,
    /// When it was accepted.
    pub connected_at: SystemTime,
    /// The number of commands executed for it, invalid ones included.
    pub commands: u64,
}

/// The counters of one worker, on separate cache lines. Only that worker writes them, so an addition needs no lock.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) clients: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) invalid: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

/// The commands that handler threads executed. All of these threads add to them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Handled {
    commands: AtomicU64,
    invalid: AtomicU64,
}

impl Handled {
    pub(super) fn add(&self, executed: u64, invalid: u64) {
        self.commands.fetch_add(executed, Relaxed);
        if invalid > 0 {
            self.invalid.fetch_add(invalid, Relaxed);
        }
    }
}

/// Adds to a counter. The caller must be its only writer.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// Subtracts from a counter. The caller must be its only writer.
pub(super) fn sub(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_sub(n), Relaxed);
}

impl Stats {
    pub(super) fn sum<'a>(counters: impl IntoIterator<Item = &'a Counters>, handled: &Handled) -> Self {
        let mut sum = Stats {
            commands: handled.commands.load(Relaxed),
            invalid: handled.invalid.load(Relaxed),
            ..Stats::default()
        };
        for counter in counters {
            sum.clients += counter.clients.load(Relaxed);
            sum.accepted += counter.accepted.load(Relaxed);
            sum.commands += counter.commands.load(Relaxed);
            sum.invalid += counter.invalid.load(Relaxed);
            sum.bytes_in += counter.bytes_in.load(Relaxed);
            sum.bytes_out += counter.bytes_out.load(Relaxed);
        }
        sum
    }
}
