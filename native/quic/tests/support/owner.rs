//! The owner of an engine: gives orders, and waits for what it is told.

use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use ztna_quic::engine::{
    CloseKind, Command, ConnectionStats, Cut, EndpointOptions, EndpointStats, Event, ForwardStats, Handle,
    Id, PathInfo, REMOTE, TransportOptions, UdpFlowStats, spawn,
};

/// Longest wait for one event. Only failing tests wait so long.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// Between two questions for something of which no event tells.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Owner {
    handle: Handle,
    woken: Receiver<()>,
    events: VecDeque<Event>,
    next_id: Id,
    /// Streams opened so far, by connection and kind.
    opened: HashMap<(Id, bool), u64>,
    stopped: bool,
}

impl Owner {
    pub(crate) fn start(options: EndpointOptions) -> Self {
        let (wake, woken) = channel();
        let wake = move || {
            let _ = wake.send(());
        };
        Self::around(spawn(options, wake).expect("engine"), woken)
    }

    /// For a handle with a wake-up of its own, which sends to `woken`.
    pub(crate) fn around(handle: Handle, woken: Receiver<()>) -> Self {
        Self { handle, woken, events: VecDeque::new(), next_id: 1, opened: HashMap::new(), stopped: false }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    pub(crate) fn send(&self, command: Command) {
        self.handle.send(command);
    }

    /// An id that this owner has not used.
    pub(crate) fn id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    /// The first event for which `pick` gives something; it is taken, the others stay.
    pub(crate) fn wait_for<T>(&mut self, what: &str, pick: impl FnMut(&Event) -> Option<T>) -> T {
        self.wait_until(Instant::now() + WAIT, pick).unwrap_or_else(|| {
            panic!("no {what} within {WAIT:?}; other events: {}", brief(&self.events));
        })
    }

    fn wait_until<T>(&mut self, deadline: Instant, mut pick: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        let mut seen = 0;
        loop {
            while seen < self.events.len() {
                if let Some(found) = pick(&self.events[seen]) {
                    self.events.remove(seen);
                    return Some(found);
                }
                seen += 1;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.woken.recv_timeout(rest) {
                Ok(()) => self.collect(),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    self.collect();
                    if seen == self.events.len() {
                        return None;
                    }
                }
            }
        }
    }

    fn collect(&mut self) {
        let new = self.handle.drain();
        self.stopped |= new.iter().any(|e| matches!(e, Event::Stopped { .. }));
        self.events.extend(new);
    }

    /// Events that have arrived and were not waited for.
    pub(crate) fn unseen(&mut self) -> impl Iterator<Item = &Event> {
        self.collect();
        self.events.iter()
    }

    /// Drops what was not waited for, and the numbers of streams: connections of before open no more.
    #[allow(dead_code, reason = "one of the two test programs needs it")]
    pub(crate) fn forget(&mut self) {
        self.collect();
        (self.events, self.opened) = Default::default();
    }

    /// Asks until the answer satisfies; for what no event tells.
    pub(crate) fn ask_until<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        mut ask: impl FnMut(&mut Self) -> T,
        satisfies: impl Fn(&T) -> bool,
    ) -> T {
        let deadline = Instant::now() + WAIT;
        loop {
            let answer = ask(self);
            if satisfies(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "not {what} within {WAIT:?}; last: {answer:?}");
            std::thread::park_timeout(PAUSE);
        }
    }
}

/// Connections.
impl Owner {
    pub(crate) fn connect(&mut self, remote: SocketAddr, alpn: &[u8], transport: TransportOptions) -> Id {
        let conn = self.id();
        let server_name = "peer.test".into();
        self.send(Command::Connect { conn, remote, server_name, alpn: vec![alpn.to_vec()], transport });
        conn
    }

    pub(crate) fn accept(&self, conn: Id) {
        self.send(Command::Accept { conn });
    }

    pub(crate) fn close(&self, conn: Id, code: u64, reason: &'static str) {
        self.send(Command::Close { conn, code, reason: Bytes::from_static(reason.as_bytes()) });
    }

    pub(crate) fn connected(&mut self, conn: Id) -> Connected {
        self.wait_for("connection", |e| connected(e).filter(|c| c.conn == conn))
    }

    /// The next connection that comes in over the socket, not accepted yet.
    pub(crate) fn incoming(&mut self) -> Connected {
        self.wait_for("incoming connection", |e| connected(e).filter(|c| c.is_server && c.via.is_none()))
    }

    /// The next connection that comes in over a virtual path, not accepted yet.
    pub(crate) fn incoming_inner(&mut self) -> Connected {
        self.wait_for("inner connection", |e| connected(e).filter(|c| c.is_server && c.via.is_some()))
    }

    pub(crate) fn accept_next(&mut self) -> Id {
        let conn = self.incoming().conn;
        self.accept(conn);
        conn
    }

