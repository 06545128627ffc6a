//! Pictures at a fraction of their size, as libjpeg's `jdmaster` chooses what each component is decoded to.

use crate::frame::Frame;

/// How much smaller a picture is decoded than it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reduction {
    /// Not at all.
    Whole,
    /// To a half of its width and height.
    Half,
    /// To a quarter.
    Quarter,
    /// To an eighth.
    Eighth,
}

impl Reduction {
    /// All, the greatest last.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Half, Self::Quarter, Self::Eighth];

    /// What width and height are divided by: 1, 2, 4 or 8.
    pub const fn by(self) -> u32 {
        1 << self as u32
    }

    /// A side's length in the smaller picture; a part of a pixel counts as one.
    pub const fn side(self, side: u32) -> u32 {
        side.div_ceil(self.by())
    }
}

impl Frame {
    /// The frame of the smaller picture. A component that has fewer samples than pixels is reduced less, as long as it then has
    /// no more than pixels: it need not be brought to the picture's size afterwards.
    pub(crate) fn reduced(mut self, reduction: Reduction) -> Self {
        self.block = 8 / reduction.by() as usize;
        for c in &mut self.components {
            let room = |size| {
                (self.max_h * self.block).is_multiple_of(2 * c.h * size)
                    && (self.max_v * self.block).is_multiple_of(2 * c.v * size)
            };
            c.size = self.block;
            while c.size < 8 && room(c.size) {
                c.size *= 2;
            }
            (c.width, c.height) = (
                (self.width * c.h * c.size).div_ceil(8 * self.max_h),
                (self.height * c.v * c.size).div_ceil(8 * self.max_v),
            );
        }
        self
    }

    /// Width and height of the decoded picture.
    pub(crate) fn decoded(&self) -> [usize; 2] {
        [self.width, self.height].map(|side| (side * self.block).div_ceil(8))
    }
}
