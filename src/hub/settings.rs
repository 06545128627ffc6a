//! How the Hub is reached.

use crate::io::read;
use std::path::PathBuf;

/// The server's address where none is given.
const ENDPOINT: &str = "https://huggingface.co";

/// Why nothing is fetched and nothing uploaded.
pub(super) const OFFLINE: &str = "HF_HUB_OFFLINE or Hub::offline is set";

/// Hears of progress: bytes done, and of how many.
pub type Tell<'a> = &'a mut dyn FnMut(u64, u64);

/// How the Hub is reached. What is `None` comes from the environment: `HF_ENDPOINT`; `HF_HUB_CACHE` or `HF_HOME`; `HF_TOKEN` or
/// the token that was logged in with.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// The server's address.
    pub endpoint: Option<String>,
    /// The folder of files fetched, the one Python's `huggingface_hub` uses.
    pub cache: Option<PathBuf>,
    /// The access token, for private and gated repositories.
    pub token: Option<String>,
    /// Take nothing that is not in the cache.
    pub offline: bool,
}

impl Hub {
    /// As the environment says; `HF_HUB_OFFLINE=1` makes it offline.
    pub fn from_env() -> Self {
        Self {
            offline: is_on("HF_HUB_OFFLINE"),
            ..Self::default()
        }
    }

    /// The server's address, without a slash at its end.
    pub(super) fn address(&self) -> String {
        let given = self.endpoint.clone().or_else(|| variable("HF_ENDPOINT"));
        let address = given.unwrap_or_else(|| ENDPOINT.into());
        address.trim_end_matches('/').into()
    }

    /// The folder of files fetched.
    pub(super) fn folder(&self) -> PathBuf {
        let named = || variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        let given = self.cache.clone().or_else(|| named().map(expanded));
        given.unwrap_or_else(|| home().join("hub"))
    }

    /// The access token: the one given, `HF_TOKEN`, or the one in the file that logging in writes.
    pub(super) fn access_token(&self) -> Option<String> {
        let saved = || {
            let path = variable("HF_TOKEN_PATH").map(expanded);
            let path = path.unwrap_or_else(|| home().join("token"));
            read::text(&path, read::SETTINGS).ok()
        };
        let implicit = || variable("HF_TOKEN").or_else(saved);
        let token = match &self.token {
            Some(token) => token.clone(),
            None if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") => return None,
            None => implicit()?,
        };
        let token = token.trim();
        (!token.is_empty()).then(|| token.into())
    }
}

/// A variable of the environment that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether a variable of the environment says yes.
fn is_on(name: &str) -> bool {
    let yes = ["1", "on", "yes", "true"];
    variable(name).is_some_and(|value| yes.contains(&value.to_lowercase().as_str()))
}

/// The folder of everything of Hugging Face's.
fn home() -> PathBuf {
    let cache = || variable("XDG_CACHE_HOME").map_or_else(|| user().join(".cache"), expanded);
    variable("HF_HOME").map_or_else(|| cache().join("huggingface"), expanded)
}

/// The user's folder.
fn user() -> PathBuf {
    std::env::home_dir().unwrap_or_else(std::env::temp_dir)
}

/// A path from the environment, where `~` is the user's folder.
fn expanded(path: String) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => user(),
        Some(rest) if rest.starts_with('/') => user().join(rest.trim_start_matches('/')),
        _ => path.into(),
    }
}
