//! Listings and folders as people have them: foreign columns, separators, words for what is not known, folders as labels.

use hydranet::data::columns::{ColumnNames, Naming, check_names};
use hydranet::data::dataset::{Dataset, Fault, Split, Value};
use hydranet::{Error, HeadSpec};
use std::path::PathBuf;
use tempfile::TempDir;

fn heads() -> Vec<HeadSpec> {
    let mut garment = HeadSpec::new("garment", ["shirt", "hat"]);
    garment.labels.column = Some("label".into());
    garment.labels.unknown = vec!["Not sure".into(), "Skip".into()];
    vec![garment, HeadSpec::new("kids", ["False", "True"])]
}

fn listing(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn names(pairs: &[(&str, &str)]) -> ColumnNames {
    let pairs = pairs
        .iter()
        .map(|(word, name)| (word.to_string(), name.to_string()));
    pairs.collect()
}

fn open(text: &str, columns: &[(&str, &str)]) -> hydranet::Result<Dataset> {
    let (_folder, path) = listing(text);
    Dataset::open_as(&[path], &heads(), &names(columns))
}

const FOREIGN: &[(&str, &str)] = &[
    ("path", "images/{image}.jpg"),
    ("person", "sender_id"),
    ("split", "fold"),
    ("kids", "for children"),
];

#[test]
fn columns_may_be_called_otherwise_and_paths_put_together() {
    let text = "image,sender_id,label,for children,fold\n1,ann,shirt,True,val\n2,bob,hat,,Test\n";
    let dataset = open(text, FOREIGN).unwrap();
    let [first, second] = &dataset.samples[..] else {
        panic!("two samples")
    };
    assert_eq!(first.name, "images/1.jpg");
    assert!(first.path().ends_with("images/1.jpg"));
    assert_eq!(first.person.as_deref(), Some("ann"));
    assert_eq!(first.split, Some(Split::Valid));
    assert_eq!(first.values, [Some(Value::Label(0)), Some(Value::Label(1))]);
    assert_eq!(
        (second.split, &second.values[1]),
        (Some(Split::Test), &None)
    );
}

#[test]
fn a_named_column_that_is_not_there_is_an_error_unless_it_is_only_remembered() {
    let usual = "path,person,label\n1.jpg,ann,shirt\n";
    // Beside others a listing with the usual names serves too; alone, a name that it lacks is none that was meant.
    let columns = names(&[("path", "image"), ("person", "sender_id")]);
    let (_folder, first) = listing(usual);
    let (_other, second) = listing("image,sender_id,label\n2.jpg,bob,hat\n");
    let dataset = Dataset::open_as(&[first.clone(), second], &heads(), &columns).unwrap();
    let persons = dataset.samples.iter().map(|s| s.person.as_deref());
    assert_eq!(persons.collect::<Vec<_>>(), [Some("ann"), Some("bob")]);
    let refused = Dataset::open_as(std::slice::from_ref(&first), &heads(), &columns);
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("`image`") && message.contains("`path`"),
        "{message}"
    );
    let refused = open(usual, &[("person", "sender_id")]).unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("`sender_id`") && message.contains("`person`"),
        "{message}"
    );
    let bare = "image,label\n1.jpg,shirt\n";
    let refused = open(bare, &[("path", "image"), ("person", "sender_id")]).unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("`sender_id`") && message.contains("`person`"),
        "{message}"
    );
    let (_folder, path) = listing(bare);
    let remembered = Naming::remembered(&columns);
    let dataset = Dataset::open_named(&[path], &heads(), remembered).unwrap();
    assert_eq!(dataset.samples[0].person, None);
    let message = open(bare, &[("path", "images/{img}")])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("`img`") && message.contains("`image`"),
        "{message}"
    );
}

