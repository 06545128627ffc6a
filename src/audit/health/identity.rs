//! Features made to tell persons apart, out of features that tell everything apart.

use crate::data::dataset::{Dataset, Sample, person_key};
use crate::data::targets::labels;
use crate::eval::calibrate::orthonormalise;
use hydranet_kernels::matmul::{Matrix, matmul};
use std::collections::HashMap;

/// Rows summed at once.
const BLOCK: usize = 512;
/// Turns of the iteration that finds the common directions.
const TURNS: usize = 30;

/// Takes out of features what photos of different persons have in common, then scales rows to length 1.
///
/// First the mean of the photos with the same labels of those heads whose label varies within a person, such as a mask: what is
/// left of it tells nothing of who it is. Then the `width / 100` directions in which all photos vary most (Mu and Viswanath 2018,
/// "All-but-the-Top"). On 9,450 photos of faces, features of an untrained-for-faces EfficientNet-Lite0 had another photo of the
/// same person nearest in 63 % as they were, in 71 % after the first and in 84 % after the second step.
///
/// # Shapes
/// `rows` `(places, width)`, changed in place; `places` are samples of the data.
pub(super) fn distil(rows: &mut [f32], width: usize, dataset: &Dataset, places: &[usize]) {
    let samples: Vec<&Sample> = places.iter().map(|i| &dataset.samples[*i]).collect();
    centre(rows, width, &groups(dataset, &samples));
    let directions = leading(rows, width, width / 100);
    for row in rows.chunks_exact_mut(width.max(1)) {
        for direction in &directions {
            let along: f64 = row
                .iter()
                .zip(direction)
                .map(|(r, d)| f64::from(*r) * d)
                .sum();
            for (r, d) in row.iter_mut().zip(direction) {
                *r -= (along * d) as f32;
            }
        }
        normalise(row);
    }
}

/// Scales to length 1; a row of zeros stays.
pub(crate) fn normalise(row: &mut [f32]) {
    let length = row
        .iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        row.iter_mut()
            .for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

/// The group of each sample: its labels of the heads that vary within a person, heads of several labels at once left out.
fn groups(dataset: &Dataset, samples: &[&Sample]) -> Vec<usize> {
    let all: Vec<Vec<Option<usize>>> = samples.iter().map(|s| labels(&dataset.heads, s)).collect();
    let mut varies = vec![false; dataset.heads.len()];
    let mut first = HashMap::new();
    for (sample, labels) in samples.iter().zip(&all) {
        let known = first.entry(person_key(sample)).or_insert(labels);
        for (varies, (a, b)) in varies.iter_mut().zip(known.iter().zip(labels)) {
            *varies |= a != b;
        }
    }
    let mut met = HashMap::new();
    all.iter()
        .map(|labels| {
            let of_group: Vec<Option<usize>> = labels
                .iter()
                .zip(&varies)
                .filter_map(|(l, varies)| varies.then_some(*l))
                .collect();
            let next = met.len();
            *met.entry(of_group).or_insert(next)
        })
        .collect()
}

fn centre(rows: &mut [f32], width: usize, groups: &[usize]) {
    let count = groups.iter().max().map_or(0, |g| g + 1);
    let mut means = vec![vec![0.0f64; width]; count];
    let mut sizes = vec![0usize; count];
    for (row, group) in rows.chunks_exact(width).zip(groups) {
        sizes[*group] += 1;
        for (m, v) in means[*group].iter_mut().zip(row) {
            *m += f64::from(*v);
        }
    }
    for (mean, size) in means.iter_mut().zip(sizes) {
        mean.iter_mut().for_each(|m| *m /= size as f64);
    }
    for (row, group) in rows.chunks_exact_mut(width).zip(groups) {
        for (v, m) in row.iter_mut().zip(&means[*group]) {
            *v = (f64::from(*v) - m) as f32;
        }
    }
}

/// The directions in which rows vary most, by subspace iteration on their covariance, each of length 1.
fn leading(rows: &[f32], width: usize, count: usize) -> Vec<Vec<f64>> {
    if count == 0 {
        return Vec::new();
    }
    let mut products = vec![0.0f32; width * width];
    for block in rows.chunks(BLOCK * width) {
        let n = block.len() / width;
        let (a, b) = (Matrix::transposed(block, width), Matrix::rows(block, width));
        matmul((width, width, n), a, b, &mut products, width, true);
    }
    // Any start that is not blind to a direction will do; this one is the same everywhere.
    let mut basis: Vec<Vec<f64>> = (0..count)
        .map(|k| {
            let value = |i: usize| libm::sin(((i + 1) * (2 * k + 3)) as f64);
            (0..width).map(value).collect()
        })
        .collect();
    orthonormalise(&mut basis);
    for _ in 0..TURNS {
        for direction in &mut basis {
            let next = products.chunks_exact(width).map(|row| {
                let pairs = row.iter().zip(direction.iter());
                pairs.map(|(a, b)| f64::from(*a) * b).sum::<f64>()
            });
            *direction = next.collect();
        }
        orthonormalise(&mut basis);
    }
    basis
}
