//! The running statistics of norms in a step of several parts.

use super::network::Network;
use super::ranks::Group;
use crate::error::Result;
use crate::layers::BatchNormMode;
use candle_core::{Tensor, Var};

/// The statistics of a network's norms as they stood before a step. Every part moves them from there, and the step moves them by
/// the mean of what its parts did, weighed by their photos; or, where norms take the statistics of the whole batch, one part moves
/// them for all.
pub(super) struct Statistics {
    /// Each with its value before the step; nothing where a step moves none.
    buffers: Vec<(Var, Tensor)>,
    parts: usize,
    shared: bool,
}

impl Statistics {
    /// Before a step of so many parts.
    ///
    /// # Errors
    /// If memory runs out.
    pub(super) fn new(network: &Network, parts: usize, group: &Group) -> Result<Self> {
        let mode = network.config.train.batch_norm;
        let buffers = match mode {
            BatchNormMode::Frozen => Vec::new(),
            _ => network.variables.buffers()?,
        };
        let shared = parts > 1 && network.shares_statistics()?;
        // What one part moves by itself stands where it is to stand.
        let alone = (parts == 1 || shared) && group.place().1 == 1;
        let buffers = if alone { Vec::new() } else { buffers };
        let before = buffers.into_iter().map(|var| {
            let before = var.as_tensor().detach().copy()?;
            Ok((var, before))
        });
        Ok(Self {
            buffers: before.collect::<Result<_>>()?,
            parts,
            shared,
        })
    }

    /// Whether norms take the statistics of the whole batch, though it is computed in parts.
    pub(super) fn are_shared(&self) -> bool {
        self.shared
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
        if self.parts > 1 && !self.shared {
            for (var, before) in &self.buffers {
                var.set(before)?;
            }
        }
        Ok(())
    }

    /// What a part with this share of the photos adds to the step's change, or the values themselves where it is the only one, or
    /// moves them for all: nothing is rounded then.
    ///
    /// # Errors
    /// If memory runs out.
    pub(super) fn moved(&self, part: usize, share: f64) -> Result<Vec<Option<Tensor>>> {
        let moved = self.buffers.iter().map(|(var, before)| {
            let now = var.as_tensor().detach();
            Ok(match (self.shared, self.parts) {
                (true, _) if part > 0 => None,
                (true, _) | (_, 1) => Some(now.copy()?),
                _ => Some(((now - before)? * share)?),
            })
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
                Some(sum) if self.parts == 1 || self.shared => var.set(sum)?,
                Some(sum) => var.set(&(before + sum)?)?,
                None => {}
            }
        }
        Ok(())
    }
}
