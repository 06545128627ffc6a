//! Photos of another trade, from an empty folder to a scored model: shapes × colours × counts, drawn here.

use super::{hydranet, text, works};
use hydranet::train::Config;
use image::{Rgb, RgbImage};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Output;

const SHAPES: [&str; 3] = ["circle", "square", "bar"];
const COLOURS: [(&str, [u8; 3]); 3] = [
    ("red", [210, 40, 40]),
    ("green", [40, 170, 60]),
    ("blue", [50, 70, 210]),
];

/// Numbers that look random and are the same everywhere.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A picture of `count` shapes of a colour, 40 × 40.
fn draw(shape: &str, colour: [u8; 3], count: u64, draws: &mut Draws) -> RgbImage {
    let paper = 200 + draws.below(50) as u8;
    let mut picture = RgbImage::from_fn(40, 40, |_, _| Rgb([paper - draws.below(20) as u8; 3]));
    for i in 0..count {
        let centre = [
            (8 + 12 * i + draws.below(5)) as i64,
            (10 + draws.below(20)) as i64,
        ];
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let (dx, dy) = (
                (i64::from(x) - centre[0]).abs(),
                (i64::from(y) - centre[1]).abs(),
            );
            let inside = match shape {
                "circle" => dx * dx + dy * dy <= 30,
                "square" => dx.max(dy) <= 5,
                _ => dx <= 2 && dy <= 9,
            };
            if inside {
                *pixel = Rgb(colour);
            }
        }
    }
    picture
}

/// Draws `each` pictures of every shape, colour and count, and puts them where `place` says; nowhere if it says nothing.
fn draw_all(each: usize, mut place: impl FnMut(&str, &str, u64, usize) -> Option<PathBuf>) {
    let mut draws = Draws(7);
    let mut number = 0;
    for shape in SHAPES {
        for (name, colour) in COLOURS {
            for count in 1..=3 {
                for _ in 0..each {
                    let picture = draw(shape, colour, count, &mut draws);
                    if let Some(path) = place(shape, name, count, number) {
                        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                        picture.save(path).unwrap();
                    }
                    number += 1;
                }
            }
        }
    }
}

/// Trains heads on the frozen shipped backbone, and gives the scores on the test side.
fn train_and_score(dir: &Path, data: &str) -> serde_json::Value {
    let settings = ["train.lr_heads=0.01", "train.feature_cache=features"];
    let mut args = vec!["train", "--data", data, "--out", "run"];
    args.extend(["--frozen", "--epochs", "40"]);
    args.extend(settings.iter().flat_map(|s| ["--set", *s]));
    works(dir, &args);
    let scored = works(
        dir,
        &[
            "evaluate",
            "--model",
            "run/best.safetensors",
            "--data",
            data,
            "--json",
        ],
    );
    serde_json::from_str(&scored).unwrap()
}

/// Says of the features that are kept that they are those of other photos.
fn exchange_rows(dir: &Path) {
    let files = std::fs::read_dir(dir.join("features")).unwrap();
    let path = files.last().unwrap().unwrap().path();
    let bytes = std::fs::read(&path).unwrap();
    let start = 16 + u64::from_le_bytes(bytes[8..16].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[16..start]).unwrap();
    header["rows"].as_array_mut().unwrap().reverse();
    let text = serde_json::to_vec(&header).unwrap();
    let mut written = bytes[..8].to_vec();
    written.extend((text.len() as u64).to_le_bytes());
    written.extend(text);
    written.extend(&bytes[start..bytes.len() - 32]);
    let sum = Sha256::digest(&written);
    written.extend_from_slice(&sum);
    std::fs::write(&path, written).unwrap();
}

fn head_f1(scores: &serde_json::Value, head: &str) -> f64 {
    let heads = scores["heads"].as_array().unwrap();
    let found = heads
        .iter()
        .find(|h| h["head"] == head || h["name"] == head);
    found.unwrap_or_else(|| panic!("no {head} in {scores}"))["macro_f1"]
        .as_f64()
        .unwrap()
}

fn heads(dir: &Path) -> Config {
    Config::load(&dir.join("heads"), None, &[]).unwrap()
}

fn init(dir: &Path, path: &str) -> String {
    works(dir, &["init", path])
}

fn message(out: Output) -> String {
    assert!(!out.status.success());
    text(&out.stderr)
}

