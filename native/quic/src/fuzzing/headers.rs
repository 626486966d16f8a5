//! Small headers and opaque strings: SOCKS5, connection ids, tokens.

use noq_proto::ConnectionIdGenerator;
use noq_proto::crypto::HandshakeTokenKey;

use super::input::Input;
use crate::cid::{CID_LEN, CidDecoder, QuicLbGenerator};
use crate::engine;
use crate::token::TokenKeys;

/// A header ends inside the datagram, whatever follows does not matter, and less than it is none.
pub(super) fn socks_header(data: &[u8]) {
    let Some(length) = engine::socks_header(data) else { return };
    assert!((7..=4 + 1 + 255 + 2).contains(&length) && length <= data.len());
    assert_eq!(&data[..3], &[0, 0, 0]);
    assert_eq!(engine::socks_header(&data[..length]), Some(length));
    assert_eq!(engine::socks_header(&data[..length - 1]), None);
}

/// Any bytes decode or not under any configuration, and ids of the generator say what they were made from.
pub(super) fn cid(data: &[u8]) {
    let mut input = Input::new(data);
    let (config_id, server_len) = (input.u8(), usize::from(input.u8() % 8));
    let key = (input.u8() & 1 == 1).then_some([7; 16]);
    let generation = input.u8();
    let Ok(decoder) = CidDecoder::new(config_id, server_len, key.as_ref()) else {
        assert!(config_id > 6 || !(1..=4).contains(&server_len));
        return;
    };
    let server_id = vec![0xa5; server_len];
    let mut generator = QuicLbGenerator::new(key, &server_id, generation)
        .and_then(|generator| generator.with_config_id(config_id))
        .expect("what the decoder takes, the generator takes");
    let cid = input.rest();
    if let Some(parts) = decoder.decode(cid) {
        assert_eq!(cid.len(), CID_LEN);
        assert_eq!((parts.config_id, parts.server_id.len()), (config_id, server_len));
    }
    if cid.len() <= 20 {
        let is_ours = decoder.decode(cid).is_some_and(|parts| parts.server_id == server_id);
        assert_eq!(generator.validate(noq_proto::ConnectionId::new(cid)).is_ok(), is_ours);
    }
    let parts = decoder.decode(&generator.generate_cid()).expect("our own id");
    assert_eq!((parts.server_id, parts.generation), (server_id, generation));
}

/// Only what was sealed opens, as it was, and once. Bytes: `[nonce u8, change at u16, change u8, plain text]`.
pub(super) fn token(data: &[u8]) {
    let mut input = Input::new(data);
    let nonce = u128::from(input.u8());
    let (at, change) = (usize::from(input.u16()), input.u8());
    let plain = input.rest();
    let keys = TokenKeys::new(&[[1; 32], [2; 32]]);
    assert!(keys.open(nonce, &mut plain.to_vec()).is_err(), "nobody sealed this");
    let mut sealed = plain.to_vec();
    keys.seal(nonce, &mut sealed).expect("seal");
    if change != 0 {
        let mut damaged = sealed.clone();
        let at = at % damaged.len();
        damaged[at] ^= change;
        assert!(keys.open(nonce, &mut damaged).is_err(), "changed");
        assert!(keys.open(nonce, &mut sealed[..at].to_vec()).is_err(), "cut off");
    }
    assert!(keys.open(nonce ^ 1, &mut sealed.clone()).is_err(), "of another nonce");
    assert_eq!(keys.open(nonce, &mut sealed.clone()).expect("open"), plain);
    assert!(keys.open(nonce, &mut sealed).is_err(), "a second time");
}
