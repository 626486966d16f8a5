//! The queue in front of one connection: short, and fair between those who share it.
//!
//! Every rule, virtual path or flow has a sub-queue under a key. Sub-queues take turns by deficit
//! round robin over bytes; one that had nothing waiting goes first once (RFC 8290), so that a modest
//! sender hardly waits behind a greedy one. Within a sub-queue CoDel (RFC 8289) drops from the front
//! what makes the wait stand above 5 ms. Time is passed in and never falls.
//!
//! A datagram counts as at least [`MIN_COST`] bytes. Enqueueing and dequeueing take constant time,
//! amortised; sub-queues over their rate limit wait in a heap, and overflow of the whole looks at
//! every sub-queue once for up to 32 drops.

mod codel;
mod rate;
mod subqueue;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use rate::RateLimit;
use subqueue::SubQueue;

/// Bytes that even the smallest datagram counts as.
pub const MIN_COST: usize = 64;
/// Datagrams dropped at a time from the longest sub-queue.
const SHED: usize = 32;

/// Sizes and times of a [`FairQueue`].
#[derive(Debug, Clone)]
pub struct FairQueueConfig {
    /// Bytes that one sub-queue holds; what comes beyond is refused.
    pub max_queue_bytes: usize,
    /// Bytes that all sub-queues hold together, those under back-pressure aside; beyond it the longest
    /// loses from its front.
    pub max_total_bytes: usize,
    /// Bytes that a sub-queue under back-pressure holds. Only a sender that does not heed the pressure
    /// meets it.
    pub max_back_pressured_bytes: usize,
    /// Bytes that a sub-queue sends per turn. At least the longest datagram.
    pub quantum: usize,
    /// CoDel: a wait that may stand.
    pub codel_target: Duration,
    /// CoDel: how long a wait above target is let pass.
    pub codel_interval: Duration,
}

impl Default for FairQueueConfig {
    fn default() -> Self {
        Self {
            max_queue_bytes: 256 << 10,
            max_total_bytes: 2 << 20,
            max_back_pressured_bytes: 1 << 20,
            quantum: 1514,
            codel_target: Duration::from_millis(5),
            codel_interval: Duration::from_millis(100),
        }
    }
}

/// Datagrams dropped, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drops {
    /// No room: in the sub-queue, or in the whole.
    pub queue: u64,
    /// The wait stood above target.
    pub codel: u64,
    /// No room in a sub-queue that was waiting for its rate limit.
    pub rate: u64,
}

/// A place in a list of sub-queues; stale when the stamp is no longer the sub-queue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    stamp: u64,
    key: u32,
}

/// See the [module's documentation](self).
pub struct FairQueue {
    config: FairQueueConfig,
    subs: FxHashMap<u32, SubQueue>,
    /// Had nothing waiting until a moment ago; served first.
    fresh: VecDeque<Place>,
    /// Take turns.
    turns: VecDeque<Place>,
    /// Wait until their rate limit lets them go on.
    throttled: BinaryHeap<Reverse<(Instant, Place)>>,
    next_stamp: u64,
    datagrams: usize,
    /// Bytes of the sub-queues that are not under back-pressure.
    shared_bytes: usize,
    /// Drops of sub-queues that are removed.
    former: Drops,
}

impl FairQueue {
    /// An empty queue.
    pub fn new(config: FairQueueConfig) -> Self {
        Self {
            config,
            subs: FxHashMap::default(),
            fresh: VecDeque::new(),
            turns: VecDeque::new(),
            throttled: BinaryHeap::new(),
            next_stamp: 0,
            datagrams: 0,
            shared_bytes: 0,
            former: Drops::default(),
        }
    }

