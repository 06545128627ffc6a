//! The health of a data set: photos that are there twice, blurred, dark, bright, empty or of odd size, persons that may be one or
//! two, and what a crop cuts off. Nothing is decided here: everything found is ranked, to be looked at.

pub(crate) mod copies;
mod crop;
pub(crate) mod hash;
mod identity;
mod measure;
pub(crate) mod neighbours;
mod pass;
mod persons;
mod report;
mod robust;
mod shards;
mod sides;

pub(crate) use identity::normalise;
pub use measure::Measures;
pub use neighbours::nearest;
pub use pass::Looker;
pub use report::HealthReport;
pub use robust::Robust;
#[cfg(feature = "cli")]
pub(crate) use shards::{health_of, look_at};
pub use sides::Shift;

use crate::data::dataset::{Dataset, person_key};
use crate::data::split_report::SplitReport;
use crate::error::{Error, Result};
use crate::taxonomy::Taxonomy;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Where a finding begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// The variance of the Laplacian, on a logarithmic scale, lies so many robust units below the median.
    pub blurred: f64,
    /// Mean brightness, below.
    pub dark: f64,
    /// Mean brightness, above.
    pub bright: f64,
    /// Entropy of the grey levels, below.
    pub information: f64,
    /// Number of pixels, on a logarithmic scale, either way.
    pub size: f64,
    /// Width by height, on a logarithmic scale, either way.
    pub aspect: f64,
    /// A photo's likeness to the others of its person, below.
    pub stranger: f64,
    /// Most bits in which the perceptual hashes of near duplicates differ, at most 15.
    pub phash: u32,
    /// Most bits in which their difference hashes differ.
    pub dhash: u32,
    /// Least cosine of two persons that may be one.
    pub same_person: f64,
    /// Most rows of each list.
    pub listed: usize,
    /// A centre crop `[height, width]` to try, in place of the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<[usize; 2]>,
}

impl Default for HealthConfig {
    fn default() -> Self {
        // 3.5 robust units: Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers".
        Self {
            blurred: 3.5,
            dark: 3.5,
            bright: 3.5,
            information: 3.5,
            size: 3.5,
            aspect: 3.5,
            stranger: 3.5,
            phash: 6,
            dhash: 8,
            same_person: 0.6,
            listed: 100,
            crop: None,
        }
    }
}

impl HealthConfig {
    /// Sets `name=value` pairs, the value in TOML.
    ///
    /// # Errors
    /// [`Error::Config`] naming the pair, [`Error::Invalid`] for values out of range.
    pub fn with(settings: &[String]) -> Result<Self> {
        let fail = |setting: &str, message: String| Error::Config {
            origin: format!("the limit {setting}"),
            message,
            source: None,
        };
        let mut table = toml::Table::new();
        for setting in settings {
            let one: toml::Table = toml::from_str(setting)
                .map_err(|_| fail(setting, "expected NAME=NUMBER, as blurred=3".into()))?;
            Self::deserialize(one.clone()).map_err(|e| fail(setting, e.message().into()))?;
            table.extend(one);
        }
        let config = Self::deserialize(table).map_err(|e| fail("", e.message().into()))?;
        let by_setting = |what: &str| {
            let names_it = |setting: &&String| {
                let name = setting.split('=').next().unwrap_or_default().trim();
                !name.is_empty() && what.contains(name)
            };
            match settings.iter().rev().find(names_it) {
                Some(setting) => format!("the limit {setting}: {what}"),
                None => what.into(),
            }
        };
        config.validate().map_err(|e| e.about(by_setting))?;
        Ok(config)
    }

    fn validate(&self) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("health, {what}"),
                expected: expected.into(),
                found,
            })
        };
        for (what, value) in [
            ("blurred", self.blurred),
            ("dark", self.dark),
            ("bright", self.bright),
            ("information", self.information),
            ("size", self.size),
            ("aspect", self.aspect),
            ("stranger", self.stranger),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return fail(what, "robust units, at least 0", value.to_string());
            }
        }
        if self.phash > 15 || self.dhash > 64 {
            let found = format!("{}, {}", self.phash, self.dhash);
            return fail("phash, dhash", "at most 15 and 64 bits", found);
        }
        if !(-1.0..=1.0).contains(&self.same_person) {
            let found = self.same_person.to_string();
            return fail("same_person", "a cosine, from -1 to 1", found);
        }
        match self.crop {
            Some(crop) if crop.contains(&0) => {
                fail("crop", "at least 1 × 1 pixels", format!("{crop:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// Reads every photo once, on all of rayon's threads, and looks for what may be wrong. `looker` is the network whose features
/// tell photos apart; without one, nothing that needs features is looked for. `progress` is told photos done and photos in all.
///
/// # Errors
/// As [`Dataset`]'s, and what the model gives; a photo that cannot be read is no error but a finding.
pub fn health(
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    looker: Option<&Looker>,
    config: &HealthConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<HealthReport> {
    config.validate()?;
    let all = 0..dataset.samples.len();
    let read = pass::read(dataset, all, looker, config, progress)?;
    of_read(dataset, taxonomy, read, config)
}

/// What follows from what was read of all photos.
fn of_read(
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    read: pass::Read,
    config: &HealthConfig,
) -> Result<HealthReport> {
    let (photos, summaries, findings) = report::look(dataset, &read, config);
    let copies = copies::find(dataset, &read, config);
    let persons = read
        .features
        .as_ref()
        .map(|features| persons::compare(dataset, features, config))
        .transpose()?;
    let crop = read
        .probs
        .as_ref()
        .map(|probs| crop::compare(dataset, &read.places, probs, config.listed));
    let mut contents = vec![None; dataset.samples.len()];
    for (place, bytes) in read.places.iter().zip(&read.bytes) {
        contents[*place] = Some(*bytes);
    }
    let people: HashSet<_> = dataset.samples.iter().map(person_key).collect();
    Ok(HealthReport {
        photos: dataset.samples.len(),
        persons: people.len(),
        unreadable: read.faults.into_iter().map(|(_, fault)| fault).collect(),
        config: config.clone(),
        summaries,
        findings,
        copies,
        equal_across_sides: crate::data::seen::copies(dataset, &contents),
        alike: persons,
        crop: crop.flatten(),
        shifts: sides::shifts(dataset),
        sides: SplitReport::new(dataset, taxonomy)?,
        all: photos,
    })
}
