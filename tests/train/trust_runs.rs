//! Runs tell only what was measured, and settings and names are refused where they would break something later.

use crate::common::runs;
use crate::common::runs::Bench;
use hydranet::eval::metrics::Metric;
use hydranet::train::config::load_weights;
use hydranet::train::optim::pattern::matches;
use hydranet::train::run_folder::EpochRecord;
use hydranet::train::trainer::{Event, Trainer};
use hydranet::{Architecture, HeadSpec, InputSpec, ModelFile, ModelSpec};

/// The bench's portraits with every photo on the side `side` gives it, by row.
fn on_sides(bench: &mut Bench, side: impl Fn(usize) -> &'static str) {
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let mut lines = text.lines();
    let mut out = lines.next().unwrap().to_string() + "\n";
    for (i, line) in lines.enumerate() {
        let (row, _) = line.rsplit_once(',').unwrap();
        out += &format!("{row},{}\n", side(i));
    }
    std::fs::write(&bench.data, out).unwrap();
}

#[test]
fn without_a_validation_side_no_score_is_written_and_the_last_epoch_is_the_model() {
    let mut bench = Bench::new();
    on_sides(&mut bench, |i| if i % 5 == 0 { "test" } else { "train" });
    let config = Bench::config(&["train.patience=1", "train.epochs=3"]).unwrap();
    let outcome = bench.train(&config, "run", false, None).unwrap();
    assert_eq!(outcome.progress.best, None);
    assert_eq!(
        outcome.progress.records.len(),
        3,
        "patience had nothing to go by"
    );
    assert_eq!(
        bench.bytes("run", "best.safetensors"),
        bench.bytes("run", "last.safetensors")
    );
    let record = outcome.progress.records.last().unwrap();
    assert_eq!((record.macro_f1, record.accuracy), (None, None));
    assert!(record.head_accuracy.iter().all(Option::is_none));
    let metrics = String::from_utf8(bench.bytes("run", "metrics.csv")).unwrap();
    assert!(
        metrics.lines().nth(1).unwrap().ends_with(",,,,,,,,,"),
        "{metrics}"
    );
    let file = ModelFile::read(bench.out("run").join("best.safetensors")).unwrap();
    assert_eq!(file.description.training["valid"]["epoch"], 3);
    assert!(file.description.training["valid"]["macro_f1"].is_null());
    let card = hydranet::model_file::folder::card(&file, None).unwrap();
    assert!(!card.contains("| final class | 0.0000"), "{card}");
}

#[test]
fn a_head_without_labels_on_the_validation_side_has_no_score_there() {
    let mut bench = Bench::new();
    // path,person,mask,gender,age,split
    on_sides(&mut bench, |i| ["train", "valid"][usize::from(i % 4 == 0)]);
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let rows = text.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[5] == "valid" {
            cells[3] = "";
        }
        cells.join(",") + "\n"
    });
    std::fs::write(&bench.data, rows.collect::<String>()).unwrap();
    let outcome = bench
        .train(&Bench::config(&[]).unwrap(), "run", false, None)
        .unwrap();
    let scores = outcome.scores.unwrap();
    let written: serde_json::Value =
        serde_json::from_slice(&bench.bytes("run", "scores.json")).unwrap();
    assert_eq!(written["heads"][1]["photos"], 0);
    for figure in ["accuracy", "macro_f1", "micro_f1", "balanced_accuracy"] {
        assert!(written["heads"][1].get(figure).is_none(), "{figure}");
        assert!(written["class"].get(figure).is_none(), "{figure}");
        assert!(written["heads"][0][figure].is_number(), "{figure}");
    }
    assert_eq!(scores.heads[1].get(Metric::MacroF1), None);
    let line = scores.to_string();
    let line = line.lines().find(|l| l.starts_with("gender")).unwrap();
    assert!(line.contains('–') && !line.contains("0.0000"), "{line}");
    let record = outcome.progress.records.last().unwrap();
    assert!(record.head_accuracy[0].is_some() && record.head_accuracy[2].is_some());
    assert_eq!(record.head_accuracy[1], None);
    assert_eq!(record.accuracy, None);
    let of_heads = [record.head_macro_f1[0], record.head_macro_f1[2]].map(Option::unwrap);
    assert_eq!(record.macro_f1, Some((of_heads[0] + of_heads[1]) / 2.0));
}

