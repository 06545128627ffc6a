//! From a photo to the tensor a backbone takes: decode, orient, crop, resize, normalise. Training and prediction share this path.

#[cfg(feature = "image")]
mod photo;
#[cfg(feature = "image")]
mod prepare;
mod spec;
#[cfg(feature = "image")]
pub(crate) use photo::{HeldPhoto, PhotoFile};
#[cfg(feature = "image")]
pub use photo::{MAX_BYTES, Photo, Region, find_images, is_image_name};
pub use spec::{InputSpec, Interpolation};

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/input/mod.rs"]
mod tests;
