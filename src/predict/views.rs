//! An ensemble on photos, each in all its views. Needs the feature `image`.

use super::photos::{BATCH, in_order, stack};
use super::{Ensemble, Prediction, Predictor, Scores, Views};
use crate::error::Result;
use crate::input::{HeldPhoto, InputSpec, Photo, PhotoFile, Region};
use std::path::Path;

impl Views {
    /// The pixels of each view of a photo.
    fn of(&self, spec: &InputSpec, photo: &Photo) -> Result<Vec<Vec<u8>>> {
        let mut prepared = Vec::with_capacity(self.count());
        match self.five_crops {
            None => prepared.push(spec.prepare(photo)?),
            Some(share) => {
                let photo = photo.with_channels(spec.channels);
                let whole = spec.region(photo.height, photo.width);
                for region in five(whole, share) {
                    prepared.push(photo.resize(region, spec.size, spec.interpolation)?);
                }
            }
        }
        if self.flip {
            let row = spec.size[1] * spec.channels;
            for at in (0..prepared.len()).rev() {
                let turned = prepared[at].chunks_exact(row).flat_map(|row| {
                    let pixels = row.chunks_exact(spec.channels).rev();
                    pixels.flatten().copied()
                });
                let turned = turned.collect();
                prepared.insert(at + 1, turned);
            }
        }
        Ok(prepared)
    }
}

/// The middle and the four corners of a region.
fn five(whole: Region, share: f64) -> [Region; 5] {
    let part = |side: usize| ((side as f64 * share).round() as usize).clamp(1, side);
    let (height, width) = (part(whole.height), part(whole.width));
    let (down, right) = (whole.height - height, whole.width - width);
    [
        (down / 2, right / 2),
        (0, 0),
        (0, right),
        (down, 0),
        (down, right),
    ]
    .map(|(top, left)| Region {
        top: whole.top + top,
        left: whole.left + left,
        height,
        width,
    })
}

impl Ensemble {
    /// Predicts one photo file (JPEG or PNG).
    ///
    /// # Errors
    /// [`Error::Image`](crate::Error::Image) or [`Error::Io`](crate::Error::Io) naming the photo.
    pub fn predict_file(&self, path: impl AsRef<Path>) -> Result<Prediction> {
        self.predict_files(&[path.as_ref()])?.remove(0)
    }

    /// Predicts photo files, in their order, as [`Predictor::predict_files`](crate::Predictor::predict_files) does.
    ///
    /// # Errors
    /// If a model itself fails.
    pub fn predict_files(
        &self,
        paths: &[impl AsRef<Path> + Sync],
    ) -> Result<Vec<Result<Prediction>>> {
        let mut all = Vec::with_capacity(paths.len());
        let scores = self.scores_of_files(paths)?.into_iter();
        all.extend(scores.map(|s| self.to_prediction(&s?)));
        Ok(all)
    }

    /// Predicts one decoded photo of any size.
    ///
    /// # Errors
    /// [`Error::Image`](crate::Error::Image) if it cannot be resized.
    pub fn predict_photo(&self, photo: &Photo) -> Result<Prediction> {
        let views = self.views_of(photo)?;
        self.to_prediction(&self.scores(vec![views])?.remove(0)?)
    }

    /// Scores of photo files, in their order.
    pub(crate) fn scores_of_files(
        &self,
        paths: &[impl AsRef<Path> + Sync],
    ) -> Result<Vec<Result<Scores>>> {
        // All views of a photo, by all members, are held at once.
        let views = self.views.count() * self.members.len();
        let at_once = |m: &Predictor| m.input().at_once(BATCH * views) / views;
        let at_once = self.members.iter().map(at_once).min().unwrap_or(1).max(1);
        let prepare = |path: &Path| self.views_of(&*self.hold(path)?);
        let mut all = Vec::with_capacity(paths.len());
        for paths in paths.chunks(at_once) {
            all.extend(in_order(paths, prepare, |photos| self.scores(photos))?);
        }
        Ok(all)
    }

    /// A photo for all members, with all channels that any of them looks at.
    pub(crate) fn hold(&self, path: &Path) -> Result<HeldPhoto> {
        let inputs: Vec<InputSpec> = self.members.iter().map(|m| m.input().clone()).collect();
        let channels = inputs.iter().map(|i| i.channels).max();
        PhotoFile::read(path)?.photo(channels.unwrap_or(3), &inputs)
    }

    /// Each member's views of a photo, one member after the other: a held photo is counted with the working memory of one.
    fn views_of(&self, photo: &Photo) -> Result<Vec<Vec<Vec<u8>>>> {
        let of = |m: &Predictor| self.views.of(m.input(), photo);
        self.members.iter().map(of).collect()
    }

    /// The scores of each photo, from each member's views of it.
    fn scores(&self, mut photos: Vec<Vec<Vec<Vec<u8>>>>) -> Result<Vec<Result<Scores>>> {
        let mut all = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            for view in 0..self.views.count() {
                let take = |p: &mut Vec<Vec<Vec<u8>>>| std::mem::take(&mut p[place][view]);
                let pixels: Vec<_> = photos.iter_mut().map(take).collect();
                all.push(member.scores(&stack(member.input(), &pixels)?)?);
            }
        }
        Ok(self.pooled(all))
    }
}
