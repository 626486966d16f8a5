//! Candidates of direct paths that the owner shows, and rounds of probes between both sides' candidates.

use super::addr;
use super::core::Engine;
use super::types::Id;
use noq_proto as q;
use std::net::SocketAddr;
use std::time::Instant;

/// Candidates of our own that a connection shows.
const MAX_CANDIDATES: usize = 16;
pub(crate) const CLOSED_BY_OWNER: u32 = 0;

impl Engine {
    /// Shows the peer where we might be reached, in place of what was shown before. `None` ends direct paths
    /// for this connection.
    pub(crate) fn set_candidates(&mut self, conn: Id, addresses: Option<Vec<SocketAddr>>) {
        let wanted = addresses.map(|a| self.permitted(a));
        let on = wanted.is_some() && self.direct.is_some();
        let mut wanted = wanted.unwrap_or_default();
        wanted.truncate(MAX_CANDIDATES);
        let now = Instant::now();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        paths.direct = on;
        let shown = c.q.get_local_nat_traversal_addresses().unwrap_or_default();
        for old in shown.iter().filter(|a| !wanted.contains(a)) {
            let _ = c.q.remove_nat_traversal_address(*old);
        }
        for new in wanted.iter().filter(|a| !shown.contains(a)) {
            let _ = c.q.add_nat_traversal_address(*new);
        }
        if !on {
            for id in c.q.paths() {
                let direct = c.q.network_path(id).is_ok_and(|n| !addr::is_virtual(&n.remote()));
                if direct && id != q::PathId::ZERO {
                    let _ = c.q.close_path(now, id, q::VarInt::from_u32(CLOSED_BY_OWNER));
                }
            }
        }
        self.mark(conn);
    }

    /// Starts a round: both sides probe each other's candidates.
    pub(crate) fn probe(&mut self, conn: Id) {
        let now = Instant::now();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut().filter(|p| p.direct) else { return };
        if !paths.budget.take_round(now) {
            self.drops.probe_rounds += 1;
            return;
        }
        let _ = c.q.initiate_nat_traversal_round(now);
        self.mark(conn);
    }
}
