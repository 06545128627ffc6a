//! The statistics of features by which it is told how unlike them others are.

use crate::error::{Error, Result};
use crate::model::novelty::{NOVELTY, Novelty, NoveltySpec};
use crate::model_file::Tensors;
use crate::random::rng::{Purpose, keyed};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rand::Rng;

/// Principal directions that are kept.
const DIRECTIONS: usize = 32;

/// Directions that are followed beside them: the kept ones settle the faster.
const BESIDE: usize = 16;

/// Rounds of the iteration.
const ROUNDS: usize = 40;

/// Quantiles that are kept.
const QUANTILES: usize = 201;

/// The statistics of the features of the training photos, and the quantiles of the distances of photos kept aside.
///
/// # Shapes
/// `train` `(photos, num_features)`, at least two; `aside` `(photos, num_features)`, at least two.
///
/// # Errors
/// [`Error::Invalid`] if there are too few photos, or they are all alike.
pub(crate) fn novelty(train: &Tensor, aside: &Tensor) -> Result<(NoveltySpec, Tensors)> {
    let (photos, width) = train.dims2()?;
    if photos < 2 || aside.dims2()?.0 < 2 {
        return Err(Error::Invalid {
            what: "the photos that novelty is told by".into(),
            expected: "at least two of train and two of valid".into(),
            found: format!("{photos} and {}", aside.dims2()?.0),
        });
    }
    let exact = train.to_dtype(DType::F64)?;
    let mean = exact.mean(0)?;
    let centred = exact.broadcast_sub(&mean)?;
    let covariance = (centred.t()?.matmul(&centred)? / (photos - 1) as f64)?;
    let covariance: Vec<Vec<f64>> = covariance.to_vec2()?;
    let total: f64 = (0..width).map(|i| covariance[i][i]).sum();
    let kept = DIRECTIONS.min(width - 1).min(photos - 1);
    let (mut directions, mut variances) = leading(&covariance, (kept + BESIDE).min(width))?;
    directions.truncate(kept);
    variances.truncate(kept);
    let rest = (total - variances.iter().sum::<f64>()) / (width - kept) as f64;
    // A direction without any spread would make every other photo infinitely far.
    let least = (total / width as f64) * 1e-6;
    if !(total > 0.0 && total.is_finite()) {
        return Err(Error::Invalid {
            what: "the features of the training photos".into(),
            expected: "photos that differ".into(),
            found: format!("a variance of {total}"),
        });
    }
    variances.push(rest);
    let value = |v: &f64| (v.max(least) as f32).max(f32::MIN_POSITIVE);
    let variances: Vec<f32> = variances.iter().map(value).collect();
    let directions: Vec<f32> = directions.concat().iter().map(|v| *v as f32).collect();
    let mut tensors = Tensors::from([
        ("mean".to_string(), mean.to_dtype(DType::F32)?),
        (
            "directions".to_string(),
            Tensor::from_vec(directions, (kept, width), &Device::Cpu)?,
        ),
        (
            "variances".to_string(),
            Tensor::from_vec(variances, kept + 1, &Device::Cpu)?,
        ),
        (
            "quantiles".to_string(),
            Tensor::zeros(2, DType::F32, &Device::Cpu)?,
        ),
    ]);
    let over = |tensors: &Tensors, quantiles| -> Result<Novelty> {
        let spec = NoveltySpec {
            directions: kept,
            quantiles,
        };
        let map = tensors.clone().into_iter().collect();
        let vb = VarBuilder::from_tensors(map, DType::F32, &Device::Cpu);
        Ok(Novelty::new(&spec, width, &vb)?)
    };
    let mut distances = over(&tensors, 2)?.distances(aside)?;
    distances.sort_by(f64::total_cmp);
    let quantiles = QUANTILES.min(distances.len());
    let quantile = |i: usize| {
        let at = i as f64 * (distances.len() - 1) as f64 / (quantiles - 1) as f64;
        let (low, part) = (at.floor() as usize, at.fract());
        let high = (low + 1).min(distances.len() - 1);
        (distances[low] + part * (distances[high] - distances[low])) as f32
    };
    let values: Vec<f32> = (0..quantiles).map(quantile).collect();
    let values = Tensor::from_vec(values, quantiles, &Device::Cpu)?;
    tensors.insert("quantiles".into(), values);
    let spec = NoveltySpec {
        directions: kept,
        quantiles,
    };
    let named = |(name, t)| (format!("{NOVELTY}.{name}"), t);
    Ok((spec, tensors.into_iter().map(named).collect()))
}

