//! Where packets of inner connections may go outside virtual paths, and how many of them before the other
//! end has proven that it is there.
//!
//! noq probes whatever address the peer names, and answers every probe with 1,200 bytes. A hostile peer
//! would make us an amplifier, or a scanner of networks that only we can reach. So: a list of addresses,
//! a budget per connection, and a limit per target over all connections.

use super::addr;
use super::candidates::CLOSED_BY_OWNER;
use super::cidr::Cidr;
use super::core::Engine;
use super::options::DirectOptions;
use super::targets::Targets;
use super::types::Id;
use super::udp::Udp;
use noq_proto as q;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// One round is at most 16 candidates × 9 probes of 40 bytes; each probe that gets through costs the other
/// side 1,200 bytes.
const PACKETS: Rate = Rate { burst: 160.0, per_second: 40.0 };
const BYTES: Rate = Rate { burst: 36_000.0, per_second: 12_000.0 };
/// Probe rounds that a client may start.
const ROUNDS: Rate = Rate { burst: 4.0, per_second: 0.5 };

#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) burst: f64,
    pub(super) per_second: f64,
}

#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    fn holds(&mut self, rate: Rate, amount: f64, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * rate.per_second).min(rate.burst);
        self.at = now;
        self.tokens >= amount
    }

    pub(super) fn take_one(&mut self, rate: Rate, now: Instant) -> bool {
        let fits = self.holds(rate, 1.0, now);
        self.tokens -= f64::from(u8::from(fits));
        fits
    }
}

/// What one connection may still send to addresses that have not proven themselves.
#[derive(Debug)]
pub(crate) struct Budget {
    packets: Bucket,
    bytes: Bucket,
    rounds: Bucket,
    moved: Vec<Moved>,
}

/// A path that the peer has led to another host, which has not proven itself yet.
#[derive(Debug)]
struct Moved {
    path: q::PathId,
    to: SocketAddr,
    /// MTU probes sent on it before: noq sends more only once the new address is validated.
    mtu_probes: u64,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            packets: Bucket::full(PACKETS, now),
            bytes: Bucket::full(BYTES, now),
            rounds: Bucket::full(ROUNDS, now),
            moved: Vec::new(),
        }
    }

    /// noq follows the peer's packets wherever they seem to come from, and sends there three times what came.
    /// From one port to another of the same host is what NATs do. Another host has to prove itself first.
    pub(crate) fn follow(
        &mut self,
        c: &mut q::Connection,
        path: q::PathId,
        from: SocketAddr,
        to: SocketAddr,
    ) {
        if !self.doubts(path) && from.ip() == to.ip() {
            return;
        }
        let open = c.paths();
        self.moved.retain(|m| m.path != path && open.contains(&m.path));
        let mtu_probes = c.path_stats(path).map_or(0, |s| s.sent_plpmtud_probes);
        self.moved.push(Moved { path, to, mtu_probes });
    }

    /// Whether the address at which the path ends is one that it was led to and that is not proven.
    pub(crate) fn doubts(&self, path: q::PathId) -> bool {
        self.moved.iter().any(|m| m.path == path)
    }

    /// Forgets the doubts that noq's own validation has ended.
    fn believe(&mut self, c: &mut q::Connection, to: SocketAddr) -> bool {
        let proven = |m: &Moved, c: &mut q::Connection| {
            m.to == to && c.path_stats(m.path).is_some_and(|s| s.sent_plpmtud_probes > m.mtu_probes)
        };
        let before = self.moved.len();
        self.moved.retain(|m| !proven(m, c));
        self.moved.len() < before
    }

    fn take(&mut self, packets: usize, bytes: usize, now: Instant) -> bool {
        let (packets, bytes) = (packets as f64, bytes as f64);
        let fits = self.packets.holds(PACKETS, packets, now) && self.bytes.holds(BYTES, bytes, now);
        if fits {
            self.packets.tokens -= packets;
            self.bytes.tokens -= bytes;
        }
        fits
    }

    /// Whether a client may start another round of probes.
    pub(crate) fn take_round(&mut self, now: Instant) -> bool {
        self.rounds.take_one(ROUNDS, now)
    }
}

/// The addresses that direct paths may lead to.
pub(crate) struct DirectFilter {
    options: DirectOptions,
    targets: Targets,
}

