//! One connection to a relay, driven by the product's own engine.

use crate::args::Args;
use crate::frame::{Header, Kind, now};
use crate::histogram::Histogram;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use ztna_quic::engine::{
    self, Command, ConnectionStats, EndpointOptions, Event, FramePrefix, Handle, Id, Keys, TransportOptions,
};
use ztna_quic::tls::{TlsIdentity, TlsMaterial};

/// First byte of relay datagrams, whole and in fragments; a relay id of one byte follows.
const WHOLE: u8 = 0x2e;
const FRAGMENT: u8 = 0x2d;
pub(crate) const PREFIX: usize = 2;
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(200);

pub(crate) struct Link {
    handle: Arc<Handle>,
    pinger: Arc<Mutex<Option<Pinger>>>,
    pub(crate) conn: Id,
    remote: SocketAddr,
    alpn: String,
    transport: TransportOptions,
    pub(crate) max_datagram: usize,
    inbox: VecDeque<Bytes>,
    connected: bool,
    closed: Option<String>,
    stats: Option<ConnectionStats>,
    packets: Option<engine::EndpointStats>,
}

impl Link {
    /// Starts an endpoint from `chain=`, `key=`, `roots=` (PEM files), `remote=`, `alpn=`.
    pub(crate) fn new(args: &Args) -> Result<Self, String> {
        let file = |name| {
            let path: String = args.get(name)?;
            std::fs::read(&path).map_err(|e| format!("{path}: {e}"))
        };
        let options = EndpointOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: TlsMaterial {
                identity: Some(TlsIdentity { cert_chain_pem: file("chain")?, private_key_pem: file("key")? }),
                roots_pem: file("roots")?,
                crls_der: Vec::new(),
            },
            server: None,
            inner_server: None,
            keys: Keys::default(),
            busy_poll: engine::BUSY_POLL,
            direct: None,
            unread_window: engine::UNREAD_WINDOW,
        };
        let owner = std::thread::current();
        let pinger: Arc<Mutex<Option<Pinger>>> = Arc::default();
        let waking = pinger.clone();
        let wake = move || match &mut *waking.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(p) => p.collect(),
            None => owner.unpark(),
        };
        let handle = Arc::new(engine::spawn(options, wake).map_err(|e| e.to_string())?);
        let defaults = TransportOptions::default();
        Ok(Self {
            handle,
            pinger,
            conn: 0,
            remote: args.get("remote")?,
            alpn: args.get("alpn")?,
            transport: TransportOptions {
                initial_mtu: args.or("initial_mtu", defaults.initial_mtu)?,
                max_mtu: args.or("max_mtu", defaults.max_mtu)?,
                // A far end waits for minutes while others are measured.
                keep_alive: Some(Duration::from_secs(5)),
                ..defaults
            },
            max_datagram: 0,
            inbox: VecDeque::new(),
            connected: false,
            closed: None,
            stats: None,
            packets: None,
        })
    }

    /// Makes a connection and accepts it; gives how long the handshake took. `name` selects the ticket.
    pub(crate) fn connect(&mut self, name: &str) -> Result<Duration, String> {
        self.conn += 1;
        (self.connected, self.closed) = (false, None);
        let begin = Instant::now();
        self.handle.send(Command::Connect {
            conn: self.conn,
            remote: self.remote,
            server_name: name.into(),
            alpn: vec![self.alpn.clone().into_bytes()],
            transport: self.transport.clone(),
        });
        self.until(Duration::from_secs(5), "no connection", |l| l.connected)?;
        let took = begin.elapsed();
        self.handle.send(Command::Accept { conn: self.conn });
        Ok(took)
    }

    pub(crate) fn close(&mut self) {
        self.handle.send(Command::Close { conn: self.conn, code: 0, reason: Bytes::new() });
    }

    /// Waits until datagrams of `size` bytes pass whole: path-MTU discovery needs some traffic.
    pub(crate) fn grow(&mut self, size: usize) -> Result<(), String> {
        self.until(Duration::from_secs(5), "path MTU stays small", |l| {
            l.handle.send(Command::Ping { conn: l.conn });
            l.max_datagram >= size
        })
    }

    /// Sends back what comes in, within the engine, for every relay id of one byte.
    pub(crate) fn reflect(&self) {
        for id in 0..64u8 {
            let prefix = || FramePrefix {
                whole: Bytes::copy_from_slice(&[WHOLE, id]),
                fragment: Bytes::copy_from_slice(&[FRAGMENT, id]),
            };
            self.handle.send(Command::AddRule {
                rule: 1 + Id::from(id),
                from: self.conn,
                to: self.conn,
                matches: prefix(),
                rewrite: prefix(),
                max_bytes_per_second: None,
            });
        }
    }

    /// Queues one frame `[0x2e, relay id, payload]`.
    pub(crate) fn send(&self, relay_id: u8, payload: &[u8]) {
        send(&self.handle, self.conn, relay_id, payload);
    }

    /// One datagram of `size` bytes under way at a time, `wanted` times. Answers are handled on the
    /// engine's thread, where an agent's spliced data is handled too: no hop to another thread counts.
    pub(crate) fn ping(&self, wanted: u64, size: usize) -> Result<(Histogram, u64), String> {
        let lock = || self.pinger.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = std::thread::current();
        let mut first = Pinger {
            handle: self.handle.clone(),
            conn: self.conn,
            owner,
            payload: vec![0; size],
            times: Histogram::new(),
            sequence: 0,
            sent: 0,
            wanted,
        };
        first.send_next();
        *lock() = Some(first);
        let (mut seen, mut lost) = (0, 0);
        let mut since = Instant::now();
        while seen < wanted {
            // Also ends when something else happens on the connection.
            std::thread::park_timeout(PATIENCE);
            if let Some(p) = &mut *lock() {
                if p.times.total() != seen {
                    seen = p.times.total();
                    since = Instant::now();
                } else if since.elapsed() >= PATIENCE {
                    lost += 1;
                    since = Instant::now();
                    p.send_next();
                }
            }
            if lost > 20 {
                return Err("nothing comes back".into());
            }
        }
        let done = lock().take();
        done.map(|p| (p.times, lost)).ok_or_else(|| "interrupted".into())
    }

    /// The next datagram, without waiting.
    pub(crate) fn receive(&mut self) -> Result<Option<Bytes>, String> {
        if self.inbox.is_empty() {
            self.collect()?;
        }
        Ok(self.inbox.pop_front())
    }

    pub(crate) fn stats(&mut self) -> Result<(ConnectionStats, engine::EndpointStats), String> {
        self.handle.send(Command::ConnectionStats { conn: self.conn, request: 1 });
        self.handle.send(Command::Stats { request: 2 });
        self.until(Duration::from_secs(5), "no statistics", |l| l.stats.is_some() && l.packets.is_some())?;
        Ok((self.stats.take().unwrap_or_default(), self.packets.take().unwrap_or_default()))
    }

    fn until(&mut self, limit: Duration, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let end = Instant::now() + limit;
        while !done(self) {
            if Instant::now() > end {
                return Err(what.into());
            }
            std::thread::park_timeout(Duration::from_millis(5));
            self.collect()?;
        }
        Ok(())
    }

    fn collect(&mut self) -> Result<(), String> {
        for event in self.handle.drain() {
            match event {
                Event::Connected { max_datagram, .. } => {
                    (self.connected, self.max_datagram) = (true, max_datagram);
                }
                Event::MaxDatagram { conn, size } if conn == self.conn => self.max_datagram = size,
                Event::Datagrams { batch, .. } => self.inbox.extend(batch),
                Event::ConnectionStats { stats, .. } => self.stats = stats,
                Event::Stats { stats, .. } => self.packets = Some(stats),
                Event::Closed { conn, kind, reason, .. } if conn == self.conn && kind.name() != "local" => {
                    self.closed = Some(format!("connection closed: {} {reason}", kind.name()));
                }
                Event::Stopped { error } => self.closed = Some(error.unwrap_or_else(|| "stopped".into())),
                _ => {}
            }
        }
        self.closed.clone().map_or(Ok(()), Err)
    }
}

