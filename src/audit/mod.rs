//! Wrong labels: how many there may be, which, and how well that is told.
//!
//! [`confident`] is confident learning on labels and probabilities, numbers alone; [`health`] looks at photos and persons.

pub mod confident;
pub mod health;
