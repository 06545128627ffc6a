//! Steps of a tape that mix positions, against timm and PyTorch (`tests/golden/make_mixers.py` made the cases): global response
//! normalisation, attention within windows, merging of squares, tokens, layer scale.

use crate::common::differences::{difference, flat, gradients, values};
use crate::common::golden;
use crate::common::on_tape::{self, Start};
use candle_core::{DType, Result, Tensor};
use hydranet::tape::{Activation, Conv2dParams, Tape, WindowAttention};
use serde_json::Value;

fn windows(start: Start, a: &[Tensor], heads: usize, side: usize, shift: usize) -> Result<Tensor> {
    let attention = WindowAttention {
        heads,
        side,
        shift,
        bias: &a[1],
        filling: &a[2],
    };
    on_tape::run(start, &a[0], |tape, x| {
        tape.window_attention(&x, &attention)
    })
}

fn response(start: Start, a: &[Tensor], eps: f64) -> Result<Tensor> {
    on_tape::run(start, &a[0], |tape, x| {
        tape.global_response_norm(&x, &a[1], &a[2], eps)
    })
}

fn merge(start: Start, a: &[Tensor]) -> Result<Tensor> {
    on_tape::run(start, &a[0], |tape, x| tape.merge(&x))
}

fn tokens(start: Start, a: &[Tensor]) -> Result<Tensor> {
    on_tape::run(start, &a[0], |tape, x| tape.tokens(&x, &a[1], &a[2]))
}

fn run(parameters: &Value, a: &[Tensor]) -> Result<Tensor> {
    run_on(Tape::new, parameters, a)
}

fn run_on(start: Start, parameters: &Value, a: &[Tensor]) -> Result<Tensor> {
    let size = |key: &str| parameters[key].as_u64().unwrap() as usize;
    match parameters["step"].as_str().unwrap() {
        "response" => response(start, a, parameters["eps"].as_f64().unwrap()),
        "windows" => windows(start, a, size("heads"), size("side"), size("shift")),
        "merge" => merge(start, a),
        "tokens" => tokens(start, a),
        "scaled" => on_tape::run(start, &a[0], |tape, x| {
            tape.conv_scaled(&x, &a[1], &a[2], &a[3], Conv2dParams::default())
        }),
        other => panic!("step {other}"),
    }
}

fn all_within(start: Start, dtype: DType, tolerance: f64) {
    golden::all_within("mixers", 21, dtype, tolerance, |parameters, a| {
        // Added to the result, so that an argument it does not depend on has a gradient, which is zero.
        a.iter().try_fold(run_on(start, parameters, a)?, |y, a| {
            y.broadcast_add(&a.sub(a)?.sum_all()?)
        })
    });
}

#[test]
fn the_steps_agree_with_timm_in_f64() {
    all_within(Tape::new, DType::F64, 1e-12);
}

#[test]
fn the_steps_agree_with_timm_in_f32() {
    all_within(Tape::new, DType::F32, 2e-5);
}

#[test]
fn the_steps_composed_of_candles_operators_agree_with_timm() {
    all_within(Tape::composed, DType::F64, 1e-12);
    all_within(Tape::composed, DType::F32, 2e-5);
}

