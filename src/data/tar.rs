//! Shards in tar as WebDataset lays them: members of one key are a sample, `a/17.jpg` the photo and `a/17.json` what is known of it.

use super::columns::Naming;
use super::held::Held;
use super::photo_cells::{Photos, Stored};
use super::table::{Row, Table, quoted};
use super::tar_index::{Index, Member};
use crate::error::{Error, Result};
use crate::head::MultiLabelSpec;
use crate::input::{Archive, MAX_BYTES};
use crate::io::random_access::{self, ReadAt};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The column of keys, as WebDataset calls it.
const KEY: &str = "__key__";
/// What members other than photos hold: fields, and one text each.
const JSON: &str = "json";
const TEXTS: [&str; 2] = ["cls", "txt"];
/// Bytes of such a member at most.
const LARGEST: u64 = 16 << 20;
/// Columns at most: a field whose name is a photo's would make one of each.
const COLUMNS: usize = 4096;

/// A shard whose members are known.
pub(crate) struct TarListing {
    shard: Arc<Shard>,
    /// The columns by their names.
    columns: BTreeMap<String, usize>,
}

/// A shard's file and what is where in it.
struct Shard {
    path: PathBuf,
    file: Box<dyn ReadAt>,
    index: Index,
}

impl TarListing {
    /// Goes through the headers of all members, and with them through the names of the fields that are known of each: a shard in a
    /// store comes once for both. Samples are counted from 1.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Data`] if it is no tar, cut off, or what should be JSON is none.
    pub(super) fn open(path: &Path, source: usize) -> Result<(Self, Table)> {
        let file = random_access::open(path)?;
        let mut columns = BTreeMap::from([(KEY.to_string(), 0)]);
        let mut header = vec![KEY.to_string()];
        let index = Index::of(path, &*file, &mut |index, sample| {
            let open = Open {
                path,
                file: &*file,
                index,
            };
            for name in open.cells(sample)?.into_keys() {
                if !columns.contains_key(&name) {
                    columns.insert(name.clone(), header.len());
                    header.push(name);
                }
            }
            if header.len() > COLUMNS {
                return Err(open.fail(
                    sample,
                    format!("at most {COLUMNS} fields of all samples together are needed"),
                ));
            }
            Ok(())
        })?;
        let table = Table::of_header(path, source, header)?;
        let shard = Arc::new(Shard {
            path: path.into(),
            file,
            index,
        });
        Ok((Self { shard, columns }, table))
    }

    /// The photos, of those members whose names end so behind the key; of no end, of the first that is a photo by its name.
    fn stored(&self, end: Option<&str>) -> Option<Photos> {
        let photos = TarPhotos {
            shard: Arc::clone(&self.shard),
            end: end.map(String::from),
        };
        let any = (0..self.shard.index.len()).any(|sample| photos.member(sample).is_some());
        any.then(|| {
            Photos::Stored(Stored {
                archive: Arc::new(Box::new(photos)),
                places: vec![0],
                names: Some(0),
                seen: Some(HashSet::new()),
            })
        })
    }
}

impl Held for TarListing {
    fn photos(&self, table: &Table, naming: Naming) -> Result<Photos> {
        let named = naming.of("path");
        let found = named.and_then(|end| self.stored(Some(end)));
        let found = found.or_else(|| match named {
            Some(_) if !naming.takes_usual() => None,
            _ => self.stored(None),
        });
        found.ok_or_else(|| {
            let ends = self.shard.index.ends();
            table.header_error(match named {
                Some(end) => format!(
                    "members called KEY.{end} are needed, as is named for `path`, found {}",
                    quoted(ends)
                ),
                None => format!(
                    "photos called KEY.jpg or KEY.png are needed, found {}",
                    quoted(ends)
                ),
            })
        })
    }

    fn any_photos(&self, _: &Table) -> Option<(String, Photos)> {
        Some((self.usual().into(), self.stored(None)?))
    }

    fn usual(&self) -> &'static str {
        KEY
    }

    fn cells(&self) -> Vec<usize> {
        (0..self.columns.len()).collect()
    }

    fn rows(
        &self,
        table: &mut Table,
        needed: &[usize],
        take: &mut dyn FnMut(&mut Table, Row),
    ) -> Result<()> {
        let fields = needed.iter().any(|place| *place > 0);
        for sample in 0..self.shard.index.len() {
            let mut cells = vec![String::new(); table.header.len()];
            cells[0] = self.shard.index.key(sample).into();
            if fields {
                for (name, cell) in self.shard.open().cells(sample)? {
                    if let Some(place) = self.columns.get(&name) {
                        cells[*place] = cell;
                    }
                }
            }
            let line = sample as u64 + 1;
            take(table, Row { line, cells });
        }
        Ok(())
    }
}

