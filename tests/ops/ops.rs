//! Operators: gradients against central differences in f64, and what must hold for values.

use crate::common::differences::{gradient_error, values};
use crate::common::on_tape::{STARTS, Start, conv2d, conv2d_norm_act, global_avg_pool};
use candle_core::{DType, Tensor, Var};
use hydranet::tape::{
    Activation, Conv2dParams, ConvStep, ConvWeight, Norm, Statistics, Tape, Weight, linear, scale,
};

fn params(stride: usize, padding: [usize; 4], dilation: usize, groups: usize) -> Conv2dParams {
    Conv2dParams {
        stride: (stride, stride),
        padding,
        dilation: (dilation, dilation),
        groups,
    }
}

type Case = ([usize; 4], [usize; 4], Conv2dParams);

/// Every kind of convolution the kernels tell apart, at odd sizes.
fn cases() -> Vec<Case> {
    vec![
        ([2, 3, 5, 7], [4, 3, 1, 1], params(1, [0; 4], 1, 1)),
        ([2, 3, 14, 15], [2, 3, 1, 1], params(1, [0; 4], 1, 1)),
        ([2, 3, 5, 8], [4, 3, 3, 3], params(2, [1; 4], 1, 1)),
        ([2, 3, 6, 5], [2, 3, 3, 3], params(2, [0, 1, 0, 1], 1, 1)),
        ([1, 2, 7, 5], [2, 2, 3, 2], params(1, [1, 0, 2, 1], 2, 1)),
        ([3, 4, 4, 3], [6, 2, 3, 3], params(1, [1; 4], 1, 2)),
        ([2, 4, 3, 3], [4, 4, 1, 1], params(2, [0; 4], 1, 1)),
        ([2, 3, 7, 5], [3, 1, 3, 3], params(1, [1; 4], 1, 3)),
        ([2, 3, 8, 5], [3, 1, 5, 5], params(2, [1, 2, 2, 2], 1, 3)),
        ([1, 2, 6, 9], [2, 1, 5, 3], params(3, [2, 2, 1, 1], 1, 2)),
        ([2, 2, 1, 1], [2, 1, 3, 3], params(1, [1; 4], 1, 2)),
        ([2, 2, 5, 1], [2, 1, 3, 3], params(1, [2; 4], 2, 2)),
        ([1, 1, 4, 4], [3, 1, 3, 3], params(1, [1; 4], 1, 1)),
        ([2, 2, 5, 5], [2, 1, 1, 1], params(3, [0; 4], 1, 2)),
    ]
}

