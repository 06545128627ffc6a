//! A photo is its file and a row is its place, however either is spelt.
#![cfg(feature = "train")]

use hydranet::HeadSpec;
use hydranet::train::dataset::{Dataset, Fault};
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
