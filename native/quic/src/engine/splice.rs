//! The splice: a TCP socket joined to a stream, with back-pressure, half-close and resets in both
//! directions, without the owner seeing a byte.

use super::core::{Engine, TimerKey};
use super::streams::{CODE_TCP_RESET, ReceiveEnd, stream_id, write_all};
use super::tcp::READ_SIZE;
use super::types::{Cut, Event, Id, SpliceEnd};
use bytes::Bytes;
use std::time::Instant;

/// Bytes that one socket moves before others get their turn; it goes on when the loop comes round.
const TURN: usize = 1 << 20;

impl Engine {
    pub(crate) fn splice_send(&mut self, conn: Id, stream: u64, socket: Id, first: Bytes) {
        let known = self.tcp.contains_key(&socket);
        let Some(s) = self.stream(conn, stream).filter(|s| known && !s.send_done) else {
            return self.splice_failed(conn, stream, socket);
        };
        s.from_socket = Some(socket);
        s.spliced = true;
        // What the owner wrote and the transport has not taken yet goes first.
        let before = std::mem::take(&mut s.outgoing);
        if s.take_report() {
            self.events.push(Event::Written { conn, stream, cut: None });
        }
        if let Some(t) = self.tcp.get_mut(&socket) {
            t.to_stream = Some((conn, stream));
            t.written_before = before.iter().map(Bytes::len).sum();
            if !first.is_empty() {
                t.staged.push_front(first);
            }
            for chunk in before.into_iter().rev() {
                t.staged.push_front(chunk);
            }
        }
        self.pump_from_socket(socket);
    }

    pub(crate) fn splice_receive(&mut self, conn: Id, stream: u64, socket: Id, first: Bytes, expect: Bytes) {
        let known = self.tcp.contains_key(&socket);
        let Some(s) = self.stream(conn, stream).filter(|s| known && !s.receive_done) else {
            return self.splice_failed(conn, stream, socket);
        };
        s.to_socket = Some(socket);
        s.spliced = true;
        s.expect = expect;
        if !first.is_empty() {
            s.incoming_bytes += first.len();
            s.incoming.push_front(first);
        }
        if let Some(t) = self.tcp.get_mut(&socket) {
            t.from_stream = Some((conn, stream));
        }
        self.drain(conn, stream);
        self.pump_to_socket(socket);
    }

    /// Compares what has come with what a splice expects. True once there is nothing left to compare.
    fn begins_as_expected(&mut self, id: Id, conn: Id, stream: u64) -> bool {
        let Some(s) = self.stream(conn, stream) else { return false };
        if s.expect.is_empty() {
            return true;
        }
        let ended = s.receive_end.is_some();
        if s.incoming_bytes < s.expect.len() && !ended {
            return false;
        }
        let expect = std::mem::take(&mut s.expect);
        let start = s.take(expect.len());
        let matched = start == expect;
        if !matched {
            // Nothing is joined in this direction; the owner reads what came instead.
            s.to_socket = None;
            s.incoming_bytes += start.len();
            s.incoming.push_front(start);
            if let Some(t) = self.tcp.get_mut(&id) {
                t.from_stream = None;
            }
        }
        self.events.push(Event::SpliceMatched { conn, stream, matched });
        matched
    }

    /// One of the two is gone already: the other must not wait for it.
    fn splice_failed(&mut self, conn: Id, stream: u64, socket: Id) {
        self.drop_tcp(socket, true);
        if let Some(s) = self.stream(conn, stream) {
            s.spliced = true;
            s.splice_end = Some(SpliceEnd::TcpReset);
        } else {
            self.events.push(Event::SpliceDone {
                conn,
                stream,
                sent: 0,
                received: 0,
                end: SpliceEnd::Closed,
            });
        }
        self.abort_stream(conn, stream);
    }

    fn abort_stream(&mut self, conn: Id, stream: u64) {
        self.reset_stream(conn, stream, u64::from(CODE_TCP_RESET));
        self.stop_stream(conn, stream, u64::from(CODE_TCP_RESET));
        self.tidy(conn, stream);
    }

    /// TCP to stream.
    pub(crate) fn pump_from_socket(&mut self, id: Id) {
        let Some((conn, stream)) = self.tcp.get(&id).and_then(|t| t.to_stream) else { return };
        if self.stream(conn, stream).is_some_and(|s| s.opening) {
            return;
        }
        let (Some(t), Some(c)) = (self.tcp.get_mut(&id), self.conns.get_mut(&conn)) else { return };
        let mut moved = 0u64;
        let mut stopped = false;
        while moved < TURN as u64 {
            match write_all(&mut c.q, stream, &mut t.staged) {
                Ok(n) => {
                    let before = t.written_before.min(n as usize);
                    t.written_before -= before;
                    moved += n - before as u64;
                }
                Err(Cut::Code(_) | Cut::Closed) => {
                    stopped = true;
                    break;
                }
            }
            if !t.staged.is_empty() {
                break;
            }
            match t.read_some(READ_SIZE) {
                Some(bytes) => t.staged.push_back(bytes),
                None => break,
            }
        }
        let (eof, error, empty) = (t.eof, t.error, t.staged.is_empty());
        let more = moved >= TURN as u64;
        if let Some(s) = c.streams.get_mut(&stream) {
            s.sent += moved;
        }
        self.mark(conn);
        if stopped {
            self.stream_stopped_socket(id);
        } else if error.is_some() {
            self.socket_broke(id, conn, stream);
        } else if eof && empty {
            self.socket_ended(id, conn, stream);
        } else if more {
            self.timers.insert((Instant::now(), TimerKey::Pump(id)));
        }
    }

