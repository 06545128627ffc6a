//! A tensor is what its file says it is: heads of other weights are taken by the names of their labels, or not at all.

use crate::common::tiny;
use candle_core::{Device, Tensor};
use hydranet::Tensors;
use hydranet::train::Variables;
use hydranet::train::{Config, load_weights};
use hydranet::{
    Average, Description, Ensemble, HeadSpec, JointSpec, LossKind, Mode, ModelFile, ModelSpec,
    MultiTaskModel, Predictor, Views,
};
use std::path::Path;

/// A model of these heads with random weights.
fn model(heads: Vec<HeadSpec>, joint: bool) -> ModelFile {
    let of = tiny::model().description.model;
    let mut spec = ModelSpec::new(of.backbone, heads, of.input);
    spec.joint = joint.then(JointSpec::default);
    let variables = Variables::new(Tensors::new(), 1, |_| false, |_| true);
    MultiTaskModel::new(&spec, 0.0, &variables.builder()).unwrap();
    ModelFile {
        description: Description::new(spec, serde_json::Value::Null).unwrap(),
        tensors: variables.snapshot().unwrap(),
    }
}

/// What a run of these heads begins with, whose weights are the file; and its specification.
fn start(
    dir: &Path,
    weights: &ModelFile,
    heads: &[HeadSpec],
    joint: bool,
) -> hydranet::Result<ModelFile> {
    let file = dir.join("own.safetensors");
    weights.write(&file).unwrap();
    let folder = dir.join("heads");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let names: Vec<&str> = heads.iter().map(|h| h.name.as_str()).collect();
    let mut text =
        format!("backbone = \"tf_efficientnet_lite0\"\nweights = {file:?}\nheads = {names:?}\n");
    if joint {
        text += "joint = {}\n";
    }
    text += "[input]\nsize = [32, 32]\n";
    std::fs::write(folder.join("model.toml"), text).unwrap();
    for head in heads {
        let text = toml::to_string(head).unwrap();
        std::fs::write(folder.join(format!("{}.toml", head.name)), text).unwrap();
    }
    let config = Config::load(&folder, None, &[])?;
    let tensors = load_weights(&config, &folder)?;
    Ok(ModelFile {
        description: Description::new(config.model_spec()?, serde_json::Value::Null)?,
        tensors,
    })
}

/// Logits of two photos, of each head and then of the joint head.
fn logits(file: &ModelFile) -> Vec<Vec<Vec<f32>>> {
    let features: Vec<f32> = (0..2 * 1280).map(|i| (i as f32 * 0.37).sin()).collect();
    let features = Tensor::from_vec(features, (2, 1280), &Device::Cpu).unwrap();
    let all = file.build().unwrap().logits(&features, Mode::Eval).unwrap();
    all.iter().map(|l| l.to_vec2().unwrap()).collect()
}

fn head(name: &str, labels: &[&str]) -> HeadSpec {
    HeadSpec::new(name, labels.to_vec())
}

#[test]
fn labels_in_another_order_are_the_same_labels() {
    let dir = tempfile::tempdir().unwrap();
    let own = model(
        vec![head("mask", &["worn", "incorrect", "not_worn"])],
        false,
    );
    let hidden = head("mask", &["worn", "incorrect", "not_worn"]).with_hidden(8);
    for own in [own, model(vec![hidden.clone()], false)] {
        let labels = ["not_worn", "worn", "incorrect"].map(String::from).to_vec();
        let own_head = own.description.model.heads[0].clone();
        let mut other = own_head.with_loss(LossKind::focal(2.0));
        other.labels.names = labels;
        let begun = start(dir.path(), &own, &[other], false).unwrap();
        for (was, is) in logits(&own)[0].iter().zip(&logits(&begun)[0]) {
            assert_eq!(*is, [was[2], was[0], was[1]]);
        }
    }
}

