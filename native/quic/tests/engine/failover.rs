//! Paths that die and come back.

use crate::support::direct::{Direct, multipath, plan};
use crate::support::relay::Plan;
use crate::support::*;
use std::time::{Duration, Instant};
use ztna_quic::engine::{Command, Event, Id, PathChange, TransportOptions};

const DEAD: fn(PathChange) -> bool = |c| c == PathChange::Dead;
const CLOSED: fn(PathChange) -> bool = |c| matches!(c, PathChange::Closed { .. });

#[test]
fn a_stream_of_the_client_goes_on_over_the_relay_when_the_direct_path_dies() {
    let (mut d, path) = Direct::preferred(&plan());
    cut_under_load(&mut d, true);
    assert_closed_as_dead(&mut d, path);
    d.transfer_back(1 << 20);
}

#[test]
fn a_stream_of_the_server_goes_on_over_the_relay_when_the_direct_path_dies() {
    let (mut d, path) = Direct::preferred(&plan());
    cut_under_load(&mut d, false);
    assert_closed_as_dead(&mut d, path);
    d.transfer(1 << 20);
}

#[test]
fn datagrams_sent_after_the_death_of_the_direct_path_arrive() {
    let (mut d, path) = Direct::preferred(&plan());
    let (client, server) = (d.inner.client, d.inner.server);
    let mut sent = 0u32;
    let mut send = |d: &Direct, n: u32| {
        for _ in 0..n {
            d.r.a.datagram(client, sent.to_be_bytes().to_vec());
            sent += 1;
            std::thread::park_timeout(Duration::from_millis(1));
        }
        sent
    };
    send(&d, 100);
    assert_eq!(d.r.b.datagrams(server, 100).len(), 100);
    d.line.pass(false, false);
    let dead = |e: &Event| matches!(e, Event::Path { change: PathChange::Dead, .. });
    let deadline = Instant::now() + WAIT;
    while !d.r.a.unseen().any(dead) {
        send(&d, 1);
        assert!(Instant::now() < deadline);
    }
    assert_eq!(d.at_a("death", DEAD), path);
    let first_after = send(&d, 0);
    let last = send(&d, 200) - 1;
    let mut got: Vec<u32> = Vec::new();
    while got.last() != Some(&last) {
        let batch = d.r.b.datagrams(server, 1);
        got.extend(batch.iter().map(|b| u32::from_be_bytes(b[..].try_into().expect("4 bytes"))));
    }
    let after = got.iter().filter(|n| **n >= first_after).count();
    assert_eq!(after, 200, "of those sent after the death");
}

#[test]
fn another_direct_path_that_is_silent_too_is_given_up_before_the_owner_can_move_to_it() {
    let mut d = Direct::start(&plan());
    let other_line = Proxy::to(d.r.b.address());
    d.show_at(&[other_line.address()]);
    let (path, other) = (d.find(), d.find_another());
    d.prefer(path);
    d.transfer(100_000);
    d.line.pass(false, false);
    other_line.pass(false, false);
    big_stream(&mut d, true);
    assert_eq!(d.at_a("death of the one at rest", DEAD), other);
    assert_eq!(d.at_a("death of the one in use", DEAD), path);
    finish_stream(&mut d, true);
}

#[test]
fn a_dying_relay_does_not_disturb_the_direct_path_and_comes_back() {
    let (mut d, path) = Direct::preferred(&plan());
    d.transfer(100_000);
    big_stream(&mut d, true);
    d.r.a.close(d.r.outer_a.client, 0, "");
    d.r.relay.closed(d.r.outer_a.server);
    finish_stream(&mut d, true);
    d.transfer_back(1 << 20);
    d.r.a.send(Command::Ping { conn: d.inner.client });
    assert_eq!(d.at_a("death of the relay", DEAD), 0);
    d.transfer(100_000);
    restore_relay(&mut d);
    assert_eq!(d.at_a("life", |c| c == PathChange::Alive), 0);
    let statuses: Vec<_> = d.r.a.paths(d.inner.client).iter().map(|p| (p.id, p.backup)).collect();
    assert_eq!(statuses, [(0, true), (path, false)]);
}

