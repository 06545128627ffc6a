//! Work in shards: any number of them, put together, gives the bytes of the single run, and what does not belong is refused.

use super::{command, hydranet, text, works};
use crate::common::runs::{Bench, HEADS};
use crate::common::tiny;
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Numbers of shards: one, some, and more than there are photos.
const SHARDS: [usize; 5] = [1, 2, 3, 7, 12];

fn models(dir: &Path) {
    tiny::model().write(dir.join("model.safetensors")).unwrap();
    tiny::build(2).write(dir.join("other.safetensors")).unwrap();
}

/// A folder with ten portraits, their listing, and two models that were trained on nobody.
fn drawn() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = PortraitConfig {
        people: 6,
        seed: 1,
        size: (48, 48),
    };
    let faces = dir.path().join("faces");
    let listing = write_portraits(&faces, &config).unwrap();
    let table = std::fs::read_to_string(&listing).unwrap();
    let lines: Vec<&str> = table.split_inclusive('\n').collect();
    std::fs::write(listing, lines[..=10].concat()).unwrap();
    for line in &lines[11..] {
        let photo = line.split(',').next().unwrap();
        std::fs::remove_file(faces.join(photo)).unwrap();
    }
    models(dir.path());
    dir
}

/// Does all shards of a command whose output is `out`, the last first.
fn shards(dir: &Path, args: &[&str], out: &str, of: usize) {
    for number in (1..=of).rev() {
        let shard = format!("{number}/{of}");
        let said = hydranet(dir, [args, &["--shard", &shard]].concat());
        let path = dir.join(format!("{out}.{number}-of-{of}.shard"));
        assert!(path.is_file(), "{shard}: {}", text(&said.stderr));
    }
}

fn read(dir: &Path, file: &str) -> Vec<u8> {
    std::fs::read(dir.join(file)).unwrap()
}

#[test]
fn shards_of_predictions_make_the_bytes_of_the_single_run() {
    let dir = drawn();
    let dir = dir.path();
    std::fs::write(dir.join("faces/images/broken.jpg"), "no photo").unwrap();
    let model = ["predict", "--model", "model.safetensors", "faces/images"];
    for more in [&[][..], &["--json"]] {
        let args = [&model, more].concat();
        let printed = hydranet(dir, &args);
        assert_eq!(printed.status.code(), Some(1), "one photo is broken");
        let lines = printed.stdout.iter().filter(|b| **b == b'\n').count();
        assert_eq!(lines, 10 + usize::from(more.is_empty()));
        let to_file = [&args[..], &["--out", "alone"]].concat();
        assert_eq!(hydranet(dir, &to_file).status.code(), Some(1));
        assert_eq!(read(dir, "alone"), printed.stdout);
        for of in SHARDS {
            let out = format!("all-{of}");
            shards(dir, &[&args[..], &["--out", &out]].concat(), &out, of);
            let merged = hydranet(dir, ["merge", &out]);
            let said = text(&merged.stderr);
            assert_eq!(merged.status.code(), Some(1), "{said}");
            assert!(said.contains("1 of 11 photos could not be read"), "{said}");
            assert!(read(dir, &out) == printed.stdout, "{of} shards, {more:?}");
            for number in 1..=of {
                std::fs::remove_file(dir.join(format!("{out}.{number}-of-{of}.shard"))).unwrap();
            }
        }
    }
}

