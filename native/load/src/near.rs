//! The side that starts: blasts at a rate, or waits for one answer at a time.

use crate::args::Args;
use crate::frame::{HEADER, Header, Kind, Report, cpu_ms, now};
use crate::histogram::Histogram;
use crate::port::Port;
use crate::quic::Link;
use std::time::{Duration, Instant};

/// Datagrams leave in bursts this far apart.
const TICK: Duration = Duration::from_micros(200);
/// A sender that was not scheduled for longer does not make up for it.
const MAX_CATCH_UP: f64 = 0.005;
/// Time for the last datagrams to arrive.
const SETTLE: Duration = Duration::from_millis(60);

/// `rate=`, `seconds=`, `size=`, `mode=echo|sink`: how many of how many arrived, and how late. With `lead=` it
/// sends at that rate for so many seconds before it counts, instead of warming up with a burst; `say=1` prints a line
/// when it begins.
pub(crate) fn blast(args: &Args) -> Result<String, String> {
    let size = args.get::<usize>("size")?.max(HEADER);
    let echo = args.get::<String>("mode")? == "echo";
    let (rate, seconds): (f64, f64) = (args.get("rate")?, args.get("seconds")?);
    let trial = std::process::id();
    let mut port = Port::near(args, size)?;
    let lead: f64 = args.or("lead", 0.0)?;
    if lead == 0.0 {
        warm_up(&mut port, size)?;
    }
    if args.or("say", 0)? == 1 {
        println!("begun");
    }
    let mut latency = Histogram::new();
    let (mut sent, mut credit) = (0u64, 0.0f64);
    let start = Instant::now();
    let begin = start + Duration::from_secs_f64(lead);
    let (mut last, mut next) = (start, start);
    loop {
        let t = Instant::now();
        let counts = t >= begin;
        if t.duration_since(begin).as_secs_f64() >= seconds {
            break;
        }
        if t >= next {
            credit += t.duration_since(last).as_secs_f64().min(MAX_CATCH_UP) * rate;
            (last, next) = (t, t + TICK);
            while credit >= 1.0 {
                credit -= 1.0;
                let trial = if counts { trial } else { 0 };
                let header = Header { kind: Kind::Data, trial, sequence: sent, nanos: now() };
                port.push(size, |out| header.write(out));
                sent += u64::from(counts);
            }
            port.flush();
        }
        port.receive(|d| count(d, trial, &mut latency))?;
        port.wait(next.saturating_duration_since(Instant::now()));
    }
    let took = begin.elapsed().as_secs_f64();
    let end = Instant::now() + SETTLE;
    while Instant::now() < end {
        port.receive(|d| count(d, trial, &mut latency))?;
        port.wait(end.saturating_duration_since(Instant::now()));
    }
    let report = if echo {
        Report { received: latency.total(), p50: latency.quantile(0.5), p99: latency.quantile(0.99) }
    } else {
        ask(&mut port, trial)?
    };
    let transport = port.describe()?;
    Ok(format!(
        r#"{{"sent":{sent},"received":{},"seconds":{took:.4},"p50Us":{:.1},"p99Us":{:.1},"cpuMs":{},"transport":{transport}}}"#,
        report.received,
        report.p50 as f64 / 1e3,
        report.p99 as f64 / 1e3,
        cpu_ms(),
    ))
}

fn count(datagram: &[u8], trial: u32, latency: &mut Histogram) {
    if let Some(h) = Header::read(datagram)
        && h.kind == Kind::Data
        && h.trial == trial
    {
        latency.add(now().saturating_sub(h.nanos));
    }
}

/// A slow start's worth of datagrams of another trial: measured is the steady state.
fn warm_up(port: &mut Port, size: usize) -> Result<(), String> {
    for _ in 0..50 {
        for _ in 0..20 {
            let header = Header { kind: Kind::Data, trial: 0, sequence: 0, nanos: now() };
            port.push(size, |out| header.write(out));
        }
        port.flush();
        port.receive(|_| {})?;
        port.wait(Duration::from_millis(2));
    }
    port.receive(|_| {})?;
    Ok(())
}

/// Asks the far end what it got, until it answers.
fn ask(port: &mut Port, trial: u32) -> Result<Report, String> {
    for question in 0..100 {
        let header = Header { kind: Kind::Query, trial, sequence: question, nanos: now() };
        port.push(Report::LENGTH, |out| header.write(out));
        port.flush();
        let end = Instant::now() + Duration::from_millis(20);
        while Instant::now() < end {
            let mut answer = None;
            port.receive(|d| match Header::read(d) {
                Some(h) if h.kind == Kind::Report && h.trial == trial => answer = Report::read(d),
                _ => {}
            })?;
            if let Some(report) = answer {
                return Ok(report);
            }
            port.wait(end.saturating_duration_since(Instant::now()));
        }
    }
    Err("the far end does not answer".into())
}

/// `count=`, `size=`: one datagram under way at a time.
pub(crate) fn rtt(args: &Args) -> Result<String, String> {
    let size = args.get::<usize>("size")?.max(HEADER);
    let wanted: u64 = args.get("count")?;
    let trial = std::process::id();
    let mut port = Port::near(args, size)?;
    warm_up(&mut port, size)?;
    let begin = Instant::now();
    if let Port::Quic { link } = &port {
        let (times, lost) = link.ping(wanted, size)?;
        return Ok(quantiles(&times, lost, begin));
    }
    let mut times = Histogram::new();
    let mut lost = 0;
    for sequence in 0..wanted {
        let sent = now();
        port.push(size, |out| Header { kind: Kind::Data, trial, sequence, nanos: sent }.write(out));
        port.flush();
        let end = Instant::now() + Duration::from_millis(200);
        let mut back = false;
        while !back && Instant::now() < end {
            port.wait(end.saturating_duration_since(Instant::now()));
            port.receive(|d| {
                back |= Header::read(d).is_some_and(|h| h.trial == trial && h.sequence == sequence)
            })?;
        }
        if back { times.add(now() - sent) } else { lost += 1 }
    }
    Ok(quantiles(&times, lost, begin))
}

/// `count=`: full handshakes one after another, none resumed.
pub(crate) fn handshake(args: &Args) -> Result<String, String> {
    let mut link = Link::new(args)?;
    let begin = Instant::now();
    let mut times = Histogram::new();
    for i in 0..args.get::<u64>("count")? {
        times.add(link.connect(&format!("n{i}.invalid"))?.as_nanos() as u64);
        link.close();
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(quantiles(&times, 0, begin))
}

pub(crate) fn quantiles(times: &Histogram, failed: u64, begin: Instant) -> String {
    let seconds = begin.elapsed().as_secs_f64();
    let us = |q| times.quantile(q) as f64 / 1e3;
    let (p50, p99, min) = (us(0.5), us(0.99), us(0.0001));
    format!(
        r#"{{"count":{},"failed":{failed},"p50Us":{p50:.1},"p99Us":{p99:.1},"minUs":{min:.1},"seconds":{seconds:.4},"cpuMs":{}}}"#,
        times.total(),
        cpu_ms()
    )
}
