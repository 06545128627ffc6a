//! Files of corrections: what they may say, what they do, and how faults are told.

use crate::common::runs;
use crate::common::runs::Bench;
use hydranet::data::corrections::{
    Action, Correction, Corrections, CorrectionsReport, NoteKind, Subject,
};
use hydranet::data::dataset::{Dataset, Split, Value};
use hydranet::data::split::{SplitConfig, assign};
use hydranet::{Error, HeadSpec, ModelFile};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn heads() -> Vec<HeadSpec> {
    let mut age = HeadSpec::new("age", ["young", "middle", "old"]);
    age.labels.thresholds = vec![30.0, 60.0];
    vec![
        HeadSpec::new("mask", ["worn", "not_worn"]),
        HeadSpec::new("gender", ["male", "female"]),
        age,
    ]
}

const LISTING: &str = "path,person,mask,gender,age\n\
    a1.jpg,ann,worn,female,25\n\
    a2.jpg,ann,not_worn,female,25\n\
    b1.jpg,ben,worn,male,70\n\
    b2.jpg,ben,not_worn,female,70\n\
    c.jpg,,worn,male,40\n";

fn data() -> (TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    std::fs::write(&path, LISTING).unwrap();
    let dataset = Dataset::open(&[path], &heads()).unwrap();
    (folder, dataset)
}

fn parse(text: &str) -> Corrections {
    let mut corrections = Corrections::default();
    corrections
        .add(text.as_bytes(), Path::new("fixes.toml"))
        .unwrap();
    corrections
}

/// Entries in TOML, one a line, such as `photo = "a", action = "drop"`.
fn toml(entries: &[&str]) -> String {
    let entries: Vec<String> = entries.iter().map(|e| format!("  {{ {e} }},\n")).collect();
    format!("version = 1\ncorrections = [\n{}]\n", entries.concat())
}

fn applied(entries: &[&str]) -> (Dataset, CorrectionsReport) {
    let (_folder, mut dataset) = data();
    let report = parse(&toml(entries)).apply(&mut dataset).unwrap();
    (dataset, report)
}

fn names(dataset: &Dataset) -> Vec<&str> {
    dataset.samples.iter().map(|s| s.name.as_str()).collect()
}

fn kinds(report: &CorrectionsReport) -> Vec<(NoteKind, u64)> {
    report.notes.iter().map(|n| (n.kind, n.line)).collect()
}

fn column(dataset: &Dataset, head: usize) -> Vec<Option<Value>> {
    dataset
        .samples
        .iter()
        .map(|s| s.values[head].clone())
        .collect()
}

const MALE: Option<Value> = Some(Value::Label(0));
const FEMALE: Option<Value> = Some(Value::Label(1));

#[test]
fn each_action_does_what_it_says() {
    let (dataset, report) = applied(&[
        r#"photo = "b2.jpg", action = "relabel", head = "gender", label = "male", was = "female""#,
        r#"person = "ann", action = "relabel", head = "age", label = 34.5, note = "her passport""#,
        r#"photo = "b1.jpg", action = "drop", head = "mask", was = "worn""#,
        r#"photo = "c.jpg", action = "drop""#,
        r#"photo = "a1.jpg", action = "keep", head = "mask""#,
    ]);
    assert_eq!(names(&dataset), ["a1.jpg", "a2.jpg", "b1.jpg", "b2.jpg"]);
    assert_eq!(column(&dataset, 1), [FEMALE, FEMALE, MALE, MALE]);
    let (new, old) = (Some(Value::Number(34.5)), Some(Value::Number(70.0)));
    assert_eq!(column(&dataset, 2), [new.clone(), new, old.clone(), old]);
    assert_eq!(dataset.samples[2].values[0], None);
    let r = &report;
    assert_eq!(
        (
            r.relabelled,
            r.dropped_labels,
            r.dropped_photos,
            r.kept,
            r.already
        ),
        (3, 1, 1, 1, 0)
    );
    assert!(report.notes.is_empty(), "{report}");
    let seen = [
        [true, false, true],
        [false, false, true],
        [true, false, false],
        [false, true, false],
    ];
    assert_eq!(report.reviewed, seen);
    assert!(
        report
            .to_string()
            .starts_with("corrections: 5 entries of 1 files; labels changed 3"),
        "{report}"
    );
    assert_eq!(dataset.corrections, report.files);
    assert_eq!(report.files[0].entries, 5);
}

