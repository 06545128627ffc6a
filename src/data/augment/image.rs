//! A picture while it is changed: bytes, and what they mean.

/// `(height, width, channels)` bytes of 1 (grey), 3 (red, green, blue) or 4 (and alpha) channels.
#[derive(Clone)]
pub(crate) struct Image {
    pub size: [usize; 2],
    pub channels: usize,
    pub bytes: Vec<u8>,
}

impl Image {
    /// Channels that have light and colour: all but alpha.
    pub(super) fn colours(&self) -> usize {
        self.channels.min(3)
    }

    /// Left and right exchanged.
    pub(super) fn flip(&mut self) {
        let (width, channels) = (self.size[1], self.channels);
        for row in self.bytes.chunks_exact_mut(width * channels) {
            for x in 0..width / 2 {
                for channel in 0..channels {
                    row.swap(x * channels + channel, (width - 1 - x) * channels + channel);
                }
            }
        }
    }

    /// Each value of a channel that has light and colour as `table` says of it.
    pub(super) fn look_up(&mut self, table: impl Fn(usize, u8) -> u8) {
        let colours = self.colours();
        let tables: Vec<[u8; 256]> = (0..colours)
            .map(|channel| std::array::from_fn(|value| table(channel, value as u8)))
            .collect();
        for pixel in self.bytes.chunks_exact_mut(self.channels) {
            for (value, table) in pixel.iter_mut().zip(&tables) {
                *value = table[usize::from(*value)];
            }
        }
    }

    /// How often each value occurs, channel by channel without alpha.
    pub(super) fn histograms(&self) -> Vec<[u32; 256]> {
        let mut counts = vec![[0; 256]; self.colours()];
        for pixel in self.bytes.chunks_exact(self.channels) {
            for (value, counts) in pixel.iter().zip(&mut counts) {
                counts[usize::from(*value)] += 1;
            }
        }
        counts
    }
}

/// Grey as torchvision's `rgb_to_grayscale` weighs it, a whole number.
pub(super) fn grey(pixel: &[u8]) -> f32 {
    match *pixel {
        [r, g, b, ..] => {
            (0.2989 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)).floor()
        }
        _ => f32::from(pixel[0]),
    }
}

/// As torchvision makes bytes of numbers: what is beyond 0 and 255 is cut off, what is behind the point as well.
pub(super) fn cut(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as u8
}
