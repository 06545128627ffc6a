//! Predictions from features that a frozen training kept.

use crate::data::features::{Extractor, Features, Fingerprint, Key, View};
use crate::data::named_photo::NamedPhoto;
use crate::location::is_remote;
use crate::model::Layout;
use crate::train::finished::cache_beside;
use crate::{Ensemble, ModelFile, PhotoSource, Predict as _, Prediction, Result, Views};
use std::path::Path;

/// Bytes of kept features that are read, to see that they are whole, in less time than a photo takes to be decoded and seen by a
/// network.
const A_PHOTO: u64 = 4 << 20;

/// Features that are kept of a model's backbone.
pub(super) struct Kept {
    features: Features,
    plain: usize,
}

impl Kept {
    /// Those beside a model's file, if it is one model that looks at whole photos, in a run that kept some, and if it pays to read
    /// them for so many photos.
    pub(super) fn beside(model: &Path, ensemble: &Ensemble, photos: usize) -> Option<Self> {
        if ensemble.members().len() > 1 || ensemble.views() != Views::default() {
            return None;
        }
        let cache = cache_beside(model)?;
        // The manifest of an ensemble of one is no model's file; what cannot be used is computed.
        let file = ModelFile::read(model).ok()?;
        let spec = &file.description.model;
        let extractor = Extractor::new(spec, &file.tensors).ok()?;
        let bytes = extractor.kept_bytes(&cache)?;
        if bytes > A_PHOTO.saturating_mul(photos as u64) {
            return None;
        }
        let width = Layout::of(spec).ok()?.width;
        let mut features = Features::open(Some(&cache), extractor, width).ok()?;
        let plain = features.view(View::Plain);
        Some(Self { features, plain })
    }

    /// As [`predict_all`](crate::Predict::predict_all), of the same `ensemble`: photos whose features are kept are told by their
    /// content, and not decoded.
    ///
    /// # Errors
    /// If the model itself fails.
    pub(super) fn predict_all(
        &mut self,
        ensemble: &Ensemble,
        photos: &[PhotoSource],
    ) -> Result<Vec<Result<Prediction>>> {
        let named: Vec<NamedPhoto> = photos.iter().map(NamedPhoto::from).collect();
        let contents = self.features.contents(&named);
        let key = |content| Key(Fingerprint(content), self.plain);
        // A photo that is gone is remembered, and is none that can be predicted.
        let places: Vec<Option<usize>> = contents
            .into_iter()
            .zip(photos)
            .map(|(content, photo)| {
                let is_gone =
                    matches!(photo, PhotoSource::File(path) if !is_remote(path) && !path.is_file());
                self.features.place(&key(content.filter(|_| !is_gone)?))
            })
            .collect();
        let known: Vec<usize> = places.iter().flatten().copied().collect();
        let rows = self.features.gather(known.into_iter())?;
        let mut known = ensemble.members()[0].predict_features(&rows)?.into_iter();
        let others = photos.iter().zip(&places).filter(|(_, p)| p.is_none());
        let others: Vec<PhotoSource> = others.map(|(photo, _)| photo.clone()).collect();
        let mut others = ensemble.predict_all(&others)?.into_iter();
        let answers = places.iter().filter_map(|place| match place {
            Some(_) => known.next(),
            None => others.next(),
        });
        Ok(answers.collect())
    }
}
