//! The running statistics of norms in a step of several parts.

use super::network::Network;
use super::ranks::Group;
use crate::error::Result;
use crate::layers::BatchNormMode;
use candle_core::{Tensor, Var};

/// The statistics of a network's norms as they stood before a step. Every part moves them from there, and the step moves them by
/// the mean of what its parts did, weighed by their photos.
pub(super) struct Statistics {
    /// Each with its value before the step; nothing where a step moves none.
    buffers: Vec<(Var, Tensor)>,
    parts: usize,
}

impl Statistics {
    /// Before a step of so many parts.
    ///
    /// # Errors
    /// If memory runs out.
    pub(super) fn new(network: &Network, parts: usize, group: &Group) -> Result<Self> {
        // What one part moves by itself stands where it is to stand.
        let alone = parts == 1 && group.place().1 == 1;
        let stay = network.config.train.batch_norm == BatchNormMode::Frozen;
        let buffers = if stay || alone {
            Vec::new()
        } else {
            network.variables.buffers()?
        };
        let before = buffers.into_iter().map(|var| {
            let before = var.as_tensor().detach().copy()?;
            Ok((var, before))
        });
        Ok(Self {
            buffers: before.collect::<Result<_>>()?,
            parts,
        })
    }

    /// The shapes of what a part [moves](Self::moved).
    pub(super) fn shapes(&self) -> impl Iterator<Item = Vec<usize>> + '_ {
        self.buffers.iter().map(|(var, _)| var.dims().to_vec())
    }

    /// Before a part: as before the step.
    ///
    /// # Errors
    /// None unless candle has one.
    pub(super) fn reset(&self) -> Result<()> {
        if self.parts > 1 {
            for (var, before) in &self.buffers {
                var.set(before)?;
            }
        }
        Ok(())
    }

    /// What a part with this share of the photos adds to the step's change, or the values themselves where it is the only one:
    /// nothing is rounded then.
    ///
    /// # Errors
    /// If memory runs out.
    pub(super) fn moved(&self, share: f64) -> Result<Vec<Option<Tensor>>> {
        let moved = self.buffers.iter().map(|(var, before)| {
            let now = var.as_tensor().detach();
            Ok(Some(match self.parts {
                1 => now.copy()?,
                _ => ((now - before)? * share)?,
            }))
        });
        moved.collect()
    }

    /// After the parts: `sums` are those of what all of them moved.
    ///
    /// # Errors
    /// If they are not of these statistics.
    pub(super) fn set(&self, sums: &[Option<Tensor>]) -> Result<()> {
        for ((var, before), sum) in self.buffers.iter().zip(sums) {
            match sum {
                Some(sum) if self.parts == 1 => var.set(sum)?,
                Some(sum) => var.set(&(before + sum)?)?,
                None => {}
            }
        }
        Ok(())
    }
}
