//! TCP sockets of the local side: listening, dialling, the few bytes that the owner reads itself, and
//! the splice that joins a socket to a stream without the owner seeing a byte.

use super::core::{Engine, KIND_TCP, KIND_TCP_LISTENER, TimerKey};
use super::streams::{CODE_TCP_RESET, ReceiveEnd, stream_id, write_all};
use super::types::{Cut, Event, Id, SpliceEnd};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Bytes read from a socket at a time.
const READ_SIZE: usize = 64 << 10;
/// Bytes that one socket moves before others get their turn; it goes on when the loop comes round.
const TURN: usize = 1 << 20;
/// Connections accepted per readiness event.
const ACCEPTS: usize = 64;
const MAX_SLICES: usize = 32;

pub(crate) struct Tcp {
    socket: TcpStream,
    connecting: Option<Instant>,
    readable: bool,
    writable: bool,
    /// Nothing more comes from the socket.
    eof: bool,
    error: Option<ErrorKind>,
    buffer: BytesMut,
    /// Read from the socket or given by the owner, on its way into the stream.
    staged: VecDeque<Bytes>,
    wanted: Option<usize>,
    outgoing: VecDeque<Bytes>,
    report: bool,
    /// Our side of the socket is shut.
    shut: bool,
    closing: bool,
    to_stream: Option<(Id, u64)>,
    from_stream: Option<(Id, u64)>,
}

impl Tcp {
    fn new(socket: TcpStream, connecting: Option<Instant>) -> Self {
        Self {
            socket,
            connecting,
            readable: false,
            writable: false,
            eof: false,
            error: None,
            buffer: BytesMut::new(),
            staged: VecDeque::new(),
            wanted: None,
            outgoing: VecDeque::new(),
            report: false,
            shut: false,
            closing: false,
            to_stream: None,
            from_stream: None,
        }
    }

    /// One read into a fresh piece of the buffer; `None` when nothing is there now.
    fn read_some(&mut self, max: usize) -> Option<Bytes> {
        if !self.readable || self.eof || self.error.is_some() {
            return None;
        }
        let size = max.min(READ_SIZE);
        self.buffer.resize(size, 0);
        match self.socket.read(&mut self.buffer[..size]) {
            Ok(0) => {
                self.eof = true;
                None
            }
            Ok(n) => {
                let bytes = self.buffer.split_to(n).freeze();
                self.buffer.clear();
                if self.buffer.capacity() < READ_SIZE / 4 {
                    self.buffer = BytesMut::with_capacity(READ_SIZE);
                }
                Some(bytes)
            }
            Err(e) => {
                match e.kind() {
                    ErrorKind::WouldBlock => self.readable = false,
                    ErrorKind::Interrupted => {}
                    kind => self.error = Some(kind),
                }
                None
            }
        }
    }

