//! The engine through its public face: real sockets, real threads, several engines in one process.

#[path = "../support/mod.rs"]
mod support;

mod closing;
mod direct;
mod failover;
mod forwarding;
mod handshakes;
mod moves;
mod network;
mod overload;
mod probing;
mod sockets;
mod strangers;
mod streams;
mod udp_flows;
mod virtual_paths;
mod windows;
