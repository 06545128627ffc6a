//! A photo is its file and a row is its place, however either is spelt.

use crate::common::runs;
use crate::common::runs::Bench;
use hydranet::HeadSpec;
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::{Dataset, Fault};
use hydranet::train::config::load_weights;
use hydranet::train::trainer::Trainer;
use std::path::Path;

fn read(listing: &Path) -> (Dataset, Vec<Fault>) {
    let heads = [HeadSpec::new("mask", ["worn", "not_worn"])];
    Dataset::read(&[listing.to_path_buf()], &heads).unwrap()
}

fn listing(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn rows_are_told_apart_whatever_ends_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        "path,mask",
        "a.jpg,worn",
        "b.jpg,not_worn",
        "a.jpg,worn",
        "c.jpg,wron",
        "d.jpg,worn",
    ];
    let expected = [(2, "a.jpg"), (3, "b.jpg"), (6, "d.jpg")];
    for (name, end) in [("unix", "\n"), ("windows", "\r\n"), ("mac", "\r")] {
        let text = lines.join(end) + end;
        let (dataset, faults) = read(&listing(dir.path(), &format!("{name}.csv"), &text));
        let rows: Vec<(u64, &str)> = dataset
            .samples
            .iter()
            .map(|s| (s.row.unwrap(), s.name.as_str()))
            .collect();
        assert_eq!(rows, expected, "{name}");
        let faults: Vec<Option<u64>> = faults.iter().map(|f| f.row).collect();
        assert_eq!(faults, [Some(4), Some(5)], "{name}");
    }
}

#[test]
fn a_photo_is_one_however_its_path_is_spelt() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("lists/images")).unwrap();
    std::fs::write(dir.path().join("lists/images/x.jpg"), "").unwrap();
    let text = "path,mask\nimages/x.jpg,worn\n../lists/images/x.jpg,worn\nimages/../images/x.jpg,worn\nimages//./x.jpg,worn\n\
        images/y.jpg,worn\nimages/../images/y.jpg,worn\n";
    let (dataset, faults) = read(&listing(&dir.path().join("lists"), "data.csv", text));
    let names: Vec<&str> = dataset.samples.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["images/x.jpg", "images/y.jpg"], "{faults:?}");
    assert_eq!(faults.len(), 4);
}

#[cfg(unix)]
#[test]
fn two_names_of_one_file_are_one_photo() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("x.jpg"), "").unwrap();
    std::fs::write(at("other.jpg"), "").unwrap();
    std::fs::hard_link(at("x.jpg"), at("y.jpg")).unwrap();
    std::os::unix::fs::symlink(at("y.jpg"), at("z.jpg")).unwrap();
    let text = "path,mask\nx.jpg,worn\ny.jpg,worn\nz.jpg,worn\nother.jpg,worn\n";
    let (dataset, faults) = read(&listing(dir.path(), "data.csv", text));
    let names: Vec<&str> = dataset.samples.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["x.jpg", "other.jpg"], "{faults:?}");
    assert_eq!(faults.len(), 2);
}

#[test]
fn photos_of_two_listings_with_one_name_are_told_apart_wherever_they_are_written() {
    let bench = Bench::new();
    let folder = bench.data.parent().unwrap();
    let second = bench.dir.path().join("second");
    std::fs::create_dir(&second).unwrap();
    // The same names in another folder.
    copy(&folder.join("images"), &second.join("images"));
    let other = second.join("data.csv");
    std::fs::copy(&bench.data, &other).unwrap();
    let config = Bench::config(&["train.epochs=1"]).unwrap();
    let spec = config.model_spec().unwrap();
    let run = |name: &str, data: &[std::path::PathBuf]| {
        let mut dataset = Dataset::open(data, &spec.heads).unwrap();
        let settings = &config.train;
        dataset
            .put_on_sides(&settings.split, settings.seed, &settings.corrections)
            .unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let weights = load_weights(&config, Path::new(runs::HEADS)).unwrap();
        let out = bench.out(name);
        Trainer::new(&config, weights, &dataset)
            .out(&out)
            .stop(&stop)
            .run()
            .unwrap();
        ["split.csv", "valid_predictions.csv"].map(|file| {
            let text = std::fs::read_to_string(out.join(file)).unwrap();
            text.lines().map(String::from).collect::<Vec<_>>()
        })
    };
    let both = [bench.data.clone(), other.clone()];
    for lines in run("two", &both) {
        assert!(lines[0].starts_with("path,") && lines[0].ends_with(",listing"));
        let of = |listing: &Path| {
            let end = format!(",{}", listing.display());
            lines.iter().filter(|l| l.ends_with(&end)).count()
        };
        assert!(of(&bench.data) > 0 && of(&other) > 0);
        assert_eq!(of(&bench.data) + of(&other), lines.len() - 1);
        let unique: std::collections::BTreeSet<&String> = lines.iter().collect();
        assert_eq!(unique.len(), lines.len());
    }
    // Of one listing everything is as ever.
    for lines in run("one", &both[..1]) {
        assert!(!lines[0].contains("listing"), "{}", lines[0]);
    }
    // A correction of one of them takes its whole path, however that is spelt.
    let (mut dataset, _) = Dataset::read(&both, &spec.heads).unwrap();
    let photo = dataset.samples.last().unwrap().clone();
    let parent = photo.path().parent().unwrap();
    let spelt = parent
        .join("..")
        .join("images")
        .join(photo.path().file_name().unwrap());
    let text = format!("version,photo,action\n1,{},drop\n", spelt.display());
    let file = listing(bench.dir.path(), "corrections.csv", &text);
    let before = dataset.samples.len();
    let corrections = Corrections::read(&[file]).unwrap();
    corrections.apply(&mut dataset).unwrap();
    assert_eq!(dataset.samples.len(), before - 1);
    assert!(dataset.samples.iter().all(|s| s.path() != photo.path()));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to)
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_photo_is_one_through_a_linked_folder_and_a_linked_file() {
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("images");
    std::fs::create_dir(&images).unwrap();
    std::fs::write(images.join("x.jpg"), "").unwrap();
    std::os::unix::fs::symlink(&images, dir.path().join("linked")).unwrap();
    std::os::unix::fs::symlink(images.join("x.jpg"), images.join("z.jpg")).unwrap();
    let text = "path,mask\nimages/x.jpg,worn\nlinked/x.jpg,worn\nimages/z.jpg,worn\n";
    let (dataset, faults) = read(&listing(dir.path(), "data.csv", text));
    assert_eq!(dataset.samples.len(), 1, "{faults:?}");
    assert_eq!(faults.len(), 2);
}
