//! What a convolution costs forward and backward by compositions, which stand in for the kernels on other devices.
//!
//! `cargo bench --bench compositions -- [--batch 8] [--rounds 6]`
//!
//! One line a convolution: milliseconds by compositions and by the kernels, the best of some rounds that take turns. What an
//! earlier version needs is seen by running its own.

use candle_core::{Device, Result, Tensor, Var};
use hydranet_tape::{Activation, Conv2dParams, Map, Tape};
use std::time::Instant;

/// Channels in and out, groups, size of the square input, kernel, stride.
const CONVOLUTIONS: [(&str, [usize; 6]); 9] = [
    ("stem, 3 x 3 stride 2", [3, 32, 1, 224, 3, 2]),
    ("pointwise", [96, 24, 1, 56, 1, 1]),
    ("depthwise 3 x 3", [144, 144, 144, 56, 3, 1]),
    ("depthwise 3 x 3 stride 2", [96, 96, 96, 112, 3, 2]),
    ("depthwise 5 x 5", [240, 240, 240, 28, 5, 1]),
    ("depthwise 5 x 5 stride 2", [144, 144, 144, 56, 5, 2]),
    ("dense 3 x 3", [64, 64, 1, 56, 3, 1]),
    ("dense 3 x 3 stride 2", [64, 128, 1, 56, 3, 2]),
    ("dense 1 x 1 stride 2", [64, 128, 1, 56, 1, 2]),
];

/// How a tape starts.
type Start = fn(&Tensor) -> Result<(Tape, Map)>;

fn option(name: &str, default: usize) -> usize {
    let mut args = std::env::args().skip_while(|arg| arg != name);
    let value = args.nth(1);
    value.map_or(default, |value| value.parse().expect("a number"))
}

fn main() -> Result<()> {
    let (batch, rounds) = (option("--batch", 8), option("--rounds", 6));
    let starts: [Start; 2] = [Tape::composed, Tape::new];
    println!("{:26}{:>14}{:>10}", "", "compositions", "kernels");
    for (name, [c, o, groups, size, kernel, stride]) in CONVOLUTIONS {
        let x = Var::randn(0f32, 1., (batch, c, size, size), &Device::Cpu)?;
        // The gradient of photos is not asked for in training.
        let x = if c == 3 {
            x.detach()
        } else {
            x.as_tensor().clone()
        };
        let weight = Var::randn(0f32, 1., (o, c / groups, kernel, kernel), &Device::Cpu)?;
        let pad = kernel / 2;
        let params = Conv2dParams {
            stride: (stride, stride),
            padding: [pad; 4],
            groups,
            ..Conv2dParams::default()
        };
        let mut best = [f64::INFINITY; 2];
        for _ in 0..rounds {
            for (start, best) in starts.iter().zip(&mut best) {
                let began = Instant::now();
                let (mut tape, map) = start(&x)?;
                let y = tape.conv(&map, weight.as_tensor(), None, params, Activation::Identity)?;
                tape.finish(&y)?.sqr()?.sum_all()?.backward()?;
                *best = best.min(began.elapsed().as_secs_f64() * 1e3);
            }
        }
        println!("{name:26}{:>14.1}{:>10.1}", best[0], best[1]);
    }
    Ok(())
}
