//! Probabilities made honest, when to abstain, and what is novel: by definition, and in a model file.

use crate::common::tiny;
use candle_core::{DType, Device, Tensor};
use hydranet::eval::calibrate::{Abstain, best_temperature, calibrate, with_novelty};
use hydranet::eval::score::Coverage;
use hydranet::model_file::heads;
use hydranet::{
    Decision, DecisionRule, Error, LossKind, Mode, ModelFile, Prediction, Predictor, Views,
};
use proptest::prelude::*;

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    logits.iter().map(|l| l - max - sum.ln()).collect()
}

/// Numbers from −1 to 1.
fn draws(count: usize, seed: u64) -> Vec<f64> {
    let number = |i: u64| {
        let z = (i + seed * 1_000_003).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count as u64).map(number).collect()
}

/// Logits, and labels drawn from softmax(logits / `heat`).
fn photos(count: usize, labels: usize, heat: f64, seed: u64) -> (Vec<Vec<f64>>, Vec<usize>) {
    let numbers = draws(count * (labels + 1), seed);
    let rows = numbers.chunks(labels + 1).map(|row| {
        let logits: Vec<f64> = row[1..].iter().map(|v| 6.0 * v).collect();
        let scaled: Vec<f64> = logits.iter().map(|l| l / heat).collect();
        let mut left = (row[0] + 1.0) / 2.0;
        let mut label = 0;
        for (i, p) in log_softmax(&scaled).iter().enumerate() {
            label = i;
            left -= p.exp();
            if left < 0.0 {
                break;
            }
        }
        (logits, label)
    });
    rows.unzip()
}

#[test]
fn the_temperature_labels_were_drawn_with_is_found() {
    for (heat, labels) in [(0.5, 2), (1.0, 3), (3.0, 18)] {
        let (logits, truth) = photos(20_000, labels, heat, 3);
        let at = |i: usize, t: f64| {
            let scaled: Vec<f64> = logits[i].iter().map(|l| l / t).collect();
            log_softmax(&scaled)
        };
        let found = best_temperature(&truth, at);
        assert!((found / heat - 1.0).abs() < 0.05, "{heat} {found}");
        // The derivative of the loss by 1/T is Σ (mean logit under p − logit of the truth), 0 at the best.
        let slope: f64 = (0..truth.len())
            .map(|i| {
                let p = at(i, found);
                let mean: f64 = p.iter().zip(&logits[i]).map(|(p, l)| p.exp() * l).sum();
                mean - logits[i][truth[i]]
            })
            .sum();
        assert!(slope.abs() / (truth.len() as f64) < 1e-6, "{slope}");
    }
    assert_eq!(best_temperature(&[], |_, _| vec![0.0]), 1.0);
}

/// A model whose heads are far too sure, features, and the labels a calmer model would draw.
struct Case {
    file: ModelFile,
    features: Tensor,
    labels: Vec<Vec<Option<usize>>>,
    classes: Vec<Option<usize>>,
}

fn case(loss: LossKind) -> Case {
    let mut file = tiny::model();
    let spec = file.description.model.heads[2].clone().with_loss(loss);
    file = heads::replace(&file, "age", spec, heads::NewTensors::Fresh { seed: 3 }).unwrap();
    for name in ["mask", "gender", "age"] {
        for part in ["weight", "bias"] {
            let tensor = file.tensors.get_mut(&format!("heads.{name}.fc.{part}"));
            let tensor = tensor.unwrap();
            *tensor = (&*tensor * 9.0).unwrap();
        }
    }
    let photos = 600;
    let values: Vec<f32> = draws(photos * 1280, 7).iter().map(|v| *v as f32).collect();
    let features = Tensor::from_vec(values, (photos, 1280), &Device::Cpu).unwrap();
    let model = file.build().unwrap();
    let logits = model.logits(&features, Mode::Eval).unwrap();
    let rows: Vec<Vec<Vec<f32>>> = logits.iter().map(|l| l.to_vec2().unwrap()).collect();
    let chance = draws(photos * 3, 11);
    let labels: Vec<Vec<Option<usize>>> = (0..photos)
        .map(|i| {
            let label = |h: usize| {
                let calmer: Vec<f64> = rows[h][i].iter().map(|l| f64::from(*l) / 3.0).collect();
                let mut left = (chance[3 * i + h] + 1.0) / 2.0;
                let p = log_softmax(&calmer);
                p.iter().position(|p| {
                    left -= p.exp();
                    left < 0.0
                })
            };
            // Some labels are not known.
            (0..3).map(|h| label(h).filter(|_| i % 7 != h)).collect()
        })
        .collect();
    let taxonomy = file.description.model.taxonomy().unwrap();
    let classes = labels.iter().map(|l| taxonomy.class_of(l)).collect();
    Case {
        file,
        features,
        labels,
        classes,
    }
}

