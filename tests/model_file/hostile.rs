//! Whatever is given to what is public of models and prediction: a value or a named error, never a panic.

use crate::common::tiny;
use crate::common::words::named;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use hydranet::predict::Manifest;
use hydranet::{
    Architecture, Average, Backbone, Decision, Description, Ensemble, Error, Head, HeadSpec,
    InputSpec, JointSpec, Labels, Logits, LossKind, Mode, ModelFile, ModelSpec, MultiTaskModel,
    Photo, PhotoSource, Predict as _, Prediction, Predictor, Taxonomy, Views,
};
use proptest::prelude::*;

/// Numbers as nobody means them, and some that are right.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-f64::INFINITY),
        Just(-0.0),
        Just(1.0),
        Just(f64::MAX),
        -2.0..2.0f64
    ]
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..5usize,
        Just(32),
        Just(usize::MAX),
        Just(usize::MAX / 2 + 1),
        any::<usize>()
    ]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_string()),
        Just("joint".to_string()),
        Just(String::new()),
        ".{0,4}"
    ]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), 0..4)
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map(word(), words(), 0..3)
}

fn head() -> impl Strategy<Value = HeadSpec> {
    let numbers = (
        number(),
        number(),
        number(),
        prop::collection::vec(number(), 0..4),
    );
    (word(), words(), labels(), count(), numbers).prop_map(|(name, names, when, hidden, n)| {
        let mut head = HeadSpec::new(name, names)
            .with_hidden(hidden)
            .with_thresholds(n.3);
        (head.loss.weight, head.loss.smoothing, head.layers.dropout) = (n.0, n.1, n.2);
        head.labels.when = when;
        head
    })
}

fn input() -> impl Strategy<Value = InputSpec> {
    let crop = prop::option::of([count(), count()]);
    (
        ([count(), count()], crop),
        count(),
        prop::option::of(number()),
        number(),
        number(),
    )
        .prop_map(|((size, crop), channels, crop_pct, mean, std)| InputSpec {
            size,
            crop,
            crop_pct,
            channels,
            mean: [mean as f32; 3],
            std: [std as f32; 3],
            ..InputSpec::default()
        })
}

/// A backbone of two features, which takes what it is given.
struct Mean;

impl Backbone for Mean {
    fn num_features(&self) -> usize {
        2
    }

