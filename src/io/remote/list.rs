//! What lies in a folder of a bucket.

use super::engine::{Engine, answer};
use super::failure::Failure;
use super::place::{Kind, Place};
use crate::error::{Error, Result};
use futures_util::TryStreamExt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Objects that a folder may have.
const MOST: usize = 1 << 24;

/// All objects below a folder, sorted.
///
/// # Errors
/// [`Error::Io`] if it cannot be listed, holds nothing, or more than is listed.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: io::Error| Error::io("list", folder, e);
    let engine = Engine::get().map_err(failed)?;
    let place = Place::of(folder, &engine).map_err(|e| failed(e.into()))?;
    if place.kind == Kind::Http {
        let reason = "a server at http:// or https:// does not say what is in a folder; name the files, as \
             shards-{000..011}.tar, or a listing of them";
        return Err(failed(io::Error::new(ErrorKind::Unsupported, reason)));
    }
    let text = folder.to_str().unwrap_or_default();
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find('/').map_or(text.len(), |at| start + at);
    let bucket = text[..end].to_string();
    let kind = place.kind;
    let all = engine.wait(async move {
        let mut found = Vec::new();
        let mut stream = place.store.list(Some(&place.key));
        while let Some(object) = answer(stream.try_next(), kind).await? {
            if found.len() >= MOST {
                return Ok(None);
            }
            found.push(PathBuf::from(format!("{bucket}/{}", object.location)));
        }
        Ok(Some(found))
    });
    let all = all.map_err(failed)?;
    let all = all.map_err(|e: Failure| failed(e.into()))?;
    let reason = match all {
        Some(mut all) if !all.is_empty() => {
            all.sort();
            return Ok(all);
        }
        Some(_) => io::Error::new(
            ErrorKind::NotFound,
            "the bucket has no such folder, or nothing in it",
        ),
        None => io::Error::other(format!(
            "at most {MOST} files of a folder are read, found more"
        )),
    };
    Err(failed(reason))
}
