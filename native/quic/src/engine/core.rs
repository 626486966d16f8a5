//! The loop: readiness, commands, packets in, timers, connections served, events out.

use super::StartError;
use super::addr;
use super::busy_poll::BusyPoll;
use super::configure;
use super::conn::Conn;
use super::contain;
use super::datagrams::{Rule, VirtualPath};
use super::direct_filter::DirectFilter;
use super::handle::Shared;
use super::inbox::Inbox;
use super::options::EndpointOptions;
use super::poller::{Interest, Poller, Ready};
use super::sources::SourceLimit;
use super::tcp::{Tcp, TcpListening};
use super::types::{EndpointStats, Event, Id, REMOTE};
use super::udp::{Packet, Udp};
use super::udp_batch::ReceiveBuffer;
use super::udpflow::{UdpFlow, UdpListening};
use super::under_way::UnderWay;
use crate::tls::TlsContext;
use crate::token::TokenKeys;
use bytes::Bytes;
use noq_proto as q;
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOKEN_UDP: u64 = 0;
const TOKEN_WAKE: u64 = 1;
/// Tokens of other sockets: kind in the upper half, id in the lower.
pub(crate) const KIND_TCP: u64 = 1;
pub(crate) const KIND_TCP_LISTENER: u64 = 2;
pub(crate) const KIND_UDP_LISTENER: u64 = 3;
pub(crate) const KIND_UDP_FLOW: u64 = 4;

/// Connections served between two looks at the sockets.
const SERVICE_BUDGET: usize = 256;
/// Segmented sends of one connection before others get their turn.
const SENDS_PER_SERVICE: usize = 16;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    Conn(Id),
    Dial(Id),
    UdpFlow(Id),
    Queue(Id),
    /// A splice that gave way to others.
    Pump(Id),
    UdpTurn(Id),
    /// Pieces of packets that a virtual path or a UDP flow holds.
    Pieces(Id),
    HandOver,
}

/// What went nowhere, by cause.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Drops {
    pub(crate) no_virtual_path: u64,
    pub(crate) virtual_too_large: u64,
    pub(crate) virtual_refused: u64,
    pub(crate) handshakes_refused: u64,
    pub(crate) handshakes_limited: u64,
    pub(crate) rule_without_target: u64,
    pub(crate) flow_socket_full: u64,
    pub(crate) flow_reassembly: u64,
    pub(crate) virtual_reassembly: u64,
    pub(crate) udp_peers_refused: u64,
    pub(crate) direct_off: u64,
    pub(crate) direct_refused: u64,
    pub(crate) direct_limited: u64,
    pub(crate) direct_refused_received: u64,
    pub(crate) direct_moved_limited: u64,
    pub(crate) outer_over_virtual: u64,
    pub(crate) probe_rounds: u64,
    pub(crate) strangers: u64,
    pub(crate) relayed_path_moved: u64,
    pub(crate) unread_limited: u64,
    pub(crate) path_reports_limited: u64,
    pub(crate) connections_broken: u64,
}

pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) poller: Poller,
    pub(crate) udp: Udp,
    pub(crate) ep: q::Endpoint,
    pub(super) tls: TlsContext,
    pub(super) options: EndpointOptions,
    pub(super) token_keys: Arc<TokenKeys>,
    pub(super) inner_server: Option<Arc<q::ServerConfig>>,
    /// Boxed: six kilobytes each would lie half empty in the table.
    pub(crate) conns: FxHashMap<Id, Box<Conn>>,
    pub(super) by_handle: FxHashMap<usize, Id>,
    pub(super) next_remote: Id,
    pub(super) under_way: UnderWay,
    pub(super) sources: Option<SourceLimit>,
    pub(crate) timers: BTreeSet<(Instant, TimerKey)>,
    dirty: VecDeque<Id>,
    pub(crate) events: Vec<Event>,
    pub(crate) rules: FxHashMap<Id, Rule>,
    pub(crate) virtual_paths: FxHashMap<Id, VirtualPath>,
    pub(crate) tcp: FxHashMap<Id, Tcp>,
    pub(crate) tcp_listeners: FxHashMap<Id, TcpListening>,
    pub(crate) udp_listeners: FxHashMap<Id, UdpListening>,
    pub(crate) udp_flows: FxHashMap<Id, UdpFlow>,
    pub(crate) drops: Drops,
    /// What peers may send beyond the windows of their connections, for streams that are not read.
    pub(crate) unread_granted: u64,
    pub(crate) direct: Option<DirectFilter>,
    pub(super) packets: Vec<Packet>,
    pub(super) inbox: Inbox<q::ConnectionEvent>,
    pub(crate) udp_buffer: ReceiveBuffer,
    /// Payloads for local sockets, by flow.
    pub(crate) udp_out: Vec<(Id, Bytes)>,
    transmit_buffer: Vec<u8>,
    loops: u64,
    pub(super) stop_at: Option<Instant>,
    busy_poll: BusyPoll,
    /// Events are kept back until then.
    pub(super) kept_until: Option<Instant>,
    /// The poller reports when the UDP socket takes more.
    socket_watched: bool,
    /// When to look again whether an address from which nothing can be sent is ours.
    pub(super) next_doubt: Instant,
    /// Work for this connection panics.
    #[cfg(test)]
    pub(super) fails: Option<Id>,
}

