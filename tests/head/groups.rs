//! Labels in groups. `tests/golden/make_groups.py` made the golden values, with PyTorch and scikit-learn.

use super::rows::{Rows, distance, tensor};
use crate::common::differences::flat;
use candle_core::{DType, Device, Tensor, Var};
use hydranet::data::Value;
use hydranet::eval::metrics::Metric;
use hydranet::eval::score::{ScoreReport, Scored};
use hydranet::train::loss::HeadLoss;
use hydranet::train::targets;
use hydranet::{
    Architecture, ClassWeightRule, ClassWeights, Decision, DecisionRule, Error, HeadSpec,
    JointSpec, Labels, LossKind, LossTerm, ModelSpec, Outputs, Prediction,
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
    labels: Vec<String>,
    groups: Labels,
    alpha: f64,
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
    labels: Vec<String>,
    groups: Labels,
    truth: Vec<Option<usize>>,
    known: Vec<Option<usize>>,
    probs: Rows,
    accuracy: f64,
    macro_f1: f64,
    tree_distance: f64,
    mistake_distance: Option<f64>,
    levels: Vec<OfLevel>,
}

#[derive(Deserialize)]
struct OfLevel {
    names: Vec<String>,
    photos: u64,
    accuracy: f64,
    macro_f1: f64,
    balanced_accuracy: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/groups.json")).unwrap()
}

fn head(labels: &[String], groups: &Labels) -> HeadSpec {
    let head = HeadSpec::new("fruit", labels);
    head.with_groups(groups.iter().map(|(name, of)| (name, of.clone())))
}

fn fruit() -> HeadSpec {
    HeadSpec::new("fruit", ["orange", "lemon", "apple"])
        .with_groups([("citrus", vec!["orange", "lemon"]), ("pome", vec!["apple"])])
}

fn model(heads: Vec<HeadSpec>) -> ModelSpec {
    let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    ModelSpec::new(backbone, heads, backbone.input())
}

fn hierarchical(alpha: f64) -> LossKind {
    LossKind::Hierarchical { alpha }
}

fn settings(case: &Loss, kind: LossKind) -> HeadLoss {
    let labels = case.labels.len();
    let tree = head(&case.labels, &case.groups).labels.tree().unwrap();
    HeadLoss {
        class_weights: case.class_weights.clone().unwrap_or(vec![1.0; labels]),
        smoothing: case.smoothing,
        parents: tree.unwrap().parents().to_vec(),
        ..HeadLoss::new(kind, labels)
    }
}

/// The loss and its gradient by the logits.
fn run(case: &Loss, kind: LossKind, logits: &Tensor) -> (f64, Vec<f64>) {
    let logits = Var::from_tensor(logits).unwrap();
    let dtype = logits.dtype();
    let weights = case.sample_weights.clone();
    let weights = weights.unwrap_or(vec![1.0; case.logits.len()]);
    let weights = Tensor::new(weights, &Device::Cpu).unwrap();
    let weights = weights.to_dtype(dtype).unwrap();
    let targets = tensor(&case.targets, dtype);
    let loss = settings(case, kind).loss(logits.as_tensor(), &targets, &weights);
    let loss = loss.unwrap().unwrap();
    let grads = loss.backward().unwrap();
    (flat(&loss)[0], flat(grads.get(logits.as_tensor()).unwrap()))
}

#[test]
fn losses_and_gradients_are_pytorchs() {
    let cases = golden().losses;
    assert_eq!(cases.len(), 42);
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
        for case in &cases {
            let logits = tensor(&case.logits, dtype);
            let mut kinds = vec![hierarchical(case.alpha)];
            if case.alpha == 0.0 {
                kinds.push(LossKind::CrossEntropy);
            }
            for kind in kinds {
                let (loss, grad) = run(case, kind, &logits);
                let error = distance(&[loss], &[case.loss]);
                let error = error.max(distance(&grad, &case.grad.concat()));
                assert!(error < tolerance, "{}: {error:.1e}", case.alpha);
            }
        }
    }
}

#[test]
fn the_gradient_of_a_sum_is_that_of_central_differences() {
    let kind = LossKind::Sum(vec![
        LossTerm {
            kind: hierarchical(0.7),
            factor: 1.5,
        },
        LossTerm {
            kind: LossKind::focal(2.0),
            factor: 0.5,
        },
    ]);
    let step = 1e-5;
    for case in golden().losses.iter().filter(|case| case.alpha == 0.5) {
        let (_, grad) = run(case, kind.clone(), &tensor(&case.logits, DType::F64));
        let width = case.logits[0].len();
        for (at, slope) in grad.iter().enumerate() {
            let at_step = |by: f64| {
                let mut logits = case.logits.clone();
                logits[at / width][at % width] += by;
                run(case, kind.clone(), &tensor(&logits, DType::F64)).0
            };
            let found = (at_step(step) - at_step(-step)) / (2.0 * step);
            assert!((found - slope).abs() < 1e-7, "{at}: {found} not {slope}");
        }
    }
}

