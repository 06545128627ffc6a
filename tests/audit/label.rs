//! Soft labels of portraits by models that have not seen their persons.

use crate::audit::label::{LabelConfig, label};
use crate::common::runs::HEADS;
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::data::dataset::{Dataset, Value};
use hydranet::data::soft_labels::{SoftLabels, names};
use hydranet::train::Config;
use hydranet::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

struct Bench {
    dir: tempfile::TempDir,
    data: PathBuf,
    config: Config,
}

/// Portraits of so many people and heads that are taught for long, on features.
fn bench(people: usize, epochs: usize) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let portraits = PortraitConfig {
        people,
        seed: 5,
        size: (64, 64),
    };
    let data = write_portraits(&dir.path().join("faces"), &portraits).unwrap();
    let cache = dir.path().join("features");
    let settings = [
        "model.input.size=[64,64]".to_string(),
        "train.fine_tune=frozen".into(),
        format!("train.epochs={epochs}"),
        "train.lr_heads=0.02".into(),
        "train.batch=16".into(),
        format!("train.feature_cache={:?}", cache.display().to_string()),
    ];
    let config = Config::load(Path::new(HEADS), None, &settings).unwrap();
    Bench { dir, data, config }
}

impl Bench {
    fn dataset(&self) -> Dataset {
        let heads = self.config.model_spec().unwrap().heads;
        Dataset::open(std::slice::from_ref(&self.data), &heads).unwrap()
    }

    fn label(
        &self,
        data: (&Dataset, usize),
        [folds, rounds]: [usize; 2],
        stop_at: Option<usize>,
    ) -> Result<Option<SoftLabels>> {
        let options = LabelConfig {
            folds,
            rounds,
            threshold: 0.5,
        };
        let (stop, mut events) = (AtomicBool::new(false), 0);
        let runs = self.dir.path().join("labels.runs");
        label(
            &self.config,
            Path::new(HEADS),
            data,
            &options,
            &runs,
            &stop,
            &mut |_| {
                events += 1;
                stop.fetch_or(Some(events) == stop_at, Ordering::Relaxed);
            },
        )
    }
}

/// The share of photos whose likeliest gender is the given one.
fn right(dataset: &Dataset, found: &SoftLabels) -> f64 {
    let samples: Vec<_> = dataset.samples.iter().collect();
    let names = names(&samples);
    let mut right = 0;
    for (sample, name) in samples.iter().zip(&names) {
        let row = found.of(name, sample).unwrap()[1].as_ref().unwrap();
        let said = usize::from(row[1] > row[0]);
        right += usize::from(sample.values[1] == Some(Value::Label(said)));
    }
    right as f64 / samples.len() as f64
}

#[test]
fn labels_that_only_a_model_knows_that_has_seen_the_person_are_not_known() {
    let bench = bench(36, 40);
    let mut dataset = bench.dataset();
    // Drawn for each person: what they look like says nothing of it.
    let mut drawn = BTreeMap::new();
    for sample in &mut dataset.samples {
        let count = drawn.len() as u64;
        let person = sample.person.clone().unwrap();
        let bit = *drawn
            .entry(person)
            .or_insert(count.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63);
        sample.values[1] = Some(Value::Label(bit as usize));
    }
    let known = dataset.samples.len();
    // Photos of the same persons that nobody has labelled: through them the labels could leak as well.
    let others = bench.dir.path().join("others");
    std::fs::create_dir_all(&others).unwrap();
    for (i, sample) in dataset.samples.iter().enumerate() {
        let photo = image::open(sample.path()).unwrap().fliph();
        photo.save(others.join(format!("{i:04}.png"))).unwrap();
    }
    let labelled = dataset.clone();
    dataset.add_unlabelled(&[others]).unwrap();
    let found = bench
        .label((&dataset, known), [4, 2], None)
        .unwrap()
        .unwrap();
    let by_others = right(&labelled, &found);
    assert!(by_others < 0.65, "{by_others}");
    // Those that have seen the persons do know: most models say of a photo without a label what its person was given.
    let mut seen = 0;
    for (i, sample) in dataset.samples[known..].iter().enumerate() {
        let row = found.of(&format!("{i:04}.png"), sample).unwrap()[1]
            .as_ref()
            .unwrap();
        let said = usize::from(row[1] > row[0]);
        seen += usize::from(labelled.samples[i].values[1] == Some(Value::Label(said)));
    }
    let by_all = seen as f64 / known as f64;
    assert!(by_all > 0.8, "{by_all}");
}

#[test]
fn a_labelling_that_was_stopped_goes_on_and_ends_alike() {
    let bench = bench(12, 3);
    let dataset = bench.dataset();
    let data = (&dataset, dataset.samples.len());
    let whole = bench.label(data, [3, 1], None).unwrap().unwrap();
    // As the command does once it has written the table.
    std::fs::remove_dir_all(bench.dir.path().join("labels.runs")).unwrap();
    assert!(bench.label(data, [3, 1], Some(12)).unwrap().is_none());
    let again = bench.label(data, [3, 1], None).unwrap().unwrap();
    let written = |labels: &SoftLabels, name: &str| {
        let path = bench.dir.path().join(name);
        labels.write(&path).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(written(&whole, "whole.csv") == written(&again, "again.csv"));
}

#[test]
fn rounds_without_photos_to_learn_from_and_a_teacher_are_refused() {
    let mut bench = bench(12, 1);
    let dataset = bench.dataset();
    let data = (&dataset, dataset.samples.len());
    for [folds, rounds] in [[3, 0], [3, 2], [1, 1]] {
        let error = bench
            .label(data, [folds, rounds], None)
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    bench.config.train.teacher = toml::from_str("model = \"best.safetensors\"").unwrap();
    let error = bench.label(data, [3, 1], None).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("train.teacher"), "{error}");
}
