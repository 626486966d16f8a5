#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ztna_quic::fuzzing::run("tls_material", data));
