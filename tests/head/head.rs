//! What a head's settings may be.

use hydranet::{ClassWeightRule, ClassWeights, Error, HeadSpec, LossKind, LossTerm};

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
        HeadSpec { loss: LossKind::focal(0.0), weight: 0.0, ..mask() },
        HeadSpec { class_weights: given(&[1.0, 0.0, 3.0]), ..mask() },
        HeadSpec { class_weights: ClassWeights::Rule(ClassWeightRule::Balanced), ..mask() },
        HeadSpec { class_weights: ClassWeights::Rule(ClassWeightRule::EffectiveNumber { beta: 0.0 }), reweight_after: 0.8, ..mask() },
        HeadSpec { loss: LossKind::Coral, ..age() },
        HeadSpec { loss: LossKind::Sum(vec![LossTerm { kind: LossKind::SoftF1, factor: 0.0 }]), ..mask() },
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
    let focal = LossKind::focal;
    let sum = |kind, factor| LossKind::Sum(vec![LossTerm { kind, factor }]);
    let effective = |beta| ClassWeights::Rule(ClassWeightRule::EffectiveNumber { beta });
    let with = |loss| HeadSpec { loss, ..mask() };
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
        (with(LossKind::Focal { gamma: 2.0, alpha: vec![1.0] }), &["loss.focal.alpha", "3, one a label", "found 1"]),
        (with(LossKind::Focal { gamma: 2.0, alpha: vec![1.0, -1.0, 1.0] }), &["loss.focal.alpha", "at least 0", "-1"]),
        (with(LossKind::Ldam { max_margin: -0.5, scale: 1.0 }), &["loss.ldam.max_margin", "at least 0"]),
        (with(LossKind::Ldam { max_margin: 0.5, scale: 0.0 }), &["loss.ldam.scale", "above 0"]),
        (with(LossKind::LogitAdjusted { tau: nan }), &["loss.logit_adjusted.tau", "at least 0"]),
        (with(LossKind::GeneralizedCrossEntropy { q: 0.0 }), &["loss.generalized_cross_entropy.q", "above 0, at most 1"]),
        (with(LossKind::GeneralizedCrossEntropy { q: 1.5 }), &["q", "above 0, at most 1", "1.5"]),
        (with(LossKind::SymmetricCrossEntropy { alpha: -1.0, beta: 1.0, log_zero: -4.0 }), &["alpha", "at least 0"]),
        (with(LossKind::SymmetricCrossEntropy { alpha: 1.0, beta: infinite, log_zero: -4.0 }), &["beta", "at least 0"]),
        (with(LossKind::SymmetricCrossEntropy { alpha: 1.0, beta: 1.0, log_zero: 0.0 }), &["log_zero", "below 0"]),
        (with(LossKind::Sum(vec![])), &["loss.sum", "at least one", "none"]),
        (with(sum(LossKind::CrossEntropy, -1.0)), &["loss.sum.factor", "at least 0", "-1"]),
        (with(sum(LossKind::Corn, 1.0)), &["loss.sum", "neither coral, corn", "Corn"]),
        (with(sum(sum(LossKind::SoftF1, 1.0), 1.0)), &["loss.sum", "another sum"]),
        (with(sum(focal(-1.0), 1.0)), &["loss.sum", "focal.gamma"]),
        (HeadSpec { class_weights: effective(1.0), ..mask() }, &["class_weights", "beta", "below 1"]),
        (HeadSpec { class_weights: effective(nan), ..mask() }, &["class_weights", "beta"]),
        (HeadSpec { reweight_after: 1.0, ..mask() }, &["reweight_after", "below 1"]),
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
fn a_loss_is_written_as_before_and_in_the_new_ways_and_a_misspelt_one_names_the_words() {
    let read = |text: &str| -> Result<HeadSpec, String> {
        let text = format!("name = 'mask'\nlabels = ['worn', 'incorrect', 'not_worn']\n{text}");
        toml::from_str(&text).map_err(|e| e.to_string())
    };
    let term = |kind, factor| LossTerm { kind, factor };
    for (text, expected) in [
        ("", LossKind::CrossEntropy),
        ("loss = 'cross_entropy'", LossKind::CrossEntropy),
        ("loss = { focal = { gamma = 2.0 } }", LossKind::focal(2.0)),
        (
            "loss = { focal = { gamma = 2.0, alpha = [1.0, 3.0, 2.0] } }",
            LossKind::Focal {
                gamma: 2.0,
                alpha: vec![1.0, 3.0, 2.0],
            },
        ),
        ("loss = 'soft_f1'", LossKind::SoftF1),
        ("loss = 'coral'", LossKind::Coral),
        ("loss = 'corn'", LossKind::Corn),
        ("loss = 'earth_mover'", LossKind::EarthMover),
        (
            "loss = { ldam = {} }",
            LossKind::Ldam {
                max_margin: 0.5,
                scale: 1.0,
            },
        ),
        (
            "loss = { logit_adjusted = { tau = 1.5 } }",
            LossKind::LogitAdjusted { tau: 1.5 },
        ),
        (
            "loss = { generalized_cross_entropy = {} }",
            LossKind::GeneralizedCrossEntropy { q: 0.7 },
        ),
        (
            "loss = { symmetric_cross_entropy = { beta = 2.0 } }",
            LossKind::SymmetricCrossEntropy {
                alpha: 0.1,
                beta: 2.0,
                log_zero: -4.0,
            },
        ),
        (
            "loss = { sum = [{ kind = 'cross_entropy' }, { kind = 'soft_f1', factor = 0.5 }] }",
            LossKind::Sum(vec![
                term(LossKind::CrossEntropy, 1.0),
                term(LossKind::SoftF1, 0.5),
            ]),
        ),
    ] {
        let spec = read(text).unwrap();
        assert_eq!(spec.loss, expected, "{text}");
        // As a model file keeps it.
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<HeadSpec>(&json).unwrap(), spec);
    }
    // What earlier versions wrote.
    let old = r#"{"name":"m","labels":["a","b"],"soft_width":0.0,"loss":{"focal":{"gamma":2.0}},"weight":1.0,"smoothing":0.0,"dropout":0.2,"hidden":0}"#;
    let old: HeadSpec = serde_json::from_str(old).unwrap();
    assert_eq!(old.loss, LossKind::focal(2.0));
    assert_eq!(
        serde_json::to_value(&old).unwrap()["loss"].to_string(),
        r#"{"focal":{"gamma":2.0}}"#
    );
    let balanced = read("class_weights = { effective_number = { beta = 0.999 } }").unwrap();
    assert_eq!(
        balanced.class_weights,
        ClassWeights::Rule(ClassWeightRule::EffectiveNumber { beta: 0.999 })
    );
    for (text, words) in [
        (
            "class_weights = 'ballanced'",
            &["`balanced`", "`effective_number`"][..],
        ),
        ("loss = 'soft_f2'", &["soft_f2", "`soft_f1`", "`corn`"]),
        (
            "loss = { ldam = { margin = 1.0 } }",
            &["margin", "max_margin"],
        ),
        (
            "loss = { sum = [{ kind = 'cross_entropy', weight = 1.0 }] }",
            &["weight", "factor"],
        ),
    ] {
        let error = read(text).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{text}: no {word} in {error}");
        }
    }
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
