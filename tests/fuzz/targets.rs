//! What is fuzzed: each target takes any bytes and must give a value or an error, never a panic. `cargo fuzz` runs them through
//! `fuzz_targets/`, and `tests/cli/fuzz_corpus.rs` replays the corpus and some damage of it on every `cargo test`.

use hydranet::data::Corrections;
use hydranet::data::Dataset;
use hydranet::heads::HeadsFile;
use hydranet::train::{Config, read_head};
use hydranet::{Ensemble, HeadSpec, InputSpec, ModelFile, Photo};
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
    ("ensemble", ensemble),
];

/// The bytes as a file with such an ending.
fn file(ending: &str, bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A photo, whole and as small as an input may be.
pub fn photo(bytes: &[u8]) {
    let _ = Photo::decode(bytes, Path::new("photo.jpg"));
    let small = InputSpec {
        size: [16, 16],
        crop: Some([100, 80]),
        reduce: true,
        ..InputSpec::default()
    };
    let photo = small.decode(bytes, Path::new("photo.jpg"));
    let _ = photo.and_then(|photo| small.prepare(&photo));
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
    age.labels.thresholds = vec![30.0, 60.0];
    let heads = [HeadSpec::new("mask", ["worn", "not_worn"]), age];
    let _ = Dataset::read(&[file(".csv", bytes).path().to_path_buf()], &heads);
}

/// A file of corrections, as TOML and as CSV.
pub fn corrections(bytes: &[u8]) {
    for ending in [".toml", ".csv"] {
        let _ = Corrections::read(&[file(ending, bytes).path()]);
    }
}

/// A head's file.
pub fn head(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(head) = toml::from_str::<HeadSpec>(&text) {
        let _ = head.validate();
    }
    let _ = read_head(file(".toml", bytes).path());
}

/// A run's settings, and settings laid over the shipped heads.
pub fn settings(bytes: &[u8]) {
    let file = file(".toml", bytes);
    if let Ok(config) = Config::read(file.path()) {
        let _ = config.model_spec();
    }
    // From the repository's folder or from one within it.
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = own.ancestors().map(|folder| folder.join("heads"));
    let heads = &folders.find(|h| h.join("model.toml").is_file()).unwrap();
    let _ = Config::load(heads, Some(file.path()), &[]);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let _ = Config::load(heads, None, &[text]);
}

/// What is given as a model of any kind: the manifest of an ensemble, a model, heads.
pub fn ensemble(bytes: &[u8]) {
    let file = file(".json", bytes);
    let _ = Ensemble::from_file(file.path());
    let _ = HeadsFile::read(file.path());
}
