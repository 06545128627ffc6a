//! Weights from the Hugging Face Hub.

mod download;

use crate::error::{Error, Result};
use download::Download;
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFClientSync, HFError};
use std::path::PathBuf;

/// The files looked for in a repository, in this order.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What to do without a network.
const REMEDY: &str = "without a network, fetch the file elsewhere and give its path instead";

/// How the Hub is reached. What is `None` comes from the environment: `HF_ENDPOINT`; `HF_HUB_CACHE` or `HF_HOME`; `HF_TOKEN` or the
/// token that was logged in with.
#[derive(Clone, Debug)]
pub struct Hub {
    /// The server's address.
    pub endpoint: Option<String>,
    /// The folder of files fetched, the one Python's `huggingface_hub` uses.
    pub cache: Option<PathBuf>,
    /// The access token, for private and gated repositories.
    pub token: Option<String>,
    /// Take nothing that is not in the cache.
    pub offline: bool,
    /// Bytes asked for at once: what is lost when a download is interrupted.
    pub part: u64,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            endpoint: None,
            cache: None,
            token: None,
            offline: false,
            part: 16 << 20,
        }
    }
}

/// `hf://organisation/name`, then `@revision` or nothing, then `/file` or nothing.
#[derive(Debug)]
struct Source<'a> {
    text: &'a str,
    owner: &'a str,
    name: &'a str,
    revision: &'a str,
    file: Option<&'a str>,
}

impl<'a> Source<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let parse = || {
            let (owner, rest) = text.strip_prefix("hf://")?.split_once('/')?;
            let (name, file) = match rest.split_once('/') {
                Some((name, file)) => (name, Some(file)),
                None => (rest, None),
            };
            let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
            // None of them may lead out of its folder of the cache.
            let parts = file.into_iter().flat_map(|f| f.split('/'));
            let plain = |p: &str| !p.is_empty() && !p.starts_with('.') && !p.contains('\\');
            [owner, name, revision]
                .into_iter()
                .chain(parts)
                .all(plain)
                .then_some(Self {
                    text,
                    owner,
                    name,
                    revision,
                    file,
                })
        };
        parse().ok_or_else(|| Error::Invalid {
            what: "a source on the Hugging Face Hub".into(),
            expected: "hf://organisation/name, hf://organisation/name@revision or hf://organisation/name/file"
                .into(),
            found: format!("`{text}`"),
        })
    }

    /// The files that would do, the best first.
    fn files(&self) -> Vec<String> {
        match self.file {
            Some(file) => vec![file.into()],
            None => FILES.map(String::from).to_vec(),
        }
    }

    fn fail(&self, problem: impl std::fmt::Display) -> Error {
        Error::Checkpoint {
            origin: self.text.into(),
            problem: problem.to_string(),
        }
    }
}

impl Hub {
    /// As the environment says; `HF_HUB_OFFLINE=1` makes it offline.
    pub fn from_env() -> Self {
        let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
        let yes = ["1", "on", "yes", "true"];
        Self {
            offline: yes.contains(&offline.to_lowercase().as_str()),
            ..Self::default()
        }
    }

    /// The file of `hf://organisation/name`, `hf://organisation/name@revision` or either with `/file` behind it; without a file
    /// named, `model.safetensors`, or else `pytorch_model.bin`.
    ///
    /// What is in the cache is taken without asking the Hub. A file is fetched in parts, and an interrupted download goes on where
    /// it stopped; files in the Hub's Xet storage are fetched by its own client.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `source` is not of this form, [`Error::Checkpoint`] that says what was tried and what to do.
    pub fn fetch(&self, source: &str) -> Result<PathBuf> {
        let source = Source::parse(source)?;
        let mut client = HFClient::builder();
        if let Some(endpoint) = &self.endpoint {
            client = client.endpoint(endpoint);
        }
        if let Some(cache) = &self.cache {
            client = client.cache_dir(cache);
        }
        if let Some(token) = &self.token {
            client = client.token(token);
        }
        let client = client.build().map_err(|e| source.fail(e))?;
        let (endpoint, cache) = (
            client.endpoint().to_string(),
            client.cache_dir().to_path_buf(),
        );
        let client = HFClientSync::from_inner(client).map_err(|e| source.fail(e))?;
        let repo = client.model(source.owner, source.name);
        let cached = |file: &String| {
            let lookup = repo
                .download_file()
                .filename(file)
                .revision(source.revision);
            lookup.local_files_only(true).send().ok()
        };
        let files = source.files();
        if let Some(path) = files.iter().find_map(cached) {
            return Ok(path);
        }
        if self.offline {
            return Err(source.fail(format!(
                "HF_HUB_OFFLINE is set, and {} of revision {} is not in the cache {}; {REMEDY}",
                files.join(" or "),
                source.revision,
                cache.display()
            )));
        }
        let explain = |e: HFError| source.fail(explain(&e, &endpoint));
        let info = repo
            .info()
            .revision(source.revision)
            .expand(vec!["sha".into(), "siblings".into()])
            .send()
            .map_err(explain)?;
        let commit = info.sha.as_deref().unwrap_or(source.revision);
        let there = repo.get_paths_info().paths(files.clone()).revision(commit);
        let there = there.send().map_err(explain)?;
        let found = files.iter().find_map(|file| {
            let is_it =
                |e: &&RepoTreeEntry| matches!(e, RepoTreeEntry::File { path, .. } if path == file);
            there.iter().find(is_it)
        });
        let Some(RepoTreeEntry::File {
            path,
            size,
            oid,
            lfs,
            xet_hash,
            ..
        }) = found
        else {
            let siblings = info.siblings.unwrap_or_default();
            let names: Vec<&str> = siblings.iter().map(|s| s.rfilename.as_str()).collect();
            return Err(source.fail(format!(
                "the repository has no {} in revision {}; its files are: {}",
                files.join(" or "),
                source.revision,
                names.join(", ")
            )));
        };
        if xet_hash.is_none() {
            let download = Download {
                repo: &repo,
                file: path,
                commit,
                size: *size,
                part: self.part.max(1),
            };
            // The cache names a file by its hash: of its content if it is stored apart, else git's.
            let blobs = cache.join(format!("models--{}--{}/blobs", source.owner, source.name));
            let oid = lfs.is_none().then_some(oid.as_str());
            download
                .run(&blobs, oid)
                .map_err(|problem| source.fail(problem))?;
        }
        // Finds the content there (or fetches it, if the server says that its hash is another) and gives it its name.
        let name = repo
            .download_file()
            .filename(path)
            .revision(source.revision);
        name.send().map_err(explain)
    }
}

/// What the Hub's answer means, and what to do.
fn explain(error: &HFError, endpoint: &str) -> String {
    match error {
        HFError::AuthRequired { .. } => format!(
            "{endpoint} answers 401: there is no such repository, or it is private or gated; check its name, or set HF_TOKEN to a token that may read it"
        ),
        HFError::Forbidden { .. } => format!(
            "{endpoint} answers 403: the token may not read it; ask for access on the repository's page"
        ),
        HFError::RevisionNotFound { revision, .. } => format!(
            "{endpoint} answers 404: there is no such repository, or it has no revision {revision}"
        ),
        HFError::Request { source, .. } => {
            let mut reason: &dyn std::error::Error = source;
            while let Some(deeper) = reason.source() {
                reason = deeper;
            }
            format!("{endpoint} cannot be reached ({reason}); {REMEDY}")
        }
        other => format!("{endpoint}: {other}"),
    }
}
