//! Listings in Parquet: read as those in CSV, with photos as paths or bytes, in bounded memory, and never half.

use crate::common::parquet::{Form, Values, write};
use hydranet::data::dataset::{Dataset, Sample, Value};
use hydranet::data::named_photo::NamedPhoto;
use hydranet::{Error, HeadSpec, MultiLabelSpec};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn heads() -> Vec<HeadSpec> {
    let mut tags = HeadSpec::multi_label("tags", ["red", "striped", "long"]);
    tags.labels.multi_label = Some(MultiLabelSpec::default());
    let age = HeadSpec::new("age", ["young", "old"]).with_thresholds([30.0]);
    vec![HeadSpec::new("mask", ["worn", "not_worn"]), age, tags]
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.parquet");
    (folder, path)
}

fn open(path: &Path) -> hydranet::Result<Dataset> {
    Dataset::open(&[path.into()], &heads())
}

fn texts(words: &[&str]) -> Values {
    let cell = |w: &&str| (!w.is_empty()).then(|| w.to_string());
    Values::Text(words.iter().map(cell).collect())
}

/// Bytes of a photo that has a size of its own.
fn photo(i: usize) -> Vec<u8> {
    (0..100 + 37 * i).map(|k| (k * (i + 3)) as u8).collect()
}

