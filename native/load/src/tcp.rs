//! TCP: a server that counts, fills or answers, and the client that measures with it.
//!
//! First byte of a connection: `U` the server reads to the end and answers with the count (u64),
//! `R` it reads and answers with the count so far each 20 ms,
//! `D` it sends until the connection ends, `G` it answers a request that ends with an empty line.

use crate::args::Args;
use crate::frame::{cpu_ms, now};
use crate::histogram::Histogram;
use crate::near::quantiles;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CHUNK: usize = 256 << 10;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
/// How often the far end of a stream says what it has.
const REPORT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn serve(args: &Args) -> Result<String, String> {
    let listener = TcpListener::bind(args.get::<SocketAddr>("listen")?).map_err(|e| e.to_string())?;
    crate::announce(&listener.local_addr().map_err(|e| e.to_string())?.to_string());
    for socket in listener.incoming().flatten() {
        thread::spawn(move || answer(socket));
    }
    Ok(String::new())
}

fn answer(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut chunk = vec![0u8; CHUNK];
    socket.read_exact(&mut chunk[..1])?;
    match chunk[0] {
        b'U' => {
            let mut total = 0u64;
            loop {
                match socket.read(&mut chunk)? {
                    0 => break,
                    n => total += n as u64,
                }
            }
            socket.write_all(&total.to_be_bytes())
        }
        b'R' => report(&mut socket, &mut chunk),
        b'D' => loop {
            socket.write_all(&chunk)?;
        },
        _ => {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") && seen.len() < 4096 {
                match socket.read(&mut chunk)? {
                    0 => return Ok(()),
                    n => seen.extend_from_slice(&chunk[..n]),
                }
            }
            socket.write_all(RESPONSE)
        }
    }
}

/// Reads to the end, and says how much it has each [`REPORT`].
fn report(socket: &mut TcpStream, chunk: &mut [u8]) -> io::Result<()> {
    let mut writer = socket.try_clone()?;
    let total = Arc::new(AtomicU64::new(0));
    let counted = total.clone();
    thread::spawn(move || {
        while writer.write_all(&counted.load(Ordering::Relaxed).to_be_bytes()).is_ok() {
            thread::sleep(REPORT);
        }
    });
    loop {
        match socket.read(chunk)? {
            0 => return socket.shutdown(Shutdown::Both),
            n => total.fetch_add(n as u64, Ordering::Relaxed),
        };
    }
}

/// `remote=`, `direction=up|down`, `warm=`, `seconds=`, `intervals=`: one stream; what arrived at its far end in each
/// interval of so many seconds, the first `warm` seconds aside. The stream is then cut, whatever is under way.
pub(crate) fn flow(args: &Args) -> Result<String, String> {
    let remote: SocketAddr = args.get("remote")?;
    let up = args.get::<String>("direction")? == "up";
    let (warm, seconds): (f64, f64) = (args.get("warm")?, args.get("seconds")?);
    let intervals: u32 = args.get("intervals")?;
    let begin = Instant::now();
    let total = Arc::new(AtomicU64::new(0));
    let socket = TcpStream::connect(remote).map_err(|e| e.to_string())?;
    let ended = fill(&socket, up, total.clone()).map_err(|e| e.to_string())?;
    let at = |seconds: f64| {
        thread::sleep((begin + Duration::from_secs_f64(seconds)).saturating_duration_since(Instant::now()));
        (total.load(Ordering::Relaxed), Instant::now())
    };
    let mut last = at(warm);
    let mut mbps = Vec::new();
    for i in 1..=intervals {
        let next = at(warm + seconds * f64::from(i));
        mbps.push(format!("{:.2}", (next.0 - last.0) as f64 * 8e-6 / (next.1 - last.1).as_secs_f64()));
        last = next;
    }
    if ended.is_finished() {
        return Err("the stream ended early".into());
    }
    cut(&socket);
    let seconds = begin.elapsed().as_secs_f64();
    Ok(format!(r#"{{"mbps":[{}],"seconds":{seconds:.4},"cpuMs":{}}}"#, mbps.join(","), cpu_ms()))
}

/// Ends a stream with a reset.
fn cut(socket: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (value, length) = (std::ptr::from_ref(&linger).cast(), size_of::<libc::linger>() as u32);
    // SAFETY: `value` points to a linger and its length is given.
    unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, length) };
}

