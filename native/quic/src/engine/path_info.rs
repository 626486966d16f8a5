//! What the owner is told about paths.

use super::addr;
use super::conn::Conn;
use super::core::Engine;
use super::types::Id;
use noq_proto as q;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct PathInfo {
    pub id: u32,
    pub is_virtual: bool,
    pub remote: SocketAddr,
    pub local: Option<IpAddr>,
    pub rtt: Duration,
    /// Smallest round trip so far; none before the first acknowledgement, and without multipath.
    pub min_rtt: Option<Duration>,
    pub mtu: u16,
    pub lost_packets: u64,
    pub sent_packets: u64,
    pub congestion_window: u64,
    pub backup: bool,
    pub dead: bool,
}

/// What became of a path of an inner connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathChange {
    /// It may carry data; as a backup it does so only when there is nothing better.
    Opened { backup: bool },
    /// `reason`: local, peer, timeout, dead, network.
    Closed { reason: &'static str },
    /// The peer said how it wants the path used.
    Status { backup: bool },
    /// Nothing is acknowledged on it. If it was in use, another one has taken over, if any lives.
    Dead,
    /// A dead path answers again. It is in use again only if no other lives.
    Alive,
    /// The peer sends from another address now.
    Moved,
}

impl Engine {
    pub(crate) fn path_infos(&mut self, id: Id) -> Vec<PathInfo> {
        let Some(c) = self.conns.get_mut(&id) else { return Vec::new() };
        let ids = c.q.paths();
        ids.into_iter().filter_map(|p| path_info(c, p)).collect()
    }
}

fn path_info(c: &mut Conn, path: q::PathId) -> Option<PathInfo> {
    let conn = &mut c.q;
    let network = conn.network_path(path).ok()?;
    let remote = network.remote();
    let backup = conn.path_status(path).is_ok_and(|s| s == q::PathStatus::Backup);
    let s = conn.path_stats(path)?;
    Some(PathInfo {
        id: path_number(path),
        is_virtual: addr::is_virtual(&remote),
        remote: addr::unmap(remote),
        local: network.local_ip().map(|ip| ip.to_canonical()),
        rtt: s.rtt,
        min_rtt: c.paths.as_ref().and_then(|p| p.beat(path)?.rtt).map(|r| r.min),
        mtu: s.current_mtu,
        lost_packets: s.lost_packets,
        sent_packets: s.sent_packets,
        congestion_window: s.cwnd,
        backup,
        dead: c.paths.as_ref().is_some_and(|p| p.is_dead(path)),
    })
}

/// noq keeps the number private but prints it.
pub(crate) fn path_number(path: q::PathId) -> u32 {
    path.to_string().parse().unwrap_or(u32::MAX)
}
