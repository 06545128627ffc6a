//! One file, one model; whatever else is given is refused in words.

use crate::common::tiny;
use candle_core::{DType, Device, Tensor};
use hydranet::{Error, ModelFile, Predictor};
use hydranet::{Tensors, read_tensors, to_bytes};
use serde_json::{Value, json};
use std::path::Path;

const ORIGIN: &str = "some/model.safetensors";

fn assert_refused(case: &str, bytes: &[u8], words: &[&str]) {
    match ModelFile::from_bytes(bytes, ORIGIN) {
        Err(e @ Error::Checkpoint { .. }) => {
            let message = format!("{e:#}");
            for word in words.iter().chain(&[ORIGIN]) {
                assert!(message.contains(word), "{case}: no `{word}` in: {message}");
            }
        }
        Err(other) => panic!("{case}: another error: {other:?}"),
        Ok(_) => panic!("{case}: accepted"),
    }
}

/// The tiny model's bytes with its description changed.
fn described(change: impl Fn(&mut Value)) -> Vec<u8> {
    let model = tiny::model();
    let mut value = serde_json::to_value(&model.description).unwrap();
    change(&mut value);
    to_bytes(&model.tensors, Some(value.to_string())).unwrap()
}

fn with_tensors(change: impl Fn(&mut Tensors)) -> Vec<u8> {
    let mut model = tiny::model();
    change(&mut model.tensors);
    model.to_bytes().unwrap()
}

#[test]
fn saving_loading_and_saving_gives_equal_bytes() {
    let bytes = tiny::model().to_bytes().unwrap();
    let again = ModelFile::from_bytes(&bytes, ORIGIN).unwrap();
    assert_eq!(again.description, tiny::model().description);
    assert!(again.to_bytes().unwrap() == bytes);
}

