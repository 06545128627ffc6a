//! Stages and parts of the image that a head has for itself, in training and in files.

use crate::common::runs::{Bench, HEADS};
use hydranet::heads::{HeadsFile, NewTensors, add, graft, heads_only, remove, rename, reset};
use hydranet::train::dry_run::dry_run;
use hydranet::train::{Config, load_weights, train_head};
use hydranet::{ModelFile, Photo, Prediction, Predictor, onnx};
use std::path::Path;

const FROZEN: [&str; 3] = [
    "heads.age.own_stages=2",
    "train.fine_tune=frozen",
    "train.epochs=2",
];

fn values(file: &ModelFile, name: &str) -> Vec<f32> {
    file.tensors[name].flatten_all().unwrap().to_vec1().unwrap()
}

fn predict(file: &ModelFile, photo: &Photo) -> Prediction {
    Predictor::new(file).unwrap().predict_photo(photo).unwrap()
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

/// Names of tensors of the network that moved from the pretrained ones.
fn moved(file: &ModelFile, config: &Config, prefix: &str) -> usize {
    let before = load_weights(config, Path::new(HEADS)).unwrap();
    let of_network = file
        .tensors
        .keys()
        .filter_map(|name| Some((name, name.strip_prefix(prefix)?)));
    let other = |(name, of): &(&String, &str)| {
        let was = &before[&format!("backbone.{of}")];
        was.flatten_all().unwrap().to_vec1::<f32>().unwrap() != values(file, name)
    };
    of_network.filter(other).count()
}

#[test]
fn stages_of_a_heads_own_are_trained_over_a_frozen_backbone_and_go_where_the_head_goes() {
    let bench = Bench::new();
    let config = Bench::config(&FROZEN).unwrap();
    assert!(!config.train.keeps_features());
    bench.train(&config, "own", false, None).unwrap();
    let file = ModelFile::read(bench.out("own").join("last.safetensors")).unwrap();
    assert_eq!(moved(&file, &config, "backbone."), 0);
    assert!(moved(&file, &config, "heads.age.stages.") > 10);
    bench.train(&config, "parts", false, Some(3)).unwrap();
    bench.train(&config, "parts", true, None).unwrap();
    let last = "last.safetensors";
    assert!(bench.bytes("own", last) == bench.bytes("parts", last));

    let photo = photo(&bench);
    let found = predict(&file, &photo);
    let read = ModelFile::from_bytes(&file.to_bytes().unwrap(), "own").unwrap();
    assert_eq!(predict(&read, &photo), found);
    let apart = heads_only(&file).unwrap().to_bytes().unwrap();
    let apart = HeadsFile::from_bytes(&apart, "heads").unwrap();
    assert_eq!(
        predict(&apart.attach(&file.tensors).unwrap(), &photo),
        found
    );
    let renamed = rename(&file, "age", "years").unwrap();
    assert_eq!(
        predict(&renamed, &photo).heads[2].probs,
        found.heads[2].probs
    );
    let both = graft(&file, &renamed, "years", &Default::default()).unwrap();
    assert_eq!(predict(&both, &photo).heads[3].probs, found.heads[2].probs);
    let without = remove(&file, "age").unwrap();
    assert!(!without.tensors.keys().any(|name| name.contains("stages.")));
    // Fresh ones are the backbone's.
    let head = file.description.model.heads[2].clone();
    let fresh = add(&without, head, None, NewTensors::Fresh { seed: 1 }).unwrap();
    assert_eq!(moved(&fresh, &config, "heads.age.stages."), 0);
    let again = reset(&file, "age", 1).unwrap();
    assert_eq!(moved(&again, &config, "heads.age.stages."), 0);
    onnx::to_bytes(&file).unwrap();
    // For a look by ONNX Runtime.
    if let Ok(folder) = std::env::var("HYDRANET_OWN_STAGES") {
        file.write(Path::new(&folder).join("own_stages.safetensors"))
            .unwrap();
        std::fs::write(
            Path::new(&folder).join("own_stages.onnx"),
            onnx::to_bytes(&file).unwrap(),
        )
        .unwrap();
    }
    let alone = Config::for_head(&file, file.description.model.heads[2].clone());
    let error = train_head(&alone, &file, &bench.dataset(&config), bench.out("alone"));
    assert!(error.unwrap_err().to_string().contains("own_stages"));
}

#[test]
fn stages_of_a_heads_own_may_be_frozen_and_are_priced() {
    let config = Bench::config(&[
        "heads.age.own_stages=2",
        "train.fine_tune={last_stages=1}",
        "train.freeze=['heads.age.stages.conv_head*']",
    ]);
    let config = config.unwrap();
    let weights = load_weights(&config, Path::new(HEADS)).unwrap();
    let plan = dry_run(&config, weights.clone()).unwrap();
    let part = |name: &str| plan.parts.iter().find(|p| p.name == name).unwrap();
    let own = part("heads.age.stages");
    assert!(own.trained > 0 && own.trained < own.parameters);
    assert!(own.multiply_adds.unwrap() > 0);
    assert_eq!(own.lr, config.train.lr_backbone);
    assert_eq!(part("heads.age").lr, config.train.lr_heads);
    let plain = dry_run(&Bench::config(&[]).unwrap(), weights.clone()).unwrap();
    assert_eq!(plan.multiply_adds, plain.multiply_adds);
    // A part of the image costs the whole network once more.
    let config =
        Bench::config(&["heads.mask.crop=[0,0,0.5,1]", "heads.age.crop=[0,0,0.5,1]"]).unwrap();
    let plan = dry_run(&config, weights.clone()).unwrap();
    let cost = |name: &str| {
        plan.parts
            .iter()
            .find(|p| p.name == name)
            .unwrap()
            .multiply_adds
            .unwrap()
    };
    assert!(cost("heads.mask") > plain.multiply_adds.unwrap());
    assert!(cost("heads.age") < 10_000);
    let misspelt = Bench::config(&[
        "heads.age.own_stages=1",
        "train.freeze=['heads.age.stages.layer*']",
    ])
    .unwrap();
    assert!(
        dry_run(&misspelt, weights)
            .unwrap_err()
            .to_string()
            .contains("train.freeze")
    );
}

#[test]
fn features_are_not_kept_of_stages_that_are_trained_and_are_of_parts_of_the_image() {
    let kept = ["train.mix_up=0", "train.augment.flip=0"];
    let settings = [&FROZEN[..], &kept].concat();
    let error = Bench::config(&settings).unwrap_err().to_string();
    assert!(error.contains("head `age`, own_stages"), "{error}");

    let bench = Bench::new();
    let folder = format!("train.feature_cache={}", bench.out("cache").display());
    let part = [
        "heads.age.crop=[0.5,0,1,1]",
        "heads.age.pool=gem",
        "train.fine_tune=frozen",
    ];
    let memory = [&part[..], &kept].concat();
    let cached = [memory.as_slice(), &[folder.as_str()]].concat();
    bench
        .train(&Bench::config(&memory).unwrap(), "memory", false, None)
        .unwrap();
    bench
        .train(&Bench::config(&cached).unwrap(), "cached", false, None)
        .unwrap();
    bench
        .train(&Bench::config(&cached).unwrap(), "found", false, None)
        .unwrap();
    let last = "last.safetensors";
    assert!(bench.bytes("memory", last) == bench.bytes("cached", last));
    assert!(bench.bytes("memory", last) == bench.bytes("found", last));
    let file = ModelFile::read(bench.out("memory").join(last)).unwrap();
    let photo = photo(&bench);
    let read = ModelFile::from_bytes(&file.to_bytes().unwrap(), "part").unwrap();
    assert_eq!(predict(&read, &photo), predict(&file, &photo));
    onnx::to_bytes(&file).unwrap();
    if let Ok(folder) = std::env::var("HYDRANET_OWN_STAGES") {
        file.write(Path::new(&folder).join("crop.safetensors"))
            .unwrap();
        std::fs::write(
            Path::new(&folder).join("crop.onnx"),
            onnx::to_bytes(&file).unwrap(),
        )
        .unwrap();
    }
    // Trained whole it is seen in every step.
    let config = Bench::config(&["heads.age.crop=[0.5,0,1,1]", "train.epochs=1"]).unwrap();
    bench.train(&config, "whole", false, None).unwrap();
}
