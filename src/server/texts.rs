//! What a worker's sessions ask for: the table of commands and the texts of this moment.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    config::Setup,
    control::Control,
    event::{ClientId, Event},
    stats::add,
    tick::{Tick, ticks},
};
use crate::protocol::{Commands, Formats, Host, Stamp, Zone};

/// The zones that one worker remembers; a peer that asks for more makes it start anew.
const NAMED_MAX: usize = 256;
/// How old what is known of zones may become, before their files are read again.
const RENEWAL: Duration = Duration::from_secs(300);

/// A worker's texts: of its server's zone, and of the zones that were asked for by name.
pub(super) struct Texts {
    control: Arc<Control>,
    setup: Arc<Setup>,
    worker: usize,
    /// The second that all commands of one read are answered from, once one of them has asked.
    reading: Option<i64>,
    home: Made,
    home_zone: Zone,
    /// When the zones are to be read again.
    renewal: Tick,
    /// How often that had been asked for when they were read last.
    asked: u64,
    /// By the name as it was asked for, which is how often one name is looked up; unknown ones too.
    named: HashMap<Box<str>, Option<(Zone, Made)>>,
    /// Whose read is being answered.
    client: ClientId,
    /// Somebody wants to be told of each command.
    telling: bool,
    /// The commands of the read in progress.
    executed: u64,
    invalid: u64,
}

/// A stamp and the second that it was made for. It is stale when that *differs*: clocks are set back, too.
struct Made {
    second: i64,
    stamp: Stamp,
}

impl Made {
    fn new(second: i64, zone: &Zone, formats: &Formats) -> Self {
        Made { second, stamp: Stamp::new(second, zone, formats) }
    }
}

impl Texts {
    pub(super) fn new(control: Arc<Control>, setup: Arc<Setup>, worker: usize) -> Self {
        let second = control.clock.unix_seconds();
        let home_zone = setup.zones.home().unwrap_or(Zone::UTC);
        let home = Made::new(second, &home_zone, &setup.formats);
        let renewal = ticks(control.began.elapsed()).saturating_add(ticks(RENEWAL));
        Texts {
            control,
            setup,
            worker,
            reading: None,
            home,
            home_zone,
            renewal,
            asked: 0,
            named: HashMap::new(),
            client: ClientId::default(),
            telling: false,
            executed: 0,
            invalid: 0,
        }
    }

    /// A read of this client is about to be answered.
    pub(super) fn begin(&mut self, client: ClientId, now: Tick) {
        let asked = self.control.zones_wanted.load(Relaxed);
        if now >= self.renewal || asked != self.asked {
            self.asked = asked;
            self.renew(now);
        }
        self.reading = None;
        self.client = client;
        self.telling = self.control.events.commands_wanted();
    }

    /// The second of this read, and the server's zone.
    pub(super) fn now(&mut self) -> (i64, &Zone) {
        (self.second(), &self.home_zone)
    }

    fn second(&mut self) -> i64 {
        *self.reading.get_or_insert_with(|| self.control.clock.unix_seconds())
    }

    /// Forgets the zones, whose files may have been replaced. A zone of the server that is gone stays as it was.
    fn renew(&mut self, now: Tick) {
        self.renewal = now.saturating_add(ticks(RENEWAL));
        self.named.clear();
        self.setup.zones.renew();
        if let Ok(zone) = self.setup.zones.home() {
            self.home = Made::new(self.home.second, &zone, &self.setup.formats);
            self.home_zone = zone;
        }
    }

    /// Counts the commands since the last call, and gives their number.
    pub(super) fn count(&mut self) -> u64 {
        let executed = std::mem::take(&mut self.executed);
        let counters = &self.control.counters[self.worker];
        add(&counters.commands, executed);
        add(&counters.invalid, std::mem::take(&mut self.invalid));
        executed
    }
}

impl Host for Texts {
    fn commands(&self) -> &Commands {
        &self.setup.commands
    }

    fn stamp(&mut self, zone: Option<&str>) -> Option<&Stamp> {
        let second = self.second();
        let formats = &self.setup.formats;
        let Some(name) = zone else {
            if self.home.second != second {
                self.home = Made::new(second, &self.home_zone, formats);
            }
            return Some(&self.home.stamp);
        };
        if !self.named.contains_key(name) {
            if self.named.len() == NAMED_MAX {
                self.named.clear();
            }
            let zone = self.setup.zones.get(name);
            let made = zone.map(|zone| {
                let made = Made::new(second, &zone, formats);
                (zone, made)
            });
            self.named.insert(name.into(), made);
        }
        let (zone, made) = self.named.get_mut(name)?.as_mut()?;
        if made.second != second {
            *made = Made::new(second, zone, formats);
        }
        Some(&made.stamp)
    }

    fn executed(&mut self, name: &[u8], ok: bool) {
        self.executed += 1;
        self.invalid += u64::from(!ok);
        if self.telling {
            let (client, command) = (self.client, shown(name));
            self.control.events.tell(|| Event::Command { client, command, ok });
        }
    }

    fn executed_lines(&mut self, lines: &[u8], count: u64) {
        if self.telling {
            lines.trim_ascii_end().split(|&byte| byte == b'\n').for_each(|name| self.executed(name, true));
        } else {
            self.executed += count;
        }
    }
}

/// The first word of what a client sent, fit for a log.
fn shown(line: &[u8]) -> String {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let word: Vec<u8> =
        line.iter().skip_while(|byte| blank(byte)).take_while(|byte| !blank(byte)).take(64).copied().collect();
    let word = String::from_utf8_lossy(&word).to_ascii_lowercase();
    word.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
