//! A photo in memory.

/// A decoded, upright photo.
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
