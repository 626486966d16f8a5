use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use noq_proto::{TokenLog, TokenReuseError};
use rustc_hash::FxHashSet;

/// Remembers used validation tokens (those of NEW_TOKEN frames, RFC 9000 section 8.1.3), so that
/// each works once in this process, within a bound of memory.
///
/// Two generations of nonces are kept. When the newer is full the older is forgotten, and from then
/// on every token that expires no later than the latest of the forgotten ones counts as used: a
/// wrong "used" costs the client a round trip, a wrong "unused" would admit a replay.
pub struct MemoryTokenLog(Mutex<Memory>);

struct Memory {
    generation: usize,
    present: Generation,
    previous: Generation,
    /// Tokens that expire up to here may have been forgotten.
    forgotten: SystemTime,
}

struct Generation {
    nonces: FxHashSet<u128>,
    latest_expiry: SystemTime,
}

impl Generation {
    fn new() -> Self {
        Self { nonces: FxHashSet::default(), latest_expiry: SystemTime::UNIX_EPOCH }
    }
}

impl MemoryTokenLog {
    /// Remembers up to `capacity` tokens (at least 2), about 32 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self(Mutex::new(Memory {
            generation: (capacity / 2).max(1),
            present: Generation::new(),
            previous: Generation::new(),
            forgotten: SystemTime::UNIX_EPOCH,
        }))
    }
}

impl Default for MemoryTokenLog {
    /// Remembers 65,536 tokens.
    fn default() -> Self {
        Self::new(1 << 16)
    }
}

impl TokenLog for MemoryTokenLog {
    fn check_and_insert(
        &self,
        nonce: u128,
        issued: SystemTime,
        lifetime: Duration,
    ) -> Result<(), TokenReuseError> {
        let expiry = issued.checked_add(lifetime).ok_or(TokenReuseError)?;
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if expiry <= memory.forgotten || memory.previous.nonces.contains(&nonce) {
            return Err(TokenReuseError);
        }
        if !memory.present.nonces.insert(nonce) {
            return Err(TokenReuseError);
        }
        memory.present.latest_expiry = memory.present.latest_expiry.max(expiry);
        if memory.present.nonces.len() >= memory.generation {
            memory.forgotten = memory.forgotten.max(memory.previous.latest_expiry);
            memory.previous = std::mem::replace(&mut memory.present, Generation::new());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);

    #[test]
    fn a_token_is_accepted_once() {
        let log = MemoryTokenLog::new(8);
        assert!(accepts(&log, 1, 0));
        assert!(accepts(&log, 2, 0));
        assert!(!accepts(&log, 1, 0));
        assert!(!accepts(&log, 2, 0));
    }

    #[test]
    fn no_token_is_ever_accepted_twice_however_many_there_are() {
        let log = MemoryTokenLog::new(64);
        for nonce in 0..1_000 {
            accepts(&log, nonce, nonce as u64 / 8);
            for earlier in 0..=nonce {
                assert!(!accepts(&log, earlier, earlier as u64 / 8), "{earlier} after {nonce}");
            }
        }
    }

    #[test]
    fn later_tokens_are_accepted_after_overflow_and_memory_stays_bounded() {
        let log = MemoryTokenLog::new(64);
        for nonce in 0..10_000u128 {
            assert!(accepts(&log, nonce, nonce as u64), "{nonce}");
        }
        let memory = log.0.lock().expect("lock");
        assert!(memory.present.nonces.len() + memory.previous.nonces.len() <= 64);
    }

    fn accepts(log: &MemoryTokenLog, nonce: u128, issued: u64) -> bool {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + issued);
        log.check_and_insert(nonce, issued, LIFETIME).is_ok()
    }
}
