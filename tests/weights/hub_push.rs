//! Models to the Hub and from it, against a server on this machine that speaks its protocol.

use crate::hub_server::upload::LARGE;
use crate::hub_server::{COMMIT, REPO, Server};
use hydranet::hub::{Create, Hub, pull, push};
use std::collections::BTreeMap;
use std::path::Path;

const TO: &str = "hf://someone/a-network";

fn hub(server: &Server, cache: &Path) -> Hub {
    server.state().token = Some("secret".into());
    Hub {
        endpoint: Some(server.endpoint.clone()),
        cache: Some(cache.into()),
        token: Some("secret".into()),
        ..Hub::default()
    }
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Every file below a folder, with its content.
fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
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

fn names(folder: &Path) -> Vec<String> {
    read(folder).into_keys().collect()
}

fn says<T: std::fmt::Debug>(result: hydranet::Result<T>, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// Bytes without a pattern.
fn noise(length: usize) -> Vec<u8> {
    let mut x = 1_u64;
    let mut byte = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (x >> 56) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// As long as a model file's header is right, the rest may be anything.
fn model(length: usize) -> Vec<u8> {
    let mut bytes = 2_u64.to_le_bytes().to_vec();
    bytes.extend(b"{}");
    bytes.extend(noise(length - 10));
    bytes
}

#[test]
fn a_folder_goes_up_as_one_commit_sorted_by_name_and_comes_back_bit_identical() {
    let dir = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 6] = [
        ("model.safetensors", &model(3000)),
        ("README.md", "größer\n".as_bytes()),
        ("sub/labels.txt", b"a\r\nb"),
        ("sub/deeper/empty", b""),
        ("config.json", b"{}"),
        ("sub.txt", &[0, 255, 254]),
    ];
    let hidden: [(&str, &[u8]); 2] = [(".git/HEAD", b"x"), ("sub/.DS_Store", b"y")];
    let mut commits = Vec::new();
    for turn in ["first", "second"] {
        let folder = dir.path().join(turn);
        let mut order = files.to_vec();
        if turn == "second" {
            order.reverse();
        }
        write(&folder, &order);
        write(&folder, &hidden);
        let server = Server::new(&[(".gitattributes", b"of the Hub")]);
        let cache = dir.path().join(format!("cache of {turn}"));
        let hub = hub(&server, &cache);
        let mut told = Vec::new();
        let mut tell = |done, of| told.push((done, of));
        let pushed = push(&hub, TO, &folder, Create::No, &mut tell).unwrap();
        let total = files.iter().map(|f| f.1.len() as u64).sum::<u64>();
        assert_eq!(told.last(), Some(&(total, total)));
        assert_eq!(pushed.commit, COMMIT);
        assert_eq!(pushed.page, format!("{}/{REPO}", server.endpoint));
        let pushed: Vec<&str> = pushed.files.iter().map(|f| f.0.as_str()).collect();
        let sorted = [
            "README.md",
            "config.json",
            "model.safetensors",
            "sub.txt",
            "sub/deeper/empty",
            "sub/labels.txt",
        ];
        assert_eq!(pushed, sorted);
        let written = server.state().written.commits.clone();
        assert_eq!(written.len(), 1);
        let values: Vec<serde_json::Value> = written[0]
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(values[0]["value"]["summary"], "Upload 6 files");
        let paths: Vec<&str> = values[1..]
            .iter()
            .map(|v| v["value"]["path"].as_str().unwrap())
            .collect();
        assert_eq!(paths, sorted);
        commits.push(written);

        let out = dir.path().join(format!("out of {turn}"));
        let mut told = Vec::new();
        let mut tell = |done, of| told.push((done, of));
        let with_slash = format!("{}/", out.display());
        let pulled = pull(&hub, TO, Path::new(&with_slash), false, &mut tell).unwrap();
        assert_eq!(told.last(), Some(&(total, total)));
        assert!(told.is_sorted());
        assert_eq!((pulled.commit.as_str(), pulled.files.len()), (COMMIT, 6));
        let expected = files.iter().map(|(n, b)| (n.to_string(), b.to_vec()));
        assert_eq!(read(&out), expected.collect());
    }
    assert_eq!(commits[0], commits[1]);
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 6, "a sibling folder is left over");
}

#[test]
fn a_model_file_gets_its_name_a_branch_is_written_to_and_a_repository_made_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("best.model");
    std::fs::write(&file, model(500)).unwrap();
    let server = Server::new(&[]);
    let hub = hub(&server, &dir.path().join("cache"));
    server.state().missing = true;
    says(
        push(&hub, TO, &file, Create::No, &mut |_, _| ()),
        &["404", "main", "--create", TO],
    );
    push(&hub, TO, &file, Create::Private, &mut |_, _| ()).unwrap();
    let at_branch = format!("{TO}@v1");
    // It is there now, and is not made again.
    push(&hub, &at_branch, &file, Create::Public, &mut |_, _| ()).unwrap();
    says(
        push(
            &hub,
            &format!("{TO}@none"),
            &file,
            Create::Public,
            &mut |_, _| (),
        ),
        &["404", "no branch none"],
    );
    let created = serde_json::json!({
        "name": "a-network", "organization": "someone", "type": "model", "private": true
    });
    let state = server.state();
    assert_eq!(state.written.created, [created]);
    assert_eq!(state.written.commits.len(), 2);
    assert!(state.written.commits[0].contains("Upload model.safetensors"));
    assert_eq!(state.files["model.safetensors"], model(500));
    let to_branch = |(request, _): &(String, _)| request.contains("/commit/v1");
    assert!(state.seen.iter().any(to_branch));
}

