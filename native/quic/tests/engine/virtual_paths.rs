//! Inner connections over virtual paths.

use crate::support::proxy::Trouble;
use crate::support::relay::{CHANNEL_A, CHANNEL_B, Plan, Relayed, add_rule, set_path, transfer};
use crate::support::*;
use bytes::{BufMut, BytesMut};
use socket2::{Domain, Socket, Type};
use ztna_quic::engine::{
    CloseKind, Command, EndpointOptions, Event, Id, PathChange, TransportOptions, virtual_path_address,
};

/// What relay framing takes of a carrier's datagram.
const FRAMING: usize = 2;

#[test]
fn an_inner_connection_begins_whatever_the_outer_packet_size() {
    for mtu in [1200, 1232, 1452] {
        let mut r = Relayed::start(&Plan::with_outer_mtu(mtu));
        let client = r.a.connect(virtual_path_address(r.path), INNER_ALPN, TransportOptions::default());
        let at_client = r.a.connected(client);
        let at_server = r.b.incoming_inner();
        assert_eq!(at_server.via, Some(r.path));
        assert_eq!(at_server.alpn, INNER_ALPN);
        assert!(pki::is_for(&at_client.peer_chain, "b"));
        assert!(pki::is_for(&at_server.peer_chain, "a"));
        r.a.accept(client);
        r.b.accept(at_server.conn);
        r.transfer(Link { client, server: at_server.conn }, 300_000);
        assert!(r.a.paths(client).iter().all(|p| p.is_virtual));
        for owner in [&mut r.a, &mut r.b] {
            assert_eq!(owner.drops("virtual_refused"), 0, "outer packets of {mtu}");
        }
    }
}

#[test]
fn inner_path_mtu_discovery_finds_what_fits() {
    let mut r = Relayed::start(&Plan::default());
    r.a.wait_for_mtu(r.outer_a.client, 1440);
    r.relay.wait_for_mtu(r.outer_b.server, 1440);
    let inner = r.connect_inner(TransportOptions { max_mtu: 1452, ..TransportOptions::default() });
    let mtu = r.a.wait_for_mtu(inner.client, 1360);
    r.a.settle();
    let fits = r.a.connected_limit(r.outer_a.client).expect("open") - FRAMING;
    assert!(usize::from(mtu) <= fits, "{mtu} in {fits}");
    r.transfer(inner, 1 << 20);
    assert_eq!(r.relay.rule_stats(r.a_to_b).expect("rule").dropped_closed, 0);
}

#[test]
fn inner_path_mtu_grows_also_when_the_outer_one_is_still_growing() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions { max_mtu: 1452, ..TransportOptions::default() });
    r.transfer(inner, 1 << 20);
    r.a.wait_for_mtu(inner.client, 1360);
}

#[test]
fn inner_path_mtu_stays_where_the_outer_one_leaves_no_room() {
    let mut r = Relayed::start(&Plan::with_outer_mtu(1232));
    let inner = r.connect_inner(TransportOptions { max_mtu: 1452, ..TransportOptions::default() });
    r.transfer(inner, 4 << 20);
    let mtu = r.a.paths(inner.client)[0].mtu;
    assert_eq!(mtu, 1200, "1,200 bytes pass in fragments, more do not pass");
}

#[test]
fn a_slow_relay_drops_and_the_inner_stream_arrives_whole() {
    let plan = Plan { rate: Some(16 << 20), ..Plan::default() };
    let mut r = Relayed::start(&plan);
    let inner = r.connect_inner(TransportOptions::default());
    r.transfer(inner, 32 << 20);
    for owner in [&mut r.a, &mut r.b] {
        assert_eq!(owner.drops("virtual_refused"), 0);
    }
}

#[test]
fn a_slow_outer_connection_holds_the_inner_sender_back() {
    let trouble = Trouble { bytes_per_second: Some(12 << 20), ..Trouble::default() };
    let mut line = None;
    let mut r = Relayed::start_via(&Plan::default(), |relay| {
        line.insert(Proxy::with_trouble(relay, trouble, 1)).address()
    });
    let inner = r.connect_inner(TransportOptions::default());
    r.transfer(inner, 16 << 20);
    assert_eq!(r.a.drops("virtual_refused"), 0);
    assert_eq!(r.a.drops("virtual_too_large") / 20, 0, "but for a few probes nothing was too large");
}

