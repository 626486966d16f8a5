//! Node binding of `ztna-quic`: translation only. Ids are chosen in TypeScript, events are collected with
//! `drain` after the wake-up callback. Start reading in packages/quic.

mod events;
mod options;

use bytes::Bytes;
use napi::bindgen_prelude::{Buffer, Error, Function, Result, Uint8Array};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use std::net::SocketAddr;
use std::time::Duration;
use ztna_quic::engine::{self, Command, Handle};

use events::NativeEvent;
use options::{NativeEndpointOptions, NativePrefix, NativeTls, NativeTransport};

/// One UDP socket and everything on it. All calls return at once.
#[napi]
pub struct NativeEndpoint {
    handle: Option<Handle>,
    local_address: String,
}

fn invalid(what: &str, value: &str) -> Error {
    Error::from_reason(format!(
        "ERR_INVALID_ARG: {what} {value:?} is not an address like 192.0.2.1:443 or [2001:db8::1]:443"
    ))
}

fn address(what: &str, value: &str) -> Result<SocketAddr> {
    value.parse().map_err(|_| invalid(what, value))
}

fn bytes(data: &Uint8Array) -> Bytes {
    Bytes::copy_from_slice(data)
}

fn unsigned(value: f64) -> u64 {
    value.max(0.0) as u64
}

fn millis(value: f64) -> Duration {
    Duration::from_millis(unsigned(value))
}

#[napi]
impl NativeEndpoint {
    /// Binds and starts the thread. `wake` is called at most once between two calls of `drain`; it does
    /// not keep the process alive.
    #[napi(constructor)]
    pub fn new(options: NativeEndpointOptions, wake: Function<'_, (), ()>) -> Result<Self> {
        let tsfn = wake.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        let options = options.try_into()?;
        let handle = engine::spawn(options, move || {
            tsfn.call((), ThreadsafeFunctionCallMode::NonBlocking);
        })
        .map_err(|e| Error::from_reason(events::start_error(&e)))?;
        let local_address = handle.local_addr().to_string();
        Ok(Self { handle: Some(handle), local_address })
    }

    fn send(&self, command: Command) {
        if let Some(handle) = &self.handle {
            handle.queue(command);
        }
    }

    /// Has the orders given so far carried out. Waking the thread is what costs, so one call serves all the
    /// orders of a turn.
    #[napi]
    pub fn flush(&self) {
        if let Some(handle) = &self.handle {
            handle.flush();
        }
    }

    #[napi(getter)]
    pub fn local_address(&self) -> String {
        self.local_address.clone()
    }

    /// Everything that has happened since the last call, in order.
    #[napi]
    pub fn drain(&self) -> Vec<NativeEvent> {
        self.handle
            .as_ref()
            .map(|h| h.drain().into_iter().map(NativeEvent::from).collect())
            .unwrap_or_default()
    }

    #[napi]
    pub fn connect(
        &self,
        conn: u32,
        remote: String,
        server_name: String,
        alpn: Vec<String>,
        transport: NativeTransport,
    ) -> Result<()> {
        let remote = address("remote", &remote)?;
        let alpn = alpn.into_iter().map(String::into_bytes).collect();
        self.send(Command::Connect { conn, remote, server_name, alpn, transport: transport.try_into()? });
        Ok(())
    }

    #[napi]
    pub fn accept(&self, conn: u32) {
        self.send(Command::Accept { conn });
    }

    #[napi]
    pub fn close(&self, conn: u32, code: f64, reason: String) {
        self.send(Command::Close { conn, code: unsigned(code), reason: Bytes::from(reason) });
    }

    /// `stream` is the id that QUIC will give it: the caller counts the streams that it opens.
    #[napi]
    pub fn open_stream(&self, conn: u32, stream: f64) {
        self.send(Command::OpenStream { conn, stream: unsigned(stream) });
    }

    #[napi]
    pub fn read(&self, conn: u32, stream: f64, max: u32) {
        self.send(Command::Read { conn, stream: unsigned(stream), max: max as usize });
    }

    #[napi]
    pub fn write(&self, conn: u32, stream: f64, data: Uint8Array, finish: bool, report: bool) {
        self.send(Command::Write { conn, stream: unsigned(stream), data: bytes(&data), finish, report });
    }

    #[napi]
    pub fn reset_stream(&self, conn: u32, stream: f64, code: f64) {
        self.send(Command::ResetStream { conn, stream: unsigned(stream), code: unsigned(code) });
    }

