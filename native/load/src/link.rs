//! A network path in user space: a UDP forwarder with delay, random loss and a bottleneck, for kernels without
//! netem. Every peer that sends to it gets a socket of its own towards the other end, as behind a NAT.
//!
//! Not carried over: ECN marks (QUIC's validation then turns ECN off), and batches of a sender with segmentation
//! offload, which arrive as single datagrams.

mod direction;
mod random;

use crate::args::Args;
use crate::frame::now;
use crate::udp::{self, Address, BATCH, Batch, MAX_DATAGRAM};
use direction::{Direction, Shape};
use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sources served; datagrams of more are dropped and counted.
const MAX_PEERS: usize = 256;
/// How long it sleeps when nothing is under way.
const IDLE_NANOS: u64 = 100_000_000;

/// `listen=`, `upstream=`, `delay_us=` (one way), `loss=` (percent, each direction), `rate_mbps=` (each direction;
/// 0: no bottleneck), `buffer=` (bytes in front of the bottleneck), `seed=`. A line on stdin is answered with what
/// was forwarded and dropped so far.
pub(crate) fn run(args: &Args) -> Result<String, String> {
    let upstream: SocketAddr = args.get("upstream")?;
    let listener = udp::bind(args.get("listen")?).map_err(|e| e.to_string())?;
    let shape = Shape {
        delay_nanos: args.or("delay_us", 0u64)? * 1_000,
        loss: args.or("loss", 0.0f64)? / 100.0,
        bytes_per_second: args.or("rate_mbps", 0.0f64)? * 1e6 / 8.0,
        buffer: args.or("buffer", 256 << 10)?,
    };
    let seed: u64 = args.or("seed", 1)?;
    let up = Direction::new(shape, seed);
    let down = Direction::new(shape, !seed);
    let counted = [up.counters(), down.counters()];
    println!("{}", listener.local_addr().map_err(|e| e.to_string())?);
    let _ = io::stdout().flush();
    std::thread::spawn(move || answer(&counted));
    Link { listener, upstream, peers: Vec::new(), known: HashMap::new(), up, down, batch: Batch::default() }
        .run()
}

/// Says what was counted for each line; the end of standard input ends the process.
fn answer([up, down]: &[Arc<direction::Counters>; 2]) {
    for _ in io::stdin().lock().lines().map_while(Result::ok) {
        println!(r#"{{"up":{},"down":{}}}"#, up.json(), down.json());
        let _ = io::stdout().flush();
    }
    std::process::exit(0);
}

struct Peer {
    address: Address,
    upstream: UdpSocket,
}

struct Link {
    listener: UdpSocket,
    upstream: SocketAddr,
    peers: Vec<Peer>,
    known: HashMap<Address, usize>,
    /// Towards `upstream`.
    up: Direction,
    down: Direction,
    batch: Batch,
}

impl Link {
    fn run(&mut self) -> Result<String, String> {
        loop {
            let due = [self.up.next_due(), self.down.next_due()].into_iter().flatten().min();
            let wait = due.map_or(IDLE_NANOS, |due| due.saturating_sub(now()));
            let ready = self.wait(wait);
            for (i, readable) in ready.into_iter().enumerate() {
                if readable {
                    self.take(i.checked_sub(1)).map_err(|e| e.to_string())?;
                }
            }
            self.release();
        }
    }

    /// Which sockets can be read, the listener first.
    fn wait(&self, nanos: u64) -> Vec<bool> {
        let fds = std::iter::once(&self.listener).chain(self.peers.iter().map(|p| &p.upstream));
        let mut polled: Vec<_> =
            fds.map(|s| libc::pollfd { fd: s.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
        let (tv_sec, tv_nsec) = ((nanos / 1_000_000_000) as _, (nanos % 1_000_000_000) as _);
        let timeout = libc::timespec { tv_sec, tv_nsec };
        // SAFETY: the array lives, its length is given, a live timespec, no mask.
        unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as _, &timeout, std::ptr::null()) };
        polled.iter().map(|p| p.revents != 0).collect()
    }

    /// Reads what is there for the listener, or from upstream for a peer; at most a batch, to be fair to others.
    fn take(&mut self, from_upstream_of: Option<usize>) -> io::Result<()> {
        let fd = from_upstream_of.map_or(self.listener.as_raw_fd(), |i| self.peers[i].upstream.as_raw_fd());
        let n = self.batch.receive(fd, false)?;
        let now = now();
        for i in 0..n {
            let direction = if from_upstream_of.is_some() { &mut self.down } else { &mut self.up };
            if self.batch.datagram(i).len() > MAX_DATAGRAM {
                direction.refuse_long();
                continue;
            }
            let peer = match from_upstream_of {
                Some(peer) => Some(peer),
                None => peer(&mut self.peers, &mut self.known, self.batch.address(i), self.upstream)?,
            };
            match peer {
                Some(peer) => direction.enter(now, peer, self.batch.datagram(i)),
                None => direction.refuse_peer(),
            }
        }
        Ok(())
    }

    /// Sends what has been under way long enough.
    fn release(&mut self) {
        let now = now();
        loop {
            // All to one peer: each has a socket of its own.
            let mut to = None;
            while self.batch_has_room(to.is_none()) {
                let Some((peer, bytes)) = self.up.leave(now, to) else { break };
                to = Some(peer);
                self.batch.push(bytes.len(), |out| out.copy_from_slice(&bytes));
            }
            let Some(peer) = to else { break };
            let fd = self.peers[peer].upstream.as_raw_fd();
            send(&mut self.batch, fd, &self.up);
        }
        loop {
            self.batch.clear();
            while self.batch_has_room(false) {
                let Some((peer, bytes)) = self.down.leave(now, None) else { break };
                self.batch.push_to(self.peers[peer].address, &bytes);
            }
            if self.batch.count == 0 {
                return;
            }
            send(&mut self.batch, self.listener.as_raw_fd(), &self.down);
        }
    }

    fn batch_has_room(&mut self, first: bool) -> bool {
        if first {
            self.batch.clear();
        }
        self.batch.count < BATCH
    }
}

/// The number of a source, new or known; `None` when there are too many.
fn peer(
    peers: &mut Vec<Peer>,
    known: &mut HashMap<Address, usize>,
    address: Address,
    upstream: SocketAddr,
) -> io::Result<Option<usize>> {
    if let Some(&i) = known.get(&address) {
        return Ok(Some(i));
    }
    if peers.len() >= MAX_PEERS {
        return Ok(None);
    }
    let any: SocketAddr = if upstream.is_ipv4() { ([0u8; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = udp::bind(any)?;
    socket.connect(upstream)?;
    peers.push(Peer { address, upstream: socket });
    known.insert(address, peers.len() - 1);
    Ok(Some(peers.len() - 1))
}

/// What the system does not take is lost, as on any path, and counted.
fn send(batch: &mut Batch, fd: RawFd, direction: &Direction) {
    let sent = batch.send(fd);
    let refused = (batch.count - sent) as u64;
    direction.counted().forwarded.fetch_add(sent as u64, Ordering::Relaxed);
    direction.counted().refused.fetch_add(refused, Ordering::Relaxed);
}
