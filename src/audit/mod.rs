//! Wrong labels: how many there may be, which, and how well that is told.
//!
//! `run` trains on some persons and asks about others until every photo has probabilities from a model that has not seen its
//! person (`OutOfFold`), finds the labels that do not go with them, head by head and for the final class (`HeadAudit`), and the
//! persons whose photos together say something else than they are given (`PersonAudit`). With labels made wrong on purpose
//! (`Injection`) it measures how many of those it finds (`Measured`).
//!
//! `confident` is confident learning on labels and probabilities, numbers alone; `health` looks at photos and persons.

pub(crate) mod confident;
mod files;
mod finding;
mod folds;
pub(crate) mod health;
mod inject;
pub(crate) mod label;
mod measure;
mod persons;
mod question;
mod report;
mod retrain;
mod run;
mod shards;
mod table;

pub use confident::{Given, Quality, Rule};
pub(crate) use folds::{Event, load_config};
pub(crate) use inject::{Flip, Injection, Unit};
pub(crate) use persons::PersonHead;
pub(crate) use question::Question;
pub(crate) use report::Audit;
pub(crate) use run::{AuditConfig, run};
pub(crate) use shards::keep_features;

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/audit/mod.rs"]
mod tests;
