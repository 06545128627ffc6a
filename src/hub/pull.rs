//! All files of a repository on the Hub, into a folder.

use super::cache::Cache;
use super::repository::{REMEDY, Remote, Repository};
use super::settings::{Hub, OFFLINE, Tell};
use super::source::{Source, is_plain};
use crate::error::{Error, HubErrorKind, Remedy, Result};
use crate::io::lock::OutputLock;
use crate::io::partial::folder_of;
use crate::tensors::hash::{self, hexadecimal};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The most files of a repository that are fetched.
const MOST: usize = 100_000;

/// What [`pull`] did.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The commit the files are of.
    pub commit: String,
    /// Name and bytes of each file, sorted by name.
    pub files: Vec<(String, u64)>,
}

/// Fetches every file of `hf://organisation/name` or `hf://organisation/name@revision` into the folder `out`, but no hidden ones
/// (such as the `.gitattributes` that the Hub puts into each repository): what [`push`](super::push) uploads comes back as it
/// was.
///
/// Files go through the cache, so that an interrupted pull goes on where it stopped, and then to a folder beside `out` that gets
/// its name when it is complete. With `overwrite`, a folder that is there is replaced with everything in it.
///
/// # Errors
/// [`Error::Invalid`] if `from` is not of this form, or if `out` is a file, the working folder, or a folder that is not empty and
/// may not be overwritten; [`Error::Io`] if it cannot be written; [`Error::Hub`] that says what was tried and what to do.
pub fn pull(hub: &Hub, from: &str, out: &Path, overwrite: bool, tell: Tell) -> Result<Pulled> {
    let source = Source::repository(from)?;
    // Without a slash at its end.
    let out = &out.components().collect::<PathBuf>();
    check_out(out, overwrite)?;
    if hub.offline {
        return Err(source.fail(
            HubErrorKind::Offline,
            format!("{OFFLINE}, and the Hub must be asked which files there are; {REMEDY}"),
        ));
    }
    let repo = Repository::open(hub, &source)?;
    // All of one commit, even if someone pushes meanwhile.
    let commit = repo.commit()?;
    let hidden = |r: &Remote| r.path.split('/').any(|p| p.starts_with('.'));
    let mut files = repo.files(&commit, MOST + 1)?;
    if files.len() > MOST {
        return Err(source.fail(
            HubErrorKind::Invalid,
            format!("it has more than {MOST} files"),
        ));
    }
    files.retain(|r| !hidden(r));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let leads_out = |r: &&Remote| !r.path.split('/').all(is_plain);
    if let Some(remote) = files.iter().find(leads_out) {
        return Err(source.fail(
            HubErrorKind::Corrupt,
            format!(
                "its file `{}` has a name that may lead out of the folder",
                remote.path
            ),
        ));
    }
    if files.is_empty() {
        return Err(source.fail(
            HubErrorKind::NotFound,
            format!("there are no files in revision {}", source.revision),
        ));
    }
    let sum = |sum: u64, r: &Remote| sum.checked_add(r.size);
    let total = files.iter().try_fold(0, sum);
    let total = total.ok_or_else(|| {
        source.fail(
            HubErrorKind::Corrupt,
            "its files are said to be larger than any are",
        )
    })?;
    let mut before = 0;
    let cache = Cache::new(&hub.folder(), &source);
    let mut cached = Vec::new();
    for remote in &files {
        cached.push(match cache.find(&remote.path, &commit, Some(remote.size)) {
            Some(path) => path,
            None => {
                let mut tell = |done: u64| tell(before + done.min(remote.size), total);
                repo.bring(&cache, remote, (&commit, &commit), &mut tell)?
            }
        });
        before += remote.size;
        tell(before, total);
    }

    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
    }
    let _lock = OutputLock::take(out)?;
    remove_left(out)?;
    check_out(out, overwrite)?;
    let folder = Beside::new(out, "partial")?;
    for (remote, path) in files.iter().zip(&cached) {
        let hash = copy(path, &folder.0.join(&remote.path))?;
        if let Some(wanted) = remote.sha256.as_ref().filter(|wanted| **wanted != hash) {
            let path = path.canonicalize().unwrap_or(path.clone());
            return Err(source.fail(HubErrorKind::Corrupt, format!(
                "the content of {} is not what the Hub says it is: expected SHA-256 {wanted}, found {hash}; remove {} and pull again",
                remote.path,
                path.display()
            )));
        }
    }
    folder.replace(out)?;
    Ok(Pulled {
        commit,
        files: files.into_iter().map(|r| (r.path, r.size)).collect(),
    })
}