#[test]
fn names_of_columns_are_checked_when_they_are_given() {
    let check = |pairs: &[(&str, &str)]| check_names(&names(pairs), &heads());
    assert!(check(FOREIGN).is_ok());
    for (wrong, word) in [
        (&[("person", "a"), ("group", "b")][..], "group"),
        (&[("path", "images/{image")], "path"),
        (&[("split", " ")], "split"),
    ] {
        match check(wrong) {
            Err(Error::Invalid { what, .. }) => assert!(what.ends_with(word), "{what}"),
            other => panic!("{wrong:?}: {other:?}"),
        }
    }
    let unknown = check(&[("garmnt", "label")]).unwrap_err().to_string();
    assert!(
        unknown.contains("`garmnt`") && unknown.contains("garment"),
        "{unknown}"
    );
}

#[test]
fn semicolons_and_tabs_separate_cells_and_group_stands_for_person() {
    for separator in [",", ";", "\t"] {
        let text = "path|label|group\na,b.jpg|hat|ann\nc.jpg|shirt|\n".replace("a,b", "\"a,b\"");
        let dataset = open(&text.replace('|', separator), &[]).unwrap();
        let first = &dataset.samples[0];
        assert_eq!(first.name, "a,b.jpg", "{separator:?}");
        assert_eq!(first.person.as_deref(), Some("ann"));
        assert_eq!(dataset.samples[1].person, None);
    }
    // A head may be called so, and `person` comes first.
    let (_folder, path) = listing("path,group,label\n1.jpg,a,hat\n");
    let mut own = heads();
    own.push(HeadSpec::new("group", ["a", "b"]));
    let dataset = Dataset::open(&[path], &own).unwrap();
    assert_eq!(dataset.samples[0].person, None);
    assert_eq!(dataset.samples[0].values[2], Some(Value::Label(0)));
    let dataset = open("path,group,person,label\n1.jpg,a,ann,hat\n", &[]).unwrap();
    assert_eq!(dataset.samples[0].person.as_deref(), Some("ann"));
}

#[test]
fn words_for_what_is_not_known_are_missing_labels() {
    let text = "path,label\n1.jpg,Not sure\n2.jpg, Skip \n3.jpg,hat\n";
    let dataset = open(text, &[]).unwrap();
    let values: Vec<_> = dataset
        .samples
        .iter()
        .map(|s| s.values[0].clone())
        .collect();
    assert_eq!(values, [None, None, Some(Value::Label(1))]);
    let message = open("path,label\n1.jpg,skip\n", &[])
        .unwrap_err()
        .to_string();
    assert!(message.contains("no label `skip`"), "{message}");
    for word in ["hat", "", " Skip"] {
        let mut head = heads().remove(0);
        head.labels.unknown.push(word.into());
        assert!(
            matches!(head.validate(), Err(Error::Invalid { .. })),
            "{word:?}"
        );
    }
}

#[test]
fn faults_of_one_kind_are_counted_in_the_error() {
    let rows: String = (0..307).map(|i| format!("{i}.jpg,hut\n")).collect();
    let message = open(&format!("path,label\n{rows}"), &[])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("line 2:") && message.contains("307 of this kind"),
        "{message}"
    );
}

/// Empty files in folders.
fn photos(folders: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in folders {
        let folder = root.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..20 {
            std::fs::write(folder.join(format!("{i}.jpg")), "").unwrap();
        }
    }
    root
}

/// A folder, and the labels of its photos.
type Labelled = (String, Vec<Option<Value>>);

fn read(folders: &[&str], heads: &[HeadSpec]) -> (Vec<Labelled>, Vec<Fault>) {
    let root = photos(folders);
    let (dataset, faults) = Dataset::read(&[root.path().into()], heads).unwrap();
    let mut found: Vec<Labelled> = dataset
        .samples
        .iter()
        .map(|s| {
            (
                s.name.rsplit_once('/').unwrap().0.to_string(),
                s.values.clone(),
            )
        })
        .collect();
    found.dedup();
    (found, faults)
}

fn label(i: usize) -> Option<Value> {
    Some(Value::Label(i))
}