#[test]
fn convolution_norm_activation_has_the_gradients_of_central_differences_with_batch_and_fixed_statistics()
 {
    let mut failed = Vec::new();
    for (x, w, p) in cases() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Relu6] {
            for batch in [true, false] {
                let args = [
                    values(&x, 1),
                    values(&w, 2),
                    (values(&w[..1], 3) * 5.0).unwrap(),
                    values(&w[..1], 4),
                ];
                let error = gradient_error(&args, &|a| {
                    let statistics = if batch {
                        Statistics::Batch
                    } else {
                        Statistics::Fixed {
                            mean: values(&w[..1], 5),
                            var: (values(&w[..1], 6) + 1.5)?,
                        }
                    };
                    let norm = Norm {
                        gamma: &a[2],
                        beta: &a[3],
                        eps: 1e-3,
                        statistics,
                    };
                    Ok(conv2d_norm_act(Tape::new, &a[0], &a[1], p, &norm, activation)?.0)
                })
                .unwrap();
                if error.is_nan() || error > 3e-6 {
                    failed.push(format!(
                        "{x:?} {w:?} {p:?} {activation:?} batch {batch}: {error:e}"
                    ));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn other_operators_have_the_gradients_of_central_differences() {
    let error = gradient_error(&[values(&[3, 4, 3, 5], 1)], &|a| {
        global_avg_pool(Tape::new, &a[0])
    })
    .unwrap();
    assert!(error < 1e-8, "global average pool {error:e}");
    let args = [values(&[5, 7], 1), values(&[3, 7], 2), values(&[3], 3)];
    let error = gradient_error(&args, &|a| linear(&a[0], &a[1], Some(&a[2]))).unwrap();
    assert!(error < 1e-8, "linear {error:e}");
    let error = gradient_error(&[values(&[4, 6], 1)], &|a| {
        scale(&a[0], vec![0.0, 2.0, 1.0, 0.5])
    })
    .unwrap();
    assert!(error < 1e-8, "scale {error:e}");
}

#[test]
fn a_transposed_input_gives_what_its_copy_gives() {
    let x = values(&[2, 5, 6, 4], 1).transpose(1, 3).unwrap();
    let w = values(&[3, 4, 3, 3], 2).transpose(2, 3).unwrap();
    let p = params(1, [1; 4], 1, 1);
    let (a, b) = (x.contiguous().unwrap(), w.contiguous().unwrap());
    let first = conv2d(Tape::new, &x, &w, None, p, Activation::Relu).unwrap();
    let second = conv2d(Tape::new, &a, &b, None, p, Activation::Relu).unwrap();
    assert_eq!(
        first.flatten_all().unwrap().to_vec1::<f64>().unwrap(),
        second.flatten_all().unwrap().to_vec1::<f64>().unwrap()
    );
}

#[test]
fn what_is_no_variable_gets_no_gradient_and_costs_none() {
    let (x, w) = (
        values(&[2, 3, 5, 5], 1),
        Var::from_tensor(&values(&[4, 3, 3, 3], 2)).unwrap(),
    );
    let y = conv2d(
        Tape::new,
        &x,
        w.as_tensor(),
        None,
        params(1, [1; 4], 1, 1),
        Activation::Relu6,
    )
    .unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_none());
    assert!(grads.get(w.as_tensor()).is_some());
}

#[test]
fn no_tape_starts_with_images_that_are_empty() {
    for (name, start) in STARTS {
        for shape in [[0, 3, 4, 4], [2, 0, 4, 4], [2, 3, 0, 4], [2, 3, 4, 0]] {
            let error = start(&values(&shape, 1)).expect_err(name).to_string();
            assert!(error.contains("not empty"), "{name} {shape:?}: {error}");
        }
    }
    assert!(Tape::recorded(0, (4, 4)).is_err());
}

#[test]
fn shapes_that_do_not_fit_are_errors_not_panics() {
    let x = values(&[1, 3, 4, 4], 1);
    for (w, p) in [
        (vec![2, 2, 1, 1], params(1, [0; 4], 1, 1)),
        (vec![2, 3, 5, 5], params(1, [0; 4], 1, 1)),
        (vec![2, 3, 1, 1], params(0, [0; 4], 1, 1)),
        (vec![2, 3, 1, 1], params(1, [0; 4], 1, 0)),
        (vec![2, 1, 1, 1], params(1, [0; 4], 1, 3)),
        (vec![2, 3, 1], params(1, [0; 4], 1, 1)),
    ] {
        assert!(
            conv2d(Tape::new, &x, &values(&w, 2), None, p, Activation::Identity).is_err(),
            "{w:?} {p:?}"
        );
    }
    assert!(
        conv2d(
            Tape::new,
            &x.to_dtype(DType::U8).unwrap(),
            &x,
            None,
            params(1, [0; 4], 1, 1),
            Activation::Identity
        )
        .is_err()
    );
    assert!(
        linear(
            &values(&[2, 3], 1),
            &values(&[4, 2], 2),
            Some(&values(&[4], 3))
        )
        .is_err()
    );
    assert!(scale(&values(&[2, 3], 1), vec![1.0; 4]).is_err());
    assert!(global_avg_pool(Tape::new, &values(&[2, 3], 1)).is_err());
}

/// In which of output and gradients a convolution with all that follows differs from plain sums.
fn unlike_plain_sums(x: [usize; 4], w: [usize; 4], p: Conv2dParams) -> Vec<String> {
    let mut failed = Vec::new();
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let fan = w[1..].iter().product::<usize>() as f64;
        let args: Vec<Var> = [
            values(&x, 1),
            (values(&w, 2) * (3.0 / fan.sqrt())).unwrap(),
            (values(&[w[0]], 3) + 1.5).unwrap(),
            values(&[w[0]], 4),
        ]
        .iter()
        .map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap())
        .collect();
        let run = |ours: bool| -> Vec<Tensor> {
            let norm = Norm {
                gamma: &args[2],
                beta: &args[3],
                eps: 1e-3,
                statistics: Statistics::Fixed {
                    mean: args[3].as_detached_tensor(),
                    var: args[2].as_detached_tensor(),
                },
            };
            let start: Start = if ours { Tape::new } else { Tape::composed };
            let identity = Activation::Identity;
            let (y, _) = conv2d_norm_act(start, &args[0], &args[1], p, &norm, identity).unwrap();
            let weights = values(y.dims(), 9).to_dtype(dtype).unwrap();
            let loss = (&y * weights).unwrap().sum_all().unwrap();
            let grads = loss.backward().unwrap();
            let mut found = vec![y];
            found.extend(args.iter().map(|a| grads.get(a).unwrap().clone()));
            found
        };
        for (i, (ours, plain)) in run(true).iter().zip(run(false)).enumerate() {
            let size = |t: &Tensor| -> f64 {
                let t = t.to_dtype(DType::F64).unwrap().abs().unwrap();
                t.flatten_all()
                    .unwrap()
                    .max(0)
                    .unwrap()
                    .to_scalar()
                    .unwrap()
            };
            let error = size(&(ours - &plain).unwrap()) / size(&plain);
            if error.is_nan() || error > tolerance {
                failed.push(format!("{x:?} {w:?} {p:?} {dtype:?} {i}: {error:e}"));
            }
        }
    }
    failed
}

