//! The training loop on a few synthetic portraits.

use hydranet::data::dataset::Split;
use hydranet::train::config::{Config, load_weights};
use hydranet::train::trainer::Trainer;
use hydranet::{Error, ModelFile};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::common::runs::{Bench, HEADS, moved};

#[test]
fn the_same_seed_gives_the_same_bytes_with_one_and_with_two_threads_and_another_seed_others() {
    let bench = Bench::new();
    let config = Bench::config(&["train.augment.rotation=10.0", "train.drop_path=0.1"]).unwrap();
    for (name, threads) in [("one", 1), ("two", 2), ("three", 3)] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| bench.train(&config, name, false, None))
            .unwrap();
    }
    for file in [
        "best.safetensors",
        "last.safetensors",
        "metrics.csv",
        "valid_predictions.csv",
        "config.toml",
        "split.csv",
    ] {
        assert!(
            bench.bytes("one", file) == bench.bytes("two", file),
            "{file}"
        );
        assert!(
            bench.bytes("one", file) == bench.bytes("three", file),
            "{file}"
        );
    }
    let other = Bench::config(&[
        "train.augment.rotation=10.0",
        "train.drop_path=0.1",
        "train.seed=1",
    ])
    .unwrap();
    bench.train(&other, "other", false, None).unwrap();
    assert!(bench.bytes("one", "last.safetensors") != bench.bytes("other", "last.safetensors"));
}

#[test]
fn a_run_stopped_anywhere_and_resumed_ends_with_the_bytes_of_one_that_was_not() {
    let bench = Bench::new();
    for (kind, settings) in [
        ("adam_w", vec![]),
        (
            "sgd",
            vec!["train.optimizer={sgd={momentum=0.9}}", "train.clip=1.0"],
        ),
        (
            "small_first",
            vec!["train.first_size=0.5", "model.input.size=[64,64]"],
        ),
    ] {
        let config = Bench::config(&settings).unwrap();
        let whole = format!("whole-{kind}");
        let steps = bench.train(&config, &whole, false, None).unwrap();
        assert!(!steps.stopped);
        let parts = format!("parts-{kind}");
        assert!(
            bench
                .train(&config, &parts, false, Some(2))
                .unwrap()
                .stopped
        );
        // A folder that holds a run is not overwritten by accident.
        assert!(
            bench
                .train(&config, &parts, false, None)
                .unwrap_err()
                .to_string()
                .contains("to go on")
        );
        assert!(bench.train(&config, &parts, true, Some(5)).unwrap().stopped);
        let read = Config::read(&bench.out(&parts).join("config.toml")).unwrap();
        assert_eq!(read, config);
        assert!(!bench.train(&read, &parts, true, None).unwrap().stopped);
        for file in [
            "best.safetensors",
            "last.safetensors",
            "metrics.csv",
            "scores.json",
            "state.safetensors",
        ] {
            assert!(
                bench.bytes(&whole, file) == bench.bytes(&parts, file),
                "{kind} {file}"
            );
        }
    }
}

#[test]
fn a_frozen_backbone_stays_bit_for_bit_a_partly_frozen_one_moves_where_it_is_trained_and_a_full_one_everywhere()
 {
    let bench = Bench::new();
    let frozen = Bench::config(&[
        "train.fine_tune=frozen",
        "train.mix_up=0",
        "train.augment.flip=0.0",
    ])
    .unwrap();
    bench.train(&frozen, "frozen", false, None).unwrap();
    assert_eq!(moved(&bench, &frozen, "frozen"), Vec::<String>::new());
    // With mix-up the features cannot be kept; the backbone stays all the same.
    let mixed = Bench::config(&["train.fine_tune=frozen"]).unwrap();
    bench.train(&mixed, "mixed", false, None).unwrap();
    assert_eq!(moved(&bench, &mixed, "mixed"), Vec::<String>::new());
    let partly = Bench::config(&["train.fine_tune={last_stages=2}"]).unwrap();
    bench.train(&partly, "partly", false, None).unwrap();
    let names = moved(&bench, &partly, "partly");
    assert!(names.contains(&"backbone.bn2.running_mean".to_string()));
    assert!(
        names.iter().all(|n| {
            ["backbone.blocks.6.", "backbone.conv_head.", "backbone.bn2."]
                .iter()
                .any(|p| n.starts_with(p))
        }),
        "{names:?}"
    );
    let full = Bench::config(&["train.batch_norm=frozen"]).unwrap();
    bench.train(&full, "full", false, None).unwrap();
    let names = moved(&bench, &full, "full");
    assert!(names.contains(&"backbone.conv_stem.weight".to_string()));
    assert!(
        names.iter().all(|n| !n.contains("running_")),
        "frozen statistics moved"
    );
}

