use std::collections::HashSet;

use super::*;

const KEY: [u8; 16] = *b"0123456789abcdef";

#[test]
fn an_id_says_what_went_in() {
    for config_id in 0..=MAX_CONFIG_ID {
        for len in 1..=MAX_SERVER_ID {
            for key in [None, Some(KEY)] {
                let server_id = rand::random::<[u8; 4]>()[..len].to_vec();
                let generation = rand::random();
                let mut generator = QuicLbGenerator::new(key, &server_id, generation)
                    .and_then(|generator| generator.with_config_id(config_id))
                    .expect("configuration");
                let cid = generator.generate_cid();
                let decoder = CidDecoder::new(config_id, len, key.as_ref()).expect("decoder");
                let expected = Some(CidParts { config_id, server_id, generation });
                assert_eq!(cid.len(), CID_LEN);
                assert_eq!(generator.decode(&cid), expected);
                assert_eq!(decoder.decode(&cid), expected);
                assert!(generator.validate(cid).is_ok());
            }
        }
    }
}

#[test]
fn no_id_comes_twice() {
    for key in [None, Some(KEY)] {
        let mut generator = generator(key);
        let ids: HashSet<ConnectionId> = (0..1_000_000).map(|_| generator.generate_cid()).collect();
        assert_eq!(ids.len(), 1_000_000);
    }
}

#[test]
fn with_a_key_the_server_id_does_not_show() {
    let mut generator = generator(Some(KEY));
    let mut counts = [[0u32; 256]; CID_LEN];
    for _ in 0..51_200 {
        let cid = generator.generate_cid();
        for (count, byte) in counts.iter_mut().zip(cid.iter()) {
            count[usize::from(*byte)] += 1;
        }
    }
    // 200 expected of each value at each place; a server id in clear would give 51,200 and 0.
    for (at, count) in counts.iter().enumerate().skip(1) {
        assert!(count.iter().all(|n| (80..400).contains(n)), "byte {at}");
    }
}

#[test]
fn without_a_key_the_nonce_shows_no_order() {
    let mut generator = generator(None);
    let ids: Vec<ConnectionId> = (0..64).map(|_| generator.generate_cid()).collect();
    assert!(ids.iter().all(|cid| cid[1..4] == [0xab, 0xcd, 7]));
    let close = ids.windows(2).filter(|pair| pair[0][4..8] == pair[1][4..8]).count();
    assert!(close < 4);
}

#[test]
fn a_predecessors_id_is_recognised_and_a_neighbours_is_not() {
    for key in [None, Some(KEY)] {
        let mut predecessor = QuicLbGenerator::new(key, &[0xab, 0xcd], 6).expect("config");
        let mut neighbour = QuicLbGenerator::new(key, &[0xab, 0xce], 7).expect("config");
        let generator = generator(key);
        assert!(generator.validate(predecessor.generate_cid()).is_ok());
        assert!(generator.validate(neighbour.generate_cid()).is_err());
        assert_eq!(generator.decode(&neighbour.generate_cid()).expect("parts").server_id, [0xab, 0xce]);
    }
}

#[test]
fn ids_of_another_length_or_configuration_are_not_ours() {
    let generator = generator(Some(KEY));
    let mut other = self::generator(Some(KEY)).with_config_id(3).expect("config");
    let cid = other.generate_cid();
    assert_eq!(generator.decode(&cid), None);
    for len in [0, 1, 9, 11, 20] {
        assert_eq!(generator.decode(&[9; 20][..len]), None);
        assert!(generator.validate(ConnectionId::new(&[9; 20][..len])).is_err());
    }
}

#[test]
fn random_ids_seldom_pass_for_ours() {
    let generator = generator(Some(KEY));
    let passed = (0..100_000).filter(|_| generator.validate(ConnectionId::new(&random_id())).is_ok()).count();
    assert!(passed < 20, "{passed}");
}

#[test]
fn ids_of_a_process_that_nobody_steers_to_show_nothing_and_pass_at_its_successor() {
    let private = || QuicLbGenerator::new(None, &[], 0).expect("config");
    let (mut predecessor, successor) = (private(), private());
    let cid = predecessor.generate_cid();
    assert_ne!(cid[1..4], [0, 0, 0]);
    assert!(successor.validate(cid).is_ok());
    assert!(successor.validate(ConnectionId::new(&[8; CID_LEN])).is_err());
}

#[test]
fn a_clone_repeats_nothing() {
    let mut original = generator(Some(KEY));
    let mut clone = original.clone();
    let ids: HashSet<ConnectionId> =
        (0..1_000).flat_map(|_| [original.generate_cid(), clone.generate_cid()]).collect();
    assert_eq!(ids.len(), 2_000);
}

#[test]
fn impossible_configurations_are_refused() {
    let with = |server_id: &[u8]| QuicLbGenerator::new(None, server_id, 0).err();
    assert_eq!(with(&[0; 5]), Some(CidConfigError::ServerId(5)));
    assert_eq!(with(&[0; 4]), None);
    assert_eq!(generator(None).with_config_id(7).err(), Some(CidConfigError::ConfigId(7)));
    assert_eq!(CidDecoder::new(0, 0, None).err(), Some(CidConfigError::ServerId(0)));
    assert_eq!(CidDecoder::new(7, 2, None).err(), Some(CidConfigError::ConfigId(7)));
}

fn generator(key: Option<[u8; 16]>) -> QuicLbGenerator {
    QuicLbGenerator::new(key, &[0xab, 0xcd], 7).expect("config")
}

fn random_id() -> [u8; CID_LEN] {
    let mut cid: [u8; CID_LEN] = rand::random();
    cid[0] = CID_LEN as u8 - 1;
    cid
}
