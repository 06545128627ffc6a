//! What is wrong with the tensors given to a model, all of it, in words.

use crate::error::{Error, Result};
use crate::nearest::nearest;
use std::collections::BTreeMap;

/// Groups of names shown of each kind.
const SHOWN: usize = 6;

/// The tensors that do not fit.
#[derive(Clone, Debug, Default)]
pub(crate) struct TensorMismatch {
    /// Asked for and not there.
    pub missing: Vec<String>,
    /// There and never asked for.
    pub unexpected: Vec<String>,
    /// Name, shape, shape asked for.
    pub misshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl TensorMismatch {
    /// Nothing missing, nothing left over, every shape as expected; or an error that lists what is not, grouped by block, with
    /// the nearest names.
    pub fn check(&self, origin: &str) -> Result<()> {
        let mut problems = Vec::new();
        let mut tell = |names: &[String], what: &str, others: &[String], where_: &str| {
            if names.is_empty() {
                return;
            }
            let near = |name: &str| match nearest(name, others) {
                Some(other) => format!("; the nearest {where_} is {other}"),
                None => String::new(),
            };
            let groups: Vec<String> = grouped(names)
                .into_iter()
                .map(|(group, names)| match names[..] {
                    [name] => format!("{name}{}", near(name)),
                    _ => format!(
                        "{group}*: {} tensors, {} …{}",
                        names.len(),
                        names[0],
                        near(names[0])
                    ),
                })
                .collect();
            problems.push(list(&format!("{} {what}", names.len()), &groups));
        };
        let (missing, unexpected) = (&self.missing, &self.unexpected);
        tell(missing, "missing tensors", unexpected, "in the file");
        tell(
            unexpected,
            "unexpected tensors",
            missing,
            "of the missing ones",
        );
        if !self.misshaped.is_empty() {
            let lines: Vec<String> = self
                .misshaped
                .iter()
                .map(|(name, found, expected)| {
                    format!("{name} is {found:?}, expected {expected:?}")
                })
                .collect();
            let what = format!("{} tensors of another shape", lines.len());
            problems.push(list(&what, &lines));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::Checkpoint {
            origin: origin.into(),
            problem: problems.join("\n"),
            source: None,
        })
    }
}

fn list(what: &str, lines: &[String]) -> String {
    let mut text = format!("{what}:");
    for line in lines.iter().take(SHOWN) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    if lines.len() > SHOWN {
        text.push_str(&format!("\n  and {} more like these", lines.len() - SHOWN));
    }
    text
}

/// Names by what they begin with: up to the first number, which counts blocks or stages; without one, up to the last dot.
fn grouped(names: &[String]) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        let group = prefix(name);
        let place = *places.entry(group).or_insert(groups.len());
        if place == groups.len() {
            groups.push((group, Vec::new()));
        }
        groups[place].1.push(name);
    }
    groups
}

fn prefix(name: &str) -> &str {
    let mut end = 0;
    for part in name.split_inclusive('.') {
        end += part.len();
        let Some(word) = part.strip_suffix('.') else {
            break;
        };
        if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            return &name[..end];
        }
    }
    name.rfind('.').map_or(name, |dot| &name[..=dot])
}