    #[napi]
    pub fn stop_stream(&self, conn: u32, stream: f64, code: f64) {
        self.send(Command::StopStream { conn, stream: unsigned(stream), code: unsigned(code) });
    }

    #[napi]
    pub fn send_datagram(&self, conn: u32, data: Uint8Array) {
        self.send(Command::SendDatagram { conn, data: bytes(&data) });
    }

    #[napi]
    pub fn ping(&self, conn: u32) {
        self.send(Command::Ping { conn });
    }

    #[napi]
    pub fn paths(&self, conn: u32, request: u32) {
        self.send(Command::Paths { conn, request });
    }

    #[napi]
    pub fn open_path(&self, conn: u32, remote: String, backup: bool, request: u32) -> Result<()> {
        self.send(Command::OpenPath { conn, remote: address("path", &remote)?, backup, request });
        Ok(())
    }

    #[napi]
    pub fn set_path_status(&self, conn: u32, path: u32, backup: bool) {
        self.send(Command::SetPathStatus { conn, path, backup });
    }

    #[napi]
    pub fn close_path(&self, conn: u32, path: u32) {
        self.send(Command::ClosePath { conn, path });
    }

    /// Without addresses direct paths are turned off, as they are at first.
    #[napi]
    pub fn set_candidates(&self, conn: u32, addresses: Option<Vec<String>>) -> Result<()> {
        let parse = |list: Vec<String>| list.iter().map(|a| address("candidate", a)).collect();
        let addresses: Option<Vec<SocketAddr>> = addresses.map(parse).transpose()?;
        self.send(Command::SetCandidates { conn, addresses });
        Ok(())
    }

    #[napi]
    pub fn probe(&self, conn: u32) {
        self.send(Command::Probe { conn });
    }

    #[napi]
    pub fn network_changed(&self) {
        self.send(Command::NetworkChanged);
    }

    /// Ranges and addresses in place of those of the endpoint's options.
    #[napi]
    pub fn set_direct_filter(
        &self,
        refuse: Vec<String>,
        allow: Vec<String>,
        left_out: Vec<String>,
    ) -> Result<()> {
        let (refuse, allow) = (options::ranges(&refuse)?, options::ranges(&allow)?);
        let left_out = options::addresses(&left_out)?;
        self.send(Command::SetDirectFilter { refuse, allow, left_out });
        Ok(())
    }

    #[napi]
    pub fn reload(&self, tls: NativeTls, request: u32) {
        self.send(Command::Reload { tls: tls.into(), request });
    }

    #[napi]
    pub fn add_rule(
        &self,
        rule: u32,
        from: u32,
        to: u32,
        matches: NativePrefix,
        rewrite: NativePrefix,
        max_bytes_per_second: Option<f64>,
    ) {
        let rate = max_bytes_per_second.map(unsigned);
        self.send(Command::AddRule {
            rule,
            from,
            to,
            matches: matches.into(),
            rewrite: rewrite.into(),
            max_bytes_per_second: rate,
        });
    }

    #[napi]
    pub fn remove_rule(&self, rule: u32) {
        self.send(Command::RemoveRule { rule });
    }

    #[napi]
    pub fn rule_stats(&self, rule: u32, request: u32) {
        self.send(Command::RuleStats { rule, request });
    }

    /// Address of a virtual path, whether it exists yet or not.
    #[napi]
    pub fn virtual_path_address(&self, path: u32) -> String {
        engine::virtual_path_address(path).to_string()
    }

    #[napi]
    pub fn set_virtual_path(&self, path: u32, carrier: u32, send: NativePrefix, receive: NativePrefix) {
        self.send(Command::SetVirtualPath { path, carrier, send: send.into(), receive: receive.into() });
    }

    #[napi]
    pub fn remove_virtual_path(&self, path: u32) {
        self.send(Command::RemoveVirtualPath { path });
    }

    /// Binds a TCP listener and returns its address.
    #[napi]
    pub fn listen_tcp(&self, listener: u32, listen: String) -> Result<String> {
        let at = address("listen", &listen)?;
        let socket = std::net::TcpListener::bind(at).map_err(|e| bind_error(&listen, &e))?;
        let local = socket.local_addr().map_err(|e| bind_error(&listen, &e))?;
        self.send(Command::ListenTcp { listener, listener_socket: socket });
        Ok(local.to_string())
    }

    #[napi]
    pub fn dial_tcp(&self, socket: u32, remote: String, timeout_ms: f64) -> Result<()> {
        self.send(Command::DialTcp {
            socket,
            remote: address("backend", &remote)?,
            timeout: millis(timeout_ms),
        });
        Ok(())
    }

