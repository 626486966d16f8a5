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
    /// its state: the owner is told at once, the peer when it sends the next packet (a stateless reset).
    pub(super) fn contained(&mut self, id: Id, work: impl FnOnce(&mut Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            self.drop_broken(id, &text_of(panic.as_ref()));
        }
    }

    fn drop_broken(&mut self, id: Id, why: &str) {
        self.drops.connections_broken += 1;
        let Some(handle) = self.conns.get(&id).map(|c| c.handle) else { return };
        self.end(id, CloseKind::Transport, Some(INTERNAL_ERROR), format!("internal error: {why}"));
        self.forget(id);
        self.ep.handle_event(handle, q::EndpointEvent::drained());
    }
}

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
    use std::sync::Arc;
    use std::time::Instant;

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

    #[test]
    fn a_panic_ends_one_connection_and_is_told() {
        let mut engine = engine();
        let nobody = "127.0.0.1:9".parse().expect("address");
        for conn in [1, 2] {
            engine.connect(conn, nobody, "peer.test", &[b"test".to_vec()], &TransportOptions::default());
            engine.serve_connection(conn, Instant::now());
        }
        engine.contained(1, |_| panic!("this panic is part of a test"));
        assert_eq!(engine.conns.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!((engine.ep.open_connections(), engine.by_handle.len()), (1, 1));
        assert_eq!(engine.drops.connections_broken, 1);
        let told = engine.events.iter().filter_map(|e| match e {
            Event::Closed { conn, kind, code, reason } => Some((*conn, *kind, *code, reason.as_str())),
            _ => None,
        });
        let reason = "internal error: this panic is part of a test";
        assert_eq!(told.collect::<Vec<_>>(), [(1, CloseKind::Transport, Some(INTERNAL_ERROR), reason)]);
        engine.contained(2, |engine| engine.serve_connection(2, Instant::now()));
        assert_eq!(engine.drops.connections_broken, 1);
    }
}
