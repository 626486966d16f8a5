//! A network between one client and a server: it loses, doubles and swaps packets by a seeded generator,
//! goes silent, moves the client to another address, or leads it to another server.

use super::Random;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Silence after which packets that were held back to swap them go on.
const FLUSH: Duration = Duration::from_millis(5);
const BUFFER: usize = 4 << 20;

/// What happens to packets, as probabilities.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    pub(crate) loss: f64,
    pub(crate) doubling: f64,
    pub(crate) swapping: f64,
    /// Width of the line in each direction.
    pub(crate) bytes_per_second: Option<u64>,
}

pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    front: UdpSocket,
    ways: Mutex<Ways>,
    trouble: Trouble,
    stop: AtomicBool,
    to_server_open: AtomicBool,
    to_client_open: AtomicBool,
    lost: AtomicU64,
    largest: AtomicUsize,
}

struct Ways {
    client: Option<SocketAddr>,
    back: Arc<UdpSocket>,
    server: SocketAddr,
    server_after_answer: Option<SocketAddr>,
    /// The client's last packet that passed.
    last: Vec<u8>,
    forged: Vec<Arc<UdpSocket>>,
}

impl Proxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::with_trouble(server, Trouble::default(), 0)
    }

    pub(crate) fn with_trouble(server: SocketAddr, trouble: Trouble, seed: u64) -> Self {
        let (front, back) = (socket(), Arc::new(socket()));
        let address = front.local_addr().expect("address");
        let ways = Ways {
            client: None,
            back: back.clone(),
            server,
            server_after_answer: None,
            last: vec![],
            forged: vec![],
        };
        let shared = Arc::new(Shared {
            front,
            ways: Mutex::new(ways),
            trouble,
            stop: AtomicBool::new(false),
            to_server_open: AtomicBool::new(true),
            to_client_open: AtomicBool::new(true),
            lost: AtomicU64::new(0),
            largest: AtomicUsize::new(usize::MAX),
        });
        let mut proxy = Self { shared: shared.clone(), address, threads: vec![] };
        proxy.threads.push(std::thread::spawn(move || shared.carry_to_server(seed)));
        proxy.answers_from(back, seed + 1);
        proxy
    }

    /// Where the client has to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the server sees the client.
    pub(crate) fn outside(&self) -> SocketAddr {
        self.shared.ways().back.local_addr().expect("address")
    }

    /// Packets of either direction pass, or vanish.
    pub(crate) fn pass(&self, to_server: bool, to_client: bool) {
        self.shared.to_server_open.store(to_server, Ordering::SeqCst);
        self.shared.to_client_open.store(to_client, Ordering::SeqCst);
    }

    /// Larger packets vanish from now on, in both directions.
    pub(crate) fn narrow(&self, largest: usize) {
        self.shared.largest.store(largest, Ordering::SeqCst);
    }

    /// As a NAT that has forgotten the client: its packets come from another port now, and what goes to
    /// the old one is lost.
    pub(crate) fn move_client(&mut self) {
        self.move_client_to(super::loopback());
    }

    /// The same, to another address.
    pub(crate) fn move_client_to(&mut self, address: SocketAddr) {
        let back = Arc::new(socket_at(address));
        self.shared.ways().back = back.clone();
        self.answers_from(back, 7);
    }

    /// The client's packets seem to come from these in turn. What is answered waits there for nobody.
    pub(crate) fn forge(&mut self, sources: Vec<Arc<UdpSocket>>) {
        self.shared.ways().forged = sources;
    }

    /// Leads the client's packets to another server.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        self.shared.ways().server = server;
    }

    /// As [`Self::lead_to`], once the present server has answered.
    pub(crate) fn lead_to_after_answer(&self, server: SocketAddr) {
        self.shared.ways().server_after_answer = Some(server);
    }

    /// Sends the client's last packet to the server again and again.
    pub(crate) fn flood(&self, copies: usize) {
        let ways = self.shared.ways();
        for _ in 0..copies {
            ways.back.send_to(&ways.last, ways.server).expect("room");
        }
    }

    /// Packets that got lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }

    fn answers_from(&mut self, back: Arc<UdpSocket>, seed: u64) {
        let shared = self.shared.clone();
        self.threads.push(std::thread::spawn(move || shared.carry_to_client(&back, seed)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().expect("proxy threads do not panic")
    }

    fn fits(&self, packet: &[u8]) -> bool {
        packet.len() <= self.largest.load(Ordering::SeqCst)
    }

    fn carry_to_server(&self, seed: u64) {
        let mut line = Line::new(self.trouble, seed);
        while !self.stop.load(Ordering::SeqCst) {
            line.receive(&self.front, &self.lost, |packet, from| {
                let mut ways = self.ways();
                // Before the packet leaves: the answer may be here at once.
                ways.client = Some(from);
                if !ways.forged.is_empty() {
                    ways.forged.rotate_left(1);
                    let _ = ways.forged[0].send_to(packet, ways.server);
                } else if self.to_server_open.load(Ordering::SeqCst) && self.fits(packet) {
                    let _ = ways.back.send_to(packet, ways.server);
                    ways.last = packet.to_vec();
                }
            });
        }
    }

    fn carry_to_client(&self, back: &Arc<UdpSocket>, seed: u64) {
        let mut line = Line::new(self.trouble, seed);
        while !self.stop.load(Ordering::SeqCst) && Arc::ptr_eq(back, &self.ways().back) {
            line.receive(back, &self.lost, |packet, _| {
                let mut ways = self.ways();
                let open = self.to_client_open.load(Ordering::SeqCst) && self.fits(packet);
                if let (Some(client), true) = (ways.client, open) {
                    let _ = self.front.send_to(packet, client);
                }
                if let Some(server) = ways.server_after_answer.take() {
                    ways.server = server;
                }
            });
        }
    }
}

/// One direction.
struct Line {
    trouble: Trouble,
    random: Random,
    /// Packets held back, and how many others go first.
    held: Vec<(usize, Vec<u8>, SocketAddr)>,
    free_at: Instant,
    buffer: Vec<u8>,
}

impl Line {
    fn new(trouble: Trouble, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { trouble, random, held: vec![], free_at: Instant::now(), buffer: vec![0; 65_536] }
    }

    /// Takes the next packet and passes on what is due, with where it came from.
    fn receive(&mut self, socket: &UdpSocket, lost: &AtomicU64, pass: impl Fn(&[u8], SocketAddr)) {
        let Ok((length, from)) = socket.recv_from(&mut self.buffer) else {
            self.held.drain(..).for_each(|(_, packet, from)| pass(&packet, from));
            return;
        };
        let packet = self.buffer[..length].to_vec();
        self.occupy(length);
        let t = self.trouble;
        if self.random.happens(t.loss) {
            lost.fetch_add(1, Ordering::SeqCst);
        } else if self.random.happens(t.swapping) {
            return self.held.push((1 + self.random.below(6), packet, from));
        } else {
            pass(&packet, from);
            if self.random.happens(t.doubling) {
                pass(&packet, from);
            }
        }
        self.held.iter_mut().for_each(|(others, ..)| *others -= 1);
        self.held
            .extract_if(.., |(others, ..)| *others == 0)
            .for_each(|(_, packet, from)| pass(&packet, from));
    }

    /// The time that a packet takes on the line. The kernel's socket buffer is the queue before it.
    fn occupy(&mut self, length: usize) {
        let Some(rate) = self.trouble.bytes_per_second else { return };
        let now = Instant::now();
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64(length as f64 / rate as f64);
        let ahead = self.free_at - now;
        if ahead > Duration::from_millis(2) {
            std::thread::sleep(ahead);
        }
    }
}

fn socket() -> UdpSocket {
    socket_at(super::loopback())
}

fn socket_at(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("UDP socket");
    socket.set_read_timeout(Some(FLUSH)).expect("timeout");
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER);
    socket
}
