#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs::hmac;
use noq_proto::crypto::{CryptoError, HmacKey};
#[cfg(not(feature = "aws-lc-rs"))]
use ring::hmac;

use super::{KEY_LEN, random_key};

/// Signs connection ids into stateless reset tokens (RFC 9000 section 10.3).
///
/// The key is derived from a master key and the server id: a restarted process with the same two
/// can reset the connections of its predecessor, and no instance can be used as an oracle for
/// connections that are steered to another.
pub struct ResetKey(hmac::Key);

impl ResetKey {
    /// Derives the key for `server_id` from `master`; without a master, a key that dies with the
    /// process.
    pub fn new(master: Option<[u8; KEY_LEN]>, server_id: &[u8]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, &master.unwrap_or_else(random_key));
        let mut context = hmac::Context::with_key(&master);
        context.update(b"ztna-quic stateless reset ");
        context.update(server_id);
        Self(hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref()))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let tag = hmac::sign(&self.0, data);
        let len = signature_out.len().min(tag.as_ref().len());
        signature_out[..len].copy_from_slice(&tag.as_ref()[..len]);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_process_signs_as_its_predecessor() {
        let (before, after) = (ResetKey::new(Some([1; 32]), b"s1"), ResetKey::new(Some([1; 32]), b"s1"));
        assert_eq!(signature(&before), signature(&after));
        assert!(after.verify(b"cid", &signature(&before)).is_ok());
    }

    #[test]
    fn another_server_or_master_signs_differently() {
        let key = ResetKey::new(Some([1; 32]), b"s1");
        for other in [
            ResetKey::new(Some([1; 32]), b"s2"),
            ResetKey::new(Some([2; 32]), b"s1"),
            ResetKey::new(Some([1; 32]), b""),
            ResetKey::new(None, b"s1"),
        ] {
            assert_ne!(signature(&key), signature(&other));
            assert!(other.verify(b"cid", &signature(&key)).is_err());
        }
    }

    fn signature(key: &ResetKey) -> Vec<u8> {
        let mut signature = vec![0; key.signature_len()];
        key.sign(b"cid", &mut signature);
        signature
    }
}
