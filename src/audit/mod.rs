//! Wrong labels: how many there may be, which, and how well that is told.
//!
//! [`confident`] is confident learning on labels and probabilities, numbers alone.

pub mod confident;
