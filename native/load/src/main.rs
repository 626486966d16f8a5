//! Load generator of `ztna bench`: `ztna-load ROLE name=value…`. What was measured is one line of JSON on
//! stdout. Long-running roles print one line when they are ready and end with their standard input.

mod args;
#[cfg(target_os = "linux")]
mod bridge;
mod far;
mod frame;
mod histogram;
mod link;
mod near;
mod port;
mod quic;
mod slow;
mod tcp;
mod udp;

use std::io::{Read, Write};

fn main() {
    let mut words = std::env::args().skip(1);
    let role = words.next().unwrap_or_default();
    let outcome = args::Args::parse(words).and_then(|args| match role.as_str() {
        "blast" => near::blast(&args),
        "rtt" => near::rtt(&args),
        "handshake" => near::handshake(&args),
        "far" => far::run(&args),
        "link" => link::run(&args),
        #[cfg(target_os = "linux")]
        "bridge" => bridge::run(&args),
        "tcp-server" => tcp::serve(&args),
        "tcp" => tcp::stream(&args),
        "flow" => tcp::flow(&args),
        "http" => tcp::http(&args),
        "slow" => slow::run(&args),
        _ => Err(format!(
            "{role:?}: one of blast, rtt, handshake, far, link, bridge, tcp-server, tcp, flow, http, slow"
        )),
    });
    match outcome {
        Ok(line) => println!("{line}"),
        Err(e) => {
            eprintln!("ztna-load {role}: {e}");
            std::process::exit(1);
        }
    }
}

/// Says that a long-running role is ready; from now on the end of standard input ends the process.
fn announce(what: &str) {
    println!("{what}");
    let _ = std::io::stdout().flush();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
