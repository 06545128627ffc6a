//! Training by `mpirun`, as a user types it: `cargo test --features mpi --test mpi`. Where Open MPI is not installed it says so.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

use common::runs::{Bench, HEADS};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The command as so many processes, each with so many threads; one is started without MPI.
fn hydranet(folder: &Path, processes: usize, threads: usize) -> Command {
    let program = env!("CARGO_BIN_EXE_hydranet");
    let mut command = if processes == 1 {
        Command::new(program)
    } else {
        let mut mpirun = Command::new("mpirun");
        let number = processes.to_string();
        mpirun.args([
            "--allow-run-as-root",
            "--oversubscribe",
            "--bind-to",
            "none",
            "-n",
            &number,
        ]);
        mpirun.arg(program);
        mpirun
    };
    command
        .current_dir(folder)
        .args(["--threads", &threads.to_string()]);
    command
}

/// A training of small photos in four parts.
fn training(bench: &Bench, processes: usize, threads: usize, out: &str, more: &[&str]) -> Command {
    let mut command = hydranet(bench.dir.path(), processes, threads);
    command
        .args(["train", "--heads", HEADS, "--data"])
        .arg(&bench.data);
    command.args(["--out", out]);
    let settings = [
        "model.input.size=[32,32]",
        "train.batch=12",
        "train.parts=4",
    ];
    for setting in settings.iter().chain(more) {
        command.args(["--set", setting]);
    }
    command
}

fn resumed(bench: &Bench, processes: usize, out: &str) -> Command {
    let mut command = hydranet(bench.dir.path(), processes, 1);
    command.args(["train", "--heads", HEADS, "--resume", "--out", out]);
    command
}

fn works(mut command: Command) -> Output {
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {said}");
    out
}

fn same(bench: &Bench, one: &str, other: &str) {
    for file in [
        "best.safetensors",
        "last.safetensors",
        "state.safetensors",
        "metrics.csv",
    ] {
        let [a, b] = [one, other].map(|run| bench.bytes(run, file));
        assert!(a == b, "{file} of {one} and {other}");
    }
}

/// Whether there is an `mpirun`.
fn installed() -> bool {
    let there = Command::new("mpirun").arg("--version").output().is_ok();
    if !there {
        eprintln!(
            "mpirun was not found: training on several processes was not tried (Debian: openmpi-bin)"
        );
    }
    there
}

#[test]
fn processes_and_threads_do_not_change_the_bytes_of_a_convolutional_network_and_of_a_vit() {
    if !installed() {
        return;
    }
    let bench = Bench::new();
    let kinds: [(&str, &[&str]); 3] = [
        ("cnn", &["train.epochs=2", "train.drop_path=0.1"]),
        ("sync", &["train.epochs=1", "train.batch_norm=sync"]),
        (
            "vit",
            &[
                "train.epochs=1",
                "model.backbone=vit_tiny_patch16_224",
                "model.weights=",
            ],
        ),
    ];
    for (kind, settings) in kinds {
        let alone = format!("{kind}-1-1");
        works(training(&bench, 1, 1, &alone, settings));
        for (processes, threads) in [(2, 1), (2, 2), (4, 1)] {
            let name = format!("{kind}-{processes}-{threads}");
            let out = works(training(&bench, processes, threads, &name, settings));
            same(&bench, &alone, &name);
            // One process speaks.
            let said = String::from_utf8_lossy(&out.stdout);
            assert_eq!(
                said.matches("the model is that of epoch").count(),
                1,
                "{said}"
            );
        }
    }
}

/// The processes below this one, by their numbers, whose program is hydranet.
fn ranks(mpirun: &Child) -> Vec<u32> {
    let parent = |number: u32| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("PPid:"))?;
        line.trim().parse().ok()
    };
    let all = fs::read_dir("/proc").unwrap();
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut below: Vec<u32> = numbers
        .filter(|n| parent(*n) == Some(mpirun.id()))
        .collect();
    below.sort_unstable();
    below
}

/// Whether a process is there, and not one that has ended and that nobody has asked after.
fn runs(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    status.is_ok_and(|s| !s.contains("State:\tZ"))
}

fn send(signal: &str, process: u32) {
    let status = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// Waits for the end, at most so long.
fn ends_within(child: &mut Child, most: Duration) -> Option<i32> {
    let from = Instant::now();
    while from.elapsed() < most {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it still runs after {most:?}");
}

/// Starts it, and waits until a state is saved and all processes are there.
fn under_way(bench: &Bench, mut command: Command, out: &str) -> (Child, Vec<u32>) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let from = Instant::now();
    let mut all = ranks(&child);
    let saved = || bench.out(out).join("state.safetensors").exists();
    while (all.len() < 2 || !saved()) && from.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
        all = ranks(&child);
    }
    (child, all)
}

#[test]
fn a_killed_process_ends_the_others_and_the_run_goes_on_from_what_was_saved() {
    if !installed() {
        return;
    }
    let bench = Bench::new();
    let settings = ["train.epochs=24"];
    works(training(&bench, 1, 1, "whole", &settings));
    // Each of the two once, at other moments.
    for (victim, wait) in [(0, 150), (1, 400)] {
        let name = format!("killed-{victim}");
        let command = training(&bench, 2, 1, &name, &settings);
        let (mut child, all) = under_way(&bench, command, &name);
        std::thread::sleep(Duration::from_millis(wait));
        send("-KILL", all[victim]);
        let code = ends_within(&mut child, Duration::from_secs(15));
        assert_ne!(code, Some(0));
        let from = Instant::now();
        for other in all {
            while runs(other) {
                let late = from.elapsed() > Duration::from_secs(10);
                assert!(!late, "process {other} outlives process {}", victim + 1);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        works(resumed(&bench, if victim == 0 { 4 } else { 1 }, &name));
        same(&bench, "whole", &name);
    }
}

#[test]
fn a_process_that_is_asked_to_end_ends_all_of_them_with_everything_saved() {
    if !installed() {
        return;
    }
    let bench = Bench::new();
    let settings = ["train.epochs=24"];
    works(training(&bench, 1, 1, "whole", &settings));
    let command = training(&bench, 2, 1, "asked", &settings);
    let (mut child, all) = under_way(&bench, command, "asked");
    send("-TERM", all[1]);
    assert_eq!(ends_within(&mut child, Duration::from_secs(30)), Some(130));
    works(resumed(&bench, 2, "asked"));
    same(&bench, "whole", "asked");
}

#[test]
fn what_is_wrong_is_said_once_and_ends_all() {
    if !installed() {
        return;
    }
    let bench = Bench::new();
    let out = training(&bench, 2, 1, "odd", &["train.parts=3"])
        .output()
        .unwrap();
    assert!(!out.status.success());
    let said = String::from_utf8_lossy(&out.stderr);
    let message = "error: train.parts: expected a multiple of 2, the number of processes, found 3";
    assert_eq!(said.matches(message).count(), 1, "{said}");
}
