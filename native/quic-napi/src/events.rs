//! Events for TypeScript: a discriminated union over `type`.

use super::buffer;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use std::io::ErrorKind;
use ztna_quic::engine::{
    ConnectionStats, Cut, EndpointStats, Event, ForwardStats, PathChange, PathInfo, SpliceEnd, StartError,
    UdpEnd, UdpFlowStats,
};

#[napi(object)]
pub struct NativePath {
    pub id: u32,
    pub is_virtual: bool,
    pub remote: String,
    pub local: Option<String>,
    pub rtt_ms: f64,
    pub min_rtt_ms: Option<f64>,
    pub mtu: u32,
    pub lost_packets: f64,
    pub sent_packets: f64,
    pub congestion_window: f64,
    pub backup: bool,
    pub dead: bool,
}

#[napi(object)]
pub struct NativeCount {
    pub name: String,
    pub count: f64,
}

#[napi(object)]
pub struct NativeForwardStats {
    pub forwarded: f64,
    pub bytes: f64,
    pub dropped: Vec<NativeCount>,
    pub queued_bytes: f64,
}

#[napi(object)]
pub struct NativeUdpFlowStats {
    pub sent: f64,
    pub sent_bytes: f64,
    pub received: f64,
    pub received_bytes: f64,
    pub dropped: f64,
}

#[napi(object)]
pub struct NativeConnectionStats {
    pub paths: Vec<NativePath>,
    pub datagrams_sent: f64,
    pub datagrams_received: f64,
    pub dropped: Vec<NativeCount>,
}

#[napi(object)]
pub struct NativeEndpointStats {
    pub connections: u32,
    pub rx_packets: f64,
    pub tx_packets: f64,
    pub rx_calls: f64,
    pub tx_calls: f64,
    pub send_errors: f64,
    pub unread_granted: f64,
    pub drops: Vec<NativeCount>,
    pub thread_cpu_ms: f64,
    pub loops: f64,
}

/// `cut` is the code of the peer, or -1 when the stream or connection is closed.
#[napi(discriminant = "type", discriminant_case = "kebab-case")]
pub enum NativeEvent {
    Connected {
        conn: u32,
        is_server: bool,
        remote: String,
        via: Option<u32>,
        alpn: String,
        peer_chain: Vec<Buffer>,
        resumed: bool,
        max_datagram: u32,
    },
    Closed {
        conn: u32,
        kind: String,
        code: Option<f64>,
        reason: String,
    },
    StreamOpened {
        conn: u32,
        stream: f64,
        bidi: bool,
        first: Buffer,
    },
    /// No data and no cut: the end.
    Read {
        conn: u32,
        stream: f64,
        data: Option<Buffer>,
        cut: Option<f64>,
    },
    Written {
        conn: u32,
        stream: f64,
        cut: Option<f64>,
    },
    Datagrams {
        conn: u32,
        batch: Vec<Buffer>,
    },
    ObservedAddress {
        conn: u32,
        address: String,
    },
    PeerAddress {
        conn: u32,
        address: String,
    },
    Stalled {
        conn: u32,
    },
    Recovered {
        conn: u32,
    },
    /// `change` is one of opened, closed, status, dead, alive, moved. `backup` comes with opened and status,
    /// `reason` with closed: local, peer, timeout, dead, network.
    Path {
        conn: u32,
        path: u32,
        change: String,
        is_virtual: bool,
        remote: String,
        local: Option<String>,
        backup: Option<bool>,
        reason: Option<String>,
    },
    Candidates {
        conn: u32,
        addresses: Vec<String>,
    },
    StreamClosed {
        conn: u32,
        stream: f64,
    },
    MaxDatagram {
        conn: u32,
        size: u32,
    },
    TcpAccepted {
        listener: u32,
        socket: u32,
        remote: String,
    },
    /// `error` is one of refused, unreachable, timeout, reset, closed, other.
    TcpConnected {
        socket: u32,
        error: Option<String>,
    },
    /// No data and no error: the end.
    TcpRead {
        socket: u32,
        data: Option<Buffer>,
        error: Option<String>,
    },
    TcpWritten {
        socket: u32,
        error: Option<String>,
    },
    SpliceDone {
        conn: u32,
        stream: f64,
        sent: f64,
        received: f64,
        end: String,
    },
    SpliceMatched {
        conn: u32,
        stream: f64,
        matched: bool,
    },
    UdpPeer {
        listener: u32,
        peer: u32,
        remote: String,
        header: Buffer,
    },
    UdpFlowClosed {
        flow: u32,
        end: String,
        stats: NativeUdpFlowStats,
    },
    Reloaded {
        request: u32,
        error: Option<String>,
    },
    Paths {
        request: u32,
        paths: Vec<NativePath>,
    },
    OpenedPath {
        request: u32,
        path: Option<u32>,
        error: Option<String>,
    },
    RuleStats {
        request: u32,
        stats: Option<NativeForwardStats>,
    },
    UdpFlowStats {
        request: u32,
        stats: Option<NativeUdpFlowStats>,
    },
    ConnectionStats {
        request: u32,
        stats: Option<NativeConnectionStats>,
    },
    Stats {
        request: u32,
        stats: NativeEndpointStats,
    },
    Stopped {
        error: Option<String>,
    },
}

