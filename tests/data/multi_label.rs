//! Cells of several labels, and what checks and splits make of them.

use hydranet::data::check::check;
use hydranet::data::corrections::Corrections;
use hydranet::data::dataset::{Dataset, Sample, Split, Value};
use hydranet::data::split::{SplitConfig, assign};
use hydranet::data::split_report::SplitReport;
use hydranet::{Architecture, Error, HeadSpec, InputSpec, ModelSpec, MultiLabelSpec};
use std::path::PathBuf;
use tempfile::TempDir;

fn heads() -> Vec<HeadSpec> {
    let mut tags = HeadSpec::multi_label("tags", ["red", "striped", "long"]);
    tags.labels.unknown = vec!["Not sure".into()];
    tags.labels.multi_label = Some(MultiLabelSpec {
        none: vec!["plain".into()],
        ..MultiLabelSpec::default()
    });
    vec![HeadSpec::new("mask", ["worn", "not_worn"]), tags]
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

fn values(text: &str) -> Vec<Option<Value>> {
    let (_folder, path) = listing(text);
    let dataset = Dataset::open(&[path], &heads()).unwrap();
    let samples = dataset.samples.into_iter();
    samples.map(|mut s| s.values.remove(1)).collect()
}

fn labels(of: &[usize]) -> Option<Value> {
    Some(Value::Labels(of.to_vec()))
}

#[test]
fn a_cell_names_any_number_of_labels_whatever_stands_between_the_columns() {
    let expected = [
        labels(&[0, 1]),
        labels(&[2]),
        labels(&[]),
        labels(&[]),
        None,
        None,
        labels(&[0, 1, 2]),
    ];
    let comma = "path,mask,tags\n\
        a.jpg,worn,striped;red\n\
        b.jpg,worn, long \n\
        c.jpg,worn,-\n\
        d.jpg,worn,plain\n\
        e.jpg,worn,\n\
        f.jpg,worn,Not sure\n\
        g.jpg,worn,red | striped | long\n";
    assert_eq!(values(comma), expected);
    let semicolon = "path;mask;tags\n\
        a.jpg;worn;\"striped;red\"\n\
        b.jpg;worn; long \n\
        c.jpg;worn;-\n\
        d.jpg;worn;plain\n\
        e.jpg;worn;\n\
        f.jpg;worn;Not sure\n\
        g.jpg;worn;red | striped | long\n";
    assert_eq!(values(semicolon), expected);
}

#[test]
fn a_word_that_is_no_label_is_a_fault_with_its_line() {
    let text = "path,mask,tags\n\
        a.jpg,worn,red;stripped\n\
        b.jpg,worn,red;\n\
        c.jpg,worn,red;red\n\
        d.jpg,worn,red;-\n\
        e.jpg,worn,red\n";
    let (_folder, path) = listing(text);
    let (dataset, faults) = Dataset::read(&[path], &heads()).unwrap();
    assert_eq!(dataset.samples.len(), 1);
    let has = |word: &str| {
        format!(
            "column `tags`: head `tags` has no label `{word}`; its labels are red, striped, long"
        )
    };
    let expected = [
        (2, has("stripped")),
        (3, has("")),
        (
            4,
            "column `tags`: each label of head `tags` once is needed, found `red` twice".into(),
        ),
        (5, has("-")),
    ];
    let found: Vec<(u64, String)> = faults
        .into_iter()
        .map(|f| (f.row.unwrap(), f.message))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_column_may_be_of_several_heads_each_of_its_own_labels() {
    let of_column = |mut head: HeadSpec| {
        head.labels.column = Some("tags".into());
        head
    };
    let heads = [
        of_column(HeadSpec::multi_label("colours", ["red", "blue"])),
        of_column(HeadSpec::multi_label("shapes", ["round", "long"])),
        of_column(HeadSpec::new("size", ["small", "large"])),
    ];
    let read = |text: &str| {
        let (_folder, path) = listing(text);
        Dataset::read(&[path], &heads).unwrap()
    };
    let (dataset, faults) = read("path,tags\na.jpg,red;blue\nb.jpg,round\nc.jpg,large\n");
    assert_eq!(faults.len(), 0);
    let found: Vec<Vec<Option<Value>>> = dataset.samples.into_iter().map(|s| s.values).collect();
    let expected = [
        vec![labels(&[0, 1]), None, None],
        vec![None, labels(&[0]), None],
        vec![None, None, Some(Value::Label(1))],
    ];
    assert_eq!(found, expected);
    // A word that is nobody's.
    let (_, faults) = read("path,tags\na.jpg,red;bleu\nb.jpg,red\n");
    assert!(!faults.is_empty());
}

fn crowd() -> Dataset {
    let sample = |i: usize| {
        let tags: Vec<usize> = (0..3).filter(|l| i.is_multiple_of(l + 2)).collect();
        let values = vec![
            Some(Value::Label(i % 2)),
            (!i.is_multiple_of(11)).then_some(Value::Labels(tags)),
        ];
        Sample {
            person: Some(format!("p{i}")),
            ..Sample::new(format!("{i}.jpg"), Vec::new(), values)
        }
    };
    Dataset::new(heads(), (0..240).map(sample).collect()).unwrap()
}

#[test]
fn a_split_keeps_each_label_in_proportion() {
    let mut dataset = crowd();
    assign(&mut dataset, &SplitConfig::default(), 1).unwrap();
    let taxonomy = spec().taxonomy().unwrap();
    let report = SplitReport::new(&dataset, &taxonomy).unwrap();
    let all = report.all.photos;
    for row in report
        .labels
        .iter()
        .filter(|r| r.head == "tags" && r.label.is_some())
    {
        let total: usize = row.counts.photos.iter().sum();
        for (count, side) in row.counts.photos.iter().zip(all) {
            let expected = total as f64 * side as f64 / 240.0;
            assert!((*count as f64 - expected).abs() <= 2.0, "{row:?}");
        }
    }
    let unknown = report
        .labels
        .iter()
        .find(|r| r.head == "tags" && r.label.is_none());
    let unknown: usize = unknown.unwrap().counts.photos.iter().sum();
    assert_eq!(unknown, 22);
    assert_eq!(report.classes.len(), 2);
    assert!(!dataset.indices(Split::Valid).is_empty());
}

#[test]
fn without_final_classes_none_are_counted() {
    let tags = heads().remove(1);
    let photo = Sample::new("a.jpg", Vec::new(), vec![labels(&[0])]);
    let dataset = Dataset::new(vec![tags.clone()], vec![photo]).unwrap();
    let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    let spec = ModelSpec::new(backbone, vec![tags], InputSpec::default());
    let report = SplitReport::new(&dataset, &spec.taxonomy().unwrap()).unwrap();
    assert!(report.classes.is_empty());
    assert!(!report.to_string().contains("class"), "{report}");
}

#[test]
fn the_check_counts_each_label_and_the_photos_that_have_none() {
    let text = "path,mask,tags\na.jpg,worn,red;long\nb.jpg,,-\nc.jpg,worn,\nd.jpg,worn,red\n";
    let (_folder, path) = listing(text);
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
    let tags = &report.heads[1];
    let counts: Vec<usize> = tags.labels.iter().map(|(_, n)| *n).collect();
    assert_eq!((counts, tags.none, tags.missing), (vec![2, 0, 1], 1, 1));
    let text = report.to_string();
    let line = "tags: red 2, striped 0, long 1, none of them 1, not known 1";
    assert!(text.contains(line), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["heads"][0].get("none").is_none());
}

#[test]
fn a_correction_names_all_labels() {
    let (folder, path) = listing("path,mask,tags\na.jpg,worn,red\nb.jpg,worn,red;long\n");
    let file = folder.path().join("corrections.csv");
    let rows = "version,photo,head,action,label,was\n\
        1,a.jpg,tags,relabel,striped;red,red\n\
        1,b.jpg,tags,relabel,-,long;red\n";
    std::fs::write(&file, rows).unwrap();
    let mut dataset = Dataset::open(&[path], &heads()).unwrap();
    let corrections = Corrections::read(std::slice::from_ref(&file)).unwrap();
    let report = corrections.apply(&mut dataset).unwrap();
    assert_eq!(report.relabelled, 2, "{report}");
    assert_eq!(dataset.samples[0].values[1], labels(&[0, 1]));
    assert_eq!(dataset.samples[1].values[1], labels(&[]));
    std::fs::write(
        &file,
        "version,photo,head,action,label,was\n1,a.jpg,tags,relabel,rot,\n",
    )
    .unwrap();
    let wrong = Corrections::read(&[file]).unwrap();
    let error = wrong.apply(&mut dataset).unwrap_err();
    assert!(error.to_string().contains("no label `rot`"), "{error}");
}

#[test]
fn values_of_another_kind_are_refused_with_the_photo() {
    let photo = |value: Value| vec![Sample::new("a", Vec::new(), vec![None, Some(value)])];
    for wrong in [
        Value::Label(0),
        Value::Number(1.0),
        Value::Labels(vec![3]),
        Value::Labels(vec![1, 0]),
        Value::Labels(vec![0, 0]),
    ] {
        let error = Dataset::new(heads(), photo(wrong)).unwrap_err();
        assert!(matches!(error, Error::Data { .. }), "{error}");
        assert!(error.to_string().contains("`tags`"), "{error}");
    }
    assert!(Dataset::new(heads(), photo(Value::Labels(vec![0, 2]))).is_ok());
    // The data is of the same labels, one at a time.
    let one = HeadSpec::new("tags", ["red", "striped", "long"]);
    let dataset = Dataset::new(vec![one], Vec::new()).unwrap();
    let tags = HeadSpec::multi_label("tags", ["red", "striped", "long"]);
    let error = dataset.check(&[tags]).unwrap_err().to_string();
    assert!(error.contains("several at once"), "{error}");
}
