//! Other addresses, other routes, another carrier: what paths do then.

use super::addr;
use super::core::Engine;
use super::paths::CLOSED_BY_NETWORK;
use super::types::Id;
use noq_proto as q;
use std::time::{Duration, Instant};

/// An address that is ours no more is looked for at most so often.
const DOUBT_INTERVAL: Duration = Duration::from_millis(100);

/// Another network ends no path: each shows by itself whether it still leads anywhere.
#[derive(Debug)]
struct KeepPaths;

impl q::NetworkChangeHint for KeepPaths {
    fn is_path_recoverable(&self, _: q::PathId, _: q::FourTuple) -> bool {
        true
    }
}

/// Has noq ask on all paths at once, and forget how often it did in vain.
pub(super) fn ask_anew(conn: &mut q::Connection, now: Instant) {
    conn.handle_network_change(Some(&KeepPaths), now);
}

impl Engine {
    /// A packet could not be sent from an address that is ours no more: the owner, who looks at the interfaces now and
    /// then, will hear of it later, and connections without a way would take the wait for a round trip.
    pub(super) fn notice_lost_address(&mut self) {
        let Some(source) = self.udp.out.take_doubtful() else { return };
        let now = Instant::now();
        if now < self.next_doubt {
            return;
        }
        self.next_doubt = now + DOUBT_INTERVAL;
        if !addr::is_ours(source) {
            self.network_changed();
        }
    }

    /// The host has other addresses or routes than before.
    pub(crate) fn network_changed(&mut self) {
        let all: Vec<Id> = self.conns.keys().copied().collect();
        all.iter().for_each(|id| self.leave_lost_addresses(*id));
        self.ask_all_anew(&all);
    }

    /// Closes the direct paths whose local address is ours no more.
    fn leave_lost_addresses(&mut self, conn: Id) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        let lost = paths.lose_addresses();
        lost.iter().for_each(|id| c.close_path(*id, CLOSED_BY_NETWORK));
        if !lost.is_empty() {
            self.rebalance(conn);
        }
    }

    /// Another carrier is under a virtual path: what waited for the old one's answers need not wait longer.
    pub(crate) fn carrier_changed(&mut self, path: Id) {
        let remote = addr::virtual_address(path);
        let on_it = |c: &super::conn::Conn| {
            c.paths.is_some() && c.q.network_path(q::PathId::ZERO).is_ok_and(|n| n.remote() == remote)
        };
        let inner: Vec<Id> = self.conns.iter().filter(|(_, c)| on_it(c)).map(|(id, _)| *id).collect();
        self.ask_all_anew(&inner);
    }

    fn ask_all_anew(&mut self, conns: &[Id]) {
        let now = Instant::now();
        for &id in conns {
            if let Some(c) = self.conns.get_mut(&id) {
                ask_anew(&mut c.q, now);
            }
            self.mark(id);
        }
    }
}
