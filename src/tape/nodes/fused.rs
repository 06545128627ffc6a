//! An inverted residual in one pass, where nothing of it needs a gradient.

use crate::engine::{Engine, Slot};
use crate::epilogue::FusedConv;
use crate::step::Output;
use crate::values::Value;
use crate::weight::packs;
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::conv::{Chain, Link};

/// A convolution over a map (batch, H, W, channels), ready; `None` if a gradient is wanted or it depends on the batch.
fn link<T: Value>(conv: &FusedConv, dims: [usize; 4]) -> Result<Option<Link<T>>> {
    let g = conv.geometry(dims)?;
    let kept = conv.kept.as_ref();
    let (Some(fixed), false) = (conv.epilogue.fixed(g.o, kept)?, conv.weight.track_op()) else {
        return Ok(None);
    };
    Ok(Some(Link {
        packs: packs(&conv.weight, kept, &g)?,
        g,
        fixed,
    }))
}

/// Expansion, if there is one, depthwise convolution, projection, and the input added if `shortcut`. `None` where it has to be
/// done step by step.
pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    convs: &[FusedConv],
    shortcut: bool,
) -> Result<Option<([usize; 4], Output)>> {
    let slot = &engine.slots[x];
    let (Some(values), None, false) = (&slot.values, &slot.transform, slot.tracked) else {
        return Ok(None);
    };
    let mut links = Vec::new();
    let mut dims = slot.dims;
    for conv in convs {
        let Some(link) = link::<T>(conv, dims)? else {
            return Ok(None);
        };
        dims = link.out_dims();
        links.push(link);
    }
    if shortcut && dims != slot.dims {
        return Ok(None);
    }
    let Some(chain) = Chain::new(values, &links, shortcut) else {
        return Ok(None);
    };
    let mut y = Buffer::new(dims.iter().product());
    chain.run(&mut y);
    let token = engine.push(Slot::new(dims, y, false));
    let output = Output {
        token,
        ..Output::default()
    };
    Ok(Some((dims, output)))
}