#[test]
fn heads_and_labels_in_another_order_bring_the_joint_heads_classes_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mask, gender) = (
        head("mask", &["worn", "incorrect", "not_worn"]),
        head("gender", &["male", "female"]),
    );
    let own = model(vec![mask, gender], true);
    let turned = [
        head("gender", &["female", "male"]),
        head("mask", &["not_worn", "worn", "incorrect"]),
    ];
    let begun = start(dir.path(), &own, &turned, true).unwrap();
    let (before, after) = (logits(&own), logits(&begun));
    let turn = |name: &str| {
        let (first, second) = name.split_once(" / ").unwrap();
        format!("{second} / {first}")
    };
    for (i, class) in own.description.classes.iter().enumerate() {
        let new = &begun.description.classes;
        let place = new.iter().position(|c| turn(c) == *class).unwrap();
        for photo in 0..2 {
            assert_eq!(before[2][photo][i], after[2][photo][place], "{class}");
        }
    }
    // The same number of classes, but others.
    let mut other = turned.clone();
    other[1].labels.when = [("gender".to_string(), vec!["male".to_string()])].into();
    let message = start(dir.path(), &own, &other, true)
        .unwrap_err()
        .to_string();
    assert!(message.contains("joint head"), "{message}");
    // A file's joint head that the run has no use for is in nobody's way.
    start(dir.path(), &own, &other, false).unwrap();
}

#[test]
fn a_head_that_means_something_else_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let age = |thresholds: &[f64], labels: &[&str], loss: LossKind| {
        let mut age = head("age", labels)
            .with_thresholds(thresholds)
            .with_loss(loss);
        age.labels.ordered = true;
        age
    };
    let three = ["young", "middle", "old"];
    let plain = || LossKind::CrossEntropy;
    let both = ["young", "old"];
    let cases = [
        (
            age(&[], &three, plain()),
            age(&[], &["young", "grown", "old"], plain()),
            vec!["labels", "`grown`", "`middle`"],
        ),
        (
            age(&[30.0, 60.0], &three, plain()),
            age(&[25.0, 55.0], &three, plain()),
            vec!["thresholds", "25", "60"],
        ),
        (
            age(&[30.0, 60.0], &three, plain()),
            age(&[30.0, 60.0], &["old", "middle", "young"], plain()),
            vec!["thresholds"],
        ),
        (
            age(&[], &three, LossKind::Coral),
            age(&[], &["old", "middle", "young"], LossKind::Coral),
            vec!["order", "`old`, `middle`, `young`"],
        ),
        (
            age(&[], &three, LossKind::Corn),
            age(&[], &["old", "young", "middle"], LossKind::Corn),
            vec!["order"],
        ),
        // The tensors of both have the same shapes.
        (
            age(&[], &both, LossKind::Coral),
            age(&[], &both, LossKind::Corn),
            vec!["outputs", "coral", "corn"],
        ),
        (
            age(&[], &three, plain()),
            age(&[], &["0", "1", "2", "3"], LossKind::Corn),
            vec!["outputs"],
        ),
    ];
    for (own, wanted, words) in cases {
        let message = start(dir.path(), &model(vec![own], false), &[wanted], false);
        let message = format!("{:#}", message.unwrap_err());
        for word in words.into_iter().chain(["`age`", "own.safetensors"]) {
            assert!(message.contains(word), "no {word} in {message}");
        }
    }
    // The same thresholds, or a head of another name, are taken or drawn as ever.
    let own = model(vec![age(&[30.0, 60.0], &three, plain())], false);
    let begun = start(
        dir.path(),
        &own,
        &[age(&[30.0, 60.0], &three, plain())],
        false,
    );
    assert_eq!(logits(&begun.unwrap()), logits(&own));
    let fresh = start(dir.path(), &own, &[head("mask", &["a", "b"])], false).unwrap();
    assert!(fresh.tensors.keys().all(|n| n.starts_with("backbone.")));
}

#[test]
fn models_whose_numbers_have_other_thresholds_are_no_ensemble() {
    let member = |thresholds: [f64; 2]| {
        let mut file = tiny::build(2);
        file.description.model.heads[2].labels.thresholds = thresholds.to_vec();
        Predictor::new(&file).unwrap()
    };
    let of = |other| {
        Ensemble::new(
            vec![member([30.0, 60.0]), member(other)],
            Average::Vote,
            Views::default(),
        )
    };
    of([30.0, 60.0]).unwrap();
    let message = of([25.0, 55.0]).err().unwrap().to_string();
    assert!(
        message.contains("`age`") && message.contains("25") && message.contains("60"),
        "{message}"
    );
}
