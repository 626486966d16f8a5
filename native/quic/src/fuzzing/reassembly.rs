//! Packets in pieces.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::input::Input;
use crate::fragment::{Fragment, Reassembler, ReassemblerLimits, decode, split};

/// Fragments respect the limit, and in any order with any repetitions they give the packet once.
/// Bytes: `[limit u16, prefix length u8, packet id u16, packet length u16, seed u16, pattern]`.
pub(super) fn fragment_split(data: &[u8]) {
    let mut input = Input::new(data);
    let (limit, prefix_len) = (usize::from(input.u16()), usize::from(input.u8() % 16));
    let (packet_id, packet_len) = (input.u16(), usize::from(input.u16()));
    let mut seed = u32::from(input.u16());
    let prefix = &[0xee; 16][..prefix_len];
    let packet: Vec<u8> = input.rest().iter().chain(&[1, 2, 3]).copied().cycle().take(packet_len).collect();

    let mut fragments = Vec::new();
    let count = split(prefix, packet_id, &packet, limit, |fragment| fragments.push(fragment));
    let Ok(count) = count else {
        assert!(fragments.is_empty());
        let room = limit.saturating_sub(prefix_len + 3);
        assert!(packet.is_empty() || room == 0 || packet_len.div_ceil(room) > 128);
        return;
    };
    assert_eq!(fragments.len(), count);
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize
    };
    for at in (1..fragments.len()).rev() {
        fragments.swap(at, random() % (at + 1));
    }
    let (mut whole, now) = (Vec::new(), Instant::now());
    let mut reassembler = Reassembler::default();
    for (at, fragment) in fragments.iter().enumerate() {
        assert!(fragment.len() <= limit && fragment.starts_with(prefix));
        whole.extend(reassembler.insert(&fragment[prefix_len..], now).expect("a piece of our own"));
        if whole.is_empty() {
            let again = &fragments[random() % (at + 1)];
            assert_eq!(reassembler.insert(&again[prefix_len..], now), Ok(None));
        }
    }
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0], packet);
    assert_eq!((reassembler.held_packets(), reassembler.held_bytes()), (0, 0));
}

/// The reassembler agrees with the rules written down plainly, and stays within its limits.
/// Bytes: `[limits u8]`, then `[advance u8 in 10 ms, length u8, body]` for each piece.
pub(super) fn reassembler(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = match input.u8() % 4 {
        0 => ReassemblerLimits::default(),
        1 => ReassemblerLimits { max_packets: 1, ..small() },
        2 => ReassemblerLimits { max_bytes: 8, ..small() },
        _ => small(),
    };
    let mut reassembler = Reassembler::new(limits);
    let mut model = Model { limits, partials: Vec::new() };
    let start = Instant::now();
    let mut now = Duration::ZERO;
    while !input.is_empty() {
        now += Duration::from_millis(u64::from(input.u8() % 64) * 10);
        let body = input.short();
        let given = reassembler.insert(body, start + now).ok().flatten();
        assert_eq!(given.as_deref(), model.insert(body, now).as_deref());
        assert_eq!(reassembler.held_packets(), model.partials.len());
        assert_eq!(reassembler.held_bytes(), model.bytes());
        assert!(reassembler.held_bytes() <= limits.max_bytes);
        assert!(reassembler.held_packets() <= limits.max_packets);
        assert!(given.is_none_or(|packet| packet.len() <= limits.max_packet_bytes));
        let timeout = model.partials.first().map(|oldest| start + oldest.started + limits.timeout);
        assert_eq!(reassembler.poll_timeout(), timeout);
        assert!(timeout.is_none_or(|at| at > start + now));
    }
    reassembler.handle_timeout(start + now + limits.timeout);
    assert_eq!((reassembler.held_packets(), reassembler.held_bytes()), (0, 0));
}

fn small() -> ReassemblerLimits {
    ReassemblerLimits {
        max_packets: 3,
        max_bytes: 24,
        max_packet_bytes: 12,
        timeout: Duration::from_millis(500),
    }
}

struct Model {
    limits: ReassemblerLimits,
    partials: Vec<Pieces>,
}

struct Pieces {
    packet_id: u16,
    started: Duration,
    by_index: BTreeMap<u8, (Vec<u8>, bool)>,
}

impl Model {
    fn bytes(&self) -> usize {
        self.partials.iter().map(Pieces::len).sum()
    }

    fn insert(&mut self, body: &[u8], now: Duration) -> Option<Vec<u8>> {
        self.partials.retain(|partial| now - partial.started < self.limits.timeout);
        let piece = decode(body)?;
        let id = piece.packet_id;
        if let Some(own) = self.find(id) {
            if own.by_index.get(&piece.index).is_some_and(|held| *held == (piece.bytes.to_vec(), piece.last))
            {
                return None;
            }
            if own.contradicts(&piece) {
                return self.forget(id);
            }
        }
        if self.find(id).map_or(0, |own| own.len()) + piece.bytes.len() > self.limits.max_packet_bytes {
            return self.forget(id);
        }
        if self.find(id).is_none() && self.partials.len() == self.limits.max_packets {
            self.partials.remove(0);
        }
        while self.bytes() + piece.bytes.len() > self.limits.max_bytes {
            match self.partials.iter().position(|partial| partial.packet_id != id) {
                Some(oldest_other) => drop(self.partials.remove(oldest_other)),
                None => return self.forget(id),
            }
        }
        if self.find(id).is_none() {
            self.partials.push(Pieces { packet_id: id, started: now, by_index: BTreeMap::new() });
        }
        let own = self.find(id)?;
        own.by_index.insert(piece.index, (piece.bytes.to_vec(), piece.last));
        let whole = own.whole()?;
        self.forget(id);
        Some(whole)
    }

    fn find(&mut self, packet_id: u16) -> Option<&mut Pieces> {
        self.partials.iter_mut().find(|partial| partial.packet_id == packet_id)
    }

    fn forget(&mut self, packet_id: u16) -> Option<Vec<u8>> {
        self.partials.retain(|partial| partial.packet_id != packet_id);
        None
    }
}

impl Pieces {
    fn len(&self) -> usize {
        self.by_index.values().map(|(bytes, _)| bytes.len()).sum()
    }

    fn contradicts(&self, piece: &Fragment<'_>) -> bool {
        let beyond = |index: &u8| piece.last && *index > piece.index;
        let last = self.by_index.iter().find(|(_, (_, is_last))| *is_last).map(|(index, _)| *index);
        self.by_index.contains_key(&piece.index)
            || last.is_some_and(|last| piece.last || piece.index > last)
            || self.by_index.keys().any(beyond)
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let (highest, (_, is_last)) = self.by_index.last_key_value()?;
        let is_whole = *is_last && self.by_index.len() == usize::from(*highest) + 1;
        is_whole.then(|| self.by_index.values().flat_map(|(bytes, _)| bytes).copied().collect())
    }
}
