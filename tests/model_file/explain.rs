//! Where in a photo a head's decision lies.

use crate::common::drawn::tensor;
use crate::common::{golden, tiny};
use candle_core::{DType, Tensor};
use hydranet::{
    Architecture, Description, Error, ExplainMethod, HeadSpec, InputSpec, ModelFile, ModelSpec,
    Photo, PoolKind, Predictor,
};
use serde_json::json;
use std::collections::BTreeMap;

/// A model of a mask's three labels over a network, its weights drawn from their names.
fn drawn(network: &str, size: [usize; 2]) -> Predictor {
    let backbone = Architecture::from_name(network).unwrap();
    let heads = vec![HeadSpec::new("mask", ["worn", "incorrect", "not_worn"])];
    let input = InputSpec {
        size,
        ..backbone.input()
    };
    let spec = ModelSpec::new(backbone, heads, input);
    let shapes = backbone.shapes(3).unwrap().into_iter();
    let draw = |name: &str, shape: &[usize]| tensor(name, shape, DType::F32);
    let mut tensors: hydranet::Tensors = shapes
        .map(|(name, shape)| (format!("backbone.{name}"), draw(&name, &shape)))
        .collect();
    for (name, shape) in [
        ("heads.mask.fc.weight", vec![3, backbone.num_features()]),
        ("heads.mask.fc.bias", vec![3]),
    ] {
        tensors.insert(name.into(), draw(name, &shape));
    }
    let description = Description::new(spec, json!({})).unwrap();
    Predictor::new(&ModelFile {
        description,
        tensors,
    })
    .unwrap()
}

fn labels(label: &str) -> BTreeMap<String, String> {
    [("mask".to_string(), label.to_string())].into()
}

