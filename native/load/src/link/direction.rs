//! One direction of a path: lost by chance, queued for the bottleneck, then under way. No clock of its own.

use super::random::Random;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes under way at a time, whatever delay and rate: a bound for memory, not a property of the path.
const MAX_UNDER_WAY: usize = 256 << 20;

#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) delay_nanos: u64,
    /// Probability, 0 to 1.
    pub(super) loss: f64,
    /// 0: no bottleneck.
    pub(super) bytes_per_second: f64,
    /// Bytes that may wait for the bottleneck; what comes on top is dropped.
    pub(super) buffer: usize,
}

/// Datagrams by what became of them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) forwarded: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) too_long: AtomicU64,
    pub(super) too_many_peers: AtomicU64,
    pub(super) overflow: AtomicU64,
}

impl Counters {
    pub(super) fn json(&self) -> String {
        let n = |c: &AtomicU64| c.load(Ordering::Relaxed);
        format!(
            r#"{{"forwarded":{},"lost":{},"queueFull":{},"refused":{},"tooLong":{},"tooManyPeers":{},"overflow":{}}}"#,
            n(&self.forwarded),
            n(&self.lost),
            n(&self.queue_full),
            n(&self.refused),
            n(&self.too_long),
            n(&self.too_many_peers),
            n(&self.overflow),
        )
    }
}

struct UnderWay {
    due: u64,
    peer: usize,
    bytes: Vec<u8>,
}

pub(super) struct Direction {
    shape: Shape,
    random: Random,
    /// In order of `due`: the bottleneck keeps the order, and the delay is the same for all.
    under_way: VecDeque<UnderWay>,
    under_way_bytes: usize,
    /// When the bottleneck has sent what it was given, nanoseconds.
    free_at: u64,
    counters: Arc<Counters>,
}

impl Direction {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            random: Random::new(seed),
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            free_at: 0,
            counters: Arc::default(),
        }
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    pub(super) fn counted(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn refuse_long(&self) {
        add(&self.counters.too_long);
    }

    pub(super) fn refuse_peer(&self) {
        add(&self.counters.too_many_peers);
    }

    /// A datagram of `peer` comes in at `now` (nanoseconds).
    pub(super) fn enter(&mut self, now: u64, peer: usize, datagram: &[u8]) {
        // Random loss comes behind the bottleneck: a lost datagram has used its share of it.
        let Some(departure) = self.pass_bottleneck(now, datagram.len()) else {
            return add(&self.counters.queue_full);
        };
        if self.random.chance(self.shape.loss) {
            return add(&self.counters.lost);
        }
        if self.under_way_bytes + datagram.len() > MAX_UNDER_WAY {
            return add(&self.counters.overflow);
        }
        self.under_way_bytes += datagram.len();
        let due = departure + self.shape.delay_nanos;
        self.under_way.push_back(UnderWay { due, peer, bytes: datagram.to_vec() });
    }

    /// When the last byte has been sent; `None` when the buffer is full.
    fn pass_bottleneck(&mut self, now: u64, length: usize) -> Option<u64> {
        let rate = self.shape.bytes_per_second;
        if rate <= 0.0 {
            return Some(now);
        }
        let start = self.free_at.max(now);
        let waiting = (start - now) as f64 * rate / 1e9;
        if waiting + length as f64 > self.shape.buffer as f64 {
            return None;
        }
        self.free_at = start + (length as f64 * 1e9 / rate) as u64;
        Some(self.free_at)
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.under_way.front().map(|d| d.due)
    }

    /// The next datagram that has arrived at `now`; with `peer` only if it is that one's.
    pub(super) fn leave(&mut self, now: u64, peer: Option<usize>) -> Option<(usize, Vec<u8>)> {
        let next = self.under_way.front()?;
        if next.due > now || peer.is_some_and(|p| p != next.peer) {
            return None;
        }
        let UnderWay { peer, bytes, .. } = self.under_way.pop_front()?;
        self.under_way_bytes -= bytes.len();
        Some((peer, bytes))
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Shape = Shape { delay_nanos: 0, loss: 0.0, bytes_per_second: 0.0, buffer: 0 };

    #[test]
    fn a_datagram_leaves_when_its_delay_is_over_and_in_order() {
        let mut d = Direction::new(Shape { delay_nanos: 500, ..OPEN }, 1);
        d.enter(1_000, 0, b"a");
        d.enter(1_001, 7, b"b");
        assert_eq!(d.next_due(), Some(1_500));
        assert_eq!(d.leave(1_499, None), None);
        assert_eq!(d.leave(1_501, None), Some((0, b"a".to_vec())));
        assert_eq!(d.leave(1_501, Some(0)), None, "the next is another peer's");
        assert_eq!(d.leave(1_501, Some(7)), Some((7, b"b".to_vec())));
    }

    #[test]
    fn the_bottleneck_sends_at_its_rate_and_drops_what_its_buffer_does_not_hold() {
        // 1,000 bytes take 1 ms; two wait behind the one that is being sent.
        let shape = Shape { bytes_per_second: 1e6, buffer: 3_000, ..OPEN };
        let mut d = Direction::new(shape, 1);
        (0..5).for_each(|_| d.enter(0, 0, &[0; 1_000]));
        assert_eq!(d.counters.queue_full.load(Ordering::Relaxed), 2);
        let ms = 1_000_000;
        assert_eq!((1..=4).map(|t| std::iter::from_fn(|| d.leave(t * ms, None)).count()).sum::<usize>(), 3);
        d.enter(3 * ms, 0, &[0; 1_000]);
        assert_eq!(d.next_due(), Some(4 * ms), "an idle bottleneck starts at once");
    }

    #[test]
    fn the_share_lost_is_the_one_asked_for_and_the_same_each_time() {
        let lost = |seed| {
            let mut d = Direction::new(Shape { loss: 0.03, ..OPEN }, seed);
            let kept: Vec<bool> = (0..100_000)
                .map(|_| {
                    d.enter(0, 0, b"x");
                    d.leave(0, None).is_some()
                })
                .collect();
            (d.counters.lost.load(Ordering::Relaxed), kept)
        };
        let (count, kept) = lost(5);
        assert!((2_800..3_200).contains(&count), "{count} of 100,000");
        assert!(lost(5).1 == kept && lost(6).1 != kept);
    }
}
