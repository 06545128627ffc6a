//! The shipped backbone with two heads made here, used from outside the library and without its training part.

use candle_core::{DType, Device, Tensor};
use hydranet::checkpoint::{Tensors, read_tensors};
use hydranet::{Architecture, Description, HeadSpec, InputSpec, ModelFile, ModelSpec};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Heads whose weights are 0, so that the biases alone decide: not_worn with 1/2, female with 3/4.
fn model() -> ModelFile {
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
    for (head, shares) in [("mask", vec![1f32, 1.0, 2.0]), ("gender", vec![1.0, 3.0])] {
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
