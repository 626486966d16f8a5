//! Readiness of file descriptors, edge-triggered, and a way to wake the thread that waits for it.

#[cfg(target_os = "linux")]
mod epoll;
#[cfg(not(target_os = "linux"))]
mod kqueue;

#[cfg(target_os = "linux")]
pub(crate) use epoll::{Poller, Waker};
#[cfg(not(target_os = "linux"))]
pub(crate) use kqueue::{Poller, Waker};

/// What a descriptor became ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}
