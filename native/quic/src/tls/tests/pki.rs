//! A two-tier CA made at run time.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};

use super::super::{TlsIdentity, TlsMaterial};

pub(super) const BOTH: &[ExtendedKeyUsagePurpose] =
    &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

pub(super) struct Pki {
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: CertifiedIssuer<'static, KeyPair>,
}

/// What a leaf differs in from a good one.
pub(super) struct Leaf {
    pub(super) serial: u64,
    pub(super) usages: &'static [ExtendedKeyUsagePurpose],
    pub(super) expired: bool,
}

impl Default for Leaf {
    fn default() -> Self {
        Self { serial: 100, usages: BOTH, expired: false }
    }
}

impl Pki {
    pub(super) fn new() -> Self {
        Self::named("one")
    }

    pub(super) fn named(name: &str) -> Self {
        let root = CertifiedIssuer::self_signed(ca(&format!("{name} root"), 1), key())
            .expect("self-signed root certificate");
        let issuing = CertifiedIssuer::signed_by(ca(&format!("{name} issuing"), 2), key(), &root)
            .expect("issuing certificate");
        Self { root, issuing }
    }

    pub(super) fn root_pem(&self) -> Vec<u8> {
        self.root.pem().into_bytes()
    }

    pub(super) fn identity(&self, leaf: Leaf) -> TlsIdentity {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        params.extended_key_usages = leaf.usages.to_vec();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names =
            vec![SanType::URI("spiffe://example.org/default/agent/a".try_into().expect("ia5"))];
        if leaf.expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        let key = key();
        let certificate = params.signed_by(&key, &self.issuing).expect("leaf");
        TlsIdentity {
            cert_chain_pem: (certificate.pem() + &self.issuing.pem()).into_bytes(),
            private_key_pem: key.serialize_pem().into_bytes(),
        }
    }

    pub(super) fn material(&self, leaf: Leaf) -> TlsMaterial {
        TlsMaterial { identity: Some(self.identity(leaf)), roots_pem: self.root_pem(), crls_der: vec![] }
    }

    /// A list of the issuing CA that names `serials`.
    pub(super) fn crl(&self, serials: &[u64]) -> Vec<u8> {
        crl(&self.issuing, serials, 2090)
    }

    pub(super) fn expired_crl(&self, serials: &[u64]) -> Vec<u8> {
        crl(&self.issuing, serials, 2021)
    }

    /// A list of the root that names the issuing CA.
    pub(super) fn crl_of_issuing(&self) -> Vec<u8> {
        crl(&self.root, &[2], 2090)
    }
}

fn crl(issuer: &CertifiedIssuer<'static, KeyPair>, serials: &[u64], until: i32) -> Vec<u8> {
    let revoked_certs = serials
        .iter()
        .map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        })
        .collect();
    CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    }
    .signed_by(issuer)
    .expect("revocation list")
    .der()
    .to_vec()
}

fn ca(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("key pair")
}
