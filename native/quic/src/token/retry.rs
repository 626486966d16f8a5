use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::{aead, hkdf};
use noq_proto::crypto::{CryptoError, HandshakeTokenKey};
#[cfg(not(feature = "aws-lc-rs"))]
use ring::{aead, hkdf};
use rustc_hash::FxHashSet;

use super::{KEY_LEN, random_key};

/// How long a retry token is good for. Clients bring it back at once.
pub const RETRY_TOKEN_LIFETIME: Duration = Duration::from_secs(15);

/// Tokens in one generation of the memory; two generations of at most 32 bytes a token are kept.
const GENERATION: usize = 1 << 16;

/// Seals and opens retry tokens (RFC 9000 section 8.1.2) with keys that other instances share.
///
/// A token is AES-256-GCM under a key of its own, made by HKDF-SHA256 from the shared key and the
/// token's 128-bit random nonce; the AEAD nonce can therefore be constant. Sealing uses the first
/// key; opening tries all, so a key is rotated by putting the new one in front once every instance
/// knows it as a later one.
///
/// Opening works once per token within [`RETRY_TOKEN_LIFETIME`]: a second attempt fails, which noq
/// takes as "no token" and so as an address that is not validated. The memory holds 65,536 to
/// 131,072 tokens; beyond that the oldest are forgotten, and a replay is bounded by what the token
/// says (address, original connection id, time). An engine that drops an `Incoming` whose address
/// is validated must `refuse` it, not `ignore` it: its retransmission would come without a token.
pub struct TokenKeys {
    keys: Vec<hkdf::Prk>,
    opened: Mutex<Generations>,
}

impl TokenKeys {
    /// From shared keys, the current one first. Without any, a key that dies with the process.
    pub fn new(keys: &[[u8; KEY_LEN]]) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"ztna-quic retry token");
        let random = [random_key()];
        let keys = if keys.is_empty() { &random } else { keys };
        Self {
            keys: keys.iter().map(|key| salt.extract(key)).collect(),
            opened: Mutex::new(Generations::new(Instant::now())),
        }
    }

    fn cipher(key: &hkdf::Prk, token_nonce: u128) -> Result<aead::LessSafeKey, CryptoError> {
        let nonce = token_nonce.to_be_bytes();
        let info = [&nonce[..]];
        let mut bytes = [0; KEY_LEN];
        key.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut bytes)).map_err(|_| CryptoError)?;
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &bytes).map_err(|_| CryptoError)?;
        Ok(aead::LessSafeKey::new(key))
    }

    fn open_at<'a>(
        &self,
        now: Instant,
        token_nonce: u128,
        data: &'a mut [u8],
    ) -> Result<&'a [u8], CryptoError> {
        // A failed attempt may leave its buffer overwritten, so each works on a copy.
        for key in &self.keys {
            let mut attempt = data.to_vec();
            let opened = Self::cipher(key, token_nonce)?
                .open_in_place(aead_nonce(), aead::Aad::empty(), &mut attempt)
                .map(|plain| plain.len());
            let Ok(len) = opened else { continue };
            let mut memory = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            if !memory.insert(now, token_nonce) {
                return Err(CryptoError);
            }
            data[..len].copy_from_slice(&attempt[..len]);
            return Ok(&data[..len]);
        }
        Err(CryptoError)
    }
}

impl HandshakeTokenKey for TokenKeys {
    fn seal(&self, token_nonce: u128, data: &mut Vec<u8>) -> Result<(), CryptoError> {
        let key = self.keys.first().ok_or(CryptoError)?;
        Self::cipher(key, token_nonce)?
            .seal_in_place_append_tag(aead_nonce(), aead::Aad::empty(), data)
            .map_err(|_| CryptoError)
    }

    fn open<'a>(&self, token_nonce: u128, data: &'a mut [u8]) -> Result<&'a [u8], CryptoError> {
        self.open_at(Instant::now(), token_nonce, data)
    }
}

/// Constant: every cipher is used for one token.
fn aead_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; 12])
}

