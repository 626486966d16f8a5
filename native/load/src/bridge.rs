//! A wire between two network interfaces that delays: `bridge a=IF b=IF [delay_us=] [rate_bps=] [queue=]`.
//! Every frame that arrives on one leaves on the other, in order, `delay_us` later; with `rate_bps` one after
//! the other at that rate. More than `queue` frames under way in a direction are dropped and counted.
//! Lines on standard input: `delay_us=N`, `rate_bps=N` or `queue=N` changes it for what comes after; `stats`
//! prints one line of JSON. Frames carry their virtio header, so unfinished checksums and super-packets
//! (GSO) come out as they went in.

use crate::args::Args;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// `struct virtio_net_hdr` and the largest super-packet behind it.
const FRAME: usize = 10 + 18 + 65_536;

#[derive(Clone, Copy)]
struct Shape {
    delay: Duration,
    /// Bits per second; 0 is no bound.
    rate: u64,
    queue: usize,
}

/// One direction.
#[derive(Default)]
struct Lane {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    free_at: Option<Instant>,
    forwarded: u64,
    bytes: u64,
    dropped_queue: u64,
    dropped_send: u64,
}

impl Lane {
    fn push(&mut self, frame: &[u8], now: Instant, shape: Shape) {
        if self.under_way.len() >= shape.queue {
            self.dropped_queue += 1;
            return;
        }
        let mut start = now;
        if let Some(nanos) = (frame.len() as u64 * 8 * 1_000_000_000).checked_div(shape.rate) {
            start = self.free_at.map_or(now, |at| at.max(now)) + Duration::from_nanos(nanos);
            self.free_at = Some(start);
        }
        // A shorter delay must not let a later frame overtake.
        let due =
            self.under_way.back().map_or(start + shape.delay, |(last, _)| (start + shape.delay).max(*last));
        self.under_way.push_back((due, frame.to_vec()));
    }

    fn deliver(&mut self, out: RawFd, now: Instant) {
        while self.under_way.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, frame)) = self.under_way.pop_front() else { return };
            // SAFETY: the buffer is live and its length is given.
            let sent = unsafe { libc::send(out, frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT) };
            if sent < 0 {
                self.dropped_send += 1;
            } else {
                self.forwarded += 1;
                self.bytes += frame.len() as u64;
            }
        }
    }

    fn json(&self) -> String {
        format!(
            r#"{{"forwarded":{},"bytes":{},"droppedQueue":{},"droppedSend":{},"underWay":{}}}"#,
            self.forwarded,
            self.bytes,
            self.dropped_queue,
            self.dropped_send,
            self.under_way.len()
        )
    }
}

/// Runs until standard input ends.
pub(crate) fn run(args: &Args) -> Result<String, String> {
    let ports = ["a", "b"].map(|side| args.get::<String>(side).and_then(|name| open(&name)));
    let [a, b] = ports;
    let ports = [a?, b?];
    let mut shape = Shape {
        delay: Duration::from_micros(args.or("delay_us", 0)?),
        rate: args.or("rate_bps", 0)?,
        queue: args.or("queue", 1_000)?,
    };
    let mut lanes = [Lane::default(), Lane::default()];
    let mut buffer = vec![0; FRAME];
    let mut typed = String::new();
    println!("ready");
    loop {
        let mut polled = [ports[0].as_raw_fd(), ports[1].as_raw_fd(), libc::STDIN_FILENO]
            .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        let next = lanes.iter().filter_map(|lane| lane.under_way.front().map(|(due, _)| *due)).min();
        wait(&mut polled, next).map_err(|e| format!("poll: {e}"))?;
        for from in 0..2 {
            if polled[from].revents != 0 {
                receive(ports[from].as_raw_fd(), &mut buffer, |frame| {
                    lanes[from].push(frame, Instant::now(), shape)
                })
                .map_err(|e| format!("receive: {e}"))?;
            }
        }
        for from in 0..2 {
            lanes[from].deliver(ports[1 - from].as_raw_fd(), Instant::now());
        }
        if polled[2].revents != 0 {
            if !read_some(&mut typed) {
                return Ok(stats(&lanes));
            }
            while let Some((line, rest)) = typed.split_once('\n') {
                let (line, rest) = (line.trim().to_owned(), rest.to_owned());
                if line == "stats" {
                    println!("{}", stats(&lanes))
                } else {
                    change(&mut shape, &line)?
                }
                typed = rest;
            }
        }
    }
}

fn change(shape: &mut Shape, line: &str) -> Result<(), String> {
    let args = Args::parse(std::iter::once(line.to_owned()))?;
    shape.delay = Duration::from_micros(args.or("delay_us", shape.delay.as_micros() as u64)?);
    shape.rate = args.or("rate_bps", shape.rate)?;
    shape.queue = args.or("queue", shape.queue)?;
    Ok(())
}

