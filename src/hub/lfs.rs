//! Large files to the Hub, by the batch protocol of Git LFS: the Hub says where each one goes, whole or in parts.

use super::call::{Call, Content, Failure};
use super::client::read;
use super::local::Local;
use super::repository::Repository;
use crate::error::Error;
use crate::tensors::hash::{copy, hexadecimal};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use ureq::Body;
use ureq::http::header::{ACCEPT, ETAG};
use ureq::http::{Method, Response};

/// The media type of the protocol.
const KIND: &str = "application/vnd.git-lfs+json";

/// The ways that files can go up: whole, and in parts.
const WAYS: [&str; 2] = ["basic", "multipart"];

/// How many files the Hub is asked about at once.
const AT_ONCE: usize = 256;

/// The Hub's answer: what to do with each file.
#[derive(Deserialize)]
struct Batch {
    transfer: Option<String>,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    error: Option<Refusal>,
    /// None for a file that is there already.
    actions: Option<Actions>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    /// Headers to send; or, of an upload in parts, the size of a part and by their numbers where they go.
    #[serde(default)]
    header: BTreeMap<String, Value>,
}

impl Action {
    fn headers(&self) -> Vec<(&str, &str)> {
        let text = |(name, value)| Some((String::as_str(name), Value::as_str(value)?));
        self.header.iter().filter_map(text).collect()
    }

    /// How large a part is, if the file goes in parts.
    fn part(&self) -> Option<u64> {
        let size = self.header.get("chunk_size")?;
        size.as_u64().or_else(|| size.as_str()?.parse().ok())
    }

    /// Where the parts go, in order.
    fn places(&self) -> Vec<&str> {
        let numbered = |(name, place)| Some((str::parse::<u64>(name).ok()?, place));
        let mut places: Vec<_> = self.headers().into_iter().filter_map(numbered).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, place)| place).collect()
    }
}

/// Uploads what is not there yet, and gives the hash of each file; `tell` hears how many bytes were sent.
pub(super) fn upload(
    repo: &Repository,
    files: &[&Local],
    tell: &mut dyn FnMut(u64),
) -> Result<Vec<String>, Failure> {
    let hashes = files
        .iter()
        .map(|f| sha256(f))
        .collect::<Result<Vec<_>, _>>()?;
    // Equal files go up once.
    let by_hash: BTreeMap<&str, &Local> = hashes
        .iter()
        .map(String::as_str)
        .zip(files.iter().copied())
        .collect();
    let all: Vec<(&str, &Local)> = by_hash.into_iter().collect();
    let mut before = 0;
    for files in all.chunks(AT_ONCE) {
        let batch = batch(repo, files)?;
        for (hash, file) in files {
            let about = |problem: String| {
                Failure::Answer(format!("its answer about {}: {problem}", file.name))
            };
            let object = batch.objects.iter().find(|o| o.oid == *hash);
            let object = object.ok_or_else(|| about("nothing is said of this file".into()))?;
            if let Some(refusal) = &object.error {
                return Err(about(refusal.message.clone()));
            }
            if let Some(actions) = &object.actions {
                let mut tell = |sent| tell(before + sent);
                transfer(repo, (hash, file), actions, &mut tell)?;
            }
            before += file.size;
            tell(before);
        }
    }
    Ok(hashes)
}

/// Asks where the files go.
fn batch(repo: &Repository, files: &[(&str, &Local)]) -> Result<Batch, Failure> {
    let object = |(oid, file): &(&str, &Local)| json!({"oid": oid, "size": file.size});
    let body = json!({
        "operation": "upload",
        "transfers": WAYS,
        "objects": files.iter().map(object).collect::<Vec<_>>(),
        "hash_algo": "sha256",
        "ref": {"name": repo.source.revision},
    });
    let url = format!(
        "{}/{}.git/info/lfs/objects/batch",
        repo.client.endpoint(),
        repo.id()
    );
    let batch: Batch = read(post(repo, &url, &body, Vec::new(), true)?)?;
    match &batch.transfer {
        Some(way) if !WAYS.contains(&way.as_str()) => Err(Failure::Answer(format!(
            "it takes large files by `{way}` alone, and is offered {}",
            WAYS.join(" and ")
        ))),
        _ => Ok(batch),
    }
}