#[test]
fn traffic_of_the_client_leaves_a_dead_relay_for_the_direct_path() {
    relay_in_use_dies(true);
}

#[test]
fn traffic_of_the_server_leaves_a_dead_relay_for_the_direct_path() {
    relay_in_use_dies(false);
}

#[test]
fn a_relay_that_stands_still_does_not_hold_back_what_goes_direct() {
    let mut line = None;
    let wide = TransportOptions { connection_window: 16 << 20, ..multipath() };
    let plan = Plan { inner: wide, ..plan() };
    let mut d = Direct::start_via(&plan, |relay| line.insert(Proxy::to(relay)).address());
    let line = line.expect("proxy");
    d.show();
    d.find();
    // Opens the congestion window wider than the queue before the carrier, and fills both.
    d.transfer(32 << 20);
    line.pass(false, false);
    (0..4).for_each(|_| big_stream(&mut d, true));
    assert_eq!(d.at_a("death of the relay", DEAD), 0);
    for n in 0..20u8 {
        // One may be lost; held back it must not be.
        let (client, server, a) = (d.inner.client, d.inner.server, &d.r.a);
        let sent_and_arrived = |b: &mut Owner| {
            a.datagram(client, vec![n; 500]);
            b.take_datagrams(server).iter().any(|datagram| datagram[0] == n)
        };
        d.r.b.ask_until("a datagram", sent_and_arrived, |arrived| *arrived);
    }
    line.pass(true, true);
    (0..4).for_each(|_| finish_stream(&mut d, true));
}

#[test]
fn with_both_paths_dead_the_connection_waits_and_goes_on_when_the_relay_is_back() {
    let (mut d, path) = Direct::preferred(&plan());
    d.line.pass(false, false);
    d.r.a.close(d.r.outer_a.client, 0, "");
    d.r.relay.closed(d.r.outer_a.server);
    big_stream(&mut d, true);
    d.r.a.send(Command::Ping { conn: d.inner.client });
    let dead = [d.at_a("death", DEAD), d.at_a("death", DEAD)];
    assert!(dead.contains(&0) && dead.contains(&path), "{dead:?}");
    d.assert_alive();
    restore_relay(&mut d);
    finish_stream(&mut d, true);
    d.transfer_back(1 << 20);
    assert_eq!(d.at_a("end of the path", CLOSED), path);
}

#[test]
fn with_both_paths_dead_it_does_not_matter_in_which_order_they_come_back() {
    let (mut d, _) = Direct::preferred(&plan());
    d.line.pass(false, false);
    d.r.a.close(d.r.outer_a.client, 0, "");
    d.r.relay.closed(d.r.outer_a.server);
    big_stream(&mut d, true);
    d.r.a.send(Command::Ping { conn: d.inner.client });
    d.at_a("death", DEAD);
    d.line.pass(true, true);
    restore_relay(&mut d);
    finish_stream(&mut d, true);
    d.transfer_back(1 << 20);
    d.assert_alive();
}

#[test]
fn a_stream_of_the_client_outlives_an_outage_of_all_paths_and_so_does_the_direct_path() {
    outlives_an_outage(true);
}

#[test]
fn a_stream_of_the_server_outlives_an_outage_of_all_paths_and_so_does_the_direct_path() {
    outlives_an_outage(false);
}

#[test]
fn a_stream_of_the_client_goes_on_when_only_the_relay_is_back_after_an_outage() {
    only_the_relay_is_back(true);
}

#[test]
fn a_stream_of_the_server_goes_on_when_only_the_relay_is_back_after_an_outage() {
    only_the_relay_is_back(false);
}

#[test]
fn a_stream_of_the_client_goes_on_over_another_direct_path_when_its_own_was_closed_in_an_outage() {
    closed_in_an_outage(true);
}

#[test]
fn a_stream_of_the_server_goes_on_over_another_direct_path_when_its_own_was_closed_in_an_outage() {
    closed_in_an_outage(false);
}

#[test]
fn a_direct_path_can_be_found_again() {
    let (mut d, path) = Direct::preferred(&plan());
    cut_under_load(&mut d, true);
    assert_closed_as_dead(&mut d, path);
    d.line.pass(true, true);
    let again = d.find();
    assert!(again > path);
    d.prefer(again);
    let before = d.relayed();
    d.transfer(2 << 20);
    assert!(d.relayed() - before < 200);
}

