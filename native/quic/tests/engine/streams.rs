//! Streams: bytes, back-pressure, resets, limits.

use crate::support::*;
use bytes::Bytes;
use ztna_quic::engine::{Command, Cut, Event, TransportOptions};

#[test]
fn a_stream_carries_bytes_both_ways_and_ends_each_way() {
    let (mut client, mut server, link) = pair();
    let (ask, answer) = (pattern(300_000, 1), pattern(400_000, 2));
    let stream = client.open(link.client, true);
    client.write(link.client, stream, ask.clone(), true);
    let (at_server, bidi, first) = server.stream(link.server);
    assert!(bidi && at_server == stream);
    let mut asked = first.to_vec();
    asked.extend(server.read_to_end(link.server, at_server));
    assert!(asked == ask);
    server.write(link.server, at_server, answer.clone(), true);
    assert!(client.read_to_end(link.client, stream) == answer);
}

#[test]
fn the_first_bytes_come_with_the_news_of_the_stream() {
    let (mut client, mut server, link) = pair();
    let stream = client.open(link.client, true);
    client.write(link.client, stream, &b"hello"[..], false);
    assert_eq!(server.stream(link.server).2, b"hello"[..]);
}

#[test]
fn a_one_way_stream_cannot_be_answered() {
    let (mut client, mut server, link) = pair();
    let stream = client.open(link.client, false);
    client.write(link.client, stream, &b"news"[..], true);
    let (at_server, bidi, first) = server.stream(link.server);
    assert!(!bidi);
    assert_eq!(first, b"news"[..]);
    server.write_reported(link.server, at_server, &b"answer"[..]);
    assert_eq!(server.written(link.server, at_server), Some(Cut::Closed));
    assert_eq!(server.read(link.server, at_server, 10), Ok(None));
}

#[test]
fn a_reader_gets_no_more_than_it_asks_for() {
    let (mut client, mut server, link) = pair();
    let sent = pattern(40_000, 3);
    let stream = client.open(link.client, false);
    client.write(link.client, stream, sent.clone(), true);
    let (at_server, _, first) = server.stream(link.server);
    let mut received = first.to_vec();
    for max in [1, 7, 1000, 5000].into_iter().cycle() {
        match server.read(link.server, at_server, max).expect("not cut") {
            Some(bytes) => {
                assert!((1..=max).contains(&bytes.len()), "{} of {max}", bytes.len());
                received.extend_from_slice(&bytes);
            }
            None => break,
        }
    }
    assert!(received == sent);
}

#[test]
fn a_slow_reader_holds_the_writer_back() {
    let window = 256 << 10;
    let transport = || TransportOptions {
        stream_window: window,
        connection_window: window,
        ..TransportOptions::default()
    };
    let (mut client, mut server, link) = pair_with(transport(), transport());
    let stream = client.open(link.client, false);
    let piece = pattern(64 << 10, 4);
    let total: usize = 4 << 20;
    let mut given = 0;
    // What is written without being read: the window, and what the reader's engine takes ahead of it.
    let bound = 2 * window as usize + (256 << 10);
    let (at_server, mut received) = {
        client.write_reported(link.client, stream, piece.clone());
        given += piece.len();
        let (at_server, _, first) = server.stream(link.server);
        (at_server, first.to_vec())
    };
    while given < total {
        // Fill until the writer is held; only then read.
        while given - received.len() < bound && given < total {
            if was_written(&mut client, link.client, stream) {
                client.write_reported(link.client, stream, piece.clone());
                given += piece.len();
            } else {
                break;
            }
        }
        assert!(given - received.len() <= bound + piece.len(), "the writer was not held back");
        let bytes = server.read(link.server, at_server, 32 << 10).expect("not cut").expect("not ended");
        received.extend_from_slice(&bytes);
    }
    client.write(link.client, stream, Bytes::new(), true);
    received.extend(server.read_to_end(link.server, at_server));
    assert_eq!(received.len(), total);
    assert!(received.chunks(piece.len()).all(|chunk| chunk == piece));
}