/// Uploads one file as the Hub says.
fn transfer(
    repo: &Repository,
    (hash, file): (&str, &Local),
    actions: &Actions,
    tell: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    // Where it goes is another server as a rule: what that one refuses is not the token.
    let failed = |e: Failure| match e {
        Failure::Local(e) => Failure::Local(e),
        e => Failure::Answer(format!("{} was not uploaded: {e}", file.name)),
    };
    if let Some(upload) = &actions.upload {
        match upload.part() {
            None => {
                put(
                    repo,
                    file,
                    &upload.href,
                    upload.headers(),
                    (0, file.size),
                    tell,
                )
                .map_err(failed)?;
            }
            Some(size) => in_parts(repo, (hash, file), upload, size, tell).map_err(failed)?,
        }
    }
    if let Some(verify) = &actions.verify {
        let body = json!({"oid": hash, "size": file.size});
        post(repo, &verify.href, &body, verify.headers(), true).map_err(failed)?;
    }
    Ok(())
}

/// Uploads a file in parts, and says at the end what each was called.
fn in_parts(
    repo: &Repository,
    (hash, file): (&str, &Local),
    upload: &Action,
    size: u64,
    tell: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    let places = upload.places();
    if size == 0 || places.len() as u64 != file.size.div_ceil(size) {
        return Err(Failure::Answer(format!(
            "there are {} places for parts of {size} bytes of a file of {}",
            places.len(),
            file.size
        )));
    }
    let mut parts = Vec::new();
    for (number, place) in (1..).zip(places) {
        let start = (number - 1) * size;
        let range = (start, size.min(file.size - start));
        let mut tell = |sent| tell(start + sent);
        let tag = put(repo, file, place, Vec::new(), range, &mut tell)?;
        let tag = tag.ok_or_else(|| Failure::Answer(format!("part {number} got no ETag")))?;
        parts.push(json!({"partNumber": number, "etag": tag}));
    }
    let body = json!({"oid": hash, "parts": parts});
    post(repo, &upload.href, &body, Vec::new(), false)?;
    Ok(())
}

/// Sends a part of a file to a place, and gives the tag it got there. The address proves who sends it.
fn put(
    repo: &Repository,
    file: &Local,
    url: &str,
    headers: Vec<(&str, &str)>,
    (start, length): (u64, u64),
    tell: &mut dyn FnMut(u64),
) -> Result<Option<String>, Failure> {
    let answer = repo.client.send(&mut Call {
        method: Method::PUT,
        url,
        headers,
        content: Content::Part {
            path: &file.path,
            start,
            length,
            tell,
        },
        with_token: false,
        once: false,
    })?;
    let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
    Ok(tag.filter(|tag| !tag.is_empty()).map(String::from))
}

fn post(
    repo: &Repository,
    url: &str,
    body: &Value,
    headers: Vec<(&str, &str)>,
    with_token: bool,
) -> Result<Response<Body>, Failure> {
    let body = body.to_string();
    let mut call = Call::post(url, KIND, body.as_bytes());
    call.headers.push((ACCEPT.as_str(), KIND));
    call.headers.extend(headers);
    call.with_token = with_token;
    repo.client.send(&mut call)
}

fn sha256(file: &Local) -> Result<String, Failure> {
    let (mut content, _) = crate::io::read::open(&file.path).map_err(Failure::Local)?;
    let hash = copy(&mut content, &mut std::io::sink());
    let hash = hash.map_err(|e| Failure::Local(Error::io("read", &file.path, e)))?;
    Ok(hexadecimal(hash))
}
