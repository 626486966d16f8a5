//! UDP of the local side. A flow joins one local peer (agent) or one connected socket (connector) to the
//! datagrams of a connection that carry the flow's prefix.

use super::conn::Route;
use super::core::{Engine, KIND_UDP_FLOW, KIND_UDP_LISTENER, TimerKey};
use super::datagrams::Enqueued;
use super::poller::Interest;
use super::tcp::MAX_TIMEOUT;
use super::types::{Event, FramePrefix, Id, UdpEnd, UdpFlowStats};
use super::udp_batch::{self, BATCH, Outgoing};
use crate::fragment::Reassembler;
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Batches read from one socket per turn.
const TURN: usize = 8;
/// Local peers that wait for the owner's word, per listener.
const MAX_PENDING_PEERS: usize = 1024;
/// Datagrams held for one of them.
const MAX_HELD: usize = 16;

/// Whom the datagrams of a flow are for on the local side.
enum Local {
    /// A connected socket of its own.
    Socket(Arc<UdpSocket>),
    /// A peer of a listener.
    Peer { listener: Id, peer: PeerKey },
}

pub(crate) struct UdpFlow {
    local: Local,
    conn: Id,
    prefix: FramePrefix,
    /// Datagrams of the connection with the prefix come here.
    routed: bool,
    idle: Duration,
    last: Instant,
    /// When its timer looks whether it is idle.
    due: Instant,
    pub(crate) reassembler: Reassembler,
    /// A timer will look after the pieces that `reassembler` holds.
    pub(crate) pieces_watched: bool,
    next_packet: u16,
    pub(crate) stats: UdpFlowStats,
}

/// A local peer: its address, and for SOCKS5 the request header that names the destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PeerKey {
    address: SocketAddr,
    header: Bytes,
}

enum PeerState {
    /// The owner was told; first datagrams are held.
    Pending {
        held: Vec<Bytes>,
    },
    Bound {
        flow: Id,
    },
}

pub(crate) struct UdpListening {
    socket: Arc<UdpSocket>,
    socks: bool,
    peers: FxHashMap<PeerKey, PeerState>,
    pending: FxHashMap<Id, PeerKey>,
}

impl UdpListening {
    /// Whether this peer waits for the owner's word.
    pub(crate) fn awaits(&self, peer: Id) -> bool {
        self.pending.contains_key(&peer)
    }
}

/// Length of the SOCKS5 UDP request header (RFC 1928 §7), if the datagram has a whole one that asks for
/// no fragmentation.
pub(crate) fn socks_header(datagram: &[u8]) -> Option<usize> {
    let [0, 0, 0, kind, rest @ ..] = datagram else { return None };
    let address = match kind {
        1 => 4,
        4 => 16,
        3 => 1 + usize::from(*rest.first()?),
        _ => return None,
    };
    let length = 4 + address + 2;
    (datagram.len() >= length).then_some(length)
}

impl Engine {
    pub(crate) fn listen_udp(&mut self, id: Id, socket: UdpSocket, socks: bool) {
        let token = KIND_UDP_LISTENER << 32 | u64::from(id);
        let ready = socket
            .set_nonblocking(true)
            .and_then(|()| self.poller.add(socket.as_raw_fd(), token, Interest::Read));
        if ready.is_ok() {
            let listening = UdpListening {
                socket: Arc::new(socket),
                socks,
                peers: FxHashMap::default(),
                pending: FxHashMap::default(),
            };
            self.udp_listeners.insert(id, listening);
            self.udp_listener_ready(id, true);
        }
    }

    pub(crate) fn udp_listener_ready(&mut self, id: Id, readable: bool) {
        let Some(socket) = self.udp_listeners.get(&id).filter(|_| readable).map(|l| l.socket.clone()) else {
            return;
        };
        self.receive_batches(id, &socket, |engine, from, datagram| {
            if let Some(from) = from {
                engine.local_datagram(id, from, datagram);
            }
        });
    }