#[test]
fn an_outer_connection_that_stands_still_costs_no_inner_packets() {
    let wide = || TransportOptions { connection_window: 16 << 20, ..TransportOptions::default() };
    let mut line = None;
    let mut r = Relayed::start_via(&Plan { inner: wide(), ..Plan::default() }, |relay| {
        line.insert(Proxy::to(relay)).address()
    });
    let line = line.expect("proxy");
    let inner = r.connect_inner(wide());
    // Opens the inner congestion window wider than the queue before the carrier.
    r.transfer(inner, 32 << 20);
    line.pass(false, false);
    let sent = pattern(2 << 20, 4);
    for _ in 0..4 {
        let stream = r.a.open(inner.client, false);
        r.a.write(inner.client, stream, sent.clone(), true);
    }
    r.a.wait_for("stall", |e| matches!(e, Event::Stalled { .. }).then_some(()));
    line.pass(true, true);
    for _ in 0..4 {
        let (stream, _, first) = r.b.stream(inner.server);
        let mut received = first.to_vec();
        received.extend(r.b.read_to_end(inner.server, stream));
        assert!(received == sent);
    }
    assert_eq!(r.a.drops("virtual_refused"), 0);
}

#[test]
fn two_inner_connections_share_one_path() {
    let mut r = Relayed::start(&Plan::default());
    let one = r.connect_inner(TransportOptions::default());
    let two = r.connect_inner(TransportOptions::default());
    r.transfer(one, 1 << 20);
    r.transfer(two, 1 << 20);
    r.a.close(one.client, 4, "one");
    assert_eq!(r.b.closed(one.server), (CloseKind::Peer, Some(4), "one".into()));
    r.transfer(two, 1 << 20);
}

#[test]
fn an_endpoint_without_inner_server_refuses_inner_connections() {
    let (mut client, mut server, outer) = pair();
    set_path(&mut client, 3, outer.client, 9);
    set_path(&mut server, 4, outer.server, 9);
    let conn = client.connect(virtual_path_address(3), INNER_ALPN, TransportOptions::default());
    assert_eq!(client.closed(conn).0, CloseKind::Transport);
    assert_eq!(server.drops("handshakes_refused"), 1);
}

#[test]
fn an_endpoint_with_inner_server_alone_is_silent_at_its_socket() {
    let mut r = Relayed::start(&Plan::default());
    let transport =
        TransportOptions { idle_timeout: std::time::Duration::from_millis(300), ..Default::default() };
    let conn = r.relay.connect(r.b.address(), INNER_ALPN, transport);
    assert_eq!(r.relay.closed(conn).0, CloseKind::Timeout);
    let incoming = |e: &Event| matches!(e, Event::Connected { is_server: true, .. });
    assert!(!r.b.unseen().any(incoming));
}

#[test]
fn without_a_carrier_packets_are_counted_and_with_a_new_one_all_goes_on() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    let stream = r.a.open(inner.client, true);
    r.a.write(inner.client, stream, &b"before"[..], false);
    let (at_b, _, first) = r.b.stream(inner.server);
    assert_eq!(first, b"before"[..]);

    r.a.close(r.outer_a.client, 0, "");
    r.relay.closed(r.outer_a.server);
    r.a.write(inner.client, stream, pattern(200_000, 3), false);
    r.a.ask_until("dropping", |a| a.drops("no_virtual_path"), |n| *n > 0);

    r.outer_a = connect(&mut r.a, &mut r.relay, TransportOptions::default());
    let gone = |o: &mut Owner| o.rule_stats(r.a_to_b).is_none();
    r.relay.ask_until("gone", gone, |gone| *gone);
    r.add_rules(None);
    r.set_path_a();
    let got = r.b.read_exactly(inner.server, at_b, 200_000);
    assert!(got == pattern(200_000, 3));
    r.b.write(inner.server, at_b, &b"after"[..], true);
    assert_eq!(r.a.read_exactly(inner.client, stream, 5), b"after");
    assert!(!r.a.unseen().any(|e| matches!(e, Event::Closed { conn, .. } if *conn == inner.client)));
}

