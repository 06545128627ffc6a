//! The final class from each head's logits.

use hydranet::combine::{argmax, joint_log_probs, log_softmax};
use hydranet::{Error, Prediction, Taxonomy};
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
            prop_assert_eq!(t.encode(&labels).unwrap(), class);
            let product: f64 = labels.iter().zip(&probs).map(|(l, p)| p[*l]).product();
            prop_assert!((log_prob.exp() - product).abs() <= 1e-12 + 1e-9 * product);
        }
        let sum: f64 = joint.iter().map(|j| j.exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{}", sum);
    }

    #[test]
    fn the_final_class_is_each_heads_likeliest_label(logits in heads_of_logits()) {
        let counts: Vec<usize> = logits.iter().map(Vec::len).collect();
        let t = taxonomy(&counts);
        let prediction = Prediction::from_logits(&t, &logits).unwrap();
        let values = |l: &Vec<f32>| l.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let likeliest: Vec<usize> = logits.iter().map(|l| argmax(&values(l))).collect();
        prop_assert_eq!(prediction.class, t.encode(&likeliest).unwrap());
        prop_assert_eq!(&prediction.name, &t.class_name(prediction.class).unwrap());
        for (head, label) in prediction.heads.iter().zip(likeliest) {
            prop_assert_eq!(head.index, label);
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
    let even = Prediction::from_logits(&taxonomy(&[2, 3]), &[vec![1.0; 2], vec![2.0; 3]]).unwrap();
    assert_eq!(even.class, 0);
    assert!((even.prob - 1.0 / 6.0).abs() < 1e-12);
    let second = [vec![1.0, 1.0], vec![0.0, 4.0, 4.0]];
    assert_eq!(
        Prediction::from_logits(&taxonomy(&[2, 3]), &second)
            .unwrap()
            .class,
        1
    );
}

#[test]
fn a_label_is_found_by_its_heads_name() {
    let t = Taxonomy::new([
        ("mask", vec!["worn", "not_worn"]),
        ("gender", vec!["m", "f"]),
    ])
    .unwrap();
    let p = Prediction::from_logits(&t, &[vec![0.0, 1.0], vec![3.0, 1.0]]).unwrap();
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
