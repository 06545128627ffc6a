//! Nobody a model has learnt from is called a test, however the listing, the heads or the files change.

use crate::common::runs::{Bench, HEADS};
use crate::common::sides::{bench, config, file_name, open, rows, trained, write};
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::{Dataset, Split};
use hydranet::data::seen::{Sides, apply_split_file, follow, record_valid, settle};
use hydranet::model_file::heads;
use hydranet::train::config::{Config, load_weights};
use hydranet::train::trainer::{Event, Trainer};
use hydranet::{HeadSpec, ModelFile, Result};
use std::path::Path;
use std::sync::atomic::AtomicBool;

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
    Trainer::new(config, weights, dataset)
        .out(&out)
        .stop(&stop)
        .on_event(&mut tell)
        .run()?;
    Ok(warnings)
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
            let file = file_name(sample.path());
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
        assert_eq!(sample.split, Some(truth[&file_name(sample.path())]));
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
            let file = file_name(sample.path());
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
        assert_eq!(sample.split, Some(before[&file_name(sample.path())]));
    }
    go(&bench, &next, &dataset, "next").unwrap();
    let model = ModelFile::read(bench.out("next").join("best.safetensors")).unwrap();
    assert_eq!(model.description.seen[0], seen[0]);
    // Divided anew, some of those it tests on were learnt from.
    let mut anew = open(std::slice::from_ref(&bench.data), &next);
    anew.put_on_sides(&next.train.split, next.train.seed, &next.train.corrections)
        .unwrap();
    anew.seen = seen;
    let message = format!("{:#}", go(&bench, &next, &anew, "anew").unwrap_err());
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
    let message = format!("{:#}", settled(&mut dataset, &[&broken]).unwrap_err());
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
        assert_eq!(sample.split, Some(truth[&file_name(sample.path())]));
    }
    let fewer = rows(&bench.data);
    write(&bench.data, fewer.into_iter().take(41));
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let sides = settled(&mut dataset, &[&model]).unwrap();
    assert!(sides.to_string().contains("cannot be known"), "{sides}");
    assert!(sides.asks_for_sides, "{sides}");
    // The run's split.csv knows.
    let mut dataset = open(std::slice::from_ref(&bench.data), &config);
    let file = bench.out("run").join("split.csv");
    let strangers = apply_split_file(&mut dataset, &file).unwrap();
    assert_eq!(strangers, truth.len() - 40);
    settled(&mut dataset, &[&model]).unwrap();
    for sample in &dataset.samples {
        assert_eq!(sample.split, Some(truth[&file_name(sample.path())]));
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
