//! What connections report, and what the owner orders.

use super::addr;
use super::core::Engine;
use super::datagrams::Rule;
use super::path_info::path_number;
use super::tcp::Join;
use super::types::{CloseKind, Command, ConnectionStats, Event, Id};
use crate::tls;
use noq_proto as q;
use std::time::Instant;

impl Engine {
    pub(crate) fn connection_events(&mut self, id: Id) {
        while let Some(event) = self.conns.get_mut(&id).and_then(|c| c.q.poll()) {
            match event {
                q::Event::Connected => self.on_connected(id),
                q::Event::ConnectionLost { reason } => self.on_lost(id, &reason),
                q::Event::Stream(event) => self.on_stream_event(id, event),
                q::Event::DatagramReceived => self.on_datagrams(id),
                q::Event::Path(event) => self.on_path_event(id, event),
                q::Event::HandshakeConfirmed => {
                    if let Some(c) = self.conns.get_mut(&id) {
                        c.confirmed = true;
                    }
                }
                q::Event::HandshakeDataReady | q::Event::DatagramsUnblocked => {}
                q::Event::NatTraversal(_) => self.candidates_told(id),
            }
        }
        self.notice_migration(id);
    }

    fn on_connected(&mut self, id: Id) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        c.established = true;
        let multipath = c.q.is_multipath_negotiated();
        c.refresh_max_datagram();
        c.reported_max_datagram = c.max_datagram;
        let session = c.q.crypto_session();
        let facts = tls::handshake_facts(session);
        let peer_chain = tls::peer_chain(session).iter().map(|c| c.as_ref().to_vec()).collect();
        let event = Event::Connected {
            conn: id,
            is_server: c.q.side().is_server(),
            remote: addr::unmap(c.peer),
            via: c.via,
            alpn: facts.as_ref().and_then(|f| f.alpn.clone()).unwrap_or_default(),
            peer_chain,
            resumed: facts.is_some_and(|f| f.resumed),
            max_datagram: c.max_datagram,
        };
        self.events.push(event);
        if multipath {
            self.path_established(id, q::PathId::ZERO);
        }
        self.handshake_over(id);
    }

    fn on_lost(&mut self, id: Id, reason: &q::ConnectionError) {
        let (kind, code) = close_kind(reason);
        self.end(id, kind, code, reason_text(reason));
    }

    fn on_stream_event(&mut self, id: Id, event: q::StreamEvent) {
        match event {
            q::StreamEvent::Opened { .. } => self.accept_streams(id),
            q::StreamEvent::Readable { id: stream } => self.on_readable(id, u64::from(stream)),
            q::StreamEvent::Writable { id: stream } => self.on_writable(id, u64::from(stream)),
            q::StreamEvent::Stopped { id: stream, error_code } => {
                self.on_stopped(id, u64::from(stream), error_code.into_inner())
            }
            q::StreamEvent::Available { .. } => self.open_waiting(id),
            q::StreamEvent::Finished { .. } => {}
        }
    }

    fn on_path_event(&mut self, conn: Id, event: q::PathEvent) {
        match event {
            q::PathEvent::Established { id, .. } => self.path_established(conn, id),
            q::PathEvent::Abandoned { id, reason, .. } => self.path_abandoned(conn, id, &reason),
            q::PathEvent::RemoteStatus { .. } => self.path_status_told(conn),
            q::PathEvent::ObservedAddr { addr: address, .. } => {
                self.events.push(Event::ObservedAddress { conn, address: addr::unmap(address) })
            }
            _ => {}
        }
    }

    /// noq has no event for it.
    fn notice_migration(&mut self, id: Id) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        let Ok(network) = c.q.network_path(q::PathId::ZERO) else { return };
        if network.remote() != c.peer {
            c.peer = network.remote();
            if c.established {
                self.events.push(Event::PeerAddress { conn: id, address: addr::unmap(network.remote()) });
            }
        }
    }

    pub(crate) fn execute(&mut self, command: Command) {
        match command {
            Command::Connect { conn, remote, server_name, alpn, transport } => {
                self.connect(conn, remote, &server_name, &alpn, &transport)
            }
            Command::Accept { conn } => self.accept(conn),
            Command::Close { conn, code, reason } => self.close(conn, code, reason),
            Command::OpenStream { conn, stream } => self.open_stream(conn, stream),
            Command::Read { conn, stream, max } => self.read(conn, stream, max),
            Command::Write { conn, stream, data, finish, report } => {
                self.write(conn, stream, data, finish, report)
            }
            Command::ResetStream { conn, stream, code } => self.reset_stream(conn, stream, code),
            Command::StopStream { conn, stream, code } => self.stop_stream(conn, stream, code),
            Command::SendDatagram { conn, data } => self.send_datagram(conn, data),
            Command::Ping { conn } => self.ping(conn),
            Command::Paths { conn, request } => {
                let paths = self.path_infos(conn);
                self.events.push(Event::Paths { request, paths });
            }
            Command::OpenPath { conn, remote, backup, request } => {
                self.open_path(conn, remote, backup, request)
            }
            Command::SetPathStatus { conn, path, backup } => self.set_path_status(conn, path, backup),
            Command::ClosePath { conn, path } => self.close_path(conn, path),
            Command::SetCandidates { conn, addresses } => self.set_candidates(conn, addresses),
            Command::Probe { conn } => self.probe(conn),
            Command::NetworkChanged => self.network_changed(),
            Command::SetDirectFilter { refuse, allow, left_out } => {
                self.set_direct_filter(refuse, allow, left_out)
            }
            Command::Reload { tls, request } => {
                let error = self.reload(&tls).err().map(|e| e.to_string());
                self.events.push(Event::Reloaded { request, error });
            }
            Command::AddRule { rule, from, to, matches, rewrite, max_bytes_per_second } => {
                self.add_rule(rule, Rule::new(from, to, matches, rewrite), max_bytes_per_second);
            }
            Command::RemoveRule { rule } => self.remove_rule(rule),
            Command::RuleStats { rule, request } => {
                let stats = self.rule_stats(rule);
                self.events.push(Event::RuleStats { request, stats });
            }
            Command::SetVirtualPath { path, carrier, send, receive } => {
                self.set_virtual_path(path, carrier, send, receive)
            }
            Command::RemoveVirtualPath { path } => self.remove_virtual_path(path),
            Command::ListenTcp { listener, listener_socket } => self.listen_tcp(listener, listener_socket),
            Command::DialTcp { socket, remote, timeout } => self.dial_tcp(socket, remote, timeout, None),
            Command::TcpRead { socket, max } => self.tcp_read(socket, max),
            Command::TcpWrite { socket, data, report } => self.tcp_write(socket, data, report),
            Command::TcpClose { socket, reset } => self.tcp_close(socket, reset),
            Command::SpliceSend { conn, stream, socket, first } => {
                self.splice_send(conn, stream, socket, first)
            }
            Command::SpliceReceive { conn, stream, socket, first, expect } => {
                self.splice_receive(conn, stream, socket, first, expect);
            }
            Command::SpliceDial { conn, stream, socket, remote, timeout, preamble, first } => {
                self.dial_tcp(socket, remote, timeout, Some(Join { conn, stream, preamble, first }));
            }
            Command::ListenUdp { listener, udp_socket, socks } => {
                self.listen_udp(listener, udp_socket, socks)
            }
            Command::BindUdpPeer { flow, listener, peer, conn, prefix, idle } => {
                self.bind_udp_peer(flow, listener, peer, conn, prefix, idle)
            }
            Command::RejectUdpPeer { listener, peer } => self.reject_udp_peer(listener, peer),
            Command::DialUdp { flow, udp_socket, conn, prefix, idle } => {
                self.dial_udp(flow, udp_socket, conn, prefix, idle)
            }
            Command::CloseUdpFlow { flow } => self.end_udp_flow(flow, super::types::UdpEnd::Closed),
            Command::UdpFlowStats { flow, request } => {
                let stats = self.udp_flow_stats(flow);
                self.events.push(Event::UdpFlowStats { request, stats });
            }
            Command::CloseListener { listener } => self.close_listener(listener),
            Command::ConnectionStats { conn, request } => {
                let stats = self.connection_stats(conn);
                self.events.push(Event::ConnectionStats { request, stats });
            }
            Command::Stats { request } => {
                let stats = self.stats();
                self.events.push(Event::Stats { request, stats });
            }
            Command::Shutdown { code, reason } => self.shutdown(code, &reason),
        }
    }

    fn accept(&mut self, id: Id) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        c.accepted = true;
        self.accept_streams(id);
        self.mark(id);
    }

    fn ping(&mut self, id: Id) {
        let Some(c) = self.conns.get_mut(&id) else { return };
        for path in c.q.paths() {
            let _ = c.q.ping_path(path);
        }
        self.mark(id);
    }

    fn open_path(&mut self, id: Id, remote: std::net::SocketAddr, backup: bool, request: u32) {
        let status = if backup { q::PathStatus::Backup } else { q::PathStatus::Available };
        let remote = addr::for_socket(remote, true);
        let refused = !addr::is_virtual(&remote) && self.permitted(vec![remote]).is_empty();
        let path = match self.conns.get_mut(&id) {
            Some(_) if refused => Err("direct paths may not lead there".into()),
            Some(c) => {
                let network = q::FourTuple::from_remote(remote);
                c.q.open_path_ensure(network, status, Instant::now())
                    .map(|(p, _)| path_number(p))
                    .map_err(|e| e.to_string())
            }
            None => Err("the connection is closed".into()),
        };
        self.events.push(Event::OpenedPath { request, path });
        self.mark(id);
    }

    fn set_path_status(&mut self, id: Id, path: u32, backup: bool) {
        let status = if backup { q::PathStatus::Backup } else { q::PathStatus::Available };
        if let Some(c) = self.conns.get_mut(&id) {
            let _ = c.q.set_path_status(q::PathId::from(path), status);
        }
        self.mark(id);
    }

    fn close_path(&mut self, id: Id, path: u32) {
        if let Some(c) = self.conns.get_mut(&id) {
            c.close_path(q::PathId::from(path), 0);
        }
        self.mark(id);
    }

    fn connection_stats(&mut self, id: Id) -> Option<ConnectionStats> {
        let paths = self.path_infos(id);
        let c = self.conns.get(&id)?;
        Some(ConnectionStats {
            paths,
            datagrams_sent: c.datagrams_sent,
            datagrams_received: c.datagrams_received,
            dropped: vec![
                ("too_large", c.drops.too_large),
                ("not_accepted", c.drops.not_accepted),
                ("owner_behind", c.drops.owner_behind),
                ("refused", c.drops.refused),
            ],
        })
    }
}

