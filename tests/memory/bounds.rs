//! Every number of a configuration, tried with values that no one means: refused by name, or harmless.

use crate::{ALLOCATOR, alone};
use hydranet::train::Config;
use hydranet::{ModelSpec, Taxonomy};
use stats_alloc::Region;
use std::path::Path;
use toml::Value;

const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/heads");

/// Numbers that may be of any size: nothing is allocated or multiplied by them.
const ANY_SIZE: [&str; 8] = [
    // That training diverges is said when it does.
    "train.lr_",
    "train.seed",
    "train.patience",
    "train.unfreeze_every",
    "model.input.crop",
    "thresholds",
    "drop",
    "soft_width",
];

fn set(settings: &[&str]) -> Config {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Config::load(Path::new(HEADS), None, &settings).unwrap()
}

/// Configurations in which together every number there is occurs.
fn all() -> Vec<Config> {
    let mut all = vec![
        set(&[
            "model.joint={}",
            "model.input.crop=[200,200]",
            "model.input.crop_pct=0.9",
            "train.augment.random_resized_crop={}",
            "train.augment.color_jitter={brightness=0.1,contrast=0.1,saturation=0.1}",
            "train.report_gradients=1",
            "train.balancing.famo={}",
            "train.sampling.by_class={power=0.5}",
            "train.mix=[{kind={mix_up={alpha=0.2}},probability=0.5},{kind={cut_mix={alpha=1.0}},probability=0.5}]",
            "train.optimizer.sgd={momentum=0.9}",
            "train.batch_norm.frozen_stages=1",
            "train.fine_tune.last_stages=2",
            "heads.age.drop=[[17.0,18.0]]",
        ]),
        set(&["train.fine_tune=frozen", "train.lora={rank=4}"]),
        set(&[
            "train.balancing.grad_norm={}",
            "train.sampling.by_head={head=\"mask\",power=0.5}",
        ]),
        set(&["train.balancing.dynamic_average={temperature=2.0}"]),
    ];
    for loss in [
        "focal={gamma=2.0,alpha=[1.0,1.0,1.0]}",
        "ldam={}",
        "logit_adjusted={}",
        "generalized_cross_entropy={}",
        "symmetric_cross_entropy={}",
        "sum=[{kind=\"cross_entropy\",factor=1.0}]",
    ] {
        all.push(set(&[&format!("heads.mask.loss={{{loss}}}")]));
    }
    all.push(set(&["heads.mask.class_weights=[1.0,2.0,3.0]"]));
    all.push(set(&[
        "heads.mask.class_weights={effective_number={beta=0.9}}",
    ]));
    all
}

/// The places of all numbers, as keys and indices.
fn numbers(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Integer(_) | Value::Float(_) => found.push(at.clone()),
        Value::Table(table) => {
            for (key, value) in table {
                at.push(key.clone());
                numbers(value, at, found);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                at.push(i.to_string());
                numbers(value, at, found);
                at.pop();
            }
        }
        _ => {}
    }
}

fn put(value: &mut Value, at: &[String], new: Value) {
    match (at.split_first(), value) {
        (None, value) => *value = new,
        (Some((key, rest)), Value::Table(table)) => put(&mut table[key.as_str()], rest, new),
        (Some((i, rest)), Value::Array(items)) => {
            put(&mut items[i.parse::<usize>().unwrap()], rest, new);
        }
        _ => unreachable!(),
    }
}

/// What training would need is of a size that machines have.
fn is_sane(config: &Config) {
    let spec: ModelSpec = config.model_spec().unwrap();
    let classes = spec.taxonomy().as_ref().map_or(0, Taxonomy::num_classes);
    let width = spec.backbone.num_features();
    let heads = spec.heads.iter().map(|h| (h.layers.hidden, h.num_labels()));
    let joint = spec.joint.iter().map(|j| (j.hidden, classes));
    let values = heads.chain(joint).map(|(hidden, labels)| match hidden {
        0 => width * labels,
        hidden => hidden * (width + labels),
    });
    assert!(values.sum::<usize>() <= 1 << 28);
    let [h, w] = spec.input.size;
    assert!(spec.input.channels * h * w * 4 <= 1 << 30);
    assert!((2..=65_536).contains(&config.train.batch));
    assert!(config.train.feature_views <= 1000);
    assert!(config.train.queue_mib <= 1 << 20);
}

