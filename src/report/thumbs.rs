//! Small pictures of photos, as JPEGs within a page.

use crate::data::named_photo::NamedPhoto;
use crate::error::Result;
use crate::input::Interpolation;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;
use std::path::Path;

/// Quality of the JPEGs, of 100.
const QUALITY: u8 = 72;
/// Photos read before the bytes are counted again.
const AT_ONCE: usize = 128;

/// A data URI for each photo, so many pixels high; `None` where one cannot be read.
pub(super) fn all(photos: &[&NamedPhoto], height: usize) -> Vec<Option<String>> {
    photos
        .par_iter()
        .map(|photo| thumb(photo, height).ok())
        .collect()
}

/// The same of the first photos whose pictures have at most `most` bytes together, and `None` of the others.
pub(super) fn within(photos: &[&NamedPhoto], height: usize, most: usize) -> Vec<Option<String>> {
    let (mut pictures, mut left) = (Vec::with_capacity(photos.len()), most);
    for photos in photos.chunks(AT_ONCE) {
        for picture in all(photos, height) {
            let bytes = picture.as_ref().map_or(0, String::len);
            if bytes > left {
                // So that no later one, which happens to be smaller, is shown in its place.
                left = 0;
            }
            pictures.push(picture.filter(|_| left > 0));
            left -= bytes.min(left);
        }
        if left == 0 {
            break;
        }
    }
    pictures.resize(photos.len(), None);
    pictures
}

fn thumb(photo: &NamedPhoto, height: usize) -> Result<String> {
    let path = photo.path();
    let (photo, _) = photo.read(3, &[])?;
    let photo = photo.with_channels(3);
    // A panorama would be as wide as a page.
    let width = (photo.width * height).div_ceil(photo.height);
    let size = [height, width.clamp(1, 3 * height)];
    let rgb = photo.resize(photo.region(), size, Interpolation::Bilinear)?;
    jpeg(&rgb, size, path)
}

/// A data URI of pixels, red, green and blue, `[height, width]`.
pub(super) fn jpeg(rgb: &[u8], size: [usize; 2], path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .write_image(rgb, size[1] as u32, size[0] as u32, ExtendedColorType::Rgb8)
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
