//! Nobody a model has learnt from is called a test, however the listing, the heads or the files change.

use crate::common::runs::{Bench, HEADS};
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::{Dataset, Split};
use hydranet::data::seen::{Sides, apply_split_file, follow, record_valid, settle};
use hydranet::model_file::heads;
use hydranet::train::config::{Config, load_weights};
use hydranet::train::trainer::{Event, train};
use hydranet::{HeadSpec, ModelFile, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

/// The bench's listing without its column `split`.
fn bench() -> Bench {
    let bench = Bench::new();
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let rows = text.lines().map(|l| l.rsplit_once(',').unwrap().0);
    write(&bench.data, rows.map(String::from));
    bench
}

fn write(path: &Path, rows: impl Iterator<Item = String>) {
    std::fs::write(path, rows.map(|r| r + "\n").collect::<String>()).unwrap();
}

fn rows(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(String::from).collect()
}

fn config(seed: u64, more: &[&str]) -> Config {
    let seed = format!("train.seed={seed}");
    let mut settings = vec!["train.epochs=1", "train.fine_tune=frozen", &seed];
    settings.extend(more);
    Bench::config(&settings).unwrap()
}

fn open(data: &[PathBuf], config: &Config) -> Dataset {
    Dataset::open(data, &config.model_spec().unwrap().heads).unwrap()
}

/// Trains on a listing, and gives the model and where each photo stood, by the name of its file.
fn trained(
    bench: &Bench,
    data: &[PathBuf],
    config: &Config,
    out: &str,
) -> (ModelFile, BTreeMap<String, Split>) {
    let mut dataset = open(data, config);
    dataset
        .put_on_sides(
            &config.train.split,
            config.train.seed,
            &config.train.corrections,
        )
        .unwrap();
    let stop = AtomicBool::new(false);
    let weights = load_weights(config, Path::new(HEADS)).unwrap();
    let out = bench.out(out);
    train(config, weights, &dataset, &out, false, &stop, &mut |_| ()).unwrap();
    let sides = dataset.samples.iter();
    let sides = sides
        .map(|s| (file_name(&s.path), s.split.unwrap()))
        .collect();
    (
        ModelFile::read(out.join("best.safetensors")).unwrap(),
        sides,
    )
}

/// Trains from the weights that a configuration names, and gives the warnings.
fn go(bench: &Bench, config: &Config, dataset: &Dataset, out: &str) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut tell = |event: &Event| {
        if let Event::Warning(text) = event {
            warnings.push(text.to_string());
        }
    };
    let weights = load_weights(config, Path::new(HEADS))?;
    let (out, stop) = (bench.out(out), AtomicBool::new(false));
    train(config, weights, dataset, &out, false, &stop, &mut tell)?;
    Ok(warnings)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn settled(dataset: &mut Dataset, models: &[&ModelFile]) -> Result<Sides> {
    let models: Vec<_> = models.iter().map(|m| &m.description).collect();
    settle(
        dataset,
        &models,
        &Corrections::read::<&str>(&[]).unwrap(),
        &|_, _| (),
    )
}

/// A photo whose pixels and name are new, of a person.
fn new_photo(bench: &Bench, name: &str) {
    let shown = bench.data.parent().unwrap().join("images");
    let mut bytes = std::fs::read(
        std::fs::read_dir(&shown)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path(),
    )
    .unwrap();
    bytes.extend_from_slice(name.as_bytes());
    std::fs::write(shown.join(name), bytes).unwrap();
}

#[test]
fn the_sides_of_a_training_hold_in_every_other_form_of_its_listing() {
    let bench = bench();
    let config = config(1, &[]);
    let listing = bench.data.clone();
    let (model, truth) = trained(&bench, std::slice::from_ref(&listing), &config, "run");
    let given = rows(&listing);
    let beside = |name: &str| listing.with_file_name(name);
    let label_put_right = |row: &String| {
        if row.contains(",female,") {
            row.replace(",female,", ",male,")
        } else {
            row.clone()
        }
    };
    write(&beside("labels.csv"), given.iter().map(label_put_right));
    let reversed = given[..1].iter().chain(given[1..].iter().rev());
    write(&beside("order.csv"), reversed.cloned());
    let nobody = given.iter().map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        [&cells[..1], &cells[2..]].concat().join(",")
    });
    write(&beside("nobody.csv"), nobody);
    let some = given.iter().enumerate().filter(|(i, _)| i % 3 != 1);
    write(&beside("some.csv"), some.map(|(_, row)| row.clone()));
    // Moved and called otherwise.
    let moved = beside("moved");
    std::fs::create_dir(&moved).unwrap();
    let elsewhere = given.iter().enumerate().map(|(i, row)| {
        let Some((path, rest)) = row.split_once(',').filter(|_| i > 0) else {
            return row.clone();
        };
        let name = format!("{i}_{}", file_name(Path::new(path)));
        std::fs::copy(beside(path), moved.join(&name)).unwrap();
        format!("{name},{rest}")
    });
    write(&moved.join("moved.csv"), elsewhere);
    let names = [
        "labels.csv",
        "order.csv",
        "nobody.csv",
        "some.csv",
        "moved/moved.csv",
    ];
    for name in names {
        let mut dataset = open(&[beside(name)], &config);
        let sides = settled(&mut dataset, &[&model]).unwrap();
        for sample in &dataset.samples {
            let file = file_name(&sample.path);
            let file = if name.starts_with("moved") {
                file.split_once('_').unwrap().1
            } else {
                &file
            };
            assert_eq!(sample.split, Some(truth[file]), "{name}: {file}");
        }
        assert_eq!(
            (sides.new, sides.claimed, &sides.notes),
            (0, 0, &Vec::new()),
            "{name}"
        );
        let of = |split| {
            dataset
                .samples
                .iter()
                .filter(|s| s.split == Some(split))
                .count()
        };
        let counted = [sides.train, sides.valid, sides.test];
        assert_eq!(counted, Split::ALL.map(of), "{name}");
        assert!(counted.iter().all(|n| *n > 0), "{name}: {counted:?}");
    }
}

