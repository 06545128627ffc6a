//! Activations, layer norms, attention and linear layers against PyTorch's values and gradients (`tests/golden/make_tokens.py`
//! made the cases): the CPU's kernels, and the compositions that stand in for them elsewhere.

use crate::common::golden;
use crate::common::on_tape::{self, Start};
use candle_core::{DType, Result, Tensor};
use hydranet::tape::{self, Activation, Tape};
use serde_json::Value;

fn function(parameters: &Value) -> Activation {
    match parameters["function"].as_str().unwrap() {
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "sigmoid" => Activation::Sigmoid,
        "silu" => Activation::Silu,
        "hardswish" => Activation::HardSwish,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        other => panic!("function {other}"),
    }
}

/// The case's operator; a linear layer is one of a tape, and beside it the operator of heads.
fn run(parameters: &Value, a: &[Tensor], start: Start) -> Result<Tensor> {
    let number = |key: &str| parameters[key].as_f64().unwrap();
    let heads = || parameters["heads"].as_u64().unwrap() as usize;
    let identity = Activation::Identity;
    match parameters["op"].as_str().unwrap() {
        "pointwise" => on_tape::activation(start, &a[0], function(parameters)),
        "layer_norm" => on_tape::layer_norm(start, &a[0], &a[1], &a[2], number("eps")),
        "layer_norm_2d" => on_tape::layer_norm_2d(start, &a[0], &a[1], &a[2], number("eps")),
        "attention" => on_tape::attention(start, [&a[0], &a[1], &a[2]], number("scale")),
        "attention_qkv" => on_tape::attention_qkv(start, &a[0], heads(), number("scale")),
        "linear" => on_tape::linear(start, &a[0], &a[1], a.get(2), identity),
        "linear_act" => on_tape::linear(start, &a[0], &a[1], a.get(2), function(parameters)),
        other => panic!("operator {other}"),
    }
}

fn all_within(dtype: DType, tolerance: f64, run: impl Fn(&Value, &[Tensor]) -> Result<Tensor>) {
    golden::all_within("tokens", 39, dtype, tolerance, run);
}

#[test]
fn the_kernels_agree_with_pytorch() {
    let run = |p: &Value, a: &[Tensor]| run(p, a, Tape::new);
    all_within(DType::F64, 1e-12, run);
    all_within(DType::F32, 2e-5, run);
}

#[test]
fn the_compositions_agree_with_pytorch() {
    let run = |p: &Value, a: &[Tensor]| run(p, a, Tape::composed);
    all_within(DType::F64, 1e-9, run);
    all_within(DType::F32, 2e-5, run);
}

#[test]
fn the_operator_of_linear_layers_agrees_with_pytorch() {
    // Beside the others as they are.
    let run = |p: &Value, a: &[Tensor]| match p["op"].as_str() {
        Some("linear") => tape::linear(&a[0], &a[1], a.get(2)),
        _ => run(p, a, Tape::new),
    };
    all_within(DType::F64, 1e-12, run);
    all_within(DType::F32, 2e-5, run);
}