#[test]
fn three_commands_make_a_scored_model_of_photos_in_folders_per_class() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    draw_all(6, |_, colour, _, n| {
        let side = if n % 4 == 3 { "Test" } else { "Train" };
        Some(dir.join(format!("photos/{side}/{colour}/{n:03}.png")))
    });
    let said = init(dir, "photos");
    for words in [
        "162 photos",
        "sides of the split",
        "head kind: blue 54, green 54, red 54",
        "put on valid",
        "64 × 64",
        "hydranet train --data photos.csv --heads heads",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    let config = heads(dir);
    assert_eq!(config.model.heads, ["kind"]);
    assert_eq!(config.heads["kind"].labels.names, ["blue", "green", "red"]);
    assert_eq!(config.model.input.size, [64, 64]);
    let listing = std::fs::read_to_string(dir.join("photos.csv")).unwrap();
    assert!(
        listing.starts_with("path,kind,split\nphotos/Test/blue/"),
        "{listing}"
    );
    assert_eq!(listing.matches(",test\n").count(), 40);
    assert!(listing.matches(",valid\n").count() > 10);
    let scores = train_and_score(dir, "photos.csv");
    assert!(head_f1(&scores, "kind") > 0.9, "{scores}");
    // The folder itself is the same data.
    let direct = [
        "evaluate",
        "--model",
        "run/best.safetensors",
        "--data",
        "photos",
        "--json",
    ];
    let again: serde_json::Value = serde_json::from_str(&works(dir, &direct)).unwrap();
    assert_eq!(again, scores);
    // The photos scored were not those of the training: what is kept of them came with the first evaluation.
    let kept = || {
        let files = std::fs::read_dir(dir.join("features")).unwrap();
        let mut all: Vec<Vec<u8>> = files
            .map(|f| std::fs::read(f.unwrap().path()).unwrap())
            .collect();
        assert_eq!(all.len(), 1);
        all.remove(0)
    };
    let rows = |bytes: &[u8]| {
        let length = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[16..16 + length]).unwrap();
        header["rows"].as_array().unwrap().len()
    };
    // And of each photo in training its mirror image.
    let mirrored = listing.matches(",train\n").count();
    assert_eq!(rows(&kept()), 162 + mirrored);
    let predict = || {
        works(
            dir,
            &["predict", "--model", "run/best.safetensors", "photos"],
        )
    };
    let of_kept = predict();
    exchange_rows(dir);
    assert!(
        predict() != of_kept,
        "the features that are kept are not used"
    );
    std::fs::remove_dir_all(dir.join("features")).unwrap();
    assert_eq!(predict(), of_kept);
    let computed: serde_json::Value = serde_json::from_str(&works(dir, &direct)).unwrap();
    assert_eq!(head_f1(&computed, "kind"), head_f1(&scores, "kind"));
    // What is there is not written over without leave.
    std::fs::write(dir.join("heads/kind.toml"), "mine").unwrap();
    let refused = message(hydranet(dir, ["init", "photos"]));
    for word in ["heads/kind.toml", "photos.csv", "--overwrite"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    assert_eq!(
        std::fs::read_to_string(dir.join("heads/kind.toml")).unwrap(),
        "mine"
    );
    works(dir, &["init", "photos", "--overwrite"]);
    heads(dir);
}

#[test]
fn names_of_kind_and_state_become_two_heads_without_what_never_occurs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    draw_all(2, |shape, colour, _, n| {
        let is_there = (shape, colour) != ("bar", "red");
        is_there.then(|| dir.join(format!("photos/{shape}___{colour}/{n:03}.png")))
    });
    let said = init(dir, "photos");
    assert!(said.contains("joined by `___`"), "{said}");
    let config = heads(dir);
    assert_eq!(config.model.heads, ["level1", "level2"]);
    assert_eq!(
        config.heads["level1"].labels.names,
        ["bar", "circle", "square"]
    );
    let spec = config.model_spec().unwrap();
    assert_eq!(spec.taxonomy().unwrap().num_classes(), 8);
    // The folder as it is: what a training would have.
    let plan = works(dir, &["train", "--data", "photos", "--dry-run"]);
    assert!(plan.contains("circle / green"), "{plan}");
}

