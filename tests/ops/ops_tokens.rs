//! Activations, layer norms, attention and linear layers on a tape: gradients against central differences in f64, the kernels
//! against the compositions over random shapes, and what every step owes its callers.

use crate::common::differences::{
    difference, flat, gradient_error, gradient_error_of, gradients, values,
};
use crate::common::on_tape::{
    self, Start, activation, attention, attention_qkv, layer_norm, layer_norm_2d, linear,
};
use candle_core::{DType, Result, Tensor, Var};
use hydranet::tape::{self, Activation, Tape};
use proptest::prelude::*;

type Function = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

/// An operator at one size: the kernel, the composition, and arguments between −2 and 2.
struct Case {
    name: String,
    kernel: Function,
    composition: Function,
    arguments: Vec<Tensor>,
}

const ACTIVATIONS: [Activation; 8] = [
    Activation::Relu,
    Activation::Relu6,
    Activation::Sigmoid,
    Activation::HardSigmoid,
    Activation::Silu,
    Activation::HardSwish,
    Activation::Gelu,
    Activation::GeluTanh,
];

fn case(
    name: impl Into<String>,
    shapes: &[&[usize]],
    f: impl Fn(Start, &[Tensor]) -> Result<Tensor> + Clone + 'static,
) -> Case {
    let arguments = shapes.iter().zip(1..);
    let composed = f.clone();
    Case {
        name: format!("{} {shapes:?}", name.into()),
        kernel: Box::new(move |a| f(Tape::new, a)),
        composition: Box::new(move |a| composed(Tape::composed, a)),
        arguments: arguments
            .map(|(shape, seed)| (values(shape, seed) * 2.0).unwrap())
            .collect(),
    }
}

/// Every step, at sizes made of five numbers.
fn cases([a, b, c, d, e]: [usize; 5]) -> Vec<Case> {
    let identity = Activation::Identity;
    let mut cases = Vec::new();
    for f in ACTIVATIONS {
        // A factor, so that the kinks at ±3 and 6 are passed.
        cases.push(case(format!("{f:?}"), &[&[a, b, c]], move |s, a| {
            activation(s, &(&a[0] * 4.0)?, f)
        }));
        cases.push(case(
            format!("linear, {f:?}"),
            &[&[a, b, c], &[d, c], &[d]],
            move |s, a| linear(s, &a[0], &a[1], Some(&a[2]), f),
        ));
    }
    cases.push(case("linear", &[&[a, b, c], &[d, c], &[d]], move |s, a| {
        linear(s, &a[0], &a[1], Some(&a[2]), identity)
    }));
    cases.push(case(
        "linear without bias",
        &[&[a, c], &[d, c]],
        move |s, a| linear(s, &a[0], &a[1], None, identity),
    ));
    // Beside the tape; its composition is tried where it stands.
    cases.push(case(
        "operator linear",
        &[&[a, b, c], &[d, c], &[d]],
        |_, a| tape::linear(&a[0], &a[1], Some(&a[2])),
    ));
    // An eps that keeps a single value's gradient, which is 0, within what differences can tell.
    let eps = 1e-2;
    cases.push(case(
        "layer norm",
        &[&[a, b, c], &[c], &[c]],
        move |s, a| layer_norm(s, &a[0], &a[1], &a[2], eps),
    ));
    cases.push(case(
        "layer norm 2d",
        &[&[a, c, b, e], &[c], &[c]],
        move |s, a| layer_norm_2d(s, &a[0], &a[1], &a[2], eps),
    ));
    cases.push(case("attention", &[&[a, b, c, e][..]; 3], |s, a| {
        attention(s, [&a[0], &a[1], &a[2]], 0.7)
    }));
    cases.push(case(
        format!("attention of {b} heads"),
        &[&[a, c, 3 * b * e]],
        move |s, a| attention_qkv(s, &a[0], b, 0.7),
    ));
    cases
}

