//! Every metric against scikit-learn, and what must hold for any counts and probabilities.

use hydranet::Error;
use hydranet::eval::metrics::{
    ConfusionMatrix, Metric, Metrics, Probabilities, average_precision, roc_auc,
};
use proptest::prelude::*;

fn matrix(n: usize, pairs: &[(usize, usize)]) -> ConfusionMatrix {
    let mut m = ConfusionMatrix::new(n);
    for (t, p) in pairs {
        m.add(*t, *p).unwrap();
    }
    m
}

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
    probabilities: Vec<ProbabilityCase>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    classes: usize,
    truth: Vec<usize>,
    predicted: Vec<usize>,
    accuracy: f64,
    macro_f1: f64,
    micro_f1: f64,
    weighted_f1: f64,
    balanced_accuracy: f64,
    cohen_kappa: Option<f64>,
    quadratic_kappa: Option<f64>,
    mean_absolute_error: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    confusion: Vec<Vec<u64>>,
}

#[derive(serde::Deserialize)]
struct ProbabilityCase {
    name: String,
    classes: usize,
    truth: Vec<usize>,
    probs: Vec<Vec<f64>>,
    roc_aucs: Vec<Option<f64>>,
    average_precisions: Vec<Option<f64>>,
    roc_auc: Option<f64>,
    average_precision: Option<f64>,
    top_k: Option<Vec<f64>>,
    brier: Option<f64>,
    calibration_error: f64,
}

/// How far two numbers are apart; infinitely, if only one of them is defined.
fn apart(ours: Option<f64>, theirs: Option<f64>) -> f64 {
    match (ours, theirs) {
        (None, None) => 0.0,
        (Some(a), Some(b)) => (a - b).abs(),
        _ => f64::INFINITY,
    }
}

#[test]
fn every_number_on_probabilities_equals_scikit_learns() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/metrics.json")).unwrap();
    let mut failures = Vec::new();
    for case in &golden.probabilities {
        let mut p = Probabilities::new(case.classes);
        let mut m = ConfusionMatrix::new(case.classes);
        for (truth, row) in case.truth.iter().zip(&case.probs) {
            p.add(*truth, row).unwrap();
            m.add(*truth, hydranet::model::combine::argmax(row))
                .unwrap();
        }
        let all = Metrics::new(&m, Some(&p), false);
        let mut same = |what: &str, ours: Option<f64>, theirs: Option<f64>| {
            if apart(ours, theirs) > 1e-12 {
                failures.push(format!("{}: {what} is {ours:?}, not {theirs:?}", case.name));
            }
        };
        for (c, (ours, theirs)) in p.roc_aucs().iter().zip(&case.roc_aucs).enumerate() {
            same(&format!("area of {c}"), *ours, *theirs);
        }
        let precisions = p.average_precisions();
        for (c, (ours, theirs)) in precisions.iter().zip(&case.average_precisions).enumerate() {
            same(&format!("average precision of {c}"), *ours, *theirs);
        }
        if case.roc_auc.is_some() {
            same("mean area", all.roc_auc, case.roc_auc);
            same(
                "mean precision",
                all.average_precision,
                case.average_precision,
            );
        }
        for (k, theirs) in case.top_k.iter().flatten().enumerate() {
            same(&format!("top {}", k + 1), p.top_k(k + 1), Some(*theirs));
        }
        if case.brier.is_some() {
            same("Brier", all.brier, case.brier);
        }
        let error = Some(case.calibration_error);
        same("calibration error", all.calibration_error, error);
    }
    assert!(golden.probabilities.len() >= 7);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_not_defined_is_left_out_of_the_means() {
    let mut p = Probabilities::new(3);
    p.add(0, &[0.8, 0.1, 0.1]).unwrap();
    p.add(1, &[0.6, 0.3, 0.1]).unwrap();
    assert_eq!(p.roc_aucs(), [Some(1.0), Some(1.0), None]);
    let m = matrix(3, &[(0, 0), (1, 0)]);
    let all = Metrics::new(&m, Some(&p), false);
    assert_eq!((all.roc_auc, all.average_precision), (Some(1.0), Some(1.0)));
    assert_eq!((all.top_2, all.top_3), (Some(1.0), None));
    assert_eq!((all.quadratic_kappa, all.mean_absolute_error), (None, None));
    let ordered = Metrics::new(&m, None, true);
    assert_eq!(ordered.mean_absolute_error, Some(0.5));
    assert_eq!(
        (ordered.roc_auc, ordered.brier, ordered.top_2),
        (None, None, None)
    );
    assert_eq!(roc_auc(&[]), None);
    assert_eq!(average_precision(&[(0.5, false)]), None);
}

