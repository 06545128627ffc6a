//! The file a user writes.

use super::figure::Figure;
use crate::error::{Error, Result};
use crate::io::recognise::not_toml;
use crate::location::resolve_path;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// An experiment, as written in TOML. Paths are relative to the file's folder.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentFile {
    /// CSV listings and person folders; none if they are given otherwise.
    #[serde(default)]
    pub data: Vec<PathBuf>,
    /// The folder of heads.
    #[serde(default = "heads")]
    pub heads: PathBuf,
    /// A TOML file of settings, as for `--config`.
    #[serde(default)]
    pub config: Option<PathBuf>,
    /// Settings of the baseline, as for `--set`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Parts the persons are divided into; each is held out once.
    #[serde(default = "folds")]
    pub folds: usize,
    /// Seeds. Each draws folds of its own and everything random in training.
    #[serde(default = "seeds")]
    pub seeds: Vec<u64>,
    /// What is compared, the first one deciding; none: macro F1 of the final class, then of each head.
    #[serde(default)]
    pub metrics: Vec<Figure>,
    /// Confidence of the intervals.
    #[serde(default = "confidence")]
    pub confidence: f64,
    /// Minutes from the start of the command that the runs may take; none: no limit.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// When a variant is given up before all its runs are done; none: never.
    #[serde(default)]
    pub give_up: Option<GiveUp>,
    /// The variants.
    #[serde(default)]
    pub variants: Vec<VariantFile>,
}

/// A variant is given up once, after at least `after` of its paired differences to the baseline in the first metric, the better
/// end of their confidence interval is worse than `margin`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveUp {
    /// The least gain of interest; negative to give up only what clearly loses.
    #[serde(default)]
    pub margin: f64,
    /// Paired differences that there must be, at least 2.
    #[serde(default = "two")]
    pub after: usize,
}

/// What one variant changes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantFile {
    /// Settings, as for `--set`, that win over the baseline's.
    pub set: Vec<String>,
}

fn heads() -> PathBuf {
    "heads".into()
}

fn folds() -> usize {
    5
}

fn seeds() -> Vec<u64> {
    vec![0]
}

fn confidence() -> f64 {
    0.95
}

fn two() -> usize {
    2
}

/// Settings an experiment gives every run itself.
const OWN: [&str; 3] = ["train.seed", "train.split", "train.feature_cache"];

impl ExperimentFile {
    /// Reads a file; its paths are joined to its folder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`] with the line, [`Error::Invalid`] for values out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let text = crate::io::read::text(path, crate::io::read::SETTINGS)?;
        let mut file = Self::from_toml(&text, &path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        file.heads = resolve_path(folder, &file.heads);
        file.config = file.config.map(|c| resolve_path(folder, &c));
        file.data
            .iter_mut()
            .for_each(|d| *d = resolve_path(folder, d));
        Ok(file)
    }

    /// From TOML text; `origin` is what errors call it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let file: Self = toml::from_str(text).map_err(|e| Error::Config {
            origin: origin.into(),
            message: not_toml(text, &e),
            source: None,
        })?;
        file.validate(origin)?;
        Ok(file)
    }

    fn validate(&self, origin: &str) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("{origin}, {what}"),
                expected: expected.into(),
                found,
            })
        };
        if self.folds < 2 {
            return fail("folds", "at least 2", self.folds.to_string());
        }
        let different: BTreeSet<_> = self.seeds.iter().collect();
        if self.seeds.is_empty() || different.len() < self.seeds.len() {
            let found = format!("{:?}", self.seeds);
            return fail("seeds", "one or more different numbers", found);
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let expected = "a number between 0 and 1, as 0.95";
            return fail("confidence", expected, self.confidence.to_string());
        }
        if let Some(m) = self.minutes.filter(|m| !(*m > 0.0 && *m <= 1e7)) {
            let expected = "a number above 0, at most 10000000";
            return fail("minutes", expected, m.to_string());
        }
        if let Some(give_up) = self.give_up {
            if !give_up.margin.is_finite() {
                return fail("give_up.margin", "a number", give_up.margin.to_string());
            }
            if give_up.after < 2 {
                let expected = "at least 2: one difference has no interval";
                return fail("give_up.after", expected, give_up.after.to_string());
            }
        }
        for setting in self.variants.iter().flat_map(|v| &v.set) {
            let key = setting.split('=').next().unwrap_or_default().trim();
            let of = |own: &str| key == own || key.starts_with(&format!("{own}."));
            if let Some(own) = OWN.into_iter().find(|own| of(own)) {
                let expected = format!("no `{own}`, which is the same in all variants");
                return fail("variants", &expected, format!("`{setting}`"));
            }
        }
        Ok(())
    }
}
