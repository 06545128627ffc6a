//! A strict JPEG decoder.
//!
//! It promises two things. The pixels are exactly those of libjpeg-turbo with its default settings (the accurate integer DCT and
//! "fancy" upsampling), which are the pixels that Pillow, torchvision and OpenCV show; at a half, a quarter or an eighth of the
//! size they are those of its reduced transforms, which Pillow's draft mode shows. And no picture with missing or damaged
//! data is accepted where the damage can be seen: libjpeg fills what is missing with grey and goes on; here that is an [`Error`].
//!
//! ```
//! match hydranet_jpeg::decode(b"not a picture") {
//!     Ok(picture) => println!("{} x {}", picture.width, picture.height),
//!     Err(error) => println!("{error}"),
//! }
//! ```
//!
//! What is decoded: baseline, extended and progressive JPEGs of 8 bits a sample with Huffman codes (ITU T.81, processes 1, 2 and
//! the 8-bit half of 10), of one, three or four components. What is not decoded is refused by its name.
//!
//! # What is seen of damage
//!
//! Every unit of every scan must be there, every code must exist, every coefficient must be one that a picture of 8 bits can
//! have, and nothing may be left over before the next marker, but a few bytes before the last; every coefficient of a progressive
//! picture must be sent to its last bit; a stretch of zero bytes must be one that the tables in use can mean. Damage which leaves
//! all of that whole cannot be told from a picture, for JPEG has no check sum: changed bits of single values; now and then a
//! stretch of codes replaced by as many others; and in the last scans of a progressive picture, which hold the lowest bits as
//! they are, stretches that move coefficients by one step.
//!
//! Lengths that other programs wrote wrongly before their own data (APPn, comments) are passed over, as libjpeg does: they are no
//! part of the picture.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod band;
mod bits;
mod colour;
mod decode;
mod entropy;
mod error;
mod frame;
mod header;
mod huffman;
mod idct;
mod markers;
mod pixels;
mod planes;
mod progressive;
mod recompress;
mod reduced;
mod reduction;
mod refine;
mod scan;
mod sequential;
mod stored;
mod upsample;

pub use decode::{Picture, decode, decode_reduced};
pub use error::Error;
pub use header::{Header, memory, read_header};
pub use recompress::recompress;
pub use reduction::Reduction;
