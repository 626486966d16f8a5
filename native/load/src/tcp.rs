//! TCP: a server that counts, fills or answers, and the client that measures with it.
//!
//! First byte of a connection: `U` the server reads to the end and answers with the count (u64),
//! `D` it sends until the connection ends, `G` it answers a request that ends with an empty line.

use crate::args::Args;
use crate::frame::{cpu_ms, now};
use crate::histogram::Histogram;
use crate::near::quantiles;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CHUNK: usize = 256 << 10;
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
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
