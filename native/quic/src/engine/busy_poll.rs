//! Looking again before going to sleep.
//!
//! Waking a sleeping thread costs tens of microseconds, more in a virtual machine, and a packet that
//! crosses a relay pays it at every hop. A thread that has just done something therefore polls on for a
//! moment, giving way to others all the while, and sleeps only then. How long is learned as the Linux
//! governor `haltpoll` does: a sleep that ended soon says that polling longer would have paid, a long one
//! that it was in vain. A thread whose events come far apart polls not at all.

use super::poller::{Poller, Ready};
use std::io;
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

    /// Waits until something is ready or the timeout has passed: polling at first, then asleep.
    pub(crate) fn wait(
        &mut self,
        poller: &mut Poller,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) || self.max.is_zero() {
            return poller.wait(timeout, ready);
        }
        let begin = Instant::now();
        let due = timeout.map(|t| begin + t);
        let mut now = begin;
        while now < begin + self.window {
            poller.wait(Some(Duration::ZERO), ready)?;
            if !ready.is_empty() || due.is_some_and(|d| d <= now) {
                return Ok(());
            }
            std::thread::yield_now();
            now = Instant::now();
        }
        poller.wait(due.map(|d| d.saturating_duration_since(now)), ready)?;
        // A timer's time was known before; it says nothing of when packets come.
        if !ready.is_empty() {
            self.slept(now.elapsed());
        }
        Ok(())
    }

    /// A sleep after polling in vain took so long.
    fn slept(&mut self, time: Duration) {
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

#[cfg(test)]
mod tests {
    use super::super::poller::{Interest, Waker};
    use super::*;

    const MAX: Duration = Duration::from_micros(50);

    fn busy(max: Duration) -> BusyPoll {
        BusyPoll { max, window: Duration::ZERO }
    }

    #[test]
    fn events_close_together_lengthen_the_window_up_to_its_bound() {
        let mut b = busy(MAX);
        assert_eq!(b.window, Duration::ZERO);
        for expected in [10, 20, 40, 50, 50] {
            b.slept(Duration::from_micros(30));
            assert_eq!(b.window, Duration::from_micros(expected));
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
        assert_eq!(b.window, Duration::ZERO);
    }

    #[test]
    fn polling_ends_in_time_and_finds_what_is_ready() {
        let waker = Waker::new().expect("resources");
        let mut poller = Poller::new().expect("resources");
        poller.add(waker.fd(), 7, Interest::Read).expect("resources");
        for window in [Duration::ZERO, MAX] {
            let mut b = BusyPoll { max: MAX, window };
            let mut ready = Vec::new();
            b.wait(&mut poller, Some(Duration::from_millis(1)), &mut ready).expect("poller");
            assert!(ready.is_empty());
            waker.wake();
            b.wait(&mut poller, None, &mut ready).expect("poller");
            assert_eq!(ready.len(), 1);
            waker.clear();
        }
    }
}
