//! TLS 1.3 configurations for QUIC from certificates, keys, roots and revocation lists.
//!
//! [`TlsContext`] is one state of the material. After a change of certificate, roots or revocations
//! make a new one: tickets that were issued under the old one are dead, on both sides.
//!
//! What is checked here: the peer holds the key of its leaf, the leaf chains to a root (only roots
//! are anchors), everything is within its validity, the extended key usage fits the role (a leaf
//! without the extension fits every role, RFC 5280 section 4.2.1.12), and nothing is revoked. What
//! is not: **who** the peer is. Identities are SPIFFE URIs, and the caller compares them before it
//! uses the connection.
//!
//! 0-RTT is off. The crypto provider is chosen by cargo feature; with `aws-lc-rs` the hybrid
//! X25519MLKEM768 is the preferred key exchange.

mod error;
mod material;
mod session;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::{Arc, Mutex, PoisonError};

use noq_proto::crypto;
use noq_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::StoresServerSessions;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{CertificateDer, UnixTime};

pub use error::TlsError;
pub use material::{TlsIdentity, TlsMaterial};
pub use session::{HandshakeFacts, handshake_facts, peer_chain};
pub use verify::{CrlExpiry, PeerRole};

use session::{ObservedClientConfig, ObservedServerConfig, SessionStore};
use verify::{ChainVerifier, ClientVerifier, ServerVerifier};

/// The server name for connections whose peer has no name. Tickets are kept by server name, so
/// give different peers different names where resumption matters.
pub const DEFAULT_SERVER_NAME: &str = "ztna.invalid";

/// Client configurations kept for reuse, by application protocols.
const MAX_CLIENT_CONFIGS: usize = 16;

/// Choices beside the material.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// What a revocation list past its `nextUpdate` means.
    pub crl_expiry: CrlExpiry,
    /// Sessions that each server configuration keeps for resumption; the oldest go first. A session
    /// holds the peer's chain, about 2 KB. 0 turns resumption off.
    pub server_sessions: usize,
    /// Tickets that each client configuration keeps, over all server names. 0 turns resumption off.
    pub client_tickets: usize,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { crl_expiry: CrlExpiry::default(), server_sessions: 2048, client_tickets: 256 }
    }
}

/// One state of certificate, roots and revocations, from which configurations are made. Clones are
/// the same state and share the tickets.
#[derive(Clone)]
pub struct TlsContext {
    provider: Arc<CryptoProvider>,
    identity: Option<Arc<CertifiedKey>>,
    chain: Arc<ChainVerifier>,
    options: TlsOptions,
    clients: Arc<Mutex<Vec<CachedClient>>>,
}

struct CachedClient {
    alpn: Vec<Vec<u8>>,
    config: Arc<dyn crypto::ClientConfig>,
}

impl TlsContext {
    /// Parses and checks the material: everything parses, the key belongs to the leaf.
    pub fn new(material: &TlsMaterial, options: TlsOptions) -> Result<Self, TlsError> {
        let provider = provider();
        seed(&provider);
        let identity = match &material.identity {
            Some(identity) => Some(material::parse_identity(identity, &provider)?),
            None => None,
        };
        let chain = ChainVerifier::new(
            material::parse_roots(&material.roots_pem)?,
            material::parse_crls(&material.crls_der)?,
            options.crl_expiry,
            provider.signature_verification_algorithms,
        );
        Ok(Self { provider, identity, chain: Arc::new(chain), options, clients: Arc::default() })
    }

    /// The client configuration for `alpn`, in order of preference. The same list gives the same
    /// configuration, so that its tickets serve later connections.
    ///
    /// The server's chain is verified, its name is not: see the module's documentation.
    pub fn client(&self, alpn: &[Vec<u8>]) -> Result<Arc<dyn crypto::ClientConfig>, TlsError> {
        check_alpn(alpn)?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = clients.iter().find(|cached| cached.alpn == alpn) {
            return Ok(cached.config.clone());
        }
        let creds = self.identity.clone().map(|identity| Arc::new(SingleCertAndKey::from(identity)) as _);
        let config = self.make_client(alpn, creds)?;
        if clients.len() >= MAX_CLIENT_CONFIGS {
            clients.remove(0);
        }
        clients.push(CachedClient { alpn: alpn.to_vec(), config: config.clone() });
        Ok(config)
    }

