//! Batch normalisation by the statistics of a batch that is computed in parts: as over the whole batch.

use crate::common::differences::{flat, gradients, values};
use candle_core::{DType, Device, Result, Tensor, Var};
use hydranet::tape::internal::Watch;
use hydranet::tape::{Activation, Conv2dParams, Norm, Statistics, Tape};
use hydranet_kernels::moments::Moments;
use proptest::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Barrier, Mutex};

/// What the parts say, and where they wait for each other.
struct Parts {
    moments: Mutex<Vec<Vec<Moments>>>,
    sums: Mutex<Vec<Vec<(f64, f64)>>>,
    found: Mutex<usize>,
    all: Barrier,
}

/// One of the parts.
struct Part {
    place: usize,
    parts: Arc<Parts>,
}

impl Part {
    /// What all parts say, in their order.
    fn of_all<T: Clone>(&self, own: T, all: &Mutex<Vec<T>>) -> Vec<T> {
        all.lock().unwrap()[self.place] = own;
        self.parts.all.wait();
        let said = all.lock().unwrap().clone();
        self.parts.all.wait();
        said
    }
}

impl Watch for Part {
    fn shares_statistics(&self) -> bool {
        true
    }

    fn moves_statistics(&self) -> bool {
        self.place == 0
    }

    fn moments(&self, own: Vec<Moments>) -> Result<Vec<Moments>> {
        let channels = 0..own.len();
        let all = self.of_all(own, &self.parts.moments);
        let joined = |c| all.iter().map(|of| of[c]).reduce(Moments::join).unwrap();
        Ok(channels.map(joined).collect())
    }

    fn sums(&self, own: Vec<(f64, f64)>) -> Result<Vec<(f64, f64)>> {
        let channels = 0..own.len();
        let all = self.of_all(own, &self.parts.sums);
        let plus = |a: (f64, f64), b: (f64, f64)| (a.0 + b.0, a.1 + b.1);
        let sum = |c: usize| all.iter().map(|of| of[c]).reduce(plus).unwrap();
        Ok(channels.map(sum).collect())
    }

    fn found(&self, parameter: &Tensor, gradient: &Tensor) {
        assert_eq!(parameter.dims(), gradient.dims());
        *self.parts.found.lock().unwrap() += 1;
    }
}

const EPS: f64 = 1e-3;

/// Two convolutions with norms, and a sum around the second: args are images, and of each a weight, gamma and beta. Gives how
/// many values a channel the running statistics are to be moved by.
fn network(args: &[Tensor], watch: Option<Arc<dyn Watch>>) -> Result<(Tensor, f64)> {
    let (mut tape, images) = Tape::new(&args[0])?;
    if let Some(watch) = watch {
        tape.set_watch(&watch)?;
    }
    let norm = |place: usize| Norm {
        gamma: &args[place],
        beta: &args[place + 1],
        eps: EPS,
        statistics: Statistics::Batch,
    };
    let same = Conv2dParams {
        padding: [1; 4],
        ..Conv2dParams::default()
    };
    let (x, moments) = tape.conv_norm(&images, &args[1], same, &norm(2), Activation::Silu)?;
    let pointwise = Conv2dParams::default();
    let (y, _) = tape.conv_norm(&x, &args[4], pointwise, &norm(5), Activation::Identity)?;
    let sum = tape.add(&x, &y, None)?;
    Ok((tape.finish(&sum)?, moments.count))
}

fn args(images: usize, dtype: DType) -> Vec<Tensor> {
    let shapes: [&[usize]; 7] = [
        &[images, 3, 5, 4],
        &[6, 3, 3, 3],
        &[6],
        &[6],
        &[6, 6, 1, 1],
        &[6],
        &[6],
    ];
    let of = |(i, shape): (usize, &&[usize])| values(shape, i as u64 + 1).to_dtype(dtype).unwrap();
    shapes.iter().enumerate().map(of).collect()
}

