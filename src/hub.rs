//! Weights from the Hugging Face Hub.

use crate::error::{Error, Result};
use hf_hub::repository::{RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The files looked for in a repository, in this order.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// How often a part of a file is asked for before it is given up.
const ATTEMPTS: usize = 3;

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

/// One file of a repository that is fetched in parts.
struct Download<'a> {
    repo: &'a HFRepositorySync<RepoTypeModel>,
    file: &'a str,
    commit: &'a str,
    size: u64,
    part: u64,
}

impl Download<'_> {
    /// Fetches what is not there yet, into the folder `blobs`, under `oid` or the hash of the content.
    fn run(&self, blobs: &Path, oid: Option<&str>) -> std::result::Result<(), String> {
        let partial = blobs.join(format!(
            "{}.{}.incomplete",
            self.commit,
            self.file.replace('/', "--")
        ));
        let failed = |e: std::io::Error| format!("cannot write {}: {e}", partial.display());
        std::fs::create_dir_all(blobs).map_err(failed)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(&partial)
            .map_err(failed)?;
        // Another process may be at it, and then it is there.
        file.lock().map_err(failed)?;
        if !partial.exists() {
            return Ok(());
        }
        let mut there = file.metadata().map_err(failed)?.len();
        if there > self.size {
            file.set_len(0).map_err(failed)?;
            there = 0;
        }
        while there < self.size {
            let part = self.fetch(there).map_err(|e| {
                format!(
                    "its file {} broke off after {there} of {} bytes: {e}; they are kept, and the next attempt goes on from there",
                    self.file, self.size
                )
            })?;
            file.write_all(&part).map_err(failed)?;
            there += part.len() as u64;
        }
        file.sync_all().map_err(failed)?;
        let name = match oid {
            Some(oid) => oid.to_string(),
            None => sha256(&mut file).map_err(failed)?,
        };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!("the Hub names a file by `{name}`; expected a hash"));
        }
        std::fs::rename(&partial, blobs.join(name)).map_err(failed)
    }

    /// The part from `start` on.
    fn fetch(&self, start: u64) -> std::result::Result<Vec<u8>, String> {
        let end = self.size.min(start + self.part);
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let part = self
                .repo
                .download_file_to_bytes()
                .filename(self.file)
                .revision(self.commit)
                .range(start..end);
            match part.send() {
                Ok(part) if part.len() as u64 == end - start => return Ok(part.to_vec()),
                // A server that knows no ranges sends all of it.
                Ok(whole) if whole.len() as u64 == self.size => {
                    return Ok(whole[start as usize..].to_vec());
                }
                Ok(part) => {
                    last = format!("{} bytes came instead of {}", part.len(), end - start);
                }
                Err(e) => last = e.to_string(),
            }
        }
        Err(last)
    }
}

fn sha256(file: &mut File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
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
