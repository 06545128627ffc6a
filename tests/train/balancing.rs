//! Runs with each method of balancing the heads, and what a report of their gradients says.

use crate::common::differences::flat;
use crate::common::runs::{Bench, HEADS};
use candle_core::{Device, Tensor};
use hydranet::data::dataset::{Dataset, Split};
use hydranet::train::balancing::GradientReport;
use hydranet::train::config::{Config, load_weights};
use hydranet::train::run_folder::EpochRecord;
use hydranet::train::trainer::{Outcome, Trainer};
use hydranet::{ModelFile, Result};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const METHODS: [&str; 6] = [
    "fixed",
    "uncertainty",
    "{dynamic_average={}}",
    "{grad_norm={}}",
    "pc_grad",
    "{famo={}}",
];

fn with<'a>(settings: &[&'a str], more: &[&'a str]) -> Config {
    Bench::config(&[settings, more].concat()).unwrap()
}

/// Cells of `metrics.csv`, the titles first.
fn metrics(bench: &Bench, run: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(bench.bytes(run, "metrics.csv")).unwrap();
    let cells = |line: &str| line.split(',').map(String::from).collect();
    text.lines().map(cells).collect()
}

#[test]
fn with_each_method_a_run_stopped_and_resumed_ends_with_the_bytes_of_one_that_was_not() {
    let bench = Bench::new();
    for (i, method) in METHODS.iter().enumerate() {
        let method = format!("train.balancing={method}");
        // The third epoch is the first whose dynamic averages differ.
        let config = with(&["train.epochs=3", "train.report_gradients=3"], &[&method]);
        let (whole, parts) = (format!("whole-{i}"), format!("parts-{i}"));
        let outcome = bench.train(&config, &whole, false, None).unwrap();
        for (resume, stop) in [(false, Some(2)), (true, Some(6)), (true, None)] {
            bench.train(&config, &parts, resume, stop).unwrap();
        }
        for file in [
            "best.safetensors",
            "last.safetensors",
            "metrics.csv",
            "state.safetensors",
        ] {
            let same = bench.bytes(&whole, file) == bench.bytes(&parts, file);
            assert!(same, "{method} {file}");
        }
        let titles = metrics(&bench, &whole).swap_remove(0).join(",");
        let weights = "mask_weight,gender_weight,age_weight";
        assert_eq!(titles.contains(weights), i > 0, "{titles}");
        assert!(
            titles.ends_with(
                "mask_gradient,gender_gradient,age_gradient,mask_gender_cosine,mask_age_cosine,gender_age_cosine"
            ),
            "{titles}"
        );
        let records = outcome.progress.records;
        for (epoch, record) in records.iter().enumerate() {
            println!("{method} {:?} {:?}", record.head_weights, record.gradients);
            let weights: Vec<f64> = record.head_weights.iter().flatten().copied().collect();
            let sum: f64 = weights.iter().sum();
            match i {
                0 => assert!(weights.is_empty()),
                2 => assert!((sum - 3.0).abs() < 1e-9 && (weights != [1.0; 3]) == (epoch == 2)),
                3 => assert!((sum - 3.0).abs() < 1e-9 && weights != [1.0; 3]),
                5 => assert!((sum - 1.0).abs() < 1e-9),
                _ => assert!(weights.len() == 3 && weights != [1.0; 3]),
            }
        }
    }
    // Nobody goes on with another method.
    let other = with(&["train.epochs=4"], &["train.balancing=uncertainty"]);
    let error = bench.train(&other, "whole-0", true, None).unwrap_err();
    assert!(format!("{error:#}").contains("train.balancing"), "{error}");
}

#[test]
fn as_many_steps_are_measured_as_asked_for_spread_over_the_epoch() {
    let bench = Bench::new();
    let mut lengths = Vec::new();
    for (count, expected) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (500, 4)] {
        let name = format!("count-{count}");
        let config = with(&[], &[&format!("train.report_gradients={count}")]);
        let outcome = bench.train(&config, &name, false, Some(4)).unwrap();
        assert_eq!((outcome.progress.epochs, outcome.progress.steps), (0, 4));
        let state = serde_json::to_value(&outcome.progress.balancing).unwrap();
        let measured = state["norms"][0]["count"].as_u64().unwrap_or(0);
        lengths.push((count, measured, expected));
    }
    assert!(lengths.iter().all(|(_, a, b)| a == b), "{lengths:?}");
}