#[test]
fn a_composed_tape_reports_shapes_that_do_not_fit() {
    let start = Tape::composed;
    let v = |shape: &[usize]| values(shape, 1);
    let map = || v(&[1, 12, 4, 5]);
    for result in [
        windows(start, &[map(), v(&[25, 2]), v(&[12])], 0, 3, 1),
        windows(start, &[map(), v(&[25, 2]), v(&[4])], 2, 3, 1),
        response(start, &[map(), v(&[12]), v(&[11])], 1e-6),
        merge(start, &[v(&[1, 3, 0, 4])]),
        tokens(start, &[map(), v(&[1, 2, 12]), v(&[1, 21, 12])]),
        on_tape::run(start, &map(), |tape, x| tape.token(&x, 20)),
        on_tape::run(start, &map(), |tape, x| tape.attention(&x, 5)),
        on_tape::run(start, &map(), |tape, x| tape.max_pool(&x, 7, 1, 0)),
        on_tape::run(start, &map(), |tape, x| tape.scale_channels(x.clone(), &x)),
    ] {
        assert!(result.is_err());
    }
    assert!(Tape::composed(&v(&[3, 4])).is_err());
    // A channel of zeros has no norm to speak of, and a gradient all the same.
    let zeros = v(&[1, 2, 3, 3]).zeros_like().unwrap();
    let f = |a: &[Tensor]| response(start, a, 1e-6);
    let (y, d) = gradients(&[zeros, v(&[2]), v(&[2])], None, &f).unwrap();
    assert!(flat(&y).iter().chain(&flat(&d[0])).all(|v| v.is_finite()));
}

/// Arguments of each step, large enough for several tasks.
fn large() -> Vec<(&'static str, Vec<Tensor>, Value)> {
    let v = |shape: &[usize]| values(shape, shape.iter().fold(7, |s, d| s * 31 + *d as u64));
    let of_windows = serde_json::json!({"step": "windows", "heads": 2, "side": 5, "shift": 2});
    let of_response = serde_json::json!({"step": "response", "eps": 1e-6});
    vec![
        (
            "windows",
            vec![v(&[3, 24, 23, 17]), v(&[81, 2]), v(&[24])],
            of_windows,
        ),
        (
            "response",
            vec![v(&[2, 3, 80, 75]), v(&[3]), v(&[3])],
            of_response,
        ),
        (
            "merge",
            vec![v(&[2, 5, 31, 44])],
            serde_json::json!({"step": "merge"}),
        ),
        (
            "tokens",
            vec![v(&[3, 64, 20, 30]), v(&[1, 5, 64]), v(&[1, 600, 64])],
            serde_json::json!({"step": "tokens"}),
        ),
    ]
}

#[test]
fn results_and_gradients_have_the_same_bytes_for_any_number_of_threads() {
    for (name, arguments, parameters) in large() {
        let arguments: Vec<Tensor> = arguments
            .iter()
            .map(|a| a.to_dtype(DType::F32).unwrap())
            .collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let f = |a: &[Tensor]| run(&parameters, a);
                let (y, d) = gradients(&arguments, None, &f).unwrap();
                let all = std::iter::once(&y).chain(&d).flat_map(flat);
                all.map(f64::to_bits).collect::<Vec<_>>()
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5), "{name}");
    }
}

#[test]
fn the_response_of_a_large_image_is_that_of_its_formula() {
    let (_, arguments, _) = large().remove(1);
    let formula = |a: &[Tensor]| -> Result<Tensor> {
        let over_channels = |t: &Tensor| t.reshape((1, 3, 1, 1));
        let norms = a[0].sqr()?.sum_keepdim((2, 3))?.sqrt()?;
        let relative = norms.broadcast_div(&(norms.mean_keepdim(1)? + 1e-6)?)?;
        let scaled = a[0]
            .broadcast_mul(&relative)?
            .broadcast_mul(&over_channels(&a[1])?)?;
        (&a[0] + scaled)?.broadcast_add(&over_channels(&a[2])?)
    };
    let (y, d) = gradients(&arguments, None, &|a| response(Tape::new, a, 1e-6)).unwrap();
    let (expected, expected_d) = gradients(&arguments, None, &formula).unwrap();
    assert!(difference(&y, &expected) < 1e-13);
    for (d, expected) in d.iter().zip(&expected_d) {
        assert!(difference(d, expected) < 1e-12);
    }
}

