//! A small server that speaks as much of the Hugging Face Hub's protocol as fetching and pushing files need.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod upload;

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "someone/a-network";

/// What the server has and does.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Only with this token.
    pub token: Option<String>,
    /// Bytes of files it still sends; then it breaks off in the middle.
    pub budget: Option<usize>,
    /// Sends whole files whatever is asked for.
    pub without_ranges: bool,
    /// There is no repository.
    pub missing: bool,
    /// Answers requests whose path has this in it with this status.
    pub refuse: Option<(&'static str, &'static str)>,
    pub written: upload::Written,
    /// "METHOD path range" of every request, and the token it came with.
    pub seen: Vec<(String, Option<String>)>,
}

pub struct Server {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let owned = |(name, bytes): &(&str, &[u8])| (name.to_string(), bytes.to_vec());
        let state = Arc::new(Mutex::new(State {
            files: files.iter().map(owned).collect(),
            ..State::default()
        }));
        let server = Self {
            endpoint: endpoint.clone(),
            state: state.clone(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, endpoint) = (state.clone(), endpoint.clone());
                std::thread::spawn(move || answer(stream, &state, &endpoint));
            }
        });
        server
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The requests so far, "METHOD path range", which are then forgotten.
    pub fn requests(&self) -> Vec<String> {
        let seen = std::mem::take(&mut self.state().seen);
        seen.into_iter().map(|(request, _)| request).collect()
    }
}

struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: &'static str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    fn json(value: &serde_json::Value) -> Self {
        let mut answer = Self::new("200 OK", value.to_string().into_bytes());
        answer
            .headers
            .push(("Content-Type", "application/json".into()));
        answer
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// Files stored apart are sent by another address, as the Hub's content network does.
fn is_apart(file: &str) -> bool {
    file.ends_with(".safetensors")
}

/// Git's name of a file, or what stands for it here.
fn oid(bytes: &[u8]) -> String {
    sha256(bytes)[..40].into()
}

/// How the Hub describes a file.
fn entry(path: &str, bytes: &[u8]) -> serde_json::Value {
    let mut entry = serde_json::json!({
        "type": "file", "path": path, "size": bytes.len(), "oid": oid(bytes)
    });
    if is_apart(path) {
        entry["lfs"] = serde_json::json!({
            "oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134
        });
    }
    entry
}

fn answer(stream: TcpStream, state: &Mutex<State>, endpoint: &str) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() || line.is_empty() {
        return;
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_string()),
            None => break,
        };
    }
    let length = headers
        .get("content-length")
        .map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();

    let mut state = state.lock().unwrap();
    let range = headers.get("range").cloned().unwrap_or_default();
    let token = headers.get("authorization").cloned();
    let request = format!("{method} {path} {range}").trim().to_string();
    state.seen.push((request, token.clone()));
    let wanted = state.token.as_ref().map(|t| format!("Bearer {t}"));
    let refused = state.refuse.filter(|(part, _)| path.contains(part));
    let answer = match wanted.is_none() || token == wanted {
        true if refused.is_some() => Answer::new(refused.unwrap().1, b"{}".to_vec()),
        true => upload::route(&mut state, method, path, &body, endpoint)
            .unwrap_or_else(|| route(&state, path, &body, &range, endpoint)),
        false => Answer::new(
            "401 Unauthorized",
            br#"{"error":"Repository not found"}"#.to_vec(),
        ),
    };
    let mut sent = answer.body.len();
    if method == "HEAD" {
        sent = 0;
    } else if let Some(budget) = &mut state.budget
        && !path.starts_with("/api")
    {
        sent = sent.min(*budget);
        *budget -= sent;
    }
    drop(state);
    let mut head = format!(
        "HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let stream = reader.get_mut();
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&answer.body[..sent]);
}

fn route(state: &State, path: &str, body: &[u8], range: &str, endpoint: &str) -> Answer {
    let missing = || Answer::new("404 Not Found", br#"{"error":"not found"}"#.to_vec());
    let path = path.split('?').next().unwrap();
    if state.missing {
        return missing();
    }
    if path == format!("/api/models/{REPO}") {
        return Answer::json(&serde_json::json!({"_id": "1", "id": REPO}));
    }
    let known = |revision: &str| [COMMIT, "main", "v1"].contains(&revision);
    if let Some(rest) = path.strip_prefix(&format!("/api/models/{REPO}/")) {
        return match rest.split_once('/') {
            Some(("revision", revision)) if known(revision) => {
                let siblings: Vec<_> = state
                    .files
                    .keys()
                    .map(|f| serde_json::json!({"rfilename": f}))
                    .collect();
                let info = serde_json::json!({"_id": "1", "id": REPO, "sha": COMMIT, "siblings": siblings});
                Answer::json(&info)
            }
            Some(("paths-info", revision)) if known(revision) => {
                let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
                let entry = |path: &serde_json::Value| {
                    let path = path.as_str()?;
                    Some(entry(path, state.files.get(path)?))
                };
                let paths = asked["paths"].as_array().unwrap();
                Answer::json(&paths.iter().filter_map(entry).collect())
            }
            Some(("tree", revision)) if known(revision) => {
                let files = state.files.iter();
                Answer::json(&files.map(|(path, bytes)| entry(path, bytes)).collect())
            }
            _ => missing(),
        };
    }
    let content = |file: &str, bytes: &[u8]| {
        let limits = range
            .strip_prefix("bytes=")
            .and_then(|r| r.split_once('-'))
            .filter(|_| !state.without_ranges);
        let answer = match limits {
            Some((from, to)) => {
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                Answer::new("206 Partial Content", bytes[from..=to].to_vec()).with(
                    "Content-Range",
                    format!("bytes {from}-{to}/{}", bytes.len()),
                )
            }
            None => Answer::new("200 OK", bytes.to_vec()),
        };
        let etag = if is_apart(file) {
            "of-the-content-network".into()
        } else {
            oid(bytes)
        };
        answer.with("ETag", format!("\"{etag}\""))
    };
    if let Some(file) = path.strip_prefix("/content-network/") {
        return state
            .files
            .get(file)
            .map_or_else(missing, |b| content(file, b));
    }
    let found = path
        .strip_prefix(&format!("/{REPO}/resolve/"))
        .and_then(|rest| rest.split_once('/'))
        .filter(|(revision, _)| known(revision))
        .and_then(|(_, file)| Some((file, state.files.get(file)?)));
    match found {
        Some((file, bytes)) if is_apart(file) => Answer::new("302 Found", Vec::new())
            .with("Location", format!("{endpoint}/content-network/{file}"))
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
            .with("X-Linked-Size", bytes.len().to_string()),
        Some((file, bytes)) => content(file, bytes).with("X-Repo-Commit", COMMIT),
        None => missing().with("X-Repo-Commit", COMMIT),
    }
}
