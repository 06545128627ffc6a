//! Fine-tuning: losses, mixing, optimisers, balancing, configuration, the trainer.
//!
//! A batch goes from the loader through `mix` into a step, whose loss (`loss`) goes backward to the optimiser (`optim`), in `parts`
//! that may be computed `together` with other processes (`ranks`);
//! `trainer` has the loop around it, `run` what it goes through.

mod alike;
pub(crate) mod balancing;
mod batch_norm;
mod batches;
pub(crate) mod config;
pub(crate) mod dry_run;
mod event;
pub(crate) mod find_lr;
pub(crate) mod finished;
mod kept;
pub(crate) mod loss;
mod memory;
pub(crate) mod mix;
mod network;
mod one_head;
pub(crate) mod optim;
mod parts;
pub(crate) mod preview;
mod progressive;
pub(crate) mod ranks;
pub(crate) mod recipe;
mod run;
pub(crate) mod run_folder;
pub(crate) mod soup;
mod statistics;
mod step;
mod teacher;
mod tensorboard;
mod together;
pub(crate) mod trainer;
mod validation;

pub use balancing::Balancing;
pub use config::{
    Config, FineTune, ModelConfig, TeacherConfig, TrainConfig, load_weights, read_head,
};
pub use loss::{HeadLoss, Loss, targets};
pub use mix::{MixKind, MixRule, Partner};
pub use one_head::train_head;
pub use optim::lora::Lora;
pub use optim::variables::{Variables, is_buffer};
pub use optim::{Group, Optimizer, OptimizerKind};
pub use run_folder::EpochRecord;
pub use trainer::{Event, Outcome, Trainer};

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/train/mod.rs"]
mod tests;
