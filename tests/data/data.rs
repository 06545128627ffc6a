//! Listings, person folders, splits and the check, on data made here.

use hydranet::data::check::check;
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::{Dataset, PersonKey, Sample, Split, Value, person_key};
use hydranet::data::person_folder::{read_listing, write_result};
use hydranet::data::split::{SplitConfig, assign, assign_fold, folds};
use hydranet::data::split_report::SplitReport;
use hydranet::{Architecture, Error, HeadSpec, InputSpec, ModelSpec, Taxonomy};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn heads() -> Vec<HeadSpec> {
    let mut age = HeadSpec::new("age", ["young", "middle", "old"]);
    age.labels.thresholds = vec![30.0, 60.0];
    vec![
        HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]),
        HeadSpec::new("gender", ["male", "female"]),
        age,
    ]
}

fn spec() -> ModelSpec {
    let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    ModelSpec::new(backbone, heads(), InputSpec::default())
}

fn taxonomy() -> Taxonomy {
    spec().taxonomy().unwrap()
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn listing(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "data.csv", text);
    (folder, path)
}

/// The line and message of the error that a listing gives.
fn refused(text: impl AsRef<[u8]>) -> (Option<u64>, String) {
    let (_folder, path) = listing(text);
    match Dataset::open(std::slice::from_ref(&path), &heads()) {
        Err(Error::Data {
            path: named,
            row,
            message,
        }) => {
            assert_eq!(named, path);
            (row, message)
        }
        other => panic!("expected Error::Data, found {other:?}"),
    }
}

#[test]
fn a_listing_is_read_relative_to_its_folder() {
    let (folder, path) = listing(
        "\u{feff}split,path,age,extra,mask,person\r\n\
         train,a/1.jpg,31.5,x,worn,ann\r\n\
         ,b.jpg, 70 ,,not_worn,\r\n",
    );
    let dataset = Dataset::open(std::slice::from_ref(&path), &heads()).unwrap();
    assert_eq!(dataset.sources, [path]);
    let [first, second] = &dataset.samples[..] else {
        panic!("two samples")
    };
    assert_eq!(first.path(), folder.path().join("a/1.jpg"));
    assert_eq!(first.name, "a/1.jpg");
    assert_eq!(first.person.as_deref(), Some("ann"));
    assert_eq!(first.split, Some(Split::Train));
    let expected = [Some(Value::Label(0)), None, Some(Value::Number(31.5))];
    assert_eq!(first.values, expected, "no gender column: not known");
    assert_eq!((first.row, first.source), (Some(2), 0));
    assert_eq!(second.values[2], Some(Value::Number(70.0)));
    assert_eq!((&second.person, second.split), (&None, None));
    assert_eq!(person_key(second), PersonKey::Photo(0, "b.jpg"));
}

#[test]
fn an_absolute_path_stays_and_a_column_can_have_another_name() {
    let (_folder, path) = listing("path,years\n/x/a.jpg,40\n");
    let mut heads = heads();
    heads[2].labels.column = Some("years".into());
    let dataset = Dataset::open(&[path], &heads).unwrap();
    assert_eq!(dataset.samples[0].path(), Path::new("/x/a.jpg"));
    assert_eq!(dataset.samples[0].values[2], Some(Value::Number(40.0)));
}

