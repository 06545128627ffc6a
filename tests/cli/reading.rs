//! What is given where a file is needed: a device, a pipe, a folder, a file without end, bytes that are no text. Each is refused
//! in words and at once.

use super::command;
use crate::common::tiny;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/heads");
const LIMIT: Duration = Duration::from_secs(30);

/// Runs the command, which must fail within [`LIMIT`], and gives what it says.
fn fails(dir: &Path, args: &[&str]) -> String {
    let mut child = command(dir)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("{args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(!status.success(), "{args:?} succeeded: {said}");
    assert!(!said.contains("panicked"), "{args:?}: {said}");
    said
}

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn what_is_no_file_is_refused_wherever_a_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    tiny::model().write(at("m.safetensors")).unwrap();
    std::fs::write(at("a.csv"), "path,mask\n").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    pipe(&at("pipe"));
    pipe(&at("pipe.jpg"));
    pipe(&at("pipe.toml"));
    std::os::unix::fs::symlink("/dev/zero", at("zero.jpg")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("zero.toml")).unwrap();
    // A file of a tebibyte, of which nothing is on the disk.
    let endless = std::fs::File::create(at("endless")).unwrap();
    endless.set_len(1 << 40).unwrap();
    let check = ["check", "--heads", HEADS, "--data"];
    let with = |args: &[&'static str], more: &[&'static str]| [args, more].concat();
    let mut cases = Vec::new();
    for (file, what) in [
        ("/dev/zero", "a device"),
        ("pipe", "a named pipe"),
        ("endless", "at most"),
        #[cfg(target_os = "linux")]
        ("/proc/self/pagemap", "error"),
        #[cfg(target_os = "linux")]
        ("/proc/kmsg", "error"),
    ] {
        cases.push((vec!["predict", "--model", file, "x.jpg"], what));
        cases.push((vec!["inspect", "--model", file], what));
        let train = ["train", "--heads", HEADS, "--out", "run", "--data"];
        cases.push((with(&train, &[file]), what));
        cases.push((with(&check, &[file]), what));
        cases.push((with(&check, &["a.csv", "--config", file]), what));
        cases.push((with(&check, &["a.csv", "--corrections", file]), what));
        cases.push((vec!["experiment", file, "--out", "experiment"], what));
        cases.push((
            vec![
                "predict",
                "--model",
                "m.safetensors",
                "--listing",
                file,
                "--result",
                "r.csv",
            ],
            what,
        ));
    }
    for file in ["pipe.jpg", "zero.jpg"] {
        cases.push((
            vec!["predict", "--model", "m.safetensors", file],
            "a file is needed",
        ));
    }
    for file in ["pipe.toml", "zero.toml"] {
        cases.push((
            with(&check, &["a.csv", "--corrections", file]),
            "a file is needed",
        ));
    }
    cases.push((with(&check, &["a.csv", "--config", "folder"]), "a folder"));
    for (args, what) in cases {
        let said = fails(dir.path(), &args);
        assert!(said.contains(what), "{args:?}: {said}");
    }
}

#[test]
fn settings_that_are_no_text_are_refused_with_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a.csv"), "path,mask\n").unwrap();
    std::fs::write(at("latin.toml"), b"[train]\nepochs = 1\n# gr\xF6\xDFer\n").unwrap();
    let args = ["check", "--heads", HEADS, "--data", "a.csv", "--config"];
    let said = fails(dir.path(), &[&args[..], &["latin.toml"]].concat());
    assert!(
        said.contains("latin.toml") && said.contains("line 3 is not UTF-8"),
        "{said}"
    );
    // A heads folder as well.
    std::fs::create_dir(at("heads")).unwrap();
    for entry in std::fs::read_dir(HEADS).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, at("heads").join(path.file_name().unwrap())).unwrap();
    }
    let mut head = std::fs::read(at("heads/mask.toml")).unwrap();
    head.extend(b"\n# \xFF\n");
    std::fs::write(at("heads/mask.toml"), head).unwrap();
    let said = fails(
        dir.path(),
        &["check", "--heads", "heads", "--data", "a.csv"],
    );
    assert!(
        said.contains("mask.toml") && said.contains("is not UTF-8"),
        "{said}"
    );
}

#[test]
fn a_listing_still_comes_through_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "path,mask\nno.jpg,worn\n").unwrap();
    let run = |script: &str| {
        let out = Command::new("sh")
            .current_dir(dir.path())
            .args(["-c", script])
            .env("HYDRANET", env!("CARGO_BIN_EXE_hydranet"))
            .env("HEADS", HEADS)
            .output()
            .unwrap();
        String::from_utf8(out.stderr).unwrap() + &String::from_utf8(out.stdout).unwrap()
    };
    for script in [
        "cat a.csv | \"$HYDRANET\" check --heads \"$HEADS\" --data /dev/stdin",
        "\"$HYDRANET\" check --heads \"$HEADS\" --data /dev/stdin < a.csv",
    ] {
        let said = run(script);
        assert!(said.contains("no.jpg"), "{said}");
    }
}

#[test]
fn predict_says_what_of_a_folder_is_passed_over_and_what_is_like_a_missing_photo() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    tiny::model().write(at("m.safetensors")).unwrap();
    std::fs::create_dir(at("photos")).unwrap();
    std::fs::write(at("photos/a.jfif"), "").unwrap();
    std::fs::write(at("photos/b.heic"), "").unwrap();
    let said = fails(
        dir.path(),
        &["predict", "--model", "m.safetensors", "photos"],
    );
    assert!(
        said.contains("passed over in photos: 1 file that is no photo by name (.heic 1)"),
        "{said}"
    );
    assert!(said.contains("a.jfif"), "{said}");
    let said = fails(
        dir.path(),
        &["predict", "--model", "m.safetensors", "Photos\\a.jpg"],
    );
    assert!(said.contains("`photos/a.jfif` is there"), "{said}");
}