    /// The local side has sent all it wanted: finish the stream, keep the other direction.
    fn socket_ended(&mut self, id: Id, conn: Id, stream: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let _ = c.q.send_stream(stream_id(stream)).finish();
        if let Some(s) = c.streams.get_mut(&stream) {
            s.send_done = true;
            s.from_socket = None;
        }
        if let Some(t) = self.tcp.get_mut(&id) {
            t.to_stream = None;
        }
        self.close_if_over(id, conn, stream);
        self.tidy(conn, stream);
    }

    pub(super) fn socket_broke(&mut self, id: Id, conn: Id, stream: u64) {
        self.drop_tcp(id, true);
        if let Some(s) = self.stream(conn, stream) {
            s.splice_end.get_or_insert(SpliceEnd::TcpReset);
        }
        self.abort_stream(conn, stream);
    }

    /// The peer wants no more of what the socket sends. Like a local application that closed while data
    /// is still coming: the other direction goes on until it ends, then the socket is reset.
    pub(crate) fn stream_stopped_socket(&mut self, id: Id) {
        let Some(t) = self.tcp.get_mut(&id) else { return };
        let Some((conn, stream)) = t.to_stream.take() else { return };
        t.staged.clear();
        let open = t.from_stream.is_some();
        if let Some(s) = self.stream(conn, stream) {
            s.from_socket = None;
            s.send_done = true;
            s.splice_end.get_or_insert(SpliceEnd::StreamReset);
        }
        if !open {
            self.drop_tcp(id, true);
        }
        self.tidy(conn, stream);
    }

    /// Stream to TCP.
    pub(crate) fn pump_to_socket(&mut self, id: Id) {
        let Some((conn, stream)) = self.tcp.get(&id).and_then(|t| t.from_stream) else { return };
        let mut moved = 0;
        loop {
            self.drain(conn, stream);
            if !self.begins_as_expected(id, conn, stream) {
                return;
            }
            let Some(s) = self.conns.get_mut(&conn).and_then(|c| c.streams.get_mut(&stream)) else { return };
            if let Some(ReceiveEnd::Reset(_)) = s.receive_end {
                return self.stream_broke(id, conn, stream);
            }
            let Some(t) = self.tcp.get_mut(&id) else { return };
            if s.incoming.is_empty() {
                if s.receive_end == Some(ReceiveEnd::Finished) {
                    self.stream_ended(id, conn, stream);
                }
                return;
            }
            let Some(n) = t.write_some(&mut s.incoming) else { break };
            s.incoming_bytes -= n;
            s.received += n as u64;
            moved += n;
            if moved >= TURN {
                self.timers.insert((Instant::now(), TimerKey::Pump(id)));
                return;
            }
        }
        if self.tcp.get(&id).is_some_and(|t| t.error.is_some()) {
            self.socket_broke(id, conn, stream);
        }
    }

    fn stream_ended(&mut self, id: Id, conn: Id, stream: u64) {
        if let Some(t) = self.tcp.get_mut(&id) {
            t.shut_write();
            t.from_stream = None;
        }
        if let Some(s) = self.stream(conn, stream) {
            s.receive_done = true;
            s.to_socket = None;
        }
        self.close_if_over(id, conn, stream);
        self.tidy(conn, stream);
    }

    fn stream_broke(&mut self, id: Id, conn: Id, stream: u64) {
        self.drop_tcp(id, true);
        if let Some(s) = self.stream(conn, stream) {
            s.receive_done = true;
            s.splice_end.get_or_insert(SpliceEnd::StreamReset);
        }
        self.abort_stream(conn, stream);
    }

    /// Both directions are over: the socket is closed, as a reset where one was cut short.
    fn close_if_over(&mut self, id: Id, conn: Id, stream: u64) {
        let cut = self.stream(conn, stream).is_some_and(|s| s.splice_end.is_some());
        if self
            .tcp
            .get(&id)
            .is_some_and(|t| t.to_stream.is_none() && t.from_stream.is_none() && t.shut && (t.eof || cut))
        {
            self.drop_tcp(id, cut);
        }
    }
}
