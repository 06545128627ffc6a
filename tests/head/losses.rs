//! Losses, mix-up, schedule and optimisers against PyTorch and against their definitions. `tests/golden/make_losses.py` made the
//! golden values.

use crate::common::differences::flat;
use crate::rows::{Rows, distance, tensor};
use candle_core::{DType, Device, Tensor, Var};
use hydranet::LossKind;
use hydranet::data::targets::Targets;
use hydranet::train::loss::HeadLoss;
use hydranet::train::loss::class_weights::balanced_weights;
use hydranet::train::mix::{Mixing, draw_lambda, mix_pairs, opposite};
use hydranet::train::optim::schedule::factor;
use hydranet::train::optim::{Group, Optimizer, OptimizerKind};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Deserialize)]
struct Case {
    rule: bool,
    logits: Rows,
    targets: Rows,
    class_weights: Option<Vec<f64>>,
    sample_weights: Option<Vec<f64>>,
    gamma: f64,
    smoothing: f64,
    denominator: f64,
    loss: f64,
    grad: Rows,
}

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(include_str!("../golden/losses.json")).unwrap()
}

fn kind(gamma: f64) -> LossKind {
    if gamma == 0.0 {
        LossKind::CrossEntropy
    } else {
        LossKind::focal(gamma)
    }
}

impl Case {
    /// The loss and its gradient by the logits; `None` where no label is there.
    fn run(&self, kind: LossKind, dtype: DType) -> Option<(f64, Vec<f64>)> {
        let labels = self.logits[0].len();
        let loss = HeadLoss {
            class_weights: self.class_weights.clone().unwrap_or(vec![1.0; labels]),
            smoothing: self.smoothing,
            ..HeadLoss::new(kind, labels)
        };
        let logits = Var::from_tensor(&tensor(&self.logits, dtype)).unwrap();
        let ones = vec![1.0; self.logits.len()];
        let weights = self.sample_weights.as_ref().unwrap_or(&ones);
        let weights = Tensor::new(weights.as_slice(), &Device::Cpu).unwrap();
        let weights = weights.to_dtype(dtype).unwrap();
        let targets = tensor(&self.targets, dtype);
        let value = loss.loss(logits.as_tensor(), &targets, &weights).unwrap()?;
        assert_eq!(value.rank(), 0);
        let grads = value.backward().unwrap();
        let grad = grads.get(logits.as_tensor()).unwrap();
        Some((flat(&value)[0], flat(grad)))
    }
}

