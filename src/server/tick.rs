//! Points on the monotonic clock.

use std::time::Duration;

/// A point on the monotonic clock: nanoseconds since the worker began.
pub(super) type Tick = u64;
/// Later than any tick.
pub(super) const NEVER: Tick = Tick::MAX;

pub(super) fn ticks(duration: Duration) -> Tick {
    duration.as_nanos().try_into().unwrap_or(NEVER)
}
