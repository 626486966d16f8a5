//! Two endpoints that reach each other through a relay: outer connections, forwarding rules both ways,
//! and virtual paths over them.

use super::{
    INNER_ALPN, Link, Owner, Pki, client_endpoint, connect_to, relay_prefix, server_endpoint, server_options,
};
use std::net::SocketAddr;
use ztna_quic::engine::{
    Command, DirectOptions, EndpointOptions, Id, TransportOptions, UNREAD_WINDOW, virtual_path_address,
};

/// Channel numbers that the relay gives to the two sides.
pub(crate) const CHANNEL_A: u8 = 1;
pub(crate) const CHANNEL_B: u8 = 7;

/// `a` opens inner connections, `b` accepts them.
pub(crate) struct Relayed {
    pub(crate) a: Owner,
    pub(crate) b: Owner,
    pub(crate) relay: Owner,
    pub(crate) outer_a: Link,
    pub(crate) outer_b: Link,
    /// Rules at the relay.
    pub(crate) a_to_b: Id,
    pub(crate) b_to_a: Id,
    /// Virtual path, the same number on both sides.
    pub(crate) path: Id,
}

/// Transport options of everyone.
pub(crate) struct Plan {
    pub(crate) relay: TransportOptions,
    pub(crate) outer_a: TransportOptions,
    pub(crate) outer_b: TransportOptions,
    pub(crate) inner: TransportOptions,
    /// Of `a` and of `b`.
    pub(crate) direct: [Option<DirectOptions>; 2],
    /// Rate limit of the rule from `a` to `b`.
    pub(crate) rate: Option<u64>,
    /// What `b` grants for unread streams.
    pub(crate) unread_window: u64,
}

impl Default for Plan {
    fn default() -> Self {
        let outer = || TransportOptions { max_mtu: 1452, ..TransportOptions::default() };
        Self {
            relay: outer(),
            outer_a: outer(),
            outer_b: outer(),
            inner: outer(),
            direct: [None, None],
            rate: None,
            unread_window: UNREAD_WINDOW,
        }
    }
}

impl Plan {
    /// Outer packets of at most `mtu` bytes everywhere.
    pub(crate) fn with_outer_mtu(mtu: u16) -> Self {
        let outer = || TransportOptions { max_mtu: mtu, ..TransportOptions::default() };
        Self { relay: outer(), outer_a: outer(), outer_b: outer(), ..Self::default() }
    }
}

impl Relayed {
    pub(crate) fn start(plan: &Plan) -> Self {
        Self::start_via(plan, |relay| relay)
    }

    /// `way` gives the address at which `a` finds the relay.
    pub(crate) fn start_via(plan: &Plan, way: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let pki = Pki::new();
        let mut relay = Owner::start(EndpointOptions {
            server: Some(server_options(plan.relay.clone())),
            ..server_endpoint(pki.material("relay"))
        });
        let mut a = Owner::start(EndpointOptions {
            direct: plan.direct[0].clone(),
            ..client_endpoint(pki.material("a"))
        });
        let mut b = Owner::start(EndpointOptions {
            inner_server: Some(ztna_quic::engine::ServerOptions {
                alpn: vec![INNER_ALPN.to_vec()],
                ..server_options(plan.inner.clone())
            }),
            direct: plan.direct[1].clone(),
            unread_window: plan.unread_window,
            ..client_endpoint(pki.material("b"))
        });
        let to = way(relay.address());
        let outer_a = connect_to(&mut a, &mut relay, to, plan.outer_a.clone());
        let to = relay.address();
        let outer_b = connect_to(&mut b, &mut relay, to, plan.outer_b.clone());
        let path = 0x0010_0001;
        let (a_to_b, b_to_a) = (relay.id(), relay.id());
        let mut relayed = Self { a, b, relay, outer_a, outer_b, a_to_b, b_to_a, path };
        relayed.add_rules(plan.rate);
        relayed.set_path_a();
        relayed.set_path_b();
        relayed
    }

    pub(crate) fn add_rules(&mut self, rate: Option<u64>) {
        let (a, b) = (self.outer_a.server, self.outer_b.server);
        add_rule(&self.relay, self.a_to_b, (a, CHANNEL_A), (b, CHANNEL_B), rate);
        add_rule(&self.relay, self.b_to_a, (b, CHANNEL_B), (a, CHANNEL_A), None);
        self.relay.settle();
    }

    pub(crate) fn set_path_a(&mut self) {
        set_path(&mut self.a, self.path, self.outer_a.client, CHANNEL_A);
    }

    pub(crate) fn set_path_b(&mut self) {
        set_path(&mut self.b, self.path, self.outer_b.client, CHANNEL_B);
    }

    /// Opens the inner connection; `client` is its end at `a`, `server` that at `b`.
    pub(crate) fn connect_inner(&mut self, transport: TransportOptions) -> Link {
        let client = self.a.connect(virtual_path_address(self.path), INNER_ALPN, transport);
        self.a.connected(client);
        let server = self.b.incoming_inner().conn;
        self.a.accept(client);
        self.b.accept(server);
        Link { client, server }
    }

    /// Sends bytes from `a` to `b` on a new stream and compares them.
    pub(crate) fn transfer(&mut self, inner: Link, length: usize) {
        transfer(&mut self.a, inner.client, &mut self.b, inner.server, length);
    }
}

pub(crate) fn add_rule(relay: &Owner, rule: Id, from: (Id, u8), to: (Id, u8), rate: Option<u64>) {
    relay.send(Command::AddRule {
        rule,
        from: from.0,
        to: to.0,
        matches: relay_prefix(from.1),
        rewrite: relay_prefix(to.1),
        max_bytes_per_second: rate,
    });
}

pub(crate) fn set_path(owner: &mut Owner, path: Id, carrier: Id, channel: u8) {
    let (send, receive) = (relay_prefix(channel), relay_prefix(channel));
    owner.send(Command::SetVirtualPath { path, carrier, send, receive });
    owner.settle();
}

/// Sends a pattern on a new stream and checks that it arrives whole.
pub(crate) fn transfer(from: &mut Owner, from_conn: Id, to: &mut Owner, to_conn: Id, length: usize) {
    let sent = super::pattern(length, length as u64);
    let stream = from.open(from_conn, false);
    from.write(from_conn, stream, sent.clone(), true);
    let (stream, _, first) = to.stream(to_conn);
    let mut received = first.to_vec();
    received.extend(to.read_to_end(to_conn, stream));
    assert!(received == sent, "{} of {length} bytes, or others", received.len());
}
