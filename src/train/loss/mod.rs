//! The loss of one head, on soft targets, with class weights and missing labels; [`objective`] has those of all heads,
//! [`joint`] their weighted sum.

mod batch;
mod binary;
pub mod class_weights;
mod consistency;
mod cumulative;
mod hierarchical;
pub(crate) mod imbalance;
pub(super) mod joint;
mod kinds;
pub(super) mod objective;
pub(super) mod tasks;
pub(crate) mod unseen;

use crate::error::Result;
use crate::head::{LossKind, check_loss};
use batch::{Batch, group_weights};
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};
pub use consistency::Consistency;
use std::borrow::Cow;
pub use tasks::targets;

/// A loss of one's own: [`Trainer::loss`](super::Trainer::loss) teaches a head by it. Like a [`Backbone`](crate::Backbone) it
/// speaks candle's `Result`, as its operators do.
///
/// ```
/// use candle_core::{D, Result, Tensor};
/// use hydranet::train::Loss;
///
/// /// The mean squared error of the probabilities.
/// struct Brier;
///
/// impl Loss for Brier {
///     fn loss(&self, outputs: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor> {
///         let probs = candle_nn::ops::softmax(outputs, D::Minus1)?;
///         let each = (probs - targets)?.sqr()?.sum(D::Minus1)?;
///         (each * weights)?.sum_all()? / weights.sum_all()?
///     }
/// }
/// # let probs = Tensor::new(&[[0f32, 0.]], &candle_core::Device::Cpu)?;
/// # let target = Tensor::new(&[[1f32, 0.]], &candle_core::Device::Cpu)?;
/// # let one = Tensor::new(&[1f32], &candle_core::Device::Cpu)?;
/// # assert_eq!(Brier.loss(&probs, &target, &one)?.to_scalar::<f32>()?, 0.5);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Loss {
    /// The mean loss of some photos, of which at least one has a weight above 0, with its gradient by `outputs`.
    ///
    /// # Shapes
    /// - `outputs` `(photos, num_outputs)`, see [`Head::outputs`](crate::Head::outputs)
    /// - `targets` `(photos, num_labels)`, soft rows of the mixed photos, without label smoothing; over the bins of a number
    ///   `(photos, bins)`, with groups that the head's own loss learns from `(photos, num_labels + groups)`
    /// - `weights` `(photos)`, 0 where the label is missing
    /// - result a scalar
    ///
    /// # Errors
    /// Whatever candle says.
    fn loss(
        &self,
        outputs: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
    ) -> candle_core::Result<Tensor>;
}

/// The settings of one head's loss, with class weights as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadLoss {
    /// The kind.
    pub kind: LossKind,
    /// Factor of each label.
    pub class_weights: Vec<f64>,
    /// Share of the epochs after which the class weights count; 0: from the start.
    pub reweight_after: f64,
    /// Label smoothing ε.
    pub smoothing: f64,
    /// Training photos of each label, by their targets; `ldam` and `logit_adjusted` need them. A label without photos counts as
    /// one with one.
    pub counts: Vec<f64>,
    /// Of each label, and behind them of each group, the place of the group it stands in among the groups; empty without groups.
    /// Rows of targets then have a value a group behind those of the labels.
    pub parents: Vec<Option<usize>>,
}

impl HeadLoss {
    /// A loss in which all labels count and occur alike, without groups and smoothing; `num_labels` are a head's labels, or the
    /// bins of a number.
    pub fn new(kind: LossKind, num_labels: usize) -> Self {
        Self {
            kind,
            class_weights: vec![1.0; num_labels],
            reweight_after: 0.0,
            smoothing: 0.0,
            counts: vec![1.0; num_labels],
            parents: Vec::new(),
        }
    }

    /// Values of a row behind those of the labels.
    fn num_groups(&self) -> usize {
        self.parents.len().saturating_sub(self.class_weights.len())
    }

