//! Photos from files: JPEG and PNG, whole or not at all, upright, within one budget of memory.

mod budget;
mod canvas;
mod channels;
mod decode;
mod file;
mod found;
mod inflate;
mod jpeg;
mod limits;
mod orientation;
mod pixels;
mod png;
mod png_chunk;
mod png_pixels;
mod resize;

pub use budget::MAX_MEMORY;
pub(crate) use file::{HeldPhoto, PhotoFile};
pub use found::{FoundImages, PassedOver, find_images, is_image_name};
pub use limits::{MAX_BYTES, MAX_SIDE, MIN_SIDE};
pub use pixels::{Photo, Region};
