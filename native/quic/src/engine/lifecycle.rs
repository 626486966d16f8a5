//! How connections begin and end.

use super::StartError;
use super::addr;
use super::configure;
use super::conn::Conn;
use super::core::{Engine, TimerKey};
use super::options::{RetryPolicy, TransportOptions};
use super::sources::Verdict;
use super::types::{CloseKind, Event, Id, REMOTE};
use super::under_way::{Origin, Via};
use super::watch::MIN_SILENCE;
use super::window::ReceiveWindow;
use crate::tls::{TlsContext, TlsMaterial};
use bytes::Bytes;
use noq_proto as q;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for peers to hear goodbye at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(300);

impl Engine {
    pub(super) fn incoming(
        &mut self,
        now: Instant,
        from: SocketAddr,
        incoming: q::Incoming,
        mut buffer: Vec<u8>,
    ) {
        let via = addr::virtual_id(&from);
        if via.is_none() && self.options.server.is_none() {
            // Accepting on virtual paths alone; strangers at the socket get no answer.
            self.ep.ignore(incoming);
            self.drops.strangers += 1;
            return;
        }
        let limits = self.options.server.as_ref().or(self.options.inner_server.as_ref());
        let max = limits.map_or(usize::MAX, |o| o.max_handshakes);
        let validated = incoming.remote_address_validated();
        let verdict = match self.sources.as_mut() {
            Some(limit) if via.is_none() => limit.judge(from.ip(), validated, now),
            _ => Verdict::Accept,
        };
        let carrier = |path| self.virtual_paths.get(&path).map_or(0, |v| v.carrier);
        let origin = Origin::of(from.ip(), validated, via.map(|path| Via { path, carrier: carrier(path) }));
        let has_its_share = self.under_way.is_full(origin, max);
        let must_validate = verdict == Verdict::Validate || has_its_share || self.wants_retry(max);
        if via.is_none() && !validated && must_validate {
            if let Ok(t) = self.ep.retry(incoming, &mut buffer) {
                self.send_packets(&t, &mut buffer, None);
            }
            return;
        }
        let inner = if via.is_some() { self.inner_server.clone() } else { None };
        let limited = verdict == Verdict::Refuse || has_its_share;
        let full =
            self.under_way.total() >= max || self.stop_at.is_some() || (via.is_some() && inner.is_none());
        if full || limited {
            self.drops.handshakes_limited += u64::from(limited);
            self.drops.handshakes_refused += u64::from(!limited);
            let t = self.ep.refuse(incoming, &mut buffer);
            self.send_packets(&t, &mut buffer, None);
            return;
        }
        match self.ep.accept(incoming, now, &mut buffer, inner) {
            Ok((handle, conn)) => {
                let id = self.new_remote_id();
                self.insert(id, handle, conn, via, from);
                self.under_way.begin(origin);
                if let Some(c) = self.conns.get_mut(&id) {
                    c.origin = Some(origin);
                    let inner = self.options.inner_server.as_ref();
                    c.window = inner.map(|o| ReceiveWindow::new(&o.transport)).unwrap_or_default();
                }
            }
            Err(e) => {
                if let Some(t) = e.response {
                    self.send_packets(&t, &mut buffer, None);
                }
            }
        }
    }

    fn wants_retry(&self, max_handshakes: usize) -> bool {
        match self.options.server.as_ref().map(|o| o.retry) {
            Some(RetryPolicy::Always) => true,
            Some(RetryPolicy::UnderLoad) => self.under_way.total() > max_handshakes / 4,
            Some(RetryPolicy::Never) | None => false,
        }
    }

    pub(crate) fn new_remote_id(&mut self) -> Id {
        let pending = |id: Id| self.udp_listeners.values().any(|l| l.awaits(id));
        let in_use = |id: Id| self.conns.contains_key(&id) || self.tcp.contains_key(&id) || pending(id);
        let id = next_free(self.next_remote, in_use);
        self.next_remote = id.wrapping_add(1) | REMOTE;
        id
    }

    fn insert(
        &mut self,
        id: Id,
        handle: q::ConnectionHandle,
        conn: q::Connection,
        via: Option<Id>,
        peer: SocketAddr,
    ) {
        let inner = addr::is_virtual(&peer);
        self.by_handle.insert(handle.0, id);
        let silence = self.options.direct.as_ref().map_or(MIN_SILENCE, |o| o.min_silence);
        self.conns.insert(id, Box::new(Conn::new(conn, handle, inner, via, peer, silence)));
        self.mark(id);
    }

    /// Removes a connection and all that hangs on it.
    pub(super) fn forget(&mut self, id: Id) {
        self.end(id, CloseKind::Local, None, String::new());
        let Some(c) = self.conns.remove(&id) else { return };
        self.by_handle.remove(&c.handle.0);
        self.inbox.forget(id);
        if let Some(at) = c.timer {
            self.timers.remove(&(at, TimerKey::Conn(id)));
        }
        self.unread_granted -= c.window.granted();
        self.detach(id, *c);
    }

