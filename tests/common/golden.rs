//! Reading golden files, and how far tensors are from those in them.

use super::differences::{difference, flat, gradients};
use candle_core::{DType, Device, Result, Tensor};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

pub fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// How an architecture that stands for its structure is tested: a line of `networks.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Images it is compared with timm's at, (batch, height, width); none if another of its structure is.
    #[serde(default)]
    pub sizes: Vec<[usize; 3]>,
    /// The modules of timm's whose outputs are the stages, for `make_backbones.py`.
    #[serde(default)]
    pub stages: Vec<String>,
    /// How far from PyTorch's f64 gradients in f32 may be, if further than those of most.
    #[serde(default = "most")]
    pub gradients_f32: f64,
    /// Images it is exported to ONNX for, (channels, height, width).
    #[serde(default)]
    pub onnx: Vec<[usize; 3]>,
}

fn most() -> f64 {
    1e-4
}

/// At least one architecture of each structure, by name.
pub fn networks() -> BTreeMap<String, Network> {
    serde_json::from_value(json("networks.json")).unwrap()
}

/// Whether files that are made from what the program knows and measures are to be written, and not compared.
pub fn is_writing() -> bool {
    std::env::var_os("HYDRANET_WRITE").is_some()
}

/// The tensors of a safetensors file in the types they are stored in.
pub fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path(name), &Device::Cpu).unwrap()
}

/// Runs the `count` cases of `<name>.json` with the tensors of `<name>.safetensors`: arguments `a0`, `a1`, …, the results'
/// weights `grad`, and what is expected, `y` and the gradients `d0`, `d1`, …; panics with all that is further off than `tolerance`.
pub fn all_within(
    name: &str,
    count: usize,
    dtype: DType,
    tolerance: f64,
    run: impl Fn(&Value, &[Tensor]) -> Result<Tensor>,
) {
    let tensors = tensors(&format!("{name}.safetensors"));
    let Value::Object(index) = json(&format!("{name}.json")) else {
        panic!("{name}.json is no object")
    };
    assert_eq!(index.len(), count);
    let (mut failed, mut worst) = (Vec::new(), (0.0, String::new()));
    for (name, parameters) in &index {
        let get = |key: &str| {
            let tensor = tensors.get(&format!("{name}.{key}"));
            tensor.map(|t| t.to_dtype(dtype).unwrap())
        };
        let arguments: Vec<Tensor> = (0..).map_while(|i| get(&format!("a{i}"))).collect();
        let found = gradients(&arguments, get("grad").as_ref(), &|a| run(parameters, a));
        let (y, d) = match found {
            Ok(found) => found,
            Err(e) => {
                failed.push(format!("{name}: {e}"));
                continue;
            }
        };
        // Without gradients to come, an operator may go another way, and memory is used again.
        let alone = run(parameters, &arguments).unwrap();
        let results = [("y".to_string(), &y), ("y".to_string(), &alone)];
        let gradients = d.iter().enumerate().map(|(i, d)| (format!("d{i}"), d));
        for (key, ours) in results.into_iter().chain(gradients) {
            let key = format!("{name}.{key}");
            let off = difference(ours, &tensors[&key]);
            if off > tolerance {
                failed.push(format!("{key}: {off:.1e}"));
            }
            if off > worst.0 {
                worst = (off, key);
            }
        }
    }
    println!("{dtype:?}: worst {worst:?}");
    assert!(failed.is_empty(), "{failed:#?}");
}

/// `[L2 norm, sum, first 8 elements]` of ours beside the golden ones: the greatest difference, each on its own scale; our norm
/// alone where the golden values are 0.
pub fn summary_error(ours: &Tensor, golden: &Tensor) -> f64 {
    let (values, golden) = (flat(ours), flat(golden));
    let n = values.len() as f64;
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    if golden[0] == 0.0 {
        return norm;
    }
    let mut off = [0f64; 10];
    off[0] = (norm - golden[0]) / golden[0];
    // A sum of n values of either sign is of the size of their norm at the least, and of √n norms at the most.
    off[1] = (values.iter().sum::<f64>() - golden[1]) / (golden[0] * n.sqrt()).max(golden[1].abs());
    for i in 0..8 {
        let ours = values.get(i).copied().unwrap_or(0.0);
        off[2 + i] = (ours - golden[2 + i]) / (golden[0] / n.sqrt()).max(golden[2 + i].abs());
    }
    off.iter().fold(0f64, |m, v| {
        if v.is_nan() {
            f64::INFINITY
        } else {
            m.max(v.abs())
        }
    })
}
