//! Mix-up (Zhang et al. 2018): photos and targets are blended pairwise, with one λ and one partner for all heads of a photo.

use super::rng::{Purpose, keyed};
use crate::error::{Error, Result};
use rand_distr::{Beta, Distribution};

/// One head's targets of a batch: soft rows, and the weight of each row (0: the label is missing).
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// `(batch, num_labels)`, row after row; each row sums to 1, or is 0 where the label is missing.
    pub rows: Vec<f32>,
    /// `(batch)`.
    pub weights: Vec<f32>,
    /// Labels a row.
    pub num_labels: usize,
}

/// λ of one step, from Beta(α, α); 1 (no blending) if α is 0.
///
/// # Errors
/// [`Error::Invalid`] if `alpha` is negative or not a number.
pub fn draw_lambda(alpha: f64, seed: u64, epoch: u64, step: u64) -> Result<f64> {
    if alpha == 0.0 {
        return Ok(1.0);
    }
    let beta = Beta::new(alpha, alpha).map_err(|_| Error::Invalid {
        what: "train.mix_up".into(),
        expected: "a number of at least 0".into(),
        found: alpha.to_string(),
    })?;
    Ok(beta.sample(&mut keyed(seed, Purpose::Mix, epoch, step)))
}

/// Blends a batch in place: photo i with photo batch − 1 − i, x = λ·x + (1 − λ)·partner. The batch comes in random order, so its
/// mirror image is a random partner, and pairs can be blended without a copy of the batch.
///
/// A head's target is blended by the same λ. Where one of the pair lacks the label, the other's counts alone, by its share.
///
/// # Shapes
/// `images` `(batch, …)` flat; each of `heads` of the same batch.
pub fn mix_up(images: &mut [f32], heads: &mut [Targets], batch: usize, lambda: f64) {
    if lambda == 1.0 || batch < 2 {
        return;
    }
    let l = lambda as f32;
    let size = images.len() / batch;
    let half = batch / 2;
    // With an odd number the one in the middle is its own partner and stays as it is.
    let (front, back) = images.split_at_mut((batch - half) * size);
    for (a, b) in front
        .chunks_exact_mut(size)
        .zip(back.chunks_exact_mut(size).rev())
    {
        for (a, b) in a.iter_mut().zip(b) {
            (*a, *b) = (l * *a + (1.0 - l) * *b, l * *b + (1.0 - l) * *a);
        }
    }
    for head in heads {
        let before = head.clone();
        let n = head.num_labels;
        for i in 0..batch {
            let j = batch - 1 - i;
            let (own, other) = (l * before.weights[i], (1.0 - l) * before.weights[j]);
            let weight = own + other;
            head.weights[i] = weight;
            for c in 0..n {
                let blended = own * before.rows[i * n + c] + other * before.rows[j * n + c];
                head.rows[i * n + c] = if weight > 0.0 { blended / weight } else { 0.0 };
            }
        }
    }
}