fn close_kind(reason: &q::ConnectionError) -> (CloseKind, Option<u64>) {
    /// TLS alerts travel as transport errors 0x100 to 0x1ff (RFC 9001 §4.8).
    fn transport(code: u64) -> (CloseKind, Option<u64>) {
        let kind = if code >> 8 == 1 { CloseKind::Tls } else { CloseKind::Transport };
        (kind, Some(code))
    }
    match reason {
        q::ConnectionError::VersionMismatch | q::ConnectionError::CidsExhausted => {
            (CloseKind::Transport, None)
        }
        q::ConnectionError::TransportError(e) => transport(u64::from(e.code)),
        q::ConnectionError::ConnectionClosed(c) => transport(u64::from(c.error_code)),
        q::ConnectionError::ApplicationClosed(c) => (CloseKind::Peer, Some(c.error_code.into_inner())),
        q::ConnectionError::Reset => (CloseKind::Reset, None),
        q::ConnectionError::TimedOut => (CloseKind::Timeout, None),
        q::ConnectionError::LocallyClosed => (CloseKind::Local, None),
    }
}

fn reason_text(reason: &q::ConnectionError) -> String {
    match reason {
        q::ConnectionError::ApplicationClosed(c) => String::from_utf8_lossy(&c.reason).into_owned(),
        other => other.to_string(),
    }
}