fn content(sample: &Sample) -> [u8; 32] {
    NamedPhoto::from(sample).content().unwrap().unwrap()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

#[test]
fn cells_of_every_kind_say_what_they_say_in_csv() {
    let (folder, path) = folder();
    let words = |w: &[&str]| Some(w.iter().map(|w| w.to_string()).collect());
    let columns = [
        ("path", texts(&["a.jpg", "b.jpg", "c.jpg", "d.jpg"])),
        ("mask", texts(&["worn", "", "not_worn", "worn"])),
        (
            "age",
            Values::Double(vec![Some(12.5), None, Some(f64::NAN), Some(60.0)]),
        ),
        (
            "tags",
            Values::Words(vec![
                words(&["striped", "red"]),
                words(&[]),
                None,
                words(&["long"]),
            ]),
        ),
        (
            "person",
            Values::Whole(vec![Some(7), Some(7), None, Some(-3)]),
        ),
        ("split", texts(&["train", "valid", "test", ""])),
        ("taken", Values::Date(vec![Some(0); 4])),
    ];
    write(
        &path,
        &columns,
        &Form {
            rows: 3,
            ..Form::default()
        },
    );
    let csv = folder.path().join("data.csv");
    let text = "path,mask,age,tags,person,split\na.jpg,worn,12.5,striped;red,7,train\nb.jpg,,,-,7,valid\n\
        c.jpg,not_worn,,,,test\nd.jpg,worn,60,long,-3,\n";
    std::fs::write(&csv, text).unwrap();
    let (ours, theirs) = (open(&path).unwrap(), open(&csv).unwrap());
    assert_eq!(ours.samples.len(), 4);
    for (i, (a, b)) in ours.samples.iter().zip(&theirs.samples).enumerate() {
        // Rows are counted without a header.
        assert_eq!((a.row, b.row), (Some(i as u64 + 1), Some(i as u64 + 2)));
        assert_eq!(
            *a,
            Sample {
                row: a.row,
                ..b.clone()
            }
        );
    }
    assert_eq!(ours.samples[1].values[2], Some(Value::Labels(vec![])));
}

#[test]
fn columns_are_named_as_in_csv_and_what_is_missing_or_of_another_kind_is_said() {
    let (_folder, path) = folder();
    let columns = [
        ("file", texts(&["a", "b"])),
        ("wears", texts(&["worn", "worn"])),
        ("who", texts(&["x", "y"])),
        ("when", Values::Date(vec![Some(1), Some(2)])),
        (
            "raw",
            Values::Bytes(vec![Some(vec![255, 254]), Some(b"worn".to_vec())]),
        ),
    ];
    write(&path, &columns, &Form::default());
    let read = |names: &[(&str, &str)]| {
        let names = names.iter().map(|(w, c)| (w.to_string(), c.to_string()));
        let names: BTreeMap<String, String> = names.collect();
        Dataset::open_as(std::slice::from_ref(&path), &heads(), &names)
    };
    let found = read(&[
        ("path", "img/{file}.jpg"),
        ("mask", "wears"),
        ("person", "who"),
    ])
    .unwrap();
    assert_eq!(found.samples[1].name, "img/b.jpg");
    assert_eq!(found.samples[1].person.as_deref(), Some("y"));
    let message = |names: &[(&str, &str)]| read(names).unwrap_err().to_string();
    let none = message(&[("mask", "wears")]);
    assert!(
        none.contains("a column `image` of photos' bytes or `path`"),
        "{none}"
    );
    let when = message(&[("path", "file"), ("mask", "when")]);
    assert!(
        when.contains("data.parquet: column `when`") && when.contains("found dates or times"),
        "{when}"
    );
    let raw = message(&[("path", "file"), ("mask", "raw")]);
    assert!(
        raw.contains("data.parquet, row 1: column `raw`") && raw.contains("bytes that are no text"),
        "{raw}"
    );
    let gone = message(&[("path", "file"), ("mask", "gone")]);
    assert!(gone.contains("a column `gone` is needed"), "{gone}");
    // A label that is none is named with its row, in whatever row group it stands.
    let many: Vec<String> = (0..40).map(|i| format!("{i}.jpg")).collect();
    let mut labels = vec!["worn"; 40];
    labels[25] = "wrong";
    let columns = [
        ("path", Values::Text(many.into_iter().map(Some).collect())),
        ("mask", texts(&labels)),
    ];
    write(&path, &columns, &Form::default());
    let error = open(&path).unwrap_err();
    assert!(
        matches!(error, Error::Data { row: Some(26), .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("data.parquet, row 26: column `mask`"),
        "{error}"
    );
}

#[test]
fn photos_are_read_out_of_the_listing_in_any_order_and_by_many_threads() {
    let (_folder, path) = folder();
    let count = 60;
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ];
    let labels = Values::Text(vec![Some("worn".into()); count]);
    let bytes: Vec<Vec<u8>> = (0..count).map(photo).collect();
    for (i, compression) in compressions.into_iter().enumerate() {
        for group in [false, true] {
            let image = match group {
                false => Values::Bytes(bytes.iter().cloned().map(Some).collect()),
                true => Values::Image(
                    bytes
                        .iter()
                        .cloned()
                        .map(|b| (Some(b), Some("x.jpg".into())))
                        .collect(),
                ),
            };
            let columns = [("image", image), ("mask", labels.clone())];
            let form = Form {
                rows: [count, 13, 7, 1][i],
                compression,
                page: [1, 1000, 4000, 1 << 20][i],
                note: None,
            };
            write(&path, &columns, &form);
            let dataset = open(&path).unwrap();
            assert_eq!(dataset.samples.len(), count);
            let name = |i: usize| dataset.samples[i].name.as_str();
            let expected = if group {
                ["x.jpg", "x.jpg#2"]
            } else {
                ["#1", "#2"]
            };
            assert_eq!([name(0), name(1)], expected);
            // Far apart, backwards, and all at once.
            (0..2000).into_par_iter().for_each(|k: usize| {
                let place = (k * 37 + k / 60) % count;
                assert_eq!(content(&dataset.samples[place]), hash(&bytes[place]));
            });
            for place in (0..count).rev() {
                assert_eq!(content(&dataset.samples[place]), hash(&bytes[place]));
            }
        }
    }
}

#[test]
fn photos_in_a_listing_have_names_of_their_own_and_those_that_are_not_there_are_said() {
    let (folder, path) = folder();
    let image = Values::Bytes(vec![Some(photo(1)), None, Some(photo(2))]);
    let columns = [
        ("image", image),
        ("path", texts(&["one.jpg", "two.jpg", "three.jpg"])),
        ("mask", texts(&["worn", "worn", "worn"])),
    ];
    write(&path, &columns, &Form::default());
    let dataset = open(&path).unwrap();
    assert_eq!(dataset.samples[2].name, "three.jpg");
    assert_eq!(dataset.samples[2].whole_path(), path.join("three.jpg"));
    let error = NamedPhoto::from(&dataset.samples[1])
        .content()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("data.parquet, row 2: column `image`: a photo's bytes are needed"),
        "{error}"
    );
    // Named twice by the listing itself, a photo is a fault, as in CSV.
    let twice = [
        ("image", Values::Bytes(vec![Some(photo(1)), Some(photo(2))])),
        ("path", texts(&["one.jpg", "one.jpg"])),
        ("mask", texts(&["worn", "worn"])),
    ];
    write(&path, &twice, &Form::default());
    let error = open(&path).unwrap_err().to_string();
    assert!(
        error.contains("row 2: each photo is listed once, found `one.jpg` on row 1 too"),
        "{error}"
    );
    // With paths alone in such a group they are files beside the listing.
    let image = Values::Image(vec![
        (None, Some("a.jpg".into())),
        (None, Some("b.jpg".into())),
    ]);
    write(
        &path,
        &[("image", image), ("mask", texts(&["worn", "worn"]))],
        &Form::default(),
    );
    let dataset = open(&path).unwrap();
    assert_eq!(dataset.samples[1].path(), folder.path().join("b.jpg"));
    // In two listings photos may be called the same.
    let columns = |i: usize| {
        let image = Values::Image(vec![(Some(photo(i)), Some("a.jpg".into()))]);
        [("image", image), ("mask", texts(&["worn"]))]
    };
    let other = folder.path().join("other.parquet");
    write(&path, &columns(1), &Form::default());
    write(&other, &columns(2), &Form::default());
    let both = Dataset::open(&[path.clone(), other.clone()], &heads()).unwrap();
    let names = both.unique_names();
    assert_eq!(
        names,
        [path.join("a.jpg"), other.join("a.jpg")].map(|p| p.display().to_string())
    );
}

#[test]
fn places_in_a_list_of_names_are_labels_as_datasets_writes_them() {
    let (_folder, path) = folder();
    let note = r#"{"info": {"features": {"mask": {"names": ["worn", "not_worn", "else"], "_type": "ClassLabel"},
        "image": {"_type": "Image"}}}}"#;
    let columns = [
        (
            "image",
            Values::Bytes(vec![Some(photo(1)), Some(photo(2)), Some(photo(3))]),
        ),
        ("mask", Values::Whole(vec![Some(1), Some(-1), Some(0)])),
    ];
    let form = Form {
        note: Some(note.into()),
        ..Form::default()
    };
    write(&path, &columns, &form);
    let values: Vec<_> = open(&path)
        .unwrap()
        .samples
        .into_iter()
        .map(|s| s.values[0].clone())
        .collect();
    assert_eq!(values, [Some(Value::Label(1)), None, Some(Value::Label(0))]);
    let without = Form::default();
    write(&path, &columns, &without);
    let error = open(&path).unwrap_err().to_string();
    assert!(
        error.contains("row 1: column `mask`: head `mask` has no label `1`"),
        "{error}"
    );
}

