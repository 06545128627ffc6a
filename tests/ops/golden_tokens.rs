//! Activations, layer norms, softmax, attention and linear layers against PyTorch's values and gradients
//! (`tests/golden/make_tokens.py` made the cases): the CPU's kernels, and the compositions that stand in for them elsewhere.

use crate::common::differences::{difference, gradients};
use crate::common::golden;
use candle_core::{DType, Result, Tensor};
use hydranet::ops::{self, Pointwise, fallback};
use serde_json::Value;

fn function(parameters: &Value) -> Pointwise {
    match parameters["function"].as_str().unwrap() {
        "relu" => Pointwise::Relu,
        "relu6" => Pointwise::Relu6,
        "sigmoid" => Pointwise::Sigmoid,
        "silu" => Pointwise::Silu,
        "hardswish" => Pointwise::HardSwish,
        "gelu" => Pointwise::Gelu,
        "gelu_tanh" => Pointwise::GeluTanh,
        other => panic!("function {other}"),
    }
}

/// The case's operator, by the CPU's kernel or by the composition.
fn run(parameters: &Value, a: &[Tensor], kernel: bool) -> Result<Tensor> {
    let number = |key: &str| parameters[key].as_f64().unwrap();
    let heads = || parameters["heads"].as_u64().unwrap() as usize;
    match (parameters["op"].as_str().unwrap(), kernel) {
        ("pointwise", true) => ops::pointwise(&a[0], function(parameters)),
        ("pointwise", false) => fallback::pointwise(&a[0], function(parameters)),
        ("layer_norm", true) => ops::layer_norm(&a[0], &a[1], &a[2], number("eps")),
        ("layer_norm", false) => fallback::layer_norm(&a[0], &a[1], &a[2], number("eps")),
        ("layer_norm_2d", true) => ops::layer_norm_2d(&a[0], &a[1], &a[2], number("eps")),
        ("layer_norm_2d", false) => fallback::layer_norm_2d(&a[0], &a[1], &a[2], number("eps")),
        ("softmax", true) => ops::softmax(&a[0]),
        ("softmax", false) => fallback::softmax(&a[0]),
        ("log_softmax", true) => ops::log_softmax(&a[0]),
        ("log_softmax", false) => fallback::log_softmax(&a[0]),
        ("attention", true) => ops::attention(&a[0], &a[1], &a[2], number("scale")),
        ("attention", false) => fallback::attention(&a[0], &a[1], &a[2], number("scale")),
        ("attention_qkv", true) => ops::attention_qkv(&a[0], heads(), number("scale")),
        ("attention_qkv", false) => fallback::attention_qkv(&a[0], heads(), number("scale")),
        ("linear", true) => ops::linear(&a[0], &a[1], a.get(2)),
        ("linear", false) => fallback::linear(&a[0], &a[1], a.get(2)),
        ("linear_act", true) => ops::linear_act(&a[0], &a[1], a.get(2), function(parameters)),
        ("linear_act", false) => fallback::linear(&a[0], &a[1], a.get(2))
            .and_then(|y| fallback::pointwise(&y, function(parameters))),
        (other, _) => panic!("operator {other}"),
    }
}

/// Runs all cases; panics with every result and gradient that is further off than `tolerance`.
fn all_within(dtype: DType, kernel: bool, tolerance: f64) {
    let tensors = golden::tensors("tokens.safetensors");
    let Value::Object(index) = golden::json("tokens.json") else {
        panic!("tokens.json is no object")
    };
    assert_eq!(index.len(), 49);
    let (mut failed, mut compared) = (Vec::new(), 0);
    let mut worst = (0.0, String::new());
    for (name, parameters) in &index {
        let get = |key: &str| {
            let tensor = tensors.get(&format!("{name}.{key}"));
            tensor.map(|t| t.to_dtype(dtype).unwrap())
        };
        let arguments: Vec<Tensor> = (0..3).map_while(|i| get(&format!("a{i}"))).collect();
        let found = gradients(&arguments, get("grad").as_ref(), &|a| {
            run(parameters, a, kernel)
        });
        let (y, d) = match found {
            Ok(found) => found,
            Err(e) => {
                failed.push(format!("{name}: {e}"));
                continue;
            }
        };
        // Without gradients to come, an operator may go another way.
        let alone = run(parameters, &arguments, kernel).unwrap();
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
    println!("{dtype:?}, kernel {kernel}: {compared} tensors, worst {worst:?}");
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_kernels_agree_with_pytorch_in_f64() {
    all_within(DType::F64, true, 1e-12);
}

#[test]
fn the_kernels_agree_with_pytorch_in_f32() {
    all_within(DType::F32, true, 2e-5);
}

#[test]
fn the_compositions_agree_with_pytorch_in_f64() {
    all_within(DType::F64, false, 1e-9);
}

#[test]
fn the_compositions_agree_with_pytorch_in_f32() {
    all_within(DType::F32, false, 2e-5);
}
