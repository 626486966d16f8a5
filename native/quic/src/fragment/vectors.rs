//! `vectors/fragment.json`, shared with `packages/wire`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

#[test]
fn fragments_are_read_as_the_vectors_say() {
    let vectors = load();
    for case in list(&vectors["valid"]) {
        let datagram = hex(&case["hex"]);
        let fragment = decode(&datagram[prefix_len(&datagram)..]).expect("a fragment");
        let expected = Fragment {
            packet_id: number(&case["packetId"]) as u16,
            index: number(&case["index"]) as u8,
            last: case["last"].as_bool().expect("last"),
            bytes: &hex(&case["bytes"]),
        };
        assert_eq!(fragment, expected, "{}", case["name"]);
    }
    for case in list(&vectors["invalid"]).iter().filter(|case| case["error"] == "truncated") {
        let datagram = hex(&case["hex"]);
        assert_eq!(decode(&datagram[prefix_len(&datagram)..]), None, "{}", case["name"]);
    }
}

#[test]
fn packets_are_cut_as_the_vectors_say() {
    for case in list(&load()["split"]) {
        let prefix = [0x2d, number(&case["id"]) as u8];
        let packet_id = number(&case["packetId"]) as u16;
        let (payload, limit) = (hex(&case["payload"]), number(&case["maxDatagram"]) as usize);
        if prefix.len() + payload.len() <= limit {
            continue; // goes whole, without `split`
        }
        let mut datagrams = Vec::new();
        let result = split(&prefix, packet_id, &payload, limit, |fragment| datagrams.push(fragment.to_vec()));
        assert_eq!(result.is_err(), case["error"].is_string(), "{}", case["name"]);
        let expected: Vec<Vec<u8>> = case["datagrams"].as_array().into_iter().flatten().map(hex).collect();
        assert_eq!(datagrams, expected, "{}", case["name"]);
    }
}

#[test]
fn packets_are_put_together_as_the_vectors_say() {
    for case in list(&load()["reassembly"]) {
        let name = &case["name"];
        let mut reassembler = Reassembler::new(limits(&case["options"]));
        let start = Instant::now();
        for step in list(&case["steps"]) {
            let now = start + Duration::from_millis(number(&step["at"]));
            let packet = reassembler.insert(&hex(&step["body"]), now).ok().flatten();
            let expected = step["gives"].as_str().map(|_| hex(&step["gives"]));
            assert_eq!(packet.map(|packet| packet.to_vec()), expected, "{name} at {}", step["at"]);
        }
        assert_eq!(reassembler.counters(), counters(&case["counters"]), "{name}");
        if case["held"].is_object() {
            let held = (reassembler.held_packets() as u64, reassembler.held_bytes() as u64);
            let expected = (number(&case["held"]["packets"]), number(&case["held"]["bytes"]));
            assert_eq!(held, expected, "{name}");
        }
    }
}

fn load() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/fragment.json");
    let text = std::fs::read_to_string(&path).expect("vectors/fragment.json");
    serde_json::from_str(&text).expect("JSON")
}

fn limits(options: &Value) -> ReassemblerLimits {
    let mut limits = ReassemblerLimits::default();
    for (name, value) in options.as_object().expect("options") {
        match name.as_str() {
            "maxPackets" => limits.max_packets = number(value) as usize,
            "maxBytes" => limits.max_bytes = number(value) as usize,
            "maxPacketBytes" => limits.max_packet_bytes = number(value) as usize,
            "timeoutMs" => limits.timeout = Duration::from_millis(number(value)),
            other => panic!("unknown option {other}"),
        }
    }
    limits
}

fn counters(named: &Value) -> ReassemblerCounters {
    let mut counters = ReassemblerCounters::default();
    for (name, value) in named.as_object().expect("counters") {
        let counter = match name.as_str() {
            "completed" => &mut counters.completed,
            "expired" => &mut counters.expired,
            "evicted" => &mut counters.evicted,
            "duplicate" => &mut counters.duplicate,
            "contradictory" => &mut counters.contradictory,
            "tooLarge" => &mut counters.too_large,
            other => panic!("unknown counter {other}"),
        };
        *counter = number(value);
    }
    counters
}

/// Type byte and varint, whose length is in its two top bits.
fn prefix_len(datagram: &[u8]) -> usize {
    1 + (1 << (datagram[1] >> 6))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("list")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("number")
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("hex");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}
