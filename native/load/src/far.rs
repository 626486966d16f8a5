//! The side that answers, until it is killed: echoes, or counts and reports.

use crate::args::Args;
use crate::frame::{Header, Kind, Report, now};
use crate::histogram::Histogram;
use crate::quic::{Link, PREFIX};
use crate::udp::{self, Batch};
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Trials whose counts are kept.
const TRIALS: usize = 64;

/// What arrived, by trial.
#[derive(Default)]
struct Counts(HashMap<u32, Histogram>);

impl Counts {
    /// Counts data; gives the answer to a question.
    fn take(&mut self, datagram: &[u8]) -> Option<(Header, Report)> {
        let h = Header::read(datagram)?;
        if self.0.len() >= TRIALS && !self.0.contains_key(&h.trial) {
            self.0.clear();
        }
        let latency = self.0.entry(h.trial).or_insert_with(Histogram::new);
        match h.kind {
            Kind::Data => latency.add(now().saturating_sub(h.nanos)),
            Kind::Query => {
                let [p50, p99] = [0.5, 0.99].map(|q| latency.quantile(q));
                let report = Report { received: latency.total(), p50, p99 };
                return Some((Header { kind: Kind::Report, ..h }, report));
            }
            Kind::Report => {}
        }
        None
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
    let mut batch = Batch::default();
    let mut counts = Counts::default();
    loop {
        let n = batch.receive(socket.as_raw_fd(), true).map_err(|e| e.to_string())?;
        if echo {
            batch.send(socket.as_raw_fd());
            continue;
        }
        let mut answers = 0;
        for i in 0..n {
            if let Some((header, report)) = counts.take(batch.datagram(i)) {
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
    let mut counts = Counts::default();
    loop {
        std::thread::park_timeout(Duration::from_millis(100));
        while let Some(frame) = link.receive()? {
            if frame.len() < PREFIX {
                continue;
            }
            if let Some((header, report)) = counts.take(&frame[PREFIX..]) {
                let mut out = [0; Report::LENGTH];
                header.write(&mut out);
                report.write(&mut out);
                link.send(frame[1], &out);
            }
        }
    }
}
