//! What crosses between the owner of an engine and its thread: commands and events.

use super::cidr::Cidr;
use super::options::TransportOptions;
use super::path_info::{PathChange, PathInfo};
use crate::tls::TlsMaterial;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Names an object of one engine. Ids below [`REMOTE`] are chosen by the owner, those with the bit set
/// by the engine (for what peers open). An id is never used twice.
pub type Id = u32;

/// Set in the ids that the engine chooses.
pub const REMOTE: Id = 0x8000_0000;

/// Two byte strings that say to which channel a datagram of a connection belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePrefix {
    /// Before a whole payload.
    pub whole: Bytes,
    /// Before `[packet id u16, index | last u8, bytes]`.
    pub fragment: Bytes,
}

/// Orders. Those with a `request` are answered by the event of the same name.
pub enum Command {
    Connect {
        conn: Id,
        remote: SocketAddr,
        server_name: String,
        alpn: Vec<Vec<u8>>,
        transport: TransportOptions,
    },
    /// The owner has looked at the peer's identity: streams and datagrams may be delivered.
    Accept {
        conn: Id,
    },
    Close {
        conn: Id,
        code: u64,
        reason: Bytes,
    },
    /// The owner counts the streams that it opens, so it knows the id: 4 n, plus 1 for a server, plus 2 for
    /// unidirectional ones (RFC 9000 §2.1). Until the peer allows the stream, what is written waits.
    OpenStream {
        conn: Id,
        stream: u64,
    },
    Read {
        conn: Id,
        stream: u64,
        max: usize,
    },
    Write {
        conn: Id,
        stream: u64,
        data: Bytes,
        finish: bool,
        report: bool,
    },
    ResetStream {
        conn: Id,
        stream: u64,
        code: u64,
    },
    StopStream {
        conn: Id,
        stream: u64,
        code: u64,
    },
    SendDatagram {
        conn: Id,
        data: Bytes,
    },
    Ping {
        conn: Id,
    },
    Paths {
        conn: Id,
        request: u32,
    },
    OpenPath {
        conn: Id,
        remote: SocketAddr,
        backup: bool,
        request: u32,
    },
    SetPathStatus {
        conn: Id,
        path: u32,
        backup: bool,
    },
    ClosePath {
        conn: Id,
        path: u32,
    },
    /// Turns direct paths on and shows the peer these addresses, in place of those shown before. `None` turns
    /// them off and closes them; off is how a connection begins.
    SetCandidates {
        conn: Id,
        addresses: Option<Vec<SocketAddr>>,
    },
    /// Has both sides probe each other's candidates; on the client's side only. Too often, it is not done.
    Probe {
        conn: Id,
    },
    /// Addresses or routes of the host are others now.
    NetworkChanged,
    /// Ranges in place of those that the endpoint was made with; direct paths that they refuse are closed.
    SetDirectFilter {
        refuse: Vec<Cidr>,
        allow: Vec<Cidr>,
        left_out: Vec<IpAddr>,
    },
    Reload {
        tls: TlsMaterial,
        request: u32,
    },
    AddRule {
        rule: Id,
        from: Id,
        to: Id,
        matches: FramePrefix,
        rewrite: FramePrefix,
        max_bytes_per_second: Option<u64>,
    },
    RemoveRule {
        rule: Id,
    },
    RuleStats {
        rule: Id,
        request: u32,
    },
    /// Adds the path, or moves it to another carrier when it exists.
    SetVirtualPath {
        path: Id,
        carrier: Id,
        send: FramePrefix,
        receive: FramePrefix,
    },
    RemoveVirtualPath {
        path: Id,
    },
    ListenTcp {
        listener: Id,
        listener_socket: std::net::TcpListener,
    },
    DialTcp {
        socket: Id,
        remote: SocketAddr,
        timeout: Duration,
    },
    TcpRead {
        socket: Id,
        max: usize,
    },
    TcpWrite {
        socket: Id,
        data: Bytes,
        report: bool,
    },
    TcpClose {
        socket: Id,
        reset: bool,
    },
    /// Dials, and on success sends `preamble` on the stream and joins both directions. `first` goes to the
    /// socket before what the stream still holds. A failure leaves the stream as it was.
    SpliceDial {
        conn: Id,
        stream: u64,
        socket: Id,
        remote: SocketAddr,
        timeout: Duration,
        preamble: Bytes,
        first: Bytes,
    },
    /// TCP to stream. `first` goes before what the socket still holds.
    SpliceSend {
        conn: Id,
        stream: u64,
        socket: Id,
        first: Bytes,
    },
    /// Stream to TCP. `first` goes before what the stream still holds. What comes must begin with `expect`,
    /// which is taken off; if it does not, nothing is joined.
    SpliceReceive {
        conn: Id,
        stream: u64,
        socket: Id,
        first: Bytes,
        expect: Bytes,
    },
    ListenUdp {
        listener: Id,
        udp_socket: std::net::UdpSocket,
        socks: bool,
    },
    BindUdpPeer {
        flow: Id,
        listener: Id,
        peer: Id,
        conn: Id,
        prefix: FramePrefix,
        idle: Duration,
    },
    RejectUdpPeer {
        listener: Id,
        peer: Id,
    },
    DialUdp {
        flow: Id,
        udp_socket: std::net::UdpSocket,
        conn: Id,
        prefix: FramePrefix,
        idle: Duration,
    },
    CloseUdpFlow {
        flow: Id,
    },
    UdpFlowStats {
        flow: Id,
        request: u32,
    },
    CloseListener {
        listener: Id,
    },
    ConnectionStats {
        conn: Id,
        request: u32,
    },
    Stats {
        request: u32,
    },
    /// Closes every connection, says goodbye to the peers, ends the thread.
    Shutdown {
        code: u64,
        reason: Bytes,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseKind {
    Local,
    Peer,
    Timeout,
    Reset,
    Transport,
    Tls,
}

impl CloseKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Peer => "peer",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Transport => "transport",
            Self::Tls => "tls",
        }
    }
}

