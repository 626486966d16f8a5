//! Connection ids that say to which process a packet belongs.
//!
//! The format is that of QUIC-LB (draft-ietf-quic-load-balancers-21), 10 bytes:
//!
//! ```text
//! config id (3 bits) | length - 1 (5 bits) | server id (1..4) | generation (1) | nonce (rest, >= 4)
//!                                          '------ 9 bytes, encrypted when there is a key -------'
//! ```
//!
//! To a load balancer, server id and generation together are the draft's server ID, so that in a
//! takeover the packets of old connections can be steered to the old process. With a key the nonce
//! is a counter and the 9 bytes are encrypted by the four-pass algorithm. Without one, server id and
//! generation are readable by everyone on the path, which lets an observer link addresses of one
//! server but not connections: the nonce is a counter encrypted under a key of this process.

mod feistel;

use std::time::Duration;

use noq_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

use feistel::Feistel;

/// Length in bytes of every connection id.
pub const CID_LEN: usize = 10;
/// Longest server id in bytes.
pub const MAX_SERVER_ID: usize = 4;
/// Highest config id; the next one marks ids that cannot be steered.
pub const MAX_CONFIG_ID: u8 = 6;

const BLOCK_LEN: usize = CID_LEN - 1;

/// Why a configuration of connection ids is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CidConfigError {
    /// The server id is empty or too long.
    #[error("connection ids: the server id has {0} bytes, 1 to {MAX_SERVER_ID} are possible")]
    ServerId(usize),
    /// The config id is out of range.
    #[error("connection ids: config id {0} is above {MAX_CONFIG_ID}")]
    ConfigId(u8),
}

/// What a connection id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidParts {
    /// Which configuration (key and lengths) the id was made with, 0 to 6: the key's id.
    pub config_id: u8,
    /// Names the server among those behind one address, 1 to 4 bytes.
    pub server_id: Vec<u8>,
    /// Counts process starts of the server, wrapping.
    pub generation: u8,
}

/// Reads the connection ids of one configuration. Reading is not authentication: one in 256 to the
/// power of the server id's length of random ids passes for ours.
#[derive(Clone)]
pub struct CidDecoder {
    config_id: u8,
    server_id_len: usize,
    cipher: Option<Feistel>,
}

impl CidDecoder {
    /// `server_id_len` is the same for all servers of a configuration, 1 to 4.
    pub fn new(config_id: u8, server_id_len: usize, key: Option<&[u8; 16]>) -> Result<Self, CidConfigError> {
        if !(1..=MAX_SERVER_ID).contains(&server_id_len) {
            return Err(CidConfigError::ServerId(server_id_len));
        }
        if config_id > MAX_CONFIG_ID {
            return Err(CidConfigError::ConfigId(config_id));
        }
        Ok(Self { config_id, server_id_len, cipher: key.map(Feistel::new) })
    }

    /// `None` for ids of another configuration or length.
    pub fn decode(&self, cid: &[u8]) -> Option<CidParts> {
        let block = self.block(cid)?;
        Some(CidParts {
            config_id: self.config_id,
            server_id: block[..self.server_id_len].to_vec(),
            generation: block[self.server_id_len],
        })
    }

    fn block(&self, cid: &[u8]) -> Option<[u8; BLOCK_LEN]> {
        let (first, rest) = cid.split_first()?;
        let mut block: [u8; BLOCK_LEN] = rest.try_into().ok()?;
        if *first != first_octet(self.config_id) {
            return None;
        }
        if let Some(cipher) = &self.cipher {
            cipher.decrypt(&mut block);
        }
        Some(block)
    }
}

/// Makes the connection ids of one endpoint. No id comes twice before the nonce wraps (2^32 ids with
/// the longest server id, 2^48 with two bytes).
pub struct QuicLbGenerator {
    decoder: CidDecoder,
    server_id: Vec<u8>,
    generation: u8,
    /// True when only this process can read its ids.
    is_private: bool,
    /// Next nonce; starts at random, so that a restart with an unchanged generation repeats none.
    counter: u64,
    /// Hides the counter where the id itself is readable.
    nonce_cipher: Feistel,
    lifetime: Option<Duration>,
}

