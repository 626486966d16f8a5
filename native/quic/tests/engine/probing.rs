//! A client whose probe timer is due in the turn in which its handshake ends.

use crate::support::*;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ztna_quic::engine::{Command, TransportOptions, spawn};

/// Longer than any two probes are apart (noq: 2 s at most).
const PROBE_IS_DUE: Duration = Duration::from_millis(2200);
/// No more packets come when none came for so long.
const QUIET: Duration = Duration::from_millis(100);

#[test]
fn a_handshake_may_end_while_a_probe_is_due() {
    let pki = Pki::new();
    let server = Owner::start(server_endpoint(pki.material("server")));
    let gate = Arc::new(Mutex::new(()));
    let (at_gate, stands) = channel();
    let (wake, woken) = channel();
    let passes = gate.clone();
    let handle = spawn(client_endpoint(pki.material("client")), move || {
        let _ = (at_gate.send(()), wake.send(()));
        drop(passes.lock());
    });
    let mut client = Owner::around(handle.expect("engine"), woken);
    let (front, back) = (socket(), socket());
    let conn = client.connect(address(&front), ALPN, TransportOptions::default());

    let (first, from) = receive(&front).expect("the client's first flight");
    back.send_to(&first, server.address()).expect("send");
    let flight: Vec<Vec<u8>> = std::iter::from_fn(|| Some(receive(&back)?.0)).collect();
    let (part, rest) = flight.split_first().expect("the server's flight");
    assert!(!rest.is_empty(), "it takes more than one datagram");

    // The client acknowledges the part in a Handshake packet, and has no keys for Initial ones after that.
    front.send_to(part, from).expect("send");
    receive(&front).expect("an answer");
    let closed = gate.lock().expect("gate");
    client.send(Command::Stats { request: 1 });
    stands.recv().expect("the engine stands");
    for packet in rest {
        front.send_to(packet, from).expect("send");
    }
    std::thread::park_timeout(PROBE_IS_DUE);
    drop(closed);
    assert!(client.connected(conn).peer_chain.len() > 1);
    assert_eq!(client.drops("connections_broken"), 0);
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(loopback()).expect("socket");
    socket.set_read_timeout(Some(QUIET)).expect("timeout");
    socket
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("address")
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    Some((buffer[..length].to_vec(), from))
}
