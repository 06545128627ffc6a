//! The report on heads, the final class, and where the final class's errors come from.

use hydranet::eval::metrics::Metric;
use hydranet::eval::score::{AllMetrics, ScoreReport, Scored};
use hydranet::{Error, Labels, Taxonomy};
use proptest::prelude::*;

fn taxonomy() -> Taxonomy {
    Taxonomy::new([
        ("mask", vec!["worn", "incorrect", "not_worn"]),
        ("gender", vec!["male", "female"]),
        ("age", vec!["<30", "30-59", "60+"]),
    ])
    .unwrap()
}

fn photo(truth: [Option<usize>; 3], predicted: [usize; 3]) -> Scored {
    Scored {
        truth: truth.to_vec(),
        predicted: predicted.to_vec(),
        class: taxonomy().encode(&predicted).unwrap(),
        probs: Vec::new(),
        class_probs: Vec::new(),
        numbers: Vec::new(),
        sets: Vec::new(),
        groups: Vec::new(),
    }
}

fn known(truth: [usize; 3], predicted: [usize; 3]) -> Scored {
    photo(truth.map(Some), predicted)
}

fn photos() -> Vec<Scored> {
    vec![
        known([0, 0, 0], [0, 0, 0]),
        known([1, 1, 2], [1, 1, 2]),
        known([2, 0, 1], [0, 0, 1]), // mask
        known([2, 1, 1], [2, 1, 2]), // age
        known([0, 1, 1], [0, 1, 0]), // age
        known([0, 0, 2], [1, 0, 1]), // mask and age
        photo([Some(1), None, Some(0)], [1, 1, 1]),
        photo([None, Some(0), None], [2, 1, 0]),
    ]
}

