//! The two forms of a file of corrections: TOML, and CSV with the same words as columns.

#[cfg(all(test, feature = "cli"))]
mod write;

use super::{Action, Correction, Subject, VERSION};
use crate::data::table::Table;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Spanned, Value};

/// The keys of an entry, in the order they are written.
const KEYS: [&str; 7] = ["photo", "person", "action", "head", "label", "was", "note"];

/// An entry as text, before it is known to make sense.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    photo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Row {
    fn cell(&mut self, key: &str) -> Option<&mut Option<String>> {
        Some(match key {
            "photo" => &mut self.photo,
            "person" => &mut self.person,
            "action" => &mut self.action,
            "head" => &mut self.head,
            "label" => &mut self.label,
            "was" => &mut self.was,
            "note" => &mut self.note,
            _ => return None,
        })
    }

    /// Puts a text into its place as a listing's cells are read: photos as they are, else without spaces around; what is empty is
    /// not there.
    fn put(&mut self, key: &str, text: &str) {
        let text = match key {
            "photo" | "note" => text,
            _ => text.trim(),
        };
        if let Some(cell) = self.cell(key) {
            *cell = (!text.trim().is_empty()).then(|| text.to_string());
        }
    }

    /// The entry, or why it is none.
    fn read(self) -> std::result::Result<Correction, String> {
        let subject = match (self.photo, self.person) {
            (Some(photo), None) => Subject::Photo(photo),
            (None, Some(person)) => Subject::Person(person),
            (None, None) => return Err("a `photo` or a `person` is needed, found neither".into()),
            (Some(_), Some(_)) => {
                return Err("a `photo` or a `person` is needed, found both".into());
            }
        };
        let (head, label) = (self.head, self.label);
        let word = self.action.unwrap_or_default();
        let without_label = match &label {
            None => Ok(head.clone()),
            Some(label) => Err(format!(
                "`label` goes with the action relabel, found `{label}` with {word}"
            )),
        };
        let action = match (word.as_str(), head, label) {
            ("relabel", Some(head), Some(label)) => Action::Relabel { head, label },
            ("relabel", head, _) => {
                let lacking = if head.is_none() { "head" } else { "label" };
                return Err(format!("a `{lacking}` is needed to relabel, found none"));
            }
            ("drop", ..) => Action::Drop {
                head: without_label?,
            },
            ("keep", ..) => Action::Keep {
                head: without_label?,
            },
            ("", ..) => {
                return Err("an `action` is needed (relabel, drop, keep), found none".into());
            }
            _ => {
                return Err(format!(
                    "the action relabel, drop or keep is needed, found `{word}`"
                ));
            }
        };
        if self.was.is_some() && action.head().is_none() {
            return Err("`was` goes with a `head`, found none".into());
        }
        Ok(Correction {
            subject,
            action,
            was: self.was,
            note: self.note,
        })
    }
}

/// The entries of a file, each with its line.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<(u64, Correction)>> {
    let end = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let rows = match end.to_ascii_lowercase().as_str() {
        "toml" => toml_rows(bytes, path)?,
        "csv" => csv_rows(bytes, path)?,
        _ => {
            return Err(fault(
                path,
                None,
                "corrections are in a file that ends in .toml or .csv, found another ending".into(),
            ));
        }
    };
    rows.into_iter()
        .map(|(line, row)| {
            let entry = row.read().map_err(|m| fault(path, Some(line), m))?;
            Ok((line, entry))
        })
        .collect()
}

fn fault(path: &Path, row: Option<u64>, message: String) -> Error {
    Error::Data {
        path: path.into(),
        row,
        message,
    }
}

/// The version first: another one may look otherwise.
#[derive(Deserialize)]
struct Versioned {
    version: Spanned<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(rename = "version")]
    _version: Value,
    #[serde(default)]
    corrections: Vec<BTreeMap<String, Spanned<Value>>>,
}

fn other_version(found: &str) -> String {
    format!("corrections of version {found}; this version of hydranet reads `version = {VERSION}`")
}

fn toml_rows(bytes: &[u8], path: &Path) -> Result<Vec<(u64, Row)>> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes[..e.valid_up_to()].iter();
        let line = 1 + before.filter(|b| **b == b'\n').count() as u64;
        fault(
            path,
            Some(line),
            "text in UTF-8 is needed, found other bytes".into(),
        )
    })?;
    let line_of = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count() as u64;
    let wrong = |e: toml::de::Error| {
        let line = e.span().map(|s| line_of(s.start));
        fault(path, line, e.message().to_string())
    };
    let versioned: Versioned = toml::from_str(text).map_err(wrong)?;
    if *versioned.version.get_ref() != Value::Integer(VERSION.into()) {
        let line = line_of(versioned.version.span().start);
        let message = other_version(&versioned.version.get_ref().to_string());
        return Err(fault(path, Some(line), message));
    }
    let whole: Whole = toml::from_str(text).map_err(wrong)?;
    let mut rows = Vec::new();
    for (place, keys) in whole.corrections.into_iter().enumerate() {
        let first = keys.values().map(|v| v.span().start).min();
        let Some(first) = first else {
            let message = format!("entry {} of the corrections is empty", place + 1);
            return Err(fault(path, None, message));
        };
        let mut row = Row::default();
        for (key, value) in keys {
            let line = line_of(value.span().start);
            if row.cell(&key).is_none() {
                let message = format!("the keys {} are known, found `{key}`", KEYS.join(", "));
                return Err(fault(path, Some(line), message));
            }
            let text = match value.into_inner() {
                Value::String(text) => text,
                Value::Integer(n) if ["label", "was"].contains(&key.as_str()) => n.to_string(),
                Value::Float(n) if ["label", "was"].contains(&key.as_str()) => n.to_string(),
                other => {
                    let message = format!("`{key}` is a text, found {other}");
                    return Err(fault(path, Some(line), message));
                }
            };
            row.put(&key, &text);
        }
        rows.push((line_of(first), row));
    }
    Ok(rows)
}

fn csv_rows(bytes: &[u8], path: &Path) -> Result<Vec<(u64, Row)>> {
    let table = Table::parse(bytes, path, 0)?;
    let version = table.needed("version")?;
    table.needed("action")?;
    let mut columns = Vec::new();
    let known: Vec<&str> = KEYS.into_iter().chain(["version"]).collect();
    for key in KEYS {
        columns.extend(table.column(key, &known)?.map(|place| (key, place)));
    }
    if let Some(first) = table.faults.into_iter().next() {
        return Err(first.into());
    }
    let mut rows = Vec::new();
    for from in table.rows {
        let found = from.cells[version].trim();
        if found != VERSION.to_string() {
            return Err(fault(
                path,
                Some(from.line),
                other_version(&format!("`{found}`")),
            ));
        }
        let mut row = Row::default();
        for (key, place) in &columns {
            row.put(key, &from.cells[*place]);
        }
        rows.push((from.line, row));
    }
    Ok(rows)
}