#[test]
fn measuring_gradients_does_not_change_the_model() {
    let bench = Bench::new();
    for (i, method) in ["fixed", "{grad_norm={}}"].iter().enumerate() {
        let method = format!("train.balancing={method}");
        let run = |count: usize| {
            let name = format!("{i}-{count}");
            let count = format!("train.report_gradients={count}");
            let config = with(&[&method], &[&count, "train.batch_norm=train"]);
            let outcome = bench.train(&config, &name, false, None).unwrap();
            (name, outcome.progress.records)
        };
        let (plain, records) = run(0);
        assert!(records.iter().all(|r| r.gradients.is_none()));
        let mut told = Vec::new();
        for count in [1, 2, 500] {
            let (name, records) = run(count);
            for file in ["best.safetensors", "last.safetensors", "scores.json"] {
                assert!(
                    bench.bytes(&plain, file) == bench.bytes(&name, file),
                    "{method}, {count} steps measured, {file}"
                );
            }
            for (plain, measured) in metrics(&bench, &plain).iter().zip(metrics(&bench, &name)) {
                assert_eq!(plain[..], measured[..plain.len()]);
                assert_eq!(measured.len(), plain.len() + 6);
            }
            let of = |r: &EpochRecord| r.gradients.clone().unwrap();
            told.push(records.iter().map(of).collect::<Vec<GradientReport>>());
        }
        assert!(told[0] != told[1] && told[1] != told[2]);
        let norms = told.iter().flatten().flat_map(|g| &g.norms);
        assert!(norms.flatten().all(|n| *n > 0.0 && n.is_finite()));
    }
}

/// A run over two heads of the photos' gender, `b` with these labels, whose first tensors are the same; of one step an epoch. The
/// heads themselves are not trained.
fn twins(bench: &Bench, name: &str, labels: &str, settings: &[&str]) -> Result<Outcome> {
    let folder = bench.out(&format!("heads-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    for (head, labels) in [("a", "'male', 'female'"), ("b", labels)] {
        let text = format!("name = '{head}'\ncolumn = 'gender'\nlabels = [{labels}]\n");
        std::fs::write(folder.join(format!("{head}.toml")), text).unwrap();
    }
    let weights = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/weights/tf_efficientnet_lite0.in1k.safetensors"
    );
    let model = format!(
        "backbone = 'tf_efficientnet_lite0'\nweights = '{weights}'\nheads = ['a', 'b']\n[input]\nsize = [32, 32]\n"
    );
    std::fs::write(folder.join("model.toml"), model).unwrap();
    let base = [
        "train.epochs=2",
        "train.batch=256",
        "train.lr_heads=0",
        "train.weight_decay=0",
        "train.optimizer={sgd={momentum=0.9}}",
        "train.lr_backbone=0.01",
    ];
    let settings: Vec<String> = base
        .iter()
        .chain(settings)
        .map(ToString::to_string)
        .collect();
    let config = Config::load(&folder, None, &settings)?;
    let dataset = Dataset::open(
        std::slice::from_ref(&bench.data),
        &config.model_spec()?.heads,
    )?;
    let mut tensors = load_weights(&config, &folder)?;
    let weight: Vec<f32> = (0..2 * 1280).map(|i| (i as f32).sin() * 0.02).collect();
    let weight = Tensor::from_vec(weight, (2, 1280), &Device::Cpu)?;
    let bias = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu)?;
    for head in ["a", "b"] {
        tensors.insert(format!("heads.{head}.fc.weight"), weight.clone());
        tensors.insert(format!("heads.{head}.fc.bias"), bias.clone());
    }
    let stop = AtomicBool::new(false);
    let out = bench.out(name);
    Trainer::new(&config, tensors, &dataset)
        .out(&out)
        .stop(&stop)
        .run()
}

