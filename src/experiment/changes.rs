//! Which values differ between two configurations.

use crate::error::{Error, Result};
use crate::train::config::Config;
use serde::{Deserialize, Serialize};
use std::fmt;
use toml::{Table, Value};

/// A value that differs, in TOML; `None` where the key is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The dotted key.
    pub key: String,
    /// The value in the first configuration.
    pub from: Option<String>,
    /// The value in the second.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |v: &Option<String>| v.clone().unwrap_or_else(|| "–".into());
        write!(
            f,
            "{}: {} → {}",
            self.key,
            shown(&self.from),
            shown(&self.to)
        )
    }
}

/// A configuration as a table without what never changes a result: where features are kept, the memory for photos decoded ahead,
/// heads the model does not have; and without the seed, which tells runs of one variant apart.
pub(crate) fn comparable(config: &Config) -> Result<Table> {
    Table::try_from(config)
        .map(without_details)
        .map_err(|e| Error::Config {
            origin: "the configuration".into(),
            message: e.to_string(),
            source: None,
        })
}

/// As [`comparable`], of a table read from `config.toml`.
pub(crate) fn without_details(mut config: Table) -> Table {
    if let Some(Value::Table(train)) = config.get_mut("train") {
        for key in ["seed", "queue_mib", "feature_cache", "tensorboard"] {
            train.remove(key);
        }
    }
    let used = used_heads(&config);
    if let Some(Value::Table(heads)) = config.get_mut("heads") {
        heads.retain(|name, _| used.iter().any(|u| u == name));
    }
    config
}

/// `model.heads`.
pub(crate) fn used_heads(config: &Table) -> Vec<String> {
    let names = config
        .get("model")
        .and_then(|m| m.get("heads"))
        .and_then(Value::as_array);
    let names = names.into_iter().flatten();
    names.filter_map(|n| Some(n.as_str()?.into())).collect()
}

/// The values that differ, by key.
pub fn differences(from: &Table, to: &Table) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", from, to, &mut changes);
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn compare(prefix: &str, from: &Table, to: &Table, changes: &mut Vec<Change>) {
    let new = to.keys().filter(|k| !from.contains_key(*k));
    for key in from.keys().chain(new) {
        let name = format!("{prefix}{key}");
        match (from.get(key), to.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                compare(&format!("{name}."), a, b, changes);
            }
            (a, b) if a != b => changes.push(Change {
                key: name,
                from: a.map(ToString::to_string),
                to: b.map(ToString::to_string),
            }),
            _ => {}
        }
    }
}

/// Columns of a value in a title.
const SHOWN: usize = 120;

/// What a variant is called: the settings that make it, in the form of settings, what several heads have in common once as
/// `heads.{age,mask}.loss=soft_f1`; "baseline" if there is none.
pub fn title(changes: &[Change]) -> String {
    // That a head is there or not is said by `model.heads`.
    let whole_head = |c: &&Change| {
        let name = c.key.strip_prefix("heads.");
        name.is_some_and(|n| !n.contains('.')) && (c.from.is_none() || c.to.is_none())
    };
    let mut parts: Vec<(String, Vec<&str>, String)> = Vec::new();
    for change in changes.iter().filter(|c| !whole_head(c)) {
        let to = change.to.clone().unwrap_or_default();
        let to = if to.chars().count() > SHOWN {
            to.chars().take(SHOWN - 1).collect::<String>() + "…"
        } else {
            to
        };
        let to = to.replace('"', "");
        let of_head = change.key.strip_prefix("heads.");
        let (head, key) = of_head
            .and_then(|k| k.split_once('.'))
            .unwrap_or(("", &change.key));
        // What several heads have in common is said once.
        let same = |p: &&mut (String, Vec<&str>, String)| {
            !head.is_empty() && !p.1.is_empty() && p.0 == key && p.2 == to
        };
        match parts.iter_mut().find(same) {
            Some(part) => part.1.push(head),
            None if head.is_empty() => parts.push((key.into(), Vec::new(), to)),
            None => parts.push((key.into(), vec![head], to)),
        }
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(key, heads, to)| match heads.as_slice() {
            [] => format!("{key}={to}"),
            [head] => format!("heads.{head}.{key}={to}"),
            heads => format!("heads.{{{}}}.{key}={to}", heads.join(",")),
        })
        .collect();
    if parts.is_empty() {
        "baseline".into()
    } else {
        parts.join(", ")
    }
}