#[test]
fn every_faulty_row_is_named_with_its_line() {
    let text = "path,mask,age,split,person\n\
                a.jpg,worn,20,train,p\n\
                b.jpg,worm,20,train,p\n\
                c.jpg,worn,old,train,p\n\
                \n\
                d.jpg,worn,NaN,train,p\n\
                e.jpg,worn,inf,holdout,p\n\
                f.jpg,worn,20,train\n\
                ./a.jpg,worn,20,train,p\n\
                ,worn,20,train,p\n\
                \"g\n.jpg\",worn,20,,p\n\
                h.jpg,1,20,train,p\n";
    let (_folder, path) = listing(text);
    let (dataset, faults) = Dataset::read(&[path], &heads()).unwrap();
    let names: Vec<&str> = dataset.samples.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a.jpg", "g\n.jpg"]);
    let found: Vec<(u64, &str)> = faults
        .iter()
        .map(|f| (f.row.unwrap(), f.message.as_str()))
        .collect();
    let labels = "its labels are worn, incorrect, not_worn";
    let expected = [
        (
            3,
            format!("column `mask`: head `mask` has no label `worm`; {labels}"),
        ),
        (4, "column `age`: a number is needed, found `old`".into()),
        (6, "column `age`: a number is needed, found `NaN`".into()),
        (7, "column `age`: a number is needed, found `inf`".into()),
        (
            7,
            "column `split`: there is no split named `holdout`; there is train, valid, test".into(),
        ),
        (8, "5 cells are needed, as many as columns, found 4".into()),
        (
            9,
            "each photo is listed once, found `./a.jpg` on line 2 too".into(),
        ),
        (
            10,
            "column `path`: a photo is needed, found an empty cell".into(),
        ),
        (
            13,
            format!("column `mask`: head `mask` has no label `1`; {labels}"),
        ),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1.as_str()));
    }
    let (row, message) = refused(text);
    assert_eq!(row, Some(3));
    assert!(message.starts_with(&expected[0].1), "{message}");
    assert!(message.contains("there are 2 of this kind"), "{message}");
}

#[test]
fn a_header_that_does_not_serve_is_refused_with_what_was_found() {
    for (text, row, words) in [
        ("", None, "a header line is needed, the file is empty"),
        (
            "path,mask\n",
            None,
            "at least one photo is needed, found none",
        ),
        (
            "photo,mask\na,worn\n",
            Some(1),
            "a column `path` is needed, found `photo`, `mask`",
        ),
        (
            "path,colour\na,red\n",
            Some(1),
            "a column for at least one head is needed (`mask`, `gender`, `age`), found `path`, `colour`",
        ),
        (
            "path,mask,gendre\na,worn,male\n",
            Some(1),
            "no column `gender`, but `gendre` looks like it",
        ),
        (
            "path,mask,Age\na,worn,3\n",
            Some(1),
            "no column `age`, but `Age` looks like it",
        ),
        (
            "path,mask,persons\na,worn,3\n",
            Some(1),
            "no column `person`, but `persons` looks like it",
        ),
        (
            "path,mask,mask\na,worn,worn\n",
            Some(1),
            "each column is named once, found `mask` twice",
        ),
    ] {
        let (found, message) = refused(text);
        assert_eq!(found, row, "{text:?}");
        assert!(message.contains(words), "{text:?}: {message}");
    }
    let (row, message) = refused(b"path,mask\na,worn\n\xE9.jpg,worn\n");
    assert_eq!(row, Some(3));
    assert!(message.contains("UTF-8"), "{message}");
}

#[test]
fn what_is_missing_as_a_whole_is_an_error_that_names_it() {
    let none = Dataset::open(&[], &heads());
    assert!(matches!(none, Err(Error::Invalid { .. })));
    let missing = Dataset::open(&["nowhere.csv".into()], &heads());
    assert!(matches!(missing, Err(Error::Io { action: "read", .. })));
    let folder = tempfile::tempdir().unwrap();
    let empty = Dataset::open(&[folder.path().into()], &heads()).unwrap_err();
    assert!(empty.to_string().contains("train.csv"), "{empty}");
}

#[test]
fn sources_are_joined_and_a_photo_in_both_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(&folder, "a.csv", "path,mask,person\n1.jpg,worn,ann\n");
    let b = write(
        &folder,
        "b.csv",
        "path,gender,person\n1.jpg,male,ann\n2.jpg,male,ann\n",
    );
    let (dataset, faults) = Dataset::read(&[a.clone(), b], &heads()).unwrap();
    assert_eq!(dataset.samples.len(), 2);
    assert_eq!(dataset.samples[1].source, 1);
    assert_eq!(
        person_key(&dataset.samples[0]),
        person_key(&dataset.samples[1])
    );
    let expected = format!("line 2 of {} too", a.display());
    assert!(faults[0].message.ends_with(&expected), "{}", faults[0]);
    assert_eq!((faults[0].source, faults[0].row), (1, Some(2)));
}

