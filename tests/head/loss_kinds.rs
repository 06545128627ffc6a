//! Every kind of loss against PyTorch's autograd, central differences and each other. `tests/golden/make_loss_kinds.py` made the
//! golden values.

use super::rows::{Rows, distance, tensor};
use crate::common::differences::flat;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use hydranet::model_file::Tensors;
use hydranet::train::loss::HeadLoss;
use hydranet::train::loss::class_weights::effective_number_weights;
use hydranet::train::optim::variables::Variables;
use hydranet::train::optim::{Group, Optimizer, OptimizerKind};
use hydranet::{Head, HeadSpec, LossKind, LossTerm, Mode};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

#[derive(Deserialize)]
struct Golden {
    cases: BTreeMap<String, Case>,
    ordered: Ordered,
    effective: Vec<Effective>,
}

#[derive(Clone, Deserialize)]
struct Case {
    kind: LossKind,
    logits: Rows,
    targets: Rows,
    class_weights: Option<Vec<f64>>,
    sample_weights: Option<Vec<f64>>,
    counts: Option<Vec<f64>>,
    smoothing: f64,
    loss: f64,
    grad: Rows,
}

#[derive(Deserialize)]
struct Ordered {
    outputs: Rows,
    coral: Rows,
    corn: Rows,
    corn_median: Vec<usize>,
}

#[derive(Deserialize)]
struct Effective {
    beta: f64,
    counts: Vec<f64>,
    weights: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/loss_kinds.json")).unwrap()
}

impl Case {
    fn head_loss(&self) -> HeadLoss {
        let n = self.targets[0].len();
        let ones = || vec![1.0; n];
        HeadLoss {
            class_weights: self.class_weights.clone().unwrap_or_else(ones),
            counts: self.counts.clone().unwrap_or_else(ones),
            smoothing: self.smoothing,
            ..HeadLoss::new(self.kind.clone(), n)
        }
    }

    fn sample_weights(&self) -> Vec<f64> {
        let ones = || vec![1.0; self.targets.len()];
        self.sample_weights.clone().unwrap_or_else(ones)
    }

    /// The loss and its gradient by the logits.
    fn run(&self, dtype: DType) -> (f64, Vec<f64>) {
        let logits = Var::from_tensor(&tensor(&self.logits, dtype)).unwrap();
        let weights = Tensor::new(self.sample_weights(), &Device::Cpu).unwrap();
        let (targets, weights) = (
            tensor(&self.targets, dtype),
            weights.to_dtype(dtype).unwrap(),
        );
        let loss = self.head_loss();
        let value = loss.loss(logits.as_tensor(), &targets, &weights).unwrap();
        let value = value.unwrap();
        // A factor, so that the gradient from above counts.
        let grads = (&value * 3.0).unwrap().backward().unwrap();
        let grad = flat(grads.get(logits.as_tensor()).unwrap());
        (flat(&value)[0], grad.iter().map(|g| g / 3.0).collect())
    }

    fn with(&self, kind: LossKind) -> (f64, Vec<f64>) {
        let case = Self {
            kind,
            ..self.clone()
        };
        case.run(DType::F64)
    }
}

