//! One file from the Hub.

use super::cache::Cache;
use super::repository::{REMEDY, Remote, Repository};
use super::settings::{Hub, OFFLINE};
use super::source::Source;
use crate::error::{HubErrorKind, Result};
use std::path::PathBuf;

/// How many files of a repository are named where the one looked for is missing.
const NAMED: usize = 40;

impl Hub {
    /// The file of `hf://organisation/name`, `hf://organisation/name@revision` or either with `/file` behind it; without a file
    /// named, `model.safetensors`, or else `pytorch_model.bin`.
    ///
    /// What is in the cache is taken without asking the Hub. An interrupted download goes on where it stopped; the
    /// SHA-256 of large files is checked.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if `source` is not of this form,
    /// [`Error::Hub`](crate::Error::Hub) that says what was tried and what to do,
    /// [`Error::Io`](crate::Error::Io) if the cache cannot be written.
    pub fn fetch(&self, source: &str) -> Result<PathBuf> {
        let source = Source::parse(source)?;
        let folder = self.folder();
        let cache = Cache::new(&folder, &source);
        let files = source.files();
        let cached = |file: &String| cache.find(file, source.revision, None);
        if let Some(path) = files.iter().find_map(cached) {
            return Ok(path);
        }
        if self.offline {
            return Err(source.fail(
                HubErrorKind::Offline,
                format!(
                    "{OFFLINE}, and {} of revision {} is not in the cache {}; {REMEDY}",
                    files.join(" or "),
                    source.revision,
                    folder.display()
                ),
            ));
        }
        let repo = Repository::open(self, &source)?;
        let commit = repo.commit()?;
        let there = repo.some(&commit, &files)?;
        let found = |file: &String| there.iter().find(|r: &&Remote| r.path == *file);
        let Some(remote) = files.iter().find_map(found) else {
            let named = repo.files(&commit, NAMED + 1)?;
            let mut names: Vec<&str> = named.iter().map(|r| r.path.as_str()).collect();
            if names.len() > NAMED {
                names.truncate(NAMED);
                names.push("…");
            }
            return Err(source.fail(
                HubErrorKind::NotFound,
                format!(
                    "the repository has no {} in revision {}; its files are: {}",
                    files.join(" or "),
                    source.revision,
                    names.join(", ")
                ),
            ));
        };
        repo.bring(&cache, remote, (&commit, source.revision), &mut |_| ())
    }
}
