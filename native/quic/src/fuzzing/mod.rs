//! Fuzz targets: functions that must hold for any bytes. `native/fuzz` runs them under libFuzzer, the test
//! below replays the committed corpora on every `npm test`. No part of the product.

mod headers;
mod input;
mod queue;
mod reassembly;
#[cfg(test)]
mod replay;
mod routes;
mod tls;

/// A function that panics when a property does not hold for these bytes.
pub type Target = fn(&[u8]);

/// Every target under the name of its binary and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("cid", headers::cid),
    ("fair_queue", queue::fair_queue),
    ("fragment_split", reassembly::fragment_split),
    ("peer_chain", tls::peer_chain),
    ("reassembler", reassembly::reassembler),
    ("routes", routes::routes),
    ("socks_header", headers::socks_header),
    ("tls_material", tls::tls_material),
    ("token", headers::token),
];

/// Runs the target of that name. Panics when there is none.
pub fn run(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => target(data),
        None => panic!("no fuzz target {name}"),
    }
}
