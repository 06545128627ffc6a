//! A run goes on as what it was, or says what has changed since it began.

use crate::common::runs::{Bench, HEADS};
use hydranet::ModelFile;
use hydranet::data::dataset::Split;
use hydranet::model_file::to_bytes;
use hydranet::train::config::{Config, load_weights};
use hydranet::train::trainer::Trainer;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A run stopped in its second epoch.
fn stopped(settings: &[&str]) -> (Bench, Config) {
    let bench = Bench::new();
    let config = Bench::config(settings).unwrap();
    let steps = 9;
    let outcome = bench.train(&config, "run", false, Some(steps)).unwrap();
    assert!(outcome.stopped && outcome.progress.steps > 0);
    (bench, config)
}

/// The rows of the listing changed by `change`.
fn listing(bench: &Bench, change: impl Fn(&mut Vec<String>)) {
    let text = fs::read_to_string(&bench.data).unwrap();
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    let header = lines.remove(0);
    change(&mut lines);
    lines.insert(0, header);
    fs::write(&bench.data, lines.join("\n") + "\n").unwrap();
}

fn refused(bench: &Bench, config: &Config, words: &[&str]) {
    let error = bench.train(config, "run", true, None).unwrap_err();
    let message = format!("{error:#}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in {message}");
    }
}

#[test]
fn rows_in_another_order_are_refused_and_back_in_theirs_go_on() {
    let (bench, config) = stopped(&[]);
    let before = fs::read(&bench.data).unwrap();
    listing(&bench, |rows| rows.reverse());
    refused(&bench, &config, &["another order", "split.csv"]);
    listing(&bench, |rows| {
        rows.reverse();
        rows.swap(3, 4);
    });
    refused(&bench, &config, &["another order"]);
    // What is not the same data is said as ever.
    fs::write(&bench.data, &before).unwrap();
    listing(&bench, |rows| {
        rows.pop();
    });
    refused(&bench, &config, &["the same listings as before"]);
    fs::write(&bench.data, &before).unwrap();
    bench.train(&config, "run", true, None).unwrap();
}

#[test]
fn other_persons_are_refused() {
    let (bench, config) = stopped(&["train.sampling=\"one_photo_a_person\"", "train.batch=2"]);
    // path,person,mask,gender,age,split
    listing(&bench, |rows| {
        for row in rows {
            let mut cells: Vec<&str> = row.split(',').collect();
            let name = cells[0].to_string();
            cells[1] = &name;
            *row = cells.join(",");
        }
    });
    refused(&bench, &config, &["persons"]);
}

#[test]
fn settings_edited_in_a_stopped_run_are_named_with_both_values() {
    let (bench, config) = stopped(&[]);
    let changed = |change: fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        config
    };
    let cases: [(Config, &[&str]); 5] = [
        (
            changed(|c| c.train.lr_heads = 0.5),
            &["config.toml", "train.lr_heads", "0.002", "0.5", "epoch 2"],
        ),
        (
            changed(|c| {
                c.train.lr_heads = 0.5;
                c.train.batch = 4;
            }),
            &["train.lr_heads", "train.batch = 8", "train.batch = 4"],
        ),
        (
            changed(|c| c.train.epochs = 5),
            &[
                "train.epochs = 2",
                "train.epochs = 5",
                "schedule",
                "model.weights",
            ],
        ),
        (
            // The same tensors with another meaning.
            changed(|c| c.heads.get_mut("gender").unwrap().labels.names.reverse()),
            &["heads.gender.labels"],
        ),
        (
            changed(|c| c.train.split.valid = 0.33),
            &["train.split.valid", "0.33"],
        ),
    ];
    for (config, words) in &cases {
        refused(&bench, config, words);
    }
    // What changes nothing in the model may be other.
    let free = changed(|c| {
        c.train.queue_mib = 8;
        c.train.patience = 40;
    });
    bench.train(&free, "run", true, None).unwrap();
    bench.train(&config, "whole", false, None).unwrap();
    let tensors = |run: &str| {
        let file = ModelFile::read(bench.out(run).join("last.safetensors")).unwrap();
        to_bytes(&file.tensors, None).unwrap()
    };
    assert!(tensors("run") == tensors("whole"));
}