    fn make_client(
        &self,
        alpn: &[Vec<u8>],
        creds: Option<Arc<dyn ResolvesClientCert>>,
    ) -> Result<Arc<dyn crypto::ClientConfig>, TlsError> {
        let builder = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(provider_error)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier(self.chain.clone())));
        let mut config = match creds {
            Some(creds) => builder.with_client_cert_resolver(creds),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.to_vec();
        config.enable_early_data = false;
        config.resumption = match self.options.client_tickets {
            0 => Resumption::disabled(),
            tickets => Resumption::in_memory_sessions(tickets),
        };
        let config = QuicClientConfig::try_from(config).map_err(provider_error)?;
        Ok(Arc::new(ObservedClientConfig(config)))
    }

    /// A new server configuration with a ticket store of its own. Fails without an identity.
    ///
    /// Where no client certificate is required, a client without one is let through (the caller sees
    /// an empty chain); one that is presented must verify all the same.
    pub fn server(
        &self,
        alpn: &[Vec<u8>],
        require_client_cert: bool,
    ) -> Result<Arc<dyn crypto::ServerConfig>, TlsError> {
        let sessions = self.options.server_sessions;
        let store = (sessions > 0).then(|| Arc::new(SessionStore::new(sessions)) as _);
        self.make_server(alpn, require_client_cert, store)
    }

    fn make_server(
        &self,
        alpn: &[Vec<u8>],
        require_client_cert: bool,
        store: Option<Arc<dyn StoresServerSessions>>,
    ) -> Result<Arc<dyn crypto::ServerConfig>, TlsError> {
        check_alpn(alpn)?;
        let identity = self.identity.clone().ok_or(TlsError::NoIdentity)?;
        let verifier = ClientVerifier { chain: self.chain.clone(), required: require_client_cert };
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(provider_error)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = alpn.to_vec();
        config.max_early_data_size = 0;
        match store {
            None => config.send_tls13_tickets = 0,
            Some(store) => {
                config.session_storage = store;
                // Each holds the peer's chain, some 2 KB; a peer that resumes gets a new one.
                config.send_tls13_tickets = 1;
            }
        }
        let config = QuicServerConfig::try_from(config).map_err(provider_error)?;
        Ok(Arc::new(ObservedServerConfig(config)))
    }

    /// Verifies a peer's chain as it stands against this context at `now`: for connections that were
    /// resumed, and for live connections after a reload. The proof that the peer holds the key is
    /// not part of it.
    pub fn check_peer(
        &self,
        chain: &[CertificateDer<'_>],
        role: PeerRole,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(TlsError::Peer("it presented none".into()));
        };
        self.chain.check(leaf, intermediates, role, now).map_err(|e| TlsError::Peer(e.to_string()))
    }
}

/// The first random number of a process takes AWS-LC about 25 ms (jitter entropy). Better while an endpoint starts
/// than within its first handshake, where it holds up the thread of all connections.
fn seed(provider: &CryptoProvider) {
    // A failure shows in the handshakes, which need random numbers too.
    let _ = provider.secure_random.fill(&mut [0]);
}

/// The crypto provider of this build.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let mut provider = rustls::crypto::ring::default_provider();
    // The hybrid group first, whatever the default order; a stable sort leaves the rest alone.
    provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519MLKEM768);
    Arc::new(provider)
}

fn check_alpn(alpn: &[Vec<u8>]) -> Result<(), TlsError> {
    if alpn.is_empty() {
        return Err(TlsError::Alpn("at least one protocol is needed"));
    }
    if alpn.len() > 16 {
        return Err(TlsError::Alpn("more than 16 protocols"));
    }
    if alpn.iter().any(|protocol| protocol.is_empty() || protocol.len() > 255) {
        return Err(TlsError::Alpn("a protocol has 1 to 255 bytes"));
    }
    Ok(())
}

fn provider_error(error: impl std::fmt::Display) -> TlsError {
    TlsError::Provider(error.to_string())
}
