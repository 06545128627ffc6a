//! What a head costs.

use super::network::Head;
use super::pool::Pool;

impl Head {
    /// Multiplications with additions for one photo, forward: of its linear layers, and of its pooling one a value with a
    /// generalised mean and two with attention. A mean has none.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub(crate) fn multiply_adds(&self) -> candle_core::Result<u64> {
        let (reads, pool) = self.reads();
        let values = reads.segments.iter().map(|s| s.channels * s.positions);
        let a_value = match pool {
            Pool::Average => 0,
            Pool::Gem(_) => 1,
            Pool::Attention(_) => 2,
        };
        let layers = self.linears()?;
        let weights = layers.iter().map(|[weight, _]| weight.elem_count());
        Ok((a_value * values.sum::<usize>() + weights.sum::<usize>()) as u64)
    }
}
