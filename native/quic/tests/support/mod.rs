//! What the tests of the engine share: owners that wait for events, certificates, a bad network.

pub(crate) mod direct;
pub(crate) mod owner;
pub(crate) mod pki;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod relay;

pub(crate) use owner::{Owner, WAIT};
pub(crate) use pki::Pki;
pub(crate) use proxy::Proxy;
pub(crate) use random::Random;

use bytes::Bytes;
use std::net::SocketAddr;
use ztna_quic::engine::{
    BUSY_POLL, EndpointOptions, FramePrefix, Id, Keys, RetryPolicy, ServerOptions, TransportOptions,
    UNREAD_WINDOW,
};
use ztna_quic::tls::TlsMaterial;

pub(crate) const ALPN: &[u8] = b"test/1";
pub(crate) const INNER_ALPN: &[u8] = b"inner/1";

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn server_options(transport: TransportOptions) -> ServerOptions {
    ServerOptions {
        alpn: vec![ALPN.to_vec()],
        transport,
        require_client_cert: true,
        retry: RetryPolicy::Never,
        max_handshakes: 64,
        max_handshakes_per_source: None,
    }
}

/// An endpoint on a free port that accepts connections.
pub(crate) fn server_endpoint(tls: TlsMaterial) -> EndpointOptions {
    EndpointOptions { server: Some(server_options(TransportOptions::default())), ..client_endpoint(tls) }
}

/// An endpoint on a free port that only connects.
pub(crate) fn client_endpoint(tls: TlsMaterial) -> EndpointOptions {
    EndpointOptions {
        listen: loopback(),
        tls,
        server: None,
        inner_server: None,
        keys: Keys::default(),
        busy_poll: BUSY_POLL,
        direct: None,
        unread_window: UNREAD_WINDOW,
    }
}

/// The prefixes of a channel whose number fits one byte.
pub(crate) fn prefix(whole: u8, fragment: u8, channel: u8) -> FramePrefix {
    FramePrefix {
        whole: Bytes::copy_from_slice(&[whole, channel]),
        fragment: Bytes::copy_from_slice(&[fragment, channel]),
    }
}

/// A channel of relay datagrams.
pub(crate) fn relay_prefix(channel: u8) -> FramePrefix {
    prefix(0x2e, 0x2d, channel)
}

/// A channel of UDP flows.
pub(crate) fn flow_prefix(channel: u8) -> FramePrefix {
    prefix(0x30, 0x31, channel)
}

/// Two connections' ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) client: Id,
    pub(crate) server: Id,
}

/// A client and a server of one PKI, connected and accepted.
pub(crate) fn pair() -> (Owner, Owner, Link) {
    pair_with(TransportOptions::default(), TransportOptions::default())
}

pub(crate) fn pair_with(client: TransportOptions, server: TransportOptions) -> (Owner, Owner, Link) {
    let pki = Pki::new();
    let mut s = Owner::start(EndpointOptions {
        server: Some(server_options(server)),
        ..server_endpoint(pki.material("server"))
    });
    let mut c = Owner::start(client_endpoint(pki.material("client")));
    let link = connect(&mut c, &mut s, client);
    (c, s, link)
}

/// Connects and accepts on both sides.
pub(crate) fn connect(client: &mut Owner, server: &mut Owner, transport: TransportOptions) -> Link {
    let to = server.address();
    connect_to(client, server, to, transport)
}

pub(crate) fn connect_to(
    client: &mut Owner,
    server: &mut Owner,
    to: SocketAddr,
    transport: TransportOptions,
) -> Link {
    let conn = client.connect(to, ALPN, transport);
    client.connected(conn);
    let at_server = server.accept_next();
    client.accept(conn);
    Link { client: conn, server: at_server }
}

/// Bytes that differ from place to place, so that lost, doubled or swapped pieces show.
pub(crate) fn pattern(length: usize, seed: u64) -> Bytes {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
