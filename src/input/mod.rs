//! From a photo to the tensor a backbone takes: decode, orient, crop, resize, normalise. Training and prediction share this path.

mod photo;
mod prepare;
mod spec;
#[cfg(feature = "image")]
pub(crate) use photo::{Archive, HeldPhoto, PhotoFile, StoredPhoto};
pub use photo::{MAX_BYTES, Photo, PhotoSource, Region};
#[cfg(feature = "image")]
pub use photo::{find_images, is_image_name};
pub use spec::{InputSpec, Interpolation};

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/input/mod.rs"]
mod tests;