#[test]
fn what_cannot_be_pushed_is_refused_and_leaves_no_commit() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    write(&folder, &[("a", b"1"), ("b", b"2")]);
    let server = Server::new(&[("a", b"old")]);
    let hub = hub(&server, &dir.path().join("cache"));
    let go = |hub: &Hub, to: &str, path: &Path| push(hub, to, path, Create::No, &mut |_, _| ());
    let other = dir.path().join("photo.jpg");
    std::fs::write(&other, b"a photo, and no model").unwrap();
    says(go(&hub, TO, &other), &["photo.jpg", "safetensors"]);
    std::fs::write(&other, b"short").unwrap();
    says(go(&hub, TO, &other), &["photo.jpg", "safetensors"]);
    says(go(&hub, TO, &dir.path().join("none")), &["none", "read"]);
    let empty = dir.path().join("empty");
    write(&empty, &[(".hidden", b"")]);
    says(go(&hub, TO, &empty), &["empty", "files to upload"]);
    says(go(&hub, "hf://someone/a-network/a", &folder), &["hf://"]);
    let offline = Hub {
        offline: true,
        ..hub.clone()
    };
    says(go(&offline, TO, &folder), &["HF_HUB_OFFLINE", TO]);
    assert_eq!(server.requests(), Vec::<String>::new());
    let wrong = Hub {
        token: Some("wrong".into()),
        ..hub.clone()
    };
    says(go(&wrong, TO, &folder), &["401", "HF_TOKEN"]);
    for (part, status, word) in [
        ("preupload", "403 Forbidden", "403"),
        ("/commit/", "409 Conflict", "push again"),
        ("/commit/", "422 Unprocessable Entity", "422"),
    ] {
        server.state().refuse = Some((part, status));
        says(go(&hub, TO, &folder), &[word, &server.endpoint, TO]);
    }
    let state = server.state();
    assert!(state.written.commits.is_empty());
    assert_eq!(state.files, BTreeMap::from([("a".into(), b"old".to_vec())]));
}

#[test]
fn an_interrupted_pull_leaves_no_folder_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (best, out) = (model(5000), dir.path().join("models/out"));
    let server = Server::new(&[("config.json", b"{}"), ("model.safetensors", &best)]);
    let hub = Hub {
        part: 1000,
        ..hub(&server, &dir.path().join("cache"))
    };
    let go = |hub: &Hub, overwrite| pull(hub, TO, &out, overwrite, &mut |_, _| ());
    server.state().budget = Some(2502);
    says(go(&hub, false), &["model.safetensors", "2000 of 5000", TO]);
    assert!(!dir.path().join("models").exists());
    server.state().budget = None;
    server.requests();
    go(&hub, false).unwrap();
    let again = |r: &String| r.contains("bytes=0-") || r.contains("resolve") && r.contains("json");
    assert!(!server.requests().iter().any(again));
    assert_eq!(read(&out)["model.safetensors"], best);

    // What pulls left that were killed: a half, and an old folder set aside that was not yet replaced.
    let beside = |name: &str| dir.path().join("models").join(name);
    let (half, old) = (
        beside(".out.hydranet-pull-4194305.partial"),
        beside(".out.hydranet-pull-4194306.old"),
    );
    let somebodys = beside("out.2024.old");
    std::fs::rename(&out, beside("kept")).unwrap();
    for folder in [&half, &somebodys, &old.join("folder")] {
        write(folder, &[("a", b"a")]);
    }
    says(go(&hub, false), &["out", "--overwrite"]);
    assert_eq!(read(&out)["a"], b"a", "the old folder has its name back");
    assert!(!half.exists() && !old.exists() && somebodys.exists());
    std::fs::remove_dir_all(&out).unwrap();
    std::fs::remove_dir_all(&somebodys).unwrap();
    std::fs::rename(beside("kept"), &out).unwrap();

    says(go(&hub, false), &["out", "--overwrite"]);
    write(&out, &[("of-another-model", b"")]);
    server.state().files.remove("config.json");
    says(
        go(
            &Hub {
                offline: true,
                ..hub.clone()
            },
            true,
        ),
        &["HF_HUB_OFFLINE"],
    );
    assert_eq!(names(&out).len(), 3);
    go(&hub, true).unwrap();
    assert_eq!(names(&out), ["model.safetensors"]);
    let siblings = std::fs::read_dir(dir.path().join("models")).unwrap();
    assert_eq!(siblings.count(), 1);

    // What is in the cache is looked at, and a name may not lead elsewhere.
    let blob = dir
        .path()
        .join("cache/models--someone--a-network/snapshots");
    let blob = blob.join(COMMIT).join("model.safetensors");
    let blob = blob.canonicalize().unwrap();
    std::fs::write(&blob, b"broken").unwrap();
    says(go(&hub, true), &["SHA-256", "model.safetensors"]);
    assert_eq!(read(&out)["model.safetensors"], best);
    server.state().files.insert("x\\..\\y".into(), Vec::new());
    says(go(&hub, true), &["x\\..\\y", "out of the folder"]);
    server.state().files = BTreeMap::from([("../y".into(), Vec::new())]);
    says(go(&hub, true), &["no files"]);
    let at = |to: &str, out: &Path| pull(&hub, to, out, true, &mut |_, _| ());
    says(at(&format!("{TO}@none"), &out), &["404", "none"]);
    says(at(TO, Path::new("..")), &["without a name"]);
    says(
        at(TO, &std::env::current_dir().unwrap()),
        &["working folder"],
    );
    says(at(TO, &blob), &["a file"]);
}

