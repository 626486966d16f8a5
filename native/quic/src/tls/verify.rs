//! Verification of a peer's chain: roots, validity, purpose, revocation.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::session;

/// Most intermediates that a peer may present; bounds the cost of building a path.
const MAX_INTERMEDIATES: usize = 7;

/// What happens to a revocation list past its `nextUpdate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrlExpiry {
    /// It goes on denying what it lists; certificates that it does not list stay accepted. The
    /// default: an absent issuer of lists must not cut every connection, and a list that is missing
    /// altogether denies nothing either.
    #[default]
    StillApplies,
    /// Every certificate that it covers is refused.
    Refuse,
}

/// Role of the peer whose chain is checked; decides the extended key usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRole {
    /// The peer accepted the connection: its usage must allow `serverAuth`.
    Server,
    /// The peer opened the connection: its usage must allow `clientAuth`.
    Client,
}

/// Verifies chains to the roots; shared by both roles.
pub(super) struct ChainVerifier {
    roots: Vec<TrustAnchor<'static>>,
    /// Revocation lists in layers that hold at most one list per issuer: webpki looks only at the
    /// first list that fits a certificate, so a second one of the same issuer needs its own round.
    layers: Vec<Vec<CertRevocationList<'static>>>,
    crl_expiry: CrlExpiry,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ChainVerifier {
    pub(super) fn new(
        roots: Vec<TrustAnchor<'static>>,
        crls: Vec<CertRevocationList<'static>>,
        crl_expiry: CrlExpiry,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let mut layers: Vec<Vec<CertRevocationList<'static>>> = Vec::new();
        for crl in crls {
            let free = layers.iter_mut().find(|layer| layer.iter().all(|c| c.issuer() != crl.issuer()));
            match free {
                Some(layer) => layer.push(crl),
                None => layers.push(vec![crl]),
            }
        }
        Self { roots, layers, crl_expiry, algorithms }
    }

    /// Checks signatures up to a root, validity at `now`, constraints, usage for `role`, and that no
    /// revocation list names a certificate of the path. Names are not looked at.
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: PeerRole,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if intermediates.len() > MAX_INTERMEDIATES {
            return Err(other(webpki::Error::MaximumPathDepthExceeded));
        }
        let leaf = EndEntityCert::try_from(leaf).map_err(to_rustls)?;
        if self.layers.is_empty() {
            return self.check_layer(&leaf, intermediates, role, now, &[]);
        }
        self.layers.iter().try_for_each(|layer| self.check_layer(&leaf, intermediates, role, now, layer))
    }

    fn check_layer(
        &self,
        leaf: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        role: PeerRole,
        now: UnixTime,
        crls: &[CertRevocationList<'static>],
    ) -> Result<(), rustls::Error> {
        let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(match self.crl_expiry {
                    CrlExpiry::StillApplies => ExpirationPolicy::Ignore,
                    CrlExpiry::Refuse => ExpirationPolicy::Enforce,
                })
                .build()
        });
        let usage = match role {
            PeerRole::Server => KeyUsage::server_auth(),
            PeerRole::Client => KeyUsage::client_auth(),
        };
        leaf.verify_for_usage(self.algorithms.all, &self.roots, intermediates, now, usage, revocation, None)
            .map(|_| ())
            .map_err(to_rustls)
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

impl fmt::Debug for ChainVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainVerifier").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

/// Verifies the certificate of a server that we connect to: chain, validity, `serverAuth`,
/// revocation, but **not the name**. Our identities are SPIFFE URIs, which the caller compares right
/// after the handshake and before it uses the connection; the server name in the handshake is a
/// label without meaning for trust.
#[derive(Debug)]
pub(super) struct ServerVerifier(pub(super) Arc<ChainVerifier>);

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.check(end_entity, intermediates, PeerRole::Server, now)?;
        session::note_verified();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// Verifies the certificate of a client: chain, validity, `clientAuth`, revocation. A certificate
/// that is presented must always verify, also where none is required.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) chain: Arc<ChainVerifier>,
    pub(super) required: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    /// Empty: clients have one identity to offer, and hints only lengthen the handshake.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.chain.check(end_entity, intermediates, PeerRole::Client, now)?;
        session::note_verified();
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(tls12_refused())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.algorithms.supported_schemes()
    }
}

/// Chooses the TLS error, and with it the alert that the peer sees.
fn to_rustls(error: webpki::Error) -> rustls::Error {
    match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            CertificateError::BadEncoding.into()
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }.into()
        }
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }.into()
        }
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        webpki::Error::CertRevoked => CertificateError::Revoked.into(),
        webpki::Error::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }.into()
        }
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature.into(),
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose.into(),
        other_error => other(other_error),
    }
}

fn other(error: webpki::Error) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

fn tls12_refused() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken".into())
}