#[test]
fn files_that_are_none_cut_off_or_damaged_are_errors_and_never_a_panic() {
    let (_folder, path) = folder();
    let count = 12;
    let columns = [
        (
            "image",
            Values::Bytes((0..count).map(|i| Some(photo(i))).collect()),
        ),
        ("mask", Values::Text(vec![Some("worn".into()); count])),
        (
            "age",
            Values::Double((0..count).map(|i| Some(i as f64)).collect()),
        ),
        ("tags", Values::Words(vec![Some(vec!["red".into()]); count])),
        ("person", Values::Flag(vec![Some(true); count])),
    ];
    let form = Form {
        rows: 5,
        page: 300,
        ..Form::default()
    };
    write(&path, &columns, &form);
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(open(&path).unwrap().samples.len(), count);
    let said = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        open(&path).unwrap_err().to_string()
    };
    for (bytes, expected) in [
        (&b""[..], "an empty file"),
        (b"path,mask\na.jpg,worn\n", "a table in Parquet is needed"),
        (b"\xff\xd8\xff\xe0 a photo", "found a JPEG photo"),
        (b"PAR1", "cut off"),
        (
            &whole[..whole.len() / 2],
            "cut off or was not written to its end",
        ),
        (&whole[..whole.len() - 1], "cut off"),
    ] {
        let error = said(bytes);
        assert!(
            error.contains("data.parquet: ") && error.contains(expected),
            "{error}"
        );
    }
    let mut long = whole.clone();
    let end = long.len();
    long[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(said(&long).contains("its description is damaged"));
    // A byte that is another, anywhere: what is read is read, what is not says so.
    let mut errors = 0;
    for place in (4..whole.len() - 8).step_by(7) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        std::fs::write(&path, &bytes).unwrap();
        let read = open(&path).and_then(|dataset| {
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

#[test]
fn a_file_of_pyarrow_is_read_as_it_was_meant() {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/photos.parquet"
    ));
    let mut heads = heads();
    heads.push(HeadSpec::new("gender", ["male", "female"]));
    let dataset = Dataset::open(&[path], &heads).unwrap();
    assert_eq!(dataset.samples.len(), 12);
    for (i, sample) in dataset.samples.iter().enumerate() {
        let name = format!("{}.png", i % 6);
        let expected = if i < 6 {
            name
        } else {
            format!("{name}#{}", i + 1)
        };
        assert_eq!(sample.name, expected);
        let tags: Vec<usize> = [0, 2].into_iter().take(i % 3).collect();
        let values = [
            (i != 5).then_some(Value::Label(i % 2)),
            (i != 3).then_some(Value::Number(20.5 + i as f64)),
            (i != 7).then_some(Value::Labels(tags)),
            Some(Value::Label(usize::from(i % 3 == 0))),
        ];
        assert_eq!(sample.values, values);
        let input = hydranet::InputSpec::default();
        let photo = NamedPhoto::from(sample).hold(&input).unwrap();
        assert_eq!(photo.sides(), [36, 40 + i]);
    }
}