/// How far the kernel's result and gradients in `dtype` are from the composition's in f64.
fn disagreement(case: &Case, dtype: DType) -> Result<f64> {
    let convert = |t: &Tensor, d| t.to_dtype(d);
    let arguments: Vec<Tensor> = case
        .arguments
        .iter()
        .map(|a| convert(&convert(a, DType::F32)?, dtype))
        .collect::<Result<_>>()?;
    let exact: Vec<Tensor> = arguments
        .iter()
        .map(|a| convert(a, DType::F64))
        .collect::<Result<_>>()?;
    let (theirs, their_gradients) = gradients(&exact, None, &case.composition)?;
    let weights = values(theirs.dims(), 99).to_dtype(dtype)?;
    let (ours, our_gradients) = gradients(&arguments, Some(&weights), &case.kernel)?;
    let mut worst = difference(&convert(&ours, DType::F64)?, &theirs);
    for (ours, theirs) in our_gradients.iter().zip(&their_gradients) {
        // Absolute where the gradient is 0 but for rounding.
        let greatest = flat(theirs).iter().fold(0f64, |m, v| m.max(v.abs()));
        let off = difference(&convert(ours, DType::F64)?, theirs);
        worst = worst.max(off * greatest.min(1e-3) / 1e-3);
    }
    Ok(worst)
}

