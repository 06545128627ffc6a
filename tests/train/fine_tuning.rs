//! Fine-tuning control: what is trained when and how fast, averages of weights, batches in parts, low-rank adaptation, the search
//! for a learning rate.

use crate::common::runs::{Bench, HEADS, moved};
use candle_core::{DType, Tensor};
use hydranet::model_file::Tensors;
use hydranet::train::config::load_weights;
use hydranet::train::dry_run::dry_run;
use hydranet::train::find_lr::{find_lr, suggestion};
use hydranet::train::optim::average::{Average, share};
use hydranet::train::optim::groups::ParamGroups;
use hydranet::train::optim::pattern::matches;
use hydranet::{ModelFile, Result};
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn last(bench: &Bench, run: &str) -> Tensors {
    ModelFile::read(bench.out(run).join("last.safetensors"))
        .unwrap()
        .tensors
}

/// Greatest difference of two models' tensors, beside the greatest value of each.
fn distance(a: &Tensors, b: &Tensors) -> f32 {
    assert!(a.keys().eq(b.keys()));
    let of = |name: &String| {
        let (a, b) = (flat(&a[name]), flat(&b[name]));
        let most = b.iter().fold(1e-3, |m: f32, v| m.max(v.abs()));
        let off = a
            .iter()
            .zip(&b)
            .fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
        off / most
    };
    a.keys().map(of).fold(0.0, f32::max)
}

