//! Accuracy, precision, recall and F1 against scikit-learn, and what must hold for any counts.
#![cfg(feature = "train")]

use hydranet::Error;
use hydranet::train::metrics::ConfusionMatrix;
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
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    classes: usize,
    truth: Vec<usize>,
    predicted: Vec<usize>,
    accuracy: f64,
    macro_f1: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    confusion: Vec<Vec<u64>>,
}

#[test]
fn every_number_equals_scikit_learns() {
    let golden: Golden = serde_json::from_str(include_str!("golden/metrics.json")).unwrap();
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
