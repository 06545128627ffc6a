//! Runs whose photos stand on sides that are told.

use super::runs::{Bench, HEADS};
use hydranet::ModelFile;
use hydranet::data::{Dataset, Split};
use hydranet::train::{Config, Trainer, load_weights};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The bench's listing without its column `split`.
pub fn bench() -> Bench {
    let bench = Bench::new();
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let rows = text.lines().map(|l| l.rsplit_once(',').unwrap().0);
    write(&bench.data, rows.map(String::from));
    bench
}

pub fn write(path: &Path, rows: impl Iterator<Item = String>) {
    std::fs::write(path, rows.map(|r| r + "\n").collect::<String>()).unwrap();
}

pub fn rows(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(String::from).collect()
}

pub fn config(seed: u64, more: &[&str]) -> Config {
    let seed = format!("train.seed={seed}");
    let mut settings = vec!["train.epochs=1", "train.fine_tune=frozen", &seed];
    settings.extend(more);
    Bench::config(&settings).unwrap()
}

pub fn open(data: &[PathBuf], config: &Config) -> Dataset {
    Dataset::open(data, &config.model_spec().unwrap().heads).unwrap()
}

/// Trains on a listing, and gives the model and where each photo stood, by the name of its file.
pub fn trained(
    bench: &Bench,
    data: &[PathBuf],
    config: &Config,
    out: &str,
) -> (ModelFile, BTreeMap<String, Split>) {
    let mut dataset = open(data, config);
    dataset
        .put_on_sides(
            &config.train.split,
            config.train.seed,
            &config.train.corrections,
        )
        .unwrap();
    let weights = load_weights(config, Path::new(HEADS)).unwrap();
    let out = bench.out(out);
    let trainer = Trainer::new(config, weights, &dataset);
    trainer.out(&out).run().unwrap();
    let sides = dataset.samples.iter();
    let sides = sides
        .map(|s| (file_name(s.path()), s.split.unwrap()))
        .collect();
    (
        ModelFile::read(out.join("best.safetensors")).unwrap(),
        sides,
    )
}

pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