#[test]
fn a_head_with_thresholds_takes_a_number_or_a_label() {
    let (dataset, report) = applied(&[
        r#"photo = "a1.jpg", action = "relabel", head = "age", label = "old""#,
        r#"photo = "c.jpg", action = "relabel", head = "age", label = "61", was = "middle""#,
        r#"photo = "b1.jpg", action = "relabel", head = "age", label = "old""#,
    ]);
    assert_eq!(dataset.samples[0].values[2], Some(Value::Label(2)));
    assert_eq!(dataset.samples[4].values[2], Some(Value::Number(61.0)));
    assert_eq!(dataset.samples[2].values[2], Some(Value::Number(70.0)));
    assert_eq!((report.relabelled, report.already), (2, 1));
}

#[test]
fn an_entry_taken_out_takes_its_correction_back() {
    let (_folder, plain) = data();
    let print = plain.fingerprint();
    let (none, _) = applied(&[]);
    assert_eq!(none.fingerprint(), print);
    let entry = r#"photo = "c.jpg", action = "relabel", head = "gender", label = "female""#;
    let (one, _) = applied(&[entry]);
    assert_ne!(one.fingerprint(), print);
    let (kept, _) = applied(&[r#"photo = "c.jpg", action = "keep""#]);
    assert_eq!(kept.fingerprint(), print, "keeping changes nothing");
}

#[test]
fn what_no_longer_fits_the_data_is_reported_and_not_done() {
    let (dataset, report) = applied(&[
        r#"photo = "gone.jpg", action = "drop""#,
        r#"person = "zoe", action = "keep""#,
        r#"photo = "c.jpg", action = "relabel", head = "gender", label = "female", was = "female""#,
        r#"photo = "a1.jpg", action = "relabel", head = "gender", label = "male", was = "male""#,
        r#"photo = "a2.jpg", action = "keep", head = "age", was = "old""#,
        r#"person = "ben", action = "relabel", head = "gender", label = "male", was = "female""#,
        r#"photo = "a2.jpg", action = "drop", head = "glasses""#,
    ]);
    assert_eq!(
        kinds(&report),
        [
            (NoteKind::Stale, 3),
            (NoteKind::Stale, 4),
            (NoteKind::Changed, 5),
            (NoteKind::Changed, 6),
            (NoteKind::Changed, 7),
            (NoteKind::OtherHead, 9),
        ]
    );
    assert_eq!(
        column(&dataset, 1),
        [FEMALE, FEMALE, MALE, MALE, MALE],
        "ben's second photo only"
    );
    let text = report.to_string();
    for part in [
        "fixes.toml, line 3: stale: photo `gone.jpg` is not in the data",
        "line 4: stale: person `zoe` is not in the data",
        "line 6: changed: photo `a1.jpg`, gender: it was male when it was looked at and is female now; nothing is done",
        "line 7: changed: photo `a2.jpg`, age: it was old when it was looked at and is 25 now",
        "there is no head `glasses` here",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!report.reviewed[1][2], "what was kept is another label now");
}

#[test]
fn of_entries_that_differ_it_is_stated_which_one_holds() {
    use NoteKind::{Conflict, Overruled};
    let gender = |subject: &str, label: &str| {
        format!(r#"{subject}, action = "relabel", head = "gender", label = "{label}""#)
    };
    let photo = gender(r#"photo = "a1.jpg""#, "male");
    let again = gender(r#"photo = "a1.jpg""#, "female");
    let person = gender(r#"person = "ann""#, "male");
    let drop = r#"photo = "a1.jpg", action = "drop""#;
    let keep = r#"photo = "a1.jpg", action = "keep""#;
    let drop_person = r#"person = "ann", action = "drop""#;
    let label = |d: &Dataset, i: usize| d.samples[i].values[1].clone();

    let (d, r) = applied(&[&photo, &again]);
    assert_eq!(
        (label(&d, 0), kinds(&r)),
        (FEMALE, vec![(Conflict, 3)]),
        "the later one"
    );
    let (_, r) = applied(&[&photo, &photo]);
    assert!(r.notes.is_empty(), "the same twice is no conflict");

    let (d, r) = applied(&[&again, &person]);
    assert_eq!(
        (label(&d, 0), label(&d, 1)),
        (FEMALE, MALE),
        "the photo's own"
    );
    assert_eq!(kinds(&r), [(Overruled, 4)]);
    let (_, r) = applied(&[&photo, &person]);
    assert!(r.notes.is_empty(), "both say the same");

    let (d, r) = applied(&[&photo, drop]);
    assert_eq!(
        (d.samples.len(), kinds(&r)),
        (4, vec![(Conflict, 3)]),
        "what drops the photo"
    );
    let (d, r) = applied(&[keep, &photo]);
    assert_eq!(
        (label(&d, 0), kinds(&r)),
        (MALE, vec![(Conflict, 3)]),
        "what names the head"
    );

    let (d, r) = applied(&[keep, &person]);
    assert_eq!((label(&d, 0), label(&d, 1)), (FEMALE, MALE), "a kept photo");
    assert_eq!(kinds(&r), [(Overruled, 4)]);
    let (d, r) = applied(&[drop_person, &photo]);
    assert_eq!(names(&d), ["a1.jpg", "b1.jpg", "b2.jpg", "c.jpg"]);
    assert_eq!((label(&d, 0), kinds(&r)), (MALE, vec![(Overruled, 3)]));
    let (d, r) = applied(&[drop_person, &person]);
    assert_eq!((d.samples.len(), kinds(&r)), (3, vec![(Conflict, 4)]));
}

#[test]
fn later_files_win_over_earlier_ones() {
    let entry = |label: &str| {
        toml(&[&format!(
            r#"photo = "c.jpg", action = "relabel", head = "gender", label = "{label}""#
        )])
    };
    let mut both = parse(&entry("female"));
    both.add(entry("male").as_bytes(), Path::new("second.toml"))
        .unwrap();
    let (_folder, mut dataset) = data();
    let report = both.apply(&mut dataset).unwrap();
    assert_eq!(dataset.samples[4].values[1], MALE);
    let text = report.to_string();
    assert!(
        text.contains("fixes.toml, line 3: conflict: photo `c.jpg` is to relabel gender to female, but second.toml, line 3 says relabel gender to male, which comes later and holds"),
        "{text}"
    );
}

#[test]
fn a_name_in_two_listings_is_told_apart_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let mut listings = Vec::new();
    for part in ["x", "y"] {
        let path = folder.path().join(part).join("list.csv");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "path,gender\n1.jpg,male\n").unwrap();
        listings.push(path);
    }
    let mut dataset = Dataset::open(&listings, &heads()).unwrap();
    let entry = |photo: &str| {
        let photo = photo.replace('\\', "/");
        parse(&toml(&[&format!(
            r#"photo = "{photo}", action = "relabel", head = "gender", label = "female""#
        )]))
    };
    let error = format!("{:#}", entry("1.jpg").apply(&mut dataset).unwrap_err());
    assert!(
        error.contains("fixes.toml, line 3") && error.contains("several listings"),
        "{error}"
    );
    let whole = folder.path().join("y/./1.jpg").display().to_string();
    let report = entry(&whole).apply(&mut dataset).unwrap();
    assert_eq!(
        (column(&dataset, 1), report.relabelled),
        (vec![MALE, FEMALE], 1)
    );
}

#[test]
fn a_correction_moves_nobody_to_another_side() {
    let (_folder, mut dataset) = data();
    assign(
        &mut dataset,
        &SplitConfig {
            valid: 0.3,
            test: 0.3,
        },
        3,
    )
    .unwrap();
    let before: Vec<Option<Split>> = dataset.samples.iter().map(|s| s.split).collect();
    parse(&toml(&[
        r#"person = "ben", action = "relabel", head = "age", label = 20"#,
        r#"photo = "c.jpg", action = "drop""#,
    ]))
    .apply(&mut dataset)
    .unwrap();
    let after: Vec<Option<Split>> = dataset.samples.iter().map(|s| s.split).collect();
    assert_eq!(after, before[..4]);
}

/// Line and message of the fault in a file.
fn refused(name: &str, text: &[u8]) -> (Option<u64>, String) {
    let (_folder, mut dataset) = data();
    let mut corrections = Corrections::default();
    let result = corrections
        .add(text, Path::new(name))
        .and_then(|()| corrections.apply(&mut dataset));
    match result {
        Err(Error::Data { path, row, message }) => {
            assert_eq!(path, Path::new(name));
            (row, message)
        }
        other => panic!("{}: {other:?}", String::from_utf8_lossy(text)),
    }
}

#[test]
fn broken_toml_is_an_error_with_its_line() {
    let one = |entry: &str| toml(&[r#"photo = "a1.jpg", action = "keep""#, entry]);
    let cases: &[(String, u64, &str)] = &[
        ("version = 1\ncorrections = [\n".into(), 2, "unclosed array"),
        (
            "version = 2\nwhatever = 3\n".into(),
            1,
            "corrections of version 2; this version of hydranet reads `version = 1`",
        ),
        (
            "\nversion = \"1\"\n".into(),
            2,
            "corrections of version \"1\"",
        ),
        (
            "[[corrections]]\nphoto = \"a1.jpg\"\naction = \"keep\"\n".into(),
            1,
            "missing field `version`",
        ),
        (
            "version = 1\n[[correction]]\nphoto = \"a\"\n".into(),
            2,
            "unknown field `correction`",
        ),
        (
            one(r#"photo = "a1.jpg", action = "keep", heads = "age""#),
            4,
            "the keys photo, person, action, head, label, was, note are known, found `heads`",
        ),
        (
            one(r#"action = "drop""#),
            4,
            "a `photo` or a `person` is needed, found neither",
        ),
        (one(r#"photo = " ", action = "drop""#), 4, "found neither"),
        (
            one(r#"photo = "a1.jpg", person = "ann", action = "drop""#),
            4,
            "found both",
        ),
        (
            one(r#"photo = "a1.jpg""#),
            4,
            "an `action` is needed (relabel, drop, keep), found none",
        ),
        (
            one(r#"photo = "a1.jpg", action = "delete""#),
            4,
            "the action relabel, drop or keep is needed, found `delete`",
        ),
        (
            one(r#"photo = "a1.jpg", action = "relabel", label = "male""#),
            4,
            "a `head` is needed to relabel",
        ),
        (
            one(r#"photo = "a1.jpg", action = "relabel", head = "gender""#),
            4,
            "a `label` is needed to relabel",
        ),
        (
            one(r#"photo = "a1.jpg", action = "drop", head = "gender", label = "male""#),
            4,
            "`label` goes with the action relabel, found `male` with drop",
        ),
        (
            one(r#"photo = "a1.jpg", action = "keep", was = "male""#),
            4,
            "`was` goes with a `head`",
        ),
        (
            one(r#"photo = 3, action = "keep""#),
            4,
            "`photo` is a text, found 3",
        ),
        (
            one(r#"photo = "a1.jpg", action = "relabel", head = "gender", label = true"#),
            4,
            "`label` is a text, found true",
        ),
        (
            one(r#"photo = "a1.jpg", action = "relabel", head = "gendr", label = "male""#),
            4,
            "there is no head named `gendr`; there is mask, gender, age",
        ),
        (
            one(r#"photo = "a1.jpg", action = "relabel", head = "gender", label = "men""#),
            4,
            "`label`: head `gender` has no label `men`; its labels are male, female",
        ),
        (
            one(r#"photo = "a1.jpg", action = "relabel", head = "gender", label = 1"#),
            4,
            "head `gender` has no label `1`",
        ),
        (
            one(r#"photo = "a1.jpg", action = "relabel", head = "age", label = "nan""#),
            4,
            "head `age` has no label `nan`; its labels are young, middle, old, or a number",
        ),
        (
            one(r#"photo = "a1.jpg", action = "keep", head = "age", was = "ancient""#),
            4,
            "`was`: head `age` has no label `ancient`",
        ),
        (
            "version = 1\n[[corrections]]\n".into(),
            0,
            "entry 1 of the corrections is empty",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, line, part) in cases {
        let (row, message) = refused("fixes.toml", text.as_bytes());
        if row.unwrap_or(0) != *line || !message.contains(part) {
            wrong.push(format!("{text}: line {row:?}, {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(refused("fixes.toml", b"version = 1\n\n#\xff").0, Some(3));
    let (row, message) = refused("fixes.yaml", b"version: 1");
    assert_eq!(row, None);
    assert!(message.contains(".toml or .csv"), "{message}");
    let missing = Corrections::read(&["nowhere.toml"]).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
}

#[test]
fn broken_csv_is_an_error_with_its_line() {
    let cases: &[(&str, u64, &str)] = &[
        ("", 0, "the file is empty"),
        (
            "photo,action\na1.jpg,keep\n",
            1,
            "a column `version` is needed",
        ),
        (
            "version,photo\n1,a1.jpg\n",
            1,
            "a column `action` is needed",
        ),
        (
            "version,photo,action,heed\n1,a1.jpg,keep,age\n",
            1,
            "`heed` looks like it",
        ),
        (
            "version,photo,action\n1,a1.jpg,keep\n2,a2.jpg,keep\n",
            3,
            "corrections of version `2`",
        ),
        (
            "version,photo,action\n1,a1.jpg,keep\n1,a1.jpg\n",
            3,
            "3 cells are needed",
        ),
        (
            "version,photo,action\n1,a1.jpg,keep\n\n1,,keep\n",
            4,
            "found neither",
        ),
        (
            "version,photo,action,head,label\n1,a1.jpg,relabel,gender,x\n",
            2,
            "has no label `x`",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, line, part) in cases {
        let (row, message) = refused("fixes.csv", text.as_bytes());
        if row.unwrap_or(0) != *line || !message.contains(part) {
            wrong.push(format!("{text}: line {row:?}, {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_entry_that_could_not_be_read_back_is_not_written() {
    let entry = |subject: Subject, action: Action, was: Option<&str>| Correction {
        subject,
        action,
        was: was.map(Into::into),
        note: None,
    };
    let (photo, drop) = (Subject::Photo("a".into()), Action::Drop { head: None });
    for wrong in [
        entry(Subject::Person(" ann".into()), drop.clone(), None),
        entry(Subject::Photo(String::new()), drop.clone(), None),
        entry(photo.clone(), drop.clone(), Some("x")),
        entry(
            photo,
            Action::Keep {
                head: Some("".into()),
            },
            None,
        ),
    ] {
        assert!(Corrections::to_toml([&wrong]).is_err(), "{wrong:?}");
        assert!(Corrections::to_csv([&wrong]).is_err(), "{wrong:?}");
    }
}

fn word() -> impl Strategy<Value = String> {
    // Quotes, commas, backslashes, line ends, other alphabets.
    "[a-zé漢\"',=#\\\\]([ -~\\t\\né漢\u{7f}]{0,8}[a-z\"',=#\\\\é])?"
}

fn correction() -> impl Strategy<Value = Correction> {
    let subject = prop_oneof![
        "[ -~\\n\\r\\té]{0,6}[!-~]".prop_map(Subject::Photo),
        word().prop_map(Subject::Person)
    ];
    let action = prop_oneof![
        (word(), word()).prop_map(|(head, label)| Action::Relabel { head, label }),
        proptest::option::of(word()).prop_map(|head| Action::Drop { head }),
        proptest::option::of(word()).prop_map(|head| Action::Keep { head }),
    ];
    let extra = (
        proptest::option::of(word()),
        proptest::option::of("[ -~\\n]{0,12}[!-~]"),
    );
    (subject, action, extra).prop_map(|(subject, action, (was, note))| Correction {
        was: was.filter(|_| action.head().is_some()),
        subject,
        action,
        note,
    })
}

fn read(text: &str, name: &str) -> Vec<Correction> {
    let mut all = Corrections::default();
    all.add(text.as_bytes(), Path::new(name))
        .unwrap_or_else(|e| panic!("{e}\n{text}"));
    all.entries().cloned().collect()
}

proptest! {
    #[test]
    fn both_forms_read_back_what_was_written(entries in proptest::collection::vec(correction(), 0..6)) {
        let toml = Corrections::to_toml(&entries).unwrap();
        let csv = Corrections::to_csv(&entries).unwrap();
        prop_assert_eq!(&read(&toml, "a.toml"), &entries);
        prop_assert_eq!(&read(&csv, "a.csv"), &entries);
        prop_assert_eq!(Corrections::to_toml(&read(&csv, "a.CSV")).unwrap(), toml);
        prop_assert_eq!(Corrections::to_csv(&read(&Corrections::to_toml(&entries).unwrap(), "a.toml")).unwrap(), csv);
    }

    #[test]
    fn both_forms_give_the_same_data(picks in proptest::collection::vec((0..7usize, 0..3usize, 0..4usize), 0..12)) {
        let entries: Vec<Correction> = picks
            .into_iter()
            .map(|(who, head, what)| {
                let subject = match who {
                    5 => Subject::Person("ann".into()),
                    6 => Subject::Person("ben".into()),
                    i => Subject::Photo(["a1.jpg", "a2.jpg", "b1.jpg", "b2.jpg", "c.jpg"][i].into()),
                };
                let spec = &heads()[head];
                let name = spec.name.clone();
                let action = match what {
                    0 => Action::Drop { head: None },
                    1 => Action::Drop { head: Some(name) },
                    2 => Action::Keep { head: Some(name) },
                    _ => Action::Relabel { head: name, label: spec.labels.names[1].clone() },
                };
                Correction { subject, action, was: None, note: None }
            })
            .collect();
        let result = |text: &str, file: &str| {
            let mut corrections = Corrections::default();
            corrections.add(text.as_bytes(), Path::new(file)).unwrap();
            let (_folder, mut dataset) = data();
            let report = corrections.apply(&mut dataset).unwrap();
            let notes: Vec<NoteKind> = report.notes.iter().map(|n| n.kind).collect();
            (dataset.fingerprint(), report.relabelled, report.kept, report.reviewed, notes.len())
        };
        let toml = result(&Corrections::to_toml(&entries).unwrap(), "f.toml");
        let csv = result(&Corrections::to_csv(&entries).unwrap(), "f.csv");
        prop_assert_eq!(toml, csv);
    }
}

/// Two entries for the bench's portraits, in a file.
fn fixes(bench: &Bench) -> PathBuf {
    let path = bench.dir.path().join("fixes.toml");
    let first = {
        let config = Bench::config(&[]).unwrap();
        bench.dataset(&config).samples.swap_remove(0)
    };
    let text = toml(&[
        &format!(r#"photo = "{}", action = "drop""#, first.name),
        r#"person = "nobody", action = "keep""#,
    ]);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_model_file_says_which_corrections_it_was_trained_with() {
    let bench = Bench::new();
    let fixes = fixes(&bench);
    let setting = format!("train.corrections=[{:?}]", fixes.display().to_string());
    let config = Bench::config(&[&setting, "train.epochs=1"]).unwrap();
    let paths = [bench.data.clone()];
    let spec = config.model_spec().unwrap();
    let mut dataset = Dataset::open(&paths, &spec.heads).unwrap();
    let train = &config.train;
    let report = dataset
        .put_on_sides(&train.split, train.seed, &train.corrections)
        .unwrap();
    assert_eq!((report.dropped_photos, report.notes.len()), (1, 1));

    let weights = hydranet::train::config::load_weights(&config, Path::new(runs::HEADS)).unwrap();
    let out = bench.out("run");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let go = |dataset: &Dataset, out: &Path| {
        let weights = weights.clone();
        hydranet::train::trainer::Trainer::new(&config, weights, dataset)
            .out(out)
            .stop(&stop)
            .run()
    };
    go(&dataset, &out).unwrap();
    let training = ModelFile::read(out.join("last.safetensors"))
        .unwrap()
        .description
        .training;
    let recorded = &training["corrections"][0];
    let sum = report.files[0].sha256.as_str();
    assert_eq!(
        (recorded["entries"].as_u64(), recorded["sha256"].as_str()),
        (Some(2), Some(sum))
    );
    assert_eq!(training["data"], dataset.fingerprint());
    assert_eq!(
        training["config"]["corrections"][0],
        fixes.display().to_string()
    );

    let plain = bench.dataset(&config);
    let error = format!("{:#}", go(&plain, &bench.out("other")).unwrap_err());
    assert!(error.contains("train.corrections: expected []"), "{error}");
    let text = Bench::config(&[]).unwrap().to_toml().unwrap();
    assert!(
        !text.contains("corrections"),
        "left out where there are none"
    );
}
