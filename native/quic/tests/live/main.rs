//! What connections leave behind when they are gone, in bytes that are allocated and not freed. The allocator counts
//! for the whole process: this file has one test, and its engines are all that runs.

#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use support::relay::{Plan, Relayed};
use support::*;
use ztna_quic::engine::{Command, FramePrefix, Id, TransportOptions};

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The engine keeps buffers of packets for reuse, up to a bound, and grows one now and then.
const BUFFER: Range<usize> = 60_000..70_000;

fn count(layout: Layout, sign: i64) {
    if !BUFFER.contains(&layout.size()) {
        LIVE.fetch_add(sign * layout.size() as i64, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: as the caller of this.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: as the caller of this.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Until pools, tables and the clients' tickets have the size that they keep.
const WARM_UP: usize = 200;
const VISITS: usize = 1_000;
/// A busy machine fills queues as never before, and they keep their size: that happens once, a leak each time. Any table
/// that doubles does it within a thousand visits after the first 200, and within the next thousand.
const ROUNDS: usize = 2;
/// Closed connections are forgotten after three probe timeouts; so many may be there at a time.
const TOGETHER: usize = 20;
/// Less than an entry of any table that would be left of each visit, and room for tables that grew once.
const ENTRY: i64 = 32;

/// A visitor resumes: it gives back one place in the relay's store of sessions for the one that it takes.
#[test]
fn connections_that_came_and_went_leave_nothing() {
    let outer = TransportOptions { keep_alive: Some(Duration::from_secs(5)), ..TransportOptions::default() };
    let plan = Plan { outer_a: outer.clone(), outer_b: outer, ..Plan::default() };
    let mut relayed = Relayed::start(&plan);
    visits(&mut relayed, 0..WARM_UP);
    let mut left = vec![];
    for round in 0..ROUNDS {
        let (before, first) = (rest(&mut relayed), WARM_UP + round * VISITS);
        visits(&mut relayed, first..first + VISITS);
        left.push(rest(&mut relayed) - before);
        if left[round] < ENTRY * VISITS as i64 {
            return;
        }
    }
    panic!("{left:?} bytes are left of {VISITS} connections in each round");
}

fn visits(relayed: &mut Relayed, numbers: Range<usize>) {
    for n in numbers {
        visit(relayed, n);
        if n.is_multiple_of(TOGETHER) {
            rest(relayed);
        }
    }
}

/// A connection of `a` beside the one that it keeps, with a stream and datagrams through rules to `b`; ended by either
/// side, or refused.
fn visit(Relayed { a, b, relay, outer_b, .. }: &mut Relayed, n: usize) {
    let conn = a.connect(relay.address(), ALPN, TransportOptions::default());
    a.connected(conn);
    let at_relay = relay.incoming().conn;
    if n.is_multiple_of(3) {
        relay.close(at_relay, 1, "refused");
        return ended(a, conn, relay, at_relay);
    }
    relay.accept(at_relay);
    a.accept(conn);
    let stream = a.open(conn, true);
    a.write(conn, stream, &b"hello"[..], false);
    let (opened, _, _) = relay.stream(at_relay);
    relay.write(at_relay, opened, &b"hello"[..], n.is_multiple_of(2));
    assert_eq!(a.read_exactly(conn, stream, 5), b"hello");
    let (there, back) = (relay.id(), relay.id());
    for (rule, from, to) in [(there, at_relay, outer_b.server), (back, outer_b.server, at_relay)] {
        let (matches, rewrite) = (channel(n), channel(n));
        relay.send(Command::AddRule { rule, from, to, matches, rewrite, max_bytes_per_second: None });
    }
    relay.settle();
    a.datagram(conn, [&channel(n).whole, &b"through"[..]].concat());
    b.datagrams(outer_b.client, 1);
    if n.is_multiple_of(2) {
        relay.send(Command::RemoveRule { rule: there });
        relay.send(Command::RemoveRule { rule: back });
        a.close(conn, 0, "done");
    } else {
        relay.close(at_relay, 0, "done");
    }
    ended(a, conn, relay, at_relay);
}

/// Each visit has a channel of its own, as each session has.
fn channel(n: usize) -> FramePrefix {
    let id = (0x8000_0000 | n as u32).to_be_bytes(); // a varint of four bytes
    FramePrefix { whole: [&[0x2e], &id[..]].concat().into(), fragment: [&[0x2d], &id[..]].concat().into() }
}

fn ended(a: &mut Owner, conn: Id, relay: &mut Owner, at_relay: Id) {
    a.closed(conn);
    relay.closed(at_relay);
}

/// Bytes that are live once only the two outer connections are there.
fn rest(Relayed { a, b, relay, .. }: &mut Relayed) -> i64 {
    a.ask_until("forgotten", |o| o.stats().connections, |n| *n == 1);
    relay.ask_until("forgotten", |o| o.stats().connections, |n| *n == 2);
    for owner in [a, b, relay] {
        owner.settle();
        owner.forget();
    }
    LIVE.load(Ordering::Relaxed)
}
