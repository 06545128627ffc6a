//! A map's values as its readers see them.

use crate::buffer::Buffer;
use crate::columns::Transform;
use crate::real::Real;
use std::ops::Range;

/// Values, and what is done to them when they are read.
pub struct Input<'a, T: Real> {
    pub values: &'a Buffer<T>,
    pub transform: Option<&'a Transform<T>>,
}

impl<T: Real> Clone for Input<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Real> Copy for Input<'_, T> {}

impl<'a, T: Real> Input<'a, T> {
    /// The values, if readers see them as they lie.
    pub(crate) fn lying(&self) -> Option<&'a Buffer<T>> {
        self.transform.is_none().then_some(self.values)
    }

    /// Calls `f(values as readers see them)` for a range.
    pub fn read(&self, range: Range<usize>, scratch: &mut Vec<T>, f: impl FnOnce(&[T])) {
        let values = &self.values[range];
        match self.transform {
            None => f(values),
            Some(t) => {
                scratch.resize(values.len(), T::ZERO);
                t.apply(values, scratch);
                f(scratch);
            }
        }
    }

    /// Copies a range as readers see it.
    pub fn copy(&self, range: Range<usize>, out: &mut [T]) {
        let values = &self.values[range];
        match self.transform {
            None => out.copy_from_slice(values),
            Some(t) => t.apply(values, out),
        }
    }
}
