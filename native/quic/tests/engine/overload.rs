//! More packets than can be handled.

use crate::support::relay::transfer;
use crate::support::*;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use ztna_quic::engine::{Command, EndpointOptions, TransportOptions, spawn};

#[test]
fn packets_that_are_too_many_are_dropped_of_the_greedy_and_of_nobody_else() {
    let pki = Pki::new();
    let gate = Arc::new(Mutex::new(()));
    let (wake, woken) = channel();
    let at_gate = gate.clone();
    let (stand, stands) = channel();
    let options = EndpointOptions {
        server: Some(server_options(TransportOptions::default())),
        ..server_endpoint(pki.material("server"))
    };
    let handle = spawn(options, move || {
        let _ = wake.send(());
        if at_gate.try_lock().is_err() {
            let _ = stand.send(());
            drop(at_gate.lock());
        }
    });
    let mut server = Owner::around(handle.expect("engine"), woken);
    let mut greedy = Owner::start(client_endpoint(pki.material("greedy")));
    let mut modest = Owner::start(client_endpoint(pki.material("modest")));
    let line = Proxy::to(server.address());
    let g = connect_to(&mut greedy, &mut server, line.address(), TransportOptions::default());
    let m = connect(&mut modest, &mut server, TransportOptions::default());
    transfer(&mut greedy, g.client, &mut server, g.server, 100_000);

    let closed = gate.lock().expect("gate");
    // With its next event, the answer at the latest, the engine wakes its owner and stands still.
    server.send(Command::Stats { request: 0 });
    stands.recv_timeout(WAIT).expect("the engine at the gate");
    line.flood(2_000);
    for n in 0..20u8 {
        modest.datagram(m.client, vec![n; 100]);
        modest.settle();
    }
    drop(closed);

    assert_eq!(server.datagrams(m.server, 20).len(), 20);
    assert_eq!(modest.paths(m.client)[0].lost_packets, 0);
    let dropped = server.drops("receive_overload");
    assert!((800..2_000).contains(&dropped), "{dropped}");
    transfer(&mut greedy, g.client, &mut server, g.server, 100_000);
}
