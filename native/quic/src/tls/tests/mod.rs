mod pair;
mod pki;
mod tickets;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::ExtendedKeyUsagePurpose;
use rustls_pki_types::UnixTime;
use rustls_pki_types::pem::PemObject;

use self::pair::{Seen, handshake, handshake_with_retry};
use self::pki::{Leaf, Pki};
use super::*;

#[test]
fn both_sides_of_one_trust_domain_connect() {
    let pki = Pki::new();
    let (client, server) =
        connect(&context(pki.material(Leaf::default())), &context(pki.material(Leaf::default())));
    assert!(client.is_up() && server.is_up(), "{client:?} {server:?}");
    assert_eq!((client.peer_certificates, server.peer_certificates), (2, 2));
    let facts = server.facts.expect("facts");
    assert_eq!(facts.alpn.as_deref(), Some(&b"ztna/2"[..]));
    assert_eq!(facts.server_name.as_deref(), Some(DEFAULT_SERVER_NAME));
    assert!(!facts.resumed);
    #[cfg(feature = "aws-lc-rs")]
    assert_eq!(facts.key_exchange, Some(rustls::NamedGroup::X25519MLKEM768));
}

#[test]
fn der_is_accepted_where_pem_is() {
    let pki = Pki::new();
    let mut material = pki.material(Leaf::default());
    material.roots_pem = CertificateDer::from_pem_slice(&material.roots_pem).expect("pem").to_vec();
    let (client, server) = connect(&context(material), &context(pki.material(Leaf::default())));
    assert!(client.is_up() && server.is_up());
}

#[test]
fn a_client_of_another_ca_is_refused() {
    let (pki, foreign) = (Pki::new(), Pki::named("foreign"));
    let material =
        TlsMaterial { identity: Some(foreign.identity(Leaf::default())), ..pki.material(Leaf::default()) };
    let (_, server) = connect(&context(material), &context(pki.material(Leaf::default())));
    assert_refused(&server, "UnknownIssuer");
}

#[test]
fn a_server_of_another_ca_is_refused() {
    let (pki, foreign) = (Pki::new(), Pki::named("foreign"));
    let material =
        TlsMaterial { identity: Some(foreign.identity(Leaf::default())), ..pki.material(Leaf::default()) };
    let (client, server) = connect(&context(pki.material(Leaf::default())), &context(material));
    assert_refused(&client, "UnknownIssuer");
    assert!(!server.connected);
}

#[test]
fn a_ca_of_the_same_name_with_another_key_is_refused() {
    let (pki, impostor) = (Pki::new(), Pki::new());
    let identity = Some(impostor.identity(Leaf::default()));
    let impostor = context(TlsMaterial { identity, ..pki.material(Leaf::default()) });
    let good = context(pki.material(Leaf::default()));
    assert_refused(&connect(&impostor, &good).1, "BadSignature");
    assert_refused(&connect(&good, &impostor).0, "BadSignature");
}

#[test]
fn an_expired_certificate_is_refused_on_either_side() {
    let pki = Pki::new();
    let expired = || context(pki.material(Leaf { expired: true, ..Leaf::default() }));
    let good = || context(pki.material(Leaf::default()));
    assert_refused(&connect(&expired(), &good()).1, "expired");
    assert_refused(&connect(&good(), &expired()).0, "expired");
}

#[test]
fn a_certificate_for_the_other_role_is_refused() {
    let pki = Pki::new();
    let only = |usages| context(pki.material(Leaf { usages, ..Leaf::default() }));
    let good = || context(pki.material(Leaf::default()));
    assert_refused(&connect(&only(&[ExtendedKeyUsagePurpose::ServerAuth]), &good()).1, "InvalidPurpose");
    assert_refused(&connect(&good(), &only(&[ExtendedKeyUsagePurpose::ClientAuth])).0, "InvalidPurpose");
}

