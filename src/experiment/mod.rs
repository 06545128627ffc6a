//! A bench of experiments: a baseline, variants that change some of its settings, folds by person, seeds; and what the comparison
//! of finished runs says.
//!
//! [`ExperimentFile`] is what a user writes, [`Plan`] the runs it means, [`run`] does those that are not done yet, and
//! [`Comparison`] puts any finished runs side by side.

mod changes;
mod code;
mod comparison;
mod figure;
mod file;
pub(crate) mod held_out;
mod limits;
mod plan;
mod record;
mod run;
mod runs;
mod state;
mod statistics;
mod table;

pub use comparison::Comparison;
pub use figure::Figure;
pub use file::ExperimentFile;
pub use plan::{Plan, Variant};
pub use run::{Event, Outcome, run};
pub use runs::{Collected, collect};
pub use state::State;
pub use statistics::{PairedDifference, mean, paired_difference};
pub use table::to_markdown;

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/experiment/mod.rs"]
mod tests;
