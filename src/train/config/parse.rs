//! A configuration out of one table.

use super::Config;
use crate::backbone::Architecture;
use crate::error::{Error, Result};
use serde::Deserialize;

/// Epochs of heads on kept features.
const FROZEN_EPOCHS: i64 = 30;

/// A configuration; `origin` is what errors call the table.
///
/// # Errors
/// [`Error::Config`] naming the key and what is expected.
pub(super) fn parse(table: &toml::Table, origin: &str) -> Result<Config> {
    let mut table = table.clone();
    own_input(&mut table);
    suit_frozen(&mut table);
    Config::deserialize(table).map_err(|e| Error::Config {
        origin: origin.into(),
        message: e.to_string().trim().to_string(),
        source: None,
    })
}

/// What `[train]` does not say of a backbone that stays frozen suits features that are computed once: of each photo and of its
/// mirror image, and more epochs, since they take no time.
fn suit_frozen(table: &mut toml::Table) {
    // Stages of a head's own are trained: then no features are kept.
    let heads = table.get("heads").and_then(toml::Value::as_table);
    let own = |head: &toml::Value| head.get("own_stages").and_then(toml::Value::as_integer);
    if heads.is_some_and(|heads| heads.values().any(|head| own(head).is_some_and(|n| n > 0))) {
        return;
    }
    let Some(toml::Value::Table(train)) = table.get_mut("train") else {
        return;
    };
    let stays = train.get("fine_tune").and_then(toml::Value::as_str) == Some("frozen")
        && !train.contains_key("unfreeze_every")
        && !train.contains_key("lora");
    if !stays {
        return;
    }
    train
        .entry("epochs")
        .or_insert(toml::Value::Integer(FROZEN_EPOCHS));
    if train.contains_key("mix") {
        return;
    }
    let mix_up = train.entry("mix_up").or_insert(toml::Value::Float(0.0));
    let mixes = *mix_up != toml::Value::Float(0.0) && *mix_up != toml::Value::Integer(0);
    if !mixes && !train.contains_key("augment") && !train.contains_key("feature_views") {
        train.insert("feature_views".into(), toml::Value::Integer(2));
        let always = toml::Table::from_iter([("flip".to_string(), toml::Value::Float(1.0))]);
        train.insert("augment".into(), toml::Value::Table(always));
    }
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