#[test]
fn a_client_without_a_certificate_is_refused_unless_optional() {
    let pki = Pki::new();
    let client = context(TlsMaterial { identity: None, ..pki.material(Leaf::default()) });
    let server = context(pki.material(Leaf::default()));
    assert_refused(&connect(&client, &server).1, "certificate");

    let optional = server.server(&alpn(), false).expect("server");
    let (client_side, server_side) = with_server(&client, optional);
    assert!(client_side.is_up() && server_side.is_up(), "{client_side:?} {server_side:?}");
    assert_eq!(server_side.peer_certificates, 0);
    assert!(!server_side.resumed() && !client_side.resumed());
}

#[test]
fn a_presented_certificate_must_verify_even_where_optional() {
    let (pki, foreign) = (Pki::new(), Pki::named("foreign"));
    let client =
        TlsMaterial { identity: Some(foreign.identity(Leaf::default())), ..pki.material(Leaf::default()) };
    let server = context(pki.material(Leaf::default()));
    let optional = server.server(&alpn(), false).expect("server");
    assert_refused(&with_server(&context(client), optional).1, "UnknownIssuer");
}

#[test]
fn a_revoked_certificate_is_refused_on_either_side() {
    let pki = Pki::new();
    let revoked = || context(pki.material(Leaf { serial: 7, ..Leaf::default() }));
    let listing = || context(TlsMaterial { crls_der: vec![pki.crl(&[7])], ..pki.material(Leaf::default()) });
    assert_refused(&connect(&revoked(), &listing()).1, "Revoked");
    assert_refused(&connect(&listing(), &revoked()).0, "Revoked");
}

#[test]
fn any_of_several_lists_of_one_issuer_revokes() {
    let pki = Pki::new();
    let client = context(pki.material(Leaf { serial: 7, ..Leaf::default() }));
    let crls_der = vec![pki.crl(&[1]), pki.crl(&[3]), pki.crl(&[7])];
    let server = context(TlsMaterial { crls_der, ..pki.material(Leaf::default()) });
    assert_refused(&connect(&client, &server).1, "Revoked");
}

#[test]
fn a_revoked_issuing_ca_takes_its_certificates_along() {
    let pki = Pki::new();
    let client = context(pki.material(Leaf::default()));
    let server =
        context(TlsMaterial { crls_der: vec![pki.crl_of_issuing()], ..pki.material(Leaf::default()) });
    assert_refused(&connect(&client, &server).1, "Revoked");
}

#[test]
fn certificates_outside_every_list_are_accepted() {
    let (pki, foreign) = (Pki::new(), Pki::named("foreign"));
    let client = context(pki.material(Leaf::default()));
    let crls_der = vec![pki.crl(&[7]), foreign.crl_of_issuing()];
    let server = context(TlsMaterial { crls_der, ..pki.material(Leaf::default()) });
    let (client_side, server_side) = connect(&client, &server);
    assert!(client_side.is_up() && server_side.is_up(), "{client_side:?} {server_side:?}");
}

#[test]
fn an_expired_list_still_revokes_and_refuses_the_rest_only_on_request() {
    let pki = Pki::new();
    let listed = context(pki.material(Leaf { serial: 7, ..Leaf::default() }));
    let unlisted = context(pki.material(Leaf::default()));
    let material = TlsMaterial { crls_der: vec![pki.expired_crl(&[7])], ..pki.material(Leaf::default()) };
    let lenient = context(material.clone());
    assert_refused(&connect(&listed, &lenient).1, "Revoked");
    assert!(connect(&unlisted, &lenient).1.is_up());

    let options = TlsOptions { crl_expiry: CrlExpiry::Refuse, ..TlsOptions::default() };
    let strict = TlsContext::new(&material, options).expect("context");
    assert_refused(&connect(&unlisted, &strict).1, "revocation list expired");
}

