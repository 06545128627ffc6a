//! From a URL to a store and what is asked of it.

use super::engine::{CONNECT, Engine, SILENT, retry};
use super::failure::Failure;
use object_store::ClientConfigKey;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// Something in a store.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) key: Key,
    pub(super) kind: Kind,
}

/// What a store is, for what is said of its failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Google,
    Http,
}

impl Place {
    /// What a URL names. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// If it is no URL that names something, or its store's settings are not right.
    pub(super) fn of(path: &Path, engine: &Engine) -> Result<Self, Failure> {
        let wrong = |e: &dyn Display| Failure::wrong(format!("a URL is needed: {e}"));
        let text = path.to_str().ok_or_else(|| wrong(&"it is no text"))?;
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(wrong(&"its host or bucket is missing"));
        }
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "s3" => Kind::S3,
            "gs" => Kind::Google,
            _ => Kind::Http,
        };
        if kind == Kind::Http {
            return Self::of_http(text, engine);
        }
        // It would be taken for the name without it.
        if key.starts_with('/') {
            return Err(wrong(&"a part of its path is empty"));
        }
        let make = || match kind {
            Kind::S3 => s3(host),
            _ => google(host),
        };
        let store = engine.store(&format!("{kind:?} {host}"), make);
        Ok(Self {
            // In the names of these stores `%` is a character like others.
            key: Key::parse(key).map_err(|e| wrong(&e))?,
            store: store.map_err(|e| Failure::of(&e, kind))?,
            kind,
        })
    }

    /// A server's, whose path and query go with each request as they are written.
    fn of_http(text: &str, engine: &Engine) -> Result<Self, Failure> {
        let wrong = |e: &dyn Display| Failure::wrong(format!("a URL is needed: {e}"));
        let mut url = Url::parse(text).map_err(|e| wrong(&e))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(&"names and passwords in it are not taken"));
        }
        let failed = |e| Failure::of(&e, Kind::Http);
        let shared = engine.shared(url.scheme() != "https").map_err(failed)?;
        url.set_fragment(None);
        let store = HttpBuilder::new()
            .with_url(url)
            .with_http_connector(shared)
            .with_retry(retry())
            .build();
        Ok(Self {
            store: Arc::new(store.map_err(failed)?),
            // It is asked for as it is written: as a key it would be decoded, and `%2F` is not `/`.
            key: Key::default(),
            kind: Kind::Http,
        })
    }
}

/// Settings of connections, which the environment may change.
fn connections() -> [(ClientConfigKey, String); 3] {
    let seconds = |time: std::time::Duration| format!("{} seconds", time.as_secs());
    [
        (ClientConfigKey::ConnectTimeout, seconds(CONNECT)),
        (ClientConfigKey::ReadTimeout, seconds(SILENT)),
        // A long file may take long.
        (ClientConfigKey::Timeout, "1 day".into()),
    ]
}

/// Names and values of the environment that begin so.
fn environment(with: &str) -> impl Iterator<Item = (String, String)> {
    let text = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?.to_ascii_lowercase();
        Some((name, value.into_string().ok()?))
    });
    text.filter(move |(name, _)| name.starts_with(with))
}

/// A bucket of S3 or of what speaks as it, by the variables `AWS_…`.
fn s3(bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    for (key, value) in connections() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    for (name, value) in environment("aws_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let builder = builder.with_bucket_name(bucket).with_retry(retry());
    Ok(Arc::new(builder.build()?))
}

/// A bucket of Google, by the variables `GOOGLE_…`.
fn google(bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (key, value) in connections() {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    for (name, value) in environment("google_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let builder = builder.with_bucket_name(bucket).with_retry(retry());
    Ok(Arc::new(builder.build()?))
}
