//! Datagrams and forwarding rules.

use crate::support::relay::{CHANNEL_A, CHANNEL_B, Plan, Relayed, add_rule};
use crate::support::*;
use bytes::{BufMut, Bytes, BytesMut};
use std::time::Instant;
use ztna_quic::engine::{Command, Event, TransportOptions};
use ztna_quic::fragment::{RELAY_PACKET_BIT, Reassembler, decode};

#[test]
fn datagrams_arrive_whole_and_in_both_directions() {
    let (mut client, mut server, link) = pair();
    let sent: Vec<Bytes> = (0..50u64).map(|n| pattern(1 + n as usize * 20, n)).collect();
    sent.iter().for_each(|d| client.datagram(link.client, d.clone()));
    assert_eq!(server.datagrams(link.server, 50), sent);
    server.datagram(link.server, &b"answer"[..]);
    assert_eq!(client.datagrams(link.client, 1), [&b"answer"[..]]);
}

#[test]
fn a_datagram_that_does_not_fit_is_dropped_and_counted() {
    let (mut client, mut server, link) = pair();
    client.datagram(link.client, pattern(1600, 1));
    client.datagram(link.client, &b"next"[..]);
    assert_eq!(server.datagrams(link.server, 1), [&b"next"[..]]);
    assert_eq!(client.connection_drops(link.client, "too_large"), 1);
}

#[test]
fn the_largest_datagram_grows_with_path_mtu_discovery() {
    let (mut client, mut server, link) = pair();
    let size = client.wait_for("a larger limit", |e| match e {
        Event::MaxDatagram { conn, size } if *conn == link.client && *size > 1380 => Some(*size),
        _ => None,
    });
    let sent = pattern(size, 2);
    client.datagram(link.client, sent.clone());
    assert_eq!(server.datagrams(link.server, 1), [sent]);
}

#[test]
fn an_owner_that_does_not_collect_loses_datagrams_and_not_memory() {
    let (mut client, mut server, link) = pair();
    server.settle();
    let mut sent: u64 = 0;
    // 16 MB; nobody collects them while they come.
    for _ in 0..160 {
        for _ in 0..100 {
            client.datagram(link.client, Bytes::from_static(&[5; 1000]));
        }
        sent += 100;
        let gone = |c: &mut Owner| {
            let drops = c.connection_drops(link.client, "refused");
            c.connection_stats(link.client).expect("open").datagrams_sent + drops
        };
        client.ask_until("sending", gone, |n| *n >= sent);
    }
    let mut delivered = 0;
    let mut dropped = 0;
    server.ask_until(
        "all datagrams",
        |s| {
            delivered += s.take_datagrams(link.server).len() as u64;
            dropped = s.connection_drops(link.server, "owner_behind");
            delivered + dropped
        },
        |n| *n + 1000 >= sent,
    );
    assert!(dropped > 1000, "{delivered} delivered, {dropped} dropped");
}

#[test]
fn a_rule_replaces_the_prefix_and_counts() {
    let mut r = Relayed::start(&Plan::default());
    let to_b = frame(0x2e, CHANNEL_A, b"to b");
    r.a.datagram(r.outer_a.client, to_b);
    // A virtual path of b would take it; another channel shows it to the owner.
    r.b.send(Command::RemoveVirtualPath { path: r.path });
    r.b.settle();
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"again"));
    r.a.datagram(r.outer_a.client, frame(0x2d, CHANNEL_A, &[0, 9, 0x80, b'f']));
    let mut seen = vec![];
    while seen.last() != Some(&frame(0x2d, CHANNEL_B, &[0, 9, 0x80, b'f'])) {
        seen.extend(r.b.datagrams(r.outer_b.client, 1));
    }
    assert!(seen.contains(&frame(0x2e, CHANNEL_B, b"again")), "{seen:?}");
    let stats = r.relay.rule_stats(r.a_to_b).expect("rule");
    assert_eq!((stats.forwarded, stats.bytes), (3, 4 + 5 + 4));
    assert_eq!(r.relay.rule_stats(r.b_to_a).expect("rule").forwarded, 0);
    let at_relay = r.relay.connection_stats(r.outer_a.server).expect("open").datagrams_received;
    assert_eq!(at_relay, 3);
}

#[test]
fn datagrams_without_a_rule_reach_the_owner_of_the_relay() {
    let mut r = Relayed::start(&Plan::default());
    // An empty one means nothing.
    r.a.datagram(r.outer_a.client, &b""[..]);
    for datagram in [&b"\x2e"[..], b"\x2e\x02no such channel", b"\x2f\x01no such kind", b"\x2d"] {
        r.a.datagram(r.outer_a.client, datagram);
        assert_eq!(r.relay.datagrams(r.outer_a.server, 1), [datagram]);
    }
    assert_eq!(r.relay.rule_stats(r.a_to_b).expect("rule").forwarded, 0);
}

