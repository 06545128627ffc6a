//! Where a setting that is out of range was written: the file and its line, or that it was given alone.

use super::Config;
use super::files::of_setting;
use super::parse::parse;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What a configuration was put together from, in order of growing weight.
pub(super) enum Origin<'a> {
    /// A folder of heads, with what takes the place of defaults.
    Heads(&'a Path),
    /// A recipe.
    Recipe(&'a str),
    /// A file of settings.
    File(&'a Path),
    /// A setting given beside them.
    Setting(&'a str),
}

/// Everything up to an origin, put together.
pub(super) type Layer<'a> = (Origin<'a>, toml::Table);

/// Checks a configuration that was put together from these layers; an error names the one from which on it was wrong in this way.
pub(super) fn validate(config: &Config, layers: &[Layer]) -> Result<()> {
    let Err(error) = config.validate() else {
        return Ok(());
    };
    let text = error.to_string();
    let alike = |(_, table): &&Layer| {
        let before = parse(table, "").and_then(|config| config.validate());
        before.is_err_and(|e| e.to_string() == text)
    };
    let guilty = layers.iter().rev().take_while(alike).last();
    match guilty.or(layers.last()).map(|(origin, _)| origin) {
        Some(Origin::Heads(folder)) => Err(of_file(&file_of(folder, &error), error)),
        Some(Origin::Recipe(name)) => Err(named(format!("the recipe {name}"), error)),
        Some(Origin::File(file)) => Err(of_file(file, error)),
        Some(Origin::Setting(setting)) => Err(named(of_setting(setting), error)),
        None => Err(error),
    }
}

/// The error with the file, and the line where it can be told, that it comes from.
pub(super) fn of_file(file: &Path, error: Error) -> Error {
    let line = std::fs::read_to_string(file)
        .ok()
        .and_then(|text| line(&text, &error));
    let origin = match line {
        Some(line) => format!("{}, line {line}", file.display()),
        None => file.display().to_string(),
    };
    named(origin, error)
}

fn named(origin: String, error: Error) -> Error {
    match error {
        Error::Invalid { .. } => error.about(|what| format!("{origin}: {what}")),
        other => Error::Config {
            origin,
            message: other.to_string(),
            source: None,
        },
    }
}

/// The file of a folder of heads that an error is about: that of the first head it names, or else the first in which what it is
/// about is found, or `model.toml`.
fn file_of(folder: &Path, error: &Error) -> PathBuf {
    let message = error.to_string();
    let quoted = message.split('`').skip(1).step_by(2);
    let mut named = quoted
        .filter(|name| !name.contains(['/', '\\']))
        .map(|name| folder.join(format!("{name}.toml")));
    let model = folder.join("model.toml");
    let has_line = |file: &PathBuf| {
        std::fs::read_to_string(file).is_ok_and(|text| line(&text, error).is_some())
    };
    if let Error::UnknownName { .. } = error {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "toml"))
            .collect();
        files.sort_by_key(|file| (*file != model, file.clone()));
        return files.into_iter().find(has_line).unwrap_or(model);
    }
    named.find(|file| file.is_file()).unwrap_or(model)
}

/// A key, or a string beneath it, and where it stands.
struct Place {
    keys: Vec<String>,
    text: Option<String>,
    start: usize,
}

fn places(table: &DeTable, keys: &[String], found: &mut Vec<Place>) {
    for (key, value) in table {
        let mut keys = keys.to_vec();
        keys.push(key.get_ref().to_string());
        let start = key.span().start;
        found.push(Place {
            keys: keys.clone(),
            text: Some(key.get_ref().to_string()),
            start,
        });
        values(value, &keys, found);
    }
}

fn values(value: &toml::Spanned<DeValue>, keys: &[String], found: &mut Vec<Place>) {
    match value.get_ref() {
        DeValue::Table(table) => places(table, keys, found),
        DeValue::Array(items) => items.iter().for_each(|item| values(item, keys, found)),
        DeValue::String(text) => found.push(Place {
            keys: keys.to_vec(),
            text: Some(text.to_string()),
            start: value.span().start,
        }),
        _ => {}
    }
}

/// The line of a TOML text that an error is about.
fn line(text: &str, error: &Error) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut all = Vec::new();
    places(table.get_ref(), &[], &mut all);
    let start = match error {
        Error::Invalid { what, .. } => {
            let words = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'));
            let words: Vec<&str> = what.split(words).filter(|w| !w.is_empty()).collect();
            let has = |key: &String| words.contains(&key.as_str()) || key == "heads";
            let named = all
                .iter()
                .filter(|p| p.keys.last().is_some_and(|k| words.contains(&k.as_str())));
            named
                .max_by_key(|p| {
                    let named = p.keys.iter().filter(|k| has(k)).count();
                    (2 * named).saturating_sub(p.keys.len()) * 1000 + (999 - p.keys.len().min(999))
                })?
                .start
        }
        Error::UnknownName { found, .. } => {
            all.iter()
                .find(|p| p.text.as_ref().is_some_and(|t| t == found))?
                .start
        }
        _ => return None,
    };
    Some(text.get(..start)?.matches('\n').count() + 1)
}
