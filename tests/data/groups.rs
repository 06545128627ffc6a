//! Cells that name a group of labels, and what checks and corrections make of them.

use hydranet::data::check::check;
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::{Dataset, Sample, Value};
use hydranet::{Architecture, HeadSpec, InputSpec, ModelSpec};
use std::path::PathBuf;
use tempfile::TempDir;

fn heads() -> Vec<HeadSpec> {
    let groups = [
        ("citrus", vec!["orange", "lemon"]),
        ("pome", vec!["apple"]),
        ("root", vec!["carrot", "turnip"]),
        ("fruit", vec!["citrus", "pome"]),
    ];
    let labels = ["orange", "lemon", "apple", "carrot", "turnip"];
    let fruit = HeadSpec::new("fruit", labels).with_groups(groups);
    let mut peel = HeadSpec::new("peel", ["thick", "thin"]);
    peel.labels.when = [("fruit".to_string(), vec!["citrus".to_string()])].into();
    vec![fruit, peel]
}

fn spec() -> ModelSpec {
    let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    ModelSpec::new(backbone, heads(), InputSpec::default())
}

fn listing(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

const TEXT: &str = "path,fruit,peel\na.jpg,lemon,thin\nb.jpg,citrus,thick\nc.jpg,pome,\nd.jpg,fruit,\n\
    e.jpg,,\nf.jpg, root ,none\n";

#[test]
fn a_cell_names_a_label_or_a_group_and_a_group_of_one_label_is_that_label() {
    let (_folder, path) = listing(TEXT);
    let (dataset, faults) = Dataset::read(&[path], &heads()).unwrap();
    let found: Vec<Option<Value>> = dataset
        .samples
        .iter()
        .map(|s| s.values[0].clone())
        .collect();
    let expected = [
        Some(Value::Label(1)),
        Some(Value::Group(0)),
        Some(Value::Label(2)),
        Some(Value::Group(1)),
        None,
    ];
    assert_eq!(found, expected);
    // A root has no peel to be told, but nobody said that its cell may say anything.
    assert_eq!(faults.len(), 1);
    assert!(faults[0].message.contains("peel"), "{}", faults[0].message);
    let (_folder, path) = listing("path,fruit,peel\na.jpg,citron,thin\n");
    let (_, faults) = Dataset::read(&[path], &heads()).unwrap();
    let text = &faults[0].message;
    assert!(
        text.contains("`citron`") && text.contains("orange") && text.contains("citrus"),
        "{text}"
    );
    let (_folder, path) = listing("path,fruit,peel\na.jpg,carrot,none\n");
    let (_, faults) = Dataset::read(&[path], &heads()).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn the_check_counts_photos_of_which_no_more_than_the_group_is_known() {
    let (_folder, path) = listing(TEXT);
    let none = Default::default();
    let report = check(
        &[path],
        &none,
        &spec(),
        &Corrections::default(),
        true,
        &|_, _| (),
    )
    .unwrap();
    let fruit = &report.heads[0];
    let counts: Vec<usize> = fruit.labels.iter().map(|(_, n)| *n).collect();
    assert_eq!(
        (counts, fruit.none, fruit.missing),
        (vec![0, 1, 1, 0, 0], 0, 1)
    );
    let groups = [("citrus".to_string(), 1), ("fruit".to_string(), 1)];
    assert_eq!(fruit.groups, groups);
    let text = report.to_string();
    let line = "turnip 0, of citrus without a label 1, of fruit without a label 1, not known 1";
    assert!(text.contains(line), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["heads"][1].get("groups").is_none());
}

#[test]
fn a_correction_names_groups_as_listings_do() {
    let (folder, path) = listing("path,fruit,peel\na.jpg,lemon,\nb.jpg,citrus,\nc.jpg,citrus,\n");
    let file = folder.path().join("corrections.csv");
    let rows = "version,photo,head,action,label,was\n\
        1,a.jpg,fruit,relabel,citrus,lemon\n\
        1,b.jpg,fruit,relabel,orange,citrus\n\
        1,c.jpg,fruit,relabel,apple,root\n";
    std::fs::write(&file, rows).unwrap();
    let mut dataset = Dataset::open(&[path], &heads()).unwrap();
    let report = Corrections::read(&[file])
        .unwrap()
        .apply(&mut dataset)
        .unwrap();
    let found: Vec<Option<Value>> = dataset
        .samples
        .iter()
        .map(|s| s.values[0].clone())
        .collect();
    let group = Some(Value::Group(0));
    assert_eq!(found, [group.clone(), Some(Value::Label(0)), group]);
    assert_eq!(report.relabelled, 2);
}

#[test]
fn data_of_other_groups_is_other_data() {
    let photo = || Sample::new("a.jpg", Vec::new(), vec![Some(Value::Group(1)), None]);
    let dataset = Dataset::new(heads(), vec![photo()]).unwrap();
    dataset.check(&heads()).unwrap();
    let mut other = heads();
    let moved = [
        ("root", vec!["carrot", "turnip"]),
        ("tree", vec!["orange", "lemon", "apple"]),
    ];
    other[0] = HeadSpec::new("fruit", other[0].labels.names.clone()).with_groups(moved);
    other[1].labels.when.clear();
    let error = dataset.check(&other).unwrap_err().to_string();
    assert!(error.contains("in groups"), "{error}");
    let again = Dataset::new(other.clone(), vec![photo()]).unwrap();
    assert_ne!(again.fingerprint(), dataset.fingerprint());
    let wrong = Sample::new("a.jpg", Vec::new(), vec![Some(Value::Group(2)), None]);
    let error = Dataset::new(other, vec![wrong]).unwrap_err().to_string();
    assert!(error.contains("from 0 to 1"), "{error}");
}
