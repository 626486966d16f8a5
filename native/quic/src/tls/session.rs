//! noq's TLS sessions with one thing added: whether the handshake was resumed.
//!
//! noq keeps rustls' `handshake_kind()` to itself. A full handshake differs from a resumed one in
//! that a verifier of ours is called, and a server resumes only what its session store hands out.
//! Both happen on the same thread inside `read_handshake`, so a thread-local note carries them out.

use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;

use noq_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session, UnsupportedVersion,
    rustls::{HandshakeData, QuicClientConfig, QuicServerConfig},
};
use noq_proto::transport_parameters::TransportParameters;
use noq_proto::{ConnectError, ConnectionId, Side, TransportError};
use rustls::NamedGroup;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use rustls_pki_types::CertificateDer;

/// What a handshake led to. Final once the session is no longer handshaking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeFacts {
    /// The agreed application protocol.
    pub alpn: Option<Vec<u8>>,
    /// The server name that the client sent; `None` on the client's side.
    pub server_name: Option<String>,
    /// The agreed key exchange group.
    pub key_exchange: Option<NamedGroup>,
    /// True when a ticket was used: the peer's chain is the stored one and was **not** verified in
    /// this handshake (see [`TlsContext::check_peer`](super::TlsContext::check_peer)). False while
    /// the handshake goes on.
    pub resumed: bool,
}

/// The facts of a handshake, `None` before the first are known. Works on sessions of configurations
/// made by [`TlsContext`](super::TlsContext).
pub fn handshake_facts(session: &dyn Session) -> Option<HandshakeFacts> {
    session.handshake_data()?.downcast::<HandshakeFacts>().ok().map(|facts| *facts)
}

/// The peer's chain as presented (or as stored with the ticket), leaf first; empty when it has none.
pub fn peer_chain(session: &dyn Session) -> Vec<CertificateDer<'static>> {
    session
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .map(|chain| *chain)
        .unwrap_or_default()
}

#[derive(Debug, Clone, Copy, Default)]
struct Notes {
    verified: bool,
    ticket_found: bool,
}

thread_local! {
    static NOTES: Cell<Notes> = const { Cell::new(Notes { verified: false, ticket_found: false }) };
}

/// A verifier of ours accepted a chain in the `read_handshake` that runs on this thread.
pub(super) fn note_verified() {
    NOTES.with(|notes| notes.set(Notes { verified: true, ..notes.get() }));
}

fn note_ticket_found() {
    NOTES.with(|notes| notes.set(Notes { ticket_found: true, ..notes.get() }));
}

pub(super) struct ObservedClientConfig(pub(super) QuicClientConfig);

impl crypto::ClientConfig for ObservedClientConfig {
    fn start_session(
        &self,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = self.0.start_session(version, server_name, params)?;
        Ok(Box::new(ObservedSession { inner, side: Side::Client, notes: Notes::default() }))
    }
}

pub(super) struct ObservedServerConfig(pub(super) QuicServerConfig);

impl crypto::ServerConfig for ObservedServerConfig {
    fn initial_keys(&self, version: u32, dst_cid: ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(&self, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let inner = crypto::ServerConfig::start_session(&self.0, version, params);
        Box::new(ObservedSession { inner, side: Side::Server, notes: Notes::default() })
    }
}

struct ObservedSession {
    inner: Box<dyn Session>,
    side: Side,
    notes: Notes,
}

impl ObservedSession {
    fn resumed(&self) -> bool {
        if self.inner.is_handshaking() || self.notes.verified {
            return false;
        }
        match self.side {
            Side::Client => true,
            // A client that presents no certificate is not verified in a full handshake either.
            Side::Server => self.notes.ticket_found,
        }
    }
}

impl Session for ObservedSession {
    fn initial_keys(&self, dst_cid: ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let data = self.inner.handshake_data()?.downcast::<HandshakeData>().ok()?;
        Some(Box::new(HandshakeFacts {
            alpn: data.protocol,
            server_name: data.server_name,
            key_exchange: data.negotiated_key_exchange_group,
            resumed: self.resumed(),
        }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        NOTES.set(Notes::default());
        let result = self.inner.read_handshake(buf);
        let notes = NOTES.take();
        self.notes.verified |= notes.verified;
        self.notes.ticket_found |= notes.ticket_found;
        result
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

/// Bounded in-memory store of the sessions behind tickets: a ticket is a random name, works once,
/// and dies with the store.
#[derive(Debug)]
pub(super) struct SessionStore(Arc<ServerSessionMemoryCache>);

impl SessionStore {
    pub(super) fn new(capacity: usize) -> Self {
        Self(ServerSessionMemoryCache::new(capacity))
    }
}

impl StoresServerSessions for SessionStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let found = self.0.take(key);
        if found.is_some() {
            note_ticket_found();
        }
        found
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_session_gives_way_to_one_too_many() {
        let store = SessionStore::new(4);
        for n in 0..10u8 {
            store.put(vec![n], vec![n; 1_000]);
        }
        let kept: Vec<u8> = (0..10).filter(|n| store.get(&[*n]).is_some()).collect();
        assert_eq!(kept, [6, 7, 8, 9]);
    }
}
