//! The endpoint's UDP socket: batches in, segmentation offload out.

use super::addr;
use super::outbox::Outbox;
use bytes::BytesMut;
use noq_proto as q;
use noq_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, RawFd};

/// The kernel takes at most 64 KiB in one segmented send.
const MAX_BATCH_BYTES: usize = 64_000;
/// Packets read before other work gets its turn. What stays in the socket's buffer stands in one line there, and is dropped
/// whoever sent it: rather more is read than can be handled.
const MAX_READ: usize = 4_096;
const MIN_BATCH: usize = 10;
const SOCKET_BUFFER: usize = 8 << 20;
const MAX_DATAGRAM: usize = 65_535;

/// One packet that came in.
pub(crate) struct Packet {
    pub(crate) from: SocketAddr,
    pub(crate) to: Option<IpAddr>,
    pub(crate) ecn: Option<q::EcnCodepoint>,
    pub(crate) data: BytesMut,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct UdpCounters {
    pub(crate) rx_packets: u64,
    pub(crate) rx_calls: u64,
    pub(crate) rx_errors: u64,
    /// Claimed to come from the range of virtual addresses.
    pub(crate) spoofed: u64,
}

pub(crate) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    v6: bool,
    buffers: Vec<u8>,
    pub(crate) out: Outbox,
    pub(crate) counters: UdpCounters,
}

impl Udp {
    pub(crate) fn bind(listen: SocketAddr) -> io::Result<Self> {
        let raw = socket2::Socket::new(socket2::Domain::for_address(listen), socket2::Type::DGRAM, None)?;
        if listen.is_ipv6() {
            raw.set_only_v6(false)?;
        }
        raw.bind(&listen.into())?;
        let socket: UdpSocket = raw.into();
        let state = UdpSocketState::new((&socket).into())?;
        // The kernel grants less where its limits say so; that is fine.
        let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER);
        let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER);
        let out = Outbox::new(cfg!(target_os = "linux") && state.max_gso_segments().get() > 1);
        Ok(Self {
            v6: listen.is_ipv6(),
            socket,
            state,
            buffers: vec![0; BATCH_SIZE * MAX_DATAGRAM],
            out,
            counters: UdpCounters::default(),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.v6
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// How many packets of `mtu` bytes one segmented send may hold. `MIN_BATCH` if they fit, whatever the
    /// kernel can: with a limit of one, noq 1.4.0 repeats a handshake's CONNECTION_CLOSE without end.
    pub(crate) fn batch_limit(&self, mtu: u16) -> NonZeroUsize {
        let by_bytes = MAX_BATCH_BYTES / usize::from(mtu.max(1200));
        let limit = self.state.max_gso_segments().get().max(MIN_BATCH).min(by_bytes.max(2));
        NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN)
    }

    /// Appends what has arrived; true when more may be waiting.
    pub(crate) fn receive(&mut self, out: &mut Vec<Packet>) -> bool {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        // A round that brings an error brings no packet.
        for _ in 0..MAX_READ {
            if out.len() >= MAX_READ {
                break;
            }
            let mut chunks = self.buffers.chunks_exact_mut(MAX_DATAGRAM);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let n = match self.state.recv((&self.socket).into(), &mut slices, &mut metas) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                // An error of an earlier send (ICMP); packets may wait behind it.
                Err(_) => {
                    self.counters.rx_errors += 1;
                    continue;
                }
            };
            self.counters.rx_calls += 1;
            for (meta, slice) in metas[..n].iter().zip(&slices) {
                if addr::is_virtual(&meta.addr) {
                    self.counters.spoofed += 1;
                    continue;
                }
                for segment in slice[..meta.len].chunks(meta.stride.max(1)) {
                    self.counters.rx_packets += 1;
                    // One allocation per packet: a slow reader that keeps one packet pins nothing else.
                    out.push(Packet {
                        from: meta.addr,
                        to: meta.dst_ip,
                        ecn: meta.ecn.and_then(|e| q::EcnCodepoint::from_bits(e as u8)),
                        data: BytesMut::from(segment),
                    });
                }
            }
            if n < BATCH_SIZE {
                return false;
            }
        }
        true
    }

    /// Whether sends wait for room in the socket's buffer.
    pub(crate) fn is_blocked(&self) -> bool {
        self.out.is_full()
    }

    /// Queues packets, leaving an empty buffer; they go with the next `flush`, or now if many wait.
    pub(crate) fn send(&mut self, transmit: &q::Transmit, data: &mut Vec<u8>) {
        self.out.push(transmit, data);
        if self.out.is_ripe() {
            self.flush();
        }
    }

    /// Hands what is queued to the kernel.
    pub(crate) fn flush(&mut self) {
        self.out.flush(self.socket.as_raw_fd());
    }

    /// The socket became writable.
    pub(crate) fn retry(&mut self) {
        self.out.retry(self.socket.as_raw_fd());
    }
}
