//! Streams that nobody reads, beside others: what waits in them takes nothing from the others, within bounds.

use crate::support::relay::{Plan, Relayed, transfer};
use crate::support::*;
use std::collections::HashMap;
use ztna_quic::engine::{Command, Event, Id, TransportOptions};

const STREAM: usize = 2 << 20;
/// As many as a connection's window grows for.
const UNREAD: usize = 17;
/// What the engine itself reads ahead of a reader.
const AHEAD: usize = 256 << 10;

fn narrow() -> TransportOptions {
    TransportOptions { stream_window: 64 << 10, connection_window: 256 << 10, ..TransportOptions::default() }
}

#[test]
fn streams_that_the_server_does_not_read_leave_others_alone() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    stuff(&mut r.a, inner.client, UNREAD, STREAM + AHEAD);
    streams_of(&mut r.b, inner.server, UNREAD);
    r.transfer(inner, 4 << 20);
}

#[test]
fn streams_that_the_client_does_not_read_leave_others_alone() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    stuff(&mut r.b, inner.server, UNREAD, STREAM + AHEAD);
    streams_of(&mut r.a, inner.client, UNREAD);
    transfer(&mut r.b, inner.server, &mut r.a, inner.client, 4 << 20);
}

#[test]
fn what_is_granted_for_unread_streams_is_taken_back_once_they_are_read() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    stuff(&mut r.a, inner.client, 4, STREAM + AHEAD);
    r.b.ask_until("the grant", granted, |n| *n == 3 * STREAM as u64);
    for (stream, first) in streams_of(&mut r.b, inner.server, 4) {
        r.b.read_exactly(inner.server, stream, STREAM + AHEAD - first);
    }
    // The last of it goes with what is read next, on streams too short to be unread themselves.
    (0..64).for_each(|_| r.transfer(inner, AHEAD / 2));
    assert_eq!(granted(&mut r.b), 0);
}

#[test]
fn what_is_granted_for_unread_streams_ends_with_their_connection() {
    let mut r = Relayed::start(&Plan::default());
    let inner = r.connect_inner(TransportOptions::default());
    stuff(&mut r.a, inner.client, 4, STREAM + AHEAD);
    r.b.ask_until("the grant", granted, |n| *n == 3 * STREAM as u64);
    r.a.close(inner.client, 0, "over");
    r.b.ask_until("the end of the grant", granted, |n| *n == 0);
}

#[test]
fn more_unread_streams_than_a_connection_may_have_are_counted_and_lose_nothing() {
    let mut r = Relayed::start(&Plan { inner: narrow(), ..Plan::default() });
    let inner = r.connect_inner(narrow());
    let (count, sent) = (40, pattern(1 << 20, 2));
    for _ in 0..count {
        let stream = r.a.open(inner.client, true);
        r.a.write(inner.client, stream, sent.clone(), true);
    }
    r.b.ask_until("the whole grant", granted, |n| *n == 4 * u64::from(narrow().connection_window));
    r.b.ask_until("a count", |b| b.drops("unread_limited"), |n| *n > 0);
    let mut received: HashMap<u64, usize> = streams_of(&mut r.b, inner.server, count).into_iter().collect();
    // All of them in turn: one alone may have to wait for others.
    received.keys().for_each(|stream| ask(&r.b, inner.server, *stream));
    while !received.is_empty() {
        let (stream, data) = r.b.wait_for("bytes", |e| match e {
            Event::Read { stream, data, .. } => Some((*stream, data.clone())),
            _ => None,
        });
        let at = received.get_mut(&stream).expect("one of them");
        match data.expect("not cut") {
            Some(bytes) => {
                assert!(bytes == sent[*at..*at + bytes.len()]);
                *at += bytes.len();
                ask(&r.b, inner.server, stream);
            }
            None => assert_eq!(received.remove(&stream), Some(sent.len())),
        }
    }
    r.transfer(inner, 2 << 20);
}

#[test]
fn connections_share_what_the_endpoint_grants_and_none_gets_all() {
    let pool = 8 * u64::from(narrow().stream_window);
    let mut r = Relayed::start(&Plan { inner: narrow(), unread_window: pool, ..Plan::default() });
    let (one, two) = (r.connect_inner(narrow()), r.connect_inner(narrow()));
    for (link, half) in [(one, pool / 2), (two, pool / 4)] {
        let before = granted(&mut r.b);
        for _ in 0..40 {
            let stream = r.a.open(link.client, true);
            r.a.write(link.client, stream, pattern(1 << 20, 3), false);
        }
        r.b.ask_until("its half of what is left", granted, |n| *n == before + half);
    }
}

/// Opens streams and fills each with as much as a reader that does not read lets in.
fn stuff(owner: &mut Owner, conn: Id, count: usize, each: usize) {
    let bytes = pattern(each, 1);
    let streams: Vec<u64> = (0..count).map(|_| owner.open(conn, true)).collect();
    for stream in &streams {
        owner.write_reported(conn, *stream, bytes.clone());
    }
    for stream in streams {
        assert_eq!(owner.written(conn, stream), None);
    }
}

/// The next streams of the peer, and how much of each came with the news of it.
fn streams_of(owner: &mut Owner, conn: Id, count: usize) -> Vec<(u64, usize)> {
    let next = |_| {
        let (stream, _, first) = owner.stream(conn);
        (stream, first.len())
    };
    (0..count).map(next).collect()
}

fn ask(owner: &Owner, conn: Id, stream: u64) {
    owner.send(Command::Read { conn, stream, max: 256 << 10 });
}

fn granted(owner: &mut Owner) -> u64 {
    owner.stats().unread_granted
}
