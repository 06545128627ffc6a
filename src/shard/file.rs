//! The file of a shard: a line that says what work it is a part of, a line for each of its photos, and a last one that says it is
//! whole. Lines are JSON.

use super::Shard;
use crate::error::{Error, Result};
use crate::io::write_atomically_by;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The version of the format.
pub(super) const FORMAT: u32 = 1;

/// What is the same in all shards of one work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Work {
    /// The command that does it.
    pub(crate) command: String,
    /// The version of the program.
    pub(crate) hydranet: String,
    /// SHA-256 of the model's file, or of all of an ensemble.
    pub(crate) model: String,
    /// How many photos there are in all shards.
    pub(crate) photos: usize,
    /// SHA-256 of their list.
    pub(crate) list: String,
    /// How it is done: what else the result depends on.
    pub(crate) options: Value,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) format: u32,
    pub(super) shard: [usize; 2],
    pub(super) work: Work,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) rows: usize,
    /// Photos that could not be read.
    pub(super) faults: usize,
}

/// Where a shard of what will be `out` is written: beside it.
pub(crate) fn path_of(out: &Path, shard: Shard) -> PathBuf {
    let mut path = out.as_os_str().to_owned();
    path.push(format!(".{}-of-{}.shard", shard.number, shard.of));
    path.into()
}

/// The shard that the name of a file says it is, of what will be called `out`.
pub(super) fn named(name: &str, out: &str) -> Option<Shard> {
    let numbers = name.strip_prefix(out)?.strip_prefix('.')?;
    let (number, of) = numbers.strip_suffix(".shard")?.split_once("-of-")?;
    format!("{number}/{of}").parse().ok()
}

/// A SHA-256 of a list, in hexadecimal; no two lists are the same by chance.
pub(crate) fn fingerprint(items: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hash = Sha256::new();
    for item in items {
        let item = item.as_ref();
        hash.update((item.len() as u64).to_le_bytes());
        hash.update(item);
    }
    let digest = hash.finalize();
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Writes the file of a shard. `rows` is given what takes one row after the other, and gives the number of photos that could not
/// be read.
///
/// # Errors
/// [`Error::Io`] if it cannot be written, and what `rows` gives.
pub(crate) fn write(
    path: &Path,
    shard: Shard,
    work: &Work,
    rows: impl FnOnce(&mut dyn FnMut(&Value) -> Result<()>) -> Result<usize>,
) -> Result<usize> {
    let mut faults = 0;
    write_atomically_by(path, |file| {
        let mut put = |line: String| {
            let written = file.write_all(line.as_bytes());
            let written = written.and_then(|()| file.write_all(b"\n"));
            written.map_err(|e| Error::io("write", path, e))
        };
        put(line(&Head {
            format: FORMAT,
            shard: [shard.number, shard.of],
            work: work.clone(),
        })?)?;
        let mut count = 0;
        faults = rows(&mut |row| {
            count += 1;
            put(line(row)?)
        })?;
        put(line(&End {
            rows: count,
            faults,
        })?)
    })?;
    Ok(faults)
}

fn line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Config {
        origin: "a line of a shard".into(),
        message: "cannot be written as JSON".into(),
        source: Some(e.into()),
    })
}