    /// Reads a local socket until nothing waits, or others have to get their turn. Errors of earlier sends
    /// (ICMP: a peer that went away, a backend's closed port) are no reason to stop: others go on, and a flow
    /// waits for its idle timeout.
    fn receive_batches(
        &mut self,
        id: Id,
        socket: &UdpSocket,
        mut each: impl FnMut(&mut Self, Option<SocketAddr>, &[u8]),
    ) {
        let mut buffer = std::mem::take(&mut self.udp_buffer);
        let mut more = true;
        for _ in 0..TURN {
            let received = buffer.receive(socket, |from, datagram| each(self, from, datagram));
            more = received.interrupted || received.count == BATCH;
            if !more {
                break;
            }
        }
        self.udp_buffer = buffer;
        if more {
            self.timers.insert((Instant::now(), TimerKey::UdpTurn(id)));
        }
    }

    pub(crate) fn udp_turn(&mut self, id: Id) {
        self.udp_listener_ready(id, true);
        self.udp_flow_ready(id, true);
    }

    fn local_datagram(&mut self, listener: Id, from: SocketAddr, datagram: &[u8]) {
        let Some(l) = self.udp_listeners.get_mut(&listener) else { return };
        let header = if l.socks { socks_header(datagram) } else { Some(0) };
        let Some(header) = header else {
            self.drops.udp_peers_refused += 1;
            return;
        };
        let key = PeerKey { address: from, header: Bytes::copy_from_slice(&datagram[..header]) };
        let payload = &datagram[header..];
        match l.peers.get_mut(&key) {
            Some(PeerState::Bound { flow }) => {
                let flow = *flow;
                self.send_up(flow, payload);
            }
            Some(PeerState::Pending { held, .. }) if held.len() < MAX_HELD => {
                held.push(Bytes::copy_from_slice(payload))
            }
            Some(PeerState::Pending { .. }) => self.drops.udp_peers_refused += 1,
            None if l.pending.len() >= MAX_PENDING_PEERS => self.drops.udp_peers_refused += 1,
            None => self.new_local_peer(listener, key, payload),
        }
    }

    fn new_local_peer(&mut self, listener: Id, key: PeerKey, payload: &[u8]) {
        let id = self.new_remote_id();
        let Some(l) = self.udp_listeners.get_mut(&listener) else { return };
        l.pending.insert(id, key.clone());
        l.peers.insert(key.clone(), PeerState::Pending { held: vec![Bytes::copy_from_slice(payload)] });
        self.events.push(Event::UdpPeer { listener, peer: id, remote: key.address, header: key.header });
    }

    pub(crate) fn bind_udp_peer(
        &mut self,
        flow: Id,
        listener: Id,
        peer: Id,
        conn: Id,
        prefix: FramePrefix,
        idle: Duration,
    ) {
        let found = self.udp_listeners.get_mut(&listener).and_then(|l| {
            let key = l.pending.remove(&peer)?;
            let state = l.peers.insert(key.clone(), PeerState::Bound { flow });
            Some((key, state))
        });
        let Some((key, state)) = found else {
            self.events.push(Event::UdpFlowClosed {
                flow,
                end: UdpEnd::Closed,
                stats: UdpFlowStats::default(),
            });
            return;
        };
        self.start_flow(flow, Local::Peer { listener, peer: key }, conn, prefix, idle);
        if let Some(PeerState::Pending { held, .. }) = state {
            held.iter().for_each(|payload| self.send_up(flow, payload));
        }
    }

    pub(crate) fn reject_udp_peer(&mut self, listener: Id, peer: Id) {
        let Some(l) = self.udp_listeners.get_mut(&listener) else { return };
        if let Some(key) = l.pending.remove(&peer)
            && let Some(PeerState::Pending { held, .. }) = l.peers.remove(&key)
        {
            self.drops.udp_peers_refused += held.len() as u64;
        }
    }

