//! A folder or a model file, to a repository on the Hub.

use super::call::{Call, Failure};
use super::commit::commit;
use super::local::files;
use super::repository::{JSON, Repository};
use super::settings::{Hub, OFFLINE, Tell};
use super::source::Source;
use crate::error::{Error, HubErrorKind, Result};
use serde_json::json;
use std::path::Path;

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

/// Uploads a folder (all its files and those of the folders in it, but no hidden ones) or one model file (as `model.safetensors`)
/// to `hf://organisation/name` or `hf://organisation/name@branch`, as one commit: the repository has all of the files or none.
/// Files in it that bear other names stay. What the Hub keeps apart from git (large and binary files) goes up by the protocol of
/// Git LFS.
///
/// The commit depends on names and contents alone: files are sorted by name.
///
/// # Errors
/// [`Error::Invalid`] if `to` is not of this form, if there is no file to upload or a name that is not UTF-8, if `path` is a file
/// but no model file; [`Error::Io`] if one cannot be read; [`Error::Hub`] that says what is missing (a token, a network,
/// the repository, the right to write) and what to do. A repository that was created stays, empty, if the upload fails.
pub fn push(hub: &Hub, to: &str, path: &Path, create: Create, tell: Tell) -> Result<Pushed> {
    let source = Source::repository(to)?;
    let files = files(path)?;
    if hub.offline {
        return Err(source.fail(
            HubErrorKind::Offline,
            format!("{OFFLINE}, and nothing can be uploaded without a network"),
        ));
    }
    if hub.access_token().is_none() {
        return Err(source.fail(
            HubErrorKind::Forbidden,
            "there is no access token; make one that may write on the Hub's settings page and set HF_TOKEN to it",
        ));
    }
    let repo = Repository::open(hub, &source)?;
    let refused = |e| refused(&repo, create, e);
    if create != Create::No {
        make(&repo, create).map_err(refused)?;
    }
    let message = match &files[..] {
        [file] => format!("Upload {}", file.name),
        files => format!("Upload {} files", files.len()),
    };
    let total: u64 = files.iter().map(|f| f.size).sum();
    let mut most = 0;
    // What is sent again was counted before.
    let mut sent = |bytes: u64| {
        most = bytes.clamp(most, total);
        tell(most, total);
    };
    let commit = commit(&repo, &message, &files, &mut sent).map_err(refused)?;
    tell(total, total);
    Ok(Pushed {
        commit,
        page: format!("{}/{}", repo.client.endpoint(), repo.id()),
        files: files.into_iter().map(|f| (f.name, f.size)).collect(),
    })
}

/// Makes the repository if it is not there.
fn make(repo: &Repository, create: Create) -> std::result::Result<(), Failure> {
    let (at, source) = (repo.client.endpoint(), repo.source);
    let there = format!("{at}/api/models/{}", repo.id());
    match repo.client.send(&mut Call::get(&there)) {
        Err(Failure::Refused { status: 404, .. }) => {}
        answer => return answer.map(drop),
    }
    let body = json!({
        "name": source.name, "organization": source.owner, "type": "model", "private": create == Create::Private
    });
    let url = format!("{at}/api/repos/create");
    let body = body.to_string();
    let made = repo
        .client
        .send(&mut Call::post(&url, JSON, body.as_bytes()));
    match made {
        // Another process made it meanwhile.
        Err(Failure::Refused { status: 409, .. }) => Ok(()),
        made => made.map(drop),
    }
}

/// What the Hub's answer to a writer means, and what to do.
fn refused(repo: &Repository, create: Create, failure: Failure) -> Error {
    let (at, source) = (repo.client.endpoint(), repo.source);
    source.fail(failure.kind(), match failure {
        Failure::Local(error) => return error,
        Failure::Refused { status: 401, .. } => {
            format!("{at} answers 401: the token is not valid; set HF_TOKEN to one that may write")
        }
        Failure::Refused { status: 403, .. } => format!(
            "{at} answers 403: the token may not write to it; set HF_TOKEN to one with the right to write there"
        ),
        Failure::Refused { status: 404, .. } => {
            let remedy = match create {
                Create::No => "check its name, or have it made",
                _ => "make the branch on its page",
            };
            format!(
                "{at} answers 404: there is no such repository that this token sees, or it has no branch {}; {remedy}",
                source.revision
            )
        }
        Failure::Refused { status: 409, .. } => format!(
            "{at} answers 409: someone else changed the repository at the same time; push again"
        ),
        Failure::Unreached(reason) => format!(
            "{at} cannot be reached ({reason}); if it went away at the commit, that may have been made: look at the page, or push again, which sends nothing twice"
        ),
        other => format!("{at}: {other}"),
    })
}
