//! What people look at: the pages of an audit and of health, and what of a photo a model goes by.

pub mod audit;
pub(crate) mod heat;
