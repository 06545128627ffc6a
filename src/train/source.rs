//! Where the features of a step come from: photos, or features of a frozen backbone computed once.

use super::features::{Extractor, Features, Key, View};
use super::trainer::{Event, Run};
use crate::data::seen::{Content, Record, contents, copies};
use crate::error::Result;
use candle_core::Tensor;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Where a step's features come from.
pub(super) enum Source {
    /// Photos, loaded and run through the backbone each time.
    Photos,
    /// Features of a frozen backbone, computed once.
    Kept(Box<Kept>),
}

/// Features computed once, and which of them belong to which photo.
pub(super) struct Kept {
    features: Features,
    /// For each view one row for each of `train`.
    train: Vec<Vec<usize>>,
    /// A row for each of `valid`.
    valid: Vec<usize>,
}

impl Kept {
    /// The features of a batch of places in `train`. The views take turns, epoch by epoch.
    ///
    /// # Shapes
    /// Result `(batch, num_features)`.
    pub(super) fn train(&self, epoch: usize, batch: &[usize]) -> Result<Tensor> {
        let rows = &self.train[epoch % self.train.len()];
        self.features.gather(batch.iter().map(|i| rows[*i]))
    }

    /// The features of the validation split.
    ///
    /// # Shapes
    /// Result `(valid, num_features)`.
    pub(super) fn valid(&self) -> Result<Tensor> {
        self.features.gather(self.valid.iter().copied())
    }
}

impl Run<'_> {
    /// Computes the features that are kept, if any are, and records whom the model will have seen; false if stopped.
    pub(super) fn keep_features(
        &mut self,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&Event),
    ) -> Result<bool> {
        let config = &self.config.train;
        if !config.keeps_features() {
            self.record(&contents(self.dataset, &|_, _| ()), tell)?;
            return Ok(true);
        }
        let mut features = Features::open(
            config.feature_cache.as_deref(),
            Extractor::new(&self.spec, &self.variables.snapshot()?)?,
            self.spec.backbone.num_features(),
        )?;
        let paths: Vec<&Path> = self
            .train
            .iter()
            .chain(&self.valid)
            .map(|i| self.dataset.samples[*i].path.as_path())
            .collect();
        let Some(photos) = features.identify(&paths, stop)? else {
            return Ok(false);
        };
        let all = self.dataset.samples.iter();
        let all: Vec<&Path> = all.map(|s| s.path.as_path()).collect();
        let contents = features.contents(&all);
        self.record(&contents, tell)?;
        let train = self.train.len();
        let plain = features.view(View::Plain);
        let views: Vec<usize> = std::iter::once(plain)
            .chain((1..config.feature_views).map(|number| {
                features.view(View::Augmented {
                    seed: config.seed,
                    number,
                    augment: config.augment,
                })
            }))
            .collect();
        let rows = |view: usize, among: std::ops::Range<usize>| {
            let (photos, paths) = (&photos, &paths);
            among.map(move |i| (Key(photos[i], view), paths[i]))
        };
        let mut wanted: Vec<(Key, &Path)> = Vec::new();
        for view in &views {
            wanted.extend(rows(*view, 0..train));
        }
        wanted.extend(rows(plain, train..paths.len()));
        let found = wanted
            .iter()
            .filter(|(key, _)| features.place(key).is_some())
            .count();
        if let Some(file) = features.path() {
            let of = wanted.len();
            tell(&Event::Found { found, of, file });
        }
        let whole =
            features.complete(&wanted, &self.model, self.queue, stop, &mut |done, of| {
                tell(&Event::Features { done, of });
            })?;
        if !whole {
            return Ok(false);
        }
        let mut rows = wanted.iter().filter_map(|(key, _)| features.place(key));
        let train = views
            .iter()
            .map(|_| rows.by_ref().take(train).collect())
            .collect();
        let valid = rows.collect();
        self.source = Source::Kept(Box::new(Kept {
            features,
            train,
            valid,
        }));
        Ok(true)
    }

    fn record(&mut self, contents: &[Option<Content>], tell: &mut dyn FnMut(&Event)) -> Result<()> {
        if let Some(warning) = copies(self.dataset, contents) {
            tell(&Event::Warning(&warning));
        }
        self.seen = Record::new(self.dataset, &self.progress.data, contents)?;
        Ok(())
    }
}