#[test]
fn new_photos_are_told_from_held_out_ones_and_a_known_persons_new_photo_is_no_test() {
    let bench = bench();
    let config = config(1, &[]);
    let (model, truth) = trained(&bench, std::slice::from_ref(&bench.data), &config, "run");
    let given = rows(&bench.data);
    let person = |split: Split| {
        let row = given[1..].iter().find(|row| {
            let path = row.split(',').next().unwrap();
            truth[&file_name(Path::new(path))] == split
        });
        row.unwrap().split(',').nth(1).unwrap()
    };
    let (learnt, held_out) = (person(Split::Train), person(Split::Test));
    let mut more = given.clone();
    for (name, person) in [
        ("a.png", learnt),
        ("b.png", held_out),
        ("c.png", "nobody yet"),
        ("d.png", ""),
    ] {
        new_photo(&bench, name);
        more.push(format!("images/{name},{person},worn,male,40"));
    }
    write(&bench.data, more.into_iter());
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let sides = settled(&mut dataset, &[&model]).unwrap();
    let added: Vec<_> = dataset
        .samples
        .iter()
        .rev()
        .take(4)
        .rev()
        .map(|s| s.split.unwrap())
        .collect();
    assert_eq!(added, [Split::Train, Split::Test, Split::Test, Split::Test]);
    assert_eq!(sides.new, 2);
    assert_eq!(sides.test + sides.valid + sides.train, truth.len() + 2);
}

#[test]
fn a_side_that_the_listing_claims_does_not_make_a_photo_unseen() {
    let bench = bench();
    let config = config(1, &[]);
    let (model, truth) = trained(&bench, std::slice::from_ref(&bench.data), &config, "run");
    let claims = rows(&bench.data);
    let claims = claims.iter().enumerate().map(|(i, row)| match i {
        0 => format!("{row},split"),
        _ => format!("{row},test"),
    });
    write(&bench.data, claims);
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let sides = settled(&mut dataset, &[&model]).unwrap();
    for sample in &dataset.samples {
        assert_eq!(sample.split, Some(truth[&file_name(&sample.path)]));
    }
    assert_eq!(sides.claimed, sides.train + sides.valid);
    assert!(
        sides.to_string().contains("stand on a side in the listing"),
        "{sides}"
    );
}

