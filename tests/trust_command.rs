//! The command when nobody reads it, the disk is full, or it is killed: what it says is true, and what it wrote is whole.
#![cfg(unix)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/heads");

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
    command.current_dir(dir).args(args);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// A folder with portraits of 20 people.
fn portraits() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = hydranet::train::portraits::PortraitConfig {
        people: 20,
        seed: 3,
        size: (48, 48),
    };
    hydranet::train::portraits::write_portraits(&dir.path().join("faces"), &config).unwrap();
    dir
}

const SMALL: [&str; 4] = [
    "--set",
    "model.input.size=[32,32]",
    "--set",
    "train.batch=8",
];

fn train<'a>(out: &'a str, epochs: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec![
        "train",
        "--heads",
        HEADS,
        "--data",
        "faces/portraits.csv",
        "--out",
        out,
    ];
    args.extend(SMALL);
    args.extend(["--set", epochs]);
    args.extend(more);
    args
}

fn works(mut command: Command) -> Output {
    let out = command.output().unwrap();
    assert!(
        out.status.success(),
        "{}{}",
        text(&out.stderr),
        text(&out.stdout)
    );
    out
}

#[test]
fn a_full_disk_under_standard_output_is_an_error_and_a_closed_pipe_is_not() {
    let dir = portraits();
    works(command(dir.path(), &train("run", "train.epochs=1", &[])));
    let model = "run/best.safetensors";
    for args in [
        &["predict", "--model", model, "faces/images"][..],
        &["inspect", "--json", "--model", model],
        &[
            "evaluate",
            "--model",
            model,
            "--data",
            "faces/portraits.csv",
        ],
        &["check", "--heads", HEADS, "--data", "faces/portraits.csv"],
    ] {
        let out = command(dir.path(), args).stdout(full()).output().unwrap();
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("standard output"), "{args:?}: {said}");
        // A pipe whose reader is gone.
        let mut child = command(dir.path(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
    }
}

#[test]
fn training_goes_on_when_its_progress_cannot_be_shown() {
    let dir = portraits();
    works(command(dir.path(), &train("shown", "train.epochs=2", &[])));
    let status = command(dir.path(), &train("unseen", "train.epochs=2", &[]))
        .stderr(full())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", text(&status.stdout));
    let mut child = command(dir.path(), &train("closed", "train.epochs=2", &[]))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    let bytes = |run: &str| std::fs::read(dir.path().join(run).join("best.safetensors")).unwrap();
    assert_eq!(bytes("unseen"), bytes("shown"));
    assert_eq!(bytes("closed"), bytes("shown"));
}

/// Sends a signal by name.
fn signal(child: &std::process::Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn a_run_asked_to_end_saves_what_it_has_whatever_the_signal() {
    for name in ["-TERM", "-HUP", "-INT"] {
        let dir = portraits();
        let mut child = command(dir.path(), &train("run", "train.epochs=500", &[]))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let state = dir.path().join("run/metrics.csv");
        let start = Instant::now();
        while !state.exists() {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "no epoch in two minutes"
            );
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(&child, name);
        let out = child.wait_with_output().unwrap();
        assert_eq!(
            out.status.code(),
            Some(130),
            "{name}: {}",
            text(&out.stdout)
        );
        assert!(text(&out.stdout).contains("--resume"), "{name}");
    }
}

#[test]
fn a_run_killed_at_twenty_moments_ends_with_the_bytes_of_one_that_was_not() {
    let dir = portraits();
    works(command(dir.path(), &train("whole", "train.epochs=6", &[])));
    let state = dir.path().join("killed/state.safetensors");
    let go_on = || {
        if !state.exists() {
            return train("killed", "train.epochs=6", &[]);
        }
        // A run goes on with its own settings.
        vec![
            "train",
            "--heads",
            HEADS,
            "--data",
            "faces/portraits.csv",
            "--out",
            "killed",
            "--resume",
        ]
    };
    let mut finished = false;
    for i in 0..20u64 {
        let mut child = command(dir.path(), &go_on())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Moments spread over the length of a run, the same at every run of this test.
        std::thread::sleep(Duration::from_millis(40 + (i * 677) % 1400));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            finished = true;
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    if !finished {
        works(command(dir.path(), &go_on()));
    }
    for file in [
        "best.safetensors",
        "last.safetensors",
        "metrics.csv",
        "split.csv",
        "scores.json",
    ] {
        let bytes = |run: &str| std::fs::read(dir.path().join(run).join(file)).unwrap();
        assert!(bytes("killed") == bytes("whole"), "{file}");
    }
    let left = std::fs::read_dir(dir.path().join("killed")).unwrap();
    let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|n| n.to_string_lossy().ends_with(".partial")),
        "{left:?}"
    );
}
