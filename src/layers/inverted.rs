//! Inverted residuals.

use super::{ConvNormAct, Mode, residual};
use crate::tape::{ConvStep, Map, Tape};
use candle_core::Result;

/// The convolutions of an inverted residual (Sandler et al. 2018), one after the other: expansion, if there is one, depthwise,
/// projection; with `shortcut`, added to `x` as in [`residual`]. In one pass where nothing needs a gradient.
///
/// # Errors
/// As [`Tape::conv_norm`].
pub fn inverted_residual(
    tape: &mut Tape,
    x: &Map,
    convs: &[&ConvNormAct],
    shortcut: Option<(f32, u64)>,
    mode: Mode,
) -> Result<Map> {
    let random = shortcut.is_some_and(|(rate, _)| rate > 0.0) && mode != Mode::Eval;
    if !random {
        let mut size = x.size();
        let steps: Vec<ConvStep> = convs
            .iter()
            .map(|conv| {
                let step = conv.step(tape, size, mode);
                size = conv.size(size);
                step
            })
            .collect();
        if let Some(y) = tape.inverted_residual(x, &steps, shortcut.is_some())? {
            return Ok(y);
        }
    }
    let mut y = x.clone();
    for conv in convs {
        y = conv.forward(tape, &y, mode)?;
    }
    match shortcut {
        Some((rate, stream)) => residual(tape, x, &y, rate, mode, stream),
        None => Ok(y),
    }
}
