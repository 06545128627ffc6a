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

/// A photo's planes, normalised.
pub(super) fn planes(spec: &InputSpec, pixels: &[u8]) -> Result<Vec<f32>> {
    let [h, w] = spec.size;
    let mut planes = vec![0f32; spec.channels * h * w];
    spec.normalise_into(pixels, &mut planes)?;
    Ok(planes)
}

/// `(batch, channels, H, W)` from photos' planes.
pub(super) fn stack(spec: &InputSpec, photos: Vec<Vec<f32>>) -> Result<Tensor> {
    let [h, w] = spec.size;
    let shape = (photos.len(), spec.channels, h, w);
    Ok(Tensor::from_vec(photos.concat(), shape, &Device::Cpu)?)
}

/// What `make` makes of photo files, on all threads, in their order.
pub(super) fn opened<T: Send>(
    spec: &InputSpec,
    paths: &[impl AsRef<Path> + Sync],
    make: impl Fn(&Photo) -> Result<T> + Sync,
) -> Vec<Result<T>> {
    let open = |path: &Path| make(&*spec.hold(path)?);
    paths.par_iter().map(|p| open(p.as_ref())).collect()
}

/// An error of a prediction with the photo's name.
pub(super) fn of_photo<T>(outcome: Result<T>, path: &Path) -> Result<T> {
    outcome.map_err(|e| Error::Image {
        path: path.into(),
        reason: e.to_string(),
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
        for paths in paths.chunks(spec.at_once(BATCH)) {
            let opened = opened(spec, paths, |p| planes(spec, &spec.prepare(p)?));
            let (mut photos, mut outcomes) = (Vec::new(), Vec::new());
            for photo in opened {
                outcomes.push(photo.map(|planes| photos.push(planes)));
            }
            let mut predictions = if photos.is_empty() {
                Vec::new()
            } else {
                self.predictions(&stack(spec, photos)?)?
            }
            .into_iter();
            for (outcome, path) in outcomes.into_iter().zip(paths) {
                match outcome {
                    Ok(()) => all.extend(predictions.next().map(|p| of_photo(p, path.as_ref()))),
                    Err(e) => all.push(Err(e)),
                }
            }
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
                .map(|p| planes(spec, &spec.prepare(p)?))
                .collect::<Result<Vec<_>>>()?;
            all.extend(self.predict_tensor(&stack(spec, prepared)?)?);
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
