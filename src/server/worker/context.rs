//! What a worker lends to each of its connections: the settings, the time, the buffers, and the counters.
//!
//! An idle connection has none of these, so that it stays small.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::super::{
    config::{Config, Settings},
    conversation::{Conversation, State},
    events::{ClientId, Event, Reason},
    handler_pool::{HandlerPool, Job, JobId, Submitted},
    listen::{Peer, Service},
    shared::Shared,
    stats::add,
    tick::{Tick, ticks},
    time_cache::TimeCache,
};
use crate::protocol::{QUIET, errors};

/// The size of the input buffer.
const READ_MAX: usize = 16 * 1024;
/// How long a peer may take to close after the last reply.
const LINGER: Duration = Duration::from_secs(1);
/// How long after it was accepted a client may send its first command while the server drains. Its command may be on the
/// way.
const FIRST_WORDS: Duration = Duration::from_secs(1);
/// The most refused connections that are kept open at once, so that their peers can read the error line. They use the
/// file descriptors that the default of `max_clients` reserves.
const REFUSED_MAX: usize = 32;
/// The most conversations that are kept for their buffers.
const SPARE_MAX: usize = 64;

/// What a worker lends to each of its connections.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<Config>,
    pub(super) pool: Arc<HandlerPool>,
    /// The index of the worker.
    pub(super) worker: usize,
    pub(super) now: Tick,
    pub(super) limits: Limits,
    pub(super) time_cache: TimeCache,
    /// The buffer for reads.
    pub(super) input: Box<[u8]>,
    /// The replies of one read; empty between calls of `drive`.
    pub(super) out: Vec<u8>,
    /// The jobs of this turn of the loop. They are submitted together.
    jobs: Vec<Submitted>,
    /// The number of sessions that are away.
    pub(super) away: usize,
    /// The number of refused connections.
    pub(super) refused: usize,
    /// The states of clients, as the hook `on_connect` returned them.
    pub(super) states: HashMap<ClientId, State>,
    /// Cleared conversations, whose buffers serve the next ones.
    #[allow(clippy::vec_box, reason = "a box moves between threads, and a conversation is large")]
    spare: Vec<Box<Conversation>>,
}

/// The timeouts of a client, in ticks.
pub(super) struct Limits {
    pub(super) write: Tick,
    pub(super) idle: Tick,
    pub(super) first_command: Tick,
    pub(super) quiet: Tick,
    pub(super) linger: Tick,
    pub(super) first_words: Tick,
    pub(super) proxy: Tick,
}

impl Limits {
    fn new(settings: &Settings) -> Self {
        Limits {
            write: ticks(settings.write_timeout),
            idle: ticks(settings.idle_timeout),
            first_command: ticks(settings.first_command_timeout),
            quiet: ticks(QUIET),
            linger: ticks(LINGER),
            first_words: ticks(FIRST_WORDS),
            proxy: ticks(settings.proxy_timeout),
        }
    }
}

impl Context {
    pub(super) fn new(shared: Arc<Shared>, config: Arc<Config>, pool: Arc<HandlerPool>, worker: usize) -> Self {
        Context {
            limits: Limits::new(&config.settings),
            time_cache: TimeCache::new(shared.clone(), config.clone()),
            shared,
            config,
            pool,
            worker,
            now: 0,
            input: vec![0; READ_MAX].into(),
            out: Vec::new(),
            jobs: Vec::new(),
            away: 0,
            refused: 0,
            states: HashMap::new(),
            spare: Vec::new(),
        }
    }

    /// Counts a client that is admitted, and emits the event.
    pub(super) fn admit(&self, id: ClientId, peer: &Peer, service: Service) {
        let counters = &self.shared.counters[self.worker];
        add(&counters.accepted[service as usize], 1);
        add(&counters.clients, 1);
        self.shared.events.emit(|| Event::Connected { client: id, peer: peer.address() });
    }

    /// Counts a connection that is refused, and emits the event. Returns the line for a client of the text protocol: one
    /// that exceeds a limit gets it, unless many others read theirs. A client of a denied network gets nothing, as if
    /// nothing listened.
    pub(super) fn refuse(&self, peer: &Peer, reason: Reason) -> Option<String> {
        add(&self.shared.counters[self.worker].ended[reason as usize], 1);
        self.shared.events.emit(|| Event::Refused { peer: peer.address(), reason });
        let line = match reason {
            Reason::Full => errors::FULL,
            Reason::PerSource => errors::PER_SOURCE,
            _ => return None,
        };
        (self.refused < REFUSED_MAX).then(|| format!("{line}\n"))
    }

    /// Adds a job, to be submitted at the end of this turn.
    pub(super) fn submit(&mut self, id: JobId, client: ClientId, job: Job) {
        self.jobs.push(Submitted { id, client, job });
    }

    /// Submits the jobs of this turn.
    pub(super) fn submit_jobs(&mut self) {
        self.pool.submit(&mut self.jobs);
    }

    /// A cleared conversation.
    pub(super) fn conversation(&mut self) -> Box<Conversation> {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps the buffers of a conversation for the next one.
    pub(super) fn recycle(&mut self, mut conversation: Box<Conversation>) {
        if self.spare.len() < SPARE_MAX {
            conversation.clear();
            self.spare.push(conversation);
        }
    }
}
