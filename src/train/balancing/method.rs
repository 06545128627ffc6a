//! A method at work.

use super::{Balancing, DynamicAverage, Famo, GradNorm, Uncertainty};
use serde::{Deserialize, Serialize};

/// A method of balancing with what it has learned so far: a part of the run's saved state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// [`Balancing::Fixed`].
    #[default]
    Fixed,
    /// [`Balancing::Uncertainty`].
    Uncertainty(Uncertainty),
    /// [`Balancing::DynamicAverage`].
    DynamicAverage(DynamicAverage),
    /// [`Balancing::GradNorm`].
    GradNorm(GradNorm),
    /// [`Balancing::PcGrad`].
    PcGrad,
    /// [`Balancing::Famo`].
    Famo(Famo),
}

/// What a method learns from after a step.
pub(super) struct Step<'a> {
    /// Each head's loss.
    pub losses: &'a [Option<f64>],
    /// Norm of its gradient at the features, where they were asked for.
    pub norms: &'a [f64],
    /// The losses of the same batch after the step, where they were asked for.
    pub after: Option<&'a [Option<f64>]>,
    /// The heads' learning rate in this step.
    pub lr: f64,
}

impl Method {
    /// Before the first step of a model with so many heads.
    pub fn new(balancing: Balancing, heads: usize) -> Self {
        match balancing {
            Balancing::Fixed => Self::Fixed,
            Balancing::Uncertainty => Self::Uncertainty(Uncertainty::new(heads)),
            Balancing::DynamicAverage { temperature } => {
                Self::DynamicAverage(DynamicAverage::new(temperature, heads))
            }
            Balancing::GradNorm { alpha, lr } => Self::GradNorm(GradNorm::new(alpha, lr, heads)),
            Balancing::PcGrad => Self::PcGrad,
            Balancing::Famo { lr, decay } => Self::Famo(Famo::new(lr, decay, heads)),
        }
    }

    /// The setting it was made by.
    pub fn setting(&self) -> Balancing {
        match self {
            Self::Fixed => Balancing::Fixed,
            Self::Uncertainty(_) => Balancing::Uncertainty,
            Self::DynamicAverage(of) => Balancing::DynamicAverage {
                temperature: of.temperature(),
            },
            Self::GradNorm(of) => {
                let (alpha, lr) = of.settings();
                Balancing::GradNorm { alpha, lr }
            }
            Self::PcGrad => Balancing::PcGrad,
            Self::Famo(of) => {
                let (lr, decay) = of.settings();
                Balancing::Famo { lr, decay }
            }
        }
    }

    /// The factors of the heads' losses in a step with these losses.
    pub(super) fn factors(&self, losses: &[Option<f64>]) -> Vec<f64> {
        match self {
            Self::Fixed | Self::PcGrad => vec![1.0; losses.len()],
            Self::Uncertainty(of) => of.factors(),
            Self::DynamicAverage(of) => of.factors(),
            Self::GradNorm(of) => of.factors().to_vec(),
            Self::Famo(of) => of.factors(losses),
        }
    }

    /// Learns from a step.
    pub(super) fn update(&mut self, step: &Step) {
        match self {
            Self::Fixed | Self::PcGrad => {}
            Self::Uncertainty(of) => of.update(step.losses, step.lr),
            Self::DynamicAverage(of) => of.update(step.losses),
            Self::GradNorm(of) => of.update(step.losses, step.norms),
            Self::Famo(of) => {
                if let Some(after) = step.after {
                    of.update(step.losses, after);
                }
            }
        }
    }

    /// Ends an epoch.
    pub(super) fn end_epoch(&mut self) {
        if let Self::DynamicAverage(of) = self {
            of.end_epoch();
        }
    }
}
