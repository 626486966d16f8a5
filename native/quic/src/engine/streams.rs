//! Stream bytes between noq and the owner. Streams start paused: nothing is handed over before it is
//! asked for, and what has arrived is drained from noq into a bounded buffer of our own, since noq
//! ends a connection that holds more than 2,048 unread chunks.

use super::core::Engine;
use super::types::{Cut, Event, Id, SpliceEnd};
use bytes::{Bytes, BytesMut};
use noq_proto as q;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Unread bytes that are drained from noq ahead of the reader.
const READ_AHEAD: usize = 256 << 10;
/// Shared by the streams of a connection, and what each has for certain.
const CONNECTION_READ_AHEAD: usize = 8 << 20;
const LEAST_READ_AHEAD: usize = 16 << 10;
/// Chunks below this are copied, up to `JOINED` bytes into one.
const SMALL_CHUNK: usize = 512;
const JOINED: usize = 4096;
/// Bytes of a new stream that travel with the news of it.
const FIRST_BYTES: usize = 16 << 10;
/// Code on streams whose TCP side was reset: `flow-reset` of docs/protocol.md §8, no error of a peer.
pub(crate) const CODE_TCP_RESET: u32 = 24;

/// How the receiving side ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiveEnd {
    Finished,
    Reset(u64),
}

#[derive(Default)]
pub(crate) struct Stream {
    /// Waits until the peer allows it.
    pub(crate) opening: bool,
    /// Reset or stopped while it waited.
    abandoned: bool,
    /// What a splice still has to find at the start of what comes.
    pub(crate) expect: Bytes,
    pub(crate) incoming: VecDeque<Bytes>,
    pub(crate) incoming_bytes: usize,
    /// noq holds more of it than the reader takes.
    unread: bool,
    pub(crate) receive_end: Option<ReceiveEnd>,
    /// The end was handed over, or nobody wants the rest.
    pub(crate) receive_done: bool,
    /// The owner waits for up to so many bytes.
    wanted: Option<usize>,
    pub(crate) outgoing: VecDeque<Bytes>,
    finish: bool,
    report: bool,
    pub(crate) send_done: bool,
    cut: Option<Cut>,
    /// Local socket whose bytes go out here.
    pub(crate) from_socket: Option<Id>,
    /// Local socket that gets what comes in.
    pub(crate) to_socket: Option<Id>,
    /// Bytes that went from and to a local socket.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) spliced: bool,
    pub(crate) splice_end: Option<SpliceEnd>,
}

impl Stream {
    /// Keeps arrived bytes. A chunk keeps its whole packet in memory, so small ones are copied together.
    fn push(&mut self, chunk: Bytes) {
        if chunk.len() >= SMALL_CHUNK {
            self.incoming.push_back(chunk);
            return;
        }
        match self.incoming.pop_back().map(Bytes::try_into_mut) {
            Some(Ok(mut last)) if last.len() + chunk.len() <= JOINED => {
                last.extend_from_slice(&chunk);
                self.incoming.push_back(last.freeze());
            }
            last => {
                match last {
                    Some(Ok(bytes)) => self.incoming.push_back(bytes.freeze()),
                    Some(Err(bytes)) => self.incoming.push_back(bytes),
                    None => {}
                }
                let mut copy = BytesMut::with_capacity(SMALL_CHUNK);
                copy.extend_from_slice(&chunk);
                self.incoming.push_back(copy.freeze());
            }
        }
    }

    fn new(can_send: bool, can_receive: bool) -> Self {
        Self { send_done: !can_send, receive_done: !can_receive, ..Self::default() }
    }

    /// Whether the owner waits to hear that everything was taken; it is told by the caller.
    pub(crate) fn take_report(&mut self) -> bool {
        std::mem::take(&mut self.report)
    }

    /// Up to `max` bytes in one piece; several small chunks are joined.
    pub(crate) fn take(&mut self, max: usize) -> Bytes {
        let Some(mut first) = self.incoming.pop_front() else { return Bytes::new() };
        if first.len() > max {
            self.incoming.push_front(first.split_off(max));
        }
        if first.len() < max && !self.incoming.is_empty() {
            let mut joined = BytesMut::with_capacity(max.min(self.incoming_bytes));
            joined.extend_from_slice(&first);
            while let Some(mut next) = self.incoming.pop_front() {
                let room = max - joined.len();
                if next.len() > room {
                    self.incoming.push_front(next.split_off(room));
                }
                joined.extend_from_slice(&next);
                if joined.len() == max {
                    break;
                }
            }
            first = joined.freeze();
        }
        self.incoming_bytes -= first.len();
        first
    }
}

