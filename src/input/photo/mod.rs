//! Photos from files: JPEG and PNG, whole or not at all, upright, within one budget of memory.

mod budget;
mod canvas;
mod channels;
mod decode;
mod file;
mod found;
mod inflate;
mod jpeg;
mod orientation;
mod png;
mod png_pixels;

use super::{InputSpec, Interpolation};
pub use budget::MAX_MEMORY;
pub use decode::{MAX_BYTES, MAX_SIDE, MIN_SIDE, Photo, Region};
pub(crate) use file::{HeldPhoto, PhotoFile};
pub use found::{FoundImages, PassedOver, find_images, is_image_name};
