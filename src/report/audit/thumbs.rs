//! The photos a page shows, each once, as small JPEGs.

use crate::data::dataset::Dataset;
use crate::data::named_photo::NamedPhoto;
use crate::error::Result;
use crate::input::Interpolation;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;
use std::collections::HashMap;

/// Quality of the JPEGs, of 100.
const QUALITY: u8 = 72;

/// The samples that are shown, in the order they were asked for.
#[derive(Default)]
pub(crate) struct Thumbs {
    index: HashMap<usize, usize>,
    places: Vec<usize>,
}

impl Thumbs {
    /// The index of a sample among the page's photos.
    pub(crate) fn of(&mut self, place: usize) -> usize {
        let next = self.places.len();
        *self.index.entry(place).or_insert_with(|| {
            self.places.push(place);
            next
        })
    }

    pub(crate) fn all(&mut self, places: impl IntoIterator<Item = usize>) -> Vec<usize> {
        places.into_iter().map(|p| self.of(p)).collect()
    }

    pub(crate) fn places(&self) -> &[usize] {
        &self.places
    }

    /// A data URI for each; `None` where a photo cannot be read.
    pub(crate) fn pictures(&self, dataset: &Dataset, height: usize) -> Vec<Option<String>> {
        let picture = |place: &usize| thumb(&(&dataset.samples[*place]).into(), height).ok();
        self.places.par_iter().map(picture).collect()
    }
}

fn thumb(photo: &NamedPhoto, height: usize) -> Result<String> {
    let path = photo.path();
    let (photo, _) = photo.read(3, &[])?;
    let photo = photo.with_channels(3);
    // A panorama would be as wide as a page.
    let width = (photo.width * height).div_ceil(photo.height);
    let size = [height, width.clamp(1, 3 * height)];
    let rgb = photo.resize(photo.region(), size, Interpolation::Bilinear)?;
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(
            &rgb,
            size[1] as u32,
            size[0] as u32,
            ExtendedColorType::Rgb8,
        )
        .map_err(|e| crate::Error::Image {
            path: path.into(),
            reason: "its thumbnail cannot be written".into(),
            source: Some(e.into()),
        })?;
    Ok(format!(
        "data:image/jpeg;base64,{}",
        STANDARD.encode(&bytes)
    ))
}