pub(crate) fn stream_id(raw: u64) -> q::StreamId {
    q::StreamId::from(q::VarInt::from_u64(raw).unwrap_or(q::VarInt::MAX))
}

fn code(raw: u64) -> q::VarInt {
    q::VarInt::from_u64(raw).unwrap_or(q::VarInt::MAX)
}

impl Engine {
    pub(crate) fn open_stream(&mut self, conn: Id, raw: u64) {
        let Some(c) = self.conns.get_mut(&conn).filter(|c| !c.q.is_closed()) else { return };
        let bidi = stream_id(raw).dir() == q::Dir::Bi;
        c.streams.insert(raw, Stream { opening: true, ..Stream::new(true, bidi) });
        c.opening.push_back(raw);
        self.open_waiting(conn);
    }

    /// Opens what the peer's limits allow, in order, and sends what waits on it.
    pub(crate) fn open_waiting(&mut self, conn: Id) {
        for dir in [q::Dir::Bi, q::Dir::Uni] {
            while let Some(raw) = self.open_next(conn, dir) {
                match self.stream(conn, raw) {
                    Some(s) if s.abandoned => self.drop_opened(conn, raw),
                    Some(_) => self.on_writable(conn, raw),
                    None => {}
                }
            }
        }
        self.mark(conn);
    }

    fn open_next(&mut self, conn: Id, dir: q::Dir) -> Option<u64> {
        let c = self.conns.get_mut(&conn)?;
        let at = c.opening.iter().position(|raw| stream_id(*raw).dir() == dir)?;
        let opened = u64::from(c.q.streams().open(dir)?);
        let raw = c.opening.remove(at)?;
        debug_assert_eq!(opened, raw, "the owner counts its streams");
        c.streams.get_mut(&raw)?.opening = false;
        Some(raw)
    }

    /// A stream that was given up before it was open: noq has to hear of it, or the peer waits for it.
    fn drop_opened(&mut self, conn: Id, raw: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let _ = c.q.send_stream(stream_id(raw)).reset(q::VarInt::from_u32(0));
        if stream_id(raw).dir() == q::Dir::Bi {
            let _ = c.q.recv_stream(stream_id(raw)).stop(q::VarInt::from_u32(0));
        }
        if let Some(s) = c.streams.get_mut(&raw) {
            (s.send_done, s.receive_done) = (true, true);
        }
        self.tidy(conn, raw);
    }

    /// Takes in the streams that the peer has opened.
    pub(crate) fn accept_streams(&mut self, conn: Id) {
        for dir in [q::Dir::Bi, q::Dir::Uni] {
            while let Some(stream) =
                self.conns.get_mut(&conn).filter(|c| c.accepted).and_then(|c| c.q.streams().accept(dir))
            {
                let raw = u64::from(stream);
                let bidi = dir == q::Dir::Bi;
                if let Some(c) = self.conns.get_mut(&conn) {
                    c.streams.insert(raw, Stream::new(bidi, true));
                }
                self.drain(conn, raw);
                let first = self.stream(conn, raw).map(|s| s.take(FIRST_BYTES)).unwrap_or_default();
                self.events.push(Event::StreamOpened { conn, stream: raw, bidi, first });
            }
        }
    }

    pub(crate) fn stream(&mut self, conn: Id, stream: u64) -> Option<&mut Stream> {
        self.conns.get_mut(&conn)?.streams.get_mut(&stream)
    }

    /// Moves arrived bytes from noq into the stream's own buffer, up to its bound.
    pub(crate) fn drain(&mut self, conn: Id, raw: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        // What is drained is paid back to the peer's window, so many streams share what one alone may hold.
        let ahead = (CONNECTION_READ_AHEAD / c.streams.len().max(1)).clamp(LEAST_READ_AHEAD, READ_AHEAD);
        let Some(s) = c.streams.get_mut(&raw) else { return };
        if s.receive_end.is_some() || s.receive_done || s.opening {
            return;
        }
        let mut receive = c.q.recv_stream(stream_id(raw));
        let Ok(mut chunks) = receive.read(true) else { return };
        let (mut read, mut unread) = (0, false);
        loop {
            // Also a full buffer asks: a reset must not wait for a reader that does not read.
            let room = ahead.saturating_sub(s.incoming_bytes);
            match chunks.next(room) {
                Ok(Some(_)) if room == 0 => {
                    unread = true;
                    break;
                }
                Ok(Some(chunk)) => {
                    read += chunk.bytes.len() as u64;
                    s.incoming_bytes += chunk.bytes.len();
                    s.push(chunk.bytes);
                }
                Ok(None) => {
                    s.receive_end = Some(ReceiveEnd::Finished);
                    break;
                }
                Err(q::ReadError::Blocked) => break,
                Err(q::ReadError::Reset(code)) => {
                    s.receive_end = Some(ReceiveEnd::Reset(code.into_inner()));
                    break;
                }
            }
        }
        let transmit = chunks.finalize().should_transmit();
        let was_unread = std::mem::replace(&mut s.unread, unread);
        self.taken(conn, read, was_unread, unread);
        if transmit {
            self.mark(conn);
        }
    }

