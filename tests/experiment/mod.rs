//! Experiments and the comparison of their runs.

mod compare;
mod experiment;
mod foreign;
