//! State kept beside each QUIC connection.

use super::configure::DATAGRAM_SEND_BUFFER;
use super::paths::Paths;
use super::types::{FramePrefix, Id};
use super::under_way::Origin;
use super::window::ReceiveWindow;
use crate::fairqueue::FairQueue;
use bytes::Bytes;
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

/// Bytes handed to noq ahead of congestion control; more would only queue where nothing is fair.
const AHEAD: usize = 32 << 10;
const _: () = assert!(AHEAD < DATAGRAM_SEND_BUFFER);
/// Empty datagrams that fill noq's buffer.
const FILLERS: usize = DATAGRAM_SEND_BUFFER / size_of::<Bytes>() + 1;
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

/// What a connection has asked for and got answered, as noq counts it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes in packets that the peer has to acknowledge.
    pub(crate) asked: u64,
    /// Acknowledgements received.
    pub(crate) answers: u64,
}

/// Tells when a peer acknowledges nothing although it should. It looks only now and then: at the end of a
/// period in which something was sent. Two such periods in a row without an answer are a stall.
#[derive(Default)]
pub(crate) struct StallDetector {
    /// Start of the present period.
    since: Option<Instant>,
    /// The last period brought no answer.
    suspected: bool,
    seen: Progress,
    pub(crate) stalled: bool,
}

/// Silence below this is never a stall.
const MIN_STALL: Duration = Duration::from_millis(300);
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

impl StallDetector {
    pub(crate) fn sent(&mut self, now: Instant) {
        if !self.stalled {
            self.since.get_or_insert(now);
        }
    }

    /// End of the present period, if there is one. Two of them are three probe timeouts or more, taking
    /// half the round trip for its variation.
    pub(crate) fn deadline(&self, rtt: impl FnOnce() -> Duration) -> Option<Instant> {
        self.since.map(|t| t + MIN_STALL.max((rtt() * 3 / 2 + MAX_ACK_DELAY) * 3 / 2))
    }

    /// The period is over: true when this is a stall.
    pub(crate) fn expired(&mut self, now: Instant, progress: Progress) -> bool {
        let answered = progress.answers > self.seen.answers;
        if answered || progress.asked == self.seen.asked {
            *self = Self { seen: progress, ..Self::default() };
            return false;
        }
        self.stalled = self.suspected;
        self.since = (!self.suspected).then_some(now);
        self.suspected = true;
        self.stalled
    }

    /// Something arrived during a stall: true when it ends the stall.
    pub(crate) fn recovered(&mut self, progress: Progress) -> bool {
        if progress.answers == self.seen.answers {
            return false;
        }
        *self = Self { seen: progress, ..Self::default() };
        true
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
    /// Of the handshake, while it is under way.
    pub(crate) origin: Option<Origin>,
    pub(crate) established: bool,
    /// Both sides know that the handshake is over (RFC 9001 §4.1.2).
    pub(crate) confirmed: bool,
    pub(crate) accepted: bool,
    pub(crate) closed_reported: bool,
    pub(crate) dirty: bool,
    pub(crate) timer: Option<Instant>,
    pub(crate) streams: FxHashMap<u64, Stream>,
    pub(crate) window: ReceiveWindow,
    /// Streams that wait until the peer allows them, in order.
    pub(crate) opening: VecDeque<u64>,
    pub(crate) routes: Routes,
    /// Datagrams on their way out, one sub-queue per rule, virtual path or flow.
    pub(crate) queue: FairQueue,
    /// When a rate limit lets the next datagram of `queue` go.
    pub(crate) queue_timer: Option<Instant>,
    pub(crate) max_datagram: usize,
    /// The largest datagram that noq may hold.
    ahead_largest: usize,
    /// How many datagrams noq will have sent when the last empty one has gone.
    fillers_until: u64,
    pub(crate) reported_max_datagram: usize,
    /// Inner connections that wait until `queue` has room.
    pub(crate) waiters: Vec<Id>,
    /// Last virtual path that a packet of this connection took.
    pub(crate) last_path: Option<Id>,
    /// Of inner connections.
    pub(crate) paths: Option<Box<Paths>>,
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
        min_silence: Duration,
    ) -> Self {
        Self {
            q,
            handle,
            inner,
            via,
            origin: None,
            established: false,
            confirmed: false,
            accepted: false,
            closed_reported: false,
            dirty: false,
            timer: None,
            streams: FxHashMap::default(),
            window: ReceiveWindow::default(),
            opening: VecDeque::new(),
            routes: Routes::default(),
            queue: FairQueue::new(Default::default()),
            queue_timer: None,
            max_datagram: 0,
            ahead_largest: 0,
            fillers_until: 0,
            reported_max_datagram: 0,
            waiters: Vec::new(),
            last_path: None,
            paths: inner.then(|| Box::new(Paths::new(min_silence))),
            peer,
            stall: StallDetector::default(),
            datagrams_sent: 0,
            datagrams_received: 0,
            drops: DatagramDrops::default(),
        }
    }