#[test]
fn kept_features_train_the_heads_as_recomputed_ones_do() {
    let bench = Bench::new();
    let base = [
        "train.fine_tune=frozen",
        "train.augment.flip=0.0",
        "train.mix_up=0",
    ];
    let kept = Bench::config(&base).unwrap();
    bench.train(&kept, "kept", false, None).unwrap();
    // A rotation of nothing worth mentioning keeps the pixels but not the shortcut.
    let again = Bench::config(&[&base[..], &["train.augment.rotation=1e-9"]].concat()).unwrap();
    bench.train(&again, "again", false, None).unwrap();
    let tensor = |run: &str| {
        let file = ModelFile::read(bench.out(run).join("last.safetensors")).unwrap();
        file.tensors["heads.mask.fc.weight"]
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
    };
    let worst = tensor("kept")
        .iter()
        .zip(tensor("again"))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn photos_without_a_label_train_the_other_heads() {
    let bench = Bench::new();
    let config = Bench::config(&[]).unwrap();
    let mut dataset = bench.dataset(&config);
    for sample in dataset
        .samples
        .iter_mut()
        .filter(|s| s.split == Some(Split::Train))
        .skip(6)
    {
        sample.values[1] = None;
        sample.values[2] = None;
    }
    let weights = load_weights(&config, Path::new(HEADS)).unwrap();
    let stop = AtomicBool::new(false);
    let outcome = Trainer::new(&config, weights, &dataset)
        .out(bench.out("some"))
        .stop(&stop)
        .run()
        .unwrap();
    assert_eq!(outcome.progress.records.len(), 2);
}

#[test]
fn the_loss_of_a_head_of_weight_nought_moves_nothing_but_by_decay() {
    let bench = Bench::new();
    let none = [
        "heads.mask.weight=0",
        "heads.gender.weight=0",
        "heads.age.weight=0",
        "train.weight_decay=0",
    ];
    let config = Bench::config(&[&none[..], &["train.batch_norm=frozen"]].concat()).unwrap();
    bench.train(&config, "none", false, None).unwrap();
    assert_eq!(moved(&bench, &config, "none"), Vec::<String>::new());
}

#[test]
fn patience_stops_a_run_that_no_longer_improves() {
    let bench = Bench::new();
    let config = Bench::config(&[
        "train.epochs=6",
        "train.patience=1",
        "train.lr_backbone=0",
        "train.lr_heads=0",
        "train.batch_norm=frozen",
    ])
    .unwrap();
    let outcome = bench.train(&config, "patience", false, None).unwrap();
    assert_eq!(outcome.progress.records.len(), 2);
    assert_eq!(outcome.progress.highest().unwrap().1, 1);
}

#[test]
fn an_exploding_loss_is_an_error_that_names_it_and_keeps_what_was_saved() {
    let bench = Bench::new();
    let config = Bench::config(&[
        "train.lr_heads=1e30",
        "train.lr_backbone=1e30",
        "train.warm_up=0.0",
        "train.epochs=3",
    ])
    .unwrap();
    let error = bench.train(&config, "boom", false, None).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    assert!(format!("{error:#}").contains("epoch 1"), "{error}");
    assert!(bench.out("boom").join("config.toml").exists());
}

#[test]
fn an_empty_training_split_and_a_head_nobody_has_a_label_of_are_errors() {
    let bench = Bench::new();
    let config = Bench::config(&[]).unwrap();
    let weights = || load_weights(&config, Path::new(HEADS)).unwrap();
    let stop = AtomicBool::new(false);
    let mut dataset = bench.dataset(&config);
    dataset.samples.retain(|s| s.split == Some(Split::Test));
    let error = Trainer::new(&config, weights(), &dataset)
        .out(bench.out("empty"))
        .stop(&stop)
        .run()
        .unwrap_err();
    assert!(error.to_string().contains("train split"), "{error}");
    let mut dataset = bench.dataset(&config);
    dataset.samples.iter_mut().for_each(|s| s.values[1] = None);
    let error = Trainer::new(&config, weights(), &dataset)
        .out(bench.out("nobody"))
        .stop(&stop)
        .run()
        .unwrap_err();
    assert!(error.to_string().contains("gender"), "{error}");
}

#[test]
fn heads_of_the_users_own_two_or_five_work_the_same_way() {
    let bench = Bench::new();
    for (count, classes) in [(2, 6), (5, 6 * 8)] {
        let folder = bench.out(&format!("heads-{count}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut names = Vec::new();
        for i in 0..count {
            let name = format!("h{i}");
            let text = match i {
                0 => "labels = ['worn', 'incorrect', 'not_worn']\ncolumn = 'mask'\nhidden = 8\nloss = { focal = { gamma = 2.0 } }".to_string(),
                1 => "labels = ['male', 'female']\ncolumn = 'gender'\nclass_weights = 'balanced'".to_string(),
                _ => format!("labels = ['young', 'old']\ncolumn = 'age'\nthresholds = [{}]\nsmoothing = 0.1", 25 + 10 * i),
            };
            std::fs::write(
                folder.join(format!("{name}.toml")),
                format!("name = '{name}'\n{text}\n"),
            )
            .unwrap();
            names.push(format!("'{name}'"));
        }
        let weights = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/weights/tf_efficientnet_lite0.in1k.safetensors"
        );
        let model = format!(
            "backbone = 'tf_efficientnet_lite0'\nweights = '{weights}'\nheads = [{}]\n[input]\nsize = [32, 32]\n",
            names.join(", ")
        );
        std::fs::write(folder.join("model.toml"), model).unwrap();
        let config = Config::load(
            &folder,
            None,
            &["train.epochs=1".into(), "train.batch=8".into()],
        )
        .unwrap();
        let name = format!("run-{count}");
        bench.train(&config, &name, false, None).unwrap();
        let file = ModelFile::read(bench.out(&name).join("best.safetensors")).unwrap();
        assert_eq!(file.description.classes.len(), classes);
    }
}
