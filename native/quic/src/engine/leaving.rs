//! Closed paths that noq has not let go yet. What was on their way there is sent again only then: after three of its
//! probe timeouts, reckoned from round trips that may be as long as an outage was.

use super::conn::Conn;
use super::core::Engine;
use super::paths::{DIRECT_IDLE, Paths};
use super::pulse::{MAX_ACK_DELAY, Pulse};
use super::roaming::ask_anew;
use super::types::Id;
use noq_proto as q;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A closed path stays for so long at least, for packets that are under way.
const MIN_LINGER: Duration = Duration::from_millis(100);
/// noq's timers are had run out so far ahead at most: no path that lives may reach its idle timeout by that, and no
/// connection without any other its own, which the peer has just renewed.
const AHEAD: Duration = Duration::from_secs(DIRECT_IDLE.as_secs() / 3);
const AHEAD_ALONE: Duration = Duration::from_secs(45);
/// noq's probe timeout is at most this multiple of its round trip once one sample was far too long: that adds an
/// eighth of itself to the round trip, and a quarter to the variation, which counts four times.
const PTO_PER_RTT: u32 = 9;
/// Timers that run out within that time; a probe timeout each second or two is most of them.
const MAX_TIMERS: usize = 256;

pub(super) struct Leaving {
    id: q::PathId,
    pulse: Arc<Pulse>,
    /// Frames of the peer that give up paths, when this one was closed.
    abandoned: u64,
    /// When the peer gave this one up as well. Not before that noq counts the time.
    agreed: Option<Instant>,
}

impl Leaving {
    /// When noq can be had to let it go. None: it does so in time by itself.
    fn due(&self, conn: &mut q::Connection, ahead: Duration) -> Option<Instant> {
        let agreed = self.agreed?;
        let beat = self.pulse.now();
        let believed = conn.path_stats(self.id)?.rtt;
        let rtt = beat.rtt.filter(|rtt| beat.late || rtt.contradicts(believed))?;
        let linger = MIN_LINGER.max((rtt.min + MAX_ACK_DELAY) * 3);
        let drained = believed * PTO_PER_RTT * 3;
        Some(agreed + linger.max(drained.saturating_sub(ahead)))
    }
}

impl Paths {
    /// A path is closed: `agreed` when the peer knows it already, else `abandoned` tells when it does.
    pub(super) fn leave(&mut self, id: q::PathId, abandoned: u64, agreed: Option<Instant>) {
        let pulse = self.known.iter().find(|p| p.id == id).map(|p| p.pulse.clone());
        if let Some(pulse) = pulse.filter(|_| self.leaving.iter().all(|l| l.id != id)) {
            self.leaving.push(Leaving { id, pulse, abandoned, agreed });
        }
    }

    fn ahead(&self) -> Duration {
        match self.known.iter().any(|p| p.is_living_direct()) {
            true => AHEAD,
            false => AHEAD_ALONE,
        }
    }
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
            paths.leave(id, abandoned, None);
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
        let ahead = paths.ahead();
        for path in paths.leaving.iter_mut().filter(|l| l.agreed.is_none() && abandoned > l.abandoned) {
            path.agreed = Some(now);
        }
        let mut next = None;
        for path in &paths.leaving {
            let Some(due) = path.due(&mut c.q, ahead) else { continue };
            if due <= now {
                run_out(&mut c.q, path.id, now, ahead);
            } else {
                next = Some(next.map_or(due, |at: Instant| at.min(due)));
            }
        }
        paths.let_go_at = next;
    }
}

/// Has all timers run out until noq lets the path go, as if that time had passed: it has no other way.
fn run_out(conn: &mut q::Connection, path: q::PathId, now: Instant, ahead: Duration) {
    let horizon = now + ahead;
    for _ in 0..MAX_TIMERS {
        let Some(at) = conn.poll_timeout().filter(|at| *at <= horizon) else { break };
        conn.handle_timeout(at.max(now));
        if conn.path_stats(path).is_none() {
            break;
        }
    }
    // Probe timeouts of other paths were among them.
    ask_anew(conn, now);
}
