//! Two QUIC endpoints joined in memory.

use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use noq_proto::congestion::CubicConfig;
use noq_proto::crypto::{ClientConfig, ServerConfig};
use noq_proto::{
    Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, Event, FourTuple, TransportConfig,
};

use super::super::{HandshakeFacts, handshake_facts, peer_chain};
use crate::token::{ResetKey, TokenKeys};

/// How one side saw the handshake.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) connected: bool,
    pub(super) lost: Option<String>,
    pub(super) facts: Option<HandshakeFacts>,
    pub(super) peer_certificates: usize,
    pub(super) chain: Vec<Vec<u8>>,
}

impl Seen {
    pub(super) fn is_up(&self) -> bool {
        self.connected && self.lost.is_none()
    }

    pub(super) fn resumed(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.resumed)
    }
}

struct Host {
    address: SocketAddr,
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    connected: bool,
    lost: Option<String>,
    /// Validates addresses by Retry.
    retries: bool,
}

/// Runs one handshake until both sides are silent; returns how client and server saw it.
pub(super) fn handshake(
    client: Arc<dyn ClientConfig>,
    server: Arc<dyn ServerConfig>,
    server_name: &str,
) -> (Seen, Seen) {
    run(client, server, server_name, false)
}

/// As [`handshake`], with a server that validates the client's address by Retry.
pub(super) fn handshake_with_retry(
    client: Arc<dyn ClientConfig>,
    server: Arc<dyn ServerConfig>,
    server_name: &str,
) -> (Seen, Seen) {
    run(client, server, server_name, true)
}

fn run(
    client: Arc<dyn ClientConfig>,
    server: Arc<dyn ServerConfig>,
    server_name: &str,
    retries: bool,
) -> (Seen, Seen) {
    let now = Instant::now();
    let mut server_config = noq_proto::ServerConfig::new(server, Arc::new(TokenKeys::new(&[])));
    server_config.transport_config(unpaced());
    let mut server = Host::new(2, Some(Arc::new(server_config)));
    server.retries = retries;
    let mut client_config = noq_proto::ClientConfig::new(client);
    client_config.transport_config(unpaced());
    let mut host = Host::new(1, None);
    let connection = host.endpoint.connect(now, client_config, server.address, server_name).expect("connect");
    host.connection = Some(connection);
    let mut client = host;
    while client.send_to(&mut server, now) | server.send_to(&mut client, now) {}
    (client.seen(), server.seen())
}

/// Lets a flight of the handshake go at once. By default noq's pacer, which reckons with an RTT of
/// 333 ms until it has measured one, holds back every datagram after the first for 24 ms.
fn unpaced() -> Arc<TransportConfig> {
    let mut congestion = CubicConfig::default();
    congestion.initial_window(48_000);
    let mut transport = TransportConfig::default();
    transport.congestion_controller_factory(Arc::new(congestion));
    transport.initial_rtt(Duration::from_millis(100));
    Arc::new(transport)
}

impl Host {
    fn new(n: u16, config: Option<Arc<noq_proto::ServerConfig>>) -> Self {
        let endpoint_config = EndpointConfig::new(Arc::new(ResetKey::new(None, b"")));
        Self {
            address: SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n), 4433)),
            endpoint: Endpoint::new(Arc::new(endpoint_config), config, false),
            connection: None,
            connected: false,
            lost: None,
            retries: false,
        }
    }

    /// Hands over what is to be sent; false when nothing was.
    ///
    /// Several datagrams at a time: noq 1.4.0 never comes to an end with one at a time when a client
    /// closes during the handshake, because the padded Initial packet takes all the room.
    fn send_to(&mut self, peer: &mut Self, now: Instant) -> bool {
        const BATCH: NonZeroUsize = NonZeroUsize::new(10).expect("not zero");
        for round in 0.. {
            assert!(round < 100, "sending does not come to an end");
            let mut batch = Vec::new();
            let Some((_, connection)) = &mut self.connection else {
                return false;
            };
            let Some(transmit) = connection.poll_transmit(now, BATCH, &mut batch) else {
                return round > 0;
            };
            for datagram in batch.chunks(transmit.segment_size.unwrap_or(batch.len())) {
                for reply in peer.receive(self.address, datagram, now) {
                    self.receive(peer.address, &reply, now);
                }
            }
        }
        false
    }

    /// Takes a datagram; returns what the endpoint itself answers.
    fn receive(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> Vec<Vec<u8>> {
        let mut reply = Vec::new();
        let data = BytesMut::from(datagram);
        match self.endpoint.handle(now, FourTuple::from(from), None, data, &mut reply) {
            Some(DatagramEvent::NewConnection(incoming)) => {
                reply.clear();
                if self.retries && !incoming.remote_address_validated() {
                    let _ = self.endpoint.retry(incoming, &mut reply).expect("may retry");
                    return vec![reply];
                }
                match self.endpoint.accept(incoming, now, &mut reply, None) {
                    Ok(connection) => self.connection = Some(connection),
                    Err(error) => self.lost = Some(error.cause.to_string()),
                }
            }
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
        self.poll();
        if reply.is_empty() { vec![] } else { vec![reply] }
    }

    fn poll(&mut self) {
        let Some((handle, connection)) = &mut self.connection else {
            return;
        };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => self.lost = Some(reason.to_string()),
                _ => {}
            }
        }
    }

    fn seen(self) -> Seen {
        let session = self.connection.as_ref().map(|(_, connection)| connection.crypto_session());
        Seen {
            connected: self.connected,
            lost: self.lost,
            facts: session.and_then(handshake_facts),
            peer_certificates: session.map_or(0, |session| peer_chain(session).len()),
            chain: session.map_or_else(Vec::new, |s| peer_chain(s).iter().map(|c| c.to_vec()).collect()),
        }
    }
}