impl DirectFilter {
    pub(crate) fn new(options: DirectOptions) -> Self {
        Self { options, targets: Targets::default() }
    }

    /// Other ranges; what targets got so far still counts.
    fn set_ranges(&mut self, refuse: Vec<Cidr>, allow: Vec<Cidr>, left_out: Vec<IpAddr>) {
        self.options.refuse = refuse;
        self.options.allow = allow;
        self.options.left_out = left_out;
    }

    /// Whether direct paths may begin at this address of ours; one that is not known yet is judged later.
    fn permits_local(&self, ip: Option<IpAddr>) -> bool {
        ip.is_none_or(|ip| !self.options.left_out.contains(&ip.to_canonical()))
    }

    /// Whether a packet may leave for there: from where it says, else from where the routes would have it.
    fn permits_way(&self, udp: &Udp, source: Option<IpAddr>, to: SocketAddr) -> bool {
        let routed = || udp.local_addr().ok().and_then(|bound| addr::source_of(bound.ip(), to));
        self.options.left_out.is_empty() || self.permits_local(source.or_else(routed))
    }

    pub(crate) fn permits(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let within = |ranges: &[Cidr]| ranges.iter().any(|r| r.contains(ip));
        let never = address.port() == 0 || addr::is_virtual(&address) || within(&self.options.refuse);
        !never && (within(&self.options.allow) || is_ordinary(ip))
    }
}

/// A unicast address that means the same host from everywhere in a network.
fn is_ordinary(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            // 0/8 is this network; 240/4 is reserved and ends with broadcast.
            !(first == 0 || first >= 240 || ip.is_loopback() || ip.is_link_local() || ip.is_multicast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast())
        }
    }
}

impl Engine {
    /// Whether packets of this connection may leave for an address on the network. Counts those that may not.
    pub(crate) fn may_leave(&mut self, id: Id, t: &q::Transmit) -> bool {
        let Some(c) = self.conns.get_mut(&id) else { return true };
        let Some(paths) = c.paths.as_deref_mut() else { return true };
        let packets = t.segment_size.map_or(1, |s| t.size.div_ceil(s.max(1)));
        let (Some(filter), true) = (&mut self.direct, paths.direct) else {
            self.drops.direct_off += packets as u64;
            return false;
        };
        let to = t.destination;
        if paths.leads_to(to) {
            return true;
        }
        let reachable = self.udp.is_v6() || to.ip().to_canonical().is_ipv4();
        if !reachable || !filter.permits(to) || !filter.permits_way(&self.udp, t.src_ip, to) {
            self.drops.direct_refused += packets as u64;
            return false;
        }
        if paths.budget.believe(&mut c.q, to) {
            return true;
        }
        let now = Instant::now();
        let within =
            paths.budget.take(packets, t.size, now) && filter.targets.take(id, to.ip(), packets, now);
        if !within {
            let moved = paths.budget.moved.iter().any(|m| m.to == to);
            let counter =
                if moved { &mut self.drops.direct_moved_limited } else { &mut self.drops.direct_limited };
            *counter += packets as u64;
        }
        within
    }

    /// Whether a packet for this connection may have come from there. Inner connections take what comes from
    /// permitted addresses once direct paths are on; outer ones nothing that comes through a relay.
    pub(crate) fn may_enter(&mut self, id: Id, network: q::FourTuple) -> bool {
        let from = network.remote();
        let is_virtual = addr::is_virtual(&from);
        let Some(c) = self.conns.get(&id) else { return false };
        let Some(paths) = c.paths.as_deref() else {
            self.drops.outer_over_virtual += u64::from(is_virtual);
            return !is_virtual;
        };
        if is_virtual {
            return true;
        }
        let permits = |f: &DirectFilter| {
            f.permits_local(network.local_ip()) && (paths.leads_to(from) || f.permits(from))
        };
        let permitted = paths.direct && self.direct.as_ref().is_some_and(permits);
        self.drops.direct_refused_received += u64::from(!permitted);
        permitted
    }