/// How reading or writing ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The peer reset the stream, or asked to stop.
    Code(u64),
    Closed,
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    Connected {
        conn: Id,
        is_server: bool,
        remote: SocketAddr,
        /// Accepted over this virtual path.
        via: Option<Id>,
        alpn: Vec<u8>,
        /// DER, leaf first.
        peer_chain: Vec<Vec<u8>>,
        resumed: bool,
        max_datagram: usize,
    },
    Closed {
        conn: Id,
        kind: CloseKind,
        code: Option<u64>,
        reason: String,
    },
    StreamOpened {
        conn: Id,
        stream: u64,
        bidi: bool,
        /** Peer's; the first bytes come along. */
        first: Bytes,
    },
    /// Answer to `Read`: bytes, the end (`None`), or a cut.
    Read {
        conn: Id,
        stream: u64,
        data: Result<Option<Bytes>, Cut>,
    },
    /// Everything given to `Write` with `report` has been taken by the transport, or the stream is cut.
    Written {
        conn: Id,
        stream: u64,
        cut: Option<Cut>,
    },
    Datagrams {
        conn: Id,
        batch: Vec<Bytes>,
    },
    ObservedAddress {
        conn: Id,
        address: SocketAddr,
    },
    PeerAddress {
        conn: Id,
        address: SocketAddr,
    },
    Stalled {
        conn: Id,
    },
    Recovered {
        conn: Id,
    },
    Path {
        conn: Id,
        path: u32,
        is_virtual: bool,
        remote: SocketAddr,
        local: Option<IpAddr>,
        change: PathChange,
    },
    /// Where the peer says it might be reached, all that there is now.
    Candidates {
        conn: Id,
        addresses: Vec<SocketAddr>,
    },
    /// Both directions of a stream that was not spliced are over.
    StreamClosed {
        conn: Id,
        stream: u64,
    },
    MaxDatagram {
        conn: Id,
        size: usize,
    },
    TcpAccepted {
        listener: Id,
        socket: Id,
        remote: SocketAddr,
    },
    TcpConnected {
        socket: Id,
        error: Option<std::io::ErrorKind>,
    },
    TcpRead {
        socket: Id,
        data: Result<Option<Bytes>, std::io::ErrorKind>,
    },
    TcpWritten {
        socket: Id,
        error: Option<std::io::ErrorKind>,
    },
    SpliceDone {
        conn: Id,
        stream: u64,
        sent: u64,
        received: u64,
        end: SpliceEnd,
    },
    /// Whether the stream began as `SpliceReceive` expected.
    SpliceMatched {
        conn: Id,
        stream: u64,
        matched: bool,
    },
    UdpPeer {
        listener: Id,
        peer: Id,
        remote: SocketAddr,
        header: Bytes,
    },
    UdpFlowClosed {
        flow: Id,
        end: UdpEnd,
        stats: UdpFlowStats,
    },
    Reloaded {
        request: u32,
        error: Option<String>,
    },
    Paths {
        request: u32,
        paths: Vec<PathInfo>,
    },
    OpenedPath {
        request: u32,
        path: Result<u32, String>,
    },
    RuleStats {
        request: u32,
        stats: Option<ForwardStats>,
    },
    UdpFlowStats {
        request: u32,
        stats: Option<UdpFlowStats>,
    },
    ConnectionStats {
        request: u32,
        stats: Option<ConnectionStats>,
    },
    Stats {
        request: u32,
        stats: EndpointStats,
    },
    /// The thread is gone; nothing follows.
    Stopped {
        error: Option<String>,
    },
}

/// How both directions of a splice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceEnd {
    Finished,
    TcpReset,
    StreamReset,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpEnd {
    Idle,
    Error,
    Closed,
}

/// Datagrams that went through, and those dropped, by cause.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForwardStats {
    pub forwarded: u64,
    pub bytes: u64,
    pub dropped_queue: u64,
    pub dropped_codel: u64,
    pub dropped_rate: u64,
    pub dropped_too_large: u64,
    pub dropped_closed: u64,
    pub queued_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct UdpFlowStats {
    pub sent: u64,
    pub sent_bytes: u64,
    pub received: u64,
    pub received_bytes: u64,
    pub dropped: u64,
}

#[derive(Debug, Clone, Default)]
pub struct ConnectionStats {
    pub paths: Vec<PathInfo>,
    pub datagrams_sent: u64,
    pub datagrams_received: u64,
    pub dropped: Vec<(&'static str, u64)>,
}

#[derive(Debug, Clone, Default)]
pub struct EndpointStats {
    pub connections: usize,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_calls: u64,
    pub tx_calls: u64,
    pub send_errors: u64,
    /// Bytes granted to peers beyond the windows of their connections, for streams that are not read.
    pub unread_granted: u64,
    pub drops: Vec<(&'static str, u64)>,
    pub thread_cpu: Duration,
    pub loops: u64,
}
