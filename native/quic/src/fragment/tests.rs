use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::*;

const PREFIX: &[u8] = &[0x2d, 0x07];

#[test]
fn fragments_are_even_within_the_limit_and_as_few_as_possible() {
    for (len, limit, expected) in [(1, 6, 1), (1200, 1205, 1), (1200, 1204, 2), (1300, 700, 2), (128, 6, 128)]
    {
        let packet = bytes(len);
        let fragments = cut(&packet, 3, limit);
        assert_eq!(fragments.len(), expected, "{len} in {limit}");
        let sizes: Vec<usize> = fragments.iter().map(Bytes::len).collect();
        assert!(sizes.iter().all(|size| *size <= limit && sizes[0] - size < expected), "{sizes:?}");
    }
}

#[test]
fn the_layout_is_prefix_packet_id_place_bytes() {
    let fragments = cut(b"abcde", 0x8102, 8);
    assert_eq!(&fragments[0][..], b"\x2d\x07\x81\x02\x00abc");
    assert_eq!(&fragments[1][..], b"\x2d\x07\x81\x02\x81de");
}

#[test]
fn what_cannot_be_cut_is_an_error_and_emits_nothing() {
    for (len, limit) in [(0, 1200), (10, 5), (10, 0), (129, 6), (65_536, 1200)] {
        let result = split(PREFIX, 1, &bytes(len), limit, |_| panic!("emitted"));
        assert_eq!(result, Err(SplitError { len, limit }));
    }
}

#[test]
fn packets_survive_in_any_order() {
    let mut reassembler = Reassembler::default();
    let now = Instant::now();
    for packet_id in 0..500u16 {
        let packet = bytes(usize::from(packet_id) * 7 % 3000 + 1);
        let mut fragments = cut(&packet, packet_id, 40 + usize::from(packet_id % 90));
        shuffle(&mut fragments, u64::from(packet_id));
        let last = fragments.pop().expect("fragment");
        assert!(fragments.iter().all(|fragment| insert(&mut reassembler, fragment, now) == Ok(None)));
        assert_eq!(insert(&mut reassembler, &last, now), Ok(Some(BytesMut::from(&packet[..]))));
    }
    assert_eq!((reassembler.held_packets(), reassembler.held_bytes()), (0, 0));
    assert_eq!(reassembler.counters(), ReassemblerCounters { completed: 500, ..Default::default() });
}

#[test]
fn packets_may_be_interleaved() {
    let mut reassembler = Reassembler::default();
    let now = Instant::now();
    let (one, two) = (cut(b"one packet", 1, 12), cut(b"two packet", 0x8001, 12));
    assert_eq!(insert(&mut reassembler, &one[0], now), Ok(None));
    assert_eq!(insert(&mut reassembler, &two[0], now), Ok(None));
    assert_eq!(insert(&mut reassembler, &one[1], now), Ok(Some(BytesMut::from(&b"one packet"[..]))));
    assert_eq!(insert(&mut reassembler, &two[1], now), Ok(Some(BytesMut::from(&b"two packet"[..]))));
}

#[test]
fn a_repeated_piece_is_ignored() {
    let mut reassembler = Reassembler::default();
    let now = Instant::now();
    let pieces = cut(b"one packet", 1, 12);
    insert(&mut reassembler, &pieces[0], now).expect("kept");
    assert_eq!(insert(&mut reassembler, &pieces[0], now), Ok(None));
    assert_eq!(reassembler.counters().duplicate, 1);
    assert!(insert(&mut reassembler, &pieces[1], now).expect("kept").is_some());
}

#[test]
fn contradictions_drop_the_packet() {
    let cases: [&[&[u8]]; 5] = [
        &[&[0, 1, 0x00, 1], &[0, 1, 0x00, 2]], // other bytes
        &[&[0, 1, 0x01, 1], &[0, 1, 0x81, 1]], // other last bit
        &[&[0, 1, 0x82, 1], &[0, 1, 0x81, 1]], // a second last piece
        &[&[0, 1, 0x81, 1], &[0, 1, 0x02, 1]], // a piece beyond the last
        &[&[0, 1, 0x02, 1], &[0, 1, 0x81, 1]], // the last piece before a held one
    ];
    for case in cases {
        let mut reassembler = Reassembler::default();
        let now = Instant::now();
        assert_eq!(reassembler.insert(case[0], now), Ok(None));
        assert_eq!(reassembler.insert(case[1], now), Err(Refused::Contradictory), "{case:?}");
        assert_eq!((reassembler.held_packets(), reassembler.held_bytes()), (0, 0));
        assert_eq!(reassembler.counters().contradictory, 1);
    }
}