#[test]
fn only_a_common_protocol_connects() {
    let pki = Pki::new();
    let (client, server) = (context(pki.material(Leaf::default())), context(pki.material(Leaf::default())));
    let client = client.client(&[b"other/1".to_vec()]).expect("client");
    let server = server.server(&alpn(), true).expect("server");
    let (client, server) = handshake(client, server, DEFAULT_SERVER_NAME);
    assert!(!client.is_up() && !server.is_up());
}

#[test]
fn a_retried_client_connects_though_its_token_works_once() {
    let pki = Pki::new();
    let context = context(pki.material(Leaf::default()));
    let server = server_config(&context);
    for resumed in [false, true] {
        let client = context.client(&alpn()).expect("client");
        let (client, server) = handshake_with_retry(client, server.clone(), DEFAULT_SERVER_NAME);
        assert!(client.is_up() && server.is_up(), "{client:?} {server:?}");
        assert_eq!((client.resumed(), server.resumed()), (resumed, resumed));
    }
}

#[test]
fn a_second_connection_is_resumed_and_keeps_the_chain() {
    let resumption = Resuming::new();
    for round in 0..3 {
        let (client, server) = resumption.connect();
        assert!(client.is_up() && server.is_up(), "{client:?} {server:?}");
        assert_eq!((client.resumed(), server.resumed()), (round > 0, round > 0), "round {round}");
        assert_eq!((client.peer_certificates, server.peer_certificates), (2, 2));
    }
}

#[test]
fn tickets_die_when_the_server_reloads() {
    let mut resumption = Resuming::new();
    resumption.connect();
    resumption.server = server_config(&context(resumption.server_material.clone()));
    let (client, server) = resumption.connect();
    assert!(client.is_up() && server.is_up());
    assert!(!client.resumed() && !server.resumed());
}

#[test]
fn tickets_die_when_the_client_reloads() {
    let mut resumption = Resuming::new();
    resumption.connect();
    resumption.client = context(resumption.client_material.clone());
    let (client, server) = resumption.connect();
    assert!(client.is_up() && server.is_up());
    assert!(!client.resumed() && !server.resumed());
}

#[test]
fn a_ticket_is_of_no_use_under_another_name() {
    let resumption = Resuming::new();
    resumption.connect();
    let client = resumption.client.client(&alpn()).expect("client");
    let (client, server) = handshake(client, resumption.server.clone(), "other.invalid");
    assert!(client.is_up() && !client.resumed() && !server.resumed());
}

#[test]
fn resumption_can_be_turned_off() {
    let pki = Pki::new();
    let options = TlsOptions { server_sessions: 0, client_tickets: 0, ..TlsOptions::default() };
    let context = TlsContext::new(&pki.material(Leaf::default()), options).expect("context");
    let server = server_config(&context);
    for _ in 0..2 {
        let (client, seen) = with_server(&context, server.clone());
        assert!(client.is_up() && seen.is_up() && !client.resumed() && !seen.resumed());
    }
}

#[test]
fn a_stored_chain_can_be_checked_again_later() {
    let pki = Pki::new();
    let material = pki.material(Leaf { serial: 7, ..Leaf::default() });
    let pem = &material.identity.as_ref().expect("identity").cert_chain_pem;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).map(|c| c.expect("pem")).collect();
    let now = UnixTime::now();
    let before = context(material.clone());
    assert_eq!(before.check_peer(&chain, PeerRole::Client, now), Ok(()));
    assert!(before.check_peer(&[], PeerRole::Client, now).is_err());

    let after = context(TlsMaterial { crls_der: vec![pki.crl(&[7])], ..material });
    let error = after.check_peer(&chain, PeerRole::Client, now).expect_err("revoked");
    assert!(error.to_string().contains("Revoked"), "{error}");
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    let far = UnixTime::since_unix_epoch(far.duration_since(SystemTime::UNIX_EPOCH).expect("later"));
    assert!(before.check_peer(&chain, PeerRole::Client, far).is_err());
}

