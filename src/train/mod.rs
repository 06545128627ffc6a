//! Fine-tuning: data, losses, mixing, optimisers, metrics, the trainer.

pub mod balancing;
mod build;
pub mod config;
pub(crate) mod features;
pub mod find_lr;
pub mod loss;
pub mod mix;
mod mixing;
pub mod optim;
mod resume;
pub mod run;
mod setup;
mod source;
mod statistics;
mod step;
pub mod trainer;
mod unseen;
mod validation;
