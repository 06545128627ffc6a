//! What an audit says.

use super::confident::{Quality, Rule};
use super::finding::{HeadAudit, Suspect};
use super::measure::Measured;
use super::persons::{Agreement, PersonAudit};
use super::retrain::Retrained;
use serde::Serialize;

/// What an audit found: `audit.json`. `Display` gives a table for a terminal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Photos looked at.
    pub photos: usize,
    /// Folds of persons.
    pub folds: usize,
    /// The rule by which labels are suspected.
    pub rule: Rule,
    /// The order of the suspects.
    pub quality: Quality,
    /// Each head, then the final class.
    pub heads: Vec<HeadAudit>,
    /// Which heads agree over the photos of a person.
    pub agreements: Vec<Agreement>,
    /// What was made wrong on purpose and found; everything else here is about the labels after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// The folds trained again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrained: Option<Retrained>,
    /// Photos whose label is likely wrong: head by head, the worst first.
    pub suspects: Vec<Suspect>,
    /// Every person, the likeliest wrong first.
    pub persons: Vec<PersonAudit>,
}
