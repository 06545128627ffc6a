//! A part of a photo turned before it is resized.

use crate::error::{Error, Result};
use crate::input::{Photo, Region};

/// The region turned about its centre, bilinear. The corners show what lies beside the region; beyond the photo, its border goes
/// on.
pub(super) fn rotate(photo: &Photo, region: Region, degrees: f64) -> Result<Photo> {
    // Also checks the photo's bytes against its size, so that the indices below are within it.
    let channels = photo.channels();
    if photo.rgb.len() != photo.height * photo.width * channels || photo.rgb.is_empty() {
        return Err(Error::Shape {
            what: "photo".into(),
            expected: format!("({}, {}, 3)", photo.height, photo.width),
            found: vec![photo.rgb.len()],
        });
    }
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (half_h, half_w) = (
        (region.height as f64 - 1.0) / 2.0,
        (region.width as f64 - 1.0) / 2.0,
    );
    let (mid_y, mid_x) = (region.top as f64 + half_h, region.left as f64 + half_w);
    let mut rgb = Vec::with_capacity(region.height * region.width * channels);
    for y in 0..region.height {
        for x in 0..region.width {
            let (dy, dx) = (y as f64 - half_h, x as f64 - half_w);
            let from_y = (mid_y + cos * dy + sin * dx).clamp(0.0, (photo.height - 1) as f64);
            let from_x = (mid_x + cos * dx - sin * dy).clamp(0.0, (photo.width - 1) as f64);
            let (top, left) = (from_y as usize, from_x as usize);
            let bottom = (top + 1).min(photo.height - 1);
            let right = (left + 1).min(photo.width - 1);
            let (fy, fx) = (from_y - top as f64, from_x - left as f64);
            for channel in 0..channels {
                let at = |y: usize, x: usize| {
                    f64::from(photo.rgb[(y * photo.width + x) * channels + channel])
                };
                let above = at(top, left) * (1.0 - fx) + at(top, right) * fx;
                let below = at(bottom, left) * (1.0 - fx) + at(bottom, right) * fx;
                rgb.push((above * (1.0 - fy) + below * fy).round() as u8);
            }
        }
    }
    Ok(Photo {
        height: region.height,
        width: region.width,
        rgb,
    })
}
