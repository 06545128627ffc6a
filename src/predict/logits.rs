//! What a model says of photos, before anything is decided.

use crate::error::Result;
use candle_core::Tensor;
use std::ops::Deref;

/// The logits of some photos, photo by photo one list a head, the joint head's last if there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logits(Vec<Vec<Vec<f32>>>);

impl Logits {
    /// Of photos that are given one by one.
    pub fn new(photos: Vec<Vec<Vec<f32>>>) -> Self {
        Self(photos)
    }

    /// From those of each head.
    ///
    /// # Shapes
    /// Each of `heads` `(photos, num_labels)`.
    ///
    /// # Errors
    /// If one is no matrix.
    pub fn of_heads(heads: &[Tensor]) -> Result<Self> {
        let count = heads.first().map_or(0, |head| head.dims()[0]);
        let mut photos = vec![Vec::with_capacity(heads.len()); count];
        for head in heads {
            for (photo, row) in photos.iter_mut().zip(head.to_vec2()?) {
                photo.push(row);
            }
        }
        Ok(Self(photos))
    }

    /// Takes the photos from place `at` on away.
    #[cfg(feature = "audit")]
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        Self(self.0.split_off(at))
    }
}

impl Deref for Logits {
    type Target = [Vec<Vec<f32>>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