    /// Appends a datagram to the sub-queue `key`, which begins to exist when it does not. False when
    /// there is no room; the sub-queue counts it.
    pub fn enqueue(&mut self, key: u32, datagram: Bytes, now: Instant) -> bool {
        let cost = cost(&datagram);
        let sub = self.subs.entry(key).or_default();
        let limit = match sub.back_pressured {
            true => self.config.max_back_pressured_bytes,
            false => self.config.max_queue_bytes,
        };
        if sub.bytes + cost > limit {
            sub.count_no_room();
            return false;
        }
        sub.push(datagram, cost, now);
        self.datagrams += 1;
        if !sub.back_pressured {
            self.shared_bytes += cost;
        }
        if sub.stamp.is_none() {
            sub.deficit = self.config.quantum as i64;
            let place = self.new_place(key);
            self.fresh.push_back(place);
        }
        while self.shared_bytes > self.config.max_total_bytes && self.shed() {}
        true
    }

    /// Takes the datagram whose turn it is; `None` when none may go at `now`.
    pub fn dequeue(&mut self, now: Instant) -> Option<(u32, Bytes)> {
        self.wake(now);
        loop {
            let is_fresh = !self.fresh.is_empty();
            let list = if is_fresh { &mut self.fresh } else { &mut self.turns };
            let place = list.pop_front()?;
            let Some(sub) = self.subs.get_mut(&place.key).filter(|sub| sub.stamp == Some(place.stamp)) else {
                continue;
            };
            if sub.deficit <= 0 {
                sub.deficit += self.config.quantum as i64;
                self.turns.push_back(place);
                continue;
            }
            if let Some(ready_at) = sub.ready_at(now).filter(|at| *at > now && !sub.is_empty()) {
                sub.is_throttled = true;
                self.throttled.push(Reverse((ready_at, place)));
                continue;
            }
            let (bytes_before, datagrams_before) = (sub.bytes, sub.len());
            let next = sub.next(now, &self.config);
            self.datagrams -= datagrams_before - sub.len();
            if !sub.back_pressured {
                self.shared_bytes -= bytes_before - sub.bytes;
            }
            let Some(datagram) = next else {
                // One that was fresh takes a turn before it may be fresh again.
                if is_fresh && !self.turns.is_empty() {
                    self.turns.push_back(place);
                } else {
                    sub.stamp = None;
                }
                continue;
            };
            sub.charge(cost(&datagram), now);
            let list = if is_fresh { &mut self.fresh } else { &mut self.turns };
            list.push_front(place);
            return Some((place.key, datagram));
        }
    }

    /// When [`Self::dequeue`] may give something: at or before `now` when at once, later while every
    /// waiting datagram is held by a rate limit, `None` when nothing waits.
    pub fn next_ready(&self, now: Instant) -> Option<Instant> {
        if self.datagrams == 0 {
            return None;
        }
        let mut earliest: Option<Instant> = None;
        for sub in self.fresh.iter().chain(&self.turns).filter_map(|place| self.live(place)) {
            let at = sub.ready_at(now).unwrap_or(now);
            if at <= now {
                return Some(now);
            }
            earliest = Some(earliest.map_or(at, |e| e.min(at)));
        }
        let throttled = match self.throttled.peek() {
            Some(Reverse((at, place))) if self.live(place).is_some() => Some(*at),
            _ => {
                let live = self.throttled.iter().filter(|Reverse((_, place))| self.live(place).is_some());
                live.map(|Reverse((at, _))| *at).min()
            }
        };
        earliest.into_iter().chain(throttled).min()
    }

    /// Limits a sub-queue to `bytes_per_second` with bursts of 50 ms (16 KiB at least); `None` lifts the
    /// limit. Datagrams over the rate wait.
    pub fn set_rate(&mut self, key: u32, bytes_per_second: Option<u64>) {
        match bytes_per_second {
            Some(rate) => self.set_rate_and_burst(key, rate, RateLimit::default_burst(rate)),
            None => self.set_limit(key, None),
        }
    }

    /// As [`Self::set_rate`], with bursts of `burst` bytes.
    pub fn set_rate_and_burst(&mut self, key: u32, bytes_per_second: u64, burst: u64) {
        self.set_limit(key, Some(RateLimit::new(bytes_per_second, burst)));
    }

    /// Declares that the sender of a sub-queue watches [`Self::queued_bytes`] and holds back: nothing of
    /// it is dropped for its wait or for the good of others.
    pub fn set_back_pressured(&mut self, key: u32) {
        let sub = self.subs.entry(key).or_default();
        if !sub.back_pressured {
            sub.back_pressured = true;
            self.shared_bytes -= sub.bytes;
        }
    }

