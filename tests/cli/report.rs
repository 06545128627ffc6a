//! The page of a run: what stands in it, of which runs it is made, and that nothing in the data can break out of it.

use super::{hydranet, text, works};
use crate::common::browser::data;
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Names that would run if they were taken for HTML.
pub const EVIL: &str = "images/<img src=x onerror=\"document.title='ran'\">.jpg";
const CLOSING: &str = "images/a<!--</script><script>document.title='ran'</script>\"'&\u{2028}é.jpg";
pub const PERSON: &str = "</script><script>document.title='ran'</script>\"'";
/// And a label.
pub const LABEL: &str = "<script>document.title='ran'</script>";

/// Portraits of 20 people with labels of every kind, names and persons among them that are harmful, and heads for them.
pub fn prepared() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    let config = PortraitConfig {
        people: 20,
        seed: 3,
        size: (48, 48),
    };
    let listing = write_portraits(&path.join("faces"), &config).unwrap();
    let lines = std::fs::read_to_string(&listing).unwrap();
    let mut out = vec!["path,person,mask,age,tags,split".to_string()];
    for (i, line) in lines.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let (mut name, mut person) = (cells[0], cells[1]);
        if let Some(evil) = [EVIL, CLOSING].get(i) {
            let to = path.join("faces").join(evil);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::rename(path.join("faces").join(name), to).unwrap();
            (name, person) = (evil, PERSON);
        }
        let tags = ["-", "red", "red;striped", "striped"][i % 4];
        let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        // The two with harmful names are scored.
        let side = if i < 2 { "valid" } else { cells[5] };
        let (mask, age) = (cells[2], cells[4]);
        let mask = if mask == "incorrect" { LABEL } else { mask };
        let [name, person, mask] = [name, person, mask].map(quote);
        out.push([&name, &person, &mask, age, tags, side].join(","));
    }
    std::fs::write(path.join("faces/all.csv"), out.join("\n") + "\n").unwrap();
    let heads = path.join("heads");
    std::fs::create_dir(&heads).unwrap();
    let label = format!("\"{LABEL}\"");
    let (mask, tags) = (
        format!("name = \"mask\"\nlabels = [\"worn\", {label}, \"not_worn\"]\n"),
        "name = \"tags\"\nkind = \"multi_label\"\nlabels = [\"red\", \"striped\"]\n",
    );
    let age = "name = \"age\"\nkind = \"number\"\nrange = [0, 100]\nbins = 20\nlabels = [\"under_30\", \"30_to_59\", \"60_and_over\"]\nthresholds = [30, 60]\n";
    let model = "backbone = \"tf_efficientnet_lite0\"\nheads = [\"mask\", \"age\", \"tags\"]\n[input]\nsize = [32, 32]\n";
    for (name, text) in [
        ("mask", mask.as_str()),
        ("age", age),
        ("tags", tags),
        ("model", model),
    ] {
        std::fs::write(heads.join(format!("{name}.toml")), text).unwrap();
    }
    (dir, path)
}

/// Trains on them.
pub fn train(path: &Path, run: &str, settings: &[&str]) {
    let mut args = vec![
        "train",
        "--data",
        "faces/all.csv",
        "--out",
        run,
        "--set",
        "train.batch=16",
    ];
    args.extend(["--set", "train.epochs=2", "--set", "train.seed=4"]);
    settings.iter().for_each(|s| args.extend(["--set", s]));
    works(path, &args);
}