#[test]
fn a_missing_label_leaves_the_photo_to_the_other_heads() {
    let r = ScoreReport::new(&taxonomy(), &[], &photos()).unwrap();
    assert_eq!(r.photos, 8);
    let n: Vec<u64> = r.heads.iter().map(|h| h.photos).collect();
    assert_eq!(n, [7, 7, 7]);
    assert_eq!(r.class.photos, 6);
    assert_eq!(r.heads[1].accuracy, 6.0 / 7.0);
    assert_eq!(
        r.heads[2].confusion.counts(),
        [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    );
}

#[test]
fn errors_of_the_final_class_are_traced_to_their_heads() {
    let r = ScoreReport::new(&taxonomy(), &[], &photos()).unwrap();
    assert_eq!(r.class.accuracy, 2.0 / 6.0);
    assert_eq!(r.errors.wrong, 4);
    let sets: Vec<(String, u64)> = r
        .errors
        .by_heads
        .iter()
        .map(|w| (w.heads.join("+"), w.photos))
        .collect();
    assert_eq!(
        sets,
        [
            ("age".into(), 2),
            ("mask".into(), 1),
            ("mask+age".into(), 1)
        ]
    );
    let table: Vec<(u64, u64)> = r.errors.heads.iter().map(|h| (h.alone, h.at_all)).collect();
    assert_eq!(table, [(1, 2), (0, 0), (2, 3)]);
    let better: Vec<f64> = r.errors.heads.iter().map(|h| h.accuracy_if_right).collect();
    assert_eq!(better, [3.0 / 6.0, 2.0 / 6.0, 4.0 / 6.0]);
    // Age always right: 4 classes of 18 have F1 1, and nothing else scores.
    assert!((r.errors.heads[2].macro_f1_if_right - 4.0 / 18.0).abs() < 1e-12);
    assert_eq!(r.errors.heads[1].macro_f1_if_right, r.class.macro_f1);
}

#[test]
fn macro_f1_of_the_final_class_counts_all_declared_classes() {
    let r = ScoreReport::new(&taxonomy(), &[], &[known([0, 0, 0], [0, 0, 0])]).unwrap();
    assert_eq!(r.class.accuracy, 1.0);
    assert!((r.class.macro_f1 - 1.0 / 18.0).abs() < 1e-12);
    assert_eq!(r.class.labels.len(), 18);
}

#[test]
fn the_given_class_is_scored_not_the_heads_product() {
    let mut p = known([0, 0, 0], [0, 0, 1]);
    p.class = 0;
    let r = ScoreReport::new(&taxonomy(), &[], &[p]).unwrap();
    assert_eq!(
        (r.heads[2].accuracy, r.class.accuracy, r.errors.wrong),
        (0.0, 1.0, 0)
    );
}

#[test]
fn what_does_not_fit_the_taxonomy_is_an_error_that_names_the_photo() {
    let good = known([0, 0, 0], [0, 0, 0]);
    let mut short = good.clone();
    short.truth.pop();
    let mut long = good.clone();
    long.predicted.push(0);
    let mut label = good.clone();
    label.truth[1] = Some(2);
    let mut class = good.clone();
    class.class = 18;
    for (bad, message) in [
        (
            short,
            "true labels of photo 1: expected one for each of 3 heads, found 2",
        ),
        (
            long,
            "predicted labels of photo 1: expected one for each of 3 heads, found 4",
        ),
        (
            label,
            "label of head `gender` of photo 1 2 is out of range; it must be below 2",
        ),
        (
            class,
            "class of photo 1 18 is out of range; it must be below 18",
        ),
    ] {
        let e: Error = ScoreReport::new(&taxonomy(), &[], &[good.clone(), bad]).unwrap_err();
        assert_eq!(format!("{e:#}"), message);
    }
}

#[test]
fn every_metric_is_in_the_report_and_in_its_file() {
    let mut photos = photos();
    for p in &mut photos {
        let row = |n: usize, best: usize| -> Vec<f64> {
            let other = 0.4 / (n - 1) as f64;
            (0..n)
                .map(|i| if i == best { 0.6 } else { other })
                .collect()
        };
        p.probs = vec![
            row(3, p.predicted[0]),
            row(2, p.predicted[1]),
            row(3, p.predicted[2]),
        ];
    }
    let r = ScoreReport::new(&taxonomy(), &[2], &photos).unwrap();
    let json = serde_json::to_value(&r).unwrap();
    for score in r.heads.iter().chain([&r.class]) {
        let file = match score.name.as_str() {
            "class" => &json["class"],
            name => json["heads"]
                .as_array()
                .unwrap()
                .iter()
                .find(|h| h["name"] == name)
                .unwrap(),
        };
        for metric in Metric::ALL {
            assert_eq!(
                file[metric.name()].as_f64(),
                score.get(metric),
                "{} {metric}",
                score.name
            );
        }
    }
    let age = &r.heads[2];
    // Seven photos: three right, four one label off.
    assert_eq!(age.get(Metric::MeanAbsoluteError), Some(4.0 / 7.0));
    assert_eq!(r.heads[0].get(Metric::MeanAbsoluteError), None);
    assert!((age.get(Metric::Brier).unwrap() - (3.0 * 0.24 + 4.0 * 1.04) / 7.0).abs() < 1e-12);
    // The heads' most probable labels have 0.6³ together.
    let confidence = 0.6f64.powi(3);
    let off = r.class.get(Metric::CalibrationError).unwrap() - (confidence - 2.0 / 6.0).abs();
    assert!(off.abs() < 1e-12);
    // Six of eighteen classes occur.
    assert_eq!(
        r.class
            .labels
            .iter()
            .filter(|l| l.roc_auc.is_some())
            .count(),
        6
    );
    let text = AllMetrics(&r).to_string();
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert!(
        text.contains("quadratic_kappa") && text.contains("class: roc_auc without 12 of 18"),
        "{text}"
    );
    // One photo without probabilities: nothing is measured on them, all else is.
    photos[0].probs.clear();
    let without = ScoreReport::new(&taxonomy(), &[2], &photos).unwrap();
    assert_eq!(without.class.get(Metric::RocAuc), None);
    assert_eq!(
        without.class.get(Metric::MacroF1),
        r.class.get(Metric::MacroF1)
    );
}

#[test]
fn no_photos_give_a_report_without_figures() {
    let r = ScoreReport::new(&taxonomy(), &[], &[]).unwrap();
    assert_eq!(
        (r.class.accuracy, r.class.macro_f1, r.errors.wrong),
        (0.0, 0.0, 0)
    );
    assert!(r.errors.heads.is_empty());
    assert!(!r.to_string().contains("0.0000"), "{r}");
}

#[test]
fn the_table_fits_in_a_hundred_columns_and_shows_both_kinds_of_matrix() {
    let text = ScoreReport::new(&taxonomy(), &[], &photos())
        .unwrap()
        .to_string();
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(text.contains("not_worn / female / 60+"), "{text}");
    let numbered = text
        .lines()
        .any(|l| l.split_whitespace().eq((0..18).map(|i| i.to_string())));
    let named = text
        .lines()
        .any(|l| l.split_whitespace().eq(["worn", "incorrect", "not_worn"]));
    assert!(numbered && named, "{text}");
    assert!(text.contains("only mask + age: 1"), "{text}");
}

#[test]
fn more_than_twenty_classes_show_no_matrix_and_long_names_are_shortened() {
    let label = |i| format!("a label whose name is far too long for its column, number {i}");
    let t = Taxonomy::new([
        ("one", vec![label(0), label(1)]),
        ("two", (0..21).map(label).collect()),
    ])
    .unwrap();
    let p = Scored {
        truth: vec![Some(0), Some(20)],
        predicted: vec![0, 20],
        class: 20,
        probs: Vec::new(),
        class_probs: Vec::new(),
        numbers: Vec::new(),
        sets: Vec::new(),
        groups: Vec::new(),
    };
    let text = ScoreReport::new(&t, &[], &[p]).unwrap().to_string();
    assert_eq!(text.matches("rows: truth").count(), 1, "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert!(text.contains('…'));
}

#[test]
fn the_json_is_ordered_and_complete() {
    let r = ScoreReport::new(&taxonomy(), &[], &photos()).unwrap();
    let json = serde_json::to_string(&r).unwrap();
    assert_eq!(json, serde_json::to_string(&r.clone()).unwrap());
    let v: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(v["heads"][0]["name"], "mask");
    assert_eq!(v["heads"][0]["labels"][2]["label"], "not_worn");
    assert_eq!(v["heads"][0]["labels"][2]["support"], 2);
    assert_eq!(v["class"]["confusion"].as_array().unwrap().len(), 18);
    assert_eq!(v["errors"]["by_heads"][0]["heads"][0], "age");
}

proptest! {
    #[test]
    fn sets_add_up_and_a_right_head_never_costs_accuracy(
        rows in prop::collection::vec(((0usize..3, 0usize..2, 0usize..3), (0usize..3, 0usize..2, 0usize..3)), 0..50)
    ) {
        let photos: Vec<Scored> = rows.iter().map(|(t, p)| known([t.0, t.1, t.2], [p.0, p.1, p.2])).collect();
        let r = ScoreReport::new(&taxonomy(), &[], &photos).unwrap();
        prop_assert_eq!(r.errors.by_heads.iter().map(|w| w.photos).sum::<u64>(), r.errors.wrong);
        prop_assert_eq!(r.class.photos - r.class.confusion.correct(), r.errors.wrong);
        for (h, e) in r.errors.heads.iter().enumerate() {
            let head = &r.heads[h].confusion;
            prop_assert_eq!(e.at_all, head.total() - head.correct());
            prop_assert!(e.alone <= e.at_all && e.accuracy_if_right >= r.class.accuracy);
            let gained = (e.accuracy_if_right - r.class.accuracy) * r.class.photos as f64;
            prop_assert!((gained - e.alone as f64).abs() < 1e-9);
        }
    }
}

#[test]
fn heads_that_do_not_apply_are_not_scored_and_putting_a_head_right_lets_others_apply() {
    let one = |head: &str, label: &str| (head.to_string(), vec![label.to_string()]);
    let t = Taxonomy::new([
        ("mask", vec!["worn", "not_worn"]),
        ("kind", vec!["cloth", "surgical"]),
    ]);
    let when = [Labels::new(), [one("mask", "worn")].into()];
    let t = t.unwrap().with_tree(&when, &[]).unwrap();
    // worn / cloth 0, worn / surgical 1, not worn 2.
    let photo = |truth: [Option<usize>; 2], predicted: [usize; 2], class| Scored {
        truth: truth.to_vec(),
        predicted: predicted.to_vec(),
        class,
        probs: Vec::new(),
        class_probs: Vec::new(),
        numbers: Vec::new(),
        sets: Vec::new(),
        groups: Vec::new(),
    };
    let photos = [
        photo([Some(0), Some(1)], [0, 1], 1),
        // Not worn was taken for worn: the mask alone is wrong in the end, although both labels differ.
        photo([Some(1), Some(0)], [0, 1], 1),
        // Worn was taken for not worn; the kind by itself is right.
        photo([Some(0), Some(1)], [1, 1], 2),
        // And here it is not.
        photo([Some(0), Some(0)], [1, 1], 2),
        photo([Some(0), None], [0, 0], 0),
    ];
    let r = ScoreReport::new(&t, &[], &photos).unwrap();
    assert_eq!(r.heads[0].photos, 5);
    // The second photo's kind does not count, whatever its column says.
    assert_eq!(r.heads[1].photos, 3);
    assert_eq!(r.heads[1].accuracy, 2.0 / 3.0);
    assert_eq!(r.class.photos, 4);
    assert_eq!(r.class.accuracy, 0.25);
    assert_eq!(r.errors.heads[0].accuracy_if_right, 0.75);
}

#[test]
fn what_no_photo_tells_is_not_in_the_errors() {
    let t = Taxonomy::new([("mask", vec!["on", "off"]), ("age", vec!["young", "old"])]).unwrap();
    let photo = Scored {
        truth: vec![Some(0), None],
        predicted: vec![1, 0],
        class: 2,
        probs: Vec::new(),
        class_probs: Vec::new(),
        numbers: Vec::new(),
        sets: Vec::new(),
        groups: Vec::new(),
    };
    let r = ScoreReport::new(&t, &[], &[photo]).unwrap();
    assert!(r.errors.heads.is_empty());
    let json = serde_json::to_string(&r).unwrap();
    assert!(!json.contains("if_right"), "{json}");
    assert!(!r.to_string().contains("if right"), "{r}");
}

#[test]
fn probabilities_of_classes_that_are_given_are_the_ones_measured() {
    let t = Taxonomy::new([("mask", vec!["on", "off"]), ("age", vec!["young", "old"])]).unwrap();
    let photo = |class_probs: Vec<f64>| Scored {
        truth: vec![Some(0), Some(1)],
        predicted: vec![0, 1],
        class: 1,
        probs: vec![vec![0.5, 0.5], vec![0.5, 0.5]],
        class_probs,
        numbers: Vec::new(),
        sets: Vec::new(),
        groups: Vec::new(),
    };
    let brier = |probs| {
        ScoreReport::new(&t, &[], &[photo(probs)])
            .unwrap()
            .class
            .more
            .brier
    };
    assert_eq!(brier(Vec::new()), Some(0.75));
    assert_eq!(brier(vec![0.0, 1.0, 0.0, 0.0]), Some(0.0));
}
