//! Events for the owner: at once when somebody waits for them, together with others when not. Waking the
//! owner costs more than most of what it then does.

use super::core::{Engine, TimerKey};
use super::types::Event;
use std::time::{Duration, Instant};

/// Longest time that events for which nobody waits are kept back.
const PATIENCE: Duration = Duration::from_millis(2);
/// So many of them are handed over whatever the time.
const MANY: usize = 128;

/// Nothing is decided on this: it goes into the books. Not so a dial that succeeded: until the owner knows, a flow
/// that is cut counts as refused although bytes have passed.
fn may_wait(event: &Event) -> bool {
    match event {
        Event::SpliceDone { .. } => true,
        Event::SpliceMatched { matched, .. } => *matched,
        _ => false,
    }
}

impl Engine {
    pub(super) fn hand_over(&mut self, wake: &dyn Fn()) {
        if self.events.is_empty() || self.may_keep_back() {
            return;
        }
        self.kept_until = None;
        if self.shared.publish(&mut self.events) {
            wake();
        }
    }

    fn may_keep_back(&mut self) -> bool {
        if self.events.len() >= MANY || !self.events.iter().all(may_wait) {
            return false;
        }
        let now = Instant::now();
        let until = *self.kept_until.get_or_insert_with(|| {
            self.timers.insert((now + PATIENCE, TimerKey::HandOver));
            now + PATIENCE
        });
        now < until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_into_the_books_may_wait() {
        assert!(!may_wait(&Event::TcpConnected { socket: 1, error: None }), "a flow is open from here on");
        assert!(may_wait(&Event::SpliceMatched { conn: 1, stream: 0, matched: true }));
        assert!(
            !may_wait(&Event::SpliceMatched { conn: 1, stream: 0, matched: false }),
            "the answer is read"
        );
        assert!(!may_wait(&Event::Stopped { error: None }));
    }
}
