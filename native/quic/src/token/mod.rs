//! Keys of the tokens that an endpoint hands to peers, and the memory that makes a token usable
//! once: retry and validation tokens, stateless reset tokens.
//!
//! Keys come from the caller, so that the instances of a rolling deploy accept each other's tokens.

mod reset;
mod retry;
mod used;

pub use reset::ResetKey;
pub use retry::{RETRY_TOKEN_LIFETIME, TokenKeys};
pub use used::MemoryTokenLog;

/// Length in bytes of every key of this module.
pub const KEY_LEN: usize = 32;

fn random_key() -> [u8; KEY_LEN] {
    rand::random()
}
