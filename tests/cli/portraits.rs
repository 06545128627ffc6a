//! The synthetic portraits' files, listing and reproducibility.

use hydranet::Error;
use hydranet::cli::portraits::{PortraitConfig, write_portraits};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn config(people: usize, seed: u64) -> PortraitConfig {
    PortraitConfig {
        people,
        seed,
        ..PortraitConfig::default()
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir.join("images"))
        .unwrap()
        .map(|f| f.unwrap())
        .map(|f| {
            (
                f.file_name().into_string().unwrap(),
                std::fs::read(f.path()).unwrap(),
            )
        })
        .collect()
}

fn listing(people: usize, seed: u64) -> (tempfile::TempDir, Vec<Vec<String>>) {
    let dir = tempfile::tempdir().unwrap();
    let csv = write_portraits(dir.path(), &config(people, seed)).unwrap();
    assert_eq!(csv, dir.path().join("portraits.csv"));
    let text = std::fs::read_to_string(csv).unwrap();
    let rows = text
        .lines()
        .map(|l| l.split(',').map(String::from).collect());
    let rows: Vec<Vec<String>> = rows.collect();
    (dir, rows)
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (a, rows_a) = listing(8, 3);
    let (b, rows_b) = listing(8, 3);
    let (c, _) = listing(8, 4);
    assert_eq!(rows_a, rows_b);
    assert_eq!(files(a.path()), files(b.path()));
    for (name, bytes) in files(c.path()) {
        assert_ne!(files(a.path()).get(&name), Some(&bytes), "{name}");
    }
}

#[test]
fn more_people_leave_the_first_ones_photos_as_they_are() {
    let (a, _) = listing(6, 1);
    let (b, _) = listing(9, 1);
    let more = files(b.path());
    assert!(
        files(a.path())
            .iter()
            .all(|(name, bytes)| more.get(name) == Some(bytes))
    );
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let (a, _) = listing(6, 1);
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let (b, _) = one.install(|| listing(6, 1));
    assert_eq!(files(a.path()), files(b.path()));
}

#[test]
fn the_listing_names_every_photo_with_labels_that_the_heads_know() {
    let (dir, rows) = listing(30, 0);
    assert_eq!(
        rows[0],
        ["path", "person", "mask", "gender", "age", "split"]
    );
    let mut photos: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in &rows[1..] {
        let image = image::open(dir.path().join(&row[0])).unwrap();
        assert_eq!((image.height(), image.width()), (144, 112));
        assert!(["worn", "incorrect", "not_worn"].contains(&row[2].as_str()));
        assert!(["male", "female"].contains(&row[3].as_str()));
        let age: u32 = row[4].parse().unwrap();
        assert!((18..=85).contains(&age) && ![29, 30, 31, 59, 60, 61].contains(&age));
        photos.entry(&row[1]).or_default().push(&row[2]);
    }
    assert_eq!(files(dir.path()).len(), rows.len() - 1);
    assert_eq!(photos.len(), 30);
    for masks in photos.values() {
        let of = |label| masks.iter().filter(|m| **m == label).count();
        assert!((1..=2).contains(&of("worn")) && of("incorrect") == 1 && of("not_worn") == 1);
    }
}

fn classes(rows: &[Vec<String>], split: Option<&str>) -> BTreeSet<(String, String, usize)> {
    let rows = rows.iter().filter(|r| split.is_none_or(|s| r[5] == s));
    rows.map(|r| {
        let age: u32 = r[4].parse().unwrap();
        let band = usize::from(age >= 30) + usize::from(age >= 60);
        (r[2].clone(), r[3].clone(), band)
    })
    .collect()
}

#[test]
fn every_class_occurs_even_for_six_people_and_in_every_split_for_sixty() {
    let (_dir, rows) = listing(6, 5);
    assert_eq!(classes(&rows[1..], None).len(), 18);
    let (_dir, rows) = listing(60, 5);
    for split in ["train", "valid", "test"] {
        assert_eq!(classes(&rows[1..], Some(split)).len(), 18, "{split}");
    }
}

#[test]
fn a_person_is_in_one_split_and_splits_have_their_shares() {
    let (_dir, rows) = listing(60, 2);
    let mut splits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &rows[1..] {
        splits.entry(&row[1]).or_default().insert(&row[5]);
    }
    assert!(splits.values().all(|s| s.len() == 1));
    let of = |name| splits.values().filter(|s| s.contains(name)).count();
    assert_eq!([of("train"), of("valid"), of("test")], [36, 9, 15]);
}

#[test]
fn what_cannot_be_drawn_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let small = PortraitConfig {
        size: (16, 112),
        ..config(6, 0)
    };
    for (bad, what) in [(config(5, 0), "people"), (small, "16 × 112")] {
        let e = write_portraits(dir.path(), &bad).unwrap_err();
        assert!(
            matches!(e, Error::Invalid { .. }) && e.to_string().contains(what),
            "{e}"
        );
    }
    let file = dir.path().join("taken");
    std::fs::write(&file, "").unwrap();
    let e = write_portraits(&file, &config(6, 0)).unwrap_err();
    assert!(matches!(e, Error::Io { .. }), "{e}");
}