#[test]
fn what_any_member_or_part_has_seen_the_whole_has_seen() {
    let bench = bench();
    let configs = [config(1, &[]), config(2, &[])];
    let listing = [bench.data.clone()];
    let (first, one) = trained(&bench, &listing, &configs[0], "1");
    let (second, two) = trained(&bench, &listing, &configs[1], "2");
    assert_ne!(one, two);
    let both = |file: &str| one[file].min(two[file]);
    let check = |models: &[&ModelFile], expected: &dyn Fn(&str) -> Split, what: &str| {
        let mut dataset = open(&listing, &configs[0]);
        settled(&mut dataset, models).unwrap();
        for sample in &dataset.samples {
            let file = file_name(&sample.path);
            assert_eq!(sample.split, Some(expected(&file)), "{what}: {file}");
        }
    };
    check(&[&first, &second], &both, "an ensemble");
    let only = |file: &ModelFile, head: &str| {
        let others = ["mask", "gender", "age"].into_iter().filter(|h| *h != head);
        others.fold(file.clone(), |file, other| {
            heads::remove(&file, other).unwrap()
        })
    };
    let (mask, gender) = (only(&first, "mask"), only(&second, "gender"));
    check(&[&mask], &|f| one[f], "a model of one head");
    let merged = heads::merge(&[mask, gender]).unwrap();
    check(&[&merged], &both, "merged heads");
    let spec = HeadSpec::new("glasses", ["no", "yes"]);
    let fresh = heads::NewTensors::Fresh { seed: 0 };
    let more = heads::add(&first, spec.clone(), None, fresh.clone()).unwrap();
    check(&[&more], &|f| one[f], "a head more");
    let other = heads::replace(&first, "mask", spec, fresh).unwrap();
    check(&[&other], &|f| one[f], "another head");
    let apart = heads::heads_only(&second).unwrap();
    let again = apart.attach(&first.tensors).unwrap();
    check(&[&again], &|f| two[f], "heads attached");
    let small = first.with_dtype("int8".parse().unwrap()).unwrap();
    let small = ModelFile::from_bytes(&small.to_bytes().unwrap(), "small").unwrap();
    check(&[&small], &|f| one[f], "a smaller file");
    let folder = bench.out("folder");
    hydranet::model_file::folder::write(&first, &folder, None).unwrap();
    check(
        &[&ModelFile::read(&folder).unwrap()],
        &|f| one[f],
        "a folder",
    );

    let timm = bench.out("timm");
    hydranet::model_file::folder::write_timm(&first, &timm).unwrap();
    for source in [&folder, &timm, &folder.join("model.safetensors")] {
        let source = source.display().to_string();
        let seen = hydranet::model_file::pretrained::seen(&source, &[]).unwrap();
        assert_eq!(seen, first.description.seen, "{source}");
    }
}

#[test]
fn a_training_from_a_model_keeps_its_sides_and_refuses_to_test_on_what_it_has_learnt() {
    let bench = bench();
    let first = config(1, &[]);
    let (_, before) = trained(&bench, std::slice::from_ref(&bench.data), &first, "first");
    let start = bench.out("first").join("best.safetensors");
    let weights = format!("model.weights={}", start.display());
    let next = config(7, &[&weights]);
    let seen = hydranet::train::config::seen_by_weights(&next, Path::new(HEADS)).unwrap();
    let mut dataset = open(std::slice::from_ref(&bench.data), &next);
    follow(&mut dataset, seen.clone()).unwrap();
    dataset
        .put_on_sides(&next.train.split, next.train.seed, &next.train.corrections)
        .unwrap();
    for sample in &dataset.samples {
        assert_eq!(sample.split, Some(before[&file_name(&sample.path)]));
    }
    go(&bench, &next, &dataset, "next").unwrap();
    let model = ModelFile::read(bench.out("next").join("best.safetensors")).unwrap();
    assert_eq!(model.description.seen[0], seen[0]);
    // Divided anew, some of those it tests on were learnt from.
    let mut anew = open(std::slice::from_ref(&bench.data), &next);
    anew.put_on_sides(&next.train.split, next.train.seed, &next.train.corrections)
        .unwrap();
    anew.seen = seen;
    let message = go(&bench, &next, &anew, "anew").unwrap_err().to_string();
    for word in ["model.weights", "line ", "portraits.csv", "on train then"] {
        assert!(message.contains(word), "no `{word}` in {message}");
    }
}