/// Nonces of the present and the previous period. A period lasts at least a token's lifetime unless
/// it fills up, so what is forgotten has normally expired.
struct Generations {
    since: Instant,
    present: FxHashSet<u128>,
    previous: FxHashSet<u128>,
}

impl Generations {
    fn new(now: Instant) -> Self {
        Self { since: now, present: FxHashSet::default(), previous: FxHashSet::default() }
    }

    /// False when the nonce is known already.
    fn insert(&mut self, now: Instant, nonce: u128) -> bool {
        let age = now.saturating_duration_since(self.since);
        if age > RETRY_TOKEN_LIFETIME || self.present.len() >= GENERATION {
            self.previous = std::mem::take(&mut self.present);
            self.since = now;
        }
        !self.previous.contains(&nonce) && self.present.insert(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    #[test]
    fn instances_with_the_same_key_open_each_others_tokens() {
        let (one, two) = (key(&[OLD]), key(&[OLD]));
        assert_eq!(open(&two, 5, &sealed(&one, 5)), Some(b"address".to_vec()));
    }

    #[test]
    fn the_previous_key_opens_and_the_current_seals() {
        let (old, both, new) = (key(&[OLD]), key(&[NEW, OLD]), key(&[NEW]));
        assert_eq!(open(&both, 1, &sealed(&old, 1)), Some(b"address".to_vec()));
        assert_eq!(open(&new, 2, &sealed(&both, 2)), Some(b"address".to_vec()));
        assert_eq!(open(&old, 2, &sealed(&both, 2)), None);
    }

    #[test]
    fn a_foreign_changed_or_misplaced_token_does_not_open() {
        let sealer = key(&[OLD]);
        let token = sealed(&sealer, 1);
        assert_eq!(open(&key(&[NEW]), 1, &token), None);
        assert_eq!(open(&key(&[]), 1, &token), None);
        assert_eq!(open(&sealer, 2, &token), None);
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] ^= 1;
            assert_eq!(open(&sealer, 1, &changed), None);
        }
        assert_eq!(open(&sealer, 1, &[]), None);
        assert_eq!(open(&sealer, 1, &token), Some(b"address".to_vec()), "failures use nothing up");
    }

    #[test]
    fn a_token_opens_once_for_as_long_as_it_lives() {
        let key = key(&[OLD]);
        let token = sealed(&key, 9);
        let start = Instant::now();
        assert!(open_at(&key, start + Duration::from_secs(14), 9, &token).is_some());
        for second in [14, 16, 20, 29] {
            let now = start + Duration::from_secs(second);
            assert!(open_at(&key, now, 9, &token).is_none(), "at {second} s");
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let now = Instant::now();
        let mut memory = Generations::new(now);
        for nonce in 0..300_000 {
            assert!(memory.insert(now, nonce));
        }
        assert!(memory.present.len() + memory.previous.len() <= 2 * GENERATION);
        assert!(!memory.insert(now, 299_999), "the latest are known");
    }

    #[test]
    fn without_keys_every_process_has_its_own() {
        let (one, two) = (key(&[]), key(&[]));
        assert_eq!(open(&one, 1, &sealed(&one, 1)), Some(b"address".to_vec()));
        assert_eq!(open(&two, 1, &sealed(&one, 1)), None);
    }

    fn key(keys: &[[u8; 32]]) -> TokenKeys {
        TokenKeys::new(keys)
    }

    fn sealed(key: &TokenKeys, nonce: u128) -> Vec<u8> {
        let mut data = b"address".to_vec();
        key.seal(nonce, &mut data).expect("seal");
        assert!(!data.windows(7).any(|window| window == b"address"));
        data
    }

    fn open(key: &TokenKeys, nonce: u128, token: &[u8]) -> Option<Vec<u8>> {
        open_at(key, Instant::now(), nonce, token)
    }

    fn open_at(key: &TokenKeys, now: Instant, nonce: u128, token: &[u8]) -> Option<Vec<u8>> {
        key.open_at(now, nonce, &mut token.to_vec()).ok().map(<[u8]>::to_vec)
    }
}