    pub(crate) fn dial_udp(
        &mut self,
        flow: Id,
        socket: UdpSocket,
        conn: Id,
        prefix: FramePrefix,
        idle: Duration,
    ) {
        let token = KIND_UDP_FLOW << 32 | u64::from(flow);
        match socket
            .set_nonblocking(true)
            .and_then(|()| self.poller.add(socket.as_raw_fd(), token, Interest::Read))
        {
            Ok(()) => self.start_flow(flow, Local::Socket(Arc::new(socket)), conn, prefix, idle),
            Err(_) => self.events.push(Event::UdpFlowClosed {
                flow,
                end: UdpEnd::Error,
                stats: UdpFlowStats::default(),
            }),
        }
    }

    fn start_flow(&mut self, id: Id, local: Local, conn: Id, prefix: FramePrefix, idle: Duration) {
        let now = Instant::now();
        let idle = idle.min(MAX_TIMEOUT);
        let routed = self
            .conns
            .get_mut(&conn)
            .is_some_and(|c| c.routes.add(&prefix, |fragment| Route::Udp { flow: id, fragment }));
        let flow = UdpFlow {
            local,
            conn,
            prefix,
            routed,
            idle,
            last: now,
            due: now + idle,
            reassembler: Reassembler::default(),
            pieces_watched: false,
            next_packet: 0,
            stats: UdpFlowStats::default(),
        };
        self.udp_flows.insert(id, flow);
        if !routed {
            return self.end_udp_flow(id, UdpEnd::Closed);
        }
        self.timers.insert((now + idle, TimerKey::UdpFlow(id)));
    }

    pub(crate) fn udp_flow_timer(&mut self, id: Id, now: Instant) {
        let Some(f) = self.udp_flows.get_mut(&id) else { return };
        f.due = f.last + f.idle;
        if f.due <= now {
            self.end_udp_flow(id, UdpEnd::Idle);
        } else {
            self.timers.insert((f.due, TimerKey::UdpFlow(id)));
        }
    }

    pub(crate) fn udp_flow_ready(&mut self, id: Id, readable: bool) {
        let socket = match self.udp_flows.get(&id) {
            Some(UdpFlow { local: Local::Socket(socket), .. }) if readable => socket.clone(),
            _ => return,
        };
        self.receive_batches(id, &socket, |engine, _, datagram| engine.send_up(id, datagram));
    }

    /// A payload from the local side into the connection.
    fn send_up(&mut self, id: Id, payload: &[u8]) {
        let now = Instant::now();
        let Some(f) = self.udp_flows.get_mut(&id) else { return };
        let Some(c) = self.conns.get_mut(&f.conn) else { return };
        f.last = now;
        let next = &mut f.next_packet;
        let outcome =
            c.enqueue(id, &f.prefix, payload, usize::MAX, || super::datagrams::take_packet_id(next, 0), now);
        match outcome {
            Enqueued::Yes => {
                f.stats.sent += 1;
                f.stats.sent_bytes += payload.len() as u64;
            }
            Enqueued::TooLarge | Enqueued::Refused => f.stats.dropped += 1,
        }
        let conn = f.conn;
        self.mark(conn);
    }

    /// A payload from the connection to the local side; it leaves with `flush_local`.
    pub(crate) fn deliver_udp(&mut self, id: Id, fragment: bool, payload: Bytes, now: Instant) {
        let Some(f) = self.udp_flows.get_mut(&id) else { return };
        f.last = now;
        if !fragment {
            self.udp_out.push((id, payload));
            return;
        }
        let outcome = f.reassembler.insert(&payload, now);
        let dropped = f.reassembler.take_dropped();
        f.stats.dropped += dropped;
        self.drops.flow_reassembly += dropped;
        match outcome {
            Ok(Some(whole)) => self.udp_out.push((id, whole.freeze())),
            Ok(None) => self.watch_pieces(id),
            Err(_) => {}
        }
    }

