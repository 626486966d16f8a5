//! UDP flows between local sockets and connections.

use crate::support::*;
use bytes::Bytes;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use ztna_quic::engine::{Command, Event, Id, UdpEnd, connected_udp_socket};

#[test]
fn udp_goes_through_a_flow_in_both_directions() {
    let mut f = Flow::start(Duration::from_secs(30));
    for n in 0..20u64 {
        let sent = pattern(n as usize * 50, n);
        f.app.send(&sent).expect("send");
        assert_eq!(receive(&f.backend), sent);
        let back = pattern(n as usize * 40, n + 100);
        f.backend.send_to(&back, f.backend_sees).expect("send");
        assert_eq!(receive(&f.app), back);
    }
    let stats = f.client.flow_stats(f.flow).expect("flow");
    assert_eq!((stats.sent, stats.received, stats.dropped), (21, 20, 0), "the first made the flow known");
}

#[test]
fn udp_payloads_above_the_datagram_limit_travel_in_fragments() {
    let f = Flow::start(Duration::from_secs(30));
    for length in [1200, 1500, 4_000, 9_000, 40_000] {
        let sent = pattern(length, length as u64);
        f.app.send(&sent).expect("send");
        assert!(receive(&f.backend) == sent, "{length} bytes up");
        f.backend.send_to(&sent, f.backend_sees).expect("send");
        assert!(receive(&f.app) == sent, "{length} bytes down");
    }
}

#[test]
fn datagrams_of_a_peer_wait_until_the_owner_decides() {
    let (mut client, _server, link) = pair();
    let (listener, address) = listen_udp(&mut client, false);
    let one = UdpSocket::bind(loopback()).expect("socket");
    for n in 0..5u8 {
        one.send_to(&[n], address).expect("send");
    }
    let (peer, remote, header) = udp_peer(&mut client, listener);
    assert_eq!(remote, one.local_addr().expect("address"));
    assert!(header.is_empty());
    client.send(Command::RejectUdpPeer { listener, peer });
    let rejected = client.ask_until("rejection", |c| c.drops("udp_peers_refused"), |n| *n > 0);
    assert!(rejected <= 5);
    // The same peer may ask again.
    one.send_to(b"again", address).expect("send");
    let (again, ..) = udp_peer(&mut client, listener);
    assert_ne!(again, peer);
    let flow = client.id();
    let bind =
        Command::BindUdpPeer { flow, listener, peer, conn: link.client, prefix: flow_prefix(1), idle: WAIT };
    client.send(bind);
    assert_eq!(flow_closed(&mut client, flow), UdpEnd::Closed, "the rejected peer is forgotten");
}

#[test]
fn a_socks_header_makes_a_peer_of_its_own_and_comes_back() {
    let (mut client, mut server, link) = pair();
    let (listener, address) = listen_udp(&mut client, true);
    let app = connected(address);
    let header = [0, 0, 0, 1, 192, 0, 2, 7, 0, 53];
    let mut asked = header.to_vec();
    asked.extend_from_slice(b"question");
    // Not a request: refused without a word.
    app.send(&[0, 0, 1, 1, 9, 9]).expect("send");
    app.send(&asked).expect("send");
    let (peer, _, seen) = udp_peer(&mut client, listener);
    assert_eq!(seen, &header[..]);
    let flow = client.id();
    client.send(Command::BindUdpPeer {
        flow,
        listener,
        peer,
        conn: link.client,
        prefix: flow_prefix(1),
        idle: WAIT,
    });
    assert_eq!(server.datagrams(link.server, 1), [&b"\x30\x01question"[..]]);
    server.datagram(link.server, &b"\x30\x01answer"[..]);
    let mut expected = header.to_vec();
    expected.extend_from_slice(b"answer");
    assert_eq!(receive(&app), expected);
    assert_eq!(client.drops("udp_peers_refused"), 1);
}

#[test]
fn an_idle_flow_ends_and_its_peer_may_begin_anew() {
    // Long enough for the first datagram to come through on a busy machine.
    let mut f = Flow::start(Duration::from_secs(2));
    assert_eq!(flow_closed(&mut f.client, f.flow), UdpEnd::Idle);
    assert_eq!(flow_closed(&mut f.server, f.server_flow), UdpEnd::Idle);
    assert!(f.client.flow_stats(f.flow).is_none());
    f.app.send(b"again").expect("send");
    udp_peer(&mut f.client, f.listener);
}

#[test]
fn flows_end_with_the_connection_the_listener_or_by_order() {
    let mut f = Flow::start(Duration::from_secs(30));
    f.server.send(Command::CloseUdpFlow { flow: f.server_flow });
    assert_eq!(flow_closed(&mut f.server, f.server_flow), UdpEnd::Closed);
    f.client.send(Command::CloseListener { listener: f.listener });
    assert_eq!(flow_closed(&mut f.client, f.flow), UdpEnd::Closed);

    let mut f = Flow::start(Duration::from_secs(30));
    f.client.close(f.link.client, 0, "");
    assert_eq!(flow_closed(&mut f.client, f.flow), UdpEnd::Closed);
    assert_eq!(flow_closed(&mut f.server, f.server_flow), UdpEnd::Closed);
}