    pub(crate) fn on_readable(&mut self, conn: Id, raw: u64) {
        self.drain(conn, raw);
        match self.stream(conn, raw).map(|s| s.to_socket) {
            Some(Some(socket)) => self.pump_to_socket(socket),
            Some(None) => self.deliver(conn, raw),
            None => {}
        }
    }

    pub(crate) fn read(&mut self, conn: Id, raw: u64, max: usize) {
        match self.stream(conn, raw) {
            Some(s) => s.wanted = Some(max.max(1)),
            None => self.events.push(Event::Read { conn, stream: raw, data: Err(Cut::Closed) }),
        }
        self.drain(conn, raw);
        self.deliver(conn, raw);
    }

    /// Answers a waiting read if there is something to say.
    fn deliver(&mut self, conn: Id, raw: u64) {
        let Some(s) = self.stream(conn, raw) else { return };
        let Some(max) = s.wanted else { return };
        let data = match s.receive_end {
            // A reset overtakes what is buffered.
            Some(ReceiveEnd::Reset(code)) => Err(Cut::Code(code)),
            _ if s.incoming_bytes > 0 => Ok(Some(s.take(max))),
            Some(ReceiveEnd::Finished) => Ok(None),
            None => return,
        };
        s.wanted = None;
        s.receive_done |= !matches!(data, Ok(Some(_)));
        self.events.push(Event::Read { conn, stream: raw, data });
        self.drain(conn, raw);
        self.tidy(conn, raw);
    }

    pub(crate) fn write(&mut self, conn: Id, raw: u64, data: Bytes, finish: bool, report: bool) {
        let Some(s) = self.stream(conn, raw).filter(|s| !s.send_done && s.cut.is_none()) else {
            if report {
                let cut = self.stream(conn, raw).and_then(|s| s.cut).or(Some(Cut::Closed));
                self.events.push(Event::Written { conn, stream: raw, cut });
            }
            return;
        };
        if !data.is_empty() {
            s.outgoing.push_back(data);
        }
        s.finish |= finish;
        s.report |= report;
        self.flush(conn, raw);
    }

    /// Moves the owner's bytes into noq as far as windows allow.
    pub(crate) fn flush(&mut self, conn: Id, raw: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(s) = c.streams.get_mut(&raw).filter(|s| !s.send_done && !s.opening) else { return };
        match write_all(&mut c.q, raw, &mut s.outgoing) {
            Ok(_) => {}
            Err(cut) => {
                s.cut = Some(cut);
                s.send_done = true;
                s.outgoing.clear();
            }
        }
        if s.outgoing.is_empty() && s.finish && !s.send_done {
            // An error here means that the peer has stopped the stream; the event for it follows.
            let _ = c.q.send_stream(stream_id(raw)).finish();
            s.send_done = true;
        }
        if s.report && (s.outgoing.is_empty() || s.cut.is_some()) {
            s.report = false;
            let cut = s.cut;
            self.events.push(Event::Written { conn, stream: raw, cut });
        }
        self.mark(conn);
        self.tidy(conn, raw);
    }

    pub(crate) fn on_writable(&mut self, conn: Id, raw: u64) {
        match self.stream(conn, raw).and_then(|s| s.from_socket) {
            Some(socket) => self.pump_from_socket(socket),
            None => self.flush(conn, raw),
        }
    }

    /// The peer wants no more of this stream.
    pub(crate) fn on_stopped(&mut self, conn: Id, raw: u64, error: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        // noq wants to hear a reset for a stopped stream (RFC 9000 §3.5).
        let _ = c.q.send_stream(stream_id(raw)).reset(code(error));
        let Some(s) = c.streams.get_mut(&raw) else { return };
        s.cut = Some(Cut::Code(error));
        s.send_done = true;
        s.outgoing.clear();
        let report = std::mem::take(&mut s.report);
        let socket = s.from_socket;
        if report {
            self.events.push(Event::Written { conn, stream: raw, cut: Some(Cut::Code(error)) });
        }
        if let Some(socket) = socket {
            self.stream_stopped_socket(socket);
        }
        self.tidy(conn, raw);
    }

