//! Short runs on a few synthetic portraits.

use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::data::Dataset;
use hydranet::train::{Config, load_weights};
use hydranet::train::{Event, Outcome, Trainer};
use hydranet::{ModelFile, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The shipped heads.
pub const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/heads");

/// Portraits of 20 people, 32 × 32 input, two short epochs.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub data: PathBuf,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = write_portraits(
            &dir.path().join("faces"),
            &PortraitConfig {
                people: 20,
                seed: 1,
                size: (48, 48),
            },
        )
        .unwrap();
        Self { dir, data }
    }

    pub fn config(settings: &[&str]) -> Result<Config> {
        let small = [
            "model.input.size=[32,32]",
            "train.epochs=2",
            "train.batch=8",
            "train.mix_up=0.2",
        ];
        let settings: Vec<String> = small
            .iter()
            .chain(settings)
            .map(ToString::to_string)
            .collect();
        Config::load(Path::new(HEADS), None, &settings)
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn dataset(&self, config: &Config) -> Dataset {
        Dataset::open(
            std::slice::from_ref(&self.data),
            &config.model_spec().unwrap().heads,
        )
        .unwrap()
    }

    pub fn train(
        &self,
        config: &Config,
        name: &str,
        resume: bool,
        stop_after: Option<usize>,
    ) -> Result<Outcome> {
        let stop = AtomicBool::new(false);
        let mut steps = 0;
        let weights = load_weights(config, Path::new(HEADS))?;
        Trainer::new(config, weights, &self.dataset(config))
            .out(self.out(name))
            .resume(resume)
            .stop(&stop)
            .on_event(|event| {
                if let Event::Step { .. } = event {
                    steps += 1;
                    if Some(steps) == stop_after {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            })
            .run()
    }

    pub fn bytes(&self, run: &str, file: &str) -> Vec<u8> {
        std::fs::read(self.out(run).join(file)).unwrap()
    }
}

/// The tensors of `last.safetensors` that differ from the pretrained ones.
pub fn moved(bench: &Bench, config: &Config, run: &str) -> Vec<String> {
    let before = load_weights(config, Path::new(HEADS)).unwrap();
    let after = ModelFile::read(bench.out(run).join("last.safetensors"))
        .unwrap()
        .tensors;
    let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    before
        .iter()
        .filter(|(n, t)| values(t) != values(&after[*n]))
        .map(|(n, _)| n.clone())
        .collect()
}
