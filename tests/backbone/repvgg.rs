//! RepVGG's branches are one convolution where nothing of a block is trained, and give the same.

use crate::common::differences::{difference, flat, values};
use crate::common::recorded;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use hydranet::layers::{Branches, ConvNormActConfig, Padding};
use hydranet::tape::Activation;
use hydranet::{Architecture, Backbone, BatchNormMode, Mode};
use std::collections::HashMap;

/// RepVGG-A0 with made-up weights; `trained` says which tensors are variables.
fn network(dtype: DType, drop_path: f32, trained: impl Fn(&str) -> bool) -> Box<dyn Backbone> {
    let architecture = Architecture::from_name("repvgg_a0").unwrap();
    let shapes = recorded::shapes(architecture);
    let tensors: HashMap<String, Tensor> = shapes
        .iter()
        .zip(1..)
        .map(|((name, shape), seed)| {
            let drawn = values(shape, seed);
            let fan: usize = shape.iter().skip(1).product();
            let drawn = match shape.len() {
                1 if name.ends_with("weight") || name.ends_with("var") => {
                    (drawn * 0.5).and_then(|d| d + 1.0)
                }
                1 => drawn * 0.5,
                _ => drawn / (fan as f64).sqrt(),
            };
            let drawn = drawn.unwrap().to_dtype(dtype).unwrap();
            let tensor = if trained(name) && !name.contains("running") {
                Var::from_tensor(&drawn).unwrap().into_inner()
            } else {
                drawn
            };
            (name.clone(), tensor)
        })
        .collect();
    let builder = VarBuilder::from_tensors(tensors, dtype, &Device::Cpu);
    architecture.build(builder, drop_path).unwrap()
}

fn images(dtype: DType) -> Tensor {
    values(&[2, 3, 71, 93], 7).to_dtype(dtype).unwrap()
}

fn train(batch_norm: BatchNormMode) -> Mode {
    Mode::Train { batch_norm, key: 3 }
}

#[test]
fn one_convolution_gives_what_three_branches_give() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
        let branches = network(dtype, 0.0, |_| true);
        let merged = network(dtype, 0.0, |_| false);
        let partly = network(dtype, 0.0, |name| name.starts_with("stages.3."));
        let expected = branches.features(&images(dtype), Mode::Eval).unwrap();
        for mode in [Mode::Eval, train(BatchNormMode::Frozen)] {
            for network in [&merged, &partly] {
                let found = network.features(&images(dtype), mode).unwrap();
                let off = difference(&found, &expected);
                println!("{dtype:?}: {off:.1e}");
                assert!(off < tolerance, "{dtype:?} {mode:?}: {off:.1e}");
                // Another way was gone.
                assert_ne!(flat(&found), flat(&expected));
            }
        }
        let maps = |network: &dyn Backbone| network.feature_maps(&images(dtype), Mode::Eval);
        let (ours, theirs) = (maps(&*merged).unwrap(), maps(&*branches).unwrap());
        assert_eq!(ours.len(), 5);
        for (merged, branches) in ours.iter().zip(&theirs) {
            assert!(difference(merged, branches) < tolerance);
        }
    }
}

#[test]
fn the_gradient_of_the_images_passes_one_convolution_as_it_passes_three_branches() {
    let gradient = |trained: bool| {
        let network = network(DType::F64, 0.0, move |_| trained);
        let images = Var::from_tensor(&images(DType::F64)).unwrap();
        let features = network.features(images.as_tensor(), Mode::Eval).unwrap();
        let loss = (features.sqr().unwrap()).sum_all().unwrap();
        loss.backward().unwrap().get(&images).unwrap().clone()
    };
    assert!(difference(&gradient(false), &gradient(true)) < 1e-10);
}

#[test]
fn drop_path_drops_branches_of_constants_too() {
    let network = network(DType::F64, 0.5, |_| false);
    let whole = network.features(&images(DType::F64), Mode::Eval).unwrap();
    let dropped = network
        .features(&images(DType::F64), train(BatchNormMode::Train))
        .unwrap();
    assert!(difference(&dropped, &whole) > 1e-3);
}

#[test]
fn branches_that_are_no_one_convolution_are_errors() {
    let config = ConvNormActConfig::new((2, 2), (3, 2, 1), Activation::Relu);
    let zeros = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let new = |config, kernel| Branches::new(config, &[(kernel, "conv"), (3, "kxk")], &zeros);
    assert!(new(config, 1).is_ok());
    for padding in [Padding::Same, Padding::None] {
        assert!(new(ConvNormActConfig { padding, ..config }, 1).is_err());
    }
    let even = |stride| ConvNormActConfig {
        kernel: 4,
        stride,
        ..config
    };
    let beside = Branches::new(even(1), &[(4, "conv")], &zeros);
    assert!(beside.is_err() && Branches::new(even(2), &[(4, "conv")], &zeros).is_ok());
    for kernel in [2, 5] {
        let error = new(config, kernel).unwrap_err().to_string();
        assert!(error.contains("no part of one of 3"), "{error}");
    }
}
