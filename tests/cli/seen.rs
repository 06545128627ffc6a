//! What the commands say of photos that a model has seen.

use super::hydranet;
use crate::common::runs::{Bench, HEADS};
use crate::common::sides::{bench, config, file_name, rows, trained, write};
use hydranet::data::Split;
use std::path::Path;
use std::process::Output;

fn run(folder: &Path, args: &str) -> Output {
    hydranet(folder, args.split_whitespace())
}

#[test]
fn the_commands_say_how_many_photos_a_model_has_seen_and_refuse_a_test_without_any() {
    let bench = bench();
    let config = config(1, &[]);
    let (model, truth) = trained(&bench, std::slice::from_ref(&bench.data), &config, "run");
    let at = bench.dir.path();
    let of = |split: Split| truth.values().filter(|s| **s == split).count();
    let args = "evaluate --model run/best.safetensors --data faces/portraits.csv --json";
    let output = run(at, args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let said = format!(
        "{} were trained on, {} validated on, {} held out",
        of(Split::Train),
        of(Split::Valid),
        of(Split::Test)
    );
    assert!(errors.contains(&said), "{errors}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sides"]["train"], of(Split::Train));
    assert_eq!(report["photos"], of(Split::Test));
    // Of its training photos none is a test.
    let learnt = rows(&bench.data)
        .into_iter()
        .enumerate()
        .filter(|(i, row)| {
            let path = row.split(',').next().unwrap();
            *i == 0 || truth[&file_name(Path::new(path))] == Split::Train
        });
    let listing = bench.data.with_file_name("learnt.csv");
    write(&listing, learnt.map(|(_, row)| row));
    for command in ["evaluate", "export --dtype f16 --out small.safetensors"] {
        let args = format!("{command} --model run/best.safetensors --data faces/learnt.csv");
        let output = run(at, &args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("no photo stands on it"), "{errors}");
        assert!(!at.join("small.safetensors").exists());
    }
    let inspected = run(at, "inspect --model run/best.safetensors");
    let text = String::from_utf8(inspected.stdout).unwrap();
    assert!(
        text.contains(&format!(
            "seen      photos {} in training",
            of(Split::Train)
        )),
        "{text}"
    );
    // A salt and hashes, no names.
    let json = serde_json::to_string(&model.description).unwrap();
    assert!(!json.contains("person_"), "{json}");
}

#[test]
fn an_experiment_or_audit_from_a_model_that_has_seen_its_photos_is_refused_before_anything_is_done()
{
    let bench = bench();
    trained(
        &bench,
        std::slice::from_ref(&bench.data),
        &config(1, &[]),
        "run",
    );
    // A photo that cannot be read would be named if they were looked through.
    let images = bench.data.with_file_name("images");
    let photo = std::fs::read_dir(images).unwrap().next().unwrap().unwrap();
    std::fs::write(photo.path(), "no photo").unwrap();
    let set = [
        "model.input.size=[32,32]",
        "model.weights=run/best.safetensors",
    ];
    let file = format!(
        "heads = {HEADS:?}\nset = {set:?}\nfolds = 2\n[[variants]]\nset = [\"train.mix_up=0\"]\n"
    );
    std::fs::write(bench.out("e.toml"), file).unwrap();
    let data = bench.data.display().to_string();
    let experiment = ["experiment", "e.toml", "--out", "e", "--data", &data];
    let mut audit = vec!["audit", "--heads", HEADS, "--out", "a", "--data", &data];
    set.iter().for_each(|s| audit.extend(["--set", s]));
    for args in [&experiment[..], &audit] {
        let out = hydranet(bench.dir.path(), args);
        let message = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{message}");
        assert!(
            message.contains("every photo is held out once"),
            "{message}"
        );
        assert!(!message.contains("broken"), "{message}");
    }
    assert!(!bench.out("e").exists() && !bench.out("a").exists());
}

#[test]
fn copies_on_two_sides_are_warned_of_wherever_photos_are_read() {
    let bench = Bench::new();
    // path,person,mask,gender,age,split
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let first = |side: &str| {
        let row = text.lines().find(|l| l.ends_with(side)).unwrap();
        bench.data.with_file_name(row.split(',').next().unwrap())
    };
    let args = |command| vec![command, "--heads", HEADS, "--data", "faces/portraits.csv"];
    let (check, mut health) = (args("check"), args("health"));
    let data = bench.data.strip_prefix(bench.dir.path()).unwrap();
    let data = data.display().to_string();
    health.extend(["--out", "h", "--set", "model.weights="]);
    let run = |args: &[&str]| {
        let args: Vec<&str> = args
            .iter()
            .map(|a| {
                if *a == "faces/portraits.csv" {
                    &data
                } else {
                    *a
                }
            })
            .collect();
        let out = hydranet(bench.dir.path(), &args);
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    for args in [&check, &health] {
        assert!(!run(args).contains("equal to the byte"));
    }
    std::fs::copy(first(",train"), first(",test")).unwrap();
    for args in [&check, &health] {
        let message = run(args);
        assert!(
            message.contains("warning: 1 photos are equal to the byte"),
            "{message}"
        );
    }
}
