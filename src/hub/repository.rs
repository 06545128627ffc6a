//! One repository on the Hub: how it is asked, and what its refusals mean.

use super::address::encode;
use super::cache::{Cache, is_commit};
use super::call::{Call, Failure};
use super::client::Client;
use super::download::{Download, Stopped, is_there};
use super::settings::Hub;
use super::source::Source;
use crate::error::{Error, HubErrorKind, Result};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;

/// What to do without a network.
pub(super) const REMEDY: &str =
    "without a network, fetch the file elsewhere and give its path instead";

/// How many pages a list of files has at most: a server may name the next one without end.
const PAGES: usize = 1000;

/// The media type of what the Hub is told.
pub(super) const JSON: &str = "application/json";

/// A repository that can be asked.
pub(super) struct Repository<'a> {
    pub source: &'a Source<'a>,
    pub client: Client,
}

/// A file in a repository.
pub(super) struct Remote {
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// The hash of the content, if it is stored apart from git.
    pub sha256: Option<String>,
    /// What the content is called in the cache: this hash, or git's.
    blob: String,
}

/// A commit.
#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
}

/// A file or a folder in a list of the Hub's.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: String,
    lfs: Option<Apart>,
}

#[derive(Deserialize)]
struct Apart {
    oid: String,
}

impl Entry {
    fn file(self) -> Option<Remote> {
        let sha256 = self.lfs.map(|apart| apart.oid);
        (self.kind == "file").then(|| Remote {
            path: self.path,
            size: self.size,
            blob: sha256.clone().unwrap_or(self.oid),
            sha256,
        })
    }
}

impl<'a> Repository<'a> {
    pub fn open(hub: &Hub, source: &'a Source<'a>) -> Result<Self> {
        let client = Client::new(hub.address(), hub.access_token());
        Ok(Self {
            source,
            client: client.map_err(|problem| source.fail(HubErrorKind::Invalid, problem))?,
        })
    }

    /// "organisation/name" as it stands in addresses.
    pub fn id(&self) -> String {
        let source = self.source;
        format!("{}/{}", encode(source.owner), encode(source.name))
    }

    /// An address of the Hub's interface for programs, of this repository at a revision.
    pub fn api(&self, what: &str, revision: &str) -> String {
        let (at, id) = (self.client.endpoint(), self.id());
        format!("{at}/api/models/{id}/{what}/{}", encode(revision))
    }

    /// Which commit the revision asked for is.
    pub fn commit(&self) -> Result<String> {
        let revision = self.source.revision;
        let url = self.api("revision", revision) + "?expand=sha";
        let info = self.client.json(&mut Call::get(&url));
        let info: Info = info.map_err(|e| self.refused(e))?;
        info.sha.filter(|sha| is_commit(sha)).ok_or_else(|| {
            self.source.fail(
                HubErrorKind::Corrupt,
                format!(
                    "{} does not say which commit revision {revision} is",
                    self.client.endpoint()
                ),
            )
        })
    }

    /// Those of these files that a commit has.
    pub fn some(&self, commit: &str, paths: &[String]) -> Result<Vec<Remote>> {
        let url = self.api("paths-info", commit);
        let body = json!({ "paths": paths }).to_string();
        let entries = self
            .client
            .json(&mut Call::post(&url, JSON, body.as_bytes()));
        let entries: Vec<Entry> = entries.map_err(|e| self.refused(e))?;
        Ok(entries.into_iter().filter_map(Entry::file).collect())
    }

    /// The first files of a commit: at least `most` of them, if it has so many.
    pub fn files(&self, commit: &str, most: usize) -> Result<Vec<Remote>> {
        let mut files = Vec::new();
        let mut next = Some(self.api("tree", commit) + "?recursive=true");
        for _ in 0..=PAGES {
            let Some(url) = next.filter(|_| files.len() < most) else {
                return Ok(files);
            };
            let (entries, further) = self
                .client
                .page::<Vec<Entry>>(&url)
                .map_err(|e| self.refused(e))?;
            files.extend(entries.into_iter().filter_map(Entry::file));
            next = further;
        }
        Err(self.source.fail(
            HubErrorKind::Invalid,
            format!(
                "{} lists its files on more than {PAGES} pages",
                self.client.endpoint()
            ),
        ))
    }

    /// Fetches a file of `commit` into the cache, under the name of `revision`; `tell` hears how many bytes are there.
    pub fn bring(
        &self,
        cache: &Cache,
        remote: &Remote,
        (commit, revision): (&str, &str),
        tell: &mut dyn FnMut(u64),
    ) -> Result<PathBuf> {
        let (path, blob) = (&remote.path, &remote.blob);
        if blob.is_empty() || !blob.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(self.source.fail(
                HubErrorKind::Corrupt,
                format!("the Hub names a file by `{blob}`; expected a hash"),
            ));
        }
        let blobs = cache.blobs();
        if !is_there(&blobs.join(blob), remote.size) {
            let file: Vec<String> = path.split('/').map(encode).collect();
            let (at, id) = (self.client.endpoint(), self.id());
            let download = Download {
                client: &self.client,
                url: format!("{at}/{id}/resolve/{}/{}", encode(commit), file.join("/")),
                file: path,
                blob,
                sha256: remote.sha256.as_deref(),
                size: remote.size,
            };
            download.run(&blobs, tell).map_err(|e| match e {
                Stopped::Here(error) => error,
                Stopped::There(kind, problem) => self.source.fail(kind, problem),
            })?;
        }
        cache.name(path, commit, revision, blob)
    }

    /// What the Hub's answer to a reader means, and what to do.
    pub fn refused(&self, failure: Failure) -> Error {
        let at = self.client.endpoint();
        self.source.fail(failure.kind(), match failure {
            Failure::Refused { status: 401, .. } => format!(
                "{at} answers 401: there is no such repository, or it is private or gated; check its name, or set HF_TOKEN to a token that may read it"
            ),
            Failure::Refused { status: 403, .. } => format!(
                "{at} answers 403: the token may not read it; ask for access on the repository's page"
            ),
            Failure::Refused { status: 404, .. } => format!(
                "{at} answers 404: there is no such repository, or it has no revision {}",
                self.source.revision
            ),
            Failure::Unreached(reason) => format!("{at} cannot be reached ({reason}); {REMEDY}"),
            other => format!("{at}: {other}"),
        })
    }
}
