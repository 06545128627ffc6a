//! Wrong labels: how many there may be, which, and how well that is told.
//!
//! [`run`] trains on some persons and asks about others until every photo has probabilities from a model that has not seen its person
//! ([`OutOfFold`]), finds the labels that do not go with them, head by head and for the final class ([`HeadAudit`]), and the persons
//! whose photos together say something else than they are given ([`PersonAudit`]). With labels made wrong on purpose
//! ([`Injection`]) it measures how many of those it finds ([`Measured`]).
//!
//! [`confident`] is confident learning on labels and probabilities, numbers alone; [`health`] looks at photos and persons.

pub mod confident;
mod files;
mod finding;
mod folds;
pub mod health;
mod inject;
mod measure;
mod persons;
mod question;
mod report;
mod retrain;
mod run;
mod table;

pub use finding::{HeadAudit, Pair, Suspect};
pub use folds::{Event, OutOfFold, load_config};
pub use inject::{Flip, Injected, Injection, Unit};
pub use measure::{Found, HeadMeasure, Measured, Ranking};
pub use persons::{Agreement, PersonAudit, PersonHead};
pub use question::Question;
pub use report::Audit;
pub use retrain::{Arm, ArmScore, Retrained};
pub use run::{AuditConfig, Audited, run};