#[test]
fn losses_are_finite_however_sure_the_logits() {
    let tree = fruit().labels.tree().unwrap().unwrap();
    for alpha in [0.0, 0.5, 1000.0] {
        let loss = HeadLoss {
            parents: tree.parents().to_vec(),
            ..HeadLoss::new(hierarchical(alpha), 3)
        };
        for z in [0.0, 40.0, -40.0, 800.0, -800.0] {
            for target in 0..5 {
                let mut row = [0.0; 5];
                row[target] = 1.0;
                let logits = Var::new(&[[z, -z, z / 2.0]], &Device::Cpu).unwrap();
                let (row, one) = (
                    Tensor::new(&[row], &Device::Cpu),
                    Tensor::new(&[1f64], &Device::Cpu),
                );
                let value = loss.loss(logits.as_tensor(), &row.unwrap(), &one.unwrap());
                let value = value.unwrap().unwrap();
                let grads = value.backward().unwrap();
                let grad = flat(grads.get(logits.as_tensor()).unwrap());
                let finite = grad.iter().chain(&flat(&value)).all(|v| v.is_finite());
                assert!(finite, "α {alpha} at {z}: {grad:?}");
            }
        }
    }
}

#[test]
fn groups_that_are_no_tree_are_refused_by_a_loss() {
    let logits = Tensor::zeros((1, 3), DType::F64, &Device::Cpu).unwrap();
    let one = Tensor::ones(1, DType::F64, &Device::Cpu).unwrap();
    let in_0 = Some(0);
    for parents in [
        vec![],
        vec![in_0, in_0, in_0],
        vec![in_0, in_0, Some(1), None],
        vec![in_0, in_0, in_0, in_0],
        vec![in_0, in_0, in_0, Some(1), in_0],
        vec![in_0, in_0, None, None, None],
    ] {
        let width = parents.len().max(3);
        let rows = Tensor::ones((1, width), DType::F64, &Device::Cpu).unwrap();
        let loss = HeadLoss {
            parents,
            ..HeadLoss::new(hierarchical(0.5), 3)
        };
        let error = loss.loss(&logits, &rows, &one).unwrap_err();
        assert!(error.to_string().contains("parents"), "{error}");
    }
}

#[test]
fn scores_of_every_level_are_scikit_learns() {
    for case in golden().metrics {
        let spec = model(vec![head(&case.labels, &case.groups)]);
        let taxonomy = spec.taxonomy().unwrap();
        let photos = case.truth.iter().zip(&case.known).zip(&case.probs);
        let photos = photos.map(|((truth, known), probs)| {
            let best = (0..probs.len()).max_by(|a, b| probs[*a].total_cmp(&probs[*b]));
            Scored {
                truth: vec![*truth],
                predicted: vec![best.unwrap()],
                class: best.unwrap(),
                probs: vec![probs.clone()],
                class_probs: probs.clone(),
                numbers: Vec::new(),
                sets: Vec::new(),
                groups: vec![*known],
            }
        });
        let photos: Vec<Scored> = photos.collect();
        let report = ScoreReport::new(&taxonomy, &[], &photos).unwrap();
        let found = &report.heads[0];
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} not {b}");
        close(found.accuracy, case.accuracy);
        close(found.macro_f1, case.macro_f1);
        close(found.get(Metric::TreeDistance).unwrap(), case.tree_distance);
        assert_eq!(
            found.get(Metric::MistakeDistance).is_some(),
            case.mistake_distance.is_some()
        );
        if let Some(expected) = case.mistake_distance {
            close(found.get(Metric::MistakeDistance).unwrap(), expected);
        }
        assert_eq!(found.levels.len(), case.levels.len());
        for (place, (level, expected)) in found.levels.iter().zip(&case.levels).enumerate() {
            let names: Vec<&str> = level.labels.iter().map(|l| l.label.as_str()).collect();
            assert_eq!(names, expected.names);
            assert_eq!(level.name, format!("fruit, level {}", place + 1));
            assert_eq!(level.photos, expected.photos);
            close(level.accuracy, expected.accuracy);
            close(level.macro_f1, expected.macro_f1);
            close(level.more.balanced_accuracy, expected.balanced_accuracy);
        }
        let text = report.to_string();
        assert!(
            text.contains("fruit, level 1") && text.contains("of mistakes"),
            "{text}"
        );
        let json = serde_json::to_value(&report).unwrap();
        let of_level = &json["heads"][0]["levels"][0];
        assert!(of_level["macro_f1"].is_number(), "{of_level}");
        assert!(json["class"].get("levels").is_none());
        assert!(json["class"].get("tree_distance").is_none());
        let wrong = Scored {
            groups: vec![Some(9)],
            ..photos[0].clone()
        };
        assert!(matches!(
            ScoreReport::new(&taxonomy, &[], &[wrong]),
            Err(Error::OutOfRange { .. })
        ));
    }
}

