//! Peers that lead a direct path to other addresses.

use crate::support::direct::{Direct, plan, received_bytes};
use crate::support::relay::Plan;
use crate::support::*;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ztna_quic::engine::{Command, Event, Id, PathChange};

/// Another host than the one that has proven itself.
fn bystanders(n: usize) -> Vec<Arc<UdpSocket>> {
    let at = SocketAddr::from(([127, 0, 0, 2], 0));
    (0..n).map(|_| Arc::new(UdpSocket::bind(at).expect("UDP socket"))).collect()
}

/// A path of which `b` never takes a pause for death.
fn patient() -> Plan {
    let mut plan = plan();
    for side in plan.direct.iter_mut().flatten() {
        side.min_silence = Duration::from_secs(20);
    }
    plan
}

#[test]
fn a_path_that_is_led_to_somebody_else_is_held_to_the_budget_of_strangers() {
    let (mut d, _) = Direct::preferred(&patient());
    let victims = bystanders(8);
    let stream = d.r.b.open(d.inner.server, false);
    let start = Instant::now();
    d.line.forge(victims.clone());
    // Each packet of `a` moves the path, and noq would answer each move with three times what came.
    let mut got = 0;
    let mut limited = 0;
    for _ in 0..1_500 {
        d.r.b.write(d.inner.server, stream, vec![7; 4_000], false);
        for _ in 0..4 {
            d.r.a.datagram(d.inner.client, vec![1; 1_100]);
        }
        d.r.a.send(Command::Ping { conn: d.inner.client });
        limited = d.r.b.drops("direct_moved_limited");
        got += victims.iter().map(|v| received_bytes(v)).sum::<usize>();
        if limited > 20 {
            break;
        }
    }
    let most = 40_000 + 12_000 * (start.elapsed().as_secs() as usize + 1);
    assert!(limited > 20, "{limited} packets held back");
    assert!(got > 0 && got <= most, "{got} bytes, {most} at most");
}

#[test]
fn a_peer_that_moves_to_another_host_and_is_there_gets_everything() {
    let (mut d, path) = Direct::preferred(&plan());
    d.transfer(100_000);
    d.line.move_client_to(SocketAddr::from(([127, 0, 0, 3], 0)));
    let before = d.relayed();
    d.transfer(2 << 20);
    d.transfer_back(4 << 20);
    assert_eq!(d.at_b("move", |c| c == PathChange::Moved), path);
    assert!(d.relayed() - before < 400, "it is trusted again");
    d.assert_alive();
}

#[test]
fn the_owner_hears_of_few_of_many_moves_and_of_the_last() {
    let (mut d, path) = Direct::preferred(&patient());
    let start = Instant::now();
    for _ in 0..200 {
        d.line.forge(bystanders(1));
        d.r.a.send(Command::Ping { conn: d.inner.client });
        d.r.a.settle();
        d.r.b.settle();
    }
    let last = bystanders(1);
    d.line.forge(last.clone());
    let (client, server) = (d.inner.client, d.inner.server);
    let end = last[0].local_addr().expect("address");
    let there = |b: &mut Owner| {
        d.r.a.send(Command::Ping { conn: client });
        b.paths(server).iter().any(|p| p.id == path && p.remote == end)
    };
    d.r.b.ask_until("the last move", there, |there| *there);
    let heard = moves_until(&mut d.r.b, server, end);
    let most = 2 + start.elapsed().as_millis() / 100;
    assert!(heard as u128 <= most, "{heard} events, {most} at most");
}

/// Moves that the owner is told of, up to the one to `end`.
fn moves_until(owner: &mut Owner, of: Id, end: SocketAddr) -> usize {
    let mut heard = 0;
    owner.wait_for("news of the last move", |e| match e {
        Event::Path { conn, remote, change: PathChange::Moved, .. } if *conn == of => {
            heard += 1;
            (*remote == end).then_some(())
        }
        _ => None,
    });
    heard
}

/// Their owner hears of a burst, then of one a second, and of the one that stays.
#[test]
fn paths_that_are_opened_and_closed_without_end_leave_nothing() {
    let mut d = Direct::start(&patient());
    d.show();
    let (client, server) = (d.inner.client, d.inner.server);
    let start = Instant::now();
    for _ in 0..200 {
        let path = open(&mut d);
        let proven = |b: &mut Owner| b.paths(server).iter().any(|p| p.id == path && p.min_rtt.is_some());
        d.r.b.ask_until("a path", proven, |is_there| *is_there);
        d.r.a.send(Command::ClosePath { conn: client, path });
        d.r.b.ask_until("its end", proven, |is_there| !is_there);
    }
    let unheard = d.r.b.drops("path_reports_limited");
    let opened = |e: &Event| matches!(e, Event::Path { change: PathChange::Opened { .. }, .. });
    let closed = |e: &Event| matches!(e, Event::Path { change: PathChange::Closed { .. }, .. });
    let told = d.r.b.unseen().filter(|e| opened(e)).count() as u64;
    assert!(told <= 17 + start.elapsed().as_secs(), "{told} in {:?}", start.elapsed());
    assert_eq!((told + unheard, d.r.b.unseen().filter(|e| closed(e)).count() as u64), (200, told));
    let stays = open(&mut d);
    let heard = |e: &Event| match e {
        Event::Path { path, change: PathChange::Opened { .. }, .. } if *path == stays => Some(()),
        _ => None,
    };
    d.r.b.wait_for("the one that stays", heard);
    d.r.a.send(Command::ClosePath { conn: client, path: stays });
    // As fast as commands go, whatever comes of it.
    for n in 0..2_000 {
        let request = d.r.a.id();
        d.r.a.send(Command::OpenPath { conn: client, remote: d.line.address(), backup: true, request });
        d.r.a.send(Command::ClosePath { conn: client, path: 201 + n / 8 });
    }
    d.r.a.settle();
    let kept = |b: &mut Owner| b.paths(server).len();
    d.r.b.ask_until("an end of it", kept, |n| *n <= 9);
    d.transfer(1 << 20);
    d.transfer_back(1 << 20);
    d.assert_alive();
}

/// Opens a path from `a`; asks again until the other side has given out connection ids for one more.
fn open(d: &mut Direct) -> u32 {
    let (conn, remote) = (d.inner.client, d.line.address());
    let mut path = None;
    let attempt = |a: &mut Owner| {
        let request = a.id();
        a.send(Command::OpenPath { conn, remote, backup: true, request });
        a.wait_for("an answer", |e| match e {
            Event::OpenedPath { request: r, path } if *r == request => Some(path.clone()),
            _ => None,
        })
    };
    let _ = d.r.a.ask_until("a path", |a| path.insert(attempt(a)).clone(), |path| path.is_ok());
    path.and_then(Result::ok).expect("opened")
}