#[test]
fn a_moved_path_goes_on_while_the_old_carrier_lives() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    let (rules, path) = second_way(&mut r);
    r.transfer(inner, 100_000);
    // `second_way` brought a path of its own; move the first onto its carriers instead.
    for (owner, carrier, channel) in [(&mut r.a, path.a, CHANNEL_A + 1), (&mut r.b, path.b, CHANNEL_B + 1)] {
        owner.send(Command::RemoveVirtualPath { path: path.id });
        set_path(owner, r.path, carrier, channel);
    }
    let before = r.relay.rule_stats(rules.0).expect("rule").forwarded;
    r.transfer(inner, 100_000);
    assert!(r.relay.rule_stats(rules.0).expect("rule").forwarded > before);
}

#[test]
fn a_removed_path_lets_nothing_through() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    r.transfer(inner, 10_000);
    r.b.send(Command::RemoveVirtualPath { path: r.path });
    r.b.settle();
    let stream = r.a.open(inner.client, false);
    r.a.write(inner.client, stream, &b"nobody reads it"[..], true);
    // The packet reaches b's owner as an unknown datagram.
    let datagrams = r.b.datagrams(r.outer_b.client, 1);
    assert_eq!(datagrams[0][..2], [0x2e, CHANNEL_B]);
    assert!(!r.b.unseen().any(|e| matches!(e, Event::StreamOpened { .. })));
}

#[test]
fn garbage_on_a_virtual_path_harms_nothing() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    r.a.wait_for_mtu(r.outer_a.client, 1400);
    let mut random = Random::new(11);
    let mut sent = 0;
    let mut malformed = 0;
    for round in 0..2000 {
        let kind = if round % 2 == 0 { 0x2e } else { 0x2d };
        let length = match round % 5 {
            0 => random.below(6),
            1 => 1300,
            _ => random.below(1300),
        };
        let body = random.bytes(length);
        malformed += u64::from(kind == 0x2d && length < 4);
        let mut frame = BytesMut::new();
        frame.put_slice(&[kind, CHANNEL_A]);
        frame.put_slice(&body);
        r.a.datagram(r.outer_a.client, frame.freeze());
        sent += 1;
        if sent % 50 == 0 {
            let arrived =
                |o: &mut Owner| o.connection_stats(r.outer_b.client).expect("open").datagrams_received;
            let forwarded = |o: &mut Owner| o.rule_stats(r.a_to_b).expect("rule").forwarded;
            r.relay.ask_until("forwarding", forwarded, |n| *n >= sent);
            r.b.ask_until("arrival", arrived, |n| *n >= sent);
        }
    }
    let counted = r.b.drops("virtual_reassembly");
    assert!(counted >= malformed && malformed > 50, "{counted} counted, {malformed} were too short");
    r.transfer(inner, 1 << 20);
    let again = r.connect_inner(TransportOptions::default());
    r.transfer(again, 1 << 20);
}

#[test]
fn a_second_path_takes_over_when_the_first_is_closed() {
    let multipath = || TransportOptions { multipath: 4, ..TransportOptions::default() };
    let mut r = Relayed::start(&Plan { inner: multipath(), ..Plan::default() });
    let inner = r.connect_inner(multipath());
    r.transfer(inner, 100_000);
    let (rules, second) = second_way(&mut r);

    let request = r.a.id();
    let remote = virtual_path_address(second.id);
    r.a.send(Command::OpenPath { conn: inner.client, remote, backup: false, request });
    let number = r.a.wait_for("answer", |e| match e {
        Event::OpenedPath { request: q, path } if *q == request => Some(path.clone()),
        _ => None,
    });
    let number = number.expect("a second path");
    let opened = r.a.wait_for("open path", |e| match e {
        Event::Path { conn, path, remote, change: PathChange::Opened { .. }, .. }
            if (*conn, *path) == (inner.client, number) =>
        {
            Some(*remote)
        }
        _ => None,
    });
    assert_eq!(opened, remote);
    assert_eq!(r.a.paths(inner.client).len(), 2);

    r.a.send(Command::ClosePath { conn: inner.client, path: 0 });
    r.a.wait_for("closed path", |e| {
        matches!(e, Event::Path { conn, path: 0, change: PathChange::Closed { .. }, .. } if *conn == inner.client)
            .then_some(())
    });
    let before = (forwarded(&mut r, rules.0), forwarded(&mut r, rules.1));
    r.transfer(inner, 1 << 20);
    let stream = r.b.open(inner.server, false);
    r.b.write(inner.server, stream, pattern(1 << 20, 9), true);
    let (at_a, _, first) = r.a.stream(inner.client);
    assert_eq!(first.len() + r.a.read_to_end(inner.client, at_a).len(), 1 << 20);
    let after = (forwarded(&mut r, rules.0), forwarded(&mut r, rules.1));
    assert!(after.0 > before.0 + 500 && after.1 > before.1 + 500, "{before:?}, then {after:?}");
}