/// Whether the last write was taken; asks the engine a few times, since nothing tells of a "not yet".
fn was_written(client: &mut Owner, conn: u32, stream: u64) -> bool {
    let mut taken = false;
    for _ in 0..20 {
        client.settle();
        taken |= client.take_written(conn, stream);
        if taken {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    taken
}

#[test]
fn written_is_held_until_the_reader_makes_room() {
    let window: usize = 64 << 10;
    let transport = || TransportOptions {
        stream_window: window as u32,
        connection_window: window as u32,
        ..TransportOptions::default()
    };
    let (mut client, mut server, link) = pair_with(transport(), transport());
    let stream = client.open(link.client, false);
    let sent = pattern(2 << 20, 5);
    client.write_reported(link.client, stream, sent.clone());
    let (at_server, _, first) = server.stream(link.server);
    let mut received = first.to_vec();
    // The rest cannot be in flight or buffered: it is far more than window and read-ahead.
    while received.len() < 512 << 10 {
        received.extend(server.read(link.server, at_server, 8 << 10).expect("not cut").expect("goes on"));
        client.settle();
        assert!(!client.take_written(link.client, stream), "after {} bytes", received.len());
    }
    let rest = server.read_exactly(link.server, at_server, sent.len() - received.len());
    received.extend(rest);
    assert!(received == sent);
    assert_eq!(client.written(link.client, stream), None);
}

#[test]
fn a_reset_tells_its_code_to_the_reader() {
    let (mut client, mut server, link) = pair();
    let stream = client.open(link.client, true);
    client.write(link.client, stream, &b"x"[..], false);
    let (at_server, ..) = server.stream(link.server);
    server.send(Command::Read { conn: link.server, stream: at_server, max: 10 });
    client.send(Command::ResetStream { conn: link.client, stream, code: 77 });
    assert_eq!(server.was_read(link.server, at_server), Err(Cut::Code(77)));
    // The other direction goes on.
    server.write(link.server, at_server, &b"still"[..], true);
    assert_eq!(client.read_to_end(link.client, stream), b"still");
}

#[test]
fn a_stop_tells_its_code_to_the_writer() {
    let (mut client, mut server, link) = pair();
    let stream = client.open(link.client, true);
    client.write_reported(link.client, stream, pattern(16 << 20, 6));
    let (at_server, ..) = server.stream(link.server);
    server.send(Command::StopStream { conn: link.server, stream: at_server, code: 78 });
    assert_eq!(client.written(link.client, stream), Some(Cut::Code(78)));
    client.write_reported(link.client, stream, &b"more"[..]);
    assert_eq!(client.written(link.client, stream), Some(Cut::Code(78)), "later writes hear it as well");
    server.write(link.server, at_server, &b"still"[..], true);
    assert_eq!(client.read_to_end(link.client, stream), b"still");
}

#[test]
fn a_writer_that_is_not_writing_hears_of_the_stop_with_its_next_write() {
    let (mut client, mut server, link) = pair();
    let stream = client.open(link.client, true);
    client.write(link.client, stream, &b"x"[..], false);
    let (at_server, ..) = server.stream(link.server);
    server.send(Command::StopStream { conn: link.server, stream: at_server, code: 79 });
    // What the peer sends later arrives later.
    server.write(link.server, at_server, &b"y"[..], false);
    client.read_exactly(link.client, stream, 1);
    client.write_reported(link.client, stream, &b"z"[..]);
    assert_eq!(client.written(link.client, stream), Some(Cut::Code(79)));
}

#[test]
fn everybody_who_waits_hears_of_the_end_of_the_connection() {
    let window = 64 << 10;
    let transport = || TransportOptions { stream_window: window, max_bidi_streams: 1, ..Default::default() };
    let (mut client, mut server, link) = pair_with(transport(), transport());
    let stream = client.open(link.client, true);
    client.write_reported(link.client, stream, pattern(4 << 20, 7));
    client.send(Command::Read { conn: link.client, stream, max: 10 });
    let waiting = client.open(link.client, true);
    client.write_reported(link.client, waiting, &b"x"[..]);
    server.stream(link.server);
    server.close(link.server, 3, "gone");
    assert_eq!(client.written(link.client, stream), Some(Cut::Closed));
    assert_eq!(client.was_read(link.client, stream), Err(Cut::Closed));
    assert_eq!(client.written(link.client, waiting), Some(Cut::Closed));
    // So does who comes too late.
    client.write_reported(link.client, stream, &b"late"[..]);
    assert_eq!(client.written(link.client, stream), Some(Cut::Closed));
    assert_eq!(client.read(link.client, stream, 1), Err(Cut::Closed));
    let later = client.open(link.client, true);
    assert_eq!(client.read(link.client, later, 1), Err(Cut::Closed));
}

#[test]
fn a_thousand_streams_go_through_a_limit_of_a_hundred() {
    let (mut client, mut server, link) = pair();
    let streams: Vec<u64> = (0..1000).map(|_| client.open(link.client, true)).collect();
    for (number, stream) in streams.iter().enumerate() {
        client.write(link.client, *stream, format!("question {number}"), true);
    }
    for (number, stream) in streams.into_iter().enumerate() {
        let (at_server, _, first) = server.stream(link.server);
        let mut asked = first.to_vec();
        asked.extend(server.read_to_end(link.server, at_server));
        assert_eq!(asked, format!("question {number}").as_bytes());
        server.write(link.server, at_server, asked, true);
        assert_eq!(client.read_to_end(link.client, stream), format!("question {number}").as_bytes());
    }
}

#[test]
fn streams_wait_for_the_peers_limit() {
    let few = TransportOptions { max_bidi_streams: 2, ..TransportOptions::default() };
    let (mut client, mut server, link) = pair_with(TransportOptions::default(), few);
    let one = client.open(link.client, true);
    client.open(link.client, true);
    let third = client.open(link.client, true);
    client.write_reported(link.client, third, &b"third"[..]);
    client.settle();
    assert!(!client.unseen().any(|e| matches!(e, Event::Written { .. })));
    client.write(link.client, one, &b"x"[..], true);
    let (at_server, ..) = server.stream(link.server);
    server.read_to_end(link.server, at_server);
    server.write(link.server, at_server, &b"y"[..], true);
    client.read_to_end(link.client, one);
    assert_eq!(client.written(link.client, third), None);
    let (_, _, first) = server.stream(link.server);
    assert!(first.is_empty(), "the second stream: nothing was written on it");
}

#[test]
fn nothing_is_delivered_before_the_owner_accepts() {
    let pki = Pki::new();
    let mut server = Owner::start(server_endpoint(pki.material("server")));
    let mut client = Owner::start(client_endpoint(pki.material("client")));
    let conn = client.connect(server.address(), ALPN, TransportOptions::default());
    client.connected(conn);
    client.accept(conn);
    let incoming = server.incoming().conn;
    let stream = client.open(conn, true);
    client.write(conn, stream, &b"early"[..], false);
    for _ in 0..5 {
        client.datagram(conn, &b"early"[..]);
    }
    let dropped = |s: &mut Owner| s.connection_drops(incoming, "not_accepted");
    server.ask_until("dropping datagrams", dropped, |n| *n == 5);
    let delivered = |e: &Event| matches!(e, Event::StreamOpened { .. } | Event::Datagrams { .. });
    assert!(!server.unseen().any(delivered));
    // Streams have waited, datagrams have not.
    server.accept(incoming);
    assert_eq!(server.stream(incoming).2, b"early"[..]);
    client.datagram(conn, &b"later"[..]);
    assert_eq!(server.datagrams(incoming, 1), [&b"later"[..]]);
}

#[test]
fn thousands_of_unread_chunks_do_not_end_the_connection() {
    let (mut client, mut server, link) = pair();
    let sent = pattern(60_000, 8);
    let stream = client.open(link.client, false);
    for chunk in sent.chunks(20) {
        client.write(link.client, stream, Bytes::copy_from_slice(chunk), false);
        // Each goes out in a packet of its own.
        client.settle();
    }
    client.write(link.client, stream, Bytes::new(), true);
    let (at_server, _, first) = server.stream(link.server);
    // Another stream passes while the first is not read.
    relay::transfer(&mut client, link.client, &mut server, link.server, 100_000);
    let mut received = first.to_vec();
    received.extend(server.read_to_end(link.server, at_server));
    assert!(received == sent);
}