#[test]
fn shards_of_an_answered_listing_make_the_bytes_of_the_single_run() {
    let dir = drawn();
    let dir = dir.path();
    let table = String::from_utf8(read(dir, "faces/portraits.csv")).unwrap();
    let names = table.lines().skip(1).filter_map(|l| l.split(',').next());
    let mut listing = String::from("ImageID,ans\n");
    names.for_each(|name| listing += &format!("{name},0\n"));
    listing += "images/gone.jpg,0\n";
    std::fs::write(dir.join("faces/info.csv"), listing).unwrap();
    let args = ["predict", "--model", "model.safetensors", "--listing"];
    let args = [
        &args[..],
        &["faces/info.csv", "--images", "faces", "--result"],
    ]
    .concat();
    let alone = hydranet(dir, [&args[..], &["alone.csv"]].concat());
    for of in [1, 3, 12] {
        let out = format!("all-{of}.csv");
        shards(dir, &[&args[..], &[&out]].concat(), &out, of);
        let merged = hydranet(dir, ["merge", &out]);
        assert_eq!(merged.status.code(), alone.status.code());
        assert_eq!(
            text(&merged.stdout),
            text(&alone.stdout).replace("alone.csv", &out)
        );
        assert!(read(dir, &out) == read(dir, "alone.csv"), "{of} shards");
    }
}

#[test]
fn shards_of_an_evaluation_make_the_scores_and_the_table_of_the_single_run() {
    let dir = drawn();
    let dir = dir.path();
    let data = ["--data", "faces/portraits.csv", "--split", "all"];
    let args = [&["evaluate", "--model", "model.safetensors"], &data[..]].concat();
    for shown in [&["--json", "--coverage"][..], &["--all"], &[]] {
        let args = [&args[..], shown].concat();
        let alone = works(dir, &[&args[..], &["--out", "alone.csv"]].concat());
        for of in SHARDS {
            let out = format!("all-{of}.csv");
            shards(dir, &[&args[..], &["--out", &out]].concat(), &out, of);
            assert_eq!(works(dir, &["merge", &out]), alone, "{of} shards");
            assert!(read(dir, &out) == read(dir, "alone.csv"), "{of} shards");
        }
    }
}

#[test]
fn a_shard_that_is_missing_doubled_foreign_or_damaged_is_named() {
    let dir = drawn();
    let dir = dir.path();
    let predict = |model: &str, photos: &str, out: &str, shard: &str| {
        let args = ["predict", "--model", model, photos, "--out", out, "--shard"];
        works(dir, &[&args[..], &[shard]].concat());
    };
    let photos = "faces/images";
    for number in 1..=3 {
        predict("model.safetensors", photos, "all", &format!("{number}/3"));
    }
    let refused = |args: &[&str], words: &[&str]| {
        let out = hydranet(dir, [&["merge"], args].concat());
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: `{word}` in {said}");
        }
        assert!(!dir.join(args[0]).exists(), "{args:?}: nothing is written");
    };
    let [one, two, three] = [1, 2, 3].map(|i| format!("all.{i}-of-3.shard"));
    refused(&["none"], &["none.I-of-N.shard", "found none"]);
    refused(&["all", &one, &three], &["all 3", "without 2/3"]);
    refused(&["all", &one, &two, &one, &three], &["twice", "1/3", &one]);
    predict("other.safetensors", photos, "foreign", "2/3");
    let foreign = "foreign.2-of-3.shard";
    refused(
        &["all", &one, foreign, &three],
        &["the model", foreign, &one],
    );
    std::fs::create_dir(dir.join("fewer")).unwrap();
    for name in ["a", "b"] {
        std::fs::write(dir.join(format!("fewer/{name}.jpg")), read_any(dir)).unwrap();
    }
    predict("model.safetensors", "fewer", "fewer", "2/3");
    refused(
        &["all", &one, "fewer.2-of-3.shard", &three],
        &["as many photos", "10", "2"],
    );
    predict("model.safetensors", photos, "halves", "2/2");
    refused(&["all", &one, "halves.2-of-2.shard"], &["as many shards"]);
    let args = ["predict", "--model", "model.safetensors", photos, "--json"];
    let more = ["--out", "json", "--shard", "2/3"];
    works(dir, &[&args[..], &more].concat());
    refused(&["all", &one, "json.2-of-3.shard", &three], &["`columns`"]);

    let whole = read(dir, &two);
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    let damaged = [
        (Vec::new(), "cut off"),
        (whole[..whole.len() - 5].to_vec(), "cut off"),
        (lines[..lines.len() - 1].concat(), "cut off"),
        ([lines[0], &lines[2..].concat()].concat(), "rows"),
        ([&whole[..], b"more\n"].concat(), "behind it"),
        (b"path,class\n".to_vec(), "line 1"),
        (b"{\"format\": 2}\n".to_vec(), "format 1"),
        (vec![0xff; 100], "line 1"),
    ];
    for (bytes, word) in damaged {
        std::fs::write(dir.join(&two), bytes).unwrap();
        refused(&["all"], &[word, &two]);
    }
    std::fs::write(dir.join(&two), &whole).unwrap();
    works(dir, &["merge", "all"]);
}