#[test]
fn levels_of_folders_become_heads_beneath_labels() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    draw_all(2, |shape, colour, count, n| {
        let inner = match shape {
            "circle" => format!("round/{colour}"),
            "square" => format!("angular/{}", ["one", "two", "three"][count as usize - 1]),
            _ => "long".into(),
        };
        Some(dir.join(format!("my photos/{inner}/{n:03}.png")))
    });
    let said = init(dir, "my photos");
    assert!(
        said.contains("head round: blue 6, green 6, red 6"),
        "{said}"
    );
    assert!(said.contains("only where level1 is round"), "{said}");
    let config = heads(dir);
    assert_eq!(config.model.heads, ["level1", "angular", "round"]);
    let names = config
        .model_spec()
        .unwrap()
        .taxonomy()
        .unwrap()
        .class_names();
    assert!(
        names.contains(&"long".to_string()) && names.contains(&"round / red".to_string()),
        "{names:?}"
    );
    assert_eq!(names.len(), 7);
    let listing = works(dir, &["check", "--data", "photos.csv"]);
    let suits = "input 64 × 64 (height × width) suits the photos";
    assert!(listing.contains(suits), "{listing}");
    let folder = works(dir, &["check", "--data", "my photos"]);
    let of_heads = |said: &str| {
        let lines = said.lines().filter(|l| {
            ["level1:", "round:", "angular:"]
                .iter()
                .any(|h| l.starts_with(h))
        });
        lines.map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(of_heads(&listing).len(), 3, "{listing}");
    assert_eq!(of_heads(&listing), of_heads(&folder));
}

#[test]
fn a_csv_with_foreign_columns_is_understood_and_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut rows = String::from("Nr;Farbe;Form;Serie;Fläche;Quelle;Bemerkung\n");
    draw_all(6, |shape, colour, count, n| {
        let colour = if n % 20 == 0 { "Not sure" } else { colour };
        let area = 10 * count + n as u64 % 7;
        let row = format!(
            "{n:03};{colour};{shape};s{:02};{area};web;x{n} {shape}\n",
            n % 27
        );
        rows.push_str(&row);
        Some(dir.join(format!("set/bilder/{n:03}.png")))
    });
    std::fs::write(dir.join("set/liste.csv"), &rows).unwrap();
    let said = init(dir, "set/liste.csv");
    for words in [
        "`Nr`: photos; files of the form `bilder/{Nr}.png`",
        "head Farbe: blue 51",
        "`Not sure` 9",
        "head Form: bar 54, circle 54, square 54",
        "`Serie`: 27 groups",
        "`Quelle`: the same for every photo",
        "`Bemerkung`: different for every photo",
        "head Fl_che: under_",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    let config = heads(dir);
    assert_eq!(config.model.heads, ["Farbe", "Form", "Fl_che"]);
    assert_eq!(config.heads["Farbe"].labels.unknown, ["Not sure"]);
    assert_eq!(
        config.heads["Fl_che"].labels.column.as_deref(),
        Some("Fläche")
    );
    assert_eq!(config.model.columns["person"], "Serie");
    assert_eq!(
        std::fs::read_to_string(dir.join("set/liste.csv")).unwrap(),
        rows
    );
    // The model remembers what its listing calls its columns.
    let scores = train_and_score(dir, "set/liste.csv");
    assert!(head_f1(&scores, "Farbe") > 0.8, "{scores}");
    let split = std::fs::read_to_string(dir.join("run/split.csv")).unwrap();
    assert!(split.contains("bilder/"), "{split}");
    // By the command line, for a model's heads and a listing of other names.
    let other = rows.replace("Nr;Farbe;", "id;colour;");
    std::fs::write(dir.join("set/other.csv"), other).unwrap();
    let columns = "path=bilder/{id}.png,Farbe=colour,group=Serie";
    let args = [
        "evaluate",
        "--model",
        "run/best.safetensors",
        "--data",
        "set/other.csv",
        "--columns",
        columns,
        "--json",
    ];
    let again: serde_json::Value = serde_json::from_str(&works(dir, &args)).unwrap();
    assert_eq!(again, scores);
    let wrong = [
        "evaluate",
        "--model",
        "run/best.safetensors",
        "--data",
        "set/other.csv",
        "--columns",
        "colour=x",
    ];
    let refused = message(hydranet(dir, wrong));
    assert!(
        refused.contains("`colour`") && refused.contains("Farbe"),
        "{refused}"
    );
}

