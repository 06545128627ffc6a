//! How a head is taught.

use super::class_weights::ClassWeights;
use super::fault::{Fault, check_share, fault};
use super::loss_kind::{GREATEST, LossKind};

/// The loss of a head, and what its labels and the head itself count in it.
#[derive(Clone, Debug, PartialEq)]
pub struct LossSpec {
    /// The loss of one photo; in a file the key `loss`.
    pub kind: LossKind,
    /// Factor of this head's loss in the joint loss.
    pub weight: f64,
    /// Factor of each label within the loss.
    pub class_weights: ClassWeights,
    /// Share of the epochs after which the class weights count; before, every label counts alike. 0: from the start. With the
    /// loss `ldam` that is deferred re-weighting (Cao et al. 2019), 0.8 in the paper.
    pub reweight_after: f64,
    /// Label smoothing ε: target = (1 − ε) · target + ε / labels (Szegedy et al. 2016); of labels of which a photo may have
    /// several (1 − ε) · target + ε / 2.
    pub smoothing: f64,
}

impl Default for LossSpec {
    /// Plain cross-entropy of weight 1.
    fn default() -> Self {
        Self {
            kind: LossKind::default(),
            weight: 1.0,
            class_weights: ClassWeights::default(),
            reweight_after: 0.0,
            smoothing: 0.0,
        }
    }
}

impl LossSpec {
    /// Whether a head of `labels` labels, whose targets have `targets` values, can have it.
    pub(super) fn check(&self, labels: usize, targets: usize) -> Result<(), Fault> {
        if !(0.0..=GREATEST).contains(&self.weight) {
            let expected = format!("a number of at least 0, at most {GREATEST}");
            return fault("weight", expected, self.weight);
        }
        self.kind.check(targets)?;
        self.class_weights.check(labels)?;
        check_share("reweight_after", self.reweight_after)?;
        check_share("smoothing", self.smoothing)
    }
}
