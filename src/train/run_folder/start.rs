//! A run that begins, or goes on where it stopped.

use super::beginning::Beginning;
use super::folder::{RunFolder, packed, unpacked};
use super::progress::Progress;
use crate::data::dataset::Dataset;
use crate::error::{Error, Remedy, Result};
use crate::model_file::Tensors;
use crate::train::balancing::Balancer;
use crate::train::config::Config;

/// What a run starts with.
pub(in crate::train) struct Start {
    pub progress: Progress,
    /// The model's tensors.
    pub given: Tensors,
    /// The optimiser's, and the averages', of a run that goes on.
    pub state: Option<Tensors>,
}

impl Start {
    /// Writes configuration and split of a run of so many heads that begins with `weights`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(in crate::train) fn begin(
        folder: &RunFolder,
        config: &Config,
        dataset: &Dataset,
        weights: Tensors,
        heads: usize,
        own_losses: &[String],
    ) -> Result<Self> {
        let began = Beginning::new(config, dataset, own_losses)?;
        folder.write_config(config)?;
        folder.write_split(dataset)?;
        let progress = Progress {
            data: dataset.fingerprint(),
            began: Some(began),
            skipped: skipped(dataset),
            balancing: Balancer::new(config.train.balancing, heads),
            ..Progress::default()
        };
        Ok(Self {
            progress,
            given: weights,
            state: None,
        })
    }

    /// Reads where a run stands. Where other photos are passed over than before the batches are others: an epoch that has begun
    /// begins again, as it was then; `None` if that is the first.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Refused`] naming what is not as it was when it began.
    pub(in crate::train) fn resume(
        folder: &RunFolder,
        config: &Config,
        dataset: &Dataset,
        own_losses: &[String],
    ) -> Result<Option<Self>> {
        let (progress, given, state) = folder.read_state()?;
        let now = Beginning::new(config, dataset, own_losses)?;
        if let Some(then) = &progress.began {
            now.check(then, &folder.path("config.toml"), &progress.in_words())?;
        }
        if progress.data != dataset.fingerprint() {
            return Err(Error::Refused {
                what: "to go on with the run".into(),
                expected: "the same listings as before; photos that broke since are left in them and passed over".into(),
                found: "other photos, labels or splits".into(),
                remedy: Remedy::SkipBroken,
            });
        }
        if let Some(then) = &progress.began {
            now.check_rows(then)?;
        }
        progress.balancing.check(config.train.balancing)?;
        let skipped = skipped(dataset);
        let (mut progress, given, state) = match (progress.epochs, progress.steps) {
            (0, 1..) if progress.skipped != skipped => return Ok(None),
            (epochs, 1..) if progress.skipped != skipped => folder.read_epoch(epochs)?,
            _ => (progress, given, state),
        };
        progress.skipped = skipped;
        Ok(Some(Self {
            progress,
            given,
            state: Some(state),
        }))
    }

    /// In one piece, for another process.
    ///
    /// # Errors
    /// If memory runs out.
    pub(in crate::train) fn into_bytes(self) -> Result<Vec<u8>> {
        let goes_on = u8::from(self.state.is_some());
        let mut bytes = packed(&self.progress, self.given, self.state.unwrap_or_default())?;
        bytes.push(goes_on);
        Ok(bytes)
    }

    /// Out of what [`into_bytes`](Self::into_bytes) made.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is nothing of the kind.
    pub(in crate::train) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (goes_on, bytes) = bytes.split_last().unwrap_or((&0, bytes));
        let (progress, given, state) = unpacked(bytes, "the first process's state")?;
        Ok(Self {
            progress,
            given,
            state: (*goes_on == 1).then_some(state),
        })
    }
}

/// The photos that are passed over.
fn skipped(dataset: &Dataset) -> Vec<String> {
    let mut names = dataset.unique_names();
    let skipped = dataset.skipped.iter();
    skipped.map(|i| std::mem::take(&mut names[*i])).collect()
}