fn calibrated(
    case: &Case,
    abstain: Abstain,
) -> (ModelFile, hydranet::eval::calibrate::CalibrationReport) {
    let Case {
        file,
        features,
        labels,
        classes,
    } = case;
    calibrate(file, features, labels, classes, abstain).unwrap()
}

fn mean_log_loss(file: &ModelFile, case: &Case, head: usize) -> f64 {
    let logits = file.build().unwrap().logits(&case.features, Mode::Eval);
    let rows: Vec<Vec<f32>> = logits.unwrap().heads[head].to_vec2().unwrap();
    let of = |(row, labels): (&Vec<f32>, &Vec<Option<usize>>)| {
        let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
        labels[head].map(|l| -log_softmax(&row)[l])
    };
    let all: Vec<f64> = rows.iter().zip(&case.labels).filter_map(of).collect();
    all.iter().sum::<f64>() / all.len() as f64
}

#[test]
fn a_heads_temperature_is_folded_into_the_file_whatever_its_loss() {
    for loss in [LossKind::CrossEntropy, LossKind::Coral, LossKind::Corn] {
        let case = case(loss.clone());
        let (file, report) = calibrated(&case, Abstain::Unchanged);
        for (head, found) in report.temperatures[..3].iter().enumerate() {
            let [before, after] = found.log_loss.unwrap();
            assert!((before - mean_log_loss(&case.file, &case, head)).abs() < 1e-6);
            let measured = mean_log_loss(&file, &case, head);
            assert!(
                (after - measured).abs() < 1e-5,
                "{loss:?} {after} {measured}"
            );
            assert!(after < before, "{loss:?} {found:?}");
            assert!(found.temperature > 1.2, "{loss:?} {found:?}");
            assert!(found.photos < 600 && found.photos > 500);
        }
        // Once more there is nothing left to do.
        let class = report.temperatures[3].temperature;
        let again = Case { file, ..case };
        let (_, report) = calibrated(&again, Abstain::Unchanged);
        for found in &report.temperatures[..3] {
            assert!((found.temperature - 1.0).abs() < 1e-3, "{loss:?} {found:?}");
        }
        assert!((report.temperatures[3].temperature / class - 1.0).abs() < 1e-3);
    }
}

#[test]
fn only_sureness_changes_not_the_labels_of_heads() {
    let case = case(LossKind::CrossEntropy);
    let (file, _) = calibrated(&case, Abstain::Unchanged);
    let say = |f: &ModelFile| {
        Predictor::new(f)
            .unwrap()
            .predict_tensor(&tiny::images())
            .unwrap()
    };
    for (a, b) in say(&case.file).iter().zip(&say(&file)) {
        assert_eq!(a.class, b.class);
        assert!(b.prob < a.prob);
    }
    // Surgery on another head leaves a calibrated one alone; the notes of the calibration stay too.
    let without = heads::remove(&file, "gender").unwrap();
    let of = |f: &ModelFile| f.tensors["heads.mask.fc.weight"].to_vec2::<f32>().unwrap();
    assert_eq!(of(&file), of(&without));
    let noted = &without.description.training["calibration"]["temperatures"];
    assert_eq!(noted[0]["name"], "mask");
}

