//! Packets from the socket that wait to be opened, by connection. Opening and forwarding a packet costs many times what
//! reading it from the socket does: when more arrives than can be handled, packets are dropped here, of those who send
//! the most. So their own congestion control slows them, and a modest sender and the acknowledgements of others do not
//! stand in one line with theirs, as they would in the socket's buffer.

use super::types::Id;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets of one connection before others get their turn. Neighbours are cheaper to handle than strangers.
const QUANTUM: usize = 32;
/// Longest wait in a line of more than one turn. Sessions share a line where they come over one relay: it bounds what a
/// greedy one costs the others. A line that moves fast holds a burst of a thousand packets within it.
const HOLD: Duration = Duration::from_millis(8);
/// Counts at most towards a wait between two looks: a thread that was not run is no line that does not move.
const LONGEST_LOOP: Duration = Duration::from_millis(4);
/// Packets that wait for one connection; a sender's burst at a high rate is several hundred.
const MAX_WAITING: usize = 1_024;
/// Packets that wait in all, below 12 MB.
const MAX_TOTAL: usize = 8_192;
/// Dropped at a time from the longest.
const SHED: usize = 32;
/// With fewer packets than this for each line there is no longest that is worth looking for.
const SHORT: usize = 8;

/// Waiting packets of one connection. An empty one keeps its place among the turns until that comes: else a sender of few
/// packets at a time would always go first.
struct Line<T> {
    /// Each with the clock's time when it came.
    packets: VecDeque<(Duration, T)>,
    /// What is left of its turn.
    left: usize,
}

impl<T> Line<T> {
    /// Packets that waited too long, of those beyond one turn.
    fn stale(&self, clock: Duration) -> usize {
        let spare = self.packets.len().saturating_sub(QUANTUM);
        self.packets.iter().take(spare).take_while(|(came, _)| clock - *came > HOLD).count()
    }
}

