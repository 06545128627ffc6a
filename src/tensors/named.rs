//! What tensors and their shapes are called by.

use candle_core::Tensor;
use std::collections::BTreeMap;

/// Named tensors, in order of name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Shapes by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;
