//! Weights as the forward kernels read them.

use super::depthwise;
use super::product::Packed;
use super::winograd;
use crate::geometry::Geometry;
use crate::real::Real;

/// A weight in the form the forward kernels read.
pub struct Packs<T: Real>(pub(super) Pack<T>);

pub(super) enum Pack<T: Real> {
    Dense(Packed<T>),
    Depthwise(Vec<T>),
    Patches(Packed<T>),
}

impl<T: Real> Packs<T> {
    pub fn new(g: &Geometry, w: &[T]) -> Self {
        if winograd::fits(g) {
            Self(Pack::Patches(winograd::pack(g, w, false)))
        } else if g.is_depthwise() {
            Self(Pack::Depthwise(depthwise::by_element(g, w)))
        } else {
            Self(Pack::Dense(Packed::forward(g, w)))
        }
    }

    /// Whether [`new`](Self::new) would make the same form: it depends on the image's size.
    pub fn suits(&self, g: &Geometry) -> bool {
        matches!(self.0, Pack::Patches(_)) == winograd::fits(g)
    }
}