#[test]
fn the_class_has_a_temperature_of_its_own_where_the_product_is_not_honest() {
    let mut case = case(LossKind::CrossEntropy);
    // Heads that depend on each other: the class follows the mask alone.
    for (labels, class) in case.labels.iter_mut().zip(&mut case.classes) {
        if let Some(mask) = labels[0] {
            labels[1] = Some(mask % 2);
            labels[2] = Some(mask);
            *class = Some(mask * 6 + mask % 2 * 3 + mask);
        }
    }
    case.file.description.decision = Decision {
        rule: DecisionRule::Prior,
        log_prior: draws(18, 5),
        ..Decision::default()
    };
    let (file, report) = calibrated(&case, Abstain::Unchanged);
    let class = &report.temperatures[3];
    assert!((class.temperature - 1.0).abs() > 0.01, "{class:?}");
    assert_eq!(file.description.decision.temperature, class.temperature);
    let [before, after] = class.log_loss.unwrap();
    assert!(after < before);
    let bytes = file.to_bytes().unwrap();
    assert_eq!(
        ModelFile::from_bytes(&bytes, "bytes").unwrap().description,
        file.description
    );
}

#[test]
fn a_side_that_does_not_tell_a_temperature_gives_a_bound_and_says_so() {
    // Always right, and always wrong.
    let rows = [[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]];
    for (truth, bound) in [(0, 1.0 / 64.0), (1, 64.0)] {
        let at = |i: usize, t: f64| log_softmax(&rows[i].map(|l: f64| l / t));
        assert_eq!(best_temperature(&[truth; 3], at), bound);
    }
    let mut case = case(LossKind::CrossEntropy);
    let rows = case.features.dims()[0].min(3);
    case.features = case.features.narrow(0, 0, rows).unwrap();
    let logits = case
        .file
        .build()
        .unwrap()
        .logits(&case.features, Mode::Eval);
    let of_mask: Vec<Vec<f32>> = logits.unwrap().heads[0].to_vec2().unwrap();
    let best = |row: &Vec<f32>| (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    case.labels = of_mask
        .iter()
        .map(|row| vec![best(row), None, None])
        .collect();
    case.classes = vec![None; rows];
    let (file, report) = calibrated(&case, Abstain::Unchanged);
    assert!(report.temperatures[0].at_bound && !report.temperatures[1].at_bound);
    assert_eq!(report.temperatures[0].temperature, 1.0 / 64.0);
    let warnings = report.warnings().join("\n");
    assert!(
        warnings.contains("mask") && warnings.contains("3 photos"),
        "{warnings}"
    );
    let noted = &file.description.training["calibration"]["temperatures"];
    assert_eq!(noted[0]["at_bound"], true);
    assert!(noted[1].get("at_bound").is_none());
}

#[test]
fn tuned_offsets_are_tuned_anew() {
    let mut case = case(LossKind::CrossEntropy);
    case.file.description.decision = Decision {
        rule: DecisionRule::ClassOffsets,
        offsets: vec![5.0; 18],
        ..Decision::default()
    };
    let (file, _) = calibrated(&case, Abstain::Unchanged);
    let offsets = &file.description.decision.offsets;
    assert_eq!(offsets.len(), 18);
    assert_ne!(*offsets, vec![5.0; 18]);
}

#[test]
fn abstention_reaches_the_accuracy_it_was_asked_for() {
    let case = case(LossKind::CrossEntropy);
    let (file, _) = calibrated(&case, Abstain::Unchanged);
    let taxonomy = file.description.model.taxonomy().unwrap();
    let logits = file
        .build()
        .unwrap()
        .logits(&case.features, Mode::Eval)
        .unwrap();
    let rows = logits.rows().unwrap();
    let accuracy = |least: f64| {
        let (mut right, mut all) = (0.0, 0.0);
        for (i, class) in case.classes.iter().enumerate() {
            let decision = Decision {
                min_confidence: least,
                ..file.description.decision.clone()
            };
            let p = Prediction::from_logits(&taxonomy, &decision, &rows[i]).unwrap();
            if let (Some(class), false) = (class, p.abstains) {
                all += 1.0;
                right += f64::from(u8::from(p.class == *class));
            }
        }
        (right / all, all)
    };
    let (all, photos) = accuracy(0.0);
    let wanted = all + 0.04;
    let (_, report) = calibrated(&case, Abstain::ForAccuracy(wanted));
    let least = report.min_confidence;
    assert!(least > 0.0 && least < 1.0);
    let (reached, count) = accuracy(least);
    assert!(reached >= wanted && count < photos, "{reached} of {count}");
    assert!(count > 20.0, "{wanted}: {reached} of {count}");
    let (file, _) = calibrated(&case, Abstain::Below(0.25));
    assert_eq!(file.description.decision.min_confidence, 0.25);
    let Case {
        file,
        features,
        labels,
        classes,
    } = &case;
    let message = calibrate(file, features, labels, classes, Abstain::ForAccuracy(1.01));
    let message = format!("{:#}", message.unwrap_err());
    assert!(
        message.contains("accuracy") && message.contains("at most"),
        "{message}"
    );
    let unknown = vec![vec![None; 3]; labels.len()];
    let none = vec![None; labels.len()];
    let message = calibrate(file, features, &unknown, &none, Abstain::Unchanged);
    assert!(matches!(message, Err(Error::Invalid { .. })));
}

#[test]
fn what_is_far_from_the_training_photos_is_novel() {
    let mut file = tiny::model();
    // Features of rank 40 plus a little noise.
    let (photos, width) = (700, 1280);
    let base: Vec<Vec<f64>> = draws(40 * width, 1)
        .chunks(width)
        .map(<[f64]>::to_vec)
        .collect();
    let noise = draws(photos * width, 2);
    let factors = draws(photos * 40, 3);
    let row = |i: usize| -> Vec<f32> {
        (0..width)
            .map(|j| {
                let along: f64 = (0..40)
                    .map(|k| factors[40 * i + k] * base[k][j] / (k + 1) as f64)
                    .sum();
                (1.0 + along + 0.05 * noise[i * width + j]) as f32
            })
            .collect()
    };
    let rows: Vec<f32> = (0..photos).flat_map(row).collect();
    let all = Tensor::from_vec(rows, (photos, width), &Device::Cpu).unwrap();
    let (train, aside) = (
        all.narrow(0, 0, 500).unwrap(),
        all.narrow(0, 500, 200).unwrap(),
    );
    file = with_novelty(&file, &train, &aside).unwrap();
    let spec = file.description.novelty.unwrap();
    assert_eq!(spec.directions, 32);
    let vb = candle_nn::VarBuilder::from_tensors(
        file.tensors.clone().into_iter().collect(),
        DType::F32,
        &Device::Cpu,
    );
    let novelty = hydranet::model::novelty::Novelty::new(&spec, width, &vb.pp("novelty")).unwrap();
    let shares = |features: &Tensor| -> Vec<f64> {
        let distances = novelty.distances(features).unwrap();
        distances.iter().map(|d| novelty.share(*d)).collect()
    };
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let kept_aside = mean(&shares(&aside));
    assert!((kept_aside - 0.5).abs() < 0.02, "{kept_aside}");
    // Off what the photos vary by at all, though no further from their mean than they are.
    let off = draws(200 * width, 9)
        .iter()
        .map(|v| (1.0 + 0.2 * v) as f32)
        .collect::<Vec<f32>>();
    let off = Tensor::from_vec(off, (200, width), &Device::Cpu).unwrap();
    assert!(mean(&shares(&off)) > 0.99);
    // At the mean itself nothing is novel.
    let middle = train.mean_keepdim(0).unwrap();
    assert_eq!(shares(&middle), [0.0]);

    let bytes = file.to_bytes().unwrap();
    let read = ModelFile::from_bytes(&bytes, "bytes").unwrap();
    let predictions = Predictor::new(&read)
        .unwrap()
        .predict_tensor(&tiny::images())
        .unwrap();
    assert!(
        predictions
            .iter()
            .all(|p| p.novelty.is_some_and(|n| (0.0..=1.0).contains(&n)))
    );
    let plain = Predictor::new(&tiny::model()).unwrap();
    assert_eq!(
        plain.predict_tensor(&tiny::images()).unwrap()[0].novelty,
        None
    );
    let members = vec![Predictor::new(&read).unwrap(), plain];
    let both = hydranet::Ensemble::new(members, hydranet::Average::Logit, Views::default());
    assert_eq!(
        both.unwrap().predict_tensor(&tiny::images()).unwrap()[0].novelty,
        None
    );

    let one = train.narrow(0, 0, 1).unwrap();
    assert!(with_novelty(&file, &one, &aside).is_err());
    let alike = Tensor::ones((5, width), DType::F32, &Device::Cpu).unwrap();
    let message = format!("{:#}", with_novelty(&file, &alike, &aside).unwrap_err());
    assert!(message.contains("differ"), "{message}");
    let mut broken = file.clone();
    broken.description.novelty.as_mut().unwrap().directions = 31;
    let message = ModelFile::from_bytes(&broken.to_bytes().unwrap(), "m.safetensors");
    assert!(format!("{:#}", message.unwrap_err()).contains("novelty.directions"));
    broken.description.novelty.as_mut().unwrap().directions = usize::MAX;
    let message = ModelFile::from_bytes(&broken.to_bytes().unwrap(), "m.safetensors");
    assert!(format!("{:#}", message.unwrap_err()).contains("novelty.directions"));
}

/// The distance by its definition, with the covariance's inverse in full.
#[test]
fn the_distance_is_mahalanobis_where_all_directions_are_kept() {
    let width = 20;
    let base: Vec<f64> = draws(width * width, 4);
    let factors = draws(400 * width, 5);
    let mut rows = Vec::new();
    for i in 0..400 {
        for j in 0..width {
            let v: f64 = (0..width)
                .map(|k| factors[i * width + k] * base[k * width + j])
                .sum();
            rows.push(v as f32);
        }
    }
    let all = Tensor::from_vec(rows, (400, width), &Device::Cpu).unwrap();
    let mut file = tiny::model();
    file = with_novelty(&file, &all, &all).unwrap();
    let spec = file.description.novelty.unwrap();
    assert_eq!(spec.directions, width - 1);
    let tensors = file.tensors.clone().into_iter().collect();
    let vb = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let novelty = hydranet::model::novelty::Novelty::new(&spec, width, &vb.pp("novelty")).unwrap();
    let found = novelty.distances(&all).unwrap();
    // Σ d² over the photos a covariance is of is (photos − 1) · width.
    let sum: f64 = found.iter().sum();
    assert!((sum / (399.0 * width as f64) - 1.0).abs() < 1e-4, "{sum}");
}

#[test]
fn coverage_is_the_accuracy_of_the_surest() {
    let photos = vec![
        (0.9, true),
        (0.2, false),
        (0.8, true),
        (0.7, false),
        (0.6, true),
    ];
    let c = Coverage::new("mask", photos);
    let at = |share: f64| c.points.iter().find(|p| p.coverage == share).unwrap();
    assert_eq!(at(1.0).accuracy, 0.6);
    assert_eq!(at(1.0).min_confidence, 0.2);
    assert_eq!(at(0.8).accuracy, 0.75);
    assert_eq!(at(0.8).min_confidence, 0.6);
    let risks = [0.0, 0.0, 1.0 / 3.0, 0.25, 0.4];
    let area = risks.iter().sum::<f64>() / 5.0;
    assert!((c.risk_area.unwrap() - area).abs() < 1e-12);
    let none = Coverage::new("age", Vec::new());
    assert!(none.points.is_empty() && none.risk_area.is_none());
}

proptest! {
    #[test]
    fn no_other_temperature_has_a_smaller_loss(seed in 0u64..500, other in 0.05f64..20.0) {
        let (logits, truth) = photos(40, 3, 1.5, seed);
        let at = |i: usize, t: f64| {
            let scaled: Vec<f64> = logits[i].iter().map(|l| l / t).collect();
            log_softmax(&scaled)
        };
        let loss = |t: f64| -> f64 { truth.iter().enumerate().map(|(i, c)| -at(i, t)[*c]).sum() };
        let found = best_temperature(&truth, at);
        prop_assert!(loss(found) <= loss(other) + 1e-9);
    }
}