/// Keeps a stream busy in one direction; `total` is what has arrived. Ends with the stream.
fn fill(socket: &TcpStream, up: bool, total: Arc<AtomicU64>) -> io::Result<thread::JoinHandle<()>> {
    let mut reader = socket.try_clone()?;
    let mut writer = socket.try_clone()?;
    if !up {
        writer.write_all(b"D")?;
        return Ok(thread::spawn(move || {
            let mut chunk = vec![0; CHUNK];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                total.fetch_add(n as u64, Ordering::Relaxed);
            }
        }));
    }
    thread::spawn(move || while writer.write_all(&[b'R'; CHUNK]).is_ok() {});
    Ok(thread::spawn(move || {
        let mut count = [0; 8];
        while reader.read_exact(&mut count).is_ok() {
            total.store(u64::from_be_bytes(count), Ordering::Relaxed);
        }
    }))
}

/// `remote=`, `direction=up|down`, `streams=`, `seconds=`: bytes that arrived at the far end of each stream.
pub(crate) fn stream(args: &Args) -> Result<String, String> {
    let remote: SocketAddr = args.get("remote")?;
    let up = args.get::<String>("direction")? == "up";
    let time = Duration::from_secs_f64(args.get("seconds")?);
    let total = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let workers: Vec<_> = (0..args.get::<u32>("streams")?)
        .map(|_| {
            let total = total.clone();
            thread::spawn(move || if up { push(remote, time, &total) } else { pull(remote, time, &total) })
        })
        .collect();
    for w in workers {
        w.join().map_err(|_| "a worker died")?.map_err(|e| e.to_string())?;
    }
    let (bytes, seconds) = (total.load(Ordering::Relaxed), begin.elapsed().as_secs_f64());
    Ok(format!(
        r#"{{"bytes":{bytes},"seconds":{seconds:.4},"mbps":{:.1},"cpuMs":{}}}"#,
        bytes as f64 * 8e-6 / seconds,
        cpu_ms()
    ))
}

fn push(remote: SocketAddr, time: Duration, total: &AtomicU64) -> io::Result<()> {
    let mut socket = TcpStream::connect(remote)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let chunk = vec![b'U'; CHUNK];
    let end = Instant::now() + time;
    while Instant::now() < end {
        socket.write_all(&chunk)?;
    }
    socket.shutdown(Shutdown::Write)?;
    let mut count = [0; 8];
    socket.read_exact(&mut count)?;
    total.fetch_add(u64::from_be_bytes(count), Ordering::Relaxed);
    Ok(())
}

fn pull(remote: SocketAddr, time: Duration, total: &AtomicU64) -> io::Result<()> {
    let mut socket = TcpStream::connect(remote)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(b"D")?;
    let mut chunk = vec![0; CHUNK];
    let end = Instant::now() + time;
    while Instant::now() < end {
        match socket.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => total.fetch_add(n as u64, Ordering::Relaxed),
        };
    }
    Ok(())
}

/// `remote=`, `count=`: a new connection and the first byte of a small response, one after another.
pub(crate) fn http(args: &Args) -> Result<String, String> {
    let remote: SocketAddr = args.get("remote")?;
    let mut times = Histogram::new();
    let mut failed = 0;
    let start = Instant::now();
    for _ in 0..args.get::<u32>("count")? {
        let begin = now();
        match exchange(remote) {
            Ok(socket) => {
                times.add(now() - begin);
                rest(socket);
            }
            Err(_) => failed += 1,
        }
    }
    Ok(quantiles(&times, failed, start))
}

fn exchange(remote: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(remote)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")?;
    socket.read_exact(&mut [0])?;
    Ok(socket)
}

fn rest(mut socket: TcpStream) {
    let _ = socket.read_to_end(&mut Vec::new());
}
