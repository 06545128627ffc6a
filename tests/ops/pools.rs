//! Pooling, resizing and position embeddings against PyTorch and timm (`tests/golden/make_pools.py` made the cases), central
//! differences and definitions: the CPU's kernels, and the compositions that stand in for them on other devices.

use crate::common::differences::{difference, flat, gradient_error, gradients, values};
use crate::common::golden;
use candle_core::{DType, Result, Tensor, Var};
use hydranet::ops::{
    self, AvgPool2dParams, MaxPool2dParams, ResizeFilter, avg_pool2d, fallback, interpolate,
    max_pool2d, resample_pos_embed,
};
use proptest::prelude::*;
use serde_json::Value;

const FILTERS: [ResizeFilter; 2] = [ResizeFilter::Bilinear, ResizeFilter::Bicubic];

fn pair(parameters: &Value, key: &str) -> (usize, usize) {
    serde_json::from_value(parameters[key].clone()).unwrap()
}

fn flag(parameters: &Value, key: &str) -> bool {
    parameters[key].as_bool().unwrap()
}

/// The case's operator on `x`, by the CPU's kernel or by the composition; `None` if there is no composition of its own.
fn run(parameters: &Value, x: &Tensor, kernel: bool) -> Option<Result<Tensor>> {
    let pair = |key| pair(parameters, key);
    Some(match parameters["op"].as_str().unwrap() {
        "max_pool2d" => {
            let params = MaxPool2dParams {
                kernel: pair("kernel"),
                stride: pair("stride"),
                padding: pair("padding"),
                dilation: pair("dilation"),
                ceil_mode: flag(parameters, "ceil"),
            };
            if kernel {
                max_pool2d(x, params)
            } else {
                fallback::max_pool2d(x, params)
            }
        }
        "avg_pool2d" => {
            let params = AvgPool2dParams {
                kernel: pair("kernel"),
                stride: pair("stride"),
                padding: pair("padding"),
                ceil_mode: flag(parameters, "ceil"),
                count_include_pad: flag(parameters, "include"),
            };
            if kernel {
                avg_pool2d(x, params)
            } else {
                fallback::avg_pool2d(x, params)
            }
        }
        "interpolate" => {
            let filter = match parameters["mode"].as_str().unwrap() {
                "bilinear" => ResizeFilter::Bilinear,
                "bicubic" => ResizeFilter::Bicubic,
                other => panic!("mode {other}"),
            };
            let (size, antialias) = (pair("size"), flag(parameters, "antialias"));
            if kernel {
                interpolate(x, size, filter, antialias)
            } else {
                fallback::interpolate(x, size, filter, antialias)
            }
        }
        "resample_pos_embed" if kernel => {
            let prefix = parameters["prefix"].as_u64().unwrap() as usize;
            resample_pos_embed(x, prefix, pair("from"), pair("to"))
        }
        "resample_pos_embed" => return None,
        other => panic!("operator {other}"),
    })
}

