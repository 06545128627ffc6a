//! The final class from each head's logits.

use hydranet::model::combine::{argmax, joint_log_probs, log_softmax};
use hydranet::{Decision, Error, Labels, Logits, Prediction, Taxonomy};
use proptest::prelude::*;

fn taxonomy(counts: &[usize]) -> Taxonomy {
    let labels = |n: usize| (0..n).map(|l| format!("l{l}")).collect::<Vec<_>>();
    let heads = counts.iter().enumerate();
    Taxonomy::new(heads.map(|(h, n)| (format!("h{h}"), labels(*n)))).unwrap()
}

/// The softmax by its definition, for logits that are not large.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let exp: Vec<f64> = logits.iter().map(|l| f64::from(*l).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

fn heads_of_logits() -> impl Strategy<Value = Vec<Vec<f32>>> {
    prop::collection::vec(prop::collection::vec(-20f32..20.0, 2..5), 1..5)
}

proptest! {
    #[test]
    fn the_joint_probability_is_the_product_over_heads(logits in heads_of_logits()) {
        let counts: Vec<usize> = logits.iter().map(Vec::len).collect();
        let t = taxonomy(&counts);
        let log_probs: Vec<Vec<f64>> = logits.iter().map(|l| log_softmax(l)).collect();
        let joint = joint_log_probs(&t, &log_probs).unwrap();
        prop_assert_eq!(joint.len(), t.num_classes());
        let probs: Vec<Vec<f64>> = logits.iter().map(|l| softmax(l)).collect();
        for (class, log_prob) in joint.iter().enumerate() {
            let labels = t.decode(class).unwrap();
            prop_assert_eq!(t.class_of(&labels), Some(class));
            let product: f64 = labels.iter().zip(&probs).map(|(l, p)| p[l.unwrap()]).product();
            prop_assert!((log_prob.exp() - product).abs() <= 1e-12 + 1e-9 * product);
        }
        let sum: f64 = joint.iter().map(|j| j.exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{}", sum);
    }

    #[test]
    fn the_final_class_is_each_heads_likeliest_label(logits in heads_of_logits()) {
        let counts: Vec<usize> = logits.iter().map(Vec::len).collect();
        let t = taxonomy(&counts);
        let prediction = Prediction::from_logits(&t, &Decision::default(), &logits.clone().into()).unwrap();
        let values = |l: &Vec<f32>| l.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let likeliest: Vec<usize> = logits.iter().map(|l| argmax(&values(l))).collect();
        prop_assert_eq!(prediction.class, t.encode(&likeliest).unwrap());
        prop_assert_eq!(&prediction.name, &t.class_name(prediction.class).unwrap());
        for (head, label) in prediction.heads.iter().zip(likeliest) {
            prop_assert_eq!(head.index, Some(label));
            prop_assert!((head.probs.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn large_logits_do_not_overflow() {
    for (logits, expected) in [
        ([1e30f32, -1e30], [0.0, f64::NEG_INFINITY]),
        ([-3e38, -3e38], [-(2f64.ln()), -(2f64.ln())]),
        ([3e38, 3e38], [-(2f64.ln()), -(2f64.ln())]),
    ] {
        for (found, expected) in log_softmax(&logits).into_iter().zip(expected) {
            let close = (found.exp() - expected.exp()).abs() < 1e-12;
            assert!(!found.is_nan() && close, "{logits:?}: {found}");
        }
    }
}

#[test]
fn ties_go_to_the_lower_class() {
    assert_eq!(argmax(&[0.5, 0.5]), 0);
    assert_eq!(argmax(&[0.1, 0.7, 0.2, 0.7]), 1);
    assert_eq!(argmax(&[f64::NEG_INFINITY, -5.0, -5.0]), 1);
    assert_eq!(argmax(&[]), 0);
    let of = |logits: &[Vec<f32>]| {
        let logits = logits.to_vec().into();
        Prediction::from_logits(&taxonomy(&[2, 3]), &Decision::default(), &logits).unwrap()
    };
    let even = of(&[vec![1.0; 2], vec![2.0; 3]]);
    assert_eq!(even.class, 0);
    assert!((even.prob - 1.0 / 6.0).abs() < 1e-12);
    let second = [vec![1.0, 1.0], vec![0.0, 4.0, 4.0]];
    assert_eq!(of(&second).class, 1);
}

#[test]
fn a_label_is_found_by_its_heads_name() {
    let t = Taxonomy::new([
        ("mask", vec!["worn", "not_worn"]),
        ("gender", vec!["m", "f"]),
    ])
    .unwrap();
    let logits = vec![vec![0.0, 1.0], vec![3.0, 1.0]].into();
    let p = Prediction::from_logits(&t, &Decision::default(), &logits).unwrap();
    assert_eq!((p.class, p.name.as_str()), (2, "not_worn / m"));
    assert_eq!(p.label("mask"), Some("not_worn"));
    assert_eq!(p.label("gender"), Some("m"));
    assert_eq!(p.label("age"), None);
}

#[test]
fn lists_that_do_not_fit_the_heads_are_refused() {
    let t = taxonomy(&[2, 3]);
    for lengths in [&[][..], &[2], &[3, 2], &[2, 3, 2], &[2, 4]] {
        let lists: Vec<Vec<f64>> = lengths.iter().map(|n| vec![0.0; *n]).collect();
        let e = joint_log_probs(&t, &lists).unwrap_err();
        assert!(matches!(e, Error::Invalid { .. }), "{lengths:?}");
        assert!(e.to_string().contains(&format!("{lengths:?}")), "{e}");
    }
}

/// mask (worn, not worn); its kind, if worn; age (young, old), of which the young wear no surgical mask.
fn tree() -> Taxonomy {
    let one = |head: &str, label: &str| (head.to_string(), vec![label.to_string()]);
    let t = Taxonomy::new([
        ("mask", vec!["worn", "not_worn"]),
        ("kind", vec!["cloth", "surgical"]),
        ("age", vec!["young", "old"]),
    ]);
    let when = [Labels::new(), [one("mask", "worn")].into(), Labels::new()];
    let impossible = [one("kind", "surgical"), one("age", "young")].into();
    t.unwrap().with_tree(&when, &[impossible]).unwrap()
}

#[test]
fn under_a_tree_only_heads_that_apply_count_and_the_impossible_is_shared_out() {
    let t = tree();
    let log = |p: &[f64]| p.iter().map(|p| p.ln()).collect::<Vec<_>>();
    let heads = [log(&[0.6, 0.4]), log(&[0.5, 0.5]), log(&[0.25, 0.75])];
    let joint: Vec<f64> = joint_log_probs(&t, &heads)
        .unwrap()
        .iter()
        .map(|p| p.exp())
        .collect();
    // cloth young, cloth old, surgical old, not worn young, not worn old; 0.075 is impossible.
    let whole = [0.075, 0.225, 0.225, 0.1, 0.3].map(|p| p / 0.925);
    for (found, expected) in joint.iter().zip(whole) {
        assert!((found - expected).abs() < 1e-12, "{joint:?}");
    }
    let p = Prediction::from_logits(
        &t,
        &Decision::default(),
        &vec![vec![0.0, 3.0], vec![0.0, 1.0], vec![0.0, 1.0]].into(),
    );
    let p = p.unwrap();
    assert_eq!((p.class, p.name.as_str()), (4, "not_worn / old"));
    assert_eq!((p.heads[1].index, p.label("kind")), (None, None));
    assert_eq!(p.label("age"), Some("old"));
}

#[test]
fn a_joint_head_a_prior_and_offsets_have_their_say() {
    let t = taxonomy(&[2, 2]);
    let heads = [vec![0f32, 1.0], vec![0.5, 0.0]];
    let joint = vec![2f32, 0.0, 1.0, -1.0];
    let logits = Logits {
        heads: heads.to_vec(),
        joint: Some(joint.clone()),
        bins: Vec::new(),
    };
    let decide = |d: &Decision| Prediction::from_logits(&t, d, &logits).unwrap();
    let log = |l: &[f32]| log_softmax(l);
    let product: Vec<f64> = log(&heads[0])
        .iter()
        .flat_map(|a| log(&heads[1]).into_iter().map(move |b| a + b))
        .collect();
    // By the product, the joint head has no say.
    assert_eq!(decide(&Decision::default()).class, 2);
    let all = Decision {
        joint_share: 1.0,
        ..Decision::default()
    };
    let p = decide(&all);
    assert_eq!(p.class, 0);
    assert!((p.prob - softmax(&joint)[0]).abs() < 1e-9);
    let half = Decision {
        joint_share: 0.25,
        ..Decision::default()
    };
    let fused: Vec<f64> = product
        .iter()
        .zip(log(&joint))
        .map(|(p, j)| (0.75 * p + 0.25 * j).exp())
        .collect();
    let p = decide(&half);
    let best = argmax(&fused);
    assert_eq!(p.class, best);
    assert!((p.prob - fused[best] / fused.iter().sum::<f64>()).abs() < 1e-9);
    let prior = Decision {
        log_prior: vec![0.0, 3.0, 0.0, 0.0],
        ..Decision::default()
    };
    let raised: Vec<f64> = product
        .iter()
        .zip([0.0, 3.0, 0.0, 0.0])
        .map(|(p, o)| (p + o).exp())
        .collect();
    let p = decide(&prior);
    assert_eq!(p.class, 1);
    assert!((p.prob - raised[1] / raised.iter().sum::<f64>()).abs() < 1e-9);
    // Offsets choose the class and leave its probability alone.
    let offsets = Decision {
        offsets: vec![0.0, 3.0, 0.0, 0.0],
        ..Decision::default()
    };
    let p = decide(&offsets);
    assert_eq!(p.class, 1);
    assert!((p.prob - product[1].exp()).abs() < 1e-12);
}

#[test]
fn a_decision_is_its_name_in_a_file_or_a_table() {
    let plain = serde_json::to_value(Decision::default()).unwrap();
    assert_eq!(plain, "product");
    let more = Decision {
        rule: hydranet::DecisionRule::Prior,
        log_prior: vec![0.5, -0.5],
        ..Decision::default()
    };
    for decision in [Decision::default(), more] {
        let json = serde_json::to_string(&decision).unwrap();
        assert_eq!(
            serde_json::from_str::<Decision>(&json).unwrap(),
            decision,
            "{json}"
        );
    }
    let t = taxonomy(&[2, 2]);
    let wrong = |d: Decision, has_joint| d.validate(&t, has_joint).unwrap_err().to_string();
    let share = |joint_share| Decision {
        joint_share,
        ..Decision::default()
    };
    let offsets = |offsets: &[f64]| Decision {
        offsets: offsets.to_vec(),
        ..Decision::default()
    };
    for (message, word) in [
        (wrong(share(1.5), true), "from 0 to 1"),
        (wrong(share(f64::NAN), true), "from 0 to 1"),
        (wrong(share(0.5), false), "joint head"),
        (wrong(offsets(&[1.0]), true), "4 numbers"),
        (
            wrong(offsets(&[1.0, f64::INFINITY, 0.0, 0.0]), true),
            "finite",
        ),
    ] {
        assert!(message.contains(word), "{message}");
    }
}