/// Runs until shut down. A panic is reported as the end of the engine, never let out of the thread.
pub(crate) fn run(mut engine: Engine, wake: &dyn Fn()) {
    let shared = engine.shared.clone();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.run(wake)));
    let error = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(e)) => Some(e.to_string()),
        Err(panic) => Some(contain::text_of(panic.as_ref())),
    };
    engine.events.push(Event::Stopped { error });
    if shared.publish(&mut engine.events) {
        wake();
    }
}

impl Engine {
    pub(crate) fn new(options: EndpointOptions, shared: Arc<Shared>) -> Result<Self, StartError> {
        let listen = options.listen;
        let udp = Udp::bind(listen).map_err(|source| StartError::Bind { listen, source })?;
        let poller = Poller::new()?;
        poller.add(udp.fd(), TOKEN_UDP, Interest::Read)?;
        poller.add(shared.waker.fd(), TOKEN_WAKE, Interest::Read)?;
        let token_keys = Arc::new(TokenKeys::new(&options.keys.retry));
        let tls = TlsContext::new(&options.tls, Default::default())?;
        let server = options.server.as_ref().map(|o| configure::server(&tls, o, &token_keys)).transpose()?;
        let inner_server =
            options.inner_server.as_ref().map(|o| configure::server(&tls, o, &token_keys)).transpose()?;
        // Without a configuration noq accepts nothing, not even what comes with one of its own.
        let server = server.or_else(|| inner_server.clone());
        let per_source = options.server.as_ref().and_then(|o| o.max_handshakes_per_source);
        let sources = per_source.map(SourceLimit::new);
        let ep = q::Endpoint::new(Arc::new(configure::endpoint(&options.keys)?), server, !udp.may_fragment());
        let busy_poll = BusyPoll::new(options.busy_poll);
        let direct = options.direct.clone().map(DirectFilter::new);
        Ok(Self {
            shared,
            poller,
            udp,
            ep,
            tls,
            options,
            token_keys,
            inner_server,
            conns: FxHashMap::default(),
            by_handle: FxHashMap::default(),
            next_remote: REMOTE,
            under_way: UnderWay::default(),
            sources,
            timers: BTreeSet::new(),
            dirty: VecDeque::new(),
            events: Vec::new(),
            rules: FxHashMap::default(),
            virtual_paths: FxHashMap::default(),
            tcp: FxHashMap::default(),
            tcp_listeners: FxHashMap::default(),
            udp_listeners: FxHashMap::default(),
            udp_flows: FxHashMap::default(),
            drops: Drops::default(),
            unread_granted: 0,
            direct,
            packets: Vec::new(),
            inbox: Inbox::new(),
            udp_buffer: ReceiveBuffer::default(),
            udp_out: Vec::new(),
            transmit_buffer: Vec::new(),
            loops: 0,
            stop_at: None,
            busy_poll,
            kept_until: None,
            socket_watched: false,
            next_doubt: Instant::now(),
            #[cfg(test)]
            fails: None,
        })
    }

    fn run(&mut self, wake: &dyn Fn()) -> std::io::Result<()> {
        let mut ready = Vec::new();
        let mut more_packets = false;
        while !self.finished() {
            self.loops += 1;
            let timeout = if more_packets || !self.dirty.is_empty() || !self.inbox.is_empty() {
                Some(Duration::ZERO)
            } else {
                self.time_to_next()
            };
            self.busy_poll.wait(&mut self.poller, timeout, &mut ready)?;
            more_packets |= self.on_ready(&ready);
            if more_packets {
                more_packets = self.receive();
            }
            self.open_packets();
            self.fire_timers(Instant::now());
            self.serve();
            self.udp.flush();
            self.notice_lost_address();
            self.watch_socket()?;
            self.hand_over(wake);
        }
        Ok(())
    }

