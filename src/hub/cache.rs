//! The folder of files fetched, laid out as Python's `huggingface_hub` does: contents by their hashes, commits as folders of
//! links to them, branches and tags as files with a commit.

use super::source::Source;
use crate::error::{Error, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// One repository's part of the cache.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub fn new(root: &Path, source: &Source) -> Self {
        let folder = format!("models--{}--{}", source.owner, source.name);
        Self {
            folder: root.join(folder),
        }
    }

    /// The folder of contents.
    pub fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    /// Where a file is, if it is there and has this size.
    pub fn find(&self, file: &str, revision: &str, size: Option<u64>) -> Option<PathBuf> {
        let path = if is_commit(revision) {
            self.place(file, revision)
        } else {
            let commit = std::fs::read_to_string(self.branch(revision)).ok()?;
            self.place(file, commit.trim())
        };
        let found = path.metadata().ok()?.len();
        (size.unwrap_or(found) == found).then_some(path)
    }

    /// Gives the content `blob` its name in a commit, and the commit the name of `revision`.
    pub fn name(&self, file: &str, commit: &str, revision: &str, blob: &str) -> Result<PathBuf> {
        // Two threads may name the same content at once, as two processes may.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |e| Error::io("write", self.blobs(), e);
        let path = self.place(file, commit);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // Under another name first, so that nobody finds half a copy.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let fresh = path.with_file_name(format!(".{blob}.{}-{count}", std::process::id()));
        // One that a killed process left is a link to the content, and copying would go through it.
        let _ = std::fs::remove_file(&fresh);
        let up = "../".repeat(2 + file.matches('/').count());
        match link(&format!("{up}blobs/{blob}"), &fresh) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
            Err(_) => std::fs::copy(self.blobs().join(blob), &fresh).map(drop),
            Ok(()) => Ok(()),
        }
        .and_then(|()| std::fs::rename(&fresh, &path))
        .map_err(failed)?;
        if !is_commit(revision) {
            let branch = self.branch(revision);
            std::fs::create_dir_all(self.folder.join("refs")).map_err(failed)?;
            crate::io::write_atomically(&branch, commit.as_bytes())?;
        }
        Ok(path)
    }

    fn place(&self, file: &str, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(file)
    }

    fn branch(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }
}

/// Whether a revision is a commit itself, and no name of one.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(unix)]
fn link(to: &str, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

/// Links need a right there that users seldom have.
#[cfg(not(unix))]
fn link(_: &str, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_name_the_same_content_leave_it_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::parse("hf://someone/a-network").unwrap();
        let cache = Cache::new(dir.path(), &source);
        let blob = cache.blobs().join("content");
        std::fs::create_dir_all(cache.blobs()).unwrap();
        std::fs::write(&blob, b"content").unwrap();
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..100 {
                        cache.name("file", "commit", "main", "content").unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read(&blob).unwrap(), b"content");
        let find = |size| cache.find("file", "main", size);
        assert!(find(None).is_some() && find(Some(7)).is_some() && find(Some(8)).is_none());
    }
}
