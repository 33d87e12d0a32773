//! Counters: each worker has its own, and `stats()` adds them up.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use super::{
    events::{ClientId, Reason},
    listen::Service,
};
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
    /// Connections refused, because of a limit, a denied network, or the header of a proxy.
    pub refused: u64,
    /// The most clients at a time, see [`ServerBuilder::max_clients`](super::ServerBuilder::max_clients).
    pub max_clients: u64,
    /// Pauses of accepting, because the system lacked file descriptors or memory. Unlike
    /// [`Event::AcceptPaused`](super::Event::AcceptPaused), each pause of an episode counts.
    pub accept_pauses: u64,
    /// Commands executed, invalid ones included.
    pub commands: u64,
    /// Commands answered with an error line.
    pub invalid: u64,
    /// Bytes received from clients, and from proxies for them.
    pub bytes_in: u64,
    /// Bytes that the system took for clients.
    pub bytes_out: u64,
    /// Custom commands that failed: the handler returned an error, panicked, or returned an invalid reply.
    pub handler_failures: u64,
    /// Hooks that panicked.
    pub hook_failures: u64,
    /// Custom commands and hooks that wait for a handler thread now.
    pub handlers_waiting: u64,
    /// Events dropped by full subscriptions.
    pub events_dropped: u64,
    /// Questions over UDP that were answered.
    pub datagrams_answered: u64,
    /// Datagrams that were dropped: no questions, or those of sources that are denied or ask too often.
    pub datagrams_dropped: u64,
    /// The time since the start.
    pub uptime: Duration,
    by_service: [u64; Service::ALL.len()],
    by_reason: [u64; Reason::ALL.len()],
}

impl Stats {
    /// Clients that a service accepted. They add up to [`accepted`](Self::accepted).
    #[must_use]
    pub fn by_service(&self, service: Service) -> u64 {
        self.by_service[service as usize]
    }

    /// Clients that were refused, or whose connection was closed, for a reason. Those of the
    /// [refusals](Reason::is_refusal) add up to [`refused`](Self::refused).
    ///
    /// ```
    /// use daytime::{Client, Reason, Server};
    ///
    /// let server = Server::builder().listen("127.0.0.1:0").max_clients(1).start()?;
    /// let _client = Client::connect(&server.addresses()[0])?;
    /// Client::connect(&server.addresses()[0]).unwrap_err();
    /// assert_eq!(server.stats().by_reason(Reason::Full), 1);
    /// # Ok::<(), daytime::Error>(())
    /// ```
    #[must_use]
    pub fn by_reason(&self, reason: Reason) -> u64 {
        self.by_reason[reason as usize]
    }
}

/// A connected client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its id.
    pub id: ClientId,
    /// Its address.
    pub peer: Address,
    /// When it was accepted; for the client of a proxy, when its header had arrived.
    pub connected_at: SystemTime,
    /// The number of commands executed for it, invalid ones included.
    pub commands: u64,
}

/// The counters of one worker, on separate cache lines. Only that worker writes them, so an addition needs no lock.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) clients: AtomicU64,
    /// Clients accepted, by service.
    pub(super) accepted: [AtomicU64; Service::ALL.len()],
    /// Connections closed or refused, by reason.
    pub(super) ended: [AtomicU64; Reason::ALL.len()],
    pub(super) accept_pauses: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) invalid: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

/// What became of a datagram of UDP.
#[derive(Clone, Copy, Debug)]
pub(super) enum DatagramResult {
    Answered,
    /// It was longer than a question.
    Long,
    /// Its port belongs to a service, or its address to many hosts.
    Port,
    Denied,
    /// Its source, or all sources together, asked too often.
    Limited,
    /// The system did not take the answer.
    Failed,
}

/// The questions over UDP, by service and result. Only the first worker writes them.
#[derive(Debug, Default)]
pub(super) struct DatagramCounters([[AtomicU64; DatagramResult::ALL.len()]; 2]);

impl DatagramResult {
    /// Every result with its name, in the order of their numbers.
    pub(super) const ALL: [(DatagramResult, &str); 6] = [
        (DatagramResult::Answered, "answered"),
        (DatagramResult::Long, "long"),
        (DatagramResult::Port, "port"),
        (DatagramResult::Denied, "denied"),
        (DatagramResult::Limited, "limited"),
        (DatagramResult::Failed, "failed"),
    ];
}

impl DatagramCounters {
    pub(super) fn get(&self, service: Service, result: DatagramResult) -> u64 {
        self.counter(service, result).load(Relaxed)
    }

    pub(super) fn counter(&self, service: Service, result: DatagramResult) -> &AtomicU64 {
        &self.0[usize::from(service == Service::Rfc868Udp)][result as usize]
    }

