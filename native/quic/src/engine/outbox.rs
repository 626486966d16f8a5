//! Packets on their way to the kernel: collected while connections are served, sent with `sendmmsg`,
//! each message a segmented batch (UDP GSO) where the kernel and the device can.

use noq_proto as q;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

/// Messages in one system call.
const MAX_MESSAGES: usize = 64;
/// Buffers kept for reuse.
const POOL: usize = 128;
/// Room for ECN, segment size and source address.
const CONTROL_WORDS: usize = 12;

/// Packets of one size (but the last) for one destination.
pub(crate) struct Message {
    destination: SocketAddr,
    ecn: Option<q::EcnCodepoint>,
    source: Option<IpAddr>,
    segment: Option<usize>,
    data: Vec<u8>,
}

impl Message {
    fn packets(&self) -> u64 {
        self.segment.map_or(1, |s| self.data.len().div_ceil(s)) as u64
    }

    /// One message per packet.
    fn split(self) -> impl Iterator<Item = Message> {
        let size = self.segment.unwrap_or(self.data.len()).max(1);
        let pieces: Vec<Vec<u8>> = self.data.chunks(size).map(<[u8]>::to_vec).collect();
        pieces.into_iter().map(move |data| Message { segment: None, data, ..self })
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct OutboxCounters {
    pub(crate) packets: u64,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
}

/// What became of a system call.
enum Sent {
    Messages(usize),
    /// The socket's buffer is full.
    Full,
    /// The device cannot segment, and said so only now.
    NoSegmentation,
    /// The first message cannot be sent in segments: its source address or its device's MTU changed.
    NotInSegments,
    /// The first message cannot be sent at all.
    Failed,
}

pub(crate) struct Outbox {
    queue: VecDeque<Message>,
    pool: Vec<Vec<u8>>,
    segmentation: bool,
    full: bool,
    /// The kernel refused a packet from this address: it may not be ours any more.
    doubtful: Option<IpAddr>,
    pub(crate) counters: OutboxCounters,
}

impl Outbox {
    pub(crate) fn new(segmentation: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            pool: Vec::new(),
            segmentation,
            full: false,
            doubtful: None,
            counters: OutboxCounters::default(),
        }
    }

    /// Whether the socket took no more; `retry` when it is writable.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// The source address of a packet that failed since the last call.
    pub(crate) fn take_doubtful(&mut self) -> Option<IpAddr> {
        self.doubtful.take()
    }

    /// True when a system call is worth its while.
    pub(crate) fn is_ripe(&self) -> bool {
        self.queue.len() >= MAX_MESSAGES
    }

    /// Takes the packets, leaving an empty buffer in their place.
    pub(crate) fn push(&mut self, t: &q::Transmit, buffer: &mut Vec<u8>) {
        let mut data = std::mem::replace(buffer, self.pool.pop().unwrap_or_default());
        data.truncate(t.size);
        let segment = t.segment_size.filter(|s| *s < t.size);
        let message = Message { destination: t.destination, ecn: t.ecn, source: t.src_ip, segment, data };
        if segment.is_some() && !self.segmentation {
            self.queue.extend(message.split());
        } else {
            self.queue.push_back(message);
        }
    }

    /// The socket became writable.
    pub(crate) fn retry(&mut self, fd: RawFd) {
        self.full = false;
        self.flush(fd);
    }

    /// Sends until nothing is left or the socket is full.
    pub(crate) fn flush(&mut self, fd: RawFd) {
        while !self.queue.is_empty() && !self.full {
            self.counters.calls += 1;
            match send(fd, self.queue.make_contiguous()) {
                Sent::Messages(n) => {
                    for _ in 0..n {
                        self.retire(true);
                    }
                }
                Sent::Full => self.full = true,
                Sent::NoSegmentation => self.give_up_segmentation(),
                Sent::NotInSegments => self.split_first(),
                Sent::Failed => {
                    self.counters.errors += 1;
                    self.doubtful = self.queue.front().and_then(|m| m.source).or(self.doubtful);
                    self.retire(false);
                }
            }
        }
    }

    fn retire(&mut self, sent: bool) {
        let Some(mut message) = self.queue.pop_front() else { return };
        if sent {
            self.counters.packets += message.packets();
        }
        if self.pool.len() < POOL {
            message.data.clear();
            self.pool.push(message.data);
        }
    }

    /// Packets of the first message then go, or fail, one by one; later ones are tried in segments again.
    fn split_first(&mut self) {
        let Some(message) = self.queue.pop_front() else { return };
        let pieces: Vec<Message> = message.split().collect();
        pieces.into_iter().rev().for_each(|m| self.queue.push_front(m));
    }

    fn give_up_segmentation(&mut self) {
        self.segmentation = false;
        let queue = std::mem::take(&mut self.queue);
        self.queue = queue.into_iter().flat_map(Message::split).collect();
    }
}

#[cfg(target_os = "linux")]
fn send(fd: RawFd, queue: &[Message]) -> Sent {
    let n = queue.len().min(MAX_MESSAGES);
    let addresses: Vec<socket2::SockAddr> = queue[..n].iter().map(|m| m.destination.into()).collect();
    let mut controls = [[0u64; CONTROL_WORDS]; MAX_MESSAGES];
    // SAFETY: all-zero is a valid value of these C structures.
    let mut slices: [libc::iovec; MAX_MESSAGES] = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; MAX_MESSAGES] = unsafe { std::mem::zeroed() };
    for i in 0..n {
        let data = &queue[i].data;
        slices[i] = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        let header = &mut headers[i].msg_hdr;
        header.msg_name = addresses[i].as_ptr().cast_mut().cast();
        header.msg_namelen = addresses[i].len();
        header.msg_iov = &mut slices[i];
        header.msg_iovlen = 1;
        header.msg_control = controls[i].as_mut_ptr().cast();
        header.msg_controllen = std::mem::size_of_val(&controls[i]) as _;
        header.msg_controllen = control::write(header, &queue[i]) as _;
    }
    // SAFETY: the first `n` headers point to live addresses, slices and control buffers; the kernel only
    // reads them, and writes `msg_len`.
    let r = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), n as u32, 0) };
    if r >= 0 {
        return Sent::Messages(r as usize);
    }
    let e = io::Error::last_os_error();
    match e.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS) => Sent::Full,
        Some(libc::EINTR) => Sent::Messages(0),
        Some(libc::EIO) if queue[0].segment.is_some() => Sent::NoSegmentation,
        Some(libc::EINVAL) if queue[0].segment.is_some() => Sent::NotInSegments,
        _ => Sent::Failed,
    }
}