#[test]
fn a_removed_rule_forwards_nothing_from_then_on() {
    let mut r = without_paths(&Plan::default());
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"one"));
    assert_eq!(r.b.datagrams(r.outer_b.client, 1), [frame(0x2e, CHANNEL_B, b"one")]);
    r.relay.send(Command::RemoveRule { rule: r.a_to_b });
    r.relay.settle();
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"two"));
    // It reaches the owner, who finds no rule either.
    assert_eq!(r.relay.datagrams(r.outer_a.server, 1), [frame(0x2e, CHANNEL_A, b"two")]);
    assert!(r.relay.rule_stats(r.a_to_b).is_none());
    // The other direction is not touched, and whatever came to b would have come before this.
    r.b.datagram(r.outer_b.client, frame(0x2e, CHANNEL_B, b"back"));
    assert_eq!(r.a.datagrams(r.outer_a.client, 1), [frame(0x2e, CHANNEL_A, b"back")]);
    r.relay.datagram(r.outer_b.server, &b"end"[..]);
    assert_eq!(r.b.datagrams(r.outer_b.client, 1), [&b"end"[..]]);
}

#[test]
fn what_waits_in_a_removed_rules_queue_is_not_sent() {
    let mut r = without_paths(&Plan { rate: Some(1000), ..Plan::default() });
    // 16 KiB may go at once, the rest waits for a minute.
    send_counted(&mut r, 80, 1000);
    assert!(r.relay.rule_stats(r.a_to_b).expect("rule").queued_bytes > 40_000);
    r.relay.send(Command::RemoveRule { rule: r.a_to_b });
    // Under the same number again, without a limit: nothing of before may be left to go.
    let (from, to) = ((r.outer_a.server, CHANNEL_A), (r.outer_b.server, CHANNEL_B));
    add_rule(&r.relay, r.a_to_b, from, to, None);
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"end"));
    let mut seen = vec![];
    while seen.last() != Some(&frame(0x2e, CHANNEL_B, b"end")) {
        seen.extend(r.b.datagrams(r.outer_b.client, 1));
    }
    assert!(seen.len() <= 20, "{} datagrams", seen.len());
}

#[test]
fn a_rate_limit_counts_bytes() {
    let rate: u64 = 400_000;
    let burst = 20_000;
    let mut r = without_paths(&Plan { rate: Some(rate), ..Plan::default() });
    let start = Instant::now();
    let count = 600;
    send_counted(&mut r, count, 1000);
    let mut received = 0;
    let mut bytes = 0;
    loop {
        let stats = r.relay.rule_stats(r.a_to_b).expect("rule");
        for datagram in r.b.take_datagrams(r.outer_b.client) {
            received += 1;
            bytes += datagram.len() as u64;
        }
        let most = burst + (rate as f64 * start.elapsed().as_secs_f64()) as u64 + 1200;
        assert!(bytes <= most, "{bytes} bytes after {:?}", start.elapsed());
        if received + stats.dropped_rate + stats.dropped_queue + stats.dropped_codel == count {
            assert!(stats.dropped_rate > 0, "{stats:?}");
            assert!(received >= 200, "what waits is sent in the end: {received}");
            break;
        }
        assert!(start.elapsed() < WAIT, "{received} received, {stats:?}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_full_queue_and_an_oversized_payload_are_counted_apart() {
    let mut plan = Plan::default();
    plan.relay.max_mtu = 1200;
    let mut r = without_paths(&plan);
    r.a.wait_for_mtu(r.outer_a.client, 1400);
    // Above 1,200 bytes nothing is cut: path-MTU discovery of the inner connection has to find that out.
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, &pattern(1201, 1)));
    // Fragments are not cut again.
    r.a.datagram(r.outer_a.client, frame(0x2d, CHANNEL_A, &pattern(1201, 1)));
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"fits"));
    assert_eq!(r.b.datagrams(r.outer_b.client, 1), [frame(0x2e, CHANNEL_B, b"fits")]);
    let stats = r.relay.rule_stats(r.a_to_b).expect("rule");
    assert_eq!((stats.dropped_too_large, stats.forwarded), (2, 1), "{stats:?}");
    assert_eq!(stats.dropped_queue + stats.dropped_codel + stats.dropped_rate + stats.dropped_closed, 0);
}

#[test]
fn the_relay_cuts_what_the_target_cannot_take_whole() {
    for target_mtu in [1200, 1232] {
        let mut plan = Plan::default();
        plan.relay.max_mtu = target_mtu;
        let mut r = without_paths(&plan);
        r.a.wait_for_mtu(r.outer_a.client, 1400);
        let packet = pattern(1200, u64::from(target_mtu));
        r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, &packet));
        r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, &packet));
        let pieces = r.b.datagrams(r.outer_b.client, 4);
        let mut reassembler = Reassembler::default();
        let mut whole = vec![];
        for piece in &pieces {
            assert_eq!(piece[..2], [0x2d, CHANNEL_B]);
            let id = decode(&piece[2..]).expect("fragment").packet_id;
            assert!(id & RELAY_PACKET_BIT != 0, "{id:#x} is marked as the relay's");
            whole.extend(reassembler.insert(&piece[2..], Instant::now()).expect("consistent"));
        }
        assert_eq!(whole, [&packet[..], &packet[..]], "outer packets of {target_mtu}");
    }
}

