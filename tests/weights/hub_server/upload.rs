//! What the server does when it is written to: the Hub's commits, and its Xet storage for large files.

use super::{Answer, COMMIT, REPO, State, sha256};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// From this size on a file goes to the Xet storage.
pub const LARGE: u64 = 10_000;

/// What was written.
#[derive(Default)]
pub struct Written {
    /// The bodies of the commits.
    pub commits: Vec<String>,
    /// The bodies of the requests to create a repository.
    pub created: Vec<Value>,
    /// Xet's packs of chunks, by hash.
    xorbs: BTreeMap<String, Vec<u8>>,
    /// Large files by the hash of their content.
    pub large: BTreeMap<String, Vec<u8>>,
}

/// The answer to a request that writes; `None` to others.
pub(super) fn route(
    state: &mut State,
    method: &str,
    path: &str,
    body: &[u8],
    endpoint: &str,
) -> Option<Answer> {
    let path = path.split('?').next().unwrap();
    let value = || serde_json::from_slice::<Value>(body).unwrap();
    if (method, path) == ("POST", "/api/repos/create") {
        state.written.created.push(value());
        state.missing = false;
        return Some(Answer::json(&json!({"url": format!("{endpoint}/{REPO}")})));
    }
    if state.missing {
        return None;
    }
    if path == format!("/{REPO}.git/info/lfs/objects/batch") {
        return Some(Answer::json(&json!({"transfer": "xet", "objects": []})));
    }
    if let Some(hash) = path.strip_prefix("/v1/xorbs/default/") {
        let xorbs = &mut state.written.xorbs;
        xorbs.insert(hash.into(), body.to_vec());
        return Some(Answer::json(&json!({"was_inserted": true})));
    }
    if path == "/v1/shards" {
        let files = files_of(body, &state.written.xorbs);
        state.written.large.extend(files);
        return Some(Answer::json(&json!({"result": 1})));
    }
    let rest = path.strip_prefix(&format!("/api/models/{REPO}/"))?;
    match rest.split_once('/')? {
        ("preupload", "main" | "v1") => {
            let mode = |file: &Value| {
                let large = file["size"].as_u64().unwrap() >= LARGE;
                json!({"path": file["path"], "uploadMode": if large { "lfs" } else { "regular" }})
            };
            let asked = value();
            let files: Vec<Value> = asked["files"]
                .as_array()
                .unwrap()
                .iter()
                .map(mode)
                .collect();
            Some(Answer::json(&json!({ "files": files })))
        }
        ("xet-write-token", _) => Some(Answer::json(&json!({
            "accessToken": state.token, "exp": 4_000_000_000_u64, "casUrl": endpoint
        }))),
        ("commit", "main" | "v1") => Some(commit(state, body, endpoint)),
        _ => None,
    }
}

fn commit(state: &mut State, body: &[u8], endpoint: &str) -> Answer {
    let body = String::from_utf8(body.to_vec()).unwrap();
    for line in body.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let value = &line["value"];
        let path = || value["path"].as_str().unwrap().to_string();
        match line["key"].as_str().unwrap() {
            "header" => {}
            "file" => {
                let content = base64(value["content"].as_str().unwrap());
                state.files.insert(path(), content);
            }
            "lfsFile" => {
                let content = &state.written.large[value["oid"].as_str().unwrap()];
                assert_eq!(value["size"].as_u64().unwrap(), content.len() as u64);
                state.files.insert(path(), content.clone());
            }
            other => panic!("{other}"),
        }
    }
    state.written.commits.push(body);
    Answer::json(&json!({
        "success": true, "commitOid": COMMIT, "commitUrl": format!("{endpoint}/{REPO}/commit/{COMMIT}")
    }))
}

fn base64(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in text.bytes().take_while(|d| *d != b'=') {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("{other} in base64"),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// Xet writes a hash as four numbers of 64 bits.
fn hash(bytes: &[u8]) -> String {
    let number = |b: &[u8]| format!("{:016x}", u64::from_le_bytes(b.try_into().unwrap()));
    bytes[..32].chunks(8).map(number).collect()
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The files that a shard describes: rows of 48 bytes behind a header of as many. A file is its hash, flags and the number of its
/// segments; the segments, each a range of chunks in a pack; as many rows to prove them; the SHA-256 of the content.
fn files_of(shard: &[u8], xorbs: &BTreeMap<String, Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let mut rows = shard[48..].chunks_exact(48);
    let mut files = Vec::new();
    loop {
        let head = rows.next().unwrap();
        if head[..32] == [0xff; 32] {
            return files;
        }
        let (flags, segments) = (number(head, 32), number(head, 36));
        let mut content = Vec::new();
        for segment in rows.by_ref().take(segments) {
            let chunks = chunks_of(&xorbs[&hash(segment)]);
            let (from, to) = (number(segment, 40), number(segment, 44));
            content.extend(chunks[from..to].concat());
        }
        if flags & 1 << 31 != 0 {
            rows.by_ref().take(segments).for_each(drop);
        }
        assert!(flags & 1 << 30 != 0, "no SHA-256");
        let said = hash(rows.next().unwrap());
        assert_eq!(said, sha256(&content));
        files.push((said, content));
    }
}

/// The chunks of a pack: each behind a version, a length packed, a way of packing (0 is none) and a length.
fn chunks_of(xorb: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    let mut at = 0;
    // Version 0; what follows the chunks begins with letters.
    while xorb.get(at) == Some(&0) {
        let length = number(xorb, at) >> 8;
        assert_eq!(xorb[at + 4], 0, "a packed chunk");
        chunks.push(&xorb[at + 8..at + 8 + length]);
        at += 8 + length;
    }
    chunks
}
