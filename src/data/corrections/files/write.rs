//! Corrections written, to be read again by tests: nothing but the page of an audit writes them otherwise.

use super::{KEYS, Row};
use crate::data::corrections::{Correction, Corrections, Subject, VERSION};
use crate::error::{Error, Result};
use crate::io::table;
use serde::Serialize;

impl Row {
    fn of(correction: &Correction) -> Self {
        let (photo, person) = match &correction.subject {
            Subject::Photo(name) => (Some(name.clone()), None),
            Subject::Person(name) => (None, Some(name.clone())),
        };
        let action = &correction.action;
        Self {
            photo,
            person,
            action: Some(action.name().into()),
            head: action.head().map(Into::into),
            label: action.label().map(Into::into),
            was: correction.was.clone(),
            note: correction.note.clone(),
        }
    }
}

/// The rows of entries that read back as what they are.
fn rows<'a>(entries: impl IntoIterator<Item = &'a Correction>) -> Result<Vec<Row>> {
    let checked = |entry: &Correction| {
        let row = Row::of(entry);
        let mut again = Row::default();
        let mut copy = row.clone();
        for key in KEYS {
            if let Some(Some(text)) = copy.cell(key) {
                again.put(key, text);
            }
        }
        if again == row && row.clone().read().as_ref() == Ok(entry) {
            return Ok(row);
        }
        Err(Error::Invalid {
            what: "correction".into(),
            expected: "texts that are not empty, have no spaces around them (but photos and notes), and `was` with a head only".into(),
            found: format!("{entry:?}"),
        })
    };
    entries.into_iter().map(checked).collect()
}

fn to_toml<'a>(entries: impl IntoIterator<Item = &'a Correction>) -> Result<String> {
    #[derive(Serialize)]
    struct Out {
        version: u32,
        corrections: Vec<Row>,
    }
    let out = Out {
        version: VERSION,
        corrections: rows(entries)?,
    };
    toml::to_string(&out).map_err(|e| Error::Config {
        origin: "corrections".into(),
        message: "cannot be written as TOML".into(),
        source: Some(e.into()),
    })
}

fn to_csv<'a>(entries: impl IntoIterator<Item = &'a Correction>) -> Result<String> {
    let titles = std::iter::once("version").chain(KEYS);
    let cells = |mut row: Row| {
        let cells = KEYS.map(|key| row.cell(key).and_then(Option::take).unwrap_or_default());
        std::iter::once(VERSION.to_string()).chain(cells)
    };
    table::to_csv(titles, rows(entries)?.into_iter().map(cells))
}

impl Corrections {
    /// The entries of all files, in order.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &Correction> {
        self.entries.iter().map(|e| &e.correction)
    }

    /// The text of a TOML file.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an entry is none that could be read, such as one of a person without a name.
    pub(crate) fn to_toml<'a>(entries: impl IntoIterator<Item = &'a Correction>) -> Result<String> {
        to_toml(entries)
    }

    /// The text of a CSV file.
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml).
    pub(crate) fn to_csv<'a>(entries: impl IntoIterator<Item = &'a Correction>) -> Result<String> {
        to_csv(entries)
    }
}