#[test]
fn when_the_target_is_gone_so_is_the_rule() {
    let mut r = without_paths(&Plan::default());
    r.b.close(r.outer_b.client, 0, "");
    r.relay.closed(r.outer_b.server);
    let before = r.relay.rule_stats(r.a_to_b).map_or(0, |s| s.forwarded);
    // While the connection is being drained the rule counts, later it is gone; nothing is "forwarded".
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"to nobody"));
    let arrived = |o: &mut Owner| o.connection_stats(r.outer_a.server).expect("open").datagrams_received;
    r.relay.ask_until("arrival", arrived, |n| *n == 1);
    if let Some(stats) = r.relay.rule_stats(r.a_to_b) {
        assert_eq!((stats.forwarded, stats.dropped_closed), (before, 1), "{stats:?}");
    }
    let gone = |o: &mut Owner| o.rule_stats(r.a_to_b).is_none() && o.rule_stats(r.b_to_a).is_none();
    r.relay.ask_until("gone", gone, |gone| *gone);
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"to nobody"));
    let to_owner = r.relay.datagrams(r.outer_a.server, 1);
    assert!(to_owner.contains(&frame(0x2e, CHANNEL_A, b"to nobody")));
}

#[test]
fn a_prefix_belongs_to_one_rule() {
    let mut r = without_paths(&Plan::default());
    let second = r.relay.id();
    add_rule(&r.relay, second, (r.outer_a.server, CHANNEL_A), (r.outer_a.server, CHANNEL_A), None);
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"mine"));
    assert_eq!(r.b.datagrams(r.outer_b.client, 1), [frame(0x2e, CHANNEL_B, b"mine")]);
    assert!(r.relay.rule_stats(second).is_none());
    // Taking the refused one away must not take the route of the first.
    r.relay.send(Command::RemoveRule { rule: second });
    r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, b"still"));
    assert_eq!(r.b.datagrams(r.outer_b.client, 1), [frame(0x2e, CHANNEL_B, b"still")]);
}

#[test]
fn rules_are_independent_of_each_other() {
    let mut r = without_paths(&Plan::default());
    // Twenty channels, each to another number; every second is removed again.
    for n in 0..20 {
        let (from, to) = ((r.outer_a.server, 20 + n), (r.outer_b.server, 60 + n));
        add_rule(&r.relay, 5_000 + u32::from(n), from, to, None);
    }
    for n in (0..20).step_by(2) {
        r.relay.send(Command::RemoveRule { rule: 5_000 + n });
    }
    r.relay.settle();
    for n in 0..20 {
        r.a.datagram(r.outer_a.client, frame(0x2e, 20 + n, &[n]));
    }
    let mut expected: Vec<Bytes> = (1..20).step_by(2).map(|n| frame(0x2e, 60 + n, &[n])).collect();
    let mut seen = r.b.datagrams(r.outer_b.client, 10);
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected);
}

/// The forwarding of [`Relayed`] with datagrams going to the owners of `a` and `b`.
fn without_paths(plan: &Plan) -> Relayed {
    let mut r = Relayed::start(plan);
    for owner in [&mut r.a, &mut r.b] {
        owner.send(Command::RemoveVirtualPath { path: r.path });
        owner.settle();
    }
    r
}

fn frame(kind: u8, channel: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_slice(&[kind, channel]);
    frame.put_slice(payload);
    frame.freeze()
}

/// Sends datagrams through the rule, no faster than the relay takes them.
fn send_counted(r: &mut Relayed, count: u64, size: usize) {
    let payload = pattern(size - 2, 1);
    for n in 1..=count {
        r.a.datagram(r.outer_a.client, frame(0x2e, CHANNEL_A, &payload));
        if n % 50 == 0 || n == count {
            let arrived =
                |o: &mut Owner| o.connection_stats(r.outer_a.server).expect("open").datagrams_received;
            r.relay.ask_until("arrival", arrived, |arrived| *arrived == n);
        }
    }
}

#[test]
fn transport_limits_hold_for_each_side() {
    // A plan with different limits stays what it says: the tests above rely on it.
    let relay = TransportOptions { max_mtu: 1232, ..TransportOptions::default() };
    let mut r = without_paths(&Plan { relay, ..Plan::default() });
    r.a.wait_for_mtu(r.outer_a.client, 1400);
    let mtu = r.relay.wait_for_mtu(r.outer_b.server, 1225);
    assert!(mtu <= 1232, "{mtu}");
}
