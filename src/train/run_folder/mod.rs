//! The run folder: what a training run leaves behind, and what it needs to go on.
//!
//! `config.toml`, `split.csv`, `metrics.csv`, `best.safetensors`, `last.safetensors`, `state.safetensors`,
//! `valid_predictions.csv`, `scores.json`; of a run that was stopped within an epoch also `epoch.safetensors`, the state at its
//! beginning. Every file is written to a sibling, then renamed.

mod beginning;
mod folder;
mod metrics;
mod models;
mod progress;
mod record;
mod start;

pub(crate) use beginning::Beginning;
pub use folder::RunFolder;
pub(super) use models::Models;
pub use progress::Progress;
pub use record::EpochRecord;
pub(super) use start::Start;
