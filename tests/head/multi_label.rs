//! Heads of several labels at once. `tests/golden/make_multi_label.py` made the golden values, with PyTorch and scikit-learn.

use super::rows::{Rows, distance, tensor};
use crate::common::differences::flat;
use candle_core::{DType, Device, Tensor, Var};
use hydranet::data::targets::Targets;
use hydranet::eval::metrics::{LabelSet, LabelSetMetrics};
use hydranet::eval::score::{ScoreReport, Scored};
use hydranet::train::loss::HeadLoss;
use hydranet::train::mix::blend::{Mixing, mix_pairs, opposite};
use hydranet::{
    Architecture, ClassWeightRule, ClassWeights, Decision, Error, HeadSpec, JointSpec, Labels,
    LossKind, LossTerm, ModelSpec, MultiLabelSpec, NumberSpec, Outputs, Prediction,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    losses: Vec<Loss>,
    metrics: Vec<Metrics>,
}

#[derive(Deserialize)]
struct Loss {
    kind: LossKind,
    logits: Rows,
    targets: Rows,
    class_weights: Option<Vec<f64>>,
    sample_weights: Option<Vec<f64>>,
    smoothing: f64,
    loss: f64,
    grad: Rows,
}

#[derive(Deserialize)]
struct Metrics {
    truth: Vec<Vec<bool>>,
    probs: Rows,
    thresholds: Vec<f64>,
    exact: f64,
    micro_f1: f64,
    macro_f1: f64,
    weighted_f1: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    roc_auc: Vec<Option<f64>>,
    average_precision: Option<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/multi_label.json")).unwrap()
}

fn asymmetric(gamma_neg: f64, gamma_pos: f64, clip: f64) -> LossKind {
    LossKind::Asymmetric {
        gamma_neg,
        gamma_pos,
        clip,
    }
}

fn tags() -> HeadSpec {
    HeadSpec::multi_label("tags", ["red", "striped", "long"])
}

fn model(heads: Vec<HeadSpec>) -> ModelSpec {
    let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    ModelSpec::new(backbone, heads, backbone.input())
}

#[test]
fn losses_and_gradients_are_pytorchs() {
    let cases = golden().losses;
    assert_eq!(cases.len(), 25);
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
        for case in &cases {
            let (photos, labels) = (case.logits.len(), case.logits[0].len());
            let logits = Var::from_tensor(&tensor(&case.logits, dtype)).unwrap();
            let weights = case.sample_weights.clone().unwrap_or(vec![1.0; photos]);
            let weights = Tensor::new(weights, &Device::Cpu).unwrap();
            let weights = weights.to_dtype(dtype).unwrap();
            let settings = HeadLoss {
                class_weights: case.class_weights.clone().unwrap_or(vec![1.0; labels]),
                smoothing: case.smoothing,
                ..HeadLoss::new(case.kind.clone(), labels)
            };
            let targets = tensor(&case.targets, dtype);
            let value = settings.loss(logits.as_tensor(), &targets, &weights);
            let value = value.unwrap().unwrap();
            let grads = value.backward().unwrap();
            let grad = flat(grads.get(logits.as_tensor()).unwrap());
            let error = distance(&flat(&value), &[case.loss]);
            let error = error.max(distance(&grad, &case.grad.concat()));
            assert!(error < tolerance, "{:?}: {error:.1e}", case.kind);
        }
    }
}

