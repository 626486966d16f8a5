//! Options from TypeScript.

use napi::bindgen_prelude::{Error, Result, Uint8Array};
use napi_derive::napi;
use std::net::IpAddr;
use std::time::Duration;
use ztna_quic::engine::{
    BUSY_POLL, Cidr, Congestion, DirectOptions, EndpointOptions, FramePrefix, Keys, RetryPolicy,
    ServerOptions, TransportOptions, UNREAD_WINDOW,
};
use ztna_quic::tls::{TlsIdentity, TlsMaterial};

#[napi(object)]
pub struct NativePrefix {
    pub whole: Uint8Array,
    pub fragment: Uint8Array,
}

impl From<NativePrefix> for FramePrefix {
    fn from(p: NativePrefix) -> Self {
        Self { whole: super::bytes(&p.whole), fragment: super::bytes(&p.fragment) }
    }
}

#[napi(object)]
pub struct NativeTls {
    pub cert_chain: Option<String>,
    pub private_key: Option<String>,
    pub roots: String,
    pub crls: Vec<Uint8Array>,
}

impl From<NativeTls> for TlsMaterial {
    fn from(t: NativeTls) -> Self {
        let identity = match (t.cert_chain, t.private_key) {
            (Some(chain), Some(key)) => {
                Some(TlsIdentity { cert_chain_pem: chain.into_bytes(), private_key_pem: key.into_bytes() })
            }
            _ => None,
        };
        Self {
            identity,
            roots_pem: t.roots.into_bytes(),
            crls_der: t.crls.iter().map(|c| c.to_vec()).collect(),
        }
    }
}

#[napi(object)]
pub struct NativeTransport {
    pub idle_timeout_ms: Option<f64>,
    pub keep_alive_ms: Option<f64>,
    pub initial_mtu: Option<u32>,
    pub max_mtu: Option<u32>,
    pub max_bidi_streams: Option<u32>,
    pub max_uni_streams: Option<u32>,
    /// cubic, newreno or bbr3
    pub congestion: Option<String>,
    pub send_observed_address: Option<bool>,
    pub receive_observed_address: Option<bool>,
    pub multipath: Option<u32>,
    pub stream_window: Option<u32>,
    pub connection_window: Option<u32>,
}

fn mtu(name: &str, value: u32) -> Result<u16> {
    match u16::try_from(value) {
        Ok(v) if v >= 1200 => Ok(v),
        _ => Err(option_error(&format!("{name} is {value}, possible are 1200 to 65535"))),
    }
}

fn option_error(text: &str) -> Error {
    Error::from_reason(format!("ERR_INVALID_ARG: {text}"))
}

impl TryFrom<NativeTransport> for TransportOptions {
    type Error = Error;

    fn try_from(n: NativeTransport) -> Result<Self> {
        let d = Self::default();
        let millis = |v: f64| Duration::from_millis(v.max(0.0) as u64);
        Ok(Self {
            idle_timeout: n.idle_timeout_ms.map_or(d.idle_timeout, millis),
            keep_alive: n.keep_alive_ms.map(millis).filter(|k| !k.is_zero()),
            initial_mtu: n.initial_mtu.map(|v| mtu("initialMtu", v)).transpose()?.unwrap_or(d.initial_mtu),
            max_mtu: n.max_mtu.map(|v| mtu("maxMtu", v)).transpose()?.unwrap_or(d.max_mtu),
            max_bidi_streams: n.max_bidi_streams.unwrap_or(d.max_bidi_streams),
            max_uni_streams: n.max_uni_streams.unwrap_or(d.max_uni_streams),
            congestion: match n.congestion.as_deref() {
                None | Some("cubic") => Congestion::Cubic,
                Some("newreno") => Congestion::NewReno,
                Some("bbr3") => Congestion::Bbr3,
                Some(other) => {
                    return Err(option_error(&format!(
                        "congestion {other:?}, possible are cubic, newreno, bbr3"
                    )));
                }
            },
            send_observed_address: n.send_observed_address.unwrap_or(d.send_observed_address),
            receive_observed_address: n.receive_observed_address.unwrap_or(d.receive_observed_address),
            multipath: n.multipath.unwrap_or(d.multipath),
            stream_window: n.stream_window.unwrap_or(d.stream_window),
            connection_window: n.connection_window.unwrap_or(d.connection_window),
        })
    }
}

