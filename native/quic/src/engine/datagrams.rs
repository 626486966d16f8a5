//! Datagrams on the move: forwarding rules, virtual paths, and the fair queue before each connection.

use super::conn::{Conn, Route};
use super::core::{Engine, TimerKey};
use super::types::{Event, ForwardStats, FramePrefix, Id};
use crate::fragment::{self, RELAY_PACKET_BIT, Reassembler};
use bytes::{BufMut, Bytes, BytesMut};
use std::time::{Duration, Instant};

/// QUIC packets up to this size pass whatever the carrier's limit is, in fragments if they must.
const BASE_PACKET: usize = 1200;
/// After a carrier's limit fell, packets that fitted before are fragmented for this long. By then
/// path-MTU discovery of the inner connection has noticed, or the packets are dropped until it does.
const SHRINK_GRACE: Duration = Duration::from_secs(3);
/// Bytes of one virtual path that wait for its carrier before the inner sender is held back.
const VIRTUAL_BACKLOG: usize = 64 << 10;
/// Bytes of datagrams that wait for the owner.
const OWNER_BACKLOG: usize = 8 << 20;

/// Sub-queue for datagrams that the owner sends.
const OWNER_KEY: Id = 0;

/// One forwarding rule: datagrams of `from` with a prefix go to `to` with another.
pub(crate) struct Rule {
    pub(crate) from: Id,
    pub(crate) to: Id,
    pub(crate) matches: FramePrefix,
    pub(crate) rewrite: FramePrefix,
    pub(crate) next_packet: u16,
    pub(crate) forwarded: u64,
    pub(crate) bytes: u64,
    pub(crate) too_large: u64,
    pub(crate) closed: u64,
}

impl Rule {
    pub(crate) fn new(from: Id, to: Id, matches: FramePrefix, rewrite: FramePrefix) -> Self {
        Self { from, to, matches, rewrite, next_packet: 0, forwarded: 0, bytes: 0, too_large: 0, closed: 0 }
    }
}

/// A path whose packets travel inside the datagrams of a carrier connection.
pub(crate) struct VirtualPath {
    pub(crate) carrier: Id,
    pub(crate) send: FramePrefix,
    pub(crate) receive: FramePrefix,
    pub(crate) reassembler: Reassembler,
    /// A timer will look after the pieces that `reassembler` holds.
    pub(crate) pieces_watched: bool,
    pub(crate) next_packet: u16,
    /// Largest payload that fitted whole, and until when it is honoured after a fall.
    peak: usize,
    peak_until: Option<Instant>,
}

impl VirtualPath {
    pub(crate) fn new(carrier: Id, send: FramePrefix, receive: FramePrefix) -> Self {
        Self {
            carrier,
            send,
            receive,
            reassembler: Reassembler::default(),
            pieces_watched: false,
            next_packet: 0,
            peak: BASE_PACKET,
            peak_until: None,
        }
    }

    /// Largest payload that may be cut into fragments now.
    fn fragment_limit(&mut self, whole_limit: usize, now: Instant) -> usize {
        if whole_limit >= self.peak {
            self.peak = whole_limit;
            self.peak_until = None;
            return self.peak;
        }
        let until = *self.peak_until.get_or_insert(now + SHRINK_GRACE);
        if now > until {
            self.peak = whole_limit.max(BASE_PACKET);
        }
        self.peak
    }
}

/// What became of a payload on its way into a connection's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enqueued {
    Yes,
    TooLarge,
    /// The queue counts it, by cause.
    Refused,
}

impl Conn {
    /// Queues a payload behind a prefix: whole when it fits, in fragments up to `fragment_limit`.
    pub(crate) fn enqueue(
        &mut self,
        key: Id,
        prefix: &FramePrefix,
        payload: &[u8],
        fragment_limit: usize,
        packet_id: impl FnOnce() -> u16,
        now: Instant,
    ) -> Enqueued {
        let whole = prefix.whole.len() + payload.len();
        if whole <= self.max_datagram {
            let mut frame = BytesMut::with_capacity(whole);
            frame.put_slice(&prefix.whole);
            frame.put_slice(payload);
            return self.push(key, frame.freeze(), now);
        }
        if payload.len() > fragment_limit {
            return Enqueued::TooLarge;
        }
        let mut outcome = Enqueued::Yes;
        let cut = fragment::split(&prefix.fragment, packet_id(), payload, self.max_datagram, |frame| {
            if self.push(key, frame, now) != Enqueued::Yes {
                outcome = Enqueued::Refused;
            }
        });
        if cut.is_err() { Enqueued::TooLarge } else { outcome }
    }

