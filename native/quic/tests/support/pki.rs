//! A certificate authority made at run time.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use ztna_quic::tls::{TlsIdentity, TlsMaterial};

pub(crate) struct Pki {
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let root = CertifiedIssuer::self_signed(ca("root"), key()).expect("root");
        let issuing = CertifiedIssuer::signed_by(ca("issuing"), key(), &root).expect("issuing");
        Self { root, issuing }
    }

    /// A fresh leaf named after `name`, its key, and our root.
    pub(crate) fn material(&self, name: &str) -> TlsMaterial {
        let mut params = CertificateParams::default();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::URI(spiffe(name).try_into().expect("ia5"))];
        let key = key();
        let certificate = params.signed_by(&key, &self.issuing).expect("leaf");
        TlsMaterial {
            identity: Some(TlsIdentity {
                cert_chain_pem: (certificate.pem() + &self.issuing.pem()).into_bytes(),
                private_key_pem: key.serialize_pem().into_bytes(),
            }),
            ..self.nobody()
        }
    }

    /// Our root, and no certificate of one's own.
    pub(crate) fn nobody(&self) -> TlsMaterial {
        TlsMaterial { identity: None, roots_pem: self.root.pem().into_bytes(), crls_der: vec![] }
    }
}

/// The name that [`Pki::material`] writes into a leaf.
pub(crate) fn spiffe(name: &str) -> String {
    format!("spiffe://example.org/{name}")
}

/// Whether the leaf of a chain carries that name.
pub(crate) fn is_for(chain: &[Vec<u8>], name: &str) -> bool {
    let name = spiffe(name).into_bytes();
    chain.first().is_some_and(|leaf| leaf.windows(name.len()).any(|window| window == name))
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("key pair")
}