#[test]
fn a_label_without_a_photo_in_training_is_named_before_it_and_in_the_model_file() {
    let mut bench = Bench::new();
    on_sides(&mut bench, |i| ["train", "valid"][usize::from(i % 4 == 0)]);
    // path,person,mask,gender,age,split
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let rows = text.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[2] == "incorrect" && cells[5] == "train" {
            cells[2] = "worn";
        }
        cells.join(",") + "\n"
    });
    std::fs::write(&bench.data, rows.collect::<String>()).unwrap();
    let config = Bench::config(&["train.epochs=1"]).unwrap();
    let mut warnings = Vec::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let weights = load_weights(&config, std::path::Path::new(runs::HEADS)).unwrap();
    let mut tell = |event: &Event| match event {
        Event::Warning(text) => warnings.push(text.to_string()),
        Event::Epoch(_) => assert!(!warnings.is_empty()),
        _ => {}
    };
    Trainer::new(&config, weights, &bench.dataset(&config))
        .out(bench.out("run"))
        .stop(&stop)
        .on_event(&mut tell)
        .run()
        .unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("`incorrect`") && warnings[0].contains("`mask`"),
        "{warnings:?}"
    );
    let file = ModelFile::read(bench.out("run").join("last.safetensors")).unwrap();
    let noted = &file.description.training["without_photos"];
    assert_eq!(noted[0]["head"], "mask");
    assert_eq!(noted[0]["labels"], serde_json::json!(["incorrect"]));
    let card = hydranet::model_file::folder::card(&file, None).unwrap();
    assert!(card.contains("labels of mask without a photo in training: incorrect"));
}

#[test]
fn of_epochs_that_chance_tells_apart_the_last_is_the_model() {
    let bench = Bench::new();
    // Nothing learns but the heads, too slowly to change any answer.
    let config = Bench::config(&[
        "train.epochs=4",
        "train.lr_backbone=0",
        "train.lr_heads=1e-6",
        "train.mix_up=0",
        "train.batch_norm=frozen",
        "train.weight_decay=0",
    ])
    .unwrap();
    let outcome = bench.train(&config, "run", false, None).unwrap();
    let records: &[EpochRecord] = &outcome.progress.records;
    let (chosen, epoch) = outcome.progress.best.unwrap();
    assert_eq!(
        (epoch, records[3].macro_f1),
        (4, Some(chosen)),
        "{records:?}"
    );
    let file = |name: &str| std::fs::read(bench.out("run").join(name)).unwrap();
    assert!(file("best.safetensors") == file("last.safetensors"));
}

#[test]
fn names_that_would_collide_in_a_table_or_break_one_are_refused_and_named() {
    let fails = |heads: &[(&str, &[&str])]| {
        let heads = heads
            .iter()
            .map(|(n, l)| HeadSpec::new(*n, l.to_vec()))
            .collect();
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let spec = ModelSpec::new(backbone, heads, InputSpec::default());
        spec.validate().unwrap_err().to_string()
    };
    for reserved in [
        "class", "name", "prob", "joint", "path", "listing", "person", "split",
    ] {
        let message = fails(&[(reserved, &["a", "b"])]);
        assert!(message.contains(&format!("`{reserved}`")), "{message}");
    }
    let message = fails(&[("a", &["b_c", "d"]), ("a_b", &["c", "d"])]);
    assert!(message.contains("a_b_c"), "{message}");
    let message = fails(&[("a", &["b", "d"]), ("a_b", &["c", "d"])]);
    assert!(message.contains("a_b"), "{message}");
    let message = fails(&[("a", &["truth", "lie"])]);
    assert!(message.contains("a_truth"), "{message}");
    let message = fails(&[("a", &["x", "y"]), ("a_truth", &["c", "d"])]);
    assert!(message.contains("a_truth"), "{message}");
    let message = fails(&[("a", &["b_truth", "d"]), ("a_b", &["x", "y"])]);
    assert!(message.contains("a_b_truth"), "{message}");
    let message = fails(&[("a", &[&"x".repeat(65_536), "y"])]);
    assert!(
        message.contains("65536") && message.len() < 400,
        "{message}"
    );
    let message = fails(&[("a", &["red\u{1b}[31m", "y"])]);
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

#[test]
fn a_pattern_of_many_stars_is_matched_at_once() {
    let name = "backbone.blocks.3.conv.weight".repeat(40);
    assert!(!matches("************Q", &name));
    assert!(!matches(&("*a".repeat(2000) + "Q"), &name));
    assert!(matches(&"*".repeat(60_000), &name));
    for (pattern, name, is) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("a*", "ab", true),
        ("*a", "ba", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a*b*a", "aba", true),
        ("a*ba*a", "aba", false),
        ("é*é", "éüé", true),
        ("abc", "abcd", false),
    ] {
        assert_eq!(matches(pattern, name), is, "{pattern} {name}");
    }
}

#[test]
fn settings_without_bound_are_refused_with_the_bound() {
    for (setting, bound) in [
        ("train.lora={rank=100000}", "1024"),
        ("train.lora={rank=1000000000000000000}", "1024"),
        ("train.queue_mib=1000000000000000", "1048576"),
    ] {
        let error = Bench::config(&[setting]).unwrap_err();
        assert!(format!("{error:#}").contains(bound), "{error}");
    }
}
