//! What is said of files that are something else, of settings out of range, and of names that mean harm.

use super::{command, hydranet};
use crate::common::runs::{Bench, HEADS};
use crate::common::tiny;
use hydranet::data::Dataset;
use hydranet::train::{Config, load_weights, read_head};
use hydranet::{Ensemble, HeadSpec, ModelFile};
use std::path::{Path, PathBuf};

/// A copy of the shipped heads.
fn heads(into: &Path) -> PathBuf {
    let folder = into.join("heads");
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(HEADS).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

fn add(file: &Path, text: &str) -> usize {
    let mut all = std::fs::read_to_string(file).unwrap();
    all.push('\n');
    let line = all.matches('\n').count() + 1;
    std::fs::write(file, all + text + "\n").unwrap();
    line
}

#[test]
fn a_value_out_of_range_names_its_file_and_line_or_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let load = |heads: &Path, file: Option<&Path>, set: &[&str]| {
        let set: Vec<String> = set.iter().map(ToString::to_string).collect();
        Config::load(heads, file, &set).unwrap_err().to_string()
    };
    let has = |message: &str, words: &[&str]| {
        for word in words {
            assert!(message.contains(word), "no `{word}`: {message}");
        }
    };
    // In a head's file.
    let folder = heads(&dir.path().join("a"));
    let line = add(&folder.join("mask.toml"), "smoothing = 2.0");
    let message = load(&folder, None, &[]);
    has(
        &message,
        &["mask.toml", &format!("line {line}"), "smoothing", "found 2"],
    );
    // Of the guilty among several settings and files.
    has(&load(&folder, None, &["train.epochs=3"]), &["mask.toml"]);
    let message = load(&folder, None, &["heads.mask.smoothing=3", "train.epochs=3"]);
    has(&message, &["the setting heads.mask.smoothing=3"]);
    assert!(!message.contains("mask.toml"), "{message}");
    // In model.toml: a head that is not there, and an input.
    let folder = heads(&dir.path().join("b"));
    let model = folder.join("model.toml");
    let text = std::fs::read_to_string(&model).unwrap();
    let unknown = text.replace("\"gender\"", "\"gendr\"");
    assert_ne!(text, unknown);
    std::fs::write(&model, unknown).unwrap();
    let line = text[..text.find("\"gender\"").unwrap()]
        .matches('\n')
        .count()
        + 1;
    let message = load(&folder, None, &[]);
    has(
        &message,
        &["model.toml", &format!("line {line}"), "`gendr`"],
    );
    // A condition on a head that is not there.
    let folder = heads(&dir.path().join("c"));
    add(&folder.join("age.toml"), "[when]\nhat = [\"on\"]");
    has(&load(&folder, None, &[]), &["age.toml", "`hat`"]);
    // In a file of settings.
    let file = dir.path().join("mine.toml");
    for (text, line, key) in [
        ("# one\n[train]\nepochs = 0\n", 3, "epochs"),
        ("[train]\nepochs = 2\nmix_off = 3\n", 3, "mix_off"),
        ("[train.augment]\nflip = 0.5\nerasing = 2.0\n", 3, "erasing"),
        ("[train.split]\n\nvalid = 1.5\n", 3, "valid"),
        ("[model.input]\nsize = [1000000000, 32]\n", 2, "size"),
        ("[heads.mask]\n\n\nweight = -1.0\n", 4, "weight"),
        ("[train.optimizer.sgd]\nmomentum = 7.0\n", 2, "momentum"),
        ("[train.lora]\nrank = 100000\n", 1, "lora"),
        (
            "[[train.mix]]\nprobability = 7.0\nkind = \"half_paste\"\n",
            2,
            "probability",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let message = load(Path::new(HEADS), Some(&file), &["train.batch=8"]);
        has(&message, &["mine.toml", &format!("line {line}"), key]);
        let whole = Config::load(Path::new(HEADS), None, &[]).unwrap();
        // The same in a run's whole configuration.
        let mut run: toml::Table = toml::from_str(&whole.to_toml().unwrap()).unwrap();
        let over: toml::Table = toml::from_str(text).unwrap();
        merge(&mut run, over);
        std::fs::write(&file, toml::to_string(&run).unwrap()).unwrap();
        let message = Config::read(&file).unwrap_err().to_string();
        has(&message, &["mine.toml, line ", key]);
    }
    let message = load(Path::new(HEADS), None, &["train.epochs=0", "train.batch=8"]);
    has(&message, &["the setting train.epochs=0", "train.epochs"]);
    let head = dir.path().join("own.toml");
    std::fs::write(
        &head,
        "name = \"own\"\nlabels = [\"a\", \"b\"]\ndropout = 1.5\n",
    )
    .unwrap();
    has(
        &read_head(&head).unwrap_err().to_string(),
        &["own.toml, line 3", "dropout"],
    );
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[test]
fn a_label_that_is_written_otherwise_is_hinted_at() {
    let dir = tempfile::tempdir().unwrap();
    let fault = |labels: &[&str], cell: &str| {
        let listing = dir.path().join("list.csv");
        std::fs::write(&listing, format!("path,kind\na.jpg,{cell}\n")).unwrap();
        let heads = [HeadSpec::new("kind", labels.to_vec())];
        Dataset::open(&[listing], &heads).unwrap_err().to_string()
    };
    for (labels, cell, meant) in [
        (&["0", "1"][..], "1.0", "`1`"),
        (&["0.0", "1.0"], "1", "`1.0`"),
        (&["1", "2"], "01", "`1`"),
        (&["worn", "not_worn"], "Worn", "`worn`"),
        (&["worn", "not_worn"], "not worn", "`not_worn`"),
        (&["worn", "not_worn"], "Not-Worn", "`not_worn`"),
        (&[" worn", "not"], "worn", "` worn`"),
    ] {
        let message = fault(labels, cell);
        let hint = format!("did you mean {meant}?");
        assert!(message.contains(&hint), "{cell}: {message}");
        assert!(message.contains("letter by letter"), "{message}");
    }
    assert!(!fault(&["0", "1"], "7").contains("did you mean"));
    // Of many labels the nearest is named, and not all are listed.
    let many: Vec<String> = (0..5000).map(|i| format!("kind of thing {i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let message = fault(&many, "kind of thong 777");
    assert!(
        message.contains("did you mean `kind of thing 777`?"),
        "{message}"
    );
    assert!(message.len() < 2000, "{}", message.len());
}

/// ESC, a C1 control, a bell and an order to write from right to left.
const HARM: [char; 4] = ['\u{1b}', '\u{9b}', '\u{7}', '\u{202e}'];

fn run(dir: &Path, args: &[&str]) -> (String, String) {
    let out = hydranet(dir, args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out.stdout), text(out.stderr))
}

#[test]
fn a_message_holds_no_backtrace_whatever_the_environment_asks_for() {
    let bench = Bench::new();
    let mut run = vec!["train", "--dry-run", "--heads", HEADS, "--data"];
    let data = bench.data.display().to_string();
    run.push(&data);
    // Cut off within a text, and an operation that candle's reader does not know.
    let start = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let start = [&start[..], b"\x80\x02}X\x0d\0\0\0little_endian\x88s."].concat();
    for (name, bytes) in [
        ("cut.pth", &b"\x80\x02}q"[..]),
        ("unknown.pth", b"\x80\x02}\xf3."),
    ] {
        std::fs::write(bench.out(name), [&start[..], bytes].concat()).unwrap();
        let weights = format!("model.weights={name}");
        let mut command = command(bench.dir.path());
        command.args(&run).args(["--set", &weights]);
        command.env("RUST_BACKTRACE", "1");
        let out = command.output().unwrap();
        let message = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(1), "{message}");
        let last = message.trim_end().lines().last().unwrap();
        assert!(last.starts_with("error: "), "{message}");
        assert!(last.contains("its pickle cannot be read"), "{message}");
        assert!(!message.contains("candle_core::"), "{message}");
    }
    // The same of an error of candle itself, wherever it is nested.
    use candle_core::Error as Candle;
    let traced = |inner: Candle| Candle::WithBacktrace {
        inner: Box::new(inner),
        backtrace: Box::new(std::backtrace::Backtrace::force_capture()),
    };
    let inner = traced(Candle::Msg("cause".into())).with_path("x.bin");
    let error = hydranet::Error::from(traced(inner.context("while")));
    assert_eq!(error.to_string(), "while\npath: \"x.bin\" cause");
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_called_so_and_a_runs_folder_is_led_to_its_model() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::os::unix::fs::symlink("gone.jpg", at("link.jpg")).unwrap();
    let message = hydranet::Photo::open(at("link.jpg")).unwrap_err();
    let message = format!("{message:#}");
    assert!(
        message.contains("a link to `gone.jpg`, which is not there"),
        "{message}"
    );
    std::fs::create_dir(at("r")).unwrap();
    tiny::model().write(at("r/best.safetensors")).unwrap();
    let best = at("r/best.safetensors").display().to_string();
    let weights = hydranet::pretrained::load(
        &at("r").display().to_string(),
        &[],
        hydranet::Architecture::from_name("resnet18").unwrap(),
    );
    for error in [
        ModelFile::read(at("r")).err().unwrap(),
        Ensemble::from_file(at("r")).err().unwrap(),
        weights.err().unwrap(),
    ] {
        let message = error.to_string();
        assert!(
            message.contains("a run's folder") && message.contains(&best),
            "{message}"
        );
    }
}

#[test]
fn a_dry_run_warns_of_a_label_without_a_photo_as_training_does() {
    let bench = Bench::new();
    // path,person,mask,gender,age,split
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let rows = text.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[2] == "incorrect" && cells[5] == "train" {
            cells[2] = "worn";
        }
        // Persons on two sides would be refused.
        cells.remove(1);
        cells.join(",") + "\n"
    });
    std::fs::write(&bench.data, rows.collect::<String>()).unwrap();
    let data = bench.data.display().to_string();
    let args = ["train", "--dry-run", "--heads", HEADS, "--data", &data];
    let out = hydranet(bench.dir.path(), args);
    let told = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{told}");
    assert!(
        told.contains("`incorrect`") && told.contains("`mask`"),
        "{told}"
    );
}