    fn push(&mut self, key: Id, frame: Bytes, now: Instant) -> Enqueued {
        if self.queue.enqueue(key, frame, now) { Enqueued::Yes } else { Enqueued::Refused }
    }
}

impl Engine {
    /// Takes what has arrived on a connection and sends it where its prefix says.
    pub(crate) fn on_datagrams(&mut self, id: Id) {
        let now = Instant::now();
        let mut for_owner: Vec<Bytes> = Vec::new();
        let mut batch: [Bytes; 32] = std::array::from_fn(|_| Bytes::new());
        loop {
            let Some(c) = self.conns.get_mut(&id) else { return };
            let n = c.q.datagrams().recv_many(&mut batch);
            c.datagrams_received += n as u64;
            for datagram in batch[..n].iter_mut().map(std::mem::take) {
                match self.conns.get(&id).and_then(|c| c.routes.find(&datagram)) {
                    Some((Route::Forward { rule, fragment }, skip)) => {
                        self.forward(rule, fragment, &datagram[skip..], now)
                    }
                    Some((Route::Virtual { path, fragment }, skip)) => {
                        self.receive_virtual(path, fragment, &datagram[skip..], now)
                    }
                    Some((Route::Udp { flow, fragment }, skip)) => {
                        self.deliver_udp(flow, fragment, datagram.slice(skip..), now)
                    }
                    None if datagram.is_empty() => {}
                    None => for_owner.push(datagram),
                }
            }
            if n < batch.len() {
                break;
            }
        }
        self.flush_local();
        self.hand_to_owner(id, for_owner);
    }

