//! State kept beside each QUIC connection.

use super::types::{FramePrefix, Id};
use crate::fairqueue::FairQueue;
use noq_proto as q;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::streams::Stream;

/// Where a datagram that begins with a known prefix goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Forward { rule: Id, fragment: bool },
    Virtual { path: Id, fragment: bool },
    Udp { flow: Id, fragment: bool },
}

/// Prefix table of one connection: exact bytes, longest first.
#[derive(Default)]
pub(crate) struct Routes {
    by_prefix: FxHashMap<u128, Route>,
    lengths: Vec<usize>,
}

/// Longest prefix that a route may have.
pub(crate) const MAX_PREFIX: usize = 15;

fn key(prefix: &[u8]) -> u128 {
    let mut bytes = [0u8; 16];
    bytes[..prefix.len()].copy_from_slice(prefix);
    bytes[15] = prefix.len() as u8;
    u128::from_le_bytes(bytes)
}

impl Routes {
    /// Adds both prefixes. False, changing nothing, when one of them is taken, empty or too long.
    pub(crate) fn add(&mut self, prefix: &FramePrefix, route: impl Fn(bool) -> Route) -> bool {
        let fits = |p: &[u8]| (1..=MAX_PREFIX).contains(&p.len()) && !self.by_prefix.contains_key(&key(p));
        if !fits(&prefix.whole) || !fits(&prefix.fragment) || prefix.whole == prefix.fragment {
            return false;
        }
        self.by_prefix.insert(key(&prefix.whole), route(false));
        self.by_prefix.insert(key(&prefix.fragment), route(true));
        self.refresh_lengths();
        true
    }

    pub(crate) fn remove(&mut self, prefix: &FramePrefix) {
        self.by_prefix.remove(&key(&prefix.whole));
        self.by_prefix.remove(&key(&prefix.fragment));
        self.refresh_lengths();
    }

    /// The route of a datagram and the length of its prefix.
    pub(crate) fn find(&self, datagram: &[u8]) -> Option<(Route, usize)> {
        self.lengths.iter().find_map(|&n| {
            let prefix = datagram.get(..n)?;
            self.by_prefix.get(&key(prefix)).map(|r| (*r, n))
        })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Route> + '_ {
        self.by_prefix.values().copied()
    }

    fn refresh_lengths(&mut self) {
        self.lengths = self.by_prefix.keys().map(|k| usize::from(k.to_le_bytes()[15])).collect();
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        self.lengths.dedup();
    }
}

/// Tells when a peer has gone quiet although an answer is due.
#[derive(Default)]
pub(crate) struct StallDetector {
    /// Start of the present silence: the first send after the last receive, and the bytes that ask for
    /// acknowledgement counted then.
    waiting: Option<(Instant, u64)>,
    pub(crate) stalled: bool,
}

/// Silence below this is never a stall.
const MIN_STALL: Duration = Duration::from_millis(500);
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

impl StallDetector {
    /// Something was sent; `ack_eliciting_before` counts what had been sent until then.
    pub(crate) fn sent(&mut self, now: Instant, ack_eliciting_before: u64) {
        self.waiting.get_or_insert((now, ack_eliciting_before));
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some() && !self.stalled
    }

    /// True when this ends a stall.
    pub(crate) fn received(&mut self) -> bool {
        self.waiting = None;
        std::mem::take(&mut self.stalled)
    }

    pub(crate) fn deadline(&self, rtt: Duration) -> Option<Instant> {
        let (since, _) = self.waiting?;
        if self.stalled {
            return None;
        }
        Some(since + MIN_STALL.max((rtt * 3 + MAX_ACK_DELAY) * 3))
    }

    /// The deadline has passed: true when this is a stall and not just a peer that owes nothing.
    pub(crate) fn expired(&mut self, ack_eliciting_now: u64) -> bool {
        match self.waiting {
            Some((_, before)) if ack_eliciting_now > before => {
                self.stalled = true;
                true
            }
            _ => {
                self.waiting = None;
                false
            }
        }
    }
}

/// Datagrams that this connection could not carry, by cause.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct DatagramDrops {
    pub(crate) too_large: u64,
    pub(crate) not_accepted: u64,
    pub(crate) owner_behind: u64,
    pub(crate) refused: u64,
}

pub(crate) struct Conn {
    pub(crate) q: q::Connection,
    pub(crate) handle: q::ConnectionHandle,
    /// Runs over virtual paths (end to end), not over the socket alone.
    pub(crate) inner: bool,
    /// Virtual path on which it was accepted.
    pub(crate) via: Option<Id>,
    pub(crate) established: bool,
    pub(crate) accepted: bool,
    pub(crate) closed_reported: bool,
    pub(crate) dirty: bool,
    pub(crate) timer: Option<Instant>,
    pub(crate) streams: FxHashMap<u64, Stream>,
    pub(crate) stream_requests: VecDeque<(u32, bool)>,
    pub(crate) routes: Routes,
    /// Datagrams on their way out, one sub-queue per rule, virtual path or flow.
    pub(crate) queue: FairQueue,
    /// When a rate limit lets the next datagram of `queue` go.
    pub(crate) queue_timer: Option<Instant>,
    pub(crate) max_datagram: usize,
    pub(crate) reported_max_datagram: usize,
    /// Inner connections that wait until `queue` has room.
    pub(crate) waiters: Vec<Id>,
    /// Last virtual path that a packet of this connection took.
    pub(crate) last_path: Option<Id>,
    pub(crate) peer: SocketAddr,
    pub(crate) stall: StallDetector,
    pub(crate) datagrams_sent: u64,
    pub(crate) datagrams_received: u64,
    pub(crate) drops: DatagramDrops,
}