#[test]
fn a_backup_path_rests_until_it_is_needed() {
    let multipath = || TransportOptions { multipath: 4, ..TransportOptions::default() };
    let mut r = Relayed::start(&Plan { inner: multipath(), ..Plan::default() });
    let inner = r.connect_inner(multipath());
    let (rules, second) = second_way(&mut r);
    let remote = virtual_path_address(second.id);
    r.a.send(Command::OpenPath { conn: inner.client, remote, backup: true, request: 9_000 });
    let path = r.a.wait_for("open path", |e| match e {
        Event::Path { conn, path, change: PathChange::Opened { backup: true }, .. }
            if *conn == inner.client =>
        {
            Some(*path)
        }
        _ => None,
    });
    r.b.wait_for("status", |e| match e {
        Event::Path { conn, path: p, change: PathChange::Status { backup: true }, .. }
            if (*conn, *p) == (inner.server, path) =>
        {
            Some(())
        }
        _ => None,
    });
    let before = forwarded(&mut r, rules.0);
    r.transfer(inner, 2 << 20);
    let resting = forwarded(&mut r, rules.0) - before;
    assert!(resting < 300, "{resting} packets on the backup");
    r.a.send(Command::SetPathStatus { conn: inner.client, path, backup: false });
    r.a.send(Command::SetPathStatus { conn: inner.client, path: 0, backup: true });
    r.a.settle();
    let before = forwarded(&mut r, rules.0);
    r.transfer(inner, 2 << 20);
    assert!(forwarded(&mut r, rules.0) > before + 1000);
}

#[test]
fn shutdown_says_goodbye_through_virtual_paths_too() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    r.a.shutdown(5, "over");
    assert_eq!(r.b.closed(inner.server), (CloseKind::Peer, Some(5), "over".into()));
    assert_eq!(r.relay.closed(r.outer_a.server), (CloseKind::Peer, Some(5), "over".into()));
    assert_eq!(r.a.stopped(), None);
}

#[test]
fn paths_between_two_endpoints_need_no_relay() {
    // Both ends of one outer connection carry a path.
    let pki = Pki::new();
    let mut server = Owner::start(ztna_quic::engine::EndpointOptions {
        inner_server: Some(ztna_quic::engine::ServerOptions {
            alpn: vec![INNER_ALPN.to_vec()],
            ..server_options(TransportOptions::default())
        }),
        ..server_endpoint(pki.material("server"))
    });
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let outer = connect(&mut client, &mut server, TransportOptions::default());
    set_path(&mut client, 3, outer.client, 9);
    set_path(&mut server, 4, outer.server, 9);
    let inner = client.connect(virtual_path_address(3), INNER_ALPN, TransportOptions::default());
    client.connected(inner);
    let incoming = server.incoming_inner();
    assert_eq!(incoming.via, Some(4));
    client.accept(inner);
    server.accept(incoming.conn);
    transfer(&mut client, inner, &mut server, incoming.conn, 1 << 20);
}

#[test]
fn inner_handshakes_that_never_end_take_a_path_its_share_and_no_other_anything() {
    let mut r = Relayed::start(&Plan::default());
    let (_, other) = second_way(&mut r);
    r.relay.send(Command::RemoveRule { rule: r.b_to_a });
    r.relay.settle();
    for _ in 0..80 {
        r.a.connect(virtual_path_address(r.path), INNER_ALPN, TransportOptions::default());
    }
    // Two outer connections and four handshakes; `b` has 64 places.
    let outer = 2;
    r.b.ask_until("refusing", |b| b.drops("handshakes_limited"), |n| *n >= 76);
    assert_eq!(r.b.stats().connections, outer + 4);
    let client = r.a.connect(virtual_path_address(other.id), INNER_ALPN, TransportOptions::default());
    r.a.connected(client);
    assert_eq!(r.b.incoming_inner().via, Some(other.id));
    assert_eq!(r.b.drops("handshakes_refused"), 0);
}