/// The result over all parts, each computed by a thread of its own, and the gradients of Σ result · weights: those of the images
/// one after the other, those of the parameters summed.
fn in_parts(args: &[Tensor], parts: &[Range<usize>], weights: &Tensor) -> (Tensor, Vec<Tensor>) {
    let shared = Arc::new(Parts {
        moments: Mutex::new(vec![Vec::new(); parts.len()]),
        sums: Mutex::new(vec![Vec::new(); parts.len()]),
        found: Mutex::new(0),
        all: Barrier::new(parts.len()),
    });
    let one = |place: usize| {
        let rows = parts[place].clone();
        let own = |t: &Tensor| t.narrow(0, rows.start, rows.len()).unwrap();
        let mut args = args.to_vec();
        args[0] = own(&args[0]);
        let vars: Vec<Var> = args.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
        let args: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let parts = shared.clone();
        let watch: Arc<dyn Watch> = Arc::new(Part { place, parts });
        let (y, moved) = network(&args, Some(watch)).unwrap();
        // One part moves running statistics, by the whole batch of maps of 5 × 4.
        let of_batch = (weights.dims()[0] * 20) as f64;
        assert_eq!(moved, if place == 0 { of_batch } else { 0.0 });
        let loss = (&y * own(weights)).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let grads = args.iter().map(|arg| grads.get(arg).unwrap().clone());
        (y.detach(), grads.collect::<Vec<_>>())
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..parts.len())
            .map(|place| scope.spawn(move || one(place)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // Six parameters of each part.
    assert_eq!(*shared.found.lock().unwrap(), 6 * parts.len());
    let y: Vec<&Tensor> = found.iter().map(|(y, _)| y).collect();
    let gradient = |i: usize| {
        let of_parts = found.iter().map(|(_, grads)| grads[i].clone());
        if i == 0 {
            return Tensor::cat(&of_parts.collect::<Vec<_>>(), 0).unwrap();
        }
        of_parts.reduce(|a, b| (a + b).unwrap()).unwrap()
    };
    let gradients = (0..args.len()).map(gradient).collect();
    (Tensor::cat(&y, 0).unwrap(), gradients)
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (flat(a), flat(b));
    assert_eq!(a.len(), b.len());
    let greatest = a.iter().fold(1f64, |m, v| m.max(v.abs()));
    let each = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
    each.fold(0.0, f64::max) / greatest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn values_and_gradients_are_those_over_the_whole_batch(
        sizes in prop::collection::vec(1usize..4, 1..5),
    ) {
        let ends: Vec<usize> = sizes.iter().scan(0, |end, n| { *end += n; Some(*end) }).collect();
        let parts: Vec<_> = ends.iter().zip(&sizes).map(|(end, n)| end - n..*end).collect();
        let images = ends[ends.len() - 1];
        for (dtype, most) in [(DType::F64, 1e-11), (DType::F32, 2e-4)] {
            let args = args(images, dtype);
            let weights = values(&[images, 6, 5, 4], 99).to_dtype(dtype).unwrap();
            let whole = |args: &[Tensor]| Ok(network(args, None)?.0);
            let (y, expected) = gradients(&args, Some(&weights), &whole).unwrap();
            let (found, grads) = in_parts(&args, &parts, &weights);
            prop_assert!(difference(&y, &found) < most, "{:e}", difference(&y, &found));
            for (i, (a, b)) in expected.iter().zip(&grads).enumerate() {
                prop_assert!(difference(a, b) < most, "argument {i}: {:e}", difference(a, b));
            }
            // One part alone: to the last bit.
            if parts.len() == 1 {
                prop_assert_eq!(flat(&y), flat(&found));
                for (a, b) in expected.iter().zip(&grads) {
                    prop_assert_eq!(flat(a), flat(b));
                }
            }
        }
    }
}

#[test]
fn gradients_in_parts_agree_with_central_differences() {
    let (args, parts) = (args(6, DType::F64), [0..1, 1..3, 3..6]);
    let weights = values(&[6, 6, 5, 4], 99);
    let (_, grads) = in_parts(&args, &parts, &weights);
    let loss = |args: &[Tensor]| -> f64 {
        let (y, _) = in_parts(args, &parts, &weights);
        flat(&y)
            .iter()
            .zip(flat(&weights))
            .map(|(a, b)| a * b)
            .sum()
    };
    let h = 1e-6;
    for (i, (arg, grad)) in args.iter().zip(&grads).enumerate() {
        let (before, grad) = (flat(arg), flat(grad));
        let greatest = grad.iter().fold(1e-3f64, |m, g| m.max(g.abs()));
        for j in (0..before.len()).step_by((before.len() / 6).max(1) | 1) {
            let moved = |d: f64| {
                let (mut values, mut args) = (before.clone(), args.clone());
                values[j] += d;
                args[i] = Tensor::from_vec(values, arg.dims(), &Device::Cpu).unwrap();
                loss(&args)
            };
            let numeric = (moved(h) - moved(-h)) / (2.0 * h);
            let error = (numeric - grad[j]).abs() / greatest;
            assert!(error < 1e-6, "argument {i}, value {j}: {error:e}");
        }
    }
}

#[test]
fn where_there_are_no_kernels_sharing_statistics_is_an_error() {
    let parts = Arc::new(Parts {
        moments: Mutex::default(),
        sums: Mutex::default(),
        found: Mutex::new(0),
        all: Barrier::new(1),
    });
    let watch: Arc<dyn Watch> = Arc::new(Part { place: 0, parts });
    let (mut tape, _) = Tape::composed(&args(1, DType::F32)[0]).unwrap();
    let message = tape.set_watch(&watch).unwrap_err().to_string();
    assert!(message.contains("the CPU's kernels alone"), "{message}");
}
