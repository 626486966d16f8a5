//! Plain UDP sockets of the local side in batches: `recvmmsg` and `sendmmsg` where there are such.

use bytes::Bytes;
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Datagrams in one system call.
pub(crate) const BATCH: usize = 32;
const MAX_DATAGRAM: usize = 65_536;

/// Memory for one batch of datagrams, made at first use.
#[derive(Default)]
pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
}

/// What one call received.
pub(crate) struct Received {
    pub(crate) count: usize,
    /// Errors of earlier sends (ICMP) came in the way of datagrams: there may be more.
    pub(crate) interrupted: bool,
}

/// A datagram on its way out. Without `to` the socket is connected.
pub(crate) struct Outgoing {
    pub(crate) to: Option<SocketAddr>,
    pub(crate) header: Bytes,
    pub(crate) payload: Bytes,
}

impl ReceiveBuffer {
    /// Receives up to `BATCH` datagrams and hands them over with their senders. Fewer than `BATCH`, and not
    /// interrupted: nothing more waits.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        mut each: impl FnMut(Option<SocketAddr>, &[u8]),
    ) -> Received {
        self.bytes.resize(BATCH * MAX_DATAGRAM, 0);
        imp::receive(socket, &mut self.bytes, &mut each)
    }
}

/// Sends in order; returns how many the kernel took. One that it refuses is skipped and not counted; when
/// the socket is full the rest is dropped.
pub(crate) fn send(socket: &UdpSocket, datagrams: &[Outgoing]) -> usize {
    let mut sent = 0;
    let mut rest = datagrams;
    while !rest.is_empty() {
        let batch = &rest[..rest.len().min(BATCH)];
        match imp::send(socket, batch) {
            Ok(n) => {
                sent += n;
                rest = &rest[n..];
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => rest = &rest[1..],
        }
    }
    sent
}

#[cfg(target_os = "linux")]
mod imp {
    use super::{BATCH, MAX_DATAGRAM, Outgoing, Received};
    use std::io;
    use std::mem::{MaybeUninit, size_of};
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;

    pub(super) fn receive(
        socket: &UdpSocket,
        buffer: &mut [u8],
        each: &mut dyn FnMut(Option<SocketAddr>, &[u8]),
    ) -> Received {
        let mut names = [MaybeUninit::<libc::sockaddr_storage>::uninit(); BATCH];
        // SAFETY: all-zero is a valid value of these C structures.
        let mut slices: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (i, chunk) in buffer.chunks_exact_mut(MAX_DATAGRAM).take(BATCH).enumerate() {
            slices[i] = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
            let header = &mut headers[i].msg_hdr;
            header.msg_name = names[i].as_mut_ptr().cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            header.msg_iov = &mut slices[i];
            header.msg_iovlen = 1;
        }
        // SAFETY: every header points to a live name and a live slice of the buffer.
        let n = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as _, 0, std::ptr::null_mut())
        };
        if n < 0 {
            let interrupted = io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock;
            return Received { count: 0, interrupted };
        }
        let count = n as usize;
        for i in 0..count {
            let length = headers[i].msg_len as usize;
            let datagram = &buffer[i * MAX_DATAGRAM..][..length];
            each(address(&names[i], headers[i].msg_hdr.msg_namelen), datagram);
        }
        Received { count, interrupted: false }
    }

    fn address(name: &MaybeUninit<libc::sockaddr_storage>, length: libc::socklen_t) -> Option<SocketAddr> {
        if length == 0 {
            return None;
        }
        // SAFETY: the kernel wrote an address of `length` bytes; its family says which.
        let family = unsafe { (*name.as_ptr()).ss_family };
        match i32::from(family) {
            libc::AF_INET => {
                // SAFETY: the family is IPv4.
                let a = unsafe { &*name.as_ptr().cast::<libc::sockaddr_in>() };
                Some((a.sin_addr.s_addr.to_ne_bytes(), u16::from_be(a.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: the family is IPv6.
                let a = unsafe { &*name.as_ptr().cast::<libc::sockaddr_in6>() };
                let ip = a.sin6_addr.s6_addr.into();
                Some(std::net::SocketAddrV6::new(ip, u16::from_be(a.sin6_port), 0, a.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    pub(super) fn send(socket: &UdpSocket, batch: &[Outgoing]) -> io::Result<usize> {
        let addresses: Vec<Option<socket2::SockAddr>> =
            batch.iter().map(|o| o.to.map(socket2::SockAddr::from)).collect();
        // SAFETY: all-zero is a valid value of these C structures.
        let mut slices: [[libc::iovec; 2]; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (i, out) in batch.iter().enumerate() {
            slices[i] = [&out.header, &out.payload]
                .map(|b| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() });
            let header = &mut headers[i].msg_hdr;
            if let Some(address) = &addresses[i] {
                header.msg_name = address.as_ptr().cast_mut().cast();
                header.msg_namelen = address.len();
            }
            header.msg_iov = slices[i].as_mut_ptr();
            header.msg_iovlen = 2;
        }
        // SAFETY: the first headers point to live addresses and slices; the kernel only reads those.
        let n = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), batch.len() as u32, 0) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::{BATCH, Outgoing, Received};
    use std::io;
    use std::net::{SocketAddr, UdpSocket};

    pub(super) fn receive(
        socket: &UdpSocket,
        buffer: &mut [u8],
        each: &mut dyn FnMut(Option<SocketAddr>, &[u8]),
    ) -> Received {
        for count in 0..BATCH {
            match socket.recv_from(buffer) {
                Ok((n, from)) => each(Some(from), &buffer[..n]),
                Err(e) => {
                    let interrupted = e.kind() != io::ErrorKind::WouldBlock;
                    return Received { count, interrupted };
                }
            }
        }
        Received { count: BATCH, interrupted: false }
    }

    pub(super) fn send(socket: &UdpSocket, batch: &[Outgoing]) -> io::Result<usize> {
        let out = &batch[0];
        let datagram = [&out.header[..], &out.payload[..]].concat();
        match out.to {
            Some(to) => socket.send_to(&datagram, to)?,
            None => socket.send(&datagram)?,
        };
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).expect("loopback");
        socket.set_nonblocking(true).expect("socket");
        socket
    }

    #[test]
    fn datagrams_keep_order_sender_and_content_over_several_calls() {
        for family in ["127.0.0.1:0", "[::1]:0"] {
            let (from, to) = (bound(family), bound(family));
            let target = to.local_addr().expect("address");
            let out: Vec<Outgoing> = (0..70u8)
                .map(|i| Outgoing {
                    to: Some(target),
                    header: Bytes::copy_from_slice(&[i]),
                    payload: Bytes::from(vec![i; usize::from(i) * 10]),
                })
                .collect();
            assert_eq!(send(&from, &out), 70);
            let mut buffer = ReceiveBuffer::default();
            let mut got = Vec::new();
            loop {
                let r = buffer.receive(&to, |sender, d| {
                    assert_eq!(sender, from.local_addr().ok());
                    got.push(d.to_vec());
                });
                if r.count < BATCH && !r.interrupted {
                    break;
                }
            }
            assert_eq!(got.len(), 70);
            for (i, d) in got.iter().enumerate() {
                assert_eq!((d.len(), d[0]), (1 + i * 10, i as u8));
            }
        }
    }

    #[test]
    fn one_that_cannot_be_sent_does_not_hold_up_the_others() {
        let (from, to) = (bound("127.0.0.1:0"), bound("127.0.0.1:0"));
        let target = Some(to.local_addr().expect("address"));
        let out = [1, 70_000, 2].map(|n| Outgoing {
            to: target,
            header: Bytes::new(),
            payload: Bytes::from(vec![0; n]),
        });
        assert_eq!(send(&from, &out), 2);
    }
}
