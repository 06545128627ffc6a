//! What is written is whole or said to be broken: full disks, readers who leave, processes that are killed, two runs in one
//! folder.

use super::{command, hydranet};
use crate::common::runs::{Bench, HEADS};
use crate::common::tiny;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The command that trains for `epochs` short epochs in `out`.
fn training(bench: &Bench, out: &str, epochs: usize) -> Command {
    let mut command = command(bench.dir.path());
    command
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
    let mut command = command(bench.dir.path());
    command
        .args(["train", "--heads", HEADS, "--resume", "--out", out])
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
    let mut command = command(dir);
    let out = command.args(args).stdout(full());
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
fn a_result_for_a_closed_output_is_an_error_and_for_dev_null_is_none() {
    let bench = Bench::new();
    model(&bench);
    let run = |to: &str| {
        let mut command = Command::new("sh");
        let line = format!("\"$0\" inspect --model model.safetensors {to}");
        command.current_dir(bench.dir.path()).args(["-c", &line]);
        let out = command.arg(env!("CARGO_BIN_EXE_hydranet")).output();
        let out = out.unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, message) = run(">&-");
    assert_eq!(code, Some(1), "{message}");
    assert!(
        message.contains("standard output: it is closed"),
        "{message}"
    );
    for null in [">/dev/null", "<>/dev/null >&0"] {
        assert_eq!(run(null), (Some(0), String::new()), "{null}");
    }
}

#[test]
fn a_command_that_ends_at_once_leaves_no_lock_behind_and_a_left_one_goes_with_the_next() {
    let bench = Bench::new();
    model(&bench);
    let ensemble = |out: File| {
        let mut command = command(bench.dir.path());
        command.args(["ensemble", "model.safetensors", "--out", "out"]);
        let out = command.stdout(out).output().unwrap();
        let message = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!bench.out(".out.lock").exists(), "{message}");
        (out.status.code(), message)
    };
    let (code, message) = ensemble(full());
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("standard output"), "{message}");
    std::fs::write(bench.out(".out.lock"), "").unwrap();
    let null = File::options().write(true).open("/dev/null").unwrap();
    let (code, message) = ensemble(null);
    assert_eq!(code, Some(0), "{message}");
}

#[test]
fn a_listing_from_a_pipe_is_read_once_and_is_enough() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let folder = bench.data.parent().unwrap();
    let rows = text.lines().enumerate().map(|(i, row)| match i {
        0 => format!("{row}\n"),
        _ => format!("{}\n", folder.join(row).display()),
    });
    let rows: String = rows.collect();
    let file = format!(
        "heads = {HEADS:?}\nset = [\"model.input.size=[32,32]\"]\nfolds = 2\n[[variants]]\nset = [\"train.mix_up=0\"]\n"
    );
    std::fs::write(bench.out("e.toml"), file).unwrap();
    let check = ["check", "--heads", HEADS, "--data", "/dev/stdin"];
    let plan = ["experiment", "e.toml", "--dry-run", "--data", "/dev/stdin"];
    for (args, word) in [(check, "persons on two sides"), (plan, "4 runs")] {
        let mut child = command(bench.dir.path())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut pipe, rows.as_bytes()).unwrap();
        drop(pipe);
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{out:?}");
        assert!(text.contains(word), "no `{word}`: {text}");
    }
}