    /// It is established or has ended; of a connection that was not accepted here there was none.
    pub(crate) fn handshake_over(&mut self, id: Id) {
        if let Some(origin) = self.conns.get_mut(&id).and_then(|c| c.origin.take()) {
            self.under_way.over(origin);
        }
    }

    /// Nothing goes through the connection from here on: the ends of its streams are told (with what they
    /// carried), then its own, once.
    pub(super) fn end(&mut self, id: Id, kind: CloseKind, code: Option<u64>, reason: String) {
        self.cut_streams(id);
        let Some(c) = self.conns.get_mut(&id).filter(|c| !c.closed_reported) else { return };
        c.closed_reported = true;
        self.handshake_over(id);
        self.report_closed(id, kind, code, reason);
    }

    /// Handshakes over this virtual path, which goes, have nowhere to go on.
    pub(crate) fn end_handshakes_over(&mut self, path: Id) {
        if !self.under_way.has(path) {
            return;
        }
        let over = |c: &Conn| c.via == Some(path) && c.origin.is_some();
        let all: Vec<Id> = self.conns.iter().filter(|(_, c)| over(c)).map(|(id, _)| *id).collect();
        for id in all {
            self.close(id, 0, Bytes::new());
        }
    }

    pub(crate) fn report_closed(&mut self, conn: Id, kind: CloseKind, code: Option<u64>, reason: String) {
        self.events.push(Event::Closed { conn, kind, code, reason });
    }

    pub(crate) fn connect(
        &mut self,
        conn: Id,
        remote: SocketAddr,
        server_name: &str,
        alpn: &[Vec<u8>],
        transport: &TransportOptions,
    ) {
        if let Err(reason) = self.try_connect(conn, remote, server_name, alpn, transport) {
            self.report_closed(conn, CloseKind::Local, None, reason);
        }
    }

    fn try_connect(
        &mut self,
        id: Id,
        remote: SocketAddr,
        name: &str,
        alpn: &[Vec<u8>],
        transport: &TransportOptions,
    ) -> Result<(), String> {
        let crypto = self.tls.client(alpn).map_err(|e| e.to_string())?;
        let mut config = q::ClientConfig::new(crypto);
        config.transport_config(Arc::new(configure::transport(transport).map_err(|e| e.to_string())?));
        let target = addr::for_socket(remote, true);
        if remote.ip().to_canonical().is_ipv6() && !self.udp.is_v6() && !addr::is_virtual(&target) {
            return Err(format!("{remote} is IPv6 but the socket is IPv4 only"));
        }
        let (handle, conn) =
            self.ep.connect(Instant::now(), config, target, name).map_err(|e| e.to_string())?;
        self.insert(id, handle, conn, None, target);
        if let Some(c) = self.conns.get_mut(&id) {
            c.window = ReceiveWindow::new(transport);
        }
        Ok(())
    }

    /// New handshakes use the new material. Tickets issued before are worthless, since each
    /// configuration has a ticket key and a session store of its own.
    pub(crate) fn reload(&mut self, material: &TlsMaterial) -> Result<(), StartError> {
        let tls = TlsContext::new(material, Default::default())?;
        let make =
            |o: &Option<_>| o.as_ref().map(|o| configure::server(&tls, o, &self.token_keys)).transpose();
        let server = make(&self.options.server)?;
        let inner = make(&self.options.inner_server)?;
        self.ep.set_server_config(server.or_else(|| inner.clone()));
        self.inner_server = inner;
        self.tls = tls;
        Ok(())
    }

    pub(crate) fn shutdown(&mut self, code: u64, reason: &Bytes) {
        self.stop_at = Some(Instant::now() + SHUTDOWN_GRACE);
        let all: Vec<Id> = self.conns.keys().copied().collect();
        // Inner connections first: their goodbye travels inside the others.
        let (inner, outer): (Vec<Id>, Vec<Id>) =
            all.into_iter().partition(|id| self.conns.get(id).is_some_and(|c| c.inner));
        for id in inner {
            self.close(id, code, reason.clone());
            self.serve_connection(id, Instant::now());
        }
        for id in outer {
            self.serve_connection(id, Instant::now());
            self.close(id, code, reason.clone());
        }
    }

    pub(crate) fn close(&mut self, id: Id, code: u64, reason: Bytes) {
        let code = q::VarInt::from_u64(code).unwrap_or(q::VarInt::MAX);
        let Some(c) = self.conns.get_mut(&id) else { return };
        c.q.close(Instant::now(), code, reason);
        self.end(id, CloseKind::Local, Some(code.into_inner()), String::new());
        self.mark(id);
    }
}

/// The first id of ours from `next` on that nobody has. They come round after two thousand million, of which a local program
/// can use up thousands in a second: an old connection must not become the new one's.
fn next_free(next: Id, in_use: impl Fn(Id) -> bool) -> Id {
    let mut id = next;
    while in_use(id) {
        id = id.wrapping_add(1) | REMOTE;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_come_round_leave_those_in_use_alone() {
        let used = [Id::MAX, REMOTE, REMOTE + 1];
        assert_eq!(next_free(Id::MAX, |id| used.contains(&id)), REMOTE + 2);
        assert_eq!(next_free(REMOTE + 9, |id| used.contains(&id)), REMOTE + 9);
    }
}
