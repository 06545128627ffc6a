//! The command, as a user types it: what goes wrong gives a message to act on, never a panic.

use super::{command, hydranet, text, works};
use std::path::{Path, PathBuf};

const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/heads");

/// Runs, expects failure without a panic, and gives the message.
fn fails(dir: &Path, args: &[&str]) -> String {
    let out = hydranet(dir, args);
    let message = text(&out.stderr) + &text(&out.stdout);
    assert!(!out.status.success(), "{args:?} succeeded: {message}");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
    message
}

/// A folder with portraits of 20 people and a model trained on them for one epoch at 32 × 32.
fn trained() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let config = hydranet::cli::portraits::PortraitConfig {
        people: 20,
        seed: 3,
        size: (48, 48),
    };
    hydranet::cli::portraits::write_portraits(&dir.path().join("faces"), &config).unwrap();
    let settings = [
        "--set",
        "model.input.size=[32,32]",
        "--set",
        "train.epochs=1",
        "--set",
        "train.batch=8",
    ];
    let mut args = vec![
        "train",
        "--heads",
        HEADS,
        "--data",
        "faces/portraits.csv",
        "--out",
        "run",
    ];
    args.extend(settings);
    works(dir.path(), &args);
    let path = dir.path().to_path_buf();
    (dir, path)
}

#[test]
fn train_evaluate_predict_inspect_and_heads_work_together() {
    let (_dir, path) = trained();
    for file in [
        "config.toml",
        "split.csv",
        "metrics.csv",
        "best.safetensors",
        "last.safetensors",
        "valid_predictions.csv",
        "scores.json",
        "state.safetensors",
    ] {
        assert!(path.join("run").join(file).is_file(), "{file}");
    }
    let model = "run/best.safetensors";
    let scores = works(
        &path,
        &[
            "evaluate",
            "--model",
            model,
            "--data",
            "faces/portraits.csv",
            "--json",
        ],
    );
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert!(scores["class"]["macro_f1"].is_number(), "{scores}");
    assert!(
        works(
            &path,
            &[
                "evaluate",
                "--model",
                model,
                "--data",
                "faces/portraits.csv"
            ]
        )
        .contains("macro F1")
    );
    let all = [
        "evaluate",
        "--model",
        model,
        "--data",
        "faces/portraits.csv",
        "--all",
    ];
    assert!(works(&path, &all).contains("quadratic_kappa"));
    let rows = works(&path, &["predict", "--model", model, "faces/images"]);
    let photos = std::fs::read_dir(path.join("faces/images"))
        .unwrap()
        .count();
    assert_eq!(rows.lines().count(), photos + 1);
    let lines = works(
        &path,
        &[
            "predict",
            "--model",
            model,
            "--json",
            "faces/images/0000-0.jpg",
        ],
    );
    let value: serde_json::Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(value["heads"].as_array().unwrap().len(), 3);
    // A listing with placeholders is answered row by row.
    std::fs::write(
        path.join("info.csv"),
        "ImageID,ans\n0001-0.jpg,0\n0000-0.jpg,0\n",
    )
    .unwrap();
    works(
        &path,
        &[
            "predict",
            "--model",
            model,
            "--listing",
            "info.csv",
            "--images",
            "faces/images",
            "--result",
            "out.csv",
        ],
    );
    let result = std::fs::read_to_string(path.join("out.csv")).unwrap();
    let ids: Vec<&str> = result
        .lines()
        .map(|l| l.split(',').next().unwrap())
        .collect();
    assert_eq!(ids, ["ImageID", "0001-0.jpg", "0000-0.jpg"]);
    assert!(works(&path, &["inspect", "--model", model]).contains("worn / male / under_30"));
    let removed = [
        "heads",
        "remove",
        "--model",
        model,
        "--out",
        "two.safetensors",
        "gender",
    ];
    assert!(works(&path, &removed).contains("9 final classes"));
    works(
        &path,
        &[
            "heads",
            "rename",
            "--model",
            model,
            "--out",
            "r.safetensors",
            "age",
            "years",
        ],
    );
    works(
        &path,
        &[
            "heads",
            "reset",
            "--model",
            model,
            "--out",
            "x.safetensors",
            "age",
        ],
    );
    let graft = [
        "heads",
        "graft",
        "--model",
        "two.safetensors",
        "--out",
        "g.safetensors",
        "gender",
        "--from",
        model,
    ];
    assert!(works(&path, &graft).contains("18 final classes"));
    let spec = format!("{HEADS}/gender.toml");
    works(
        &path,
        &[
            "heads",
            "add",
            "--model",
            "two.safetensors",
            "--out",
            "a.safetensors",
            "--spec",
            &spec,
        ],
    );
    works(
        &path,
        &[
            "heads",
            "replace",
            "--model",
            model,
            "--out",
            "p.safetensors",
            "gender",
            "--spec",
            &spec,
        ],
    );
    works(&path, &["inspect", "--model", "p.safetensors", "--json"]);
}