#[test]
fn what_holds_nothing_to_learn_is_said_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    draw_all(1, |_, _, _, n| Some(dir.join(format!("photos/{n:03}.png"))));
    std::fs::write(dir.join("photos/list.csv"), "path,colour\n000.png,red\n").unwrap();
    std::fs::write(dir.join("no_photos.csv"), "a,b\n1,2\n").unwrap();
    std::fs::create_dir_all(dir.join("phone/cat")).unwrap();
    std::fs::write(dir.join("phone/cat/1.heic"), "a telephone's").unwrap();
    for (path, words) in [
        ("photos", "hydranet init photos/list.csv"),
        ("no_photos.csv", "a column of photos is needed"),
        (
            "phone",
            "none, but 1 file that is no photo by name (.heic 1)",
        ),
        ("photos/list.csv", "labels is needed, found none"),
        ("nowhere", "nowhere"),
    ] {
        let refused = message(hydranet(dir, ["init", path]));
        assert!(refused.contains(words), "{path}: {refused}");
        assert!(!dir.join("heads").exists(), "{path}");
    }
}

#[test]
fn a_label_with_a_single_one_beneath_it_needs_no_head() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    draw_all(2, |shape, colour, _, n| {
        let inner = match (shape, colour) {
            ("circle", _) => format!("round/{colour}"),
            ("square", "red") => "angular/crimson".into(),
            _ => return None,
        };
        Some(dir.join(format!("photos/{inner}/{n:03}.png")))
    });
    init(dir, "photos");
    let config = heads(dir);
    assert_eq!(config.model.heads, ["level1", "round"]);
    // What `init` writes its own data is labelled by.
    for data in ["photos.csv", "photos"] {
        works(dir, &["check", "--data", data]);
    }
}

#[test]
fn cells_of_several_words_make_a_head_of_several_labels_that_is_trained_tuned_and_asked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut listing = String::from("path,traits\n");
    draw_all(4, |shape, colour, _, n| {
        let wanted = ["red", "green", "circle"];
        let traits = [colour, shape].into_iter().filter(|t| wanted.contains(t));
        let traits: Vec<&str> = traits.collect();
        let cell = match (traits.len(), n % 9) {
            (_, 4) => String::new(),
            (0, _) => "-".into(),
            _ => traits.join(";"),
        };
        let name = format!("photos/{n:03}.png");
        listing += &format!("{name},{cell}\n");
        Some(dir.join(name))
    });
    std::fs::write(dir.join("photos.csv"), listing).unwrap();
    let said = init(dir, "photos.csv");
    assert!(said.contains("head traits: circle "), "{said}");
    assert!(said.contains("several labels at once"), "{said}");
    let config = heads(dir);
    let head = &config.heads["traits"];
    assert_eq!(head.labels.names, ["circle", "green", "red"]);
    assert!(head.labels.multi_label.is_some());
    let checked = works(dir, &["check", "--data", "photos.csv"]);
    assert!(checked.contains("none of them "), "{checked}");
    let scores = train_and_score(dir, "photos.csv");
    assert!(head_f1(&scores, "traits") > 0.7, "{scores}");
    assert!(scores["heads"][0]["average_precision"].is_number());
    let model = ["--model", "run/best.safetensors", "--data", "photos.csv"];
    let decide = [
        &["decide"][..],
        &model,
        &["--thresholds", "--out", "tuned.safetensors"],
    ];
    let said = works(dir, &decide.concat());
    assert!(said.contains("traits: said from circle 0."), "{said}");
    let asked = ["predict", "--model", "tuned.safetensors", "photos/000.png"];
    let csv = works(dir, &asked);
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    assert_eq!(
        header,
        "path,class,name,prob,traits,traits_circle,traits_green,traits_red"
    );
    // A red circle.
    assert!(lines.next().unwrap().contains(",circle;red,"), "{csv}");
    let json = works(dir, &[&asked[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let labels = serde_json::json!(["circle", "red"]);
    assert_eq!(json["heads"][0]["labels"], labels);
    let out = hydranet(dir, ["audit", "--data", "photos.csv", "--out", "audit"]);
    assert!(message(out).contains("only those of several at once"));
}