    #[napi]
    pub fn tcp_read(&self, socket: u32, max: u32) {
        self.send(Command::TcpRead { socket, max: max as usize });
    }

    #[napi]
    pub fn tcp_write(&self, socket: u32, data: Uint8Array, report: bool) {
        self.send(Command::TcpWrite { socket, data: bytes(&data), report });
    }

    #[napi]
    pub fn tcp_close(&self, socket: u32, reset: bool) {
        self.send(Command::TcpClose { socket, reset });
    }

    #[napi]
    pub fn splice_send(&self, conn: u32, stream: f64, socket: u32, first: Uint8Array) {
        self.send(Command::SpliceSend { conn, stream: unsigned(stream), socket, first: bytes(&first) });
    }

    #[napi]
    pub fn splice_receive(
        &self,
        conn: u32,
        stream: f64,
        socket: u32,
        first: Uint8Array,
        expect: Option<Uint8Array>,
    ) {
        let expect = expect.as_ref().map(bytes).unwrap_or_default();
        self.send(Command::SpliceReceive {
            conn,
            stream: unsigned(stream),
            socket,
            first: bytes(&first),
            expect,
        });
    }

    /// Answered by `tcp-connected`.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn splice_dial(
        &self,
        conn: u32,
        stream: f64,
        socket: u32,
        remote: String,
        timeout_ms: f64,
        preamble: Uint8Array,
        first: Uint8Array,
    ) -> Result<()> {
        self.send(Command::SpliceDial {
            conn,
            stream: unsigned(stream),
            socket,
            remote: address("backend", &remote)?,
            timeout: millis(timeout_ms),
            preamble: bytes(&preamble),
            first: bytes(&first),
        });
        Ok(())
    }

    /// Binds a UDP socket for local peers and returns its address.
    #[napi]
    pub fn listen_udp(&self, listener: u32, listen: String, socks: bool) -> Result<String> {
        let at = address("listen", &listen)?;
        let socket = std::net::UdpSocket::bind(at).map_err(|e| bind_error(&listen, &e))?;
        let local = socket.local_addr().map_err(|e| bind_error(&listen, &e))?;
        self.send(Command::ListenUdp { listener, udp_socket: socket, socks });
        Ok(local.to_string())
    }

    #[napi]
    pub fn bind_udp_peer(
        &self,
        flow: u32,
        listener: u32,
        peer: u32,
        conn: u32,
        prefix: NativePrefix,
        idle_ms: f64,
    ) {
        self.send(Command::BindUdpPeer {
            flow,
            listener,
            peer,
            conn,
            prefix: prefix.into(),
            idle: millis(idle_ms),
        });
    }

    #[napi]
    pub fn reject_udp_peer(&self, listener: u32, peer: u32) {
        self.send(Command::RejectUdpPeer { listener, peer });
    }

    #[napi]
    pub fn dial_udp(
        &self,
        flow: u32,
        remote: String,
        conn: u32,
        prefix: NativePrefix,
        idle_ms: f64,
    ) -> Result<()> {
        let at = address("backend", &remote)?;
        let udp_socket = engine::connected_udp_socket(at).map_err(|e| bind_error(&remote, &e))?;
        self.send(Command::DialUdp { flow, udp_socket, conn, prefix: prefix.into(), idle: millis(idle_ms) });
        Ok(())
    }

    #[napi]
    pub fn close_udp_flow(&self, flow: u32) {
        self.send(Command::CloseUdpFlow { flow });
    }

    #[napi]
    pub fn udp_flow_stats(&self, flow: u32, request: u32) {
        self.send(Command::UdpFlowStats { flow, request });
    }

    #[napi]
    pub fn close_listener(&self, listener: u32) {
        self.send(Command::CloseListener { listener });
    }

    #[napi]
    pub fn connection_stats(&self, conn: u32, request: u32) {
        self.send(Command::ConnectionStats { conn, request });
    }

    #[napi]
    pub fn stats(&self, request: u32) {
        self.send(Command::Stats { request });
    }

    /// Says goodbye to all peers and ends the thread; the last event is `stopped`.
    #[napi]
    pub fn shutdown(&self, code: f64, reason: String) {
        self.send(Command::Shutdown { code: unsigned(code), reason: Bytes::from(reason) });
    }
}

fn bind_error(listen: &str, error: &std::io::Error) -> Error {
    Error::from_reason(format!("ERR_BIND: cannot listen on {listen}: {error}"))
}

fn buffer(data: &Bytes) -> Buffer {
    Buffer::from(data.as_ref())
}