    /// noq's count of sent packets would not do: it includes acknowledgements, to which nobody answers.
    pub(crate) fn progress(&mut self) -> Progress {
        let paths = self.q.paths();
        let stats = paths.into_iter().filter_map(|p| self.q.path_stats(p));
        stats.fold(Progress::default(), |sum, s| Progress {
            asked: sum.asked + s.sent_bytes,
            answers: sum.answers + s.frame_rx.acks + s.frame_rx.path_acks,
        })
    }

    /// Largest packet on any path.
    pub(crate) fn largest_mtu(&self) -> u16 {
        self.paths.as_ref().map_or(0, |p| p.largest_mtu()).max(self.q.current_mtu())
    }

    /// When to look at the connection again although nothing happens.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let stall = self.stall.deadline(|| self.rtt());
        // Nobody tends the paths of a closed one.
        let open = self.paths.as_ref().filter(|_| !self.closed_reported);
        let paths = open.and_then(|p| p.deadline(&self.q));
        [self.q.poll_timeout(), stall, paths].into_iter().flatten().min()
    }

    /// Connections that we opened are watched: we are the one who can open another.
    pub(crate) fn is_watched(&self) -> bool {
        self.established && self.q.side().is_client()
    }

    /// Established and not closing: what is queued has a chance to arrive.
    pub(crate) fn is_open(&self) -> bool {
        self.established && !self.closed_reported
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.q.paths().into_iter().filter_map(|p| self.q.rtt(p)).min().unwrap_or(Duration::from_millis(333))
    }

    /// Moves queued datagrams into noq, up to what may be ahead.
    pub(crate) fn fill_datagrams(&mut self, now: Instant) {
        self.free_datagrams();
        while self.ahead() < AHEAD {
            let Some((_, frame)) = self.queue.dequeue(now) else { return };
            let size = frame.len();
            match self.q.datagrams().send(frame, false) {
                Ok(()) => {}
                Err(q::SendDatagramError::TooLarge) => {
                    self.drops.too_large += 1;
                    continue;
                }
                Err(q::SendDatagramError::Blocked(frame)) if self.noq_sent() < self.fillers_until => {
                    let _ = self.q.datagrams().send(frame, true);
                }
                Err(_) => {
                    self.drops.refused += 1;
                    continue;
                }
            }
            self.datagrams_sent += 1;
            self.ahead_largest = self.ahead_largest.max(size);
        }
    }

    /// noq 1.4.0 sends datagrams in order, none while the first does not fit, and keeps that when a path begins anew
    /// with a smaller MTU: when the peer has moved, or another path is used. Empty ones push it out of the buffer; they
    /// take two bytes each, once, and no engine hands them on.
    fn free_datagrams(&mut self) {
        let ahead = self.ahead();
        if ahead == 0 {
            self.ahead_largest = 0;
        }
        let largest = self.ahead_largest;
        if largest == 0 || self.q.datagrams().max_size().is_none_or(|max| largest <= max) {
            return;
        }
        self.drops.too_large += ahead.div_ceil(largest) as u64;
        for _ in 0..FILLERS {
            let _ = self.q.datagrams().send(Bytes::new(), true);
        }
        self.ahead_largest = 0;
        self.fillers_until = self.noq_sent() + FILLERS as u64;
    }

    /// Datagrams that have left noq's buffer in packets.
    fn noq_sent(&mut self) -> u64 {
        self.q.stats().frame_tx.datagram
    }

    /// Bytes of datagrams that noq has not sent yet.
    fn ahead(&mut self) -> usize {
        let all = DATAGRAM_SEND_BUFFER - size_of::<Bytes>();
        all.saturating_sub(self.q.datagrams().send_buffer_space())
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

    fn after(asked: u64, answers: u64) -> Progress {
        Progress { asked, answers }
    }

    #[test]
    fn two_periods_without_an_answer_are_a_stall_and_an_answer_ends_it() {
        let t = Instant::now();
        let mut d = StallDetector::default();
        d.sent(t);
        assert_eq!(d.deadline(|| Duration::from_millis(1)), Some(t + MIN_STALL));
        assert!(!d.expired(t + MIN_STALL, after(100, 0)));
        assert!(d.expired(t + 2 * MIN_STALL, after(200, 0)));
        assert_eq!(d.deadline(|| Duration::ZERO), None);
        assert!(!d.recovered(after(200, 0)), "what arrives without an acknowledgement ends no stall");
        assert!(d.recovered(after(200, 1)));
        assert!(!d.stalled);
    }

    #[test]
    fn a_peer_that_owes_nothing_or_answers_is_not_stalled() {
        let t = Instant::now();
        let mut quiet = StallDetector::default();
        quiet.sent(t);
        assert!(!quiet.expired(t, after(0, 0)));
        assert_eq!(quiet.deadline(|| Duration::ZERO), None);
        let mut late = StallDetector::default();
        late.sent(t);
        assert!(!late.expired(t, after(100, 0)));
        assert!(!late.expired(t, after(100, 1)));
        assert!(!late.expired(t, after(200, 1)), "the suspicion was dropped");
    }
}
