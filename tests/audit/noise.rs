//! Confident learning against the package cleanlab, and what must hold whatever the numbers are.

use crate::common::golden;
use hydranet::Error;
use hydranet::audit::confident::{ConfidentJoint, Given, Noise, Quality, Real, Rule};
use proptest::prelude::*;
use serde_json::Value;

fn places(value: &Value) -> Vec<usize> {
    serde_json::from_value(value.clone()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value.as_array().unwrap().first() {
        Some(Value::Array(_)) => value.as_array().unwrap().iter().flat_map(numbers).collect(),
        _ => serde_json::from_value(value.clone()).unwrap(),
    }
}

/// Nine digits are written.
fn close(name: &str, ours: &[f64], golden: &Value) -> Result<(), String> {
    let golden = numbers(golden);
    let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 2e-9 * (1.0 + b.abs());
    if ours.len() == golden.len() && ours.iter().zip(&golden).all(same) {
        Ok(())
    } else {
        Err(format!("{name}: expected {golden:?}, found {ours:?}"))
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(name: &str, ours: T, golden: T) -> Result<(), String> {
    if ours == golden {
        Ok(())
    } else {
        Err(format!("{name}: expected {golden:?}, found {ours:?}"))
    }
}

/// The matrices of a case; thresholds and counts are to be exactly equal.
fn matrices(joint: &ConfidentJoint, case: &Value) -> Result<(), String> {
    let thresholds: Vec<f64> = joint.thresholds.iter().map(|t| t.unwrap_or(2.0)).collect();
    equal("thresholds", thresholds, numbers(&case["thresholds"]))?;
    let whole = |m: &[Vec<usize>]| serde_json::to_value(m).unwrap();
    equal("counts", whole(&joint.counts), case["counts"].clone())?;
    equal(
        "calibrated",
        whole(&joint.calibrated),
        case["calibrated"].clone(),
    )?;
    let noise = Noise::new(joint);
    close("joint", &noise.joint.concat(), &case["joint"])?;
    close(
        "given_true",
        &noise.given_true.concat(),
        &case["given_true"],
    )?;
    close(
        "true_given",
        &noise.true_given.concat(),
        &case["true_given"],
    )?;
    close("prior", &noise.prior, &case["prior"])
}

fn check<T: Real>(labels: &[usize], probs: &[T], case: &Value) -> Result<(), String> {
    let classes = case["classes"].as_u64().unwrap() as usize;
    let least = case["least"].as_u64().unwrap() as usize;
    let given = Given::new(labels, probs, classes).map_err(|e| format!("{e:#}"))?;
    let joint = given.confident_joint();
    matrices(&joint, case)?;
    for quality in Quality::ALL {
        let scores = given.quality(quality);
        close(quality.name(), &scores, &case["scores"][quality.name()])?;
    }
    for rule in Rule::ALL {
        let issues = given.issues(&joint, rule, least).unwrap();
        for quality in Quality::ALL {
            let golden = places(&case["orders"][rule.name()][quality.name()]);
            let ours = given.ranked(&issues, quality).unwrap();
            equal(&format!("{rule} by {quality}"), ours, golden)?;
        }
    }
    Ok(())
}

#[test]
fn thresholds_joints_issues_and_their_order_are_cleanlabs() {
    let file = golden::json("noise.json");
    let mut wrong = Vec::new();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let (labels, probs) = (places(&case["labels"]), numbers(&case["probs"]));
        let narrow: Vec<f32> = probs.iter().map(|p| *p as f32).collect();
        let result = if case["f32"].as_bool().unwrap() {
            check(&labels, &narrow, case)
        } else {
            check(&labels, &probs, case)
        };
        wrong.extend(result.err().map(|e| format!("{}: {e}", case["name"])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As `made` in make_noise.py.
fn made(photos: usize, classes: usize, seed: u64) -> (Vec<usize>, Vec<f64>) {
    let mut state = seed;
    let mut draw = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    let (mut labels, mut probs) = (Vec::new(), Vec::new());
    for _ in 0..photos {
        let truth = draw() % classes;
        let right = draw() % 10 != 0;
        labels.push(if right { truth } else { draw() % classes });
        let mut parts: Vec<usize> = (0..classes).map(|_| 1 + draw() % 1_000_000).collect();
        parts[truth] += draw() % (1_000_000 * classes);
        let sum: usize = parts.iter().sum();
        probs.extend(parts.iter().map(|p| *p as f64 / sum as f64));
    }
    (labels, probs)
}

fn fold(order: &[usize]) -> u64 {
    let step = |h: u128, place: &usize| (h * 1_000_003 + *place as u128 + 1) % ((1 << 61) - 1);
    order.iter().fold(0, step) as u64
}

fn check_many<T: Real>(labels: &[usize], probs: &[T], case: &Value) -> Result<(), String> {
    let classes = case["classes"].as_u64().unwrap() as usize;
    let given = Given::new(labels, probs, classes).map_err(|e| format!("{e:#}"))?;
    let joint = given.confident_joint();
    matrices(&joint, case)?;
    for rule in Rule::ALL {
        let issues = given.issues(&joint, rule, 1).unwrap();
        let size = case["sizes"][rule.name()].as_u64().unwrap();
        equal(rule.name(), issues.len() as u64, size)?;
        for quality in Quality::ALL {
            let golden = case["hashes"][rule.name()][quality.name()]
                .as_u64()
                .unwrap();
            let ours = fold(&given.ranked(&issues, quality).unwrap());
            equal(&format!("{rule} by {quality}"), ours, golden)?;
        }
    }
    Ok(())
}

#[test]
fn thousands_of_photos_are_ordered_as_by_cleanlab() {
    let file = golden::json("noise.json");
    for case in file["many"].as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap();
        let (labels, probs) = made(
            number("photos") as usize,
            number("classes") as usize,
            number("seed"),
        );
        let narrow: Vec<f32> = probs.iter().map(|p| *p as f32).collect();
        let result = if case["f32"].as_bool().unwrap() {
            check_many(&labels, &narrow, case)
        } else {
            check_many(&labels, &probs, case)
        };
        result.unwrap_or_else(|e| panic!("{}: {e}", case["seed"]));
    }
}

/// Labels and probabilities without ties.
fn photos() -> impl Strategy<Value = (usize, Vec<usize>, Vec<f64>)> {
    (2usize..7, 1usize..60, any::<u64>()).prop_map(|(classes, n, seed)| {
        let (labels, probs) = made(n, classes, seed);
        (classes, labels, probs)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_order_of_the_photos_does_not_matter((classes, labels, probs) in photos(), turn in any::<prop::sample::Index>()) {
        let n = labels.len();
        let turn = turn.index(n);
        let moved = |place: usize| (place + turn) % n;
        let turned_labels: Vec<usize> = (0..n).map(|p| labels[moved(p)]).collect();
        let turned: Vec<f64> = (0..n).flat_map(|p| probs[moved(p) * classes..][..classes].to_vec()).collect();
        let (a, b) = (Given::new(&labels, &probs, classes).unwrap(), Given::new(&turned_labels, &turned, classes).unwrap());
        let (ja, jb) = (a.confident_joint(), b.confident_joint());
        prop_assert_eq!(&ja.counts, &jb.counts);
        for rule in Rule::ALL {
            for quality in Quality::ALL {
                let ours = a.ranked(&a.issues(&ja, rule, 1).unwrap(), quality).unwrap();
                let theirs: Vec<usize> = b.ranked(&b.issues(&jb, rule, 1).unwrap(), quality).unwrap().into_iter().map(moved).collect();
                prop_assert_eq!(&ours, &theirs);
            }
        }
    }

    #[test]
    fn the_calibrated_joint_sums_to_the_labels((classes, labels, probs) in photos()) {
        let given = Given::new(&labels, &probs, classes).unwrap();
        let joint = given.confident_joint();
        for (row, count) in joint.calibrated.iter().zip(given.label_counts()) {
            prop_assert_eq!(row.iter().sum::<usize>(), *count);
        }
        let noise = Noise::new(&joint);
        prop_assert!((noise.joint.concat().iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!((noise.prior.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&noise.wrong()));
    }

    #[test]
    fn rules_are_as_their_words_say((classes, labels, probs) in photos(), least in 0usize..4) {
        let given = Given::new(&labels, &probs, classes).unwrap();
        let joint = given.confident_joint();
        let of = |rule| given.issues(&joint, rule, least).unwrap();
        let (by_class, by_rate) = (of(Rule::PruneByClass), of(Rule::PruneByNoiseRate));
        let both: Vec<usize> = by_class.iter().copied().filter(|p| by_rate.contains(p)).collect();
        prop_assert_eq!(of(Rule::Both), both);
        let learned = of(Rule::ConfidentLearning);
        prop_assert!(learned.iter().all(|p| joint.likely(*p).is_some_and(|l| l != labels[*p])));
        prop_assert_eq!(of(Rule::LowSelfConfidence).len(), learned.len());
        prop_assert_eq!(of(Rule::LowNormalizedMargin).len(), learned.len());
        for quality in Quality::ALL {
            let scores = given.quality(quality);
            prop_assert!(scores.iter().all(|s| (-1e-12..=1.0 + 1e-12).contains(s)));
            let ranked = given.ranked(&learned, quality).unwrap();
            prop_assert!(ranked.windows(2).all(|w| scores[w[0]] <= scores[w[1]]));
        }
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let (labels, probs) = made(30_000, 5, 9);
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let given = Given::new(&labels, &probs, 5).unwrap();
            let joint = given.confident_joint();
            let issues = Rule::ALL.map(|r| given.issues(&joint, r, 1).unwrap());
            let scores = Quality::ALL.map(|q| given.quality(q));
            (joint, issues, scores)
        })
    };
    assert_eq!(all(1), all(7));
}

#[test]
fn what_cannot_be_judged_is_refused_in_words() {
    let refused =
        |labels: &[usize], probs: &[f64], classes| Given::new(labels, probs, classes).unwrap_err();
    assert!(matches!(refused(&[0], &[1.0], 1), Error::Invalid { .. }));
    assert!(matches!(refused(&[], &[], 2), Error::Invalid { .. }));
    let text = refused(&[0, 1], &[0.5, 0.5, 1.0], 2).to_string();
    assert_eq!(text, "probabilities: expected 2 rows of 2, found 3 values");
    let text = refused(&[0, 2], &[0.5, 0.5, 1.0, 0.0], 2).to_string();
    assert_eq!(text, "label 1 2 is out of range; it must be below 2");
    for bad in [f64::NAN, 1.1, -0.1, f64::INFINITY] {
        let text = refused(&[0, 1], &[0.5, 0.5, bad, 0.0], 2).to_string();
        let expected =
            format!("probability of class 0 in row 1: expected a number from 0 to 1, found {bad}");
        assert_eq!(text, expected);
    }
    assert!(matches!("both".parse(), Ok(Rule::Both)));
    let text = format!("{:#}", "neither".parse::<Rule>().unwrap_err());
    assert!(
        text.starts_with("there is no rule for wrong labels named `neither`"),
        "{text}"
    );
    assert!("entropy".parse::<Quality>().is_err());
}
