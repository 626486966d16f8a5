//! Bad networks: loss, changed addresses, silence, servers that died.

use crate::support::proxy::Trouble;
use crate::support::relay::{Plan, Relayed, transfer};
use crate::support::*;
use std::net::SocketAddr;
use std::time::Duration;
use ztna_quic::engine::{CloseKind, Command, EndpointOptions, Event, Id, Keys, TransportOptions};

#[test]
fn streams_arrive_whole_through_one_percent_of_loss() {
    arrives_whole(Trouble { loss: 0.01, doubling: 0.01, swapping: 0.02, ..Trouble::default() }, 4 << 20);
}

#[test]
fn streams_arrive_whole_through_five_percent_of_loss() {
    arrives_whole(Trouble { loss: 0.05, doubling: 0.05, swapping: 0.05, ..Trouble::default() }, 1 << 20);
}

fn arrives_whole(trouble: Trouble, length: usize) {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let proxy = Proxy::with_trouble(server.address(), trouble, 21);
    let link = connect_to(&mut client, &mut server, proxy.address(), TransportOptions::default());
    transfer(&mut client, link.client, &mut server, link.server, length);
    transfer(&mut server, link.server, &mut client, link.client, length);
    assert!(proxy.lost() > 5, "the network was bad: {} lost", proxy.lost());
}

#[test]
fn an_inner_connection_survives_loss_on_both_outer_ones() {
    let trouble = Trouble { loss: 0.02, doubling: 0.02, swapping: 0.05, ..Trouble::default() };
    let mut line = None;
    // Outer packets of 1,232 bytes, so that every large packet travels in two fragments.
    let mut r = Relayed::start_via(&Plan::with_outer_mtu(1232), |relay| {
        line.insert(Proxy::with_trouble(relay, trouble, 22)).address()
    });
    let inner = r.connect_inner(TransportOptions::default());
    r.transfer(inner, 2 << 20);
    transfer(&mut r.b, inner.server, &mut r.a, inner.client, 1 << 20);
    assert!(line.expect("proxy").lost() > 5);
}

#[test]
fn a_client_that_moves_is_followed() {
    let (mut client, mut server, mut proxy, link) = through_proxy();
    let before = proxy.outside();
    proxy.move_client();
    assert_ne!(proxy.outside(), before);
    transfer(&mut client, link.client, &mut server, link.server, 500_000);
    let outside = proxy.outside();
    assert_eq!(peer_address(&mut server, link.server), outside);
    transfer(&mut server, link.server, &mut client, link.client, 500_000);
    let closed = |e: &Event| matches!(e, Event::Closed { .. });
    assert!(!server.unseen().any(closed) && !client.unseen().any(closed));
}

#[test]
fn a_client_learns_the_address_it_is_seen_under() {
    let pki = Pki::new();
    let tells = TransportOptions { send_observed_address: true, ..TransportOptions::default() };
    let listens = TransportOptions { receive_observed_address: true, ..TransportOptions::default() };
    let mut server = Owner::start(EndpointOptions {
        server: Some(server_options(tells)),
        ..server_endpoint(pki.material("server"))
    });
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let mut proxy = Proxy::to(server.address());
    let link = connect_to(&mut client, &mut server, proxy.address(), listens);
    assert_eq!(observed(&mut client, link.client), proxy.outside());
    proxy.move_client();
    client.send(Command::Ping { conn: link.client });
    transfer(&mut client, link.client, &mut server, link.server, 10_000);
    let outside = proxy.outside();
    client.wait_for("news of the new address", |e| {
        matches!(e, Event::ObservedAddress { address, .. } if *address == outside).then_some(())
    });
}

#[test]
fn silence_is_a_stall_and_an_answer_ends_it() {
    let (mut client, mut server, proxy, link) = through_proxy();
    proxy.pass(true, false);
    client.send(Command::Ping { conn: link.client });
    client.wait_for("stall", |e| matches!(e, Event::Stalled { conn } if *conn == link.client).then_some(()));
    proxy.pass(true, true);
    let recovered = |e: &Event| matches!(e, Event::Recovered { conn } if *conn == link.client).then_some(());
    client.wait_for("recovery", recovered);
    transfer(&mut client, link.client, &mut server, link.server, 10_000);
    // Again, with nothing passing at all.
    proxy.pass(false, false);
    client.send(Command::Ping { conn: link.client });
    client.wait_for("stall", |e| matches!(e, Event::Stalled { conn } if *conn == link.client).then_some(()));
    proxy.pass(true, true);
    client.wait_for("recovery", recovered);
}

#[test]
fn a_connection_of_which_nothing_is_heard_ends_by_timeout() {
    let pki = Pki::new();
    let short =
        || TransportOptions { idle_timeout: Duration::from_millis(800), ..TransportOptions::default() };
    let mut server = Owner::start(EndpointOptions {
        server: Some(server_options(short())),
        ..server_endpoint(pki.material("server"))
    });
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let proxy = Proxy::to(server.address());
    let link = connect_to(&mut client, &mut server, proxy.address(), short());
    proxy.pass(false, false);
    assert_eq!(client.closed(link.client).0, CloseKind::Timeout);
    assert_eq!(server.closed(link.server).0, CloseKind::Timeout);
}

#[test]
fn keep_alive_outlives_the_idle_timeout() {
    let short = TransportOptions {
        idle_timeout: Duration::from_millis(1_500),
        keep_alive: Some(Duration::from_millis(100)),
        ..TransportOptions::default()
    };
    let (mut client, mut server, link) = pair_with(short.clone(), short);
    // Thirty keep-alives are three seconds, twice the timeout.
    let start = server.stats().rx_packets;
    server.ask_until("keep-alives", |s| s.stats().rx_packets - start, |n| *n >= 30);
    transfer(&mut client, link.client, &mut server, link.server, 1000);
}