    /// Drops a sub-queue with all that waits in it; returns how many datagrams that were. Its settings
    /// and counters are gone, and the same key begins anew.
    pub fn remove(&mut self, key: u32) -> usize {
        let Some(sub) = self.subs.remove(&key) else {
            return 0;
        };
        self.former.add(sub.drops);
        self.datagrams -= sub.len();
        if !sub.back_pressured {
            self.shared_bytes -= sub.bytes;
        }
        if self.datagrams == 0 {
            self.forget_places();
        }
        sub.len()
    }

    /// Datagrams of a sub-queue dropped so far; zero for an unknown one.
    pub fn drops(&self, key: u32) -> Drops {
        self.subs.get(&key).map(|sub| sub.drops).unwrap_or_default()
    }

    /// Datagrams dropped so far, over all sub-queues, removed ones included.
    pub fn total_drops(&self) -> Drops {
        let mut total = self.former;
        self.subs.values().for_each(|sub| total.add(sub.drops));
        total
    }

    /// Bytes that wait in a sub-queue; zero for an unknown one.
    pub fn queued_bytes(&self, key: u32) -> usize {
        self.subs.get(&key).map_or(0, |sub| sub.bytes)
    }

    /// Datagrams that wait, over all sub-queues.
    pub fn len(&self) -> usize {
        self.datagrams
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    fn set_limit(&mut self, key: u32, limit: Option<RateLimit>) {
        let sub = self.subs.entry(key).or_default();
        sub.limit = limit;
        // Its wait was reckoned with the former limit.
        if std::mem::take(&mut sub.is_throttled) {
            let place = self.new_place(key);
            self.turns.push_back(place);
        }
    }

    fn new_place(&mut self, key: u32) -> Place {
        self.next_stamp += 1;
        let stamp = self.next_stamp;
        if let Some(sub) = self.subs.get_mut(&key) {
            sub.stamp = Some(stamp);
        }
        Place { stamp, key }
    }

    /// The sub-queue of a place that is neither stale nor empty.
    fn live(&self, place: &Place) -> Option<&SubQueue> {
        self.subs.get(&place.key).filter(|sub| sub.stamp == Some(place.stamp) && !sub.is_empty())
    }

    /// Brings back the sub-queues whose rate limit lets them go on.
    fn wake(&mut self, now: Instant) {
        while let Some(Reverse((_, place))) =
            self.throttled.peek().filter(|Reverse((at, _))| *at <= now).copied()
        {
            self.throttled.pop();
            if let Some(sub) = self.subs.get_mut(&place.key).filter(|sub| sub.stamp == Some(place.stamp)) {
                sub.is_throttled = false;
                self.turns.push_back(place);
            }
        }
    }

    /// Drops from the front of the longest sub-queue, up to half of it. False when there is none.
    fn shed(&mut self) -> bool {
        let candidates = self.subs.values_mut().filter(|sub| !sub.back_pressured && !sub.is_empty());
        let Some(longest) = candidates.max_by_key(|sub| sub.bytes) else {
            return false;
        };
        let (bytes_before, datagrams_before) = (longest.bytes, longest.len());
        longest.shed(SHED);
        self.shared_bytes -= bytes_before - longest.bytes;
        self.datagrams -= datagrams_before - longest.len();
        true
    }

    /// With nothing waiting no place is of use. Keeps stale ones from piling up.
    fn forget_places(&mut self) {
        self.fresh.clear();
        self.turns.clear();
        self.throttled.clear();
        for sub in self.subs.values_mut() {
            sub.stamp = None;
            sub.is_throttled = false;
        }
    }
}

impl Drops {
    /// All causes together.
    pub fn total(&self) -> u64 {
        self.queue + self.codel + self.rate
    }

    fn add(&mut self, other: Self) {
        self.queue += other.queue;
        self.codel += other.codel;
        self.rate += other.rate;
    }
}

fn cost(datagram: &Bytes) -> usize {
    datagram.len().max(MIN_COST)
}
