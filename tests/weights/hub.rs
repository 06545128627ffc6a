//! Weights from the Hub, against a server on this machine that speaks its protocol.

use crate::hub_server::{COMMIT, Server};
use hydranet::hub::Hub;
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
    let message = hub.fetch(source).unwrap_err().to_string();
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
        let hub = Hub {
            part: 1000,
            ..hub(&server, cache.path())
        };
        // In the middle of the third part.
        server.state().budget = Some(2500);
        refused(&hub, SOURCE, &[file, "after 2000 of 5000 bytes", "goes on"]);
        server.state().budget = None;
        server.requests();
        let path = hub.fetch(SOURCE).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), bytes(5000));
        let requests = server.requests();
        let sent: Vec<&str> = requests
            .iter()
            .filter(|r| r.starts_with("GET") && !r.contains("/api/"))
            .filter_map(|r| r.split("bytes=").nth(1))
            .collect();
        let mut expected = vec!["2000-2999", "3000-3999", "4000-4999"];
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
    let hub = Hub {
        part: 1000,
        ..hub(&server, cache.path())
    };
    assert_eq!(
        std::fs::read(hub.fetch(SOURCE).unwrap()).unwrap(),
        bytes(2500)
    );
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

/// The command, with the environment's settings; the file there is of another network, and is said to be.
#[test]
#[cfg(feature = "cli")]
fn the_command_takes_the_hubs_address_token_and_cache_from_the_environment() {
    use candle_core::{DType, Device, Tensor};
    use hydranet::cli::portraits::{PortraitConfig, write_portraits};
    let dir = tempfile::tempdir().unwrap();
    let config = PortraitConfig {
        people: 8,
        seed: 3,
        size: (32, 32),
    };
    write_portraits(&dir.path().join("faces"), &config).unwrap();
    let zeros = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    let tensors = hydranet::model_file::Tensors::from([("bn1.weights".to_string(), zeros)]);
    let file = hydranet::model_file::to_bytes(&tensors, None).unwrap();
    let server = Server::new(&[(BEST, &file)]);
    server.state().token = Some("secret".into());
    let message = |offline: &str, token: &str| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_hydranet"))
            .current_dir(dir.path())
            .args(["train", "--data", "faces/portraits.csv", "--out", "run"])
            .args(["--heads", concat!(env!("CARGO_MANIFEST_DIR"), "/heads")])
            .args(["--set", &format!("model.weights={SOURCE}")])
            .env("HF_ENDPOINT", &server.endpoint)
            .env("HF_HOME", dir.path().join("home"))
            .env("HF_TOKEN", token)
            .env("HF_HUB_OFFLINE", offline)
            .env_remove("HF_HUB_CACHE")
            .env_remove("HUGGINGFACE_HUB_CACHE")
            .output()
            .unwrap();
        assert!(!out.status.success());
        String::from_utf8(out.stderr).unwrap()
    };
    for (offline, token, words) in [
        ("1", "secret", vec!["HF_HUB_OFFLINE", "home/hub"]),
        ("0", "wrong", vec!["401", "HF_TOKEN"]),
        (
            "0",
            "secret",
            vec![
                BEST,
                "missing tensors",
                "bn1.weights; the nearest of the missing ones is bn1.weight",
            ],
        ),
        ("1", "secret", vec![BEST, "missing tensors"]),
    ] {
        let message = message(offline, token);
        for word in words {
            assert!(message.contains(word), "no `{word}` in: {message}");
        }
    }
}
