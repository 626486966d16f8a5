//! Linux: epoll with a nanosecond timeout, eventfd.

use super::{Interest, Ready};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

pub(crate) struct Poller {
    fd: RawFd,
    buffer: Vec<libc::epoll_event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers involved.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { fd, buffer: vec![libc::epoll_event { events: 0, u64: 0 }; 256] })
    }

    /// Watches `fd`, edge-triggered, until it is closed.
    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Watches an added `fd` for something else.
    pub(crate) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(&self, what: libc::c_int, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let write = if interest == Interest::ReadWrite { libc::EPOLLOUT } else { 0 };
        let flags = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET | write;
        let mut event = libc::epoll_event { events: flags as u32, u64: token };
        // SAFETY: `event` lives across the call; the kernel copies it.
        let r = unsafe { libc::epoll_ctl(self.fd, what, fd, &mut event) };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until something is ready or the timeout has passed; `None` waits for ever.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Ready>) -> io::Result<()> {
        out.clear();
        let spec = timeout.map(|d| libc::timespec {
            tv_sec: d.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(d.subsec_nanos() as i32),
        });
        let n = self.raw_wait(spec.as_ref())?;
        for e in &self.buffer[..n] {
            let flags = e.events as i32;
            let gone = flags & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
            out.push(Ready {
                token: e.u64,
                readable: gone || flags & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
                writable: gone || flags & libc::EPOLLOUT != 0,
            });
        }
        Ok(())
    }

    fn raw_wait(&mut self, spec: Option<&libc::timespec>) -> io::Result<usize> {
        let spec_ptr = spec.map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the buffer is valid for its length; `spec_ptr` is null or points to a live timespec;
        // the signal mask is null.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd,
                self.buffer.as_mut_ptr(),
                self.buffer.len() as i32,
                spec_ptr,
                std::ptr::null::<libc::sigset_t>(),
                8usize,
            )
        };
        if n >= 0 {
            return Ok(n as usize);
        }
        match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::EINTR) => Ok(0),
            e if e.raw_os_error() == Some(libc::ENOSYS) => self.raw_wait_ms(spec),
            e => Err(e),
        }
    }

    /// Kernels before 5.11 have no `epoll_pwait2`.
    fn raw_wait_ms(&mut self, spec: Option<&libc::timespec>) -> io::Result<usize> {
        let ms = spec.map_or(-1, |s| {
            let nanos = s.tv_sec.saturating_mul(1_000_000_000).saturating_add(s.tv_nsec);
            i32::try_from((nanos + 999_999) / 1_000_000).unwrap_or(i32::MAX)
        });
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::epoll_wait(self.fd, self.buffer.as_mut_ptr(), self.buffer.len() as i32, ms) };
        if n >= 0 {
            return Ok(n as usize);
        }
        match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::EINTR) => Ok(0),
            e => Err(e),
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and closed once.
        unsafe { libc::close(self.fd) };
    }
}

#[derive(Debug)]
pub(crate) struct Waker {
    fd: RawFd,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { fd }) }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(crate) fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. A full counter means that the wake is pending already.
        unsafe { libc::write(self.fd, one.as_ptr().cast(), one.len()) };
    }

    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes.
        unsafe { libc::read(self.fd, count.as_mut_ptr().cast(), count.len()) };
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and closed once.
        unsafe { libc::close(self.fd) };
    }
}
