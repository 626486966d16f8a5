//! Readiness of file descriptors, edge-triggered, and a way to wake the thread that waits for it.

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(not(target_os = "linux"))]
mod kqueue;

#[cfg(target_os = "linux")]
pub(crate) use epoll::{Poller, Waker};
#[cfg(not(target_os = "linux"))]
pub(crate) use kqueue::{Poller, Waker};

/// What to watch a descriptor for. UDP sockets report room to write after every packet that leaves, so they
/// are watched for it only while something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    ReadWrite,
}

/// What a descriptor became ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}
