//! Activations, layer norms, attention and linear layers against PyTorch's values and gradients (`tests/golden/make_tokens.py`
//! made the cases): the CPU's kernels, and the compositions that stand in for them elsewhere.

use crate::common::differences::{difference, gradients};
use crate::common::golden;
use crate::common::on_tape::{self, Start};
use candle_core::{DType, Result, Tensor};
use hydranet::tape::{self, Activation, Tape};
use serde_json::Value;

/// Cases of the file.
const CASES: usize = 39;

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

/// Runs all cases; panics with every result and gradient that is further off than `tolerance`.
fn all_within(
    dtype: DType,
    tolerance: f64,
    run: impl Fn(&Value, &[Tensor]) -> Result<Tensor>,
    only: Option<&str>,
) {
    let tensors = golden::tensors("tokens.safetensors");
    let Value::Object(index) = golden::json("tokens.json") else {
        panic!("tokens.json is no object")
    };
    assert_eq!(index.len(), CASES);
    let (mut failed, mut compared) = (Vec::new(), 0);
    let mut worst = (0.0, String::new());
    for (name, parameters) in &index {
        if only.is_some_and(|op| parameters["op"] != op) {
            continue;
        }
        let get = |key: &str| {
            let tensor = tensors.get(&format!("{name}.{key}"));
            tensor.map(|t| t.to_dtype(dtype).unwrap())
        };
        let arguments: Vec<Tensor> = (0..3).map_while(|i| get(&format!("a{i}"))).collect();
        let found = gradients(&arguments, get("grad").as_ref(), &|a| run(parameters, a));
        let (y, d) = match found {
            Ok(found) => found,
            Err(e) => {
                failed.push(format!("{name}: {e}"));
                continue;
            }
        };
        // Without gradients to come, an operator may go another way.
        let alone = run(parameters, &arguments).unwrap();
        let results = [("y".to_string(), &y), ("y".to_string(), &alone)]
            .into_iter()
            .chain(d.iter().enumerate().map(|(i, d)| (format!("d{i}"), d)));
        for (key, ours) in results {
            compared += 1;
            let golden = &tensors[&format!("{name}.{key}")];
            let off = difference(&ours.to_dtype(DType::F64).unwrap(), golden);
            if off > worst.0 {
                worst = (off, format!("{name}.{key}"));
            }
            if off.is_nan() || off > tolerance {
                failed.push(format!("{name}.{key}: {off:.1e}"));
            }
        }
    }
    println!("{dtype:?}: {compared} tensors, worst {worst:?}");
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_kernels_agree_with_pytorch() {
    let run = |p: &Value, a: &[Tensor]| run(p, a, Tape::new);
    all_within(DType::F64, 1e-12, run, None);
    all_within(DType::F32, 2e-5, run, None);
}

#[test]
fn the_compositions_agree_with_pytorch() {
    let run = |p: &Value, a: &[Tensor]| run(p, a, Tape::composed);
    all_within(DType::F64, 1e-9, run, None);
    all_within(DType::F32, 2e-5, run, None);
}

#[test]
fn the_operator_of_linear_layers_agrees_with_pytorch() {
    let run = |_: &Value, a: &[Tensor]| tape::linear(&a[0], &a[1], a.get(2));
    all_within(DType::F64, 1e-12, run, Some("linear"));
    all_within(DType::F32, 2e-5, run, Some("linear"));
}
