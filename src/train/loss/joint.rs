//! The heads' losses of a batch, and the joint loss they make.

use crate::error::Result;
use crate::tape::scale;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};

/// One head's loss of some rows of a batch.
pub(in crate::train) struct HeadPart {
    /// The loss; where no row has the head's label, a number that depends on the head's variables.
    pub loss: Tensor,
    /// The share of these rows in the loss of the batch; 0 where none has the label.
    pub share: f64,
    /// The head's weight.
    pub weight: f64,
}

/// The heads' losses of some rows of a batch.
pub(in crate::train) struct Losses {
    /// One a head.
    pub heads: Vec<HeadPart>,
    /// A loss that is no head's, and its factor, if there is one.
    pub beside: Option<(Tensor, f64)>,
    /// Where the graph is cut at the features: them, and the copy that the heads were given.
    pub cut: Option<(Tensor, Var)>,
}

impl Losses {
    /// Each head's share of its loss of the batch; `None` for a head that takes no part.
    ///
    /// # Errors
    /// If a loss cannot be read.
    pub(in crate::train) fn values(&self) -> Result<Vec<Option<f64>>> {
        let value = |head: &HeadPart| -> Result<Option<f64>> {
            if head.share * head.weight > 0.0 {
                Ok(Some(head.share * f64::from(head.loss.to_scalar::<f32>()?)))
            } else {
                Ok(None)
            }
        };
        self.heads.iter().map(value).collect()
    }

    /// Σ weight · factor · loss, and what is beside.
    ///
    /// # Shapes
    /// Result a scalar.
    ///
    /// # Errors
    /// If a head has no factor.
    pub(in crate::train) fn joint(&self, factors: &[f64]) -> Result<Tensor> {
        let mut joint = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for (head, factor) in self.heads.iter().zip(factors) {
            joint = (joint + head.scaled(head.weight * head.share * factor)?)?;
        }
        if let Some((loss, factor)) = &self.beside {
            joint = (joint + scale(loss, vec![*factor as f32])?)?;
        }
        Ok(joint)
    }

    /// The gradients of a function of the losses, through the cut if there is one. Backward can be run again and again.
    pub(in crate::train) fn backward(&self, of: &Tensor) -> Result<GradStore> {
        let mut grads = of.backward()?;
        if let Some((features, copy)) = &self.cut
            && let Some(gradient) = grads.remove(copy)
        {
            grads.extend((features * gradient)?.sum_all()?.backward()?)?;
        }
        Ok(grads)
    }
}

impl HeadPart {
    /// Not `loss * factor`: candle drops the gradient of a multiplication by 0 instead of making it 0.
    pub(in crate::train) fn scaled(&self, factor: f64) -> Result<Tensor> {
        Ok(scale(&self.loss, vec![factor as f32])?)
    }
}
