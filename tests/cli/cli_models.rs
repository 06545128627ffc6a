//! What the command does with finished models: smaller ones, ensembles, calibration, heads apart.

use super::{command, hydranet, text};
use crate::common::tiny;
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use std::path::Path;

fn works(folder: &Path, args: &str) -> String {
    super::works(folder, &args.split_whitespace().collect::<Vec<_>>())
}

/// One line of error that has these words.
fn fails(folder: &Path, args: &str, words: &[&str]) {
    let output = hydranet(folder, args.split_whitespace());
    let errors = text(&output.stderr);
    assert!(!output.status.success(), "{args}");
    assert!(!errors.contains("panicked"), "{args}: {errors}");
    for word in words {
        assert!(errors.contains(word), "{args}: no `{word}` in {errors}");
    }
}

/// Two models with other backbones, and portraits on three sides.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = PortraitConfig {
        people: 20,
        size: (48, 40),
        ..PortraitConfig::default()
    };
    write_portraits(folder.path(), &config).unwrap();
    for seed in [1, 2] {
        let mut file = tiny::build(seed);
        file.description.model.heads[2].labels.names = ["under_30", "30_to_59", "60_and_over"]
            .map(String::from)
            .into();
        file.description.classes = file.description.model.taxonomy().unwrap().class_names();
        let path = folder.path().join(format!("{seed}.safetensors"));
        file.write(path).unwrap();
    }
    folder
}

