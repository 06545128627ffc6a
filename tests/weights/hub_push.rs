//! Models to the Hub and from it, against a server on this machine that speaks its protocol.

use crate::common::hub_server::upload::LARGE;
use crate::common::hub_server::{COMMIT, OLD_NAME, REPO, Server, model, noise, read, write};
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

fn names(folder: &Path) -> Vec<String> {
    read(folder).into_keys().collect()
}

fn says<T: std::fmt::Debug>(result: hydranet::Result<T>, words: &[&str]) {
    let message = format!("{:#}", result.unwrap_err());
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
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

        server.state().page = Some(2);
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
        &["404", "main", "have it made", TO],
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
    assert!(server.state().written.commits.is_empty());
    let old = BTreeMap::from([("a".into(), b"old".to_vec())]);
    assert_eq!(server.state().files, old);
    // Whether a commit was made is not known then, and it is not made again.
    server.state().refuse = None;
    server.state().silent = Some("/commit/");
    says(go(&hub, TO, &folder), &["cannot be reached"]);
    assert_eq!(server.state().written.commits.len(), 1);
}

#[test]
fn large_files_go_up_whole_or_in_parts_once_and_without_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    let (large, very_large) = (noise(20_000), model(400_000));
    assert!(large.len() as u64 > LARGE);
    write(
        &folder,
        &[
            ("README.md", b"# A network\n"),
            ("copy.bin", &large),
            ("model.safetensors", &very_large),
            ("weights.bin", &large),
        ],
    );
    let server = Server::new(&[]);
    let hub = hub(&server, &dir.path().join("cache"));
    let from = format!("hf://{OLD_NAME}");
    let go = |tell: &mut dyn FnMut(u64, u64)| push(&hub, &from, &folder, Create::No, tell);
    server.state().lfs_way = Some("xet");
    says(go(&mut |_, _| ()), &["`xet`", "basic and multipart"]);
    server.state().lfs_way = None;
    server.state().refuse = Some(("/storage/", "403 Forbidden"));
    let message = format!("{:#}", go(&mut |_, _| ()).unwrap_err());
    assert!(message.contains("was not uploaded: HTTP error: 403"));
    assert!(!message.contains("the token may not"), "{message}");
    server.state().refuse = Some(("/storage/", "503 Service Unavailable"));
    server.state().refuse_once = true;
    server.requests();
    let mut told = Vec::new();
    go(&mut |done, of| told.push((done, of))).unwrap();
    assert!(told.is_sorted() && told.len() > 4);
    let state = server.state();
    assert_eq!(state.written.verified.len(), 2);
    assert_eq!(state.files["model.safetensors"], very_large);
    assert_eq!(state.files["copy.bin"], large);
    let stored = |(request, _): &&(String, Option<String>)| request.contains("/storage/");
    let stored: Vec<_> = state.seen.iter().filter(stored).collect();
    // A refusal, one whole, three parts and their list.
    assert_eq!(stored.len(), 6, "{stored:?}");
    assert!(stored.iter().all(|(_, token)| token.is_none()));
    drop(state);
    server.requests();
    go(&mut |_, _| ()).unwrap();
    assert!(!server.requests().iter().any(|r| r.contains("/storage/")));
}

#[test]
fn an_interrupted_pull_leaves_no_folder_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (best, out) = (model(5000), dir.path().join("models/out"));
    let server = Server::new(&[("config.json", b"{}"), ("model.safetensors", &best)]);
    let hub = hub(&server, &dir.path().join("cache"));
    let go = |hub: &Hub, overwrite| pull(hub, TO, &out, overwrite, &mut |_, _| ());
    server.state().budget = Some(2502);
    says(go(&hub, false), &["model.safetensors", "2500 of 5000", TO]);
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
    says(go(&hub, false), &["out", "overwrite"]);
    assert_eq!(read(&out)["a"], b"a", "the old folder has its name back");
    assert!(!half.exists() && !old.exists() && somebodys.exists());
    std::fs::remove_dir_all(&out).unwrap();
    std::fs::remove_dir_all(&somebodys).unwrap();
    std::fs::rename(beside("kept"), &out).unwrap();

    says(go(&hub, false), &["out", "overwrite"]);
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
    std::fs::write(&blob, noise(5000)).unwrap();
    says(go(&hub, true), &["SHA-256", "model.safetensors"]);
    assert_eq!(read(&out)["model.safetensors"], best);
    std::fs::write(&blob, b"half").unwrap();
    go(&hub, true).unwrap();
    assert_eq!(read(&out)["model.safetensors"], best);
    server.state().files.insert("x\\..\\y".into(), Vec::new());
    says(go(&hub, true), &["x\\..\\y", "out of the folder"]);
    server.state().page = Some(0);
    says(go(&hub, true), &["pages"]);
    server.state().page = None;
    server.state().size = Some(u64::MAX);
    server.state().files.remove("x\\..\\y");
    server.state().files.insert("other".into(), Vec::new());
    says(go(&hub, true), &["larger than any"]);
    // A server between answers with a page of its own.
    server.state().size = Some(700);
    server.state().without_ranges = true;
    says(go(&hub, true), &["another file"]);
    server.state().size = None;
    server.state().without_ranges = false;
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