/// Values of the trained tensors of the last model.
fn last(bench: &Bench, run: &str) -> Vec<f64> {
    let file = ModelFile::read(bench.out(run).join("last.safetensors")).unwrap();
    file.tensors.values().flat_map(flat).collect()
}

/// How far training took the backbone's variables in a run.
fn way(bench: &Bench, run: &str) -> Vec<f64> {
    let first = load_weights(&Bench::config(&[]).unwrap(), Path::new(HEADS)).unwrap();
    let file = ModelFile::read(bench.out(run).join("last.safetensors")).unwrap();
    let trained = first
        .iter()
        .filter(|(name, _)| name.starts_with("backbone.") && !name.contains(".running_"));
    trained
        .flat_map(|(name, before)| flat(&(&file.tensors[name] - before).unwrap()))
        .collect()
}

/// √(Σ (a − b)² / Σ b²).
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (error / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

#[test]
fn heads_that_want_opposite_things_are_seen_to_fight_and_surgery_pulls_against_neither() {
    let bench = Bench::new();
    let against = "'female', 'male'";
    let measured = ["train.report_gradients=1"];
    let outcome = twins(&bench, "fight", against, &measured).unwrap();
    let report = outcome.progress.records[0].gradients.clone().unwrap();
    println!("{report:?}");
    assert!(report.cosines[0].unwrap() < -0.5, "{report:?}");
    let alike = twins(&bench, "alike", "'male', 'female'", &measured).unwrap();
    let report = alike.progress.records[0].gradients.clone().unwrap();
    assert!(report.cosines[0].unwrap() > 0.999, "{report:?}");

    // One step an epoch, so its means are of that step: Σ f g and the products with each g follow from them.
    let outcome = twins(&bench, "surgery", against, &["train.balancing=pc_grad"]).unwrap();
    let record = &outcome.progress.records[0];
    println!("{record:?}");
    let report = record.gradients.as_ref().unwrap();
    let [a, b] = [report.norms[0].unwrap(), report.norms[1].unwrap()];
    let cosine = report.cosines[0].unwrap();
    let [f, g] = [
        record.head_weights[0].unwrap(),
        record.head_weights[1].unwrap(),
    ];
    assert!(cosine < -0.5 && f > 1.0 && g > 1.0, "{record:?}");
    let scale = a * b;
    assert!(f * a * a + g * cosine * scale > -1e-9 * scale);
    assert!(f * cosine * scale + g * b * b > -1e-9 * scale);
    assert!(distance(&way(&bench, "surgery"), &way(&bench, "fight")) > 0.1);

    // Heads of one mind are left alone: the sum of their gradients is the joint one.
    twins(
        &bench,
        "friends",
        "'male', 'female'",
        &["train.balancing=pc_grad"],
    )
    .unwrap();
    let off = distance(&way(&bench, "friends"), &way(&bench, "alike"));
    println!("friends {off:.1e}");
    assert!(off < 1e-4, "{off}");
}

#[test]
fn after_surgery_each_heads_own_variables_keep_their_gradient() {
    let bench = Bench::new();
    for (name, method) in [("fixed", "fixed"), ("surgery", "pc_grad")] {
        let method = format!("train.balancing={method}");
        let settings = [method.as_str(), "train.epochs=1", "train.lr_heads=0.01"];
        twins(&bench, name, "'female', 'male'", &settings).unwrap();
    }
    // The only step starts from the same tensors, so only what surgery changed is not the same.
    let heads = |run: &str| -> Vec<f64> {
        let file = ModelFile::read(bench.out(run).join("last.safetensors")).unwrap();
        let heads = file.tensors.iter().filter(|(n, _)| n.starts_with("heads."));
        heads.flat_map(|(_, t)| flat(t)).collect()
    };
    let off = distance(&heads("surgery"), &heads("fixed"));
    assert!(off < 1e-9, "{off}");
    assert!(distance(&way(&bench, "surgery"), &way(&bench, "fixed")) > 0.1);
}

#[test]
fn surgery_on_a_batch_in_parts_is_that_on_the_whole_batch() {
    let bench = Bench::new();
    let settings = [
        "train.balancing=pc_grad",
        "train.batch_norm=frozen",
        // Photos are mixed within their part.
        "train.mix_up=0",
        "train.epochs=1",
        "train.optimizer={sgd={momentum=0.9}}",
        "heads.mask.dropout=0",
        "heads.gender.dropout=0",
        "heads.age.dropout=0",
    ];
    bench
        .train(&with(&settings, &[]), "one", false, None)
        .unwrap();
    let parts = with(&settings, &["train.parts=3"]);
    bench.train(&parts, "parts", false, None).unwrap();
    let fixed = with(&settings, &["train.balancing=fixed"]);
    bench.train(&fixed, "fixed", false, None).unwrap();
    let one = way(&bench, "one");
    let off = distance(&way(&bench, "parts"), &one);
    let from_fixed = distance(&way(&bench, "fixed"), &one);
    println!("parts {off:.1e}, without surgery {from_fixed:.1e}");
    assert!(off < 1e-3 && from_fixed > 0.02);
}

#[test]
fn grad_norm_that_learns_nothing_is_the_fixed_sum_though_its_graph_is_cut_at_the_features() {
    let bench = Bench::new();
    let settings = [
        "train.epochs=1",
        "train.optimizer={sgd={momentum=0.9}}",
        "heads.age.weight=0.5",
        "train.parts=2",
    ];
    bench
        .train(&with(&settings, &[]), "fixed", false, None)
        .unwrap();
    let still = with(&settings, &["train.balancing={grad_norm={lr=1e-12}}"]);
    bench.train(&still, "still", false, None).unwrap();
    let off = distance(&way(&bench, "still"), &way(&bench, "fixed"));
    println!("still {off:.1e}");
    assert!(off < 1e-3, "{off}");
    // Kept features have no graph at all.
    let frozen = with(
        &[
            "train.fine_tune=frozen",
            "train.mix_up=0",
            "train.augment.flip=0.0",
        ],
        &["train.balancing={grad_norm={}}"],
    );
    let outcome = bench.train(&frozen, "frozen", false, None).unwrap();
    let record = &outcome.progress.records[1];
    assert!(record.head_weights.iter().flatten().all(|w| *w != 1.0));
}

#[test]
fn famos_second_look_has_the_same_draws_and_leaves_the_running_statistics_alone() {
    let bench = Bench::new();
    let settings = [
        "train.lr_backbone=0",
        "train.lr_heads=0",
        "train.weight_decay=0",
        "train.drop_path=0.2",
    ];
    let fixed = with(&settings, &[]);
    bench.train(&fixed, "fixed", false, None).unwrap();
    let famo = with(&settings, &["train.balancing={famo={}}"]);
    let outcome = bench.train(&famo, "famo", false, None).unwrap();
    assert!(last(&bench, "famo") == last(&bench, "fixed"));
    // Nothing moved, so no loss fell, and no head is favoured.
    let state = serde_json::to_value(&outcome.progress.balancing).unwrap();
    assert_eq!(
        state["method"]["famo"]["logits"],
        serde_json::json!([0.0, 0.0, 0.0])
    );
}

#[test]
fn a_head_of_weight_nought_and_missing_labels_take_no_part_and_break_nothing() {
    let bench = Bench::new();
    for (i, method) in METHODS.iter().enumerate() {
        // The third epoch is the first whose dynamic averages differ.
        let epochs = if i == 2 { "3" } else { "1" };
        let epochs = format!("train.epochs={epochs}");
        let method = format!("train.balancing={method}");
        let config = with(
            &["heads.mask.weight=0", &epochs, "train.batch=4"],
            &[&method, "train.report_gradients=500"],
        );
        let mut dataset = bench.dataset(&config);
        let of_train = dataset.samples.iter_mut();
        let of_train = of_train.filter(|s| s.split == Some(Split::Train));
        for (place, sample) in of_train.enumerate() {
            if place >= 5 {
                sample.values[1] = None;
            }
            if place < 30 {
                sample.values[2] = None;
            }
        }
        let weights = load_weights(&config, Path::new(HEADS)).unwrap();
        let stop = AtomicBool::new(false);
        let out = bench.out(&format!("gaps-{i}"));
        let run = |resume| {
            Trainer::new(&config, weights.clone(), &dataset)
                .out(&out)
                .resume(resume)
                .stop(&stop)
                .run()
        };
        let outcome = run(false).unwrap();
        for record in &outcome.progress.records {
            assert!(record.train_loss.is_finite());
            assert!(record.head_weights.is_empty() || record.head_weights[0].is_none());
            let weights = record.head_weights.iter().flatten();
            assert!(
                weights.clone().all(|w| w.is_finite() && *w > 0.0),
                "{record:?}"
            );
            let gradients = record.gradients.as_ref().unwrap();
            assert_eq!(gradients.norms[0], None);
            assert_eq!(gradients.cosines[..2], [None, None]);
            let norms = gradients.norms.iter().flatten();
            assert!(
                norms
                    .chain(gradients.cosines.iter().flatten())
                    .all(|v| v.is_finite())
            );
        }
        // The state can be read again.
        run(true).unwrap();
    }
}

#[test]
fn surgery_and_its_report_are_the_same_bytes_with_one_and_with_two_threads() {
    let bench = Bench::new();
    let config = with(&["train.balancing=pc_grad"], &[]);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let name = threads.to_string();
        pool.install(|| bench.train(&config, &name, false, None))
            .unwrap();
    }
    for file in ["last.safetensors", "metrics.csv", "state.safetensors"] {
        assert!(bench.bytes("1", file) == bench.bytes("2", file), "{file}");
    }
}

