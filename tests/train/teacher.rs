//! Training on what another model says.

use crate::common::runs::{Bench, HEADS};
use hydranet::data::Value;
use hydranet::data::dataset::{Dataset, Split};
use hydranet::data::soft_labels::SoftLabels;
use hydranet::train::loss::tasks::Tasks;
use hydranet::train::{Config, TeacherConfig, TrainConfig, Trainer, load_weights};
use hydranet::{Architecture, Description, Error, HeadSpec, JointSpec, ModelFile, ModelSpec};
use std::path::{Path, PathBuf};

fn teacher(model: PathBuf) -> TeacherConfig {
    TeacherConfig {
        model,
        weight: 0.75,
        temperature: 1.0,
        threshold: 0.0,
    }
}

fn tensors(bench: &Bench, run: &str) -> Vec<(String, Vec<f32>)> {
    let file = ModelFile::read(bench.out(run).join("last.safetensors")).unwrap();
    let values = file.tensors.into_iter();
    values
        .map(|(name, t)| (name, t.flatten_all().unwrap().to_vec1().unwrap()))
        .collect()
}

#[test]
fn what_a_teacher_says_is_mixed_into_targets_and_is_all_of_those_that_are_missing() {
    let backbone = Architecture::from_name("resnet18").unwrap();
    let mut glasses = HeadSpec::new("glasses", ["near", "far"]);
    glasses.labels.when = [("age".to_string(), vec!["old".to_string()])].into();
    let heads = vec![HeadSpec::new("age", ["young", "old"]), glasses];
    let mut spec = ModelSpec::new(backbone, heads, backbone.input());
    spec.joint = Some(JointSpec::default());
    let tasks = Tasks::new(&spec).unwrap();
    let given = [Some(Value::Label(0)), None];
    let none = [None, None];
    let said = vec![Some(vec![0.5, 0.5]), Some(vec![0.25, 0.75])];
    let part = vec![Some(vec![0.5, 0.5]), None];
    let photos = [
        (given.as_slice(), Some((&said, 0.5))),
        (none.as_slice(), Some((&said, 0.5))),
        (none.as_slice(), Some((&part, 0.5))),
        (given.as_slice(), None),
    ];
    let targets = tasks.targets(photos.into_iter());
    assert_eq!(targets[0].rows, [0.75, 0.25, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0]);
    assert_eq!(targets[0].weights, [1.0; 4]);
    // As much as the other head says that it applies.
    assert_eq!(targets[1].rows[..4], [0.25, 0.75, 0.25, 0.75]);
    assert_eq!(targets[1].weights, [0.25, 0.5, 0.0, 0.0]);
    // young, old and near, old and far.
    assert_eq!(targets[2].rows[..3], [0.75, 0.0625, 0.1875]);
    assert_eq!(targets[2].weights, [1.0, 1.0, 0.0, 1.0]);
}

#[test]
fn a_model_and_the_table_of_what_it_said_teach_the_same_and_a_stopped_run_goes_on_with_it() {
    let bench = Bench::new();
    let plain = Bench::config(&[]).unwrap();
    bench.train(&plain, "first", false, None).unwrap();
    let taught = |model: PathBuf| Config {
        train: TrainConfig {
            teacher: Some(teacher(model)),
            ..plain.train.clone()
        },
        ..plain.clone()
    };
    let by_model = taught(bench.out("first").join("last.safetensors"));
    bench.train(&by_model, "model", false, None).unwrap();
    let table = bench.out("model").join("teacher.csv");
    let kept = std::fs::read(&table).unwrap();
    let copy = bench.out("said.csv");
    std::fs::copy(&table, &copy).unwrap();
    bench.train(&taught(copy), "table", false, None).unwrap();
    assert!(tensors(&bench, "model") == tensors(&bench, "table"));
    assert!(tensors(&bench, "model") != tensors(&bench, "first"));
    bench.train(&by_model, "halves", false, Some(3)).unwrap();
    bench.train(&by_model, "halves", true, None).unwrap();
    assert!(bench.bytes("model", "last.safetensors") == bench.bytes("halves", "last.safetensors"));
    assert!(kept == std::fs::read(bench.out("halves").join("teacher.csv")).unwrap());
}

