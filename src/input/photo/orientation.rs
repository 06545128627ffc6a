//! How a photo is to be turned upright, as EXIF says it.
//!
//! The tag Orientation (0x0112) of the first directory counts, in either byte order, with one value of 1 to 8 of the type SHORT,
//! or of BYTE or LONG: TIFF 6.0 asks readers to accept all three for an unsigned integer. Everything else, and an EXIF block that
//! is damaged, is upright: it does not make the pixels wrong. XMP's `tiff:Orientation` is not looked at.

const ORIENTATION: u16 = 0x0112;
/// TIFF's NewSubfileType; its first bit: a smaller copy of another picture in the file.
const KIND: u16 = 0x00FE;
/// DNG's version, which only camera's raw pictures have.
const DNG: u16 = 0xC612;

/// How the stored rows and columns lie; EXIF's values 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation {
    /// The stored picture's rows are the upright one's columns.
    turned: bool,
    /// Rows run from the bottom, or with `turned`, columns from the right.
    rows_back: bool,
    /// The other direction runs backwards too.
    columns_back: bool,
}

impl Orientation {
    pub(super) const UPRIGHT: Self = Self::from_exif(1);

    /// EXIF's value; what is not 1 to 8 is upright.
    const fn from_exif(value: u32) -> Self {
        Self {
            turned: matches!(value, 5..=8),
            rows_back: matches!(value, 3 | 4 | 6 | 7),
            columns_back: matches!(value, 2 | 3 | 7 | 8),
        }
    }

    /// Of an EXIF block: a TIFF header and its directories.
    pub(super) fn of_exif(block: &[u8]) -> Self {
        Self::from_exif(tag(block, ORIENTATION).unwrap_or(1))
    }

    /// Height and width upright.
    pub(super) fn size(self, height: usize, width: usize) -> [usize; 2] {
        if self.turned {
            [width, height]
        } else {
            [height, width]
        }
    }

    /// Whether the upright picture's rows, and its columns, run against those of the stored one.
    pub(super) fn backwards(self) -> [bool; 2] {
        if self.turned {
            [self.columns_back, self.rows_back]
        } else {
            [self.rows_back, self.columns_back]
        }
    }

    /// Where the stored pixel at row `y` and column `x` of a picture of `height × width` belongs: row and column upright.
    pub(super) fn place(self, [y, x]: [usize; 2], [height, width]: [usize; 2]) -> [usize; 2] {
        let y = if self.rows_back { height - 1 - y } else { y };
        let x = if self.columns_back { width - 1 - x } else { x };
        if self.turned { [x, y] } else { [y, x] }
    }
}

/// Whether the first picture of a TIFF is the small copy that stands before a camera's raw pixels.
pub(super) fn is_raw(tiff: &[u8]) -> bool {
    // Canon's mark stands behind the header.
    tiff.get(8..10) == Some(b"CR")
        || tag(tiff, KIND).is_some_and(|kind| kind & 1 == 1)
        || tag(tiff, DNG).is_some()
}

/// A tag of the first directory with one value, or for DNG's version its first byte.
fn tag(block: &[u8], wanted: u16) -> Option<u32> {
    let big = match block.get(..2)? {
        b"MM" => true,
        b"II" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    };
    let u32_at = |at: usize| {
        let bytes = block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    };
    if u16_at(2)? != 42 {
        return None;
    }
    let first = u32_at(4)? as usize;
    for entry in 0..usize::from(u16_at(first)?) {
        let at = first.checked_add(2 + 12 * entry)?;
        if u16_at(at)? != wanted {
            continue;
        }
        if u32_at(at + 4)? != 1 && wanted != DNG {
            return None;
        }
        return match u16_at(at + 2)? {
            1 => block.get(at + 8).map(|v| u32::from(*v)),
            3 => u16_at(at + 8).map(u32::from),
            4 => u32_at(at + 8),
            _ => None,
        };
    }
    None
}
