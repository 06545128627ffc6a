//! A small server that gives the files of a folder as a web server does and as a bucket of S3, and fails as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What goes wrong with a request.
#[derive(Clone, Copy)]
pub enum Fault {
    /// It is answered with this status.
    Status(&'static str),
    /// Half of the answer comes, and the connection ends.
    Half,
    /// The answer says nothing of its size.
    Unsaid,
    /// The answer says it has so many bytes, and none comes.
    Size(u64),
}

#[derive(Default)]
pub struct State {
    /// What goes wrong with requests whose path has this in it, and how many times yet.
    pub faults: Vec<(&'static str, usize, Fault)>,
    /// Gives whole files whatever is asked for.
    pub without_ranges: bool,
    /// Gives files no tags, by which they are known again.
    pub without_tags: bool,
    /// "METHOD target range" of every request, the target as it came.
    pub seen: Vec<String>,
    /// Bytes of files that went out.
    pub sent: u64,
    /// Requests without a signature, as those to a bucket have.
    pub unsigned: usize,
}

pub struct Server {
    /// As `127.0.0.1:1234`. `http://HOST/files/a`, `s3://bucket/a` and `gs://google/a` are the file `a`.
    pub host: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, root) = (Arc::clone(&state), folder.to_path_buf());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, root) = (Arc::clone(&shared), root.clone());
                std::thread::spawn(move || answer_all(stream, &state, &root));
            }
        });
        Self { host, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next `times` requests whose path has `part` in it go wrong.
    pub fn fail(&self, part: &'static str, times: usize, fault: Fault) {
        self.state().faults.push((part, times, fault));
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/files/{name}", self.host)
    }

    /// What opens it as a store of buckets.
    pub fn environment(&self) -> [(&'static str, String); 9] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.host)),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", "a-key".into()),
            ("AWS_SECRET_ACCESS_KEY", "a-secret".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("GOOGLE_BASE_URL", format!("http://{}", self.host)),
            ("GOOGLE_ALLOW_HTTP", "true".into()),
            ("GOOGLE_SKIP_SIGNATURE", "true".into()),
            ("NO_PROXY", "127.0.0.1".into()),
        ]
    }
}

fn answer_all(stream: TcpStream, state: &Mutex<State>, root: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((method, target, headers)) = request(&mut reader) {
        if answer(&stream, state, root, (&method, &target), &headers).is_none() {
            return;
        }
    }
}

type Headers = BTreeMap<String, String>;

fn request(reader: &mut impl BufRead) -> Option<(String, String, Headers)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = Headers::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().into()),
            None => return Some((method, target, headers)),
        };
    }
}

/// Answers; `None` if the connection is to end.
fn answer(
    mut stream: &TcpStream,
    state: &Mutex<State>,
    root: &Path,
    (method, target): (&str, &str),
    headers: &Headers,
) -> Option<()> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = decoded(path);
    let (host, name) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let range = headers.get("range").cloned().unwrap_or_default();
    let (fault, ranges, tags) = {
        let mut state = state.lock().unwrap();
        state
            .seen
            .push(format!("{method} {target} {range}").trim().into());
        if host == "bucket" && !headers.contains_key("authorization") {
            state.unsigned += 1;
        }
        let mut faults = state.faults.iter_mut();
        let fault = faults.find(|(part, times, _)| *times > 0 && path.contains(*part));
        let fault = fault.map(|(_, times, fault)| {
            *times -= 1;
            *fault
        });
        (fault, !state.without_ranges, !state.without_tags)
    };
    let say = |mut stream: &TcpStream, status: &str, more: &str, length: u64| {
        let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()
    };
    if let Some(Fault::Status(status)) = fault {
        let body = "<Error><Code>AsToldTo</Code><Message>a-secret</Message></Error>";
        say(stream, status, "", body.len() as u64)?;
        return stream.write_all(body.as_bytes()).ok();
    }
    if query.contains("list-type=2") {
        let body = listed(root, &decoded(query));
        say(
            stream,
            "200 OK",
            "Content-Type: application/xml\r\n",
            body.len() as u64,
        )?;
        return stream.write_all(body.as_bytes()).ok();
    }
    let Ok(bytes) = std::fs::read(root.join(name)) else {
        return say(stream, "404 Not Found", "", 0);
    };
    let date = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    let tag = match tags {
        true => format!("{date}ETag: \"{}-{}\"\r\n", bytes.len(), name.len()),
        false => date.into(),
    };
    if let Some(Fault::Size(size)) = fault {
        say(stream, "200 OK", &tag, size)?;
        return None;
    }
    if let Some(Fault::Unsaid) = fault {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        return stream.write_all(head.as_bytes()).ok();
    }
    let part = range.strip_prefix("bytes=").and_then(|r| r.split_once('-'));
    let (status, more, body) = match part.filter(|_| ranges) {
        Some((first, last)) => {
            let first: usize = first.parse().unwrap();
            let end = last.parse::<usize>().map_or(bytes.len(), |last| last + 1);
            let end = end.min(bytes.len());
            if first >= end {
                return say(stream, "416 Range Not Satisfiable", "", 0);
            }
            let all = bytes.len();
            let more = format!("{tag}Content-Range: bytes {first}-{}/{all}\r\n", end - 1);
            ("206 Partial Content", more, &bytes[first..end])
        }
        None => ("200 OK", tag, &bytes[..]),
    };
    say(stream, status, &more, body.len() as u64)?;
    if method == "HEAD" {
        return Some(());
    }
    state.lock().unwrap().sent += body.len() as u64;
    if let Some(Fault::Half) = fault {
        stream.write_all(&body[..body.len() / 2]).ok()?;
        return None;
    }
    stream.write_all(body).ok()
}

/// What S3 says of the files below a prefix: two at a time.
fn listed(root: &Path, query: &str) -> String {
    let asked: BTreeMap<&str, &str> = query.split('&').filter_map(|q| q.split_once('=')).collect();
    let prefix = asked.get("prefix").copied().unwrap_or_default();
    let mut names = Vec::new();
    walk(root, &mut names);
    let mut names: Vec<String> = names
        .into_iter()
        .map(|path| path.strip_prefix(root).unwrap().display().to_string())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    let from = asked
        .get("continuation-token")
        .map_or(0, |t| t.parse().unwrap());
    let more = names.len() > from + 2;
    let mut text = format!(
        "<ListBucketResult><Name>bucket</Name><Prefix>{prefix}</Prefix><IsTruncated>{more}</IsTruncated>"
    );
    if more {
        text += &format!(
            "<NextContinuationToken>{}</NextContinuationToken>",
            from + 2
        );
    }
    for name in names.iter().skip(from).take(2) {
        let size = std::fs::metadata(root.join(name)).unwrap().len();
        text += &format!(
            "<Contents><Key>{name}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified><Size>{size}</Size></Contents>"
        );
    }
    text + "</ListBucketResult>"
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, into);
        } else {
            into.push(path);
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut left = text.as_bytes();
    while let Some((byte, behind)) = left.split_first() {
        if *byte == b'%' {
            let digits = std::str::from_utf8(&behind[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            left = &behind[2..];
        } else {
            bytes.push(*byte);
            left = behind;
        }
    }
    String::from_utf8(bytes).unwrap()
}
