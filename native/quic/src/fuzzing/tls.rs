//! Certificates, keys and revocation lists. Nothing may panic; what is refused is refused by a typed error.

use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;

use super::input::Input;
use crate::tls::{PeerRole, TlsContext, TlsIdentity, TlsMaterial, TlsOptions};

/// A root, and a leaf that it issued.
const ROOT: &[u8] = include_bytes!("root.der");
const LEAF: &[u8] = include_bytes!("leaf.der");
/// Within the validity of both.
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

/// What an operator gives. Bytes: `[which u8, input]`.
pub(super) fn tls_material(data: &[u8]) {
    let mut input = Input::new(data);
    let which = input.u8() % 4;
    let given = input.rest().to_vec();
    let mut material = TlsMaterial { identity: None, roots_pem: ROOT.to_vec(), crls_der: Vec::new() };
    let identity = |chain: &[u8], key: &[u8]| {
        Some(TlsIdentity { cert_chain_pem: chain.to_vec(), private_key_pem: key.to_vec() })
    };
    match which {
        0 => material.roots_pem = given,
        1 => material.identity = identity(&given, &given),
        2 => material.identity = identity(LEAF, &given),
        _ => material.crls_der = vec![given],
    }
    match TlsContext::new(&material, TlsOptions::default()) {
        Ok(context) => drop(context.check_peer(&[LEAF.into()], PeerRole::Client, NOW)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What a peer presents. Bytes: `[role u8, length u16, certificate, length u16, certificate, …]`; an empty
/// certificate stands for the good leaf.
pub(super) fn peer_chain(data: &[u8]) {
    let mut input = Input::new(data);
    let role = if input.u8() & 1 == 0 { PeerRole::Client } else { PeerRole::Server };
    let mut chain: Vec<CertificateDer<'_>> = Vec::new();
    while !input.is_empty() && chain.len() < 8 {
        let len = usize::from(input.u16());
        let der = input.take(len);
        chain.push(CertificateDer::from(if der.is_empty() { LEAF } else { der }));
    }
    let material = TlsMaterial { identity: None, roots_pem: ROOT.to_vec(), crls_der: Vec::new() };
    let context = TlsContext::new(&material, TlsOptions::default()).expect("the good root");
    let accepted = context.check_peer(&chain, role, NOW).is_ok();
    // Nobody forges a signature: only the leaf that the root issued passes.
    let has_our_leaf = chain.first().is_some_and(|leaf| leaf.as_ref() == LEAF);
    assert!(!accepted || has_our_leaf);
    assert!(accepted || !has_our_leaf || chain.len() > 1);
}
