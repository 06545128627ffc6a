//! What has to be as it was for a run to go on as if it had never stopped: its settings, and the rows of its data in their order.

use crate::data::dataset::{Dataset, Sample};
use crate::error::{Error, Result};
use crate::tensors::hash::hexadecimal;
use crate::train::config::{Config, TrainConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a run began with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// Its configuration as TOML, without what may change from one stop to the next.
    pub settings: String,
    /// SHA-256 of the rows in their order: the draws of an epoch are places in it.
    pub order: String,
    /// SHA-256 of the photos' persons.
    pub persons: String,
    /// The heads that are taught by losses which no setting tells, in order of name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_losses: Vec<String>,
}

impl Beginning {
    /// Of a run that begins now.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting cannot be written.
    pub(crate) fn new(config: &Config, dataset: &Dataset, own_losses: &[String]) -> Result<Self> {
        let [order, persons] = Self::rows(dataset);
        Ok(Self {
            settings: kept(config).to_toml()?,
            order,
            persons,
            own_losses: own_losses.to_vec(),
        })
    }

    /// Its `order` and `persons`.
    pub(crate) fn rows(dataset: &Dataset) -> [String; 2] {
        let hash = |rows: Vec<String>| {
            let mut hash = Sha256::new();
            rows.iter().for_each(|row| hash.update(row));
            hexadecimal(hash.finalize())
        };
        let rows = dataset.samples.iter();
        let row = |s: &Sample| format!("{:?} {:?} {:?}\n", s.name, s.values, s.split);
        let order = rows.clone().map(row);
        let mut persons: Vec<String> = rows
            .map(|s| format!("{:?} {:?}\n", s.name, s.person))
            .collect();
        persons.sort();
        [hash(order.collect()), hash(persons)]
    }

    /// Compares the settings that a run began with with those it is to go on with.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming each setting that is another one, `file` being where they are written, and in which `state` the
    /// run is.
    pub(super) fn check(&self, then: &Self, file: &Path, state: &str) -> Result<()> {
        let [was, is] = [then, self].map(|b| entries(&b.settings));
        let differs = |key: &&String| was.get(*key) != is.get(*key);
        let keys: BTreeSet<&String> = was.keys().chain(is.keys()).filter(differs).collect();
        if keys.is_empty() && self.own_losses != then.own_losses {
            return Err(Error::Invalid {
                what: "to go on with the run".into(),
                expected: format!(
                    "losses of one's own for the heads {:?}, as it began",
                    then.own_losses
                ),
                found: format!("{:?}", self.own_losses),
            });
        }
        if keys.is_empty() {
            return Ok(());
        }
        let list = |of: &BTreeMap<String, String>| {
            let value = |key: &&String| of.get(*key).map_or("not set", String::as_str).to_string();
            let all: Vec<String> = keys
                .iter()
                .map(|key| format!("{key} = {}", value(key)))
                .collect();
            all.join(", ")
        };
        let mut expected = format!("the settings that the run began with, {}", list(&was));
        if keys.iter().any(|k| *k == "train.epochs") {
            expected += ", for the learning rate's schedule is laid over all epochs; for more epochs begin a new run in another folder, from this one's weights if you like: model.weights = …/last.safetensors";
        }
        Err(Error::Invalid {
            what: format!("to go on with the run, {}", file.display()),
            expected,
            found: format!("{}, in a run that {state}", list(&is)),
        })
    }

    /// Compares the rows, where photos, labels and sides are the same.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says what is other about them.
    pub(super) fn check_rows(&self, then: &Self) -> Result<()> {
        let fail = |expected: &str, found: &str| {
            Err(Error::Invalid {
                what: "to go on with the run, its data".into(),
                expected: expected.into(),
                found: found.into(),
            })
        };
        if then.persons != self.persons {
            return fail(
                "the persons that the listings named when the run began",
                "the same photos with other persons",
            );
        }
        if then.order != self.order {
            return fail(
                "the rows in the order in which they stood when the run began, for the photos of an epoch are drawn by their places; the run's split.csv has that order",
                "the same photos, labels and sides in another order of rows or listings",
            );
        }
        Ok(())
    }
}

/// The configuration with what may change at its default: how fast the run is, what it reports, and when it gives up.
fn kept(config: &Config) -> Config {
    let default = TrainConfig::default();
    let mut config = config.clone();
    config.train.queue_mib = default.queue_mib;
    config.train.feature_cache = default.feature_cache;
    config.train.report_gradients = default.report_gradients;
    config.train.tensorboard = default.tensorboard;
    config.train.patience = default.patience;
    config
}

/// Settings by dotted keys. Those that came with a later version of the program are at their defaults in a text of before.
fn entries(text: &str) -> BTreeMap<String, String> {
    let whole = toml::from_str::<Config>(text)
        .and_then(|c| toml::Table::try_from(c).map_err(serde::de::Error::custom));
    let table = whole.or_else(|_| toml::from_str(text)).unwrap_or_default();
    let mut entries = BTreeMap::new();
    flatten(String::new(), &toml::Value::Table(table), &mut entries);
    entries
}

fn flatten(key: String, value: &toml::Value, entries: &mut BTreeMap<String, String>) {
    let toml::Value::Table(table) = value else {
        entries.insert(key, value.to_string());
        return;
    };
    for (name, value) in table {
        let key = if key.is_empty() {
            name.clone()
        } else {
            format!("{key}.{name}")
        };
        flatten(key, value, entries);
    }
}
