//! Connections that are over, and are kept for a while to answer what still comes (RFC 9000 §10.2).

use crate::support::direct::{Direct, plan};
use crate::support::proxy::Trouble;
use crate::support::*;
use std::time::{Duration, Instant};

#[test]
fn a_closed_connection_with_several_paths_does_not_keep_the_thread_busy() {
    let mut d = Direct::start(&plan());
    let narrow = Trouble { bytes_per_second: Some(60_000), ..Trouble::default() };
    d.line = Proxy::with_trouble(d.r.b.address(), narrow, 1);
    d.show();
    let path = d.find();
    d.prefer(path);
    let conn = d.inner.client;
    let stream = d.r.a.open(conn, false);
    d.r.a.write(conn, stream, pattern(1 << 20, 5), true);
    // Packets wait before the narrow line, and round trips with them.
    let waits = |o: &mut Owner| o.paths(conn).iter().map(|p| p.rtt).max().unwrap_or_default();
    d.r.a.ask_until("a long round trip", waits, |rtt| *rtt > Duration::from_millis(400));
    d.r.a.close(conn, 0, "");
    let before = d.r.a.stats();
    let begun = Instant::now();
    let mut busy = Duration::ZERO;
    let mut loops = 0;
    while d.r.a.stats().connections > 1 && begun.elapsed() < Duration::from_secs(30) {
        std::thread::park_timeout(Duration::from_millis(50));
        let now = d.r.a.stats();
        loops = now.loops - before.loops;
        busy = now.thread_cpu.saturating_sub(before.thread_cpu);
    }
    assert!(loops < 2_000, "{loops} turns of the loop, {busy:?} of CPU, in {:?}", begun.elapsed());
}