impl From<Event> for NativeEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Connected { conn, is_server, remote, via, alpn, peer_chain, resumed, max_datagram } => {
                Self::Connected {
                    conn,
                    is_server,
                    remote: remote.to_string(),
                    via,
                    alpn: String::from_utf8_lossy(&alpn).into_owned(),
                    peer_chain: peer_chain.into_iter().map(Buffer::from).collect(),
                    resumed,
                    max_datagram: max_datagram as u32,
                }
            }
            Event::Closed { conn, kind, code, reason } => {
                Self::Closed { conn, kind: kind.name().into(), code: code.map(|c| c as f64), reason }
            }
            Event::StreamOpened { conn, stream, bidi, first } => {
                Self::StreamOpened { conn, stream: stream as f64, bidi, first: buffer(&first) }
            }
            Event::Read { conn, stream, data } => {
                let (data, cut) = match data {
                    Ok(data) => (data.as_ref().map(buffer), None),
                    Err(c) => (None, Some(cut(c))),
                };
                Self::Read { conn, stream: stream as f64, data, cut }
            }
            Event::Written { conn, stream, cut: c } => {
                Self::Written { conn, stream: stream as f64, cut: c.map(cut) }
            }
            Event::Datagrams { conn, batch } => {
                Self::Datagrams { conn, batch: batch.iter().map(buffer).collect() }
            }
            Event::ObservedAddress { conn, address } => {
                Self::ObservedAddress { conn, address: address.to_string() }
            }
            Event::PeerAddress { conn, address } => Self::PeerAddress { conn, address: address.to_string() },
            Event::Stalled { conn } => Self::Stalled { conn },
            Event::Recovered { conn } => Self::Recovered { conn },
            Event::Path { conn, path, is_virtual, remote, local, change } => {
                let (name, backup, reason) = path_change(change);
                Self::Path {
                    conn,
                    path,
                    change: name.into(),
                    is_virtual,
                    remote: remote.to_string(),
                    local: local.map(|ip| ip.to_string()),
                    backup,
                    reason: reason.map(str::to_owned),
                }
            }
            Event::Candidates { conn, addresses } => {
                Self::Candidates { conn, addresses: addresses.iter().map(ToString::to_string).collect() }
            }
            Event::StreamClosed { conn, stream } => Self::StreamClosed { conn, stream: stream as f64 },
            Event::MaxDatagram { conn, size } => Self::MaxDatagram { conn, size: size as u32 },
            Event::TcpAccepted { listener, socket, remote } => {
                Self::TcpAccepted { listener, socket, remote: remote.to_string() }
            }
            Event::TcpConnected { socket, error } => {
                Self::TcpConnected { socket, error: error.map(io_error) }
            }
            Event::TcpRead { socket, data } => match data {
                Ok(data) => Self::TcpRead { socket, data: data.as_ref().map(buffer), error: None },
                Err(e) => Self::TcpRead { socket, data: None, error: Some(io_error(e)) },
            },
            Event::TcpWritten { socket, error } => Self::TcpWritten { socket, error: error.map(io_error) },
            Event::SpliceDone { conn, stream, sent, received, end } => Self::SpliceDone {
                conn,
                stream: stream as f64,
                sent: sent as f64,
                received: received as f64,
                end: splice_end(end).into(),
            },
            Event::SpliceMatched { conn, stream, matched } => {
                Self::SpliceMatched { conn, stream: stream as f64, matched }
            }
            Event::UdpPeer { listener, peer, remote, header } => {
                Self::UdpPeer { listener, peer, remote: remote.to_string(), header: buffer(&header) }
            }
            Event::UdpFlowClosed { flow, end, stats } => {
                Self::UdpFlowClosed { flow, end: udp_end(end).into(), stats: udp_flow_stats(stats) }
            }
            Event::Reloaded { request, error } => Self::Reloaded { request, error },
            Event::Paths { request, paths } => {
                Self::Paths { request, paths: paths.iter().map(path).collect() }
            }
            Event::OpenedPath { request, path } => match path {
                Ok(path) => Self::OpenedPath { request, path: Some(path), error: None },
                Err(error) => Self::OpenedPath { request, path: None, error: Some(error) },
            },
            Event::RuleStats { request, stats } => {
                Self::RuleStats { request, stats: stats.map(forward_stats) }
            }
            Event::UdpFlowStats { request, stats } => {
                Self::UdpFlowStats { request, stats: stats.map(udp_flow_stats) }
            }
            Event::ConnectionStats { request, stats } => {
                Self::ConnectionStats { request, stats: stats.as_ref().map(connection_stats) }
            }
            Event::Stats { request, stats } => Self::Stats { request, stats: endpoint_stats(&stats) },
            Event::Stopped { error } => Self::Stopped { error },
        }
    }
}

