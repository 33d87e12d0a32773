//! Counting: each worker writes counters of its own, and whoever asks sums them up.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use super::event::ClientId;
use crate::Address;

/// What a server has done so far. Each number is exact; they are read one after another while the server goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections open now, those that are being closed too.
    pub clients: u64,
    /// Clients accepted since the start.
    pub accepted: u64,
    /// Clients turned away, because there were too many or because their network is denied.
    pub refused: u64,
    /// Commands executed, invalid ones too.
    pub commands: u64,
    /// Of them, those answered by an error line.
    pub invalid: u64,
    /// Bytes received from clients.
    pub bytes_in: u64,
    /// Bytes handed to the system for clients.
    pub bytes_out: u64,
    /// Events that a full subscription lost.
    pub events_dropped: u64,
    /// Since the start.
    pub uptime: Duration,
}

/// A client that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its number.
    pub id: ClientId,
    /// Where it connects from.
    pub peer: Address,
    /// When it was accepted.
    pub connected_at: SystemTime,
    /// The commands executed for it, invalid ones too.
    pub commands: u64,
}

/// One worker's counters, on cache lines of their own. Only that worker writes them, so no addition needs a lock.
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

/// Adds to a counter of which the caller is the only writer.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// Takes away from a counter of which the caller is the only writer.
pub(super) fn sub(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_sub(n), Relaxed);
}

impl Stats {
    pub(super) fn sum<'a>(counters: impl IntoIterator<Item = &'a Counters>) -> Self {
        let mut sum = Stats::default();
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
