//! What the commands say of photos that a model has seen.

use crate::common::sides::{bench, config, file_name, rows, trained, write};
use hydranet::data::Split;
use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, args: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_hydranet");
    let mut command = Command::new(program);
    command.current_dir(folder).args(args.split_whitespace());
    command.output().unwrap()
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
    let json = serde_json::to_string(&model.description.seen).unwrap();
    assert!(!json.contains("person_"), "{json}");
}
