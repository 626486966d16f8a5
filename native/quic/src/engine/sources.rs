//! Handshakes per second and source address, so that one source cannot take all of them.

use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Sources remembered at a time, about 32 bytes each.
const MAX_SOURCES: usize = 65_536;
/// Seconds' worth of handshakes that a source may save up.
const BURST_SECONDS: f64 = 2.0;

/// What to do with a first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    /// Anybody can send packets in the name of somebody else: ask for proof of the address.
    Validate,
    /// The source itself, proven, asks for too much.
    Refuse,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// A token bucket per source, one for packets without and one for packets with a proven address: a flood in
/// somebody's name costs that somebody a round trip, not the service.
pub(crate) struct SourceLimit {
    per_second: f64,
    buckets: FxHashMap<(Source, bool), Bucket>,
}

/// An IPv4 address, or the /64 that one IPv6 host can choose addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(u64);

impl Source {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(u32::from(ip))),
            IpAddr::V6(ip) => Self((u128::from(ip) >> 64) as u64),
        }
    }
}

impl SourceLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second.max(1)), buckets: FxHashMap::default() }
    }

    pub(crate) fn judge(&mut self, ip: IpAddr, validated: bool, now: Instant) -> Verdict {
        if self.take((Source::of(ip), validated), now) {
            Verdict::Accept
        } else if validated {
            Verdict::Refuse
        } else {
            Verdict::Validate
        }
    }

    fn take(&mut self, key: (Source, bool), now: Instant) -> bool {
        let (rate, burst) = (self.per_second, self.per_second * BURST_SECONDS);
        if self.buckets.len() >= MAX_SOURCES && !self.buckets.contains_key(&key) {
            self.forget_idle(now);
        }
        // Still full: so many sources at once are a flood, and those that prove their address pass.
        if self.buckets.len() >= MAX_SOURCES && !self.buckets.contains_key(&key) {
            return key.1;
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { tokens: burst, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * rate).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// A source whose bucket would be full again is as good as a new one.
    fn forget_idle(&mut self, now: Instant) {
        let full = Duration::from_secs_f64(BURST_SECONDS);
        self.buckets.retain(|_, b| now.saturating_duration_since(b.at) < full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("literal")
    }

    #[test]
    fn a_source_gets_its_rate_and_a_burst_and_others_are_not_concerned() {
        let t = Instant::now();
        let mut limit = SourceLimit::new(10);
        let greedy = (0..100).filter(|_| limit.judge(ip("192.0.2.1"), true, t) == Verdict::Accept).count();
        assert_eq!(greedy, 20);
        assert_eq!(limit.judge(ip("192.0.2.1"), true, t), Verdict::Refuse);
        assert_eq!(limit.judge(ip("192.0.2.2"), true, t), Verdict::Accept);
        let later = t + Duration::from_millis(500);
        let again = (0..100).filter(|_| limit.judge(ip("192.0.2.1"), true, later) == Verdict::Accept).count();
        assert_eq!(again, 5);
    }

    #[test]
    fn a_flood_in_the_name_of_a_source_costs_it_a_proof_and_no_more() {
        let t = Instant::now();
        let mut limit = SourceLimit::new(1);
        let verdicts: Vec<Verdict> = (0..5).map(|_| limit.judge(ip("192.0.2.1"), false, t)).collect();
        assert_eq!(verdicts[2..], [Verdict::Validate; 3]);
        assert_eq!(limit.judge(ip("192.0.2.1"), true, t), Verdict::Accept);
    }

    #[test]
    fn a_host_has_one_budget_for_its_64_and_for_both_spellings_of_ipv4() {
        let t = Instant::now();
        let mut limit = SourceLimit::new(1);
        for address in ["2001:db8::1", "2001:db8::2"] {
            assert_eq!(limit.judge(ip(address), true, t), Verdict::Accept);
        }
        assert_eq!(limit.judge(ip("2001:db8::3"), true, t), Verdict::Refuse);
        assert_eq!(limit.judge(ip("2001:db8:0:1::3"), true, t), Verdict::Accept);
        for address in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(limit.judge(ip(address), true, t), Verdict::Accept);
        }
        assert_eq!(limit.judge(ip("192.0.2.1"), true, t), Verdict::Refuse);
    }

    #[test]
    fn memory_is_bounded_and_a_flood_of_sources_has_to_prove_itself() {
        let t = Instant::now();
        let mut limit = SourceLimit::new(1);
        for i in 0..70_000u32 {
            limit.judge(IpAddr::V4(i.into()), false, t);
        }
        assert_eq!(limit.buckets.len(), MAX_SOURCES);
        assert_eq!(limit.judge(ip("203.0.113.1"), false, t), Verdict::Validate);
        assert_eq!(limit.judge(ip("203.0.113.1"), true, t), Verdict::Accept);
        let later = t + Duration::from_secs(3);
        assert_eq!(limit.judge(ip("203.0.113.1"), false, later), Verdict::Accept);
        assert_eq!(limit.buckets.len(), 1);
    }
}