#[test]
fn late_packets_are_given_up() {
    let mut reassembler = Reassembler::default();
    let start = Instant::now();
    assert_eq!(reassembler.poll_timeout(), None);
    reassembler.insert(&[0, 1, 0, 9], start).expect("kept");
    assert_eq!(reassembler.poll_timeout(), Some(start + Duration::from_millis(500)));
    reassembler.insert(&[0, 2, 0, 9], start + Duration::from_millis(499)).expect("kept");
    assert_eq!(reassembler.held_packets(), 2);
    reassembler.handle_timeout(start + Duration::from_millis(500));
    assert_eq!((reassembler.held_packets(), reassembler.counters().expired), (1, 1));
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let limits = ReassemblerLimits { max_packets: 8, max_bytes: 4096, ..Default::default() };
    let mut reassembler = Reassembler::new(limits);
    let now = Instant::now();
    let mut random = Random(7);
    for _ in 0..20_000 {
        let mut body = vec![0; random.below(600)];
        body.iter_mut().take(3).for_each(|byte| *byte = random.below(24) as u8);
        let _ = reassembler.insert(&body, now);
        assert!(reassembler.held_packets() <= 8 && reassembler.held_bytes() <= 4096);
    }
    let counters = reassembler.counters();
    assert!(counters.evicted > 0 && counters.malformed > 0 && counters.dropped() > 100, "{counters:?}");
}

#[test]
fn the_oldest_packet_makes_room() {
    let limits = ReassemblerLimits { max_packets: 2, max_bytes: 10, ..Default::default() };
    let mut reassembler = Reassembler::new(limits);
    let now = Instant::now();
    for id in [1, 2, 3] {
        reassembler.insert(&[0, id, 0, 9], now).expect("kept");
    }
    assert_eq!((reassembler.held_packets(), reassembler.counters().evicted), (2, 1));
    let large = [&[0, 3, 1][..], &[9; 9]].concat();
    reassembler.insert(&large, now).expect("fits beside nothing else");
    assert_eq!((reassembler.held_packets(), reassembler.held_bytes()), (1, 10));
    assert_eq!(reassembler.insert(&[0, 3, 0x82, 9], now), Err(Refused::Evicted));
    assert_eq!((reassembler.held_packets(), reassembler.held_bytes()), (0, 0));
}

#[test]
fn a_packet_longer_than_the_limit_is_dropped() {
    let limits = ReassemblerLimits { max_packet_bytes: 5, ..Default::default() };
    let mut reassembler = Reassembler::new(limits);
    let now = Instant::now();
    reassembler.insert(b"\x00\x01\x00abc", now).expect("kept");
    assert_eq!(reassembler.insert(b"\x00\x01\x81abc", now), Err(Refused::TooLarge));
    assert_eq!(reassembler.held_packets(), 0);
}

#[test]
fn short_bodies_are_malformed() {
    let mut reassembler = Reassembler::default();
    for body in [&[][..], &[0], &[0, 1], &[0, 1, 0x80]] {
        assert_eq!(reassembler.insert(body, Instant::now()), Err(Refused::Malformed));
    }
}

fn cut(packet: &[u8], packet_id: u16, limit: usize) -> Vec<Bytes> {
    let mut fragments = Vec::new();
    let count = split(PREFIX, packet_id, packet, limit, |fragment| fragments.push(fragment)).expect("split");
    assert_eq!(count, fragments.len());
    fragments
}

fn insert(reassembler: &mut Reassembler, fragment: &[u8], now: Instant) -> Result<Option<BytesMut>, Refused> {
    reassembler.insert(&fragment[PREFIX.len()..], now)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + len) as u8).collect()
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = Random(seed);
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at + 1));
    }
}

/// SplitMix64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