impl Conn {
    pub(crate) fn new(
        q: q::Connection,
        handle: q::ConnectionHandle,
        inner: bool,
        via: Option<Id>,
        peer: SocketAddr,
    ) -> Self {
        Self {
            q,
            handle,
            inner,
            via,
            established: false,
            accepted: false,
            closed_reported: false,
            dirty: false,
            timer: None,
            streams: FxHashMap::default(),
            stream_requests: VecDeque::new(),
            routes: Routes::default(),
            queue: FairQueue::new(Default::default()),
            queue_timer: None,
            max_datagram: 0,
            reported_max_datagram: 0,
            waiters: Vec::new(),
            last_path: None,
            peer,
            stall: StallDetector::default(),
            datagrams_sent: 0,
            datagrams_received: 0,
            drops: DatagramDrops::default(),
        }
    }

    /// Bytes sent so far in packets that the peer has to acknowledge. noq's count of packets would not do:
    /// it includes acknowledgements, to which nobody answers.
    pub(crate) fn ack_eliciting(&mut self) -> u64 {
        let paths = self.q.paths();
        paths.into_iter().filter_map(|p| self.q.path_stats(p)).map(|s| s.sent_bytes).sum()
    }

    /// For connections that are watched for stalls (those we opened): what the detector needs to know
    /// before the first send after a receive.
    pub(crate) fn before_silence(&mut self) -> Option<u64> {
        let watched = self.established && self.q.side().is_client() && self.stall.waiting.is_none();
        watched.then(|| self.ack_eliciting())
    }

    /// Established and not closing: what is queued has a chance to arrive.
    pub(crate) fn is_open(&self) -> bool {
        self.established && !self.closed_reported
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.q.paths().into_iter().filter_map(|p| self.q.rtt(p)).min().unwrap_or(Duration::from_millis(333))
    }

    pub(crate) fn refresh_max_datagram(&mut self) {
        self.max_datagram = if self.established { self.q.datagrams().max_size().unwrap_or(0) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn prefix(whole: &'static [u8], fragment: &'static [u8]) -> FramePrefix {
        FramePrefix { whole: Bytes::from_static(whole), fragment: Bytes::from_static(fragment) }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let mut routes = Routes::default();
        assert!(
            routes.add(&prefix(b"\x2e\x01", b"\x2d\x01"), |fragment| Route::Forward { rule: 1, fragment })
        );
        assert!(
            routes.add(&prefix(b"\x2e\x40\x41", b"\x2d\x40\x41"), |fragment| Route::Forward {
                rule: 2,
                fragment
            })
        );
        assert_eq!(routes.find(b"\x2e\x01abc"), Some((Route::Forward { rule: 1, fragment: false }, 2)));
        assert_eq!(routes.find(b"\x2d\x40\x41abc"), Some((Route::Forward { rule: 2, fragment: true }, 3)));
        assert_eq!(routes.find(b"\x2e"), None);
        assert_eq!(routes.find(b"\x2e\x02"), None);
        assert_eq!(routes.find(b""), None);
    }

    #[test]
    fn a_taken_prefix_is_refused_and_free_again_after_removal() {
        let mut routes = Routes::default();
        let p = prefix(b"\x01", b"\x02");
        assert!(routes.add(&p, |fragment| Route::Udp { flow: 1, fragment }));
        assert!(!routes.add(&p, |fragment| Route::Udp { flow: 2, fragment }));
        assert_eq!(routes.find(b"\x01x"), Some((Route::Udp { flow: 1, fragment: false }, 1)));
        routes.remove(&p);
        assert!(routes.add(&p, |fragment| Route::Udp { flow: 2, fragment }));
        assert!(!routes.add(&prefix(b"", b"\x07"), |fragment| Route::Udp { flow: 3, fragment }));
    }

    #[test]
    fn a_peer_that_owes_an_answer_is_stalled_and_one_that_owes_none_is_not() {
        let t = Instant::now();
        let mut owes = StallDetector::default();
        owes.sent(t, 5);
        assert_eq!(owes.deadline(Duration::from_millis(1)), Some(t + MIN_STALL));
        assert!(owes.expired(6));
        assert!(owes.received());
        let mut quiet = StallDetector::default();
        quiet.sent(t, 5);
        assert!(!quiet.expired(5));
        assert!(!quiet.received());
    }
}