#[test]
fn a_file_of_a_head_says_its_groups_and_which_loss_learns_from_them() {
    let read = |text: &str| -> HeadSpec { toml::from_str(text).unwrap() };
    let text = "name = 'fruit'\nlabels = ['orange', 'lemon', 'apple']\n\
        groups = { citrus = ['orange', 'lemon'], pome = ['apple'] }\n";
    let plain = read(text);
    assert_eq!(plain, fruit());
    assert_eq!(plain.loss.kind, hierarchical(0.5));
    assert_eq!(plain.num_targets(), 5);
    let written = toml::to_string(&plain).unwrap();
    assert_eq!(read(&written), plain);
    let focal = read(&format!("{text}loss = {{ focal = {{ gamma = 2.0 }} }}"));
    assert_eq!((focal.num_targets(), focal.num_labels()), (3, 3));
    focal.validate().unwrap();
    // Without groups nothing is written of them: fingerprints stay.
    let without = toml::to_string(&HeadSpec::new("fruit", ["orange", "lemon"])).unwrap();
    assert!(!without.contains("groups"));
    assert!(toml::from_str::<HeadSpec>(&text.replace("groups", "group")).is_err());
}

#[test]
fn groups_that_a_head_cannot_have_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut HeadSpec), words: &str| {
        let mut head = fruit();
        change(&mut head);
        let error = head.validate().unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }));
        let text = error.to_string();
        assert!(
            text.contains("head `fruit`") && text.contains(words),
            "{text}"
        );
    };
    let one = |name: &str, of: &[&str]| {
        (
            name.to_string(),
            of.iter().map(|s| s.to_string()).collect::<Vec<_>>(),
        )
    };
    refused(&|h| h.labels.groups.clear(), "hierarchical");
    refused(&|h| h.labels.names.push("kiwi".into()), "`kiwi` in none");
    refused(
        &|h| h.labels.groups.extend([one("more", &["citrus", "plum"])]),
        "`plum`",
    );
    refused(
        &|h| h.labels.groups.extend([one("more", &["apple"])]),
        "`apple`",
    );
    refused(
        &|h| h.labels.groups.extend([one("more", &[])]),
        "groups, more",
    );
    refused(
        &|h| h.labels.groups.extend([one("apple", &["pome"])]),
        "groups, apple",
    );
    refused(&|h| h.labels.unknown = vec!["citrus".into()], "unknown");
    refused(&|h| h.labels.thresholds = vec![1.0, 2.0], "thresholds");
    refused(&|h| h.loss.kind = hierarchical(-1.0), "alpha");
    refused(&|h| h.loss.kind = hierarchical(f64::NAN), "alpha");
    refused(
        &|h| {
            *h = HeadSpec::multi_label("fruit", ["orange", "apple"]);
            h.labels.groups = [one("a", &["orange"]), one("b", &["apple"])].into();
        },
        "multi_label",
    );
    // Columns of predictions that would be another's.
    let mut other = HeadSpec::new("fruit_level_1", ["a", "b"]);
    let error = model(vec![fruit(), other.clone()]).validate().unwrap_err();
    assert!(error.to_string().contains("fruit_level_1"), "{error}");
    other.name = "other".into();
    model(vec![fruit(), other]).validate().unwrap();
    let mut spec = model(vec![fruit()]);
    spec.joint = Some(JointSpec {
        loss: hierarchical(0.5),
        ..JointSpec::default()
    });
    assert!(spec.validate().is_err());
}

