//! Two endpoints with a relay between them and a network that a direct path can take: `a` reaches `b`
//! through a proxy that can be cut, and is seen under the proxy's address like behind a NAT.

use super::relay::{Plan, Relayed};
use super::{Link, Owner, Proxy, loopback};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use ztna_quic::engine::{Command, DirectOptions, Event, Id, PathChange, TransportOptions};

pub(crate) struct Direct {
    pub(crate) r: Relayed,
    pub(crate) inner: Link,
    pub(crate) line: Proxy,
    /// What `a` shows: it answers nothing, and nothing of `a` is reached there.
    pub(crate) nobody: UdpSocket,
}

/// A machine that is busy with other things is not a dead path.
pub(crate) const SILENCE: Duration = Duration::from_millis(1_500);

/// Loopback is not permitted by default.
pub(crate) fn with_loopback() -> Option<DirectOptions> {
    let allow = vec!["127.0.0.0/8".parse().expect("range")];
    Some(DirectOptions { allow, min_silence: SILENCE, ..DirectOptions::default() })
}

pub(crate) fn multipath() -> TransportOptions {
    let idle_timeout = Duration::from_secs(120);
    TransportOptions { multipath: 8, idle_timeout, max_mtu: 1452, ..TransportOptions::default() }
}

pub(crate) fn plan() -> Plan {
    Plan { inner: multipath(), direct: [with_loopback(), with_loopback()], ..Plan::default() }
}

impl Direct {
    pub(crate) fn start(plan: &Plan) -> Self {
        Self::start_via(plan, |relay| relay)
    }

    /// `way` gives the address at which `a` finds the relay.
    pub(crate) fn start_via(plan: &Plan, way: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let mut r = Relayed::start_via(plan, way);
        let line = Proxy::to(r.b.address());
        let inner = r.connect_inner(plan.inner.clone());
        let nobody = UdpSocket::bind(loopback()).expect("UDP socket");
        Self { r, inner, line, nobody }
    }

    /// With a direct path in use on both sides; gives its number.
    pub(crate) fn preferred(plan: &Plan) -> (Self, u32) {
        let mut d = Self::start(plan);
        d.show();
        let path = d.find();
        d.prefer(path);
        (d, path)
    }

    /// Both show their candidates; returns when `a` knows those of `b`.
    pub(crate) fn show(&mut self) {
        self.show_at(&[]);
    }

    /// `b` is reached at `more` as well.
    pub(crate) fn show_at(&mut self, more: &[SocketAddr]) {
        let at_a = self.nobody.local_addr().expect("address");
        let mut at_b = [&[self.line.address()], more].concat();
        at_b.sort_unstable();
        candidates(&self.r.a, self.inner.client, &[at_a]);
        candidates(&self.r.b, self.inner.server, &at_b);
        self.wait_for_candidates(&at_b);
    }

    pub(crate) fn wait_for_candidates(&mut self, expected: &[SocketAddr]) {
        self.r.a.wait_for("candidates", |e| match e {
            Event::Candidates { addresses, .. } if addresses == expected => Some(()),
            _ => None,
        });
    }

    /// Probes until there is a direct path on both sides.
    pub(crate) fn find(&mut self) -> u32 {
        self.r.a.send(Command::Probe { conn: self.inner.client });
        self.find_another()
    }

    /// The next direct path of the same round.
    pub(crate) fn find_another(&mut self) -> u32 {
        let opened = |c| matches!(c, PathChange::Opened { backup: true });
        let path = self.at_a("direct path", opened);
        let server = self.inner.server;
        self.r.b.wait_for("direct path", |e| match e {
            Event::Path { conn, path: p, change, .. } if *conn == server && *p == path && opened(*change) => {
                Some(())
            }
            _ => None,
        });
        path
    }

    /// As the owner does it on the client's side.
    pub(crate) fn prefer(&mut self, path: u32) {
        self.set_status(path, false);
        self.set_status(0, true);
        self.at_b("status", |c| c == PathChange::Status { backup: true });
        let conn = self.inner.server;
        let only = |o: &mut Owner| o.paths(conn).iter().all(|p| p.backup == (p.id != path));
        self.r.b.ask_until("in use alone", only, |only| *only);
    }

    pub(crate) fn set_status(&mut self, path: u32, backup: bool) {
        self.r.a.send(Command::SetPathStatus { conn: self.inner.client, path, backup });
        self.r.a.settle();
    }

    /// Waits for a change of a path at `a` and gives the path.
    pub(crate) fn at_a(&mut self, what: &str, pick: impl Fn(PathChange) -> bool) -> u32 {
        change(&mut self.r.a, self.inner.client, what, pick)
    }

    pub(crate) fn at_b(&mut self, what: &str, pick: impl Fn(PathChange) -> bool) -> u32 {
        change(&mut self.r.b, self.inner.server, what, pick)
    }

    /// Datagrams that the relay has passed on, both ways.
    pub(crate) fn relayed(&mut self) -> u64 {
        let (there, back) = (self.r.a_to_b, self.r.b_to_a);
        [there, back].iter().filter_map(|rule| self.r.relay.rule_stats(*rule)).map(|s| s.forwarded).sum()
    }

    pub(crate) fn transfer(&mut self, length: usize) {
        self.r.transfer(self.inner, length);
    }

    /// From `b` to `a`.
    pub(crate) fn transfer_back(&mut self, length: usize) {
        let Link { client, server } = self.inner;
        super::relay::transfer(&mut self.r.b, server, &mut self.r.a, client, length);
    }

    /// Neither side has lost the connection.
    pub(crate) fn assert_alive(&mut self) {
        for (owner, conn) in [(&mut self.r.a, self.inner.client), (&mut self.r.b, self.inner.server)] {
            assert!(!owner.unseen().any(|e| matches!(e, Event::Closed { conn: c, .. } if *c == conn)));
        }
    }
}

pub(crate) fn candidates(owner: &Owner, conn: Id, addresses: &[SocketAddr]) {
    owner.send(Command::SetCandidates { conn, addresses: Some(addresses.to_vec()) });
}

pub(crate) fn change(owner: &mut Owner, of: Id, what: &str, pick: impl Fn(PathChange) -> bool) -> u32 {
    owner.wait_for(what, |e| match e {
        Event::Path { conn, path, change, .. } if *conn == of && pick(*change) => Some(*path),
        _ => None,
    })
}

/// Packets that wait at a socket.
pub(crate) fn received(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).expect("socket");
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
}

/// Bytes that wait at a socket.
pub(crate) fn received_bytes(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).expect("socket");
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).sum()
}