    pub(crate) fn reset_stream(&mut self, conn: Id, raw: u64, error: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(s) = c.streams.get_mut(&raw).filter(|s| !s.send_done) else { return };
        s.outgoing.clear();
        if s.opening {
            s.abandoned = true;
        } else {
            let _ = c.q.send_stream(stream_id(raw)).reset(code(error));
            s.send_done = true;
        }
        let socket = s.from_socket;
        if s.take_report() {
            self.events.push(Event::Written { conn, stream: raw, cut: Some(Cut::Closed) });
        }
        if let Some(socket) = socket {
            self.drop_tcp(socket, true);
        }
        self.mark(conn);
        self.tidy(conn, raw);
    }

    pub(crate) fn stop_stream(&mut self, conn: Id, raw: u64, error: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(s) = c.streams.get_mut(&raw).filter(|s| !s.receive_done) else { return };
        if s.opening {
            s.abandoned = true;
        } else if s.receive_end.is_none() {
            let _ = c.q.recv_stream(stream_id(raw)).stop(code(error));
        }
        s.receive_done = !s.opening;
        s.incoming.clear();
        s.incoming_bytes = 0;
        let was_unread = std::mem::take(&mut s.unread);
        let socket = s.to_socket;
        if s.wanted.take().is_some() {
            self.events.push(Event::Read { conn, stream: raw, data: Err(Cut::Closed) });
        }
        self.taken(conn, 0, was_unread, false);
        if let Some(socket) = socket {
            self.drop_tcp(socket, true);
        }
        self.mark(conn);
        self.tidy(conn, raw);
    }

    /// Forgets a stream once both directions are over.
    pub(crate) fn tidy(&mut self, conn: Id, raw: u64) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(s) = c.streams.get(&raw) else { return };
        let busy = s.from_socket.is_some() || s.to_socket.is_some() || s.wanted.is_some();
        if s.send_done && s.receive_done && !busy {
            if s.spliced {
                let (sent, received, end) = (s.sent, s.received, s.splice_end.unwrap_or(SpliceEnd::Finished));
                self.events.push(Event::SpliceDone { conn, stream: raw, sent, received, end });
            } else {
                self.events.push(Event::StreamClosed { conn, stream: raw });
            }
            c.streams.remove(&raw);
        }
    }

    /// The connection is closing: everybody who waits on a stream hears it now.
    pub(crate) fn cut_streams(&mut self, conn: Id) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let streams = std::mem::take(&mut c.streams);
        c.opening.clear();
        self.end_splices(conn, streams);
    }

    pub(crate) fn end_splices(&mut self, conn: Id, streams: FxHashMap<u64, Stream>) {
        for (stream, s) in streams {
            if s.wanted.is_some() {
                self.events.push(Event::Read { conn, stream, data: Err(Cut::Closed) });
            }
            if s.report {
                self.events.push(Event::Written { conn, stream, cut: Some(Cut::Closed) });
            }
            for socket in [s.from_socket, s.to_socket].into_iter().flatten() {
                self.drop_tcp(socket, true);
            }
            if s.spliced {
                let end = s.splice_end.unwrap_or(SpliceEnd::Closed);
                self.events.push(Event::SpliceDone { conn, stream, sent: s.sent, received: s.received, end });
            }
        }
    }
}

/// Writes until the queue is empty or noq wants no more. Returns the bytes taken.
pub(crate) fn write_all(conn: &mut q::Connection, raw: u64, queue: &mut VecDeque<Bytes>) -> Result<u64, Cut> {
    let mut total = 0;
    while !queue.is_empty() {
        let chunks = queue.make_contiguous();
        let before = chunks.len();
        let mut rest = &mut chunks[..];
        let written = conn.send_stream(stream_id(raw)).write_chunks(&mut rest);
        let taken = before - rest.len();
        queue.drain(..taken);
        match written {
            Ok(n) => total += n as u64,
            Err(q::WriteError::Blocked) => break,
            Err(q::WriteError::Stopped(code)) => return Err(Cut::Code(code.into_inner())),
            Err(q::WriteError::ClosedStream) => return Err(Cut::Closed),
        }
    }
    Ok(total)
}
