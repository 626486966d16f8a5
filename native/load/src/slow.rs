//! Makes another process slow: it runs a share of the time and stands still for the rest, in turns much shorter than
//! what is measured. So a machine of two cores can offer a process more than it can carry.

use crate::args::Args;
use std::io::Write;
use std::time::{Duration, Instant};

/// `pid=`, `run_us=`, `halt_us=`: goes on until standard input ends, and leaves the process running.
pub(crate) fn run(args: &Args) -> Result<String, String> {
    let pid: libc::pid_t = args.get("pid")?;
    let [run, halt] = ["run_us", "halt_us"].map(|n| args.get(n).map(Duration::from_micros));
    let (run, halt) = (run?, halt?);
    // Whoever ends us closes our input too; ended in between, we would leave the process standing.
    // SAFETY: no handler, no memory involved.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    println!("slowing");
    let _ = std::io::stdout().flush();
    let end = ended_input();
    let mut next = Instant::now();
    while !end.is_finished() {
        for (signal, time) in [(libc::SIGSTOP, halt), (libc::SIGCONT, run)] {
            // SAFETY: no memory involved. The process is the caller's own child's.
            if unsafe { libc::kill(pid, signal) } < 0 {
                return Err(format!("process {pid} is gone"));
            }
            next += time;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    Ok(String::new())
}

fn ended_input() -> std::thread::JoinHandle<()> {
    std::thread::spawn(|| drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink())))
}