impl Shard {
    fn open(&self) -> Open<'_> {
        Open {
            path: &self.path,
            file: &*self.file,
            index: &self.index,
        }
    }
}

/// A shard that is read.
struct Open<'a> {
    path: &'a Path,
    file: &'a dyn ReadAt,
    index: &'a Index,
}

impl Open<'_> {
    fn fail(&self, sample: usize, message: impl Into<String>) -> Error {
        Error::Data {
            path: self.path.into(),
            row: Some(sample as u64 + 1),
            message: message.into(),
        }
    }

    fn bytes(&self, member: &Member) -> Result<Vec<u8>> {
        let mut bytes = vec![0; member.size as usize];
        let read = self.file.read_at(member.start, &mut bytes);
        read.map_err(|e| Error::io("read", self.path, e))?;
        Ok(bytes)
    }

    /// What is known of a sample, by the names of the fields.
    fn cells(&self, sample: usize) -> Result<BTreeMap<String, String>> {
        let mut cells = BTreeMap::new();
        let key = self.index.key(sample);
        for (end, member) in self.index.members(sample) {
            let is_json = end == JSON;
            if !is_json && !TEXTS.contains(&end) {
                continue;
            }
            if member.size > LARGEST {
                let message = format!(
                    "`{key}.{end}`: at most {LARGEST} bytes are read, found {}",
                    member.size
                );
                return Err(self.fail(sample, message));
            }
            let bytes = self.bytes(member)?;
            let wrong = |e: &dyn std::fmt::Display| {
                let kind = if is_json { "JSON" } else { "text in UTF-8" };
                self.fail(sample, format!("`{key}.{end}`: {kind} is needed: {e}"))
            };
            if is_json {
                let value: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(&e))?;
                let Value::Object(fields) = value else {
                    return Err(wrong(&"an object with a field a head"));
                };
                for (name, value) in fields {
                    flatten(name, value, &mut cells);
                }
            } else {
                let text = String::from_utf8(bytes).map_err(|e| wrong(&e.utf8_error()))?;
                cells.insert(end.into(), text.trim().into());
            }
        }
        Ok(cells)
    }
}

/// A field as the cell of a table; those of objects are called `object.field`.
fn flatten(name: String, value: Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                flatten(format!("{name}.{inner}"), value, into);
            }
        }
        Value::Array(values) if values.is_empty() => {
            into.insert(name, MultiLabelSpec::NONE.into());
        }
        Value::Array(values) => {
            let words: Vec<String> = values.into_iter().map(word).collect();
            into.insert(name, words.join(";"));
        }
        value => {
            into.insert(name, word(value));
        }
    }
}

fn word(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The photos in a shard, by the numbers of their samples.
struct TarPhotos {
    shard: Arc<Shard>,
    end: Option<String>,
}

impl TarPhotos {
    fn member(&self, sample: usize) -> Option<&Member> {
        let mut members = self.shard.index.members(sample);
        let is_it = |end: &str| match &self.end {
            Some(wanted) => end == wanted,
            None => crate::input::is_image_name(Path::new(&format!("_.{end}"))),
        };
        members
            .find(|(end, _)| is_it(end))
            .map(|(_, member)| member)
    }
}

impl Archive for TarPhotos {
    fn path(&self) -> &Path {
        &self.shard.path
    }

    fn name(&self, place: u64) -> String {
        self.shard
            .index
            .key(place.saturating_sub(1) as usize)
            .into()
    }

    fn has(&self, place: u64) -> bool {
        self.member(place.wrapping_sub(1) as usize).is_some()
    }

    fn read(&self, place: u64) -> Result<Vec<u8>> {
        let sample = place.wrapping_sub(1) as usize;
        let Some(member) = self.member(sample) else {
            let ends = self.shard.index.members(sample).map(|(end, _)| end);
            let ends: Vec<&str> = ends.collect();
            let message = format!(
                "a photo is needed among its members, found {}",
                quoted(&ends)
            );
            return Err(self.shard.open().fail(sample, message));
        };
        if member.size > MAX_BYTES {
            return Err(Error::Image {
                path: self.shard.path.join(self.shard.index.key(sample)),
                reason: format!("{} bytes; at most {MAX_BYTES} are allowed", member.size),
                source: None,
            });
        }
        self.shard.open().bytes(member)
    }
}