    /// Writes from the front of a queue; false when the socket is full or broken.
    fn write_some(&mut self, queue: &mut VecDeque<Bytes>) -> Option<usize> {
        if !self.writable || self.error.is_some() {
            return None;
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(queue.iter()) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        match self.socket.write_vectored(&slices[..count]) {
            Ok(n) => {
                consume(queue, n);
                Some(n)
            }
            Err(e) => {
                match e.kind() {
                    ErrorKind::WouldBlock => self.writable = false,
                    ErrorKind::Interrupted => return Some(0),
                    kind => self.error = Some(kind),
                }
                None
            }
        }
    }

    fn shut_write(&mut self) {
        if !self.shut {
            self.shut = true;
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }
}

fn consume(queue: &mut VecDeque<Bytes>, mut n: usize) {
    while n > 0 {
        let Some(front) = queue.front_mut() else { return };
        let step = n.min(front.len());
        front.advance(step);
        n -= step;
        if front.is_empty() {
            queue.pop_front();
        }
    }
}

pub(crate) struct TcpListening {
    socket: std::net::TcpListener,
}

impl Engine {
    pub(crate) fn listen_tcp(&mut self, id: Id, socket: std::net::TcpListener) {
        let ready = socket.set_nonblocking(true).and_then(|()| self.poller.add(socket.as_raw_fd(), KIND_TCP_LISTENER << 32 | u64::from(id)));
        if ready.is_ok() {
            self.tcp_listeners.insert(id, TcpListening { socket });
            self.accept_tcp(id);
        }
    }

    pub(crate) fn accept_tcp(&mut self, listener: Id) {
        for _ in 0..ACCEPTS {
            let Some(l) = self.tcp_listeners.get(&listener) else { return };
            match l.socket.accept() {
                Ok((socket, remote)) => {
                    let id = self.new_remote_id();
                    if self.insert_tcp(id, socket, None).is_ok() {
                        self.events.push(Event::TcpAccepted { listener, socket: id, remote });
                    }
                }
                Err(e) if e.kind() == ErrorKind::ConnectionAborted || e.kind() == ErrorKind::Interrupted => {}
                // Also when descriptors have run out: the listener stays readable in the kernel and the
                // next connection wakes us.
                Err(_) => return,
            }
        }
        // More may wait, and an edge-triggered poller will not say so again.
        self.timers.insert((Instant::now(), TimerKey::Dial(listener)));
    }

    fn insert_tcp(&mut self, id: Id, socket: TcpStream, connecting: Option<Instant>) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let _ = socket.set_nodelay(true);
        self.poller.add(socket.as_raw_fd(), KIND_TCP << 32 | u64::from(id))?;
        self.tcp.insert(id, Tcp::new(socket, connecting));
        Ok(())
    }

    pub(crate) fn dial_tcp(&mut self, id: Id, remote: SocketAddr, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let started = start_connect(remote).and_then(|s| self.insert_tcp(id, s, Some(deadline)));
        match started {
            Ok(()) => drop(self.timers.insert((deadline, TimerKey::Dial(id)))),
            Err(e) => self.events.push(Event::TcpConnected { socket: id, error: Some(e.kind()) }),
        }
    }

    pub(crate) fn dial_timeout(&mut self, id: Id) {
        if self.tcp_listeners.contains_key(&id) {
            self.accept_tcp(id);
        } else if self.tcp.get(&id).is_some_and(|t| t.connecting.is_some()) {
            self.tcp.remove(&id);
            self.events.push(Event::TcpConnected { socket: id, error: Some(ErrorKind::TimedOut) });
        }
    }

    pub(crate) fn tcp_ready(&mut self, id: Id, readable: bool, writable: bool) {
        let Some(t) = self.tcp.get_mut(&id) else { return };
        if t.connecting.is_some() {
            self.finish_connect(id);
        }
        let Some(t) = self.tcp.get_mut(&id).filter(|t| t.connecting.is_none()) else { return };
        t.readable |= readable;
        t.writable |= writable;
        self.pump(id);
    }

    fn finish_connect(&mut self, id: Id) {
        let Some(t) = self.tcp.get_mut(&id) else { return };
        let error = match t.socket.take_error() {
            Ok(None) if t.socket.peer_addr().is_ok() => None,
            Ok(None) => return,
            Ok(Some(e)) | Err(e) => Some(e.kind()),
        };
        if let Some(deadline) = t.connecting.take() {
            self.timers.remove(&(deadline, TimerKey::Dial(id)));
        }
        self.events.push(Event::TcpConnected { socket: id, error });
        if error.is_some() {
            self.tcp.remove(&id);
        }
    }

    fn pump(&mut self, id: Id) {
        self.tcp_deliver(id);
        self.tcp_flush(id);
        self.pump_from_socket(id);
        self.pump_to_socket(id);
    }

    pub(crate) fn tcp_read(&mut self, id: Id, max: usize) {
        match self.tcp.get_mut(&id) {
            Some(t) => t.wanted = Some(max.max(1)),
            None => self.events.push(Event::TcpRead { socket: id, data: Err(ErrorKind::NotConnected) }),
        }
        self.tcp_deliver(id);
    }

    fn tcp_deliver(&mut self, id: Id) {
        let Some(t) = self.tcp.get_mut(&id) else { return };
        let Some(max) = t.wanted else { return };
        let data = match t.read_some(max) {
            Some(bytes) => Ok(Some(bytes)),
            None if t.eof => Ok(None),
            None => match t.error {
                Some(kind) => Err(kind),
                None => return,
            },
        };
        t.wanted = None;
        self.events.push(Event::TcpRead { socket: id, data });
    }

    pub(crate) fn tcp_write(&mut self, id: Id, data: Bytes, report: bool) {
        match self.tcp.get_mut(&id) {
            Some(t) => {
                t.outgoing.push_back(data);
                t.report |= report;
            }
            None if report => self.events.push(Event::TcpWritten { socket: id, error: Some(ErrorKind::NotConnected) }),
            None => {}
        }
        self.tcp_flush(id);
    }

    fn tcp_flush(&mut self, id: Id) {
        let Some(t) = self.tcp.get_mut(&id) else { return };
        let mut queue = std::mem::take(&mut t.outgoing);
        while !queue.is_empty() && t.write_some(&mut queue).is_some() {}
        let over = queue.is_empty() || t.error.is_some();
        let error = t.error;
        t.outgoing = queue;
        if over && std::mem::take(&mut t.report) {
            self.events.push(Event::TcpWritten { socket: id, error });
        }
        if over && self.tcp.get(&id).is_some_and(|t| t.closing) {
            self.drop_tcp(id, false);
        }
    }

    pub(crate) fn tcp_close(&mut self, id: Id, reset: bool) {
        let Some(t) = self.tcp.get_mut(&id) else { return };
        if !reset && !t.outgoing.is_empty() && t.error.is_none() {
            t.closing = true;
            return;
        }
        self.drop_tcp(id, reset);
    }

    /// Closes a socket; with `reset` the other side sees a reset.
    pub(crate) fn drop_tcp(&mut self, id: Id, reset: bool) {
        let Some(t) = self.tcp.remove(&id) else { return };
        if t.wanted.is_some() {
            self.events.push(Event::TcpRead { socket: id, data: Err(ErrorKind::NotConnected) });
        }
        if t.report {
            self.events.push(Event::TcpWritten { socket: id, error: Some(ErrorKind::NotConnected) });
        }
        if reset {
            let _ = socket2::SockRef::from(&t.socket).set_linger(Some(Duration::ZERO));
        }
        for (conn, stream) in [t.to_stream, t.from_stream].into_iter().flatten() {
            if let Some(s) = self.stream(conn, stream) {
                s.from_socket = s.from_socket.filter(|s| *s != id);
                s.to_socket = s.to_socket.filter(|s| *s != id);
            }
        }
    }

    pub(crate) fn splice_send(&mut self, conn: Id, stream: u64, socket: Id, first: Bytes) {
        let known = self.tcp.contains_key(&socket);
        match self.stream(conn, stream).filter(|s| known && !s.send_done) {
            Some(s) => {
                s.from_socket = Some(socket);
                s.spliced = true;
            }
            None => return self.splice_failed(conn, stream, socket),
        }
        if let Some(t) = self.tcp.get_mut(&socket) {
            t.to_stream = Some((conn, stream));
            if !first.is_empty() {
                t.staged.push_front(first);
            }
        }
        self.pump_from_socket(socket);
    }

    pub(crate) fn splice_receive(&mut self, conn: Id, stream: u64, socket: Id, first: Bytes) {
        let known = self.tcp.contains_key(&socket);
        match self.stream(conn, stream).filter(|s| known && !s.receive_done) {
            Some(s) => {
                s.to_socket = Some(socket);
                s.spliced = true;
                if !first.is_empty() {
                    s.incoming_bytes += first.len();
                    s.incoming.push_front(first);
                }
            }
            None => return self.splice_failed(conn, stream, socket),
        }
        if let Some(t) = self.tcp.get_mut(&socket) {
            t.from_stream = Some((conn, stream));
        }
        self.drain(conn, stream);
        self.pump_to_socket(socket);
    }

    /// One of the two is gone already: the other must not wait for it.
    fn splice_failed(&mut self, conn: Id, stream: u64, socket: Id) {
        self.drop_tcp(socket, true);
        if let Some(s) = self.stream(conn, stream) {
            s.spliced = true;
            s.splice_end = Some(SpliceEnd::TcpReset);
        } else {
            self.events.push(Event::SpliceDone { conn, stream, sent: 0, received: 0, end: SpliceEnd::Closed });
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
        let (Some(t), Some(c)) = (self.tcp.get_mut(&id), self.conns.get_mut(&conn)) else { return };
        let mut moved = 0u64;
        let mut stopped = false;
        while moved < TURN as u64 {
            match write_all(&mut c.q, stream, &mut t.staged) {
                Ok(n) => moved += n,
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

    fn socket_broke(&mut self, id: Id, conn: Id, stream: u64) {
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
        if self.tcp.get(&id).is_some_and(|t| t.to_stream.is_none() && t.from_stream.is_none() && t.shut && (t.eof || cut)) {
            self.drop_tcp(id, cut);
        }
    }

    pub(crate) fn pump_turn(&mut self, id: Id) {
        self.pump(id);
    }
}

fn start_connect(remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(remote), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) || e.kind() == ErrorKind::WouldBlock => {}
        Err(e) => return Err(e),
    }
    Ok(socket.into())
}

