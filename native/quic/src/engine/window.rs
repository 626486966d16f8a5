//! What the peer of an inner connection may send before it is read. QUIC has one window for all streams of a
//! connection, so bytes that wait in noq for a reader that does not take them would keep the other streams from
//! getting any. The window grows by what such streams may hold, up to a bound for the connection and one for the
//! endpoint, and shrinks as what was granted is read.

use super::core::Engine;
use super::options::TransportOptions;
use super::types::Id;
use noq_proto as q;

/// Unread streams of a connection for which its window grows.
const MAX_UNREAD: u64 = 32;
/// Taken back at a time. What is granted anew before the peer has used it up comes on top of the bound.
const STEP: u64 = 256 << 10;

/// The window of one connection. The default never changes.
#[derive(Default)]
pub(crate) struct ReceiveWindow {
    /// When every stream is read.
    base: u64,
    /// What noq holds of one stream at most.
    stream: u64,
    /// Streams of which noq holds bytes that nobody takes.
    unread: u64,
    /// Granted beyond `base`.
    extra: u64,
    /// Taken back from `extra`: the peer still has it until so many bytes are read (noq lowers a window by giving
    /// nothing for them, and takes nothing off this when it is raised).
    debt: u64,
}

impl ReceiveWindow {
    pub(crate) fn new(o: &TransportOptions) -> Self {
        Self {
            base: u64::from(o.connection_window),
            stream: u64::from(super::configure::stream_window(o)),
            ..Self::default()
        }
    }

    /// What the peer may send at present beyond the window of a connection of which everything is read.
    pub(crate) fn granted(&self) -> u64 {
        self.extra + self.debt
    }

    fn wanted(&self) -> u64 {
        self.unread.min(MAX_UNREAD) * self.stream
    }

    /// Too little is granted for the streams that are unread.
    fn is_short(&self) -> bool {
        self.unread * self.stream > self.extra
    }

    /// Follows what is wanted, after so many bytes were read: grants it while no more than `limit` is granted, and takes
    /// back what is not wanted any more. The new window, if it is another.
    fn adjust(&mut self, read: u64, limit: u64) -> Option<u64> {
        self.debt = self.debt.saturating_sub(read);
        let wanted = self.wanted();
        let old = self.extra;
        if wanted > old {
            self.extra = wanted.min(limit.saturating_sub(self.debt)).max(old);
        } else if self.debt == 0 {
            self.debt = (old - wanted).min(STEP);
            self.extra -= self.debt;
        }
        (self.extra != old).then_some(self.base + self.extra)
    }
}

impl Engine {
    /// So many bytes of a stream went from noq to its reader, and noq holds more of it than the reader takes, or not.
    pub(crate) fn taken(&mut self, conn: Id, read: u64, was_unread: bool, unread: bool) {
        let Some(c) = self.conns.get_mut(&conn).filter(|c| c.inner) else { return };
        let others = self.unread_granted - c.window.granted();
        c.window.unread = c.window.unread + u64::from(unread) - u64::from(was_unread);
        // Nobody gets all that is left, so that there is something for everybody.
        let changed = c.window.adjust(read, self.options.unread_window.saturating_sub(others) / 2);
        self.unread_granted = others + c.window.granted();
        if unread && !was_unread {
            self.drops.unread_limited += u64::from(c.window.is_short());
        }
        if let Some(window) = changed {
            c.q.set_receive_window(q::VarInt::from_u64(window).unwrap_or(q::VarInt::MAX));
            self.mark(conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: u64 = 2 << 20;
    const BASE: u64 = 8 << 20;

    fn window(unread: u64) -> ReceiveWindow {
        ReceiveWindow { unread, ..ReceiveWindow::new(&TransportOptions::default()) }
    }

    #[test]
    fn each_unread_stream_is_granted_its_window_up_to_a_number() {
        assert_eq!(window(0).adjust(0, u64::MAX), None);
        assert_eq!(window(1).adjust(0, u64::MAX), Some(BASE + STREAM));
        assert_eq!(window(MAX_UNREAD).adjust(0, u64::MAX), Some(BASE + MAX_UNREAD * STREAM));
        let mut full = window(MAX_UNREAD + 1);
        assert_eq!(full.adjust(0, u64::MAX), Some(BASE + MAX_UNREAD * STREAM));
        assert!(full.is_short());
    }

    #[test]
    fn no_more_is_granted_than_the_limit() {
        let mut w = window(4);
        assert_eq!(w.adjust(0, 3 * STREAM), Some(BASE + 3 * STREAM));
        assert!(w.is_short());
        assert_eq!(w.adjust(0, STREAM), None, "what was granted stays");
        assert_eq!(w.adjust(0, 4 * STREAM), Some(BASE + 4 * STREAM), "later there is room");
        assert!(!w.is_short());
    }

    #[test]
    fn what_is_not_wanted_is_taken_back_as_bytes_are_read() {
        let mut w = window(1);
        w.adjust(0, u64::MAX);
        assert_eq!(w.adjust(STREAM, u64::MAX), None, "still wanted");
        w.unread = 0;
        assert_eq!(w.adjust(1, u64::MAX), Some(BASE + STREAM - STEP));
        assert_eq!(w.granted(), STREAM, "the peer has it until it is used up");
        assert_eq!(w.adjust(STEP - 1, u64::MAX), None);
        assert_eq!(w.adjust(1, u64::MAX), Some(BASE + STREAM - 2 * STEP));
        for _ in 0..STREAM / STEP {
            w.adjust(STEP, u64::MAX);
        }
        assert_eq!(w.granted(), 0);
        assert_eq!(w.adjust(STEP, u64::MAX), None);
    }

    #[test]
    fn a_stream_that_is_read_now_and_then_does_not_pile_up_grants() {
        let mut w = window(0);
        for _ in 0..1_000 {
            w.unread = 1;
            w.adjust(1, u64::MAX);
            w.unread = 0;
            w.adjust(1, u64::MAX);
        }
        assert!(w.granted() <= STREAM + STEP, "{}", w.granted());
    }
}