#[test]
fn probabilities_that_are_none_are_refused_and_not_counted() {
    let mut p = Probabilities::new(2);
    for (truth, row) in [
        (2, vec![0.5, 0.5]),
        (0, vec![1.0]),
        (0, vec![1.5, -0.5]),
        (0, vec![f64::NAN, 0.5]),
    ] {
        assert!(p.add(truth, &row).is_err(), "{truth} {row:?}");
    }
    assert!(p.is_empty());
    assert_eq!(
        (p.brier(), p.top_k(1), p.calibration_error()),
        (None, None, None)
    );
}

#[test]
fn every_metric_is_found_by_its_name_and_serialised_under_it() {
    for metric in Metric::ALL {
        assert_eq!(metric.name().parse::<Metric>().unwrap(), metric);
        assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
    }
    let e = format!("{:#}", "f1".parse::<Metric>().unwrap_err());
    assert!(
        e.contains("no metric named `f1`") && e.contains("macro_f1"),
        "{e}"
    );
}

#[test]
fn every_number_equals_scikit_learns() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/metrics.json")).unwrap();
    let mut failures = Vec::new();
    for case in &golden.cases {
        let pairs: Vec<_> = case
            .truth
            .iter()
            .copied()
            .zip(case.predicted.iter().copied())
            .collect();
        let m = matrix(case.classes, &pairs);
        let mut same = |what: &str, ours: f64, theirs: f64| {
            if (ours - theirs).abs() > 1e-12 {
                failures.push(format!("{}: {what} is {ours}, not {theirs}", case.name));
            }
        };
        same("accuracy", m.accuracy(), case.accuracy);
        same("macro F1", m.macro_f1(), case.macro_f1);
        same("micro F1", m.micro_f1(), case.micro_f1);
        same("weighted F1", m.weighted_f1(), case.weighted_f1);
        let (ours, theirs) = (m.balanced_accuracy(), case.balanced_accuracy);
        same("balanced accuracy", ours, theirs);
        same("kappa", apart(m.cohen_kappa(), case.cohen_kappa), 0.0);
        let off = apart(m.quadratic_kappa(), case.quadratic_kappa);
        same("quadratic kappa", off, 0.0);
        let off = apart(m.mean_absolute_error(), Some(case.mean_absolute_error));
        same("mean absolute error", off, 0.0);
        for (c, class) in m.classes().iter().enumerate() {
            same("precision", class.precision, case.precision[c]);
            same("recall", class.recall, case.recall[c]);
            same("F1", class.f1, case.f1[c]);
            same("support", class.support as f64, case.support[c] as f64);
        }
        if m.counts() != case.confusion {
            failures.push(format!("{}: the counts differ", case.name));
        }
    }
    assert!(golden.cases.len() >= 10);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_class_that_is_not_declared_is_refused_and_not_counted() {
    let mut m = ConfusionMatrix::new(2);
    for (t, p) in [(2, 0), (0, 2)] {
        let e = m.add(t, p).unwrap_err();
        assert!(
            matches!(
                e,
                Error::OutOfRange {
                    limit: 2,
                    found: 2,
                    ..
                }
            ),
            "{e}"
        );
    }
    assert_eq!(m, ConfusionMatrix::new(2));
}

#[test]
fn without_photos_every_score_is_zero() {
    for n in [0, 1, 3] {
        let m = ConfusionMatrix::new(n);
        assert_eq!((m.accuracy(), m.macro_f1(), m.total()), (0.0, 0.0, 0));
        assert_eq!(m.class(7).f1, 0.0);
    }
}

#[test]
fn many_classes_need_no_dense_matrix() {
    let m = matrix(100_000, &[(99_999, 99_999), (5, 99_999)]);
    assert_eq!(m.accuracy(), 0.5);
    assert_eq!(m.count(5, 99_999), 1);
}