/// Elsewhere one packet at a time, without ECN; the system chooses the source address.
#[cfg(not(target_os = "linux"))]
fn send(fd: RawFd, queue: &[Message]) -> Sent {
    let message = &queue[0];
    let address = socket2::SockAddr::from(message.destination);
    // SAFETY: data and address live across the call; the kernel only reads them.
    let r = unsafe {
        let data = &message.data;
        libc::sendto(fd, data.as_ptr().cast(), data.len(), 0, address.as_ptr().cast(), address.len())
    };
    if r >= 0 {
        return Sent::Messages(1);
    }
    let e = io::Error::last_os_error();
    match e.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS) => Sent::Full,
        Some(libc::EINTR) => Sent::Messages(0),
        _ => Sent::Failed,
    }
}

#[cfg(target_os = "linux")]
mod control {
    use super::Message;
    use std::net::IpAddr;

    /// Appends control messages to a header whose buffer is large enough; returns their length.
    pub(super) fn write(header: &mut libc::msghdr, message: &Message) -> usize {
        let mut length = 0;
        if let Some(ecn) = message.ecn {
            let v4 = message.destination.ip().to_canonical().is_ipv4();
            let (level, kind) =
                if v4 { (libc::IPPROTO_IP, libc::IP_TOS) } else { (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) };
            append(header, &mut length, level, kind, ecn as libc::c_int);
        }
        if let Some(segment) = message.segment {
            append(header, &mut length, libc::SOL_UDP, libc::UDP_SEGMENT, segment as u16);
        }
        match (message.source, message.destination.is_ipv4()) {
            (Some(IpAddr::V4(ip)), true) => {
                let address = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: address };
                append(header, &mut length, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            (Some(ip), false) => {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let info =
                    libc::in6_pktinfo { ipi6_ifindex: 0, ipi6_addr: libc::in6_addr { s6_addr: ip.octets() } };
                append(header, &mut length, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            _ => {}
        }
        length
    }

    fn append<T: Copy>(header: &libc::msghdr, length: &mut usize, level: i32, kind: i32, value: T) {
        let size = std::mem::size_of::<T>() as u32;
        // SAFETY: these compute sizes only.
        let (space, len) = unsafe { (libc::CMSG_SPACE(size) as usize, libc::CMSG_LEN(size)) };
        assert!(*length + space <= size_of::<[u64; super::CONTROL_WORDS]>(), "control buffer too small");
        // SAFETY: the buffer is aligned for cmsghdr (u64 words) and has room for `space` bytes at `length`,
        // which is a sum of CMSG_SPACEs and so aligned too.
        unsafe {
            let at = header.msg_control.cast::<u8>().add(*length).cast::<libc::cmsghdr>();
            (*at).cmsg_level = level;
            (*at).cmsg_type = kind;
            (*at).cmsg_len = len as _;
            libc::CMSG_DATA(at).cast::<T>().write_unaligned(value);
        }
        *length += space;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    fn transmit(to: SocketAddr, size: usize, segment: Option<usize>, source: Option<IpAddr>) -> q::Transmit {
        q::Transmit {
            destination: to,
            ecn: Some(q::EcnCodepoint::Ect0),
            size,
            segment_size: segment,
            src_ip: source,
        }
    }

    fn received(socket: &UdpSocket, n: usize) -> Vec<Vec<u8>> {
        let mut buffer = [0; 65_535];
        (0..n)
            .map(|_| {
                let n = socket.recv(&mut buffer).expect("a packet");
                buffer[..n].to_vec()
            })
            .collect()
    }

    fn check(receiver: &str, sender: &str, segmentation: bool) {
        let to = UdpSocket::bind(receiver).expect("loopback");
        let from = UdpSocket::bind(sender).expect("loopback");
        let mut target = to.local_addr().expect("bound");
        if from.local_addr().expect("bound").is_ipv6() {
            target = super::super::addr::for_socket(target, true);
        }
        let mut outbox = Outbox::new(segmentation);
        let source = Some(to.local_addr().expect("bound").ip());
        let mut buffer: Vec<u8> = (0..2500u32).map(|i| i as u8).collect();
        let sent = buffer.clone();
        outbox.push(&transmit(target, 2500, Some(1000), source), &mut buffer);
        buffer.extend_from_slice(b"single");
        outbox.push(&transmit(target, 6, None, None), &mut buffer);
        outbox.flush(from.as_raw_fd());
        let got = received(&to, 4);
        assert_eq!(
            got,
            vec![sent[..1000].to_vec(), sent[1000..2000].to_vec(), sent[2000..].to_vec(), b"single".to_vec()]
        );
        assert_eq!(outbox.counters.packets, 4);
        assert_eq!(outbox.counters.calls, 1);
        assert_eq!(outbox.counters.errors, 0);
    }

    #[test]
    fn batches_arrive_as_packets_over_ipv4() {
        check("127.0.0.1:0", "127.0.0.1:0", true);
    }

    #[test]
    fn batches_arrive_as_packets_over_ipv6() {
        check("[::1]:0", "[::]:0", true);
    }

    #[test]
    fn batches_arrive_as_packets_from_a_dual_stack_socket() {
        check("127.0.0.1:0", "[::]:0", true);
    }

    #[test]
    fn batches_are_split_where_the_kernel_cannot() {
        check("127.0.0.1:0", "127.0.0.1:0", false);
    }

    #[test]
    fn what_cannot_go_in_segments_goes_in_packets_and_others_still_in_segments() {
        let to = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let from = UdpSocket::bind("0.0.0.0:0").expect("any");
        let target = to.local_addr().expect("bound");
        let mut outbox = Outbox::new(true);
        // More segments than the kernel takes: EINVAL, as for a device whose MTU is smaller now.
        let mut buffer = vec![1; 200];
        outbox.push(&transmit(target, 200, Some(1), None), &mut buffer);
        buffer.extend_from_slice(&[2; 2000]);
        outbox.push(&transmit(target, 2000, Some(1000), None), &mut buffer);
        outbox.flush(from.as_raw_fd());
        let got = received(&to, 202);
        assert_eq!(got[..200], vec![vec![1]; 200]);
        assert_eq!(got[200..], [vec![2; 1000], vec![2; 1000]]);
        assert_eq!(outbox.counters.errors, 0);
        assert!(outbox.segmentation);
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_does_not_hold_up_the_rest() {
        let to = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let from = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let mut outbox = Outbox::new(true);
        let mut buffer = vec![0; 65_530];
        outbox.push(&transmit(to.local_addr().expect("bound"), 65_530, None, None), &mut buffer);
        buffer.extend_from_slice(b"next");
        outbox.push(&transmit(to.local_addr().expect("bound"), 4, None, None), &mut buffer);
        outbox.flush(from.as_raw_fd());
        assert_eq!(received(&to, 1), vec![b"next".to_vec()]);
        assert_eq!(outbox.counters.errors, 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_that_is_not_ours_is_doubted_once() {
        let to = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let from = UdpSocket::bind("0.0.0.0:0").expect("any");
        let mut outbox = Outbox::new(true);
        let foreign: IpAddr = [203, 0, 113, 1].into();
        for source in [Some(foreign), None] {
            let mut buffer = vec![0; 100];
            outbox.push(&transmit(to.local_addr().expect("bound"), 100, None, source), &mut buffer);
        }
        outbox.flush(from.as_raw_fd());
        assert_eq!(received(&to, 1), vec![vec![0; 100]]);
        assert_eq!(outbox.take_doubtful(), Some(foreign));
        assert_eq!(outbox.take_doubtful(), None);
    }
}