#[napi(object)]
pub struct NativeServer {
    pub alpn: Vec<String>,
    pub transport: NativeTransport,
    pub require_client_cert: bool,
    /// always, never or under-load
    pub retry: String,
    pub max_handshakes: u32,
    pub max_handshakes_per_source: Option<u32>,
}

impl TryFrom<NativeServer> for ServerOptions {
    type Error = Error;

    fn try_from(n: NativeServer) -> Result<Self> {
        Ok(Self {
            alpn: n.alpn.into_iter().map(String::into_bytes).collect(),
            transport: n.transport.try_into()?,
            require_client_cert: n.require_client_cert,
            retry: match n.retry.as_str() {
                "always" => RetryPolicy::Always,
                "never" => RetryPolicy::Never,
                "under-load" => RetryPolicy::UnderLoad,
                other => {
                    return Err(option_error(&format!(
                        "retry {other:?}, possible are always, never, under-load"
                    )));
                }
            },
            max_handshakes: n.max_handshakes as usize,
            max_handshakes_per_source: n.max_handshakes_per_source,
        })
    }
}

#[napi(object)]
pub struct NativeKeys {
    pub retry_keys: Vec<Uint8Array>,
    pub reset_key: Option<Uint8Array>,
    pub server_id: Option<Uint8Array>,
    pub cid_key: Option<Uint8Array>,
    pub generation: Option<u32>,
}

fn key<const N: usize>(name: &str, data: &Uint8Array) -> Result<[u8; N]> {
    data.as_ref()
        .try_into()
        .map_err(|_| option_error(&format!("{name} has {} bytes, {N} are needed", data.len())))
}

impl TryFrom<NativeKeys> for Keys {
    type Error = Error;

    fn try_from(n: NativeKeys) -> Result<Self> {
        Ok(Self {
            retry: n.retry_keys.iter().map(|k| key("a retry key", k)).collect::<Result<_>>()?,
            reset: n.reset_key.map(|k| key("the reset key", &k)).transpose()?,
            server_id: n.server_id.map(|s| s.to_vec()).unwrap_or_default(),
            cid: n.cid_key.map(|k| key("the connection id key", &k)).transpose()?,
            generation: n.generation.unwrap_or(0) as u8,
        })
    }
}

/// Ranges like 192.0.2.0/24.
#[napi(object)]
pub struct NativeDirect {
    pub refuse: Vec<String>,
    pub allow: Vec<String>,
    pub left_out: Vec<String>,
    pub min_silence_ms: Option<f64>,
}

impl TryFrom<NativeDirect> for DirectOptions {
    type Error = Error;

    fn try_from(n: NativeDirect) -> Result<Self> {
        let silence = n.min_silence_ms.map(|v| Duration::from_millis(v.max(0.0) as u64));
        let min_silence = silence.unwrap_or(Self::default().min_silence);
        let left_out = addresses(&n.left_out)?;
        Ok(Self { refuse: ranges(&n.refuse)?, allow: ranges(&n.allow)?, left_out, min_silence })
    }
}

pub(crate) fn addresses(list: &[String]) -> Result<Vec<IpAddr>> {
    let read = |text: &String| text.parse().map_err(|_| option_error(&format!("{text:?} is no address")));
    list.iter().map(read).collect()
}

pub(crate) fn ranges(list: &[String]) -> Result<Vec<Cidr>> {
    list.iter().map(|r| r.parse().map_err(|e: String| option_error(&e))).collect()
}

#[napi(object)]
pub struct NativeEndpointOptions {
    pub listen: String,
    pub tls: NativeTls,
    pub server: Option<NativeServer>,
    pub inner_server: Option<NativeServer>,
    pub keys: NativeKeys,
    pub busy_poll_us: Option<u32>,
    pub direct: Option<NativeDirect>,
}

impl TryFrom<NativeEndpointOptions> for EndpointOptions {
    type Error = Error;

    fn try_from(n: NativeEndpointOptions) -> Result<Self> {
        Ok(Self {
            listen: super::address("listen", &n.listen)?,
            tls: n.tls.into(),
            server: n.server.map(TryInto::try_into).transpose()?,
            inner_server: n.inner_server.map(TryInto::try_into).transpose()?,
            keys: n.keys.try_into()?,
            busy_poll: n.busy_poll_us.map_or(BUSY_POLL, |us| Duration::from_micros(us.into())),
            direct: n.direct.map(TryInto::try_into).transpose()?,
            unread_window: UNREAD_WINDOW,
        })
    }
}