/// Values and gradients of all cases, `x` as it is and as a transposed view.
fn all_within(dtype: DType, tolerance: f64) {
    let tensors = golden::tensors("pools.safetensors");
    let Value::Object(index) = golden::json("pools.json") else {
        panic!("pools.json is no object")
    };
    assert_eq!(index.len(), 92);
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
        for kernel in [true, false] {
            for turned in [false, true] {
                let turn = |t: &Tensor| {
                    if turned {
                        t.transpose(last - 1, last)
                    } else {
                        Ok(t.clone())
                    }
                };
                let leaf = turn(&x).unwrap().contiguous().unwrap();
                if run(parameters, &x, kernel).is_none() {
                    continue;
                }
                let found = gradients(&[leaf], Some(&grad), &|a| {
                    run(parameters, &turn(&a[0])?, kernel).unwrap()
                });
                let what = format!("{name} {dtype:?} kernel {kernel} turned {turned}");
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
    assert_eq!(compared, 4 * (2 * 92 - 8));
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
    let max = MaxPool2dParams::new(3, 1).padding(1);
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
    check("max_pool2d".into(), &x, &|x| max_pool2d(x, max));
    check("avg_pool2d".into(), &x, &|x| avg_pool2d(x, avg));
    for filter in FILTERS {
        for antialias in [false, true] {
            check(
                format!("interpolate {filter:?} antialias {antialias}"),
                &x,
                &|x| {
                    let wide = interpolate(x, (7, 3), filter, antialias)?;
                    interpolate(&wide, (5, 4), filter, antialias)
                },
            );
        }
    }
    check("resample_pos_embed".into(), &values(&[1, 7, 3], 2), &|x| {
        resample_pos_embed(
            &resample_pos_embed(x, 1, (2, 3), (4, 4))?,
            1,
            (4, 4),
            (2, 3),
        )
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
fn a_constant_plane_stays_constant_under_every_filter() {
    let x = Tensor::full(3.5f64, (1, 2, 5, 7), &candle_core::Device::Cpu).unwrap();
    for filter in FILTERS {
        for antialias in [false, true] {
            for size in [(1, 1), (3, 9), (5, 7), (16, 2)] {
                let y = interpolate(&x, size, filter, antialias).unwrap();
                assert!(
                    flat(&y).iter().all(|v| (v - 3.5).abs() < 1e-14),
                    "{filter:?} {antialias} {size:?}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_variable_gets_no_gradient() {
    let x = values(&[1, 2, 4, 4], 1);
    let w = Var::from_tensor(&values(&[1, 2, 2, 2], 2)).unwrap();
    let y = max_pool2d(&x, MaxPool2dParams::new(2, 2)).unwrap();
    let z = avg_pool2d(&x, AvgPool2dParams::new(2, 2)).unwrap();
    let u = interpolate(&x, (2, 2), ResizeFilter::Bilinear, true).unwrap();
    let loss = (((y + z).unwrap() + u).unwrap() * w.as_tensor()).unwrap();
    let grads = loss.sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_none());
    assert!(grads.get(w.as_tensor()).is_some());
}

#[test]
fn shapes_and_settings_that_do_not_fit_are_errors_not_panics() {
    let x = values(&[1, 2, 4, 5], 1);
    let max = MaxPool2dParams::new(2, 2);
    let avg = AvgPool2dParams::new(2, 2);
    type Both = [Result<Tensor>; 2];
    let max_of = |x: &Tensor, p| -> Both { [max_pool2d(x, p), fallback::max_pool2d(x, p)] };
    let avg_of = |x: &Tensor, p| -> Both { [avg_pool2d(x, p), fallback::avg_pool2d(x, p)] };
    let resize = |x: &Tensor, size| -> Both {
        let filter = ResizeFilter::Bicubic;
        [
            interpolate(x, size, filter, true),
            fallback::interpolate(x, size, filter, false),
        ]
    };
    let flat_x = values(&[2, 4, 5], 1);
    let empty = Tensor::zeros((1, 2, 0, 5), DType::F64, x.device()).unwrap();
    let tries: Vec<(&str, Both)> = vec![
        ("rank", max_of(&flat_x, max)),
        ("rank", avg_of(&flat_x, avg)),
        ("rank", resize(&flat_x, (2, 2))),
        ("empty", max_of(&empty, max)),
        ("empty", avg_of(&empty, avg)),
        ("empty", resize(&empty, (2, 2))),
        (
            "kernel 0",
            max_of(
                &x,
                MaxPool2dParams {
                    kernel: (0, 2),
                    ..max
                },
            ),
        ),
        (
            "kernel 0",
            avg_of(
                &x,
                AvgPool2dParams {
                    kernel: (2, 0),
                    ..avg
                },
            ),
        ),
        (
            "stride 0",
            max_of(
                &x,
                MaxPool2dParams {
                    stride: (0, 2),
                    ..max
                },
            ),
        ),
        (
            "stride 0",
            avg_of(
                &x,
                AvgPool2dParams {
                    stride: (2, 0),
                    ..avg
                },
            ),
        ),
        (
            "dilation 0",
            max_of(
                &x,
                MaxPool2dParams {
                    dilation: (1, 0),
                    ..max
                },
            ),
        ),
        (
            "padding",
            max_of(
                &x,
                MaxPool2dParams {
                    padding: (2, 0),
                    ..max
                },
            ),
        ),
        (
            "padding",
            avg_of(
                &x,
                AvgPool2dParams {
                    padding: (0, 2),
                    ..avg
                },
            ),
        ),
        (
            "kernel",
            max_of(
                &x,
                MaxPool2dParams {
                    kernel: (5, 2),
                    ..max
                },
            ),
        ),
        (
            "kernel",
            avg_of(
                &x,
                AvgPool2dParams {
                    kernel: (2, 6),
                    ..avg
                },
            ),
        ),
        (
            "span",
            max_of(
                &x,
                MaxPool2dParams {
                    dilation: (4, 1),
                    ..max
                },
            ),
        ),
        ("size 0", resize(&x, (0, 2))),
        ("size 0", resize(&x, (2, 0))),
    ];
    for (what, results) in tries {
        assert!(results.iter().all(Result::is_err), "{what}: {results:?}");
    }
    let integers = x.to_dtype(DType::U8).unwrap();
    assert!(max_pool2d(&integers, max).is_err());
    assert!(avg_pool2d(&integers, avg).is_err());
    assert!(interpolate(&integers, (2, 2), ResizeFilter::Bilinear, false).is_err());
    assert!(resample_pos_embed(&values(&[1, 10, 2], 1), 1, (2, 4), (3, 3)).is_err());
    assert!(resample_pos_embed(&values(&[10, 2], 1), 1, (3, 3), (2, 2)).is_err());
    assert!(resample_pos_embed(&values(&[1, 10, 2], 1), 1, (3, 3), (0, 2)).is_err());
}

#[test]
fn a_window_over_padding_alone_is_minus_infinity_without_gradient() {
    let params = MaxPool2dParams {
        dilation: (3, 3),
        ..MaxPool2dParams::new(2, 1).padding(1)
    };
    for f in [max_pool2d, fallback::max_pool2d] {
        let x = Var::from_tensor(&values(&[1, 1, 2, 2], 1)).unwrap();
        let y = f(x.as_tensor(), params).unwrap();
        assert_eq!(flat(&y), [f64::NEG_INFINITY]);
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(flat(grads.get(x.as_tensor()).unwrap()), [0.0; 4]);
    }
}

#[test]
fn results_have_the_same_bytes_for_any_number_of_threads() {
    let x = values(&[3, 5, 17, 19], 1).to_dtype(DType::F32).unwrap();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (y, grads) = gradients(std::slice::from_ref(&x), None, &|a| {
                let y = ops::max_pool2d(&a[0], MaxPool2dParams::new(3, 2).padding(1))?;
                let z = ops::avg_pool2d(&a[0], AvgPool2dParams::new(3, 2).padding(1))?;
                let u = ops::interpolate(&a[0], (9, 10), ResizeFilter::Bicubic, true)?;
                y * z + u
            })
            .unwrap();
            (flat(&y), flat(&grads[0]))
        })
    };
    assert_eq!(run(1), run(3));
}

/// A pooling by its definition: each window gives its values inside the input (row, column) and how many places it counts.
fn naive(
    x: &Tensor,
    p: MaxPool2dParams,
    pool: impl Fn(&[f64], (usize, usize)) -> f64,
) -> Option<Tensor> {
    let (n, c, h, w) = x.dims4().unwrap();
    let out = |len: usize, k: usize, s: usize, pad: usize, d: usize| -> Option<usize> {
        let room = (len + 2 * pad) as i64 - (d * (k - 1)) as i64 - 1;
        let room = room + if p.ceil_mode { s as i64 - 1 } else { 0 };
        let mut out = room.div_euclid(s as i64) + 1;
        if p.ceil_mode && (out - 1) * s as i64 >= (len + pad) as i64 {
            out -= 1;
        }
        (out > 0).then_some(out as usize)
    };
    let oh = out(h, p.kernel.0, p.stride.0, p.padding.0, p.dilation.0)?;
    let ow = out(w, p.kernel.1, p.stride.1, p.padding.1, p.dilation.1)?;
    let x = flat(x);
    let mut y = Vec::new();
    for plane in 0..n * c {
        for o in 0..oh * ow {
            let (mut inside, mut padded) = (Vec::new(), 0);
            for k in 0..p.kernel.0 * p.kernel.1 {
                let row = (o / ow * p.stride.0 + k / p.kernel.1 * p.dilation.0) as i64
                    - p.padding.0 as i64;
                let col = (o % ow * p.stride.1 + k % p.kernel.1 * p.dilation.1) as i64
                    - p.padding.1 as i64;
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
        padding in (0usize..3, 0usize..3), dilation in (1usize..4, 1usize..4), ceil_mode: bool, count_include_pad: bool,
    ) {
        let x = values(&[shape.0, shape.1, shape.2, shape.3], 1);
        let padding = (padding.0.min(kernel.0 / 2), padding.1.min(kernel.1 / 2));
        let max = MaxPool2dParams { kernel, stride, padding, dilation, ceil_mode };
        match naive(&x, max, |v, _| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)) {
            None => prop_assert!(max_pool2d(&x, max).is_err()),
            Some(expected) => {
                prop_assert_eq!(flat(&max_pool2d(&x, max).unwrap()), flat(&expected));
                prop_assert_eq!(flat(&fallback::max_pool2d(&x, max).unwrap()), flat(&expected));
                let finite = flat(&expected).iter().all(|v| v.is_finite());
                prop_assert!(!finite || is_adjoint(&x, &|a| max_pool2d(&a[0], max)));
                prop_assert!(!finite || is_adjoint(&x, &|a| fallback::max_pool2d(&a[0], max)));
            }
        }
        let avg = AvgPool2dParams { kernel, stride, padding, ceil_mode, count_include_pad };
        let mean = |v: &[f64], (inside, padded): (usize, usize)| {
            v.iter().sum::<f64>() / if count_include_pad { padded } else { inside } as f64
        };
        match naive(&x, MaxPool2dParams { dilation: (1, 1), ..max }, mean) {
            None => prop_assert!(avg_pool2d(&x, avg).is_err()),
            Some(expected) => {
                prop_assert!(difference(&avg_pool2d(&x, avg).unwrap(), &expected) < 1e-14);
                prop_assert!(difference(&fallback::avg_pool2d(&x, avg).unwrap(), &expected) < 1e-14);
                prop_assert!(is_adjoint(&x, &|a| avg_pool2d(&a[0], avg)));
                prop_assert!(is_adjoint(&x, &|a| fallback::avg_pool2d(&a[0], avg)));
            }
        }
    }

    #[test]
    fn resizing_is_linear_and_its_backward_the_transpose(
        shape in (1usize..3, 1usize..3, 1usize..14, 1usize..30), size in (1usize..20, 1usize..25), bicubic: bool, antialias: bool,
    ) {
        let x = values(&[shape.0, shape.1, shape.2, shape.3], 1);
        let filter = FILTERS[usize::from(bicubic)];
        let y = interpolate(&x, size, filter, antialias).unwrap();
        let other = fallback::interpolate(&x, size, filter, antialias).unwrap();
        prop_assert!(difference(&y, &other) < 1e-13);
        prop_assert!(is_adjoint(&x, &|a| interpolate(&a[0], size, filter, antialias)));
        prop_assert!(is_adjoint(&x, &|a| fallback::interpolate(&a[0], size, filter, antialias)));
    }
}
