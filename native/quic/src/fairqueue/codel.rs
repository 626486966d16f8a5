//! Controlled delay (RFC 8289): decides by how long datagrams waited whether the next is dropped.

use std::time::{Duration, Instant};

/// State for one queue.
#[derive(Debug, Default)]
pub(super) struct Codel {
    /// When the wait will have been above target for an interval; `None` while it is below.
    first_above: Option<Instant>,
    dropping: bool,
    drop_next: Option<Instant>,
    /// Drops since this state of dropping began; sets their pace.
    count: u32,
    last_count: u32,
}

/// What was taken from the queue.
pub(super) struct Taken<T> {
    pub(super) item: T,
    /// How long it waited.
    pub(super) sojourn: Duration,
    /// True when at most a packet's worth of bytes is left behind it: a queue that short is never
    /// the cause of delay.
    pub(super) rest_is_short: bool,
}

impl Codel {
    /// Takes the next item with `take`, and drops what the control law says with `discard` on the way.
    pub(super) fn next<S, T>(
        &mut self,
        now: Instant,
        (target, interval): (Duration, Duration),
        source: &mut S,
        take: impl Fn(&mut S) -> Option<Taken<T>>,
        discard: impl Fn(&mut S, T),
    ) -> Option<T> {
        let pull = |codel: &mut Self, source: &mut S| {
            let taken = take(source);
            let may_drop = codel.observe(taken.as_ref(), now, target, interval);
            (taken.map(|taken| taken.item), may_drop)
        };
        let (mut item, mut may_drop) = pull(self, source);
        if !self.dropping {
            if !may_drop {
                return item;
            }
            item.into_iter().for_each(|item| discard(source, item));
            (item, _) = pull(self, source);
            self.begin_dropping(now, interval);
            return item;
        }
        self.dropping = may_drop;
        while let Some(drop_next) = self.drop_next.filter(|at| self.dropping && *at <= now) {
            item.into_iter().for_each(|item| discard(source, item));
            self.count += 1;
            (item, may_drop) = pull(self, source);
            self.dropping = may_drop;
            self.drop_next = Some(drop_next + pace(interval, self.count));
        }
        item
    }

    fn observe<T>(
        &mut self,
        taken: Option<&Taken<T>>,
        now: Instant,
        target: Duration,
        interval: Duration,
    ) -> bool {
        let is_late = taken.is_some_and(|taken| taken.sojourn >= target && !taken.rest_is_short);
        if !is_late {
            self.first_above = None;
            return false;
        }
        match self.first_above {
            Some(at) => now >= at,
            None => {
                self.first_above = Some(now + interval);
                false
            }
        }
    }

    /// Goes on at the former pace when the last state of dropping ended a short while ago.
    fn begin_dropping(&mut self, now: Instant, interval: Duration) {
        let since = self.count.saturating_sub(self.last_count);
        let is_recent = self.drop_next.is_some_and(|at| now.saturating_duration_since(at) < interval * 16);
        self.count = if since > 1 && is_recent { since } else { 1 };
        self.last_count = self.count;
        self.dropping = true;
        self.drop_next = Some(now + pace(interval, self.count));
    }
}

fn pace(interval: Duration, count: u32) -> Duration {
    interval.div_f64(f64::from(count.max(1)).sqrt())
}
