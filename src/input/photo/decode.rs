//! From a file's bytes to an upright photo: JPEG, PNG, WebP, TIFF, BMP and GIF, told apart by content.

use super::budget::MAX_MEMORY;
use super::file::PhotoFile;
use super::jpeg::{self, Jpeg};
use super::other::Other;
use super::pixels::Photo;
use super::png::{self, Png};
use crate::error::Result;
use crate::input::spec::InputSpec;
use crate::io::recognise::what_instead_of_photo;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The kinds of files that are read, in words.
const KINDS: &str = "JPEG, PNG, WebP, TIFF, BMP or GIF";

/// A photo whose header has been read and found good.
pub(super) enum Header<'a> {
    Jpeg(Jpeg<'a>),
    Png(Png<'a>),
    Other(Other<'a>),
}

impl<'a> Header<'a> {
    /// Of a file that `inputs` look at, with the `channels` asked for.
    pub(super) fn read(
        bytes: &'a [u8],
        channels: usize,
        inputs: &[InputSpec],
    ) -> std::result::Result<Self, String> {
        let header = if bytes.starts_with(jpeg::SIGNATURE) {
            Self::Jpeg(caught(|| Jpeg::read(bytes, channels, inputs))?)
        } else if bytes.starts_with(png::SIGNATURE) {
            Self::Png(caught(|| Png::read(bytes, channels))?)
        } else if let Some(other) = caught(|| Ok(Other::read(bytes, channels)))? {
            Self::Other(other?)
        } else {
            return Err(match what_instead_of_photo(bytes) {
                Some(found) => format!("a photo ({KINDS}) is needed, the content is {found}"),
                None => format!("the content is no photo ({KINDS})"),
            });
        };
        let bytes = bytes.len() as u64 + header.memory(channels);
        if bytes > MAX_MEMORY {
            return Err(format!(
                "decoding it takes {} MiB of memory; at most {} MiB are allowed",
                bytes >> 20,
                MAX_MEMORY >> 20
            ));
        }
        Ok(header)
    }

    /// The most bytes at once while it is decoded, the file aside.
    pub(super) fn memory(&self, channels: usize) -> u64 {
        match self {
            Self::Jpeg(jpeg) => jpeg.memory(channels),
            Self::Png(png) => png.memory(channels),
            Self::Other(other) => other.memory(channels),
        }
    }

    /// Height and width of the photo that is decoded, turned or not.
    pub(super) fn sides(&self) -> [usize; 2] {
        match self {
            Self::Jpeg(jpeg) => jpeg.sides(),
            Self::Png(png) => [png.height, png.width],
            Self::Other(other) => [other.height, other.width],
        }
    }

    /// Height and width of the whole photo, turned upright.
    pub(super) fn upright(&self) -> [usize; 2] {
        match self {
            Self::Jpeg(jpeg) => jpeg.orientation.size(jpeg.stored[0], jpeg.stored[1]),
            Self::Png(png) => png.orientation.size(png.height, png.width),
            Self::Other(other) => other.orientation.size(other.height, other.width),
        }
    }

    pub(super) fn decode(&self, channels: usize) -> std::result::Result<Photo, String> {
        caught(|| match self {
            Self::Jpeg(jpeg) => jpeg.decode(channels),
            Self::Png(png) => png.decode(channels),
            Self::Other(other) => other.decode(channels),
        })
    }
}

/// What a decoder gives; one that panics on a hostile file refuses it.
fn caught<T>(
    decode: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    let reason = "the decoder panicked; the file is probably broken";
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(reason.into()))
}

impl Photo {
    /// Decodes a JPEG, PNG, WebP, TIFF, BMP or GIF, told apart by content, and turns it upright by its EXIF orientation. `name`
    /// is for messages. Of an animation or a TIFF of several pages the first picture counts.
    ///
    /// Grey and palette pictures become RGB, 16 bits become 8, CMYK JPEGs are converted. An alpha channel is left out: the
    /// colours are taken as they are stored, as Pillow's `convert("RGB")` does. Colour profiles are not looked at.
    ///
    /// The orientation is EXIF's: of a JPEG's first EXIF segment, of a PNG's chunk `eXIf`, before or behind the pixels, of a
    /// WebP's chunk `EXIF`, or of a TIFF itself. Its value may be a SHORT, a BYTE or a LONG, as TIFF 6.0 allows; what is not 1
    /// to 8 is upright. XMP and a PNG's text chunks with raw profiles, which the specifications do not count as EXIF, are not
    /// looked at.
    ///
    /// Memory is taken from one budget of 1 GiB for all threads, and waited for.
    ///
    /// # Errors
    /// [`Error::Image`](crate::Error::Image) if the bytes are no such photo, are truncated or broken, or if the picture is
    /// smaller than 8 pixels on a side or larger than 16,384, has more than 512 MiB as file or picture, or takes more than the
    /// budget.
    pub fn decode(bytes: &[u8], name: &Path) -> Result<Self> {
        Ok(PhotoFile::given(name, bytes)?.photo(3, &[])?.release())
    }
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_decoder_that_panics_refuses_the_file() {
        let refused: Result<(), String> = caught(|| panic!("as a broken decoder would"));
        assert!(refused.unwrap_err().contains("the decoder panicked"));
    }
}
