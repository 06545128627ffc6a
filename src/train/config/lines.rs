//! A configuration file that holds a part of a configuration, checked key by key, so that an error has its line.

use super::{ModelConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::io::recognise::not_toml;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Spanned, Table, Value};

/// The keys of a table, each with its place in the text.
type Keys = BTreeMap<String, Spanned<Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    train: Keys,
    #[serde(default)]
    model: Keys,
    #[serde(default)]
    heads: BTreeMap<String, Keys>,
}

/// Checks every key of a file's tables `train`, `model` and `heads.<name>` by itself.
///
/// # Errors
/// [`Error::Config`] with the line of the first one that is not known or whose value is not what it should be.
pub(super) fn check(path: &Path, text: &str) -> Result<()> {
    let fail = |message: String| Error::Config {
        origin: path.display().to_string(),
        message,
        source: None,
    };
    let part: Part = toml::from_str(text).map_err(|e| fail(not_toml(text, &e)))?;
    let mut wrong = first_wrong::<TrainConfig>(&part.train, "");
    let model = first_wrong::<ModelConfig>(&part.model, MODEL);
    let heads = part
        .heads
        .values()
        .flat_map(|keys| first_wrong::<HeadSpec>(keys, HEAD));
    wrong = wrong.into_iter().chain(model).chain(heads).min();
    match wrong {
        None => Ok(()),
        Some((start, message)) => {
            let line = text[..start.min(text.len())].matches('\n').count() + 1;
            Err(fail(format!("line {line}: {message}")))
        }
    }
}

/// What a table cannot do without.
const MODEL: &str = "backbone = \"tf_efficientnet_lite0\"\nheads = []";
const HEAD: &str = "name = \"a\"\nlabels = []";

/// Place and message of the first key that is wrong in a table that else holds `least`.
fn first_wrong<T: DeserializeOwned>(keys: &Keys, least: &str) -> Option<(usize, String)> {
    let message = |(key, value): (&String, &Spanned<Value>)| {
        let mut table: Table = toml::from_str(least).unwrap_or_default();
        table.insert(key.clone(), value.get_ref().clone());
        let error = T::deserialize(table).err()?;
        Some((value.span().start, error.to_string().trim().to_string()))
    };
    keys.iter().filter_map(message).min()
}
