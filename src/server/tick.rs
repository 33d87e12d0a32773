//! Moments on the monotonic clock, as the threads of a server count them.

use std::time::Duration;

/// A moment on the monotonic clock: nanoseconds since the server started.
pub(super) type Tick = u64;
/// Later than any other tick.
pub(super) const NEVER: Tick = Tick::MAX;

/// A duration in ticks. `None`, or one that is too long, never ends.
pub(super) fn ticks(duration: impl Into<Option<Duration>>) -> Tick {
    duration.into().and_then(|duration| duration.as_nanos().try_into().ok()).unwrap_or(NEVER)
}
