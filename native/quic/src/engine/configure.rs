//! From options to noq's configuration.

use super::StartError;
use super::options::{Congestion, Keys, ServerOptions, TransportOptions};
use super::paths::DIRECT_IDLE;
use super::pulse::WatchedFactory;
use crate::cid::QuicLbGenerator;
use crate::tls::TlsContext;
use crate::token::{MemoryTokenLog, RETRY_TOKEN_LIFETIME, ResetKey, TokenKeys};
use noq_proto as q;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of datagrams that a connection holds for us to read; we read them at once.
const DATAGRAM_RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes of datagrams handed to noq ahead of sending. Queueing happens before, in the fair queue.
pub(crate) const DATAGRAM_SEND_BUFFER: usize = 128 << 10;
/// Unacknowledged stream bytes of a connection.
const SEND_WINDOW: u64 = 8 << 20;
/// noq's assembler ends a connection that holds more than 2,048 unread chunks, and a full packet is one.
const MAX_STREAM_WINDOW: u32 = 2_000 * 1_150;
const MAX_REMOTE_CANDIDATES: u8 = 16;
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// 40 packets of 1200 bytes; see `INITIAL_RTT` for why not the 10 of RFC 9002.
const INITIAL_WINDOW: u64 = 48_000;
/// Early packets held for one connection that is not accepted yet, and for all of them.
const INCOMING_BUFFER: u64 = 64 << 10;
const INCOMING_BUFFERS: u64 = 8 << 20;
/// Validation tokens remembered so that each works once.
const USED_TOKENS: usize = 64 << 10;

/// Connection ids and stateless resets. Without keys both are private to this process, and a successor
/// cannot answer for its connections.
pub(crate) fn endpoint(keys: &Keys) -> Result<q::EndpointConfig, StartError> {
    let reset = Arc::new(ResetKey::new(keys.reset, &keys.server_id));
    let mut config = q::EndpointConfig::new(reset);
    let generator = QuicLbGenerator::new(keys.cid, &keys.server_id, keys.generation)
        .map_err(|e| StartError::Options(e.to_string()))?;
    config.cid_generator(Arc::new(move || Box::new(generator.clone())));
    Ok(config)
}

pub(crate) fn stream_window(o: &TransportOptions) -> u32 {
    o.stream_window.min(MAX_STREAM_WINDOW)
}

pub(crate) fn transport(o: &TransportOptions) -> Result<q::TransportConfig, StartError> {
    let mut t = q::TransportConfig::default();
    let idle = q::IdleTimeout::try_from(o.idle_timeout)
        .map_err(|_| StartError::Options("idle timeout is too long".into()))?;
    t.max_idle_timeout(Some(idle));
    t.keep_alive_interval(o.keep_alive);
    // Until there is a sample, noq paces as if the round trip took this long. With its default of 333 ms
    // and a window of ten packets, a handshake of two datagrams (post-quantum keys, Retry) waited 24 ms.
    t.initial_rtt(INITIAL_RTT);
    t.initial_mtu(o.initial_mtu.max(1200));
    if o.max_mtu > o.initial_mtu {
        let mut discovery = q::MtuDiscoveryConfig::default();
        discovery.upper_bound(o.max_mtu);
        t.mtu_discovery_config(Some(discovery));
    } else {
        t.mtu_discovery_config(None);
    }
    t.max_concurrent_bidi_streams(o.max_bidi_streams.into());
    t.max_concurrent_uni_streams(o.max_uni_streams.into());
    t.stream_receive_window(stream_window(o).into());
    t.receive_window(o.connection_window.into());
    t.send_window(SEND_WINDOW);
    t.datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER));
    t.datagram_send_buffer_size(DATAGRAM_SEND_BUFFER);
    t.send_observed_address_reports(o.send_observed_address);
    t.receive_observed_address_reports(o.receive_observed_address);
    if o.multipath > 0 {
        t.max_concurrent_multipath_paths(o.multipath);
        t.max_remote_nat_traversal_addresses(MAX_REMOTE_CANDIDATES);
        // Also for paths that are never reached, of which noq tells nothing. Path 0 is exempted later.
        t.default_path_max_idle_timeout(Some(DIRECT_IDLE));
    }
    let controllers: Arc<dyn q::congestion::ControllerFactory + Send + Sync> = match o.congestion {
        Congestion::Cubic => {
            let mut cubic = q::congestion::CubicConfig::default();
            cubic.initial_window(INITIAL_WINDOW);
            Arc::new(cubic)
        }
        Congestion::NewReno => {
            let mut reno = q::congestion::NewRenoConfig::default();
            reno.initial_window(INITIAL_WINDOW);
            Arc::new(reno)
        }
        Congestion::Bbr3 => Arc::new(q::congestion::Bbr3Config::default()),
    };
    t.congestion_controller_factory(match o.multipath {
        0 => controllers,
        _ => Arc::new(WatchedFactory(controllers)),
    });
    Ok(t)
}

/// Server side for the socket or for virtual paths. Both share the token keys.
pub(crate) fn server(
    tls: &TlsContext,
    o: &ServerOptions,
    tokens: &Arc<TokenKeys>,
) -> Result<Arc<q::ServerConfig>, StartError> {
    let crypto = tls.server(&o.alpn, o.require_client_cert)?;
    let mut config = q::ServerConfig::new(crypto, tokens.clone());
    config.transport_config(Arc::new(transport(&o.transport)?));
    config.retry_token_lifetime(RETRY_TOKEN_LIFETIME);
    config.max_incoming(o.max_handshakes.max(16));
    config.incoming_buffer_size(INCOMING_BUFFER);
    config.incoming_buffer_size_total(INCOMING_BUFFERS);
    let mut validation = q::ValidationTokenConfig::default();
    validation.log(Arc::new(MemoryTokenLog::new(USED_TOKENS)));
    config.validation_token_config(validation);
    Ok(Arc::new(config))
}
