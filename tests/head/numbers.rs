//! Heads that predict a number. `tests/golden/make_numbers.py` made the golden values, with SciPy, PyTorch and scikit-learn.

use super::rows::{Rows, distance, tensor};
use crate::common::differences::flat;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use hydranet::eval::metrics::{NumberMetrics, NumberPair};
use hydranet::head::Distribution;
use hydranet::train::loss::HeadLoss;
use hydranet::{Head, HeadSpec, LossKind, Mode, NumberSpec};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Row>,
    heads: Vec<Told>,
    losses: Vec<Loss>,
    metrics: Vec<Metrics>,
}

#[derive(Deserialize)]
struct Row {
    number: f64,
    range: [f64; 2],
    bins: usize,
    spread: f64,
    row: Vec<f64>,
}

#[derive(Deserialize)]
struct Told {
    range: [f64; 2],
    bins: usize,
    thresholds: Vec<f64>,
    logits: Vec<f64>,
    labels: Vec<f64>,
    mean: f64,
    quantiles: [f64; 3],
}

#[derive(Deserialize)]
struct Loss {
    numbers: Vec<f64>,
    range: [f64; 2],
    bins: usize,
    spread: f64,
    logits: Rows,
    divergence: f64,
    entropy: f64,
    grad: Rows,
}

#[derive(Deserialize)]
struct Metrics {
    truth: Vec<f64>,
    predicted: Vec<f64>,
    mean_absolute_error: f64,
    r2: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/numbers.json")).unwrap()
}

fn number(range: [f64; 2], bins: usize, spread: f64) -> NumberSpec {
    NumberSpec {
        range,
        bins,
        spread,
    }
}

fn age(number: NumberSpec, thresholds: &[f64]) -> HeadSpec {
    let labels = (0..=thresholds.len()).map(|l| format!("l{l}"));
    HeadSpec::new("age", labels).with_number(number, thresholds)
}

/// The probabilities of a head's labels when its bins have these logits.
fn labels(spec: &HeadSpec, logits: &[f64]) -> Vec<f64> {
    let zeros = Tensor::zeros((logits.len(), 2), DType::F32, &Device::Cpu).unwrap();
    let bias: Vec<f32> = logits.iter().map(|v| *v as f32).collect();
    let tensors = HashMap::from([
        ("fc.weight".to_string(), zeros),
        (
            "fc.bias".to_string(),
            Tensor::new(bias, &Device::Cpu).unwrap(),
        ),
    ]);
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let head = Head::new(spec, 2, 0, vb).unwrap();
    let features = Tensor::ones((1, 2), DType::F32, &Device::Cpu).unwrap();
    let outputs = head.outputs(&features, Mode::Eval).unwrap();
    assert_eq!(outputs.dims(), [1, logits.len()]);
    let found = head.logits(&features, Mode::Eval).unwrap();
    assert_eq!(found.dims(), [1, spec.num_labels()]);
    flat(&found).into_iter().map(f64::exp).collect()
}

