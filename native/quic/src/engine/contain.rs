//! A panic in what is done for one connection ends that connection, not all the others.

use super::core::Engine;
use super::types::{CloseKind, Id};
use noq_proto as q;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// INTERNAL_ERROR (RFC 9000 §20.1).
const INTERNAL_ERROR: u64 = 1;

impl Engine {
    /// Does `work` for this connection. If it panics, the connection is dropped as it stands, since nothing is known of
    /// its state: the owner is told at once, the peer finds out (by a stateless reset of those who answer strangers, else
    /// by its timeouts).
    pub(super) fn contained(&mut self, id: Id, work: impl FnOnce(&mut Self)) {
        let outcome = self.guarded(|engine| {
            #[cfg(test)]
            assert_ne!(engine.fails, Some(id), "this panic is part of a test");
            work(engine);
        });
        if let Err(why) = outcome {
            self.drop_broken(id, &why);
        }
    }

    /// What `work` gives, or what a panic in it said, which is counted.
    pub(super) fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(|| work(self))).map_err(|panic| {
            self.drops.connections_broken += 1;
            text_of(panic.as_ref())
        })
    }

    fn drop_broken(&mut self, id: Id, why: &str) {
        let Some(handle) = self.conns.get(&id).map(|c| c.handle) else { return };
        self.end(id, CloseKind::Transport, Some(INTERNAL_ERROR), format!("internal error: {why}"));
        self.forget(id);
        self.ep.handle_event(handle, q::EndpointEvent::drained());
    }
}

/// A packet that begins so is taken for one over which noq fails.
#[cfg(test)]
pub(super) const FATAL: &[u8] = b"fatal";

/// What a panic said.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".into())
}

#[cfg(test)]
mod tests {
    use super::super::handle::Shared;
    use super::super::options::*;
    use super::super::poller::Waker;
    use super::super::types::Event;
    use super::*;
    use crate::tls::TlsMaterial;
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn engine() -> Engine {
        let key = rcgen::KeyPair::generate().expect("key");
        let root = rcgen::CertificateParams::default().self_signed(&key).expect("certificate");
        let options = EndpointOptions {
            listen: "127.0.0.1:0".parse().expect("address"),
            tls: TlsMaterial { identity: None, roots_pem: root.pem().into_bytes(), crls_der: vec![] },
            server: None,
            inner_server: None,
            keys: Keys::default(),
            busy_poll: BUSY_POLL,
            direct: None,
            unread_window: UNREAD_WINDOW,
        };
        Engine::new(options, Arc::new(Shared::new(Waker::new().expect("waker")))).expect("engine")
    }

    /// Two connections that nobody answers; the other ends are sockets of the test.
    fn connecting() -> (Engine, [UdpSocket; 2]) {
        let mut engine = engine();
        let peers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("socket"));
        for (conn, peer) in [1, 2].into_iter().zip(&peers) {
            let remote = peer.local_addr().expect("address");
            engine.connect(conn, remote, "peer.test", &[b"test".to_vec()], &TransportOptions::default());
            engine.serve_connection(conn, Instant::now());
        }
        engine.udp.flush();
        (engine, peers)
    }

    fn assert_only_the_first_is_over(engine: &Engine) {
        assert_eq!(engine.conns.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!((engine.ep.open_connections(), engine.by_handle.len()), (1, 1));
        assert_eq!((engine.timers.len(), engine.drops.connections_broken), (1, 1));
        let told = engine.events.iter().filter_map(|e| match e {
            Event::Closed { conn, kind, code, reason } => Some((*conn, *kind, *code, reason.as_str())),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        assert!(matches!(told[..], [(1, CloseKind::Transport, Some(INTERNAL_ERROR), _)]), "{told:?}");
        assert!(told[0].3.starts_with("internal error: ") && told[0].3.contains("part of a test"));
    }

    #[test]
    fn a_panic_while_it_is_served_ends_one_connection_and_is_told() {
        let (mut engine, _peers) = connecting();
        engine.fails = Some(1);
        for conn in [1, 2] {
            engine.serve_connection(conn, Instant::now());
        }
        assert_only_the_first_is_over(&engine);
    }

    #[test]
    fn a_panic_of_a_timer_ends_one_connection_and_is_told() {
        let (mut engine, _peers) = connecting();
        engine.fails = Some(1);
        let last = engine.timers.last().expect("timers").0;
        engine.fire_timers(last);
        engine.fails = None;
        engine.serve();
        assert_only_the_first_is_over(&engine);
    }

    #[test]
    fn a_panic_over_a_packet_ends_one_connection_and_is_told() {
        let (mut engine, peers) = connecting();
        engine.fails = Some(1);
        for peer in &peers {
            let mut initial = [0; 2048];
            let (_, from) = peer.recv_from(&mut initial).expect("an Initial packet");
            // Flags, version, destination id, source id (RFC 9000 §17.2): a Handshake packet to the source, of noise.
            let destination = 6 + usize::from(initial[5]);
            let source = &initial[destination..=destination + usize::from(initial[destination])];
            let noise = [0x40, 40].into_iter().chain([7; 40]);
            let packet: Vec<u8> = [0xe0, 0, 0, 0, 1]
                .into_iter()
                .chain(source.iter().copied())
                .chain([0])
                .chain(noise)
                .collect();
            peer.send_to(&packet, from).expect("send");
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while engine.udp.counters.rx_packets < 2 && Instant::now() < deadline {
            engine.receive();
        }
        engine.open_packets();
        assert_only_the_first_is_over(&engine);
    }

    #[test]
    fn a_packet_of_nobody_over_which_noq_fails_is_dropped_alone() {
        let (mut engine, peers) = connecting();
        let to = engine.udp.local_addr().expect("address");
        peers[0].send_to(FATAL, to).expect("send");
        let deadline = Instant::now() + Duration::from_secs(10);
        while engine.udp.counters.rx_packets < 1 && Instant::now() < deadline {
            engine.receive();
        }
        assert_eq!((engine.conns.len(), engine.drops.connections_broken), (2, 1));
    }
}
