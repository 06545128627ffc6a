//! The files of all shards of one work, put together.

use super::Shard;
use super::file::{End, FORMAT, Head, Work, named};
use crate::error::{Error, Result};
use crate::io::partial::folder_of;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line that is read.
const LINE: u64 = 64 << 20;
/// Characters of a value that a message shows.
const SHOWN: usize = 80;
/// Numbers of shards that a message names.
const NAMED: usize = 8;

/// All shards of one work, in their order.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) work: Work,
    files: Vec<PathBuf>,
}

/// The shards of what will be `out`: those files, or without any those that lie beside it. All of one work have to be there, each
/// once.
///
/// # Errors
/// [`Error::Invalid`] if one is missing, there twice, or of other work, saying which and in what it differs; [`Error::Data`] if a
/// file is no shard or of another version.
pub(crate) fn join(out: &Path, files: &[PathBuf]) -> Result<Joined> {
    let mut files = files.to_vec();
    if files.is_empty() {
        files = beside(out)?;
    }
    let invalid = |what: String, expected: String, found: String| {
        Err(Error::Invalid {
            what,
            expected,
            found,
        })
    };
    let mut all: BTreeMap<usize, PathBuf> = BTreeMap::new();
    let mut first: Option<(PathBuf, Shard, Work)> = None;
    for path in files {
        let Head { shard, work, .. } = Lines::open(&path)?.head()?;
        let [number, of] = shard;
        let shard: Shard = format!("{number}/{of}")
            .parse()
            .map_err(|e| of_line(&path, 1, e))?;
        if let Some((other, of_first, expected)) = &first {
            let differs = if of_first.of == shard.of {
                difference(expected, &work)
            } else {
                Some((
                    "one of as many shards".into(),
                    of_first.of.to_string(),
                    shard.of.to_string(),
                ))
            };
            if let Some((what, needed, found)) = differs {
                return invalid(
                    format!("the shard {}", path.display()),
                    format!("{what} as {}, {needed}", other.display()),
                    found,
                );
            }
        } else {
            first = Some((path.clone(), shard, work));
        }
        if let Some(other) = all.insert(number, path.clone()) {
            return invalid(
                format!("the shards of {}", out.display()),
                "each once".into(),
                format!(
                    "{shard} twice, in {} and {}",
                    other.display(),
                    path.display()
                ),
            );
        }
    }
    let Some((_, Shard { of, .. }, work)) = first else {
        return invalid(
            format!("the shards of {}", out.display()),
            format!(
                "files called {}.I-of-N.shard beside it, or named",
                out.display()
            ),
            "none".into(),
        );
    };
    let missing: Vec<usize> = (1..=of).filter(|n| !all.contains_key(n)).collect();
    if !missing.is_empty() {
        let named = missing.iter().take(NAMED).map(|n| format!("{n}/{of}"));
        let more = match missing.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named: Vec<String> = named.collect();
        return invalid(
            format!("the shards of {}", out.display()),
            format!("all {of}"),
            format!("{}, without {}{more}", all.len(), named.join(", ")),
        );
    }
    Ok(Joined {
        work,
        files: all.into_values().collect(),
    })
}

impl Joined {
    /// Refuses shards of other work than this.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming in what it differs.
    pub(crate) fn check(&self, work: &Work) -> Result<()> {
        match difference(work, &self.work) {
            None => Ok(()),
            Some((what, needed, found)) => Err(Error::Invalid {
                what: format!("the shards {} and others", self.files[0].display()),
                expected: format!("{what} as this command has, {needed}"),
                found,
            }),
        }
    }

    /// Takes the rows of all shards, in the order of the list; gives the number of photos that could not be read.
    ///
    /// # Errors
    /// [`Error::Data`] with file and line if one is damaged or cut off, and what `take` gives.
    pub(crate) fn rows<T: DeserializeOwned>(
        &self,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<usize> {
        let (mut faults, mut photos) = (0, 0);
        for path in &self.files {
            let mut lines = Lines::open(path)?;
            lines.head()?;
            let mut rows = 0;
            let end = loop {
                let value: Value = lines.parsed()?;
                if value.get("rows").is_some() && value.get("faults").is_some() {
                    break End::deserialized(value).map_err(|e| lines.fail(e))?;
                }
                rows += 1;
                take(serde_json::from_value(value).map_err(|e| lines.fail(e.to_string()))?)?;
            };
            if end.rows != rows || !lines.is_over()? {
                let message = format!(
                    "{} rows and then the end are needed, found {rows} or more behind it",
                    end.rows
                );
                return Err(lines.fail(message));
            }
            faults += end.faults;
            photos += rows;
        }
        // A photo that could not be read has no row, or one that says so.
        if photos > self.work.photos || photos + faults < self.work.photos {
            return Err(Error::Invalid {
                what: "the shards".into(),
                expected: format!("rows of {} photos", self.work.photos),
                found: format!("{photos}, and {faults} that could not be read"),
            });
        }
        Ok(faults)
    }
}

impl End {
    fn deserialized(value: Value) -> std::result::Result<Self, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }
}

