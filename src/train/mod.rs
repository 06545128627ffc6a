//! Fine-tuning: losses, mixing, optimisers, balancing, configuration, the trainer.
//!
//! A batch goes from the loader through [`mix`] into a step, whose loss ([`loss`]) goes backward to the optimiser ([`optim`]);
//! [`trainer`] has the loop around it.

pub mod balancing;
mod batch_norm;
mod batches;
pub mod config;
pub mod dry_run;
mod event;
pub mod find_lr;
mod kept;
pub mod loss;
mod memory;
pub mod mix;
mod network;
pub mod optim;
pub mod run_folder;
mod step;
pub mod trainer;
mod validation;
