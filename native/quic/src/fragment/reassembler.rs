use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use super::{Fragment, MAX_PACKET, decode};

/// Bounds of a [`Reassembler`]. The defaults are those of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReassemblerLimits {
    /// Packets in pieces held at once.
    pub max_packets: usize,
    /// Bytes of all pieces held at once.
    pub max_bytes: usize,
    /// Bytes of one packet.
    pub max_packet_bytes: usize,
    /// From a packet's first piece to its last. Short, because packet ids come round after 32,768
    /// packets.
    pub timeout: Duration,
}

impl Default for ReassemblerLimits {
    fn default() -> Self {
        Self {
            max_packets: 64,
            max_bytes: 256 << 10,
            max_packet_bytes: MAX_PACKET,
            timeout: Duration::from_millis(500),
        }
    }
}

/// Counts of packets, but `duplicate` and `malformed`, which count pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReassemblerCounters {
    /// Put together and handed out.
    pub completed: u64,
    /// Not whole in time.
    pub expired: u64,
    /// Given up because too many packets or bytes were held.
    pub evicted: u64,
    /// The same piece again, ignored.
    pub duplicate: u64,
    /// Dropped because their pieces cannot belong to one packet.
    pub contradictory: u64,
    /// Longer than the limit.
    pub too_large: u64,
    /// Pieces too short to be one.
    pub malformed: u64,
}

impl ReassemblerCounters {
    /// Everything that was dropped, duplicates aside.
    pub fn dropped(&self) -> u64 {
        self.expired + self.evicted + self.contradictory + self.too_large + self.malformed
    }
}

/// Why a piece was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too short to hold a piece.
    #[error("malformed fragment")]
    Malformed,
    /// It contradicts the pieces held; they are dropped too.
    #[error("contradictory fragment")]
    Contradictory,
    /// It would make the packet too long; the packet is dropped too.
    #[error("fragmented packet is too large")]
    TooLarge,
    /// It does not fit beside nothing but its own packet, which is dropped too.
    #[error("too many bytes in fragments")]
    Evicted,
}

/// Puts packets together from pieces of one sender on one channel.
///
/// For each piece, in this order: (1) packets begun `timeout` ago or earlier are dropped; (2) a piece
/// that is held already is ignored; (3) a piece that contradicts the held ones (other bytes or last
/// bit at its index, a second last piece, a piece beyond the last one) drops the packet; (4) so does one
/// that makes it too long; (5) for a new packet beyond `max_packets` the oldest is dropped, and the
/// oldest others until the piece fits `max_bytes`; (6) the piece is kept, and the packet is handed
/// out once 0 to last are there.
pub struct Reassembler {
    limits: ReassemblerLimits,
    /// In order of their first piece.
    partials: VecDeque<Partial>,
    /// Bytes of all partials.
    bytes: usize,
    counters: ReassemblerCounters,
    /// Of `counters.dropped()`, what [`Self::take_dropped`] has told.
    told: u64,
    /// Piece tables of former partials, to be used again.
    spare: Vec<Vec<Option<Span>>>,
}

struct Partial {
    packet_id: u16,
    started: Instant,
    /// The pieces in order of arrival.
    data: BytesMut,
    /// Where each piece lies in `data`, by index, up to the highest held.
    spans: Vec<Option<Span>>,
    held: usize,
    last: Option<u8>,
    /// True while the pieces came in order, so that `data` is the packet.
    in_order: bool,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    at: u32,
    len: u32,
}

enum Verdict {
    New,
    Duplicate,
    Contradictory,
}

impl Default for Reassembler {
    fn default() -> Self {
        Self::new(ReassemblerLimits::default())
    }
}

impl Reassembler {
    /// Without pieces.
    pub fn new(limits: ReassemblerLimits) -> Self {
        Self {
            limits,
            partials: VecDeque::new(),
            bytes: 0,
            counters: ReassemblerCounters::default(),
            told: 0,
            spare: Vec::new(),
        }
    }

    /// Takes what follows a fragment's prefix at `now`, which never falls. Returns the packet when this
    /// piece makes it whole.
    pub fn insert(&mut self, body: &[u8], now: Instant) -> Result<Option<BytesMut>, Refused> {
        self.handle_timeout(now);
        let Some(fragment) = decode(body) else {
            self.counters.malformed += 1;
            return Err(Refused::Malformed);
        };
        let id = fragment.packet_id;
        let mut found = self.partials.iter().position(|partial| partial.packet_id == id);
        if let Some(at) = found {
            match self.partials[at].judge(&fragment) {
                Verdict::New => {}
                Verdict::Duplicate => {
                    self.counters.duplicate += 1;
                    return Ok(None);
                }
                Verdict::Contradictory => {
                    self.discard(at);
                    self.counters.contradictory += 1;
                    return Err(Refused::Contradictory);
                }
            }
        }
        let held = found.map_or(0, |at| self.partials[at].data.len());
        if held + fragment.bytes.len() > self.limits.max_packet_bytes {
            found.into_iter().for_each(|at| self.discard(at));
            self.counters.too_large += 1;
            return Err(Refused::TooLarge);
        }
        if !self.make_room(&mut found, fragment.bytes.len()) {
            found.into_iter().for_each(|at| self.discard(at));
            self.counters.evicted += 1;
            return Err(Refused::Evicted);
        }
        let at = found.unwrap_or_else(|| self.begin(&fragment, now));
        self.bytes += fragment.bytes.len();
        let partial = &mut self.partials[at];
        partial.keep(&fragment);
        Ok(if partial.is_whole() { self.complete(at) } else { None })
    }

