//! What a convolution's backward pass is given, and what it finds.

use super::input::Input;
use crate::buffer::Buffer;
use crate::columns::{EpilogueGrad, Transform};
use crate::geometry::Geometry;
use crate::real::Real;
use std::ops::Range;

/// What a backward pass finds beside the input's gradient: the weight's, and the sums asked for.
pub type Found<T> = (Option<Vec<T>>, Option<Vec<(f64, f64)>>);

/// One convolution's backward pass.
pub struct Job<'a, T: Real> {
    pub g: &'a Geometry,
    pub x: Input<'a, T>,
    /// The sums, if there is an `epilogue`.
    pub y: &'a Buffer<T>,
    /// The gradient of the result.
    pub dz: &'a Buffer<T>,
    /// The way from there to the gradient of the sums, if it is another.
    pub epilogue: Option<&'a EpilogueGrad<T>>,
    pub want_weight: bool,
    pub want_input: bool,
    /// Whether the input's gradient is added to what is there.
    pub accumulate: bool,
    /// Centre and transformation of the input, if the sums of its gradient are asked for.
    pub ask: Option<(&'a [T], &'a Transform<T>)>,
}

impl<T: Real> Job<'_, T> {
    /// Writes a range of the gradient of the sums.
    pub(super) fn copy_gradient(&self, range: Range<usize>, out: &mut [T]) {
        match self.epilogue {
            Some(epilogue) => epilogue.apply(&self.y[range.clone()], &self.dz[range], out),
            None => out.copy_from_slice(&self.dz[range]),
        }
    }
}
