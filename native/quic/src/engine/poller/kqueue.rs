//! macOS and the BSDs: kqueue, and a socket pair to wake it.

use super::{Interest, Ready};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const EVENTS: usize = 256;

pub(crate) struct Poller {
    fd: RawFd,
    buffer: Vec<libc::kevent>,
}

fn change(fd: RawFd, filter: i16, flags: u16, token: u64) -> libc::kevent {
    // SAFETY: all-zero is a valid value of this C structure.
    let mut event: libc::kevent = unsafe { std::mem::zeroed() };
    event.ident = fd as _;
    event.filter = filter;
    event.flags = flags;
    event.udata = token as usize as *mut libc::c_void;
    event
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers involved.
        let fd = unsafe { libc::kqueue() };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { fd, buffer: Vec::with_capacity(EVENTS) })
    }

    /// Watches `fd`, edge-triggered, until it is closed.
    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let flags = libc::EV_ADD | libc::EV_CLEAR;
        let changes =
            [change(fd, libc::EVFILT_READ, flags, token), change(fd, libc::EVFILT_WRITE, flags, token)];
        let count = if interest == Interest::ReadWrite { 2 } else { 1 };
        // SAFETY: `count` readable changes; no events are asked for.
        let r = unsafe {
            libc::kevent(self.fd, changes.as_ptr(), count, std::ptr::null_mut(), 0, std::ptr::null())
        };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Watches an added `fd` for something else.
    pub(crate) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        if interest == Interest::Read {
            let gone = change(fd, libc::EVFILT_WRITE, libc::EV_DELETE, token);
            // SAFETY: one readable change. An error means that the filter was not there.
            unsafe { libc::kevent(self.fd, &gone, 1, std::ptr::null_mut(), 0, std::ptr::null()) };
        }
        self.add(fd, token, interest)
    }

    /// Waits until something is ready or the timeout has passed; `None` waits for ever.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Ready>) -> io::Result<()> {
        out.clear();
        let spec = timeout.map(|d| libc::timespec {
            tv_sec: d.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(d.subsec_nanos() as i32),
        });
        let spec_ptr = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        self.buffer.clear();
        // SAFETY: the buffer has room for `EVENTS` events; `spec_ptr` is null or points to a live timespec.
        let n = unsafe {
            libc::kevent(self.fd, std::ptr::null(), 0, self.buffer.as_mut_ptr(), EVENTS as i32, spec_ptr)
        };
        if n < 0 {
            let e = io::Error::last_os_error();
            return if e.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(e) };
        }
        // SAFETY: the kernel has written `n` events.
        unsafe { self.buffer.set_len(n as usize) };
        for e in &self.buffer {
            let gone = e.flags & libc::EV_EOF != 0;
            out.push(Ready {
                token: e.udata as usize as u64,
                readable: gone || e.filter == libc::EVFILT_READ,
                writable: gone || e.filter == libc::EVFILT_WRITE,
            });
        }
        Ok(())
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
    waiting: UnixStream,
    waking: UnixStream,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (waiting, waking) = UnixStream::pair()?;
        waiting.set_nonblocking(true)?;
        waking.set_nonblocking(true)?;
        Ok(Self { waiting, waking })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.waiting.as_raw_fd()
    }

    pub(crate) fn wake(&self) {
        // A full pair means that the wake is pending already.
        let _ = (&self.waking).write(&[1]);
    }

    pub(crate) fn clear(&self) {
        let mut buffer = [0; 64];
        while (&self.waiting).read(&mut buffer).is_ok_and(|n| n == buffer.len()) {}
    }
}
