//! How small and how large a photo may be.

use crate::error::Error;
use std::path::Path;

/// The longest side of a photo, in pixels; a longer one is refused before anything is allocated.
pub const MAX_SIDE: u32 = 16_384;
/// The most bytes of a decoded photo, and of its file; more are refused before anything is allocated.
pub const MAX_BYTES: u64 = 512 << 20;
/// The shortest side of a photo, in pixels: below it there is nothing to recognise, and the file is probably broken.
pub const MIN_SIDE: u32 = 8;

/// Refuses what is too small or too large; `pixel` is the number of bytes of one decoded pixel.
pub(super) fn check_size(width: u32, height: u32, pixel: u64) -> std::result::Result<(), String> {
    let size = format!("{height}×{width} pixels (height × width)");
    let bytes = u64::from(width) * u64::from(height) * pixel;
    if width.min(height) < MIN_SIDE {
        Err(format!("{size}; at least {MIN_SIDE}×{MIN_SIDE} is needed"))
    } else if width.max(height) > MAX_SIDE {
        Err(format!("{size}; at most {MAX_SIDE} a side are allowed"))
    } else if bytes > MAX_BYTES {
        Err(format!(
            "{size}, {} MiB decoded; at most {} MiB are allowed",
            bytes >> 20,
            MAX_BYTES >> 20
        ))
    } else {
        Ok(())
    }
}

/// An error of a photo.
pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Image {
        path: path.into(),
        reason: reason.into(),
        source: None,
    }
}
