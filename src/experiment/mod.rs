//! A bench of experiments: a baseline, variants that change some of its settings, folds by person, seeds; and what the comparison of
//! finished runs says.
//!
//! [`ExperimentFile`] is what a user writes, [`Plan`] the runs it means, [`run`] does those that are not done yet, and [`Comparison`]
//! puts any finished runs side by side.

mod changes;
mod code;
mod comparison;
mod figure;
mod file;
mod held_out;
mod limits;
mod plan;
mod record;
mod run;
pub(crate) mod run_logits;
mod runs;
mod state;
mod statistics;
mod table;

pub use changes::{Change, differences, title};
pub use code::Code;
pub use comparison::{Cell, Comparison, FigureTable, VariantRuns, Verdict};
pub use figure::Figure;
pub use file::{ExperimentFile, GiveUp, VariantFile};
pub use plan::{Plan, PlannedRun, Variant};
pub use record::RunRecord;
pub use run::{Event, Outcome, run};
pub use runs::{Collected, FinishedRun, Side, collect};
pub use state::{RunState, State};
pub use statistics::{PairedDifference, mean, paired_difference, spread, student_quantile};
pub use table::{to_csv, to_markdown};
