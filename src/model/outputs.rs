//! What the heads say, and apart from them the joint head.

use crate::error::Result;
use candle_core::Tensor;

/// Something of each head, and apart from them of the joint head: logits `(batch, num_labels)` and `(batch, num_classes)` of a
/// batch, or what is made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs<T = Tensor> {
    /// Of each head, in order.
    pub heads: Vec<T>,
    /// Of the joint head, if the model has one.
    pub joint: Option<T>,
    /// Beside the logits, those of the bins `(batch, bins)` of each head that predicts a number, `None` for the others; no
    /// list where no head does.
    pub bins: Vec<Option<T>>,
}

/// The logits of one image: `num_labels` of each head, `num_classes` of the joint head, and those of the bins of numbers.
pub type Logits = Outputs<Vec<f32>>;

impl<T> Outputs<T> {
    /// The heads' in order, then the joint head's; without those of bins.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.heads.iter().chain(&self.joint)
    }

    /// What `f` makes of each.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Outputs<U> {
        Outputs {
            heads: self.heads.iter().map(&mut f).collect(),
            joint: self.joint.as_ref().map(&mut f),
            bins: self.bins.iter().map(|b| b.as_ref().map(&mut f)).collect(),
        }
    }
}

impl Outputs {
    /// Image by image.
    ///
    /// # Errors
    /// If they are not of the type `f32`.
    pub fn rows(&self) -> Result<Vec<Logits>> {
        let rows = |logits: &Tensor| logits.to_vec2::<f32>();
        let heads = self.heads.iter().map(rows);
        let heads = heads.collect::<candle_core::Result<Vec<_>>>()?;
        let joint = self.joint.as_ref().map(rows).transpose()?;
        let bins = self.bins.iter().map(|b| b.as_ref().map(rows).transpose());
        let bins = bins.collect::<candle_core::Result<_>>()?;
        let all = Outputs { heads, joint, bins };
        let batch = all.iter().next().map_or(0, Vec::len);
        Ok((0..batch).map(|i| all.map(|l| l[i].clone())).collect())
    }
}

/// Of heads without a joint head, none of which predicts a number.
impl<T> From<Vec<T>> for Outputs<T> {
    fn from(heads: Vec<T>) -> Self {
        Self {
            heads,
            joint: None,
            bins: Vec::new(),
        }
    }
}
