//! Reading files that users name: a file is needed, its size is bounded, and what is wrong with it is said.

use crate::error::{Error, Result};
use crate::location::is_remote;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const MIB: u64 = 1 << 20;
/// The largest settings, heads and experiments, written by hand.
pub(crate) const SETTINGS: u64 = 16 * MIB;
/// The largest records and manifests, written by programs.
pub(crate) const RECORD: u64 = 1024 * MIB;
/// The largest listings and corrections.
pub(crate) const LISTING: u64 = 8192 * MIB;
/// The largest models and weights.
pub(crate) const WEIGHTS: u64 = 128 * 1024 * MIB;

/// The most that is read beyond the size a file says it has.
const UNSAID: u64 = 1024 * MIB;

/// What pipes have given that this process was handed. They can be read once, and some files are asked for more than once.
static GIVEN: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Opens a file for reading, and says how large it is. What is no file is refused before it is opened, for a pipe without a
/// writer would never open and a device never end.
///
/// # Errors
/// [`Error::Io`]; where nothing is there, it says what is there by a similar name.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    if is_remote(path) {
        return Err(elsewhere(path));
    }
    let about = std::fs::metadata(path).map_err(|e| missing(path, e))?;
    check(path, &about)?;
    let mut options = File::options();
    // Some of the system's own files look like files and wait for more.
    #[cfg(all(unix, feature = "cli"))]
    if about.is_file() {
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    }
    let file = options.read(true).open(path);
    Ok((file.map_err(|e| missing(path, e))?, about.len()))
}

/// As [`open`], for a file of at most `most` bytes.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_within(path: &Path, most: u64) -> Result<(File, u64)> {
    let (file, size) = open(path)?;
    if size > most {
        Err(refused(
            path,
            format!(
                "at most {} MiB are read of such a file, found {} MiB",
                most / MIB,
                size.div_ceil(MIB)
            ),
        ))
    } else {
        Ok((file, size))
    }
}

/// That something lies at a URL which is read from a file only.
fn elsewhere(path: &Path) -> Error {
    #[cfg(feature = "remote")]
    let reason = "such a file is read from this machine only; download it first";
    #[cfg(not(feature = "remote"))]
    let reason = crate::io::WITHOUT_REMOTE;
    Error::io("read", path, io::Error::new(ErrorKind::Unsupported, reason))
}

/// The content of a file of at most `most` bytes, here or in a store; that of a pipe is kept, and given again.
///
/// # Errors
/// As [`open`].
pub(crate) fn bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    if is_remote(path) {
        return crate::io::remote::bytes(path, most);
    }
    if path.is_file() || !is_given(path) {
        return read(path, most);
    }
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = given.get(path) {
        return Ok(bytes.clone());
    }
    let bytes = read(path, most)?;
    given.insert(path.into(), bytes.clone());
    Ok(bytes)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let (file, size) = open_within(path, most)?;
    let mut bytes = Vec::new();
    let failed = |e| Error::io("read", path, e);
    bytes
        .try_reserve_exact(size as usize)
        .map_err(|_| failed(io::Error::from(ErrorKind::OutOfMemory)))?;
    // Some of the system's own files say they are empty and hold more, and a pipe has no size: neither may fill the memory.
    let most = most.min(size + UNSAID);
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > most {
        Err(refused(
            path,
            format!("it says it has {size} bytes and goes on beyond {most}"),
        ))
    } else {
        Ok(bytes)
    }
}

/// The same of a file of text in UTF-8; a mark of byte order at its front is left out.
///
/// # Errors
/// As [`open`]; if it is not UTF-8, with the line.
pub(crate) fn text(path: &Path, most: u64) -> Result<String> {
    let mut text = String::from_utf8(bytes(path, most)?).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = 1 + e.as_bytes()[..valid]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        refused(
            path,
            format!("line {line} is not UTF-8; save the file as UTF-8 text"),
        )
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// An error of the system about a file that is to be read, with a hint where nothing is there.
pub(crate) fn missing(path: &Path, error: io::Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return Error::io("read", path, error);
    }
    let hint = match path.read_link() {
        Ok(to) => Some(format!(
            "it is a link to `{}`, which is not there",
            to.display()
        )),
        Err(_) => crate::io::hint::for_missing(path),
    };
    match hint {
        Some(hint) => {
            let text = format!("{error}; {hint}");
            Error::io("read", path, io::Error::new(ErrorKind::NotFound, text))
        }
        None => Error::io("read", path, error),
    }
}

fn refused(path: &Path, reason: String) -> Error {
    Error::io(
        "read",
        path,
        io::Error::new(ErrorKind::InvalidInput, reason),
    )
}

fn check(path: &Path, about: &Metadata) -> Result<()> {
    let kind = about.file_type();
    let found = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else {
        match special(&kind) {
            // One that this process has been given is open already, as standard input and what shells make of `<(…)`.
            "a named pipe" | "a socket" if is_given(path) => return Ok(()),
            special => special,
        }
    };
    Err(refused(path, format!("a file is needed, found {found}")))
}

fn is_given(path: &Path) -> bool {
    ["/dev/stdin", "/dev/fd", "/proc/self/fd"]
        .iter()
        .any(|given| path.starts_with(given))
}

#[cfg(unix)]
fn special(kind: &std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: &std::fs::FileType) -> &'static str {
    "something else"
}