#[test]
fn a_finished_run_whose_epochs_are_raised_says_why_it_does_not_go_on() {
    let bench = Bench::new();
    let config = Bench::config(&[]).unwrap();
    bench.train(&config, "run", false, None).unwrap();
    let before = bench.bytes("run", "best.safetensors");
    // Resumed as it is, it is as it was.
    let again = bench.train(&config, "run", true, None).unwrap();
    assert_eq!(again.progress.epochs, 2);
    assert_eq!(bench.bytes("run", "best.safetensors"), before);
    let mut more = config.clone();
    more.train.epochs = 6;
    let words = [
        "finished after 2 epochs",
        "train.epochs = 2",
        "train.epochs = 6",
        "new run",
    ];
    refused(&bench, &more, &words);
}

#[test]
fn a_run_that_lost_patience_goes_on_with_more_of_it() {
    let bench = Bench::new();
    // Nothing learns, so the first epoch stays the best.
    let settings = |patience: &str| {
        Bench::config(&[
            "train.epochs=4",
            "train.lr_backbone=0",
            "train.lr_heads=0",
            "train.batch_norm=frozen",
            patience,
        ])
        .unwrap()
    };
    let impatient = settings("train.patience=1");
    let outcome = bench.train(&impatient, "run", false, None).unwrap();
    assert_eq!(outcome.progress.epochs, 2);
    let outcome = bench
        .train(&settings("train.patience=0"), "run", true, None)
        .unwrap();
    assert_eq!(outcome.progress.epochs, 4);
}

/// Trains, or goes on, without the photos that cannot be read.
fn without_broken(bench: &Bench, config: &Config, name: &str, resume: bool) {
    let mut dataset = bench.dataset(config);
    let stop = AtomicBool::new(false);
    let input = config.model_spec().unwrap().input;
    let faults = dataset.find_broken(&input, true, &stop, &mut |_, _| ());
    assert_eq!(faults.unwrap().unwrap().len(), 1);
    let weights = load_weights(config, Path::new(HEADS)).unwrap();
    let out = bench.out(name);
    let outcome = Trainer::new(config, weights, &dataset)
        .out(&out)
        .resume(resume)
        .stop(&stop)
        .run();
    assert!(!outcome.unwrap().stopped);
}

#[test]
fn an_epoch_that_goes_on_without_a_photo_that_broke_since_begins_again_as_it_was() {
    let bench = Bench::new();
    let config = Bench::config(&["train.ema=0.5"]).unwrap();
    // Twice within the second epoch, at its beginning, and within the first.
    let steps = bench.train(&config, "whole", false, None).unwrap();
    assert!(steps.progress.finished);
    let training = bench.dataset(&config);
    let photos = training.indices(Split::Train);
    let of_epoch = photos.len() / 8 + usize::from(photos.len() % 8 > 1);
    for (name, stops) in [
        ("within", &[of_epoch + 2, 1][..]),
        ("first", &[2]),
        ("between", &[of_epoch]),
    ] {
        for (i, steps) in stops.iter().enumerate() {
            let outcome = bench.train(&config, name, i > 0, Some(*steps)).unwrap();
            assert!(outcome.stopped);
        }
    }
    assert!(bench.out("within/epoch.safetensors").exists());
    std::fs::write(training.samples[photos[0]].path(), "broken").unwrap();
    for name in ["within", "first", "between"] {
        without_broken(&bench, &config, name, true);
        assert!(!bench.out(name).join("epoch.safetensors").exists());
    }
    without_broken(&bench, &config, "new", false);
    let last = |name: &str| bench.bytes(name, "last.safetensors");
    assert!(last("within") == last("between"), "begun again half");
    assert!(last("first") == last("new"), "begun again half");
    assert!(last("within") != last("whole"));
}

#[test]
fn an_epoch_whose_beginning_was_not_kept_does_not_go_on_with_other_photos() {
    let (bench, config) = stopped(&[]);
    std::fs::remove_file(bench.out("run/epoch.safetensors")).unwrap();
    let mut dataset = bench.dataset(&config);
    dataset.skipped.insert(dataset.indices(Split::Train)[0]);
    let weights = load_weights(&config, Path::new(HEADS)).unwrap();
    let (out, stop) = (bench.out("run"), AtomicBool::new(false));
    let error = Trainer::new(&config, weights, &dataset)
        .out(&out)
        .resume(true)
        .stop(&stop)
        .run();
    let message = error.unwrap_err().to_string();
    assert!(message.contains("epoch.safetensors"), "{message}");
}
