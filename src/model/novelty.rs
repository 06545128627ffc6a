//! How unlike the training photos a photo is, by its features: a photo of something else, or out of focus, is told by that,
//! however sure the heads are of it.

use crate::error::{Error, Result};
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// The statistics a model file has for it: tensors `novelty.mean` `(num_features)`, `novelty.directions` `(directions,
/// num_features)`, `novelty.variances` `(directions + 1)` and `novelty.quantiles` `(quantiles)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoveltySpec {
    /// Principal directions of the training photos' features.
    pub directions: usize,
    /// Quantiles of the distances of photos kept aside in training, evenly spaced from the least to the greatest.
    pub quantiles: usize,
}

/// More is refused, so that a damaged file cannot ask for all memory.
const MOST: usize = 65_536;

impl NoveltySpec {
    /// # Errors
    /// [`Error::Invalid`] if a number is out of range.
    pub(crate) fn validate(&self) -> Result<()> {
        for (what, least, found) in [
            ("directions", 1, self.directions),
            ("quantiles", 2, self.quantiles),
        ] {
            if !(least..=MOST).contains(&found) {
                return Err(Error::Invalid {
                    what: format!("novelty.{what}"),
                    expected: format!("a number from {least} to {MOST}"),
                    found: found.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// What the name of its tensors begins with.
pub(crate) const NOVELTY: &str = "novelty";

/// The features of the training photos as a normal distribution whose covariance is free along its first principal directions and
/// alike in all others (probabilistic principal components, Tipping and Bishop 1999). A photo's distance is Mahalanobis's, as Lee
/// et al. 2018 take to find what is out of distribution:
///
/// d² = Σₖ (uₖ · z)² / λₖ + (‖z‖² − Σₖ (uₖ · z)²) / σ², z = features − mean.
#[derive(Clone, Debug)]
pub(crate) struct Novelty {
    mean: Vec<f32>,
    /// `(directions, num_features)`, orthonormal rows.
    directions: Vec<f32>,
    /// λ of each direction, and σ² behind them.
    variances: Vec<f32>,
    quantiles: Vec<f32>,
}

impl Novelty {
    /// Over the tensors of `vb`.
    ///
    /// # Errors
    /// If one is missing.
    pub(crate) fn new(
        spec: &NoveltySpec,
        num_features: usize,
        vb: &VarBuilder,
    ) -> candle_core::Result<Self> {
        let values = |shape: &[usize], name| -> candle_core::Result<Vec<f32>> {
            let tensor = vb.get(shape, name)?.to_dtype(DType::F32)?;
            tensor.flatten_all()?.to_vec1()
        };
        Ok(Self {
            mean: values(&[num_features], "mean")?,
            directions: values(&[spec.directions, num_features], "directions")?,
            variances: values(&[spec.directions + 1], "variances")?,
            quantiles: values(&[spec.quantiles], "quantiles")?,
        })
    }

    /// Whether photos can be told by it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a variance is not above 0 or the quantiles do not ascend.
    pub(crate) fn check(&self, origin: &str) -> Result<()> {
        let problem = if !self.variances.iter().all(|v| *v > 0.0) {
            "expected numbers above 0 in `novelty.variances`"
        } else if !self.quantiles.is_sorted() {
            "expected numbers that ascend in `novelty.quantiles`"
        } else {
            return Ok(());
        };
        Err(Error::Checkpoint {
            origin: origin.into(),
            problem: problem.into(),
            source: None,
        })
    }

    /// The squared distance d² of each row.
    ///
    /// # Shapes
    /// `features` `(batch, num_features)`, or wider rows that begin with them.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub(crate) fn distances(&self, features: &Tensor) -> Result<Vec<f64>> {
        let width = self.mean.len();
        if features.rank() != 2 || features.dims()[1] < width {
            return Err(Error::Shape {
                what: "features".into(),
                expected: format!("(batch, {width})"),
                found: features.dims().to_vec(),
            });
        }
        let features = features.narrow(1, 0, width)?;
        let rows: Vec<f32> = features.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(rows.chunks_exact(width).map(|r| self.distance(r)).collect())
    }

    fn distance(&self, row: &[f32]) -> f64 {
        let centred = row.iter().zip(&self.mean);
        let z: Vec<f64> = centred
            .map(|(x, m)| f64::from(*x) - f64::from(*m))
            .collect();
        let mut rest: f64 = z.iter().map(|v| v * v).sum();
        let mut distance = 0.0;
        let directions = self.directions.chunks_exact(z.len());
        for (direction, variance) in directions.zip(&self.variances) {
            let along: f64 = direction
                .iter()
                .zip(&z)
                .map(|(u, v)| f64::from(*u) * v)
                .sum();
            distance += along * along / f64::from(*variance);
            rest -= along * along;
        }
        let last = self.variances.last().copied().unwrap_or(1.0);
        distance + rest.max(0.0) / f64::from(last)
    }

    /// The share of the photos kept aside that are nearer than d², from 0 to 1, by linear interpolation between the quantiles.
    pub(crate) fn share(&self, distance: f64) -> f64 {
        let above = self.quantiles.partition_point(|q| f64::from(*q) < distance);
        let last = self.quantiles.len() - 1;
        if above == 0 || above > last {
            return if above == 0 { 0.0 } else { 1.0 };
        }
        let [low, high] = [above - 1, above].map(|i| f64::from(self.quantiles[i]));
        ((above - 1) as f64 + (distance - low) / (high - low)) / last as f64
    }
}