    fn hand_to_owner(&mut self, id: Id, batch: Vec<Bytes>) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        if batch.is_empty() {
            return;
        }
        if !c.accepted {
            c.drops.not_accepted += batch.len() as u64;
        } else if self.shared.backlog() > OWNER_BACKLOG {
            c.drops.owner_behind += batch.len() as u64;
        } else {
            self.events.push(Event::Datagrams { conn: id, batch });
        }
    }

    fn forward(&mut self, rule_id: Id, fragment: bool, payload: &[u8], now: Instant) {
        let Some(rule) = self.rules.get_mut(&rule_id) else {
            self.drops.rule_without_target += 1;
            return;
        };
        let Some(to) = self.conns.get_mut(&rule.to).filter(|c| c.is_open()) else {
            rule.closed += 1;
            return;
        };
        // A fragment that does not fit cannot be cut again; senders make them small enough.
        let prefix = if fragment { as_whole(&rule.rewrite) } else { rule.rewrite.clone() };
        let limit = if fragment { 0 } else { BASE_PACKET };
        let next = &mut rule.next_packet;
        let outcome =
            to.enqueue(rule_id, &prefix, payload, limit, || take_packet_id(next, RELAY_PACKET_BIT), now);
        let target = rule.to;
        match outcome {
            Enqueued::Yes => {
                rule.forwarded += 1;
                rule.bytes += payload.len() as u64;
                self.mark(target);
            }
            Enqueued::TooLarge => rule.too_large += 1,
            Enqueued::Refused => {}
        }
    }

    fn receive_virtual(&mut self, path: Id, fragment: bool, payload: &[u8], now: Instant) {
        let Some(v) = self.virtual_paths.get_mut(&path) else {
            self.drops.no_virtual_path += 1;
            return;
        };
        let packet = if fragment {
            let outcome = v.reassembler.insert(payload, now);
            self.drops.virtual_reassembly += v.reassembler.take_dropped();
            match outcome {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.watch_pieces(path),
                Err(_) => return,
            }
        } else {
            BytesMut::from(payload)
        };
        self.virtual_packet(now, path, packet);
    }

    /// Pieces are let go when their time is up, also when no further one comes: what a peer can make us
    /// hold, it must go on sending.
    pub(crate) fn watch_pieces(&mut self, id: Id) {
        let Some((reassembler, watched)) = self.pieces(id) else { return };
        let due = reassembler.poll_timeout().filter(|_| !*watched);
        *watched |= due.is_some();
        if let Some(at) = due {
            self.timers.insert((at, TimerKey::Pieces(id)));
        }
    }

    pub(crate) fn drop_old_pieces(&mut self, id: Id, now: Instant) {
        let Some((reassembler, watched)) = self.pieces(id) else { return };
        reassembler.handle_timeout(now);
        let expired = reassembler.take_dropped();
        *watched = false;
        if let Some(f) = self.udp_flows.get_mut(&id) {
            f.stats.dropped += expired;
            self.drops.flow_reassembly += expired;
        } else {
            self.drops.virtual_reassembly += expired;
        }
        self.watch_pieces(id);
    }

    /// Ids of virtual paths and UDP flows are the owner's, who uses none twice.
    fn pieces(&mut self, id: Id) -> Option<(&mut Reassembler, &mut bool)> {
        match self.virtual_paths.get_mut(&id) {
            Some(v) => Some((&mut v.reassembler, &mut v.pieces_watched)),
            None => self.udp_flows.get_mut(&id).map(|f| (&mut f.reassembler, &mut f.pieces_watched)),
        }
    }

    /// Packets of an inner connection go into the carrier's queue.
    pub(crate) fn send_virtual(&mut self, path: Id, data: &[u8], segment: usize, from: Option<Id>) {
        let now = Instant::now();
        let packets = data.len().div_ceil(segment.max(1)) as u64;
        let Some(v) = self.virtual_paths.get_mut(&path) else {
            self.drops.no_virtual_path += packets;
            return;
        };
        if let Some(c) = from.and_then(|id| self.conns.get_mut(&id)) {
            c.last_path = Some(path);
        }
        let Some(carrier) = self.conns.get_mut(&v.carrier).filter(|c| c.is_open()) else {
            self.drops.no_virtual_path += packets;
            return;
        };
        let room = carrier.max_datagram.saturating_sub(v.send.whole.len());
        let limit = v.fragment_limit(room, now);
        let next = &mut v.next_packet;
        for packet in data.chunks(segment.max(1)) {
            match carrier.enqueue(path, &v.send, packet, limit, || take_packet_id(next, 0), now) {
                Enqueued::Yes => {}
                Enqueued::TooLarge => self.drops.virtual_too_large += 1,
                Enqueued::Refused => self.drops.virtual_refused += 1,
            }
        }
        let carrier = v.carrier;
        self.mark(carrier);
    }

    /// False when the path that a connection sends on has a full carrier; it is woken when there is room.
    pub(crate) fn carrier_has_room(&mut self, id: Id) -> bool {
        let Some(c) = self.conns.get(&id) else { return true };
        let Some(path) = c.last_path else { return true };
        if c.paths.as_ref().is_some_and(|p| p.direct_in_use(&c.q)) {
            return true;
        }
        let Some(carrier_id) = self.virtual_paths.get(&path).map(|v| v.carrier) else { return true };
        let Some(carrier) = self.conns.get_mut(&carrier_id) else { return true };
        if carrier.queue.queued_bytes(path) < VIRTUAL_BACKLOG {
            return true;
        }
        if !carrier.waiters.contains(&id) {
            carrier.waiters.push(id);
        }
        false
    }

    /// Wakes those who wait for room, and comes back when a rate limit lets the next datagram go.
    pub(crate) fn after_transmit(&mut self, id: Id, now: Instant) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        c.refresh_max_datagram();
        if c.accepted && c.max_datagram != c.reported_max_datagram {
            c.reported_max_datagram = c.max_datagram;
            self.events.push(Event::MaxDatagram { conn: id, size: c.max_datagram });
        }
        if let Some(at) = c.queue.next_ready(now).filter(|at| *at > now)
            && c.queue_timer.is_none_or(|t| t <= now || t > at)
        {
            c.queue_timer = Some(at);
            self.timers.insert((at, TimerKey::Queue(id)));
        }
        let waiters = std::mem::take(&mut c.waiters);
        let (stay, go): (Vec<Id>, Vec<Id>) = waiters.into_iter().partition(|w| self.still_waits(*w, id));
        go.into_iter().for_each(|w| self.mark(w));
        if let Some(c) = self.conns.get_mut(&id) {
            c.waiters = stay;
        }
    }

    fn still_waits(&self, waiter: Id, carrier: Id) -> bool {
        let path = self.conns.get(&waiter).and_then(|w| w.last_path);
        let (Some(path), Some(c)) = (path, self.conns.get(&carrier)) else { return false };
        c.queue.queued_bytes(path) > VIRTUAL_BACKLOG / 2
    }

    pub(crate) fn send_datagram(&mut self, id: Id, data: Bytes) {
        let now = Instant::now();
        let Some(c) = self.conns.get_mut(&id) else { return };
        if data.len() > c.max_datagram {
            c.drops.too_large += 1;
        } else if !c.queue.enqueue(OWNER_KEY, data, now) {
            c.drops.refused += 1;
        }
        self.mark(id);
    }

    pub(crate) fn add_rule(&mut self, id: Id, rule: Rule, rate: Option<u64>) {
        let (from, to, matches) = (rule.from, rule.to, rule.matches.clone());
        let Some(c) = self.conns.get_mut(&from) else { return };
        if !c.routes.add(&matches, |fragment| Route::Forward { rule: id, fragment }) {
            return;
        }
        if let Some(target) = self.conns.get_mut(&to) {
            target.queue.set_rate(id, rate);
        }
        self.rules.insert(id, rule);
    }

    pub(crate) fn remove_rule(&mut self, id: Id) {
        let Some(rule) = self.rules.remove(&id) else { return };
        if let Some(c) = self.conns.get_mut(&rule.from) {
            c.routes.remove(&rule.matches);
        }
        if let Some(c) = self.conns.get_mut(&rule.to) {
            c.queue.remove(id);
        }
    }

    pub(crate) fn rule_stats(&self, id: Id) -> Option<ForwardStats> {
        let rule = self.rules.get(&id)?;
        let queue = self.conns.get(&rule.to).map(|c| (c.queue.drops(id), c.queue.queued_bytes(id)));
        let (drops, queued) = queue.unwrap_or_default();
        Some(ForwardStats {
            forwarded: rule.forwarded,
            bytes: rule.bytes,
            dropped_queue: drops.queue,
            dropped_codel: drops.codel,
            dropped_rate: drops.rate,
            dropped_too_large: rule.too_large,
            dropped_closed: rule.closed,
            queued_bytes: queued as u64,
        })
    }

    pub(crate) fn set_virtual_path(
        &mut self,
        path: Id,
        carrier: Id,
        send: FramePrefix,
        receive: FramePrefix,
    ) {
        let moves = self.virtual_paths.contains_key(&path);
        self.unroute_virtual(path);
        let Some(c) = self.conns.get_mut(&carrier) else { return };
        if !c.routes.add(&receive, |fragment| Route::Virtual { path, fragment }) {
            return;
        }
        c.queue.set_back_pressured(path);
        match self.virtual_paths.get_mut(&path) {
            Some(v) => (v.carrier, v.send, v.receive) = (carrier, send, receive),
            None => drop(self.virtual_paths.insert(path, VirtualPath::new(carrier, send, receive))),
        }
        if moves {
            self.carrier_changed(path);
        }
    }

    pub(crate) fn remove_virtual_path(&mut self, path: Id) {
        self.end_handshakes_over(path);
        self.unroute_virtual(path);
        self.virtual_paths.remove(&path);
    }

    fn unroute_virtual(&mut self, path: Id) {
        let Some(v) = self.virtual_paths.get(&path) else { return };
        let Some(c) = self.conns.get_mut(&v.carrier) else { return };
        c.routes.remove(&v.receive);
        c.queue.remove(path);
        let waiters = std::mem::take(&mut c.waiters);
        waiters.into_iter().for_each(|w| self.mark(w));
    }

    /// A connection is gone: its rules go, its virtual paths lose their carrier, its flows end.
    pub(crate) fn detach(&mut self, id: Id, conn: Conn) {
        for route in conn.routes.all() {
            match route {
                Route::Forward { rule, .. } => self.remove_rule(rule),
                Route::Udp { flow, .. } => self.end_udp_flow(flow, super::types::UdpEnd::Closed),
                Route::Virtual { .. } => {}
            }
        }
        let towards: Vec<Id> = self.rules.iter().filter(|(_, r)| r.to == id).map(|(rule, _)| *rule).collect();
        towards.into_iter().for_each(|rule| self.remove_rule(rule));
        conn.waiters.into_iter().for_each(|w| self.mark(w));
        self.end_splices(id, conn.streams);
    }
}

pub(crate) fn take_packet_id(next: &mut u16, bit: u16) -> u16 {
    let id = (*next & !RELAY_PACKET_BIT) | bit;
    *next = next.wrapping_add(1);
    id
}

/// For payloads that are fragments already: the fragment prefix takes the whole one's place.
fn as_whole(p: &FramePrefix) -> FramePrefix {
    FramePrefix { whole: p.fragment.clone(), fragment: p.fragment.clone() }
}
