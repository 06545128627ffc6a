//! Operators against PyTorch's values and gradients. `tests/golden/make_ops.py` made the cases.

use crate::common::differences::difference;
use crate::common::golden;
use crate::common::on_tape::{conv2d, conv2d_norm_act, global_avg_pool};
use candle_core::{DType, Device, Tensor, Var};
use hydranet::tape::{Activation, Conv2dParams, Norm, Statistics, Tape, linear};
use serde_json::Value;
use std::collections::HashMap;

/// One case: its parameters and its tensors, all of one type.
struct Case {
    name: String,
    parameters: Value,
    tensors: HashMap<String, Tensor>,
}

/// What was compared, and how far off it was.
type Distances = Vec<(String, f64)>;

fn cases(dtype: DType) -> Vec<Case> {
    let all = golden::tensors("ops.safetensors");
    let Value::Object(index) = golden::json("ops.json") else {
        panic!("ops.json is no object")
    };
    let cases: Vec<Case> = index
        .into_iter()
        .map(|(name, parameters)| Case {
            tensors: all
                .iter()
                .filter_map(|(k, t)| {
                    let (case, tensor) = k.split_once('.')?;
                    (case == name).then(|| (tensor.to_string(), t.to_dtype(dtype).unwrap()))
                })
                .collect(),
            name,
            parameters,
        })
        .collect();
    assert_eq!(
        cases.iter().map(|c| c.tensors.len()).sum::<usize>(),
        all.len()
    );
    cases
}

impl Case {
    fn number(&self, key: &str) -> usize {
        self.parameters[key].as_u64().unwrap() as usize
    }

    fn op(&self) -> &str {
        self.parameters["op"].as_str().unwrap()
    }

    fn is_train(&self) -> bool {
        self.parameters["train"].as_bool().unwrap()
    }

    fn params(&self) -> Conv2dParams {
        let pads: Vec<usize> = serde_json::from_value(self.parameters["pads"].clone()).unwrap();
        Conv2dParams {
            stride: (self.number("stride"), self.number("stride")),
            padding: pads.try_into().unwrap(),
            dilation: (self.number("dilation"), self.number("dilation")),
            groups: self.number("groups"),
        }
    }

    fn activation(&self) -> Activation {
        match self.parameters["activation"].as_str().unwrap() {
            "none" => Activation::Identity,
            "relu" => Activation::Relu,
            "relu6" => Activation::Relu6,
            other => panic!("activation {other}"),
        }
    }

    /// The convolution in front of a batch normalisation; there is always one, here of a weight of 1 for each channel.
    fn identity(&self) -> (Tensor, Conv2dParams) {
        let (x, c) = (&self.tensors["x"], self.tensors["x"].dim(1).unwrap());
        let weight = Tensor::ones((c, 1, 1, 1), x.dtype(), &Device::Cpu).unwrap();
        let params = Conv2dParams {
            groups: c,
            ..Default::default()
        };
        (weight, params)
    }

    /// Forward and backward, each result beside the golden one.
    fn run(&self) -> candle_core::Result<Distances> {
        let leaves: HashMap<&str, Var> = ["x", "w", "b", "gamma", "beta"]
            .into_iter()
            .filter_map(|k| Some((k, Var::from_tensor(self.tensors.get(k)?).unwrap())))
            .collect();
        let leaf = |k: &str| leaves[k].as_tensor().clone();
        let mut off = Distances::new();
        let y = match self.op() {
            "conv2d" => {
                let bias = leaves.get("b").map(|b| b.as_tensor());
                let params = self.params();
                conv2d(
                    Tape::new,
                    &leaf("x"),
                    &leaf("w"),
                    bias,
                    params,
                    Activation::Identity,
                )?
            }
            "batch_norm" | "conv_batch_norm" => {
                let (mean, var) = (&self.tensors["mean"], &self.tensors["var"]);
                let (gamma, beta) = (leaf("gamma"), leaf("beta"));
                let norm = Norm {
                    gamma: &gamma,
                    beta: &beta,
                    eps: self.parameters["eps"].as_f64().unwrap(),
                    statistics: if self.is_train() {
                        Statistics::Batch
                    } else {
                        Statistics::Fixed {
                            mean: mean.clone(),
                            var: var.clone(),
                        }
                    },
                };
                let (weight, params) = if self.op() == "batch_norm" {
                    self.identity()
                } else {
                    (leaf("w"), self.params())
                };
                let (y, moments) = conv2d_norm_act(
                    Tape::new,
                    &leaf("x"),
                    &weight,
                    params,
                    &norm,
                    self.activation(),
                )?;
                if self.is_train() {
                    let momentum = self.parameters["momentum"].as_f64().unwrap();
                    let unbiased = moments.count / (moments.count - 1.0);
                    for (key, before, found, factor) in [
                        ("mean_after", mean, &moments.mean, 1.0),
                        ("var_after", var, &moments.var, unbiased),
                    ] {
                        let found = Tensor::new(found.as_slice(), &Device::Cpu)?;
                        let after = ((before.to_dtype(DType::F64)? * (1.0 - momentum))?
                            + (found * (momentum * factor))?)?;
                        off.push((key.into(), difference(&after, &self.tensors[key])));
                    }
                } else {
                    assert_eq!(moments, Default::default(), "{}", self.name);
                }
                y
            }
            "global_avg_pool" => global_avg_pool(Tape::new, &leaf("x"))?,
            "linear" => {
                let bias = leaves.get("b").map(|b| b.as_tensor());
                linear(&leaf("x"), &leaf("w"), bias)?
            }
            other => panic!("{}: operator {other}", self.name),
        };
        off.push(("y".into(), difference(&y, &self.tensors["y"])));
        let grads = (y * &self.tensors["grad"])?.sum_all()?.backward()?;
        for (k, var) in &leaves {
            let key = format!("d{k}");
            let error = grads
                .get(var.as_tensor())
                .map_or(f64::INFINITY, |g| difference(g, &self.tensors[&key]));
            off.push((key, error));
        }
        Ok(off)
    }
}

