//! The formatted times of a thread: of the server's zone, and of the zones that clients name. Each worker has a cache, and
//! so has each handler thread that meets a built-in command.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    config::Config,
    events::{ClientId, Event},
    shared::Shared,
    tick::{Tick, ticks},
};
use crate::{
    clock::Renewal,
    escape::escape,
    protocol::{Commands, FormattedTime, Respond, Zone},
};

/// The most zones that a thread caches. A peer that asks for more empties the cache.
const ZONES_MAX: usize = 256;
/// How often the cached zones are dropped and their files read again.
const RENEWAL: Duration = Duration::from_secs(300);

/// A thread's formatted times. It lives as long as the thread; the state of one read is a [`Read`].
pub(super) struct TimeCache {
    shared: Arc<Shared>,
    config: Arc<Config>,
    local: Cached,
    /// The last renewal of the zones.
    renewal: Renewal,
    /// By the name as clients spell it, so that a name is looked up once. A name that is unknown is looked up each time: it
    /// may be a zone whose file could not be opened for a moment, and a lookup costs less than the reply.
    named: HashMap<Box<str>, Cached>,
}

/// A zone and its replies of one second. They are stale when the second *differs*: clocks are also set back.
struct Cached {
    zone: Zone,
    time: FormattedTime,
}

impl Cached {
    fn new(second: i64, zone: Zone, config: &Config) -> Self {
        Cached { time: FormattedTime::new(second, &zone, &config.formats), zone }
    }

    fn at(&mut self, second: i64, config: &Config) -> &FormattedTime {
        if self.time.second() != second {
            self.time = FormattedTime::new(second, &self.zone, &config.formats);
        }
        &self.time
    }
}

/// One read of a client, and the moment of all its replies.
pub(super) struct Read {
    client: ClientId,
    /// The second of this read, from the first command that asks for it.
    second: Option<i64>,
}

impl TimeCache {
    pub(super) fn new(shared: Arc<Shared>, config: Arc<Config>) -> Self {
        let zone = config.zones.local().unwrap_or_else(|_| config.zones.local_at_start());
        let local = Cached::new(shared.clock.unix_seconds(), zone, &config);
        let renewal = Renewal { requested: 0, due: ticks(shared.started.elapsed()) / ticks(RENEWAL) };
        TimeCache { shared, config, local, renewal, named: HashMap::new() }
    }

    /// Starts to answer a read of a client.
    pub(super) fn begin(&mut self, client: ClientId, now: Tick) -> Read {
        let renewal = Renewal { requested: self.shared.zone_reloads.load(Relaxed), due: now / ticks(RENEWAL) };
        if renewal != self.renewal {
            self.renew(renewal);
        }
        Read { client, second: None }
    }

    /// The second of a read, and the server's zone.
    pub(super) fn now(&self, read: &mut Read) -> (i64, &Zone) {
        (self.second(read), &self.local.zone)
    }

    fn second(&self, read: &mut Read) -> i64 {
        *read.second.get_or_insert_with(|| self.shared.clock.unix_seconds())
    }

    /// Drops the zones, whose files may have changed. If the server's zone is missing now, it stays unchanged.
    fn renew(&mut self, renewal: Renewal) {
        self.renewal = renewal;
        self.named.clear();
        self.config.zones.renew_for(renewal);
        if let Ok(zone) = self.config.zones.local() {
            self.local = Cached::new(self.local.time.second(), zone, &self.config);
        }
    }
}

/// Answers one read. It borrows the cache for one call of the session.
pub(super) struct ReadResponder<'a> {
    pub(super) cache: &'a mut TimeCache,
    pub(super) read: &'a mut Read,
}

impl Respond for ReadResponder<'_> {
    fn commands(&self) -> &Commands {
        &self.cache.config.commands
    }

    fn formatted_time(&mut self, zone: Option<&str>) -> Option<&FormattedTime> {
        let second = self.cache.second(self.read);
        let TimeCache { config, local, named, .. } = &mut *self.cache;
        let Some(name) = zone else { return Some(local.at(second, config)) };
        if !named.contains_key(name) {
            let zone = config.zones.get(name)?;
            if named.len() == ZONES_MAX {
                named.clear();
            }
            named.insert(name.into(), Cached::new(second, zone, config));
        }
        Some(named.get_mut(name)?.at(second, config))
    }

    fn wants_names(&self) -> bool {
        self.cache.shared.events.wants_commands()
    }

    fn executed(&mut self, line: &[u8], ok: bool) {
        let client = self.read.client;
        self.cache.shared.events.emit(|| Event::CommandServed { client, command: for_log(line), ok });
    }
}

/// The first word of a line, in lower case and escaped, at most 64 bytes of input.
fn for_log(line: &[u8]) -> String {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let word: Vec<u8> =
        line.iter().skip_while(|byte| blank(byte)).take_while(|byte| !blank(byte)).take(64).copied().collect();
    escape(&String::from_utf8_lossy(&word).to_ascii_lowercase())
}