#[test]
fn every_operator_has_the_gradients_of_central_differences() {
    let mut failed = Vec::new();
    for sizes in [
        [2, 3, 5, 4, 3],
        [1, 1, 1, 1, 1],
        [1, 2, 7, 1, 2],
        [3, 1, 33, 2, 1],
    ] {
        for case in cases(sizes) {
            for (way, f) in [("kernel", &case.kernel), ("composition", &case.composition)] {
                match gradient_error(&case.arguments, f) {
                    Ok(error) if error < 1e-6 => {}
                    other => failed.push(format!("{} by {way}: {other:?}", case.name)),
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn work_cut_into_several_tasks_has_the_gradients_of_central_differences() {
    let big = [
        case("attention in blocks", &[&[1, 2, 200, 3][..]; 3], |s, a| {
            attention(s, [&a[0], &a[1], &a[2]], 0.7)
        }),
        case(
            "linear and gelu in tiles",
            &[&[2, 70, 200], &[100, 200], &[100]],
            |s, a| linear(s, &a[0], &a[1], Some(&a[2]), Activation::Gelu),
        ),
        case(
            "operator linear in tiles",
            &[&[2, 70, 200], &[100, 200], &[100]],
            |_, a| tape::linear(&a[0], &a[1], Some(&a[2])),
        ),
        case(
            "layer norm of many rows",
            &[&[300, 67], &[67], &[67]],
            |s, a| layer_norm(s, &a[0], &a[1], &a[2], 1e-5),
        ),
        case(
            "layer norm of many positions",
            &[&[2, 70, 19, 20], &[70], &[70]],
            |s, a| layer_norm_2d(s, &a[0], &a[1], &a[2], 1e-5),
        ),
        case("gelu of many values", &[&[17, 1001]], |s, a| {
            activation(s, &a[0], Activation::Gelu)
        }),
    ];
    for case in &big {
        let error = gradient_error_of(&case.arguments, 40, &case.kernel).unwrap();
        assert!(error < 3e-6, "{}: {error:e}", case.name);
        let error = disagreement(case, DType::F64).unwrap();
        assert!(error < 1e-11, "{}: {error:e} in f64", case.name);
        let error = disagreement(case, DType::F32).unwrap();
        assert!(error < 3e-5, "{}: {error:e} in f32", case.name);
    }
}

#[test]
fn results_and_gradients_have_the_same_bytes_for_any_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            cases([3, 5, 210, 130, 7])
                .iter()
                .map(|case| {
                    let arguments: Vec<Tensor> = case
                        .arguments
                        .iter()
                        .map(|a| a.to_dtype(DType::F32).unwrap())
                        .collect();
                    let (y, d) = gradients(&arguments, None, &case.kernel).unwrap();
                    let all = std::iter::once(&y).chain(&d).flat_map(flat);
                    all.map(f64::to_bits).collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}

#[test]
fn an_argument_used_twice_gets_the_sum_of_both_gradients() {
    for case in cases([2, 2, 5, 3, 2]) {
        // The first argument once more, in a sum or in a product with what has its shape.
        let error = gradient_error(&case.arguments, &|a| {
            let y = (case.kernel)(a)?;
            if y.dims() == a[0].dims() {
                (&y * &a[0])? + &a[0]
            } else {
                y.broadcast_add(&a[0].mean_all()?)
            }
        })
        .unwrap();
        assert!(error < 1e-6, "{}: {error:e}", case.name);
    }
}

#[test]
fn a_transposed_argument_gives_what_its_copy_gives() {
    for case in cases([2, 3, 5, 4, 3]) {
        let last = case.arguments[0].rank() - 1;
        let turn = |a: &[Tensor]| -> Result<Vec<Tensor>> {
            let first = a[0].transpose(0, last)?;
            Ok([vec![first], a[1..].to_vec()].concat())
        };
        // The variable holds the transpose, and the operator is given the transpose of that.
        let stored = turn(&case.arguments).unwrap();
        let f = |a: &[Tensor]| {
            let a = turn(a)?;
            assert!(!a[0].is_contiguous());
            (case.kernel)(&a)
        };
        let (y, d) = gradients(&case.arguments, None, &case.kernel).unwrap();
        let (again, d_again) = gradients(&stored, None, &f).unwrap();
        assert_eq!(flat(&y), flat(&again), "{}", case.name);
        let d_again = turn(&d_again).unwrap();
        assert_eq!(flat(&d[0]), flat(&d_again[0]), "{}", case.name);
    }
}

#[test]
fn what_is_no_variable_gets_no_gradient_and_what_is_gets_one() {
    for case in cases([2, 3, 5, 4, 3]) {
        for tracked in 0..case.arguments.len() {
            let var = Var::from_tensor(&case.arguments[tracked]).unwrap();
            let mut arguments = case.arguments.clone();
            arguments[tracked] = var.as_tensor().clone();
            let y = (case.kernel)(&arguments).unwrap();
            let gradients = y.sum_all().unwrap().backward().unwrap();
            for (i, argument) in arguments.iter().enumerate() {
                let found = gradients.get(argument).is_some();
                assert_eq!(found, i == tracked, "{}, argument {i}", case.name);
            }
        }
        let y = (case.kernel)(&case.arguments).unwrap();
        assert!(!y.track_op(), "{}", case.name);
    }
}

#[test]
fn a_broken_value_is_seen_and_spoils_only_what_depends_on_it() {
    for dtype in [DType::F32, DType::F64] {
        let x = Tensor::new(
            &[[1.0, f64::NAN, -2.0], [0.5, 0.25, -1.0]],
            &candle_core::Device::Cpu,
        );
        let x = x.unwrap().to_dtype(dtype).unwrap();
        for (_, start) in on_tape::STARTS {
            for f in ACTIVATIONS {
                let y = flat(&activation(start, &x, f).unwrap());
                let nan: Vec<bool> = y.iter().map(|v| v.is_nan()).collect();
                assert_eq!(nan, [false, true, false, false, false, false], "{f:?}");
            }
            let ones = Tensor::ones(3, dtype, x.device()).unwrap();
            let y = layer_norm(start, &x, &ones, &ones, 1e-6).unwrap();
            let nan: Vec<bool> = flat(&y).iter().map(|v| v.is_nan()).collect();
            assert_eq!(nan, [true, true, true, false, false, false]);
        }
    }
}

#[test]
fn layer_norm_of_values_far_from_zero_keeps_its_digits() {
    // 1024 + small steps: Σx² − n·mean² would lose everything in f32.
    let steps: Vec<f32> = (0..96).map(|i| 1024.0 + (i % 7) as f32 / 64.0).collect();
    let x = Tensor::from_vec(steps, (1, 96), &candle_core::Device::Cpu).unwrap();
    let (g, b) = (x.ones_like().unwrap(), x.zeros_like().unwrap());
    let (g, b) = (g.flatten_all().unwrap(), b.flatten_all().unwrap());
    let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
    let exact = layer_norm(Tape::composed, &wide(&x), &wide(&g), &wide(&b), 1e-6).unwrap();
    let rows = layer_norm(Tape::new, &x, &g, &b, 1e-6).unwrap();
    assert!(difference(&wide(&rows), &exact) < 1e-3);
}

#[test]
fn attention_by_great_scores_does_not_overflow() {
    let q = (values(&[1, 1, 4, 2], 1) * 1e4)
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap();
    for (_, start) in on_tape::STARTS {
        let y = attention(start, [&q, &q, &q], 1.0).unwrap();
        assert!(flat(&y).iter().all(|v| v.is_finite()));
    }
}

#[test]
fn shapes_and_types_that_do_not_fit_are_errors_that_say_so() {
    let v = |shape: &[usize]| values(shape, 1);
    let integers = v(&[2, 3]).to_dtype(DType::U8).unwrap();
    let narrow = v(&[4, 3]).to_dtype(DType::F32).unwrap();
    let wide = v(&[2, 3, 4, 5]);
    let on = Tape::new;
    for (result, says) in [
        (activation(on, &integers, Activation::Gelu), "f32 or f64"),
        (
            layer_norm(on, &v(&[2, 3]), &v(&[4]), &v(&[3]), 1e-6),
            "as many values",
        ),
        (
            layer_norm(on, &v(&[2, 3]), &v(&[3]), &v(&[1]), 1e-6),
            "as many values",
        ),
        (
            layer_norm_2d(on, &wide, &v(&[5]), &v(&[5]), 1e-6),
            "as many values",
        ),
        (
            attention_qkv(on, &v(&[2, 3, 12]), 3, 1.0),
            "values of 3 heads",
        ),
        (
            attention_qkv(on, &v(&[2, 3, 12]), 0, 1.0),
            "values of 0 heads",
        ),
        (attention_qkv(on, &v(&[2, 0, 12]), 2, 1.0), "12 channels"),
        (
            tape::linear(&v(&[2, 3]), &v(&[4, 2]), None),
            "x has 3 features",
        ),
        (
            tape::linear(&v(&[2, 3]), &v(&[4, 3]), Some(&v(&[3]))),
            "bias (3)",
        ),
        (
            tape::linear(&v(&[]), &v(&[4, 3]), None),
            "expected x (…, in)",
        ),
        (
            tape::linear(&v(&[2, 3]), &v(&[4, 3, 1]), None),
            "weight (out, in)",
        ),
        (tape::linear(&v(&[2, 0]), &v(&[4, 0]), None), "0 features"),
        (tape::linear(&v(&[2, 3]), &narrow, None), "dtype"),
    ] {
        let error = result.expect_err(says).to_string();
        assert!(error.contains(says), "expected …{says}…, found {error}");
    }
}

#[test]
fn an_empty_batch_of_a_linear_layer_gives_an_empty_result() {
    let (x, w) = (values(&[0, 3, 4], 1), values(&[2, 4], 1));
    assert_eq!(tape::linear(&x, &w, None).unwrap().dims(), [0, 3, 2]);
}

/// A single value stands for itself: nothing greater beside it hides what it lost.
#[test]
fn kernels_and_compositions_agree_in_a_single_value() {
    let mut failed = Vec::new();
    for c in 1..70 {
        for case in cases([1, 1, c, 1, 1]) {
            let error = disagreement(&case, DType::F32).unwrap();
            if error >= 1e-4 {
                failed.push(format!("{}: {error:e}", case.name));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn kernels_and_compositions_agree_at_any_size(
        a in 1usize..4, b in 1usize..5, c in 1usize..70, d in 1usize..40, e in 1usize..20,
    ) {
        for case in cases([a, b, c, d, e]) {
            let error = disagreement(&case, DType::F64).unwrap();
            prop_assert!(error < 1e-10, "{}: {:e} in f64", case.name, error);
            // In f32 rounding may choose the other side of a kink.
            if !["Relu", "Hard"].iter().any(|kink| case.name.contains(kink)) {
                let error = disagreement(&case, DType::F32).unwrap();
                prop_assert!(error < 1e-4, "{}: {:e} in f32", case.name, error);
            }
        }
    }
}
