//! What is written is whole or said to be broken: full disks, readers who leave, processes that are killed, two runs in one folder.
#![cfg(target_os = "linux")]

mod runs;
mod tiny;

use runs::{Bench, HEADS};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The command that trains for `epochs` short epochs in `out`.
fn training(bench: &Bench, out: &str, epochs: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
    command
        .current_dir(bench.dir.path())
        .args(["train", "--heads", HEADS, "--data"])
        .arg(&bench.data)
        .args(["--out", out, "--set", "model.input.size=[32,32]"])
        .args(["--set", "train.batch=8", "--set"])
        .arg(format!("train.epochs={epochs}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The command that goes on with the run in `out`.
fn resumed(bench: &Bench, out: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
    command
        .current_dir(bench.dir.path())
        .args([
            "train", "--heads", HEADS, "--resume", "--out", out, "--data",
        ])
        .arg(&bench.data)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn model(bench: &Bench) {
    let path = bench.out("model.safetensors");
    tiny::model().write(path).unwrap();
}

/// With standard output on a full disk: the command fails and says why.
fn fails_on_a_full_disk(dir: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
    let out = command.current_dir(dir).args(args).stdout(full());
    let out = out.output().unwrap();
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{args:?}: {message}");
    assert!(message.contains("standard output"), "{args:?}: {message}");
}

#[test]
fn a_result_that_a_full_disk_does_not_take_is_an_error() {
    let bench = Bench::new();
    model(&bench);
    let data = bench.data.display().to_string();
    let photos = bench.data.with_file_name("images").display().to_string();
    let dir = bench.dir.path();
    let model = "model.safetensors";
    fails_on_a_full_disk(dir, &["predict", "--model", model, &photos]);
    fails_on_a_full_disk(dir, &["predict", "--model", model, "--json", &photos]);
    fails_on_a_full_disk(dir, &["inspect", "--json", "--model", model]);
    fails_on_a_full_disk(dir, &["inspect", "--model", model]);
    fails_on_a_full_disk(dir, &["check", "--heads", HEADS, "--data", &data]);
    fails_on_a_full_disk(dir, &["--help"]);
    fails_on_a_full_disk(dir, &["--version"]);
}

#[test]
fn a_reader_who_has_read_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hydranet"))
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(out.stderr.is_empty(), "{out:?}");
}

#[test]
fn training_goes_on_when_nobody_can_read_its_progress() {
    let bench = Bench::new();
    let status = training(&bench, "full", 1).stderr(full()).status();
    assert!(status.unwrap().success());
    let mut child = training(&bench, "closed", 1)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    let [a, b] = ["full", "closed"].map(|run| bench.bytes(run, "best.safetensors"));
    assert!(a == b);
}

/// Waits until a file is there.
fn wait_for(path: &Path, child: &mut Child) {
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let status = Command::new("kill").args([name, &id]).status();
    assert!(status.unwrap().success());
}

#[test]
fn a_second_run_into_a_folder_is_refused_and_requests_to_end_save_the_first() {
    let bench = Bench::new();
    for name in ["-TERM", "-HUP"] {
        let out = format!("run{name}");
        let mut first = training(&bench, &out, 1000).spawn().unwrap();
        wait_for(&bench.out(&out).join("config.toml"), &mut first);
        let second = training(&bench, &out, 1).stderr(Stdio::piped()).output();
        let second = second.unwrap();
        let message = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{message}");
        assert!(message.contains("another run"), "{message}");
        signal(&first, name);
        assert_eq!(first.wait().unwrap().code(), Some(130));
        assert!(bench.out(&out).join("state.safetensors").exists());
    }
}

#[test]
fn what_a_killed_process_left_half_written_goes_away_and_its_lock_does_not_hold() {
    let bench = Bench::new();
    let mut run = training(&bench, "run", 1000).spawn().unwrap();
    let folder = bench.out("run");
    wait_for(&folder.join("config.toml"), &mut run);
    run.kill().unwrap();
    run.wait().unwrap();
    let half = folder.join("best.safetensors.12345-6.partial");
    let own = folder.join("notes.partial");
    for file in [&half, &own] {
        std::fs::write(file, "half").unwrap();
    }
    let _ = std::fs::remove_file(folder.join("state.safetensors"));
    assert!(training(&bench, "run", 1).status().unwrap().success());
    assert!(!half.exists());
    assert!(own.exists(), "a file of somebody else's");
}

#[test]
fn a_broken_photo_is_named_before_training_and_a_run_goes_on_without_it() {
    let bench = Bench::new();
    let photos = bench.data.with_file_name("images");
    let split = |n: usize| {
        let mut photos: Vec<_> = std::fs::read_dir(&photos).unwrap().collect();
        photos.sort_by_key(|p| p.as_ref().unwrap().path());
        photos[n].as_ref().unwrap().path()
    };
    let output = |command: &mut Command| {
        let out = command.stderr(Stdio::piped()).output().unwrap();
        (out.status, String::from_utf8(out.stderr).unwrap())
    };
    // Stopped after some epochs, and then a photo breaks.
    let mut run = training(&bench, "run", 8).spawn().unwrap();
    wait_for(&bench.out("run").join("state.safetensors"), &mut run);
    signal(&run, "-TERM");
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let broken = split(0);
    std::fs::write(&broken, "no photo").unwrap();
    let name = broken.file_name().unwrap().to_str().unwrap().to_string();

    let (status, message) = output(&mut training(&bench, "new", 1));
    assert_eq!(status.code(), Some(1), "{message}");
    assert!(message.contains(&name), "{message}");
    assert!(message.contains("--skip-broken"), "{message}");
    assert!(
        !bench.out("new").exists(),
        "found before anything is written"
    );

    let (status, message) = output(training(&bench, "new", 1).arg("--skip-broken"));
    assert!(status.success(), "{message}");
    assert!(message.contains(&name), "{message}");
    assert!(message.contains("1 of "), "{message}");

    let resume = || resumed(&bench, "run");
    let (status, message) = output(&mut resume());
    assert_eq!(status.code(), Some(1), "{message}");
    assert!(message.contains("--skip-broken"), "{message}");
    let (status, message) = output(resume().arg("--skip-broken"));
    assert!(status.success(), "{message}");
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let bench = Bench::new();
    let plain = training(&bench, "run", 3);
    let mut command = Command::new("nohup");
    command
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(bench.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    wait_for(&bench.out("run").join("config.toml"), &mut run);
    signal(&run, "-HUP");
    assert!(run.wait().unwrap().success());
}

#[test]
fn a_training_killed_at_20_moments_ends_as_if_it_had_never_been() {
    let bench = Bench::new();
    assert!(training(&bench, "whole", 4).status().unwrap().success());
    let state = bench.out("killed").join("state.safetensors");
    let config = bench.out("killed").join("config.toml");
    // SplitMix64, so that a failure can be repeated.
    let mut seed = 7u64;
    for _ in 0..20 {
        let mut run = match state.exists() {
            true => resumed(&bench, "killed"),
            false => training(&bench, "killed", 4),
        }
        .spawn()
        .unwrap();
        if !config.exists() {
            wait_for(&config, &mut run);
        }
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        std::thread::sleep(Duration::from_millis((z ^ (z >> 31)) % 1500));
        run.kill().unwrap();
        run.wait().unwrap();
    }
    let mut last = match state.exists() {
        true => resumed(&bench, "killed"),
        false => training(&bench, "killed", 4),
    };
    assert!(last.status().unwrap().success());
    for file in [
        "best.safetensors",
        "last.safetensors",
        "metrics.csv",
        "scores.json",
    ] {
        let [a, b] = ["whole", "killed"].map(|run| bench.bytes(run, file));
        assert!(a == b, "{file} differs");
    }
    for entry in std::fs::read_dir(bench.out("killed")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with(".partial"), "{name:?}");
    }
}
