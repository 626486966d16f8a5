//! Direct paths beside the relay: found, preferred, refused, limited.

use crate::support::direct::{Direct, candidates, multipath, plan, received, with_loopback};
use crate::support::relay::Plan;
use crate::support::*;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use ztna_quic::engine::{Command, DirectOptions, Event, PathChange};

#[test]
fn a_direct_path_is_found_and_rests_until_it_is_preferred() {
    let mut d = Direct::start(&plan());
    d.show();
    let path = d.find();
    for (owner, conn) in [(&mut d.r.a, d.inner.client), (&mut d.r.b, d.inner.server)] {
        let paths = owner.paths(conn);
        let seen: Vec<_> = paths.iter().map(|p| (p.id, p.is_virtual, p.backup)).collect();
        assert_eq!(seen, [(0, true, false), (path, false, true)]);
    }
    let before = d.relayed();
    d.transfer(1 << 20);
    d.transfer_back(1 << 20);
    assert!(d.relayed() > before + 1_500, "it moved by itself");

    d.prefer(path);
    let before = d.relayed();
    d.transfer(4 << 20);
    d.transfer_back(4 << 20);
    let over_relay = d.relayed() - before;
    assert!(over_relay < 100, "{over_relay} packets went over the relay");
    let info = d.r.a.paths(d.inner.client).remove(1);
    assert_eq!(info.remote, d.line.address());
    assert_eq!(info.local, Some(loopback().ip()));
    assert!(info.min_rtt.is_some_and(|min| min <= info.rtt.max(Duration::from_millis(100))));
}

#[test]
fn the_client_hears_of_candidates_that_come_and_go() {
    let mut d = Direct::start(&plan());
    d.show();
    let (one, two) = ("127.0.0.1:1001".parse().expect("address"), "127.0.0.1:1002".parse().expect("address"));
    candidates(&d.r.b, d.inner.server, &[one, two]);
    d.wait_for_candidates(&[one, two]);
    candidates(&d.r.b, d.inner.server, &[two]);
    d.wait_for_candidates(&[two]);
    // Those that would be refused are not shown.
    let odd = ["169.254.0.1:5".parse().expect("address"), one, "224.0.0.1:5".parse().expect("address")];
    candidates(&d.r.b, d.inner.server, &odd);
    d.wait_for_candidates(&[one]);
}

#[test]
fn nothing_goes_direct_before_the_owner_says_so() {
    let mut d = Direct::start(&plan());
    let target = d.nobody.local_addr().expect("address");
    candidates(&d.r.a, d.inner.client, &[target]);
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.r.b.ask_until("held back", |b| b.drops("direct_off"), |n| *n > 0);
    assert_eq!(received(&d.nobody), 0);
    // The other way round the client does not even start.
    let mut d = Direct::start(&plan());
    candidates(&d.r.b, d.inner.server, &[target]);
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.transfer(10_000);
    assert_eq!(d.r.a.drops("direct_off"), 0);
}

#[test]
fn an_endpoint_without_direct_paths_neither_probes_nor_takes_part() {
    let mut d = Direct::start(&Plan { direct: [with_loopback(), None], ..plan() });
    let target = d.nobody.local_addr().expect("address");
    candidates(&d.r.b, d.inner.server, &[d.line.address()]);
    candidates(&d.r.a, d.inner.client, &[target]);
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.r.b.ask_until("held back", |b| b.drops("direct_off"), |n| *n > 0);
    assert_eq!(received(&d.nobody), 0);
}

#[test]
fn refused_addresses_get_nothing_whatever_the_peer_names() {
    // `b` takes ordinary addresses only, and `a` names loopback.
    let mut d = Direct::start(&Plan { direct: [with_loopback(), Some(DirectOptions::default())], ..plan() });
    let victims: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind(loopback()).expect("UDP socket")).collect();
    let named: Vec<SocketAddr> = victims.iter().map(|v| v.local_addr().expect("address")).collect();
    candidates(&d.r.b, d.inner.server, &[]);
    candidates(&d.r.a, d.inner.client, &named);
    d.r.b.settle();
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.r.b.ask_until("refused", |b| b.drops("direct_refused"), |n| *n >= 8);
    assert_eq!(victims.iter().map(received).sum::<usize>(), 0);
}

