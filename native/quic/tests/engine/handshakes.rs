//! How connections begin, are refused, and end.

use crate::support::*;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;
use ztna_quic::engine::{
    CloseKind, Command, EndpointOptions, Event, Id, Keys, RetryPolicy, ServerOptions, TransportOptions, spawn,
};

#[test]
fn both_sides_see_protocol_chain_and_address_of_the_other() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let conn = client.connect(server.address(), ALPN, TransportOptions::default());
    let at_client = client.connected(conn);
    let at_server = server.incoming();
    assert!(!at_client.is_server && at_server.is_server);
    for seen in [&at_client, &at_server] {
        assert_eq!(seen.alpn, ALPN);
        assert_eq!(seen.peer_chain.len(), 2, "leaf and issuing certificate");
        assert!(!seen.resumed);
        assert!(seen.max_datagram > 1100, "{}", seen.max_datagram);
    }
    assert!(pki::is_for(&at_client.peer_chain, "server"));
    assert!(pki::is_for(&at_server.peer_chain, "client"));
    assert_eq!(at_client.remote, server.address());
    assert_eq!(at_server.remote, client.address());
}

#[test]
fn one_endpoint_connects_and_accepts() {
    let pki = Pki::new();
    let mut one = Owner::start(server_endpoint(pki.material("one")));
    let mut two = Owner::start(server_endpoint(pki.material("two")));
    let there = connect(&mut one, &mut two, TransportOptions::default());
    let back = connect(&mut two, &mut one, TransportOptions::default());
    relay::transfer(&mut one, there.client, &mut two, there.server, 1000);
    relay::transfer(&mut two, back.client, &mut one, back.server, 1000);
}

#[test]
fn a_client_without_certificate_is_refused() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.nobody()));
    let conn = client.connect(server.address(), ALPN, TransportOptions::default());
    let (kind, code, _) = client.closed(conn);
    // TLS alert 116, certificate_required, as RFC 9001 §4.8 carries it.
    assert_eq!((kind, code), (CloseKind::Tls, Some(0x174)));
    assert_never_connected(&mut server);
}

#[test]
fn a_client_without_certificate_is_let_in_where_none_is_required() {
    let pki = Pki::new();
    let options = ServerOptions { require_client_cert: false, ..server_options(TransportOptions::default()) };
    let mut server =
        Owner::start(EndpointOptions { server: Some(options), ..server_endpoint(pki.material("server")) });
    let client = Owner::start(client_endpoint(pki.nobody()));
    let mut client = client;
    client.connect(server.address(), ALPN, TransportOptions::default());
    assert!(server.incoming().peer_chain.is_empty());
}

#[test]
fn a_client_of_a_foreign_authority_is_refused() {
    let (ours, foreign) = (Pki::new(), Pki::new());
    let mut server = Owner::start(server_endpoint(ours.material("server")));
    let mut tls = foreign.material("client");
    tls.roots_pem = ours.nobody().roots_pem;
    let mut client = Owner::start(client_endpoint(tls));
    let conn = client.connect(server.address(), ALPN, TransportOptions::default());
    assert_eq!(client.closed(conn).0, CloseKind::Tls);
    assert_never_connected(&mut server);
}

#[test]
fn a_server_of_a_foreign_authority_is_refused() {
    let (ours, foreign) = (Pki::new(), Pki::new());
    let mut server = Owner::start(server_endpoint(foreign.material("server")));
    let mut client = Owner::start(client_endpoint(ours.material("client")));
    let conn = client.connect(server.address(), ALPN, TransportOptions::default());
    assert_eq!(client.closed(conn).0, CloseKind::Tls);
    assert!(!client.unseen().any(|e| matches!(e, Event::Connected { .. })));
    assert_never_connected(&mut server);
}

#[test]
fn without_a_common_protocol_there_is_no_connection() {
    let pki = Pki::new();
    let server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let conn = client.connect(server.address(), b"other/1", TransportOptions::default());
    let (kind, code, _) = client.closed(conn);
    assert_eq!((kind, code), (CloseKind::Tls, Some(0x178)), "no_application_protocol");
}

