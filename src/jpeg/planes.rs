//! The samples of a component.

use crate::Error;
use crate::frame::{Component, Frame};
use crate::{idct, reduced};

/// The samples of a component: all of them, or the latest lines.
pub(crate) struct Plane {
    data: Vec<u8>,
    stride: usize,
    width: usize,
    height: usize,
    /// Samples of a block across and down.
    size: usize,
    /// Rows of blocks that are kept; a later one takes the place of the one so many before.
    kept: usize,
}

impl Plane {
    /// For all of a component's samples.
    pub(crate) fn whole(component: &Component) -> Result<Self, Error> {
        Self::new(component, component.padded_down)
    }

    /// For those of two rows of units: what one row of units and the last line of the row before it need.
    pub(crate) fn latest(component: &Component, frame: &Frame) -> Result<Self, Error> {
        Self::new(component, component.v * frame.units_down.min(2))
    }

    fn new(component: &Component, kept: usize) -> Result<Self, Error> {
        let size = component.size;
        let stride = size * component.padded_across;
        Ok(Self {
            data: zeros(stride * size * kept)?,
            stride,
            width: component.width,
            height: component.height,
            size,
            kept,
        })
    }

    /// Where a block's first sample stands.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, column: usize) -> usize {
        self.size * ((row % self.kept) * self.stride + column)
    }

    /// Writes a block's samples from its coefficients, see [`idct::block`].
    #[inline(always)]
    pub(crate) fn write(&mut self, coefficients: &[i16; 64], seen: u8, at: usize) {
        if self.size == 8 {
            idct::block(coefficients, seen, &mut self.data, at, self.stride);
        } else {
            let (size, stride) = (self.size, self.stride);
            reduced::block(coefficients, seen, size, &mut self.data, at, stride);
        }
    }

    /// The samples of a line, without those that only fill up the last block. Behind the last line it is given again.
    pub(crate) fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height - 1) % (self.size * self.kept) * self.stride;
        &self.data[start..start + self.width]
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

/// A vector of zeros, or an error where memory is not there.
pub(crate) fn zeros<T: Clone + Default>(length: usize) -> Result<Vec<T>, Error> {
    let mut data = reserved(length)?;
    data.resize(length, T::default());
    Ok(data)
}

/// An empty vector with room for so many, or an error where memory is not there.
pub(crate) fn reserved<T>(length: usize) -> Result<Vec<T>, Error> {
    let mut data = Vec::new();
    data.try_reserve_exact(length)
        .map_err(|_| Error::Memory((length * size_of::<T>()) as u64))?;
    Ok(data)
}
