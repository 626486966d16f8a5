//! The side that answers, until it is killed: echoes, or counts and reports.

use crate::args::Args;
use crate::frame::{Header, Kind, Report, now};
use crate::histogram::Histogram;
use crate::quic::{Link, PREFIX};
use crate::udp::{self, Batch};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// What arrived of one trial.
struct Count {
    trial: u32,
    latency: Histogram,
}

impl Count {
    fn new() -> Self {
        Self { trial: 0, latency: Histogram::new() }
    }

    /// Counts data; gives the answer to a question.
    fn take(&mut self, datagram: &[u8]) -> Option<(Header, Report)> {
        let h = Header::read(datagram)?;
        if h.trial != self.trial {
            (self.trial, self.latency) = (h.trial, Histogram::new());
        }
        match h.kind {
            Kind::Data => {
                self.latency.add(now().saturating_sub(h.nanos));
                None
            }
            Kind::Query => {
                let l = &self.latency;
                let report = Report { received: l.total(), p50: l.quantile(0.5), p99: l.quantile(0.99) };
                Some((Header { kind: Kind::Report, ..h }, report))
            }
            Kind::Report => None,
        }
    }
}

/// `mode=echo|sink`, `via=udp listen=…` or `via=quic` with what [`Link::new`] needs.
pub(crate) fn run(args: &Args) -> Result<String, String> {
    let echo = args.get::<String>("mode")? == "echo";
    if args.get::<String>("via")? == "udp" { over_udp(args, echo) } else { over_quic(args, echo) }
}

fn over_udp(args: &Args, echo: bool) -> Result<String, String> {
    let socket = udp::bind(args.get("listen")?).map_err(|e| e.to_string())?;
    crate::announce(&socket.local_addr().map_err(|e| e.to_string())?.to_string());
    let mut batch = Batch::new();
    let mut count = Count::new();
    loop {
        let n = batch.receive(socket.as_raw_fd(), true).map_err(|e| e.to_string())?;
        if echo {
            batch.send(socket.as_raw_fd());
            continue;
        }
        let mut answers = 0;
        for i in 0..n {
            if let Some((header, report)) = count.take(batch.datagram(i)) {
                batch.replace(i, Report::LENGTH, |out| {
                    header.write(out);
                    report.write(out);
                });
                batch.swap(answers, i);
                answers += 1;
            }
        }
        batch.count = answers;
        if answers > 0 {
            batch.send(socket.as_raw_fd());
        }
    }
}

fn over_quic(args: &Args, echo: bool) -> Result<String, String> {
    let mut link = Link::new(args)?;
    link.connect("load")?;
    link.grow(args.get::<usize>("size")? + PREFIX)?;
    if echo {
        link.reflect();
    }
    crate::announce("ready");
    let mut count = Count::new();
    loop {
        std::thread::park_timeout(Duration::from_millis(100));
        while let Some(frame) = link.receive()? {
            if frame.len() < PREFIX {
                continue;
            }
            if let Some((header, report)) = count.take(&frame[PREFIX..]) {
                let mut out = [0; Report::LENGTH];
                header.write(&mut out);
                report.write(&mut out);
                link.send(frame[1], &out);
            }
        }
    }
}