#[test]
fn rules_for_the_final_class_are_compared_and_one_is_written() {
    let (_dir, path) = trained();
    let model = [
        "decide",
        "--model",
        "run/best.safetensors",
        "--data",
        "faces/portraits.csv",
    ];
    let with = |more: &[&'static str]| model.iter().chain(more).copied().collect::<Vec<_>>();
    let table = works(&path, &model);
    for rule in ["product", "prior", "class_offsets", "label_offsets"] {
        assert!(table.contains(rule), "no {rule} in: {table}");
    }
    assert!(!table.contains("fused"), "{table}");
    let scores: serde_json::Value =
        serde_json::from_str(&works(&path, &with(&["--json"]))).unwrap();
    assert_eq!(scores[0]["difference"], 0.0);
    works(
        &path,
        &with(&["--rule", "prior", "--out", "prior.safetensors"]),
    );
    let file = hydranet::ModelFile::read(path.join("prior.safetensors")).unwrap();
    assert_eq!(file.description.decision.log_prior.len(), 18);
    assert!(works(&path, &["inspect", "--model", "prior.safetensors"]).contains("decision  prior"));
    // Scored alike by both commands.
    let evaluate = [
        "evaluate",
        "--model",
        "prior.safetensors",
        "--data",
        "faces/portraits.csv",
        "--json",
    ];
    let report: serde_json::Value = serde_json::from_str(&works(&path, &evaluate)).unwrap();
    assert_eq!(report["class"]["macro_f1"], scores[1]["macro_f1"]);
    for (rule, words) in [("fused", "joint head"), ("prio", "prior")] {
        let message = fails(&path, &with(&["--rule", rule, "--out", "x.safetensors"]));
        assert!(message.contains(words), "{message}");
    }
    assert!(!path.join("x.safetensors").exists());
}

#[test]
fn unreadable_photos_are_named_and_do_not_stop_the_rest() {
    let (_dir, path) = trained();
    let good = path.join("faces/images/0000-0.jpg");
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(path.join("cut.jpg"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(path.join("text.jpg"), "no photo").unwrap();
    let out = hydranet(
        &path,
        [
            "predict",
            "--model",
            "run/best.safetensors",
            "cut.jpg",
            "faces/images/0000-0.jpg",
            "text.jpg",
            "none.jpg",
        ],
    );
    assert!(!out.status.success());
    let message = text(&out.stderr);
    for name in ["cut.jpg", "text.jpg", "none.jpg", "3 of 4"] {
        assert!(message.contains(name), "{name}: {message}");
    }
    assert_eq!(text(&out.stdout).lines().count(), 2);
}

#[test]
fn wrong_input_gives_messages_to_act_on() {
    let (_dir, path) = trained();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
    let train = |more: &[&str]| {
        let mut args = vec!["train", "--heads", HEADS, "--out", "new"];
        args.extend(more);
        fails(&path, &args)
    };
    let data = "faces/portraits.csv";
    let expect = |message: String, words: &[&str]| {
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
    };
    // Settings and configuration.
    expect(
        train(&["--data", data, "--set", "train.epoch=3"]),
        &["epoch", "epochs", "the setting train.epoch=3"],
    );
    expect(
        train(&["--data", data, "--set", "train.epochs=0"]),
        &["train.epochs", "from 1"],
    );
    expect(
        train(&["--data", data, "--set", "train.epochs"]),
        &["key=value"],
    );
    expect(
        train(&["--data", data, "--set", "heads.age.thresholds=[60,30]"]),
        &["thresholds", "ascending"],
    );
    expect(
        train(&["--data", data, "--set", "model.heads=[\"mask\",\"hat\"]"]),
        &["hat", "mask"],
    );
    expect(
        train(&["--data", data, "--set", "model.weights=nope.safetensors"]),
        &["nope.safetensors", "weights (", "tf_efficientnet_lite0"],
    );
    expect(
        fails(
            &path,
            &[
                "train", "--heads", "no-heads", "--data", data, "--out", "new",
            ],
        ),
        &["no-heads/model.toml", "--heads"],
    );
    // An empty value takes a key away: this one must be there.
    expect(
        train(&["--data", data, "--set", "model.backbone="]),
        &["the setting model.backbone=", "missing field `backbone`"],
    );
    expect(
        train(&["--data", data, "--set", "model.backbone=resnet999"]),
        &["resnet999", "tf_efficientnet_lite0"],
    );
    write("c.toml", "[train]\nepochs = 3\nmixup = 0.1\n");
    expect(
        train(&["--data", data, "--config", "c.toml"]),
        &["c.toml", "line 3", "mixup", "mix_up"],
    );
    write(
        "d.toml",
        "[heads.age]\nweight = 2\n\n[heads.mask]\nloss = \"focl\"\n[model]\ninput.size = 3\n",
    );
    expect(
        train(&["--data", data, "--config", "d.toml"]),
        &["d.toml", "line 5", "focl", "cross_entropy"],
    );
    write("e.toml", "[train]\nepochs = 3\n[trane]\nseed = 1\n");
    expect(
        train(&["--data", data, "--config", "e.toml"]),
        &["e.toml", "line 3", "trane"],
    );
    // Data.
    expect(train(&["--data", "none.csv"]), &["none.csv"]);
    write(
        "bad.csv",
        "path,mask,gender,age\nfaces/images/0000-0.jpg,worm,male,20\n",
    );
    expect(
        train(&["--data", "bad.csv"]),
        &["bad.csv", "line 2", "worm", "incorrect"],
    );
    write(
        "column.csv",
        "path,mask,gendre,age\nfaces/images/0000-0.jpg,worn,male,20\n",
    );
    expect(
        train(&["--data", "column.csv"]),
        &["column.csv", "gendre", "gender"],
    );
    write(
        "test.csv",
        "path,mask,gender,age,split\nfaces/images/0000-0.jpg,worn,male,20,test\n",
    );
    expect(train(&["--data", "test.csv"]), &["train split", "test.csv"]);
    write(
        "missing.csv",
        "path,mask,gender,age\ngone.jpg,worn,male,20\nfaces/images/0000-0.jpg,worn,male,x\n",
    );
    expect(
        fails(&path, &["check", "--heads", HEADS, "--data", "missing.csv"]),
        &["line 2", "gone.jpg", "line 3"],
    );
    // Models.
    let bytes = std::fs::read(path.join("run/best.safetensors")).unwrap();
    std::fs::write(path.join("cut.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    expect(
        fails(&path, &["inspect", "--model", "cut.safetensors"]),
        &["cut.safetensors", "cut off"],
    );
    let weights = format!("{HEADS}/../weights/tf_efficientnet_lite0.in1k.safetensors");
    expect(
        fails(&path, &["inspect", "--model", &weights]),
        &["backbone without heads"],
    );
    expect(
        fails(
            &path,
            &[
                "evaluate",
                "--model",
                "run/best.safetensors",
                "--data",
                data,
                "--split",
                "tset",
            ],
        ),
        &["tset", "test"],
    );
    expect(
        fails(
            &path,
            &[
                "heads",
                "remove",
                "--model",
                "run/best.safetensors",
                "--out",
                "o.safetensors",
                "hat",
            ],
        ),
        &["hat", "mask, gender, age"],
    );
    // A folder that holds a run is not overwritten.
    let again = ["train", "--heads", HEADS, "--data", data, "--out", "run"];
    expect(fails(&path, &again), &["--resume"]);
}

#[test]
fn check_accepts_good_data_and_help_names_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let config = hydranet::cli::portraits::PortraitConfig {
        people: 20,
        seed: 3,
        size: (48, 48),
    };
    hydranet::cli::portraits::write_portraits(dir.path(), &config).unwrap();
    let report = works(
        dir.path(),
        &["check", "--heads", HEADS, "--data", "portraits.csv"],
    );
    let size = "for these photos 160 × 160 is proposed, `hydranet train --size 160x160`";
    for words in ["persons on two sides: 0", size] {
        assert!(report.contains(words), "{report}");
    }
    let help = works(dir.path(), &["--help"]);
    for command in [
        "check", "train", "evaluate", "predict", "inspect", "export", "heads", "demo",
    ] {
        assert!(help.contains(command), "{command}");
    }
}

#[test]
fn an_audit_prints_what_it_suspects_and_refuses_what_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let config = hydranet::cli::portraits::PortraitConfig {
        people: 8,
        seed: 3,
        size: (48, 48),
    };
    hydranet::cli::portraits::write_portraits(&dir.path().join("faces"), &config).unwrap();
    let audit = |more: &[&'static str]| {
        let mut args = vec![
            "audit",
            "--heads",
            HEADS,
            "--data",
            "faces/portraits.csv",
            "--out",
            "audit",
        ];
        args.extend([
            "--set",
            "model.input.size=[32,32]",
            "--set",
            "train.epochs=1",
        ]);
        args.extend(more);
        args
    };
    let said = works(
        dir.path(),
        &audit(&["--folds", "2", "--agreeing", "gender"]),
    );
    for words in [
        "estimated wrong",
        "mask ",
        "class ",
        "gender agrees over",
        "audit/suspects.csv",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("age agrees"), "{said}");
    for (arguments, words) in [
        (
            ["--rule", "guess"],
            "there is no rule for wrong labels named `guess`",
        ),
        (
            ["--rank-by", "guess"],
            "there is no score of a label named `guess`",
        ),
        (["--flip", "uniform"], "--inject"),
        (
            ["--inject", "0.7"],
            "a number above 0 and below 0.5, found 0.7",
        ),
        (["--folds", "9"], "folds: expected from 2 to 8"),
        (["--agreeing", "hat"], "there is no head named `hat`"),
    ] {
        let message = fails(dir.path(), &audit(&arguments));
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
}

#[test]
fn an_unknown_instruction_set_is_an_error_that_names_those_there_are() {
    let output = command(Path::new("."))
        .args(["inspect", "--model", "no-such-file"])
        .env("HYDRANET_ISA", "axv2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for part in ["HYDRANET_ISA", "`avx512`, `avx2` or `portable`", "`axv2`"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn shells_can_complete_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, words) in [
        ("bash", "_hydranet()"),
        ("zsh", "#compdef hydranet"),
        ("fish", "complete -c hydranet"),
    ] {
        let script = works(dir.path(), &["completions", shell]);
        assert!(
            script.contains(words) && script.contains("skip-broken"),
            "{shell}"
        );
    }
}
