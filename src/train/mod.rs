//! Fine-tuning: data, losses, mixing, optimisers, metrics, the trainer.

pub(crate) mod balancing;
mod build;
pub(crate) mod config;
pub(crate) mod features;
pub(crate) mod find_lr;
pub(crate) mod loss;
pub(crate) mod mix;
mod mixing;
pub(crate) mod optim;
mod resume;
pub(crate) mod run;
mod setup;
mod source;
mod statistics;
mod step;
pub(crate) mod trainer;
mod unseen;
mod validation;

pub use balancing::Balancing;
pub use config::{
    Config, FineTune, MixKind, MixRule, ModelConfig, Partner, TrainConfig, load_weights, read_head,
};
pub use loss::HeadLoss;
pub use optim::lora::Lora;
pub use optim::variables::{Variables, is_buffer};
pub use optim::{Group, Optimizer, OptimizerKind};
pub use run::EpochRecord;
pub use trainer::{Event, Outcome, train};

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/train/mod.rs"]
mod tests;
