//! One repository on the Hub: how it is asked, and what its refusals mean.

use super::download::Download;
use super::{Hub, REMEDY, Source};
use crate::error::{Error, Result};
use hf_hub::progress::{DownloadEvent, Progress, ProgressEvent, ProgressHandler, UploadEvent};
use hf_hub::repository::{RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// A repository that can be asked.
pub(super) struct Repository<'a> {
    source: &'a Source<'a>,
    pub client: HFClientSync,
    pub model: HFRepositorySync<RepoTypeModel>,
    pub endpoint: String,
    pub cache: PathBuf,
    part: u64,
}

/// A file in a repository.
pub(super) struct Remote {
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Git's name of the content.
    oid: String,
    /// Stored apart from git.
    apart: bool,
    xet: bool,
}

impl Remote {
    pub fn of(entry: RepoTreeEntry) -> Option<Self> {
        match entry {
            RepoTreeEntry::File {
                path,
                size,
                oid,
                lfs,
                xet_hash,
                ..
            } => Some(Self {
                path,
                size,
                oid,
                apart: lfs.is_some(),
                xet: xet_hash.is_some(),
            }),
            RepoTreeEntry::Directory { .. } => None,
        }
    }
}

impl<'a> Repository<'a> {
    pub fn open(hub: &Hub, source: &'a Source<'a>) -> Result<Self> {
        let mut client = HFClient::builder();
        if let Some(endpoint) = &hub.endpoint {
            client = client.endpoint(endpoint);
        }
        if let Some(cache) = &hub.cache {
            client = client.cache_dir(cache);
        }
        if let Some(token) = &hub.token {
            client = client.token(token);
        }
        let client = client.build().map_err(|e| source.fail(e))?;
        let (endpoint, cache) = (
            client.endpoint().to_string(),
            client.cache_dir().to_path_buf(),
        );
        let client = HFClientSync::from_inner(client).map_err(|e| source.fail(e))?;
        Ok(Self {
            source,
            model: client.model(source.owner, source.name),
            client,
            endpoint,
            cache,
            part: hub.part.max(1),
        })
    }

    /// Where a file is in the cache.
    pub fn cached(&self, file: &str, revision: &str) -> Option<PathBuf> {
        let lookup = self.model.download_file().filename(file);
        let lookup = lookup.revision(revision).local_files_only(true);
        lookup.send().ok()
    }

    /// Fetches a file of `commit` into the cache, under the name of `revision`; `tell` hears how many bytes are there.
    pub fn bring(
        &self,
        remote: &Remote,
        commit: &str,
        revision: &str,
        tell: &mut dyn FnMut(u64),
    ) -> Result<PathBuf> {
        if !remote.xet {
            let download = Download {
                repo: &self.model,
                file: &remote.path,
                commit,
                size: remote.size,
                part: self.part,
            };
            // The cache names a file by its hash: of its content if it is stored apart, else git's.
            let folder = format!("models--{}--{}", self.source.owner, self.source.name);
            let blobs = self.cache.join(folder).join("blobs");
            let oid = (!remote.apart).then_some(remote.oid.as_str());
            download
                .run(&blobs, oid, tell)
                .map_err(|problem| self.source.fail(problem))?;
        }
        // Finds the content there (or fetches it, if the server says that its hash is another) and gives it its name.
        let name = self.model.download_file().filename(&remote.path);
        let name = name.revision(revision);
        if remote.xet {
            watch(|progress| name.progress(progress).send(), tell)
        } else {
            name.send()
        }
        .map_err(|e| self.refused(e))
    }

    /// What the Hub's answer to a reader means, and what to do.
    pub fn refused(&self, error: HFError) -> Error {
        let at = &self.endpoint;
        self.source.fail(match &error {
            HFError::AuthRequired { .. } => format!(
                "{at} answers 401: there is no such repository, or it is private or gated; check its name, or set HF_TOKEN to a token that may read it"
            ),
            HFError::Forbidden { .. } => format!(
                "{at} answers 403: the token may not read it; ask for access on the repository's page"
            ),
            HFError::RevisionNotFound { revision, .. } => format!(
                "{at} answers 404: there is no such repository, or it has no revision {revision}"
            ),
            HFError::Request { source, .. } => format!("{}; {REMEDY}", self.unreached(source)),
            other => format!("{at}: {other}"),
        })
    }

    /// Says why the Hub cannot be reached: the deepest reason.
    pub fn unreached(&self, error: &dyn std::error::Error) -> String {
        let mut reason = error;
        while let Some(deeper) = reason.source() {
            reason = deeper;
        }
        format!("{} cannot be reached ({reason})", self.endpoint)
    }
}

/// Runs a transfer on a thread of its own, and tells on this one how many bytes are done.
pub(super) fn watch<T: Send>(
    transfer: impl FnOnce(Progress) -> T + Send,
    tell: &mut dyn FnMut(u64),
) -> T {
    struct Count(Arc<AtomicU64>);
    impl ProgressHandler for Count {
        fn on_progress(&self, event: &ProgressEvent) {
            let (ProgressEvent::Upload(UploadEvent::Progress {
                bytes_completed, ..
            })
            | ProgressEvent::Download(DownloadEvent::AggregateProgress {
                bytes_completed, ..
            })) = event
            else {
                return;
            };
            self.0.store(*bytes_completed, Ordering::Relaxed);
        }
    }
    let count = Arc::new(AtomicU64::new(0));
    let progress = Progress::new(Count(count.clone()));
    let (done, waiting) = sync_channel::<()>(0);
    std::thread::scope(|scope| {
        let transfer = scope.spawn(move || {
            // Dropped at the end, and that ends the waiting.
            let _done = done;
            transfer(progress)
        });
        let pause = Duration::from_millis(100);
        while waiting.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            tell(count.load(Ordering::Relaxed));
        }
        transfer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
