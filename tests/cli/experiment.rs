//! Experiments and the comparison of their runs, by the command.

use super::works;
use crate::common::runs::{Bench, HEADS};

#[test]
fn the_commands_run_an_experiment_and_compare_its_runs_and_runs_of_train() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    let toml = format!(
        "data = [\"faces/portraits.csv\"]\nheads = {HEADS:?}\nfolds = 2\nset = [\"model.input.size=[32,32]\", \"train.epochs=1\", \"train.batch=8\"]\n[[variants]]\nset = [\"train.mix_up=0\"]\n"
    );
    std::fs::write(dir.join("e.toml"), toml).unwrap();
    let planned = works(dir, &["experiment", "e.toml", "--dry-run"]);
    assert!(
        planned.contains("4 runs: 2 variants × 2 folds × 1 seeds"),
        "{planned}"
    );
    let said = works(dir, &["experiment", "e.toml", "--out", "e"]);
    assert!(
        said.contains("4 runs: 4 done") && said.contains("train.mix_up: 0.2 → 0.0"),
        "{said}"
    );
    for file in [
        "experiment.json",
        "results.csv",
        "results.json",
        "results.svg",
        "results.html",
    ] {
        assert!(dir.join("e").join(file).is_file(), "{file}");
    }
    let svg = std::fs::read_to_string(dir.join("e/results.svg")).unwrap();
    assert!(
        svg.contains("train.mix_up=0.0") && svg.contains("<circle"),
        "{svg}"
    );
    let markdown = works(
        dir,
        &["compare", "e", "--markdown", "--metric", "age.brier"],
    );
    assert!(markdown.contains("| age.brier | runs |"), "{markdown}");
    let json = works(
        dir,
        &[
            "compare",
            "e",
            "--json",
            "--confidence",
            "0.5",
            "--out",
            "c",
        ],
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["confidence"], 0.5);
    assert_eq!(json["figures"].as_array().unwrap().len(), 4);
    assert!(dir.join("c/results.svg").is_file());

    // Runs of `train` are compared by their validation scores.
    let one = Bench::config(&[]).unwrap();
    bench.train(&one, "one", false, None).unwrap();
    let two = Bench::config(&["train.mix_up=0"]).unwrap();
    bench.train(&two, "two", false, None).unwrap();
    let said = works(dir, &["compare", "one", "two"]);
    assert!(
        said.contains("on validation") && said.contains("one split"),
        "{said}"
    );
}
