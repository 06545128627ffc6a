//! What a head's settings may be.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use hydranet::{
    Backbone, ClassWeightRule, ClassWeights, Error, Head, HeadSpec, LossKind, LossTerm, Mode,
    MultiTaskModel,
};

fn mask() -> HeadSpec {
    HeadSpec::new("mask", ["worn", "incorrect", "not_worn"])
}

fn age() -> HeadSpec {
    HeadSpec::new("age", ["young", "middle", "old"]).with_thresholds([30.0, 60.0])
}

fn with(mut spec: HeadSpec, change: impl FnOnce(&mut HeadSpec)) -> HeadSpec {
    change(&mut spec);
    spec
}

#[test]
fn settings_that_make_sense_are_accepted() {
    let given = |w: &[f64]| ClassWeights::Given(w.to_vec());
    #[rustfmt::skip]
    let cases = [
        mask(),
        age(),
        with(age(), |h| { h.labels.soft_width = 30.0; h.labels.drop = vec![[28.0, 32.0], [60.0, 60.0]] }),
        with(age(), |h| h.labels.drop = vec![[f64::NEG_INFINITY, 0.0]]),
        with(HeadSpec::new("a", ["x", "y"]), |h| { h.labels.thresholds = vec![0.5]; h.labels.soft_width = 100.0 }),
        with(mask(), |h| { h.loss.kind = LossKind::focal(0.0); h.loss.weight = 0.0 }),
        with(mask(), |h| h.loss.class_weights = given(&[1.0, 0.0, 3.0])),
        with(mask(), |h| h.loss.class_weights = ClassWeights::Rule(ClassWeightRule::Balanced)),
        with(mask(), |h| { h.loss.class_weights = ClassWeights::Rule(ClassWeightRule::EffectiveNumber { beta: 0.0 }); h.loss.reweight_after = 0.8 }),
        with(age(), |h| h.loss.kind = LossKind::Coral),
        with(mask(), |h| h.loss.kind = LossKind::Sum(vec![LossTerm { kind: LossKind::SoftF1, factor: 0.0 }])),
        with(mask(), |h| { h.loss.smoothing = 0.99; h.layers.dropout = 0.5; h.layers.hidden = 65_536 }),
        with(mask(), |h| h.name = "Mask-2_b".into()),
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
    // (specification, the words its error must hold besides the head's name)
    #[rustfmt::skip]
    let cases: Vec<(HeadSpec, &[&str])> = vec![
        (with(mask(), |h| h.name = "".into()), &["name", "letters"]),
        (with(mask(), |h| h.name = "a.b".into()), &["name", "letters", "a.b"]),
        (with(mask(), |h| h.name = "a/b".into()), &["name", "letters"]),
        (with(mask(), |h| h.name = "mäsk".into()), &["name", "letters"]),
        (with(mask(), |h| h.labels.names = vec![]), &["labels", "at least two", "found 0"]),
        (with(mask(), |h| h.labels.names = vec!["a".into()]), &["labels", "at least two", "found 1"]),
        (with(mask(), |h| h.labels.names = vec!["a".into(), " ".into()]), &["labels", "names"]),
        (with(age(), |h| h.labels.thresholds = vec![30.0]), &["thresholds", "2 borders for 3 labels"]),
        (with(age(), |h| h.labels.thresholds = vec![60.0, 30.0]), &["thresholds", "ascending"]),
        (with(age(), |h| h.labels.thresholds = vec![30.0, 30.0]), &["thresholds", "ascending"]),
        (with(age(), |h| h.labels.thresholds = vec![30.0, nan]), &["thresholds", "ascending"]),
        (with(age(), |h| h.labels.thresholds = vec![30.0, infinite]), &["thresholds", "ascending"]),
        (with(age(), |h| h.labels.soft_width = 31.0), &["soft_width", "from 0 to 30", "31"]),
        (with(age(), |h| h.labels.soft_width = -1.0), &["soft_width"]),
        (with(age(), |h| h.labels.soft_width = nan), &["soft_width"]),
        (with(mask(), |h| h.labels.soft_width = 5.0), &["soft_width", "thresholds"]),
        (with(mask(), |h| h.labels.soft_width = nan), &["soft_width", "thresholds"]),
        (with(mask(), |h| h.labels.drop = vec![[1.0, 2.0]]), &["drop", "thresholds"]),
        (with(age(), |h| h.labels.drop = vec![[2.0, 1.0]]), &["drop", "from ≤ to"]),
        (with(age(), |h| h.labels.drop = vec![[1.0, nan]]), &["drop", "from ≤ to"]),
        (with(mask(), |h| h.loss.kind = focal(-0.5)), &["gamma", "at least 0", "-0.5"]),
        (with(mask(), |h| h.loss.kind = focal(nan)), &["gamma"]),
        (mask().with_loss(LossKind::Focal { gamma: 2.0, alpha: vec![1.0] }), &["loss.focal.alpha", "3, one a label", "found 1"]),
        (mask().with_loss(LossKind::Focal { gamma: 2.0, alpha: vec![1.0, -1.0, 1.0] }), &["loss.focal.alpha", "at least 0", "-1"]),
        (mask().with_loss(LossKind::Ldam { max_margin: -0.5, scale: 1.0 }), &["loss.ldam.max_margin", "at least 0"]),
        (mask().with_loss(LossKind::Ldam { max_margin: 0.5, scale: 0.0 }), &["loss.ldam.scale", "above 0"]),
        (mask().with_loss(LossKind::LogitAdjusted { tau: nan }), &["loss.logit_adjusted.tau", "at least 0"]),
        (mask().with_loss(LossKind::GeneralizedCrossEntropy { q: 0.0 }), &["loss.generalized_cross_entropy.q", "above 0, at most 1"]),
        (mask().with_loss(LossKind::GeneralizedCrossEntropy { q: 1.5 }), &["q", "above 0, at most 1", "1.5"]),
        (mask().with_loss(LossKind::SymmetricCrossEntropy { alpha: -1.0, beta: 1.0, log_zero: -4.0 }), &["alpha", "at least 0"]),
        (mask().with_loss(LossKind::SymmetricCrossEntropy { alpha: 1.0, beta: infinite, log_zero: -4.0 }), &["beta", "at least 0"]),
        (mask().with_loss(LossKind::SymmetricCrossEntropy { alpha: 1.0, beta: 1.0, log_zero: 0.0 }), &["log_zero", "below 0"]),
        (mask().with_loss(LossKind::Sum(vec![])), &["loss.sum", "at least one", "none"]),
        (mask().with_loss(sum(LossKind::CrossEntropy, -1.0)), &["loss.sum.factor", "at least 0", "-1"]),
        (mask().with_loss(sum(LossKind::Corn, 1.0)), &["loss.sum", "neither coral, corn", "Corn"]),
        (mask().with_loss(sum(sum(LossKind::SoftF1, 1.0), 1.0)), &["loss.sum", "another sum"]),
        (mask().with_loss(sum(focal(-1.0), 1.0)), &["loss.sum", "focal.gamma"]),
        (with(mask(), |h| h.loss.class_weights = effective(1.0)), &["class_weights", "beta", "below 1"]),
        (with(mask(), |h| h.loss.class_weights = effective(nan)), &["class_weights", "beta"]),
        (with(mask(), |h| h.loss.reweight_after = 1.0), &["reweight_after", "below 1"]),
        (with(mask(), |h| h.loss.weight = -1.0), &["weight", "at least 0"]),
        (with(mask(), |h| h.loss.weight = infinite), &["weight", "at least 0"]),
        (with(mask(), |h| h.loss.class_weights = given(&[1.0, 2.0])), &["class_weights", "3", "found 2"]),
        (with(mask(), |h| h.loss.class_weights = given(&[1.0, -1.0, 1.0])), &["class_weights", "at least 0"]),
        (with(mask(), |h| h.loss.class_weights = given(&[0.0; 3])), &["class_weights", "not all 0"]),
        (with(mask(), |h| h.loss.class_weights = given(&[1.0, nan, 1.0])), &["class_weights"]),
        (with(mask(), |h| h.loss.smoothing = 1.0), &["smoothing", "below 1"]),
        (with(mask(), |h| h.loss.smoothing = -0.1), &["smoothing"]),
        (with(mask(), |h| h.layers.dropout = 1.0), &["dropout", "below 1"]),
        (with(mask(), |h| h.layers.dropout = nan), &["dropout"]),
        (with(mask(), |h| h.layers.hidden = 65_537), &["hidden", "at most 65536"]),
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
    let named = with(mask(), |h| h.labels.column = Some("cover".into()));
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
            "loss = 'ldam'",
            LossKind::Ldam {
                max_margin: 0.5,
                scale: 1.0,
            },
        ),
        (
            "loss = { sum = [{ kind = 'logit_adjusted', factor = 0.5 }] }",
            LossKind::Sum(vec![term(LossKind::LogitAdjusted { tau: 1.0 }, 0.5)]),
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
        assert_eq!(spec.loss.kind, expected, "{text}");
        // As a model file keeps it.
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<HeadSpec>(&json).unwrap(), spec);
    }
    // What earlier versions wrote.
    let old = r#"{"name":"m","labels":["a","b"],"soft_width":0.0,"loss":{"focal":{"gamma":2.0}},"weight":1.0,"smoothing":0.0,"dropout":0.2,"hidden":0}"#;
    let old: HeadSpec = serde_json::from_str(old).unwrap();
    assert_eq!(old.loss.kind, LossKind::focal(2.0));
    assert_eq!(
        serde_json::to_value(&old).unwrap()["loss"].to_string(),
        r#"{"focal":{"gamma":2.0}}"#
    );
    let balanced = read("class_weights = { effective_number = { beta = 0.999 } }").unwrap();
    assert_eq!(
        balanced.loss.class_weights,
        ClassWeights::Rule(ClassWeightRule::EffectiveNumber { beta: 0.999 })
    );
    for (text, words) in [
        (
            "class_weights = 'ballanced'",
            &["`balanced`", "`effective_number`"][..],
        ),
        ("loss = 'soft_f2'", &["soft_f2", "`soft_f1`", "`corn`"]),
        // What a name alone lacks is said.
        ("loss = 'focal'", &["gamma"]),
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

/// A head in which every key says something, and its bytes as every version has written them.
fn full() -> (HeadSpec, &'static str) {
    let mut spec = age().with_loss(LossKind::focal(2.0)).with_hidden(16);
    spec.labels.column = Some("years".into());
    spec.labels.when = [("mask".to_string(), vec!["worn".to_string()])].into();
    spec.labels.ordered = true;
    spec.labels.drop = vec![[28.0, 32.0]];
    spec.labels.soft_width = 20.0;
    spec.loss.weight = 0.5;
    spec.loss.class_weights = ClassWeights::Given(vec![1.0, 2.0, 3.0]);
    spec.loss.reweight_after = 0.8;
    spec.loss.smoothing = 0.1;
    spec.layers.dropout = 0.2;
    let json = r#"{"name":"age","labels":["young","middle","old"],"column":"years","when":{"mask":["worn"]},"thresholds":[30.0,60.0],"ordered":true,"drop":[[28.0,32.0]],"soft_width":20.0,"loss":{"focal":{"gamma":2.0}},"weight":0.5,"class_weights":[1.0,2.0,3.0],"reweight_after":0.8,"smoothing":0.1,"dropout":0.2,"hidden":16}"#;
    (spec, json)
}

#[test]
fn the_keys_of_labels_loss_and_layers_stand_side_by_side_in_the_order_of_old_files() {
    let plain = r#"{"name":"mask","labels":["worn","incorrect","not_worn"],"soft_width":0.0,"loss":"cross_entropy","weight":1.0,"smoothing":0.0,"dropout":0.0,"hidden":0}"#;
    for (spec, json) in [full(), (mask(), plain)] {
        assert_eq!(serde_json::to_string(&spec).unwrap(), json);
        assert_eq!(serde_json::from_str::<HeadSpec>(json).unwrap(), spec);
        let toml = toml::to_string(&spec).unwrap();
        assert_eq!(toml::from_str::<HeadSpec>(&toml).unwrap(), spec);
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_all_that_are_known() {
    let error = toml::from_str::<HeadSpec>("name = 'a'\nlabels = ['b', 'c']\nsmothing = 0.1\n");
    let error = error.unwrap_err().to_string();
    let (_, json) = full();
    let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    let known = keys.keys().map(|key| format!("`{key}`"));
    for word in known.chain(["line 3".into(), "unknown field `smothing`".into()]) {
        assert!(error.contains(&word), "no {word} in {error}");
    }
}

#[test]
fn a_head_over_features_that_its_backbone_does_not_give_is_refused() {
    struct Eight;
    impl Backbone for Eight {
        fn num_features(&self) -> usize {
            8
        }
        fn features(&self, images: &Tensor, _: Mode) -> candle_core::Result<Tensor> {
            images.flatten_from(1)
        }
    }
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let head = |num_features| Head::new(&mask(), num_features, 0, vb.pp("mask")).unwrap();
    MultiTaskModel::from_parts(Box::new(Eight), vec![head(8)], Some(head(8))).unwrap();
    for (heads, joint) in [
        (vec![head(8), head(7)], None),
        (vec![head(8)], Some(head(7))),
    ] {
        let error = MultiTaskModel::from_parts(Box::new(Eight), heads, joint).err();
        let message = error.unwrap().to_string();
        assert!(
            message.contains("over 8 features") && message.contains("over 7"),
            "{message}"
        );
    }
}
