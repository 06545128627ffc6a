//! Photos from files: JPEG and PNG, whole or not at all, upright, within one budget of memory.

pub(crate) mod budget;
mod canvas;
mod channels;
mod decode;
mod file;
mod found;
mod inflate;
mod jpeg;
mod kind;
mod orientation;
mod png;
mod png_pixels;

use super::{InputSpec, Interpolation};
pub use decode::{MAX_BYTES, Photo, Region};
pub(crate) use file::{HeldPhoto, PhotoFile};
pub use found::{find_images, is_image_name};
