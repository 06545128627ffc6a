//! A data set from listings and folders.

use super::corrections::{Corrections, CorrectionsReport};
use super::dataset::{Dataset, Fault};
use super::split::{self, SplitConfig};
use super::{manifest, person_folder};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::io::files::Files;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

impl Dataset {
    /// Reads CSV listings and person folders, one after the other, and joins them. No photo is opened.
    ///
    /// # Errors
    /// The first fault of [`read`](Self::read) as [`Error::Data`] with file and line, and its errors.
    pub fn open(paths: &[PathBuf], heads: &[HeadSpec]) -> Result<Self> {
        let (dataset, faults) = Self::read(paths, heads)?;
        if let Some(first) = faults.into_iter().next() {
            return Err(first.into());
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
    /// If the splits do not fit the photos, and as [`Corrections::read`] and [`Corrections::apply`].
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
        if paths.is_empty() {
            return Err(Error::Invalid {
                what: "data".into(),
                expected: "at least one CSV file or person folder".into(),
                found: "none".into(),
            });
        }
        heads.iter().try_for_each(HeadSpec::validate)?;
        let mut dataset = Self::empty(heads.to_vec());
        let mut faults = Vec::new();
        for (source, path) in paths.iter().enumerate() {
            let (listing, samples, new) = if path.is_dir() {
                let listing = person_folder::find_listing(path)?;
                let (samples, new) = person_folder::read_people(&listing, source, heads)?;
                (listing, samples, new)
            } else {
                let (samples, new) = manifest::read_manifest(path, source, heads)?;
                (path.clone(), samples, new)
            };
            dataset.sources.push(listing);
            dataset.samples.extend(samples);
            faults.extend(new);
        }
        faults.extend(dataset.leave_out_repeated());
        faults.sort_by_key(|f| (f.source, f.row));
        Ok((dataset, faults))
    }

    /// Leaves out photos that were listed before: a photo listed twice could stand on two sides of a split.
    fn leave_out_repeated(&mut self) -> Vec<Fault> {
        let mut first = HashMap::new();
        let mut faults = Vec::new();
        let sources = &self.sources;
        let mut files = Files::default();
        self.samples.retain(|sample| {
            let (source, row) = match first.entry(files.file(sample.path())) {
                Entry::Vacant(place) => {
                    place.insert((sample.source, sample.row));
                    return true;
                }
                Entry::Occupied(place) => *place.get(),
            };
            let line = row.map(|r| format!("line {r}")).unwrap_or_default();
            let place = if source == sample.source {
                line
            } else {
                format!("{} of {}", line, sources[source].display())
            };
            faults.push(Fault {
                source: sample.source,
                listing: sources[sample.source].clone(),
                row: sample.row,
                message: format!(
                    "each photo is listed once, found `{}` on {place} too",
                    sample.name
                ),
            });
            false
        });
        faults
    }
}
