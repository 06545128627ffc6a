//! Images of one channel and of four: photos, networks beside timm's, whole runs. `tests/golden/make_channels.py` and
//! `make_alpha.py` made the golden values.

use crate::common::differences::flat;
use crate::common::drawn;
use crate::common::golden;
use crate::common::runs;
use crate::common::runs::Bench;
use candle_core::{DType, Tensor};
use hydranet::data::augment::{AugmentConfig, ColorJitter};
use hydranet::model_file::Tensors;
use hydranet::model_file::pretrained::load_for;
use hydranet::random::rng::{Purpose, keyed};
use hydranet::weights::adapt_input_conv;
use hydranet::{Architecture, InputSpec, Interpolation, Mode, ModelFile, Photo, Predictor};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn spec(channels: usize, size: [usize; 2]) -> InputSpec {
    InputSpec {
        size,
        channels,
        interpolation: Interpolation::Bicubic,
        ..InputSpec::default()
    }
}

fn rows(value: &serde_json::Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[derive(Deserialize)]
struct Case {
    /// The name of the first convolution's weight.
    first: String,
    size: [usize; 2],
    /// By the number of channels, features and gradient, as summaries.
    rows: BTreeMap<usize, serde_json::Value>,
}

#[test]
fn networks_for_other_channels_are_those_of_timm() {
    let cases: BTreeMap<String, Case> =
        serde_json::from_value(golden::json("channels.json")).unwrap();
    let mut failed = Vec::new();
    for (name, case) in &cases {
        let architecture = Architecture::from_name(name).unwrap();
        for (channels, golden_rows) in &case.rows {
            for (dtype, tolerance) in [(DType::F64, 1e-5), (DType::F32, 1e-3)] {
                let of_three = architecture.shapes(3).unwrap();
                let vars: HashMap<String, Tensor> = of_three
                    .into_iter()
                    .map(|(name, shape)| {
                        let mut t = drawn::tensor(&name, &shape, dtype);
                        if let [_, 3, _, _] = shape[..] {
                            t = adapt_input_conv(&t, *channels).unwrap();
                        }
                        let var = candle_core::Var::from_tensor(&t).unwrap();
                        (name, var.as_tensor().clone())
                    })
                    .collect();
                let vb = candle_nn::VarBuilder::from_tensors(
                    vars.clone(),
                    dtype,
                    &candle_core::Device::Cpu,
                );
                let net = architecture.build_for(*channels, vb, 0.0).unwrap();
                let [h, w] = case.size;
                let images = drawn::tensor("images", &[2, *channels, h, w], dtype);
                let features = net.features(&images, Mode::Eval).unwrap();
                let weights = drawn::tensor("weights", features.dims(), dtype);
                let loss = (&features * weights).unwrap().sum_all().unwrap();
                let grads = loss.backward().unwrap();
                let gradient = grads.get(&vars[&case.first]).unwrap();
                for (what, ours, row) in [
                    ("features", &features, &golden_rows[0]),
                    ("gradient", gradient, &golden_rows[1]),
                ] {
                    let row = rows(row);
                    let row = Tensor::new(row.as_slice(), &candle_core::Device::Cpu).unwrap();
                    let off = golden::summary_error(ours, &row);
                    // In f32 a value falls on the other side of ReLU6's kinks here and there; values are close, gradients are
                    // not.
                    let compared = what == "features" || dtype == DType::F64;
                    if compared && off > tolerance {
                        failed.push(format!("{name} {channels} {dtype:?} {what}: {off:.1e}"));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(cases.len(), 7);
}

#[test]
fn convolutions_that_see_the_image_stand_in_the_first_stage_of_every_architecture() {
    for architecture in Architecture::all() {
        let first = &architecture.stages()[0];
        let [of_one, of_three] = [1, 3].map(|channels| architecture.shapes(channels).unwrap());
        let of_image = of_three.iter().filter(|(n, shape)| of_one[*n] != **shape);
        let of_image: Vec<_> = of_image.collect();
        assert!(!of_image.is_empty(), "{architecture}");
        for (name, shape) in of_image {
            assert!(matches!(shape[..], [_, 3, _, _]), "{architecture}: {name}");
            let known = first.iter().any(|prefix| name.starts_with(prefix.as_str()));
            assert!(known, "{architecture}: {name} is not in the first stage");
        }
    }
}

#[test]
fn grey_is_the_luma_of_pillow() {
    let spec = spec(1, [61, 47]);
    let grey = spec.open(file("resize_source.png")).unwrap();
    assert_eq!((grey.channels(), grey.rgb.len()), (1, 61 * 47));
    // A grey file read as three equal channels.
    let theirs = Photo::open(file("grey.png")).unwrap();
    let theirs: Vec<u8> = theirs.rgb.chunks_exact(3).map(|p| p[0]).collect();
    assert_eq!(grey.rgb, theirs);
    assert_eq!(spec.prepare(&grey).unwrap(), theirs);
    // A photo already decoded in colours becomes the same, a grey file stays as it is.
    let colours = Photo::open(file("resize_source.png")).unwrap();
    assert_eq!(spec.prepare(&colours).unwrap(), theirs);
    assert_eq!(spec.open(file("grey.png")).unwrap().rgb, theirs);
}

#[test]
fn alpha_is_kept_or_255_and_what_is_not_seen_does_not_bleed() {
    let spec = spec(4, [37, 29]);
    let photo = spec.open(file("alpha.png")).unwrap();
    assert_eq!(photo.channels(), 4);
    let prepared = spec.prepare(&photo).unwrap();
    let theirs = spec.open(file("alpha_resized.png")).unwrap();
    let mut worst = 0;
    for (ours, theirs) in prepared.chunks_exact(4).zip(theirs.rgb.chunks_exact(4)) {
        worst = worst.max(ours[3].abs_diff(theirs[3]));
        // A colour is divided by its alpha, and its rounding with it.
        let step = (255 / theirs[3].max(1)).saturating_add(1);
        for (a, b) in ours[..3].iter().zip(&theirs[..3]) {
            let unseen = ours[3] == 0 || theirs[3] == 0;
            assert!(unseen || a.abs_diff(*b) <= step, "{ours:?} {theirs:?}");
        }
    }
    assert!(worst <= 1, "alpha differs by {worst}");
    let opaque = spec.open(file("resize_source.png")).unwrap();
    assert!(opaque.rgb.chunks_exact(4).all(|p| p[3] == 255));
    // Without alpha the colours are those of three channels, to the last bit.
    let three = InputSpec {
        channels: 3,
        ..spec.clone()
    };
    let colours: Vec<u8> = spec
        .prepare(&opaque)
        .unwrap()
        .chunks_exact(4)
        .flat_map(|p| p[..3].to_vec())
        .collect();
    let plain = Photo::open(file("resize_source.png")).unwrap();
    assert_eq!(colours, three.prepare(&plain).unwrap());
}

#[test]
fn planes_are_normalised_channel_by_channel() {
    let spec = |channels| InputSpec {
        size: [16, 16],
        channels,
        mean: [0.3, 0.4, 0.8],
        std: [0.1, 0.2, 0.6],
        ..InputSpec::default()
    };
    let close = |(m, s): (f32, f32), (mean, std): (f32, f32)| {
        assert!((m - mean).abs() < 1e-6 && (s - std).abs() < 1e-6, "{m} {s}");
    };
    close(spec(1).norm(0), (0.5, 0.3));
    close(spec(3).norm(2), (0.8, 0.6));
    close(spec(4).norm(3), (0.3, 0.1));
    let rgba = [51, 102, 204, 255].repeat(256);
    let mut planes = vec![0.0; 4 * 256];
    spec(4).normalise_into(&rgba, &mut planes).unwrap();
    for (plane, expected) in planes.chunks_exact(256).zip([-1.0, 0.0, 0.0, 7.0]) {
        assert!(
            plane.iter().all(|v| (v - expected).abs() < 1e-5),
            "{expected}"
        );
    }
    assert!(spec(4).normalise_into(&rgba[..300], &mut planes).is_err());
    for channels in [0, 2, 5] {
        let error = spec(channels).validate().unwrap_err().to_string();
        assert!(error.contains("input.channels"), "{error}");
    }
    let text = |channels| serde_json::to_string(&spec(channels)).unwrap();
    assert!(text(1).contains("\"channels\":1") && !text(3).contains("channels"));
}

#[test]
fn augmentation_changes_grey_as_it_changes_equal_colours() {
    let all = AugmentConfig {
        flip: 1.0,
        rotation: 20.0,
        color_jitter: ColorJitter {
            brightness: 0.3,
            contrast: 0.3,
            saturation: 0.0,
        },
        erasing: 1.0,
        ..AugmentConfig::off()
    };
    let photo = Photo::open(file("grey.png")).unwrap();
    let of = |channels| {
        let spec = InputSpec {
            mean: [0.5; 3],
            ..spec(channels, [32, 24])
        };
        let mut rng = keyed(1, Purpose::Augment, 0, 0);
        all.augment(&photo, &spec, &mut rng).unwrap()
    };
    let (grey, three, four) = (of(1), of(3), of(4));
    assert_eq!(grey.len(), 32 * 24);
    // The weights of torchvision's grey add up to 0.9999, which may round a mean to another level.
    for ((g, rgb), rgba) in grey
        .iter()
        .zip(three.chunks_exact(3))
        .zip(four.chunks_exact(4))
    {
        assert!(rgb.iter().all(|v| v.abs_diff(*g) <= 2), "{g} {rgb:?}");
        assert_eq!(rgb, &rgba[..3]);
        assert!(rgba[3] == 255 || rgba[3] == 128, "alpha {}", rgba[3]);
    }
}

#[test]
fn a_run_on_grey_and_one_with_alpha_train_evaluate_and_predict_from_their_files() {
    let bench = Bench::new();
    for (channels, run) in [(1, "grey"), (4, "alpha")] {
        let setting = format!("model.input.channels={channels}");
        let config = Bench::config(&[&setting, "train.epochs=1"]).unwrap();
        bench.train(&config, run, false, None).unwrap();
        let path = bench.out(run).join("best.safetensors");
        let file = ModelFile::read(&path).unwrap();
        assert_eq!(file.description.model.input.channels, channels);
        let first = &file.tensors["backbone.conv_stem.weight"];
        assert_eq!(first.dims()[1], channels);
        let photo = std::fs::read_dir(bench.data.parent().unwrap().join("images"));
        let photo = photo.unwrap().next().unwrap().unwrap().path();
        let predictor = Predictor::from_file(&path).unwrap();
        let prediction = predictor.predict_file(&photo).unwrap();
        let decoded = predictor.predict_photo(&Photo::open(&photo).unwrap());
        assert_eq!(prediction, decoded.unwrap());
        let wrong = drawn::tensor("images", &[1, 3, 32, 32], DType::F32);
        let error = predictor.predict_tensor(&wrong).unwrap_err().to_string();
        assert!(
            error.contains(&format!("(batch, {channels}, 32, 32)")),
            "{error}"
        );
    }
}

#[test]
fn weights_and_models_of_three_channels_become_those_of_one() {
    let bench = Bench::new();
    let config = Bench::config(&["train.epochs=1", "train.fine_tune=frozen"]).unwrap();
    bench.train(&config, "colours", false, None).unwrap();
    let path = bench.out("colours").join("best.safetensors");
    let model: Tensors = ModelFile::read(&path).unwrap().tensors;
    let name = "backbone.conv_stem.weight";
    let lite0 = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    let source = path.display().to_string();
    let grey = load_for(1, &source, &[], lite0).unwrap();
    let expected = adapt_input_conv(&model[name], 1).unwrap();
    assert_eq!(flat(&grey[name]), flat(&expected));
    let shipped = format!("{}/../weights", runs::HEADS);
    let source = config.model.weights.clone().unwrap();
    let grey = load_for(1, &source, &[shipped.into()], lite0).unwrap();
    assert_eq!(flat(&grey[name]), flat(&expected));
}