#[test]
fn packets_from_refused_addresses_are_not_heard() {
    let mut d = Direct::start(&Plan { direct: [with_loopback(), Some(DirectOptions::default())], ..plan() });
    // `b` cannot show loopback, so `a` is led there by hand.
    candidates(&d.r.b, d.inner.server, &[]);
    candidates(&d.r.a, d.inner.client, &[d.line.address()]);
    d.r.b.settle();
    let (remote, conn) = (d.line.address(), d.inner.client);
    let (a, b) = (&mut d.r.a, &mut d.r.b);
    let unheard = |b: &mut Owner| {
        // Fails until the connection ids for another path are there.
        let request = a.id();
        a.send(Command::OpenPath { conn, remote, backup: true, request });
        b.drops("direct_refused_received")
    };
    b.ask_until("unheard", unheard, |n| *n > 0);
    let opened = |e: &Event| matches!(e, Event::Path { change: PathChange::Opened { .. }, .. });
    assert!(!d.r.b.unseen().any(opened) && !d.r.a.unseen().any(opened));
}

#[test]
fn a_client_starts_a_bounded_number_of_rounds() {
    let mut d = Direct::start(&plan());
    d.show();
    for _ in 0..1000 {
        d.r.a.send(Command::Probe { conn: d.inner.client });
    }
    assert!(d.r.a.drops("probe_rounds_limited") > 900);
    d.transfer(10_000);
}

#[test]
fn many_connections_cannot_be_used_to_flood_somebody() {
    let mut d = Direct::start(&plan());
    let victims: Vec<UdpSocket> = (0..16).map(|_| UdpSocket::bind(loopback()).expect("UDP socket")).collect();
    let named: Vec<SocketAddr> = victims.iter().map(|v| v.local_addr().expect("address")).collect();
    let start = std::time::Instant::now();
    let mut links = vec![d.inner];
    links.extend((0..14).map(|_| d.r.connect_inner(multipath())));
    for link in &links {
        candidates(&d.r.b, link.server, &[]);
        candidates(&d.r.a, link.client, &named);
    }
    d.r.b.settle();
    for _ in 0..4 {
        links.iter().for_each(|link| d.r.a.send(Command::Probe { conn: link.client }));
        d.r.a.settle();
    }
    d.r.b.ask_until("limited", |b| b.drops("direct_limited"), |n| *n > 500);
    let got: usize = victims.iter().map(received).sum();
    let most = 400 + 200 * (start.elapsed().as_secs() as usize + 1);
    assert!(got > 50 && got <= most, "{got} packets, {most} at most");
}

#[test]
fn turning_direct_paths_off_closes_them_and_the_relay_goes_on() {
    let (mut d, path) = Direct::preferred(&plan());
    d.r.b.send(Command::SetCandidates { conn: d.inner.server, addresses: None });
    let closed = |c| matches!(c, PathChange::Closed { .. });
    assert_eq!(d.at_b("end of the path", |c| c == PathChange::Closed { reason: "local" }), path);
    assert_eq!(d.at_a("end of the path", closed), path);
    let before = d.relayed();
    d.transfer(1 << 20);
    assert!(d.relayed() > before + 700);
    // And nobody gets it back by probing.
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.r.b.ask_until("held back", |b| b.drops("direct_off"), |n| *n > 0);
}

#[test]
fn ranges_that_are_refused_later_close_the_paths_that_lead_there() {
    let (mut d, path) = Direct::preferred(&plan());
    d.r.b.send(Command::SetDirectFilter {
        refuse: vec![],
        allow: vec!["127.0.0.0/8".parse().expect("range")],
        left_out: vec![],
    });
    d.transfer(1 << 16);
    d.assert_alive();
    assert_eq!(d.r.b.paths(d.inner.server).len(), 2, "what is still permitted stays");
    d.r.b.send(Command::SetDirectFilter { refuse: vec![], allow: vec![], left_out: vec![] });
    assert_eq!(d.at_b("end of the path", |c| c == PathChange::Closed { reason: "local" }), path);
    assert_eq!(d.at_a("end of the path", |c| c == PathChange::Closed { reason: "peer" }), path);
    // What `b` showed before is shown no longer, and `a` is not heard where it shows itself.
    d.wait_for_candidates(&[]);
    received(&d.nobody);
    let before = d.relayed();
    d.transfer(1 << 20);
    assert!(d.relayed() > before + 700);
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.r.b.ask_until("refused", |b| b.drops("direct_refused"), |n| *n > 0);
    assert_eq!(received(&d.nobody), 0);
}