    /// The loss in epoch `epoch` (from 0) of `epochs`: without class weights until they count.
    pub(crate) fn in_epoch(&self, epoch: usize, epochs: usize) -> Cow<'_, Self> {
        if epoch as f64 >= self.reweight_after * epochs as f64 {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            class_weights: vec![1.0; self.class_weights.len()],
            ..self.clone()
        })
    }

    /// A target after smoothing: towards all labels alike, or where a photo may have several of them towards ½ for each.
    fn smoothed(&self, target: f64) -> f64 {
        let parts = if self.kind.is_multi_label() {
            2.0
        } else {
            self.class_weights.len() as f64
        };
        (1.0 - self.smoothing) * target + self.smoothing / parts
    }

    /// What [`loss`](Self::loss) divides by: Σᵢ sᵢ Σ_c tᵢ_c w_c, over rows of targets and the photos' weights; with `corn` each
    /// label times the number of its binary cross-entropies, of labels of which a photo may have several Σᵢ sᵢ. A part of a batch
    /// has this share of the batch's loss.
    pub(crate) fn total(&self, targets: &[f32], weights: &[f32]) -> f64 {
        if self.kind.is_multi_label() {
            return weights.iter().map(|s| f64::from(*s)).sum();
        }
        let labels = self.class_weights.len();
        let groups = group_weights(&self.class_weights, &self.parents);
        let terms = |c| match self.kind {
            LossKind::Corn => cumulative::tasks(c, labels) as f64,
            _ => 1.0,
        };
        let row = |row: &[f32]| -> f64 {
            let each = row.iter().zip(&self.class_weights).enumerate();
            let of_labels = each.map(|(c, (t, w))| self.smoothed(f64::from(*t)) * w * terms(c));
            let of_groups = row[labels..].iter().zip(&groups);
            let of_groups = of_groups.map(|(t, w)| (1.0 - self.smoothing) * f64::from(*t) * w);
            of_labels.sum::<f64>() + of_groups.sum::<f64>()
        };
        let rows = targets.chunks_exact(labels + groups.len()).zip(weights);
        rows.map(|(r, s)| f64::from(*s) * row(r)).sum()
    }

    /// Σᵢ sᵢ ℓᵢ / Σᵢ sᵢ Σ_c tᵢ_c w_c, with ℓ as [`LossKind`] says, in which label c has the factor w_c; t the smoothed targets, w
    /// the class weights, s the weight of each photo, 0 where the label is missing. For cross-entropy on hard labels this is
    /// PyTorch's `CrossEntropyLoss(weight)`, which divides by the weights of the labels met. The earth mover's distance and
    /// those of means have no parts that belong to a label: a photo's has the factor Σ_c t_c w_c. Soft F1 is one of the whole
    /// batch. Of K labels of which a photo may have several it is Σᵢ sᵢ Σ_c w_c ℓᵢ_c / (K · Σᵢ sᵢ), PyTorch's
    /// `BCEWithLogitsLoss(weight)`. With groups the sums are over labels and groups, a group's weight is the mean of its labels',
    /// and cross-entropy is hierarchical cross-entropy with α = 0; smoothing moves what is known of a group to the labels too.
    ///
    /// Value and gradient are computed together, in `f64`, on the CPU; a gradient's own gradient is not to be had.
    ///
    /// `None` if no photo of the batch has the label.
    ///
    /// # Shapes
    /// `logits` `(batch, num_outputs)`, which are `num_labels` or, with `coral` and `corn`, one fewer; `targets`
    /// `(batch, num_labels)` or `(batch, num_labels + groups)`, `weights` `(batch)`; result a scalar.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if shapes do not fit, [`Error::Invalid`](crate::Error::Invalid) if there are not as
    /// many class weights and counts as labels, or the kind is none for so many.
    pub fn loss(
        &self,
        logits: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
    ) -> Result<Option<Tensor>> {
        let labels = self.class_weights.len();
        if labels < 2 || self.counts.len() != labels {
            return Err(crate::error::Error::Invalid {
                what: "the loss, class weights and counts".into(),
                expected: "one of each for each of at least two labels".into(),
                found: format!("{labels} and {}", self.counts.len()),
            });
        }
        let groups = self.num_groups();
        check_parents(&self.kind, &self.parents, labels)?;
        check_loss(&self.kind, labels)?;
        let outputs = self.kind.num_outputs(labels);
        let photos = weights.elem_count();
        for (what, tensor, width) in [
            ("logits", logits, outputs),
            ("targets", targets, labels + groups),
        ] {
            if tensor.dims() != [photos, width] {
                return Err(crate::error::Error::Shape {
                    what: format!("the loss, {what}"),
                    expected: format!("({photos}, {width})"),
                    found: tensor.dims().to_vec(),
                });
            }
        }
        let (mut of_labels, mut of_groups) = (Vec::new(), Vec::new());
        for row in values(targets)?.chunks_exact(labels + groups) {
            let (labels, groups) = row.split_at(labels);
            of_labels.extend(labels.iter().map(|t| self.smoothed(*t)));
            of_groups.extend(groups.iter().map(|t| (1.0 - self.smoothing) * t));
        }
        let batch = Batch {
            logits: &values(logits)?,
            targets: &of_labels,
            group_targets: &of_groups,
            parents: &self.parents,
            weights: &values(weights)?,
            class_weights: &self.class_weights,
            counts: &self.counts,
        };
        let counts = if self.kind.is_multi_label() {
            batch.rows().next().is_some()
        } else {
            batch.total() > 0.0
        };
        if !counts {
            return Ok(None);
        }
        let (value, gradient) = batch.loss(&self.kind);
        let logits = logits.to_device(&Device::Cpu)?.contiguous()?;
        Ok(Some(logits.apply_op1(Known { value, gradient })?))
    }
}

