//! Closed paths that noq has not let go yet. What was on their way there is sent again only then: after three of its
//! probe timeouts, reckoned from round trips that may be as long as an outage was.

use super::conn::Conn;
use super::core::Engine;
use super::paths::Paths;
use super::pulse::{MAX_ACK_DELAY, Pulse};
use super::roaming::ask_anew;
use super::types::Id;
use noq_proto as q;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A closed path stays for so long at least, for packets that are under way.
const MIN_LINGER: Duration = Duration::from_millis(100);
/// noq's probe timeout is at most this multiple of its round trip once one sample was far too long: that adds an
/// eighth of itself to the round trip, and a quarter to the variation, which counts four times.
const PTO_PER_RTT: u32 = 9;
/// How far ahead noq's timers may run out where it has reckoned anew since it set the path's: less than the
/// connection's idle timeout, which the peer has just renewed.
const AHEAD_IN_DOUBT: Duration = Duration::from_secs(45);
/// Timers that run out meanwhile; a probe timeout each second or two of each path is most of them.
const MAX_TIMERS: usize = 2_048;

pub(super) struct Leaving {
    id: q::PathId,
    pulse: Arc<Pulse>,
    /// Frames of the peer that give up paths, when this one was closed.
    abandoned: u64,
    agreed: Option<Agreed>,
}

/// The peer gave the path up as well. Not before that noq counts the time.
struct Agreed {
    at: Instant,
    /// The path's round trip then, as noq believes it.
    rtt: Duration,
    /// Acknowledgements of the peer until then. With the next noq renews the connection's idle timeout, by three of
    /// the longest probe timeout at least; that of a closed path counts until it is let go, so it always is first.
    heard: u64,
}

impl Agreed {
    fn now(conn: &mut q::Connection, id: q::PathId) -> Self {
        let now = Instant::now();
        let rtt = conn.path_stats(id).map(|s| s.rtt).unwrap_or_default();
        // Something is to be heard from now on.
        ask_anew(conn, now);
        Self { at: now, rtt, heard: heard(conn) }
    }
}

impl Leaving {
    /// When noq can be had to let it go, and how far ahead that may be for noq. None: it does so in time by itself, or
    /// nothing was heard yet.
    fn due(&self, conn: &mut q::Connection) -> Option<(Instant, Duration)> {
        let agreed = self.agreed.as_ref().filter(|a| heard(conn) > a.heard)?;
        let beat = self.pulse.now();
        let believed = conn.path_stats(self.id)?.rtt;
        let rtt = beat.rtt.filter(|rtt| beat.late || rtt.contradicts(believed))?;
        let linger = MIN_LINGER.max((rtt.min + MAX_ACK_DELAY) * 3);
        let drained = believed.max(agreed.rtt) * PTO_PER_RTT * 3;
        let ahead = if believed == agreed.rtt { drained } else { drained.min(AHEAD_IN_DOUBT) };
        Some((agreed.at + linger.max(drained - ahead), ahead))
    }
}

impl Paths {
    /// A path is closed, by the peer already or not; `abandoned` tells when it is.
    pub(super) fn leave(&mut self, conn: &mut q::Connection, id: q::PathId, abandoned: u64, by_peer: bool) {
        let pulse = self.known.iter().find(|p| p.id == id).map(|p| p.pulse.clone());
        if let Some(pulse) = pulse.filter(|_| self.leaving.iter().all(|l| l.id != id)) {
            let agreed = by_peer.then(|| Agreed::now(conn, id));
            self.leaving.push(Leaving { id, pulse, abandoned, agreed });
        }
    }
}

fn heard(conn: &mut q::Connection) -> u64 {
    let frames = conn.stats().frame_rx;
    frames.acks + frames.path_acks
}

/// Frames of the peer by which it gave up paths.
pub(super) fn abandoned_by_peer(conn: &mut q::Connection) -> u64 {
    conn.stats().frame_rx.path_abandon
}

impl Conn {
    pub(super) fn close_path(&mut self, id: q::PathId, code: u32) {
        let now = Instant::now();
        let abandoned = abandoned_by_peer(&mut self.q);
        if self.q.close_path(now, id, q::VarInt::from_u32(code)).is_ok()
            && let Some(paths) = self.paths.as_deref_mut()
        {
            paths.leave(&mut self.q, id, abandoned, false);
        }
    }
}

impl Engine {
    /// Has noq let closed paths go that it would keep for as long as an outage has been, or longer.
    pub(super) fn let_paths_go(&mut self, conn: Id, now: Instant) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut().filter(|p| !p.leaving.is_empty()) else { return };
        paths.leaving.retain(|l| c.q.path_stats(l.id).is_some());
        let abandoned = abandoned_by_peer(&mut c.q);
        let mut next = None;
        for path in &mut paths.leaving {
            if path.agreed.is_none() && abandoned > path.abandoned {
                path.agreed = Some(Agreed::now(&mut c.q, path.id));
            }
            let Some((due, ahead)) = path.due(&mut c.q) else { continue };
            if due <= now {
                run_out(&mut c.q, path.id, now, ahead);
            } else {
                next = Some(next.map_or(due, |at: Instant| at.min(due)));
            }
        }
        paths.let_go_at = next;
    }
}

/// Has all timers run out until noq lets the path go, as if that time had passed: it has no other way. The other paths
/// lose none of their idle timeouts by that.
fn run_out(conn: &mut q::Connection, path: q::PathId, now: Instant, ahead: Duration) {
    let others = conn.paths();
    let mut idle = |id: q::PathId, time| conn.set_path_max_idle_timeout(now, id, time).ok().flatten();
    let timeouts: Vec<_> = others.into_iter().map(|id| (id, idle(id, None))).collect();
    let horizon = now + ahead;
    for _ in 0..MAX_TIMERS {
        let Some(at) = conn.poll_timeout().filter(|at| *at <= horizon) else { break };
        conn.handle_timeout(at.max(now));
        if conn.path_stats(path).is_none() {
            break;
        }
    }
    for (id, timeout) in timeouts {
        let _ = conn.set_path_max_idle_timeout(now, id, timeout);
    }
    // Probe timeouts of other paths were among them.
    ask_anew(conn, now);
}