#[test]
fn maps_weighed_by_gradients_are_those_of_pytorch_grad_cam() {
    let golden = golden::tensors("explain.safetensors");
    let networks = [
        ("tf_efficientnet_lite0", [96, 64]),
        ("resnet18", [64, 96]),
        ("convnext_atto", [64, 96]),
        ("mobilenetv3_small_100", [96, 64]),
        ("deit_tiny_patch16_224", [224, 224]),
        ("swin_tiny_patch4_window7_224", [224, 224]),
    ];
    let mut off = Vec::new();
    for (network, [height, width]) in networks {
        let predictor = drawn(network, [height, width]);
        let image = tensor("images", &[1, 3, height, width], DType::F32);
        let mut methods = vec![ExplainMethod::GradCam, ExplainMethod::GradCamPlusPlus];
        if network.starts_with("deit") {
            methods.push(ExplainMethod::AttentionRollout);
        }
        for method in methods {
            for (i, label) in ["worn", "incorrect", "not_worn"].iter().enumerate() {
                let found = predictor
                    .explain_image(&image, method, &labels(label))
                    .unwrap();
                let case = format!("{network}.{method}.{i}");
                let expected: Vec<Vec<f32>> = golden[&case].to_vec2().unwrap();
                let found = &found[0];
                assert_eq!(
                    (found.size, found.label.as_str()),
                    ([height, width], *label)
                );
                let mut worst = 0f32;
                for (y, row) in expected.iter().enumerate() {
                    for (x, value) in row.iter().enumerate() {
                        worst = worst.max((found.heat[4 * y * width + 4 * x] - value).abs());
                    }
                }
                if worst.is_nan() || worst > 2e-3 {
                    off.push(format!("{case}: {worst:.1e}"));
                }
            }
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}

#[test]
fn every_way_explains_every_head_and_the_probability_is_that_of_the_prediction() {
    let predictor = Predictor::new(&tiny::model()).unwrap();
    let rgb = (0..40 * 30 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let photo = Photo {
        height: 40,
        width: 30,
        rgb,
    };
    let said = predictor.predict_photo(&photo).unwrap();
    for method in ExplainMethod::ALL {
        if method == ExplainMethod::AttentionRollout {
            let refused = predictor.explain(&photo, method, &BTreeMap::new());
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("vision transformer"), "{error}");
            continue;
        }
        let found = predictor.explain(&photo, method, &BTreeMap::new()).unwrap();
        assert_eq!(found.len(), 3);
        for (e, head) in found.iter().zip(&said.heads) {
            assert_eq!((&e.head, &e.label), (&head.head, &head.best_label));
            assert!((e.prob - head.probs[head.best]).abs() < 1e-6);
            assert_eq!((e.size, e.heat.len()), ([32, 32], 1024));
            assert!(e.heat.iter().all(|v| (0.0..=1.0).contains(v)), "{method}");
        }
        let again = predictor.explain(&photo, method, &BTreeMap::new()).unwrap();
        assert!(found == again, "{method}");
    }
}

#[test]
fn what_is_covered_is_what_falls() {
    let predictor = Predictor::new(&tiny::model()).unwrap();
    let image = tiny::images().narrow(0, 0, 1).unwrap();
    let heat = |method| {
        predictor
            .explain_image(&image, method, &BTreeMap::new())
            .unwrap()
    };
    let probs = predictor.head_probs(&image).unwrap();
    for (head, e) in heat(ExplainMethod::Occlusion).iter().enumerate() {
        let hottest = (0..1024)
            .max_by(|a, b| e.heat[*a].total_cmp(&e.heat[*b]))
            .unwrap();
        let coldest = (0..1024)
            .min_by(|a, b| e.heat[*a].total_cmp(&e.heat[*b]))
            .unwrap();
        let fall = |at: usize| {
            let mut values: Vec<f32> = image.flatten_all().unwrap().to_vec1().unwrap();
            for plane in values.chunks_exact_mut(1024) {
                let (y, x) = (at / 32, at % 32);
                for y in y.saturating_sub(3)..(y + 4).min(32) {
                    plane[y * 32 + x.saturating_sub(3)..y * 32 + (x + 4).min(32)].fill(0.0);
                }
            }
            let covered = Tensor::from_vec(values, image.dims(), image.device()).unwrap();
            let label = e.label.as_str();
            let place = predictor
                .taxonomy()
                .labels(head)
                .iter()
                .position(|l| l == label)
                .unwrap();
            probs[0][head][place] - predictor.head_probs(&covered).unwrap()[0][head][place]
        };
        assert!(fall(hottest) > fall(coldest), "{}", e.head);
    }
}

#[test]
fn what_pixels_give_adds_up_to_what_the_photo_changes() {
    // Completeness (Sundararajan et al. 2017).
    let predictor = drawn("resnet18", [64, 96]);
    let image = tensor("images", &[1, 3, 64, 96], DType::F32);
    for label in 0..3 {
        let found = predictor.attributions(&image, &[label]).unwrap();
        let sum: f64 = found[0].iter().map(|v| f64::from(*v)).sum();
        let logit = |image: &Tensor| f64::from(predictor.logits(image).unwrap()[0].heads[0][label]);
        let change = logit(&image) - logit(&image.zeros_like().unwrap());
        assert!(
            (sum - change).abs() < 0.1 * change.abs().max(0.1),
            "{sum} {change}"
        );
    }
}

#[test]
fn heads_that_pool_for_themselves_or_see_others_are_explained_too() {
    let mut file = tiny::model();
    let mut spec = file.description.model.clone();
    spec.heads[0].layers.pool = PoolKind::Attention;
    spec.heads[1].layers.from_stage = vec![4, 5];
    spec.heads[2].layers.after = vec!["mask".into()];
    let variables =
        hydranet::train::Variables::new(hydranet::Tensors::new(), 3, |_| false, |_| true);
    hydranet::MultiTaskModel::new(&spec, 0.0, &variables.builder()).unwrap();
    file.description = Description::new(spec, json!({})).unwrap();
    file.tensors = variables.snapshot().unwrap();
    let predictor = Predictor::new(&file).unwrap();
    let image = tiny::images().narrow(0, 0, 1).unwrap();
    let found = predictor
        .explain_image(&image, ExplainMethod::GradCam, &BTreeMap::new())
        .unwrap();
    assert_eq!(found.len(), 3);
}

#[test]
fn heads_and_labels_that_are_none_are_named() {
    let predictor = Predictor::new(&tiny::model()).unwrap();
    let image = tiny::images().narrow(0, 0, 1).unwrap();
    let explain = |labels: &BTreeMap<String, String>| {
        predictor
            .explain_image(&image, ExplainMethod::GradCam, labels)
            .unwrap_err()
    };
    assert!(matches!(
        explain(&labels("off")),
        Error::UnknownLabel { .. }
    ));
    let other = [("hat".to_string(), "worn".to_string())].into();
    assert!(matches!(explain(&other), Error::UnknownName { .. }));
}