/// Answers each answer with the next question.
struct Pinger {
    handle: Arc<Handle>,
    conn: Id,
    owner: Thread,
    payload: Vec<u8>,
    times: Histogram,
    sequence: u64,
    sent: u64,
    wanted: u64,
}

impl Pinger {
    fn send_next(&mut self) {
        self.sequence += 1;
        self.sent = now();
        let header = Header { kind: Kind::Data, trial: 0, sequence: self.sequence, nanos: self.sent };
        header.write(&mut self.payload);
        send(&self.handle, self.conn, 1, &self.payload);
    }

    fn collect(&mut self) {
        for event in self.handle.drain() {
            let Event::Datagrams { batch, .. } = event else { continue };
            for frame in batch {
                let header = Header::read(frame.get(PREFIX..).unwrap_or_default());
                if header.is_some_and(|h| h.sequence == self.sequence) && self.times.total() < self.wanted {
                    self.times.add(now() - self.sent);
                    self.send_next();
                }
            }
        }
        if self.times.total() == self.wanted {
            self.owner.unpark();
        }
    }
}

fn send(handle: &Handle, conn: Id, relay_id: u8, payload: &[u8]) {
    let mut data = Vec::with_capacity(PREFIX + payload.len());
    data.extend_from_slice(&[WHOLE, relay_id]);
    data.extend_from_slice(payload);
    handle.send(Command::SendDatagram { conn, data: data.into() });
}