#[test]
fn before_anything_of_the_backbone_is_trained_its_heads_have_nothing_to_fight_about() {
    let bench = Bench::new();
    let later = ["train.fine_tune=frozen", "train.unfreeze_every=1"];
    let config = with(&later, &["train.balancing=pc_grad"]);
    let outcome = bench.train(&config, "later", false, None).unwrap();
    let told: Vec<bool> = outcome
        .progress
        .records
        .iter()
        .map(|r| r.gradients.is_some())
        .collect();
    assert_eq!(told, [false, true]);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let frozen = "train.fine_tune=frozen";
    for (settings, expected) in [
        (vec!["train.balancing=pc_grad", frozen], "balancing=pc_grad"),
        (vec!["train.report_gradients=2", frozen], "report_gradients"),
        (
            vec!["train.balancing={famo={}}", "train.parts=2"],
            "train.parts: expected 1 with train.balancing.famo",
        ),
        (
            vec!["train.balancing={dynamic_average={temperature=0}}"],
            "dynamic_average.temperature",
        ),
        (
            vec!["train.balancing={grad_norm={alpha=-1}}"],
            "grad_norm.alpha",
        ),
        (vec!["train.balancing={grad_norm={lr=0}}"], "grad_norm.lr"),
        (vec!["train.balancing={famo={lr=0}}"], "famo.lr"),
        (vec!["train.balancing={famo={decay=-1}}"], "famo.decay"),
        (vec!["train.balancing=fair"], "fair"),
    ] {
        let error = format!("{:#}", Bench::config(&settings).unwrap_err());
        assert!(error.contains(expected), "{settings:?}: {error}");
    }
    // By low-rank factors it is trained after all.
    Bench::config(&["train.balancing=pc_grad", frozen, "train.lora={rank=2}"]).unwrap();
    let bench = Bench::new();
    let config = with(&["train.balancing=pc_grad"], &["train.freeze=['*']"]);
    let error = bench.train(&config, "none", false, None).unwrap_err();
    assert!(
        format!("{error:#}").contains("balancing=pc_grad"),
        "{error}"
    );
}

#[test]
fn a_configuration_without_balancing_is_written_as_before() {
    let written = Bench::config(&[]).unwrap().to_toml().unwrap();
    assert!(!written.contains("balancing") && !written.contains("report_gradients"));
    let config = Bench::config(&["train.balancing={grad_norm={}}"]).unwrap();
    let written = config.to_toml().unwrap();
    assert!(
        written.contains("alpha = 1.5") && written.contains("lr = 0.025"),
        "{written}"
    );
}