pub(crate) struct Inbox<T> {
    lines: FxHashMap<Id, Line<T>>,
    /// Had nothing waiting until a moment ago; served first.
    fresh: VecDeque<Id>,
    turns: VecDeque<Id>,
    total: usize,
    /// Time as it counts for waiting, and when it was last set.
    clock: Duration,
    seen: Instant,
    /// One of the long lines, to drop from.
    long: Id,
    /// Packets dropped so far.
    pub(crate) dropped: u64,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            lines: FxHashMap::default(),
            fresh: VecDeque::new(),
            turns: VecDeque::new(),
            total: 0,
            clock: Duration::ZERO,
            seen: Instant::now(),
            long: 0,
            dropped: 0,
        }
    }

    /// Time passes; once before packets come and once before they are taken.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.clock += now.saturating_duration_since(self.seen).min(LONGEST_LOOP);
        self.seen = now;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(crate) fn push(&mut self, conn: Id, packet: T) {
        let line = self.lines.entry(conn).or_insert_with(|| {
            self.fresh.push_back(conn);
            Line { packets: VecDeque::new(), left: QUANTUM }
        });
        line.packets.push_back((self.clock, packet));
        self.total += 1;
        if line.packets.len() > MAX_WAITING {
            self.shed(conn, 1);
        } else if self.total > MAX_TOTAL {
            self.make_room(conn);
        }
    }

    /// The packet whose turn it is.
    pub(crate) fn take(&mut self) -> Option<(Id, T)> {
        loop {
            let is_fresh = !self.fresh.is_empty();
            let list = if is_fresh { &mut self.fresh } else { &mut self.turns };
            let conn = *list.front()?;
            // None when it was forgotten.
            let line = self.lines.get_mut(&conn);
            if let Some(line) = &line
                && let stale = line.stale(self.clock)
                && stale > 0
            {
                self.shed(conn, stale);
                continue;
            }
            let Some(((_, packet), line)) = line.and_then(|l| Some((l.packets.pop_front()?, l))) else {
                list.pop_front();
                if is_fresh && !self.turns.is_empty() && self.lines.contains_key(&conn) {
                    self.turns.push_back(conn);
                } else {
                    self.lines.remove(&conn);
                }
                continue;
            };
            self.total -= 1;
            line.left -= 1;
            if line.left == 0 {
                line.left = QUANTUM;
                list.pop_front();
                self.turns.push_back(conn);
            }
            return Some((conn, packet));
        }
    }

    /// The connection is over: what waits for it has nowhere to go.
    pub(crate) fn forget(&mut self, conn: Id) {
        if let Some(line) = self.lines.remove(&conn) {
            self.total -= line.packets.len();
        }
    }

    /// Drops from a line that is long, or from that of `conn` if there is none.
    fn make_room(&mut self, conn: Id) {
        let average = self.total / self.lines.len();
        if average < SHORT {
            return self.shed(conn, 1);
        }
        if self.length(self.long) < average {
            let longest = self.lines.iter().max_by_key(|(_, l)| l.packets.len());
            self.long = longest.map_or(conn, |(id, _)| *id);
        }
        self.shed(self.long, SHED.min(self.length(self.long) / 2));
    }

    fn length(&self, conn: Id) -> usize {
        self.lines.get(&conn).map_or(0, |line| line.packets.len())
    }

    /// Drops the oldest of a line, which are the least worth.
    fn shed(&mut self, conn: Id, count: usize) {
        let Some(line) = self.lines.get_mut(&conn) else { return };
        let dropped = line.packets.drain(..count.min(line.packets.len())).count();
        self.total -= dropped;
        self.dropped += dropped as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(lines: &[(Id, usize)]) -> Inbox<usize> {
        let mut inbox = Inbox::new();
        for &(conn, count) in lines {
            (0..count).for_each(|n| inbox.push(conn, n));
        }
        inbox
    }

    fn rest(inbox: &mut Inbox<usize>) -> Vec<(Id, usize)> {
        std::iter::from_fn(|| inbox.take()).collect()
    }

    #[test]
    fn each_line_keeps_its_order_and_all_are_served() {
        let mut inbox = filled(&[(1, 100), (2, 3), (3, 70)]);
        let taken = rest(&mut inbox);
        for (conn, count) in [(1, 100), (2, 3), (3, 70)] {
            let of: Vec<usize> = taken.iter().filter(|(c, _)| *c == conn).map(|(_, n)| *n).collect();
            assert_eq!(of, (0..count).collect::<Vec<_>>());
        }
        assert!(inbox.is_empty() && inbox.lines.is_empty() && inbox.take().is_none());
        assert_eq!(inbox.dropped, 0);
    }

    #[test]
    fn a_modest_line_waits_for_one_turn_of_a_greedy_one_at_most() {
        let mut inbox = filled(&[(1, 2_000)]);
        for _ in 0..QUANTUM + 5 {
            inbox.take();
        }
        inbox.push(2, 7);
        assert_eq!(inbox.take(), Some((2, 7)), "what had nothing waiting goes first");
        let mut both = filled(&[(1, 1_000), (2, 1_000)]);
        let taken: Vec<Id> = std::iter::from_fn(|| both.take()).map(|(c, _)| c).take(4 * QUANTUM).collect();
        assert_eq!(taken.iter().filter(|c| **c == 1).count(), 2 * QUANTUM);
    }

    #[test]
    fn the_greedy_ones_lose_and_the_modest_do_not() {
        let mut inbox = Inbox::new();
        for n in 0..50_000 {
            inbox.push(1, n);
            inbox.push(2 + (n % 7) as Id, n);
            if n % 5_000 == 0 {
                inbox.push(99, n);
            }
        }
        assert!(inbox.total <= MAX_TOTAL);
        let taken = rest(&mut inbox);
        assert_eq!(taken.iter().filter(|(c, _)| *c == 99).count(), 10);
        assert_eq!(taken.len() as u64 + inbox.dropped, 100_010);
        let newest = taken.iter().filter(|(c, _)| *c == 1).map(|(_, n)| *n).max();
        assert_eq!(newest, Some(49_999), "the oldest are dropped");
    }

    #[test]
    fn a_line_is_bounded_and_what_waits_for_a_closed_connection_is_gone() {
        let mut inbox = filled(&[(1, MAX_WAITING + 10), (2, 5)]);
        assert_eq!((inbox.total, inbox.dropped), (MAX_WAITING + 5, 10));
        inbox.forget(1);
        assert_eq!(inbox.total, 5);
        inbox.push(1, 77);
        let taken = rest(&mut inbox);
        assert_eq!(taken.iter().filter(|(c, _)| *c == 1).collect::<Vec<_>>(), [&(1, 77)]);
        assert_eq!(taken.len(), 6);
        assert!(inbox.is_empty());
    }

    #[test]
    fn what_waits_too_long_is_dropped_but_for_one_turn() {
        let mut inbox = filled(&[(1, 300), (2, QUANTUM)]);
        pass(&mut inbox, HOLD);
        (300..400).for_each(|n| inbox.push(1, n));
        pass(&mut inbox, Duration::from_micros(1));
        let taken = rest(&mut inbox);
        let of = |conn| taken.iter().filter(|(c, _)| *c == conn).map(|(_, n)| *n).collect::<Vec<_>>();
        assert_eq!(of(1), (300..400).collect::<Vec<_>>());
        assert_eq!(of(2).len(), QUANTUM, "a modest line keeps what it has, however long the others take");
        assert_eq!(inbox.dropped, 300);
    }

    #[test]
    fn a_line_that_moves_fast_holds_many() {
        let mut inbox = filled(&[(1, MAX_WAITING)]);
        while !inbox.is_empty() {
            pass(&mut inbox, HOLD / 16);
            (0..MAX_WAITING / 16).for_each(|_| assert!(inbox.take().is_some()));
        }
        assert_eq!(inbox.dropped, 0);
    }

    #[test]
    fn a_thread_that_was_not_run_for_long_drops_nothing() {
        let mut inbox = filled(&[(1, 300)]);
        inbox.tick(inbox.seen + Duration::from_secs(1));
        assert_eq!(rest(&mut inbox).len(), 300);
    }

    /// In steps that all count.
    fn pass(inbox: &mut Inbox<usize>, time: Duration) {
        (0..8).for_each(|_| inbox.tick(inbox.seen + time / 8));
    }

    #[test]
    fn lines_that_are_emptied_and_filled_again_do_not_starve_one_that_waits() {
        let mut inbox = filled(&[(1, 4_000)]);
        for _ in 0..QUANTUM {
            inbox.take();
        }
        // Two who never have more than half a quantum waiting, as fast as packets are opened.
        (0..16).for_each(|n| inbox.push(2, n));
        let mut served = 0;
        for round in 0..60 {
            let idle = if round % 2 == 0 { 3 } else { 2 };
            (0..16).for_each(|n| inbox.push(idle, n));
            served += (0..16).filter_map(|_| inbox.take()).filter(|(c, _)| *c == 1).count();
        }
        assert!(served >= 60 * 16 / 3 - QUANTUM, "{served} of 960, a third is its share");
    }

    #[test]
    fn the_bound_of_all_lines_holds_when_each_is_short() {
        let mut inbox = Inbox::new();
        (0..2 * MAX_TOTAL).for_each(|n| inbox.push(n as Id, n));
        assert_eq!(inbox.total, MAX_TOTAL);
        assert_eq!(rest(&mut inbox).len() as u64 + inbox.dropped, 2 * MAX_TOTAL as u64);
        assert!(inbox.lines.is_empty());
    }
}