/// Loopback stands for an interface that the operator left out.
fn leave_out(owner: &Owner, addresses: &[&str]) {
    owner.send(Command::SetDirectFilter {
        refuse: vec![],
        allow: vec!["127.0.0.0/8".parse().expect("range")],
        left_out: addresses.iter().map(|a| a.parse().expect("address")).collect(),
    });
}

#[test]
fn an_interface_that_is_left_out_sends_no_probe() {
    let mut d = Direct::start(&plan());
    let target = d.nobody.local_addr().expect("address");
    leave_out(&d.r.b, &["127.0.0.1"]);
    candidates(&d.r.b, d.inner.server, &[]);
    candidates(&d.r.a, d.inner.client, &[target]);
    d.r.b.settle();
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.r.b.ask_until("refused", |b| b.drops("direct_refused"), |n| *n > 0);
    assert_eq!(received(&d.nobody), 0);
}

#[test]
fn an_interface_that_is_left_out_hears_nothing() {
    let mut d = Direct::start(&plan());
    leave_out(&d.r.b, &["127.0.0.1"]);
    d.show();
    d.r.a.send(Command::Probe { conn: d.inner.client });
    d.r.b.ask_until("unheard", |b| b.drops("direct_refused_received"), |n| *n > 0);
    let opened = |e: &Event| matches!(e, Event::Path { change: PathChange::Opened { .. }, .. });
    assert!(!d.r.b.unseen().any(opened) && !d.r.a.unseen().any(opened));
    d.transfer(10_000);
}

#[test]
fn paths_over_an_interface_that_is_left_out_later_are_closed() {
    let (mut d, path) = Direct::preferred(&plan());
    leave_out(&d.r.b, &["127.0.0.9", "::1"]);
    d.transfer(1 << 16);
    assert_eq!(d.r.b.paths(d.inner.server).len(), 2, "another interface is no matter");
    leave_out(&d.r.b, &["127.0.0.9", "127.0.0.1"]);
    assert_eq!(d.at_b("end of the path", |c| c == PathChange::Closed { reason: "local" }), path);
    d.transfer(1 << 16);
    d.assert_alive();
}

#[test]
fn larger_packets_are_found_on_the_direct_path() {
    let (mut d, path) = Direct::preferred(&plan());
    let client = d.inner.client;
    let mtu = |o: &mut Owner| o.paths(client).iter().find(|p| p.id == path).map_or(0, |p| p.mtu);
    d.r.a.ask_until("the path MTU", mtu, |mtu| *mtu >= 1440);
    d.transfer(1 << 20);
    assert_eq!(d.r.a.stats().send_errors, 0);
}

#[test]
fn a_direct_path_may_be_narrower_than_the_relay() {
    let mut d = Direct::start(&plan());
    d.line.narrow(1280);
    d.show();
    let path = d.find();
    d.prefer(path);
    d.transfer(2 << 20);
    d.transfer_back(2 << 20);
    let mtu = d.r.a.paths(d.inner.client)[1].mtu;
    assert!((1200..=1280).contains(&mtu), "{mtu}");
}

#[test]
fn a_path_that_swallows_large_packets_all_at_once_goes_on_with_small_ones() {
    let (mut d, path) = Direct::preferred(&plan());
    let client = d.inner.client;
    let mtu = |o: &mut Owner| o.paths(client).iter().find(|p| p.id == path).map_or(0, |p| p.mtu);
    d.r.a.ask_until("the path MTU", mtu, |mtu| *mtu >= 1400);
    d.line.narrow(1280);
    d.transfer(1 << 20);
    d.transfer_back(1 << 20);
    d.assert_alive();
}
