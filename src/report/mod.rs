//! What people look at: the pages of an audit and of health.

pub mod audit;
