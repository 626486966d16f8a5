use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::input::Input;
use crate::fairqueue::{FairQueue, FairQueueConfig, MIN_COST};

const KEYS: u32 = 6;

/// Every datagram is refused, delivered in order, removed or counted as dropped; bytes are exact, limits
/// hold, and `next_ready` is true. Bytes: operations of one to four bytes, see [`World::step`].
pub(super) fn fair_queue(data: &[u8]) {
    let mut input = Input::new(data);
    let config = FairQueueConfig {
        max_queue_bytes: 8_000,
        max_total_bytes: 12_000,
        max_back_pressured_bytes: 10_000,
        ..FairQueueConfig::default()
    };
    let mut world = World {
        queue: FairQueue::new(config.clone()),
        config,
        now: Instant::now(),
        subs: BTreeMap::new(),
        next: 0,
        former: 0,
    };
    while !input.is_empty() {
        world.step(&mut input);
        world.check();
    }
    world.drain();
}

/// What is known of a sub-queue since it began to exist.
#[derive(Default)]
struct Sub {
    waiting: VecDeque<(u32, usize)>,
    refused: u64,
    dropped: u64,
    back_pressured: bool,
}

struct World {
    queue: FairQueue,
    config: FairQueueConfig,
    now: Instant,
    subs: BTreeMap<u32, Sub>,
    next: u32,
    /// Drops of removed sub-queues.
    former: u64,
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.u8();
        let key = u32::from(op >> 4) % KEYS;
        match op % 16 {
            0..=5 => self.enqueue(key, 4 + usize::from(input.u16() % 1500)),
            6..=9 => drop(self.dequeue()),
            10 | 11 => self.now += Duration::from_millis(u64::from(input.u8())),
            12 => {
                let rate = 1 << (input.u8() % 64);
                self.subs.entry(key).or_default();
                match input.u8() {
                    0 => self.queue.set_rate(key, None),
                    1..128 => self.queue.set_rate(key, Some(rate)),
                    burst => self.queue.set_rate_and_burst(key, rate, u64::from(burst) << 8),
                }
            }
            13 => {
                self.subs.entry(key).or_default().back_pressured = true;
                self.queue.set_back_pressured(key);
            }
            14 => self.remove(key),
            _ => self.until_ready(),
        }
    }

    fn enqueue(&mut self, key: u32, len: usize) {
        self.next += 1;
        let mut datagram = self.next.to_be_bytes().to_vec();
        datagram.resize(len, 0);
        let taken = self.queue.enqueue(key, Bytes::from(datagram), self.now);
        let sub = self.subs.entry(key).or_default();
        match taken {
            true => sub.waiting.push_back((self.next, len.max(MIN_COST))),
            false => sub.refused += 1,
        }
        self.drop_what_is_counted();
    }

    fn dequeue(&mut self) -> bool {
        let ready = self.queue.next_ready(self.now);
        let taken = self.queue.dequeue(self.now);
        self.drop_what_is_counted();
        assert_eq!(taken.is_some(), ready.is_some_and(|at| at <= self.now), "next_ready is true");
        let Some((key, datagram)) = taken else { return false };
        let front = self.subs.get_mut(&key).and_then(|sub| sub.waiting.pop_front());
        let id = u32::from_be_bytes(datagram[..4].try_into().expect("four bytes"));
        assert_eq!(front, Some((id, datagram.len().max(MIN_COST))), "in order, nothing lost uncounted");
        true
    }

    fn remove(&mut self, key: u32) {
        let removed = self.queue.remove(key);
        let sub = self.subs.remove(&key).unwrap_or_default();
        assert_eq!(removed, sub.waiting.len());
        self.former += sub.refused + sub.dropped;
    }

    fn until_ready(&mut self) {
        if let Some(at) = self.queue.next_ready(self.now) {
            self.now = self.now.max(at);
            assert!(self.dequeue());
        }
    }

    /// Drops are from the front; a sub-queue counts them.
    fn drop_what_is_counted(&mut self) {
        for (key, sub) in &mut self.subs {
            let counted = self.queue.drops(*key).total() - sub.refused;
            assert!(!sub.back_pressured || counted == sub.dropped, "dropped in spite of back-pressure");
            while sub.dropped < counted {
                assert!(sub.waiting.pop_front().is_some(), "more dropped than waited");
                sub.dropped += 1;
            }
        }
    }

    fn check(&self) {
        let mut shared = 0;
        for (key, sub) in &self.subs {
            let bytes: usize = sub.waiting.iter().map(|(_, cost)| cost).sum();
            assert_eq!(self.queue.queued_bytes(*key), bytes);
            assert!(
                bytes <= self.config.max_queue_bytes.max(self.config.max_back_pressured_bytes)
                    && (sub.back_pressured || bytes <= self.config.max_queue_bytes)
            );
            shared += if sub.back_pressured { 0 } else { bytes };
        }
        assert!(shared <= self.config.max_total_bytes);
        let waiting: usize = self.subs.values().map(|sub| sub.waiting.len()).sum();
        assert_eq!((self.queue.len(), self.queue.is_empty()), (waiting, waiting == 0));
        assert_eq!(self.queue.next_ready(self.now).is_some(), waiting > 0);
        let dropped: u64 = self.subs.values().map(|sub| sub.refused + sub.dropped).sum();
        assert_eq!(self.queue.total_drops().total(), self.former + dropped);
    }

    fn drain(&mut self) {
        for key in 0..KEYS {
            self.queue.set_rate(key, None);
            self.subs.entry(key).or_default();
        }
        while self.dequeue() {
            self.check();
        }
        assert!(self.queue.is_empty());
    }
}