#[test]
fn a_reader_who_has_read_enough_is_no_error() {
    let mut child = command(Path::new("."))
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

/// Whether this process, and so those that it starts, was told to ignore SIGHUP.
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn a_second_run_into_a_folder_is_refused_and_requests_to_end_save_the_first() {
    let bench = Bench::new();
    for name in ["-TERM", "-HUP"] {
        if name == "-HUP" && hang_up_is_ignored() {
            println!("not tried: these tests run under nohup, which the program obeys");
            continue;
        }
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
    let mut run = Ending(command.spawn().unwrap());
    wait_for(&bench.out("run").join("config.toml"), &mut run.0);
    signal(&run.0, "-HUP");
    assert!(run.0.wait().unwrap().success());
}

/// A process that does not outlive the test, however that ends.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every file in a run's folder is whole, and none is a half.
fn all_is_whole(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.ends_with(".partial"), "{name}");
        let bytes = std::fs::read(&path).unwrap();
        match name.as_str() {
            "best.safetensors" | "last.safetensors" => {
                hydranet::ModelFile::from_bytes(&bytes, &name).unwrap();
            }
            "state.safetensors" => {
                hydranet::read_tensors(&bytes, &name).unwrap();
            }
            "config.toml" => {
                hydranet::train::Config::read(&path).unwrap();
            }
            _ => {}
        }
    }
}

/// The same command under a limit of so many KiB for each file it writes, which it meets as a full disk.
fn limited(command: &Command, kib: usize) -> Command {
    let mut shell = Command::new("bash");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
        .arg(kib.to_string())
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    shell
}

#[test]
fn a_run_whose_files_do_not_fit_ends_with_a_message_and_goes_on_where_it_was_whole() {
    let bench = Bench::new();
    assert!(training(&bench, "whole", 3).status().unwrap().success());
    let size = |file: &str| {
        let path = bench.out("whole").join(file);
        std::fs::metadata(path).unwrap().len() / 1024
    };
    let (state, best) = (size("state.safetensors"), size("best.safetensors"));
    assert!(state > best + 1000);
    let between = usize::try_from((state + best) / 2).unwrap();

    // Not even the first state fits.
    let out = limited(&training(&bench, "new", 3), between).output();
    let out = out.unwrap();
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{message}");
    assert!(message.contains("error: cannot write"), "{message}");
    assert!(message.contains("state.safetensors"), "{message}");
    all_is_whole(&bench.out("new"));

    // The disk fills up on the way.
    let mut run = Ending(training(&bench, "run", 3).spawn().unwrap());
    wait_for(&bench.out("run").join("state.safetensors"), &mut run.0);
    signal(&run.0, "-TERM");
    run.0.wait().unwrap();
    let before = bench.bytes("run", "state.safetensors");
    let out = limited(&resumed(&bench, "run"), between).output().unwrap();
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{message}");
    assert!(message.contains("state.safetensors"), "{message}");
    all_is_whole(&bench.out("run"));
    assert!(bench.bytes("run", "state.safetensors") == before);
    assert!(resumed(&bench, "run").status().unwrap().success());
    for file in ["best.safetensors", "last.safetensors", "metrics.csv"] {
        let [a, b] = ["whole", "run"].map(|run| bench.bytes(run, file));
        assert!(a == b, "{file} differs");
    }
}

/// A small disk; it goes away with this value.
struct Disk<'a>(&'a Path);

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_leaves_whole_files_where_a_small_disk_may_be_mounted() {
    let bench = Bench::new();
    let disk = bench.out("disk");
    std::fs::create_dir(&disk).unwrap();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=30m", "none"])
        .arg(&disk);
    if !mount.output().is_ok_and(|out| out.status.success()) {
        println!("skipped: no disk may be mounted here");
        return;
    }
    let mounted = Disk(&disk);
    let mut command = training(&bench, "disk/run", 2);
    let out = command.stderr(Stdio::piped()).output().unwrap();
    let message = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{message}");
    assert!(message.contains("error: cannot write"), "{message}");
    all_is_whole(&disk.join("run"));
    drop(mounted);
}