/// In what two works differ, with what is needed and found.
fn difference(first: &Work, other: &Work) -> Option<(String, String, String)> {
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    let (a, b) = (first, other);
    let parts = [
        ("the command", a.command.clone(), b.command.clone()),
        (
            "the version of hydranet",
            a.hydranet.clone(),
            b.hydranet.clone(),
        ),
        (
            "the model (by its SHA-256)",
            short(&a.model),
            short(&b.model),
        ),
        ("as many photos", a.photos.to_string(), b.photos.to_string()),
        (
            "the list of photos (by its SHA-256)",
            short(&a.list),
            short(&b.list),
        ),
    ];
    if let Some((what, a, b)) = parts.into_iter().find(|(_, a, b)| a != b) {
        return Some((what.into(), a, b));
    }
    let keys = [a, b].map(|w| w.options.as_object().into_iter().flat_map(|o| o.keys()));
    let mut keys = keys.into_iter().flatten();
    let key = keys.find(|key| a.options.get(key) != b.options.get(key))?;
    let shown = |work: &Work| {
        let value = work.options.get(key).unwrap_or(&Value::Null).to_string();
        value.chars().take(SHOWN).collect::<String>()
    };
    Some((format!("the same `{key}`"), shown(a), shown(b)))
}

/// The files beside `out` whose names say that they are its shards.
fn beside(out: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder_of(out);
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let failed = |e| Error::io("read", folder, e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if named(&entry.file_name().to_string_lossy(), &name).is_some() {
            found.push(out.with_file_name(entry.file_name()));
        }
    }
    found.sort();
    Ok(found)
}

/// The lines of a file, one after the other.
struct Lines<'a> {
    path: &'a Path,
    file: BufReader<File>,
    number: u64,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let (file, _) = crate::io::read::open(path)?;
        Ok(Self {
            path,
            file: BufReader::new(file),
            number: 0,
        })
    }

    fn fail(&self, message: impl Into<String>) -> Error {
        of_line(self.path, self.number, message)
    }

    fn head(&mut self) -> Result<Head> {
        let value: Value = self.parsed()?;
        if value["format"] != FORMAT {
            let message = format!(
                "a shard of format {FORMAT} is needed, found {}",
                value["format"]
            );
            return Err(self.fail(message));
        }
        serde_json::from_value(value).map_err(|e| self.fail(format!("no shard's first line: {e}")))
    }

    fn parsed<T: DeserializeOwned>(&mut self) -> Result<T> {
        let line = self.next()?;
        serde_json::from_slice(&line).map_err(|e| {
            self.fail(format!(
                "a line of a shard is needed, which is JSON, found other text ({e})"
            ))
        })
    }

    fn next(&mut self) -> Result<Vec<u8>> {
        self.number += 1;
        let mut line = Vec::new();
        let mut file = (&mut self.file).take(LINE);
        let read = file.read_until(b'\n', &mut line);
        read.map_err(|e| Error::io("read", self.path, e))?;
        match line.pop() {
            Some(b'\n') => Ok(line),
            Some(_) if line.len() as u64 + 1 >= LINE => Err(self.fail("the line is too long")),
            _ => Err(self.fail("the file is cut off: its last line is missing")),
        }
    }

    fn is_over(&mut self) -> Result<bool> {
        let rest = self.file.fill_buf();
        Ok(rest
            .map_err(|e| Error::io("read", self.path, e))?
            .is_empty())
    }
}

fn of_line(path: &Path, line: u64, message: impl Into<String>) -> Error {
    Error::Data {
        path: path.into(),
        row: Some(line),
        message: message.into(),
    }
}
