//! A run goes on as what it was, or says what has changed since it began.
#![cfg(feature = "train")]

mod runs;

use hydranet::ModelFile;
use hydranet::model_file::to_bytes;
use hydranet::train::config::Config;
use runs::Bench;
use std::fs;

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
    let message = error.to_string();
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
