//! What the chapter of the guide says, sent as it says.

use super::server::read;
use super::{Answer, Server, ask, folder};
use std::path::Path;
use std::process::Command;

fn chapter() -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_hydranet"))
        .args(["guide", "serving"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// The words of a line as a shell takes them apart, without its variables and pipes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// Sends what a line of `curl` would send.
fn send(server: &Server, folder: &Path, line: &str) -> Answer {
    let mut words = words(line).into_iter().skip(1);
    let (mut path, mut headers, mut body, mut files) = (None, Vec::new(), None, Vec::new());
    let of_file = |value: &str| match value.strip_prefix('@') {
        Some(name) => read(folder, name),
        None => value.as_bytes().to_vec(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "-s" => {}
            "--data-binary" => body = Some(of_file(&words.next().unwrap())),
            "-H" => {
                let header = words.next().unwrap();
                let (name, value) = header.split_once(": ").unwrap();
                headers.push((name.to_string(), value.to_string()));
            }
            "-F" => {
                let value = words.next().unwrap();
                let name = value.strip_prefix("photo=@").unwrap().to_string();
                files.push((name.clone(), read(folder, &name)));
            }
            url => {
                path = Some(
                    url.strip_prefix("http://127.0.0.1:8080")
                        .unwrap()
                        .to_string(),
                )
            }
        }
    }
    if !files.is_empty() {
        let files: Vec<_> = files
            .iter()
            .map(|(n, b)| (n.as_str(), b.as_slice()))
            .collect();
        let (kind, form) = super::client::form(&files);
        headers.push(("Content-Type".into(), kind));
        body = Some(form);
    }
    let headers: Vec<_> = headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let method = if body.is_some() { "POST" } else { "GET" };
    ask(
        &server.address,
        method,
        &path.unwrap(),
        &headers,
        &body.unwrap_or_default(),
    )
}

#[test]
fn every_line_of_curl_in_the_guide_is_answered() {
    let dir = folder();
    // The names in the chapter.
    std::fs::rename(
        dir.path().join("a.safetensors"),
        dir.path().join("best.safetensors"),
    )
    .unwrap();
    for name in ["photo.jpg", "other.jpg"] {
        let photo = super::server::photo(4);
        photo.save(dir.path().join("photo.bmp")).unwrap();
        // Told by its content, not by its name.
        std::fs::rename(dir.path().join("photo.bmp"), dir.path().join(name)).unwrap();
    }
    let server = Server::start(dir.path(), &["--model", "best.safetensors"]);
    let chapter = chapter();
    let (_, request) = chapter.split_once("```json\n").unwrap();
    let (request, _) = request.split_once("```").unwrap();
    std::fs::write(dir.path().join("request.json"), request).unwrap();
    let lines: Vec<_> = chapter.lines().filter(|l| l.starts_with("curl ")).collect();
    assert!(lines.len() >= 6, "{lines:#?}");
    for line in lines {
        let answer = send(&server, dir.path(), line);
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
    }
}

#[test]
fn every_option_of_the_command_is_in_the_guide() {
    let out = Command::new(env!("CARGO_BIN_EXE_hydranet"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(out.stdout).unwrap();
    let options = help
        .lines()
        .filter_map(|l| l.trim_start().strip_prefix("--"));
    let options = options.map(|l| l.split([' ', '[', '=']).next().unwrap());
    let chapter = chapter();
    let missing: Vec<_> = options
        .filter(|o| !["threads"].contains(o) && !chapter.contains(&format!("--{o}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(help.contains("--max-queue-size"));
}
