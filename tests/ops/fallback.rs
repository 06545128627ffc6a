//! The compositions of candle's operators that run on devices without kernels, against the CPU's kernels: values, gradients, and
//! what happens at kinks and to broken values. (Pooling is compared in `pools.rs`, convolution in `convolutions.rs`.)

use crate::common::differences::{difference, flat, gradients, values};
use crate::common::on_tape::{Start, conv2d, conv2d_norm_act, global_avg_pool, linear, run};
use candle_core::{DType, Device, Result, Tensor};
use hydranet::tape::{Activation, BatchMoments, Conv2dParams, Norm, Statistics, Tape};

const ACTIVATIONS: [Activation; 3] = [Activation::Identity, Activation::Relu, Activation::Relu6];

fn params(stride: usize, padding: usize, groups: usize) -> Conv2dParams {
    Conv2dParams {
        stride: (stride, stride),
        padding: [padding; 4],
        groups,
        ..Default::default()
    }
}

/// Compares two operators in value and gradients, f64 and f32; gives what is too far off.
fn compare(
    name: &str,
    args: &[Tensor],
    f: &dyn Fn(Start, &[Tensor]) -> Result<Tensor>,
) -> Vec<String> {
    let mut failed = Vec::new();
    for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
        let args: Vec<Tensor> = args.iter().map(|a| a.to_dtype(dtype).unwrap()).collect();
        let (y, grads) = gradients(&args, None, &|a| f(Tape::new, a)).unwrap();
        match gradients(&args, None, &|a| f(Tape::composed, a)) {
            Err(e) => failed.push(format!("{name} {dtype:?}: {e}")),
            Ok((other, other_grads)) => {
                let pairs = std::iter::once((&other, &y)).chain(other_grads.iter().zip(&grads));
                for (i, (a, b)) in pairs.enumerate() {
                    let error = difference(a, b);
                    if error.is_nan() || error > tolerance {
                        failed.push(format!("{name} {dtype:?}, tensor {i}: {error:.1e}"));
                    }
                }
            }
        }
    }
    failed
}

fn norm<'a>(a: &'a [Tensor], batch: bool) -> Norm<'a> {
    let o = a[2].dim(0).unwrap();
    let of = |t: Tensor| t.to_dtype(a[2].dtype()).unwrap();
    Norm {
        gamma: &a[2],
        beta: &a[3],
        eps: 1e-3,
        statistics: if batch {
            Statistics::Batch
        } else {
            Statistics::Fixed {
                mean: of(values(&[o], 5)),
                var: of((values(&[o], 6) + 1.5).unwrap()),
            }
        },
    }
}

