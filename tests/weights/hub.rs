//! Weights from the Hub, against a server on this machine that speaks its protocol.

use crate::common::hub_server::{COMMIT, OLD_NAME, Server};
use hydranet::hub::Hub;
use hydranet::{Error, HubErrorKind};
use std::path::Path;

const SOURCE: &str = "hf://someone/a-network";
const BEST: &str = "model.safetensors";

fn hub(server: &Server, cache: &Path) -> Hub {
    Hub {
        endpoint: Some(server.endpoint.clone()),
        cache: Some(cache.into()),
        token: Some("secret".into()),
        ..Hub::default()
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * i % 251) as u8).collect()
}

fn refused(hub: &Hub, source: &str, words: &[&str]) {
    let message = format!("{:#}", hub.fetch(source).unwrap_err());
    for word in words.iter().chain(&[source]) {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

#[test]
fn a_file_is_fetched_once_and_then_taken_from_the_cache_without_a_request() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::new(&[(BEST, &bytes(5000)), ("pytorch_model.bin", b"other")]);
    server.state().token = Some("secret".into());
    let hub = hub(&server, cache.path());
    let path = hub.fetch(SOURCE).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes(5000));
    // The place where Python's library would look for it.
    let place = format!("models--someone--a-network/snapshots/{COMMIT}/{BEST}");
    assert_eq!(path, cache.path().join(place));
    let with_token = |(request, token): &(String, Option<String>)| {
        request.contains("content-network") || token.as_deref() == Some("Bearer secret")
    };
    assert!(server.state().seen.iter().all(with_token));
    assert!(!server.requests().is_empty());

    assert_eq!(hub.fetch(SOURCE).unwrap(), path);
    let at_commit = format!("{SOURCE}@{COMMIT}");
    assert_eq!(hub.fetch(&at_commit).unwrap(), path);
    let offline = Hub {
        offline: true,
        ..hub
    };
    assert_eq!(offline.fetch(SOURCE).unwrap(), path);
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn without_safetensors_pytorchs_file_is_taken_and_a_file_may_be_named() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::new(&[
        ("pytorch_model.bin", b"pickle"),
        ("deeper/other.pth", b"other"),
        ("README.md", b"#"),
    ]);
    let hub = hub(&server, cache.path());
    for (source, expected) in [
        ("hf://someone/a-network", "pickle"),
        ("hf://someone/a-network@v1", "pickle"),
        ("hf://someone/a-network/deeper/other.pth", "other"),
        ("hf://someone/a-network@v1/README.md", "#"),
    ] {
        let path = hub.fetch(source).unwrap();
        assert_eq!(
            std::fs::read(path).unwrap(),
            expected.as_bytes(),
            "{source}"
        );
    }
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    for file in [BEST, "pytorch_model.bin"] {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::new(&[(file, &bytes(5000))]);
        let hub = hub(&server, cache.path());
        server.state().budget = Some(2500);
        refused(&hub, SOURCE, &[file, "after 2500 of 5000 bytes", "goes on"]);
        server.state().budget = None;
        server.state().at_once = Some(1000);
        server.requests();
        let path = hub.fetch(SOURCE).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), bytes(5000));
        let requests = server.requests();
        let sent: Vec<&str> = requests
            .iter()
            .filter(|r| r.starts_with("GET") && !r.contains("/api/"))
            .filter_map(|r| r.split("bytes=").nth(1))
            .collect();
        let mut expected = vec!["2500-", "3500-", "4500-"];
        if file == BEST {
            // The second of each is the content network's.
            expected = expected.into_iter().flat_map(|r| [r, r]).collect();
        }
        assert_eq!(sent, expected, "{requests:#?}");
        // Nothing but these parts, and nothing is left of them.
        let blobs = cache.path().join("models--someone--a-network/blobs");
        assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 1);
    }
}

#[test]
fn a_server_without_ranges_serves_too() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::new(&[(BEST, &bytes(2500))]);
    server.state().without_ranges = true;
    let hub = hub(&server, cache.path());
    server.state().budget = Some(1000);
    refused(&hub, SOURCE, &["after 1000 of 2500 bytes"]);
    server.state().budget = None;
    assert_eq!(
        std::fs::read(hub.fetch(SOURCE).unwrap()).unwrap(),
        bytes(2500)
    );
}

#[test]
fn the_token_stays_with_the_hub_and_a_content_with_another_hash_is_thrown_away() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::new(&[(BEST, &bytes(2500)), ("config.json", b"{}")]);
    let storage = Server::new(&[(BEST, b"broken")]);
    server.state().token = Some("secret".into());
    server.state().storage = Some(storage.endpoint.clone());
    let hub = hub(&server, cache.path());
    storage.state().files.insert(BEST.into(), vec![7; 2500]);
    refused(&hub, SOURCE, &[BEST, "SHA-256", "thrown away"]);
    let blobs = cache.path().join("models--someone--a-network/blobs");
    assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 0);
    storage.state().files.insert(BEST.into(), bytes(2500));
    let path = hub.fetch(SOURCE).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes(2500));
    let seen = std::mem::take(&mut storage.state().seen);
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|(_, token)| token.is_none()), "{seen:?}");
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(&path).unwrap().parent().unwrap(),
        Path::new("../../blobs")
    );
}

