//! The layer of convolution, batch normalisation and activation, on PyTorch's cases of the operators.

use crate::common::differences::difference;
use crate::common::golden::{json, tensors};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use hydranet::layers::{BatchNormMode, ConvNormAct, ConvNormActConfig, Mode, Padding};
use hydranet::tape::{Activation, Tape};
use std::collections::HashMap;

/// The layer alone on a tape.
fn run(layer: &ConvNormAct, x: &Tensor, mode: Mode) -> Tensor {
    let (mut tape, x) = Tape::new(x).unwrap();
    let y = layer.forward(&mut tape, &x, mode).unwrap();
    tape.finish(&y).unwrap()
}

#[test]
fn a_layer_in_training_moves_its_running_statistics_as_pytorch() {
    let (index, all) = (json("ops.json"), tensors("ops.safetensors"));
    let (mut failed, mut count) = (Vec::new(), 0);
    for (name, case) in index.as_object().unwrap() {
        if !all.contains_key(&format!("{name}.mean_after")) {
            continue;
        }
        count += 1;
        for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
            let get = |key: &str| all[&format!("{name}.{key}")].to_dtype(dtype).unwrap();
            let number = |key: &str| case[key].as_u64().unwrap() as usize;
            let (x, alone) = (get("x"), case["op"] == "batch_norm");
            let channels = x.dim(1).unwrap();
            // There is always a convolution, here of a weight of 1 for each channel.
            let (weight, stride, groups) = if alone {
                let ones = Tensor::ones((channels, 1, 1, 1), dtype, &Device::Cpu);
                (ones.unwrap(), 1, channels)
            } else {
                (get("w"), number("stride"), number("groups"))
            };
            let activation = match case["activation"].as_str().unwrap() {
                "none" => Activation::Identity,
                "relu" => Activation::Relu,
                "relu6" => Activation::Relu6,
                other => panic!("activation {other}"),
            };
            let config = ConvNormActConfig {
                inputs: channels,
                outputs: weight.dim(0).unwrap(),
                kernel: weight.dim(2).unwrap(),
                stride,
                groups,
                padding: Padding::Same,
                activation,
                eps: case["eps"].as_f64().unwrap(),
                momentum: case["momentum"].as_f64().unwrap(),
            };
            let var = |t: &Tensor| Var::from_tensor(t).unwrap().as_tensor().clone();
            let (mean, variance) = (get("mean").copy().unwrap(), get("var").copy().unwrap());
            let tensors = HashMap::from([
                ("conv.weight".to_string(), var(&weight)),
                ("norm.weight".to_string(), var(&get("gamma"))),
                ("norm.bias".to_string(), var(&get("beta"))),
                ("norm.running_mean".to_string(), mean.clone()),
                ("norm.running_var".to_string(), variance.clone()),
            ]);
            let vb = VarBuilder::from_tensors(tensors, dtype, &Device::Cpu);
            let layer = ConvNormAct::new(config, vb.pp("conv"), vb.pp("norm")).unwrap();
            let train = |batch_norm| Mode::Train { batch_norm, key: 0 };
            for still in [Mode::Eval, train(BatchNormMode::Frozen)] {
                run(&layer, &x, still);
                if difference(&mean, &get("mean")) + difference(&variance, &get("var")) > 0.0 {
                    failed.push(format!("{name} {dtype:?}: moved in {still:?}"));
                }
            }
            let y = run(&layer, &x, train(BatchNormMode::Train));
            for (key, ours) in [("y", &y), ("mean_after", &mean), ("var_after", &variance)] {
                let error = difference(ours, &get(key));
                if error.is_nan() || error > tolerance {
                    failed.push(format!("{name}.{key} {dtype:?}: {error:.1e}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(count, 8);
}
