//! The maps that a network shows to heads beside its features: of which stages, and of which size.

use super::branch::OwnStages;
use super::{Architecture, Behind, Each, Known, Network, shapes};
use crate::error::{Error, Result};
use crate::layers::Mode;
use crate::tape::{Map, Tape};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// A map that heads read of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reading {
    /// Its place among the outputs of the stages, as [`Network::run`] tells them.
    pub place: usize,
    /// Whether it is read as the network itself pools it, behind its last norm.
    pub last: bool,
    /// Whether the mean over its positions is read in place of it.
    pub mean: bool,
}

/// A map that can be read, and its size for images of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShownMap {
    pub place: usize,
    /// The number of its stage; `None`: the last map, which the network itself pools.
    pub stage: Option<usize>,
    /// Height times width.
    pub positions: usize,
    pub channels: usize,
}

/// The side of images by which stages are told apart: all networks take it, and maps of each stage have another size.
const SIDE: usize = 224;

impl Architecture {
    /// The maps of each stage for images of `size` = `[height, width]`, ascending by stage, and then the last one.
    ///
    /// Stage k is the last output whose sides are a 2ᵏ-th of the image's, as timm's `features_only` counts reductions; of a
    /// vision transformer, whose maps are all of one size, the output of its k-th block.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is a network that was plugged in, which gives a vector only; [`Error::Candle`] if it does not
    /// take images of this size.
    pub(crate) fn shown_maps(self, size: [usize; 2]) -> Result<Vec<ShownMap>> {
        let Known::Own(variant) = self.0 else {
            return Err(Error::Invalid {
                what: "the backbone".into(),
                expected: "one of hydranet's own, which shows its maps".into(),
                found: format!("{self}, a network that was plugged in, which gives a vector only"),
            });
        };
        let vb = VarBuilder::from_backend(shapes::nothing(), DType::F32, Device::Cpu);
        let network = (variant.build)(&vb, 0.0)?;
        let usual = outputs(network.as_ref(), [SIDE; 2])?;
        let found = outputs(network.as_ref(), size)?;
        let (stages, last) = match network.behind() {
            Behind::Nothing => (usual.len(), usual.len() - 1),
            Behind::Conv => (usual.len() - 1, usual.len() - 1),
            Behind::Pooling => (usual.len() - 1, usual.len() - 2),
        };
        let shown = |place: usize, stage| ShownMap {
            place,
            stage,
            positions: found[place][1] * found[place][2],
            channels: found[place][3],
        };
        let mut maps: Vec<ShownMap> = Vec::new();
        for (place, [_, height, ..]) in usual[..stages].iter().enumerate() {
            let stage = match height {
                // Tokens in a row; the first output is that of no block.
                1 => (place > 0).then_some(place),
                _ => (1..=5).find(|k| height << k == SIDE),
            };
            if stage.is_some() {
                maps.retain(|m| m.stage != stage);
                maps.push(shown(place, stage));
            }
        }
        maps.push(shown(last, None));
        Ok(maps)
    }
}

/// (batch, H, W, channels) of every output of a stage, as heads read it.
fn outputs(network: &dyn Network, [h, w]: [usize; 2]) -> candle_core::Result<Vec<[usize; 4]>> {
    let (mut tape, images) = Tape::recorded(3, (h, w))?;
    let mut found = Vec::new();
    network.run(&mut tape, (&images, 0), Mode::Eval, &mut |tape, map| {
        let map = network.shown(tape, map, false)?;
        let (height, width) = map.size();
        found.push([1, height, width, map.channels()]);
        Ok(())
    })?;
    Ok(found)
}

/// Runs a network; behind its features, in one row, are what `readings` name, and what the private stages of heads make.
pub(super) fn run(
    network: &dyn Network,
    (readings, branches): (&[Reading], &[OwnStages]),
    (tape, images): (&mut Tape, &Map),
    mode: Mode,
    each: &mut Each,
) -> candle_core::Result<Map> {
    if readings.is_empty() && branches.is_empty() {
        return network.run(tape, (images, 0), mode, each);
    }
    // Stages are counted from 1, places of outputs from 0.
    let starts = branches.iter().map(|branch| branch.start - 1);
    let places: Vec<usize> = readings.iter().map(|r| r.place).chain(starts).collect();
    let mut kept: Vec<Option<Map>> = vec![None; places.len()];
    let mut place = 0;
    let features = network.run(tape, (images, 0), mode, &mut |tape, map| {
        each(tape, map)?;
        for (wanted, kept) in places.iter().zip(&mut kept) {
            if *wanted == place {
                *kept = Some(map.clone());
            }
        }
        place += 1;
        Ok(())
    })?;
    let found = places.iter().zip(kept).map(|(wanted, map)| {
        let problem = || format!("the network has {place} outputs of stages, not {wanted}");
        map.ok_or_else(|| candle_core::Error::Msg(problem()))
    });
    let mut found = found
        .collect::<candle_core::Result<Vec<Map>>>()?
        .into_iter();
    let mut row = vec![features];
    for (reading, map) in readings.iter().zip(found.by_ref()) {
        let map = network.shown(tape, &map, reading.last)?;
        if reading.mean {
            row.push(tape.global_avg_pool(&map)?);
        } else {
            row.push(map);
        }
    }
    for (branch, map) in branches.iter().zip(found) {
        row.push(branch.run(tape, &map, mode, each)?);
    }
    tape.row(&row)
}
