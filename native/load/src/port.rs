//! Where test datagrams go: a plain UDP socket, or a connection to a relay.

use crate::args::Args;
use crate::quic::{Link, PREFIX};
use crate::udp::{self, BATCH, Batch};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Near sides know one far end, far sides answer where a datagram came from.
pub(crate) enum Port {
    Udp { socket: UdpSocket, inbox: Box<Batch>, outbox: Box<Batch> },
    Quic { link: Box<Link> },
}

impl Port {
    /// `via=udp remote=…` or `via=quic` with what [`Link::new`] needs; datagrams of `size` fit afterwards.
    pub(crate) fn near(args: &Args, size: usize) -> Result<Self, String> {
        if args.get::<String>("via")? == "udp" {
            let remote: SocketAddr = args.get("remote")?;
            let any = if remote.is_ipv4() { [0, 0, 0, 0].into() } else { IpAddr::from([0u16; 8]) };
            let socket = udp::bind(SocketAddr::new(any, 0)).map_err(|e| e.to_string())?;
            socket.connect(remote).map_err(|e| e.to_string())?;
            return Ok(Self::Udp { socket, inbox: Box::default(), outbox: Box::default() });
        }
        let mut link = Box::new(Link::new(args)?);
        link.connect("load")?;
        link.grow(size + PREFIX)?;
        Ok(Self::Quic { link })
    }

    /// Sends one datagram, or with [`Self::flush`] a batch of them.
    pub(crate) fn push(&mut self, length: usize, write: impl FnOnce(&mut [u8])) {
        match self {
            Self::Udp { outbox, .. } => {
                outbox.push(length, write);
                if outbox.count == BATCH {
                    self.flush();
                }
            }
            Self::Quic { link, .. } => {
                let mut payload = [0; 2048];
                write(&mut payload[..length]);
                link.send(1, &payload[..length]);
            }
        }
    }

    pub(crate) fn flush(&mut self) {
        if let Self::Udp { socket, outbox, .. } = self {
            outbox.send(socket.as_raw_fd());
            outbox.clear();
        }
    }

    /// Calls `each` for all that has arrived; true when there was something.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<bool, String> {
        match self {
            Self::Udp { socket, inbox, .. } => {
                let n = inbox.receive(socket.as_raw_fd(), false).map_err(|e| e.to_string())?;
                (0..n).for_each(|i| each(inbox.datagram(i)));
                Ok(n > 0)
            }
            Self::Quic { link } => {
                let mut some = false;
                while let Some(frame) = link.receive()? {
                    some = true;
                    each(frame.get(PREFIX..).unwrap_or_default());
                }
                Ok(some)
            }
        }
    }

    /// Returns when something may have arrived, or the time has passed.
    pub(crate) fn wait(&self, timeout: Duration) {
        match self {
            Self::Udp { socket, .. } => udp::wait_readable(socket.as_raw_fd(), timeout),
            Self::Quic { .. } => std::thread::park_timeout(timeout),
        }
    }

    /// What the connection says of itself, as JSON.
    pub(crate) fn describe(&mut self) -> Result<String, String> {
        let Self::Quic { link } = self else { return Ok("null".into()) };
        let (c, e) = link.stats()?;
        let dropped: u64 = c.dropped.iter().map(|(_, n)| n).sum();
        let path = c.paths.first();
        Ok(format!(
            r#"{{"mtu":{},"lost":{},"cwnd":{},"dropped":{dropped},"rxPackets":{},"rxCalls":{},"txPackets":{},"txCalls":{},"loops":{},"datagramsSent":{}}}"#,
            path.map_or(0, |p| p.mtu),
            path.map_or(0, |p| p.lost_packets),
            path.map_or(0, |p| p.congestion_window),
            e.rx_packets,
            e.rx_calls,
            e.tx_packets,
            e.tx_calls,
            e.loops,
            c.datagrams_sent,
        ))
    }
}