/// The command, whose large files go through the Xet storage.
#[test]
#[cfg(feature = "cli")]
fn the_command_takes_a_large_file_there_and_back_and_a_failure_on_the_way_leaves_no_commit() {
    let dir = tempfile::tempdir().unwrap();
    let large = model(400_000);
    assert!(large.len() as u64 > LARGE);
    write(
        &dir.path().join("folder"),
        &[
            ("README.md", b"# A network\n"),
            ("model.safetensors", &large),
        ],
    );
    let server = Server::new(&[]);
    server.state().token = Some("secret".into());
    let run = |home: &str, token: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hydranet"));
        let names = [
            "HF_HUB_CACHE",
            "HUGGINGFACE_HUB_CACHE",
            "HF_TOKEN_PATH",
            "HF_HUB_OFFLINE",
        ];
        for name in names {
            command.env_remove(name);
        }
        let out = command
            .current_dir(dir.path())
            .args(arguments)
            .env("HF_ENDPOINT", &server.endpoint)
            .env("HF_HOME", dir.path().join(home))
            .env("HF_XET_CACHE", dir.path().join(home).join("xet"))
            .env("HF_TOKEN", token)
            // The server knows no way of packing.
            .env("HF_XET_XORB_COMPRESSION_POLICY", "none")
            .env("HF_XET_TELEMETRY_ENABLED", "0")
            .output()
            .unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        (out.status.success(), text)
    };
    let to_it = ["push", TO, "folder"];
    let (done, text) = run("home", "", &to_it);
    assert!(!done && text.contains("no access token"), "{text}");
    assert_eq!(server.requests(), Vec::<String>::new());
    for part in ["/v1/xorbs", "/v1/shards", "/commit/"] {
        server.state().refuse = Some((part, "400 Bad Request"));
        let (done, text) = run(&format!("home{part}"), "secret", &to_it);
        assert!(!done && text.contains("error: hf://"), "{text}");
        assert!(text.contains("400"), "{text}");
    }
    server.state().refuse = None;
    assert!(server.state().written.commits.is_empty());
    assert!(server.state().files.is_empty());

    // The token that was logged in with.
    write(&dir.path().join("home"), &[("token", b"secret\n")]);
    let (done, text) = run("home", "", &to_it);
    assert!(done, "{text}");
    assert!(text.contains("model.safetensors: 400000 bytes\n"), "{text}");
    assert!(
        text.contains(&format!("{REPO}: commit {COMMIT}\n")),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text}");
    let commits = server.state().written.commits.clone();
    assert_eq!(commits.len(), 1);
    assert!(commits[0].len() < 1000, "the large file is in the commit");
    let (done, text) = run("home", "", &["pull", TO, "--out", "back"]);
    assert!(done, "{text}");
    assert!(text.contains("README.md: 12 bytes\nmodel.safetensors: 400000 bytes\n"));
    assert_eq!(
        read(&dir.path().join("back")),
        read(&dir.path().join("folder"))
    );
    let (done, text) = run("home", "", &["pull", TO, "--out", "back"]);
    assert!(!done && text.contains("--overwrite"), "{text}");
}
