//! Other addresses, other routes, another carrier: what paths do then.

use super::addr;
use super::core::Engine;
use super::path_info::KeepPaths;
use super::paths::CLOSED_BY_NETWORK;
use super::types::Id;
use noq_proto as q;
use std::time::Instant;

impl Engine {
    /// The host has other addresses or routes than before.
    pub(crate) fn network_changed(&mut self) {
        let now = Instant::now();
        let all: Vec<Id> = self.conns.keys().copied().collect();
        for id in all {
            self.leave_lost_addresses(id);
            if let Some(c) = self.conns.get_mut(&id) {
                c.q.handle_network_change(Some(&KeepPaths), now);
            }
            self.mark(id);
        }
    }

    /// Closes the direct paths whose local address is ours no more.
    fn leave_lost_addresses(&mut self, conn: Id) {
        let now = Instant::now();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        let lost = paths.lose_addresses(addr::is_ours);
        for id in &lost {
            let _ = c.q.close_path(now, *id, q::VarInt::from_u32(CLOSED_BY_NETWORK));
        }
        if !lost.is_empty() {
            self.rebalance(conn);
        }
    }

    /// Another carrier is under a virtual path: what waited for the old one's answers need not wait longer.
    pub(crate) fn carrier_changed(&mut self, path: Id) {
        let now = Instant::now();
        let remote = addr::virtual_address(path);
        let on_it = |c: &super::conn::Conn| {
            c.paths.is_some() && c.q.network_path(q::PathId::ZERO).is_ok_and(|n| n.remote() == remote)
        };
        let inner: Vec<Id> = self.conns.iter().filter(|(_, c)| on_it(c)).map(|(id, _)| *id).collect();
        for id in inner {
            if let Some(c) = self.conns.get_mut(&id) {
                c.q.handle_network_change(Some(&KeepPaths), now);
            }
            self.mark(id);
        }
    }
}
