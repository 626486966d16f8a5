use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::codel::{Codel, Taken};
use super::rate::RateLimit;
use super::{Drops, FairQueueConfig, cost};

/// The datagrams of one key.
#[derive(Debug, Default)]
pub(super) struct SubQueue {
    datagrams: VecDeque<(Instant, Bytes)>,
    pub(super) bytes: usize,
    /// Bytes that may still go in this turn.
    pub(super) deficit: i64,
    pub(super) limit: Option<RateLimit>,
    pub(super) back_pressured: bool,
    pub(super) drops: Drops,
    /// Of the one valid place in the lists; `None` while it is in none.
    pub(super) stamp: Option<u64>,
    /// True while that place is in the heap of those over their rate.
    pub(super) is_throttled: bool,
    codel: Codel,
}

impl SubQueue {
    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub(super) fn push(&mut self, datagram: Bytes, cost: usize, now: Instant) {
        self.bytes += cost;
        self.datagrams.push_back((now, datagram));
    }

    pub(super) fn count_no_room(&mut self) {
        match self.is_throttled {
            true => self.drops.rate += 1,
            false => self.drops.queue += 1,
        }
    }

    /// When the rate limit lets the next datagram go; `None` without a limit.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.limit.as_ref().map(|limit| limit.ready_at(now))
    }

    /// Takes the first datagram that CoDel lets pass.
    pub(super) fn next(&mut self, now: Instant, config: &FairQueueConfig) -> Option<Bytes> {
        if self.back_pressured {
            return self.pop().map(|(_, datagram)| datagram);
        }
        let mut codel = std::mem::take(&mut self.codel);
        let datagram = codel.next(
            now,
            (config.codel_target, config.codel_interval),
            self,
            |sub| {
                let (since, item) = sub.pop()?;
                let sojourn = now.saturating_duration_since(since);
                Some(Taken { item, sojourn, rest_is_short: sub.bytes <= config.quantum })
            },
            |sub, _| sub.drops.codel += 1,
        );
        self.codel = codel;
        datagram
    }

    /// Accounts for a datagram that goes out.
    pub(super) fn charge(&mut self, cost: usize, now: Instant) {
        self.deficit -= cost as i64;
        if let Some(limit) = &mut self.limit {
            limit.charge(cost as u64, now);
        }
    }

    /// Drops from the front: at least one, at most `most`, otherwise half of the bytes.
    pub(super) fn shed(&mut self, most: usize) {
        let half = self.bytes / 2;
        for _ in 0..most {
            if self.pop().is_none() {
                return;
            }
            self.drops.queue += 1;
            if self.bytes <= half {
                return;
            }
        }
    }

    fn pop(&mut self) -> Option<(Instant, Bytes)> {
        let (since, datagram) = self.datagrams.pop_front()?;
        self.bytes -= cost(&datagram);
        Some((since, datagram))
    }
}