#[test]
fn every_number_of_a_configuration_is_bounded_or_harmless() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let values: Vec<Value> = [
        0.0,
        -1.0,
        1e5,
        1e18,
        1e300,
        f64::NAN,
        f64::INFINITY,
        -f64::INFINITY,
        5e-324,
    ]
    .into_iter()
    .map(Value::Float)
    .chain([0, -1, 100_000, 1_000_000_000_000_000_000, i64::MAX].map(Value::Integer))
    .collect();
    let mut tried = std::collections::BTreeSet::new();
    for config in all() {
        let whole: Value = toml::from_str(&config.to_toml().unwrap()).unwrap();
        let mut places = Vec::new();
        numbers(&whole, &mut Vec::new(), &mut places);
        for place in places {
            if !tried.insert(place.clone()) {
                continue;
            }
            for new in &values {
                let mut changed = whole.clone();
                put(&mut changed, &place, new.clone());
                std::fs::write(&file, toml::to_string(&changed).unwrap()).unwrap();
                let region = Region::new(ALLOCATOR);
                let read = Config::read(&file);
                let allocated = region.change().bytes_allocated;
                let what = format!("{} = {new}", place.join("."));
                assert!(allocated < 64 << 20, "{what}: {allocated} bytes");
                match read {
                    Err(e) => {
                        let message = e.to_string();
                        let key = place.iter().rev().find(|k| k.parse::<usize>().is_err());
                        let key = key.unwrap();
                        // Of two that contradict each other either may be named; both are of the train table.
                        let is_named = message.contains(key.as_str()) || message.contains("train.");
                        assert!(is_named, "{what}: {message}");
                        assert!(message.len() < 1500, "{what}: {message}");
                    }
                    Ok(config) => {
                        is_sane(&config);
                        let huge = match new {
                            Value::Float(v) => v.is_nan() || v.abs() >= 1e17,
                            Value::Integer(v) => v.unsigned_abs() > 1 << 56,
                            _ => false,
                        };
                        let may = ANY_SIZE.iter().any(|key| what.contains(key));
                        let nan = matches!(new, Value::Float(v) if v.is_nan());
                        assert!(!nan && (!huge || may), "{what} is taken");
                    }
                }
            }
        }
    }
    assert!(tried.len() > 80, "{}", tried.len());
}

#[test]
fn layers_batches_and_labels_that_no_memory_holds_are_refused_with_the_bound() {
    let _alone = alone();
    let refused = |settings: &[&str], words: &[&str]| {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let region = Region::new(ALLOCATOR);
        let message = Config::load(Path::new(HEADS), None, &settings)
            .unwrap_err()
            .to_string();
        let allocated = region.change().bytes_allocated;
        assert!(allocated < 1 << 30, "{settings:?}: {allocated} bytes");
        for word in words {
            assert!(
                message.contains(word),
                "{settings:?}, no `{word}`: {message}"
            );
        }
    };
    refused(&["train.batch=65537"], &["train.batch", "65536"]);
    refused(
        &["train.lora={rank=1000}"],
        &["lora.rank", "lesser side of `"],
    );
    // Ten heads of a hundred labels: 10^20 final classes.
    let labels: Vec<String> = (0..100).map(|i| format!("\"l{i}\"")).collect();
    let labels = labels.join(",");
    let heads: Vec<String> = (0..10)
        .map(|i| format!("heads.h{i}={{name=\"h{i}\",labels=[{labels}]}}"))
        .collect();
    let names: Vec<String> = (0..10).map(|i| format!("\"h{i}\"")).collect();
    let mut settings: Vec<&str> = heads.iter().map(String::as_str).collect();
    let model = format!("model.heads=[{}]", names.join(","));
    settings.push(&model);
    refused(&settings, &["final classes", "100000"]);
    // Many labels under a wide hidden layer.
    let labels: Vec<String> = (0..50_000).map(|i| format!("\"l{i}\"")).collect();
    let wide = format!(
        "heads.wide={{name=\"wide\",labels=[{}],hidden=60000}}",
        labels.join(",")
    );
    refused(&[&wide, "model.heads=[\"wide\"]"], &["hidden", "268435456"]);
}

#[test]
fn a_million_labels_are_counted_and_not_compared_with_each_other() {
    let _alone = alone();
    let labels = (0..1_000_000).map(|i| format!("l{i}"));
    let before = std::time::Instant::now();
    let message = Taxonomy::new([("a", labels.collect::<Vec<_>>())]).unwrap_err();
    assert!(message.to_string().contains("100000"), "{message}");
    assert!(before.elapsed().as_secs() < 20);
}
