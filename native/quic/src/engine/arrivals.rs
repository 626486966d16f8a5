//! Packets on their way in: read, found their connection, opened in turn.

use super::addr;
use super::core::Engine;
use super::types::{Event, Id};
use bytes::BytesMut;
use noq_proto as q;
use std::time::Instant;

/// Packets opened between two looks at the sockets.
const PACKET_BUDGET: usize = 128;

impl Engine {
    /// Reads the socket; true when more may wait.
    pub(super) fn receive(&mut self) -> bool {
        let mut packets = std::mem::take(&mut self.packets);
        let more = self.udp.receive(&mut packets);
        let now = Instant::now();
        self.inbox.tick(now);
        for p in packets.drain(..) {
            let (from, to) = (addr::for_socket(p.from, true), p.to.map(addr::as_v6));
            let network = q::FourTuple::new(from, to);
            if let Ok(Some((conn, event))) = self.guarded(|engine| engine.sort(now, network, p.ecn, p.data)) {
                self.inbox.push(conn, event);
            }
        }
        self.packets = packets;
        more
    }

    /// Opens packets until others have to get their turn.
    pub(super) fn open_packets(&mut self) {
        self.inbox.tick(Instant::now());
        for _ in 0..PACKET_BUDGET {
            let Some((conn, event)) = self.inbox.take() else { return };
            self.open_packet(conn, event);
        }
    }

    /// One QUIC packet from a virtual path.
    pub(crate) fn virtual_packet(&mut self, now: Instant, path: Id, data: BytesMut) {
        let network = q::FourTuple::from_remote(addr::virtual_address(path));
        if let Ok(Some((conn, event))) = self.guarded(|engine| engine.sort(now, network, None, data)) {
            self.open_packet(conn, event);
        }
    }

    /// Finds the connection of a packet. What belongs to none is answered here, and the first packet of one is opened.
    fn sort(
        &mut self,
        now: Instant,
        network: q::FourTuple,
        ecn: Option<q::EcnCodepoint>,
        data: BytesMut,
    ) -> Option<(Id, q::ConnectionEvent)> {
        #[cfg(test)]
        assert!(!data.starts_with(super::contain::FATAL), "this panic is part of a test");
        let mut response = Vec::new();
        match self.ep.handle(now, network, ecn, data, &mut response)? {
            q::DatagramEvent::ConnectionEvent(handle, event) => {
                let id = *self.by_handle.get(&handle.0)?;
                return self.may_enter(id, network).then_some((id, event));
            }
            q::DatagramEvent::NewConnection(incoming) => {
                self.incoming(now, network.remote(), incoming, response)
            }
            q::DatagramEvent::Response(transmit) => {
                // Version negotiation, refusals and resets are for those who may connect here.
                if self.options.server.is_none() && !addr::is_virtual(&transmit.destination) {
                    self.drops.strangers += 1;
                } else {
                    self.send_packets(&transmit, &mut response, None);
                }
            }
        }
        None
    }

    fn open_packet(&mut self, id: Id, event: q::ConnectionEvent) {
        self.contained(id, |engine| engine.give_packet(id, event));
    }

    fn give_packet(&mut self, id: Id, event: q::ConnectionEvent) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.q.handle_event(event);
        if conn.stall.stalled {
            let progress = conn.progress();
            if conn.stall.recovered(progress) {
                self.events.push(Event::Recovered { conn: id });
            }
        }
        self.mark(id);
    }
}