fn values_and_gradients_are_pytorchs(dtype: DType, tolerance: f64) {
    let golden = golden();
    assert_eq!(golden.cases.len(), 63);
    let (mut failed, mut worst) = (Vec::new(), 0f64);
    for (name, case) in &golden.cases {
        let (loss, grad) = case.run(dtype);
        let error = distance(&[loss], &[case.loss]).max(distance(&grad, &case.grad.concat()));
        worst = worst.max(error);
        if error > tolerance {
            failed.push(format!("{name}: {error:.1e}"));
        }
    }
    println!("{dtype:?}: worst {worst:.1e}");
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_kind_has_the_values_and_gradients_of_pytorch_in_f64() {
    values_and_gradients_are_pytorchs(DType::F64, 1e-12);
}

#[test]
fn every_kind_has_the_values_and_gradients_of_pytorch_in_f32() {
    values_and_gradients_are_pytorchs(DType::F32, 1e-6);
}

#[test]
fn every_kind_has_the_gradients_of_central_differences() {
    let (mut failed, h) = (Vec::new(), 1e-6);
    for (name, case) in golden().cases {
        let (_, grad) = case.run(DType::F64);
        let n = case.logits[0].len();
        let numeric: Vec<f64> = (0..grad.len())
            .map(|j| {
                let at = |d: f64| {
                    let mut moved = case.clone();
                    moved.logits[j / n][j % n] += d;
                    moved.run(DType::F64).0
                };
                (at(h) - at(-h)) / (2.0 * h)
            })
            .collect();
        let error = distance(&grad, &numeric);
        if error > 1e-8 {
            failed.push(format!("{name}: {error:.1e}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn at_the_ends_of_their_settings_losses_are_cross_entropy_and_in_between_they_are_not() {
    let case = golden().cases["cross_entropy_soft_weighted_missing_smoothed"].clone();
    let plain = case.with(LossKind::CrossEntropy);
    let apart = |kind: LossKind| {
        let (loss, grad) = case.with(kind);
        distance(&[loss], &[plain.0]).max(distance(&grad, &plain.1))
    };
    let ldam = |max_margin, scale| LossKind::Ldam { max_margin, scale };
    let tau = |tau| LossKind::LogitAdjusted { tau };
    let gce = |q| LossKind::GeneralizedCrossEntropy { q };
    let sce = |alpha, beta| LossKind::SymmetricCrossEntropy {
        alpha,
        beta,
        log_zero: -4.0,
    };
    let alpha = |alpha: [f64; 4]| LossKind::Focal {
        gamma: 0.0,
        alpha: alpha.to_vec(),
    };
    let mean_variance = |mean, variance| LossKind::MeanVariance { mean, variance };
    let sum = |factors: [f64; 2]| {
        let term = |factor| LossTerm {
            kind: LossKind::CrossEntropy,
            factor,
        };
        LossKind::Sum(factors.map(term).to_vec())
    };
    for (kind, tolerance) in [
        (LossKind::focal(0.0), 0.0),
        (alpha([1.0; 4]), 0.0),
        (ldam(0.0, 1.0), 1e-14),
        (tau(0.0), 1e-14),
        (gce(1e-9), 1e-7),
        (sce(1.0, 0.0), 1e-14),
        (sum([0.25, 0.75]), 1e-14),
        (mean_variance(0.0, 0.0), 0.0),
    ] {
        let error = apart(kind.clone());
        assert!(error <= tolerance, "{kind:?}: {error:e}");
    }
    for kind in [
        LossKind::focal(0.1),
        alpha([1.0, 1.0, 1.0, 2.0]),
        ldam(0.1, 1.0),
        ldam(0.0, 1.1),
        tau(0.1),
        gce(0.1),
        sce(1.0, 0.1),
        sum([0.25, 0.5]),
        LossKind::SoftF1,
        LossKind::EarthMover,
        LossKind::L1,
        LossKind::SmoothL1 { beta: 1.0 },
        mean_variance(0.2, 0.05),
    ] {
        let error = apart(kind.clone());
        assert!(error > 1e-3, "{kind:?}: {error:e}");
    }
}

#[test]
fn with_two_labels_coral_and_corn_are_cross_entropy_of_the_difference_of_logits() {
    let mut case = golden().cases["cross_entropy_soft_weighted_missing_smoothed"].clone();
    let first = |rows: &mut Rows, n: usize| rows.iter_mut().for_each(|r| r.truncate(n));
    first(&mut case.logits, 2);
    first(&mut case.targets, 2);
    for row in &mut case.targets {
        let sum: f64 = row.iter().sum::<f64>().max(1e-3);
        row.iter_mut().for_each(|t| *t /= sum);
    }
    for list in [&mut case.class_weights, &mut case.counts] {
        list.as_mut().unwrap().truncate(2);
    }
    let expected = case.with(LossKind::CrossEntropy);
    for row in &mut case.logits {
        *row = vec![row[1] - row[0]];
    }
    let slopes: Vec<f64> = expected.1.iter().skip(1).step_by(2).copied().collect();
    for kind in [LossKind::Coral, LossKind::Corn] {
        let (loss, grad) = case.with(kind);
        assert!(distance(&[loss], &[expected.0]) < 1e-14);
        assert!(distance(&grad, &slopes) < 1e-14);
    }
}

#[test]
fn a_missing_label_counts_nothing_whatever_the_loss() {
    for (name, case) in golden().cases {
        let Some(weights) = case.sample_weights.clone() else {
            continue;
        };
        let n = case.logits[0].len();
        let mut other = case.clone();
        for (i, weight) in weights.iter().enumerate() {
            if *weight == 0.0 {
                other.logits[i] = vec![7.0; n];
                other.targets[i] = vec![0.0; case.targets[0].len()];
            }
        }
        let (a, b) = (case.run(DType::F64), other.run(DType::F64));
        assert_eq!(a, b, "{name}");
        for (i, weight) in weights.iter().enumerate() {
            let row = &a.1[i * n..][..n];
            assert_eq!(row.iter().all(|g| *g == 0.0), *weight == 0.0, "{name} {i}");
        }
        // And where it is missing everywhere, there is no loss.
        let none = Tensor::zeros(weights.len(), DType::F64, &Device::Cpu).unwrap();
        let (z, t) = (
            tensor(&case.logits, DType::F64),
            tensor(&case.targets, DType::F64),
        );
        assert!(case.head_loss().loss(&z, &t, &none).unwrap().is_none());
    }
}

#[test]
fn the_parts_of_a_batch_by_their_shares_are_the_batch_for_every_loss_of_single_photos() {
    for (name, case) in golden().cases {
        let loss = case.head_loss();
        let total = |range: std::ops::Range<usize>| {
            let rows: Vec<f32> = case.targets[range.clone()]
                .concat()
                .iter()
                .map(|t| *t as f32)
                .collect();
            let weights: Vec<f32> = case.sample_weights()[range]
                .iter()
                .map(|w| *w as f32)
                .collect();
            loss.total(&rows, &weights)
        };
        let whole = case.run(DType::F64);
        let (mut value, mut grad) = (0.0, Vec::new());
        for range in [0..2, 2..3, 3..6] {
            let part = Case {
                logits: case.logits[range.clone()].to_vec(),
                targets: case.targets[range.clone()].to_vec(),
                sample_weights: Some(case.sample_weights()[range.clone()].to_vec()),
                ..case.clone()
            };
            let share = total(range) / total(0..6);
            let (v, g) = part.run(DType::F64);
            value += share * v;
            grad.extend(g.iter().map(|g| g * share));
        }
        let error = distance(&[value], &[whole.0]).max(distance(&grad, &whole.1));
        // F1 is one of a whole batch.
        let of_batch = name.starts_with("soft_f1") || name.starts_with("sum");
        assert_eq!(error > 1e-6, of_batch, "{name}: {error:e}");
    }
}

#[test]
fn every_loss_is_finite_however_sure_the_logits_are() {
    let (mut failed, mut cases) = (Vec::new(), golden().cases);
    // A power below 1, whose slope has no bound.
    let steep = Case {
        kind: LossKind::focal(0.5),
        ..cases["focal_hard"].clone()
    };
    cases.insert("focal_half".into(), steep);
    for (name, case) in cases {
        for z in [0.0, 20.0, 100.0, 1e4, 1e30] {
            for dtype in [DType::F32, DType::F64] {
                let mut case = case.clone();
                for (i, row) in case.logits.iter_mut().enumerate() {
                    for (j, v) in row.iter_mut().enumerate() {
                        *v = z * [1.0, -1.0, 0.0][(i + j) % 3];
                    }
                }
                let (loss, grad) = case.run(dtype);
                if !loss.is_finite() || loss < 0.0 || !grad.iter().all(|g| g.is_finite()) {
                    failed.push(format!("{name} {dtype:?} z {z}: {loss} {grad:?}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn class_weights_that_are_deferred_count_from_their_epoch_on() {
    let case = golden().cases["ldam_soft_weighted_missing_smoothed"].clone();
    let deferred = HeadLoss {
        reweight_after: 0.8,
        ..case.head_loss()
    };
    let equal = HeadLoss {
        class_weights: vec![1.0; 4],
        ..deferred.clone()
    };
    for (epoch, epochs, counts) in [(0, 10, false), (7, 10, false), (8, 10, true), (9, 10, true)] {
        let expected = if counts { &deferred } else { &equal };
        assert_eq!(
            *deferred.in_epoch(epoch, epochs),
            *expected,
            "{epoch} of {epochs}"
        );
    }
    assert_eq!(*case.head_loss().in_epoch(0, 10), case.head_loss());
}

#[test]
fn weights_by_the_effective_number_are_those_of_the_authors_program() {
    for case in golden().effective {
        let found = effective_number_weights(&case.counts, case.beta);
        // The reference's 1 − βⁿ loses digits for a β near 1.
        assert!(distance(&found, &case.weights) < 1e-9, "β {}", case.beta);
    }
    assert_eq!(effective_number_weights(&[5.0, 50.0], 0.0), [1.0, 1.0]);
    let near = effective_number_weights(&[1.0, 3.0, 0.0], 1.0 - 1e-12);
    assert!(distance(&near, &[2.25, 0.75, 0.0]) < 1e-9, "{near:?}");
    assert_eq!(effective_number_weights(&[0.0, 0.0], 0.9), [0.0, 0.0]);
}

/// The probabilities a head of ordered labels gives for these outputs.
fn probs(loss: LossKind, outputs: &[f64]) -> Vec<f64> {
    let n = outputs.len();
    let rows = if loss == LossKind::Coral { 1 } else { n };
    let labels = (0..=n).map(|i| i.to_string());
    let spec = HeadSpec::new("age", labels).with_loss(loss);
    // CORAL's biases count from borders two apart and around 0.
    let start = |k: usize| match rows {
        1 => n as f64 - 1.0 - 2.0 * k as f64,
        _ => 0.0,
    };
    let bias = outputs.iter().enumerate();
    let bias: Vec<f32> = bias.map(|(k, v)| (v - start(k)) as f32).collect();
    let tensors = HashMap::from([
        (
            "fc.weight".to_string(),
            Tensor::zeros((rows, 2), DType::F32, &Device::Cpu).unwrap(),
        ),
        (
            "fc.bias".to_string(),
            Tensor::new(bias, &Device::Cpu).unwrap(),
        ),
    ]);
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let head = Head::new(&spec, 2, 0, vb).unwrap();
    let features = Tensor::ones((1, 2), DType::F32, &Device::Cpu).unwrap();
    let found = head.outputs(&features, Mode::Eval).unwrap();
    assert_eq!(found.dims(), [1, n]);
    let logits = head.logits(&features, Mode::Eval).unwrap();
    assert_eq!(logits.dims(), [1, n + 1]);
    let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    let log_probs = hydranet::model::combine::log_softmax(&logits);
    log_probs.into_iter().map(f64::exp).collect()
}

#[test]
fn a_head_of_ordered_labels_gives_the_probabilities_that_follow_from_its_borders() {
    let golden = golden().ordered;
    for (i, outputs) in golden.outputs.iter().enumerate() {
        for (loss, expected) in [
            (LossKind::Coral, &golden.coral),
            (LossKind::Corn, &golden.corn),
        ] {
            let found = probs(loss.clone(), outputs);
            assert!(
                distance(&found, &expected[i]) < 1e-6,
                "{loss:?} {outputs:?}: {found:?}"
            );
        }
        // The papers' label is the median of the same distribution.
        let mut below = 0.0;
        let found = probs(LossKind::Corn, outputs);
        let median = found.iter().position(|p| {
            below += p;
            below >= 0.5 - 1e-7
        });
        assert_eq!(median, Some(golden.corn_median[i]), "{outputs:?}");
    }
}

proptest! {
    #[test]
    fn ordered_labels_have_a_distribution_and_coral_one_whatever_the_order_of_its_outputs(
        outputs in prop::collection::vec(-200f64..200.0, 1..6)
    ) {
        for loss in [LossKind::Coral, LossKind::Corn] {
            let found = probs(loss, &outputs);
            prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(found.iter().all(|p| (0.0..=1.0).contains(p)));
        }
        // Beyond border k lies what lies beyond the least certain border up to it.
        let found = probs(LossKind::Coral, &outputs);
        let mut least = f64::INFINITY;
        for (k, a) in outputs.iter().enumerate() {
            least = least.min(*a);
            let beyond: f64 = found[k + 1..].iter().sum();
            prop_assert!((beyond - 1.0 / (1.0 + (-least).exp())).abs() < 1e-5);
        }
    }
}

#[test]
fn a_head_of_ordered_labels_learns_the_order_and_coral_orders_its_borders() {
    // One feature that rises with the label, and one that tells nothing.
    let (k, n) = (4, 40);
    let features: Vec<f32> = (0..n)
        .flat_map(|i| {
            [
                (i % k) as f32 + 0.3 * (i as f32).sin(),
                (1.7 * i as f32).cos(),
            ]
        })
        .collect();
    let features = Tensor::from_vec(features, (n, 2), &Device::Cpu).unwrap();
    let rows: Vec<f32> = (0..n * k)
        .map(|i| f32::from(u8::from(i % k == i / k % k)))
        .collect();
    let targets = Tensor::from_vec(rows, (n, k), &Device::Cpu).unwrap();
    let weights = Tensor::ones(n, DType::F32, &Device::Cpu).unwrap();
    for kind in [LossKind::Coral, LossKind::Corn, LossKind::EarthMover] {
        let spec = HeadSpec::new("age", ["a", "b", "c", "d"]).with_loss(kind.clone());
        let variables = Variables::new(Tensors::new(), 1, |_| true, |_| true);
        let head = Head::new(&spec, 2, 0, variables.builder()).unwrap();
        let group = Group {
            lr: 0.3,
            weight_decay: 0.0,
            since: 0,
        };
        let vars = variables.vars().into_iter();
        let vars = vars.map(|(name, var)| (name, (var, group))).collect();
        let mut optimizer = Optimizer::new(OptimizerKind::AdamW, vars);
        let loss = HeadLoss::new(kind.clone(), k);
        let mut value = f64::INFINITY;
        for _ in 0..300 {
            let outputs = head.outputs(&features, Mode::Eval).unwrap();
            let joint = loss.loss(&outputs, &targets, &weights).unwrap().unwrap();
            value = flat(&joint)[0];
            let grads = optimizer.collect(&joint.backward().unwrap()).unwrap();
            optimizer.step(&grads, 1.0, 1.0).unwrap();
        }
        let logits: Vec<Vec<f32>> = head
            .logits(&features, Mode::Eval)
            .unwrap()
            .to_vec2()
            .unwrap();
        let right = logits.iter().enumerate().filter(|(i, row)| {
            let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
            hydranet::model::combine::argmax(&row) == i % k
        });
        assert!(right.count() >= n - 1, "{kind:?}: loss {value}");
        if kind == LossKind::Coral {
            let outputs = head.outputs(&features, Mode::Eval).unwrap();
            let outputs: Vec<Vec<f32>> = outputs.to_vec2().unwrap();
            let ordered = |row: &Vec<f32>| row.windows(2).all(|b| b[0] > b[1]);
            assert!(outputs.iter().all(ordered), "{:?}", outputs[0]);
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let case = golden().cases["coral_hard"].clone();
    let loss = case.head_loss();
    let weights = Tensor::ones(6, DType::F64, &Device::Cpu).unwrap();
    let targets = tensor(&case.targets, DType::F64);
    let error = loss.loss(&targets, &targets, &weights).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("logits") && error.contains("(6, 3)") && error.contains("[6, 4]"),
        "{error}"
    );
}
