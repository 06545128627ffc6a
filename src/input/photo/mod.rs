//! Pixels, resized; and with the feature `image` photos from files: JPEG, PNG, WebP, TIFF, BMP and
//! GIF, whole or not at all, upright, within one budget of memory.

#[cfg(feature = "image")]
pub(crate) mod budget;
#[cfg(feature = "image")]
mod canvas;
mod channels;
#[cfg(feature = "image")]
mod decode;
#[cfg(feature = "image")]
mod file;
#[cfg(feature = "image")]
mod found;
#[cfg(feature = "image")]
mod inflate;
#[cfg(feature = "image")]
mod jpeg;
mod limits;
#[cfg(feature = "image")]
mod orientation;
#[cfg(feature = "image")]
mod other;
mod pixels;
#[cfg(feature = "image")]
mod png;
#[cfg(feature = "image")]
mod png_chunk;
#[cfg(feature = "image")]
mod png_pixels;
#[cfg(feature = "image")]
mod reduction;
mod resize;
mod source;
#[cfg(feature = "image")]
mod stored;

#[cfg(feature = "image")]
pub(crate) use file::{HeldPhoto, PhotoFile};
#[cfg(feature = "image")]
pub use found::{find_images, is_image_name};
pub use limits::MAX_BYTES;
pub use pixels::{Photo, Region};
pub use source::PhotoSource;
#[cfg(feature = "image")]
pub(crate) use stored::{Archive, StoredPhoto};
