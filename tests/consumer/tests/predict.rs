//! The shipped backbone with two heads made here, used from outside the library and without its training part.

use candle_core::{DType, Device, Tensor};
use hydranet::model_file::heads::rename;
use hydranet::model_file::{Tensors, read_tensors};
use hydranet::{Architecture, Description, HeadSpec, InputSpec, ModelFile, ModelSpec, Predictor};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Heads whose weights are 0, so that the biases alone decide: not_worn with 1/2, female with 3/4.
fn model() -> ModelFile {
    with_shares([1.0, 1.0, 2.0], [1.0, 3.0])
}

fn with_shares(mask: [f32; 3], gender: [f32; 2]) -> ModelFile {
    let heads = vec![
        HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]),
        HeadSpec::new("gender", ["male", "female"]),
    ];
    let input = InputSpec {
        size: [32, 32],
        ..InputSpec::default()
    };
    let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
    let spec = ModelSpec::new(backbone, heads, input);
    let bytes = std::fs::read(repository().join("weights/tf_efficientnet_lite0.in1k.safetensors"));
    let (_, backbone) = read_tensors(&bytes.unwrap(), "weights").unwrap();
    let mut tensors: Tensors = backbone
        .into_iter()
        .filter(|(name, _)| !name.starts_with("classifier."))
        .map(|(name, t)| match name.strip_prefix("backbone.") {
            Some(_) => (name, t),
            None => (format!("backbone.{name}"), t),
        })
        .collect();
    for (head, shares) in [("mask", mask.to_vec()), ("gender", gender.to_vec())] {
        let weight = Tensor::zeros((shares.len(), 1280), DType::F32, &Device::Cpu).unwrap();
        let bias: Vec<f32> = shares.iter().map(|s| s.ln()).collect();
        let bias = Tensor::new(bias, &Device::Cpu).unwrap();
        tensors.insert(format!("heads.{head}.fc.weight"), weight);
        tensors.insert(format!("heads.{head}.fc.bias"), bias);
    }
    ModelFile {
        description: Description::new(spec, serde_json::Value::Null).unwrap(),
        tensors,
    }
}

fn run(arguments: &[&Path]) -> Output {
    let program = env!("CARGO_BIN_EXE_consumer");
    Command::new(program).args(arguments).output().unwrap()
}

/// What a program that succeeds says.
fn says(program: &str, arguments: &[&Path]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn five_lines_predict_a_photo() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model().write(&path).unwrap();
    let photo = repository().join("tests/golden/exif_1.jpg");
    let said = says(env!("CARGO_BIN_EXE_predict"), &[&path, &photo]);
    assert_eq!(said, "not_worn / female 0.375\n");
}

#[test]
fn a_head_is_swapped_and_the_other_stays() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs, out] = ["ours", "theirs", "out"].map(|n| folder.path().join(n));
    model().write(&ours).unwrap();
    with_shares([5.0, 1.0, 1.0], [9.0, 1.0])
        .write(&theirs)
        .unwrap();
    let arguments = [ours.as_path(), Path::new("gender"), &theirs, &out];
    says(env!("CARGO_BIN_EXE_swap_head"), &arguments);
    let photo = repository().join("tests/golden/exif_1.jpg");
    let of = |path: &Path| {
        Predictor::from_file(path)
            .unwrap()
            .predict_file(&photo)
            .unwrap()
    };
    let [ours, theirs, out] = [&ours, &theirs, &out].map(|p| of(p));
    assert_eq!(out.heads[0], ours.heads[0]);
    assert_eq!(out.heads[1].probs, theirs.heads[1].probs);
    assert_eq!(out.name, "not_worn / male");
    // A head that is not there is an error in words.
    let other = folder.path().join("other");
    rename(&model(), "gender", "sex")
        .unwrap()
        .write(&other)
        .unwrap();
    let program = env!("CARGO_BIN_EXE_swap_head");
    let arguments = [other.as_path(), Path::new("gender"), &other, &other];
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("gender"),
        "{errors}"
    );
}

#[test]
fn an_ensemble_is_the_mean_of_its_models() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|n| folder.path().join(n));
    model().write(&one).unwrap();
    with_shares([1.0, 1.0, 6.0], [1.0, 3.0])
        .write(&two)
        .unwrap();
    let photo = repository().join("tests/golden/palette.png");
    let said = says(env!("CARGO_BIN_EXE_ensemble"), &[&photo, &one, &two]);
    // The mean of 1/2 · 3/4 and 3/4 · 3/4.
    assert_eq!(said, "not_worn / female 0.469\n");
}

#[test]
fn four_threads_share_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model().write(&path).unwrap();
    let photo = repository().join("tests/golden/exif_6.jpg");
    let said = says(env!("CARGO_BIN_EXE_threads"), &[&path, &photo]);
    assert_eq!(said, "32 predictions, all the same: true\n");
}

#[test]
fn a_model_file_predicts_photos_from_disk_and_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model().write(&path).unwrap();
    let photos = ["tests/golden/exif_1.jpg", "tests/golden/palette.png"];
    let photos = photos.map(|p| repository().join(p));
    let expected = "5 (not_worn / female), probability 0.375: mask not_worn, gender female";
    for first in [None, Some(Path::new("--bytes"))] {
        let arguments: Vec<&Path> = first
            .into_iter()
            .chain([path.as_path()])
            .chain(photos.iter().map(PathBuf::as_path))
            .collect();
        let output = run(&arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), photos.len(), "{said}");
        for line in lines {
            assert!(line.ends_with(expected), "{line}");
        }
    }
}

#[test]
fn what_is_no_model_or_no_photo_is_named() {
    let weights = repository().join("weights/tf_efficientnet_lite0.in1k.safetensors");
    let output = run(&[&weights]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("backbone without heads"), "{errors}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model().write(&path).unwrap();
    let output = run(&[&path, Path::new("no_photo.jpg")]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("no_photo.jpg"), "{errors}");
    assert_eq!(run(&[]).status.code(), Some(2));
}
