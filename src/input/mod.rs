//! From a photo to the tensor a backbone takes: decode, orient, crop, resize, normalise. Training and prediction share this path.

#[cfg(feature = "image")]
mod photo;
#[cfg(feature = "image")]
mod prepare;
mod spec;
#[cfg(feature = "train")]
pub(crate) use photo::PhotoFile;
#[cfg(feature = "image")]
pub use photo::{
    FoundImages, MAX_BYTES, MAX_MEMORY, MAX_SIDE, MIN_SIDE, PassedOver, Photo, Region, find_images,
    is_image_name,
};
pub use spec::{InputSpec, Interpolation};
