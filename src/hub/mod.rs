//! Weights from the Hugging Face Hub, and models to it and from it.

mod download;
mod pull;
mod push;
mod repository;

pub use pull::pull;
pub use push::{Create, push};

use crate::error::{Error, Result};
use repository::{Remote, Repository};
use std::path::PathBuf;

/// The files looked for in a repository, in this order.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What to do without a network.
const REMEDY: &str = "without a network, fetch the file elsewhere and give its path instead";

/// Hears of progress: bytes done, and of how many.
pub type Tell<'a> = &'a mut dyn FnMut(u64, u64);

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

    /// As [`Source::parse`], of a whole repository.
    fn repository(text: &'a str) -> Result<Self> {
        let source = Self::parse(text)?;
        match source.file {
            None => Ok(source),
            Some(_) => Err(Error::Invalid {
                what: "a repository on the Hugging Face Hub".into(),
                expected: "hf://organisation/name or hf://organisation/name@revision".into(),
                found: format!("`{text}`"),
            }),
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
        let repo = Repository::open(self, &source)?;
        let files = source.files();
        let cached = |file: &String| repo.cached(file, source.revision);
        if let Some(path) = files.iter().find_map(cached) {
            return Ok(path);
        }
        if self.offline {
            return Err(source.fail(format!(
                "HF_HUB_OFFLINE is set, and {} of revision {} is not in the cache {}; {REMEDY}",
                files.join(" or "),
                source.revision,
                repo.cache.display()
            )));
        }
        let info = repo
            .model
            .info()
            .revision(source.revision)
            .expand(vec!["sha".into(), "siblings".into()])
            .send()
            .map_err(|e| repo.refused(e))?;
        let commit = info.sha.as_deref().unwrap_or(source.revision);
        let there = repo.model.get_paths_info().paths(files.clone());
        let there = there.revision(commit).send().map_err(|e| repo.refused(e))?;
        let there: Vec<Remote> = there.into_iter().filter_map(Remote::of).collect();
        let found = |file: &String| there.iter().find(|r| r.path == *file);
        let Some(remote) = files.iter().find_map(found) else {
            let siblings = info.siblings.unwrap_or_default();
            let names: Vec<&str> = siblings.iter().map(|s| s.rfilename.as_str()).collect();
            return Err(source.fail(format!(
                "the repository has no {} in revision {}; its files are: {}",
                files.join(" or "),
                source.revision,
                names.join(", ")
            )));
        };
        repo.bring(remote, commit, source.revision, &mut |_| ())
    }
}
