//! What can be wrong with the TLS material that an operator gives.

/// Why TLS material was refused. The text names the input and what to do about it.
///
/// All variants but [`TlsError::Peer`] are faults of the configuration; `Peer` is the peer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// An input that must hold a certificate holds none.
    #[error("{input} holds no certificate: give PEM (\"BEGIN CERTIFICATE\") or one DER certificate")]
    NoCertificate {
        /// Name of the input.
        input: &'static str,
    },
    /// An input is not well-formed PEM.
    #[error("{input} is not well-formed PEM: {detail}")]
    Pem {
        /// Name of the input.
        input: &'static str,
        /// What the parser says.
        detail: String,
    },
    /// A certificate of an input cannot be parsed.
    #[error("certificate {index} of {input} cannot be used: {detail}")]
    BadCertificate {
        /// Name of the input.
        input: &'static str,
        /// Position in the input, counted from 0.
        index: usize,
        /// What the parser says.
        detail: String,
    },
    /// The private key cannot be read or is of an unsupported type.
    #[error(
        "the private key cannot be used: {0} (PKCS#8 or SEC1, ECDSA P-256/P-384, Ed25519 or RSA, not encrypted)"
    )]
    PrivateKey(String),
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the first certificate of the certificate chain")]
    KeyMismatch,
    /// A revocation list cannot be parsed.
    #[error("revocation list {index} cannot be used: {detail}")]
    BadCrl {
        /// Position in the list of revocation lists, counted from 0.
        index: usize,
        /// What the parser says.
        detail: String,
    },
    /// More of something than is accepted.
    #[error("{input}: more than {limit} {unit}")]
    TooMuch {
        /// Name of the input.
        input: &'static str,
        /// The limit.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// The list of application protocols is unusable.
    #[error("application protocols (ALPN): {0}")]
    Alpn(&'static str),
    /// A server needs a certificate and a key, and none was given.
    #[error("a server needs a certificate chain and a private key, none were given")]
    NoIdentity,
    /// The crypto provider lacks something that is needed.
    #[error("crypto provider: {0}")]
    Provider(String),
    /// The chain of a peer is refused ([`TlsContext::check_peer`](super::TlsContext::check_peer)).
    #[error("the peer's certificate is refused: {0}")]
    Peer(String),
}
