//! Replays `native/fuzz/corpus/<target>/*`: samples, and every input that ever failed.

use std::fs;
use std::path::Path;

use super::TARGETS;

#[test]
fn every_committed_input_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("corpus of {name}: {error}"))
            .map(|entry| entry.expect("entry").path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for path in inputs {
            let data = fs::read(&path).expect("read");
            // Captured output: shown when this input panics.
            println!("{}", path.display());
            target(&data);
        }
    }
}

#[test]
fn every_target_has_a_binary() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("manifest");
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in native/fuzz/Cargo.toml");
        let source = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).expect("source");
        assert!(source.contains(&format!("\"{name}\"")), "{name} runs another target");
    }
}
