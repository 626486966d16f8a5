//! Events for the owner: at once when somebody waits for them, together with others when not. Waking the
//! owner costs more than most of what it then does, and what it does first, the others wait for.

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

/// Somebody waits for an answer to it, and nothing that is kept back belongs to it.
fn is_new(event: &Event) -> bool {
    matches!(event, Event::StreamOpened { .. } | Event::TcpAccepted { .. })
}

/// Takes out what may wait; nothing where the order could matter.
fn take_kept(events: &mut Vec<Event>) -> Vec<Event> {
    if events.len() >= MANY || !events.iter().all(|e| may_wait(e) || is_new(e)) {
        return Vec::new();
    }
    events.extract_if(.., |e| may_wait(e)).collect()
}

impl Engine {
    pub(super) fn hand_over(&mut self, wake: &dyn Fn()) {
        if self.events.is_empty() {
            return;
        }
        let mut kept = take_kept(&mut self.events);
        if kept.is_empty() {
            self.kept_until = None;
        } else if self.is_kept_too_long() {
            self.kept_until = None;
            self.events.append(&mut kept);
        }
        if !self.events.is_empty() && self.shared.publish(&mut self.events) {
            wake();
        }
        self.events.append(&mut kept);
    }

    fn is_kept_too_long(&mut self) -> bool {
        let now = Instant::now();
        let until = *self.kept_until.get_or_insert_with(|| {
            self.timers.insert((now + PATIENCE, TimerKey::HandOver));
            now + PATIENCE
        });
        now >= until
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::SpliceEnd;
    use super::*;
    use bytes::Bytes;

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
    #[test]
    fn who_is_new_goes_before_the_books() {
        let done =
            || Event::SpliceDone { conn: 1, stream: 0, sent: 1, received: 2, end: SpliceEnd::Finished };
        let opened = || Event::StreamOpened { conn: 1, stream: 4, bidi: true, first: Bytes::new() };
        let names = |events: &[Event]| events.iter().map(|e| format!("{e:?}")).collect::<Vec<_>>();

        let mut events = vec![done(), opened(), done()];
        assert_eq!(names(&take_kept(&mut events)), names(&[done(), done()]));
        assert_eq!(names(&events), names(&[opened()]));

        let closed = || Event::Stopped { error: None };
        let mut events = vec![done(), opened(), closed()];
        assert!(take_kept(&mut events).is_empty(), "the figures come before the end");
        assert_eq!(names(&events), names(&[done(), opened(), closed()]));

        let mut events: Vec<_> = (0..MANY).map(|_| done()).collect();
        assert!(take_kept(&mut events).is_empty(), "no end of them is kept");
    }
}
