//! Who else says what photos show: `[train.teacher]`.

use crate::error::{Error, Result};
use crate::model_file::Seen;
use crate::predict::Ensemble;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A model, an ensemble, or a table of what models say, whose probabilities are targets beside the given labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// A model's file, the JSON file of an ensemble, or a CSV file of probabilities as `hydranet label` and `hydranet predict`
    /// write it.
    pub model: PathBuf,
    /// The share of the target that is the teacher's, above 0 and at most 1; the rest is the given label. Of a photo without a label of
    /// a head all is the teacher's.
    #[serde(default = "half")]
    pub weight: f64,
    /// Above 1 it makes what a model says softer: the logits are divided by it. Tables are taken as they are.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub temperature: f64,
    /// Of a photo without a label of a head the teacher is believed from this probability of its likeliest label on; 0: always.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub threshold: f64,
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

fn is_one(v: &f64) -> bool {
    *v == 1.0
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

impl TeacherConfig {
    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        let ending = self.model.extension().and_then(|e| e.to_str());
        ending.is_some_and(|e| ["csv", "tsv", "txt"].contains(&e.to_ascii_lowercase().as_str()))
    }

    /// Refuses the file that a run writes what its teacher says into.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn check_apart(&self, written: &Path) -> Result<()> {
        let same = |a: &Path, b: &Path| Some(a.canonicalize().ok()? == b.canonicalize().ok()?);
        if same(&self.model, written) != Some(true) {
            return Ok(());
        }
        Err(Error::Invalid {
            what: "train.teacher.model".into(),
            expected: "another file than the run writes itself".into(),
            found: self.model.display().to_string(),
        })
    }

    /// Refuses a table where photos change sides: it does not say whose labels those who made it had seen.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn check_no_table(&self, of: &str) -> Result<()> {
        if !self.is_table() {
            return Ok(());
        }
        Err(Error::Invalid {
            what: format!("train.teacher.model of {of}"),
            expected: "a model or an ensemble, whose file says whom it has seen".into(),
            found: format!("{}, a table, which does not", self.model.display()),
        })
    }

    pub(super) fn validate(&self) -> Result<()> {
        let checks = [
            (
                "weight",
                self.weight > 0.0 && self.weight <= 1.0,
                "above 0, at most 1",
                self.weight,
            ),
            (
                "temperature",
                (0.01..=1000.0).contains(&self.temperature),
                "from 0.01 to 1000",
                self.temperature,
            ),
            (
                "threshold",
                (0.0..=1.0).contains(&self.threshold),
                "from 0 to 1",
                self.threshold,
            ),
        ];
        for (what, right, range, found) in checks {
            if !right {
                return Err(Error::Invalid {
                    what: format!("train.teacher.{what}"),
                    expected: format!("a number {range}"),
                    found: found.to_string(),
                });
            }
        }
        if self.is_table() && self.temperature != 1.0 {
            return Err(Error::Invalid {
                what: "train.teacher.temperature".into(),
                expected: "1 with a table of probabilities, which are taken as they are".into(),
                found: self.temperature.to_string(),
            });
        }
        Ok(())
    }

    /// Whom the teacher has seen, if it is a model: who learns from it has seen them too.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn seen(&self) -> Result<Vec<Seen>> {
        if self.is_table() {
            return Ok(Vec::new());
        }
        let teacher = Ensemble::from_file(&self.model)?;
        let members = teacher.members().iter();
        Ok(members.flat_map(|m| m.description().seen.clone()).collect())
    }
}