    pub(crate) fn closed(&mut self, conn: Id) -> (CloseKind, Option<u64>, String) {
        self.wait_for("end of the connection", |e| match e {
            Event::Closed { conn: c, kind, code, reason } if *c == conn => {
                Some((*kind, *code, reason.clone()))
            }
            _ => None,
        })
    }

    /// How a handshake went: `None` when it succeeded, else the code with which it ended.
    pub(crate) fn outcome(&mut self, conn: Id) -> Option<u64> {
        self.wait_for("outcome of the handshake", |e| match e {
            Event::Connected { conn: c, .. } if *c == conn => Some(None),
            Event::Closed { conn: c, code, .. } if *c == conn => Some(Some(code.unwrap_or(u64::MAX))),
            _ => None,
        })
    }

    pub(crate) fn paths(&mut self, conn: Id) -> Vec<PathInfo> {
        let request = self.id();
        self.send(Command::Paths { conn, request });
        self.wait_for("paths", |e| match e {
            Event::Paths { request: r, paths } if *r == request => Some(paths.clone()),
            _ => None,
        })
    }

    /// Waits until path-MTU discovery has brought the largest datagram to `least` bytes.
    pub(crate) fn wait_for_mtu(&mut self, conn: Id, least: u16) -> u16 {
        let mtu = |o: &mut Self| o.paths(conn).iter().map(|p| p.mtu).min().unwrap_or(0);
        self.ask_until("the path MTU", mtu, |mtu| *mtu >= least)
    }

    pub(crate) fn stats(&mut self) -> EndpointStats {
        let request = self.id();
        self.send(Command::Stats { request });
        self.wait_for("statistics", |e| match e {
            Event::Stats { request: r, stats } if *r == request => Some(stats.clone()),
            _ => None,
        })
    }

    /// Packets or datagrams dropped for one cause.
    pub(crate) fn drops(&mut self, cause: &str) -> u64 {
        let stats = self.stats();
        let found = stats.drops.iter().find(|(name, _)| *name == cause);
        found.unwrap_or_else(|| panic!("no such cause: {cause}")).1
    }

    pub(crate) fn connection_stats(&mut self, conn: Id) -> Option<ConnectionStats> {
        let request = self.id();
        self.send(Command::ConnectionStats { conn, request });
        self.wait_for("statistics", |e| match e {
            Event::ConnectionStats { request: r, stats } if *r == request => Some(stats.clone()),
            _ => None,
        })
    }

    /// Drops of one cause on one connection.
    pub(crate) fn connection_drops(&mut self, conn: Id, cause: &str) -> u64 {
        let stats = self.connection_stats(conn).expect("open connection");
        stats.dropped.iter().find(|(name, _)| *name == cause).expect("a known cause").1
    }
}

/// Streams.
impl Owner {
    /// Opens the next stream of its kind; its number follows from how many there were (RFC 9000 §2.1).
    pub(crate) fn open(&mut self, conn: Id, bidi: bool) -> u64 {
        let count = self.opened.entry((conn, bidi)).or_default();
        let stream = 4 * *count + if bidi { 0 } else { 2 } + u64::from(conn & REMOTE != 0);
        *count += 1;
        self.send(Command::OpenStream { conn, stream });
        stream
    }

    /// The next stream of the peer: its number, whether it has two directions, its first bytes.
    pub(crate) fn stream(&mut self, conn: Id) -> (u64, bool, Bytes) {
        self.wait_for("stream of the peer", |e| match e {
            Event::StreamOpened { conn: c, stream, bidi, first } if *c == conn => {
                Some((*stream, *bidi, first.clone()))
            }
            _ => None,
        })
    }

    pub(crate) fn write(&self, conn: Id, stream: u64, data: impl Into<Bytes>, finish: bool) {
        self.send(Command::Write { conn, stream, data: data.into(), finish, report: false });
    }

    /// As [`Self::write`], to be followed by [`Self::written`].
    pub(crate) fn write_reported(&self, conn: Id, stream: u64, data: impl Into<Bytes>) {
        self.send(Command::Write { conn, stream, data: data.into(), finish: false, report: true });
    }

    pub(crate) fn written(&mut self, conn: Id, stream: u64) -> Option<Cut> {
        self.wait_for("end of writing", |e| match e {
            Event::Written { conn: c, stream: s, cut } if (*c, *s) == (conn, stream) => Some(*cut),
            _ => None,
        })
    }

    /// Takes the answer to a reported write if it is there already.
    pub(crate) fn take_written(&mut self, conn: Id, stream: u64) -> bool {
        self.collect();
        let of_it =
            |e: &Event| matches!(e, Event::Written { conn: c, stream: s, .. } if (*c, *s) == (conn, stream));
        self.events.iter().position(of_it).map(|at| self.events.remove(at)).is_some()
    }

    pub(crate) fn read(&mut self, conn: Id, stream: u64, max: usize) -> Result<Option<Bytes>, Cut> {
        self.send(Command::Read { conn, stream, max });
        self.was_read(conn, stream)
    }