#[test]
fn conditions_and_impossible_combinations_may_name_groups() {
    let labels = |head: &str, label: &str| [(head.to_string(), vec![label.to_string()])].into();
    let mut peel = HeadSpec::new("peel", ["thick", "thin"]);
    peel.labels.when = labels("fruit", "citrus");
    let mut spec = model(vec![fruit(), peel, HeadSpec::new("ripe", ["yes", "no"])]);
    let mut entry: Labels = labels("fruit", "pome");
    entry.extend::<Labels>(labels("ripe", "no"));
    spec.impossible = vec![entry];
    spec.validate().unwrap();
    let taxonomy = spec.taxonomy().unwrap();
    let names = taxonomy.class_names();
    assert_eq!(names.len(), 9);
    assert_eq!(names[0], "orange / thick / yes");
    assert_eq!(names[8], "apple / yes");

    // What a group alone tells of the other heads.
    let group = |g: usize| Some(Value::Group(g));
    let one = Some(Value::Label(1));
    spec.joint = Some(JointSpec::default());
    let values = [
        [group(0), one.clone(), one.clone()],
        [group(1), one.clone(), Some(Value::Label(0))],
        [group(0), None, one.clone()],
    ];
    let found = targets(&spec, &values).unwrap();
    assert_eq!(found[0].num_labels, 5);
    assert_eq!(
        found[0].rows[..10],
        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    );
    assert_eq!(found[0].weights, [1.0; 3]);
    // Only citrus fruits have a peel to be told; pome is the apple alone, so the final class is known.
    assert_eq!(found[1].weights, [1.0, 0.0, 0.0]);
    assert_eq!(found[3].weights, [0.0, 1.0, 0.0]);
    assert_eq!(
        found[3].rows[9..18],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    );

    // A loss that does not know groups passes such photos over.
    spec.heads[0].loss.kind = LossKind::SoftF1;
    let found = targets(&spec, &values).unwrap();
    assert_eq!((found[0].num_labels, &found[0].weights), (3, &vec![0.0; 3]));
    for wrong in [group(2), Some(Value::Number(1.0))] {
        let values = [[wrong, None, None]];
        assert!(targets(&spec, &values).is_err());
    }
    spec.heads[0].loss.class_weights = ClassWeights::Rule(ClassWeightRule::Balanced);
    spec.validate().unwrap();
}

#[test]
fn the_likeliest_group_is_not_always_that_of_the_likeliest_label() {
    let spec = model(vec![fruit()]);
    let logits = [0.3f32, 0.25, 0.45].map(f32::ln).to_vec();
    let logits = Outputs::from(vec![logits]);
    let taxonomy = spec.taxonomy().unwrap();
    let found = Prediction::from_logits(&taxonomy, &Decision::default(), &logits).unwrap();
    assert_eq!(found.name, "apple");
    let groups = &found.heads[0].groups;
    assert_eq!((groups.len(), groups[0].group.as_str()), (1, "citrus"));
    assert!((groups[0].prob - 0.55).abs() < 1e-6);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["heads"][0]["groups"][0]["group"], "citrus");
}

fn of_peels() -> ModelSpec {
    let mut peel = HeadSpec::new("peel", ["thick", "thin"]);
    peel.labels.when = [("fruit".to_string(), vec!["citrus".to_string()])].into();
    model(vec![fruit(), peel])
}

#[test]
fn the_class_that_is_least_far_need_not_be_the_likeliest() {
    let spec = model(vec![fruit()]);
    let taxonomy = spec.taxonomy().unwrap();
    let decide = |probs: [f32; 3], rule| {
        let logits = Outputs::from(vec![probs.map(f32::ln).to_vec()]);
        let decision = Decision {
            rule,
            ..Decision::default()
        };
        let found = Prediction::from_logits(&taxonomy, &decision, &logits).unwrap();
        (found.name, found.prob)
    };
    let (name, prob) = decide([0.35, 0.25, 0.4], DecisionRule::LeastDistance);
    // Of an orange 0.25 · 1 + 0.4 · 2 are expected, of an apple 0.6 · 2.
    assert_eq!(name, "orange");
    assert!((prob - 0.35).abs() < 1e-6);
    assert_eq!(decide([0.35, 0.25, 0.4], DecisionRule::Product).0, "apple");
    assert_eq!(
        decide([0.1, 0.1, 0.8], DecisionRule::LeastDistance).0,
        "apple"
    );
}

proptest! {
    #[test]
    fn no_class_is_expected_to_be_less_far(logits in prop::array::uniform5(-3.0..3.0f32)) {
        let spec = of_peels();
        let taxonomy = spec.taxonomy().unwrap();
        let outputs = Outputs::from(vec![logits[..3].to_vec(), logits[3..].to_vec()]);
        let decision = Decision { rule: DecisionRule::LeastDistance, ..Decision::default() };
        let found = Prediction::from_logits(&taxonomy, &decision, &outputs).unwrap();
        let tree = spec.heads[0].labels.tree().unwrap().unwrap();
        let expected = |class: usize| -> f64 {
            let own = taxonomy.decode(class).unwrap();
            let of = |(other, p): (usize, &f64)| {
                let labels = taxonomy.decode(other).unwrap();
                let fruit = tree.distance(own[0].unwrap(), labels[0].unwrap()) as f64 / 2.0;
                p * (fruit + if own[1] == labels[1] { 0.0 } else { 1.0 })
            };
            found.class_probs.iter().enumerate().map(of).sum()
        };
        let least = expected(found.class);
        for class in 0..taxonomy.num_classes() {
            prop_assert!(least <= expected(class) + 1e-9, "{} {}", found.class, class);
        }
    }
}