fn path_change(change: PathChange) -> (&'static str, Option<bool>, Option<&'static str>) {
    match change {
        PathChange::Opened { backup } => ("opened", Some(backup), None),
        PathChange::Closed { reason } => ("closed", None, Some(reason)),
        PathChange::Status { backup } => ("status", Some(backup), None),
        PathChange::Dead => ("dead", None, None),
        PathChange::Alive => ("alive", None, None),
        PathChange::Moved => ("moved", None, None),
    }
}

fn cut(cut: Cut) -> f64 {
    match cut {
        Cut::Code(code) => code as f64,
        Cut::Closed => -1.0,
    }
}

fn io_error(kind: ErrorKind) -> String {
    let name = match kind {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable
        | ErrorKind::PermissionDenied => "unreachable",
        ErrorKind::TimedOut => "timeout",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => "reset",
        ErrorKind::NotConnected => "closed",
        _ => "other",
    };
    name.into()
}

fn splice_end(end: SpliceEnd) -> &'static str {
    match end {
        SpliceEnd::Finished => "finished",
        SpliceEnd::TcpReset => "tcp-reset",
        SpliceEnd::StreamReset => "stream-reset",
        SpliceEnd::Closed => "closed",
    }
}

fn udp_end(end: UdpEnd) -> &'static str {
    match end {
        UdpEnd::Idle => "idle",
        UdpEnd::Error => "error",
        UdpEnd::Closed => "closed",
    }
}

fn path(p: &PathInfo) -> NativePath {
    NativePath {
        id: p.id,
        is_virtual: p.is_virtual,
        remote: p.remote.to_string(),
        local: p.local.map(|ip| ip.to_string()),
        rtt_ms: p.rtt.as_secs_f64() * 1000.0,
        min_rtt_ms: p.min_rtt.map(|r| r.as_secs_f64() * 1000.0),
        mtu: u32::from(p.mtu),
        lost_packets: p.lost_packets as f64,
        sent_packets: p.sent_packets as f64,
        congestion_window: p.congestion_window as f64,
        backup: p.backup,
        dead: p.dead,
    }
}

fn counts(pairs: &[(&'static str, u64)]) -> Vec<NativeCount> {
    pairs.iter().map(|(name, count)| NativeCount { name: (*name).into(), count: *count as f64 }).collect()
}

fn forward_stats(s: ForwardStats) -> NativeForwardStats {
    let dropped = [
        ("queue", s.dropped_queue),
        ("codel", s.dropped_codel),
        ("rate", s.dropped_rate),
        ("too_large", s.dropped_too_large),
        ("closed", s.dropped_closed),
    ];
    NativeForwardStats {
        forwarded: s.forwarded as f64,
        bytes: s.bytes as f64,
        dropped: counts(&dropped),
        queued_bytes: s.queued_bytes as f64,
    }
}

fn udp_flow_stats(s: UdpFlowStats) -> NativeUdpFlowStats {
    NativeUdpFlowStats {
        sent: s.sent as f64,
        sent_bytes: s.sent_bytes as f64,
        received: s.received as f64,
        received_bytes: s.received_bytes as f64,
        dropped: s.dropped as f64,
    }
}

fn connection_stats(s: &ConnectionStats) -> NativeConnectionStats {
    NativeConnectionStats {
        paths: s.paths.iter().map(path).collect(),
        datagrams_sent: s.datagrams_sent as f64,
        datagrams_received: s.datagrams_received as f64,
        dropped: counts(&s.dropped),
    }
}

fn endpoint_stats(s: &EndpointStats) -> NativeEndpointStats {
    NativeEndpointStats {
        connections: s.connections as u32,
        rx_packets: s.rx_packets as f64,
        tx_packets: s.tx_packets as f64,
        rx_calls: s.rx_calls as f64,
        tx_calls: s.tx_calls as f64,
        send_errors: s.send_errors as f64,
        unread_granted: s.unread_granted as f64,
        drops: counts(&s.drops),
        thread_cpu_ms: s.thread_cpu.as_secs_f64() * 1000.0,
        loops: s.loops as f64,
    }
}

/// "CODE: text", which packages/quic takes apart again.
pub(crate) fn start_error(error: &StartError) -> String {
    let code = match error {
        StartError::Bind { .. } => "ERR_BIND",
        StartError::Tls(_) => "ERR_TLS_CONFIG",
        StartError::Options(_) => "ERR_INVALID_ARG",
        StartError::System(_) => "ERR_INTERNAL",
    };
    format!("{code}: {error}")
}
