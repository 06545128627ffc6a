//! What is where in a shard: its headers are read once, and of its members nothing.

use crate::error::{Error, Result};
use crate::io::random_access::ReadAt;
use crate::io::recognise::what_it_is;
use std::cell::RefCell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of a shard at least: a header.
const BLOCK: usize = 512;
/// Different ends of names, as `jpg` and `json`, at most.
const ENDS: usize = 1000;

/// Where the bytes of a member are.
pub(super) struct Member {
    pub(super) start: u64,
    pub(super) size: u64,
    end: u16,
}

/// The samples of a shard, each of all members that follow one another under one key: the name up to the first dot in its last
/// part.
#[derive(Default)]
pub(super) struct Index {
    ends: Vec<String>,
    keys: Vec<String>,
    /// The first member of each sample.
    starts: Vec<usize>,
    members: Vec<Member>,
}

impl Index {
    /// Goes through the headers; `each` is told of a sample once its members are known.
    ///
    /// # Errors
    /// [`Error::Data`] if it is no tar, or cut off; [`Error::Io`] if it cannot be read; and what `each` gives.
    pub(super) fn of(
        path: &Path,
        file: &dyn ReadAt,
        each: &mut dyn FnMut(&Self, usize) -> Result<()>,
    ) -> Result<Self> {
        let fail = |message: String| Error::Data {
            path: path.into(),
            row: None,
            message,
        };
        let size = file.size();
        let mut start = vec![0; size.min(BLOCK as u64) as usize];
        let read = file.read_at(0, &mut start);
        read.map_err(|e| Error::io("read", path, e))?;
        if start.len() < BLOCK || start.get(257..262) != Some(b"ustar") {
            let found = what_it_is(&start).unwrap_or_else(|| "something else".into());
            return Err(fail(format!("a shard in tar is needed, found {found}")));
        }
        let failed = RefCell::new(None);
        let place = Place {
            file,
            at: 0,
            failed: &failed,
        };
        let mut archive = tar::Archive::new(BufReader::with_capacity(BLOCK, place));
        let mut index = Self::default();
        let mut last = 0;
        let entries = archive.entries_with_seek();
        let damaged = |e: io::Error| match failed.take() {
            Some(e) => Error::io("read", path, e),
            None => fail(format!("it is damaged or cut off: {e}")),
        };
        for entry in entries.map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            let (start, length) = (entry.raw_file_position(), entry.size());
            let name = entry.path_bytes();
            let name = std::str::from_utf8(&name).map_err(|_| {
                let name = String::from_utf8_lossy(&name).into_owned();
                fail(format!("names in UTF-8 are needed, found `{name}`"))
            })?;
            let padded = length.checked_next_multiple_of(BLOCK as u64);
            let after = padded.and_then(|padded| start.checked_add(padded));
            last = after.filter(|end| *end <= size).ok_or_else(|| {
                fail(format!(
                    "it is cut off: `{name}` has {length} bytes from byte {start} on, the file {size}"
                ))
            })?;
            if entry.header().entry_type().is_file() {
                let known = index.len();
                index.add(name, start, length).map_err(fail)?;
                if known > 0 && index.len() > known {
                    each(&index, known - 1)?;
                }
            }
        }
        if let Some(last) = index.len().checked_sub(1) {
            each(&index, last)?;
        }
        // Behind the last member stand blocks of zeros: a shard that ends sooner may have lost members.
        if size < last + BLOCK as u64 {
            return Err(fail("it is cut off: its end is missing".into()));
        }
        Ok(index)
    }

    fn add(&mut self, name: &str, start: u64, size: u64) -> std::result::Result<(), String> {
        let folder = name.rfind('/').map_or(0, |slash| slash + 1);
        // What has no end belongs to no sample, nor does a hidden file.
        let Some(dot) = name[folder..].find('.').filter(|dot| *dot > 0) else {
            return Ok(());
        };
        let (key, end) = (&name[..folder + dot], &name[folder + dot + 1..]);
        let end = end.to_lowercase();
        let place = self.ends.iter().position(|e| *e == end);
        let place = place.unwrap_or_else(|| {
            self.ends.push(end);
            self.ends.len() - 1
        });
        if place >= ENDS {
            return Err(format!(
                "at most {ENDS} different ends of names are needed, as .jpg"
            ));
        }
        if self.keys.last().is_none_or(|last| last != key) {
            self.keys.push(key.into());
            self.starts.push(self.members.len());
        }
        self.members.push(Member {
            start,
            size,
            end: place as u16,
        });
        Ok(())
    }

    /// How many samples there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The ends of members' names.
    pub(super) fn ends(&self) -> &[String] {
        &self.ends
    }

    /// The key of a sample.
    pub(super) fn key(&self, sample: usize) -> &str {
        self.keys.get(sample).map_or("", String::as_str)
    }

    /// The members of a sample, by the ends of their names.
    pub(super) fn members(&self, sample: usize) -> impl Iterator<Item = (&str, &Member)> {
        let start = self
            .starts
            .get(sample)
            .copied()
            .unwrap_or(self.members.len());
        let end = self.starts.get(sample + 1).copied();
        let members = &self.members[start..end.unwrap_or(self.members.len())];
        members
            .iter()
            .map(|m| (self.ends[usize::from(m.end)].as_str(), m))
    }
}

/// A place in a file, from which is read on.
struct Place<'a> {
    file: &'a dyn ReadAt,
    at: u64,
    /// Why it could not be read, which is no damage.
    failed: &'a RefCell<Option<io::Error>>,
}

impl Read for Place<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_on(&mut self.at, buffer);
        read.map_err(|e| {
            let said = io::Error::from(e.kind());
            self.failed.replace(Some(e));
            said
        })
    }
}

impl Seek for Place<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("a place outside of the file"))?;
        Ok(self.at)
    }
}
