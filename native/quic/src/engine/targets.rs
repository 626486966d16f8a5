//! Packets that one target gets from all connections together before it has proven that it wants them, and
//! how the connections share them.

use super::sources::Source;
use super::types::Id;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(2);
/// Packets to one target (IPv4 address, IPv6 /64) within a window.
const PER_WINDOW: usize = 400;
/// Targets remembered at a time. What connections may send to strangers at all keeps it far from that.
const MAX_TARGETS: usize = 16_384;

/// Of what a target gets, no connection takes more than an equal share, and one share stays free for whoever
/// comes next: a session cannot use up what another needs for the same target.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    known: FxHashMap<Source, Target>,
}

#[derive(Debug)]
struct Target {
    began: Instant,
    sent: usize,
    /// Packets by connection in this window; those of the one before are here with none.
    by: FxHashMap<Id, usize>,
}

impl Targets {
    /// Whether `conn` may send `packets` there now; takes them if so.
    pub(crate) fn take(&mut self, conn: Id, ip: IpAddr, packets: usize, now: Instant) -> bool {
        let key = Source::of(ip);
        if self.known.len() >= MAX_TARGETS && !self.known.contains_key(&key) {
            self.known.retain(|_, t| now.saturating_duration_since(t.began) < WINDOW);
            if self.known.len() >= MAX_TARGETS {
                return false;
            }
        }
        let fresh = || Target { began: now, sent: 0, by: FxHashMap::default() };
        self.known.entry(key).or_insert_with(fresh).take(conn, packets, now)
    }
}

impl Target {
    fn take(&mut self, conn: Id, packets: usize, now: Instant) -> bool {
        self.turn(now);
        let newcomer = !self.by.contains_key(&conn);
        // Also those that get nothing are asked for next time, as many as there could be shares.
        if newcomer && self.by.len() >= PER_WINDOW {
            return false;
        }
        let mine = self.by.entry(conn).or_insert(0);
        let used = *mine + packets;
        let share = (PER_WINDOW / (self.by.len() + 1)).max(1);
        let fits = used <= share && self.sent + packets <= PER_WINDOW;
        if fits {
            self.by.insert(conn, used);
            self.sent += packets;
        }
        fits
    }

    fn turn(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.began);
        if past < WINDOW {
            return;
        }
        // Who was here in the last window is expected back.
        let just_ended = past < 2 * WINDOW;
        self.by.retain(|_, n| just_ended && std::mem::take(n) > 0);
        (self.began, self.sent) = (now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("literal")
    }

    fn taken(targets: &mut Targets, conn: Id, to: &str, at: Instant) -> usize {
        (0..1000).filter(|_| targets.take(conn, ip(to), 1, at)).count()
    }

    #[test]
    fn one_connection_cannot_use_up_what_another_needs() {
        let t = Instant::now();
        let mut targets = Targets::default();
        assert_eq!(taken(&mut targets, 1, "192.0.2.1", t), 200);
        assert_eq!(taken(&mut targets, 2, "192.0.2.1", t), 133);
        // In the next window they are known to be two.
        let later = t + WINDOW;
        assert_eq!(taken(&mut targets, 1, "192.0.2.1", later), 133);
        assert_eq!(taken(&mut targets, 2, "192.0.2.1", later), 133);
        assert_eq!(taken(&mut targets, 3, "192.0.2.1", later), 100);
    }

    #[test]
    fn nobody_gets_more_than_the_whole_however_many_send() {
        let t = Instant::now();
        let mut targets = Targets::default();
        let all: usize = (0..600).map(|conn| taken(&mut targets, conn, "192.0.2.1", t)).sum();
        assert!((200..=PER_WINDOW).contains(&all), "{all}");
        let next: usize = (0..600).map(|conn| taken(&mut targets, conn, "192.0.2.1", t + WINDOW)).sum();
        assert!((200..=PER_WINDOW).contains(&next), "{next}");
        assert_eq!(taken(&mut targets, 1, "192.0.2.2", t), 200, "another target");
    }

    #[test]
    fn a_network_of_ipv6_is_one_target_and_so_are_both_spellings_of_ipv4() {
        let t = Instant::now();
        let mut targets = Targets::default();
        assert_eq!(taken(&mut targets, 1, "2001:db8::1", t), 200);
        assert_eq!(taken(&mut targets, 1, "2001:db8::2", t), 0);
        assert_eq!(taken(&mut targets, 1, "192.0.2.1", t), 200);
        assert_eq!(taken(&mut targets, 1, "::ffff:192.0.2.1", t), 0);
    }

    #[test]
    fn memory_is_bounded_and_more_targets_get_nothing() {
        let t = Instant::now();
        let mut targets = Targets::default();
        let got = (0..20_000u32).filter(|i| targets.take(1, IpAddr::V4((*i).into()), 1, t)).count();
        assert_eq!((got, targets.known.len()), (MAX_TARGETS, MAX_TARGETS));
        assert!(targets.take(1, ip("203.0.113.1"), 1, t + WINDOW));
        assert_eq!(targets.known.len(), 1);
    }
}
