//! The command and the Hub, against a server on this machine that speaks its protocol.

use super::command;
use crate::common::hub_server::upload::LARGE;
use crate::common::hub_server::{COMMIT, REPO, Server, model, read, write};

const SOURCE: &str = "hf://someone/a-network";
const BEST: &str = "model.safetensors";

/// The command, with the environment's settings; the file there is of another network, and is said to be.
#[test]
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
    let tensors = hydranet::Tensors::from([("bn1.weights".to_string(), zeros)]);
    let file = hydranet::to_bytes(&tensors, None).unwrap();
    let server = Server::new(&[(BEST, &file)]);
    server.state().token = Some("secret".into());
    let message = |offline: &str, token: &str| {
        let out = command(dir.path())
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

/// The command, whose large files go up in parts.
#[test]
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
        let mut command = command(dir.path());
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
            .args(arguments)
            .env("HF_ENDPOINT", &server.endpoint)
            .env("HF_HOME", dir.path().join(home))
            .env("HF_TOKEN", token)
            .output()
            .unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        (out.status.success(), text)
    };
    let to_it = ["push", SOURCE, "folder"];
    let (done, text) = run("home", "", &to_it);
    assert!(!done && text.contains("no access token"), "{text}");
    assert_eq!(server.requests(), Vec::<String>::new());
    for part in ["/objects/batch", "/storage/", "/verify", "/commit/"] {
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
    let (done, text) = run("home", "", &["pull", SOURCE, "--out", "back"]);
    assert!(done, "{text}");
    assert!(text.contains("README.md: 12 bytes\nmodel.safetensors: 400000 bytes\n"));
    assert_eq!(
        read(&dir.path().join("back")),
        read(&dir.path().join("folder"))
    );
    let (done, text) = run("home", "", &["pull", SOURCE, "--out", "back"]);
    assert!(!done && text.contains("--overwrite"), "{text}");
}