#[test]
fn a_star_stands_for_any_characters() {
    for (pattern, name, expected) in [
        ("blocks.5.*", "blocks.5.0.bn1.weight", true),
        ("blocks.5.*", "blocks.50.bn1.weight", false),
        ("*.bn*.bias", "blocks.5.0.bn1.bias", true),
        ("*.bn*.bias", "blocks.5.0.conv.bias", false),
        ("*", "", true),
        ("bn1.weight", "bn1.weight", true),
        ("bn1", "bn1.weight", false),
        ("*weight", "weight.weight", true),
        ("é*", "ée", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn stages_thaw_one_after_the_other_and_patterns_stay_frozen() {
    let config = Bench::config(&[
        "train.fine_tune={last_stages=1}",
        "train.unfreeze_every=2",
        "train.freeze=[\"*.bn2.bias\"]",
        "train.lr_decay=0.5",
        "train.lr_backbone=0.008",
        "train.epochs=9",
    ])
    .unwrap();
    let plan = ParamGroups::new(&config);
    let trained = |name: &str, epoch| plan.is_trained(&format!("backbone.{name}"), epoch);
    assert!(trained("conv_head.weight", 0) && !trained("blocks.6.0.bn1.weight", 1));
    assert!(trained("blocks.6.0.bn1.weight", 2) && !trained("blocks.5.0.bn1.weight", 3));
    assert!(trained("blocks.5.0.bn1.weight", 4));
    assert!(!trained("blocks.6.0.bn2.bias", 8) && trained("blocks.6.0.bn2.weight", 8));
    assert!(plan.is_trained("heads.mask.fc.weight", 0));
    let changes: Vec<usize> = (0..9).filter(|e| plan.changes(*e)).collect();
    assert_eq!(changes, [2, 4, 6, 8]);
    let group = |name: &str, rank| plan.group(&format!("backbone.{name}"), rank, 8, 10);
    assert_eq!(group("conv_head.weight", 4).lr, 0.008);
    assert_eq!(group("blocks.6.0.bn1.weight", 1).lr, 0.004);
    assert_eq!(group("blocks.5.0.conv_pw.weight", 4).lr, 0.002);
    assert_eq!(group("blocks.5.0.conv_pw.weight", 4).since, 40);
    assert_eq!(group("blocks.5.0.conv_pw.weight", 4).weight_decay, 0.01);
    for (name, rank) in [("bn2.weight", 1), ("pos_embed", 3), ("cls_token", 3)] {
        assert_eq!(group(name, rank).weight_decay, 0.0, "{name}");
    }
    let only = Bench::config(&["train.fine_tune={matching=[\"*.bias\"]}"]).unwrap();
    let plan = ParamGroups::new(&only);
    assert!(plan.is_trained("backbone.bn1.bias", 0) && !plan.is_trained("backbone.bn1.weight", 0));
}

#[test]
fn a_run_with_everything_stopped_anywhere_ends_with_the_bytes_of_one_that_was_not() {
    let bench = Bench::new();
    for (kind, settings) in [
        (
            "thaw",
            vec![
                "train.fine_tune={last_stages=1}",
                "train.unfreeze_every=1",
                "train.lr_decay=0.7",
                "train.epochs=3",
                "train.ema=0.9",
                "train.average_last=2",
                "train.parts=2",
                "train.batch_norm={frozen_stages=8}",
            ],
        ),
        (
            "lora",
            vec![
                "train.fine_tune=frozen",
                "train.lora={rank=2}",
                "train.epochs=3",
                "train.average_last=2",
                "train.activations=bf16",
            ],
        ),
    ] {
        let config = Bench::config(&settings).unwrap();
        let (whole, parts) = (format!("whole-{kind}"), format!("parts-{kind}"));
        let mut steps = 0;
        bench.train(&config, &whole, false, None).unwrap();
        // In the middle of an epoch, at the end of one, and in the middle of the next.
        for (resume, stop) in [
            (false, Some(3)),
            (true, Some(4)),
            (true, Some(5)),
            (true, None),
        ] {
            let outcome = bench.train(&config, &parts, resume, stop).unwrap();
            steps += 1;
            assert_eq!(outcome.stopped, steps < 4, "{kind} {steps}");
        }
        for file in [
            "best.safetensors",
            "last.safetensors",
            "metrics.csv",
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
fn a_batch_in_parts_makes_the_step_of_the_whole_batch() {
    let bench = Bench::new();
    // Statistics of the batch, dropout and the pairs of mixing would differ between the parts.
    let settings = [
        "train.batch_norm=frozen",
        "train.mix_up=0",
        "train.epochs=1",
        "train.optimizer={sgd={momentum=0.9}}",
        "heads.mask.dropout=0",
        "heads.gender.dropout=0",
        "heads.age.dropout=0",
        "heads.age.class_weights=[1.0,3.0,0.5]",
    ];
    for (name, parts) in [("one", "1"), ("two", "2"), ("four", "4")] {
        let parts = format!("train.parts={parts}");
        let all: Vec<&str> = settings.iter().copied().chain([parts.as_str()]).collect();
        bench
            .train(&Bench::config(&all).unwrap(), name, false, None)
            .unwrap();
    }
    let one = last(&bench, "one");
    let other = Bench::config(&[&settings[..], &["train.seed=3"]].concat()).unwrap();
    bench.train(&other, "other", false, None).unwrap();
    for name in ["two", "four"] {
        let off = distance(&last(&bench, name), &one);
        assert!(off < 1e-4, "{name}: {off}");
    }
    assert!(distance(&last(&bench, "other"), &one) > 1e-2);
}

#[test]
fn averages_follow_their_formulas() {
    let at = |v: f32| -> Tensors {
        let t = Tensor::new(&[v, 2.0 * v, -v], &candle_core::Device::Cpu).unwrap();
        Tensors::from([("a".into(), t)])
    };
    let values = [1.0f32, 4.0, -2.0, 8.0, 0.5];
    let (mut moving, mut mean) = (Average::default(), Average::default());
    let (mut expected, mut decays) = (0.0f64, Vec::new());
    for (i, v) in values.iter().enumerate() {
        moving.take(&at(*v), |count| share(0.35, count)).unwrap();
        mean.take(&at(*v), |count| 1.0 / (count + 1) as f64)
            .unwrap();
        let decay = f64::min(0.35, (1.0 + i as f64) / (10.0 + i as f64));
        decays.push(decay);
        expected = match i {
            0 => f64::from(*v),
            _ => decay * expected + (1.0 - decay) * f64::from(*v),
        };
    }
    assert!(decays[1] < 0.35 && decays[4] == 0.35);
    let close = |t: &Tensors, v: f64| {
        let found = flat(&t["a"]);
        for (found, factor) in found.iter().zip([1.0, 2.0, -1.0]) {
            assert!((f64::from(*found) - factor * v).abs() < 1e-6, "{found} {v}");
        }
    };
    close(&moving.tensors().unwrap(), expected);
    close(&mean.tensors().unwrap(), 11.5 / 5.0);
    let wrong = Tensor::new(&[1.0f32], &candle_core::Device::Cpu).unwrap();
    assert!(
        mean.take(&Tensors::from([("a".into(), wrong)]), |_| 0.5)
            .is_err()
    );
}

#[test]
fn an_average_of_weights_is_what_is_saved() {
    let bench = Bench::new();
    let run = |name: &str, setting: &str| {
        bench
            .train(&Bench::config(&[setting]).unwrap(), name, false, None)
            .unwrap();
        last(&bench, name)
    };
    let plain = run("plain", "train.ema=0");
    let averaged = run("averaged", "train.ema=0.9");
    assert!(plain.keys().eq(averaged.keys()));
    // The state holds the weights that are trained, the model their average: between the first values and the last.
    assert!(distance(&averaged, &plain) > 1e-4);
    let first = load_weights(&Bench::config(&[]).unwrap(), Path::new(HEADS)).unwrap();
    let name = "backbone.conv_head.weight";
    let off = |t: &Tensor| -> f32 {
        let d = flat(t);
        d.iter()
            .zip(flat(&first[name]))
            .map(|(a, b)| (a - b).powi(2))
            .sum()
    };
    assert!(off(&averaged[name]) < off(&plain[name]));
}

#[test]
fn low_rank_adaptation_moves_the_weights_it_names_by_a_matrix_of_its_rank() {
    let bench = Bench::new();
    let config = Bench::config(&[
        "train.fine_tune=frozen",
        "train.lora={rank=1,alpha=4,weights=[\"*.conv_pw.weight\",\"*.conv_dw.weight\"]}",
        "train.lr_backbone=0.01",
    ])
    .unwrap();
    bench.train(&config, "lora", false, None).unwrap();
    let names = moved(&bench, &config, "lora");
    // Depthwise kernels are no matrices and stay.
    assert!(names.len() > 10, "{names:?}");
    assert!(
        names.iter().all(|n| n.ends_with(".conv_pw.weight")),
        "{names:?}"
    );
    let first = load_weights(&config, Path::new(HEADS)).unwrap();
    let after = last(&bench, "lora");
    assert!(after.keys().all(|n| !n.contains("lora")));
    for name in names {
        let shape = first[&name].dims().to_vec();
        let change = (&after[&name] - &first[&name]).unwrap();
        let m: Vec<Vec<f64>> = change
            .reshape((shape[0], shape[1]))
            .and_then(|t| t.to_dtype(DType::F64)?.to_vec2())
            .unwrap();
        let most = m.iter().flatten().fold(0.0, |a: f64, v| a.max(v.abs()));
        assert!(most > 1e-5, "{name}");
        for i in 1..shape[0] {
            for j in 1..shape[1] {
                let minor = m[0][0] * m[i][j] - m[i][0] * m[0][j];
                assert!(
                    minor.abs() < 1e-2 * most * most,
                    "{name} {i} {j}: {minor} of {most}"
                );
            }
        }
    }
}

#[test]
fn statistics_of_frozen_stages_stay_while_their_weights_learn() {
    let bench = Bench::new();
    let config = Bench::config(&["train.batch_norm={frozen_stages=8}", "train.epochs=1"]).unwrap();
    bench.train(&config, "run", false, None).unwrap();
    let names = moved(&bench, &config, "run");
    assert!(names.contains(&"backbone.conv_stem.weight".to_string()));
    let statistics: Vec<&String> = names.iter().filter(|n| n.contains("running_")).collect();
    assert_eq!(
        statistics,
        ["backbone.bn2.running_mean", "backbone.bn2.running_var"]
    );
}

#[test]
fn a_dry_run_counts_what_would_be_trained() {
    let parts = |settings: &[&str]| {
        let config = Bench::config(settings).unwrap();
        let weights = load_weights(&config, Path::new(HEADS)).unwrap();
        dry_run(&config, weights).unwrap().parts
    };
    let full = parts(&["train.lr_decay=0.5"]);
    assert_eq!(full.len(), 9 + 3);
    assert!(
        full.iter()
            .all(|p| p.trained == p.parameters && p.from == Some(1))
    );
    assert_eq!(full[8].name, "conv_head. bn2.");
    assert_eq!(full[8].parameters, 320 * 1280 + 2 * 1280);
    assert_eq!(full[9].name, "heads.mask");
    assert_eq!(full[9].parameters, 1280 * 3 + 3);
    assert_eq!(full[0].lr, 5e-4 * 0.5f64.powi(8));
    let thaw = parts(&[
        "train.fine_tune=frozen",
        "train.unfreeze_every=2",
        "train.epochs=5",
    ]);
    let from: Vec<Option<usize>> = thaw[..9].iter().map(|p| p.from).collect();
    assert_eq!(from[..7], [None; 7]);
    assert_eq!(from[7..], [Some(5), Some(3)]);
    let lora = parts(&[
        "train.fine_tune=frozen",
        "train.lora={rank=2,weights=[\"conv_head.weight\"]}",
    ]);
    assert_eq!(lora[8].trained, 2 * (320 + 1280));
    assert_eq!(lora[7].trained, 0);
}

#[test]
fn a_dry_run_says_what_a_photo_costs() {
    for (backbone, giga, off) in [
        // What timm's table of results says of them, in billions, without the classifier's.
        ("tf_efficientnet_lite0", 0.40, 0.02),
        ("resnet18", 1.82, 0.01),
        ("vit_tiny_patch16_224", 1.26, 0.02),
        ("swin_tiny_patch4_window7_224", 4.51, 0.05),
    ] {
        let name = format!("model.backbone={backbone}");
        let config = Bench::config(&[&name, "model.weights=", "model.input.size=[224,224]"]);
        let plan = dry_run(&config.unwrap(), Tensors::new()).unwrap();
        let found = plan.multiply_adds.unwrap() as f64 / 1e9;
        assert!((found - giga).abs() < off, "{backbone}: {found}");
    }
}

#[test]
fn the_search_for_a_learning_rate_leaves_its_course_and_a_suggestion() -> Result<()> {
    let bench = Bench::new();
    let config = Bench::config(&["train.fine_tune={last_stages=1}"])?;
    let run = |name: &str| {
        let weights = load_weights(&config, Path::new(HEADS))?;
        let dataset = bench.dataset(&config);
        let stop = AtomicBool::new(false);
        find_lr(
            &config,
            weights,
            &dataset,
            &bench.out(name),
            40,
            &stop,
            &mut |_| (),
        )
    };
    let trials = run("first")?;
    assert!(trials.len() > 10 && trials.len() <= 40);
    assert!((trials[0].factor - 1e-4).abs() < 1e-12);
    assert!(trials.windows(2).all(|t| t[1].factor > t[0].factor));
    assert_eq!(trials, run("second")?);
    assert!(bench.bytes("first", "lr.csv") == bench.bytes("second", "lr.csv"));
    let text = String::from_utf8(bench.bytes("first", "lr.csv")).unwrap();
    assert!(text.starts_with("factor,lr_backbone,lr_heads,loss,smoothed\n"));
    assert_eq!(text.lines().count(), trials.len() + 1);
    let found = suggestion(&trials).unwrap();
    assert!((1e-5..=10.0).contains(&found), "{found}");
    // A folder with a run is not written over.
    bench.train(&config, "trained", false, None)?;
    assert!(run("trained").is_err());
    Ok(())
}

#[test]
fn what_the_input_leaves_out_is_as_the_backbones_weights_were_made_for() {
    let other = Bench::config(&["model.backbone=resnet18", "model.weights="]).unwrap();
    let input = other.model.input;
    assert_eq!(input.size, [32, 32]);
    assert_eq!(input.mean, [0.485, 0.456, 0.406]);
    assert_eq!(input.std, [0.229, 0.224, 0.225]);
    let given = Bench::config(&[
        "model.backbone=resnet18",
        "model.weights=",
        "model.input.mean=[0,0,0]",
    ]);
    assert_eq!(given.unwrap().model.input.mean, [0.0; 3]);
    let shipped = Bench::config(&[]).unwrap();
    assert_eq!(shipped.model.input.mean, [127.0 / 255.0; 3]);
    let vit = Bench::config(&[
        "model.backbone=swin_tiny_patch4_window7_224",
        "model.weights=",
        "model.input=",
    ]);
    assert_eq!(vit.unwrap().model.input.size, [224, 224]);
}

#[test]
fn settings_that_make_no_sense_are_errors_that_name_them() {
    for (setting, named) in [
        ("train.parts=0", "train.parts"),
        ("train.parts=5", "train.parts"),
        ("train.average_last=3", "train.average_last"),
        ("train.lr_decay=0", "train.lr_decay"),
        ("train.lr_decay=1.5", "train.lr_decay"),
        ("train.ema=1", "train.ema"),
        ("train.lora={rank=0}", "train.lora"),
        ("train.lora={ranks=2}", "ranks"),
        ("train.fine_tune={matching=[]}", "train.fine_tune.matching"),
        (
            "train.batch_norm={frozen_stages=10}",
            "train.batch_norm.frozen_stages",
        ),
    ] {
        let error = format!("{:#}", Bench::config(&[setting]).unwrap_err());
        assert!(error.contains(named), "{setting}: {error}");
    }
    let both = Bench::config(&["train.lora={rank=2}", "train.ema=0.9"]);
    assert!(both.unwrap_err().to_string().contains("train.lora"));
}

#[test]
fn a_pattern_that_matches_no_tensor_is_an_error_that_says_how_names_start() {
    for (setting, named) in [
        (
            "train.fine_tune={matching=[\"blocks.6.*\",\"blok.*\"]}",
            "train.fine_tune.matching",
        ),
        ("train.freeze=[\"blok.*\"]", "train.freeze"),
        (
            "train.lora={rank=2,weights=[\"blok.*\"]}",
            "train.lora.weights",
        ),
    ] {
        let config = Bench::config(&[setting]).unwrap();
        let weights = load_weights(&config, Path::new(HEADS)).unwrap();
        let error = format!("{:#}", dry_run(&config, weights).unwrap_err());
        for part in [named, "`blok.*`", "blocks.0."] {
            assert!(error.contains(part), "{setting}: {error}");
        }
    }
}

#[test]
fn statistics_under_averaged_weights_are_found_anew() {
    let bench = Bench::new();
    // Weights that stay: the average of the weights is the weights, and only statistics tell the two apart.
    let settings = [
        "train.average_last=2",
        "train.lr_backbone=0",
        "train.seed=3",
    ];
    let still = Bench::config(&settings).unwrap();
    bench.train(&still, "still", false, None).unwrap();
    let state = ModelFile::read(bench.out("still").join("last.safetensors")).unwrap();
    let frozen = [&settings[..], &["train.batch_norm=frozen"]].concat();
    let frozen = Bench::config(&frozen).unwrap();
    bench.train(&frozen, "frozen", false, None).unwrap();
    assert!(moved(&bench, &frozen, "frozen").is_empty());
    let pretrained = load_weights(&still, Path::new(HEADS)).unwrap();
    let name = "backbone.bn1.running_mean";
    assert!(flat(&state.tensors[name]) != flat(&pretrained[name]));
}
