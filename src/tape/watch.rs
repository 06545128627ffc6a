//! Who sees a pass while it runs.

use candle_core::{Result, Tensor};
use hydranet_kernels::moments::Moments;

/// Sees a pass while it runs: the gradient of each parameter once it is found, and the statistics of batch normalisations where
/// the images are one part of a batch and all parts share them.
pub trait Watch: Send + Sync {
    /// Whether batch normalisations take the statistics of all parts. Then [`moments`](Self::moments) and [`sums`](Self::sums) are
    /// called, outside the thread pool: they may wait for the other parts.
    fn shares_statistics(&self) -> bool;

    /// Whether this part moves the running statistics: of parts that share theirs one does.
    fn moves_statistics(&self) -> bool;

    /// The moments of each channel over all parts, out of those over this one.
    ///
    /// # Errors
    /// If another part failed.
    fn moments(&self, own: Vec<Moments>) -> Result<Vec<Moments>>;

    /// The sums over all parts of (d, d · (y − mean)) of each channel, out of those over this one; d is the gradient behind the
    /// normalisation, y what was normalised.
    ///
    /// # Errors
    /// If another part failed.
    fn sums(&self, own: Vec<(f64, f64)>) -> Result<Vec<(f64, f64)>>;

    /// Backward has found the gradient of a use of a parameter.
    fn found(&self, parameter: &Tensor, gradient: &Tensor);
}
