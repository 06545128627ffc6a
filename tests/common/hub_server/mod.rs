//! A small server that speaks as much of the Hugging Face Hub's protocol as fetching and pushing files need.

pub mod upload;

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPO: &str = "someone/a-network";
/// What the repository was called before; the server redirects from there.
pub const OLD_NAME: &str = "someone/old-name";

/// What the server has and does.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Only with this token.
    pub token: Option<String>,
    /// Bytes of files it still sends; then it breaks off in the middle.
    pub budget: Option<usize>,
    /// Bytes of a file it sends in one answer; then it breaks off.
    pub at_once: Option<usize>,
    /// Does what requests whose path has this in it ask for, and breaks off without an answer.
    pub silent: Option<&'static str>,
    /// What it says the size of every file is.
    pub size: Option<u64>,
    /// Sends whole files whatever is asked for.
    pub without_ranges: bool,
    /// There is no repository.
    pub missing: bool,
    /// Answers requests whose path has this in it with this status.
    pub refuse: Option<(&'static str, &'static str)>,
    /// Answers the first of such requests only.
    pub refuse_once: bool,
    /// The server that files stored apart come from; this one, if there is none.
    pub storage: Option<String>,
    /// The way large files have to go up that the server insists on.
    pub lfs_way: Option<&'static str>,
    pub written: upload::Written,
    /// How many files a page of the list has; all, if nothing is said.
    pub page: Option<usize>,
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

    /// What a file that is not stored apart is called in the cache.
    pub fn blob(&self, file: &str) -> String {
        oid(&self.state().files[file])
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

    if method == "PUT" && path.starts_with("/storage/") && !path.ends_with("?signed=1") {
        assert_eq!(headers.get("x-storage").map(String::as_str), Some("yes"));
    }
    let mut state = state.lock().unwrap();
    let range = headers.get("range").cloned().unwrap_or_default();
    let token = headers.get("authorization").cloned();
    let request = format!("{method} {path} {range}").trim().to_string();
    state.seen.push((request, token.clone()));
    let wanted = state.token.as_ref().map(|t| format!("Bearer {t}"));
    let refused = state.refuse.filter(|(part, _)| path.contains(part));
    if refused.is_some() && state.refuse_once {
        state.refuse = None;
    }
    // What is stored apart has addresses that nobody else knows.
    let is_apart = ["/storage/", "/content-network/"]
        .iter()
        .any(|p| path.starts_with(p));
    let answer = match wanted.is_none() || token == wanted || is_apart {
        true if refused.is_some_and(|(_, status)| status.starts_with("429")) => {
            Answer::new(refused.unwrap().1, b"{}".to_vec()).with("Retry-After", "1")
        }
        true if refused.is_some() => Answer::new(refused.unwrap().1, b"{}".to_vec()),
        true if path.contains(OLD_NAME) => Answer::new("307 Temporary Redirect", Vec::new())
            .with("Location", path.replace(OLD_NAME, REPO)),
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
    if !path.starts_with("/api") {
        sent = sent.min(state.at_once.unwrap_or(sent));
    }
    if state.silent.is_some_and(|part| path.contains(part)) {
        return;
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
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
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
                Answer::json(&serde_json::json!({"_id": "1", "id": REPO, "sha": COMMIT}))
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
                let cursor = query
                    .split_once("cursor=")
                    .map_or(0, |(_, c)| c.parse().unwrap());
                let page = state.page.unwrap_or(usize::MAX);
                let files = state.files.iter().skip(cursor).take(page);
                let entry = |(path, bytes): (&String, &Vec<u8>)| {
                    let mut entry = entry(path, bytes);
                    if let Some(size) = state.size {
                        entry["size"] = size.into();
                    }
                    entry
                };
                let answer = Answer::json(&files.map(entry).collect());
                let next = cursor.saturating_add(page);
                if next < state.files.len() {
                    let link = format!("<{endpoint}{path}?cursor={next}>; rel=\"next\"");
                    answer.with("Link", link)
                } else {
                    answer
                }
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
                assert_eq!(to, "");
                let (from, to): (usize, usize) = (from.parse().unwrap(), bytes.len() - 1);
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
    let storage = state.storage.as_deref().unwrap_or(endpoint);
    let found = path
        .strip_prefix(&format!("/{REPO}/resolve/"))
        .and_then(|rest| rest.split_once('/'))
        .filter(|(revision, _)| known(revision))
        .and_then(|(_, file)| Some((file, state.files.get(file)?)));
    match found {
        Some((file, bytes)) if is_apart(file) => Answer::new("302 Found", Vec::new())
            .with("Location", format!("{storage}/content-network/{file}"))
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
            .with("X-Linked-Size", bytes.len().to_string()),
        Some((file, bytes)) => content(file, bytes).with("X-Repo-Commit", COMMIT),
        None => missing().with("X-Repo-Commit", COMMIT),
    }
}

pub fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Every file below a folder, with its content.
pub fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            let inner = read(&path).into_iter();
            files.extend(inner.map(|(n, bytes)| (format!("{name}/{n}"), bytes)));
        } else {
            files.insert(name, std::fs::read(path).unwrap());
        }
    }
    files
}

/// Bytes without a pattern.
pub fn noise(length: usize) -> Vec<u8> {
    let mut x = 1_u64;
    let mut byte = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (x >> 56) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// As long as a model file's header is right, the rest may be anything.
pub fn model(length: usize) -> Vec<u8> {
    let mut bytes = 2_u64.to_le_bytes().to_vec();
    bytes.extend(b"{}");
    bytes.extend(noise(length - 10));
    bytes
}
