//! Pooling on a tape and resized position embeddings against PyTorch and timm (`tests/golden/make_pools.py` made the cases),
//! central differences and definitions: the CPU's kernels, and the compositions that stand in for them on other devices.

use crate::common::differences::{difference, flat, gradient_error, gradients, values};
use crate::common::golden;
use crate::common::on_tape::{STARTS, Start, avg_pool2d, max_pool2d};
use candle_core::{DType, Result, Tensor, Var};
use hydranet::tape::{AvgPool2dParams, Tape, resample_pos_embed};
use proptest::prelude::*;
use serde_json::Value;

/// Cases of the file.
const CASES: usize = 50;

fn pair(parameters: &Value, key: &str) -> (usize, usize) {
    serde_json::from_value(parameters[key].clone()).unwrap()
}

fn flag(parameters: &Value, key: &str) -> bool {
    parameters[key].as_bool().unwrap()
}

/// The case's operator on `x`.
fn run(parameters: &Value, x: &Tensor, start: Start) -> Result<Tensor> {
    let pair = |key| pair(parameters, key);
    match parameters["op"].as_str().unwrap() {
        "max_pool2d" => {
            let [kernel, stride, padding] = ["kernel", "stride", "padding"].map(pair);
            assert!([kernel, stride, padding].iter().all(|p| p.0 == p.1));
            max_pool2d(start, x, [kernel.0, stride.0, padding.0])
        }
        "avg_pool2d" => {
            let params = AvgPool2dParams {
                kernel: pair("kernel"),
                stride: pair("stride"),
                padding: pair("padding"),
                ceil_mode: flag(parameters, "ceil"),
                count_include_pad: flag(parameters, "include"),
            };
            avg_pool2d(start, x, params)
        }
        "resample_pos_embed" => {
            let prefix = parameters["prefix"].as_u64().unwrap() as usize;
            resample_pos_embed(x, prefix, pair("from"), pair("to"))
        }
        // Planes are tokens without a prefix.
        "interpolate" => {
            let (batch, c, h, w) = x.dims4()?;
            let size = pair("size");
            let tokens = x.flatten_from(2)?.transpose(1, 2)?;
            let y = resample_pos_embed(&tokens, 0, (h, w), size)?;
            y.transpose(1, 2)?.reshape((batch, c, size.0, size.1))
        }
        other => panic!("operator {other}"),
    }
}