#[test]
fn a_nat_that_forgets_the_client_does_not_end_the_direct_path() {
    let (mut d, path) = Direct::preferred(&plan());
    d.transfer(100_000);
    d.line.move_client();
    d.transfer(1 << 20);
    d.transfer_back(1 << 20);
    assert_eq!(d.at_b("move", |c| c == PathChange::Moved), path);
    assert_eq!(d.r.b.paths(d.inner.server)[1].remote, d.line.outside());
    d.assert_alive();
}

#[test]
fn a_change_of_network_that_takes_no_address_away_ends_nothing() {
    let (mut d, path) = Direct::preferred(&plan());
    for _ in 0..3 {
        d.r.a.send(Command::NetworkChanged);
        d.r.b.send(Command::NetworkChanged);
        d.transfer(300_000);
        d.transfer_back(300_000);
    }
    assert_eq!(d.r.a.paths(d.inner.client).iter().map(|p| p.id).collect::<Vec<_>>(), [0, path]);
    d.assert_alive();
}

#[test]
fn an_idle_pair_of_paths_is_not_taken_for_dead() {
    let (mut d, _) = Direct::preferred(&plan());
    d.transfer(1 << 20);
    // Discovery of packet sizes leaves lost probes behind; wait until it is done, and a good while longer.
    std::thread::park_timeout(Duration::from_secs(3));
    let dead = |e: &Event| matches!(e, Event::Path { change: PathChange::Dead, .. });
    assert!(!d.r.a.unseen().any(dead) && !d.r.b.unseen().any(dead));
}

/// Cuts the direct path in the middle of a transfer, which goes on all the same.
fn cut_under_load(d: &mut Direct, from_client: bool) {
    big_stream(d, from_client);
    d.line.pass(false, false);
    finish_stream(d, from_client);
}

/// One side finds out, perhaps both; the other hears of it over the relay. Dead is what the engine found, before the
/// path's own idle timeout.
fn assert_closed_as_dead(d: &mut Direct, path: u32) {
    assert_eq!(d.at_a("end of the path", CLOSED), path);
    assert_eq!(d.at_b("end of the path", CLOSED), path);
    let dead = |e: &Event| matches!(e, Event::Path { change: PathChange::Dead, path: p, .. } if *p == path);
    assert!(d.r.a.unseen().any(dead) || d.r.b.unseen().any(dead));
}

/// Some seconds without a path in the middle of a transfer, as when a router starts again. Acknowledgements that come
/// after it are taken by noq for round trips of that length.
fn outlives_an_outage(from_client: bool) {
    let (mut d, to_relay, path) = without_any_path(from_client, Duration::from_secs(6));
    d.line.pass(true, true);
    assert_goes_on(&mut d, &to_relay, from_client);
    assert_eq!(d.r.a.paths(d.inner.client).iter().map(|p| p.id).collect::<Vec<_>>(), [0, path]);
}

/// noq holds what was on its way on the direct path for three of its probe timeouts, by then 40 s.
fn only_the_relay_is_back(from_client: bool) {
    let (mut d, to_relay, path) = without_any_path(from_client, Duration::from_secs(12));
    assert_goes_on(&mut d, &to_relay, from_client);
    assert_eq!(d.at_a("end of the path", CLOSED), path);
}

/// As when both sides' paths reach their idle timeout. The other direct path has one as well.
fn closed_in_an_outage(from_client: bool) {
    let (mut d, to_relay, path) = without_any_path(from_client, Duration::from_secs(12));
    d.r.a.send(Command::ClosePath { conn: d.inner.client, path });
    d.r.b.send(Command::ClosePath { conn: d.inner.server, path });
    assert_eq!((d.at_a("end of the path", CLOSED), d.at_b("end of the path", CLOSED)), (path, path));
    d.line.pass(true, true);
    to_relay.pass(true, true);
    d.r.a.send(Command::Probe { conn: d.inner.client });
    let other = d.at_a("direct path", |c| matches!(c, PathChange::Opened { .. }));
    d.set_status(other, false);
    d.set_status(0, true);
    assert_goes_on(&mut d, &to_relay, from_client);
    // noq lists a closed path until its last packets are given up.
    let client = d.inner.client;
    let listed = |a: &mut Owner| a.paths(client).iter().map(|p| p.id).collect::<Vec<_>>();
    d.r.a.ask_until("rid of the closed path", listed, |ids| *ids == [0, other]);
}

