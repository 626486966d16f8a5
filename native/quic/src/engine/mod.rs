//! The engine: one thread, one UDP socket, any number of QUIC connections in both roles.
//!
//! [`spawn`] starts it. The owner gives [`Command`]s through a [`Handle`] and collects [`Event`]s when the
//! wake-up callback has fired. Inside, [`core`] runs the loop; [`arrivals`] opens packets, fairly by [`inbox`];
//! [`lifecycle`] begins and ends connections;
//! [`conn`] is what is kept per connection;
//! [`paths`] looks after virtual and direct paths, [`direct_filter`] after where the latter may lead; [`datagrams`] carries out forwarding rules and virtual paths;
//! [`streams`] moves stream bytes; [`tcp`], [`splice`] and [`udpflow`] join them to local sockets.

mod addr;
mod arrivals;
mod busy_poll;
mod candidates;
mod cidr;
mod configure;
mod conn;
mod contain;
mod core;
mod cpu;
mod datagrams;
mod direct_filter;
mod events;
mod hand_over;
mod handle;
mod inbox;
mod leaving;
mod lifecycle;
mod options;
mod outage;
mod outbox;
mod path_info;
mod path_reports;
mod paths;
mod poller;
mod pulse;
mod roaming;
mod sources;
mod splice;
mod streams;
mod targets;
mod tcp;
mod types;
mod udp;
mod udp_batch;
mod udpflow;
mod under_way;
mod watch;
mod window;

pub use cidr::Cidr;
pub use handle::Handle;
pub use options::*;
pub use path_info::{PathChange, PathInfo};
pub use types::*;
pub use udpflow::connected_udp_socket;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use {conn::MAX_PREFIX, conn::Route, conn::Routes, udpflow::socks_header};

use self::core::Engine;
use poller::Waker;
use std::sync::Arc;

/// What can go wrong before the thread runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, not ours, or not permitted.
    #[error("cannot listen on {listen}: {source}")]
    Bind { listen: std::net::SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    #[error("{0}")]
    Options(String),
    #[error("system resources: {0}")]
    System(#[from] std::io::Error),
}

/// Address of the virtual path `id`, to connect to or open a path to.
pub fn virtual_path_address(id: Id) -> std::net::SocketAddr {
    addr::virtual_address(id)
}

/// Binds the socket and starts the thread. `wake` is called from that thread, at most once between two
/// calls of [`Handle::drain`].
pub fn spawn(options: EndpointOptions, wake: impl Fn() + Send + 'static) -> Result<Handle, StartError> {
    let shared = Arc::new(handle::Shared::new(Waker::new()?));
    let engine = Engine::new(options, shared.clone())?;
    let local_addr = addr_of(&engine)?;
    std::thread::Builder::new().name("ztna-quic".into()).spawn(move || core::run(engine, &wake))?;
    Ok(Handle { shared, local_addr })
}

fn addr_of(engine: &Engine) -> Result<std::net::SocketAddr, StartError> {
    Ok(engine.udp.local_addr()?)
}