#[test]
fn a_smaller_file_is_written_and_its_cost_measured() {
    let folder = folder();
    let at = folder.path();
    let args = "export --model 1.safetensors --dtype int8 --out small --data portraits.csv";
    let said = works(at, args);
    for word in [
        "in int8",
        "computes in int8",
        "calibrated on",
        "mask",
        "gender",
        "age",
        "class",
        "→",
        "changed",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = works(
        at,
        "export --model 1.safetensors --dtype int8 --out weights",
    );
    assert!(said.contains("computes in f32"), "{said}");
    assert!(works(at, "inspect --model weights").contains("computes  in f32"));
    assert!(works(at, "inspect --model small").contains("computes  in int8"));
    let size = |name: &str| std::fs::metadata(at.join(name)).unwrap().len();
    assert!(size("small") * 3 < size("1.safetensors"));
    assert!(works(at, "inspect --model small").contains("int8"));
    let said = works(at, "export --model small --dtype f32 --out wide");
    assert!(said.contains("not measured"), "{said}");
    assert_eq!(size("wide"), size("1.safetensors"));
    let predict = |model: &str| works(at, &format!("predict --model {model} images"));
    // The same weights; small ones that were calibrated compute otherwise.
    assert_eq!(predict("weights"), predict("wide"));
    assert_ne!(predict("small"), predict("wide"));
    fails(
        at,
        "export --model 1.safetensors --dtype int4 --out x",
        &["int4", "int8"],
    );
    let wrong =
        "export --model 1.safetensors --dtype f16 --out x --data portraits.csv --split tset";
    fails(at, wrong, &["tset"]);
    assert!(!at.join("x").exists());
}

#[test]
fn an_ensemble_predicts_and_is_scored_like_a_model() {
    let folder = folder();
    let at = folder.path();
    std::fs::create_dir(at.join("all")).unwrap();
    let said = works(
        at,
        "ensemble 1.safetensors 2.safetensors --average logit --flip --out all/m.json",
    );
    assert!(said.contains("2 models by logit, 2 views"), "{said}");
    let rows = works(at, "predict --model all/m.json images");
    let photos = std::fs::read_dir(at.join("images")).unwrap().count();
    assert_eq!(rows.lines().count(), photos + 1);
    assert_ne!(rows, works(at, "predict --model 1.safetensors images"));
    let args = "evaluate --model all/m.json --data portraits.csv --split all --coverage --json";
    let scores: serde_json::Value = serde_json::from_str(&works(at, args)).unwrap();
    assert_eq!(scores["photos"], photos);
    assert_eq!(scores["coverage"][3]["name"], "class");
    let table = works(
        at,
        "evaluate --model 1.safetensors --data portraits.csv --five-crops --coverage",
    );
    assert!(table.contains("risk area"), "{table}");
    works(at, "heads remove --model 1.safetensors --out fewer age");
    fails(
        at,
        "ensemble 1.safetensors fewer --out x",
        &["model 2", "6 final classes"],
    );
    fails(
        at,
        "ensemble 1.safetensors --average mean --out x",
        &["mean", "vote"],
    );
    fails(
        at,
        "ensemble 1.safetensors --five-crops=2 --out x",
        &["five_crops"],
    );
    assert!(!at.join("x").exists());
    std::fs::remove_file(at.join("2.safetensors")).unwrap();
    fails(at, "predict --model all/m.json images", &["2.safetensors"]);
}

#[test]
fn a_calibrated_model_abstains_and_tells_novelty() {
    let folder = folder();
    let at = folder.path();
    let of = "calibrate --model 1.safetensors --data portraits.csv --out";
    let said = works(at, &format!("{of} c --min-confidence 0.5"));
    for word in [
        "temperature",
        "mask",
        "class",
        "abstains below 0.5000",
        "tells novelty",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let rows = works(at, "predict --model c images");
    assert!(rows.lines().next().unwrap().ends_with(",abstains,novelty"));
    let said = works(at, "inspect --model c");
    for word in ["abstains below 0.5", "novelty", "calibration"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = works(at, &format!("{of} d --no-novelty --json"));
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["novelty"], false);
    assert_eq!(report["temperatures"].as_array().unwrap().len(), 4);
    fails(
        at,
        &format!("{of} x --min-confidence 1.5"),
        &["min_confidence", "1.5"],
    );
    fails(
        at,
        &format!("{of} x --for-accuracy 1.5"),
        &["accuracy", "1.5"],
    );
    assert!(!at.join("x").exists());
}

#[test]
fn heads_go_from_one_file_to_another_and_back() {
    let folder = folder();
    let at = folder.path();
    let said = works(at, "heads extract --model 1.safetensors --out heads");
    assert!(said.contains("for the backbone"), "{said}");
    works(at, "heads attach --backbone 1.safetensors --out back heads");
    let bytes = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert!(bytes("back") == bytes("1.safetensors"));
    fails(
        at,
        "heads attach --backbone 2.safetensors --out x heads",
        &["SHA-256", "mask"],
    );
    works(at, "heads rename --model 1.safetensors --out r mask cover");
    works(at, "heads remove --model r --out r1 gender");
    works(at, "heads remove --model r1 --out r2 age");
    let said = works(at, "heads merge 1.safetensors r2 --out all");
    assert!(
        said.contains("mask, gender, age, cover, 54 final classes"),
        "{said}"
    );
    fails(
        at,
        "heads merge 1.safetensors back --out x",
        &["`mask`", "rename"],
    );
    fails(at, "predict --model heads images", &["attach"]);
    fails(
        at,
        "heads attach --backbone 1.safetensors --out x 1.safetensors",
        &["extract"],
    );
    assert!(!at.join("x").exists());
}

#[test]
fn the_command_writes_folders_and_every_model_may_be_one() {
    let dir = tempfile::tempdir().unwrap();
    tiny::model()
        .write(dir.path().join("m.safetensors"))
        .unwrap();
    let run = |args: &[&str]| {
        let out = hydranet(dir.path(), args);
        (out.status.success(), text(&out.stdout) + &text(&out.stderr))
    };
    let model = ["export", "--model", "m.safetensors"];
    let (ok, said) = run(&[
        &model[..],
        &[
            "--hugging-face",
            "hub",
            "--license",
            "mit",
            "--timm",
            "timm",
        ],
    ]
    .concat());
    assert!(ok && said.contains("heads.safetensors"), "{said}");
    assert!(!run(&model).0);
    assert!(!run(&[&model[..], &["--timm", "t", "--license", "mit"]].concat()).0);
    let (ok, said) = run(&["inspect", "--model", "hub"]);
    assert!(ok && said.contains("tf_efficientnet_lite0"), "{said}");
    let (ok, said) = run(&[
        "export", "--model", "hub", "--dtype", "f32", "--out", "again",
    ]);
    assert!(ok, "{said}");
    let bytes = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(bytes("again"), bytes("m.safetensors"));
    let heads = ["hub/heads.safetensors", "--out", "third"];
    let (ok, said) = run(&[&["heads", "attach", "--backbone", "timm"], &heads[..]].concat());
    assert!(ok, "{said}");
    assert_eq!(bytes("third"), bytes("m.safetensors"));
}

#[test]
fn the_command_writes_the_onnx_file_that_the_library_makes() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("m.safetensors"), dir.path().join("m.onnx"));
    let file = tiny::model();
    file.write(&from).unwrap();
    let run = |model: &Path| {
        let mut command = command(dir.path());
        command.args(["export", "--model"]).arg(model);
        command.arg("--onnx").arg(&to).output().unwrap()
    };
    let out = run(&from);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}");
    for line in [
        "images (batch, 3, 32, 32)",
        "age (batch, 3)",
        "final_class (batch)",
    ] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
    assert!(std::fs::read(&to).unwrap() == hydranet::onnx::to_bytes(&file).unwrap());
    std::fs::remove_file(&to).unwrap();
    let out = run(&to);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        !out.status.success() && said.contains("cannot read"),
        "{said}"
    );
}
