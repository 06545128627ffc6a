//! Shards in tar: samples by their keys, labels from JSON and texts, photos by their places, and nothing of a broken one.

use hydranet::data::dataset::{Dataset, Value};
use hydranet::data::named_photo::NamedPhoto;
use hydranet::{HeadSpec, MultiLabelSpec};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn heads() -> Vec<HeadSpec> {
    let mut tags = HeadSpec::multi_label("tags", ["red", "striped", "long"]);
    tags.labels.multi_label = Some(MultiLabelSpec::default());
    let age = HeadSpec::new("age", ["young", "old"]).with_thresholds([30.0]);
    vec![HeadSpec::new("mask", ["worn", "not_worn"]), age, tags]
}

fn shard(members: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap();
    (folder, path)
}

fn open(path: &Path, names: &[(&str, &str)]) -> hydranet::Result<Dataset> {
    let names = names.iter().map(|(w, c)| (w.to_string(), c.to_string()));
    let names: BTreeMap<String, String> = names.collect();
    Dataset::open_as(&[path.into()], &heads(), &names)
}

#[test]
fn members_of_one_key_are_a_sample_whose_labels_stand_in_json() {
    let long = format!("{}/7.jpg", "folder".repeat(30));
    let members: [(&str, &[u8]); 9] = [
        ("a/1.jpg", b"first"),
        ("a/1.json", br#"{"mask": "worn", "age": 12.5, "tags": ["striped", "red"], "person": 7, "split": "train"}"#),
        ("a/2.json", br#"{"mask": null, "age": 60, "tags": [], "more": {"x": 1}}"#),
        ("a/2.left.png", b"left"),
        ("a/2.PNG", b"second"),
        ("b/1.jpg", b"third"),
        ("b/1.cls", b"not_worn\n"),
        ("b/1.txt", b"worn"),
        (&long, b"last"),
    ];
    let (_folder, path) = shard(&members);
    let dataset = open(&path, &[]).unwrap();
    let names: Vec<&str> = dataset.samples.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a/1", "a/2", "b/1", long.trim_end_matches(".jpg")]);
    let first = &dataset.samples[0];
    let tags = |of: &[usize]| Some(Value::Labels(of.to_vec()));
    assert_eq!(
        first.values,
        [
            Some(Value::Label(0)),
            Some(Value::Number(12.5)),
            tags(&[0, 1])
        ]
    );
    assert_eq!(
        (
            first.person.as_deref(),
            first.split.map(|s| s.name()),
            first.row
        ),
        (Some("7"), Some("train"), Some(1))
    );
    assert_eq!(
        dataset.samples[1].values,
        [None, Some(Value::Number(60.0)), tags(&[])]
    );
    assert_eq!(dataset.samples[2].values, [None, None, None]);
    let contents = |dataset: &Dataset| -> Vec<[u8; 32]> {
        let read = |s| NamedPhoto::from(s).content().unwrap().unwrap();
        dataset.samples.iter().rev().map(read).collect()
    };
    let hashes = |of: &[&[u8]]| {
        of.iter()
            .map(|b| Sha256::digest(b).into())
            .collect::<Vec<[u8; 32]>>()
    };
    assert_eq!(
        contents(&dataset),
        hashes(&[b"last", b"third", b"left", b"first"])
    );
    // Texts are columns as any other, and photos may have names that end otherwise.
    let by_text = open(&path, &[("mask", "cls")]).unwrap();
    assert_eq!(by_text.samples[2].values[0], Some(Value::Label(1)));
    let error = open(&path, &[("path", "png")]).unwrap_err().to_string();
    assert!(
        error.contains("a.tar, sample 1: a photo is needed among the members"),
        "{error}"
    );
    let error = open(&path, &[("path", "tiff")]).unwrap_err().to_string();
    assert!(
        error.contains("members called KEY.tiff are needed") && error.contains("`left.png`"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_in_a_shard_is_said_with_the_sample_and_its_key() {
    let good: (&str, &[u8]) = ("1.jpg", b"first");
    let said = |members: &[(&str, &[u8])]| {
        let (_folder, path) = shard(members);
        open(&path, &[]).unwrap_err().to_string()
    };
    let label = said(&[good, ("1.json", br#"{"mask": "wron"}"#)]);
    assert!(
        label.contains("a.tar, sample 1: column `mask`: head `mask` has no label `wron`"),
        "{label}"
    );
    let json = said(&[good, ("2.jpg", b"x"), ("2.json", b"{")]);
    assert!(
        json.contains("a.tar, sample 2: `2.json`: JSON is needed"),
        "{json}"
    );
    let text = said(&[good, ("1.cls", b"\xff\xfe")]);
    assert!(text.contains("`1.cls`: text in UTF-8 is needed"), "{text}");
    let list = said(&[good, ("1.json", b"[1]")]);
    assert!(list.contains("an object with a field a head"), "{list}");
    let none = said(&[("1.json", br#"{"mask": "worn"}"#)]);
    assert!(
        none.contains("photos called KEY.jpg or KEY.png are needed, found `json`"),
        "{none}"
    );
    let no_labels = said(&[good]);
    assert!(
        no_labels.contains("a column for at least one head is needed"),
        "{no_labels}"
    );
    let one: (&str, &[u8]) = ("1.json", br#"{"mask": "worn"}"#);
    let (_folder, path) = shard(&[good, one, ("2.jpg", b"x"), good]);
    let names: Vec<String> = open(&path, &[])
        .unwrap()
        .samples
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(names, ["1", "2", "1#3"]);
}

#[test]
fn shards_that_are_none_cut_off_or_damaged_are_errors_and_never_a_panic() {
    let photo = vec![7; 3000];
    let json: &[u8] = br#"{"mask": "worn", "age": 3}"#;
    let members: [(&str, &[u8]); 6] = [
        ("1.jpg", &photo),
        ("1.json", json),
        ("2.jpg", &photo),
        ("2.json", json),
        ("3.json", json),
        ("3.jpg", &photo),
    ];
    let (_folder, path) = shard(&members);
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(open(&path, &[]).unwrap().samples.len(), 3);
    for (bytes, expected) in [
        (&b""[..], "an empty file"),
        (b"path,mask\na.jpg,worn\n", "a shard in tar is needed"),
        (&whole[..10_000], "cut off"),
        (&whole[..3600], "cut off"),
        (&whole[..700], "cut off"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = open(&path, &[]).unwrap_err().to_string();
        assert!(
            error.contains("a.tar") && error.contains(expected),
            "{error}"
        );
    }
    let mut errors = 0;
    for place in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x2d;
        std::fs::write(&path, &bytes).unwrap();
        let read = open(&path, &[]).and_then(|dataset| {
            let contents = dataset
                .samples
                .iter()
                .map(|s| NamedPhoto::from(s).content());
            contents.collect::<hydranet::Result<Vec<_>>>()
        });
        errors += usize::from(read.is_err());
    }
    assert!(errors > 20, "{errors}");
}
