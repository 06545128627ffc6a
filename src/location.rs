//! Where something lies, told by its spelling: a file of this machine, or a URL of a store or server.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// How URLs begin that are read through a store or server.
const REMOTE: [&str; 4] = ["s3://", "gs://", "http://", "https://"];
/// How the URL of a file of this machine begins.
const FILE: &str = "file://";

fn begins(text: &[u8], with: &str) -> bool {
    let start = text.get(..with.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

/// Whether it is a URL of a store or server.
pub(crate) fn is_remote(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    REMOTE.iter().any(|scheme| begins(text, scheme))
}

/// Whether it is a web page's kind of URL, in which `?` and `#` end the path.
pub(crate) fn is_http(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    REMOTE[2..].iter().any(|scheme| begins(text, scheme))
}

/// Its path without the query behind it, which is no part of a name.
pub(crate) fn without_query(path: &Path) -> &Path {
    match path.to_str().filter(|_| is_http(path)) {
        Some(text) => {
            let end = text.find(['?', '#']);
            Path::new(&text[..end.unwrap_or(text.len())])
        }
        None => path,
    }
}

/// As it stands in messages: a query may hold what opens the file to anyone, and a name in front of the host a password.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let path = Path::new(text);
    if !is_http(path) {
        return text.into();
    }
    let kept = without_query(path).to_str().unwrap_or(text);
    let mut shown = Cow::Borrowed(kept);
    let start = kept.find("://").map_or(0, |at| at + 3);
    let end = kept[start..].find('/').map_or(kept.len(), |at| start + at);
    if let Some(at) = kept[start..end].rfind('@') {
        shown = format!("{}…{}", &kept[..start], &kept[start + at..]).into();
    }
    if kept.len() < text.len() {
        shown = format!("{shown}?…").into();
    }
    shown
}

/// Whether it is called as a folder of a store or server: by a `/` at its end, or as nothing but a bucket.
pub(crate) fn is_remote_folder(path: &Path) -> bool {
    let Some(text) = path.to_str().filter(|_| is_remote(path)) else {
        return false;
    };
    // With a query a server is asked for something, whatever the query ends in.
    if without_query(path) != path {
        return false;
    }
    let host = text.find("://").map_or("", |at| &text[at + 3..]);
    text.ends_with('/') || !host.contains('/')
}

/// Whether it is a folder, here or elsewhere.
pub(crate) fn is_folder(path: &Path) -> bool {
    is_remote_folder(path) || path.is_dir()
}

/// The folder that a listing's relative names begin at.
pub(crate) fn folder_of(listing: &Path) -> &Path {
    without_query(listing).parent().unwrap_or(Path::new(""))
}

/// What a name in a listing of this folder leads to: a URL leads to itself, and of a store or server `/` at its front is the
/// bucket or host. One from elsewhere names no files of this machine.
pub(crate) fn resolve(folder: &Path, name: &str) -> PathBuf {
    if is_remote(Path::new(name)) {
        return name.into();
    }
    let Some(base) = folder.to_str().filter(|_| is_remote(folder)) else {
        return of_file_url(name).unwrap_or_else(|| folder.join(name));
    };
    let start = base.find("://").map_or(0, |at| at + 3);
    let (host, inner) = match base[start..].split_once('/') {
        Some((host, inner)) => (host, inner),
        None => (&base[start..], ""),
    };
    let inner = if name.starts_with('/') { "" } else { inner };
    let mut parts = Vec::new();
    for part in inner.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("{}{host}/{}", &base[..start], parts.join("/")).into()
}

/// The same of a path that may be no text.
pub(crate) fn resolve_path(folder: &Path, path: &Path) -> PathBuf {
    match path.to_str() {
        Some(name) => resolve(folder, name),
        None => folder.join(path),
    }
}

/// The path of a file of this machine that is written as a URL; `None` for anything else.
pub(crate) fn of_file_url(text: &str) -> Option<PathBuf> {
    if !begins(text.as_bytes(), FILE) {
        return None;
    }
    let rest = &text[FILE.len()..];
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    if !rest.starts_with('/') {
        return None;
    }
    let mut bytes = Vec::with_capacity(rest.len());
    let mut left = rest.as_bytes();
    while let Some((byte, behind)) = left.split_first() {
        let coded = behind.get(..2).filter(|_| *byte == b'%');
        let coded = coded.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let coded = coded.and_then(|digits| std::str::from_utf8(digits).ok());
        match coded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                left = &behind[2..];
            }
            None => {
                bytes.push(*byte);
                left = behind;
            }
        }
    }
    let path = String::from_utf8(bytes).ok()?;
    let drive = path.strip_prefix('/').filter(|_| cfg!(windows));
    Some(drive.unwrap_or(&path).into())
}

