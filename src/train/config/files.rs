//! A configuration out of its files and settings.

use super::blame::{self, Origin};
use super::parse::parse;
use super::{Config, ModelConfig};
use crate::error::{Error, Remedy, Result};
use crate::head::HeadSpec;
use crate::io::recognise::not_toml;
use crate::train::recipe::{Fit, Recipe};
use serde::Deserialize;
use std::path::Path;

/// What holds where neither heads nor files nor settings say anything.
#[derive(Clone, Copy)]
pub(crate) enum Defaults<'a> {
    /// Settings, and else what each has by itself.
    Settings(&'a [&'a str]),
    /// Those of a recipe, fitted to a configuration without it.
    Recipe(&'a Recipe, Fit),
}

impl Config {
    /// Puts a configuration together.
    ///
    /// `heads` is a folder with `model.toml` and one `<name>.toml` a head; `file` a TOML file with any of the tables `train`,
    /// `model`, `heads.<name>`; `settings` are `dotted.key=value`, the value in TOML, or else taken as text;
    /// an empty value takes the key away, so that its default holds.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file or setting, the key and what is expected; [`Error::Invalid`] for values out of range;
    /// [`Error::Refused`] if `heads` is no such folder.
    pub fn load(heads: &Path, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        Self::load_over(Defaults::Settings(&[]), heads, file, settings)
    }

    /// As [`load`](Self::load), with other defaults.
    pub(crate) fn load_over(
        defaults: Defaults,
        heads: &Path,
        file: Option<&Path>,
        settings: &[String],
    ) -> Result<Self> {
        let mut table = toml::Table::new();
        let model_path = heads.join("model.toml");
        if !model_path.is_file() {
            return Err(Error::Refused {
                what: model_path.display().to_string(),
                expected: "a folder with model.toml and one TOML file a head, as `heads` in hydranet's repository".into(),
                found: "no such file".into(),
                remedy: Remedy::HeadsFolder,
            });
        }
        let model = read_table::<ModelConfig>(&model_path)?;
        // The heads of the folder: those `model.toml` names; overriding files and settings may name others.
        let mut head_tables = toml::Table::new();
        for entry in std::fs::read_dir(heads).map_err(|e| Error::io("read", heads, e))? {
            let path = entry.map_err(|e| Error::io("read", heads, e))?.path();
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default()
                .to_string();
            if path.extension().is_some_and(|e| e == "toml") && stem != "model" {
                head_tables.insert(stem, toml::Value::Table(read_table::<HeadSpec>(&path)?));
            }
        }
        table.insert("model".into(), toml::Value::Table(model));
        table.insert("heads".into(), toml::Value::Table(head_tables));
        let mut origin = heads.display().to_string();
        let mut layers = Vec::new();
        match defaults {
            Defaults::Settings(settings) => {
                settings.iter().try_for_each(|s| apply(&mut table, s))?;
                layers.push((Origin::Heads(heads), table.clone()));
            }
            Defaults::Recipe(recipe, fit) => {
                layers.push((Origin::Heads(heads), table.clone()));
                merge(&mut table, recipe.table(fit)?);
                layers.push((Origin::Recipe(recipe.name), table.clone()));
            }
        }
        if let Some(path) = file {
            let text = crate::io::read::text(path, crate::io::read::SETTINGS)?;
            super::lines::check(path, &text)?;
            let overlay = renamed(read_table::<toml::Table>(path)?);
            merge(&mut table, overlay);
            origin = path.display().to_string();
            // Checked here as well, so that an error names this file and not a later setting.
            parse(&table, &origin)?;
            layers.push((Origin::File(path), table.clone()));
        }
        for setting in settings {
            apply(&mut table, setting)?;
            origin = of_setting(setting);
            parse(&table, &origin)?;
            layers.push((Origin::Setting(setting), table.clone()));
        }
        let config = parse(&table, &origin)?;
        blame::validate(&config, &layers)?;
        Ok(config)
    }
}

/// Reads a TOML file and checks that it is a `T`, so that an error has the file's line; gives the table.
pub(super) fn read_table<T: serde::de::DeserializeOwned>(path: &Path) -> Result<toml::Table> {
    let text = crate::io::read::text(path, crate::io::read::SETTINGS)?;
    let fail = |e: toml::de::Error| Error::Config {
        origin: path.display().to_string(),
        message: not_toml(&text, &e),
        source: None,
    };
    toml::from_str::<T>(&text).map_err(fail)?;
    toml::from_str(&text).map_err(fail)
}

/// With settings under the names that they have now, so that one layer of a configuration takes the place of another's.
fn renamed(mut table: toml::Table) -> toml::Table {
    if let Some(toml::Value::Table(train)) = table.get_mut("train")
        && !train.contains_key("parts")
        && let Some(parts) = train.remove("accumulate")
    {
        train.insert("parts".into(), parts);
    }
    table
}

/// Lays `over` on `base`: tables are merged, everything else is replaced.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// What errors call a setting.
pub(super) fn of_setting(setting: &str) -> String {
    format!("the setting {setting}")
}

/// Takes a `dotted.key` away, if it is there.
fn remove(table: &mut toml::Table, key: &str) {
    match key.split_once('.') {
        None => {
            table.remove(key);
        }
        Some((first, rest)) => {
            if let Some(toml::Value::Table(inner)) = table.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

/// Sets one `dotted.key=value`; an empty value takes the key away.
fn apply(table: &mut toml::Table, setting: &str) -> Result<()> {
    let fail = |message: &str| Error::Config {
        origin: of_setting(setting),
        message: message.into(),
        source: None,
    };
    let (key, value) = setting
        .split_once('=')
        .ok_or_else(|| fail("expected key=value, as in train.epochs=5"))?;
    if value.trim().is_empty() {
        remove(table, key.trim());
        return Ok(());
    }
    let value = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.into()));
    let mut over = value;
    for part in key.trim().rsplit('.') {
        over = toml::Value::Table(toml::Table::from_iter([(part.to_string(), over)]));
    }
    if let toml::Value::Table(over) = over {
        merge(table, renamed(over));
    }
    Ok(())
}

/// Reads one head's TOML file.
///
/// # Errors
/// [`Error::Io`], [`Error::Config`] with the line, or [`Error::Invalid`].
pub fn read_head(path: &Path) -> Result<HeadSpec> {
    let table = read_table::<HeadSpec>(path)?;
    let head = HeadSpec::deserialize(table).map_err(|e| Error::Config {
        origin: path.display().to_string(),
        message: e.to_string(),
        source: None,
    })?;
    head.validate().map_err(|e| blame::of_file(path, e))?;
    Ok(head)
}
