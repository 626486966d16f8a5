//! Events for the owner: at once when somebody waits for them, together with others when not. Waking the
//! owner costs more than most of what it then does.

use super::core::{Engine, TimerKey};
use super::types::Event;
use std::time::{Duration, Instant};

/// Longest time that events for which nobody waits are kept back.
const PATIENCE: Duration = Duration::from_millis(2);
/// So many of them are handed over whatever the time.
const MANY: usize = 128;

/// Nothing is decided on this: it goes into the books.
fn may_wait(event: &Event) -> bool {
    match event {
        Event::SpliceDone { .. } => true,
        Event::SpliceMatched { matched, .. } => *matched,
        Event::TcpConnected { error, joined, .. } => *joined && error.is_none(),
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
    use std::io::ErrorKind;

    #[test]
    fn only_what_goes_into_the_books_may_wait() {
        let connected = |error, joined| Event::TcpConnected { socket: 1, error, joined };
        assert!(may_wait(&connected(None, true)));
        assert!(!may_wait(&connected(None, false)), "somebody dialled and waits");
        assert!(
            !may_wait(&connected(Some(ErrorKind::ConnectionRefused), true)),
            "the flow has to be refused"
        );
        assert!(may_wait(&Event::SpliceMatched { conn: 1, stream: 0, matched: true }));
        assert!(
            !may_wait(&Event::SpliceMatched { conn: 1, stream: 0, matched: false }),
            "the answer is read"
        );
        assert!(!may_wait(&Event::Stopped { error: None }));
    }
}