    /// Asks to hear of room in the socket's buffer while packets wait for it.
    fn watch_socket(&mut self) -> std::io::Result<()> {
        let blocked = self.udp.is_blocked();
        if blocked != self.socket_watched {
            self.socket_watched = blocked;
            let interest = if blocked { Interest::ReadWrite } else { Interest::Read };
            self.poller.modify(self.udp.fd(), TOKEN_UDP, interest)?;
        }
        Ok(())
    }

    fn finished(&self) -> bool {
        self.stop_at.is_some_and(|t| self.conns.is_empty() || Instant::now() >= t)
    }

    fn time_to_next(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(t, _)| *t);
        let next = match (timer, self.stop_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        next.map(|t| t.saturating_duration_since(Instant::now()))
    }

    /// True when packets wait at the socket.
    fn on_ready(&mut self, ready: &[Ready]) -> bool {
        let mut packets = false;
        for r in ready {
            let id = r.token as Id;
            match r.token >> 32 {
                KIND_TCP => self.tcp_ready(id, r.readable, r.writable),
                KIND_TCP_LISTENER => self.accept_tcp(id),
                KIND_UDP_LISTENER => self.udp_listener_ready(id, r.readable),
                KIND_UDP_FLOW => self.udp_flow_ready(id, r.readable),
                _ if r.token == TOKEN_WAKE => {
                    for command in self.shared.take_commands() {
                        self.execute(command);
                    }
                }
                _ => {
                    packets |= r.readable;
                    if r.writable && self.udp.is_blocked() {
                        self.udp.retry();
                        let all: Vec<Id> = self.conns.keys().copied().collect();
                        all.into_iter().for_each(|c| self.mark(c));
                    }
                }
            }
        }
        packets
    }