#[test]
fn the_fingerprint_is_of_the_data_not_of_its_place_or_order() {
    let fingerprint = |text: &str| {
        let (_folder, path) = listing(text);
        Dataset::open(&[path], &heads()).unwrap().fingerprint()
    };
    let one = fingerprint("path,mask\na.jpg,worn\nb.jpg,incorrect\n");
    assert_eq!(one.len(), 64);
    assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(one, fingerprint("mask,path\nincorrect,b.jpg\nworn,a.jpg\n"));
    for other in [
        "path,mask\na.jpg,worn\nb.jpg,worn\n",
        "path,mask\na.jpg,worn\nc.jpg,incorrect\n",
        "path,mask\na.jpg,worn\n",
        "path,mask,split\na.jpg,worn,\nb.jpg,incorrect,test\n",
        "path,mask,gender\na.jpg,worn,\nb.jpg,incorrect,male\n",
    ] {
        assert_ne!(one, fingerprint(other), "{other}");
    }
}

/// Two people share an id; one has a PNG, capitals and clutter.
fn people() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "train/train.csv",
        "id,gender,race,age,path\n\
         000004,male,Asian,54,000004_male_Asian_54\n\
         0001-1,female,Asian,22,0001-1_female_Asian_22\n\
         000004,female,Asian,60,000004_female_Asian_60\n",
    );
    for (person, files) in [
        (
            "000004_male_Asian_54",
            &["incorrect_mask.jpg", "mask1.jpg", "mask2.jpg", "normal.jpg"][..],
        ),
        (
            "0001-1_female_Asian_22",
            &[
                "mask1.JPEG",
                "normal.png",
                "._normal.png",
                ".DS_Store",
                "Thumbs.db",
            ],
        ),
        ("000004_female_Asian_60", &["mask1.jpg"]),
    ] {
        for file in files {
            write(&folder, &format!("train/images/{person}/{file}"), "");
        }
    }
    folder
}

