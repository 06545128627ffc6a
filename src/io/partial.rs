//! Files that are seen whole or not at all: written under a name of their own, then renamed.
//!
//! While it is written, `NAME.PROCESS-COUNT.partial` is locked by its writer. One that can be locked is left over from a process
//! that was killed, and goes away when a file of this name is written next.

use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Times that a writer tries to have a file of its own that nobody else looks at.
const TRIES: usize = 100;

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never half of it:
/// to a sibling first, then renamed.
///
/// # Errors
/// [`Error::Io`] if the folder does not exist or cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically_with(path, |file| io::Write::write_all(file, bytes)).map(drop)
}

/// As [`write_atomically`], with what `write` writes; gives the file, open for reading too.
pub(crate) fn write_atomically_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<File> {
    super::check_writable(path)?;
    let failed = |e| Error::io("write", path, e);
    // A link stays one, and what is no file, a device or a pipe, is written into.
    let target = path.canonicalize().ok().filter(|_| path.is_symlink());
    let path = target.as_deref().unwrap_or(path);
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        let mut file = File::options().write(true).open(path).map_err(failed)?;
        write(&mut file).map_err(failed)?;
        return Ok(file);
    }
    if let Some(name) = path.file_name() {
        let name = format!("{}.", name.to_string_lossy());
        remove_left(folder_of(path), |found| {
            found.strip_prefix(&name).is_some_and(is_numbered)
        });
    }
    let (mut file, sibling) = begin(path).map_err(failed)?;
    let half = Half(&sibling);
    write(&mut file)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&sibling, path))
        .map_err(failed)?;
    std::mem::forget(half);
    let _ = file.unlock();
    Ok(file)
}

/// What is written of a file so far: it goes away where writing fails, by a panic too.
struct Half<'a>(&'a Path);

impl Drop for Half<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

/// As [`write_atomically`], with what `write` writes piece by piece, which may fail for other reasons than the file's.
#[cfg(feature = "train")]
pub(crate) fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&mut io::BufWriter<&mut File>) -> Result<()>,
) -> Result<()> {
    let mut failed = None;
    let written = write_atomically_with(path, |file| {
        let mut buffered = io::BufWriter::new(file);
        match write(&mut buffered) {
            Ok(()) => io::Write::flush(&mut buffered),
            Err(e) => {
                failed = Some(e);
                Err(io::Error::other("it is not whole"))
            }
        }
    });
    match failed {
        Some(e) => Err(e),
        None => written.map(drop),
    }
}

/// The folder that a file is in; `.` where its path names none.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A new sibling of a file, locked where the file system has locks.
fn begin(path: &Path) -> io::Result<(File, PathBuf)> {
    // Two threads may write the same file at once, as two processes may.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..TRIES {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut sibling = path.as_os_str().to_owned();
        sibling.push(format!(".{}-{count}.partial", std::process::id()));
        let sibling = PathBuf::from(sibling);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&sibling)?;
        match file.try_lock() {
            // Before it was locked, another process may have taken it for left over.
            Ok(()) if !is_at(&file, &sibling) => {}
            Err(TryLockError::WouldBlock) => {}
            _ => return Ok((file, sibling)),
        }
    }
    Err(io::Error::other(
        "another process removes what is being written",
    ))
}

/// Whether an open file still has this name.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Removes the halves of files whose names `is_it`, that no writer holds.
pub(crate) fn remove_left(folder: &Path, is_it: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|t| t.is_file());
        if !is_file || !is_it(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let file = File::options().write(true).open(&path);
        if let Ok(file) = file
            && file.try_lock().is_ok()
        {
            // Locked until it is gone, or else a writer that has just begun it would lose it. Whether it can be removed is of no
            // account to what is written.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Whether this is a name that [`write_atomically`] gives: `NAME.PROCESS-COUNT.partial`.
pub(crate) fn is_partial(name: &str) -> bool {
    let stem = name.strip_suffix(".partial").unwrap_or_default();
    let end = stem.rfind('.').map(|dot| &name[dot + 1..]);
    end.is_some_and(is_numbered)
}

/// Whether this is `PROCESS-COUNT.partial`.
fn is_numbered(end: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let numbers = end.strip_suffix(".partial").and_then(|n| n.split_once('-'));
    numbers.is_some_and(|(process, count)| digits(process) && digits(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_over_goes_and_what_is_being_written_stays() {
        let dir = std::env::temp_dir().join(format!("hydranet-partial-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let at = |name: &str| dir.join(name);
        for name in [
            "a.1-2.partial",
            "b.1-2.partial",
            "a.x.partial",
            "aa.1-2.partial",
            "a.1-3.partial",
        ] {
            std::fs::write(at(name), "half").unwrap();
        }
        let writer = File::options()
            .write(true)
            .open(at("a.1-3.partial"))
            .unwrap();
        writer.try_lock().unwrap();
        write_atomically(&at("a"), b"whole").unwrap();
        let mut names: Vec<String> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        std::fs::remove_dir_all(&dir).unwrap();
        let left = [
            "a",
            "a.1-3.partial",
            "a.x.partial",
            "aa.1-2.partial",
            "b.1-2.partial",
        ];
        assert_eq!(names, left);
    }

    #[cfg(unix)]
    #[test]
    fn a_result_goes_into_a_pipe_and_through_a_link_and_replaces_neither() {
        use std::os::unix::fs::FileTypeExt;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("old"), "old").unwrap();
        std::os::unix::fs::symlink(at("old"), at("link")).unwrap();
        write_atomically(&at("link"), b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read(at("old")).unwrap(), b"new");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(at("pipe"))
                .status()
                .unwrap()
                .success()
        );
        let pipe = at("pipe");
        let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        write_atomically(&at("pipe"), b"news").unwrap();
        assert_eq!(reader.join().unwrap(), b"news");
        assert!(at("pipe").metadata().unwrap().file_type().is_fifo());
    }
}
