//! A time in which no path of a connection lives.

use super::paths::{DIRECT_IDLE, Paths};
use super::roaming::ask_anew;
use noq_proto as q;
use std::time::{Duration, Instant};

/// After so long without a path, all of them have a chance to be back.
const LONG: Duration = Duration::from_secs(1);
/// noq itself asks on a dead path ever more seldom, by two seconds each time.
const QUESTIONS: Duration = Duration::from_secs(1);

pub(super) struct Outage {
    since: Instant,
    pub(super) next_question: Instant,
}

impl Paths {
    /// Nothing is closed meanwhile: any of the paths may be the only one that comes back, whenever that is.
    pub(super) fn begin_outage(&mut self, conn: &mut q::Connection, now: Instant) {
        self.outage = Some(Outage { since: now, next_question: now + QUESTIONS });
        self.set_idle_timeout(conn, None, now);
    }

    pub(super) fn ask_in_outage(&mut self, conn: &mut q::Connection, now: Instant) {
        let Some(outage) = self.outage.as_mut().filter(|o| o.next_question <= now) else { return };
        outage.next_question = now + QUESTIONS;
        ask_anew(conn, now);
    }

    /// One is proven to live.
    pub(super) fn end_outage(&mut self, conn: &mut q::Connection, now: Instant) {
        let Some(outage) = self.outage.take() else { return };
        self.set_idle_timeout(conn, Some(DIRECT_IDLE), now);
        if now - outage.since > LONG {
            self.known.iter_mut().filter(|p| p.watch.dead).for_each(|p| p.watch.give_chance(now));
            ask_anew(conn, now);
        }
    }

    fn set_idle_timeout(&self, conn: &mut q::Connection, idle: Option<Duration>, now: Instant) {
        for path in self.known.iter().filter(|p| !p.is_virtual()) {
            let _ = conn.set_path_max_idle_timeout(now, path.id, idle);
        }
    }
}
