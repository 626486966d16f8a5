//! Streams that nobody reads, beside others: what waits in them takes nothing from the others, within bounds.

use crate::support::relay::{Plan, Relayed, transfer};
use crate::support::*;
use ztna_quic::engine::{Id, TransportOptions};

const STREAM: usize = 2 << 20;
/// What the engine itself reads ahead of a reader.
const AHEAD: usize = 256 << 10;

#[test]
fn streams_that_the_server_does_not_read_leave_others_alone() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    stuff(&mut r.a, inner.client, 8, STREAM + AHEAD);
    (0..8).for_each(|_| drop(r.b.stream(inner.server)));
    r.transfer(inner, 4 << 20);
}

#[test]
fn streams_that_the_client_does_not_read_leave_others_alone() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    stuff(&mut r.b, inner.server, 8, STREAM + AHEAD);
    (0..8).for_each(|_| drop(r.a.stream(inner.client)));
    transfer(&mut r.b, inner.server, &mut r.a, inner.client, 4 << 20);
}

/// Opens streams and fills each with as much as a reader that does not read lets in.
fn stuff(owner: &mut Owner, conn: Id, count: usize, each: usize) {
    let bytes = pattern(each, 1);
    let streams: Vec<u64> = (0..count).map(|_| owner.open(conn, false)).collect();
    for stream in &streams {
        owner.write_reported(conn, *stream, bytes.clone());
    }
    for stream in streams {
        assert_eq!(owner.written(conn, stream), None);
    }
}