#[test]
fn a_person_folder_is_read_as_it_is() {
    let folder = people();
    let dataset = Dataset::open(&[folder.path().into()], &heads()).unwrap();
    let inner = Dataset::open(&[folder.path().join("train")], &heads()).unwrap();
    assert_eq!(dataset, inner, "the folder or the one above");
    let found: Vec<String> = dataset
        .samples
        .iter()
        .map(|s| {
            format!(
                "{} {} {:?}",
                s.name,
                s.person.as_deref().unwrap(),
                s.row.unwrap()
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "images/000004_male_Asian_54/incorrect_mask.jpg 000004_male_Asian_54 2",
            "images/000004_male_Asian_54/mask1.jpg 000004_male_Asian_54 2",
            "images/000004_male_Asian_54/mask2.jpg 000004_male_Asian_54 2",
            "images/000004_male_Asian_54/normal.jpg 000004_male_Asian_54 2",
            "images/0001-1_female_Asian_22/mask1.JPEG 0001-1 3",
            "images/0001-1_female_Asian_22/normal.png 0001-1 3",
            "images/000004_female_Asian_60/mask1.jpg 000004_female_Asian_60 4",
        ]
    );
    assert!(dataset.samples.iter().all(|s| s.path().is_file()));
    let masks: Vec<Option<Value>> = dataset
        .samples
        .iter()
        .map(|s| s.values[0].clone())
        .collect();
    let expected = [1, 0, 0, 2, 0, 2, 0].map(|l| Some(Value::Label(l)));
    assert_eq!(masks, expected);
    assert_eq!(
        dataset.samples[6].values[1..],
        [Some(Value::Label(1)), Some(Value::Number(60.0))]
    );
}

#[test]
fn any_column_of_a_person_folder_can_be_a_head() {
    let folder = people();
    let race = vec![HeadSpec::new("race", ["Asian", "other"])];
    let dataset = Dataset::open(&[folder.path().into()], &race).unwrap();
    assert_eq!(dataset.samples[0].values, [Some(Value::Label(0))]);
    let unknown = vec![HeadSpec::new("smile", ["yes", "no"])];
    let refused = Dataset::open(&[folder.path().into()], &unknown).unwrap_err();
    assert!(refused.to_string().contains("`smile`"), "{refused}");
}

#[test]
fn faults_of_a_person_folder_are_named_with_the_line_of_the_person() {
    let folder = people();
    write(
        &folder,
        "train/train.csv",
        "id,gender,race,age,path\n\
         000004,mail,Asian,54,000004_male_Asian_54\n\
         0001-1,female,Asian,22,0001-1_female_Asian_22\n\
         9,female,Asian,60,gone\n\
         10,female,Asian,60,empty\n\
         11,female,Asian,60,\n",
    );
    std::fs::create_dir(folder.path().join("train/images/empty")).unwrap();
    write(&folder, "train/images/0001-1_female_Asian_22/smile.jpg", "");
    write(
        &folder,
        "train/images/0001-1_female_Asian_22/normal.jpg",
        "",
    );
    let (dataset, faults) = Dataset::read(&[folder.path().into()], &heads()).unwrap();
    assert!(dataset.samples.is_empty());
    let found: Vec<(u64, &str)> = faults
        .iter()
        .map(|f| (f.row.unwrap(), f.message.as_str()))
        .collect();
    for (at, (row, words)) in [
        (2, "head `gender` has no label `mail`"),
        (3, "found another `normal`"),
        (3, "found `smile.jpg`"),
        (4, "cannot list"),
        (5, "found none in"),
        (6, "column `path`: a value is needed"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(
            found[at].0 == row && found[at].1.contains(words),
            "{found:#?}"
        );
    }
    assert_eq!(found.len(), 6, "one fault a person for a wrong cell");
}

#[test]
fn the_result_has_the_rows_of_the_listing_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let info = write(
        &folder,
        "info.csv",
        "ImageID,ans\r\nb0.jpg,0\r\na1.jpg,0\r\n\"c,2.jpg\",0\r\n",
    );
    let names = read_listing(&info).unwrap();
    assert_eq!(names, ["b0.jpg", "a1.jpg", "c,2.jpg"]);
    let out = folder.path().join("out.csv");
    write_result(&out, &names, &[17, 0, 3]).unwrap();
    let text = std::fs::read_to_string(&out).unwrap();
    assert_eq!(text, "ImageID,ans\nb0.jpg,17\na1.jpg,0\n\"c,2.jpg\",3\n");
    assert_eq!(read_listing(&out).unwrap(), names);
    assert!(matches!(
        write_result(&out, &names, &[1]),
        Err(Error::Invalid { .. })
    ));
    let gone = folder.path().join("no/out.csv");
    assert!(matches!(
        write_result(&gone, &names, &[1, 2, 3]),
        Err(Error::Io { .. })
    ));
    for (text, words) in [
        ("name,ans\nx,0\n", "a column `ImageID` is needed"),
        ("ImageID,ans\n,0\n", "line 2: column `ImageID`"),
        ("ImageID,ans\na\n", "line 2: 2 cells are needed"),
    ] {
        let message = read_listing(&write(&folder, "bad.csv", text)).unwrap_err();
        assert!(message.to_string().contains(words), "{message}");
    }
}

/// `persons` people with five photos each, three worn, and `loose` photos of nobody known.
fn crowd(persons: usize, loose: usize) -> Dataset {
    let mut text = String::from("path,person,mask,gender,age,split\n");
    for p in 0..persons {
        let gender = ["male", "female"][p % 2];
        // One in ten is old.
        let age = if p % 10 == 3 { 65 } else { 20 + p % 35 };
        for (i, mask) in ["worn", "worn", "worn", "incorrect", "not_worn"]
            .iter()
            .enumerate()
        {
            text += &format!("{p}_{i}.jpg,person {p},{mask},{gender},{age},\n");
        }
    }
    for i in 0..loose {
        text += &format!("loose{i}.jpg,,{},,,\n", ["worn", "not_worn", ""][i % 3]);
    }
    let (_folder, path) = listing(text);
    Dataset::open(&[path], &heads()).unwrap()
}

#[test]
fn a_split_keeps_persons_together_and_labels_in_proportion() {
    let mut dataset = crowd(400, 300);
    assign(&mut dataset, &SplitConfig::default(), 1).unwrap();
    let report = SplitReport::new(&dataset, &taxonomy()).unwrap();
    assert_eq!((report.persons_on_two_sides, report.without_split), (0, 0));
    assert_eq!(report.all.photos.iter().sum::<usize>(), 2300);
    assert_eq!(report.all.persons.iter().sum::<usize>(), 700);
    for row in &report.labels {
        let photos = row.counts.photos;
        let total = photos.iter().sum::<usize>() as f64;
        for (n, part) in photos.iter().zip([0.7, 0.15, 0.15]) {
            let off = (*n as f64 - part * total).abs();
            // Persons have up to three photos of a label and are not cut: two of them may be too many or too few.
            assert!(off <= 6.0, "{} {:?}: {photos:?}", row.head, row.label);
        }
    }
    let old_women = &report.classes[2 * 6 + 3 + 2];
    assert_eq!(old_women.name, "not_worn / female / old");
    assert_eq!(old_women.counts.photos, old_women.counts.persons);
    assert_eq!(old_women.counts.photos, [28, 6, 6]);
    let text = report.to_string();
    assert!(text.contains("class 17 not_worn / female / old"), "{text}");
    assert!(text.ends_with("persons on two sides: 0"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["persons_on_two_sides"], 0);
}

#[test]
fn given_splits_stay_and_a_persons_other_photos_follow() {
    let mut dataset = crowd(40, 0);
    dataset.samples[0].split = Some(Split::Test);
    dataset.samples[6].split = Some(Split::Valid);
    assign(&mut dataset, &SplitConfig::default(), 1).unwrap();
    assert!(
        dataset.samples[..5]
            .iter()
            .all(|s| s.split == Some(Split::Test))
    );
    assert!(
        dataset.samples[5..10]
            .iter()
            .all(|s| s.split == Some(Split::Valid))
    );
    assert_eq!(dataset.indices(Split::Test)[..5], [0, 1, 2, 3, 4]);
    let before = dataset.clone();
    assign(&mut dataset, &SplitConfig::default(), 2).unwrap();
    assert_eq!(dataset, before, "a split that is complete is left alone");
}

#[test]
fn a_person_given_to_two_sides_is_refused_with_both_rows() {
    let text = "path,person,mask,split\n\
                a.jpg,ann,worn,train\n\
                b.jpg,bob,worn,valid\n\
                c.jpg,ann,worn,test\n";
    let (_folder, path) = listing(text);
    let mut dataset = Dataset::open(&[path], &heads()).unwrap();
    let report = SplitReport::new(&dataset, &taxonomy()).unwrap();
    assert_eq!(report.persons_on_two_sides, 1, "counted, not assumed");
    match assign(&mut dataset, &SplitConfig::default(), 1) {
        Err(Error::Data { row, message, .. }) => {
            assert_eq!(row, Some(4));
            for words in ["person `ann`", "train (line 2 of", "test (line 4 of"] {
                assert!(message.contains(words), "{message}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_split_that_leaves_nothing_to_train_on_is_refused() {
    for (valid, test) in [(0.5, 0.5), (-0.1, 0.1), (f64::NAN, 0.1), (0.1, 1.0)] {
        let refused = assign(&mut crowd(2, 0), &SplitConfig { valid, test }, 1);
        assert!(
            matches!(refused, Err(Error::Invalid { .. })),
            "{valid} {test}"
        );
    }
    assert!(toml::from_str::<SplitConfig>("validation = 0.2").is_err());
    let read: SplitConfig = toml::from_str("test = 0.0").unwrap();
    assert_eq!((read.valid, read.test), (0.15, 0.0));
    let mut dataset = crowd(30, 0);
    assign(&mut dataset, &read, 1).unwrap();
    assert!(dataset.indices(Split::Test).is_empty());
}

#[test]
fn folds_are_by_person_and_even() {
    let dataset = crowd(100, 20);
    let found = folds(&dataset, 5, 3).unwrap();
    let mut of_person = HashMap::new();
    let mut sizes = [0usize; 5];
    for (sample, fold) in dataset.samples.iter().zip(&found) {
        assert_eq!(of_person.entry(person_key(sample)).or_insert(*fold), fold);
        sizes[*fold] += 1;
    }
    assert!(sizes.iter().all(|n| n.abs_diff(104) <= 6), "{sizes:?}");
    assert_eq!(found, folds(&dataset, 5, 3).unwrap());
    assert_ne!(found, folds(&dataset, 5, 4).unwrap());
    assert!(matches!(folds(&dataset, 1, 3), Err(Error::Invalid { .. })));
    assert!(matches!(
        folds(&crowd(4, 0), 5, 3),
        Err(Error::Invalid { .. })
    ));
}

#[test]
fn a_fold_is_the_test_side_and_the_rest_is_divided_by_person_whatever_the_order() {
    let sides = |fold: usize, turn: usize, seed: u64| {
        let mut dataset = crowd(100, 20);
        dataset.samples.rotate_left(turn);
        assign_fold(&mut dataset, 4, fold, 0.2, seed).unwrap();
        dataset.samples.rotate_right(turn);
        dataset
    };
    let expected = folds(&crowd(100, 20), 4, 3).unwrap();
    let mut valid_before: Option<Vec<usize>> = None;
    for fold in 0..4 {
        let dataset = sides(fold, 0, 3);
        let mut of_person = HashMap::new();
        for (sample, f) in dataset.samples.iter().zip(&expected) {
            let side = *of_person.entry(person_key(sample)).or_insert(sample.split);
            assert_eq!(side, sample.split);
            assert_eq!(*f == fold, sample.split == Some(Split::Test));
        }
        let [train, valid, test] = Split::ALL.map(|s| dataset.indices(s));
        assert_eq!(train.len() + valid.len() + test.len(), 520);
        assert!(valid.len().abs_diff(78) <= 6, "{}", valid.len());
        let splits = |d: &Dataset| d.samples.iter().map(|s| s.split).collect::<Vec<_>>();
        assert!(splits(&dataset) == splits(&sides(fold, 77, 3)));
        assert!(splits(&dataset) != splits(&sides(fold, 0, 4)));
        assert_ne!(valid_before, Some(valid.clone()));
        valid_before = Some(valid);
    }
    let mut dataset = crowd(30, 0);
    assign_fold(&mut dataset, 3, 0, 0.0, 1).unwrap();
    assert!(dataset.indices(Split::Valid).is_empty());
    for (k, fold, valid) in [(3, 3, 0.1), (1, 0, 0.1), (3, 0, 1.0), (3, 0, f64::NAN)] {
        assert!(assign_fold(&mut dataset, k, fold, valid, 1).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_split_is_complete_by_person_seeded_and_blind_to_order(
        persons in 0..60usize, loose in 1..40usize, valid in 0.0..0.4f64, test in 0.0..0.4f64, seed: u64, turn in 0..400usize,
    ) {
        let config = SplitConfig { valid, test };
        let split = |turn: usize| {
            let mut dataset = crowd(persons, loose);
            let turn = turn % dataset.samples.len();
            dataset.samples.rotate_left(turn);
            assign(&mut dataset, &config, seed).unwrap();
            dataset
        };
        let dataset = split(0);
        let report = SplitReport::new(&dataset, &taxonomy()).unwrap();
        prop_assert_eq!((report.persons_on_two_sides, report.without_split), (0, 0));
        let total = dataset.samples.len() as f64;
        for (n, part) in report.all.photos.iter().zip([1.0 - valid - test, valid, test]) {
            prop_assert!((*n as f64 - part * total).abs() <= 15.0, "{:?} of {}", report.all.photos, total);
        }
        let sides = |d: &Dataset| -> BTreeMap<String, Option<Split>> {
            d.samples.iter().map(|s| (s.name.clone(), s.split)).collect()
        };
        prop_assert_eq!(sides(&dataset), sides(&split(turn)));
    }
}

#[test]
fn seeds_give_different_splits() {
    let split = |seed| {
        let mut dataset = crowd(60, 0);
        assign(&mut dataset, &SplitConfig::default(), seed).unwrap();
        dataset.indices(Split::Valid)
    };
    let different: HashSet<Vec<usize>> = (0..5).map(split).collect();
    assert_eq!(different.len(), 5);
}

#[test]
fn persons_of_many_photos_change_sides_with_the_seed_too() {
    // Each person has labels that nobody else has together.
    let mut text = String::from("path,mask,gender,age,person\n");
    for person in 1..63usize {
        for (bit, (mask, age)) in [
            ("worn", 10),
            ("worn", 40),
            ("incorrect", 10),
            ("incorrect", 40),
            ("not_worn", 10),
            ("not_worn", 70),
        ]
        .into_iter()
        .enumerate()
        {
            for photo in (0..4).filter(|_| person >> bit & 1 == 1) {
                text += &format!("{person}_{bit}_{photo}.jpg,{mask},female,{age},p{person}\n");
            }
        }
    }
    let (_folder, path) = listing(text);
    let mut dataset = Dataset::open(&[path], &heads()).unwrap();
    let mut sides: BTreeMap<String, HashSet<Split>> = BTreeMap::new();
    for seed in 0..10 {
        dataset.samples.iter_mut().for_each(|s| s.split = None);
        assign(&mut dataset, &SplitConfig::default(), seed).unwrap();
        for sample in &dataset.samples {
            let sides = sides.entry(person_key(sample).to_string()).or_default();
            sides.extend(sample.split);
        }
    }
    let settled = sides.values().filter(|sides| sides.len() == 1).count();
    assert!(settled <= 15, "{settled} of {} persons", sides.len());
}

#[test]
fn the_check_lists_every_fault_of_rows_and_photos_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let listing = write(
        &folder,
        "data.csv",
        "path,mask,age,person\n\
         good.png,worn,20,a\n\
         gone.jpg,worn,20,a\n\
         text.jpg,worn,,b\n\
         small.png,incorrect,20,b\n\
         good2.png,off,20,b\n\
         good2.png,,,c\n",
    );
    write(&folder, "text.jpg", "This is a text file.");
    for (name, side) in [("good.png", 20), ("good2.png", 30), ("small.png", 4)] {
        let picture = image::DynamicImage::new_rgb8(side, side + 2);
        picture.save(folder.path().join(name)).unwrap();
    }
    let input = InputSpec {
        crop: Some([25, 25]),
        ..InputSpec::default()
    };
    let told = std::sync::Mutex::new(Vec::new());
    let progress = |done, total| told.lock().unwrap().push((done, total));
    let spec = ModelSpec { input, ..spec() };
    let columns = BTreeMap::new();
    let report = check(
        &[listing],
        &columns,
        &spec,
        &Corrections::default(),
        true,
        &progress,
    )
    .unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort();
    assert_eq!(told, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    assert_eq!(
        (report.photos, report.persons, report.without_label),
        (5, 3, 1)
    );
    assert_eq!(report.sizes, Some([22, 20, 32, 30]));
    assert_eq!(report.smaller_than_crop, 1);
    let faults: Vec<(u64, &str)> = report
        .faults
        .iter()
        .map(|f| (f.row.unwrap(), f.message.as_str()))
        .collect();
    for ((row, message), (expected, words)) in faults.iter().zip([
        (3, "gone.jpg"),
        (4, "the content is a text"),
        (5, "at least 8×8 is needed"),
        (6, "has no label `off`"),
    ]) {
        assert!(*row == expected && message.contains(words), "{faults:#?}");
    }
    assert_eq!(faults.len(), 4);
    let mask = &report.heads[0];
    assert_eq!(mask.labels[0], ("worn".to_string(), 3));
    assert_eq!(mask.missing, 1);
    let text = report.to_string();
    assert!(
        text.contains("mask: worn 3, incorrect 1, not_worn 0, not known 1"),
        "{text}"
    );
    assert!(text.contains("data.csv, line 3: cannot read"), "{text}");
    assert_eq!(serde_json::to_value(&report).unwrap()["photos"], 5);
}

#[test]
fn a_combination_that_is_ruled_out_is_a_fault_with_its_line() {
    let (_folder, path) = listing(
        "path,mask,gender,age\na.jpg,worn,male,70\nb.jpg,incorrect,,10\nc.jpg,incorrect,male,\n",
    );
    let one = |head: &str, label: &str| (head.to_string(), vec![label.to_string()]);
    let mut spec = spec();
    spec.impossible = vec![[one("mask", "incorrect"), one("age", "young")].into()];
    let dataset = Dataset::open(&[path], &spec.heads).unwrap();
    let faults = dataset.contradictions(&spec.taxonomy().unwrap());
    assert_eq!(faults.iter().map(|f| f.row).collect::<Vec<_>>(), [Some(3)]);
    let message = faults[0].to_string();
    for word in ["data.csv, line 3", "incorrect / young", "model.impossible"] {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
    assert!(dataset.check_possible(&spec.taxonomy().unwrap()).is_err());
    assert!(dataset.check_possible(&taxonomy()).is_ok());
}

#[test]
fn a_head_is_counted_where_it_applies() {
    let mut dataset = crowd(20, 0);
    dataset
        .samples
        .iter_mut()
        .for_each(|s| s.split = Some(Split::Train));
    let mut spec = spec();
    let when = [("mask".to_string(), vec!["not_worn".to_string()])];
    spec.heads[2].labels.when = when.into();
    let report = SplitReport::new(&dataset, &spec.taxonomy().unwrap()).unwrap();
    let photos = |head: &str| -> usize {
        let of_head = report.labels.iter().filter(|l| l.head == head);
        of_head.map(|l| l.counts.photos.iter().sum::<usize>()).sum()
    };
    assert_eq!((photos("mask"), photos("age")), (100, 20));
}

#[test]
fn a_fingerprint_is_that_of_the_sorted_lines_whatever_the_names_are() {
    use sha2::{Digest, Sha256};
    let head = HeadSpec::new("mask", ["worn", "not_worn"]);
    let plain = ["b", "a", "a b", "a!", "a/b", "a-1", "a1", "A", "a'b"];
    let escaped = ["ä", "a\"b", "a\\b", "a\nb", "\u{200b}a"];
    for names in [&plain[..], &[&plain[..], &escaped].concat()] {
        let photo = |(i, name): (usize, &&str)| {
            let photo = hydranet::Photo {
                height: 1,
                width: 1,
                rgb: vec![0; 3],
            };
            let value = [None, Some(Value::Label(0)), Some(Value::Label(1))];
            Sample::new(*name, photo, vec![value[i % 3].clone()])
        };
        let samples: Vec<Sample> = names.iter().enumerate().map(photo).collect();
        let line = |s: &Sample| {
            let split = s.split.map(|s| s.to_string());
            format!("{:?} {:?} {split:?}\n", s.name, s.values)
        };
        let mut lines: Vec<String> = samples.iter().map(line).collect();
        lines.sort();
        let mut hash = Sha256::new();
        hash.update("\"mask\" [\"worn\", \"not_worn\"]\n");
        lines.iter().for_each(|line| hash.update(line));
        let expected: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let dataset = Dataset::new(vec![head.clone()], samples).unwrap();
        assert_eq!(dataset.fingerprint(), expected, "{names:?}");
    }
}

#[test]
fn rows_are_checked_without_their_photos() {
    let dir = TempDir::new().unwrap();
    let listing = dir.path().join("photos.csv");
    let rows = "path,mask\na.jpg,worn\nb.jpg,odd\nc.jpg,worn\na.jpg,worn\n";
    std::fs::write(&listing, rows).unwrap();
    let look = |photos: bool| {
        let (columns, none) = (BTreeMap::new(), Corrections::default());
        check(
            std::slice::from_ref(&listing),
            &columns,
            &spec(),
            &none,
            photos,
            &|_, _| (),
        )
        .unwrap()
    };
    let report = look(false);
    let lines: Vec<_> = report.faults.iter().map(|f| f.row).collect();
    assert_eq!(lines, [Some(3), Some(5)], "{report}");
    assert_eq!((report.photos, report.sizes), (2, None));
    // None of the photos is there.
    assert_eq!(look(true).faults.len(), 4);
}
