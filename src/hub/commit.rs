//! One commit on the Hub: which files go into it, and which ones apart from git.

use super::call::{Call, Failure};
use super::lfs;
use super::local::Local;
use super::repository::{JSON, Repository};
use crate::error::Error;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Read;

/// How many bytes of a file the Hub wants to see before it decides where it goes.
const SAMPLE: u64 = 512;

/// How many files the Hub is asked about at once.
const AT_ONCE: usize = 256;

#[derive(Deserialize)]
struct Modes {
    files: Vec<Mode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mode {
    path: String,
    upload_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Committed {
    #[serde(default)]
    commit_oid: String,
}

/// Uploads the files as one commit, and gives its name; `tell` hears how many bytes of large files were sent.
pub(super) fn commit(
    repo: &Repository,
    message: &str,
    files: &[Local],
    tell: &mut dyn FnMut(u64),
) -> Result<String, Failure> {
    let revision = repo.source.revision;
    let apart = apart(repo, files)?;
    let is_apart = |f: &&Local| apart.contains(&f.name);
    let large: Vec<&Local> = files.iter().filter(is_apart).collect();
    let mut hashes = lfs::upload(repo, &large, tell)?.into_iter();

    let header = json!({"summary": message, "description": ""});
    let mut lines = json!({"key": "header", "value": header}).to_string() + "\n";
    for file in files {
        let line = if is_apart(&file) {
            let value = json!({
                "path": file.name, "algo": "sha256", "oid": hashes.next(), "size": file.size
            });
            json!({"key": "lfsFile", "value": value})
        } else {
            let failed = |e| Failure::Local(Error::io("read", &file.path, e));
            let content = BASE64.encode(std::fs::read(&file.path).map_err(failed)?);
            let value = json!({"path": file.name, "content": content, "encoding": "base64"});
            json!({"key": "file", "value": value})
        };
        lines += &line.to_string();
        lines.push('\n');
    }
    let url = repo.api("commit", revision);
    let mut call = Call::post(&url, "application/x-ndjson", lines.as_bytes());
    call.once = true;
    let committed: Committed = repo.client.json(&mut call)?;
    Ok(committed.commit_oid)
}

/// The names of the files that the Hub keeps apart from git: large ones and those of certain kinds.
fn apart(repo: &Repository, files: &[Local]) -> Result<HashSet<String>, Failure> {
    let url = repo.api("preupload", repo.source.revision);
    let mut apart = HashSet::new();
    for files in files.chunks(AT_ONCE) {
        let about = files.iter().map(about).collect::<Result<Vec<_>, _>>()?;
        let body = json!({ "files": about }).to_string();
        let mut call = Call::post(&url, JSON, body.as_bytes());
        let modes: Modes = repo.client.json(&mut call)?;
        let lfs = modes.files.into_iter().filter(|m| m.upload_mode == "lfs");
        apart.extend(lfs.map(|m| m.path));
    }
    // There is nothing to keep of an empty file.
    for file in files.iter().filter(|f| f.size == 0) {
        apart.remove(&file.name);
    }
    Ok(apart)
}

/// What the Hub decides by where a file goes.
fn about(file: &Local) -> Result<Value, Failure> {
    let mut sample = Vec::new();
    let (content, _) = crate::io::read::open(&file.path).map_err(Failure::Local)?;
    content
        .take(SAMPLE)
        .read_to_end(&mut sample)
        .map_err(|e| Failure::Local(Error::io("read", &file.path, e)))?;
    Ok(json!({"path": file.name, "size": file.size, "sample": BASE64.encode(sample)}))
}
