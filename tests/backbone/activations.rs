//! Values kept for backward in half the memory, and running statistics that move by another share.

use crate::common::differences::{flat, values};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use hydranet::backbone::Architecture;
use hydranet::model_file::Tensors;
use hydranet::train::optim::variables::Variables;
use hydranet::{BatchNormMode, Mode, SavedActivations};
use std::collections::{BTreeMap, HashMap};

const TRAIN: Mode = Mode::Train {
    batch_norm: BatchNormMode::Train,
    key: 0,
};

/// Features and gradients of one step, twice backward, with another function's gradients found in between.
fn step(
    architecture: Architecture,
    activations: SavedActivations,
    given: &Tensors,
    images: &Tensor,
) -> (Vec<f64>, BTreeMap<String, Vec<f64>>) {
    let tensors: HashMap<String, Tensor> = given
        .iter()
        .map(|(name, t)| {
            let var = Var::from_tensor(&t.to_dtype(images.dtype()).unwrap()).unwrap();
            (name.clone(), var.as_tensor().clone())
        })
        .collect();
    let builder = VarBuilder::from_tensors(tensors.clone(), images.dtype(), &Device::Cpu);
    let mut net = architecture.build(builder, 0.0).unwrap();
    net.set_activations(activations);
    let features = net.features(images, TRAIN).unwrap();
    let weights = values(features.dims(), 5).to_dtype(images.dtype()).unwrap();
    let loss = (&features * weights).unwrap().sum_all().unwrap();
    let of = |grads: &candle_core::backprop::GradStore| -> BTreeMap<String, Vec<f64>> {
        let found = tensors
            .iter()
            .filter_map(|(name, t)| Some((name.clone(), flat(grads.get(t)?))));
        found.collect()
    };
    let weights = values(features.dims(), 6).to_dtype(images.dtype()).unwrap();
    let other = (&features * weights).unwrap().sum_all().unwrap();
    let first = of(&loss.backward().unwrap());
    let between = of(&other.backward().unwrap());
    let second = of(&loss.backward().unwrap());
    assert!(first == second, "{architecture}: backward again differs");
    assert!(
        first != between,
        "{architecture}: backward gave what it had"
    );
    (flat(&features), first)
}

/// √(Σ (a − b)² / Σ b²) over all gradients.
fn off(a: &BTreeMap<String, Vec<f64>>, b: &BTreeMap<String, Vec<f64>>) -> f64 {
    assert!(a.keys().eq(b.keys()));
    let (mut error, mut size) = (0.0, 0.0);
    for (a, b) in a.values().flatten().zip(b.values().flatten()) {
        error += (a - b).powi(2);
        size += b.powi(2);
    }
    (error / size).sqrt()
}

#[test]
fn rounded_activations_leave_the_features_as_they_are_and_gradients_nearly() {
    // Batch norm over the few values of such small maps is steep.
    for (name, [h, w], bound) in [
        ("tf_efficientnet_lite0", [61, 45], 0.15),
        ("mobilenetv3_small_100", [61, 45], 0.15),
        ("resnet18", [61, 45], 0.15),
        ("repvgg_a0", [48, 48], 0.15),
        ("convnextv2_atto", [64, 96], 2e-2),
        ("vit_tiny_patch16_224", [48, 32], 2e-2),
        ("swin_tiny_patch4_window7_224", [60, 44], 2e-2),
    ] {
        let architecture = Architecture::from_name(name).unwrap();
        let variables = Variables::new(Tensors::new(), 1, |_| true, |_| true);
        architecture.build(variables.builder(), 0.0).unwrap();
        let given = variables.snapshot().unwrap();
        for dtype in [DType::F32, DType::F64] {
            let images = values(&[4, 3, h, w], 3).to_dtype(dtype).unwrap();
            let (features, exact) = step(architecture, SavedActivations::F32, &given, &images);
            let (same, rounded) = step(architecture, SavedActivations::Bf16, &given, &images);
            assert!(features == same, "{name} {dtype:?}");
            let off = off(&rounded, &exact);
            println!("{name} {dtype:?}: gradients off by {off:.1e}");
            assert!(off > 1e-5, "{name} {dtype:?}: nothing was rounded");
            assert!(off < bound, "{name} {dtype:?}: {off:.1e}");
        }
    }
}

#[test]
fn running_statistics_move_by_the_share_asked_for_and_so_become_a_mean() {
    let architecture = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    let variables = Variables::new(Tensors::new(), 1, |_| true, |_| true);
    let mut net = architecture.build(variables.builder(), 0.0).unwrap();
    let name = "blocks.3.1.bn2.running_var";
    let statistics = |net: &dyn hydranet::Backbone, seed: u64| {
        let images = values(&[4, 3, 32, 32], seed).to_dtype(DType::F32).unwrap();
        net.features(&images, TRAIN).unwrap();
        flat(&variables.snapshot().unwrap()[name])
    };
    net.set_momentum(Some(1.0));
    let alone: Vec<Vec<f64>> = (1..4).map(|seed| statistics(&*net, seed)).collect();
    let mut mean = Vec::new();
    for seed in 1..4 {
        net.set_momentum(Some(1.0 / seed as f64));
        mean = statistics(&*net, seed);
    }
    for (i, mean) in mean.iter().enumerate() {
        let expected = alone.iter().map(|a| a[i]).sum::<f64>() / 3.0;
        assert!((mean - expected).abs() < 1e-5 * expected.abs().max(1.0));
    }
    // And again by the layers' own.
    net.set_momentum(None);
    let before = flat(&variables.snapshot().unwrap()[name]);
    let after = statistics(&*net, 1);
    let own = 0.1;
    for ((after, before), batch) in after.iter().zip(&before).zip(&alone[0]) {
        let expected = (1.0 - own) * before + own * batch;
        assert!((after - expected).abs() < 1e-5 * expected.abs().max(1.0));
    }
}
