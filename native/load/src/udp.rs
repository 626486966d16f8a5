//! Plain UDP, many datagrams per system call.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

pub(crate) const BATCH: usize = 64;
const SLOT: usize = 2048;
/// Longest datagram that is known to have been received whole.
pub(crate) const MAX_DATAGRAM: usize = SLOT - 1;
const BUFFER: libc::c_int = 8 << 20;

/// Socket with buffers that hold tens of milliseconds at full rate.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    for (plain, forced) in [(libc::SO_RCVBUF, libc::SO_RCVBUFFORCE), (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)]
    {
        if !set(socket.as_raw_fd(), forced) {
            set(socket.as_raw_fd(), plain);
        }
    }
    Ok(socket)
}

fn set(fd: RawFd, option: libc::c_int) -> bool {
    let value = std::ptr::from_ref(&BUFFER).cast();
    // SAFETY: `value` points to a c_int and its length is given.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, value, size_of::<libc::c_int>() as u32) == 0 }
}

/// Where a datagram came from, as the system says it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    name: [u8; size_of::<libc::sockaddr_in6>()],
    length: u32,
}

/// Datagrams received together, with where they came from, to look at or to send back.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    lengths: [usize; BATCH],
    name_lengths: [u32; BATCH],
    pub(crate) count: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            bytes: vec![0; BATCH * SLOT],
            // SAFETY: plain data, all zeroes is valid.
            names: vec![unsafe { zeroed() }; BATCH],
            lengths: [0; BATCH],
            name_lengths: [0; BATCH],
            count: 0,
        }
    }
}

impl Batch {
    pub(crate) fn datagram(&self, i: usize) -> &[u8] {
        &self.bytes[i * SLOT..i * SLOT + self.lengths[i]]
    }

    /// Where a received datagram came from.
    pub(crate) fn address(&self, i: usize) -> Address {
        let mut name = [0; size_of::<libc::sockaddr_in6>()];
        let length = (self.name_lengths[i] as usize).min(name.len());
        // SAFETY: a storage is longer than the longest name of an IP socket, and both are plain bytes.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const self.names[i]).cast(), name.as_mut_ptr(), length);
        }
        Address { name, length: length as u32 }
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds a datagram to send; `from` keeps the address of a received one.
    pub(crate) fn push(&mut self, length: usize, write: impl FnOnce(&mut [u8])) {
        let i = self.count;
        self.lengths[i] = length;
        self.name_lengths[i] = 0;
        write(&mut self.bytes[i * SLOT..i * SLOT + length]);
        self.count += 1;
    }

    /// Adds a datagram for a socket that is not connected.
    pub(crate) fn push_to(&mut self, address: Address, datagram: &[u8]) {
        let i = self.count;
        self.push(datagram.len(), |out| out.copy_from_slice(datagram));
        self.name_lengths[i] = address.length;
        // SAFETY: as in `address`.
        unsafe {
            let name = (&raw mut self.names[i]).cast();
            std::ptr::copy_nonoverlapping(address.name.as_ptr(), name, address.name.len());
        }
    }

    /// Makes slot `i` another datagram to the same address.
    pub(crate) fn replace(&mut self, i: usize, length: usize, write: impl FnOnce(&mut [u8])) {
        self.lengths[i] = length;
        write(&mut self.bytes[i * SLOT..i * SLOT + length]);
    }

    /// Exchanges two slots.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        if a != b {
            let (low, high) = (a.min(b), a.max(b));
            let (left, right) = self.bytes.split_at_mut(high * SLOT);
            left[low * SLOT..(low + 1) * SLOT].swap_with_slice(&mut right[..SLOT]);
            self.names.swap(a, b);
            self.lengths.swap(a, b);
            self.name_lengths.swap(a, b);
        }
    }

    fn messages(&mut self, receive: bool) -> ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) {
        // SAFETY: plain data, all zeroes is valid.
        let (mut vectors, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        for i in 0..BATCH {
            vectors[i].iov_base = self.bytes[i * SLOT..].as_mut_ptr().cast();
            vectors[i].iov_len = if receive { SLOT } else { self.lengths[i] };
            let h = &mut messages[i].msg_hdr;
            if receive || self.name_lengths[i] > 0 {
                h.msg_name = std::ptr::from_mut(&mut self.names[i]).cast();
                h.msg_namelen =
                    if receive { size_of_val(&self.names[i]) as u32 } else { self.name_lengths[i] };
            }
        }
        (vectors, messages)
    }

    /// Takes what is there; waits for the first when `wait`.
    pub(crate) fn receive(&mut self, fd: RawFd, wait: bool) -> io::Result<usize> {
        let (mut vectors, mut messages) = self.messages(true);
        link(&mut vectors, &mut messages);
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: every header points to a live buffer of its stated length.
        let n = unsafe {
            libc::recvmmsg(fd, messages.as_mut_ptr(), BATCH as u32, flags as _, std::ptr::null_mut())
        };
        self.count = 0;
        if n < 0 {
            let e = io::Error::last_os_error();
            let harmless = matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ECONNREFUSED));
            return if harmless { Ok(0) } else { Err(e) };
        }
        self.count = n as usize;
        for (i, m) in messages[..self.count].iter().enumerate() {
            self.lengths[i] = m.msg_len as usize;
            self.name_lengths[i] = m.msg_hdr.msg_namelen;
        }
        Ok(self.count)
    }

    /// Sends all of it; what a full socket refuses is lost, as with any application. Returns how many went.
    pub(crate) fn send(&mut self, fd: RawFd) -> usize {
        let (mut vectors, mut messages) = self.messages(false);
        link(&mut vectors, &mut messages);
        let mut sent = 0;
        while sent < self.count {
            let left = (self.count - sent) as u32;
            // SAFETY: as above.
            let n = unsafe { libc::sendmmsg(fd, messages[sent..].as_mut_ptr(), left, 0) };
            if n <= 0 {
                break;
            }
            sent += n as usize;
        }
        sent
    }
}

fn link(vectors: &mut [libc::iovec; BATCH], messages: &mut [libc::mmsghdr; BATCH]) {
    for (v, m) in vectors.iter_mut().zip(messages) {
        m.msg_hdr.msg_iov = v;
        m.msg_hdr.msg_iovlen = 1;
    }
}

/// Waits until something can be read, or the time has passed.
pub(crate) fn wait_readable(fd: RawFd, timeout: Duration) {
    let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let spec = libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ };
    // SAFETY: one pollfd, a live timespec, no mask.
    unsafe { libc::ppoll(&mut p, 1, &spec, std::ptr::null()) };
}
