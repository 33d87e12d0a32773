//! How many answers a source gets, and all sources together.

use std::hash::{BuildHasher, RandomState};

use super::super::{admission::Source, tick::Tick};

/// The number of entries. Sources that share one share its budget.
const SLOTS: usize = 4096;
/// The answers a second for all sources together, and how many of them may come at once.
const ALL: Rate = Rate { interval: SECOND / 10_000, burst: 1_000 };
const SECOND: Tick = 1_000_000_000;

/// The budget of each source, in a table of a fixed size, and that of all sources together. A table alone is defeated by
/// forged sources. The hash is seeded, so that nobody can choose whose entry to share.
///
/// Each entry is a generic cell rate algorithm (ITU-T I.371): the moment at which the budget is whole again.
pub(in super::super) struct Budget {
    sources: Box<[Tick]>,
    all: Tick,
    rate: Rate,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Rate {
    /// The time after which one more answer is allowed.
    interval: Tick,
    /// The most answers at once.
    burst: u64,
}

impl Rate {
    /// The entry after one more answer, if that is allowed.
    fn take(self, whole_again: Tick, now: Tick) -> Option<Tick> {
        let next = whole_again.max(now) + self.interval;
        (next - now <= self.interval * self.burst).then_some(next)
    }
}

impl Budget {
    /// `per_second` is the rate of one source, and how many answers it gets at once.
    pub(in super::super) fn new(per_second: u32) -> Self {
        let rate = Rate { interval: SECOND / u64::from(per_second.max(1)), burst: per_second.max(1).into() };
        Budget { sources: vec![0; SLOTS].into(), all: 0, rate, hasher: RandomState::new() }
    }

    /// Whether a source gets one more answer.
    pub(super) fn take(&mut self, source: Source, now: Tick) -> bool {
        let slot = &mut self.sources[(self.hasher.hash_one(source) as usize) % SLOTS];
        let (Some(source), Some(all)) = (self.rate.take(*slot, now), ALL.take(self.all, now)) else { return false };
        (*slot, self.all) = (source, all);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(n: u32) -> Source {
        IpAddr::from(n.to_be_bytes()).into()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut budget = Budget::new(10);
        let taken = |budget: &mut Budget, now| (0..1000).filter(|_| budget.take(source(1), now)).count();
        assert_eq!(taken(&mut budget, SECOND), 10);
        assert_eq!(taken(&mut budget, SECOND + SECOND / 10), 1);
        assert_eq!(taken(&mut budget, SECOND + SECOND / 10), 0);
        // Half a second later, half of the burst is back.
        assert_eq!(taken(&mut budget, SECOND + SECOND / 10 + SECOND / 2), 5);
        assert_eq!(taken(&mut budget, 60 * SECOND), 10);
    }

    #[test]
    fn a_client_that_asks_at_its_rate_is_always_answered() {
        let mut budget = Budget::new(10);
        assert!((0..1000).all(|n| budget.take(source(1), n * SECOND / 10)));
    }

    #[test]
    fn forged_sources_share_the_budget_of_all() {
        let mut budget = Budget::new(10);
        let mut answered = 0;
        // 100,000 sources in a second.
        for n in 0..100_000 {
            answered += u64::from(budget.take(source(n), SECOND + u64::from(n) * 10_000));
        }
        assert!((10_000..=11_000).contains(&answered), "{answered}");
        assert_eq!(budget.sources.len(), SLOTS);
    }

    #[test]
    fn a_rejected_question_costs_nothing() {
        let mut budget = Budget::new(1);
        assert!(budget.take(source(1), 0));
        assert!(!(1..SECOND).step_by(1_000_000).any(|now| budget.take(source(1), now)));
        assert!(budget.take(source(1), SECOND));
    }
}