#[test]
fn of_two_commands_that_write_the_same_file_the_second_is_refused() {
    let bench = Bench::new();
    model(&bench);
    let data = bench.data.display().to_string();
    let spec = format!("{HEADS}/age.toml");
    let lock = File::create(bench.out(".out.lock")).unwrap();
    lock.lock().unwrap();
    for args in [
        &[
            "calibrate",
            "--model",
            "model.safetensors",
            "--data",
            &data,
            "--out",
            "out",
        ][..],
        &[
            "decide",
            "--model",
            "model.safetensors",
            "--data",
            &data,
            "--rule",
            "prior",
            "--out",
            "out",
        ],
        &[
            "export",
            "--model",
            "model.safetensors",
            "--dtype",
            "f16",
            "--out",
            "out",
        ],
        &["export", "--model", "model.safetensors", "--onnx", "out"],
        &[
            "export",
            "--model",
            "model.safetensors",
            "--hugging-face",
            "out",
        ],
        &["ensemble", "model.safetensors", "--out", "out"],
        &[
            "heads",
            "extract",
            "--model",
            "model.safetensors",
            "--out",
            "out",
        ],
        &[
            "heads",
            "replace",
            "--model",
            "model.safetensors",
            "--out",
            "out",
            "age",
            "--spec",
            &spec,
        ],
    ] {
        let out = hydranet(bench.dir.path(), args);
        let message = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {message}");
        assert!(message.contains("another command"), "{args:?}: {message}");
        assert!(!bench.out("out").exists());
    }
    drop(lock);
    let half = bench.out("out.4194305-7.partial");
    std::fs::write(&half, "half").unwrap();
    let mut command = command(bench.dir.path());
    command.args(["export", "--model", "model.safetensors", "--dtype", "f16"]);
    let status = command.args(["--out", "out"]).stdout(Stdio::null());
    assert!(status.status().unwrap().success());
    assert!(!half.exists(), "what a killed process left");
    let hidden: Vec<_> = std::fs::read_dir(bench.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".lock"))
        .collect();
    assert_eq!(hidden, [""; 0]);
}

#[test]
fn audits_and_experiments_name_broken_photos_before_they_begin_and_go_on_without_them() {
    let bench = Bench::new();
    let photos = bench.data.with_file_name("images");
    let mut photos: Vec<_> = std::fs::read_dir(photos).unwrap().collect();
    photos.sort_by_key(|p| p.as_ref().unwrap().path());
    let broken = photos[0].as_ref().unwrap().path();
    std::fs::write(&broken, "no photo").unwrap();
    let name = broken.file_name().unwrap().to_str().unwrap().to_string();
    let small = [
        "model.input.size=[32,32]",
        "train.batch=8",
        "train.epochs=1",
    ];
    let set = small.map(|s| format!("{s:?}")).join(",");
    let file = format!(
        "heads = {HEADS:?}\nset = [{set}]\nfolds = 2\n[[variants]]\nset = [\"train.mix_up=0\"]\n"
    );
    std::fs::write(bench.out("e.toml"), file).unwrap();
    let data = bench.data.display().to_string();
    let mut audit = vec!["audit", "--heads", HEADS, "--folds", "2", "--data", &data];
    small.iter().for_each(|s| audit.extend(["--set", s]));
    let experiment = vec!["experiment", "e.toml", "--data", &data];
    for (what, args) in [("audit", audit), ("experiment", experiment)] {
        let run = |more: &[&str]| {
            let out = hydranet(bench.dir.path(), args.iter().chain(more));
            (out.status, String::from_utf8(out.stderr).unwrap())
        };
        let (status, message) = run(&["--out", what]);
        assert_eq!(status.code(), Some(1), "{message}");
        assert!(message.contains(&name), "{message}");
        assert!(message.contains("--skip-broken"), "{message}");
        let (status, message) = run(&["--out", what, "--skip-broken"]);
        assert!(status.success(), "{message}");
        assert!(
            message.contains(&format!("passed over: {data}")),
            "{message}"
        );
        assert!(message.contains("1 of "), "{message}");
        assert!(!message.contains("failed:"), "{message}");
    }
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
        let mut run = if state.exists() {
            resumed(&bench, "killed")
        } else {
            training(&bench, "killed", 4)
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
    let mut last = if state.exists() {
        resumed(&bench, "killed")
    } else {
        training(&bench, "killed", 4)
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
