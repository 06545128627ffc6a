//! What the comparison of finished runs says: numbers against scipy, words against runs made up for it.

use hydranet::experiment::changes::{differences, title};
use hydranet::experiment::comparison::{Comparison, Verdict};
use hydranet::experiment::figure::Figure;
use hydranet::experiment::runs::{FinishedRun, Side, collect};
use hydranet::experiment::statistics::{paired_difference, spread, student_quantile};
use hydranet::experiment::table::{to_csv, to_markdown};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(serde::Deserialize)]
struct Golden {
    quantiles: Vec<Quantile>,
    pairs: Vec<Pairs>,
}

#[derive(serde::Deserialize)]
struct Quantile {
    p: f64,
    freedom: f64,
    t: f64,
}

#[derive(serde::Deserialize)]
struct Pairs {
    differences: Vec<f64>,
    ratio: f64,
    confidence: f64,
    mean: f64,
    spread: f64,
    low: f64,
    high: f64,
}

#[test]
fn quantiles_and_intervals_equal_scipys() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/statistics.json")).unwrap();
    let mut failures = Vec::new();
    let mut close = |what: String, ours: f64, theirs: f64| {
        let off = (ours - theirs).abs() / theirs.abs().max(1e-3);
        if off.is_nan() || off > 1e-9 {
            failures.push(format!("{what}: {ours}, not {theirs}"));
        }
    };
    for q in &golden.quantiles {
        let what = format!("t({}, {})", q.p, q.freedom);
        // The middle is 0 to the last digit but for rounding.
        close(what, student_quantile(q.p, q.freedom), q.t);
    }
    for p in &golden.pairs {
        let d = paired_difference(&p.differences, p.ratio, p.confidence).unwrap();
        close("mean".into(), d.mean, p.mean);
        close("spread".into(), spread(&p.differences).unwrap(), p.spread);
        close("low".into(), d.low.unwrap(), p.low);
        close("high".into(), d.high.unwrap(), p.high);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_no_interval_can_be_taken_of_has_none() {
    assert_eq!(paired_difference(&[], 0.2, 0.95), None);
    let one = paired_difference(&[0.1], 0.2, 0.95).unwrap();
    assert_eq!(
        (one.low, one.high, one.is_distinguishable()),
        (None, None, false)
    );
    let same = paired_difference(&[0.0, 0.0], 0.2, 0.95).unwrap();
    assert_eq!((same.low, same.is_distinguishable()), (Some(0.0), false));
    for (p, freedom) in [(0.0, 3.0), (1.0, 3.0), (0.5, 0.0), (f64::NAN, 3.0)] {
        assert!(student_quantile(p, freedom).is_nan());
    }
}

proptest! {
    #[test]
    fn overlapping_training_sets_and_more_confidence_widen_an_interval(
        differences in prop::collection::vec(-0.1..0.1f64, 2..20), ratio in 0.01..1.0f64,
    ) {
        let width = |ratio, confidence| {
            let d = paired_difference(&differences, ratio, confidence).unwrap();
            d.high.unwrap() - d.low.unwrap()
        };
        prop_assert!(width(ratio, 0.95) > width(0.0, 0.95));
        prop_assert!(width(ratio, 0.99) > width(ratio, 0.95));
    }
}

/// A run of a fold, with a value of `train.mix_up` and some scores.
fn made_up(mix_up: f64, fold: usize, scores: &[(&str, f64)]) -> FinishedRun {
    let text = format!("[train]\nmix_up = {mix_up:?}\nepochs = 3\n[model]\nheads = [\"age\"]\n");
    FinishedRun {
        folder: PathBuf::from(format!("{mix_up}-{fold}")),
        config: toml::from_str(&text).unwrap(),
        seed: 0,
        split: format!("fold {fold}"),
        trained: 80,
        side: Side::HeldOut,
        scored: 20,
        seconds: Some(60.0),
        code: None,
        scores: BTreeMap::from_iter(scores.iter().map(|(n, v)| (n.to_string(), *v))),
    }
}

fn figures(names: &[&str]) -> Vec<Figure> {
    names.iter().map(|n| n.parse().unwrap()).collect()
}

#[test]
fn better_worse_and_not_distinguishable_are_told_apart_and_less_is_better_for_errors() {
    let noise = [0.001, -0.002, 0.0015, 0.0, -0.001];
    let mut runs = Vec::new();
    for (mix_up, gain) in [(0.0, 0.0), (0.2, 0.05), (0.4, -0.05), (0.6, 0.0)] {
        for (fold, noise) in noise.iter().enumerate() {
            // Folds differ much more than variants: only pairs can tell.
            let f1 = 0.5 + 0.1 * fold as f64 + gain + noise * mix_up;
            runs.push(made_up(
                mix_up,
                fold,
                &[("macro_f1", f1), ("age.brier", 1.0 - f1)],
            ));
        }
    }
    let names = figures(&["macro_f1", "age.brier"]);
    let c = Comparison::new(&runs, &names, 0.95).unwrap();
    let words = |i: usize| {
        c.figures[i]
            .rows
            .iter()
            .map(|r| r.verdict)
            .collect::<Vec<_>>()
    };
    use Verdict::*;
    assert_eq!(words(0), [Baseline, Better, Worse, NotDistinguishable]);
    assert_eq!(words(1), words(0));
    let row = c.figures[0].rows[1];
    let d = row.difference.unwrap();
    assert_eq!((d.pairs, row.runs), (5, 5));
    assert!((d.mean - 0.05).abs() < 1e-3 && row.spread.unwrap() > 0.1);
    let expected = paired_difference(&noise.map(|n| n * 0.2 + 0.05), 0.25, 0.95).unwrap();
    assert!((d.low.unwrap() - expected.low.unwrap()).abs() < 1e-12);
    assert_eq!(c.variants[1].title, "train.mix_up=0.2");
    assert_eq!(
        c.variants[1].changes[0].to_string(),
        "train.mix_up: 0.0 → 0.2"
    );

    let text = c.to_string();
    assert!(
        text.contains("not distinguishable") && text.contains("95 % interval"),
        "{text}"
    );
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    let csv = to_csv(&c).unwrap();
    assert_eq!(csv.lines().count(), 9);
    assert!(
        csv.contains("macro_f1,1,train.mix_up=0.2,5,0.749980,"),
        "{csv}"
    );
    let markdown = to_markdown(&c);
    assert!(
        markdown.contains("| `train.mix_up=0.4` | 5 | 0.65"),
        "{markdown}"
    );
    let rows = markdown.lines().filter(|l| !l.is_empty());
    assert!(
        rows.into_iter().all(|l| l.matches('|').count() == 7),
        "{markdown}"
    );
}

#[test]
fn only_runs_of_the_same_split_and_seed_are_paired() {
    let mut runs = vec![
        made_up(0.0, 0, &[("macro_f1", 0.5)]),
        made_up(0.0, 1, &[("macro_f1", 0.6)]),
        made_up(0.2, 1, &[("macro_f1", 0.7)]),
        made_up(0.2, 2, &[("macro_f1", 0.9)]),
        made_up(0.4, 5, &[("macro_f1", 0.9)]),
    ];
    let names = figures(&["macro_f1"]);
    let c = Comparison::new(&runs, &names, 0.95).unwrap();
    let rows = &c.figures[0].rows;
    let d = rows[1].difference.unwrap();
    assert_eq!((d.pairs, rows[1].runs), (1, 2));
    assert!((d.mean - 0.1).abs() < 1e-12);
    let words = [rows[1].verdict, rows[2].verdict];
    assert_eq!(words, [Verdict::NotDistinguishable, Verdict::NoPairs]);
    runs[2].seed = 1;
    let c = Comparison::new(&runs, &names, 0.95).unwrap();
    assert_eq!(c.figures[0].rows[1].verdict, Verdict::NoPairs);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let run = made_up(0.0, 0, &[("macro_f1", 0.5)]);
    let other = FinishedRun {
        side: Side::Valid,
        ..made_up(0.2, 0, &[])
    };
    let names = figures(&["macro_f1"]);
    let message = |runs: &[FinishedRun], names: &[Figure], p: f64| {
        Comparison::new(runs, names, p).unwrap_err().to_string()
    };
    assert!(message(&[], &names, 0.95).contains("at least one that is finished"));
    assert!(message(std::slice::from_ref(&run), &names, 95.0).contains("between 0 and 1"));
    assert!(message(&[run.clone(), other], &names, 0.95).contains("0-0 and 0.2-0"));
    assert!(message(&[run.clone(), run.clone()], &names, 0.95).contains("each run once"));
    let age = figures(&["age.brier"]);
    assert!(message(std::slice::from_ref(&run), &age, 0.95).contains("age.brier"));
    let folder = tempfile::tempdir().unwrap();
    let e = format!("{:#}", collect(&[folder.path().into()]).unwrap_err());
    assert!(e.contains("experiment.json"), "{e}");
}

#[test]
fn differences_are_exact_and_titles_short() {
    let a: toml::Table =
        toml::from_str("x = 1\n[t]\na = 0.5\nb = \"s\"\n[t.u]\nc = [1, 2]\n").unwrap();
    let b: toml::Table =
        toml::from_str("x = 1\ny = { z = 2 }\n[t]\na = 0.25\n[t.u]\nc = [1, 3]\n").unwrap();
    let changes = differences(&a, &b);
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "t.a: 0.5 → 0.25",
            "t.b: \"s\" → –",
            "t.u.c: [1, 2] → [1, 3]",
            "y: – → { z = 2 }"
        ]
    );
    assert_eq!(title(&changes), "t.a=0.25, t.b=, t.u.c=[1, 3], y={ z = 2 }");
    assert_eq!(title(&differences(&a, &a)), "baseline");
    // What heads have in common is said once.
    let heads = |age: &str, mask: &str| -> toml::Table {
        let text = format!(
            "[heads.age]\nloss = \"{age}\"\nweight = 1\n[heads.mask]\nloss = \"{mask}\"\nweight = 1\n"
        );
        text.parse().unwrap()
    };
    let title_of = |age, mask| title(&differences(&heads("a", "a"), &heads(age, mask)));
    assert_eq!(title_of("b", "b"), "heads.{age,mask}.loss=b");
    assert_eq!(title_of("b", "c"), "heads.age.loss=b, heads.mask.loss=c");
    assert_eq!(title_of("a", "c"), "heads.mask.loss=c");
}
