//! The heat of a map's channels, weighed by their gradients.

use super::{ExplainMethod, numbers, unexplained};
use crate::error::Result;
use crate::layers::Mode;
use crate::predict::Predictor;
use candle_core::{D, DType, Device, Tensor, Var};

/// The map that is looked at, and the model's outputs, which depend on it.
pub(super) struct Maps {
    /// `(channels, positions)`, without tokens of the network's own.
    map: Tensor,
    /// Tokens before those of the positions.
    prefix: usize,
    /// Rows and columns of the positions.
    pub(super) grid: [usize; 2],
    offset: Var,
    /// `(1, num_labels)` of each head.
    logits: Vec<Tensor>,
}

impl Maps {
    /// Of one image.
    pub(super) fn of(predictor: &Predictor, image: &Tensor) -> Result<Self> {
        let (spec, model) = (&predictor.description().model, predictor.model());
        if let Some(head) = spec.heads.iter().find(|h| h.layers.crop.is_some()) {
            let expected = format!(
                "a model without heads such as `{}`, which has a `crop`",
                head.name
            );
            return Err(unexplained(&expected));
        }
        let shown = spec.backbone.shown_maps(spec.input.size)?;
        let maps = model.parts().0.feature_maps(image, Mode::Eval)?;
        // The last map that the network pools. Of a transformer that takes its class token, what leaves the last block says
        // nothing about the others: it is the one before.
        let Some(last) = shown.last() else {
            return Err(unexplained("a backbone that shows its maps"));
        };
        let is_row = maps[last.place].dims4()?.2 == 1 && last.positions > 1;
        let place = last.place - usize::from(is_row && last.place > 0);
        let map = &maps[place];
        let (_, channels, height, width) = map.dims4()?;
        let prefix = if is_row { width - last.positions } else { 0 };
        let grid = if is_row {
            let [h, w] = spec.input.size;
            // Patches are squares.
            let side = ((h * w) as f64 / last.positions as f64).sqrt().round() as usize;
            [h / side.max(1), w / side.max(1)]
        } else {
            [height, width]
        };
        let positions = grid[0] * grid[1];
        if positions + prefix != height * width {
            return Err(unexplained(
                "a backbone whose tokens are patches of the photo",
            ));
        }
        let offset = Var::zeros((1, height, width, channels), DType::F32, &Device::Cpu)?;
        let row = model
            .parts()
            .0
            .features_from(image, place, offset.as_tensor())?;
        let logits = model.logits(&row, Mode::Eval)?.heads;
        let map = map.reshape((channels, height * width))?;
        Ok(Self {
            map: map.narrow(1, prefix, positions)?.contiguous()?,
            prefix,
            grid,
            offset,
            logits,
        })
    }

    /// What of the map speaks for a label of a head, position by position.
    pub(super) fn heat(
        &self,
        predictor: &Predictor,
        head: usize,
        label: usize,
        method: ExplainMethod,
    ) -> Result<Vec<f32>> {
        let logits = self.logits[head].narrow(1, label, 1)?;
        let gradients = logits.sum_all()?.backward()?;
        // Of heads with stages or a part of the image of their own the map says nothing.
        let own = &predictor.description().model.heads[head];
        let beside = own.layers.own_stages > 0 || own.layers.crop.is_some();
        let gradient = gradients.get(self.offset.as_tensor()).filter(|_| !beside);
        let Some(gradient) = gradient else {
            let expected = format!("a map that head `{}` reads", own.name);
            return Err(unexplained(&expected));
        };
        let (channels, positions) = self.map.dims2()?;
        let gradient = gradient.reshape(((), channels))?.t()?;
        let gradient = gradient.narrow(1, self.prefix, positions)?.contiguous()?;
        let weights = match method {
            ExplainMethod::GradCamPlusPlus => {
                let squares = gradient.sqr()?;
                let sums = self.map.sum_keepdim(D::Minus1)?;
                let below = squares.mul(&gradient)?.broadcast_mul(&sums)?;
                // As pytorch-grad-cam: ε keeps it from dividing by 0.
                let below = (((&squares * 2.0)? + below)? + 1e-6)?;
                // Where the gradient is 0, so is this.
                squares
                    .div(&below)?
                    .mul(&gradient.maximum(0.0)?)?
                    .sum_keepdim(D::Minus1)?
            }
            _ => gradient.mean_keepdim(D::Minus1)?,
        };
        let heat = self.map.broadcast_mul(&weights)?.sum_keepdim(0)?;
        let heat = heat.maximum(0.0)?;
        Ok(numbers(&heat)?)
    }
}