#[test]
fn losses_are_finite_however_sure_the_logits() {
    let kinds = [
        LossKind::BinaryCrossEntropy,
        asymmetric(4.0, 1.0, 0.05),
        asymmetric(0.5, 0.5, 0.0),
    ];
    for kind in kinds {
        for z in [0.0, 40.0, -40.0, 800.0, -800.0] {
            let logits = Var::new(&[[z, -z]], &Device::Cpu).unwrap();
            let one = Tensor::new(&[1f64], &Device::Cpu).unwrap();
            for target in [[1.0, 0.0], [0.0, 0.0], [0.5, 1.0]] {
                let target = Tensor::new(&[target], &Device::Cpu).unwrap();
                let loss = HeadLoss::new(kind.clone(), 2);
                let value = loss.loss(logits.as_tensor(), &target, &one);
                let value = value.unwrap().unwrap();
                let grads = value.backward().unwrap();
                let grad = flat(grads.get(logits.as_tensor()).unwrap());
                let finite = grad.iter().chain(&flat(&value)).all(|v| v.is_finite());
                assert!(finite, "{kind:?} at {z}: {grad:?}");
            }
        }
    }
    // A photo that has none of the labels counts; one of which nothing is known does not.
    let logits = Tensor::new(&[[1f64, 1.0]], &Device::Cpu).unwrap();
    let none = logits.zeros_like().unwrap();
    let loss = |weight: f64| {
        let weight = Tensor::new(&[weight], &Device::Cpu).unwrap();
        let loss = HeadLoss::new(LossKind::BinaryCrossEntropy, 2);
        loss.loss(&logits, &none, &weight).unwrap()
    };
    assert!(loss(1.0).is_some());
    assert!(loss(0.0).is_none());
}

#[test]
fn scores_are_scikit_learns() {
    for case in golden().metrics {
        let labels = case.thresholds.len();
        let photos = case
            .truth
            .iter()
            .zip(&case.probs)
            .map(|(truth, probs)| LabelSet {
                truth: truth.clone(),
                predicted: probs
                    .iter()
                    .zip(&case.thresholds)
                    .map(|(p, t)| p >= t)
                    .collect(),
                probs: probs.clone(),
            });
        let photos: Vec<LabelSet> = photos.collect();
        let found = LabelSetMetrics::new(labels, &photos).unwrap();
        let of = |f: fn(&hydranet::eval::metrics::ClassMetrics) -> f64| -> Vec<f64> {
            found.labels.iter().map(f).collect()
        };
        let close = |found: &[f64], expected: &[f64]| assert!(distance(found, expected) < 1e-12);
        let sums = [
            found.exact,
            found.micro_f1,
            found.macro_f1(),
            found.weighted_f1(),
        ];
        let expected = [case.exact, case.micro_f1, case.macro_f1, case.weighted_f1];
        close(&sums, &expected);
        close(&of(|l| l.precision), &case.precision);
        close(&of(|l| l.recall), &case.recall);
        close(&of(|l| l.f1), &case.f1);
        let support: Vec<u64> = found.labels.iter().map(|l| l.support).collect();
        assert_eq!(support, case.support);
        let known = |all: &[Option<f64>]| all.iter().copied().flatten().collect::<Vec<f64>>();
        let defined = |all: &[Option<f64>]| all.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(defined(&found.roc_auc), defined(&case.roc_auc));
        close(&known(&found.roc_auc), &known(&case.roc_auc));
        let each = known(&found.average_precision);
        let mean = (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64);
        assert_eq!(mean.is_some(), case.average_precision.is_some());
        close(&known(&[mean]), &known(&[case.average_precision]));
    }
}