#[test]
fn a_training_from_a_model_takes_the_same_names_in_other_data_for_other_people() {
    let bench = bench();
    let (_, _) = trained(
        &bench,
        std::slice::from_ref(&bench.data),
        &config(1, &[]),
        "run",
    );
    let start = bench.out("run").join("best.safetensors");
    let next = config(2, &[&format!("model.weights={}", start.display())]);
    let others = write_portraits(
        &bench.out("others"),
        &PortraitConfig {
            people: 20,
            seed: 9,
            size: (48, 48),
        },
    );
    let others = [others.unwrap()];
    let seen = hydranet::train::config::seen_by_weights(&next, Path::new(HEADS)).unwrap();
    let mut dataset = open(&others, &next);
    let given: Vec<_> = dataset.samples.iter().map(|s| s.split).collect();
    follow(&mut dataset, seen).unwrap();
    let kept: Vec<_> = dataset.samples.iter().map(|s| s.split).collect();
    assert_eq!(kept, given);
    let warnings = go(&bench, &next, &dataset, "next").unwrap();
    assert!(!warnings.iter().any(|w| w.contains("equal to the byte")));
    // Whoever scores is told that it goes by names alone.
    let model = ModelFile::read(start).unwrap();
    let mut dataset = open(&others, &next);
    let sides = settled(&mut dataset, &[&model]).unwrap();
    assert!(sides.by_name > 0);
    assert!(sides.to_string().contains("names alone"), "{sides}");
}

#[test]
fn photos_that_were_there_twice_do_not_keep_a_model_from_being_trained_on() {
    let bench = bench();
    let first = rows(&bench.data)[1].split(',').next().unwrap().to_string();
    std::fs::copy(
        bench.data.with_file_name(&first),
        bench.data.with_file_name("again.png"),
    )
    .unwrap();
    let given = rows(&bench.data);
    let twice = given.iter().enumerate().map(|(i, row)| match i {
        0 => format!("{row},split"),
        1 => format!("{row},train"),
        _ => format!("{row},{}", ["train", "valid"][i % 2]),
    });
    // Each photo is a person of its own here.
    let nobody = twice.map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        [&cells[..1], &cells[2..]].concat().join(",")
    });
    let more = "again.png,worn,male,40,valid".to_string();
    let all: Vec<String> = nobody.chain([more]).collect();
    write(&bench.data, all.into_iter());
    let (model, _) = trained(
        &bench,
        std::slice::from_ref(&bench.data),
        &config(1, &[]),
        "run",
    );
    let start = bench.out("run").join("best.safetensors");
    let next = config(2, &[&format!("model.weights={}", start.display())]);
    let mut dataset = open(std::slice::from_ref(&bench.data), &next);
    let seen = hydranet::train::config::seen_by_weights(&next, Path::new(HEADS)).unwrap();
    follow(&mut dataset, seen).unwrap();
    dataset
        .put_on_sides(&next.train.split, next.train.seed, &next.train.corrections)
        .unwrap();
    let warnings = go(&bench, &next, &dataset, "next").unwrap();
    assert!(warnings[0].contains("equal to the byte"), "{warnings:?}");
    assert!(warnings[0].contains("`again.png` on valid"), "{warnings:?}");
    // It was learnt from all the same.
    let mut dataset = open(std::slice::from_ref(&bench.data), &next);
    settled(&mut dataset, &[&model]).unwrap();
    let again = dataset
        .samples
        .iter()
        .find(|s| s.name == "again.png")
        .unwrap();
    assert_eq!(again.split, Some(Split::Train));
}

#[test]
fn what_a_model_was_calibrated_on_is_no_test_any_more() {
    let bench = bench();
    let config = config(1, &[]);
    let listing = [bench.data.clone()];
    let (mut model, truth) = trained(&bench, &listing, &config, "run");
    let mut dataset = open(&listing, &config);
    settled(&mut dataset, &[&model]).unwrap();
    let before = model.description.seen.clone();
    record_valid(
        &mut model.description,
        &dataset,
        &dataset.indices(Split::Valid),
    )
    .unwrap();
    assert_eq!(model.description.seen, before, "nothing new was used");
    record_valid(
        &mut model.description,
        &dataset,
        &dataset.indices(Split::Test),
    )
    .unwrap();
    let sides = settled(&mut dataset, &[&model]).unwrap();
    let unused = truth.values().filter(|s| **s == Split::Train).count();
    assert_eq!((sides.test, sides.train), (0, unused));
}