/// The whole path, from wherever it is asked for, also of what is written as a URL.
///
/// # Errors
/// As [`std::path::absolute`].
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if is_remote(path) {
        return Ok(path.into());
    }
    match path.to_str().and_then(of_file_url) {
        Some(file) => Ok(file),
        None => std::path::absolute(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_from_a_path_and_its_name_from_its_query() {
        let remote = ["s3://b/k", "GS://b", "http://h/x", "HTTPS://h/x"];
        assert!(remote.iter().all(|url| is_remote(Path::new(url))));
        let local = ["s3:/b/k", "photos/s3://b", "/a/b", "file:///a", "ftp://h/x"];
        assert!(!local.iter().any(|path| is_remote(Path::new(path))));
        for (url, name) in [
            ("https://h/a.tar?key=a/b.csv", "https://h/a.tar"),
            ("http://h/a.csv#x", "http://h/a.csv"),
            ("s3://b/what?.jpg", "s3://b/what?.jpg"),
            ("what?.jpg", "what?.jpg"),
        ] {
            assert_eq!(without_query(Path::new(url)), Path::new(name));
        }
        for folder in ["s3://b", "s3://b/", "gs://b/c/", "http://h/"] {
            assert!(is_remote_folder(Path::new(folder)), "{folder}");
        }
        for file in ["s3://b/c", "https://h/get?file=/x/", "https://h?id=3"] {
            assert!(!is_remote_folder(Path::new(file)), "{file}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        for (url, expected) in [
            ("https://h/a.jpg?X-Amz-Signature=s", "https://h/a.jpg?…"),
            ("https://me:word@h/a.jpg", "https://…@h/a.jpg"),
            ("http://me:word@h", "http://…@h"),
            ("http://h/a@b.jpg", "http://h/a@b.jpg"),
            ("s3://b/a?b.jpg", "s3://b/a?b.jpg"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn names_of_a_listing_lead_from_its_folder_on() {
        for (listing, name, expected) in [
            ("s3://b/x/list.csv", "a.jpg", "s3://b/x/a.jpg"),
            ("s3://b/x/list.csv", "../y/./a b.jpg", "s3://b/y/a b.jpg"),
            ("s3://b/x/list.csv", "/a.jpg", "s3://b/a.jpg"),
            ("s3://b/list.csv", "../../a.jpg", "s3://b/a.jpg"),
            (
                "https://h/x/list.csv?key=a/b",
                "p/a.jpg",
                "https://h/x/p/a.jpg",
            ),
            ("https://h/list.csv", "gs://b/a.jpg", "gs://b/a.jpg"),
            ("lists/list.csv", "https://h/a.jpg", "https://h/a.jpg"),
            ("lists/list.csv", "../a.jpg", "lists/../a.jpg"),
            ("lists/list.csv", "/a.jpg", "/a.jpg"),
            ("list.csv", "file:///a%20b/c%.jpg", "/a b/c%.jpg"),
            ("list.csv", "file://localhost/a.jpg", "/a.jpg"),
            ("list.csv", "file:///a%+A%4g%2B.jpg", "/a%+A%4g+.jpg"),
            // What lies elsewhere names nothing that lies here.
            ("s3://b/list.csv", "file:///etc/a", "s3://b/file:/etc/a"),
            (
                "https://h/list.csv",
                "FILE://localhost/a",
                "https://h/FILE:/localhost/a",
            ),
        ] {
            let found = resolve(folder_of(Path::new(listing)), name);
            assert_eq!(found, Path::new(expected), "{listing} {name}");
        }
        assert_eq!(of_file_url("file://elsewhere/a"), None);
    }

    #[test]
    fn what_is_kept_for_later_is_found_from_anywhere() {
        for (path, expected) in [
            ("file:///d/x%20y.csv", "/d/x y.csv"),
            ("/d/x.csv", "/d/x.csv"),
            ("https://h/x.csv?key=s", "https://h/x.csv?key=s"),
        ] {
            assert_eq!(absolute(Path::new(path)).unwrap(), Path::new(expected));
        }
        assert!(absolute(Path::new("x.csv")).unwrap().is_absolute());
    }
}