#[test]
fn a_second_flow_with_the_same_prefix_ends_and_leaves_the_first_alone() {
    let mut f = Flow::start(Duration::from_secs(30));
    let udp_socket = connected_udp_socket(f.backend.local_addr().expect("address")).expect("socket");
    let (flow, conn, idle) = (f.server.id(), f.link.server, Duration::from_secs(30));
    f.server.send(Command::DialUdp { flow, udp_socket, conn, prefix: flow_prefix(1), idle });
    assert_eq!(flow_closed(&mut f.server, flow), UdpEnd::Closed);
    f.app.send(b"still here").expect("send");
    assert_eq!(receive(&f.backend), b"still here");
}

#[test]
fn broken_fragments_of_a_flow_are_dropped_and_counted() {
    let mut f = Flow::start(Duration::from_secs(30));
    let mut random = Random::new(31);
    for n in 0..500 {
        let mut frame = vec![0x31, 1];
        let length = if n % 2 == 0 { random.below(4) } else { 4 + random.below(900) };
        frame.extend(random.bytes(length));
        f.client.datagram(f.link.client, frame);
        if n % 50 == 49 {
            let arrived = |s: &mut Owner| s.connection_stats(f.link.server).expect("open").datagrams_received;
            f.server.ask_until("arrival", arrived, |arrived| *arrived > n);
        }
    }
    assert!(f.server.drops("flow_reassembly") >= 250);
    f.app.send(&pattern(5_000, 1)).expect("send");
    // Random pieces may have made packets; the real one comes in the end.
    while receive(&f.backend) != pattern(5_000, 1) {}
}

#[test]
fn pieces_of_a_flow_are_let_go_in_time_though_nothing_follows_them() {
    let mut f = Flow::start(Duration::from_secs(30));
    for packet in 0..3u8 {
        let mut frame = vec![0x31, 1, 0, packet, 0];
        frame.extend(pattern(900, 1));
        f.client.datagram(f.link.client, frame);
    }
    f.server.ask_until("end of the pieces", |s| s.drops("flow_reassembly"), |n| *n == 3);
    assert_eq!(f.server.flow_stats(f.server_flow).expect("flow").dropped, 3);
    f.app.send(b"whole").expect("send");
    assert_eq!(receive(&f.backend), b"whole");
}

/// A UDP application and a backend joined by a flow.
struct Flow {
    client: Owner,
    server: Owner,
    link: Link,
    listener: Id,
    flow: Id,
    server_flow: Id,
    app: UdpSocket,
    backend: UdpSocket,
    /// Where the backend's answers go.
    backend_sees: SocketAddr,
}

impl Flow {
    fn start(idle: Duration) -> Self {
        let (mut client, mut server, link) = pair();
        let backend = UdpSocket::bind(loopback()).expect("socket");
        backend.set_read_timeout(Some(WAIT)).expect("timeout");
        let udp_socket = connected_udp_socket(backend.local_addr().expect("address")).expect("socket");
        let (conn, server_flow) = (link.server, server.id());
        server.send(Command::DialUdp { flow: server_flow, udp_socket, conn, prefix: flow_prefix(1), idle });
        server.settle();

        let (listener, address) = listen_udp(&mut client, false);
        let app = connected(address);
        app.send(b"first").expect("send");
        let (peer, ..) = udp_peer(&mut client, listener);
        let (conn, flow) = (link.client, client.id());
        client.send(Command::BindUdpPeer { flow, listener, peer, conn, prefix: flow_prefix(1), idle });
        let mut buffer = [0; 16];
        let (n, backend_sees) = backend.recv_from(&mut buffer).expect("the first datagram was held");
        assert_eq!(&buffer[..n], b"first");
        Self { client, server, link, listener, flow, server_flow, app, backend, backend_sees }
    }
}

fn listen_udp(owner: &mut Owner, socks: bool) -> (Id, SocketAddr) {
    let udp_socket = UdpSocket::bind(loopback()).expect("socket");
    let address = udp_socket.local_addr().expect("address");
    let listener = owner.id();
    owner.send(Command::ListenUdp { listener, udp_socket, socks });
    (listener, address)
}

fn connected(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).expect("socket");
    socket.connect(to).expect("connect");
    socket.set_read_timeout(Some(WAIT)).expect("timeout");
    socket
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let n = socket.recv(&mut buffer).expect("datagram");
    buffer.truncate(n);
    buffer
}

fn udp_peer(owner: &mut Owner, listener: Id) -> (Id, SocketAddr, Bytes) {
    owner.wait_for("local peer", |e| match e {
        Event::UdpPeer { listener: l, peer, remote, header } if *l == listener => {
            Some((*peer, *remote, header.clone()))
        }
        _ => None,
    })
}

fn flow_closed(owner: &mut Owner, flow: Id) -> UdpEnd {
    owner.wait_for("end of the flow", |e| match e {
        Event::UdpFlowClosed { flow: f, end, .. } if *f == flow => Some(*end),
        _ => None,
    })
}
