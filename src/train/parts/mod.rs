//! The parts a batch is computed in, and the fixed order in which they are summed: whoever computes which of them, the bytes are
//! the same.

mod contribution;
mod cut;
mod tree;

pub(super) use contribution::{Contribution, plus};
pub(super) use cut::Cut;
pub(crate) use tree::Tree;