    /// The answer to a `Read`.
    pub(crate) fn was_read(&mut self, conn: Id, stream: u64) -> Result<Option<Bytes>, Cut> {
        self.wait_for("bytes of a stream", |e| match e {
            Event::Read { conn: c, stream: s, data } if (*c, *s) == (conn, stream) => Some(data.clone()),
            _ => None,
        })
    }

    pub(crate) fn read_to_end(&mut self, conn: Id, stream: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = self.read(conn, stream, 256 << 10).expect("stream is not cut") {
            all.extend_from_slice(&bytes);
        }
        all
    }

    /// Reads exactly so many bytes.
    pub(crate) fn read_exactly(&mut self, conn: Id, stream: u64, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length {
            let bytes = self.read(conn, stream, length - all.len()).expect("stream is not cut");
            all.extend_from_slice(&bytes.expect("stream goes on"));
        }
        all
    }
}

/// Datagrams and rules.
impl Owner {
    pub(crate) fn datagram(&self, conn: Id, data: impl Into<Bytes>) {
        self.send(Command::SendDatagram { conn, data: data.into() });
    }

    /// At least `count` datagrams of a connection.
    pub(crate) fn datagrams(&mut self, conn: Id, count: usize) -> Vec<Bytes> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.wait_for("datagrams", |e| match e {
                Event::Datagrams { conn: c, batch } if *c == conn => Some(batch.clone()),
                _ => None,
            }));
        }
        all
    }

    /// Datagrams that have arrived until now.
    pub(crate) fn take_datagrams(&mut self, conn: Id) -> Vec<Bytes> {
        self.collect();
        let of_it = |e: &Event| matches!(e, Event::Datagrams { conn: c, .. } if *c == conn);
        let (taken, rest) = std::mem::take(&mut self.events).into_iter().partition::<Vec<_>, _>(of_it);
        self.events = rest.into();
        taken
            .into_iter()
            .flat_map(|e| match e {
                Event::Datagrams { batch, .. } => batch,
                _ => vec![],
            })
            .collect()
    }

    pub(crate) fn rule_stats(&mut self, rule: Id) -> Option<ForwardStats> {
        let request = self.id();
        self.send(Command::RuleStats { rule, request });
        self.wait_for("statistics of a rule", |e| match e {
            Event::RuleStats { request: r, stats } if *r == request => Some(*stats),
            _ => None,
        })
    }

    pub(crate) fn flow_stats(&mut self, flow: Id) -> Option<UdpFlowStats> {
        let request = self.id();
        self.send(Command::UdpFlowStats { flow, request });
        self.wait_for("statistics of a flow", |e| match e {
            Event::UdpFlowStats { request: r, stats } if *r == request => Some(*stats),
            _ => None,
        })
    }

    /// The last report of how large a datagram of the connection may be.
    pub(crate) fn connected_limit(&mut self, conn: Id) -> Option<usize> {
        self.collect();
        self.events.iter().rev().find_map(|e| match e {
            Event::MaxDatagram { conn: c, size } if *c == conn => Some(*size),
            _ => None,
        })
    }

    /// Orders given before are carried out when this returns.
    pub(crate) fn settle(&mut self) {
        self.stats();
    }
}

/// The end.
impl Owner {
    pub(crate) fn shutdown(&self, code: u64, reason: &'static str) {
        self.send(Command::Shutdown { code, reason: Bytes::from_static(reason.as_bytes()) });
    }

    /// Waits for the end of the thread; gives its error.
    pub(crate) fn stopped(&mut self) -> Option<String> {
        self.wait_for("end of the engine", |e| match e {
            Event::Stopped { error } => Some(error.clone()),
            _ => None,
        })
    }
}

impl Drop for Owner {
    /// A thread that ended by itself with an error fails the test that did not expect it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.collect();
        for event in &self.events {
            if let Event::Stopped { error: Some(error) } = event {
                panic!("the engine ended: {error}");
            }
        }
    }
}

/// What a connection began with.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) conn: Id,
    pub(crate) is_server: bool,
    pub(crate) remote: SocketAddr,
    pub(crate) via: Option<Id>,
    pub(crate) alpn: Vec<u8>,
    pub(crate) peer_chain: Vec<Vec<u8>>,
    pub(crate) resumed: bool,
    pub(crate) max_datagram: usize,
}

fn connected(event: &Event) -> Option<Connected> {
    let Event::Connected { conn, is_server, remote, via, alpn, peer_chain, resumed, max_datagram } = event
    else {
        return None;
    };
    Some(Connected {
        conn: *conn,
        is_server: *is_server,
        remote: *remote,
        via: *via,
        alpn: alpn.clone(),
        peer_chain: peer_chain.clone(),
        resumed: *resumed,
        max_datagram: *max_datagram,
    })
}

fn brief(events: &VecDeque<Event>) -> String {
    let each = events.iter().rev().take(20).map(|e| format!("{e:?}").chars().take(160).collect::<String>());
    each.collect::<Vec<_>>().join("; ")
}
