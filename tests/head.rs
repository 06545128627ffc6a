//! What a head's settings may be.

use hydranet::{ClassWeightRule, ClassWeights, Error, HeadSpec, LossKind};

fn mask() -> HeadSpec {
    HeadSpec::new("mask", ["worn", "incorrect", "not_worn"])
}

fn age() -> HeadSpec {
    HeadSpec {
        thresholds: vec![30.0, 60.0],
        ..HeadSpec::new("age", ["young", "middle", "old"])
    }
}

#[test]
fn settings_that_make_sense_are_accepted() {
    let given = |w: &[f64]| ClassWeights::Given(w.to_vec());
    #[rustfmt::skip]
    let cases = [
        mask(),
        age(),
        HeadSpec { soft_width: 30.0, drop: vec![[28.0, 32.0], [60.0, 60.0]], ..age() },
        HeadSpec { drop: vec![[f64::NEG_INFINITY, 0.0]], ..age() },
        HeadSpec { thresholds: vec![0.5], soft_width: 100.0, ..HeadSpec::new("a", ["x", "y"]) },
        HeadSpec { loss: LossKind::Focal { gamma: 0.0 }, weight: 0.0, ..mask() },
        HeadSpec { class_weights: given(&[1.0, 0.0, 3.0]), ..mask() },
        HeadSpec { class_weights: ClassWeights::Rule(ClassWeightRule::Balanced), ..mask() },
        HeadSpec { smoothing: 0.99, dropout: 0.5, hidden: 65_536, ..mask() },
        HeadSpec { name: "Mask-2_b".into(), ..mask() },
    ];
    for spec in cases {
        spec.validate().unwrap();
    }
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let nan = f64::NAN;
    let infinite = f64::INFINITY;
    let given = |w: &[f64]| ClassWeights::Given(w.to_vec());
    let focal = |gamma| LossKind::Focal { gamma };
    // (specification, the words its error must hold besides the head's name)
    #[rustfmt::skip]
    let cases: Vec<(HeadSpec, &[&str])> = vec![
        (HeadSpec { name: "".into(), ..mask() }, &["name", "letters"]),
        (HeadSpec { name: "a.b".into(), ..mask() }, &["name", "letters", "a.b"]),
        (HeadSpec { name: "a/b".into(), ..mask() }, &["name", "letters"]),
        (HeadSpec { name: "mäsk".into(), ..mask() }, &["name", "letters"]),
        (HeadSpec { labels: vec![], ..mask() }, &["labels", "at least two", "found 0"]),
        (HeadSpec { labels: vec!["a".into()], ..mask() }, &["labels", "at least two", "found 1"]),
        (HeadSpec { labels: vec!["a".into(), " ".into()], ..mask() }, &["labels", "names"]),
        (HeadSpec { thresholds: vec![30.0], ..age() }, &["thresholds", "2 borders for 3 labels"]),
        (HeadSpec { thresholds: vec![60.0, 30.0], ..age() }, &["thresholds", "ascending"]),
        (HeadSpec { thresholds: vec![30.0, 30.0], ..age() }, &["thresholds", "ascending"]),
        (HeadSpec { thresholds: vec![30.0, nan], ..age() }, &["thresholds", "ascending"]),
        (HeadSpec { thresholds: vec![30.0, infinite], ..age() }, &["thresholds", "ascending"]),
        (HeadSpec { soft_width: 31.0, ..age() }, &["soft_width", "from 0 to 30", "31"]),
        (HeadSpec { soft_width: -1.0, ..age() }, &["soft_width"]),
        (HeadSpec { soft_width: nan, ..age() }, &["soft_width"]),
        (HeadSpec { soft_width: 5.0, ..mask() }, &["soft_width", "thresholds"]),
        (HeadSpec { soft_width: nan, ..mask() }, &["soft_width", "thresholds"]),
        (HeadSpec { drop: vec![[1.0, 2.0]], ..mask() }, &["drop", "thresholds"]),
        (HeadSpec { drop: vec![[2.0, 1.0]], ..age() }, &["drop", "from ≤ to"]),
        (HeadSpec { drop: vec![[1.0, nan]], ..age() }, &["drop", "from ≤ to"]),
        (HeadSpec { loss: focal(-0.5), ..mask() }, &["gamma", "at least 0", "-0.5"]),
        (HeadSpec { loss: focal(nan), ..mask() }, &["gamma"]),
        (HeadSpec { weight: -1.0, ..mask() }, &["weight", "at least 0"]),
        (HeadSpec { weight: infinite, ..mask() }, &["weight", "at least 0"]),
        (HeadSpec { class_weights: given(&[1.0, 2.0]), ..mask() }, &["class_weights", "3", "found 2"]),
        (HeadSpec { class_weights: given(&[1.0, -1.0, 1.0]), ..mask() }, &["class_weights", "at least 0"]),
        (HeadSpec { class_weights: given(&[0.0; 3]), ..mask() }, &["class_weights", "not all 0"]),
        (HeadSpec { class_weights: given(&[1.0, nan, 1.0]), ..mask() }, &["class_weights"]),
        (HeadSpec { smoothing: 1.0, ..mask() }, &["smoothing", "below 1"]),
        (HeadSpec { smoothing: -0.1, ..mask() }, &["smoothing"]),
        (HeadSpec { dropout: 1.0, ..mask() }, &["dropout", "below 1"]),
        (HeadSpec { dropout: nan, ..mask() }, &["dropout"]),
        (HeadSpec { hidden: 65_537, ..mask() }, &["hidden", "at most 65536"]),
    ];
    for (spec, words) in cases {
        let error = spec.validate().err();
        let Some(e @ Error::Invalid { .. }) = error else {
            panic!("{spec:?} gave {error:?}");
        };
        let head = format!("head `{}`", spec.name);
        for word in words.iter().chain(&[head.as_str()]) {
            assert!(
                e.to_string().contains(word),
                "{spec:?}: no `{word}` in: {e}"
            );
        }
    }
}

#[test]
fn the_label_is_read_from_the_column_or_the_heads_name() {
    assert_eq!(mask().column(), "mask");
    let named = HeadSpec {
        column: Some("cover".into()),
        ..mask()
    };
    assert_eq!(named.column(), "cover");
    assert_eq!(named.num_labels(), 3);
}

#[test]
fn labels_have_an_order_if_thresholds_made_them_or_the_file_says_so() {
    assert!(age().is_ordered() && !mask().is_ordered());
    let json = r#"{"name": "size", "labels": ["small", "large"], "ordered": true}"#;
    let size: HeadSpec = serde_json::from_str(json).unwrap();
    assert!(size.is_ordered());
    // Files of heads without the key stay as they were.
    assert!(!serde_json::to_string(&mask()).unwrap().contains("ordered"));
}
