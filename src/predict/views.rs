//! The views of a photo, and an ensemble's scores of photos.

use super::Views;
#[cfg(feature = "train")]
use super::calls::of_named;
#[cfg(feature = "train")]
use super::{Ensemble, Scores};
use crate::error::Result;
#[cfg(feature = "train")]
use crate::input::PhotoSource;
use crate::input::{InputSpec, Photo, Region};
#[cfg(feature = "train")]
use std::path::Path;

impl Views {
    /// The pixels of each view of a photo.
    pub(super) fn of(&self, spec: &InputSpec, photo: &Photo) -> Result<Vec<Vec<u8>>> {
        let mut prepared = Vec::with_capacity(self.count());
        match self.five_crops {
            None => prepared.push(spec.prepare(photo)?),
            Some(share) => {
                photo.validate()?;
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

#[cfg(feature = "train")]
impl Ensemble {
    /// Scores of photos by what errors call them, in their order.
    pub(crate) fn scores_of(
        &self,
        photos: &[(&PhotoSource, &Path)],
    ) -> Result<Vec<Result<Scores>>> {
        of_named(self, photos, |prepared| self.scores(prepared))
    }
}