#[test]
fn a_successor_with_the_same_keys_resets_the_connections_of_its_predecessor() {
    let (mut client, conn, _successor, _proxy) = after_server_death(keys(1), keys(1));
    assert_eq!(client.closed(conn).0, CloseKind::Reset);
}

#[test]
fn a_successor_with_another_reset_key_cannot_reset() {
    let other = Keys { reset: Some([9; 32]), ..keys(1) };
    assert_not_reset(after_server_death(keys(1), other));
}

#[test]
fn another_server_of_the_same_keys_cannot_reset() {
    assert_not_reset(after_server_death(keys(1), keys(2)));
}

#[test]
fn a_successor_without_keys_cannot_reset() {
    assert_not_reset(after_server_death(keys(1), Keys::default()));
}

fn keys(server: u8) -> Keys {
    Keys {
        retry: vec![],
        reset: Some([3; 32]),
        server_id: vec![0, 0, 0, server],
        cid: Some([4; 16]),
        generation: 0,
    }
}

/// A server dies without a goodbye and another takes its address, of which the client learns with its
/// next packets.
fn after_server_death(before: Keys, after: Keys) -> (Owner, Id, Owner, Proxy) {
    let pki = Pki::new();
    let endpoint = |keys| EndpointOptions { keys, ..server_endpoint(pki.material("server")) };
    let mut first = Owner::start(endpoint(before));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let proxy = Proxy::to(first.address());
    let link = connect_to(&mut client, &mut first, proxy.address(), TransportOptions::default());
    transfer(&mut first, link.server, &mut client, link.client, 10_000);
    proxy.pass(false, false);
    first.shutdown(0, "unheard");
    assert_eq!(first.stopped(), None);
    drop(first);
    let second = Owner::start(endpoint(after));
    proxy.lead_to(second.address());
    proxy.pass(true, true);
    let stream = client.open(link.client, false);
    client.write(link.client, stream, pattern(5_000, 1), false);
    (client, link.client, second, proxy)
}

fn assert_not_reset((mut client, conn, mut successor, _proxy): (Owner, Id, Owner, Proxy)) {
    // The packets arrive, there is no answer, and the connection still hopes.
    successor.ask_until("arrival", |s| s.stats().rx_packets, |n| *n >= 2);
    client.wait_for("stall", |e| matches!(e, Event::Stalled { conn: c } if *c == conn).then_some(()));
    assert!(!client.unseen().any(|e| matches!(e, Event::Closed { .. })));
}

fn through_proxy() -> (Owner, Owner, Proxy, Link) {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let proxy = Proxy::to(server.address());
    let link = connect_to(&mut client, &mut server, proxy.address(), TransportOptions::default());
    (client, server, proxy, link)
}

fn peer_address(owner: &mut Owner, conn: Id) -> SocketAddr {
    owner.wait_for("new address of the peer", |e| match e {
        Event::PeerAddress { conn: c, address } if *c == conn => Some(*address),
        _ => None,
    })
}

fn observed(owner: &mut Owner, conn: Id) -> SocketAddr {
    owner.wait_for("observed address", |e| match e {
        Event::ObservedAddress { conn: c, address } if *c == conn => Some(*address),
        _ => None,
    })
}

#[test]
fn datagrams_that_are_too_large_for_the_network_that_a_client_moved_to_hold_up_no_others() {
    moved_to_a_narrow_network();
}

#[test]
fn after_such_a_move_what_the_connection_does_not_take_is_refused_and_counted_as_before() {
    let (_client, mut server, line, link) = moved_to_a_narrow_network();
    let sent = |s: &mut Owner, more: usize| {
        (0..more).for_each(|_| s.datagram(link.server, vec![3]));
        s.connection_stats(link.server).expect("open connection")
    };
    // What has pushed the large ones out of the buffer goes before these.
    let before = sent(&mut server, 0).datagrams_sent;
    server.ask_until("sending", |s| sent(s, 500).datagrams_sent - before, |n| *n > 5_000);
    line.pass(true, false);
    // So many at a time, and none is dropped on the way to the buffer.
    let refused = |s: &mut Owner| (sent(s, 3_000), s.connection_drops(link.server, "refused")).1;
    server.ask_until("refusing", refused, |n| *n > 0);
}

/// Over a full congestion window, with datagrams in the server's buffer that are too large now; others arrive again.
fn moved_to_a_narrow_network() -> (Owner, Owner, Proxy, Link) {
    let pki = Pki::new();
    let mut server = Owner::start(EndpointOptions {
        server: Some(server_options(TransportOptions::default())),
        ..server_endpoint(pki.material("server"))
    });
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let mut line = Proxy::to(server.address());
    let link = connect_to(&mut client, &mut server, line.address(), TransportOptions::default());
    server.wait_for_mtu(link.server, 1_452);
    // They wait behind a full congestion window.
    line.pass(true, false);
    for _ in 0..150 {
        server.datagram(link.server, vec![1; 1_300]);
    }
    server.settle();
    line.narrow(1_250);
    line.move_client();
    line.pass(true, true);
    client.send(Command::Ping { conn: link.client });
    let moved =
        |e: &Event| matches!(e, Event::PeerAddress { conn, .. } if *conn == link.server).then_some(());
    server.wait_for("the client's move", moved);
    // Each may be lost; that none arrives is another matter.
    let sent_and_arrived = |c: &mut Owner| {
        server.datagram(link.server, vec![2; 100]);
        c.take_datagrams(link.client).iter().any(|d| d[..] == [2; 100])
    };
    client.ask_until("a datagram that fits", sent_and_arrived, |arrived| *arrived);
    (client, server, line, link)
}