/// Orthonormal directions of the greatest variance, and their variances, greatest first: orthogonal iteration from random
/// directions, then the eigenvectors within what they span (Rayleigh and Ritz; Golub and Van Loan, "Matrix Computations", 8.2.4).
fn leading(covariance: &[Vec<f64>], count: usize) -> Result<(Vec<Vec<f64>>, Vec<f64>)> {
    let width = covariance.len();
    let matrix = Tensor::new(covariance.to_vec(), &Device::Cpu)?;
    let mut random = keyed(0, Purpose::Novelty, 0, 0);
    let mut rows: Vec<Vec<f64>> = (0..count)
        .map(|_| (0..width).map(|_| random.random_range(-1.0..1.0)).collect())
        .collect();
    orthonormalise(&mut rows);
    for _ in 0..ROUNDS {
        rows = Tensor::new(rows, &Device::Cpu)?
            .matmul(&matrix)?
            .to_vec2()?;
        orthonormalise(&mut rows);
    }
    let q = Tensor::new(rows, &Device::Cpu)?;
    let small: Vec<Vec<f64>> = q.matmul(&matrix)?.matmul(&q.t()?)?.to_vec2()?;
    let (vectors, values) = eigen(small);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let vectors: Vec<Vec<f64>> = order.iter().map(|i| vectors[*i].clone()).collect();
    let directions = Tensor::new(vectors, &Device::Cpu)?.matmul(&q)?.to_vec2()?;
    Ok((directions, order.iter().map(|i| values[*i]).collect()))
}

/// Gram and Schmidt's way, twice over, which is exact to the last digits. A row that is within those before it becomes zeros.
pub(crate) fn orthonormalise(rows: &mut [Vec<f64>]) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for i in 0..rows.len() {
        let (before, from) = rows.split_at_mut(i);
        let row = &mut from[0];
        let length = dot(row, row).sqrt();
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(row, other);
                row.iter_mut().zip(other).for_each(|(r, o)| *r -= along * o);
            }
        }
        let left = dot(row, row).sqrt();
        let scale = if left > 1e-12 * length {
            1.0 / left
        } else {
            0.0
        };
        row.iter_mut().for_each(|r| *r *= scale);
    }
}

/// Eigenvectors, as rows, and eigenvalues of a symmetric matrix, by Jacobi's rotations (Golub and Van Loan, 8.5).
fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<Vec<f64>>, Vec<f64>) {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..60 {
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| a[i][j] * a[i][j])
            .sum();
        let all: f64 = a.iter().flatten().map(|v| v * v).sum();
        if off <= 1e-28 * all {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let (c, s) = (1.0 / t.hypot(1.0), t / t.hypot(1.0));
                for row in a.iter_mut() {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (c * x - s * y, s * x + c * y);
                }
                for matrix in [&mut a, &mut vectors] {
                    let (before, from) = matrix.split_at_mut(q);
                    for (x, y) in before[p].iter_mut().zip(&mut from[0]) {
                        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                    }
                }
            }
        }
    }
    let values = (0..n).map(|i| a[i][i]).collect();
    (vectors, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leading_directions_are_eigenvectors_of_a_known_matrix() {
        // Orthonormal rows times chosen variances.
        let mut basis: Vec<Vec<f64>> = (0..20)
            .map(|i| {
                (0..20)
                    .map(|j| ((i * 7 + j * 3) as f64).sin() + f64::from(u8::from(i == j)))
                    .collect()
            })
            .collect();
        orthonormalise(&mut basis);
        let variances: Vec<f64> = (0..20).map(|i| 100.0 * 0.5f64.powi(i)).collect();
        let covariance: Vec<Vec<f64>> = (0..20)
            .map(|i| {
                let at = |j: usize| {
                    (0..20)
                        .map(|k| variances[k] * basis[k][i] * basis[k][j])
                        .sum()
                };
                (0..20).map(at).collect()
            })
            .collect();
        let (directions, found) = leading(&covariance, 8).unwrap();
        for k in 0..6 {
            assert!(
                (found[k] / variances[k] - 1.0).abs() < 1e-9,
                "{k} {}",
                found[k]
            );
            let along: f64 = directions[k]
                .iter()
                .zip(&basis[k])
                .map(|(a, b)| a * b)
                .sum();
            assert!((along.abs() - 1.0).abs() < 1e-9, "{k} {along}");
        }
    }
}
