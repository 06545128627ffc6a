//! The shipped backbone with two heads made here, used from outside the library and without its training part.

use candle_core::{DType, Device, Tensor};
use hydranet::heads::rename;
use hydranet::{
    Architecture, Average, Description, Ensemble, HeadSpec, InputSpec, Mode, ModelFile, ModelSpec,
    Photo, Predict, Predictor, Tensors, Views, read_tensors,
};
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

/// With weights that make the backbone count.
fn with_weights() -> ModelFile {
    let mut model = model();
    for (head, labels) in [("mask", 3), ("gender", 2)] {
        let weight = |i: usize| ((i * 31 + i / 1280 * 17) % 13) as f32 / 20.0 - 0.3;
        let weights = Tensor::from_iter((0..labels * 1280).map(weight), &Device::Cpu).unwrap();
        let name = format!("heads.{head}.fc.weight");
        let weights = weights.reshape((labels, 1280)).unwrap();
        model.tensors.insert(name, weights);
    }
    model
}

#[test]
fn a_folder_has_three_classes_a_photo_and_names_what_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model().write(&path).unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::copy(
        repository().join("tests/golden/exif_1.jpg"),
        photos.join("b.jpg"),
    )
    .unwrap();
    std::fs::write(photos.join("a.jpg"), "no photo").unwrap();
    let program = env!("CARGO_BIN_EXE_folder");
    let output = Command::new(program)
        .args([&path, &photos])
        .output()
        .unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    let expected = "  0.375 not_worn / female\n  0.188 worn / female\n  0.188 incorrect / female\n";
    assert_eq!(said.split_once('\n').unwrap().1, expected, "{said}");
    assert!(
        errors.contains("a.jpg") && errors.lines().count() == 1,
        "{errors}"
    );
}

#[test]
fn frames_are_taken_as_they_are_needed_and_a_bad_one_is_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model().write(&path).unwrap();
    let program = env!("CARGO_BIN_EXE_stream");
    let output = Command::new(program)
        .arg(&path)
        .arg("100")
        .output()
        .unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    assert_eq!(said, "99 of 100 frames, at most 32 held\n", "{errors}");
    assert!(
        errors.contains("photo 4") && errors.lines().count() == 1,
        "{errors}"
    );
}

#[test]
fn features_of_photos_are_the_backbones_and_a_bad_one_is_alone() {
    let predictor = Predictor::new(&model()).unwrap();
    // As large as the input, so that nothing is resized.
    let photos: Vec<Photo> = (0..40)
        .map(|i| Photo {
            height: 32,
            width: if i == 35 { 0 } else { 32 },
            rgb: (0..32 * 32 * 3)
                .map(|p| (p * (i + 3) % 251) as u8)
                .collect(),
        })
        .collect();
    let found: Vec<_> = predictor.features_iter(photos.clone()).collect();
    assert_eq!(found.len(), 40);
    for (i, row) in found.into_iter().enumerate() {
        if i == 35 {
            assert!(row.unwrap_err().to_string().starts_with("photo 36: "));
            continue;
        }
        let mut planes = vec![0f32; 3 * 32 * 32];
        let spec = predictor.input();
        spec.normalise_into(&photos[i].rgb, &mut planes).unwrap();
        let image = Tensor::from_vec(planes, (1, 3, 32, 32), &Device::Cpu).unwrap();
        let alone = predictor.model().features(&image, Mode::Eval).unwrap();
        let alone: Vec<f32> = alone.flatten_all().unwrap().to_vec1().unwrap();
        let row = row.unwrap();
        assert_eq!(row.len(), 1280);
        let off = row.iter().zip(&alone).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-4);
    }
    let none: [Photo; 0] = [];
    assert_eq!(predictor.features_iter(none).count(), 0);
}

#[test]
fn a_file_is_read_without_this_library() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    with_weights().write(&path).unwrap();
    let said = says(env!("CARGO_BIN_EXE_read_file"), &[&path]);
    let (name, prob) = said.trim().rsplit_once(' ').unwrap();
    let at = |i: usize| ((7 * (i / 96) + 13 * (i / 3 % 32) + 50 * (i % 3)) % 256) as u8;
    let photo = Photo {
        height: 32,
        width: 32,
        rgb: (0..32 * 32 * 3).map(at).collect(),
    };
    let expected = Predictor::from_file(&path)
        .unwrap()
        .predict_photo(&photo)
        .unwrap();
    assert_eq!(name, expected.name);
    let prob: f64 = prob.parse().unwrap();
    assert!(
        (prob - expected.prob).abs() < 1e-4,
        "{prob} and {}",
        expected.prob
    );
}

#[test]
fn height_and_width_are_not_mixed_up() {
    let predictor = Predictor::new(&model()).unwrap();
    let rgb = vec![0; 20 * 30 * 3 + 1];
    let photo = Photo {
        height: 20,
        width: 30,
        rgb,
    };
    let error = predictor.predict_photo(&photo).unwrap_err();
    assert!(matches!(error, hydranet::Error::Shape { .. }), "{error}");
    // A batch turned on its side, and one of another size.
    for shape in [
        (1, 3, 200, 17),
        (1, 3, 32, 31),
        (1, 1, 32, 32),
        (0, 3, 31, 32),
    ] {
        let images = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let error = predictor.predict_tensor(&images).unwrap_err();
        assert!(matches!(error, hydranet::Error::Shape { .. }), "{error}");
    }
    let none = Tensor::zeros((0, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(predictor.predict_tensor(&none).unwrap(), []);
    assert_eq!(predictor.predict_photos(&[]).unwrap(), []);
    assert_eq!(predictor.predict_iter(Vec::<PathBuf>::new()).count(), 0);
}

#[test]
fn a_model_and_an_ensemble_answer_the_same_calls() {
    let predictor = Predictor::new(&with_weights()).unwrap();
    let ensemble = Ensemble::new(
        vec![predictor.clone()],
        Average::default(),
        Views::default(),
    );
    let ensemble = ensemble.unwrap();
    let bytes = std::fs::read(repository().join("tests/golden/exif_1.jpg")).unwrap();
    let both: [&dyn Predict; 2] = [&predictor, &ensemble];
    let photo = [bytes.clone().into()];
    let [one, other] = both.map(|model| model.predict_all(&photo).unwrap().remove(0).unwrap());
    assert_eq!(predictor.predict_bytes(&bytes).unwrap(), one);
    assert_eq!(one, other);
    assert_eq!(one.top_k(1), [(one.class, one.class_probs[one.class])]);
    assert!((one.class_probs.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    for head in &one.heads {
        let greatest = head.probs.iter().copied().fold(0.0, f64::max);
        assert_eq!(head.probs[head.best], greatest);
    }
}

#[test]
fn an_error_is_said_once_with_what_is_behind_it() {
    let error = Predictor::from_file("nowhere.safetensors").unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(!error.to_string().contains(&source), "{error}");
    assert_eq!(format!("{error:#}"), format!("{error}: {source}"));
    let error = ModelFile::from_bytes(&[0; 16], "zeros").unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(format!("{error:#}").matches(&source).count(), 1);
}