/// Refuses a folder that must not be replaced.
fn check_out(out: &Path, overwrite: bool) -> Result<()> {
    let what = || format!("the folder {}", out.display());
    let refuse = |found: &str| {
        Err(Error::Invalid {
            what: what(),
            expected: "a new or empty one".into(),
            found: found.into(),
        })
    };
    let io = |e| Error::io("read", out, e);
    if out.file_name().is_none() {
        return refuse("a path without a name");
    }
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return refuse("a file");
    }
    let here = std::env::current_dir().map_err(io)?;
    if here.starts_with(out.canonicalize().map_err(io)?) {
        return refuse("the working folder");
    }
    if !overwrite && out.read_dir().map_err(io)?.next().is_some() {
        Err(Error::Refused {
            what: what(),
            expected: "a new or empty one, or leave to overwrite it".into(),
            found: "one with files in it".into(),
            remedy: Remedy::Overwrite,
        })
    } else {
        Ok(())
    }
}

/// What the names of folders beside this one begin with: nobody else's do.
fn prefix(of: &Path) -> String {
    let name = of.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.hydranet-pull-")
}

/// Puts in order what a pull into this folder left that was killed: an old folder that was to be replaced and was not gets its
/// name back, and halves go away. The lock is held.
fn remove_left(out: &Path) -> Result<()> {
    let prefix = prefix(out);
    let numbered = |name: &str, end: &str| {
        let process = name.strip_prefix(&prefix).and_then(|n| n.strip_suffix(end));
        process.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
    };
    for entry in std::fs::read_dir(folder_of(out))
        .into_iter()
        .flatten()
        .flatten()
    {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        let (half, old) = (numbered(&name, ".partial"), numbered(&name, ".old"));
        if !(half || old) || !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        let aside = path.join("folder");
        if old && aside.is_dir() && !out.exists() {
            std::fs::rename(&aside, out).map_err(|e| Error::io("write", out, e))?;
        }
        let _ = std::fs::remove_dir_all(&path);
    }
    Ok(())
}

/// A folder beside another, which goes away with this value.
struct Beside(PathBuf);

impl Beside {
    fn new(of: &Path, what: &str) -> Result<Self> {
        let path = of.with_file_name(format!("{}{}.{what}", prefix(of), std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| Error::io("create", &path, e))?;
        Ok(Self(path))
    }

    /// Gets the name of `out`, and what was there goes away.
    fn replace(self, out: &Path) -> Result<()> {
        let failed = |e| Error::io("write", out, e);
        if !out.exists() {
            return std::fs::rename(&self.0, out).map_err(failed);
        }
        let old = Self::new(out, "old")?;
        let aside = old.0.join("folder");
        std::fs::rename(out, &aside).map_err(failed)?;
        std::fs::rename(&self.0, out).map_err(|e| {
            if std::fs::rename(&aside, out).is_err() {
                // What was there is kept, under its other name.
                std::mem::forget(old);
            }
            failed(e)
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Copies a file and gives the hash of its content.
fn copy(from: &Path, to: &Path) -> Result<String> {
    let failed = |e| Error::io("write", to, e);
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut source = File::open(from).map_err(|e| Error::io("read", from, e))?;
    let mut file = File::create(to).map_err(failed)?;
    let hash = hash::copy(&mut source, &mut file).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(hexadecimal(hash))
}
