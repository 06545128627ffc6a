//! A configuration out of one table.

use super::Config;
use crate::backbone::Architecture;
use crate::error::{Error, Result};
use serde::Deserialize;

/// A configuration; `origin` is what errors call the table.
///
/// # Errors
/// [`Error::Config`] naming the key and what is expected.
pub(super) fn parse(table: &toml::Table, origin: &str) -> Result<Config> {
    let mut table = table.clone();
    own_input(&mut table);
    Config::deserialize(table).map_err(|e| Error::Config {
        origin: origin.into(),
        message: e.to_string().trim().to_string(),
        source: None,
    })
}

/// What `model.input` does not say is as the backbone's pretrained weights were made for.
fn own_input(table: &mut toml::Table) {
    let Some(toml::Value::Table(model)) = table.get_mut("model") else {
        return;
    };
    let name = model.get("backbone").and_then(toml::Value::as_str);
    // A name that is wrong is found later, and said.
    let Some(Ok(input)) = name.map(|n| Architecture::from_name(n).map(Architecture::input)) else {
        return;
    };
    let given = model
        .entry("input")
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let (toml::Value::Table(given), Ok(own)) = (given, toml::Table::try_from(&input)) {
        for (key, value) in own {
            given.entry(key).or_insert(value);
        }
    }
}
