//! Fine-tuning: data, losses, mixing, optimisers, metrics, the trainer.

pub mod augment;
pub mod balance;
pub mod check;
pub mod config;
pub mod dataset;
pub mod evaluate;
pub mod loader;
pub mod loss;
pub mod manifest;
pub mod metrics;
pub mod mix;
pub mod optim;
pub mod person_folder;
pub mod portraits;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod score;
mod source;
pub mod split;
pub mod split_report;
mod step;
pub mod targets;
pub mod trainer;
mod validation;
pub mod variables;