#[test]
fn inner_handshakes_under_way_end_with_their_path() {
    let mut r = Relayed::start(&Plan::default());
    r.relay.send(Command::RemoveRule { rule: r.b_to_a });
    r.relay.settle();
    r.a.connect(virtual_path_address(r.path), INNER_ALPN, TransportOptions::default());
    let outer = 1;
    r.b.ask_until("shaking hands", |b| b.stats().connections, |n| *n == outer + 1);
    r.b.send(Command::RemoveVirtualPath { path: r.path });
    r.b.ask_until("ending it", |b| b.stats().connections, |n| *n == outer);
}

struct SecondPath {
    id: Id,
    a: Id,
    b: Id,
}

/// Another pair of outer connections with rules (a to b, b to a) and a virtual path over them.
fn second_way(r: &mut Relayed) -> ((Id, Id), SecondPath) {
    let a = connect(&mut r.a, &mut r.relay, TransportOptions::default());
    let b = connect(&mut r.b, &mut r.relay, TransportOptions::default());
    let rules = (r.relay.id(), r.relay.id());
    let (channel_a, channel_b) = (CHANNEL_A + 1, CHANNEL_B + 1);
    add_rule(&r.relay, rules.0, (a.server, channel_a), (b.server, channel_b), None);
    add_rule(&r.relay, rules.1, (b.server, channel_b), (a.server, channel_a), None);
    r.relay.settle();
    let id = 0x0010_0002;
    set_path(&mut r.a, id, a.client, channel_a);
    set_path(&mut r.b, id, b.client, channel_b);
    (rules, SecondPath { id, a: a.client, b: b.client })
}

fn forwarded(r: &mut Relayed, rule: Id) -> u64 {
    r.relay.rule_stats(rule).expect("rule").forwarded
}

#[test]
fn a_virtual_address_without_a_path_leads_nowhere() {
    let pki = Pki::new();
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let transport = TransportOptions {
        idle_timeout: std::time::Duration::from_millis(300),
        ..TransportOptions::default()
    };
    let conn = client.connect(virtual_path_address(99), INNER_ALPN, transport);
    assert_ne!(client.closed(conn).0, CloseKind::Peer);
    assert_eq!(client.stats().tx_packets, 0, "nothing leaves the socket");
}

/// Linux lets a socket send from an address that no interface has, without privileges.
#[cfg(target_os = "linux")]
#[test]
fn packets_that_claim_a_virtual_address_are_dropped_and_counted() {
    let pki = Pki::new();
    let listen = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
    let mut server = Owner::start(EndpointOptions { listen, ..server_endpoint(pki.material("server")) });
    let mut client = Owner::start(EndpointOptions { listen, ..client_endpoint(pki.material("client")) });
    let link = connect(&mut client, &mut server, TransportOptions::default());
    let before = server.stats();

    let spoofer = Socket::new(Domain::IPV6, Type::DGRAM, None).expect("socket");
    spoofer.set_freebind_v6(true).expect("an address that is not here");
    let mut from = virtual_path_address(3);
    from.set_port(0);
    spoofer.bind(&from.into()).expect("a virtual address");
    let mut random = Random::new(3);
    for round in 0..100 {
        let mut packet = random.bytes(1200);
        // Initials of version 1, which would begin a connection or ask for another version, and others.
        packet[..6].copy_from_slice(&[0xc0, 0, 0, 0, round % 3, 8]);
        spoofer.send_to(&packet, &server.address().into()).expect("send");
    }

    server.ask_until("dropping", |s| s.drops("spoofed_virtual"), |n| *n == 100);
    transfer(&mut client, link.client, &mut server, link.server, 100_000);
    let after = server.stats();
    assert_eq!(after.connections, before.connections);
    assert!(!server.unseen().any(|e| matches!(e, Event::Connected { is_server: true, .. })));
}
