//! TCP sockets of the local side: listening, dialling, and the few bytes that the owner reads itself.

use super::core::{Engine, KIND_TCP, KIND_TCP_LISTENER, TimerKey};
use super::poller::Interest;
use super::types::{Event, Id};
use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Bytes read from a socket at a time.
pub(super) const READ_SIZE: usize = 64 << 10;
/// Connections accepted per readiness event.
const ACCEPTS: usize = 64;
/// Longest wait; far beyond it, times cannot be added any more.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);
const MAX_SLICES: usize = 32;

/// What a socket is joined to once it is connected.
pub(crate) struct Join {
    pub(crate) conn: Id,
    pub(crate) stream: u64,
    /// Sent on the stream before the socket's bytes.
    pub(crate) preamble: Bytes,
    /// Sent to the socket before the stream's bytes.
    pub(crate) first: Bytes,
}

pub(crate) struct Tcp {
    socket: TcpStream,
    join: Option<Join>,
    connecting: Option<Instant>,
    readable: bool,
    writable: bool,
    /// Nothing more comes from the socket.
    pub(super) eof: bool,
    pub(super) error: Option<ErrorKind>,
    buffer: BytesMut,
    /// Read from the socket or given by the owner, on its way into the stream.
    pub(super) staged: VecDeque<Bytes>,
    /// Bytes at the front of `staged` that the owner wrote to the stream before the splice.
    pub(super) written_before: usize,
    wanted: Option<usize>,
    outgoing: VecDeque<Bytes>,
    report: bool,
    /// Our side of the socket is shut.
    pub(super) shut: bool,
    closing: bool,
    pub(super) to_stream: Option<(Id, u64)>,
    pub(super) from_stream: Option<(Id, u64)>,
}

impl Tcp {
    fn new(socket: TcpStream, connecting: Option<Instant>) -> Self {
        Self {
            socket,
            join: None,
            connecting,
            readable: false,
            writable: false,
            eof: false,
            error: None,
            buffer: BytesMut::new(),
            staged: VecDeque::new(),
            written_before: 0,
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
    pub(super) fn read_some(&mut self, max: usize) -> Option<Bytes> {
        if !self.readable || self.eof || self.error.is_some() {
            return None;
        }
        if self.buffer.capacity() < READ_SIZE / 4 {
            self.buffer = BytesMut::with_capacity(READ_SIZE);
        }
        let room = self.buffer.capacity().min(max).min(READ_SIZE);
        match SockRef::from(&self.socket).recv(&mut self.buffer.spare_capacity_mut()[..room]) {
            Ok(0) => {
                self.eof = true;
                None
            }
            Ok(n) => {
                // SAFETY: the kernel wrote the first `n` bytes of the spare capacity of an empty buffer.
                unsafe { self.buffer.set_len(n) };
                Some(self.buffer.split().freeze())
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
    pub(super) fn write_some(&mut self, queue: &mut VecDeque<Bytes>) -> Option<usize> {
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

    pub(super) fn shut_write(&mut self) {
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
        let ready = socket.set_nonblocking(true).and_then(|()| {
            self.poller.add(socket.as_raw_fd(), KIND_TCP_LISTENER << 32 | u64::from(id), Interest::Read)
        });
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
        self.poller.add(socket.as_raw_fd(), KIND_TCP << 32 | u64::from(id), Interest::ReadWrite)?;
        self.tcp.insert(id, Tcp::new(socket, connecting));
        Ok(())
    }

    /// Connects; with `join` the stream that the socket is for is served at once.
    pub(crate) fn dial_tcp(&mut self, id: Id, remote: SocketAddr, timeout: Duration, join: Option<Join>) {
        let deadline = Instant::now() + timeout.min(MAX_TIMEOUT);
        let started = start_connect(remote).and_then(|s| self.insert_tcp(id, s, Some(deadline)));
        match started {
            Ok(()) => {
                self.timers.insert((deadline, TimerKey::Dial(id)));
                if let Some(t) = self.tcp.get_mut(&id) {
                    t.join = join;
                }
            }
            Err(e) => self.events.push(Event::TcpConnected { socket: id, error: Some(e.kind()) }),
        }
    }

    pub(crate) fn dial_timeout(&mut self, id: Id) {
        if self.tcp_listeners.contains_key(&id) {
            self.accept_tcp(id);
        } else if self.tcp.get(&id).is_some_and(|t| t.connecting.is_some()) {
            self.tcp.remove(&id);
            let error = Some(ErrorKind::TimedOut);
            self.events.push(Event::TcpConnected { socket: id, error });
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
        let join = t.join.take();
        self.events.push(Event::TcpConnected { socket: id, error });
        if error.is_some() {
            self.tcp.remove(&id);
        } else if let Some(Join { conn, stream, preamble, first }) = join {
            self.write(conn, stream, preamble, false, false);
            self.splice_send(conn, stream, id, Bytes::new());
            self.splice_receive(conn, stream, id, first, Bytes::new());
        }
    }

    pub(super) fn pump(&mut self, id: Id) {
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
            None if report => {
                self.events.push(Event::TcpWritten { socket: id, error: Some(ErrorKind::NotConnected) })
            }
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

    /// Closes a socket, and the stream that it is joined to with it.
    pub(crate) fn tcp_close(&mut self, id: Id, reset: bool) {
        let Some(t) = self.tcp.get_mut(&id) else { return };
        if !reset && !t.outgoing.is_empty() && t.error.is_none() {
            t.closing = true;
            return;
        }
        match t.to_stream.or(t.from_stream) {
            Some((conn, stream)) => self.socket_broke(id, conn, stream),
            None => self.drop_tcp(id, reset),
        }
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
            let _ = SockRef::from(&t.socket).set_linger(Some(Duration::ZERO));
        }
        for (conn, stream) in [t.to_stream, t.from_stream].into_iter().flatten() {
            if let Some(s) = self.stream(conn, stream) {
                s.from_socket = s.from_socket.filter(|s| *s != id);
                s.to_socket = s.to_socket.filter(|s| *s != id);
            }
        }
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
