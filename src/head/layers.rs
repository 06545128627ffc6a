//! What is built of a head.

use super::fault::{Fault, check_share, fault};

/// The layers between features and outputs; the last one is linear.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayerSpec {
    /// Dropout probability on the features before the head.
    pub dropout: f64,
    /// Width of a hidden layer with ReLU; 0 for a linear head.
    pub hidden: usize,
}

/// A wider hidden layer is refused, so that a damaged file cannot ask for all memory.
const MAX_HIDDEN: usize = 65_536;

impl LayerSpec {
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.hidden > MAX_HIDDEN {
            return fault("hidden", format!("at most {MAX_HIDDEN}"), self.hidden);
        }
        check_share("dropout", self.dropout)
    }
}
