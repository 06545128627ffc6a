//! Balancing the heads: the factor each head's loss gets in the joint loss.
//!
//! A method sees the heads' losses as they are, and a head's own `weight` multiplies what it finds: weight 2 is twice what the
//! method would give. A head of weight 0, and one whose label no photo of a batch has, takes no part in a step: nothing the
//! method has learned about it moves.
//!
//! [`Balancing`] names the methods, one a file; `Method` is one at work; `Balancer` is that and the figures of an epoch. All of
//! it is numbers, a few a head; tensors are in the step's gradients alone.

mod adam;
mod balancer;
mod dynamic_average;
mod famo;
mod grad_norm;
mod gradients;
mod method;
pub(crate) mod pc_grad;
mod report;
mod uncertainty;

use crate::error::{Error, Result};
pub use adam::Adam;
pub use balancer::Balancer;
pub use dynamic_average::DynamicAverage;
pub use famo::Famo;
pub use grad_norm::GradNorm;
pub(super) use gradients::Gradients;
pub use report::GradientReport;
pub(super) use report::pairs;
use serde::{Deserialize, Serialize};
pub use uncertainty::Uncertainty;

/// The least loss that is divided by or whose logarithm is taken.
const LEAST: f64 = 1e-8;

/// How the heads are balanced: `train.balancing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Balancing {
    /// By their `weight` alone.
    #[default]
    Fixed,
    /// A learned variance of each head's task (Kendall, Gal and Cipolla 2018), see `Uncertainty`.
    Uncertainty,
    /// By how fast the heads' losses fall from epoch to epoch (dynamic weight average; Liu, Johns and Davison 2019), see
    /// `DynamicAverage`.
    DynamicAverage {
        /// Temperature of the softmax, above 0: the larger, the more alike the factors.
        #[serde(default = "two")]
        temperature: f64,
    },
    /// So that all heads learn at one rate, by the norms of their gradients (GradNorm, Chen et al. 2018), see `GradNorm`.
    GradNorm {
        /// How strongly a head that lags behind is favoured, at least 0.
        #[serde(default = "one_and_a_half")]
        alpha: f64,
        /// Learning rate of the factors, above 0.
        #[serde(default = "fortieth")]
        lr: f64,
    },
    /// What of a head's gradient on the backbone points against another's is taken out of it (PCGrad, Yu et al. 2020), see
    /// `project`.
    PcGrad,
    /// So that the logarithms of the losses fall alike (FAMO; Liu, Feng, Stone and Liu 2023), see `Famo`.
    Famo {
        /// Learning rate of the factors, above 0.
        #[serde(default = "fortieth")]
        lr: f64,
        /// Decay of the factors towards equal ones, at least 0.
        #[serde(default = "hundred_thousandth")]
        decay: f64,
    },
}

fn two() -> f64 {
    2.0
}

fn one_and_a_half() -> f64 {
    1.5
}

fn fortieth() -> f64 {
    0.025
}

fn hundred_thousandth() -> f64 {
    1e-5
}

impl Balancing {
    /// Whether it is [`Balancing::Fixed`].
    pub(crate) fn is_fixed(&self) -> bool {
        *self == Self::Fixed
    }

    /// # Errors
    /// [`Error::Invalid`] naming the setting that is out of range.
    pub(super) fn validate(self) -> Result<()> {
        let check = |what: &str, value: f64, zero: bool| {
            let least = if zero { "of at least" } else { "above" };
            if (0.0..=1e6).contains(&value) && (zero || value > 0.0) {
                return Ok(());
            }
            Err(Error::Invalid {
                what: format!("train.balancing.{what}"),
                expected: format!("a number {least} 0, at most 1000000"),
                found: value.to_string(),
            })
        };
        match self {
            Self::Fixed | Self::Uncertainty | Self::PcGrad => Ok(()),
            Self::DynamicAverage { temperature } => {
                check("dynamic_average.temperature", temperature, false)
            }
            Self::GradNorm { alpha, lr } => {
                check("grad_norm.alpha", alpha, true)?;
                check("grad_norm.lr", lr, false)
            }
            Self::Famo { lr, decay } => {
                check("famo.lr", lr, false)?;
                check("famo.decay", decay, true)
            }
        }
    }
}
