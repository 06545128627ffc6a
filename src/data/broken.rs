//! Photos that cannot be read, found before a run begins and not in its fourth epoch.

use super::check;
use super::dataset::{Dataset, Fault, Sample};
use super::faults::by_kind;
use super::seen::Content;
use crate::error::{Error, Remedy, Result};
use crate::input::{InputSpec, PhotoSource};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Photos decoded between two looks at whether to stop.
const STRETCH: usize = 256;
/// Kinds of faults that an error names.
const NAMED: usize = 10;

/// A photo that is read and its content, to be kept; what is in memory is hashed in no time.
pub(super) fn file_content(sample: &Sample, content: Content) -> Option<(PathBuf, Content)> {
    match &sample.photo {
        PhotoSource::Encoded(_) | PhotoSource::Decoded(_) => None,
        _ => Some((sample.whole_path().into_owned(), content)),
    }
}

impl Dataset {
    /// Decodes and prepares every photo that stands on a side, on all of rayon's threads; `progress` gets photos done and photos
    /// in all. Those that cannot be read are an error that names them, or, with `skip`, are passed over: training and
    /// scores pass over them, while the fingerprint stays that of the whole listing, so that a run can go on without a photo that
    /// broke while it trained. `None` if stopped.
    ///
    /// # Errors
    /// [`Error::Refused`] with the number of broken photos and the first of them, if there are any and `skip` is false.
    pub(crate) fn find_broken(
        &mut self,
        input: &InputSpec,
        skip: bool,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<Vec<Fault>>> {
        let places: Vec<usize> = (0..self.samples.len())
            .filter(|i| self.samples[*i].split.is_some())
            .collect();
        let found = self.look(&places, input, skip, stop, progress)?;
        Ok(found.map(|(broken, faults)| {
            self.skipped = broken;
            faults
        }))
    }

    /// As [`find_broken`](Self::find_broken), of all photos, whether they stand on a side or not; with `skip` those that cannot
    /// be read are taken out of the data.
    ///
    /// # Errors
    /// As [`find_broken`](Self::find_broken).
    pub(crate) fn take_out_broken(
        &mut self,
        input: &InputSpec,
        skip: bool,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<Vec<Fault>>> {
        let places: Vec<usize> = (0..self.samples.len()).collect();
        let found = self.look(&places, input, skip, stop, progress)?;
        Ok(found.map(|(broken, faults)| {
            self.take_out(&broken);
            faults
        }))
    }

    /// Takes photos out, by their places.
    pub(crate) fn take_out(&mut self, places: &BTreeSet<usize>) {
        let mut place = 0..;
        self.samples
            .retain(|_| place.next().is_none_or(|i| !places.contains(&i)));
    }

    /// Which photos at these places cannot be read, and why; the contents of the others are kept.
    fn look(
        &mut self,
        places: &[usize],
        input: &InputSpec,
        skip: bool,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<(BTreeSet<usize>, Vec<Fault>)>> {
        let mut done = 0;
        let (mut broken, mut faults) = (BTreeSet::new(), Vec::new());
        for part in places.chunks(STRETCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let looked = part
                .par_iter()
                .map(|i| check::open(&self.samples[*i], input));
            let looked: Vec<_> = looked.collect();
            let mut found = Vec::with_capacity(part.len());
            for (i, looked) in part.iter().zip(looked) {
                let sample = &self.samples[*i];
                match looked {
                    Ok((_, content)) => {
                        found.extend(file_content(sample, content));
                    }
                    Err(message) => {
                        broken.insert(*i);
                        faults.push(self.fault(sample, message));
                    }
                }
            }
            self.contents.extend(found);
            done += part.len();
            progress(done, places.len());
        }
        if !skip && !faults.is_empty() {
            let kinds = by_kind(&faults);
            let named = kinds.iter().take(NAMED).map(|line| format!("\n  {line}"));
            let more = match kinds.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!("\n  and {more} more kinds"),
            };
            return Err(Error::Refused {
                what: "the photos".into(),
                expected: "files that can all be read; mend them, take their rows out before the run begins, or go on without them".into(),
                found: format!(
                    "{} broken of {}:{}{more}",
                    faults.len(),
                    places.len(),
                    named.collect::<String>()
                ),
                remedy: Remedy::SkipBroken,
            });
        }
        Ok(Some((broken, faults)))
    }
}
