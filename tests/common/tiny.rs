//! A small model with random weights, and images for it.

use candle_core::{Device, Tensor};
use hydranet::Tensors;
use hydranet::train::Variables;
use hydranet::{
    Architecture, Description, HeadSpec, InputSpec, ModelFile, ModelSpec, MultiTaskModel,
};
use serde_json::json;
use std::sync::OnceLock;

/// Mask (3 labels), gender (2) and age (3, with a hidden layer) on photos of 32 × 32.
pub fn model() -> ModelFile {
    static MODEL: OnceLock<ModelFile> = OnceLock::new();
    MODEL.get_or_init(|| build(1)).clone()
}

pub fn build(seed: u64) -> ModelFile {
    let age = HeadSpec::new("age", ["young", "middle", "old"])
        .with_thresholds([30.0, 60.0])
        .with_hidden(8);
    let heads = vec![
        HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]),
        HeadSpec::new("gender", ["male", "female"]),
        age,
    ];
    let input = InputSpec {
        size: [32, 32],
        ..InputSpec::default()
    };
    let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    let spec = ModelSpec::new(backbone, heads, input);
    let variables = Variables::new(Tensors::new(), seed, |_| false, |_| true);
    MultiTaskModel::new(&spec, 0.0, &variables.builder()).unwrap();
    ModelFile {
        description: Description::new(spec, json!({"seed": seed})).unwrap(),
        tensors: variables.snapshot().unwrap(),
    }
}

/// Two images of noise between −1 and 1.
pub fn images() -> Tensor {
    let values: Vec<f32> = (0..2 * 3 * 32 * 32u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        .collect();
    Tensor::from_vec(values, (2, 3, 32, 32), &Device::Cpu).unwrap()
}
