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

/// A virtual path, and the connection that carried it then: the paths of a carrier are as many as its peer likes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Via {
    pub(crate) path: Id,
    pub(crate) carrier: Id,
}

/// Where a handshake comes from. What claims an address and what has proven it are counted apart: a flood in
/// somebody's name takes nothing from that somebody.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    Source(Source, bool),
    Path(Via),
}

/// What an origin is counted by. A path stays the same when another carrier takes it.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Source(Source, bool),
    Path(Id),
}

impl Origin {
    pub(crate) fn of(ip: IpAddr, validated: bool, via: Option<Via>) -> Self {
        via.map_or_else(|| Self::Source(Source::of(ip), validated), Self::Path)
    }

    fn key(self) -> Key {
        match self {
            Self::Source(source, validated) => Key::Source(source, validated),
            Self::Path(via) => Key::Path(via.path),
        }
    }
}

#[derive(Default)]
pub(crate) struct UnderWay {
    total: usize,
    by_origin: FxHashMap<Key, usize>,
    by_carrier: FxHashMap<Id, usize>,
}

impl UnderWay {
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Whether this origin has its share of `max` places already.
    pub(crate) fn is_full(&self, origin: Origin, max: usize) -> bool {
        let share = match origin {
            Origin::Source(..) => (max / SHARE_OF_SOURCE).max(LEAST_OF_SOURCE),
            Origin::Path(via) if self.is_carrier_full(via.carrier, max) => return true,
            Origin::Path(_) => MAX_OF_PATH,
        };
        self.by_origin.get(&origin.key()).is_some_and(|n| *n >= share)
    }

    /// All paths of a carrier together have half of what the others leave.
    fn is_carrier_full(&self, carrier: Id, max: usize) -> bool {
        let own = self.by_carrier.get(&carrier).copied().unwrap_or_default();
        own >= max.saturating_sub(self.total - own).div_ceil(2)
    }

    /// Whether any comes over this path.
    pub(crate) fn has(&self, path: Id) -> bool {
        self.by_origin.contains_key(&Key::Path(path))
    }

    pub(crate) fn begin(&mut self, origin: Origin) {
        self.total += 1;
        *self.by_origin.entry(origin.key()).or_default() += 1;
        if let Origin::Path(via) = origin {
            *self.by_carrier.entry(via.carrier).or_default() += 1;
        }
    }

    pub(crate) fn over(&mut self, origin: Origin) {
        self.total = self.total.saturating_sub(1);
        take(&mut self.by_origin, origin.key());
        if let Origin::Path(via) = origin {
            take(&mut self.by_carrier, via.carrier);
        }
    }
}

fn take<K: Eq + std::hash::Hash>(counts: &mut FxHashMap<K, usize>, key: K) {
    if let Some(n) = counts.get_mut(&key) {
        *n -= 1;
        if *n == 0 {
            counts.remove(&key);
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

    fn path(path: Id, carrier: Id) -> Origin {
        Origin::of(ip(1), true, Some(Via { path, carrier }))
    }

    #[test]
    fn a_path_has_few_whatever_the_places() {
        let mut under_way = UnderWay::default();
        for _ in 0..MAX_OF_PATH {
            assert!(!under_way.is_full(path(7, 1), 1000));
            under_way.begin(path(7, 1));
        }
        assert!(under_way.is_full(path(7, 1), 1000));
        assert!(!under_way.is_full(path(8, 1), 1000));
    }

    #[test]
    fn a_carrier_has_half_of_what_the_others_leave_however_many_paths_it_has() {
        let mut under_way = UnderWay::default();
        let mut fill = |carrier: Id| {
            let mut count = 0;
            while !under_way.is_full(path(carrier * 1000 + count, carrier), 1000) {
                under_way.begin(path(carrier * 1000 + count, carrier));
                count += 1;
            }
            count
        };
        assert_eq!([fill(1), fill(2), fill(3)], [500, 250, 125]);
        assert_eq!(fill(1), 0);
        for id in 0..500 {
            under_way.over(path(1000 + id, 1));
        }
        assert!(!under_way.is_full(path(1, 1), 1000));
    }
}
