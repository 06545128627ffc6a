//! Every kind of convolution against PyTorch (`tests/golden/make_convolutions.py` made the cases), a definition written out, and
//! central differences: the CPU's kernels, and the compositions that stand in for them on other devices.

use crate::common::differences::{
    difference, flat, gradient_error, gradient_error_of, gradients, values,
};
use crate::common::golden;
use crate::common::on_tape::{Start, conv2d, conv2d_norm_act};
use candle_core::{DType, Device, Result, Tensor, Var};
use hydranet::tape::{Activation, Conv2dParams, Norm, Statistics, Tape};
use proptest::prelude::*;
use serde_json::Value;

fn start(kernel: bool) -> Start {
    if kernel { Tape::new } else { Tape::composed }
}

/// A convolution with an optional bias: `args` = x, w and perhaps b.
fn convolve(args: &[Tensor], params: Conv2dParams, kernel: bool) -> Result<Tensor> {
    conv2d(
        start(kernel),
        &args[0],
        &args[1],
        args.get(2),
        params,
        Activation::Identity,
    )
}

/// Values and gradients of all cases, with x and w as they are and as transposed views.
fn all_within(dtype: DType, tolerance: f64) {
    let tensors = golden::tensors("convolutions.safetensors");
    let Value::Object(index) = golden::json("convolutions.json") else {
        panic!("convolutions.json is no object")
    };
    assert_eq!(index.len(), 26);
    let (mut failed, mut compared, mut worst) = (Vec::new(), 0, 0f64);
    for (name, parameters) in &index {
        let get = |key: &str| {
            Some(
                tensors
                    .get(&format!("{name}.{key}"))?
                    .to_dtype(dtype)
                    .unwrap(),
            )
        };
        let read = |key: &str| parameters[key].clone();
        let params = Conv2dParams {
            stride: serde_json::from_value(read("stride")).unwrap(),
            padding: serde_json::from_value(read("pads")).unwrap(),
            dilation: serde_json::from_value(read("dilation")).unwrap(),
            groups: serde_json::from_value(read("groups")).unwrap(),
        };
        for kernel in [true, false] {
            for turned in [false, true] {
                let turn = |t: &Tensor| {
                    if turned && t.rank() == 4 {
                        t.transpose(2, 3)
                    } else {
                        Ok(t.clone())
                    }
                };
                let leaves: Vec<Tensor> = ["x", "w", "b"]
                    .into_iter()
                    .filter_map(get)
                    .map(|t| turn(&t).unwrap().contiguous().unwrap())
                    .collect();
                let what = format!("{name} {dtype:?} kernel {kernel} turned {turned}");
                let run = |a: &[Tensor]| {
                    let a = a.iter().map(turn).collect::<Result<Vec<_>>>()?;
                    convolve(&a, params, kernel)
                };
                match gradients(&leaves, get("grad").as_ref(), &run) {
                    Err(e) => failed.push(format!("{what}: {e}")),
                    Ok((y, grads)) => {
                        let found =
                            std::iter::once(y).chain(grads.iter().map(|g| turn(g).unwrap()));
                        for (key, found) in ["y", "dx", "dw", "db"].into_iter().zip(found) {
                            compared += 1;
                            let error = difference(&found, &get(key).unwrap());
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
    assert_eq!(compared, 4 * (26 * 3 + 13));
}

#[test]
fn every_kind_of_convolution_has_the_values_and_gradients_of_pytorch_in_f64() {
    all_within(DType::F64, 1e-13);
}

#[test]
fn every_kind_of_convolution_has_the_values_and_gradients_of_pytorch_in_f32() {
    all_within(DType::F32, 5e-6);
}

#[test]
fn an_input_or_a_weight_used_twice_gets_the_sum_of_both_gradients() {
    let same = |groups| Conv2dParams {
        padding: [1; 4],
        groups,
        ..Default::default()
    };
    let mut failed = Vec::new();
    for (what, channels, per_group, groups) in [
        ("full", 4, 4, 1),
        ("grouped", 4, 2, 2),
        ("depthwise", 4, 1, 4),
    ] {
        let args = [
            values(&[2, channels, 4, 5], 1),
            values(&[channels, per_group, 3, 3], 2),
        ];
        for kernel in [true, false] {
            let conv =
                |x: &Tensor, w: &Tensor| convolve(&[x.clone(), w.clone()], same(groups), kernel);
            type Use<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;
            let uses: [(&str, Use); 4] = [
                ("x + conv(x)", &|a| &a[0] + conv(&a[0], &a[1])?),
                ("conv(x) · x", &|a| conv(&a[0], &a[1])? * &a[0]),
                ("conv(conv(x))", &|a| conv(&conv(&a[0], &a[1])?, &a[1])),
                ("conv(x) + w's mean", &|a| {
                    conv(&a[0], &a[1])?.broadcast_add(&a[1].mean_all()?)
                }),
            ];
            for (use_of, f) in uses {
                let error = gradient_error(&args, f).unwrap();
                if error.is_nan() || error > 1e-7 {
                    failed.push(format!("{what}, {use_of}, kernel {kernel}: {error:e}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn an_empty_input_or_weight_is_an_error_not_a_panic() {
    let p = Conv2dParams {
        padding: [1; 4],
        ..Default::default()
    };
    for (x, w) in [
        ([1, 2, 0, 4], [3, 2, 1, 1]),
        ([1, 2, 4, 0], [3, 2, 1, 1]),
        ([1, 0, 4, 4], [3, 0, 1, 1]),
        ([1, 2, 4, 4], [0, 2, 1, 1]),
        ([0, 2, 4, 4], [3, 2, 1, 1]),
        ([1, 2, 4, 4], [3, 2, 0, 1]),
    ] {
        let zeros =
            |shape: [usize; 4]| Tensor::zeros(&shape[..], DType::F32, &Device::Cpu).unwrap();
        for kernel in [true, false] {
            assert!(
                convolve(&[zeros(x), zeros(w)], p, kernel).is_err(),
                "{x:?} {w:?} {kernel}"
            );
        }
    }
}

#[test]
fn a_bias_of_another_length_is_an_error() {
    let args = [
        values(&[1, 2, 3, 3], 1),
        values(&[3, 2, 1, 1], 2),
        values(&[2], 3),
    ];
    for kernel in [true, false] {
        assert!(convolve(&args, Conv2dParams::default(), kernel).is_err());
    }
}

#[test]
fn a_broken_value_stays_within_the_outputs_that_see_it() {
    for (groups, per_group) in [(1, 2), (2, 1)] {
        let mut data = flat(&values(&[1, 2, 5, 6], 1));
        data[2 * 6 + 3] = f64::NAN;
        let x = Tensor::from_vec(data, (1, 2, 5, 6), &Device::Cpu).unwrap();
        let w = values(&[2, per_group, 3, 3], 2);
        let p = Conv2dParams {
            groups,
            ..Default::default()
        };
        for kernel in [true, false] {
            let y = flat(&convolve(&[x.clone(), w.clone()], p, kernel).unwrap());
            for (i, v) in y.iter().enumerate() {
                let (channel, column) = (i / 12, i % 4);
                let sees = column > 0 && (groups == 1 || channel == 0);
                assert_eq!(v.is_nan(), sees, "groups {groups} kernel {kernel} at {i}");
            }
        }
    }
}

#[test]
fn a_broken_gradient_stays_within_the_values_its_window_saw() {
    for stride in [1, 2] {
        let p = Conv2dParams {
            stride: (stride, stride),
            padding: [1; 4],
            groups: 2,
            ..Default::default()
        };
        for kernel in [true, false] {
            let x = Var::from_tensor(&values(&[1, 2, 6, 7], 1)).unwrap();
            let y = convolve(
                &[x.as_tensor().clone(), values(&[2, 1, 3, 3], 2)],
                p,
                kernel,
            )
            .unwrap();
            let mut factors = vec![1.0; y.elem_count()];
            // The window of the second row and column of the first channel.
            factors[y.dim(3).unwrap() + 1] = f64::NAN;
            let factors = Tensor::from_vec(factors, y.shape(), &Device::Cpu).unwrap();
            let loss = (y * factors).unwrap().sum_all().unwrap();
            let gradients = loss.backward().unwrap();
            let saw = stride - 1..stride + 2;
            for (i, v) in flat(gradients.get(&x).unwrap()).iter().enumerate() {
                let (channel, row, column) = (i / 42, i / 7 % 6, i % 7);
                let sees = channel == 0 && saw.contains(&row) && saw.contains(&column);
                assert_eq!(v.is_nan(), sees, "stride {stride} kernel {kernel} at {i}");
            }
        }
    }
}

/// A convolution by its definition, and the normalisation and bias by theirs.
fn naive(x: &Tensor, w: &Tensor, p: Conv2dParams) -> Option<Tensor> {
    let (n, c, h, width) = x.dims4().unwrap();
    let (o, cg, kh, kw) = w.dims4().unwrap();
    let [top, bottom, left, right] = p.padding;
    let out =
        |len: usize, k: usize, s: usize, d: usize| Some(len.checked_sub(d * (k - 1) + 1)? / s + 1);
    let oh = out(h + top + bottom, kh, p.stride.0, p.dilation.0)?;
    let ow = out(width + left + right, kw, p.stride.1, p.dilation.1)?;
    let (xs, ws) = (flat(x), flat(w));
    let mut y = Vec::with_capacity(n * o * oh * ow);
    for at in 0..n * o * oh * ow {
        let (image, filter, row, col) = (
            at / (o * oh * ow),
            at / (oh * ow) % o,
            at / ow % oh,
            at % ow,
        );
        let first = filter / (o / p.groups) * cg;
        let mut sum = 0.0;
        for k in 0..cg * kh * kw {
            let (channel, ky, kx) = (first + k / (kh * kw), k / kw % kh, k % kw);
            let source_row = (row * p.stride.0 + ky * p.dilation.0)
                .checked_sub(top)
                .filter(|v| *v < h);
            let source_col = (col * p.stride.1 + kx * p.dilation.1)
                .checked_sub(left)
                .filter(|v| *v < width);
            if let (Some(r), Some(s)) = (source_row, source_col) {
                sum +=
                    xs[((image * c + channel) * h + r) * width + s] * ws[filter * cg * kh * kw + k];
            }
        }
        y.push(sum);
    }
    Some(Tensor::from_vec(y, (n, o, oh, ow), &Device::Cpu).unwrap())
}

fn batch_norm(args: &[Tensor], p: Conv2dParams, kernel: bool) -> Result<Tensor> {
    let norm = Norm {
        gamma: &args[2],
        beta: &args[3],
        eps: 1e-3,
        statistics: Statistics::Batch,
    };
    let (x, w) = (&args[0], &args[1]);
    Ok(conv2d_norm_act(start(kernel), x, w, p, &norm, Activation::Identity)?.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn convolution_agrees_with_its_definition_and_with_central_differences(
        (n, groups, cg, og) in (1usize..4, 1usize..4, 1usize..4, 1usize..4), depthwise: bool,
        size in (1usize..24, 1usize..24), kernel in (1usize..5, 1usize..5), stride in (1usize..4, 1usize..4),
        dilation in (1usize..4, 1usize..4), padding in [0usize..6, 0usize..6, 0usize..6, 0usize..6], undilated: bool,
    ) {
        let (cg, og) = if depthwise { (1, 1) } else { (cg, og) };
        let dilation = if undilated { (1, 1) } else { dilation };
        let p = Conv2dParams { stride, padding, dilation, groups };
        let o = og * groups;
        let x = values(&[n, cg * groups, size.0, size.1], 1);
        let w = values(&[o, cg, kernel.0, kernel.1], 2);
        let Some(expected) = naive(&x, &w, p) else {
            prop_assert!(convolve(&[x.clone(), w.clone()], p, true).is_err());
            prop_assert!(convolve(&[x, w], p, false).is_err());
            return Ok(());
        };
        let biased = [x.clone(), w.clone(), values(&[o], 3)];
        for kernel in [true, false] {
            let y = convolve(&biased[..2], p, kernel).unwrap();
            prop_assert!(difference(&y, &expected) < 1e-13);
            let error = gradient_error_of(&biased, 8, &|a| convolve(a, p, kernel)).unwrap();
            prop_assert!(error < 1e-6, "kernel {} gradient {:e}", kernel, error);
        }
        let narrow = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
        let y = convolve(&[narrow(&x), narrow(&w)], p, true).unwrap();
        prop_assert!(difference(&y, &expected) < 1e-5);
        // Statistics of few values have gradients too steep for central differences.
        let (_, _, oh, ow) = expected.dims4().unwrap();
        if n * oh * ow >= 8 {
            let args = [x, w, values(&[o], 4), values(&[o], 5)];
            let (own, own_grads) = gradients(&args, None, &|a| batch_norm(a, p, true)).unwrap();
            let (other, other_grads) = gradients(&args, None, &|a| batch_norm(a, p, false)).unwrap();
            prop_assert!(difference(&own, &other) < 1e-10);
            for (a, b) in own_grads.iter().zip(&other_grads) {
                prop_assert!(difference(a, b) < 1e-9, "{:e}", difference(a, b));
            }
            let error = gradient_error_of(&args, 6, &|a| batch_norm(a, p, true)).unwrap();
            prop_assert!(error < 1e-4, "norm gradient {:e}", error);
        }
    }
}

#[test]
fn a_variable_weight_alone_or_input_alone_is_enough() {
    let (x, w) = (values(&[2, 4, 5, 5], 1), values(&[4, 1, 3, 3], 2));
    let p = Conv2dParams {
        groups: 4,
        ..Default::default()
    };
    for kernel in [true, false] {
        let (_, both) =
            gradients(&[x.clone(), w.clone()], None, &|a| convolve(a, p, kernel)).unwrap();
        for (i, fixed) in [(0, &w), (1, &x)] {
            let leaf = Var::from_tensor([&x, &w][i]).unwrap();
            let pair = if i == 0 {
                [leaf.as_tensor().clone(), fixed.clone()]
            } else {
                [fixed.clone(), leaf.as_tensor().clone()]
            };
            let y = convolve(&pair, p, kernel).unwrap();
            let loss = (&y * values(y.dims(), 99)).unwrap().sum_all().unwrap();
            let grads = loss.backward().unwrap();
            assert_eq!(flat(grads.get(leaf.as_tensor()).unwrap()), flat(&both[i]));
        }
    }
}