#[test]
fn a_number_is_taught_as_the_normal_distribution_around_it() {
    for case in golden().rows {
        let spec = number(case.range, case.bins, case.spread);
        let row: Vec<f64> = spec.row(case.number).into_iter().map(f64::from).collect();
        assert!(distance(&row, &case.row) < 1e-7, "{}: {row:?}", case.number);
    }
    // Without a spread it is the bin it lies in, and the limit of ever smaller ones.
    let hard = |v| number([0.0, 10.0], 5, 0.0).row(v);
    assert_eq!(hard(4.0), [0.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(hard(3.99), [0.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(hard(-7.0), [1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(hard(10.0), [0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(number([0.0, 10.0], 5, 2e-3).row(4.5), hard(4.5));
}

#[test]
fn labels_mean_and_quantiles_are_those_of_the_distribution_over_bins() {
    for case in golden().heads {
        let spec = age(number(case.range, case.bins, 0.0), &case.thresholds);
        spec.validate().unwrap();
        let found = labels(&spec, &case.logits);
        assert!(distance(&found, &case.labels) < 1e-6, "{found:?}");
        let exp: Vec<f64> = case.logits.iter().map(|z| z.exp()).collect();
        let sum: f64 = exp.iter().sum();
        let told = Distribution {
            number: spec.labels.number.unwrap(),
            probs: exp.into_iter().map(|e| e / sum).collect(),
        };
        assert!(distance(&[told.mean()], &[case.mean]) < 1e-12);
        let quantiles = [0.05, 0.5, 0.95].map(|q| told.quantile(q));
        assert!(distance(&quantiles, &case.quantiles) < 1e-12);
    }
}

#[test]
fn cross_entropy_of_bins_is_label_distribution_learning() {
    for case in golden().losses {
        let spec = number(case.range, case.bins, case.spread);
        let rows = case.numbers.iter();
        let rows: Rows = rows
            .map(|n| spec.row(*n).into_iter().map(f64::from).collect())
            .collect();
        let logits = Var::from_tensor(&tensor(&case.logits, DType::F64)).unwrap();
        let weights = Tensor::ones(rows.len(), DType::F64, &Device::Cpu).unwrap();
        let loss = HeadLoss::new(LossKind::CrossEntropy, case.bins);
        let value = loss.loss(logits.as_tensor(), &tensor(&rows, DType::F64), &weights);
        let value = value.unwrap().unwrap();
        // Rows are f32.
        assert!((flat(&value)[0] - case.entropy - case.divergence).abs() < 1e-6);
        let grads = value.backward().unwrap();
        let grad = flat(grads.get(logits.as_tensor()).unwrap());
        assert!(distance(&grad, &case.grad.concat()) < 1e-7);
    }
}

#[test]
fn numbers_are_measured_as_by_scikit_learn() {
    for case in golden().metrics {
        let pairs = case.truth.iter().zip(&case.predicted);
        let pairs: Vec<NumberPair> = pairs
            .map(|(truth, predicted)| NumberPair {
                truth: *truth,
                predicted: *predicted,
                inside: (truth - predicted).abs() < 5.0,
            })
            .collect();
        let found = NumberMetrics::new(&pairs);
        assert!(distance(&[found.r2.unwrap()], &[case.r2]) < 1e-12);
        let mae = found.mean_absolute_error.unwrap();
        assert!(distance(&[mae], &[case.mean_absolute_error]) < 1e-12);
        let inside = pairs.iter().filter(|p| p.inside).count();
        assert_eq!(found.coverage.unwrap(), inside as f64 / pairs.len() as f64);
        // Where all truths are the same, nothing can be explained.
        assert_eq!(NumberMetrics::new(&pairs[..1]).r2, None);
    }
    assert_eq!(NumberMetrics::new(&[]), NumberMetrics::default());
}

#[test]
fn a_border_inside_of_a_bin_shares_it_and_moved_borders_need_no_other_outputs() {
    let logits = [0.0, 3f64.ln(), -80.0, -80.0, -80.0];
    let at = |thresholds: &[f64]| labels(&age(number([0.0, 20.0], 5, 0.0), thresholds), &logits);
    // Bins are 4 wide: 0 to 4 has 1/4, 4 to 8 has 3/4.
    for (thresholds, expected) in [
        (vec![4.0], vec![0.25, 0.75]),
        (vec![2.0], vec![0.125, 0.875]),
        (vec![5.0], vec![0.4375, 0.5625]),
        (vec![1.0, 2.0, 6.0], vec![0.0625, 0.0625, 0.5, 0.375]),
        (vec![8.0], vec![1.0, 0.0]),
    ] {
        let found = at(&thresholds);
        assert!(
            distance(&found, &expected) < 1e-6,
            "{thresholds:?} {found:?}"
        );
    }
}

#[test]
fn a_file_says_it_and_one_that_does_not_is_as_before() {
    let text = r#"{"name":"age","labels":["young","old"],"thresholds":[30.0],"soft_width":0.0,"loss":"cross_entropy","weight":1.0,"smoothing":0.0,"dropout":0.0,"hidden":0}"#;
    let plain: HeadSpec = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&plain).unwrap(), text);
    let read = |text: &str| toml::from_str::<HeadSpec>(text);
    let head = "name = \"age\"\nlabels = [\"young\", \"old\"]\nthresholds = [30]\n";
    let number = read(&format!("{head}kind = \"number\"\nrange = [0, 100]\n")).unwrap();
    assert_eq!(
        number,
        HeadSpec::new("age", ["young", "old"]).with_number(NumberSpec::new([0.0, 100.0]), [30.0])
    );
    let n = number.labels.number.unwrap();
    assert_eq!((n.bins, n.spread, number.num_targets()), (100, 2.0, 100));
    // Everything that is left out is written, so that other defaults change nothing.
    let written = serde_json::to_string(&number).unwrap();
    assert!(
        written.contains(r#""kind":"number","range":[0.0,100.0],"bins":100,"spread":2.0"#),
        "{written}"
    );
    assert_eq!(serde_json::from_str::<HeadSpec>(&written).unwrap(), number);
    let few = read(&format!(
        "{head}kind = \"number\"\nrange = [0, 100]\nbins = 25\n"
    ))
    .unwrap();
    assert_eq!(few.labels.number.unwrap().spread, 8.0);
    assert_eq!(read(&format!("{head}kind = \"label\"\n")).unwrap(), plain);
    // A range says it too; what is missing is told when all settings are there.
    let range = read(&format!("{head}range = [0, 100]\n")).unwrap();
    assert_eq!(range, number);
    let kind = read(&format!("{head}kind = \"number\"\n")).unwrap();
    let error = kind.validate().unwrap_err().to_string();
    assert!(
        error.contains("head `age`, range") && error.contains("found none"),
        "{error}"
    );
    for (more, words) in [
        (
            "range = [0, 9]\nkind = \"label\"",
            ["`age`", "`range`", "kind = \"number\""],
        ),
        ("kind = \"numbers\"", ["numbers", "`label`", "`number`"]),
    ] {
        let error = read(&format!("{head}{more}\n")).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    }
}

#[test]
fn settings_of_numbers_that_cannot_be_are_named() {
    let nan = f64::NAN;
    let plain = || age(number([0.0, 100.0], 20, 5.0), &[30.0, 60.0]);
    plain().validate().unwrap();
    let with = |n: NumberSpec| age(n, &[30.0, 60.0]);
    let mut without = plain();
    without.labels.thresholds.clear();
    let mut weights = plain();
    weights.loss.class_weights = hydranet::ClassWeights::Given(vec![1.0; 20]);
    let cases = [
        (with(number([100.0, 0.0], 20, 5.0)), "range"),
        (with(number([0.0, nan], 20, 5.0)), "range"),
        (with(number([0.0, 1e300], 20, 5.0)), "range"),
        (with(number([1e16, 1e16 + 2.0], 20, 0.0)), "range"),
        (with(number([0.0, 100.0], 20, 1e-200)), "spread"),
        (with(number([0.0, 100.0], 1, 5.0)), "bins"),
        (with(number([0.0, 100.0], 1001, 5.0)), "bins"),
        (with(number([0.0, 100.0], 20, -1.0)), "spread"),
        (with(number([0.0, 100.0], 20, nan)), "spread"),
        (with(number([0.0, 100.0], 20, 101.0)), "spread"),
        (with(number([0.0, 60.0], 20, 5.0)), "thresholds"),
        (with(number([30.0, 100.0], 20, 5.0)), "thresholds"),
        (with(number([0.0, 100.0], 2, 5.0)), "thresholds"),
        (without, "thresholds"),
        (weights, "class_weights"),
        (plain().with_loss(LossKind::Coral), "loss"),
        (plain().with_loss(LossKind::Corn), "loss"),
    ];
    for (spec, what) in cases {
        let error = spec.validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("head `age`, {what}")), "{error}");
    }
}

proptest! {
    #[test]
    fn labels_of_any_bins_and_borders_are_a_distribution(
        bins in 2usize..60, from in -50.0..50.0f64, width in 0.01..200.0f64,
        places in prop::collection::vec(0.001..0.999f64, 1..5), seed in 0u64..1000, sharp in 0.0..200.0f64,
    ) {
        let mut thresholds: Vec<f64> = places.iter().map(|p| from + p * width).collect();
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        thresholds.truncate(bins - 1);
        let spec = age(number([from, from + width], bins, 0.0), &thresholds);
        spec.validate().unwrap();
        let logits = crate::common::differences::values(&[bins], seed);
        let logits: Vec<f64> = flat(&logits).into_iter().map(|v| v * sharp).collect();
        let found = labels(&spec, &logits);
        prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{found:?}");
        prop_assert!(found.iter().all(|p| *p > 0.0 && p.is_finite()));
        // Shares of each bin are its whole, and a row of a label is one.
        let sums = spec.sums().unwrap();
        for row in sums.shares().chunks_exact(spec.num_labels()) {
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        for label in 0..spec.num_labels() {
            let row = sums.row_of_label(label);
            prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let row = spec.labels.number.unwrap().row(thresholds[0]);
        prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