#[test]
fn a_file_and_its_bytes_are_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    tiny::model().write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes == tiny::model().to_bytes().unwrap());
    let of_file = Predictor::from_file(&path).unwrap();
    let of_bytes = Predictor::from_bytes(&bytes).unwrap();
    assert_eq!(of_file.description(), of_bytes.description());
    let images = tiny::images();
    let predictions = of_file.predict_tensor(&images).unwrap();
    assert_eq!(predictions, of_bytes.predict_tensor(&images).unwrap());
    let in_memory = Predictor::new(&tiny::model()).unwrap();
    assert_eq!(predictions, in_memory.predict_tensor(&images).unwrap());
    // Written over the old file, and nothing left beside it.
    tiny::build(2).write(&path).unwrap();
    assert!(std::fs::read(&path).unwrap() == tiny::build(2).to_bytes().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn half_precision_tensors_load_as_f32() {
    for dtype in [DType::F16, DType::BF16, DType::F64] {
        let bytes = with_tensors(|tensors| {
            for t in tensors.values_mut() {
                *t = t.to_dtype(dtype).unwrap();
            }
        });
        let file = ModelFile::from_bytes(&bytes, ORIGIN).unwrap();
        let all_f32 = file.tensors.values().all(|t| t.dtype() == DType::F32);
        assert!(all_f32, "{dtype:?}");
        let predictor = Predictor::new(&file).unwrap();
        let predictions = predictor.predict_tensor(&tiny::images()).unwrap();
        assert!(predictions.iter().all(|p| p.prob.is_finite()), "{dtype:?}");
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let bytes = tiny::model().to_bytes().unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let lengths = [0, 1, 7, 8, 9, 8 + header / 2, 7 + header, 8 + header];
    for length in lengths
        .into_iter()
        .chain([9 + header, bytes.len() / 2, bytes.len() - 1])
    {
        let words = ["not a whole safetensors file", &format!("{length} bytes")];
        assert_refused(&format!("{length} bytes"), &bytes[..length], &words);
    }
    let mut longer = bytes;
    longer.push(0);
    assert_refused("a byte more", &longer, &["not a whole safetensors file"]);
}

#[test]
fn other_files_are_refused() {
    let one = |key: &str| -> Tensors {
        let zeros = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        Tensors::from([(key.to_string(), zeros)])
    };
    let foreign = to_bytes(&one("conv.weight"), None).unwrap();
    assert_refused(
        "foreign",
        &foreign,
        &["not a hydranet model", "conv.weight"],
    );
    let empty = to_bytes(&Tensors::new(), None).unwrap();
    assert_refused("no tensors", &empty, &["not a hydranet model", "none"]);
    let text = b"name = \"mask\"\nlabels = [\"worn\", \"not_worn\"]\n";
    assert_refused("text", text, &["not a whole safetensors file"]);
    assert_refused("a photo", b"\xff\xd8\xff\xe0\0\x10JFIF", &["not a whole"]);
    for (case, description, words) in [
        ("no JSON", "{", ["not JSON", "hydranet"]),
        ("a list", "[]", ["kind", "format"]),
        ("no kind", "{\"format\": 1}", ["kind", "format"]),
        (
            "format as text",
            "{\"kind\": \"model\", \"format\": \"1\"}",
            ["kind", "format"],
        ),
        (
            "nothing else",
            "{\"kind\": \"model\", \"format\": 1}",
            ["missing field", "model"],
        ),
    ] {
        let bytes = to_bytes(&one("x"), Some(description.into())).unwrap();
        assert_refused(case, &bytes, &words);
    }
}

#[test]
fn the_shipped_backbone_is_no_model() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("weights/tf_efficientnet_lite0.in1k.safetensors");
    let message = Predictor::from_file(&path).err().unwrap().to_string();
    for word in ["tf_efficientnet_lite0.in1k", "backbone without heads"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_path_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.safetensors");
    match ModelFile::read(&path) {
        Err(e @ Error::Io { .. }) => {
            assert!(format!("{e:#}").contains(&path.display().to_string()));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        tiny::model().write(folder.path().join("no/folder.safetensors")),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_description_that_does_not_fit_is_refused() {
    type Change = fn(&mut Value);
    let cases: Vec<(&str, Change, &[&str])> = vec![
        (
            "format",
            |v| v["format"] = json!(2),
            &["format 2", "reads format 1"],
        ),
        (
            "key",
            |v| v["colour"] = json!(1),
            &["unknown field", "colour"],
        ),
        (
            "classes",
            |v| v["classes"][1] = json!("worn / male / old"),
            &["classes", "worn / male / middle", "worn / male / old"],
        ),
        (
            "head's key",
            |v| v["model"]["heads"][0]["wieght"] = json!(1),
            &["unknown field", "wieght"],
        ),
        (
            "input's key",
            |v| v["model"]["input"]["sise"] = json!(1),
            &["unknown field", "sise"],
        ),
        (
            "backbone",
            |v| v["model"]["backbone"] = json!("vgg"),
            &["`vgg`", "does not know", "register"],
        ),
        (
            "decision",
            |v| v["decision"] = json!("coin"),
            &["coin", "product"],
        ),
        (
            "decision without its table",
            |v| v["decision"] = json!("prior"),
            &["prior", "needs a table"],
        ),
        (
            "decision's key",
            |v| v["decision"] = json!({"rule": "prior", "logprior": []}),
            &["unknown field", "logprior"],
        ),
        (
            "decision of other classes",
            |v| v["decision"] = json!({"rule": "class_offsets", "offsets": [1.0]}),
            &["offsets", "18 numbers"],
        ),
        (
            "decision by a joint head",
            |v| v["decision"] = json!({"rule": "joint", "joint_share": 1.0}),
            &["joint_share", "joint head"],
        ),
        (
            "no heads",
            |v| v["model"]["heads"] = json!([]),
            &["at least one head"],
        ),
        (
            "head twice",
            |v| v["model"]["heads"][1]["name"] = json!("mask"),
            &["mask", "twice"],
        ),
        (
            "labels",
            |v| v["model"]["heads"][0]["labels"] = json!(["a"]),
            &["mask", "at least two"],
        ),
        (
            "hidden",
            |v| v["model"]["heads"][0]["hidden"] = json!(1u64 << 50),
            &["mask", "hidden", "at most"],
        ),
        (
            "negative",
            |v| v["model"]["heads"][0]["hidden"] = json!(-1),
            &["-1"],
        ),
        (
            "size",
            |v| v["model"]["input"]["size"] = json!([0, 32]),
            &["input.size"],
        ),
    ];
    for (case, change, words) in cases {
        assert_refused(case, &described(change), words);
    }
}

#[test]
fn tensors_that_do_not_fit_are_listed() {
    let key = "heads.gender.fc.weight";
    let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    let missing = with_tensors(|t| drop(t.remove(key)));
    assert_refused("missing", &missing, &["1 missing", key]);
    let more =
        with_tensors(|t| drop(t.insert("heads.hat.fc.bias".into(), zeros(&[2], DType::F32))));
    assert_refused("unexpected", &more, &["1 unexpected", "heads.hat.fc.bias"]);
    let misshapen = with_tensors(|t| drop(t.insert(key.into(), zeros(&[2, 7], DType::F32))));
    assert_refused("misshapen", &misshapen, &[key, "[2, 7]", "[2, 1280]"]);
    let integer = with_tensors(|t| drop(t.insert(key.into(), zeros(&[2, 1280], DType::I64))));
    assert_refused("integer", &integer, &[key, "I64", "floating-point"]);
    let all = with_tensors(|t| {
        t.retain(|k, _| !k.starts_with("backbone."));
        t.insert("x".into(), zeros(&[1], DType::F32));
        t.insert(key.into(), zeros(&[1], DType::F32));
    });
    assert_refused(
        "all at once",
        &all,
        &["missing", "more", "unexpected", "another shape"],
    );
}

#[test]
fn metadata_is_given_back_as_written() {
    let bytes = tiny::model().to_bytes().unwrap();
    let (metadata, tensors) = read_tensors(&bytes, ORIGIN).unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["hydranet"]);
    assert_eq!(tensors.len(), tiny::model().tensors.len());
}

#[test]
fn weights_that_are_no_numbers_and_variances_below_0_are_refused_by_name() {
    for (value, tensor, problem) in [
        (f32::NAN, "heads.mask.fc.bias", "not finite"),
        (f32::INFINITY, "heads.mask.fc.bias", "not finite"),
        (-0.5, "backbone.bn1.running_var", "variances below 0"),
    ] {
        let bytes = with_tensors(|tensors| {
            let found = &tensors[tensor];
            let mut values: Vec<f32> = found.to_vec1().unwrap();
            values[1] = value;
            let changed = Tensor::from_vec(values, found.dims(), &Device::Cpu).unwrap();
            tensors.insert(tensor.into(), changed);
        });
        let named = format!("`{tensor}` has 1 of");
        assert_refused(problem, &bytes, &[&named, problem]);
        // As the weights that a training starts from too.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        let message = format!("{:#}", hydranet::weights::read(&path).unwrap_err());
        assert!(message.contains(&named), "{message}");
    }
}

#[test]
fn statistics_of_novelty_by_which_nothing_can_be_told_are_refused() {
    let with = |variances: [f32; 2], quantiles: [f32; 3]| {
        let mut model = tiny::model();
        model.description.novelty = Some(hydranet::model::novelty::NoveltySpec {
            directions: 1,
            quantiles: 3,
        });
        for (name, values, shape) in [
            ("mean", &[0.0; 1280][..], vec![1280]),
            ("directions", &[0.0; 1280], vec![1, 1280]),
            ("variances", &variances, vec![2]),
            ("quantiles", &quantiles, vec![3]),
        ] {
            let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
            model.tensors.insert(format!("novelty.{name}"), tensor);
        }
        model.to_bytes().unwrap()
    };
    ModelFile::from_bytes(&with([1.0, 1e-30], [0.0, 2.0, 2.0]), ORIGIN).unwrap();
    for (of, bytes) in [
        ("variances", with([1.0, 0.0], [0.0, 1.0, 2.0])),
        ("variances", with([-1.0, 1.0], [0.0, 1.0, 2.0])),
        ("quantiles", with([1.0, 1.0], [0.0, 2.0, 1.0])),
    ] {
        assert_refused(of, &bytes, &[&format!("novelty.{of}")]);
    }
}

/// A model's bytes in a lesser type, with the bytes of one tensor changed.
fn damaged(dtype: hydranet::WeightDType, tensor: &str, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = tiny::model().with_dtype(dtype).unwrap().to_bytes().unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let offsets = &header[tensor]["data_offsets"];
    let at = |i: usize| 8 + length + offsets[i].as_u64().unwrap() as usize;
    change(&mut bytes[at(0)..at(1)]);
    bytes
}

#[test]
fn weights_in_lesser_types_that_are_no_numbers_are_refused_by_name() {
    use hydranet::WeightDType::{Bf16, F16, F32, Int8};
    let whole = tiny::model().with_dtype(Int8).unwrap();
    ModelFile::from_bytes(&whole.to_bytes().unwrap(), ORIGIN).unwrap();
    let mut names = tiny::model().tensors;
    names.retain(|name, t| name.starts_with("backbone.") && t.rank() == 4);
    let name = names.keys().next().unwrap();
    let named = format!("`{name}`");
    // NaN, infinity and minus infinity.
    for (dtype, bits) in [
        (F16, [0x7e00u16, 0x7c00, 0xfc00]),
        (Bf16, [0x7fc0, 0x7f80, 0xff80]),
    ] {
        for bits in bits {
            let bytes = damaged(dtype, name, |b| {
                b[2..4].copy_from_slice(&bits.to_le_bytes())
            });
            assert_refused("half", &bytes, &[&named, "1 of", "not finite"]);
        }
    }
    let scale = format!("{name}.scale");
    for wrong in [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -1.0,
        -f32::MIN_POSITIVE,
    ] {
        let bytes = damaged(Int8, &scale, |b| {
            b[4..8].copy_from_slice(&wrong.to_le_bytes())
        });
        assert_refused(
            "scale",
            &bytes,
            &[&format!("`{scale}`"), &wrong.to_string(), "scale"],
        );
    }
    // Finite, and no product with 127 is.
    let bytes = damaged(Int8, &scale, |b| {
        b[..4].copy_from_slice(&f32::MAX.to_le_bytes())
    });
    assert_refused("large scale", &bytes, &[&named, "not finite"]);
    let bytes = damaged(F32, name, |b| {
        b[..4].copy_from_slice(&f32::NAN.to_le_bytes())
    });
    assert_refused("f32", &bytes, &[&named, "1 of"]);
}

#[test]
fn a_prediction_that_is_not_finite_is_an_error() {
    let predictor = Predictor::new(&tiny::model()).unwrap();
    let images = (tiny::images() * f64::NAN).unwrap();
    let message = format!("{:#}", predictor.predict_tensor(&images).unwrap_err());
    assert!(message.contains("finite"), "{message}");
    let ensemble =
        hydranet::Ensemble::new(vec![predictor], Default::default(), Default::default()).unwrap();
    let message = format!("{:#}", ensemble.predict_tensor(&images).unwrap_err());
    assert!(message.contains("finite"), "{message}");
}
