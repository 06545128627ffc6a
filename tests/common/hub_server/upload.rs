//! What the server does when it is written to: the Hub's commits, and the storage of large files by the protocol of Git LFS.

use super::{Answer, COMMIT, REPO, State, sha256};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// From this size on a file goes to the storage of large files.
pub const LARGE: u64 = 10_000;

/// From this size on it goes in parts.
const VERY_LARGE: u64 = 100_000;

/// How large a part is.
const PART: u64 = 150_000;

/// What was written.
#[derive(Default)]
pub struct Written {
    /// The bodies of the commits.
    pub commits: Vec<String>,
    /// The bodies of the requests to create a repository.
    pub created: Vec<Value>,
    /// Parts of large files, by the hash of the whole and their number.
    parts: BTreeMap<(String, usize), Vec<u8>>,
    /// Large files by the hash of their content.
    pub large: BTreeMap<String, Vec<u8>>,
    /// The hashes of those that were found complete.
    pub verified: Vec<String>,
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
        return Some(batch(state, &value(), endpoint));
    }
    if let Some(place) = path.strip_prefix("/storage/") {
        return Some(store(&mut state.written, method, place, body));
    }
    if path == "/verify" {
        let value = value();
        let oid = value["oid"].as_str().unwrap();
        let length = state.written.large[oid].len() as u64;
        assert_eq!(value["size"].as_u64(), Some(length));
        state.written.verified.push(oid.into());
        // Nothing is said.
        return Some(Answer::new("200 OK", Vec::new()));
    }
    let rest = path.strip_prefix(&format!("/api/models/{REPO}/"))?;
    match rest.split_once('/')? {
        ("preupload", "main" | "v1") => {
            let mode = |file: &Value| {
                let large = file["size"].as_u64().unwrap() >= LARGE;
                json!({"path": file["path"], "uploadMode": if large { "lfs" } else { "regular" }, "shouldIgnore": false})
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
        ("commit", "main" | "v1") => Some(commit(state, body, endpoint)),
        _ => None,
    }
}

/// Says where large files go: each whole with a header, very large ones in parts.
fn batch(state: &State, asked: &Value, endpoint: &str) -> Answer {
    assert_eq!(asked["operation"], "upload");
    assert_eq!(asked["transfers"], json!(["basic", "multipart"]));
    if let Some(way) = state.lfs_way {
        return Answer::json(&json!({"transfer": way, "objects": []}));
    }
    let object = |object: &Value| {
        let (oid, size) = (
            object["oid"].as_str().unwrap(),
            object["size"].as_u64().unwrap(),
        );
        let place = format!("{endpoint}/storage/{oid}");
        if state.written.large.contains_key(oid) {
            return json!({"oid": oid, "size": size});
        }
        let mut header = serde_json::Map::new();
        if size >= VERY_LARGE {
            header.insert("chunk_size".into(), PART.to_string().into());
            // Not in the order of their numbers.
            for number in (1..=size.div_ceil(PART)).rev() {
                header.insert(
                    format!("{number}"),
                    format!("{place}/{number}?signed=1").into(),
                );
            }
        } else {
            header.insert("X-Storage".into(), "yes".into());
        }
        json!({"oid": oid, "size": size, "actions": {
            "upload": {"href": place, "header": header},
            "verify": {"href": format!("{endpoint}/verify"), "header": {}},
        }})
    };
    let objects: Vec<Value> = asked["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(object)
        .collect();
    Answer::json(&json!({"transfer": "basic", "objects": objects}))
}

/// Takes a large file, or a part of one, or the list of parts at the end.
fn store(written: &mut Written, method: &str, place: &str, body: &[u8]) -> Answer {
    let content = match place.split_once('/') {
        Some((oid, number)) => {
            let number: usize = number.parse().unwrap();
            written.parts.insert((oid.into(), number), body.to_vec());
            return Answer::new("200 OK", Vec::new()).with("ETag", format!("\"part {number}\""));
        }
        None if method == "PUT" => body.to_vec(),
        None => {
            let value: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(value["oid"], place);
            let mut content = Vec::new();
            for (number, part) in (1..).zip(value["parts"].as_array().unwrap()) {
                let tag = format!("\"part {number}\"");
                assert_eq!(*part, json!({"partNumber": number, "etag": tag}));
                content.extend(&written.parts[&(place.into(), number)]);
            }
            content
        }
    };
    assert_eq!(sha256(&content), place);
    written.large.insert(place.into(), content);
    Answer::new("200 OK", Vec::new())
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