#[test]
fn a_folder_a_label_is_read_by_the_heads_labels_whatever_the_head_is_called() {
    let fruit = HeadSpec::new("fruit", ["apple", "pear"]);
    let (found, faults) = read(&["apple", "pear", "paer"], &[fruit]);
    assert_eq!(
        found,
        [
            ("apple".into(), vec![label(0)]),
            ("pear".into(), vec![label(1)])
        ]
    );
    let [fault] = &faults[..] else {
        panic!("one fault a folder: {faults:?}")
    };
    let message = &fault.message;
    assert!(
        message.contains("`paer`") && message.contains("20 photos"),
        "{message}"
    );
}

#[test]
fn several_labels_in_a_name_and_levels_of_folders_are_heads() {
    let plant = HeadSpec::new("plant", ["apple", "corn"]);
    let state = HeadSpec::new("state", ["healthy", "rot", "rust"]);
    let heads = [plant, state];
    let (found, faults) = read(&["apple___rot", "corn___healthy", "corn___rust"], &heads);
    assert_eq!(faults, []);
    assert_eq!(found[0].1, [label(0), label(1)]);
    assert_eq!(found[2].1, [label(1), label(2)]);
    // One folder of them alone is read alike.
    let (found, _) = read(&["apple___rot"], &heads);
    assert_eq!(found, [("apple___rot".into(), vec![label(0), label(1)])]);
    let (found, faults) = read(&["apple/rot", "corn/rust", "corn"], &heads);
    assert_eq!(faults, []);
    assert_eq!(found[1], ("corn".into(), vec![label(1), None]));
    // The same labels on two levels: which is meant has to be said.
    let own = ["left", "right"].map(|name| HeadSpec::new(name, ["no", "yes"]));
    let root = photos(&["no/yes", "yes/no"]);
    let refused = Dataset::read(&[root.path().into()], &own)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("`level1`") && refused.contains("column"),
        "{refused}"
    );
    let columns = names(&[("left", "level1"), ("right", "level2")]);
    let dataset = Dataset::open_as(&[root.path().into()], &own, &columns).unwrap();
    assert_eq!(dataset.samples[0].values, [label(0), label(1)]);
}

#[test]
fn heads_beneath_labels_read_one_level_together() {
    let mut heads = vec![HeadSpec::new("level1", ["fruit", "leaf"])];
    for (name, labels) in [("fruit", ["apple", "pear"]), ("leaf", ["kale", "rocket"])] {
        let mut head = HeadSpec::new(name, labels);
        head.labels.column = Some("level2".into());
        head.labels.when = [("level1".to_string(), vec![name.to_string()])].into();
        heads.push(head);
    }
    let folders = ["fruit/apple", "fruit/pear", "leaf/kale", "leaf/rocket"];
    let (found, faults) = read(&folders, &heads);
    assert_eq!(faults, []);
    assert_eq!(found[1].1, [label(0), label(1), None]);
    assert_eq!(found[2].1, [label(1), None, label(0)]);
}

#[test]
fn sides_are_folders_and_some_are_held_out_for_validation_where_none_is() {
    let kind = [HeadSpec::new("kind", ["cat", "dog"])];
    let sides = |folders: &[&str]| {
        let root = photos(folders);
        let dataset = Dataset::open(&[root.path().into()], &kind).unwrap();
        Split::ALL.map(|side| dataset.indices(side).len())
    };
    let three = [
        "Training/cat",
        "Training/dog",
        "val/cat",
        "val/dog",
        "test/cat",
        "test/dog",
    ];
    assert_eq!(sides(&three), [40, 40, 40]);
    let two = ["train/cat", "train/dog", "test/cat", "test/dog"];
    assert_eq!(sides(&two), [34, 6, 40]);
    // One side alone is none: the photos are divided as any.
    assert_eq!(sides(&["train/cat", "train/dog"]), [0, 0, 0]);
}

#[test]
fn folders_that_are_no_labels_are_named_with_the_labels_there_are() {
    let root = photos(&["birds", "fish"]);
    let refused = Dataset::open(&[root.path().into()], &heads())
        .unwrap_err()
        .to_string();
    for word in ["`birds`", "`fish`", "garment", "shirt", "train.csv"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
}
