//! Times in buckets about 3 % wide.

const SUB: u64 = 32;

#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; 64 * SUB as usize], total: 0 }
    }

    pub(crate) fn add(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Upper end of the bucket below which a share `q` of the times lies; 0 when there are none.
    pub(crate) fn quantile(&self, q: f64) -> u64 {
        let wanted = (self.total as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (i, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= wanted && seen > 0 {
                return upper(i as u64);
            }
        }
        0
    }
}

fn bucket(v: u64) -> usize {
    if v < SUB {
        return v as usize;
    }
    let shift = 63 - u64::from(v.leading_zeros()) - 5;
    ((shift + 1) * SUB + (v >> shift) - SUB) as usize
}

fn upper(i: u64) -> u64 {
    if i < SUB { i } else { ((i % SUB + SUB + 1) << (i / SUB - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_at_most_a_thirtieth_above_its_values() {
        for v in (0..60).flat_map(|s| [1u64 << s, (1 << s) + 1, (1 << s) * 3 / 2]) {
            let end = upper(bucket(v) as u64);
            assert!(end >= v && end <= v + v / 30, "{v} in a bucket up to {end}");
        }
    }

    #[test]
    fn quantiles_count_from_below() {
        let mut h = Histogram::new();
        (1..=20).for_each(|v| h.add(v));
        assert_eq!([h.quantile(0.5), h.quantile(0.99)], [10, 20]);
    }
}