#[test]
fn a_connection_to_nobody_ends_by_timeout() {
    let pki = Pki::new();
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let nobody = std::net::UdpSocket::bind(loopback()).expect("socket");
    let transport =
        TransportOptions { idle_timeout: Duration::from_millis(300), ..TransportOptions::default() };
    let conn = client.connect(nobody.local_addr().expect("address"), ALPN, transport);
    assert_eq!(client.closed(conn).0, CloseKind::Timeout);
}

#[test]
fn an_impossible_connection_is_closed_at_once() {
    let pki = Pki::new();
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let v6 = "[::1]:4433".parse().expect("literal");
    let conn = client.connect(v6, ALPN, TransportOptions::default());
    let (kind, _, reason) = client.closed(conn);
    assert_eq!(kind, CloseKind::Local);
    assert!(reason.contains("IPv6"), "{reason}");
}

#[test]
fn closing_tells_the_peer_code_and_reason() {
    let (mut client, mut server, link) = pair();
    client.close(link.client, 42, "enough");
    assert_eq!(server.closed(link.server), (CloseKind::Peer, Some(42), "enough".into()));
    assert_eq!(client.closed(link.client).0, CloseKind::Local);
    for owner in [&mut client, &mut server] {
        owner.ask_until("forgotten", Owner::stats, |s| s.connections == 0);
        assert!(!owner.unseen().any(|e| matches!(e, Event::Closed { .. })), "closed is said once");
    }
}

#[test]
fn shutdown_ends_the_thread_and_tells_the_peers() {
    let (mut client, mut server, link) = pair();
    server.shutdown(9, "maintenance");
    assert_eq!(client.closed(link.client), (CloseKind::Peer, Some(9), "maintenance".into()));
    assert_eq!(server.closed(link.server).0, CloseKind::Local);
    assert_eq!(server.stopped(), None);
}

#[test]
fn dropping_the_handle_ends_the_thread() {
    let (mut client, server, link) = pair();
    drop(server);
    assert_eq!(client.closed(link.client).0, CloseKind::Peer);
}

#[test]
fn a_panic_inside_the_thread_is_reported_as_its_end() {
    let pki = Pki::new();
    let (wake, woken) = channel();
    let broken = AtomicBool::new(false);
    let handle = spawn(client_endpoint(pki.material("client")), move || {
        let _ = wake.send(());
        assert!(broken.swap(true, Ordering::SeqCst), "this panic is part of a test");
    })
    .expect("engine");
    let mut owner = Owner::around(handle, woken);
    owner.send(Command::Stats { request: 1 });
    let error = owner.stopped().expect("an error");
    assert!(error.contains("part of a test"), "{error}");
}

#[test]
fn an_address_in_use_is_an_error_at_start() {
    let pki = Pki::new();
    let first = Owner::start(client_endpoint(pki.material("first")));
    let options = EndpointOptions { listen: first.address(), ..client_endpoint(pki.material("second")) };
    let error = spawn(options, || {}).err().expect("an error");
    assert!(error.to_string().contains(&first.address().to_string()), "{error}");
}

#[test]
fn noise_at_the_socket_harms_nothing() {
    let (mut client, mut server, link) = pair();
    let noise = std::net::UdpSocket::bind(loopback()).expect("socket");
    let mut random = Random::new(5);
    for round in 0..600 {
        let length = random.below(1500);
        let mut packet = random.bytes(length);
        if let Some(first) = packet.first_mut().filter(|_| round % 2 == 0) {
            // Long headers of version 1 reach deeper.
            *first |= 0xc0;
            let version = [0, 0, 0, 1];
            let end = packet.len().min(5);
            packet[1..end].copy_from_slice(&version[..end - 1]);
        }
        noise.send_to(&packet, server.address()).expect("send");
    }
    let least = |s: &ztna_quic::engine::EndpointStats| s.rx_packets > 300;
    server.ask_until("reading the noise", Owner::stats, least);
    relay::transfer(&mut client, link.client, &mut server, link.server, 100_000);
    connect(&mut client, &mut server, TransportOptions::default());
}

