//! A head whose labels are in groups, from the photos to every kind of file.

use crate::common::runs::Bench;
use hydranet::heads::{HeadsFile, graft, heads_only, rename};
use hydranet::{Average, Ensemble, ModelFile, Photo, Prediction, Predictor, Views, onnx};

const TRADES: [&str; 5] = [
    "heads.who={name='who',labels=['boy','man','girl','woman'],groups={male=['boy','man'],female=['girl','woman']}}",
    "heads.beard={name='beard',labels=['masked','bare'],when={who=['male']}}",
    "model.heads=['mask','who','beard']",
    "train.fine_tune=frozen",
    "train.epochs=2",
];

/// The portraits with a column of who is seen, of some no more than the group, of some nothing.
fn sorted(bench: &mut Bench) {
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let mut lines = text.lines();
    let mut written = format!("{},who,beard\n", lines.next().unwrap());
    for (i, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let is_grown = cells[4].parse::<f64>().unwrap() >= 40.0;
        let who = match (cells[3], is_grown, i % 7) {
            (_, _, 3) => "",
            (group, _, 5) => group,
            ("male", false, _) => "boy",
            ("male", true, _) => "man",
            (_, false, _) => "girl",
            (_, true, _) => "woman",
        };
        let beard = if cells[2] == "worn" { "masked" } else { "bare" };
        written += &format!("{line},{who},{beard}\n");
    }
    bench.data = bench.data.with_file_name("sorted.csv");
    std::fs::write(&bench.data, written).unwrap();
}

fn photo(bench: &Bench) -> Photo {
    let folder = bench.data.parent().unwrap().join("images");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    paths.sort();
    Photo::open(&paths[0]).unwrap()
}

fn predict(file: &ModelFile, photo: &Photo) -> Prediction {
    Predictor::new(file).unwrap().predict_photo(photo).unwrap()
}

