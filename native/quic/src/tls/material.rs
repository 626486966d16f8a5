//! From PEM or DER to parsed certificates, keys and revocation lists.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use webpki::{CertRevocationList, OwnedCertRevocationList};

use super::TlsError;

/// Largest accepted size of one input in bytes.
const MAX_INPUT_BYTES: usize = 16 << 20;
/// Most certificates in the own chain.
const MAX_CHAIN: usize = 8;
/// Most roots.
const MAX_ROOTS: usize = 256;
/// Most revocation lists.
const MAX_CRLS: usize = 64;

const CHAIN: &str = "the certificate chain";
const ROOTS: &str = "the bundle of roots";
const KEY: &str = "the private key";
const CRLS: &str = "the revocation lists";

/// Certificate chain and private key of this process.
#[derive(Clone)]
pub struct TlsIdentity {
    /// PEM, leaf first, then the intermediates up to but without the root. A single DER certificate
    /// is accepted too.
    pub cert_chain_pem: Vec<u8>,
    /// PKCS#8, SEC1 or PKCS#1 as PEM or DER, unencrypted.
    pub private_key_pem: Vec<u8>,
}

/// Everything from outside that a TLS configuration is made of. Nothing is read from the system.
#[derive(Clone)]
pub struct TlsMaterial {
    /// Who we are; `None` for a client without a certificate.
    pub identity: Option<TlsIdentity>,
    /// PEM bundle of roots (or one DER certificate). These alone are trust anchors; intermediates
    /// come from the presented chains. An anchor's own validity period is not checked.
    pub roots_pem: Vec<u8>,
    /// Revocation lists, DER or PEM. A certificate is refused if any of them lists it.
    pub crls_der: Vec<Vec<u8>>,
}

pub(super) fn parse_identity(
    identity: &TlsIdentity,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = parse_certificates(CHAIN, &identity.cert_chain_pem, MAX_CHAIN)?;
    for (index, certificate) in chain.iter().enumerate() {
        webpki::EndEntityCert::try_from(certificate).map_err(|e| bad_certificate(CHAIN, index, e))?;
    }
    let key = parse_key(&identity.private_key_pem)?;
    let signer =
        provider.key_provider.load_private_key(key).map_err(|e| TlsError::PrivateKey(e.to_string()))?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) => Ok(Arc::new(certified)),
        Err(_) => Err(TlsError::KeyMismatch),
    }
}

pub(super) fn parse_roots(input: &[u8]) -> Result<Vec<TrustAnchor<'static>>, TlsError> {
    parse_certificates(ROOTS, input, MAX_ROOTS)?
        .iter()
        .enumerate()
        .map(|(index, certificate)| {
            webpki::anchor_from_trusted_cert(certificate)
                .map(|anchor| anchor.to_owned())
                .map_err(|e| bad_certificate(ROOTS, index, e))
        })
        .collect()
}

pub(super) fn parse_crls(inputs: &[Vec<u8>]) -> Result<Vec<CertRevocationList<'static>>, TlsError> {
    if inputs.len() > MAX_CRLS {
        return Err(TlsError::TooMuch { input: CRLS, limit: MAX_CRLS, unit: "lists" });
    }
    inputs.iter().enumerate().map(|(index, input)| parse_crl(index, input)).collect()
}

fn parse_crl(index: usize, input: &[u8]) -> Result<CertRevocationList<'static>, TlsError> {
    limit_size(CRLS, input)?;
    let bad = |detail: String| TlsError::BadCrl { index, detail };
    let parsed = if is_pem(input) {
        let der = rustls_pki_types::CertificateRevocationListDer::from_pem_slice(input)
            .map_err(|e| bad(e.to_string()))?;
        OwnedCertRevocationList::from_der(&der)
    } else {
        OwnedCertRevocationList::from_der(input)
    };
    parsed.map(CertRevocationList::from).map_err(|e| bad(e.to_string()))
}

fn parse_certificates(
    name: &'static str,
    input: &[u8],
    limit: usize,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    limit_size(name, input)?;
    if !is_pem(input) {
        return match input {
            // A DER certificate is a SEQUENCE.
            [0x30, ..] => Ok(vec![CertificateDer::from(input.to_vec())]),
            _ => Err(TlsError::NoCertificate { input: name }),
        };
    }
    let certificates = CertificateDer::pem_slice_iter(input)
        .take(limit + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| TlsError::Pem { input: name, detail: e.to_string() })?;
    match certificates.len() {
        0 => Err(TlsError::NoCertificate { input: name }),
        n if n > limit => Err(TlsError::TooMuch { input: name, limit, unit: "certificates" }),
        _ => Ok(certificates),
    }
}

fn parse_key(input: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    limit_size(KEY, input)?;
    if is_pem(input) {
        return PrivateKeyDer::from_pem_slice(input).map_err(|e| TlsError::PrivateKey(e.to_string()));
    }
    PrivateKeyDer::try_from(input.to_vec()).map_err(|e| TlsError::PrivateKey(e.to_string()))
}

fn limit_size(name: &'static str, input: &[u8]) -> Result<(), TlsError> {
    if input.len() > MAX_INPUT_BYTES {
        return Err(TlsError::TooMuch { input: name, limit: MAX_INPUT_BYTES, unit: "bytes" });
    }
    Ok(())
}

fn is_pem(input: &[u8]) -> bool {
    const MARK: &[u8] = b"-----BEGIN ";
    input.windows(MARK.len()).any(|window| window == MARK)
}

fn bad_certificate(input: &'static str, index: usize, error: webpki::Error) -> TlsError {
    TlsError::BadCertificate { input, index, detail: error.to_string() }
}