    /// Sends what `deliver_udp` collected, in order, each run for one flow in one go.
    pub(crate) fn flush_local(&mut self) {
        let mut out = std::mem::take(&mut self.udp_out);
        for run in out.chunk_by(|a, b| a.0 == b.0) {
            self.send_down(run[0].0, run);
        }
        out.clear();
        self.udp_out = out;
    }

    fn send_down(&mut self, id: Id, run: &[(Id, Bytes)]) {
        let Some(f) = self.udp_flows.get_mut(&id) else { return };
        let (socket, to, header) = match &f.local {
            Local::Socket(socket) => (socket.clone(), None, Bytes::new()),
            Local::Peer { listener, peer } => match self.udp_listeners.get(listener) {
                Some(l) => (l.socket.clone(), Some(peer.address), peer.header.clone()),
                None => return,
            },
        };
        let datagrams: Vec<Outgoing> = run
            .iter()
            .map(|(_, payload)| Outgoing { to, header: header.clone(), payload: payload.clone() })
            .collect();
        let sent = udp_batch::send(&socket, &datagrams);
        let lost = (run.len() - sent) as u64;
        f.stats.received += sent as u64;
        f.stats.received_bytes += run[..sent].iter().map(|(_, p)| p.len() as u64).sum::<u64>();
        f.stats.dropped += lost;
        self.drops.flow_socket_full += lost;
    }

    pub(crate) fn end_udp_flow(&mut self, id: Id, end: UdpEnd) {
        let Some(f) = self.udp_flows.remove(&id) else { return };
        if let Local::Peer { listener, peer } = &f.local
            && let Some(l) = self.udp_listeners.get_mut(listener)
        {
            l.peers.remove(peer);
        }
        if let Some(c) = self.conns.get_mut(&f.conn) {
            // One that found its prefix taken has no route: the other flow keeps it.
            if f.routed {
                c.routes.remove(&f.prefix);
            }
            c.queue.remove(id);
        }
        self.timers.remove(&(f.due, TimerKey::UdpFlow(id)));
        self.events.push(Event::UdpFlowClosed { flow: id, end, stats: f.stats });
    }

    pub(crate) fn udp_flow_stats(&self, id: Id) -> Option<UdpFlowStats> {
        self.udp_flows.get(&id).map(|f| f.stats)
    }

    pub(crate) fn close_listener(&mut self, id: Id) {
        self.tcp_listeners.remove(&id);
        let Some(l) = self.udp_listeners.remove(&id) else { return };
        for state in l.peers.into_values() {
            if let PeerState::Bound { flow } = state {
                self.end_udp_flow(flow, UdpEnd::Closed);
            }
        }
    }
}

/// Binds a socket that talks to `remote` alone.
pub fn connected_udp_socket(remote: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if remote.is_ipv4() { [0u8; 4].into() } else { [0u8; 16].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(remote)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::socks_header;

    #[test]
    fn a_socks_header_ends_after_the_port() {
        assert_eq!(socks_header(&[0, 0, 0, 1, 127, 0, 0, 1, 0, 53, b'x']), Some(10));
        assert_eq!(socks_header(&[0, 0, 0, 3, 2, b'a', b'b', 0, 53]), Some(9));
        let mut v6 = vec![0, 0, 0, 4];
        v6.extend([0; 18]);
        assert_eq!(socks_header(&v6), Some(22));
    }

    #[test]
    fn fragments_unknown_kinds_and_short_headers_are_refused() {
        assert_eq!(socks_header(&[0, 0, 1, 1, 127, 0, 0, 1, 0, 53]), None);
        assert_eq!(socks_header(&[0, 0, 0, 9, 127, 0, 0, 1, 0, 53]), None);
        assert_eq!(socks_header(&[0, 0, 0, 1, 127, 0, 0, 1, 0]), None);
        assert_eq!(socks_header(&[0, 0, 0, 3, 9, b'a', 0, 53]), None);
        assert_eq!(socks_header(&[0, 0, 0, 3]), None);
    }
}