#[test]
fn photos_without_labels_are_learnt_from_where_the_teacher_is_sure_and_count_for_nothing_else() {
    let bench = Bench::new();
    let plain = Bench::config(&["train.fine_tune=frozen"]).unwrap();
    bench.train(&plain, "first", false, None).unwrap();
    let folder = bench.out("others");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    let mut dataset = bench.dataset(&plain);
    let known = dataset.samples.len();
    for (i, sample) in dataset.samples.iter().take(3).enumerate() {
        let photo = image::open(sample.path()).unwrap().fliph();
        photo.save(folder.join(format!("deep/{i}.png"))).unwrap();
    }
    assert_eq!(
        dataset
            .add_unlabelled(std::slice::from_ref(&folder))
            .unwrap(),
        3
    );
    let added: Vec<&str> = dataset.samples[known..]
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(added, ["deep/0.png", "deep/1.png", "deep/2.png"]);
    assert!(
        dataset.samples[known..]
            .iter()
            .all(|s| s.split == Some(Split::Train))
    );
    // Once more they are known already.
    assert!(matches!(
        dataset.add_unlabelled(&[folder]),
        Err(Error::Data { .. })
    ));
    let mut taught = plain.clone();
    let mut by = teacher(bench.out("first").join("last.safetensors"));
    by.threshold = 1.0;
    taught.train.teacher = Some(by);
    let run = |name: &str, config: &Config, data: &Dataset| {
        Trainer::new(
            config,
            load_weights(config, Path::new(HEADS)).unwrap(),
            data,
        )
        .out(bench.out(name))
        .run()
        .map(|_| ())
    };
    run("unsure", &taught, &dataset).unwrap();
    let said = SoftLabels::read(&bench.out("unsure").join("teacher.csv"), &dataset.heads).unwrap();
    assert!(said.of("deep/1.png", &dataset.samples[known + 1]).is_some());
    taught.train.teacher.as_mut().unwrap().threshold = 0.0;
    run("sure", &taught, &dataset).unwrap();
    assert!(tensors(&bench, "sure") != tensors(&bench, "unsure"));
}

#[test]
fn a_teacher_of_other_heads_or_labels_and_tables_of_other_photos_are_refused() {
    let bench = Bench::new();
    let plain = Bench::config(&["train.fine_tune=frozen"]).unwrap();
    bench.train(&plain, "first", false, None).unwrap();
    let model = bench.out("first").join("last.safetensors");
    let refused = |config: &Config| {
        let error = bench.train(config, "refused", false, None).unwrap_err();
        let _ = std::fs::remove_dir_all(bench.out("refused"));
        error.to_string()
    };
    let mut file = ModelFile::read(&model).unwrap();
    let mut spec = file.description.model.clone();
    spec.heads[0].labels.names = ["on", "askew", "off"].map(String::from).to_vec();
    file.description = Description::new(spec, serde_json::json!({})).unwrap();
    let renamed = bench.out("renamed.safetensors");
    file.write(&renamed).unwrap();
    let mut other = plain.clone();
    other.train.teacher = Some(teacher(renamed));
    let message = refused(&other);
    assert!(
        message.contains("mask") && message.contains("on, askew, off"),
        "{message}"
    );
    let mut foreign = plain.clone();
    let table = bench.out("foreign.csv");
    std::fs::write(
        &table,
        "path,gender_male,gender_female\nnobody.png,0.5,0.5\n",
    )
    .unwrap();
    foreign.train.teacher = Some(teacher(table));
    let message = refused(&foreign);
    assert!(
        message.contains("train.teacher") && message.contains("foreign.csv"),
        "{message}"
    );
    for (change, what) in [
        (
            (|t| t.weight = 0.0) as fn(&mut TeacherConfig),
            "train.teacher.weight",
        ),
        (|t| t.weight = f64::NAN, "train.teacher.weight"),
        (|t| t.temperature = 0.0, "train.teacher.temperature"),
        (|t| t.threshold = 1.5, "train.teacher.threshold"),
        (
            |t| {
                t.model = "labels.csv".into();
                t.temperature = 2.0;
            },
            "train.teacher.temperature",
        ),
    ] {
        let mut config = plain.clone();
        let mut by = teacher(Path::new("teacher.safetensors").into());
        change(&mut by);
        config.train.teacher = Some(by);
        match config.validate() {
            Err(Error::Invalid { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_teacher_of_labels_in_groups_teaches_within_the_group_that_is_known() {
    let backbone = Architecture::from_name("resnet18").unwrap();
    let mut fruit = HeadSpec::new("fruit", ["orange", "lemon", "apple", "pear"]);
    let of = |names: [&str; 2]| names.map(String::from).to_vec();
    let groups = [
        ("citrus", of(["orange", "lemon"])),
        ("pome", of(["apple", "pear"])),
    ];
    fruit.labels.groups = groups
        .map(|(name, labels)| (name.to_string(), labels))
        .into();
    let spec = ModelSpec::new(backbone, vec![fruit], backbone.input());
    spec.validate().unwrap();
    let tasks = Tasks::new(&spec).unwrap();
    let said = vec![Some(vec![0.5, 0.25, 0.125, 0.125])];
    let values = [
        [Some(Value::Label(2))],
        [Some(Value::Group(0))],
        [None],
        [Some(Value::Label(0))],
    ];
    let photos = values.iter().map(|v| (v.as_slice(), Some((&said, 0.5))));
    let targets = tasks.targets(photos);
    let width = targets[0].num_labels;
    assert_eq!(targets[0].rows.len(), 4 * width);
    assert_eq!(targets[0].rows[..4], [0.25, 0.125, 0.5625, 0.0625]);
    // Behind the labels stand the groups.
    assert_eq!(targets[0].rows[width + 4], 0.5);
    let said = [0.5, 0.25, 0.125, 0.125];
    assert_eq!(targets[0].rows[2 * width..2 * width + 4], said);
    assert_eq!(targets[0].weights, [1.0; 4]);
}