    fn features(&self, images: &Tensor, _: Mode) -> candle_core::Result<Tensor> {
        images.mean((2, 3))?.narrow(1, 0, 2)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_taxonomy_of_anything_is_one_or_a_named_error(
        heads in prop::collection::vec((word(), words()), 0..4),
        when in prop::collection::vec(labels(), 0..4),
        impossible in prop::collection::vec(labels(), 0..3),
        class in count(),
        picked in prop::collection::vec(count(), 0..4),
    ) {
        if let Some(plain) = named(Taxonomy::new(heads)) {
            for taxonomy in [Some(plain.clone()), named(plain.with_tree(&when, &impossible))].into_iter().flatten() {
                named(taxonomy.decode(class));
                named(taxonomy.class_name(class));
                named(taxonomy.encode(&picked));
                let some: Vec<Option<usize>> = picked.iter().map(|p| Some(*p)).collect();
                let _ = taxonomy.class_of(&some);
            }
        }
    }

    #[test]
    fn a_model_of_anything_is_described_or_refused(
        heads in prop::collection::vec(head(), 0..3),
        input in input(),
        share in number(),
        joint in any::<bool>(),
    ) {
        for head in &heads {
            named(head.validate());
        }
        named(input.validate());
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let mut spec = ModelSpec::new(backbone, heads, input);
        spec.joint = joint.then(|| JointSpec { share, weight: share, loss: LossKind::Coral, ..JointSpec::default() });
        named(spec.validate());
        named(spec.taxonomy());
        if let Some(description) = named(Description::new(spec, serde_json::Value::Null)) {
            // Without a tensor.
            let file = ModelFile { description, tensors: Default::default() };
            named(Predictor::new(&file));
        }
    }

    #[test]
    fn pixels_of_anything_are_predicted_or_refused(
        height in count(), width in count(), bytes in 0..40usize, share in prop::option::of(number()),
    ) {
        let photo = Photo { height, width, rgb: vec![7; bytes] };
        let right = named(photo.validate()).is_some();
        let predictor = Predictor::new(&tiny::model()).unwrap();
        prop_assert_eq!(named(predictor.predict_photo(&photo)).is_some(), right);
        let _ = (photo.channels(), photo.with_channels(1), photo.with_channels(4));
        let views = Views { flip: true, five_crops: share };
        if let Some(ensemble) = named(Ensemble::new(vec![predictor], Average::Vote, views)) {
            prop_assert_eq!(named(ensemble.predict_photo(&photo)).is_some(), right);
            let answers: Vec<_> = ensemble.predict_iter([photo]).collect();
            prop_assert_eq!(answers.len(), 1);
            if let Err(e) = &answers[0] {
                let message = e.to_string();
                prop_assert!(message.contains("photo 1"));
            }
        }
    }

    #[test]
    fn a_tensor_of_another_shape_is_refused(shape in prop::collection::vec(0..40usize, 0..6), whole in any::<bool>()) {
        let dtype = if whole { DType::U8 } else { DType::F32 };
        let images = Tensor::zeros(shape.as_slice(), dtype, &Device::Cpu).unwrap();
        let predictor = Predictor::new(&tiny::model()).unwrap();
        if shape.get(1..) != Some([3, 32, 32].as_slice()) {
            let refused = matches!(predictor.predict_tensor(&images), Err(Error::Shape { .. }));
            prop_assert!(refused);
            let refused = matches!(predictor.logits(&images), Err(Error::Shape { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn images_and_features_of_another_shape_are_refused_by_models_and_heads(
        shape in prop::collection::vec(0..40usize, 0..6), width in 0..4usize,
    ) {
        let tensor = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        fn refused<T>(outcome: Result<T, Error>) -> bool {
            matches!(outcome, Err(Error::Shape { .. }))
        }
        let model = tiny::model().build().unwrap();
        let right = matches!(*shape, [n, 3, h, w] if n * h * w > 0);
        if !right {
            prop_assert!(refused(model.features(&tensor(&shape), Mode::Eval)));
        }
        if !matches!(*shape, [_, 1280]) {
            prop_assert!(refused(model.outputs(&tensor(&shape), Mode::Eval)));
            prop_assert!(refused(model.logits(&tensor(&shape), Mode::Eval)));
        }
        let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
        if let Some(head) = named(Head::new(&HeadSpec::new("a", ["b", "c"]), width, usize::MAX, vb)) {
            let fits = matches!(*shape, [_, w] if w == width);
            prop_assert_eq!(refused(head.outputs(&tensor(&shape), Mode::Eval)), !fits);
            prop_assert_eq!(refused(head.logits(&tensor(&shape), Mode::Eval)), !fits);
        }
    }

    #[test]
    fn a_model_of_any_parts_is_built_or_refused(
        heads in prop::collection::vec(head(), 0..3), widths in prop::collection::vec(count(), 0..3), input in input(),
        drop_path in number(),
    ) {
        let vb = || VarBuilder::zeros(DType::F32, &Device::Cpu);
        let backbone = Architecture::from_name("mobilenetv3_small_100").unwrap();
        let spec = ModelSpec::new(backbone, heads.clone(), input);
        named(MultiTaskModel::new(&spec, 0.0, &vb()));
        let right = (0.0..1.0).contains(&(drop_path as f32));
        prop_assert_eq!(named(backbone.build(vb(), drop_path as f32)).is_some(), right);
        for width in &widths {
            let built = named(backbone.build_for(*width, vb(), 0.0));
            prop_assert_eq!(built.is_some(), [1, 3, 4].contains(width));
        }
        named(MultiTaskModel::with_builders(&spec, vb(), vb()));
        let mut all = Vec::new();
        for width in &widths {
            all.extend(heads.iter().filter_map(|h| named(Head::new(h, *width, 0, vb()))));
        }
        let fit = !all.is_empty() && all.iter().all(|h| h.num_features() == 2);
        let own = MultiTaskModel::from_parts(Box::new(Mean), all, None);
        prop_assert_eq!(named(own).is_some(), fit);
    }

    #[test]
    fn a_decision_over_anything_is_one_or_a_named_error(
        heads in prop::collection::vec(prop::collection::vec(number(), 0..4), 0..4),
        temperature in number(), offsets in prop::collection::vec(number(), 0..7),
    ) {
        let taxonomy = Taxonomy::new([("a", vec!["x", "y"]), ("b", vec!["x", "y", "z"])]).unwrap();
        let decision = Decision { temperature, offsets, ..Decision::default() };
        let heads: Vec<Vec<f32>> = heads.into_iter().map(|h| h.into_iter().map(|v| v as f32).collect()).collect();
        let logits = Logits::from(heads);
        named(Prediction::from_logits(&taxonomy, &decision, &logits));
    }

    #[test]
    fn bytes_of_anything_are_a_model_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        named(ModelFile::from_bytes(&bytes, "bytes"));
        named(Predictor::from_bytes(&bytes));
        named(Photo::decode(&bytes, std::path::Path::new("bytes")));
        let predictor = Predictor::new(&tiny::model()).unwrap();
        prop_assert!(named(predictor.predict_bytes(&bytes)).is_none());
        let photos = [PhotoSource::from(bytes), std::path::Path::new("nowhere").into()];
        let answers = named(predictor.predict_all(&photos)).unwrap();
        prop_assert!(answers.into_iter().all(|a| named(a).is_none()));
    }
}

#[test]
fn a_manifest_of_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.json");
    let manifest = Manifest::new(Vec::new(), Average::Vote, Views::default());
    manifest.write(&path).unwrap();
    assert!(named(Manifest::read(&path)).is_none());
    assert!(named(Ensemble::from_file(&path)).is_none());
    assert!(named(Ensemble::new(Vec::new(), Average::Vote, Views::default())).is_none());
}