#[test]
fn wide_3x3_convolutions_are_those_of_plain_sums_forward_and_backward() {
    let mut failed = Vec::new();
    for (x, o, padding) in [
        // Planes large enough for fewer multiplications, of odd sizes and paddings; and two that are not.
        ([2, 32, 13, 11], 40, [1; 4]),
        ([1, 33, 20, 9], 32, [0, 2, 1, 0]),
        ([3, 32, 9, 14], 35, [2, 1, 0, 2]),
        ([5, 48, 15, 17], 32, [1; 4]),
        ([2, 32, 5, 7], 40, [1; 4]),
        ([1, 32, 1, 1], 32, [1; 4]),
    ] {
        let p = params(1, padding, 1, 1);
        failed.extend(unlike_plain_sums(x, [o, x[1], 3, 3], p));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn convolutions_of_large_weights_are_those_of_plain_sums_forward_and_backward() {
    let mut failed = Vec::new();
    // Weights of 2¹⁷ values and more: the tasks divide the channels.
    for (x, [o, kh, kw], p) in [
        ([3, 127, 5, 4], [131, 3, 3], params(1, [1; 4], 1, 1)),
        ([2, 130, 7, 9], [125, 3, 3], params(2, [0, 1, 1, 0], 1, 1)),
        ([2, 100, 6, 5], [150, 3, 3], params(1, [2, 2, 1, 3], 2, 1)),
        ([1, 371, 1, 1], [359, 1, 1], params(1, [0; 4], 1, 1)),
        ([4, 371, 5, 3], [359, 1, 1], params(1, [0; 4], 1, 1)),
        ([2, 371, 5, 3], [359, 1, 1], params(2, [0; 4], 1, 1)),
        ([2, 61, 9, 8], [71, 5, 7], params(3, [2, 1, 3, 2], 1, 1)),
        // Several slabs of images.
        ([70, 37, 20, 23], [150, 5, 5], params(5, [0; 4], 1, 1)),
    ] {
        failed.extend(unlike_plain_sums(x, [o, x[1], kh, kw], p));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn depthwise_convolutions_of_whole_vectors_are_those_of_plain_sums_forward_and_backward() {
    let mut failed = Vec::new();
    // Channels round the vectors of every instruction set, rows of which blocks of positions are left over.
    for (c, k, stride, width) in [
        (8, 3, 1, 9),
        (15, 3, 1, 11),
        (16, 3, 1, 1),
        (17, 3, 2, 13),
        (33, 3, 2, 18),
        (40, 3, 3, 10),
        (24, 5, 1, 15),
        (40, 5, 2, 14),
        (19, 5, 2, 3),
        (32, 7, 1, 12),
        (23, 7, 2, 9),
        (48, 2, 1, 7),
        (16, 2, 2, 8),
    ] {
        let p = params(stride, [k / 2; 4], 1, c);
        failed.extend(unlike_plain_sums([2, c, 7, width], [c, 1, k, k], p));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A chain of convolution, norm and activation, each (outputs, kernel, params, activation).
type Steps = Vec<([usize; 4], Conv2dParams, Activation)>;

#[test]
fn an_inverted_residual_in_one_pass_has_the_bytes_of_its_steps() {
    let silu = Activation::Silu;
    let relu6 = Activation::Relu6;
    let none = Activation::Identity;
    let one = |o: usize, c: usize, act| ([o, c, 1, 1], params(1, [0; 4], 1, 1), act);
    let deep = |c: usize, k: usize, stride, padding, act| {
        ([c, 1, k, k], params(stride, padding, 1, c), act)
    };
    let cases: Vec<([usize; 4], Steps, bool)> = vec![
        (
            [4, 7, 9, 11],
            vec![
                one(21, 7, relu6),
                deep(21, 3, 1, [1; 4], relu6),
                one(7, 21, none),
            ],
            true,
        ),
        (
            [5, 7, 9, 12],
            vec![
                one(35, 7, silu),
                deep(35, 5, 2, [1, 2, 2, 1], silu),
                one(18, 35, none),
            ],
            false,
        ),
        (
            [1, 16, 40, 31],
            vec![
                one(50, 16, silu),
                deep(50, 5, 1, [2; 4], relu6),
                one(16, 50, silu),
            ],
            true,
        ),
        (
            [1, 33, 41, 70],
            vec![deep(33, 3, 2, [0, 1, 0, 1], relu6), one(16, 33, none)],
            false,
        ),
        (
            [2, 33, 21, 20],
            vec![deep(33, 7, 1, [3; 4], relu6), one(33, 33, none)],
            true,
        ),
        // Rows that are all padding, and a kernel larger than the image.
        (
            [6, 5, 2, 3],
            vec![
                one(17, 5, relu6),
                deep(17, 5, 1, [4; 4], relu6),
                one(5, 17, none),
            ],
            false,
        ),
    ];
    for (x, steps, shortcut) in cases {
        for dtype in [DType::F32, DType::F64] {
            let make = |shape: &[usize], seed: u64, shift: f64| {
                let t = (values(shape, seed) + shift).unwrap();
                t.to_dtype(dtype).unwrap()
            };
            let images = make(&x, 1, 0.0);
            let tensors: Vec<[Tensor; 5]> = steps
                .iter()
                .enumerate()
                .map(|(i, (w, _, _))| {
                    let seed = 10 * i as u64;
                    [
                        make(w, seed + 2, 0.0),
                        make(&w[..1], seed + 3, 1.0),
                        make(&w[..1], seed + 4, 0.0),
                        make(&w[..1], seed + 5, 0.0),
                        make(&w[..1], seed + 6, 1.5),
                    ]
                })
                .collect();
            let norm = |[_, gamma, beta, mean, var]: &'_ [Tensor; 5]| {
                let statistics = Statistics::Fixed {
                    mean: mean.clone(),
                    var: var.clone(),
                };
                (gamma.clone(), beta.clone(), statistics)
            };
            let norms: Vec<_> = tensors.iter().map(norm).collect();
            let steps: Vec<ConvStep> = steps
                .iter()
                .zip(&tensors)
                .zip(&norms)
                .map(
                    |(((_, params, activation), t), (gamma, beta, statistics))| ConvStep {
                        weight: &t[0],
                        params: *params,
                        norm: Norm {
                            gamma,
                            beta,
                            eps: 1e-3,
                            statistics: statistics.clone(),
                        },
                        activation: *activation,
                    },
                )
                .collect();
            let (mut tape, start) = Tape::new(&images).unwrap();
            let whole = tape.inverted_residual(&start, &steps, shortcut).unwrap();
            let whole = whole.expect("nothing of it is tracked");
            let whole = tape.finish(&whole).unwrap();

            let (mut tape, start) = Tape::new(&images).unwrap();
            let mut map = start.clone();
            for s in &steps {
                (map, _) = tape
                    .conv_norm(&map, s.weight, s.params, &s.norm, s.activation)
                    .unwrap();
            }
            if shortcut {
                map = tape.add(&start, &map, None).unwrap();
            }
            let stepwise = tape.finish(&map).unwrap();
            assert_eq!(whole.dims(), stepwise.dims());
            let bytes = |t: &Tensor| -> Vec<f64> {
                let t = t.to_dtype(DType::F64).unwrap();
                t.flatten_all().unwrap().to_vec1().unwrap()
            };
            assert_eq!(bytes(&whole), bytes(&stepwise), "{x:?} {dtype:?}");
        }
    }
}

#[test]
fn an_inverted_residual_that_is_trained_is_not_done_in_one_pass() {
    let w = [values(&[9, 1, 3, 3], 1), values(&[4, 9, 1, 1], 2)];
    let (ones, zeros) = (
        Tensor::ones(9, DType::F64, &candle_core::Device::Cpu).unwrap(),
        Tensor::zeros(9, DType::F64, &candle_core::Device::Cpu).unwrap(),
    );
    let four = |t: &Tensor| t.narrow(0, 0, 4).unwrap();
    let run = |images: &Tensor, weights: [&Tensor; 2]| {
        let steps = [
            (params(1, [1; 4], 1, 9), ones.clone(), zeros.clone()),
            (params(1, [0; 4], 1, 1), four(&ones), four(&zeros)),
        ];
        let steps: Vec<ConvStep> = steps
            .iter()
            .zip(weights)
            .map(|((params, gamma, beta), weight)| ConvStep {
                weight,
                params: *params,
                norm: Norm {
                    gamma,
                    beta,
                    eps: 1e-3,
                    statistics: Statistics::Fixed {
                        mean: beta.clone(),
                        var: gamma.clone(),
                    },
                },
                activation: Activation::Relu,
            })
            .collect();
        let (mut tape, x) = Tape::new(images).unwrap();
        tape.inverted_residual(&x, &steps, false).unwrap().is_some()
    };
    let images = values(&[4, 9, 6, 6], 3);
    let var = |t: &Tensor| Var::from_tensor(t).unwrap().as_tensor().clone();
    assert!(run(&images, [&w[0], &w[1]]));
    assert!(!run(&var(&images), [&w[0], &w[1]]));
    assert!(!run(&images, [&var(&w[0]), &w[1]]));
    assert!(!run(&images, [&w[0], &var(&w[1])]));
}

#[test]
fn a_parameter_that_is_trained_alone_gets_the_gradient_it_gets_among_others() {
    let shapes: [&[usize]; 4] = [&[2, 3, 4, 5], &[4, 3, 3, 3], &[4], &[4]];
    let run = |trained: &[usize]| -> Vec<Option<Vec<f64>>> {
        let args: Vec<Tensor> = (0..4)
            .map(|i| {
                let t = values(shapes[i], i as u64 + 1);
                if trained.contains(&i) {
                    Var::from_tensor(&t).unwrap().as_tensor().clone()
                } else {
                    t
                }
            })
            .collect();
        let (mut tape, x) = Tape::new(&args[0]).unwrap();
        let y = tape
            .conv_scaled(&x, &args[1], &args[2], &args[3], params(1, [1; 4], 1, 1))
            .unwrap();
        let y = tape.finish(&y).unwrap();
        let weights = values(y.dims(), 9);
        let loss = (y * weights).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        args.iter()
            .map(|a| Some(grads.get(a)?.flatten_all().unwrap().to_vec1().unwrap()))
            .collect()
    };
    let all = run(&[0, 1, 2, 3]);
    for (i, expected) in all.iter().enumerate() {
        let alone = run(&[i]);
        for (j, found) in alone.iter().enumerate() {
            if j == i {
                assert_eq!(found, expected, "argument {i}")
            } else {
                assert!(found.is_none(), "argument {j} of {i}")
            }
        }
    }
}

#[test]
fn an_images_result_depends_on_nothing_but_the_image() {
    // Of an image alone the tasks divide the channels, of five the patches.
    let w = values(&[150, 32, 3, 3], 2).to_dtype(DType::F32).unwrap();
    let kept = Weight::new(w.clone());
    let run = |weight: &dyn ConvWeight, x: &Tensor| -> Vec<f32> {
        let (mut tape, x) = Tape::new(x).unwrap();
        let p = params(1, [1; 4], 1, 1);
        let y = tape.conv(&x, weight, None, p, Activation::Silu).unwrap();
        let y = tape.finish(&y).unwrap();
        y.flatten_all().unwrap().to_vec1().unwrap()
    };
    // A kept weight was prepared for small images first, then for large ones; the method differs between them.
    for size in [6, 16, 6, 16] {
        let x = values(&[5, 32, size, size], 1)
            .to_dtype(DType::F32)
            .unwrap();
        let together = run(&kept, &x);
        assert_eq!(together, run(&w, &x), "{size}");
        let alone: Vec<f32> = (0..5)
            .flat_map(|i| run(&w, &x.narrow(0, i, 1).unwrap()))
            .collect();
        assert_eq!(together, alone, "{size}");
    }
}

#[test]
fn a_map_of_another_tape_is_an_error() {
    let x = values(&[1, 2, 3, 3], 1);
    for start in [Tape::new, Tape::composed] {
        let (mut first, of_first) = start(&x).unwrap();
        let (mut second, of_second) = start(&x).unwrap();
        let more = second.add(&of_second, &of_second, None).unwrap();
        for error in [
            first.add(&of_first, &of_second, None).err(),
            first.activation(&more, Activation::Relu).err(),
            first.tensor(&of_second).err(),
            first.finish(&more).err(),
        ] {
            assert!(error.unwrap().to_string().contains("another tape"));
        }
        assert!(second.finish(&more).is_ok());
    }
}
