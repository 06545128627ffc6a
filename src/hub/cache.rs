//! The folder of files fetched, laid out as Python's `huggingface_hub` does: contents by their hashes, commits as folders of
//! links to them, branches and tags as files with a commit.

use super::source::Source;
use std::io;
use std::path::{Path, PathBuf};

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

    /// Where a file is, if it is there.
    pub fn find(&self, file: &str, revision: &str) -> Option<PathBuf> {
        let path = if is_commit(revision) {
            self.place(file, revision)
        } else {
            let commit = std::fs::read_to_string(self.branch(revision)).ok()?;
            self.place(file, commit.trim())
        };
        path.exists().then_some(path)
    }

    /// Gives the content `blob` its name in a commit, and the commit the name of `revision`.
    pub fn name(
        &self,
        file: &str,
        commit: &str,
        revision: &str,
        blob: &str,
    ) -> io::Result<PathBuf> {
        let path = self.place(file, commit);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Under another name first, so that nobody finds half a copy.
        let fresh = path.with_file_name(format!(".{blob}.{}", std::process::id()));
        let up = "../".repeat(2 + file.matches('/').count());
        if link(&format!("{up}blobs/{blob}"), &fresh).is_err() {
            std::fs::copy(self.blobs().join(blob), &fresh)?;
        }
        std::fs::rename(&fresh, &path)?;
        if !is_commit(revision) {
            let branch = self.branch(revision);
            std::fs::create_dir_all(self.folder.join("refs"))?;
            std::fs::write(branch, commit)?;
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
