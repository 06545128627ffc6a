//! A data set from listings and folders.

use super::columns::{ColumnNames, Naming};
use super::corrections::{Corrections, CorrectionsReport};
use super::dataset::{Dataset, Fault, Sample};
use super::split::{self, SplitConfig};
use super::{faults, folder, manifest, person_folder, sources};
use crate::error::{Error, Result, row_word, shown};
use crate::head::HeadSpec;
use crate::io::files::Files;
use crate::location::{self, is_folder};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

impl Dataset {
    /// Reads listings in CSV or Parquet, shards in tar, person folders and folders of photos or shards, one after the other, and
    /// joins them. No photo is opened. A path may name several by braces, as `faces-{000..011}.tar`, and be a URL, see the feature
    /// `remote`.
    ///
    /// # Errors
    /// The first fault of [`read`](Self::read) as [`Error::Data`] with file and line, and its errors.
    pub fn open(paths: &[PathBuf], heads: &[HeadSpec]) -> Result<Self> {
        Self::open_as(paths, heads, &ColumnNames::new())
    }

    /// As [`open`](Self::open), of listings whose columns are called otherwise: `columns` has, under `path`, `person`, `split` or
    /// the name of a head, the name of the column that holds it. `path` may be a template with columns in braces, such as
    /// `images/{image}.jpg`.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Data`] if a listing has no such column.
    pub fn open_as(
        paths: &[PathBuf],
        heads: &[HeadSpec],
        columns: &BTreeMap<String, String>,
    ) -> Result<Self> {
        Self::open_named(paths, heads, Naming::given(columns))
    }

    /// As [`open_as`](Self::open_as).
    ///
    /// # Errors
    /// As [`open_as`](Self::open_as).
    pub(crate) fn open_named(
        paths: &[PathBuf],
        heads: &[HeadSpec],
        naming: Naming,
    ) -> Result<Self> {
        let (dataset, faults) = Self::read_named(paths, heads, naming)?;
        if let Some(first) = faults::first(&faults) {
            return Err(first);
        }
        if dataset.samples.is_empty() {
            return Err(Error::Data {
                path: dataset.sources[0].clone(),
                row: None,
                message: "at least one photo is needed, found none".into(),
            });
        }
        Ok(dataset)
    }

    /// Puts every photo that has no side on one, and then applies these files of corrections: a correction moves nobody to
    /// another side.
    ///
    /// # Errors
    /// If the splits do not fit the photos, and as [`Corrections::read`], or if a correction does not fit.
    pub fn put_on_sides(
        &mut self,
        split: &SplitConfig,
        seed: u64,
        corrections: &[PathBuf],
    ) -> Result<CorrectionsReport> {
        split::assign(self, split, seed)?;
        Corrections::read(corrections)?.apply(self)
    }

    /// As [`open`](Self::open), but rows that cannot be used are left out and listed, ordered by source and line.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no path or a head is not valid, [`Error::Io`] or [`Error::Data`] if a listing as a whole
    /// cannot be used.
    pub fn read(paths: &[PathBuf], heads: &[HeadSpec]) -> Result<(Self, Vec<Fault>)> {
        Self::read_named(paths, heads, Naming::given(&ColumnNames::new()))
    }

    /// As [`read`](Self::read), of listings whose columns may be called otherwise.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_named(
        paths: &[PathBuf],
        heads: &[HeadSpec],
        naming: Naming,
    ) -> Result<(Self, Vec<Fault>)> {
        if paths.is_empty() {
            return Err(Error::Invalid {
                what: "data".into(),
                expected: "at least one CSV file or folder of photos".into(),
                found: "none".into(),
            });
        }
        heads.iter().try_for_each(HeadSpec::validate)?;
        let paths = sources::expand(paths)?;
        let naming = naming.of_sources(paths.len());
        let mut dataset = Self::empty(heads.to_vec());
        let mut faults = Vec::new();
        for (source, path) in paths.iter().enumerate() {
            let people = if path.is_dir() {
                person_folder::find_listing(path)
            } else {
                None
            };
            let (listing, (samples, new)) = match people {
                Some(listing) => {
                    let read = person_folder::read_people(&listing, source, heads)?;
                    (listing, read)
                }
                None if is_folder(path) => (path.clone(), read_sides(path, source, heads, naming)?),
                None => {
                    let read = manifest::read_manifest(path, source, heads, naming)?;
                    (path.clone(), read)
                }
            };
            dataset.sources.push(listing);
            // The first are not copied: there may be millions.
            if dataset.samples.is_empty() {
                dataset.samples = samples;
            } else {
                dataset.samples.extend(samples);
            }
            faults.extend(new);
        }
        faults.extend(dataset.leave_out_repeated());
        faults.sort_by_key(|f| (f.source, f.row));
        Ok((dataset, faults))
    }

    /// Leaves out photos that were listed before: a photo listed twice could stand on two sides of a split.
    fn leave_out_repeated(&mut self) -> Vec<Fault> {
        let mut files = Files::default();
        // Of a path no more is kept than a hash: there may be millions.
        let mut photos: Vec<([u8; 16], usize)> = Vec::with_capacity(self.samples.len());
        for (i, sample) in self.samples.iter().enumerate() {
            let file = files.file(&sample.whole_path());
            let hash: [u8; 32] = Sha256::digest(file.as_os_str().as_encoded_bytes()).into();
            let (half, _) = hash.as_chunks::<16>();
            photos.push((half[0], i));
        }
        photos.sort_unstable();
        let mut first = 0;
        let mut repeated = Vec::new();
        for (place, (hash, i)) in photos.iter().enumerate() {
            if photos[first].0 == *hash && place > first {
                repeated.push((*i, photos[first].1));
            } else {
                first = place;
            }
        }
        drop(photos);
        repeated.sort_unstable();
        let sources = &self.sources;
        let fault = |(i, first): &(usize, usize)| {
            let (sample, first) = (&self.samples[*i], &self.samples[*first]);
            let line = first
                .row
                .map(|r| format!("{} {r}", row_word(&self.sources[first.source])))
                .unwrap_or_default();
            let place = if first.source == sample.source {
                line
            } else {
                format!("{} of {}", line, shown(&sources[first.source]))
            };
            Fault {
                source: sample.source,
                listing: sources[sample.source].clone(),
                row: sample.row,
                message: format!(
                    "each photo is listed once, found `{}` on {place} too",
                    location::shown(&sample.name)
                ),
            }
        };
        let faults = repeated.iter().map(fault).collect();
        let mut gone = repeated.into_iter().map(|(i, _)| i).peekable();
        let mut place = 0;
        self.samples.retain(|_| {
            place += 1;
            gone.next_if(|i| *i + 1 == place).is_none()
        });
        faults
    }
}

/// A folder of photos, some of which are held out for validation where its own folders leave none for it.
fn read_sides(
    path: &Path,
    source: usize,
    heads: &[HeadSpec],
    naming: Naming,
) -> Result<(Vec<Sample>, Vec<Fault>)> {
    let (samples, faults) = folder::read_folder(path, source, heads, naming)?;
    let mut dataset = Dataset {
        samples,
        ..Dataset::empty(heads.to_vec())
    };
    split::hold_out_valid(&mut dataset);
    Ok((dataset.samples, faults))
}
