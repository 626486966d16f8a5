//! What the peer of an inner connection may send before it is read. QUIC has one window for all streams of a
//! connection, so bytes that wait in noq for a reader that does not take them would keep the other streams from
//! getting any. The window grows by what such streams may hold, up to a bound for the connection and one for the
//! endpoint, and shrinks as what was granted is read.

use super::core::Engine;
use super::options::TransportOptions;
use super::types::Id;
use noq_proto as q;

/// The window grows by so many times itself at most. noq tells the peer of credit once it is an eighth of the whole
/// window; if that were near the window that is left to streams that are read, both sides would wait for ever.
const MAX_GROWTH: u64 = 4;
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
    /// Read since the peer was last told for certain what it may send.
    untold: u64,
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

    /// What unread streams may hold. One of them leaves the others enough, and a lone transfer is unread now and then.
    fn held(&self) -> u64 {
        self.unread.saturating_sub(1) * self.stream
    }

    fn wanted(&self) -> u64 {
        self.held().min(MAX_GROWTH * self.base)
    }

    /// Too little is granted for the streams that are unread.
    fn is_short(&self) -> bool {
        self.held() > self.extra
    }

    /// Follows what is wanted, after so many bytes were read: grants it while no more than `limit` is granted, and takes
    /// back what is not wanted any more. Gives the window.
    fn adjust(&mut self, read: u64, limit: u64) -> u64 {
        self.debt = self.debt.saturating_sub(read);
        let wanted = self.wanted();
        if wanted > self.extra {
            self.extra = wanted.min(limit.saturating_sub(self.debt)).max(self.extra);
        } else if self.debt == 0 {
            self.debt = (self.extra - wanted).min(STEP);
            self.extra -= self.debt;
        }
        self.base + self.extra
    }

    /// Whether to tell the peer what it may send though noq would wait: as soon as noq would if nothing was granted.
    fn must_tell(&mut self, read: u64, discarded: bool) -> bool {
        self.untold += read;
        let must = self.extra > 0 && (discarded || self.untold >= self.base / 8);
        if must {
            self.untold = 0;
        }
        must
    }
}

impl Engine {
    /// So many bytes of a stream went from noq to its reader, and noq holds more of it than the reader takes, or not.
    pub(crate) fn taken(&mut self, conn: Id, read: u64, was_unread: bool, unread: bool) {
        let Some(c) = self.conns.get_mut(&conn).filter(|c| c.inner) else { return };
        let others = self.unread_granted - c.window.granted();
        c.window.unread = c.window.unread + u64::from(unread) - u64::from(was_unread);
        let old = c.window.base + c.window.extra;
        // Nobody gets all that is left, so that there is something for everybody.
        let window = c.window.adjust(read, self.options.unread_window.saturating_sub(others) / 2);
        self.unread_granted = others + c.window.granted();
        if unread && !was_unread {
            self.drops.unread_limited += u64::from(c.window.is_short());
        }
        let must_tell = c.window.must_tell(read, was_unread && !unread && read == 0);
        if window != old {
            set_window(&mut c.q, window);
        }
        if must_tell {
            // noq tells at once of a window that has grown. The one byte is taken back from what is read next.
            set_window(&mut c.q, window + 1);
            set_window(&mut c.q, window);
        }
        if must_tell || window > old {
            self.mark(conn);
        }
    }
}

fn set_window(conn: &mut q::Connection, bytes: u64) {
    conn.set_receive_window(q::VarInt::from_u64(bytes).unwrap_or(q::VarInt::MAX));
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
    fn each_unread_stream_but_one_is_granted_its_window_up_to_a_bound() {
        assert_eq!(window(0).adjust(0, u64::MAX), BASE);
        assert_eq!(window(1).adjust(0, u64::MAX), BASE);
        assert_eq!(window(2).adjust(0, u64::MAX), BASE + STREAM);
        let mut full = window(17);
        assert_eq!(full.adjust(0, u64::MAX), BASE + 16 * STREAM);
        assert!(!full.is_short());
        full.unread = 18;
        assert_eq!(full.adjust(0, u64::MAX), BASE + 16 * STREAM);
        assert!(full.is_short());
    }

    #[test]
    fn no_more_is_granted_than_the_limit() {
        let mut w = window(5);
        assert_eq!(w.adjust(0, 3 * STREAM), BASE + 3 * STREAM);
        assert!(w.is_short());
        assert_eq!(w.adjust(0, STREAM), BASE + 3 * STREAM, "what was granted stays");
        assert_eq!(w.adjust(0, 4 * STREAM), BASE + 4 * STREAM, "later there is room");
        assert!(!w.is_short());
    }

    #[test]
    fn what_is_not_wanted_is_taken_back_as_bytes_are_read() {
        let mut w = window(2);
        w.adjust(0, u64::MAX);
        assert_eq!(w.adjust(STREAM, u64::MAX), BASE + STREAM, "still wanted");
        w.unread = 0;
        assert_eq!(w.adjust(1, u64::MAX), BASE + STREAM - STEP);
        assert_eq!(w.granted(), STREAM, "the peer has it until it is used up");
        assert_eq!(w.adjust(STEP - 1, u64::MAX), BASE + STREAM - STEP);
        assert_eq!(w.adjust(1, u64::MAX), BASE + STREAM - 2 * STEP);
        for _ in 0..STREAM / STEP {
            w.adjust(STEP, u64::MAX);
        }
        assert_eq!(w.granted(), 0);
        assert_eq!(w.adjust(STEP, u64::MAX), BASE);
    }

    #[test]
    fn a_stream_that_is_read_now_and_then_does_not_pile_up_grants() {
        let mut w = window(0);
        for _ in 0..1_000 {
            w.unread = 2;
            w.adjust(1, u64::MAX);
            w.unread = 1;
            w.adjust(1, u64::MAX);
        }
        assert!(w.granted() <= STREAM + STEP, "{}", w.granted());
    }

    #[test]
    fn the_peer_is_told_of_credit_as_often_as_without_a_grant() {
        let mut w = window(0);
        assert!(!w.must_tell(BASE, true), "noq does it");
        w.unread = 2;
        w.adjust(0, u64::MAX);
        assert!(w.must_tell(0, true), "what a stream held is free again");
        assert!(!w.must_tell(BASE / 8 - 1, false));
        assert!(w.must_tell(1, false));
        assert!(!w.must_tell(1, false));
    }
}