#[test]
fn the_matrix_is_serialised_as_rows() {
    let json = serde_json::to_string(&matrix(2, &[(0, 1), (1, 1), (1, 1)])).unwrap();
    assert_eq!(json, "[[0,1],[0,2]]");
}

fn pairs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (1usize..8).prop_flat_map(|n| (Just(n), prop::collection::vec((0..n, 0..n), 1..60)))
}

proptest! {
    #[test]
    fn turning_the_scores_around_turns_the_area_around(photos in prop::collection::vec((0.0..1.0f64, any::<bool>()), 2..60)) {
        let turned: Vec<_> = photos.iter().map(|(s, has)| (-s, *has)).collect();
        if let Some(area) = roc_auc(&photos) {
            prop_assert!((area + roc_auc(&turned).unwrap() - 1.0).abs() < 1e-12);
            let stretched: Vec<_> = photos.iter().map(|(s, has)| (3.0 * s + 1.0, *has)).collect();
            prop_assert_eq!(roc_auc(&stretched), Some(area));
        }
    }

    #[test]
    fn the_order_of_photos_does_not_matter((n, pairs) in pairs(), turn in 0usize..60) {
        let mut turned = pairs.clone();
        turned.reverse();
        turned.rotate_left(turn % pairs.len());
        prop_assert_eq!(matrix(n, &pairs), matrix(n, &turned));
    }

    #[test]
    fn renaming_classes_changes_neither_score((n, pairs) in pairs(), turn in 0usize..8) {
        let renamed: Vec<_> = pairs.iter().map(|(t, p)| ((t + turn) % n, (p + turn) % n)).collect();
        let (a, b) = (matrix(n, &pairs), matrix(n, &renamed));
        prop_assert_eq!(a.accuracy(), b.accuracy());
        prop_assert!((a.macro_f1() - b.macro_f1()).abs() < 1e-12);
    }

    #[test]
    fn scores_lie_between_zero_and_one((n, pairs) in pairs()) {
        let m = matrix(n, &pairs);
        for class in m.classes() {
            for v in [class.precision, class.recall, class.f1] {
                prop_assert!((0.0..=1.0).contains(&v));
            }
            prop_assert!(class.f1 <= class.precision.max(class.recall) + 1e-12);
            prop_assert!(class.f1 >= class.precision.min(class.recall) - 1e-12);
        }
        prop_assert!((0.0..=1.0).contains(&m.macro_f1()));
        prop_assert_eq!(m.total(), pairs.len() as u64);
    }

    #[test]
    fn a_perfect_prediction_scores_one_if_every_class_occurs(n in 1usize..8, more in prop::collection::vec(0usize..8, 0..40)) {
        let pairs: Vec<_> = (0..n).chain(more.into_iter().map(|c| c % n)).map(|c| (c, c)).collect();
        let m = matrix(n, &pairs);
        prop_assert_eq!(m.accuracy(), 1.0);
        prop_assert_eq!(m.macro_f1(), 1.0);
        // One more declared class that never occurs pulls the mean down.
        let wider = matrix(n + 1, &pairs);
        prop_assert!((wider.macro_f1() - n as f64 / (n + 1) as f64).abs() < 1e-12);
    }

    #[test]
    fn transposing_swaps_precision_and_recall((n, pairs) in pairs()) {
        let swapped: Vec<_> = pairs.iter().map(|(t, p)| (*p, *t)).collect();
        let (a, b) = (matrix(n, &pairs), matrix(n, &swapped));
        for (x, y) in a.classes().iter().zip(b.classes()) {
            prop_assert_eq!((x.precision, x.recall, x.f1), (y.recall, y.precision, y.f1));
        }
    }
}

#[test]
fn labels_that_no_photo_has_are_left_out_of_the_second_macro_f1() {
    let mut counts = ConfusionMatrix::new(4);
    for (truth, predicted) in [(0, 0), (0, 0), (0, 3), (1, 1), (1, 0)] {
        counts.add(truth, predicted).unwrap();
    }
    // F1 of 0 and 1 are 2/3 each; 3 was said and no photo has it, 2 neither.
    assert_eq!(counts.present(), 2);
    assert!((counts.macro_f1_present() - 2.0 / 3.0).abs() < 1e-15);
    assert!((counts.macro_f1() - 1.0 / 3.0).abs() < 1e-15);
    assert_eq!(ConfusionMatrix::new(3).macro_f1_present(), 0.0);
}
