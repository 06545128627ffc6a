//! Model files whose backbone is kept in fewer bytes.

use crate::common::tiny;
use candle_core::Tensor;
use hydranet::heads;
use hydranet::heads::NewTensors;
use hydranet::{ModelFile, Predictor, WeightDType};
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn is_kept_in_less(name: &str, t: &Tensor) -> bool {
    name.starts_with("backbone.") && t.rank() >= 2
}

#[test]
fn weights_are_off_by_no_more_than_half_a_step_and_everything_else_is_bit_identical() {
    let model = tiny::model();
    for dtype in WeightDType::ALL {
        let file = model.with_dtype(dtype).unwrap();
        for (name, t) in &model.tensors {
            let (before, after) = (values(t), values(&file.tensors[name]));
            if dtype == WeightDType::F32 || !is_kept_in_less(name, t) {
                let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&before), bits(&after), "{dtype:?} {name}");
                continue;
            }
            let channel = before.len() / t.dims()[0];
            for (before, after) in before.chunks(channel).zip(after.chunks(channel)) {
                let greatest = before.iter().fold(0f32, |m, v| m.max(v.abs()));
                for (b, a) in before.iter().zip(after) {
                    let step = match dtype {
                        // 11 and 8 binary digits; below 2⁻¹⁴ an f16 has a fixed step.
                        WeightDType::F16 => (b.abs() / 1024.0).max(6e-8),
                        WeightDType::Bf16 => b.abs() / 128.0,
                        _ => greatest / 127.0,
                    };
                    assert!((b - a).abs() <= 0.5001 * step, "{dtype:?} {name} {b} {a}");
                }
            }
            assert_ne!(before, after, "{dtype:?} {name}: nothing was rounded");
        }
    }
}

#[test]
fn a_smaller_file_is_read_back_to_the_last_bit_and_written_to_the_same_bytes() {
    let model = tiny::model();
    let full = model.to_bytes().unwrap();
    for (dtype, stored, most) in [
        (WeightDType::F16, Dtype::F16, 0.52),
        (WeightDType::Bf16, Dtype::BF16, 0.52),
        (WeightDType::Int8, Dtype::I8, 0.29),
    ] {
        let file = model.with_dtype(dtype).unwrap();
        let bytes = file.to_bytes().unwrap();
        assert!((bytes.len() as f64) < most * full.len() as f64, "{dtype:?}");
        let in_file = SafeTensors::deserialize(&bytes).unwrap();
        for (name, t) in &model.tensors {
            let expected = if is_kept_in_less(name, t) {
                stored
            } else {
                Dtype::F32
            };
            assert_eq!(in_file.tensor(name).unwrap().dtype(), expected, "{name}");
        }
        let read = ModelFile::from_bytes(&bytes, "bytes").unwrap();
        assert_eq!(read.description.dtype, dtype);
        assert_eq!(bytes, read.to_bytes().unwrap(), "{dtype:?}");
        // What was rounded in memory is what the file gives.
        let say = |f: &ModelFile| Predictor::new(f).unwrap().predict_tensor(&tiny::images());
        assert_eq!(say(&file).unwrap(), say(&read).unwrap());
        assert_eq!(bytes, read.with_dtype(dtype).unwrap().to_bytes().unwrap());
        // Back in full it is the same model in the old size.
        let wide = read.with_dtype(WeightDType::F32).unwrap();
        assert_eq!(wide.to_bytes().unwrap().len(), full.len());
        assert_eq!(say(&wide).unwrap(), say(&read).unwrap());
    }
}

#[test]
fn heads_are_changed_in_a_small_file_as_in_any_other() {
    let file = tiny::model().with_dtype(WeightDType::Int8).unwrap();
    let changed = heads::reset(&file, "age", 5).unwrap();
    let bytes = changed.to_bytes().unwrap();
    let read = ModelFile::from_bytes(&bytes, "bytes").unwrap();
    let logits = |f: &ModelFile| Predictor::new(f).unwrap().logits(&tiny::images()).unwrap();
    let (before, after) = (logits(&file), logits(&read));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.heads[..2], after.heads[..2]);
        assert_ne!(before.heads[2], after.heads[2]);
    }
    let given = NewTensors::Given(heads::head_tensors(&file, "age").unwrap());
    let spec = file.description.model.heads[2].clone();
    let back = heads::replace(&read, "age", spec, given).unwrap();
    assert_eq!(logits(&back), before);
}

#[test]
fn a_mapped_file_says_what_a_read_one_says() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in WeightDType::ALL {
        let path = folder.path().join(dtype.name());
        let file = tiny::model().with_dtype(dtype).unwrap();
        file.write(&path).unwrap();
        let mapped = Predictor::from_mapped(&path).unwrap();
        let read = Predictor::from_file(&path).unwrap();
        let say = |p: &Predictor| p.predict_tensor(&tiny::images()).unwrap();
        assert_eq!(say(&mapped), say(&read));
        // The file may be replaced while the model lives.
        tiny::build(2).write(&path).unwrap();
        assert_eq!(say(&mapped), say(&read));
    }
    let error = Predictor::from_mapped(folder.path().join("none")).err();
    assert!(error.unwrap().to_string().contains("none"));
}

#[test]
fn what_no_type_can_hold_and_broken_scales_are_named() {
    let mut large = tiny::model();
    let name = "backbone.conv_stem.weight";
    let weight = large.tensors[name].clone();
    large.tensors.insert(name.into(), (&weight * 1e9).unwrap());
    let message = format!("{:#}", large.with_dtype(WeightDType::F16).unwrap_err());
    assert!(
        message.contains(name) && message.contains("f16"),
        "{message}"
    );
    assert!(large.with_dtype(WeightDType::Bf16).is_ok());
    assert!(large.with_dtype(WeightDType::Int8).is_ok());
    large
        .tensors
        .insert(name.into(), (&weight * f64::NAN).unwrap());
    let message = format!("{:#}", large.with_dtype(WeightDType::Int8).unwrap_err());
    assert!(
        message.contains(name) && message.contains("finite"),
        "{message}"
    );

    let bytes = tiny::model().with_dtype(WeightDType::Int8).unwrap();
    let bytes = bytes.to_bytes().unwrap();
    let whole = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let without: Vec<_> = whole
        .iter()
        .filter(|(n, _)| *n != format!("{name}.scale"))
        .collect();
    let broken = safetensors::serialize(without, header.metadata().clone()).unwrap();
    let message = ModelFile::from_bytes(&broken, "small.safetensors");
    let message = format!("{:#}", message.unwrap_err());
    for word in ["small.safetensors", name, "I8", ".scale"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    let message = format!("{:#}", "int4".parse::<WeightDType>().unwrap_err());
    assert!(message.contains("int8"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn quantising_twice_is_quantising_once(seed in 0u64..1000, size in -30i32..30) {
        let mut file = tiny::model();
        let name = "backbone.blocks.0.0.conv_dw.weight";
        let t = file.tensors[name].clone();
        let drawn = tiny::build(seed).tensors[name].clone();
        let drawn = (drawn * 2f64.powi(size)).unwrap();
        prop_assert_eq!(t.dims(), drawn.dims());
        file.tensors.insert(name.into(), drawn);
        let once = file.with_dtype(WeightDType::Int8).unwrap();
        let twice = once.with_dtype(WeightDType::Int8).unwrap();
        prop_assert_eq!(once.to_bytes().unwrap(), twice.to_bytes().unwrap());
        let bits = |f: &ModelFile| values(&f.tensors[name]).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&once), bits(&twice));
    }
}