#[test]
fn compositions_have_the_values_and_gradients_of_the_kernels() {
    let mut failed = Vec::new();
    for (x, w, p) in [
        ([3, 3, 5, 8], [4, 3, 3, 3], params(2, 1, 1)),
        ([3, 4, 5, 4], [4, 1, 3, 3], params(1, 1, 4)),
        ([3, 4, 4, 5], [6, 2, 3, 3], params(1, 2, 2)),
        ([3, 5, 3, 4], [4, 5, 1, 1], params(1, 0, 1)),
        ([8, 3, 1, 1], [4, 3, 1, 1], params(1, 0, 1)),
    ] {
        let args = [
            values(&x, 1),
            values(&w, 2),
            (values(&w[..1], 3) + 2.0).unwrap(),
            (values(&w[..1], 4) + 1.0).unwrap(),
        ];
        for activation in ACTIVATIONS {
            for batch in [true, false] {
                let name = format!("conv2d_norm_act {w:?} {activation:?} batch {batch}");
                failed.extend(compare(&name, &args, &|start, a| {
                    Ok(conv2d_norm_act(start, &a[0], &a[1], p, &norm(a, batch), activation)?.0)
                }));
            }
            let name = format!("conv2d {w:?} {activation:?}");
            failed.extend(compare(&name, &args[..3], &|start, a| {
                conv2d(start, &a[0], &a[1], Some(&a[2]), p, activation)
            }));
        }
    }
    let args = [values(&[5, 7], 1), values(&[3, 7], 2), values(&[3], 3)];
    failed.extend(compare("linear", &args, &|start, a| {
        linear(start, &a[0], &a[1], Some(&a[2]), Activation::Identity)
    }));
    let maps = [values(&[2, 3, 5, 4], 1)];
    failed.extend(compare("global_avg_pool", &maps, &|start, a| {
        global_avg_pool(start, &a[0])
    }));
    failed.extend(compare("sum by factors", &maps, &|start, a| {
        run(start, &a[0], |tape, x| {
            tape.add(&x, &x, Some(vec![0.0, 2.0]))
        })
    }));
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn compositions_find_the_moments_that_the_kernels_find() {
    let args = [
        values(&[3, 3, 5, 4], 1),
        values(&[4, 3, 3, 3], 2),
        values(&[4], 3),
        values(&[4], 4),
    ];
    let p = params(1, 1, 1);
    for batch in [true, false] {
        let norm = norm(&args, batch);
        let (_, own) =
            conv2d_norm_act(Tape::new, &args[0], &args[1], p, &norm, Activation::Relu).unwrap();
        let (_, other) = conv2d_norm_act(
            Tape::composed,
            &args[0],
            &args[1],
            p,
            &norm,
            Activation::Relu,
        )
        .unwrap();
        if batch {
            assert_eq!(other.count, 60.0);
            assert_eq!(own.count, other.count);
            let pairs = own
                .mean
                .iter()
                .zip(&other.mean)
                .chain(own.var.iter().zip(&other.var));
            for (a, b) in pairs {
                assert!((a - b).abs() < 1e-12);
            }
        } else {
            assert_eq!(other, BatchMoments::default());
        }
    }
}

#[test]
fn activations_of_a_composition_keep_their_kinks_and_let_broken_values_through() {
    let data = vec![
        0.0,
        -0.0,
        6.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        3.0,
        -1.0,
    ];
    let x = Tensor::from_vec(data, (1, 1, 2, 4), &Device::Cpu).unwrap();
    let w = Tensor::ones((1, 1, 1, 1), DType::F64, &Device::Cpu).unwrap();
    let ones = Tensor::ones((1, 1, 2, 4), DType::F64, &Device::Cpu).unwrap();
    for (activation, expected, gradient) in [
        (
            Activation::Relu,
            [0.0, 0.0, 6.0, f64::NAN, f64::INFINITY, 0.0, 3.0, 0.0],
            [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0],
        ),
        (
            Activation::Relu6,
            [0.0, 0.0, 6.0, f64::NAN, 6.0, 0.0, 3.0, 0.0],
            [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        ),
    ] {
        let (y, grads) = gradients(std::slice::from_ref(&x), Some(&ones), &|a| {
            conv2d(Tape::composed, &a[0], &w, None, params(1, 0, 1), activation)
        })
        .unwrap();
        for (found, expected) in flat(&y).into_iter().zip(expected) {
            assert!(
                found == expected || (found.is_nan() && expected.is_nan()),
                "{found} {expected}"
            );
        }
        assert_eq!(flat(&grads[0]), gradient);
    }
}

#[test]
fn shapes_that_do_not_fit_a_composition_are_errors() {
    let x = values(&[1, 3, 4, 4], 1);
    let conv = |w: &[usize], groups| {
        conv2d(
            Tape::composed,
            &x,
            &values(w, 2),
            None,
            params(1, 0, groups),
            Activation::Identity,
        )
    };
    assert!(conv(&[2, 2, 1, 1], 1).is_err());
    assert!(conv(&[2, 3, 5, 5], 1).is_err());
    assert!(conv(&[2, 1, 1, 1], 3).is_err());
    let factors = run(Tape::composed, &x, |tape, x| {
        tape.add(&x, &x, Some(vec![1.0; 2]))
    });
    assert!(factors.is_err());
    assert!(global_avg_pool(Tape::composed, &values(&[2, 3], 1)).is_err());
    let args = [
        x.clone(),
        values(&[2, 3, 1, 1], 2),
        values(&[2], 3),
        values(&[3], 4),
    ];
    let result = conv2d_norm_act(
        Tape::composed,
        &x,
        &args[1],
        params(1, 0, 1),
        &norm(&args, true),
        Activation::Relu,
    );
    assert!(result.is_err());
}