/// Runs all cases; panics with every result that is further off than `tolerance`.
fn all_within(dtype: DType, tolerance: f64) {
    let (mut failed, mut compared) = (Vec::new(), 0);
    let mut worst: HashMap<String, (f64, String)> = HashMap::new();
    let cases = cases(dtype);
    assert_eq!(cases.len(), 44);
    for case in &cases {
        match case.run() {
            Err(e) => failed.push(format!("{}: {e}", case.name)),
            Ok(off) => {
                for (tensor, error) in off {
                    compared += 1;
                    if error.is_nan() || error > tolerance {
                        failed.push(format!("{}.{tensor}: {error:.1e}", case.name));
                    }
                    let entry = worst.entry(case.op().into()).or_default();
                    if error >= entry.0 {
                        *entry = (error, format!("{}.{tensor}", case.name));
                    }
                }
            }
        }
    }
    println!("{dtype:?}, {compared} tensors; worst {worst:?}");
    assert!(
        failed.is_empty(),
        "{} of {compared}: {failed:#?}",
        failed.len()
    );
    // Every tensor of the file was an argument or was compared with.
    let arguments = ["x", "w", "b", "gamma", "beta", "mean", "var", "grad"];
    let expected: usize = cases
        .iter()
        .flat_map(|c| c.tensors.keys())
        .filter(|k| !arguments.contains(&k.as_str()))
        .count();
    assert_eq!(compared, expected);
}

#[test]
fn every_operator_has_the_values_and_gradients_of_pytorch_in_f64() {
    all_within(DType::F64, 1e-11);
}

#[test]
fn every_operator_has_the_values_and_gradients_of_pytorch_in_f32() {
    all_within(DType::F32, 1e-4);
}

#[test]
fn operators_without_a_variable_give_what_they_give_with_one() {
    let mut failed = Vec::new();
    for case in cases(DType::F64) {
        let t = &case.tensors;
        let y = match case.op() {
            "conv2d" => conv2d(
                Tape::new,
                &t["x"],
                &t["w"],
                t.get("b"),
                case.params(),
                Activation::Identity,
            ),
            "batch_norm" | "conv_batch_norm" if !case.is_train() => {
                let norm = Norm {
                    gamma: &t["gamma"],
                    beta: &t["beta"],
                    eps: case.parameters["eps"].as_f64().unwrap(),
                    statistics: Statistics::Fixed {
                        mean: t["mean"].clone(),
                        var: t["var"].clone(),
                    },
                };
                let (weight, params) = if case.op() == "batch_norm" {
                    case.identity()
                } else {
                    (t["w"].clone(), case.params())
                };
                conv2d_norm_act(
                    Tape::new,
                    &t["x"],
                    &weight,
                    params,
                    &norm,
                    case.activation(),
                )
                .map(|r| r.0)
            }
            _ => continue,
        };
        let error = difference(&y.unwrap(), &t["y"]);
        if error.is_nan() || error > 1e-11 {
            failed.push(format!("{}: {error:.1e}", case.name));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