    /// This connection has something to do.
    pub(crate) fn mark(&mut self, id: Id) {
        if let Some(c) = self.conns.get_mut(&id)
            && !c.dirty
        {
            c.dirty = true;
            self.dirty.push_back(id);
        }
    }

    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            match key {
                TimerKey::Conn(id) => self.contained(id, |engine| engine.conn_timer(id, now)),
                TimerKey::Dial(id) => self.dial_timeout(id),
                TimerKey::UdpFlow(id) => self.udp_flow_timer(id, now),
                TimerKey::Queue(id) => self.mark(id),
                TimerKey::Pump(id) => self.pump(id),
                TimerKey::UdpTurn(id) => self.udp_turn(id),
                TimerKey::Pieces(id) => self.drop_old_pieces(id, now),
                // The loop hands over in each turn.
                TimerKey::HandOver => {}
            }
        }
    }

    fn conn_timer(&mut self, id: Id, now: Instant) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        c.timer = None;
        if c.dirty && !c.confirmed {
            // What ends a client's handshake goes out before its probe timer counts: noq 1.4.0 would probe with
            // Initial packets, whose keys are gone, and panic.
            self.transmit(id, now);
        }
        let Some(c) = self.conns.get_mut(&id) else { return };
        if c.q.poll_timeout().is_some_and(|t| t <= now) {
            c.q.handle_timeout(now);
        }
        if c.stall.deadline(|| c.rtt()).is_some_and(|t| t <= now) {
            let progress = c.progress();
            if c.stall.expired(now, progress) {
                self.events.push(Event::Stalled { conn: id });
            }
        }
        self.mark(id);
    }

    pub(super) fn serve(&mut self) {
        for _ in 0..SERVICE_BUDGET {
            let Some(id) = self.dirty.pop_front() else { return };
            self.serve_connection(id, Instant::now());
        }
    }

    pub(super) fn serve_connection(&mut self, id: Id, now: Instant) {
        self.contained(id, |engine| engine.serve_whole(id, now));
    }

    fn serve_whole(&mut self, id: Id, now: Instant) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        c.dirty = false;
        let mut drained = self.endpoint_events(id);
        self.connection_events(id);
        self.tend_paths(id, now);
        let mut again = self.transmit(id, now);
        drained |= self.endpoint_events(id);
        if drained {
            self.forget(id);
            return;
        }
        if let Some(c) = self.conns.get_mut(&id) {
            again &= !self.udp.is_blocked();
            let next = c.next_wake();
            if next != c.timer {
                if let Some(old) = c.timer {
                    self.timers.remove(&(old, TimerKey::Conn(id)));
                }
                if let Some(at) = next {
                    self.timers.insert((at, TimerKey::Conn(id)));
                }
                c.timer = next;
            }
        }
        if again {
            self.mark(id);
        }
    }

    /// True when the connection has nothing left to do for ever.
    fn endpoint_events(&mut self, id: Id) -> bool {
        let Some(c) = self.conns.get_mut(&id) else { return false };
        let mut drained = false;
        while let Some(event) = c.q.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(back) = self.ep.handle_event(c.handle, event) {
                c.q.handle_event(back);
            }
        }
        drained
    }

    /// Sends what the connection has; true when it stopped only to let others have their turn.
    fn transmit(&mut self, id: Id, now: Instant) -> bool {
        let mut buffer = std::mem::take(&mut self.transmit_buffer);
        let mut again = true;
        let mut sent = false;
        for _ in 0..SENDS_PER_SERVICE {
            if self.udp.is_blocked() || !self.carrier_has_room(id) {
                again = false;
                break;
            }
            let Some(c) = self.conns.get_mut(&id) else {
                again = false;
                break;
            };
            c.fill_datagrams(now);
            buffer.clear();
            let limit = self.udp.batch_limit(c.largest_mtu());
            let Some(t) = c.q.poll_transmit(now, limit, &mut buffer) else {
                again = false;
                break;
            };
            sent = true;
            self.send_packets(&t, &mut buffer, Some(id));
        }
        self.transmit_buffer = buffer;
        if let Some(c) = self.conns.get_mut(&id).filter(|c| sent && c.is_watched()) {
            c.stall.sent(now);
        }
        self.after_transmit(id, now);
        again
    }

    /// Sends packets that noq made, over the socket or a virtual path. May leave the buffer empty.
    pub(crate) fn send_packets(&mut self, t: &q::Transmit, data: &mut Vec<u8>, from: Option<Id>) {
        match addr::virtual_id(&t.destination) {
            Some(path) => self.send_virtual(path, &data[..t.size], t.segment_size.unwrap_or(t.size), from),
            None if from.is_some_and(|id| !self.may_leave(id, t)) => {}
            None if self.udp.is_v6() => self.udp.send(t, data),
            None => self.udp.send(&addr::as_v4(t), data),
        }
    }

    pub(crate) fn stats(&self) -> EndpointStats {
        let u = self.udp.counters;
        let d = self.drops;
        EndpointStats {
            connections: self.conns.len(),
            rx_packets: u.rx_packets,
            tx_packets: self.udp.out.counters.packets,
            rx_calls: u.rx_calls,
            tx_calls: self.udp.out.counters.calls,
            send_errors: self.udp.out.counters.errors,
            unread_granted: self.unread_granted,
            drops: vec![
                ("receive_errors", u.rx_errors),
                ("receive_overload", self.inbox.dropped),
                ("spoofed_virtual", u.spoofed),
                ("no_virtual_path", d.no_virtual_path),
                ("virtual_too_large", d.virtual_too_large),
                ("virtual_refused", d.virtual_refused),
                ("virtual_reassembly", d.virtual_reassembly),
                ("handshakes_refused", d.handshakes_refused),
                ("handshakes_limited", d.handshakes_limited),
                ("rule_without_target", d.rule_without_target),
                ("flow_socket_full", d.flow_socket_full),
                ("flow_reassembly", d.flow_reassembly),
                ("udp_peers_refused", d.udp_peers_refused),
                ("direct_off", d.direct_off),
                ("direct_refused", d.direct_refused),
                ("direct_limited", d.direct_limited),
                ("direct_refused_received", d.direct_refused_received),
                ("direct_moved_limited", d.direct_moved_limited),
                ("outer_over_virtual", d.outer_over_virtual),
                ("probe_rounds_limited", d.probe_rounds),
                ("strangers", d.strangers),
                ("relayed_path_moved", d.relayed_path_moved),
                ("unread_limited", d.unread_limited),
                ("path_reports_limited", d.path_reports_limited),
                ("connections_broken", d.connections_broken),
            ],
            thread_cpu: super::cpu::of_thread(),
            loops: self.loops,
        }
    }
}
