//! What an endpoint is made of.

use super::cidr::Cidr;
use crate::tls::TlsMaterial;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Settings of one kind of connection.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    pub idle_timeout: Duration,
    /// Time between keep-alive packets; `None` sends none.
    pub keep_alive: Option<Duration>,
    /// UDP payload size assumed before path-MTU discovery, 1200 or more.
    pub initial_mtu: u16,
    /// Upper end of the path-MTU search; equal to `initial_mtu` turns discovery off.
    pub max_mtu: u16,
    pub max_bidi_streams: u32,
    pub max_uni_streams: u32,
    pub congestion: Congestion,
    pub send_observed_address: bool,
    pub receive_observed_address: bool,
    /// Largest number of paths at a time; 0 turns multipath off.
    pub multipath: u32,
    /// Bytes that a peer may send on one stream without being read.
    pub stream_window: u32,
    /// Bytes that a peer may send on all streams together without being read.
    pub connection_window: u32,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: None,
            initial_mtu: 1200,
            max_mtu: 1452,
            max_bidi_streams: 100,
            max_uni_streams: 10,
            congestion: Congestion::Cubic,
            send_observed_address: false,
            receive_observed_address: false,
            multipath: 0,
            // 2 MiB in packets of 1200 bytes stay under the 2,048 chunks that noq's assembler holds.
            stream_window: 2 << 20,
            connection_window: 8 << 20,
        }
    }
}

/// Congestion controller of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Congestion {
    Cubic,
    NewReno,
    Bbr3,
}

/// When a server answers a first packet with Retry (RFC 9000 §8.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    Always,
    Never,
    /// Once more than a quarter of `max_handshakes` are under way.
    UnderLoad,
}

/// Accepting side of an endpoint.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub alpn: Vec<Vec<u8>>,
    pub transport: TransportOptions,
    pub require_client_cert: bool,
    pub retry: RetryPolicy,
    /// Handshakes under way at a time; more are refused.
    pub max_handshakes: usize,
    /// New handshakes per second and source (IPv4 address, IPv6 /64); `None` does not limit them. Above it
    /// a source has to prove its address, and with a proven one it is refused.
    pub max_handshakes_per_source: Option<u32>,
}

/// Key material that an operator gives so that restarted or parallel processes understand each other.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Current key first. Empty: a random key.
    pub retry: Vec<[u8; 32]>,
    /// Master of the stateless-reset key. `None`: random.
    pub reset: Option<[u8; 32]>,
    pub server_id: Vec<u8>,
    /// Encrypts the server id inside connection ids.
    pub cid: Option<[u8; 16]>,
    pub generation: u8,
}

/// Addresses that packets of inner connections may go to and come from outside virtual paths. Never: port 0 and
/// the range of virtual addresses. Not unless in `allow`: unspecified, loopback, link-local, multicast, broadcast
/// and reserved addresses.
#[derive(Debug, Clone)]
pub struct DirectOptions {
    /// Wins over `allow`.
    pub refuse: Vec<Cidr>,
    pub allow: Vec<Cidr>,
    /// Addresses of this host that no direct path may begin at: those of interfaces that are left out.
    pub left_out: Vec<IpAddr>,
    /// A path in use on which nothing is acknowledged for so long, and for three probe timeouts, is dead.
    pub min_silence: Duration,
}

impl Default for DirectOptions {
    fn default() -> Self {
        Self { refuse: vec![], allow: vec![], left_out: vec![], min_silence: super::watch::MIN_SILENCE }
    }
}

/// Everything that an endpoint is made of.
pub struct EndpointOptions {
    pub listen: SocketAddr,
    pub tls: TlsMaterial,
    pub server: Option<ServerOptions>,
    /// Accepts connections that arrive on virtual paths. Only `alpn` and `transport` count.
    pub inner_server: Option<ServerOptions>,
    pub keys: Keys,
    /// Longest time to poll before sleeping, learned up to this bound; zero never polls.
    pub busy_poll: Duration,
    /// Bytes that all inner connections together may grow their windows by for streams that are not read.
    pub unread_window: u64,
    /// Lets inner connections have direct paths; `None` has them run over virtual paths alone.
    pub direct: Option<DirectOptions>,
}

/// Of `unread_window`: 128 streams of two MiB.
pub const UNREAD_WINDOW: u64 = 256 << 20;

/// Twice what waking a thread costs on a virtual machine.
pub const BUSY_POLL: Duration = Duration::from_micros(50);