#[test]
fn a_chain_longer_than_the_limit_is_refused() {
    let pki = Pki::new();
    let material = pki.material(Leaf::default());
    let pem = &material.identity.as_ref().expect("identity").cert_chain_pem;
    let mut chain: Vec<_> = CertificateDer::pem_slice_iter(pem).map(|c| c.expect("pem")).collect();
    chain.extend(std::iter::repeat_n(chain[1].clone(), 10));
    assert!(context(material).check_peer(&chain, PeerRole::Client, UnixTime::now()).is_err());
}

#[test]
fn wrong_material_is_named() {
    let pki = Pki::new();
    let good = pki.material(Leaf::default());
    let identity = |change: fn(&mut TlsIdentity)| {
        let mut material = good.clone();
        material.identity.iter_mut().for_each(change);
        material
    };
    let other_key = pki.identity(Leaf::default()).private_key_pem;
    let mut mismatch = good.clone();
    mismatch.identity.iter_mut().for_each(|i| i.private_key_pem.clone_from(&other_key));
    let cases = [
        (mismatch, TlsError::KeyMismatch.to_string()),
        (identity(|i| i.cert_chain_pem.clear()), "the certificate chain holds no certificate".into()),
        (identity(|i| i.private_key_pem = b"nonsense".to_vec()), "private key cannot be used".into()),
        (
            identity(|i| i.cert_chain_pem = vec![0x30, 3, 1, 2, 3]),
            "certificate 0 of the certificate chain".into(),
        ),
        (
            TlsMaterial { roots_pem: b"-----BEGIN CERTIFICATE-----\n!\n".to_vec(), ..good.clone() },
            "the bundle of roots is not well-formed PEM".into(),
        ),
        (
            TlsMaterial { roots_pem: vec![], ..good.clone() },
            "the bundle of roots holds no certificate".into(),
        ),
        (TlsMaterial { crls_der: vec![vec![1, 2, 3]], ..good.clone() }, "revocation list 0".into()),
        (TlsMaterial { crls_der: vec![vec![]; 65], ..good.clone() }, "more than 64 lists".into()),
    ];
    for (material, expected) in cases {
        let error = TlsContext::new(&material, TlsOptions::default()).err().expect("refused");
        assert!(error.to_string().contains(&expected), "{error} instead of {expected}");
    }
    let anonymous = context(TlsMaterial { identity: None, ..good.clone() });
    assert_eq!(anonymous.server(&alpn(), true).err(), Some(TlsError::NoIdentity));
    assert!(matches!(context(good).client(&[]).err(), Some(TlsError::Alpn(_))));
}

/// A client and a server that stay the same from connection to connection.
struct Resuming {
    client_material: TlsMaterial,
    server_material: TlsMaterial,
    client: TlsContext,
    server: Arc<dyn crypto::ServerConfig>,
}

impl Resuming {
    fn new() -> Self {
        let pki = Pki::new();
        let (client_material, server_material) =
            (pki.material(Leaf::default()), pki.material(Leaf::default()));
        let client = context(client_material.clone());
        let server = server_config(&context(server_material.clone()));
        Self { client_material, server_material, client, server }
    }

    fn connect(&self) -> (Seen, Seen) {
        with_server(&self.client, self.server.clone())
    }
}

fn connect(client: &TlsContext, server: &TlsContext) -> (Seen, Seen) {
    with_server(client, server_config(server))
}

fn with_server(client: &TlsContext, server: Arc<dyn crypto::ServerConfig>) -> (Seen, Seen) {
    handshake(client.client(&alpn()).expect("client"), server, DEFAULT_SERVER_NAME)
}

fn server_config(context: &TlsContext) -> Arc<dyn crypto::ServerConfig> {
    context.server(&alpn(), true).expect("server")
}

fn context(material: TlsMaterial) -> TlsContext {
    TlsContext::new(&material, TlsOptions::default()).expect("context")
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"ztna/2".to_vec()]
}

fn assert_refused(seen: &Seen, reason: &str) {
    let lost = seen.lost.as_deref().expect("refused");
    assert!(lost.contains(reason), "{lost} instead of {reason}");
}