#[test]
fn labels_in_groups_are_trained_measured_and_predicted_at_every_level() {
    let mut bench = Bench::new();
    sorted(&mut bench);
    let config = Bench::config(&TRADES).unwrap();
    let outcome = bench.train(&config, "run", false, None).unwrap();
    let records = &outcome.progress.records;
    assert!(records.iter().all(|r| r.valid_loss.unwrap().is_finite()));
    // Stopped and resumed it is the same model.
    bench.train(&config, "parts", false, Some(3)).unwrap();
    bench.train(&config, "parts", true, None).unwrap();
    for name in [
        "last.safetensors",
        "metrics.csv",
        "valid_predictions.csv",
        "scores.json",
    ] {
        let same = bench.bytes("run", name) == bench.bytes("parts", name);
        assert!(same, "{name}");
    }
    let file = ModelFile::read(bench.out("run").join("last.safetensors")).unwrap();
    // An output a label, none a group; three masks, of two labels with a beard each.
    assert_eq!(file.tensors["heads.who.fc.weight"].dims(), [4, 1280]);
    assert_eq!(file.description.classes.len(), 3 * (2 * 2 + 2));

    let scores: serde_json::Value =
        serde_json::from_slice(&bench.bytes("run", "scores.json")).unwrap();
    let who = &scores["heads"][1];
    let level = &who["levels"][0];
    assert_eq!(level["labels"][1]["label"], "female");
    assert!(level["macro_f1"].is_number() && who["tree_distance"].is_number());
    // Photos of which the group alone is known count at its level and not below.
    assert!(level["photos"].as_u64() > who["photos"].as_u64());
    let csv = String::from_utf8(bench.bytes("run", "valid_predictions.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    let wanted = "who,who_truth,who_boy,who_man,who_girl,who_woman,who_level_1,who_level_1_prob,";
    assert!(header.contains(wanted), "{header}");
    let truth = header.split(',').position(|c| c == "who_truth").unwrap();
    let mut truths = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(truth).unwrap());
    assert!(truths.any(|t| t == "male" || t == "female"), "{csv}");

    files(&bench, &file);
    without_learning_from_groups(&bench);
}

fn files(bench: &Bench, file: &ModelFile) {
    let photo = photo(bench);
    let found = predict(file, &photo);
    let who = &found.heads[1];
    let of = |labels: [usize; 2]| labels.map(|l| who.probs[l]).iter().sum::<f64>();
    let (male, female) = (of([0, 1]), of([2, 3]));
    let [level] = who.groups.as_slice() else {
        panic!("{who:?}")
    };
    assert_eq!(level.group, if male >= female { "male" } else { "female" });
    assert!((level.prob - male.max(female)).abs() < 1e-12);
    assert!(found.heads[0].groups.is_empty());

    // Read again, renamed, grafted, taken apart and put together.
    let bytes = file.to_bytes().unwrap();
    let read = ModelFile::from_bytes(&bytes, "who").unwrap();
    assert!(read.to_bytes().unwrap() == bytes);
    let apart = heads_only(file).unwrap().to_bytes().unwrap();
    let apart = HeadsFile::from_bytes(&apart, "heads").unwrap();
    assert_eq!(
        predict(&apart.attach(&file.tensors).unwrap(), &photo),
        found
    );
    let renamed = rename(file, "who", "person_kind").unwrap();
    assert_eq!(predict(&renamed, &photo).heads[1].groups, who.groups);
    let both = graft(file, &renamed, "person_kind", &Default::default()).unwrap();
    assert_eq!(predict(&both, &photo).heads[3].groups, who.groups);

    // The mean of two, which are the same; and none of two that group otherwise.
    let members = |other: &ModelFile| [file, other].map(|f| Predictor::new(f).unwrap()).to_vec();
    let all = Ensemble::new(members(file), Average::default(), Views::default()).unwrap();
    let pooled = all.predict_photo(&photo).unwrap();
    assert_eq!(pooled.heads[1].groups[0].group, level.group);
    let mut other = file.clone();
    let groups = &mut other.description.model.heads[1].labels.groups;
    groups.insert("men".into(), vec!["boy".into(), "man".into()]);
    groups.remove("male");
    other.description.model.heads[2].labels.when =
        [("who".to_string(), vec!["men".to_string()])].into();
    let error = Ensemble::new(members(&other), Average::default(), Views::default());
    let error = error.err().unwrap().to_string();
    assert!(error.contains("groups of model 1"), "{error}");

    let graph = onnx::to_bytes(file).unwrap();
    assert!(graph.windows(10).any(|w| w == b"who_groups"));
    let taken = rename(file, "mask", "who_groups").unwrap();
    assert!(onnx::to_bytes(&taken).is_err());
}

/// Another loss passes photos by of which no more than the group is known.
fn without_learning_from_groups(bench: &Bench) {
    let focal = TRADES[0].replace("groups=", "loss={focal={gamma=2.0}},groups=");
    let settings = [&[focal.as_str()], &TRADES[1..]].concat();
    let config = Bench::config(&settings).unwrap();
    bench.train(&config, "focal", false, None).unwrap();
    let scores: serde_json::Value =
        serde_json::from_slice(&bench.bytes("focal", "scores.json")).unwrap();
    assert!(scores["heads"][1]["levels"][0]["photos"].as_u64().unwrap() > 0);
}

#[test]
fn a_head_of_groups_is_trained_with_class_weights_mixing_and_a_joint_head() {
    let mut bench = Bench::new();
    sorted(&mut bench);
    let who = TRADES[0].replace(
        "groups=",
        "class_weights='balanced',smoothing=0.1,loss={sum=[{kind={hierarchical={alpha=0.3}}},{kind='soft_f1'}]},groups=",
    );
    let settings = [
        who.as_str(),
        "model.heads=['mask','who']",
        "model.joint={}",
        "train.epochs=1",
    ];
    let config = Bench::config(&settings).unwrap();
    let outcome = bench.train(&config, "joint", false, None).unwrap();
    assert!(outcome.progress.records[0].valid_loss.unwrap().is_finite());
}