#[test]
fn hostile_sets_are_refused_and_none_at_all_are_not() {
    let empty = LabelSetMetrics::new(2, &[]).unwrap();
    assert_eq!((empty.photos, empty.exact, empty.micro_f1), (0, 0.0, 0.0));
    assert_eq!(empty.macro_f1(), 0.0);
    assert_eq!(LabelSetMetrics::new(0, &[]).unwrap().macro_f1(), 0.0);
    let set = |truth: usize, predicted: usize, probs: Vec<f64>| LabelSet {
        truth: vec![true; truth],
        predicted: vec![false; predicted],
        probs,
    };
    for wrong in [
        set(1, 2, Vec::new()),
        set(2, 3, Vec::new()),
        set(2, 2, vec![0.5]),
        set(2, 2, vec![0.5, f64::NAN]),
        set(2, 2, vec![-0.1, 0.5]),
        set(2, 2, vec![0.5, 1.1]),
    ] {
        let error = LabelSetMetrics::new(2, &[wrong]).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    assert!(LabelSetMetrics::new(2, &[set(2, 2, Vec::new())]).is_ok());
}

#[test]
fn what_is_not_of_the_kind_is_refused_with_its_name() {
    tags().validate().unwrap();
    tags()
        .with_loss(asymmetric(4.0, 0.0, 0.05))
        .validate()
        .unwrap();
    let term = |kind: LossKind| LossTerm { kind, factor: 1.0 };
    let both = |a: LossKind, b: LossKind| LossKind::Sum(vec![term(a), term(b)]);
    let sum = both(LossKind::BinaryCrossEntropy, asymmetric(2.0, 1.0, 0.1));
    tags().with_loss(sum).validate().unwrap();
    let refused = |head: HeadSpec, words: &str| {
        let error = head.validate().unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error} lacks {words}");
    };
    let with = |change: &dyn Fn(&mut HeadSpec)| {
        let mut head = tags();
        change(&mut head);
        head
    };
    for loss in [
        LossKind::CrossEntropy,
        LossKind::focal(2.0),
        LossKind::SoftF1,
        LossKind::Coral,
        LossKind::Corn,
        LossKind::L1,
    ] {
        refused(tags().with_loss(loss), "binary_cross_entropy");
    }
    for loss in [LossKind::BinaryCrossEntropy, asymmetric(4.0, 1.0, 0.05)] {
        let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
        refused(mask.with_loss(loss), "kind = \"multi_label\"");
    }
    let mixed = both(LossKind::BinaryCrossEntropy, LossKind::CrossEntropy);
    refused(tags().with_loss(mixed), "not of both");
    for (loss, words) in [
        (asymmetric(-1.0, 1.0, 0.05), "gamma_neg"),
        (asymmetric(1.0, f64::NAN, 0.05), "gamma_pos"),
        (asymmetric(1.0, 1.0, 1.0), "asymmetric.clip"),
        (asymmetric(1.0, f64::INFINITY, 0.0), "gamma_pos"),
    ] {
        refused(tags().with_loss(loss), words);
    }
    let balanced = ClassWeights::Rule(ClassWeightRule::Balanced);
    refused(
        with(&|h| h.loss.class_weights = balanced.clone()),
        "class_weights",
    );
    refused(with(&|h| h.labels.names[0] = "a;b".into()), "`a;b`");
    refused(with(&|h| h.labels.names[0] = "a|b".into()), "`a|b`");
    refused(
        with(&|h| h.labels.names[0] = "-".into()),
        "labels other than `-`",
    );
    refused(with(&|h| h.labels.unknown = vec!["-".into()]), "unknown");
    refused(with(&|h| h.labels.ordered = true), "without an order");
    refused(
        with(&|h| h.labels.thresholds = vec![1.0, 2.0]),
        "without an order",
    );
    let number = Some(NumberSpec::new([0.0, 100.0]));
    refused(with(&|h| h.labels.number = number), "thresholds");
    let several = |none: &[&str], thresholds: &[f64]| MultiLabelSpec {
        none: none.iter().map(ToString::to_string).collect(),
        thresholds: thresholds.to_vec(),
    };
    for (spec, words) in [
        (several(&["red"], &[]), "none"),
        (several(&[""], &[]), "none"),
        (several(&[" x"], &[]), "none"),
        (several(&[], &[0.5]), "3, one a label"),
        (several(&[], &[0.5, 0.0, 0.5]), "above 0 and at most 1"),
        (several(&[], &[0.5, f64::NAN, 0.5]), "above 0 and at most 1"),
    ] {
        refused(with(&|h| h.labels.multi_label = Some(spec.clone())), words);
    }
}

