//! From a photo to the pixels a backbone sees.

use super::photo::{MAX_BYTES, Photo, Region};
use super::spec::InputSpec;
use crate::error::{Error, Result};

impl InputSpec {
    /// The part of a photo of `height × width` pixels that is looked at: the centre crop, or all of it, and of that the middle
    /// that [`crop_pct`](Self::crop_pct) leaves, to the nearest pixel. An odd remainder goes to the bottom and the right.
    pub(crate) fn region(&self, height: usize, width: usize) -> Region {
        let [mut h, mut w] = self.cropped(height, width);
        if let Some(pct) = self.crop_pct {
            let whole = self.covering([h, w], pct);
            let part = |side: usize, i: usize| {
                let part = side as f64 * self.size[i] as f64 / whole[i];
                (part.round() as usize).clamp(1, side)
            };
            [h, w] = [part(h, 0), part(w, 1)];
        }
        centre([height, width], [h, w])
    }

    /// The centre crop alone.
    pub(super) fn middle(&self, height: usize, width: usize) -> Region {
        centre([height, width], self.cropped(height, width))
    }

    /// Height and width of the centre crop.
    fn cropped(&self, height: usize, width: usize) -> [usize; 2] {
        let [h, w] = self.crop.unwrap_or([height, width]);
        [h.min(height), w.min(width)]
    }

    /// Height and width of a photo of `sides` resized until it covers `size / pct`, as timm's transform for evaluation rounds
    /// them: torchvision's `Resize` where that is a square, else timm's `ResizeKeepRatio`.
    fn covering(&self, sides: [usize; 2], pct: f64) -> [f64; 2] {
        let target = self.size.map(|s| (s as f64 / pct).floor());
        let [h, w] = sides.map(|s| s as f64);
        if target[0] == target[1] {
            let shorter = h.min(w);
            return [h, w].map(|side| (target[0] * side / shorter).floor());
        }
        let ratio = (h / target[0]).min(w / target[1]);
        [h, w].map(|side| (side / ratio).round_ties_even())
    }

    /// The most bytes that [`prepare`](Self::prepare) takes for a photo of `height × width` while it resizes.
    #[cfg(feature = "image")]
    pub(super) fn working(&self, height: usize, width: usize) -> u64 {
        let sides = self.cropped(height, width);
        let whole = match self.crop_pct {
            Some(pct) => self.covering(sides, pct),
            None => self.size.map(|side| side as f64),
        };
        // First the rows are resized, then the columns.
        let bytes = (sides[0] as f64 + whole[0]) * whole[1] * self.channels as f64;
        // More is refused.
        (bytes as u64).min(2 * MAX_BYTES)
    }

    /// Crops and resizes a photo to [`size`](Self::size): `(H, W, channels)` bytes. A photo of other channels becomes one of
    /// these first: grey is 0.299 R + 0.587 G + 0.114 B, rounded as Pillow's `convert("L")`; alpha that is not there is 255.
    ///
    /// # Errors
    /// As [`Photo::validate`]; [`Error::Invalid`] if a photo so long and narrow, resized by [`crop_pct`](Self::crop_pct), is
    /// of more than `MAX_BYTES`.
    pub fn prepare(&self, photo: &Photo) -> Result<Vec<u8>> {
        let channels = self.channels;
        photo.validate()?;
        let photo = photo.with_channels(channels);
        let region = self.middle(photo.height, photo.width);
        let sides = [region.height, region.width];
        let Some(pct) = self.crop_pct else {
            return photo.resize(region, self.size, self.interpolation);
        };
        let whole = self.covering(sides, pct);
        let fits = whole.iter().zip(self.size).all(|(w, s)| *w >= s as f64);
        if !fits || whole[0] * whole[1] * channels as f64 > MAX_BYTES as f64 {
            return Err(Error::Invalid {
                what: "input.crop_pct".into(),
                expected: format!(
                    "a share with which {sides:?} pixels, resized until they cover {:?}, are at most {} MiB",
                    self.size,
                    MAX_BYTES >> 20
                ),
                found: format!("{pct}, {}×{} pixels", whole[0], whole[1]),
            });
        }
        let whole = whole.map(|side| side as usize);
        let resized = photo.resize(region, whole, self.interpolation)?;
        // torchvision's `CenterCrop` rounds half a pixel to the even number.
        let first = |i: usize| ((whole[i] - self.size[i]) as f64 / 2.0).round_ties_even() as usize;
        let ([height, width], top, left) = (self.size, first(0), first(1));
        let rows = resized
            .chunks_exact(channels * whole[1])
            .skip(top)
            .take(height);
        Ok(rows
            .flat_map(|row| &row[channels * left..channels * (left + width)])
            .copied()
            .collect())
    }
}

/// The middle part of `sides` of a photo of `whole`.
fn centre(whole: [usize; 2], [height, width]: [usize; 2]) -> Region {
    Region {
        top: (whole[0] - height) / 2,
        left: (whole[1] - width) / 2,
        height,
        width,
    }
}