#[test]
fn an_image_does_not_see_the_others_of_its_batch() {
    for (name, arguments, parameters) in large() {
        let together = run(&parameters, &arguments).unwrap();
        for image in 0..arguments[0].dim(0).unwrap() {
            let mut alone = arguments.clone();
            alone[0] = arguments[0]
                .narrow(0, image, 1)
                .unwrap()
                .contiguous()
                .unwrap();
            let alone = run(&parameters, &alone).unwrap();
            let expected = together.narrow(0, image, 1).unwrap();
            assert_eq!(flat(&alone), flat(&expected), "{name}");
        }
    }
}

#[test]
fn what_is_no_variable_gets_no_gradient_and_what_is_gets_its_own() {
    for (name, arguments, parameters) in large() {
        let (_, all) = gradients(&arguments, None, &|a| run(&parameters, a)).unwrap();
        for (tracked, expected) in all.iter().enumerate() {
            let var = candle_core::Var::from_tensor(&arguments[tracked]).unwrap();
            let mut arguments = arguments.clone();
            arguments[tracked] = var.as_tensor().clone();
            let y = run(&parameters, &arguments).unwrap();
            let weights = values(y.dims(), 99);
            let gradients = (y * weights)
                .unwrap()
                .sum_all()
                .unwrap()
                .backward()
                .unwrap();
            for (i, argument) in arguments.iter().enumerate() {
                match gradients.get(argument) {
                    Some(d) if i == tracked => assert_eq!(flat(d), flat(expected), "{name}"),
                    found => assert_eq!(found.is_some(), i == tracked, "{name}, argument {i}"),
                }
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors_that_say_so() {
    let v = |shape: &[usize]| values(shape, 1);
    let map = || v(&[1, 12, 4, 5]);
    let two = |bias: &[usize], filling: usize| [map(), v(bias), v(&[filling])];
    for (result, says) in [
        (windows(Tape::new, &two(&[25, 2], 12), 0, 3, 1), "0 heads"),
        (
            windows(Tape::new, &two(&[25, 3], 12), 3, 3, 1),
            "of 3 heads",
        ),
        (
            windows(Tape::new, &two(&[25, 2], 12), 2, 0, 0),
            "windows of 0",
        ),
        (
            windows(Tape::new, &two(&[25, 2], 12), 2, 3, 3),
            "shifted by 3",
        ),
        (
            windows(Tape::new, &two(&[9, 2], 12), 2, 3, 1),
            "biases (25, 2)",
        ),
        (
            windows(Tape::new, &two(&[25, 2], 4), 2, 3, 1),
            "filling (12)",
        ),
        (
            windows(
                Tape::new,
                &[v(&[1, 12, 0, 5]), v(&[25, 2]), v(&[12])],
                2,
                3,
                1,
            ),
            "0 × 5 with 12 channels",
        ),
        (
            on_tape::run(Tape::new, &map(), |tape, x| {
                let x = tape.activation(&x, Activation::Relu)?;
                let attention = WindowAttention {
                    heads: 2,
                    side: 3,
                    shift: 0,
                    bias: &v(&[25, 2]),
                    filling: &v(&[12]),
                };
                tape.window_attention(&x, &attention)
            }),
            "without activation",
        ),
        (
            response(Tape::new, &[map(), v(&[12]), v(&[11])], 1e-6),
            "as many values",
        ),
        (
            response(Tape::new, &[map(), v(&[1, 12]), v(&[12])], 1e-6),
            "as many values",
        ),
        (merge(Tape::new, &[v(&[1, 3, 0, 4])]), "not empty"),
        (
            tokens(Tape::new, &[map(), v(&[1, 2, 12]), v(&[1, 21, 12])]),
            "(1, p + 20, 12)",
        ),
        (
            tokens(Tape::new, &[map(), v(&[1, 2, 11]), v(&[1, 22, 12])]),
            "(1, p, 12)",
        ),
    ] {
        let error = result.expect_err(says).to_string();
        assert!(error.contains(says), "expected …{says}…, found {error}");
    }
}
