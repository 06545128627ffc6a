//! Steps of a tape over maps against PyTorch's values and gradients: gates and squeeze-and-excitation
//! (`tests/golden/make_maps.py` made the cases).

use crate::common::differences::{difference, flat, gradients, values};
use crate::common::{golden, on_tape};
use candle_core::{DType, Result, Tensor};
use hydranet::tape::{Activation, AvgPool2dParams, Conv2dParams, Tape};
use serde_json::Value;

/// A tape has one input; another map is made of it by a convolution that gives nothing, and the map's values as the bias: those
/// of one image at a time.
fn scaled(x: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let channels = x.dim(1)?;
    let images = (0..x.dim(0)?).map(|i| {
        let gate = gate.get(i)?.flatten_all()?;
        on_tape::run(Tape::new, &x.get(i)?.unsqueeze(0)?, |tape, x| {
            let none = Tensor::zeros((channels, channels, 1, 1), gate.dtype(), gate.device())?;
            let mean = tape.global_avg_pool(&x)?;
            let p = Conv2dParams::default();
            let gate = tape.conv(&mean, &none, Some(&gate), p, Activation::Identity)?;
            tape.scale_channels(x, &gate)
        })
    });
    Tensor::cat(&images.collect::<Result<Vec<_>>>()?, 0)
}

fn gate(parameters: &Value) -> Activation {
    match parameters["function"].as_str().unwrap() {
        "sigmoid" => Activation::Sigmoid,
        "hard_sigmoid" => Activation::HardSigmoid,
        other => panic!("function {other}"),
    }
}

fn run(parameters: &Value, a: &[Tensor]) -> Result<Tensor> {
    match parameters["op"].as_str().unwrap() {
        "activation" => on_tape::run(Tape::new, &a[0], |tape, x| {
            tape.activation(&x, gate(parameters))
        }),
        "scale_channels" => scaled(&a[0], &a[1]),
        "squeeze_excite" => on_tape::run(Tape::new, &a[0], |tape, x| {
            let p = Conv2dParams::default();
            let mean = tape.global_avg_pool(&x)?;
            let s = tape.conv(&mean, &a[1], Some(&a[2]), p, Activation::Relu)?;
            let s = tape.conv(&s, &a[3], Some(&a[4]), p, gate(parameters))?;
            tape.scale_channels(x, &s)
        }),
        other => panic!("operator {other}"),
    }
}

#[test]
fn gates_agree_with_pytorch_in_f64() {
    golden::all_within("maps", 12, DType::F64, 1e-12, run);
}

#[test]
fn gates_agree_with_pytorch_in_f32() {
    golden::all_within("maps", 12, DType::F32, 1e-5, run);
}

/// Squeeze-and-excitation and pooling over more values than a task works on at once.
fn large(x: &Tensor) -> Result<Tensor> {
    on_tape::run(Tape::new, x, |tape, x| {
        let x = tape.activation(&x, Activation::Silu)?;
        let mean = tape.global_avg_pool(&x)?;
        let gate = tape.activation(&mean, Activation::HardSigmoid)?;
        let y = tape.scale_channels(x, &gate)?;
        tape.avg_pool(&y, AvgPool2dParams::new(2, 2))
    })
}

#[test]
fn large_maps_are_cut_into_pieces_that_fit() {
    let x = values(&[2, 7, 62, 54], 3);
    let y = x.silu().unwrap();
    let mean = y.mean_keepdim((2, 3)).unwrap();
    let gate = ((mean + 3.0).unwrap() / 6.0).unwrap();
    let y = y.broadcast_mul(&gate).unwrap();
    let windows = y.reshape((2 * 7, 31, 2, 27, 2)).unwrap();
    let pooled = windows.mean((2, 4)).unwrap();
    let expected = pooled.reshape((2, 7, 31, 27)).unwrap();
    assert!(difference(&large(&x).unwrap(), &expected) < 1e-14);
    // And with history, where no memory is used again.
    let (tracked, d) = gradients(&[x], None, &|a| large(&a[0])).unwrap();
    assert!(difference(&tracked, &expected) < 1e-14);
    assert!(flat(&d[0]).iter().all(|v| v.is_finite()));
}

#[test]
fn results_have_the_same_bytes_for_any_number_of_threads() {
    let x = values(&[2, 7, 62, 54], 4).to_dtype(DType::F32).unwrap();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let (y, d) = gradients(std::slice::from_ref(&x), None, &|a| large(&a[0])).unwrap();
            (flat(&y), flat(&d[0]))
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn a_map_that_is_still_held_keeps_its_values_when_it_is_scaled() {
    let x = values(&[1, 3, 2, 2], 5);
    for shared in [false, true] {
        let (mut tape, map) = Tape::new(&x).unwrap();
        let mean = tape.global_avg_pool(&map).unwrap();
        // An activation's map has the values of the one before.
        let held = if shared {
            tape.activation(&map, Activation::Relu).unwrap()
        } else {
            map.clone()
        };
        let y = tape.scale_channels(map, &mean).unwrap();
        let mean = x.mean_keepdim((2, 3)).unwrap();
        let expected = x.broadcast_mul(&mean).unwrap();
        assert!(difference(&tape.tensor(&y).unwrap(), &expected) < 1e-14);
        let before = if shared {
            x.clamp(0.0, f64::INFINITY).unwrap()
        } else {
            x.clone()
        };
        assert_eq!(flat(&tape.tensor(&held).unwrap()), flat(&before));
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let x = values(&[2, 3, 4, 5], 6);
    let (mut tape, map) = Tape::new(&x).unwrap();
    let mean = tape.global_avg_pool(&map).unwrap();
    let error = tape.scale_channels(mean.clone(), &map).unwrap_err();
    assert!(error.to_string().contains("needs factors"), "{error}");
    assert!(tape.scale_channels(map.clone(), &mean).is_ok());
    assert!(tape.avg_pool(&map, AvgPool2dParams::new(5, 1)).is_err());
    assert!(tape.avg_pool(&map, AvgPool2dParams::new(0, 1)).is_err());
    assert!(tape.avg_pool(&map, AvgPool2dParams::new(2, 2)).is_ok());
}
