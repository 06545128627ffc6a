//! Weights of several runs as one model.

use crate::common::runs::Bench;
use candle_core::{DType, Tensor};
use hydranet::train::Config;
use hydranet::train::optim::variables::is_buffer;
use hydranet::train::soup::soup;
use hydranet::{Description, Error, ModelFile};
use std::collections::BTreeMap;

/// Two runs from the same weights with other seeds.
fn runs(settings: &[&str]) -> (Bench, Config, [ModelFile; 2]) {
    let bench = Bench::new();
    let with = |seed: &str| {
        let all: Vec<&str> = settings.iter().chain([&seed]).copied().collect();
        Bench::config(&all).unwrap()
    };
    let config = with("train.seed=0");
    bench.train(&config, "a", false, None).unwrap();
    bench
        .train(&with("train.seed=1"), "b", false, None)
        .unwrap();
    let read = |run: &str| ModelFile::read(bench.out(run).join("best.safetensors")).unwrap();
    let files = [read("a"), read("b")];
    (bench, config, files)
}

fn values(file: &ModelFile) -> BTreeMap<String, Vec<f32>> {
    let tensors = file.tensors.iter();
    tensors
        .map(|(name, t)| (name.clone(), t.flatten_all().unwrap().to_vec1().unwrap()))
        .collect()
}

#[test]
fn weights_are_means_and_statistics_are_found_anew() {
    let (bench, config, files) = runs(&[]);
    let dataset = bench.dataset(&config);
    let made = soup(&config, &files, &dataset, false, &mut |_| ()).unwrap();
    let (a, b, found) = (values(&files[0]), values(&files[1]), values(&made.file));
    assert_eq!(
        a.keys().collect::<Vec<_>>(),
        found.keys().collect::<Vec<_>>()
    );
    let mut moved = 0;
    for (name, values) in &found {
        let mean = a[name].iter().zip(&b[name]).map(|(a, b)| (a + b) / 2.0);
        let off = values
            .iter()
            .zip(mean)
            .map(|(v, m)| (v - m).abs() / m.abs().max(1e-3));
        let off = off.fold(0f32, f32::max);
        if is_buffer(name) {
            moved += usize::from(off > 1e-3);
        } else {
            assert!(off < 1e-4, "{name}: {off}");
        }
    }
    assert!(moved > 20, "{moved} statistics are other than the means");
    assert_eq!((made.used.len(), made.alone.len()), (2, 2));
    // Both have seen the same.
    assert_eq!(made.file.description.seen, files[0].description.seen);
    let again = soup(&config, &files, &dataset, false, &mut |_| ()).unwrap();
    assert!(again.file.to_bytes().unwrap() == made.file.to_bytes().unwrap());
}

#[test]
fn a_model_that_spoils_the_average_is_left_out() {
    let (bench, config, [good, _]) = runs(&[
        "train.fine_tune=frozen",
        "train.epochs=40",
        "train.lr_heads=0.01",
        "model.heads=['mask']",
    ]);
    // It says the same of every photo, and louder than the other says anything.
    let mut spoilt = good.clone();
    for (name, tensor) in &mut spoilt.tensors {
        if name.starts_with("heads.") {
            let loud = match tensor.rank() {
                1 => Tensor::arange(0u32, tensor.dim(0).unwrap() as u32, tensor.device())
                    .unwrap()
                    .to_dtype(DType::F32)
                    .unwrap(),
                _ => tensor.zeros_like().unwrap(),
            };
            *tensor = (loud * 1e4).unwrap();
        }
    }
    let dataset = bench.dataset(&config);
    let files = [spoilt, good.clone()];
    let mut said = Vec::new();
    let made = soup(&config, &files, &dataset, true, &mut |text| {
        said.push(text.to_string())
    })
    .unwrap();
    assert_eq!(made.used, [1], "{} {:?}", made.together, made.alone);
    assert!(made.together > made.alone[0] && made.together == made.alone[1]);
    assert!(values(&made.file) == values(&good));
    assert!(said.last().unwrap().contains("left out"), "{said:?}");
    let all = soup(&config, &files, &dataset, false, &mut |_| ()).unwrap();
    assert!(all.together < made.together);
}

#[test]
fn models_that_are_not_of_one_description_and_data_without_a_validation_side_are_refused() {
    let (bench, config, [a, b]) = runs(&["train.fine_tune=frozen"]);
    let dataset = bench.dataset(&config);
    let none = &mut |_: &str| ();
    let one = soup(&config, std::slice::from_ref(&a), &dataset, true, none).map(|_| ());
    assert!(matches!(one, Err(Error::Invalid { .. })), "{one:?}");
    let mut other = b.clone();
    let mut spec = other.description.model.clone();
    spec.heads[0].name = "cover".into();
    other.description = Description::new(spec, serde_json::json!({})).unwrap();
    let error = soup(&config, &[a.clone(), other], &dataset, true, none)
        .map(|_| ())
        .unwrap_err();
    assert!(error.to_string().contains("model 2"), "{error}");
    let mut unmeasured = dataset.clone();
    unmeasured
        .samples
        .retain(|s| s.split != Some(hydranet::data::Split::Valid));
    let error = soup(&config, &[a, b], &unmeasured, true, none)
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, Error::EmptySplit { .. }), "{error}");
}
