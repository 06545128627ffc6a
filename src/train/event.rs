//! What a run says while it goes on.

use super::run_folder::EpochRecord;
use std::path::Path;

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Features of a frozen backbone were looked for in the file they are kept in.
    Found {
        /// Those that are there.
        found: usize,
        /// Those that are needed: one a photo and view.
        of: usize,
        /// The file.
        file: &'a Path,
    },
    /// Features of a frozen backbone are computed.
    Features {
        /// Photos done.
        done: usize,
        /// Photos to do.
        of: usize,
    },
    /// A teacher is asked about the photos that are trained on.
    Teacher {
        /// Photos done.
        done: usize,
        /// Photos to do.
        of: usize,
    },
    /// A step is done.
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
        /// Steps an epoch.
        steps: usize,
        /// Photos of this step.
        photos: usize,
        /// Joint loss of this step.
        loss: f64,
    },
    /// An epoch is done and everything saved.
    Epoch(&'a EpochRecord),
    /// Something that should be known before training goes on, in words.
    Warning(&'a str),
}
