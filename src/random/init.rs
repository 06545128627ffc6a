//! Seeded draws without a generator's state: dropout, drop-path, and the first values of new tensors.

use candle_core::{Device, Result, Shape, Tensor, bail};
use candle_nn::Init;

/// Uniform draws from 0 to below 1, the i-th of stream `stream` under `key` (SplitMix64; Steele, Lea, Flood 2014).
pub(crate) fn uniform(key: u64, stream: u64, i: u64) -> f32 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let start = mix(key ^ mix(stream.wrapping_add(0x9E37_79B9_7F4A_7C15)));
    let bits = mix(start.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    (bits >> 40) as f32 / (1u64 << 24) as f32
}

/// A number of a name, the same everywhere (FNV-1a); keeps draws for different tensors apart.
pub(crate) fn stream_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The first values of a new tensor, from the seed and the tensor's own name: adding a head does not change another's.
pub(crate) fn init_tensor(seed: u64, name: &str, shape: &Shape, init: Init) -> Result<Tensor> {
    let stream = stream_of(name);
    let n = shape.elem_count() as u64;
    let draw = |i| f64::from(uniform(seed, stream, i));
    let values: Vec<f32> = match init {
        Init::Const(c) => vec![c as f32; n as usize],
        Init::Uniform { lo, up } => (0..n).map(|i| (lo + (up - lo) * draw(i)) as f32).collect(),
        // Box and Muller 1958; the radius from 1 − u, which is never 0.
        Init::Randn { mean, stdev } => (0..n)
            .map(|i| {
                let radius = (-2.0 * (1.0 - draw(2 * i)).ln()).sqrt();
                let angle = std::f64::consts::TAU * draw(2 * i + 1);
                (mean + stdev * radius * angle.cos()) as f32
            })
            .collect(),
        Init::Kaiming { .. } => bail!("{name}: hydranet's layers give their bounds themselves"),
    };
    Tensor::from_vec(values, shape.clone(), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_draws_have_the_mean_and_deviation_asked_for() {
        let init = Init::Randn {
            mean: 1.0,
            stdev: 0.5,
        };
        let t = init_tensor(7, "a.weight", &Shape::from(20_000), init).unwrap();
        let values: Vec<f32> = t.to_vec1().unwrap();
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 20_000.0;
        let var = values
            .iter()
            .map(|v| (f64::from(*v) - mean).powi(2))
            .sum::<f64>()
            / 20_000.0;
        // Five standard errors: 0.5 / √20000 of the mean, √2 · 0.25 / √20000 of the variance.
        assert!((mean - 1.0).abs() < 0.018, "{mean}");
        assert!((var - 0.25).abs() < 0.0125, "{var}");
    }
}