/// Values and gradients of all cases, `x` as it is and as a transposed view.
fn all_within(dtype: DType, tolerance: f64) {
    let tensors = golden::tensors("pools.safetensors");
    let Value::Object(index) = golden::json("pools.json") else {
        panic!("pools.json is no object")
    };
    assert_eq!(index.len(), CASES);
    let (mut failed, mut compared, mut worst) = (Vec::new(), 0, 0f64);
    for (name, parameters) in &index {
        let tensor = |key: &str| tensors[&format!("{name}.{key}")].to_dtype(dtype).unwrap();
        let (x, grad) = (tensor("x"), tensor("grad"));
        let last = x.rank() - 1;
        // timm resizes in f32.
        let tolerance = if name.starts_with("pos_embed") {
            1e-6f64.max(tolerance)
        } else {
            tolerance
        };
        for (way, start) in STARTS {
            for turned in [false, true] {
                let turn = |t: &Tensor| {
                    if turned {
                        t.transpose(last - 1, last)
                    } else {
                        Ok(t.clone())
                    }
                };
                let leaf = turn(&x).unwrap().contiguous().unwrap();
                let found = gradients(&[leaf], Some(&grad), &|a| {
                    run(parameters, &turn(&a[0])?, start)
                });
                let what = format!("{name} {dtype:?} {way} turned {turned}");
                match found {
                    Err(e) => failed.push(format!("{what}: {e}")),
                    Ok((y, grads)) => {
                        let dx = turn(&grads[0]).unwrap();
                        for (key, found) in [("y", y), ("dx", dx)] {
                            compared += 1;
                            let error = difference(&found, &tensor(key));
                            worst = worst.max(error);
                            if error.is_nan() || error > tolerance {
                                failed.push(format!("{what} {key}: {error:.1e}"));
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{dtype:?}: {compared} compared, worst {worst:.1e}");
    assert!(
        failed.is_empty(),
        "{} of {compared}: {failed:#?}",
        failed.len()
    );
    assert_eq!(compared, 8 * CASES);
}

#[test]
fn pooling_and_resizing_have_the_values_and_gradients_of_pytorch_in_f64() {
    all_within(DType::F64, 1e-13);
}

#[test]
fn pooling_and_resizing_have_the_values_and_gradients_of_pytorch_in_f32() {
    all_within(DType::F32, 2e-6);
}

#[test]
fn pooling_and_resizing_have_the_gradients_of_central_differences_when_a_tensor_is_used_twice() {
    let avg = AvgPool2dParams::new(3, 1).padding(1);
    let mut failed = Vec::new();
    let mut check = |name: String, x: &Tensor, f: &dyn Fn(&Tensor) -> Result<Tensor>| {
        for (use_of, error) in [
            (
                "x + f(x)",
                gradient_error(std::slice::from_ref(x), &|a| &a[0] + f(&a[0])?),
            ),
            (
                "f(x)·x",
                gradient_error(std::slice::from_ref(x), &|a| f(&a[0])? * &a[0]),
            ),
            (
                "f(f(x))",
                gradient_error(std::slice::from_ref(x), &|a| f(&f(&a[0])?)),
            ),
        ] {
            let error = error.unwrap();
            if error.is_nan() || error > 1e-7 {
                failed.push(format!("{name}, {use_of}: {error:e}"));
            }
        }
    };
    let x = values(&[2, 2, 5, 4], 1);
    for (way, start) in STARTS {
        check(format!("max_pool2d by {way}"), &x, &|x| {
            max_pool2d(start, x, [3, 1, 1])
        });
        check(format!("avg_pool2d by {way}"), &x, &|x| {
            avg_pool2d(start, x, avg)
        });
    }
    check("resample_pos_embed".into(), &values(&[1, 7, 3], 2), &|x| {
        let wide = resample_pos_embed(x, 1, (2, 3), (4, 4))?;
        resample_pos_embed(&wide, 1, (4, 4), (2, 3))
    });
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_same_grid_keeps_the_position_embedding_and_prefix_tokens_are_never_touched() {
    let x = values(&[1, 3 + 12, 5], 1);
    let same = resample_pos_embed(&x, 3, (3, 4), (3, 4)).unwrap();
    assert_eq!(flat(&same), flat(&x));
    let other = resample_pos_embed(&x, 3, (3, 4), (5, 5)).unwrap();
    assert_eq!(other.dims(), [1, 28, 5]);
    assert_eq!(flat(&other)[..15], flat(&x)[..15]);
}

#[test]
fn a_constant_grid_stays_constant() {
    let x = Tensor::full(3.5f64, (1, 35, 2), &candle_core::Device::Cpu).unwrap();
    for size in [(1, 1), (3, 9), (5, 7), (16, 2)] {
        let y = resample_pos_embed(&x, 0, (5, 7), size).unwrap();
        assert!(flat(&y).iter().all(|v| (v - 3.5).abs() < 1e-14), "{size:?}");
    }
}

#[test]
fn what_is_no_variable_gets_no_gradient() {
    let x = values(&[1, 2, 4, 4], 1);
    let w = Var::from_tensor(&values(&[1, 2, 2, 2], 2)).unwrap();
    for (_, start) in STARTS {
        let y = max_pool2d(start, &x, [2, 2, 0]).unwrap();
        let z = avg_pool2d(start, &x, AvgPool2dParams::new(2, 2)).unwrap();
        let loss = ((y + z).unwrap() * w.as_tensor()).unwrap();
        let grads = loss.sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&x).is_none());
        assert!(grads.get(w.as_tensor()).is_some());
    }
}

#[test]
fn shapes_and_settings_that_do_not_fit_are_errors_not_panics() {
    let x = values(&[1, 2, 4, 5], 1);
    let avg = AvgPool2dParams::new(2, 2);
    let flat_x = values(&[2, 4, 5], 1);
    let empty = Tensor::zeros((1, 2, 0, 5), DType::F64, x.device()).unwrap();
    for (way, start) in STARTS {
        for (what, x, p) in [
            ("rank", &flat_x, [2, 2, 0]),
            ("empty", &empty, [2, 2, 0]),
            ("kernel 0", &x, [0, 2, 0]),
            ("stride 0", &x, [2, 0, 0]),
            ("padding", &x, [2, 2, 2]),
            ("kernel", &x, [5, 2, 0]),
            ("kernel of more than 255 values", &x, [16, 2, 8]),
        ] {
            assert!(max_pool2d(start, x, p).is_err(), "{way} {what}");
        }
        let kernel = |kernel| AvgPool2dParams { kernel, ..avg };
        let stride = AvgPool2dParams {
            stride: (2, 0),
            ..avg
        };
        let padding = AvgPool2dParams {
            padding: (0, 2),
            ..avg
        };
        for (what, x, p) in [
            ("rank", &flat_x, avg),
            ("empty", &empty, avg),
            ("kernel 0", &x, kernel((2, 0))),
            ("stride 0", &x, stride),
            ("padding", &x, padding),
            ("kernel", &x, kernel((2, 6))),
        ] {
            assert!(avg_pool2d(start, x, p).is_err(), "{way} {what}");
        }
    }
    let integers = x.to_dtype(DType::U8).unwrap();
    assert!(max_pool2d(Tape::new, &integers, [2, 2, 0]).is_err());
    let resample = |shape: &[usize], from, to| resample_pos_embed(&values(shape, 1), 1, from, to);
    assert!(resample(&[1, 10, 2], (2, 4), (3, 3)).is_err());
    assert!(resample(&[10, 2], (3, 3), (2, 2)).is_err());
    assert!(resample(&[1, 10, 2], (3, 3), (0, 2)).is_err());
}

#[test]
fn results_have_the_same_bytes_for_any_number_of_threads() {
    let x = values(&[3, 5, 17, 19], 1).to_dtype(DType::F32).unwrap();
    let tokens = values(&[1, 323, 64], 2).to_dtype(DType::F32).unwrap();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (y, grads) = gradients(&[x.clone(), tokens.clone()], None, &|a| {
                let y = max_pool2d(Tape::new, &a[0], [3, 2, 1])?;
                let z = avg_pool2d(Tape::new, &a[0], AvgPool2dParams::new(3, 2).padding(1))?;
                let u = resample_pos_embed(&a[1], 0, (17, 19), (9, 10))?;
                Tensor::cat(&[(y * z)?.flatten_all()?, u.flatten_all()?], 0)
            })
            .unwrap();
            (flat(&y), flat(&grads[0]), flat(&grads[1]))
        })
    };
    assert_eq!(run(1), run(3));
}

/// A pooling by its definition: each window gives its values inside the input (row, column) and how many places it counts.
fn naive(
    x: &Tensor,
    p: AvgPool2dParams,
    pool: impl Fn(&[f64], (usize, usize)) -> f64,
) -> Option<Tensor> {
    let (n, c, h, w) = x.dims4().unwrap();
    let out = |len: usize, k: usize, s: usize, pad: usize| -> Option<usize> {
        let room = (len + 2 * pad) as i64 - k as i64;
        let room = room + if p.ceil_mode { s as i64 - 1 } else { 0 };
        let mut out = room.div_euclid(s as i64) + 1;
        if p.ceil_mode && (out - 1) * s as i64 >= (len + pad) as i64 {
            out -= 1;
        }
        (out > 0).then_some(out as usize)
    };
    let oh = out(h, p.kernel.0, p.stride.0, p.padding.0)?;
    let ow = out(w, p.kernel.1, p.stride.1, p.padding.1)?;
    let x = flat(x);
    let mut y = Vec::new();
    for plane in 0..n * c {
        for o in 0..oh * ow {
            let (mut inside, mut padded) = (Vec::new(), 0);
            for k in 0..p.kernel.0 * p.kernel.1 {
                let row = (o / ow * p.stride.0 + k / p.kernel.1) as i64 - p.padding.0 as i64;
                let col = (o % ow * p.stride.1 + k % p.kernel.1) as i64 - p.padding.1 as i64;
                if row < (h + p.padding.0) as i64 && col < (w + p.padding.1) as i64 {
                    padded += 1;
                }
                if (0..h as i64).contains(&row) && (0..w as i64).contains(&col) {
                    inside.push(x[plane * h * w + row as usize * w + col as usize]);
                }
            }
            y.push(pool(&inside, (inside.len(), padded)));
        }
    }
    Some(Tensor::from_vec(y, (n, c, oh, ow), &candle_core::Device::Cpu).unwrap())
}

/// Σ y·weights = Σ x·dx, as holds for everything linear, and for a choice among values.
fn is_adjoint(x: &Tensor, f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> bool {
    let (y, grads) = gradients(std::slice::from_ref(x), None, f).unwrap();
    let weights = values(y.dims(), 99);
    let product =
        |a: &Tensor, b: &Tensor| -> f64 { flat(a).iter().zip(flat(b)).map(|(a, b)| a * b).sum() };
    (product(&y, &weights) - product(x, &grads[0])).abs() < 1e-10
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn pooling_agrees_with_its_definition(
        shape in (1usize..3, 1usize..4, 1usize..20, 1usize..40), kernel in (1usize..5, 1usize..5), stride in (1usize..5, 1usize..5),
        padding in (0usize..3, 0usize..3), ceil_mode: bool, count_include_pad: bool,
    ) {
        let x = values(&[shape.0, shape.1, shape.2, shape.3], 1);
        let padding = (padding.0.min(kernel.0 / 2), padding.1.min(kernel.1 / 2));
        let avg = AvgPool2dParams { kernel, stride, padding, ceil_mode, count_include_pad };
        let square = |p: (usize, usize)| (p.0, p.0);
        let max = AvgPool2dParams {
            kernel: square(kernel), stride: square(stride), padding: square(padding), ceil_mode: false, count_include_pad,
        };
        let mean = |v: &[f64], (inside, padded): (usize, usize)| {
            v.iter().sum::<f64>() / if count_include_pad { padded } else { inside } as f64
        };
        for (_, start) in STARTS {
            let found = max_pool2d(start, &x, [kernel.0, stride.0, padding.0]);
            match naive(&x, max, |v, _| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)) {
                None => prop_assert!(found.is_err()),
                Some(expected) => {
                    prop_assert_eq!(flat(&found.unwrap()), flat(&expected));
                    let f = |a: &[Tensor]| max_pool2d(start, &a[0], [kernel.0, stride.0, padding.0]);
                    prop_assert!(is_adjoint(&x, &f));
                }
            }
            match naive(&x, avg, mean) {
                None => prop_assert!(avg_pool2d(start, &x, avg).is_err()),
                Some(expected) => {
                    prop_assert!(difference(&avg_pool2d(start, &x, avg).unwrap(), &expected) < 1e-14);
                    prop_assert!(is_adjoint(&x, &|a| avg_pool2d(start, &a[0], avg)));
                }
            }
        }
    }

    #[test]
    fn resizing_is_linear_and_its_backward_the_transpose(
        shape in (1usize..3, 1usize..14, 1usize..30), size in (1usize..20, 1usize..25),
    ) {
        let (width, h, w) = shape;
        let x = values(&[1, h * w, width], 1);
        prop_assert!(is_adjoint(&x, &|a| resample_pos_embed(&a[0], 0, (h, w), size)));
    }
}
