//! Packets straight to the socket of an endpoint that is meant to be reached over a relay.

use crate::support::direct::{Direct, plan, received};
use crate::support::*;
use std::net::UdpSocket;
use ztna_quic::engine::{CloseKind, Command, Event, PathChange};

/// First packets of every kind that noq answers by itself, each 1,200 bytes.
fn knocks() -> [(&'static str, Vec<u8>); 5] {
    let whole = |start: &[u8]| {
        let mut packet = start.to_vec();
        packet.resize(1200, 0x17);
        packet
    };
    [
        ("an Initial", whole(&[0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9e])),
        ("another version", whole(&[0xc3, 0x7a, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0x9e])),
        ("a connection id that is too short", whole(&[0xc3, 0, 0, 0, 1, 2, 1, 2, 0, 0, 0x44, 0x9e])),
        ("a token", whole(&[0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 4, 9, 9, 9, 9, 0x44, 0x90])),
        ("a packet of no connection", whole(&[0x41])),
    ]
}

#[test]
fn a_stranger_at_the_socket_gets_no_answer() {
    let mut d = Direct::start(&plan());
    d.show();
    for owner in [&mut d.r.a, &mut d.r.b] {
        let stranger = UdpSocket::bind(loopback()).expect("UDP socket");
        for (what, packet) in knocks() {
            let before = owner.stats().rx_packets;
            stranger.send_to(&packet, owner.address()).expect("send");
            owner.ask_until("heard", |o| o.stats().rx_packets, |n| *n > before);
            assert_eq!(received(&stranger), 0, "{what} was answered");
        }
        assert!(owner.drops("strangers") > 0);
    }
    d.transfer(10_000);
}

/// A relay has all packets of the relayed path. It could pull the path to itself or to a bystander.
#[test]
fn a_relayed_path_that_leaves_the_relay_ends_its_connection() {
    let mut d = Direct::start(&plan());
    d.show();
    let (conn, rule) = (d.r.outer_a.server, d.r.a_to_b);
    d.r.relay.send(Command::RemoveRule { rule });
    d.r.relay.settle();
    d.r.a.send(Command::Ping { conn: d.inner.client });
    let kept = d.r.relay.datagrams(conn, 1);
    let thief = UdpSocket::bind(loopback()).expect("UDP socket");
    for datagram in &kept {
        thief.send_to(&datagram[2..], d.r.b.address()).expect("send");
    }
    assert_eq!(d.r.b.closed(d.inner.server).0, CloseKind::Local);
    assert_eq!(d.r.b.drops("relayed_path_moved"), 1);
    let moved = |e: &Event| matches!(e, Event::Path { path: 0, change: PathChange::Moved, .. });
    assert!(!d.r.b.unseen().any(moved));
}