fn read_any(dir: &Path) -> Vec<u8> {
    let photos = std::fs::read_dir(dir.join("faces/images")).unwrap();
    let mut photos: Vec<_> = photos.map(|p| p.unwrap().path()).collect();
    photos.sort();
    std::fs::read(&photos[0]).unwrap()
}

#[test]
fn a_shard_that_is_none_and_one_without_a_file_to_write_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["predict", "--model", "m", "p.jpg", "--out", "o", "--shard"];
    for shard in ["0/3", "4/3", "1/0", "x", "1"] {
        let out = hydranet(dir.path(), [&args[..], &[shard]].concat());
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{shard}: {said}");
        assert!(said.contains("shard"), "{shard}: {said}");
    }
    let args = ["predict", "--model", "m", "p.jpg", "--shard", "1/2"];
    let out = hydranet(dir.path(), args);
    assert!(text(&out.stderr).contains("--out"), "{}", text(&out.stderr));
}

/// An experiment of eight short runs.
fn experiment(bench: &Bench) {
    let toml = format!(
        "data = [\"faces/portraits.csv\"]\nheads = {HEADS:?}\nfolds = 2\nseeds = [1, 2]\n\
         set = [\"model.input.size=[32,32]\", \"train.epochs=2\", \"train.batch=8\"]\n\
         [[variants]]\nset = [\"train.mix_up=0\"]\n"
    );
    std::fs::write(bench.out("e.toml"), toml).unwrap();
}