fn values_and_gradients_are_pytorchs(dtype: DType, tolerance: f64) {
    let (mut failed, mut worst) = (Vec::new(), (0.0, String::new()));
    let cases = cases();
    assert_eq!(cases.len(), 20);
    for (name, case) in &cases {
        let error = match case.run(kind(case.gamma), dtype) {
            None if case.denominator == 0.0 => 0.0,
            None => f64::INFINITY,
            Some(_) if case.denominator == 0.0 => f64::INFINITY,
            Some((loss, grad)) => {
                distance(&[loss], &[case.loss]).max(distance(&grad, &case.grad.concat()))
            }
        };
        if !case.rule {
            // PyTorch divides otherwise here, by intent not ours.
            assert!(error > 1e-3, "{name}: {error:e}");
            continue;
        }
        if error.is_nan() || error > tolerance {
            failed.push(format!("{name}: {error:.1e}"));
        }
        if error > worst.0 {
            worst = (error, name.clone());
        }
    }
    println!("{dtype:?}: worst {worst:?}");
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn losses_have_the_values_and_gradients_of_pytorch_in_f64() {
    values_and_gradients_are_pytorchs(DType::F64, 1e-9);
}

#[test]
fn losses_have_the_values_and_gradients_of_pytorch_in_f32() {
    values_and_gradients_are_pytorchs(DType::F32, 1e-5);
}

#[test]
fn smoothing_is_the_same_as_smoothed_targets() {
    for (name, case) in cases() {
        for smoothing in [0.0, 0.1, 0.9] {
            let smoothed = Case {
                smoothing,
                ..case.clone()
            };
            let mut by_hand = Case {
                smoothing: 0.0,
                ..case.clone()
            };
            for row in &mut by_hand.targets {
                let k = row.len() as f64;
                row.iter_mut()
                    .for_each(|t| *t = *t * (1.0 - smoothing) + smoothing / k);
            }
            let run = |c: &Case| c.run(kind(case.gamma), DType::F64);
            match (run(&smoothed), run(&by_hand)) {
                (None, None) => {}
                (Some(a), Some(b)) => {
                    let error = distance(&[a.0], &[b.0]).max(distance(&a.1, &b.1));
                    assert!(error < 1e-14, "{name} {smoothing}: {error:e}");
                }
                (a, b) => panic!("{name} {smoothing}: {a:?} {b:?}"),
            }
        }
    }
}

#[test]
fn balanced_weights_are_those_of_scikit_learn() {
    // compute_class_weight("balanced"): n / (labels · count).
    for (counts, expected) in [
        (
            vec![6.0, 3.0, 1.0],
            vec![10.0 / 18.0, 10.0 / 9.0, 10.0 / 3.0],
        ),
        (vec![5.0, 5.0], vec![1.0, 1.0]),
        (vec![1.0, 999.0], vec![500.0, 1000.0 / 1998.0]),
        (vec![4.0], vec![1.0]),
        (vec![0.0, 8.0], vec![0.0, 0.5]),
        (vec![0.0, 0.0], vec![0.0, 0.0]),
        (vec![], vec![]),
    ] {
        let found = balanced_weights(&counts);
        assert!(distance(&found, &expected) < 1e-15, "{counts:?}: {found:?}");
    }
}

#[derive(Deserialize)]
struct Optimisers {
    start: Vec<f64>,
    grads: Rows,
    cases: BTreeMap<String, Trajectory>,
}

#[derive(Deserialize)]
struct Trajectory {
    kind: String,
    betas: Option<(f64, f64)>,
    momentum: Option<f64>,
    weight_decay: f64,
    decoupled: Option<bool>,
    rates: Vec<f64>,
    after: Rows,
}

fn f32_tensor(values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    Tensor::new(values.as_slice(), &Device::Cpu).unwrap()
}

fn optimiser(kind: OptimizerKind, start: &[f64], weight_decay: f64) -> (Optimizer, Var) {
    let var = Var::from_tensor(&f32_tensor(start)).unwrap();
    // Peak rate 0.5: group and schedule both have a share in each step's rate.
    let group = Group {
        lr: 0.5,
        weight_decay,
        since: 0,
    };
    let vars = BTreeMap::from([("p".to_string(), (var.clone(), group))]);
    (Optimizer::new(kind, vars), var)
}

fn optimisers() -> Optimisers {
    serde_json::from_str(include_str!("../golden/optimisers.json")).unwrap()
}

fn optimiser_kind(case: &Trajectory) -> OptimizerKind {
    match case.kind.as_str() {
        "adamw" => OptimizerKind::AdamW,
        "sgd" => OptimizerKind::Sgd {
            momentum: case.momentum.unwrap(),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn optimisers_take_the_steps_of_pytorch() {
    let golden = optimisers();
    assert_eq!(golden.cases.len(), 9);
    let (mut failed, mut worst) = (Vec::new(), (0.0, String::new()));
    for (name, case) in &golden.cases {
        let (mut optimiser, var) =
            optimiser(optimiser_kind(case), &golden.start, case.weight_decay);
        let mut off = 0f64;
        for ((grad, rate), after) in golden.grads.iter().zip(&case.rates).zip(&case.after) {
            // Gradients come four times as large as they count, as with clipping.
            let grad: Vec<f64> = grad.iter().map(|g| g * 4.0).collect();
            optimiser
                .step(&[f32_tensor(&grad)], rate / 0.5, 0.25)
                .unwrap();
            off = off.max(distance(&flat(var.as_tensor()), after));
        }
        // What hydranet does not offer must not agree: other β, decay added to the gradient.
        let offered = case.betas.is_none_or(|b| b == (0.9, 0.999)) && case.decoupled != Some(false);
        if !offered {
            assert!(off > 1e-5, "{name}: {off:e}");
            continue;
        }
        if off.is_nan() || off > 1e-6 {
            failed.push(format!("{name}: {off:.1e}"));
        }
        if off > worst.0 {
            worst = (off, name.clone());
        }
    }
    println!("optimisers: worst {worst:?}");
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn an_optimiser_taken_up_again_goes_on_as_if_it_had_not_stopped() {
    let golden = optimisers();
    for name in ["adamw_decay_varying_rate", "sgd_momentum_decay"] {
        let case = &golden.cases[name];
        let kind = optimiser_kind(case);
        let (mut whole, expected) = optimiser(kind, &golden.start, case.weight_decay);
        for (grad, rate) in golden.grads.iter().zip(&case.rates) {
            whole.step(&[f32_tensor(grad)], *rate, 1.0).unwrap();
        }
        let (mut first, var) = optimiser(kind, &golden.start, case.weight_decay);
        for i in 0..2 {
            first
                .step(&[f32_tensor(&golden.grads[i])], case.rates[i], 1.0)
                .unwrap();
        }
        let (state, steps) = first.state().unwrap();
        assert_eq!(steps, 2);
        let (mut second, var) = optimiser(kind, &flat(var.as_tensor()), case.weight_decay);
        second.restore(&state, steps).unwrap();
        for i in 2..5 {
            second
                .step(&[f32_tensor(&golden.grads[i])], case.rates[i], 1.0)
                .unwrap();
        }
        assert_eq!(flat(var.as_tensor()), flat(expected.as_tensor()), "{name}");
        assert!(second.restore(&Default::default(), 1).is_err(), "{name}");
    }
}

#[test]
fn a_gradient_that_is_not_there_or_does_not_fit_is_an_error() {
    let (mut optimiser, var) = optimiser(OptimizerKind::AdamW, &[1.0, 2.0], 0.0);
    assert!(optimiser.step(&[f32_tensor(&[1.0])], 1.0, 1.0).is_err());
    let other = Var::from_tensor(&f32_tensor(&[1.0])).unwrap();
    let grads = other.as_tensor().sum_all().unwrap().backward().unwrap();
    let error = optimiser.collect(&grads).unwrap_err().to_string();
    assert!(error.contains('p'), "{error}");
    let grads = var.as_tensor().sum_all().unwrap().backward().unwrap();
    let found = optimiser.collect(&grads).unwrap();
    assert_eq!(flat(&found[0]), [1.0, 1.0]);
    let norms = optimiser.norms(&found).unwrap();
    assert_eq!(norms, [("p".to_string(), 2f64.sqrt())]);
}

/// A batch of photos of `size` values and two heads of 2 and 3 labels with some labels missing.
fn batch() -> impl Strategy<Value = (usize, usize, Vec<f32>, Vec<Targets>, f64)> {
    (1usize..8, 1usize..5).prop_flat_map(|(batch, size)| {
        let head = |k: usize| {
            let labels = proptest::collection::vec(proptest::option::weighted(0.7, 0..k), batch);
            labels.prop_map(move |labels| Targets {
                rows: labels
                    .iter()
                    .flat_map(|l| (0..k).map(move |c| f32::from(u8::from(*l == Some(c)))))
                    .collect(),
                weights: labels
                    .iter()
                    .map(|l| f32::from(u8::from(l.is_some())))
                    .collect(),
                num_labels: k,
            })
        };
        (
            Just(batch),
            Just(size),
            proptest::collection::vec(-3f32..3.0, batch * size),
            (head(2), head(3)).prop_map(|(a, b)| vec![a, b]),
            prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..1.0],
        )
    })
}

proptest! {
    #[test]
    fn mix_up_blends_each_photo_and_all_its_targets_with_its_mirror((n, size, images, heads, lambda) in batch()) {
        let (mut mixed, mut targets) = (images.clone(), heads.clone());
        mix_pairs(&mut mixed, &mut targets, &opposite(n), &Mixing::Blend(lambda));
        if lambda == 1.0 {
            prop_assert_eq!(&mixed, &images);
            prop_assert_eq!(&targets, &heads);
        }
        let l = lambda as f32;
        for i in 0..n {
            let j = n - 1 - i;
            for s in 0..size {
                let expected = l * images[i * size + s] + (1.0 - l) * images[j * size + s];
                prop_assert!((mixed[i * size + s] - expected).abs() < 1e-5);
            }
            for (head, before) in targets.iter().zip(&heads) {
                let k = head.num_labels;
                let (own, other) = (l * before.weights[i], (1.0 - l) * before.weights[j]);
                prop_assert!((head.weights[i] - own - other).abs() < 1e-6);
                let row = &head.rows[i * k..][..k];
                for (c, found) in row.iter().enumerate() {
                    // Both there: the blend. One there: that one, at its share as weight. None: nothing.
                    let expected = own * before.rows[i * k + c] + other * before.rows[j * k + c];
                    prop_assert!((found * head.weights[i] - expected).abs() < 1e-6);
                    prop_assert!((0.0..=1.0 + 1e-6).contains(found));
                }
                let sum: f32 = row.iter().sum();
                let expected = if head.weights[i] > 0.0 { 1.0 } else { 0.0 };
                prop_assert!((sum - expected).abs() < 1e-5, "row sums to {}", sum);
            }
        }
    }

    #[test]
    fn lambda_is_from_0_to_1_and_follows_from_its_key(alpha in prop_oneof![Just(1e-3), 0.01..1.0, 1.0..100.0], seed: u64, epoch in 0u64..100, step in 0u64..1000) {
        let lambda = draw_lambda(alpha, seed, epoch, step).unwrap();
        prop_assert!((0.0..=1.0).contains(&lambda), "{}", lambda);
        prop_assert_eq!(lambda, draw_lambda(alpha, seed, epoch, step).unwrap());
    }

    #[test]
    fn the_schedule_rises_to_1_and_falls_to_its_end(steps in 1usize..200, warm_up in 0.0..1.0, end in 0.0..1.0) {
        let values: Vec<f64> = (0..=steps).map(|s| factor(s, steps, warm_up, end)).collect();
        let rise = (warm_up * steps as f64).round() as usize;
        for (s, pair) in values.windows(2).enumerate() {
            if s + 1 < rise {
                prop_assert!(pair[0] < pair[1], "step {}: {:?}", s, pair);
            } else {
                prop_assert!(pair[0] >= pair[1], "step {}: {:?}", s, pair);
            }
        }
        prop_assert!(values[..steps].iter().all(|v| *v > 0.0 && *v <= 1.0));
        if rise < steps {
            prop_assert_eq!(values[rise], 1.0);
            prop_assert!((values[steps] - end).abs() < 1e-12);
        }
        if rise > 0 {
            prop_assert_eq!(values[rise - 1], 1.0);
            prop_assert!((values[0] - 1.0 / rise as f64).abs() < 1e-15);
        }
    }
}

#[test]
fn mix_up_with_an_odd_batch_leaves_the_photo_in_the_middle_as_it_is() {
    let mut images = [1.0, 10.0, 3.0];
    let mut heads = [Targets {
        rows: vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
        weights: vec![1.0; 3],
        num_labels: 2,
    }];
    mix_pairs(&mut images, &mut heads, &opposite(3), &Mixing::Blend(0.75));
    assert_eq!(images, [1.5, 10.0, 2.5]);
    assert_eq!(heads[0].rows, [0.75, 0.25, 0.0, 1.0, 0.25, 0.75]);
    assert_eq!(heads[0].weights, [1.0; 3]);
}

#[test]
fn mix_up_takes_the_label_that_is_there_at_its_share() {
    let mut heads = [Targets {
        rows: vec![1.0, 0.0, 0.0, 0.0],
        weights: vec![1.0, 0.0],
        num_labels: 2,
    }];
    mix_pairs(
        &mut [0.0, 1.0],
        &mut heads,
        &opposite(2),
        &Mixing::Blend(0.75),
    );
    assert_eq!(heads[0].rows, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(heads[0].weights, [0.75, 0.25]);
}

#[test]
fn lambda_differs_from_step_to_step_and_has_the_moments_of_its_distribution() {
    let differ = |a: (u64, u64, u64), b: (u64, u64, u64)| {
        let draw = |(s, e, t)| draw_lambda(0.4, s, e, t).unwrap();
        assert_ne!(draw(a), draw(b), "{a:?} {b:?}");
    };
    differ((1, 0, 0), (2, 0, 0));
    differ((1, 0, 0), (1, 1, 0));
    differ((1, 0, 0), (1, 0, 1));
    for alpha in [0.1, 0.2, 1.0, 4.0] {
        let draws: Vec<f64> = (0..4000)
            .map(|t| draw_lambda(alpha, 1, 0, t).unwrap())
            .collect();
        let mean = draws.iter().sum::<f64>() / 4000.0;
        let var = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0;
        let expected = 0.25 / (2.0 * alpha + 1.0);
        assert!((mean - 0.5).abs() < 0.04, "α {alpha}: mean {mean}");
        assert!(
            (var / expected - 1.0).abs() < 0.1,
            "α {alpha}: variance {var}"
        );
    }
    assert_eq!(draw_lambda(0.0, 1, 0, 0).unwrap(), 1.0);
    for alpha in [-1.0, f64::NAN] {
        assert!(draw_lambda(alpha, 1, 0, 0).is_err(), "{alpha}");
    }
}