#[test]
fn a_part_that_does_not_say_whom_it_has_seen_makes_a_whole_that_says_so() {
    let bench = bench();
    let listing = [bench.data.clone()];
    let (first, _) = trained(&bench, &listing, &config(1, &[]), "1");
    let (mut old, _) = trained(&bench, &listing, &config(2, &[]), "2");
    old.description.seen.clear();
    for (file, from) in [(&first, &old), (&old, &first)] {
        let how = heads::Graft {
            place: heads::Place::Replacing("age".into()),
            ..Default::default()
        };
        let grafted = heads::graft(file, from, "age", &how).unwrap();
        let mut dataset = open(&listing, &config(1, &[]));
        let sides = settled(&mut dataset, &[&grafted]).unwrap();
        assert!(
            sides.to_string().contains("does not say of everybody"),
            "{sides}"
        );
    }
    // A record that is damaged is no record of nobody.
    let mut broken = first.clone();
    broken.description.seen[0].photos.train.count = 1;
    let mut dataset = open(&listing, &config(1, &[]));
    let message = settled(&mut dataset, &[&broken]).unwrap_err().to_string();
    assert!(message.contains("damaged"), "{message}");
}

#[test]
fn a_file_of_before_says_that_it_cannot_be_known_unless_the_listing_is_the_same() {
    let bench = bench();
    let config = config(1, &[]);
    let (mut model, truth) = trained(&bench, std::slice::from_ref(&bench.data), &config, "run");
    model.description.seen.clear();
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let sides = settled(&mut dataset, &[&model]).unwrap();
    assert!(sides.notes.is_empty(), "{:?}", sides.notes);
    for sample in &dataset.samples {
        assert_eq!(sample.split, Some(truth[&file_name(&sample.path)]));
    }
    let fewer = rows(&bench.data);
    write(&bench.data, fewer.into_iter().take(41));
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let sides = settled(&mut dataset, &[&model]).unwrap();
    assert!(sides.to_string().contains("cannot be known"), "{sides}");
    assert!(sides.to_string().contains("--split-file"), "{sides}");
    // The run's split.csv knows.
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let file = bench.out("run").join("split.csv");
    let strangers = apply_split_file(&mut dataset, &file).unwrap();
    assert_eq!(strangers, truth.len() - 40);
    settled(&mut dataset, &[&model]).unwrap();
    for sample in &dataset.samples {
        assert_eq!(sample.split, Some(truth[&file_name(&sample.path)]));
    }
    // And nothing is made up for a file that does not even have its settings.
    model.description.training = serde_json::Value::Null;
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let sides = settled(&mut dataset, &[&model]).unwrap();
    assert_eq!(sides.unknown, 40);
    assert!(dataset.samples.iter().all(|s| s.split.is_none()));
}

#[test]
fn a_split_file_that_says_otherwise_or_something_else_is_refused_by_line() {
    let bench = bench();
    let config = config(1, &[]);
    let file = bench.out("split.csv");
    let first = rows(&bench.data)[1].split(',').next().unwrap().to_string();
    let fails = |text: &str, words: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut dataset = open(std::slice::from_ref(&bench.data), &config);
        dataset.samples[0].split = Some(Split::Train);
        let message = apply_split_file(&mut dataset, &file)
            .unwrap_err()
            .to_string();
        for word in words.iter().chain(&["split.csv"]) {
            assert!(message.contains(word), "no `{word}` in {message}");
        }
    };
    fails("path,side\na.png,train\n", &["`split`", "side"]);
    fails(
        &format!("path,split\n{first},tset\n"),
        &["2", "tset", "train"],
    );
    fails(
        &format!("path,split\n{first},test\n"),
        &["2", &first, "train", "test"],
    );
    fails("path,split\na,b,c\n", &["2"]);
    let absent = apply_split_file(
        &mut open(std::slice::from_ref(&bench.data), &config),
        Path::new("none.csv"),
    );
    assert!(absent.unwrap_err().to_string().contains("none.csv"));
}

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

fn hydranet(bench: &Bench, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
    command.current_dir(bench.dir.path()).args(args);
    command.output().unwrap()
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
        let out = hydranet(&bench, args);
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
        let out = hydranet(&bench, &args);
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
