//! Looking again before going to sleep.
//!
//! Waking a sleeping thread costs tens of microseconds, more in a virtual machine, and a packet that
//! crosses a relay pays it at every hop. A thread that has just done something therefore polls on for a
//! moment, giving way to others all the while, and sleeps only then. How long is learned as the Linux
//! governor `haltpoll` does: a sleep that ended soon says that polling longer would have paid, a long one
//! that it was in vain. A thread whose events come far apart polls not at all.

use std::time::{Duration, Instant};

/// First step up from not polling at all.
const FIRST: Duration = Duration::from_micros(10);

pub(crate) struct BusyPoll {
    /// Bound of `window`; zero: never.
    max: Duration,
    /// Polls for so long before it sleeps.
    window: Duration,
}

impl BusyPoll {
    pub(crate) fn new(max: Duration) -> Self {
        // On a single core whoever is waited for cannot run meanwhile.
        let alone = std::thread::available_parallelism().is_ok_and(|n| n.get() == 1);
        Self { max: if alone { Duration::ZERO } else { max }, window: Duration::ZERO }
    }

    /// When to stop polling and sleep; `None`: sleep at once.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        (!self.window.is_zero()).then(|| now + self.window)
    }

    /// Whether it is worth knowing how long a sleep took.
    pub(crate) fn is_on(&self) -> bool {
        !self.max.is_zero()
    }

    /// A sleep after polling in vain took so long.
    pub(crate) fn slept(&mut self, time: Duration) {
        if time > self.max {
            self.window /= 2;
            if self.window < FIRST {
                self.window = Duration::ZERO;
            }
        } else {
            self.window = (self.window * 2).clamp(FIRST, self.max);
        }
    }
}

/// Lets others run on this core.
pub(crate) fn give_way() {
    std::thread::yield_now();
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_micros(50);

    fn busy(max: Duration) -> BusyPoll {
        BusyPoll { max, window: Duration::ZERO }
    }

    #[test]
    fn events_close_together_lengthen_the_window_up_to_its_bound() {
        let mut b = busy(MAX);
        let now = Instant::now();
        assert_eq!(b.until(now), None);
        for expected in [10, 20, 40, 50, 50] {
            b.slept(Duration::from_micros(30));
            assert_eq!(b.until(now), Some(now + Duration::from_micros(expected)));
        }
    }

    #[test]
    fn events_far_apart_end_the_polling() {
        let mut b = busy(MAX);
        for _ in 0..4 {
            b.slept(Duration::from_micros(30));
        }
        for _ in 0..3 {
            b.slept(Duration::from_millis(5));
        }
        assert_eq!(b.until(Instant::now()), None);
    }

    #[test]
    fn a_bound_of_zero_never_polls() {
        let b = busy(Duration::ZERO);
        assert!(!b.is_on());
        assert_eq!(b.until(Instant::now()), None);
    }
}