#[test]
fn a_repository_is_found_under_its_old_name_and_a_busy_server_is_asked_again() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::new(&[(BEST, &bytes(2500)), ("a #1?/50%.pth", b"other")]);
    server.state().token = Some("secret".into());
    server.state().refuse = Some(("/revision/", "503 Service Unavailable"));
    server.state().refuse_once = true;
    let hub = hub(&server, cache.path());
    let path = hub.fetch(&format!("hf://{OLD_NAME}")).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), bytes(2500));
    assert!(server.state().refuse.is_none());
    // A name with characters that mean something in an address.
    server.requests();
    let source = format!("{SOURCE}/a #1?/50%.pth");
    hub.fetch(&source).unwrap_err();
    let encoded = format!("/resolve/{COMMIT}/a%20%231%3F/50%25.pth");
    assert!(server.requests().iter().any(|r| r.contains(&encoded)));
    let nowhere = Hub {
        endpoint: Some("huggingface.co".into()),
        ..hub.clone()
    };
    refused(&nowhere, &source, &["`huggingface.co`", "https://"]);
    let garbled = Hub {
        token: Some("sec ret".into()),
        ..hub
    };
    refused(&garbled, &source, &["access token"]);
}

#[test]
fn what_went_wrong_is_said_with_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().to_str().unwrap();
    let server = Server::new(&[("README.md", b"#"), ("flax_model.msgpack", b"")]);
    let hub = hub(&server, cache.path());
    refused(&hub, SOURCE, &[BEST, "pytorch_model.bin", "README.md"]);
    refused(
        &hub,
        "hf://someone/a-network/no.pth",
        &["no.pth", "README.md"],
    );
    refused(&hub, "hf://someone/a-network@v7", &["404", "v7"]);
    refused(&hub, "hf://someone/else", &["404", "no such repository"]);
    server.state().token = Some("another".into());
    refused(&hub, SOURCE, &[&server.endpoint, "401", "HF_TOKEN"]);
    server.requests();
    let offline = Hub {
        offline: true,
        ..hub.clone()
    };
    refused(
        &offline,
        SOURCE,
        &["HF_HUB_OFFLINE", BEST, "main", folder, "path"],
    );
    assert_eq!(server.requests(), Vec::<String>::new());
    // A port that nobody listens at.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let nowhere = Hub {
        endpoint: Some(endpoint.clone()),
        ..hub.clone()
    };
    refused(&nowhere, SOURCE, &[&endpoint, "cannot be reached", "path"]);
    for source in [
        "hf://",
        "hf://name",
        "hf:///name",
        "hf://someone/../x",
        "hf://someone/a-network/../../x.bin",
        "hf://someone/a-network@",
        "someone/a-network",
    ] {
        refused(&hub, source, &["hf://organisation/name"]);
    }
}

#[test]
fn one_that_waits_for_another_download_fetches_what_that_one_threw_away() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::new(&[("pytorch_model.bin", &bytes(2500))]);
    let hub = hub(&server, cache.path());
    let blobs = cache.path().join("models--someone--a-network/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = server.blob("pytorch_model.bin");
    let partial = blobs.join(format!("{blob}.hydranet.incomplete"));
    let file = std::fs::File::create(&partial).unwrap();
    file.lock().unwrap();
    let path = std::thread::scope(|threads| {
        let fetched = threads.spawn(|| hub.fetch(SOURCE).unwrap());
        while server.state().seen.len() < 2 && !fetched.is_finished() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        std::fs::remove_file(&partial).unwrap();
        drop(file);
        fetched.join().unwrap()
    });
    assert_eq!(std::fs::read(path).unwrap(), bytes(2500));
}

#[test]
fn a_server_that_is_asked_too_often_gets_the_pause_it_wants_and_few_files_are_named() {
    let cache = tempfile::tempdir().unwrap();
    let names: Vec<String> = (10..60).map(|i| format!("file-{i}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b""[..])).collect();
    let server = Server::new(&files);
    let hub = hub(&server, cache.path());
    server.state().refuse = Some(("/revision/", "429 Too Many Requests"));
    server.state().refuse_once = true;
    let begun = std::time::Instant::now();
    refused(&hub, SOURCE, &["file-10, file-11", "file-49, …"]);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    server.requests();
    hub.fetch("hf://someone/a-network/file-59").unwrap();
    let listed = |r: &String| r.contains("siblings") || r.contains("/tree/");
    assert!(!server.requests().iter().any(listed));
}

#[test]
fn a_server_of_another_kind_is_not_called_unreached() {
    use std::io::{Read, Write};
    let cache = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    for scheme in ["http", "https"] {
        let hub = Hub {
            endpoint: Some(format!("{scheme}://{address}")),
            cache: Some(cache.path().into()),
            ..Hub::default()
        };
        refused(&hub, SOURCE, &["its answer cannot be used"]);
    }
}

#[test]
fn a_failure_says_whether_to_try_again() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::new(&[("other.bin", b"other")]);
    let hub = hub(&server, cache.path());
    let kind = |hub: &Hub| match hub.fetch(SOURCE) {
        Err(Error::Hub { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    // The repository has no weights.
    assert_eq!(kind(&hub), HubErrorKind::NotFound);
    for (answer, expected) in [
        ("503 Service Unavailable", HubErrorKind::TryAgain),
        ("404 Not Found", HubErrorKind::NotFound),
        ("403 Forbidden", HubErrorKind::Forbidden),
    ] {
        server.state().refuse = Some(("/revision/", answer));
        assert_eq!(kind(&hub), expected, "{answer}");
    }
    let offline = Hub {
        offline: true,
        ..hub
    };
    assert_eq!(kind(&offline), HubErrorKind::Offline);
}