    /// The questions that were answered, and those that were dropped.
    fn sum(&self) -> (u64, u64) {
        let answered = self.0.iter().map(|results| results[0].load(Relaxed)).sum();
        let dropped = self.0.iter().flat_map(|results| &results[1..]).map(|counter| counter.load(Relaxed)).sum();
        (answered, dropped)
    }
}

/// What handler threads did. All of these threads add to it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Handled {
    commands: AtomicU64,
    invalid: AtomicU64,
    /// The jobs that wait for a thread. Only the holder of the pool's lock changes it.
    pub(super) waiting: AtomicU64,
    hook_failures: AtomicU64,
    /// By the indices of the command table.
    handlers: Box<[HandlerCounters]>,
}

/// The upper bounds of the buckets of the handlers' durations, in nanoseconds.
const BOUNDS: [u64; 13] = {
    const MS: u64 = 1_000_000;
    [
        MS,
        5 * MS / 2,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        10_000 * MS,
    ]
};

/// The counters of one custom command, on separate cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct HandlerCounters {
    name: String,
    failures: AtomicU64,
    /// The sum of the durations.
    nanoseconds: AtomicU64,
    /// The calls whose duration is in this bucket. The last bucket has no upper bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

/// What the handler of one custom command did, and how long its replies took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HandlerStats {
    /// The command, in lower case.
    pub(super) name: String,
    pub(super) failures: u64,
    pub(super) sum: Duration,
    /// The upper bound of each bucket, and the number of calls up to it. The last bound is `None`, without limit.
    pub(super) buckets: Vec<(Option<Duration>, u64)>,
}

impl Handled {
    /// For custom commands with these names.
    pub(super) fn new<'a>(commands: impl IntoIterator<Item = &'a str>) -> Self {
        let handlers = commands.into_iter().map(|name| HandlerCounters {
            name: name.into(),
            failures: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            buckets: Default::default(),
        });
        Handled { handlers: handlers.collect(), ..Handled::default() }
    }

    /// A handler's call has taken so many nanoseconds until its reply.
    pub(super) fn took(&self, command: usize, nanoseconds: u64) {
        let handler = &self.handlers[command];
        let bucket = BOUNDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        handler.buckets[bucket].fetch_add(1, Relaxed);
        handler.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    pub(super) fn handler_failed(&self, command: usize) {
        self.handlers[command].failures.fetch_add(1, Relaxed);
    }

    pub(super) fn hook_failed(&self) {
        self.hook_failures.fetch_add(1, Relaxed);
    }

    /// In the order of registration.
    pub(super) fn handlers(&self) -> Vec<HandlerStats> {
        let read = |handler: &HandlerCounters| {
            let bounds = BOUNDS.iter().map(|bound| Some(Duration::from_nanos(*bound))).chain([None]);
            let mut calls = 0;
            let buckets = bounds.zip(&handler.buckets).map(|(bound, bucket)| {
                calls += bucket.load(Relaxed);
                (bound, calls)
            });
            HandlerStats {
                name: handler.name.clone(),
                failures: handler.failures.load(Relaxed),
                sum: Duration::from_nanos(handler.nanoseconds.load(Relaxed)),
                buckets: buckets.collect(),
            }
        };
        self.handlers.iter().map(read).collect()
    }

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
    pub(super) fn sum<'a>(
        counters: impl IntoIterator<Item = &'a Counters>,
        handled: &Handled,
        datagrams: &DatagramCounters,
    ) -> Self {
        let (datagrams_answered, datagrams_dropped) = datagrams.sum();
        let mut sum = Stats {
            datagrams_answered,
            datagrams_dropped,
            commands: handled.commands.load(Relaxed),
            invalid: handled.invalid.load(Relaxed),
            handlers_waiting: handled.waiting.load(Relaxed),
            handler_failures: handled.handlers.iter().map(|handler| handler.failures.load(Relaxed)).sum(),
            hook_failures: handled.hook_failures.load(Relaxed),
            ..Stats::default()
        };
        for counter in counters {
            sum.clients += counter.clients.load(Relaxed);
            sum.accept_pauses += counter.accept_pauses.load(Relaxed);
            sum.commands += counter.commands.load(Relaxed);
            sum.invalid += counter.invalid.load(Relaxed);
            sum.bytes_in += counter.bytes_in.load(Relaxed);
            sum.bytes_out += counter.bytes_out.load(Relaxed);
            for (sum, counter) in sum.by_service.iter_mut().zip(&counter.accepted) {
                *sum += counter.load(Relaxed);
            }
            for (sum, counter) in sum.by_reason.iter_mut().zip(&counter.ended) {
                *sum += counter.load(Relaxed);
            }
        }
        sum.accepted = sum.by_service.iter().sum();
        sum.refused =
            Reason::ALL.iter().filter(|reason| reason.is_refusal()).map(|reason| sum.by_reason(*reason)).sum();
        sum
    }
}
