//! The samples of a component.

use crate::Error;
use crate::frame::Component;

pub(crate) struct Plane {
    pub(crate) data: Vec<u8>,
    pub(crate) stride: usize,
    width: usize,
    height: usize,
}

impl Plane {
    pub(crate) fn new(component: &Component) -> Result<Self, Error> {
        let stride = 8 * component.padded_across;
        let data = zeros(stride * 8 * component.padded_down)?;
        Ok(Self {
            data,
            stride,
            width: component.width,
            height: component.height,
        })
    }

    /// Where a block's first sample stands.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, column: usize) -> usize {
        8 * (row * self.stride + column)
    }

    /// The samples of a line, without those that only fill up the last block. Behind the last line it is given again.
    pub(crate) fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height - 1) * self.stride;
        &self.data[start..start + self.width]
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }
}

/// A vector of zeros, or an error where memory is not there.
pub(crate) fn zeros<T: Clone + Default>(length: usize) -> Result<Vec<T>, Error> {
    let mut data = Vec::new();
    data.try_reserve_exact(length)
        .map_err(|_| Error::Memory((length * size_of::<T>()) as u64))?;
    data.resize(length, T::default());
    Ok(data)
}
