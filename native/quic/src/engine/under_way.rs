//! Handshakes under way by origin, so that none of them takes the places of the others. A peer that never
//! completes a handshake holds its place until the idle timeout.

use super::sources::Source;
use super::types::Id;
use rustc_hash::FxHashMap;
use std::net::IpAddr;

/// One source has this part of the places, but at least so many.
const SHARE_OF_SOURCE: usize = 16;
const LEAST_OF_SOURCE: usize = 16;
/// A session has one inner connection; more come from a peer that tries again.
const MAX_OF_PATH: usize = 4;

/// Where a handshake comes from. What claims an address and what has proven it are counted apart: a flood in
/// somebody's name takes nothing from that somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Source(Source, bool),
    Path(Id),
}

impl Origin {
    pub(crate) fn of(ip: IpAddr, validated: bool, via: Option<Id>) -> Self {
        via.map_or_else(|| Self::Source(Source::of(ip), validated), Self::Path)
    }
}

#[derive(Default)]
pub(crate) struct UnderWay {
    total: usize,
    by_origin: FxHashMap<Origin, usize>,
}

impl UnderWay {
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Whether this origin has its share of `max` places already.
    pub(crate) fn is_full(&self, origin: Origin, max: usize) -> bool {
        let share = match origin {
            Origin::Source(..) => (max / SHARE_OF_SOURCE).max(LEAST_OF_SOURCE),
            Origin::Path(_) => MAX_OF_PATH,
        };
        self.by_origin.get(&origin).is_some_and(|n| *n >= share)
    }

    pub(crate) fn begin(&mut self, origin: Origin) {
        self.total += 1;
        *self.by_origin.entry(origin).or_default() += 1;
    }

    pub(crate) fn over(&mut self, origin: Origin) {
        self.total = self.total.saturating_sub(1);
        if let Some(n) = self.by_origin.get_mut(&origin) {
            *n -= 1;
            if *n == 0 {
                self.by_origin.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn an_origin_has_its_share_and_gives_it_back() {
        let mut under_way = UnderWay::default();
        let (claimed, proven) = (Origin::of(ip(1), false, None), Origin::of(ip(1), true, None));
        for _ in 0..50 {
            assert!(!under_way.is_full(claimed, 800));
            under_way.begin(claimed);
        }
        assert!(under_way.is_full(claimed, 800));
        assert!(!under_way.is_full(proven, 800));
        assert!(!under_way.is_full(Origin::of(ip(2), false, None), 800));
        under_way.over(claimed);
        assert!(!under_way.is_full(claimed, 800));
        assert_eq!(under_way.total(), 49);
        for _ in 0..49 {
            under_way.over(claimed);
        }
        assert!(under_way.by_origin.is_empty());
    }

    #[test]
    fn a_path_has_few_whatever_the_places() {
        let mut under_way = UnderWay::default();
        let path = Origin::of(ip(1), true, Some(7));
        for _ in 0..MAX_OF_PATH {
            assert!(!under_way.is_full(path, 1000));
            under_way.begin(path);
        }
        assert!(under_way.is_full(path, 1000));
        assert!(!under_way.is_full(Origin::of(ip(1), true, Some(8)), 1000));
    }
}
