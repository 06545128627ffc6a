//! Heads that pool, read stages and see other heads, in training.

use crate::common::runs::{Bench, HEADS};
use hydranet::train::dry_run::dry_run;
use hydranet::train::{Config, load_weights};
use hydranet::{Error, ModelFile, Predictor, Result};
use std::path::Path;

const OWN: [&str; 4] = [
    "heads.mask.pool=gem",
    "heads.gender.pool=attention",
    "heads.gender.from_stage=[4,5]",
    "heads.age.after=[\"mask\",\"gender\"]",
];

fn config(settings: &[&str]) -> Result<Config> {
    let all: Vec<&str> = OWN.iter().chain(settings).copied().collect();
    Bench::config(&all)
}

fn values(file: &ModelFile, name: &str) -> Vec<f32> {
    let tensor = &file.tensors[name];
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_run_teaches_what_heads_have_of_their_own() {
    let bench = Bench::new();
    let config = config(&["train.ema=0.5", "train.average_last=2", "train.parts=2"]).unwrap();
    bench.train(&config, "own", false, None).unwrap();
    let file = ModelFile::read(bench.out("own").join("last.safetensors")).unwrap();
    assert_ne!(values(&file, "heads.mask.pool.p"), [3.0]);
    let query = values(&file, "heads.gender.pool.query");
    assert_eq!(query.len(), 112 + 320);
    // Those of stage 5, whose map has one position here, have nothing to choose.
    assert!(query[..112].iter().all(|v| *v != 0.0));
    assert_eq!(
        file.tensors["heads.age.fc.weight"].dims(),
        [3, 1280 + 3 + 2]
    );
    let dataset = bench.dataset(&config);
    let photo = dataset.samples[0].path();
    Predictor::new(&file).unwrap().predict_file(photo).unwrap();
    // The same bytes when it is stopped and resumed.
    bench.train(&config, "halves", false, Some(3)).unwrap();
    bench.train(&config, "halves", true, None).unwrap();
    let name = "last.safetensors";
    assert!(bench.bytes("own", name) == bench.bytes("halves", name));
}

#[test]
fn kept_features_hold_what_heads_read_and_teach_the_same() {
    let bench = Bench::new();
    let frozen = [
        "train.fine_tune=frozen",
        "train.mix_up=0",
        "train.augment.flip=0",
    ];
    let folder = format!("train.feature_cache={}", bench.out("cache").display());
    let kept: Vec<&str> = frozen.into_iter().chain([folder.as_str()]).collect();
    let memory = config(&frozen).unwrap();
    let kept = config(&kept).unwrap();
    bench.train(&memory, "memory", false, None).unwrap();
    // Computed, then found; and beside those of other heads.
    bench.train(&kept, "computed", false, None).unwrap();
    bench.train(&kept, "found", false, None).unwrap();
    let plain: Vec<&str> = frozen.into_iter().chain([folder.as_str()]).collect();
    bench
        .train(&Bench::config(&plain).unwrap(), "plain", false, None)
        .unwrap();
    assert_eq!(std::fs::read_dir(bench.out("cache")).unwrap().count(), 2);
    for file in ["last.safetensors", "valid_predictions.csv", "metrics.csv"] {
        let memory = bench.bytes("memory", file);
        assert!(memory == bench.bytes("computed", file), "{file}");
        assert!(memory == bench.bytes("found", file), "{file}");
    }
    let file = ModelFile::read(bench.out("memory").join("last.safetensors")).unwrap();
    assert_ne!(values(&file, "heads.mask.pool.p"), [3.0]);
}

#[test]
fn a_dry_run_says_what_heads_add() {
    let config = config(&[]).unwrap();
    let weights = load_weights(&config, Path::new(HEADS)).unwrap();
    let plan = dry_run(&config, weights).unwrap();
    let costs: Vec<Option<u64>> = plan.parts.iter().map(|p| p.multiply_adds).collect();
    // Maps of 1 × 1 and, of stage 4, 2 × 2, of photos of 32 × 32.
    let gender = 2 * (112 * 4 + 320) + 2 * (112 + 320);
    let expected = [1280 + 3 * 1280, gender, 3 * (1280 + 3 + 2)];
    assert_eq!(costs[9..], expected.map(Some));
    assert_eq!(costs[..9], [None; 9]);
}

#[test]
fn weights_of_a_head_that_reads_something_else_are_refused() {
    let bench = Bench::new();
    let first = config(&["train.epochs=1"]).unwrap();
    bench.train(&first, "first", false, None).unwrap();
    let weights = format!(
        "model.weights={}",
        bench.out("first").join("last.safetensors").display()
    );
    let load = |settings: &[&str]| {
        let all: Vec<&str> = settings.iter().copied().chain([weights.as_str()]).collect();
        let config = config(&all).unwrap();
        load_weights(&config, Path::new(HEADS)).map(|_| ())
    };
    load(&[]).unwrap();
    for setting in [
        "heads.gender.from_stage=[5,4]",
        "heads.gender.pool=gem",
        "heads.mask.pool=average",
        "heads.age.after=[\"gender\",\"mask\"]",
    ] {
        let error = load(&[setting]).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains("from_stage") && message.contains("after"),
            "{message}"
        );
    }
}