fn stats(lanes: &[Lane; 2]) -> String {
    format!(r#"{{"aToB":{},"bToA":{}}}"#, lanes[0].json(), lanes[1].json())
}

/// A raw socket on one interface: all that arrives there, nothing that leaves.
fn open(interface: &str) -> Result<OwnedFd, String> {
    let fail = |what: &str| format!("{interface}: {what}: {}", io::Error::last_os_error());
    let name = std::ffi::CString::new(interface).map_err(|e| e.to_string())?;
    // SAFETY: `name` ends with a zero byte.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(fail("no such interface"));
    }
    // Protocol 0: nothing arrives before it is bound to its interface.
    // SAFETY: plain system call; the descriptor is owned from here on.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(fail("raw socket"));
    }
    // SAFETY: as above.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    for (option, value) in [(libc::PACKET_VNET_HDR, 1), (libc::PACKET_IGNORE_OUTGOING, 1)] {
        set(fd, libc::SOL_PACKET, option, value).map_err(|_| fail("packet options"))?;
    }
    for (option, forced) in [(libc::SO_RCVBUF, libc::SO_RCVBUFFORCE), (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)]
    {
        let _ = set(fd, libc::SOL_SOCKET, forced, 8 << 20)
            .or_else(|_| set(fd, libc::SOL_SOCKET, option, 8 << 20));
    }
    // SAFETY: plain data, all zeroes is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as i32;
    // SAFETY: the address is live and its size is given.
    let bound =
        unsafe { libc::bind(fd, std::ptr::from_ref(&address).cast(), size_of::<libc::sockaddr_ll>() as u32) };
    if bound == 0 { Ok(socket) } else { Err(fail("bind")) }
}

fn set(fd: RawFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: `value` is a c_int and its size is given.
    let done = unsafe {
        libc::setsockopt(fd, level, option, std::ptr::from_ref(&value).cast(), size_of::<i32>() as u32)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// At most a batch, so that the other direction gets its turn.
fn receive(fd: RawFd, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    for _ in 0..256 {
        // SAFETY: the buffer is live and its length is given.
        let n = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
        if n < 0 {
            let error = io::Error::last_os_error();
            // An interface that goes down says so once; it may come up again.
            let harmless = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN));
            return if harmless { Ok(()) } else { Err(error) };
        }
        each(&buffer[..n as usize]);
    }
    Ok(())
}

fn wait(polled: &mut [libc::pollfd; 3], until: Option<Instant>) -> io::Result<()> {
    let left = until.map(|at| at.saturating_duration_since(Instant::now()));
    let spec =
        left.map(|d| libc::timespec { tv_sec: d.as_secs() as i64, tv_nsec: i64::from(d.subsec_nanos()) });
    let timeout = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are live or null.
    let n = unsafe { libc::ppoll(polled.as_mut_ptr(), 3, timeout, std::ptr::null()) };
    let error = io::Error::last_os_error();
    if n >= 0 || error.raw_os_error() == Some(libc::EINTR) { Ok(()) } else { Err(error) }
}

/// False when standard input has ended.
fn read_some(typed: &mut String) -> bool {
    let mut bytes = [0; 512];
    // SAFETY: the buffer is live and its length is given.
    let n = unsafe { libc::read(libc::STDIN_FILENO, bytes.as_mut_ptr().cast(), bytes.len()) };
    if n > 0 {
        typed.push_str(&String::from_utf8_lossy(&bytes[..n as usize]));
    }
    n > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { delay: Duration::from_millis(10), rate: 0, queue: 3 };

    fn due(lane: &Lane, now: Instant) -> Vec<u128> {
        lane.under_way.iter().map(|(due, _)| due.duration_since(now).as_millis()).collect()
    }

    #[test]
    fn a_frame_leaves_after_the_delay_and_a_full_queue_drops() {
        let (mut lane, now) = (Lane::default(), Instant::now());
        (0..5).for_each(|_| lane.push(&[0; 100], now, SHAPE));
        assert_eq!(due(&lane, now), [10, 10, 10]);
        assert_eq!(lane.dropped_queue, 2);
    }

    #[test]
    fn frames_follow_each_other_at_the_rate() {
        let (mut lane, now) = (Lane::default(), Instant::now());
        // 1000 bytes at 8 Mbit/s take a millisecond.
        let shape = Shape { rate: 8_000_000, ..SHAPE };
        (0..3).for_each(|_| lane.push(&[0; 1000], now, shape));
        assert_eq!(due(&lane, now), [11, 12, 13]);
    }

    #[test]
    fn a_shorter_delay_lets_no_frame_overtake() {
        let (mut lane, now) = (Lane::default(), Instant::now());
        lane.push(&[1], now, SHAPE);
        lane.push(&[2], now, Shape { delay: Duration::ZERO, ..SHAPE });
        assert_eq!(due(&lane, now), [10, 10]);
    }
}
