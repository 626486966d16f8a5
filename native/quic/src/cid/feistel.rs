//! The four-pass encryption of QUIC-LB (draft-ietf-quic-load-balancers-21 section 5.4.2): a Feistel
//! network of four rounds over AES-128 that permutes 5 to 19 bytes.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};

/// Longest half of a block.
const MAX_HALF: usize = 10;

/// A keyed permutation of blocks of 5 to 19 bytes.
#[derive(Clone)]
pub(super) struct Feistel(Aes128);

impl Feistel {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self(Aes128::new(key.into()))
    }

    /// Permutes `block` in place.
    pub(super) fn encrypt(&self, block: &mut [u8]) {
        let mut halves = Halves::split(block);
        self.round(&mut halves, 1);
        self.round(&mut halves, 2);
        self.round(&mut halves, 3);
        self.round(&mut halves, 4);
        halves.join(block);
    }

    /// Inverts [`Self::encrypt`].
    pub(super) fn decrypt(&self, block: &mut [u8]) {
        let mut halves = Halves::split(block);
        self.round(&mut halves, 4);
        self.round(&mut halves, 3);
        self.round(&mut halves, 2);
        self.round(&mut halves, 1);
        halves.join(block);
    }

    /// Odd passes change the right half by the left one, even passes the left by the right.
    fn round(&self, halves: &mut Halves, pass: u8) {
        let (source, target) = match pass % 2 {
            1 => (&halves.left, &mut halves.right),
            _ => (&halves.right, &mut halves.left),
        };
        let mut expanded = [0; 16];
        expanded[..MAX_HALF].copy_from_slice(source);
        expanded[14] = halves.block_len;
        expanded[15] = pass;
        let mut cipher_block = expanded.into();
        self.0.encrypt_block(&mut cipher_block);
        for (byte, mask) in target[..halves.half_len].iter_mut().zip(cipher_block) {
            *byte ^= mask;
        }
        halves.clear_outer_nibbles();
    }
}

/// The two halves of a block, zero-padded. With an odd length the middle byte is shared: its high
/// nibble ends the left half, its low nibble begins the right half.
struct Halves {
    left: [u8; MAX_HALF],
    right: [u8; MAX_HALF],
    half_len: usize,
    block_len: u8,
}

impl Halves {
    fn split(block: &[u8]) -> Self {
        debug_assert!((5..=19).contains(&block.len()));
        let half_len = block.len().div_ceil(2);
        let mut halves =
            Self { left: [0; MAX_HALF], right: [0; MAX_HALF], half_len, block_len: block.len() as u8 };
        halves.left[..half_len].copy_from_slice(&block[..half_len]);
        halves.right[..half_len].copy_from_slice(&block[block.len() - half_len..]);
        halves.clear_outer_nibbles();
        halves
    }

    fn clear_outer_nibbles(&mut self) {
        if self.block_len % 2 == 1 {
            self.left[self.half_len - 1] &= 0xf0;
            self.right[0] &= 0x0f;
        }
    }

    fn join(&self, block: &mut [u8]) {
        let right_at = block.len() - self.half_len;
        block[..self.half_len].copy_from_slice(&self.left[..self.half_len]);
        let middle = block[right_at];
        block[right_at..].copy_from_slice(&self.right[..self.half_len]);
        if self.block_len % 2 == 1 {
            block[right_at] |= middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix B.2 and the worked example of section 5.4.2, without the first octets. The vector of
    /// 16 bytes is left out: that length uses a single pass.
    const VECTORS: &[(u128, &str, &str)] = &[
        (EXAMPLE_KEY, "31441a9c69c275", "67947d29be054a"),
        (KEY, "ed793aee080dbf", "20b1d07b359d3c"),
        (KEY, "ed793a51d49b8f5fab65ee080dbf48", "cc381bc74cb4fbad2823a3d1f8fed2"),
        (KEY, "ed793a51d49b8f5fabee080dbf48c0d1e55d", "5779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"),
    ];
    const KEY: u128 = 0x8f95f09245765f80256934e50c66207f;
    const EXAMPLE_KEY: u128 = 0xfdf726a9893ec05c0632d3956680baf0;

    #[test]
    fn the_vectors_of_the_draft_hold() {
        for (key, plain, encrypted) in VECTORS {
            let feistel = Feistel::new(&key.to_be_bytes());
            let mut block = hex(plain);
            feistel.encrypt(&mut block);
            assert_eq!(block, hex(encrypted), "{plain}");
            feistel.decrypt(&mut block);
            assert_eq!(block, hex(plain), "{plain}");
        }
    }

    #[test]
    fn every_length_is_inverted() {
        for len in 5..=19 {
            let feistel = Feistel::new(&rand::random());
            for _ in 0..100 {
                let plain = rand::random::<[u8; 19]>()[..len].to_vec();
                let mut block = plain.clone();
                feistel.encrypt(&mut block);
                assert_ne!(block, plain);
                feistel.decrypt(&mut block);
                assert_eq!(block, plain);
            }
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().map(|b| (b as char).to_digit(16).expect("hex") as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}