    /// Drops the packets whose time is up.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(oldest) = self.partials.front() {
            if now.saturating_duration_since(oldest.started) < self.limits.timeout {
                return;
            }
            self.discard(0);
            self.counters.expired += 1;
        }
    }

    /// When [`Self::handle_timeout`] has something to do; `None` while nothing is held.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.partials.front().map(|oldest| oldest.started + self.limits.timeout)
    }

    /// What became of packets and pieces so far.
    pub fn counters(&self) -> ReassemblerCounters {
        self.counters
    }

    /// What was dropped, duplicates aside, since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        let dropped = self.counters.dropped();
        dropped - std::mem::replace(&mut self.told, dropped)
    }

    /// Packets in pieces held now.
    pub fn held_packets(&self) -> usize {
        self.partials.len()
    }

    /// Bytes of the pieces held now.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Drops oldest packets until a piece of `len` bytes fits; `own`, the place of the piece's own
    /// packet, follows. False when only that one is left to drop.
    fn make_room(&mut self, own: &mut Option<usize>, len: usize) -> bool {
        if own.is_none() && self.partials.len() >= self.limits.max_packets {
            self.evict_oldest_but(own);
        }
        while self.bytes + len > self.limits.max_bytes {
            if !self.evict_oldest_but(own) {
                return false;
            }
        }
        true
    }

    fn evict_oldest_but(&mut self, own: &mut Option<usize>) -> bool {
        let victim = usize::from(*own == Some(0));
        if victim >= self.partials.len() {
            return false;
        }
        self.discard(victim);
        self.counters.evicted += 1;
        if let Some(at) = own.as_mut().filter(|at| **at > victim) {
            *at -= 1;
        }
        true
    }

    fn begin(&mut self, fragment: &Fragment<'_>, now: Instant) -> usize {
        // Senders cut evenly, so two pieces is the likely size.
        let data = BytesMut::with_capacity(fragment.bytes.len() * 2);
        self.partials.push_back(Partial {
            packet_id: fragment.packet_id,
            started: now,
            data,
            spans: self.spare.pop().unwrap_or_default(),
            held: 0,
            last: None,
            in_order: true,
        });
        self.partials.len() - 1
    }

    fn complete(&mut self, at: usize) -> Option<BytesMut> {
        let partial = self.take(at)?;
        self.counters.completed += 1;
        let packet = if partial.in_order { None } else { Some(partial.sorted()) };
        let Partial { data, spans, .. } = partial;
        self.recycle(spans);
        Some(packet.unwrap_or(data))
    }

    fn discard(&mut self, at: usize) {
        if let Some(partial) = self.take(at) {
            self.recycle(partial.spans);
        }
    }

    fn take(&mut self, at: usize) -> Option<Partial> {
        let partial = self.partials.remove(at)?;
        self.bytes -= partial.data.len();
        Some(partial)
    }

    fn recycle(&mut self, mut spans: Vec<Option<Span>>) {
        if self.spare.len() < 4 {
            spans.clear();
            self.spare.push(spans);
        }
    }
}

impl Partial {
    fn judge(&self, fragment: &Fragment<'_>) -> Verdict {
        let index = usize::from(fragment.index);
        if let Some(span) = self.spans.get(index).copied().flatten() {
            let is_last = self.last == Some(fragment.index);
            let same = self.piece(span) == fragment.bytes && is_last == fragment.last;
            return if same { Verdict::Duplicate } else { Verdict::Contradictory };
        }
        let beyond_last = self.last.is_some_and(|last| fragment.last || fragment.index > last);
        // `spans` ends with the highest piece held.
        let last_too_low = fragment.last && self.spans.len() > index + 1;
        if beyond_last || last_too_low { Verdict::Contradictory } else { Verdict::New }
    }

    fn keep(&mut self, fragment: &Fragment<'_>) {
        let index = usize::from(fragment.index);
        self.in_order &= index == self.held;
        if index >= self.spans.len() {
            self.spans.resize(index + 1, None);
        }
        let (at, len) = (self.data.len() as u32, fragment.bytes.len() as u32);
        self.spans[index] = Some(Span { at, len });
        self.data.put_slice(fragment.bytes);
        self.held += 1;
        if fragment.last {
            self.last = Some(fragment.index);
        }
    }

    fn is_whole(&self) -> bool {
        self.last.is_some_and(|last| self.held == usize::from(last) + 1)
    }

    fn sorted(&self) -> BytesMut {
        let mut packet = BytesMut::with_capacity(self.data.len());
        for span in self.spans.iter().flatten() {
            packet.put_slice(self.piece(*span));
        }
        packet
    }

    fn piece(&self, span: Span) -> &[u8] {
        let at = span.at as usize;
        &self.data[at..at + span.len as usize]
    }
}