#[test]
fn a_file_says_the_kind_and_is_read_as_it_was_written() {
    let text = r#"
        name = "tags"
        kind = "multi_label"
        labels = ["red", "striped", "long"]
        none = ["plain"]
        thresholds = [0.3, 0.5, 0.7]
        loss = { asymmetric = { gamma_neg = 2 } }
    "#;
    let head: HeadSpec = toml::from_str(text).unwrap();
    head.validate().unwrap();
    assert_eq!(head.loss.kind, asymmetric(2.0, 1.0, 0.05));
    let several = head.labels.multi_label.as_ref().unwrap();
    assert_eq!(several.thresholds, [0.3, 0.5, 0.7]);
    assert!(head.labels.thresholds.is_empty());
    let read: HeadSpec = serde_json::from_str(&serde_json::to_string(&head).unwrap()).unwrap();
    assert_eq!(read, head);
    let plain: HeadSpec = serde_json::from_str(&serde_json::to_string(&tags()).unwrap()).unwrap();
    assert_eq!(plain, tags());
    for (more, words) in [
        (
            "range = [0, 1]",
            "`range` is for heads of `kind = \"number\"`",
        ),
        (
            "kind = \"label\"",
            "`none` is for heads of `kind = \"multi_label\"`",
        ),
    ] {
        let text = format!("name = \"t\"\nlabels = [\"a\", \"b\"]\nnone = [\"x\"]\n{more}\n");
        let kind = if more.starts_with("kind") {
            ""
        } else {
            "kind = \"multi_label\"\n"
        };
        let text = text + kind;
        let error = toml::from_str::<HeadSpec>(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

fn when(head: &str, label: &str) -> Labels {
    [(head.to_string(), vec![label.to_string()])].into()
}

#[test]
fn the_final_class_is_of_the_other_heads() {
    let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
    let age = HeadSpec::new("age", ["young", "old"]);
    let mut spec = model(vec![mask.clone(), tags(), age.clone()]);
    spec.heads[1].labels.when = when("mask", "worn");
    spec.joint = Some(JointSpec {
        consistency: 1.0,
        ..JointSpec::default()
    });
    spec.validate().unwrap();
    let with = spec.taxonomy().unwrap();
    let without = model(vec![mask, age]).taxonomy().unwrap();
    assert_eq!(with.class_names(), without.class_names());
    assert_eq!(with.decode(2).unwrap(), [Some(1), None, Some(0)]);
    assert_eq!(with.class_of(&[Some(1), None, Some(1)]), Some(3));
    assert_eq!(with.class_of(&[None, None, Some(1)]), None);
    assert!(with.is_multi_label(1) && !with.is_multi_label(0) && !with.is_multi_label(9));
    // The product is that of the others, whatever the labels' logits.
    let heads = |more: Vec<Vec<f32>>| Outputs::from(more);
    let (mask, age) = (vec![2.0f32, 0.5], vec![-1.0f32, 1.0]);
    let all = heads(vec![mask.clone(), vec![50.0, 0.0, -50.0], age.clone()]);
    let found = Prediction::from_logits(&with, &Decision::default(), &all).unwrap();
    let others = heads(vec![mask, age]);
    let expected = Prediction::from_logits(&without, &Decision::default(), &others).unwrap();
    assert_eq!(found.class_probs, expected.class_probs);
    assert_eq!((found.class, &found.name), (expected.class, &expected.name));
    // Each label has a probability of its own.
    assert_eq!(found.heads[1].probs[1], 0.5);
    assert!(found.heads[1].probs[0] > 0.999 && found.heads[1].probs[2] < 1e-9);
    assert_eq!(
        (found.heads[1].index, &found.heads[1].labels),
        (None, &None)
    );
    for wrong in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let heads = vec![vec![2.0, 0.5], vec![wrong, 0.0, 0.0], vec![-1.0, 1.0]];
        let all = Outputs::from(heads);
        let error = Prediction::from_logits(&with, &Decision::default(), &all).unwrap_err();
        assert!(
            error.to_string().contains("found 1 that are not"),
            "{error}"
        );
    }
}

#[test]
fn nothing_rests_on_which_of_several_labels_a_photo_has() {
    let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
    let mut spec = model(vec![tags(), mask]);
    spec.heads[1].labels.when = when("tags", "red");
    let error = spec.validate().unwrap_err().to_string();
    assert!(error.contains("`when` of head `mask`"), "{error}");
    spec.heads[1].labels.when = Labels::new();
    spec.impossible = vec![when("tags", "red")];
    let error = spec.validate().unwrap_err().to_string();
    assert!(
        error.contains("`impossible`") && error.contains("`tags`"),
        "{error}"
    );
    // Alone they make no final class.
    let mut alone = model(vec![tags()]);
    alone.validate().unwrap();
    assert_eq!(alone.taxonomy().unwrap().class_of(&[None]), None);
    let error = alone.taxonomy().unwrap().encode(&[0]).unwrap_err();
    let words = "only heads of several labels at once";
    assert!(error.to_string().contains(words), "{error}");
    alone.joint = Some(JointSpec::default());
    let error = alone.validate().unwrap_err().to_string();
    assert!(error.contains("model.joint"), "{error}");
}

#[test]
fn sets_of_labels_are_scored_where_their_head_applies() {
    let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
    let mut spec = model(vec![mask, tags()]);
    spec.heads[1].labels.when = when("mask", "worn");
    let taxonomy = spec.taxonomy().unwrap();
    let photo = |mask: usize, truth: [bool; 3], predicted: [bool; 3]| Scored {
        truth: vec![Some(mask), None],
        predicted: vec![mask, 0],
        class: mask,
        probs: Vec::new(),
        class_probs: Vec::new(),
        numbers: Vec::new(),
        sets: vec![
            None,
            Some(LabelSet {
                truth: truth.to_vec(),
                predicted: predicted.to_vec(),
                probs: Vec::new(),
            }),
        ],
        groups: Vec::new(),
    };
    let photos = [
        photo(0, [true, false, false], [true, false, false]),
        photo(0, [true, true, false], [true, false, false]),
        photo(0, [false; 3], [false, false, true]),
        // It does not apply: not scored.
        photo(1, [true; 3], [false; 3]),
    ];
    let report = ScoreReport::new(&taxonomy, &[], &photos).unwrap();
    let tags = &report.heads[1];
    assert_eq!((tags.photos, report.heads[0].photos), (3, 4));
    assert_eq!(tags.accuracy, 1.0 / 3.0);
    assert_eq!(tags.more.micro_f1, 2.0 / 3.0);
    assert_eq!(tags.macro_f1, 1.0 / 3.0);
    assert_eq!(tags.more.present, 2);
    assert_eq!(tags.labels[1].metrics.recall, 0.0);
    assert_eq!(report.class.accuracy, 1.0);
    // Only heads of the final class have errors of it.
    let errors: Vec<&str> = report
        .errors
        .heads
        .iter()
        .map(|h| h.head.as_str())
        .collect();
    assert_eq!(errors, ["mask"]);
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["heads"][1].get("confusion").is_none());
    assert!(report.to_string().contains("several at once"), "{report}");
    let wrong = Scored {
        sets: vec![None, Some(LabelSet::default())],
        ..photos[0].clone()
    };
    assert!(ScoreReport::new(&taxonomy, &[], &[wrong]).is_err());
}

proptest! {
    #[test]
    fn mixed_targets_stay_between_0_and_1_and_are_the_parts_of_both(
        rows in prop::collection::vec((prop::collection::vec(any::<bool>(), 3), any::<bool>()), 2..9), lambda in 0.0..=1.0f64
    ) {
        let value = |is: bool| f32::from(u8::from(is));
        let mut all = Targets { rows: Vec::new(), weights: Vec::new(), num_labels: 3 };
        for (row, known) in &rows {
            all.rows.extend(row.iter().map(|l| value(*l && *known)));
            all.weights.push(value(*known));
        }
        let (before, count) = (all.clone(), rows.len());
        let mut images = vec![0.0; count];
        let mut heads = [all];
        mix_pairs(&mut images, &mut heads, &opposite(count), &Mixing::Blend(lambda));
        let [after] = &heads;
        let l = lambda as f32;
        for i in 0..count {
            let j = count - 1 - i;
            for c in 0..3 {
                let found = after.rows[3 * i + c];
                prop_assert!((0.0..=1.0 + 1e-6).contains(&found));
                let (own, other) = (before.rows[3 * i + c], before.rows[3 * j + c]);
                if before.weights[i] == 1.0 && before.weights[j] == 1.0 {
                    prop_assert!((found - (l * own + (1.0 - l) * other)).abs() < 1e-6);
                }
            }
        }
    }
}
