//! What is fuzzed: each target takes any bytes and must give a value or an error, never a panic. `cargo fuzz` runs them through
//! `fuzz_targets/`, and `tests/fuzz_corpus.rs` replays the corpus and some damage of it on every `cargo test`.

use hydranet::train::config::Config;
use hydranet::train::corrections::Corrections;
use hydranet::train::dataset::Dataset;
use hydranet::{HeadSpec, ModelFile, Photo};
use std::io::Write;
use std::path::Path;

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("photo", photo),
    ("model", model),
    ("pickle", pickle),
    ("manifest", manifest),
    ("corrections", corrections),
    ("head", head),
    ("settings", settings),
];

/// The bytes as a file with such an ending.
fn file(ending: &str, bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A photo.
pub fn photo(bytes: &[u8]) {
    let _ = Photo::decode(bytes, Path::new("photo.jpg"));
}

/// A model file: safetensors with its description.
pub fn model(bytes: &[u8]) {
    if let Ok(file) = ModelFile::from_bytes(bytes, "bytes") {
        let _ = file.build();
    }
}

/// A PyTorch file: a zip archive with a pickle.
pub fn pickle(bytes: &[u8]) {
    let _ = hydranet::weights::read(file(".pth", bytes).path());
}

/// A listing.
pub fn manifest(bytes: &[u8]) {
    let mut age = HeadSpec::new("age", ["young", "middle", "old"]);
    age.thresholds = vec![30.0, 60.0];
    let heads = [HeadSpec::new("mask", ["worn", "not_worn"]), age];
    let _ = Dataset::read(&[file(".csv", bytes).path().to_path_buf()], &heads);
}

/// A file of corrections, as TOML and as CSV.
pub fn corrections(bytes: &[u8]) {
    for name in ["fixes.toml", "fixes.csv"] {
        let _ = Corrections::default().add(bytes, Path::new(name));
    }
}

/// A head's file.
pub fn head(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(head) = toml::from_str::<HeadSpec>(&text) {
        let _ = head.validate();
    }
}

/// A run's settings.
pub fn settings(bytes: &[u8]) {
    if let Ok(config) = Config::read(file(".toml", bytes).path()) {
        let _ = config.model_spec();
    }
}
