//! What a training starts from: pretrained weights made a backbone's, or a model of hydranet's, and whom that has seen.

mod ancestry;
mod load;

pub use ancestry::seen;
pub(crate) use load::load_described;
pub use load::{load, load_for};
