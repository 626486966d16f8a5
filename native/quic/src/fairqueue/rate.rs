//! Rate limit of one sub-queue: a token bucket kept as the time at which it would be full again.

use std::time::{Duration, Instant};

/// Shortest burst in bytes, so that a low rate still lets whole packets through together.
const MIN_BURST: u64 = 16 << 10;

#[derive(Debug)]
pub(super) struct RateLimit {
    bytes_per_second: u64,
    /// Time that a burst takes at the rate.
    tolerance: Duration,
    full_at: Option<Instant>,
}

impl RateLimit {
    pub(super) fn new(bytes_per_second: u64, burst: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        let tolerance = time_for(burst, bytes_per_second);
        Self { bytes_per_second, tolerance, full_at: None }
    }

    /// 50 ms worth of bytes.
    pub(super) fn default_burst(bytes_per_second: u64) -> u64 {
        (bytes_per_second / 20).max(MIN_BURST)
    }

    /// When the next datagram may go; at or before `now` when at once.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        match self.full_at {
            Some(full_at) if full_at > now + self.tolerance => full_at - self.tolerance,
            _ => now,
        }
    }

    pub(super) fn charge(&mut self, bytes: u64, now: Instant) {
        let from = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(from + time_for(bytes, self.bytes_per_second));
    }
}

fn time_for(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
    // A century stands for "never"; larger sums would overflow an Instant.
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_secs(3_000_000_000))
}
