//! Attention, rolled out over the blocks and weighed by its gradients (Chefer, Gur and Wolf 2021, arXiv 2103.15679).

use super::{numbers, unexplained};
use crate::error::Result;
use crate::layers::Mode;
use crate::predict::Predictor;
use crate::tape::internal::Attended;
use candle_core::{D, DType, Device, Tensor};

/// The attentions of a model over one image, and its outputs, which depend on them.
pub(super) struct Attentions {
    attended: Vec<Attended>,
    /// Rows and columns of the patches, which are the last tokens.
    pub(super) grid: [usize; 2],
    /// `(1, num_labels)` of each head.
    logits: Vec<Tensor>,
}

impl Attentions {
    /// Of one image.
    pub(super) fn of(predictor: &Predictor, image: &Tensor) -> Result<Self> {
        let (spec, model) = (&predictor.description().model, predictor.model());
        let reads_beside = spec.heads.iter().any(|head| {
            let layers = &head.layers;
            layers.crop.is_some() || layers.own_stages > 0 || !layers.from_stage.is_empty()
        });
        let (row, attended) = model.parts().0.features_attended(image)?;
        let Some(shown) = spec.backbone.shown_maps(spec.input.size)?.pop() else {
            return Err(unexplained("a backbone that shows its maps"));
        };
        if attended.is_empty() || reads_beside {
            return Err(unexplained(
                "a vision transformer whose heads all read its class token",
            ));
        }
        let [height, width] = spec.input.size;
        // Patches are squares.
        let side = ((height * width) as f64 / shown.positions as f64)
            .sqrt()
            .round() as usize;
        let grid = [height / side.max(1), width / side.max(1)];
        let tokens = attended[0].qkv.dim(D::Minus1)?;
        if grid[0] * grid[1] >= tokens {
            return Err(unexplained("a vision transformer with a class token"));
        }
        let logits = model.logits(&row, Mode::Eval)?.heads;
        Ok(Self {
            attended,
            grid,
            logits,
        })
    }

    /// What of each patch reaches the class token and speaks for a label of a head.
    pub(super) fn heat(&self, head: usize, label: usize) -> Result<Vec<f32>> {
        let logits = self.logits[head].narrow(1, label, 1)?;
        let gradients = logits.sum_all()?.backward()?;
        let tokens = self.attended[0].qkv.dim(D::Minus1)?;
        let mut reaches = Tensor::eye(tokens, DType::F32, &Device::Cpu)?;
        for of in &self.attended {
            // Of the last block, where the class token alone goes on, this has one row that is not zero.
            let Some(gradient) = gradients.get(of.offset.as_tensor()) else {
                return Err(unexplained("heads that read the attention's results"));
            };
            reaches = (&reaches + weighed(of, gradient)?.matmul(&reaches)?)?;
        }
        let patches = self.grid[0] * self.grid[1];
        let of_class = reaches.narrow(0, 0, 1)?;
        Ok(numbers(&of_class.narrow(1, tokens - patches, patches)?)?)
    }
}

/// The attention of each token to each, times its gradient where that is positive, the mean over the heads: `(tokens, tokens)`.
fn weighed(of: &Attended, gradient: &Tensor) -> candle_core::Result<Tensor> {
    let (_, channels, _, tokens) = of.qkv.dims4()?;
    let dim = channels / 3 / of.heads;
    let parts = of.qkv.reshape((3, of.heads, dim, tokens))?;
    let part = |i: usize| parts.get(i)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let scores = (q.t()?.contiguous()?.matmul(&k)? * (dim as f64).powf(-0.5))?;
    let raised = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
        .exp()?;
    let attention = raised.broadcast_div(&raised.sum_keepdim(D::Minus1)?)?;
    // Of the result token by token, head by head; of the attention it is that times the values.
    let gradient = gradient
        .reshape((tokens, of.heads, dim))?
        .transpose(0, 1)?
        .contiguous()?;
    let gradient = gradient.matmul(&v)?;
    attention.mul(&gradient)?.maximum(0.0)?.mean(0)
}
