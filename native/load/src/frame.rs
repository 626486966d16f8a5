//! Test datagrams: `[kind u8, trial u32, sequence u64, nanoseconds u64]`, then padding.

/// Shortest test datagram.
pub(crate) const HEADER: usize = 21;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    /// Asks the far end what it has received in this trial; the sequence number names the question.
    Query,
    /// Answer: the header is followed by `received u64, p50 u64, p99 u64` (nanoseconds one way).
    Report,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) trial: u32,
    pub(crate) sequence: u64,
    pub(crate) nanos: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    pub(crate) received: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

impl Header {
    pub(crate) fn write(self, out: &mut [u8]) {
        out[0] = self.kind as u8;
        out[1..5].copy_from_slice(&self.trial.to_be_bytes());
        out[5..13].copy_from_slice(&self.sequence.to_be_bytes());
        out[13..21].copy_from_slice(&self.nanos.to_be_bytes());
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER {
            return None;
        }
        let kind = match bytes[0] {
            0 => Kind::Data,
            1 => Kind::Query,
            2 => Kind::Report,
            _ => return None,
        };
        let trial = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        Some(Self { kind, trial, sequence: word(bytes, 5), nanos: word(bytes, 13) })
    }
}

impl Report {
    pub(crate) const LENGTH: usize = HEADER + 24;

    pub(crate) fn write(self, out: &mut [u8]) {
        out[HEADER..HEADER + 8].copy_from_slice(&self.received.to_be_bytes());
        out[HEADER + 8..HEADER + 16].copy_from_slice(&self.p50.to_be_bytes());
        out[HEADER + 16..HEADER + 24].copy_from_slice(&self.p99.to_be_bytes());
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let at = |i| word(bytes, HEADER + i);
        (bytes.len() >= Self::LENGTH).then(|| Self { received: at(0), p50: at(8), p99: at(16) })
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(eight)
}

/// Nanoseconds of a clock that all processes of this machine share.
pub(crate) fn now() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// User and system time of this process so far.
pub(crate) fn cpu_ms() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID) / 1_000_000
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is writable.
    unsafe { libc::clock_gettime(id, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