/// Refuses groups that are no tree over so many labels, and none where the loss is of groups.
fn check_parents(kind: &LossKind, parents: &[Option<usize>], labels: usize) -> Result<()> {
    let fail = |expected: &str, found: String| {
        Err(crate::error::Error::Invalid {
            what: "the loss, parents".into(),
            expected: expected.into(),
            found,
        })
    };
    if parents.is_empty() {
        return if kind.needs_groups() {
            fail("one a label and one a group", "none".into())
        } else {
            Ok(())
        };
    }
    let groups = parents.len().saturating_sub(labels);
    let known = |parent: &Option<usize>| parent.is_none_or(|group| group < groups);
    if groups == 0 || !parents.iter().all(known) {
        let expected = "one a label and one a group, each the place of a group or none";
        return fail(expected, format!("{parents:?}"));
    }
    let rises = |label: usize| {
        let mut at = parents[label];
        for _ in 0..=groups {
            match at {
                Some(group) => at = parents[labels + group],
                None => return true,
            }
        }
        false
    };
    let mut inside = vec![false; groups];
    (0..labels)
        .filter_map(|label| parents[label])
        .for_each(|g| inside[g] = true);
    (0..groups)
        .filter_map(|g| parents[labels + g])
        .for_each(|g| inside[g] = true);
    if !(0..parents.len()).all(rises) || inside.contains(&false) {
        let expected = "groups with something in them, none of which is in itself";
        return fail(expected, format!("{parents:?}"));
    }
    Ok(())
}

fn values(t: &Tensor) -> candle_core::Result<Vec<f64>> {
    t.to_device(&Device::Cpu)?
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1()
}

/// A function whose value and gradient are known already.
struct Known {
    value: f64,
    gradient: Vec<f64>,
}

impl CustomOp1 for Known {
    fn name(&self) -> &'static str {
        "hydranet-loss"
    }

    fn cpu_fwd(&self, x: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match x {
            CpuStorage::F64(_) => CpuStorage::F64(vec![self.value]),
            _ => CpuStorage::F32(vec![self.value as f32]),
        };
        Ok((storage, Shape::from(())))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dy = dy.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let gradient: Vec<f64> = self.gradient.iter().map(|g| g * dy).collect();
        let gradient = Tensor::from_vec(gradient, x.dims(), x.device())?;
        Ok(Some(gradient.to_dtype(x.dtype())?))
    }
}