/// In the middle of a transfer; gives the way to the relay, and the direct path.
fn without_any_path(from_client: bool, time: Duration) -> (Direct, Proxy, u32) {
    let mut line = None;
    let outer = TransportOptions { idle_timeout: Duration::from_secs(60), ..TransportOptions::default() };
    let patient = Plan { relay: outer.clone(), outer_a: outer.clone(), outer_b: outer, ..plan() };
    let mut d = Direct::start_via(&patient, |relay| line.insert(Proxy::to(relay)).address());
    let to_relay = line.expect("proxy");
    d.show();
    let path = d.find();
    d.prefer(path);
    d.transfer(100_000);
    d.transfer_back(100_000);
    big_stream(&mut d, from_client);
    for line in [&d.line, &to_relay] {
        line.pass(false, false);
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        d.r.a.datagram(d.inner.client, vec![1; 100]);
        d.r.b.datagram(d.inner.server, vec![1; 100]);
        std::thread::park_timeout(Duration::from_millis(100));
    }
    (d, to_relay, path)
}

fn assert_goes_on(d: &mut Direct, to_relay: &Proxy, from_client: bool) {
    to_relay.pass(true, true);
    finish_stream(d, from_client);
    d.transfer(100_000);
    d.transfer_back(100_000);
    d.assert_alive();
}

const LENGTH: usize = 8 << 20;

/// Begins to send what [`finish_stream`] receives.
fn big_stream(d: &mut Direct, from_client: bool) {
    let (from, from_conn) = end(d, from_client);
    let stream = from.open(from_conn, false);
    from.write(from_conn, stream, pattern(LENGTH, 5), true);
}

fn finish_stream(d: &mut Direct, from_client: bool) {
    let (to, conn) = end(d, !from_client);
    let (stream, _, first) = to.stream(conn);
    let mut received = first.to_vec();
    received.extend(to.read_to_end(conn, stream));
    assert!(received == pattern(LENGTH, 5), "{} bytes, or others", received.len());
}

fn end(d: &mut Direct, client: bool) -> (&mut Owner, Id) {
    match client {
        true => (&mut d.r.a, d.inner.client),
        false => (&mut d.r.b, d.inner.server),
    }
}

fn restore_relay(d: &mut Direct) {
    d.r.outer_a = connect(&mut d.r.a, &mut d.r.relay, TransportOptions::default());
    let rule = d.r.a_to_b;
    d.r.relay.ask_until("gone", |o: &mut Owner| o.rule_stats(rule).is_none(), |gone| *gone);
    d.r.add_rules(None);
    d.r.set_path_a();
}

/// The relay is in use and the direct path rests; only one side has something to say.
fn relay_in_use_dies(from_client: bool) {
    let mut d = Direct::start(&Plan { ..plan() });
    d.show();
    let path = d.find();
    d.transfer(10_000);
    d.r.a.close(d.r.outer_a.client, 0, "");
    d.r.relay.closed(d.r.outer_a.server);
    big_stream(&mut d, from_client);
    let (owner, conn) = end(&mut d, from_client);
    let died = crate::support::direct::change(owner, conn, "death of the relay", DEAD);
    assert_eq!(died, 0);
    // What follows goes over the direct path; more than the first congestion window, so that the other
    // side has to acknowledge there too. What was on its way waits for the relay.
    for _ in 0..10 {
        let (from, conn) = end(&mut d, from_client);
        (0..20).for_each(|_| from.datagram(conn, vec![1; 1000]));
        let (to, to_conn) = end(&mut d, !from_client);
        to.datagrams(to_conn, 20);
    }
    restore_relay(&mut d);
    finish_stream(&mut d, from_client);
    assert!(d.r.a.paths(d.inner.client).iter().any(|p| p.id == path), "the direct path lives");
}