fn worker(bench: &Bench, shard: &str) -> Child {
    let mut command = command(bench.dir.path());
    command.args(["experiment", "e.toml", "--out", "shared", "--shard", shard]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn workers_of_an_experiment_one_of_them_killed_make_the_tables_of_the_single_run() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    experiment(&bench);
    works(dir, &["experiment", "e.toml", "--out", "alone"]);
    let mut first = worker(&bench, "1/3");
    let mut second = worker(&bench, "2/3");
    // In the middle of a run: when the second worker's first has a state to go on from.
    let begun = || {
        let runs = std::fs::read_dir(dir.join("shared/runs"))
            .into_iter()
            .flatten();
        runs.flatten()
            .filter(|run| run.path().join("state.safetensors").is_file())
            .count()
    };
    let start = Instant::now();
    while begun() < 2 && start.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    second.kill().unwrap();
    second.wait().unwrap();
    // The whole experiment cannot be done in a folder in which a worker is.
    let out = hydranet(dir, ["experiment", "e.toml", "--out", "shared"]);
    assert!(
        text(&out.stderr).contains("at work"),
        "{}",
        text(&out.stderr)
    );
    let mut again = worker(&bench, "2/3");
    let mut third = worker(&bench, "3/3");
    for worker in [&mut first, &mut again, &mut third] {
        assert!(worker.wait().unwrap().success());
    }
    let [alone, shared] = ["alone", "shared"].map(|out| bench.bytes(out, "results.csv"));
    assert!(alone == shared, "the last worker writes the tables");
    assert!(dir.join("shared/results.svg").is_file());
    let said = works(dir, &["experiment", "e.toml", "--out", "shared"]);
    assert!(said.contains("8 runs: 8 done"), "{said}");
    for run in std::fs::read_dir(dir.join("alone/runs")).unwrap() {
        let run = run.unwrap().file_name();
        let best = |out: &str| {
            let folder = dir.join(out).join("runs").join(&run);
            std::fs::read(folder.join("best.safetensors")).unwrap()
        };
        assert!(best("alone") == best("shared"), "{run:?}");
    }
    // A shard without a run has nothing to do, and none may go by what others have found.
    let said = works(
        dir,
        &["experiment", "e.toml", "--out", "shared", "--shard", "9/9"],
    );
    assert!(said.contains("8 done"), "{said}");
    let toml = std::fs::read_to_string(dir.join("e.toml")).unwrap();
    let toml = toml.replace(
        "folds = 2",
        "folds = 2\ngive_up = { margin = 0.0, after = 2 }",
    );
    std::fs::write(dir.join("g.toml"), toml).unwrap();
    let args = ["experiment", "g.toml", "--out", "g", "--shard", "1/2"];
    let out = hydranet(dir, args);
    assert!(
        text(&out.stderr).contains("give_up"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn shards_of_health_make_the_files_of_the_single_run() {
    let dir = drawn();
    let dir = dir.path();
    let broken = "images/broken.jpg,p0000,worn,male,30,\n";
    let table = String::from_utf8(read(dir, "faces/portraits.csv")).unwrap();
    std::fs::write(dir.join("faces/portraits.csv"), table + broken).unwrap();
    std::fs::write(dir.join("faces/images/broken.jpg"), "no photo").unwrap();
    let args = ["health", "--data", "faces/portraits.csv", "--model"];
    let args = [&args[..], &["model.safetensors", "--json"]].concat();
    let alone = works(dir, &[&args[..], &["--out", "alone"]].concat());
    for of in [1, 3, 12] {
        let out = format!("all-{of}");
        for number in 1..=of {
            let shard = format!("{number}/{of}");
            works(
                dir,
                &[&args[..], &["--out", &out, "--shard", &shard]].concat(),
            );
        }
        let merged = works(dir, &[&args[..], &["--out", &out, "--merge"]].concat());
        assert_eq!(merged, alone, "{of} shards");
        for file in ["health.csv", "health.json", "health.html"] {
            let [a, b] = [&out, "alone"].map(|out| read(&dir.join(out), file));
            assert!(a == b, "{file} of {of} shards");
        }
    }
    std::fs::remove_file(dir.join("all-3/health.2-of-3.shard")).unwrap();
    let out = hydranet(dir, [&args[..], &["--out", "all-3", "--merge"]].concat());
    assert!(
        text(&out.stderr).contains("without 2/3"),
        "{}",
        text(&out.stderr)
    );
    let args = ["health", "--data", "faces/portraits.csv", "--out", "all-1"];
    let model = ["--model", "other.safetensors", "--merge"];
    let out = hydranet(dir, [&args[..], &model].concat());
    assert!(
        text(&out.stderr).contains("the model"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn an_audit_goes_on_from_the_features_of_its_shards() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    let args = ["audit", "--data", "faces/portraits.csv", "--heads", HEADS];
    let more = [
        "--set",
        "model.input.size=[32,32]",
        "--set",
        "train.epochs=2",
    ];
    let args = [&args[..], &more, &["--folds", "2", "--out"]].concat();
    works(dir, &[&args[..], &["alone"]].concat());
    for number in [3, 1, 2] {
        let shard = format!("{number}/3");
        let said = works(dir, &[&args[..], &["all", "--shard", &shard]].concat());
        assert!(said.contains("are kept in all"), "{said}");
    }
    let out = hydranet(dir, [&args[..], &["all"]].concat());
    let said = text(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(!said.contains("features: 0 of"), "{said}");
    for file in [
        "audit.json",
        "suspects.csv",
        "persons.csv",
        "out_of_fold.csv",
    ] {
        let [a, b] = ["alone", "all"].map(|out| bench.bytes(out, file));
        assert!(a == b, "{file}");
    }
    let tuned = [&args[..], &["tuned", "--set", "train.fine_tune=full"]].concat();
    let out = hydranet(dir, [&tuned[..], &["--shard", "1/2"]].concat());
    assert!(
        text(&out.stderr).contains("computed once"),
        "{}",
        text(&out.stderr)
    );
}