    /// Replaces the ranges and closes the direct paths that they refuse. An endpoint without direct paths stays so.
    pub(crate) fn set_direct_filter(&mut self, refuse: Vec<Cidr>, allow: Vec<Cidr>, left_out: Vec<IpAddr>) {
        let Some(filter) = &mut self.direct else { return };
        filter.set_ranges(refuse, allow, left_out);
        let all: Vec<Id> = self.conns.keys().copied().collect();
        for id in all {
            self.close_refused_paths(id);
        }
    }

    /// Closes the direct paths that may not be any more, and shows candidates no longer that may not be shown.
    fn close_refused_paths(&mut self, conn: Id) {
        let now = Instant::now();
        let (Some(filter), Some(c)) = (&self.direct, self.conns.get_mut(&conn)) else { return };
        if c.paths.is_none() {
            return;
        }
        for address in c.q.get_local_nat_traversal_addresses().unwrap_or_default() {
            if !filter.permits(address) {
                let _ = c.q.remove_nat_traversal_address(address);
            }
        }
        for id in c.q.paths() {
            let refused = |n: q::FourTuple| {
                let permitted = filter.permits(n.remote()) && filter.permits_local(n.local_ip());
                !addr::is_virtual(&n.remote()) && !permitted
            };
            if id != q::PathId::ZERO && c.q.network_path(id).is_ok_and(refused) {
                let _ = c.q.close_path(now, id, q::VarInt::from_u32(CLOSED_BY_OWNER));
            }
        }
        self.mark(conn);
    }

    /// Of these addresses, those that direct paths may lead to.
    pub(crate) fn permitted(&self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let filter = self.direct.as_ref();
        addresses.into_iter().filter(|a| filter.is_some_and(|f| f.permits(*a))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn permits(options: &DirectOptions, address: &str) -> bool {
        DirectFilter::new(options.clone()).permits(address.parse().expect("address"))
    }

    #[test]
    fn only_ordinary_addresses_are_permitted() {
        let plain = DirectOptions::default();
        for good in
            ["203.0.113.9:1", "10.0.0.1:4433", "[2001:db8::1]:1", "[fd00::1]:9", "[::ffff:10.0.0.1]:1"]
        {
            assert!(permits(&plain, good), "{good}");
        }
        for bad in [
            "0.0.0.0:1",
            "0.1.2.3:1",
            "127.0.0.1:1",
            "169.254.1.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "240.0.0.1:1",
            "10.0.0.1:0",
            "[::]:1",
            "[::1]:1",
            "[fe80::1]:1",
            "[ff02::1]:1",
            "[::ffff:127.0.0.1]:1",
            "[fd7a:7a74:6e61::7]:1",
        ] {
            assert!(!permits(&plain, bad), "{bad}");
        }
    }

    #[test]
    fn what_is_refused_stays_refused_and_what_is_allowed_lifts_what_is_built_in() {
        let range = |r: &str| vec![r.parse::<Cidr>().expect("range")];
        let options = DirectOptions {
            refuse: range("100.64.0.0/10"),
            allow: range("127.0.0.0/8"),
            ..DirectOptions::default()
        };
        assert!(!permits(&options, "100.64.1.1:9") && permits(&options, "127.0.0.1:9"));
        let both = DirectOptions {
            refuse: range("127.0.0.1/32"),
            allow: range("127.0.0.0/8"),
            ..DirectOptions::default()
        };
        assert!(!permits(&both, "127.0.0.1:9") && permits(&both, "127.0.0.2:9"));
        assert!(!permits(
            &DirectOptions { allow: range("::/0"), ..DirectOptions::default() },
            "[fd7a:7a74:6e61::7]:1"
        ));
    }

    #[test]
    fn a_budget_runs_out_by_packets_and_by_bytes_and_fills_again() {
        let t = Instant::now();
        let mut small = Budget::new(t);
        assert_eq!((0..1000).filter(|_| small.take(1, 40, t)).count(), 160);
        let mut large = Budget::new(t);
        assert_eq!((0..1000).filter(|_| large.take(1, 1200, t)).count(), 30);
        let later = t + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| large.take(1, 1200, later)).count(), 10);
        let mut rounds = Budget::new(t);
        assert_eq!((0..100).filter(|_| rounds.take_round(t)).count(), 4);
        assert!(!rounds.take_round(later) && rounds.take_round(t + Duration::from_secs(2)));
    }
}