pub fn page(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn fails(path: &Path, args: &[&str]) -> String {
    let out = hydranet(path, args);
    let message = text(&out.stderr);
    assert!(
        !out.status.success() && !message.contains("panicked"),
        "{args:?}: {message}"
    );
    message
}

fn notes(data: &Value) -> String {
    data["runs"][0]["notes"].to_string()
}

#[test]
fn a_run_leaves_a_page_that_stands_alone_and_that_report_makes_again() {
    let (_dir, path) = prepared();
    train(&path, "run", &[]);
    let own = page(&path.join("run/report.html"));
    works(&path, &["report", "run", "--out", "again.html"]);
    assert_eq!(own, page(&path.join("again.html")), "the same page");
    for outside in ["http://", "https://", "src=\"//", "@import", "url("] {
        assert!(!own.contains(outside), "{outside}");
    }
    assert!(own.contains("default-src 'none'"));
    assert_eq!(own.matches("<script").count(), 2, "its own two");
    assert_eq!(own.matches("</script>").count(), 2);
    assert!(!own.contains("<img") && !own.contains("<!--") && !own.contains('\u{2028}'));

    let told = data(&own);
    let run = &told["runs"][0];
    let scores: Value = serde_json::from_str(&page(&path.join("run/scores.json"))).unwrap();
    let photos = run["photos"].as_array().unwrap();
    assert_eq!(photos.len() as u64, scores["photos"].as_u64().unwrap());
    let names: Vec<&str> = photos.iter().map(|p| p["n"].as_str().unwrap()).collect();
    assert!(names.contains(&EVIL) && names.contains(&CLOSING));
    assert!(photos.iter().any(|p| p["p"] == PERSON));
    let pictures = told["pictures"].as_array().unwrap();
    for photo in photos {
        let picture = pictures[photo["i"].as_u64().unwrap() as usize]
            .as_str()
            .unwrap();
        assert!(picture.starts_with("data:image/jpeg;base64,/9j/"));
    }
    let parts = run["parts"].as_array().unwrap();
    let kinds: Vec<&str> = parts.iter().map(|p| p["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["class", "labels", "number", "several"]);
    // Behind every count there are as many photos.
    for cell in parts[0]["cells"].as_array().unwrap() {
        let behind = photos
            .iter()
            .filter(|p| p["t"] == cell[0] && p["c"] == cell[1]);
        assert_eq!(behind.count() as u64, cell[2].as_u64().unwrap(), "{cell}");
    }
    for (part, head) in parts[1..3].iter().zip(0..) {
        for cell in part["cells"].as_array().unwrap() {
            let of =
                |p: &&Value| p["h"][head]["t"][0] == cell[0] && p["h"][head]["s"][0] == cell[1];
            let count = photos.iter().filter(of).count() as u64;
            assert_eq!(
                count,
                cell[2].as_u64().unwrap(),
                "{cell} of {}",
                part["name"]
            );
        }
    }
    let of_tags = |label: u64, has: bool| {
        let says = |list: &Value| list.as_array().unwrap().contains(&label.into());
        let photos = photos
            .iter()
            .filter(|p| says(&p["h"][2]["t"]) == has && says(&p["h"][2]["s"]));
        photos.count() as u64
    };
    for (label, row) in (0..).zip(parts[3]["rows"].as_array().unwrap()) {
        let said = of_tags(label, true) + of_tags(label, false);
        assert_eq!(row["predicted"].as_u64().unwrap(), said, "{row}");
    }
    // The true number comes from the data.
    let numbers = photos
        .iter()
        .filter(|p| p["h"][1]["v"].as_array().is_some_and(|v| v.len() == 4));
    assert_eq!(numbers.count(), photos.len());
    assert_eq!(
        run["curves"].as_array().unwrap().len(),
        4,
        "loss, F1, accuracy, rates"
    );
    let errors = &run["errors"];
    assert_eq!(*errors, scores["errors"]);
}

#[test]
fn what_is_not_there_is_said_and_what_is_broken_is_an_error() {
    let (_dir, path) = prepared();
    assert!(fails(&path, &["report", "nowhere"]).contains("no folder"));
    std::fs::create_dir(path.join("empty")).unwrap();
    assert!(fails(&path, &["report", "empty"]).contains("config.toml"));
    assert!(fails(&path, &["report"]).contains("RUN"));
    train(&path, "run", &[]);
    let run = path.join("run");
    let made = || {
        works(&path, &["report", "run", "--out", "page.html"]);
        data(&page(&path.join("page.html")))
    };
    // Photos that are gone.
    std::fs::rename(path.join("faces/images"), path.join("elsewhere")).unwrap();
    let told = made();
    assert!(
        told["pictures"]
            .as_array()
            .unwrap()
            .iter()
            .all(Value::is_null)
    );
    std::fs::rename(path.join("elsewhere"), path.join("faces/images")).unwrap();
    // A listing that is gone, and given again.
    std::fs::rename(path.join("faces"), path.join("moved")).unwrap();
    let told = made();
    assert!(
        notes(&told).contains("--data says where the photos are"),
        "{}",
        notes(&told)
    );
    assert_eq!(told["pictures"].as_array().unwrap().len(), 0);
    works(
        &path,
        &[
            "report",
            "run",
            "--data",
            "moved/all.csv",
            "--out",
            "page.html",
        ],
    );
    let told = data(&page(&path.join("page.html")));
    assert!(
        told["pictures"]
            .as_array()
            .unwrap()
            .iter()
            .all(Value::is_string)
    );
    // Tables that are damaged.
    let predictions = run.join("valid_predictions.csv");
    let whole = page(&predictions);
    for (from, to, said) in [
        ("age_truth", "eyes_truth", "`age_truth`"),
        (",not_worn,", ",wearing,", "column `mask"),
        (",0.", ",x.", "a number is needed"),
    ] {
        std::fs::write(&predictions, whole.replacen(from, to, 1)).unwrap();
        let message = fails(&path, &["report", "run"]);
        assert!(
            message.contains(said) && message.contains("valid_predictions.csv"),
            "{message}"
        );
    }
    std::fs::write(&predictions, &whole).unwrap();
    std::fs::write(run.join("scores.json"), "{\"heads\": [").unwrap();
    assert!(fails(&path, &["report", "run"]).contains("not the scores of a run"));
    // Scores of another shape are shown as far as they go.
    for strange in [
        "[]",
        "{\"heads\": 3, \"class\": [1]}",
        "null",
        "{\"class\":{\"confusion\":[[1],2,[-1]]}}",
    ] {
        std::fs::write(run.join("scores.json"), strange).unwrap();
        made();
    }
    std::fs::remove_file(run.join("scores.json")).unwrap();
    let told = made();
    assert!(notes(&told).contains("no photo is scored"));
    assert_eq!(told["runs"][0]["curves"].as_array().unwrap().len(), 4);
    std::fs::write(run.join("metrics.csv"), "epoch,train_loss\n1,high\n").unwrap();
    assert!(fails(&path, &["report", "run"]).contains("found `high`"));
    std::fs::remove_file(run.join("metrics.csv")).unwrap();
    std::fs::remove_file(run.join("split.csv")).unwrap();
    assert!(notes(&made()).contains("no epoch has ended"));
    std::fs::write(run.join("config.toml"), "[train").unwrap();
    assert!(fails(&path, &["report", "run"]).contains("config.toml"));
}

#[test]
fn runs_stand_side_by_side_and_a_model_has_a_page_too() {
    let (_dir, path) = prepared();
    for (run, settings) in [
        ("a", vec!["train.mix_up=0.0"]),
        ("b", vec!["train.mix_up=0.4", "train.tensorboard=true"]),
    ] {
        train(&path, run, &settings);
    }
    works(&path, &["report", "a", "b", "--out", "both.html"]);
    let told = data(&page(&path.join("both.html")));
    let compare = &told["compare"];
    let changes = compare["variants"][1]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "what writes more is no difference");
    assert_eq!(changes[0]["key"], "train.mix_up");
    let said: Value =
        serde_json::from_str(&works(&path, &["compare", "a", "b", "--json"])).unwrap();
    assert_eq!(compare["figures"], said["figures"]);
    let pictures = told["pictures"].as_array().unwrap().len();
    assert_eq!(
        pictures,
        told["runs"][0]["photos"].as_array().unwrap().len(),
        "once each"
    );
    // One that has not ended is shown, and not compared.
    std::fs::remove_file(path.join("b/scores.json")).unwrap();
    works(&path, &["report", "a", "b", "--out", "both.html"]);
    let told = data(&page(&path.join("both.html")));
    assert!(
        told["compare"].is_null() && notes(&told).contains("not compared"),
        "{}",
        notes(&told)
    );

    works(
        &path,
        &[
            "report",
            "--model",
            "a/best.safetensors",
            "--data",
            "faces/all.csv",
            "--split",
            "valid",
            "--out",
            "model.html",
        ],
    );
    let of_model = data(&page(&path.join("model.html")));
    let of_run = data(&page(&path.join("a/report.html")));
    assert_eq!(of_model["runs"][0]["photos"], of_run["runs"][0]["photos"]);
    assert_eq!(of_model["runs"][0]["errors"], of_run["runs"][0]["errors"]);
    let message = fails(
        &path,
        &[
            "report",
            "a",
            "--model",
            "a/best.safetensors",
            "--data",
            "faces/all.csv",
        ],
    );
    assert!(message.contains("--model"), "{message}");
}

#[test]
fn a_run_is_looked_at_before_it_begins_and_while_it_goes_on() {
    let (_dir, path) = prepared();
    let check = |out: &str, settings: &[&str]| {
        let mut args = vec![
            "check",
            "--data",
            "faces/all.csv",
            "--show",
            "10",
            "--out",
            out,
        ];
        args.extend(["--set", "train.batch=8"]);
        settings.iter().for_each(|s| args.extend(["--set", s]));
        works(&path, &args);
    };
    check("plain.html", &["train.mix_up=0", "train.augment.flip=0"]);
    let told = data(&page(&path.join("plain.html")));
    let photos = told["photos"].as_array().unwrap();
    assert_eq!(photos.len(), 10);
    let target =
        |photo: &Value, head: usize| photo["targets"][head][1].as_str().unwrap().to_string();
    let whole = |p: &Value| ["worn", "not_worn", LABEL].contains(&target(p, 0).as_str());
    assert!(photos.iter().all(whole), "unmixed: one label");
    assert!(photos.iter().all(|p| target(p, 1).starts_with("about ")));
    check("mixed.html", &["train.mix_up=1"]);
    let mixed = data(&page(&path.join("mixed.html")));
    assert!(
        mixed["photos"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| target(p, 0).contains(' '))
    );
    check("sheet.png", &[]);
    let picture = image::open(path.join("sheet.png")).unwrap();
    // Ten photos of 32 × 32 in rows of four, with four pixels around.
    assert_eq!(
        (picture.width(), picture.height()),
        (4 * 36 + 4, 3 * 36 + 4)
    );
    assert!(fails(&path, &["check", "--data", "faces/all.csv", "--show", "0"]).contains("--show"));

    let args = [
        "train",
        "--data",
        "faces/all.csv",
        "--out",
        "run",
        "--live",
        "--set",
        "train.epochs=1",
    ];
    works(&path, &[&args[..], &["--set", "train.batch=16"]].concat());
    let told = page(&path.join("run/report.html"));
    assert!(!told.contains("http-equiv=\"refresh\""), "it has ended");
}
