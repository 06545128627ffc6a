//! A photo in memory.

use super::limits::{MAX_BYTES, MAX_SIDE};
use crate::error::{Error, Result};

/// A decoded, upright photo: pixels with their height and width, each by its name, so that the two are not mixed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Red, green and blue of each pixel, row by row: `height · width · 3` bytes. Grey alone, or alpha too, if the photo was read
    /// so; see [`channels`](Self::channels).
    pub rgb: Vec<u8>,
}

impl Photo {
    /// Checks that there are as many bytes as its height and width say; whoever resizes it does so first.
    ///
    /// # Errors
    /// [`Error::Shape`] if `rgb` is not `height · width` times 1, 3 or 4 bytes, or a side is 0; [`Error::Invalid`] if a side has
    /// more than 16,384 pixels or all together more than 512 MiB.
    pub fn validate(&self) -> Result<()> {
        let sides = [self.height, self.width];
        let pixels = self.height.saturating_mul(self.width);
        if pixels == 0
            || ![1, 3, 4]
                .map(|c| pixels.saturating_mul(c))
                .contains(&self.rgb.len())
        {
            return Err(Error::Shape {
                what: "the bytes of a photo".into(),
                expected: format!(
                    "({}, {}, channels), channels 1, 3 or 4 and no side 0",
                    self.height, self.width
                ),
                found: vec![self.rgb.len()],
            });
        }
        if sides.iter().any(|s| *s > MAX_SIDE as usize) || self.rgb.len() as u64 > MAX_BYTES {
            return Err(Error::Invalid {
                what: "a photo".into(),
                expected: format!(
                    "at most {MAX_SIDE} pixels a side and {} MiB",
                    MAX_BYTES >> 20
                ),
                found: format!("{} × {} pixels (height × width)", self.height, self.width),
            });
        }
        Ok(())
    }
}

/// A rectangle of a photo, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}
