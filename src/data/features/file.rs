//! The file that features are kept in: 8 bytes that say what it is, the header's length (`u64`), the header in JSON, the rows
//! (`f32`), and a SHA-256 over all that. Numbers are little-endian.

use super::photos::ReadPhoto;
use super::{Extractor, Key, View};
use crate::error::{Error, Result};
use crate::io::recognise::what_instead_of_binary;
use crate::io::write_atomically_with;
use hydranet_kernels::{Mmap, map_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// The version of the format this crate writes.
pub(crate) const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"hydrfeat";
/// Bytes before the header.
const START: usize = 16;
/// Bytes of the checksum.
const END: usize = 32;

/// What the file says about its rows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub format: u32,
    pub extractor: Extractor,
    pub num_features: usize,
    pub views: Vec<View>,
    /// By absolute path.
    pub photos: BTreeMap<String, ReadPhoto>,
    /// What each row is the features of.
    pub rows: Vec<Key>,
}

/// The rows of a file, mapped.
pub(crate) struct Mapped {
    bytes: Mmap,
    start: usize,
    end: usize,
    width: usize,
}

impl Mapped {
    /// Adds a row to `out`.
    pub(crate) fn row(&self, row: usize, out: &mut Vec<f32>) {
        let bytes = &self.all()[row * self.width * 4..][..self.width * 4];
        let (values, _) = bytes.as_chunks::<4>();
        out.extend(values.iter().map(|v| f32::from_le_bytes(*v)));
    }

    fn all(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

/// Reads a file of features of this extractor; `None` if there is none.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] if it cannot be used.
pub(crate) fn read(
    path: &Path,
    extractor: &Extractor,
    width: usize,
) -> Result<Option<(Header, Mapped)>> {
    if !path.exists() {
        return Ok(None);
    }
    let (file, _) = crate::io::read::open(path)?;
    let fail = |problem: String| Error::Checkpoint {
        origin: path.display().to_string(),
        problem: format!("{problem}; delete it, and the features are computed again"),
        source: None,
    };
    let bytes = map_file(&file).map_err(|e| Error::io("map", path, e))?;
    let length = match bytes.get(..START).map(<[u8]>::as_chunks::<8>) {
        Some(([magic, length], _)) if magic == MAGIC => u64::from_le_bytes(*length),
        _ => {
            let what = what_instead_of_binary(&bytes);
            let found = what.map_or(String::new(), |what| format!(", but {what}"));
            return Err(fail(format!("this is no file of kept features{found}")));
        }
    };
    let cut = |expected: &dyn std::fmt::Display| {
        fail(format!(
            "the file is cut off or damaged: it has {} bytes, expected {expected}",
            bytes.len()
        ))
    };
    let text = usize::try_from(length)
        .ok()
        .and_then(|length| bytes.get(START..START.checked_add(length)?))
        .ok_or_else(|| cut(&format!("a header of {length}")))?;
    let damaged = |e: serde_json::Error| fail(format!("its header is damaged: {e}"));
    // The version first: the header of another one may look otherwise.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let Version { format } = serde_json::from_slice(text).map_err(damaged)?;
    if format != FORMAT {
        return Err(fail(format!(
            "features of format {format}; this version of hydranet reads format {FORMAT}"
        )));
    }
    let header: Header = serde_json::from_slice(text).map_err(damaged)?;
    if (header.num_features, &header.extractor) != (width, extractor) {
        return Err(fail(
            "these are features of another backbone, other weights or another input; the file was probably renamed".into(),
        ));
    }
    let start = START + text.len();
    let end = (header.rows.len() * 4)
        .checked_mul(width)
        .and_then(|n| n.checked_add(start))
        .filter(|end| end.checked_add(END) == Some(bytes.len()))
        .ok_or_else(|| cut(&format!("{} rows of {width} values", header.rows.len())))?;
    if Sha256::digest(&bytes[..end])[..] != bytes[end..] {
        return Err(fail("the file is damaged: its checksum is wrong".into()));
    }
    if header
        .rows
        .iter()
        .any(|Key(_, view)| *view >= header.views.len())
    {
        return Err(fail("a row is of a view that is not listed".into()));
    }
    let mapped = Mapped {
        bytes,
        start,
        end,
        width,
    };
    Ok(Some((header, mapped)))
}

/// Writes a file with the rows of `old` and then the `new` ones, to a sibling first, then renamed; gives its rows, mapped.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn write(
    path: &Path,
    header: &Header,
    old: Option<&Mapped>,
    new: &[f32],
) -> Result<Mapped> {
    let mut text = serde_json::to_vec(header).map_err(|e| Error::Checkpoint {
        origin: path.display().to_string(),
        problem: "its header cannot be written as JSON".into(),
        source: Some(e.into()),
    })?;
    // Rows begin at a multiple of 64 bytes, for readers that want them in place; JSON may end in spaces.
    text.resize((START + text.len()).next_multiple_of(64) - START, b' ');
    let start = START + text.len();
    let file = write_atomically_with(path, |file| {
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update(bytes);
            file.write_all(bytes)
        };
        put(MAGIC)?;
        put(&(text.len() as u64).to_le_bytes())?;
        put(&text)?;
        // In pieces, so that each is still in the processor's cache when it is written.
        for piece in old.into_iter().flat_map(|old| old.all().chunks(1 << 18)) {
            put(piece)?;
        }
        for piece in new.chunks(1 << 16) {
            let bytes: Vec<u8> = piece.iter().flat_map(|v| v.to_le_bytes()).collect();
            put(&bytes)?;
        }
        let sum = hash.finalize();
        file.write_all(&sum)
    })?;
    // The file just written, not what has its name by now: another process may have put its own there.
    let bytes = map_file(&file).map_err(|e| Error::io("map", path, e))?;
    let end = bytes.len() - END;
    Ok(Mapped {
        bytes,
        start,
        end,
        width: header.num_features,
    })
}