#[test]
fn beyond_max_handshakes_clients_are_refused_and_counted() {
    let pki = Pki::new();
    let options = ServerOptions { max_handshakes: 1, ..server_options(TransportOptions::default()) };
    let mut server =
        Owner::start(EndpointOptions { server: Some(options), ..server_endpoint(pki.material("server")) });
    let proxy = Proxy::to(server.address());
    proxy.pass(true, false);
    let mut stuck = Owner::start(client_endpoint(pki.material("stuck")));
    let waiting = stuck.connect(proxy.address(), ALPN, TransportOptions::default());
    server.ask_until("a handshake under way", Owner::stats, |s| s.connections == 1);
    let mut late = Owner::start(client_endpoint(pki.material("late")));
    let conn = late.connect(server.address(), ALPN, TransportOptions::default());
    let (kind, code, _) = late.closed(conn);
    assert_eq!((kind, code), (CloseKind::Transport, Some(2)), "CONNECTION_REFUSED");
    assert_eq!(server.drops("handshakes_refused"), 1);
    // The place is free again once the first handshake is through.
    proxy.pass(true, true);
    stuck.connected(waiting);
    server.accept_next();
    connect(&mut late, &mut server, TransportOptions::default());
}

#[test]
fn a_source_that_asks_for_too_many_handshakes_is_refused_and_counted() {
    let pki = Pki::new();
    let options =
        ServerOptions { max_handshakes_per_source: Some(1), ..server_options(TransportOptions::default()) };
    let mut server =
        Owner::start(EndpointOptions { server: Some(options), ..server_endpoint(pki.material("server")) });
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let conns: Vec<Id> =
        (0..30).map(|_| client.connect(server.address(), ALPN, TransportOptions::default())).collect();
    let refused = conns.iter().filter(|conn| client.outcome(**conn) == Some(2)).count() as u64;
    assert!(refused > 10, "{refused} refused");
    assert!(refused < 30, "some got through");
    assert_eq!(server.drops("handshakes_limited"), refused);
    assert_eq!(server.drops("handshakes_refused"), 0);
}

/// Of 64 places a source has 16.
#[test]
fn handshakes_that_never_end_take_a_source_its_share_and_nobody_else_anything() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let proxy = Proxy::to(server.address());
    proxy.pass(true, false);
    let mut stuck = Owner::start(client_endpoint(pki.material("stuck")));
    for _ in 0..80 {
        stuck.connect(proxy.address(), ALPN, TransportOptions::default());
    }
    server.ask_until("handshakes under way", Owner::stats, |s| s.connections == 16 && s.rx_packets >= 80);
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], 0));
    let mut other =
        Owner::start(EndpointOptions { listen: elsewhere, ..client_endpoint(pki.material("other")) });
    connect(&mut other, &mut server, TransportOptions::default());
    // The same source gets in as well once it has shown that it is there.
    let mut neighbour = Owner::start(client_endpoint(pki.material("neighbour")));
    connect(&mut neighbour, &mut server, TransportOptions::default());
    assert_eq!(server.drops("handshakes_refused"), 0);
    assert_eq!(server.stats().connections, 18);
}

#[test]
fn a_handshake_goes_through_retry() {
    let pki = Pki::new();
    let mut server = Owner::start(retrying(&pki, Keys::default()));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let link = connect(&mut client, &mut server, TransportOptions::default());
    relay::transfer(&mut client, link.client, &mut server, link.server, 1000);
}

#[test]
fn a_retry_token_of_another_instance_with_the_same_keys_is_good() {
    let pki = Pki::new();
    let keys = || Keys { retry: vec![[7; 32]], ..Keys::default() };
    let (mut first, mut second) =
        (Owner::start(retrying(&pki, keys())), Owner::start(retrying(&pki, keys())));
    let proxy = Proxy::to(first.address());
    proxy.lead_to_after_answer(second.address());
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let conn = client.connect(proxy.address(), ALPN, TransportOptions::default());
    client.connected(conn);
    second.incoming();
    assert_never_connected(&mut first);
}

