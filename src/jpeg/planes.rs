//! The samples of a component.

use crate::Error;
use crate::frame::{Component, Frame};

/// The samples of a component: all of them, or the latest lines.
pub(crate) struct Plane {
    pub(crate) data: Vec<u8>,
    pub(crate) stride: usize,
    width: usize,
    height: usize,
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
        let stride = 8 * component.padded_across;
        Ok(Self {
            data: zeros(stride * 8 * kept)?,
            stride,
            width: component.width,
            height: component.height,
            kept,
        })
    }

    /// Where a block's first sample stands.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, column: usize) -> usize {
        8 * ((row % self.kept) * self.stride + column)
    }

    /// The samples of a line, without those that only fill up the last block. Behind the last line it is given again.
    pub(crate) fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height - 1) % (8 * self.kept) * self.stride;
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
