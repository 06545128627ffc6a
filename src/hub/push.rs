//! A folder or a model file, to a repository on the Hub.

use super::repository::{Repository, watch};
use super::{Hub, Source, Tell};
use crate::error::{Error, Result};
use hf_hub::HFError;
use hf_hub::repository::{CommitOperation, RepoTypeModel};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of a model file that is pushed by itself.
const MODEL: &str = "model.safetensors";

/// What to do about a repository that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Refuse.
    No,
    /// Make one that everybody sees.
    Public,
    /// Make one that only its organisation sees.
    Private,
}

/// What [`push`] did.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The new commit.
    pub commit: String,
    /// The repository's page.
    pub page: String,
    /// Name in the repository and bytes of each file, in the order of the commit.
    pub files: Vec<(String, u64)>,
}

/// A file here and its name there.
struct Local {
    name: String,
    path: PathBuf,
    size: u64,
}

/// Uploads a folder (all its files and those of the folders in it, but no hidden ones) or one model file (as `model.safetensors`)
/// to `hf://organisation/name` or `hf://organisation/name@branch`, as one commit: the repository has all of the files or none. Files
/// in it that bear other names stay. What the Hub keeps apart from git (large and binary files) goes through its Xet storage.
///
/// The commit depends on names and contents alone: files are sorted by name.
///
/// # Errors
/// [`Error::Invalid`] if `to` is not of this form, if there is no file to upload or a name that is not UTF-8, if `path` is a file
/// but no model file; [`Error::Io`] if one cannot be read; [`Error::Checkpoint`] that says what is missing (a token, a network, the
/// repository, the right to write) and what to do. A repository that was created stays, empty, if the upload fails.
pub fn push(hub: &Hub, to: &str, path: &Path, create: Create, tell: Tell) -> Result<Pushed> {
    let source = Source::repository(to)?;
    let files = files(path)?;
    if hub.offline {
        return Err(
            source.fail("HF_HUB_OFFLINE is set, and nothing can be uploaded without a network")
        );
    }
    if !hub.has_token() {
        return Err(source.fail(
            "there is no access token; make one that may write on the Hub's settings page and set HF_TOKEN to it",
        ));
    }
    let repo = Repository::open(hub, &source)?;
    let refused = |e| refused(&repo, &source, create, e);
    if create != Create::No && !repo.model.exists().send().map_err(refused)? {
        let id = format!("{}/{}", source.owner, source.name);
        let request = repo.client.create_repository().repo_id(&id);
        // Another process may have made it meanwhile.
        let request = request.repo_type(RepoTypeModel).exist_ok(true);
        let private = create == Create::Private;
        request.private(private).send().map_err(refused)?;
    }
    let add = |f: &Local| CommitOperation::add_file(&f.name, &f.path);
    let message = match &files[..] {
        [file] => format!("Upload {}", file.name),
        files => format!("Upload {} files", files.len()),
    };
    let commit = repo
        .model
        .create_commit()
        .operations(files.iter().map(add).collect())
        .commit_message(message)
        .revision(source.revision);
    let total: u64 = files.iter().map(|f| f.size).sum();
    let commit = watch(|progress| commit.progress(progress).send(), &mut |done| {
        tell(done.min(total), total)
    })
    .map_err(refused)?;
    tell(total, total);
    Ok(Pushed {
        commit: commit.commit_oid.unwrap_or_default(),
        page: format!("{}/{}/{}", repo.endpoint, source.owner, source.name),
        files: files.into_iter().map(|f| (f.name, f.size)).collect(),
    })
}

/// What the Hub's answer to a writer means, and what to do.
fn refused(repo: &Repository, source: &Source, create: Create, error: HFError) -> Error {
    let at = &repo.endpoint;
    source.fail(match &error {
        HFError::AuthRequired { .. } => {
            format!("{at} answers 401: the token is not valid; set HF_TOKEN to one that may write")
        }
        HFError::Forbidden { .. } => format!(
            "{at} answers 403: the token may not write to it; set HF_TOKEN to one with the right to write there"
        ),
        HFError::RepoNotFound { .. } => {
            let remedy = match create {
                Create::No => "check its name, or have it made with --create",
                _ => "make the branch on its page",
            };
            format!(
                "{at} answers 404: there is no such repository that this token sees, or it has no branch {}; {remedy}",
                source.revision
            )
        }
        HFError::Conflict { .. } => format!(
            "{at} answers 409: someone else changed the repository at the same time; push again"
        ),
        HFError::Request { source, .. } => repo.unreached(source),
        other => format!("{at}: {other}"),
    })
}

/// The files to upload, sorted by name.
fn files(path: &Path) -> Result<Vec<Local>> {
    let metadata = path.metadata().map_err(|e| Error::io("read", path, e))?;
    if !metadata.is_dir() {
        check_model(path, metadata.len())?;
        return Ok(vec![Local {
            name: MODEL.into(),
            path: path.into(),
            size: metadata.len(),
        }]);
    }
    let mut files = Vec::new();
    collect(path, "", &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        Err(Error::Invalid {
            what: format!("the folder {}", path.display()),
            expected: "files to upload".into(),
            found: "none".into(),
        })
    } else {
        Ok(files)
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Local>) -> Result<()> {
    let failed = |e| Error::io("read", folder, e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| Error::Invalid {
            what: format!("the name of {}", path.display()),
            expected: "UTF-8".into(),
            found: "other bytes".into(),
        })?;
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        let failed = |e| Error::io("read", &path, e);
        let kind = entry.file_type().map_err(failed)?;
        // A linked file is its content, as in the Hub's cache; a linked folder may lead around in a circle.
        let metadata = path.metadata().map_err(failed)?;
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if metadata.is_file() {
            files.push(Local {
                name,
                size: metadata.len(),
                path,
            });
        } else {
            return Err(Error::Invalid {
                what: path.display().to_string(),
                expected: "a file or a folder".into(),
                found: "a link to a folder, or a device".into(),
            });
        }
    }
    Ok(())
}

/// A safetensors file begins with the length of its header, and the header with a brace.
fn check_model(path: &Path, size: u64) -> Result<()> {
    let mut start = [0; 9];
    let (mut file, _) = crate::io::read::open(path)?;
    let is_it = size >= 9;
    if is_it {
        file.read_exact(&mut start)
            .map_err(|e| Error::io("read", path, e))?;
    }
    let [length @ .., brace] = start;
    if is_it && brace == b'{' && u64::from_le_bytes(length) <= size - 8 {
        Ok(())
    } else {
        Err(Error::Invalid {
            what: path.display().to_string(),
            expected: "a folder or a model file (safetensors)".into(),
            found: "another file".into(),
        })
    }
}

impl Hub {
    /// Whether there is a token, looked for where the client looks for it.
    fn has_token(&self) -> bool {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let saved = |path: PathBuf| {
            crate::io::read::text(&path, crate::io::read::SETTINGS)
                .is_ok_and(|token| !token.trim().is_empty())
        };
        self.token.is_some()
            || variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_none()
                && (variable("HF_TOKEN").is_some()
                    || variable("HF_TOKEN_PATH").is_some_and(|p| saved(p.into()))
                    || saved(hf_hub::hf_home().join("token")))
    }
}