#[test]
fn a_retry_token_under_other_keys_is_not_accepted() {
    let pki = Pki::new();
    let keys = |key| Keys { retry: vec![[key; 32]], ..Keys::default() };
    let (first, mut second) = (Owner::start(retrying(&pki, keys(7))), Owner::start(retrying(&pki, keys(8))));
    let proxy = Proxy::to(first.address());
    proxy.lead_to_after_answer(second.address());
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let conn = client.connect(proxy.address(), ALPN, TransportOptions::default());
    // A second Retry is to be ignored (RFC 9000 §17.2.5.2), so the client only says the same again.
    second.ask_until("asked again", Owner::stats, |s| s.rx_packets >= 4 && s.tx_packets >= 3);
    assert_never_connected(&mut second);
    assert!(!client.unseen().any(|e| matches!(e, Event::Connected { .. })));
    client.close(conn, 0, "");
    assert_eq!(client.closed(conn).0, CloseKind::Local);
}

#[test]
fn sessions_are_resumed_until_the_server_reloads() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("before")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    assert!(!visit(&mut client, &mut server, "before"));
    assert!(visit(&mut client, &mut server, "before"));
    reload(&mut server, pki.material("after"));
    assert!(!visit(&mut client, &mut server, "after"), "tickets of before are dead");
    assert!(visit(&mut client, &mut server, "after"), "new ones are not");
}

#[test]
fn a_client_that_reloads_forgets_its_tickets() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    assert!(!visit(&mut client, &mut server, "server"));
    reload(&mut client, pki.material("client"));
    assert!(!visit(&mut client, &mut server, "server"));
}

#[test]
fn bad_material_is_refused_and_the_old_stays() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let mut bad = pki.material("bad");
    bad.roots_pem = b"no certificate".to_vec();
    server.send(Command::Reload { tls: bad, request: 77 });
    assert!(reloaded(&mut server, 77).is_some());
    // A server needs a certificate.
    server.send(Command::Reload { tls: pki.nobody(), request: 78 });
    assert!(reloaded(&mut server, 78).is_some());
    visit(&mut client, &mut server, "server");
}

#[test]
fn connections_survive_a_reload() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let link = connect(&mut client, &mut server, TransportOptions::default());
    reload(&mut server, pki.material("server"));
    relay::transfer(&mut client, link.client, &mut server, link.server, 10_000);
}

fn retrying(pki: &Pki, keys: Keys) -> EndpointOptions {
    let options = ServerOptions { retry: RetryPolicy::Always, ..server_options(TransportOptions::default()) };
    EndpointOptions { server: Some(options), keys, ..server_endpoint(pki.material("server")) }
}

/// Connects, exchanges a few bytes and closes; says whether the session was resumed.
fn visit(client: &mut Owner, server: &mut Owner, expected_name: &str) -> bool {
    let conn = client.connect(server.address(), ALPN, TransportOptions::default());
    let seen = client.connected(conn);
    assert!(pki::is_for(&seen.peer_chain, expected_name));
    let incoming = server.incoming();
    assert_eq!(incoming.resumed, seen.resumed);
    assert!(pki::is_for(&incoming.peer_chain, "client"), "a resumed session knows the client too");
    server.accept(incoming.conn);
    client.accept(conn);
    // The ticket comes before this.
    relay::transfer(server, incoming.conn, client, conn, 10);
    client.close(conn, 0, "");
    server.closed(incoming.conn);
    seen.resumed
}

fn reload(owner: &mut Owner, tls: ztna_quic::tls::TlsMaterial) {
    let request = owner.id();
    owner.send(Command::Reload { tls, request });
    assert_eq!(reloaded(owner, request), None);
}

fn reloaded(owner: &mut Owner, request: u32) -> Option<String> {
    owner.wait_for("reload", |e| match e {
        Event::Reloaded { request: r, error } if *r == request => Some(error.clone()),
        _ => None,
    })
}

fn assert_never_connected(owner: &mut Owner) {
    owner.settle();
    assert!(!owner.unseen().any(|e| matches!(e, Event::Connected { .. })));
}
