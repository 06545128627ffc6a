//! Predicting photos: files, decoded ones, those of the crate `image`. Needs the feature `image`.

use super::Predictor;
use super::prediction::Prediction;
use crate::error::{Error, Result};
use crate::input::{InputSpec, Photo};
use candle_core::{Device, Tensor};
use image::DynamicImage;
use rayon::prelude::*;
use std::path::Path;

/// Photos a pass through the network at most; has no effect on the results.
pub(super) const BATCH: usize = 32;

/// `(batch, channels, H, W)` from photos' pixels, each `(H, W, channels)`.
pub(super) fn stack(spec: &InputSpec, photos: &[Vec<u8>]) -> Result<Tensor> {
    let [h, w] = spec.size;
    let shape = (photos.len(), spec.channels, h, w);
    let mut planes = vec![0f32; photos.len() * spec.channels * h * w];
    let of_photos = planes.par_chunks_exact_mut(spec.channels * h * w);
    let pairs = of_photos.zip(photos);
    pairs.try_for_each(|(planes, pixels)| spec.normalise_into(pixels, planes))?;
    Ok(Tensor::from_vec(planes, shape, &Device::Cpu)?)
}

/// What `predict` says of what `prepare` makes of photo files, which it does on all threads: in their order, an error of one in
/// its place.
pub(super) fn in_order<T: Send, P>(
    paths: &[impl AsRef<Path> + Sync],
    prepare: impl Fn(&Path) -> Result<T> + Sync,
    predict: impl FnOnce(Vec<T>) -> Result<Vec<Result<P>>>,
) -> Result<Vec<Result<P>>> {
    let opened: Vec<_> = paths.par_iter().map(|p| prepare(p.as_ref())).collect();
    let mut photos = Vec::with_capacity(paths.len());
    let opened = opened
        .into_iter()
        .map(|o| o.map(|photo| photos.push(photo)));
    let outcomes: Vec<Result<()>> = opened.collect();
    let mut predictions = if photos.is_empty() {
        Vec::new()
    } else {
        predict(photos)?
    }
    .into_iter();
    let mut all = Vec::with_capacity(paths.len());
    for (outcome, path) in outcomes.into_iter().zip(paths) {
        match outcome {
            Ok(()) => all.extend(predictions.next().map(|p| of_photo(p, path.as_ref()))),
            Err(e) => all.push(Err(e)),
        }
    }
    Ok(all)
}

/// An error of a prediction with the photo's name.
fn of_photo<T>(outcome: Result<T>, path: &Path) -> Result<T> {
    outcome.map_err(|e| Error::Image {
        path: path.into(),
        reason: e.to_string(),
        source: None,
    })
}

impl Predictor {
    /// Predicts one photo file (JPEG or PNG).
    ///
    /// # Errors
    /// [`Error::Image`] or [`Error::Io`] naming the photo.
    pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Prediction> {
        let path = path.as_ref();
        let pixels = self.input().prepare(&*self.input().hold(path)?)?;
        of_photo(self.predict_rgb(&pixels), path)
    }

    /// Predicts photo files, in their order, at most 32 at a time; they are decoded on all threads, one at a time on each. One
    /// that cannot be read is an error in its place and does not stop the rest.
    ///
    /// # Errors
    /// If the model itself fails.
    pub fn predict_files(
        &self,
        paths: &[impl AsRef<Path> + Sync],
    ) -> Result<Vec<Result<Prediction>>> {
        let mut all = Vec::with_capacity(paths.len());
        let spec = self.input();
        let prepare = |path: &Path| spec.prepare(&*spec.hold(path)?);
        for paths in paths.chunks(spec.at_once(BATCH)) {
            let predict = |photos: Vec<_>| self.predictions(&stack(spec, &photos)?);
            all.extend(in_order(paths, prepare, predict)?);
        }
        Ok(all)
    }

    /// Predicts one decoded photo of any size: [`Photo`] has RGB bytes, a height and a width.
    ///
    /// # Errors
    /// [`Error::Image`] if it cannot be resized.
    pub fn predict_photo(&self, photo: &Photo) -> Result<Prediction> {
        self.predict_rgb(&self.input().prepare(photo)?)
    }

    /// Predicts decoded photos, in their order.
    ///
    /// # Errors
    /// As [`predict_photo`](Self::predict_photo).
    pub fn predict_photos(&self, photos: &[Photo]) -> Result<Vec<Prediction>> {
        let spec = self.input();
        let mut all = Vec::with_capacity(photos.len());
        for photos in photos.chunks(spec.at_once(BATCH)) {
            let prepared = photos
                .par_iter()
                .map(|p| spec.prepare(p))
                .collect::<Result<Vec<_>>>()?;
            all.extend(self.predict_tensor(&stack(spec, &prepared)?)?);
        }
        Ok(all)
    }

    /// Predicts a picture of the crate [`image`], as it is: without regard to any orientation its file may have named.
    ///
    /// # Errors
    /// As [`predict_photo`](Self::predict_photo).
    pub fn predict_image(&self, image: &DynamicImage) -> Result<Prediction> {
        self.predict_photo(&Photo::from_image(image, self.input().channels))
    }
}