impl QuicLbGenerator {
    /// Ids of configuration 0.
    ///
    /// `key` is an AES-128 key shared with whoever steers packets; without one ids are readable.
    /// `server_id` has 1 to 4 bytes, the same number on every server of a configuration; an empty one
    /// counts as two zero bytes. `generation` counts process starts.
    ///
    /// With neither key nor server id nobody steers packets by these ids: they are encrypted under a
    /// key of this process, and [`validate`](ConnectionIdGenerator::validate) lets every id of the
    /// right form pass, so that a successor still resets the connections of its predecessor.
    pub fn new(key: Option<[u8; 16]>, server_id: &[u8], generation: u8) -> Result<Self, CidConfigError> {
        let is_private = key.is_none() && server_id.is_empty();
        let key = if is_private { Some(rand::random()) } else { key };
        let server_id = if server_id.is_empty() { &[0, 0] } else { server_id };
        Ok(Self {
            decoder: CidDecoder::new(0, server_id.len(), key.as_ref())?,
            server_id: server_id.to_vec(),
            generation,
            is_private,
            counter: rand::random(),
            nonce_cipher: Feistel::new(&rand::random()),
            lifetime: None,
        })
    }

    /// Marks ids with another configuration, 0 to 6: the key's id while keys change.
    pub fn with_config_id(mut self, config_id: u8) -> Result<Self, CidConfigError> {
        if config_id > MAX_CONFIG_ID {
            return Err(CidConfigError::ConfigId(config_id));
        }
        self.decoder.config_id = config_id;
        Ok(self)
    }

    /// Retires ids after `lifetime`; without it they live as long as their path.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// What an id says, of this server or another one of the same configuration.
    pub fn decode(&self, cid: &[u8]) -> Option<CidParts> {
        self.decoder.decode(cid)
    }

    fn next_nonce(&mut self, nonce: &mut [u8]) {
        self.counter = self.counter.wrapping_add(1);
        nonce.copy_from_slice(&self.counter.to_be_bytes()[8 - nonce.len()..]);
    }
}

impl ConnectionIdGenerator for QuicLbGenerator {
    fn generate_cid(&mut self) -> ConnectionId {
        let len = self.server_id.len();
        let mut block = [0; BLOCK_LEN];
        block[..len].copy_from_slice(&self.server_id);
        block[len] = self.generation;
        self.next_nonce(&mut block[len + 1..]);
        match &self.decoder.cipher {
            Some(cipher) => cipher.encrypt(&mut block),
            None => hide_nonce(&self.nonce_cipher, &mut block[len + 1..]),
        }
        let mut cid = [first_octet(self.decoder.config_id); CID_LEN];
        cid[1..].copy_from_slice(&block);
        ConnectionId::new(&cid)
    }

    /// Accepts the ids of this server, of any generation: those of a predecessor are answered with a
    /// stateless reset. Those of other servers are not, their reset key is another.
    fn validate(&self, cid: ConnectionId) -> Result<(), InvalidCid> {
        match self.decoder.block(&cid) {
            Some(block) if self.is_private || block.starts_with(&self.server_id) => Ok(()),
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        CID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        self.lifetime
    }
}

impl Clone for QuicLbGenerator {
    /// For another endpoint: the same configuration, other nonces.
    fn clone(&self) -> Self {
        Self {
            decoder: self.decoder.clone(),
            server_id: self.server_id.clone(),
            counter: rand::random(),
            nonce_cipher: Feistel::new(&rand::random()),
            ..*self
        }
    }
}

/// The length in the low bits is for load balancers that do not know it.
fn first_octet(config_id: u8) -> u8 {
    config_id << 5 | (CID_LEN as u8 - 1)
}

/// Permutes a nonce of 4 to 7 bytes. The shortest that the cipher takes is 5: of 4 bytes, which only
/// the longest server id leaves, the first is a plain part of the counter that rarely changes.
fn hide_nonce(cipher: &Feistel, nonce: &mut [u8]) {
    if nonce.len() >= 5 {
        cipher.encrypt(nonce);
    }
}

#[cfg(test)]
mod tests;