#[test]
fn names_of_others_reach_the_terminal_as_text() {
    let dir = tempfile::tempdir().unwrap();
    let harm: String = HARM.iter().collect();
    let dir = dir.path();
    // Of photos, persons and cells of a listing.
    let name = format!("{harm}[2J.jpg");
    std::fs::write(dir.join(&name), "no photo").unwrap();
    let model = "model.safetensors";
    tiny::model().write(dir.join(model)).unwrap();
    let clean = |args: &[&str]| {
        let (out, err) = run(dir, args);
        for text in [&out, &err] {
            assert!(!text.contains(HARM), "{args:?}: {text:?}");
        }
        out + &err
    };
    let said = clean(&["predict", "--model", model, &name]);
    assert!(said.contains("\\u{1b}"), "{said}");
    let list = format!("path,mask,person\n{name},{harm}worn,{harm}\n");
    std::fs::write(dir.join("list.csv"), list).unwrap();
    clean(&["check", "--heads", HEADS, "--data", "list.csv"]);
    clean(&["check", "--heads", HEADS, "--data", "list.csv", "--json"]);
    std::fs::write(dir.join("list.csv"), format!("path,{harm}\n{name},1\n")).unwrap();
    clean(&["check", "--heads", HEADS, "--data", "list.csv"]);
    // Of files, options and keys.
    clean(&["inspect", "--model", &harm]);
    clean(&["inspect", "--model", model, &format!("--{harm}")]);
    clean(&[&harm.to_string()]);
    clean(&[
        "train",
        "--heads",
        HEADS,
        "--data",
        "x",
        "--out",
        "y",
        "--set",
        &format!("train.{harm}=1"),
    ]);
    clean(&[
        "train",
        "--heads",
        HEADS,
        "--data",
        "x",
        "--out",
        "y",
        "--set",
        &format!("model.weights={harm}"),
    ]);
    std::fs::write(
        dir.join("c.toml"),
        format!("[train]\n\"\\u001b[31m\" = 1 # {harm}\n"),
    )
    .unwrap();
    clean(&[
        "train", "--heads", HEADS, "--data", "x", "--out", "y", "--config", "c.toml",
    ]);
    // A path of two lines stays in one.
    let two = "a\nerror: all is lost.jpg";
    std::fs::write(dir.join(two), "no photo").unwrap();
    let said = clean(&["predict", "--model", model, two]);
    assert!(!said.contains("\nerror: all"), "{said}");
    // Of tensors and of what a model says of itself.
    let mut tensors = hydranet::Tensors::new();
    let one = candle_core::Tensor::new(&[1f32], &candle_core::Device::Cpu).unwrap();
    tensors.insert(format!("{harm}.weight"), one);
    let bytes = hydranet::to_bytes(&tensors, None).unwrap();
    std::fs::write(dir.join("w.safetensors"), bytes).unwrap();
    clean(&["inspect", "--model", "w.safetensors"]);
    let mut file = tiny::model();
    file.description.training = serde_json::json!({ "note": harm });
    file.write(dir.join("told.safetensors")).unwrap();
    let (out, _) = run(dir, &["inspect", "--json", "--model", "told.safetensors"]);
    assert!(!out.contains(HARM), "{out:?}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["training"]["note"], *harm);
}

#[test]
fn a_configuration_of_no_weights_still_loads() {
    let config = Bench::config(&["model.weights="]).unwrap();
    assert!(load_weights(&config, Path::new(HEADS)).unwrap().is_empty());
}

#[test]
fn what_is_passed_over_is_counted_and_named() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    let has = |args: &[&str], words: &[&str]| {
        let (_, err) = run(dir, args);
        for word in words {
            assert!(err.contains(word), "{args:?}, no `{word}`: {err}");
        }
    };
    // Columns of a listing, and files of a folder of heads.
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let rows = text.lines().enumerate();
    let rows = rows.map(|(i, row)| format!("{row},{}\n", ["weather", "fair"][usize::from(i > 0)]));
    std::fs::write(&bench.data, rows.collect::<String>()).unwrap();
    let data = bench.data.display().to_string();
    let own = heads(dir);
    std::fs::write(own.join("hat.TOML"), "").unwrap();
    std::fs::write(own.join("hat.toml.bak"), "").unwrap();
    let own = own.display().to_string();
    let words = [
        "1 columns",
        "`weather`",
        "2 files",
        "`hat.TOML`",
        "`hat.toml.bak`",
    ];
    has(&["check", "--heads", &own, "--data", &data], &words);
    let train = ["train", "--heads", &own, "--data", &data, "--out", "run"];
    let short = [
        "--set",
        "train.epochs=1",
        "--set",
        "model.input.size=[32,32]",
    ];
    has(&[&train[..], &short].concat(), &words);
    // Of a folder of photos.
    let photos = dir.join("photos");
    std::fs::create_dir_all(photos.join("inner")).unwrap();
    for name in ["a.avif", "inner/b.heic", ".hidden.jpg", "inner/c.txt"] {
        std::fs::write(photos.join(name), "x").unwrap();
    }
    std::fs::copy(first_photo(&bench), photos.join("good.jpg")).unwrap();
    tiny::model().write(dir.join("model.safetensors")).unwrap();
    let predict = ["predict", "--model", "model.safetensors", "photos"];
    has(
        &predict,
        &["3 files", ".avif 1", "1 hidden file", ".heic 1"],
    );
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&photos, photos.join("again")).unwrap();
        has(&predict, &["1 linked folder (", "again"]);
    }
    // Of a person folder.
    let people = dir.join("people");
    let own = people.join("images/000001_male_Asian_30");
    std::fs::create_dir_all(own.join("more")).unwrap();
    std::fs::create_dir_all(people.join("images/000009_nobody")).unwrap();
    std::fs::copy(first_photo(&bench), own.join("normal.jpg")).unwrap();
    std::fs::write(own.join("mask1.heic"), "x").unwrap();
    let rows = "id,gender,race,age,path\n000001,male,Asian,30,000001_male_Asian_30\n";
    std::fs::write(people.join("train.csv"), rows).unwrap();
    has(
        &["check", "--heads", HEADS, "--data", "people"],
        &[
            "`race`",
            "1 files",
            "mask1.heic",
            "2 folders",
            "`000009_nobody`",
            "/more`",
        ],
    );
}

fn first_photo(bench: &Bench) -> PathBuf {
    let photos = std::fs::read_dir(bench.data.with_file_name("images")).unwrap();
    let mut photos: Vec<_> = photos.map(|p| p.unwrap().path()).collect();
    photos.sort();
    photos.swap_remove(0)
}
