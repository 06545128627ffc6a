//! Where decoders put their pixels: upright and with the channels asked for at once, so that no second copy of a photo is made.

use super::channels::luma;
use super::orientation::Orientation;
use super::pixels::Photo;

/// A photo that is being filled.
pub(super) struct Canvas {
    photo: Photo,
    channels: usize,
    orientation: Orientation,
    /// Height and width as stored.
    stored: [usize; 2],
}

impl Canvas {
    /// For a stored picture of `height × width`; its size has been checked.
    pub(super) fn new(
        [height, width]: [usize; 2],
        channels: usize,
        orientation: Orientation,
    ) -> Self {
        let [h, w] = orientation.size(height, width);
        Self {
            photo: Photo {
                height: h,
                width: w,
                rgb: vec![0; height * width * channels],
            },
            channels,
            orientation,
            stored: [height, width],
        }
    }

    /// Puts a stored row's pixels, red, green, blue and alpha each, at the columns `first`, `first + step` …
    pub(super) fn row(
        &mut self,
        y: usize,
        first: usize,
        step: usize,
        pixels: impl Iterator<Item = [u8; 4]>,
    ) {
        let at = |x: usize| {
            let [row, column] = self.orientation.place([y, x], self.stored);
            (row * self.photo.width + column) * self.channels
        };
        let columns = (first..self.stored[1]).step_by(step);
        let count = columns.len();
        if count == 0 {
            return;
        }
        // Places along a row lie evenly.
        let start = at(first);
        let stride = match count {
            1 => 0,
            _ => at(first + step) as isize - start as isize,
        };
        let mut place = start as isize;
        for pixel in pixels.take(count) {
            let to = &mut self.photo.rgb[place as usize..place as usize + self.channels];
            match self.channels {
                1 => to[0] = luma([pixel[0], pixel[1], pixel[2]]),
                3 => to.copy_from_slice(&pixel[..3]),
                _ => to.copy_from_slice(&pixel),
            }
            place += stride;
        }
    }

    pub(super) fn photo(self) -> Photo {
        self.photo
    }
}
