//! A head that predicts a number, from the photos to every kind of file.

use crate::common::runs::Bench;
use hydranet::eval::calibrate::{Abstain, calibrate};
use hydranet::eval::evaluate::features;
use hydranet::heads::{
    HeadsFile, NewTensors, graft, head_tensors, heads_only, replace, reset, set_thresholds,
};
use hydranet::{
    Average, Decision, Ensemble, Error, HeadSpec, Mode, ModelFile, Photo, Prediction, Predictor,
    Views, onnx,
};
use std::path::PathBuf;

const NUMBER: [&str; 5] = [
    "heads.age.kind=number",
    "heads.age.range=[0,100]",
    "heads.age.bins=25",
    "train.fine_tune=frozen",
    "train.epochs=1",
];

fn photos(bench: &Bench) -> Vec<PathBuf> {
    let folder = bench.data.parent().unwrap().join("images");
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn age(file: &ModelFile, photo: &Photo) -> hydranet::HeadPrediction {
    let predictor = Predictor::new(file).unwrap();
    predictor.predict_photo(photo).unwrap().heads.remove(2)
}

#[test]
fn a_number_is_trained_measured_predicted_and_its_borders_are_moved_without_training() {
    let bench = Bench::new();
    let config = Bench::config(&NUMBER).unwrap();
    let outcome = bench.train(&config, "run", false, None).unwrap();
    let loss = outcome.progress.records[0].valid_loss.unwrap();
    assert!(loss.is_finite());
    // Stopped and resumed it is the same model.
    bench.train(&config, "parts", false, Some(3)).unwrap();
    bench.train(&config, "parts", true, None).unwrap();
    for name in [
        "last.safetensors",
        "metrics.csv",
        "valid_predictions.csv",
        "scores.json",
    ] {
        assert!(
            bench.bytes("run", name) == bench.bytes("parts", name),
            "{name}"
        );
    }
    let file = ModelFile::read(bench.out("run").join("last.safetensors")).unwrap();
    assert_eq!(file.tensors["heads.age.fc.weight"].dims(), [25, 1280]);

    // What is written of it.
    let scores: serde_json::Value =
        serde_json::from_slice(&bench.bytes("run", "scores.json")).unwrap();
    let figure = |head: usize, name: &str| scores["heads"][head][name].as_f64();
    assert!(figure(2, "number_mae").unwrap() > 0.0);
    assert!(figure(2, "number_r2").unwrap() <= 1.0);
    assert!((0.0..=1.0).contains(&figure(2, "number_coverage").unwrap()));
    assert_eq!(scores["heads"][0].get("number_mae"), None);
    let csv = String::from_utf8(bench.bytes("run", "valid_predictions.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    assert!(
        header.ends_with("age_60_and_over,age_mean,age_low,age_high"),
        "{header}"
    );

    // What is said of a photo.
    let photo = Photo::open(&photos(&bench)[0]).unwrap();
    let before = age(&file, &photo);
    let number = before.number.unwrap();
    assert!(number.low < number.mean && number.mean < number.high);
    assert!(number.low >= 0.0 && number.high <= 100.0);
    let json = serde_json::to_value(&before).unwrap();
    assert_eq!(json["number"]["mean"], number.mean);

    // Other borders: bins are 4 wide, 60 is one of their borders and 58 lies inside of one.
    let moved = set_thresholds(&file, "age", &[30.0, 58.0]).unwrap();
    let after = age(&moved, &photo);
    assert_eq!(after.number, before.number);
    assert!((after.probs[0] - before.probs[0]).abs() < 1e-6);
    assert!(after.probs[2] > before.probs[2]);
    let far = age(
        &set_thresholds(&file, "age", &[30.0, 56.0]).unwrap(),
        &photo,
    );
    let middle = 0.5 * (before.probs[2] + far.probs[2]);
    assert!((after.probs[2] - middle).abs() < 1e-6);
    let back = set_thresholds(&moved, "age", &[30.0, 60.0]).unwrap();
    assert_eq!(age(&back, &photo), before);
    assert_eq!(
        back.tensors.keys().collect::<Vec<_>>(),
        file.tensors.keys().collect::<Vec<_>>()
    );
    assert_eq!(
        moved.description.training["surgery"][0]["operation"],
        "set_thresholds"
    );
    // The file is read as it was written.
    let bytes = moved.to_bytes().unwrap();
    let read = ModelFile::from_bytes(&bytes, "moved").unwrap();
    assert!(read.to_bytes().unwrap() == bytes);
    assert_eq!(
        read.description.model.heads[2].labels.thresholds,
        [30.0, 58.0]
    );
    for (head, borders, words) in [
        ("age", &[30.0][..], "2 borders for 3 labels"),
        ("age", &[30.0, 100.0], "inside of the range"),
        ("age", &[60.0, 30.0], "ascending"),
        ("mask", &[1.0, 2.0], "predicts a number"),
    ] {
        let error = set_thresholds(&file, head, borders).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }));
        assert!(error.to_string().contains(words), "{error}");
    }

    // A head of its bins takes them over wherever its borders are, and no other does.
    let start = |more: &str| {
        let weights = format!(
            "model.weights={}",
            bench.out("run").join("last.safetensors").display()
        );
        let settings = [&NUMBER[..], &[weights.as_str(), more]].concat();
        bench.train(
            &Bench::config(&settings).unwrap(),
            &format!("again-{more}"),
            false,
            None,
        )
    };
    start("heads.age.thresholds=[20,58]").unwrap();
    let error = start("heads.age.bins=20").unwrap_err().to_string();
    assert!(
        error.contains("20 from 0 to 100") && error.contains("25 from 0 to 100"),
        "{error}"
    );

    surgery_and_ensembles(&bench, &file, &photo);
    calibration(&bench, &config, &file, &photo);
    graph(&file);
}

fn surgery_and_ensembles(bench: &Bench, file: &ModelFile, photo: &Photo) {
    let fresh = reset(file, "age", 3).unwrap();
    assert_eq!(fresh.tensors["heads.age.fc.weight"].dims(), [25, 1280]);
    let years = HeadSpec {
        name: "years".into(),
        ..file.description.model.heads[2].clone()
    };
    let given = NewTensors::Given(head_tensors(file, "age").unwrap());
    let renamed = replace(file, "age", years, given).unwrap();
    let both = graft(file, &renamed, "years", &Default::default()).unwrap();
    let two = Predictor::new(&both).unwrap().predict_photo(photo).unwrap();
    assert_eq!(two.heads[2].number, two.heads[3].number);

    let apart = heads_only(file).unwrap().to_bytes().unwrap();
    let apart = HeadsFile::from_bytes(&apart, "heads").unwrap();
    let put_back = apart.attach(&file.tensors).unwrap();
    assert_eq!(age(&put_back, photo), age(file, photo));

    let one = age(file, photo).number.unwrap();
    let other = age(&fresh, photo).number.unwrap();
    let members = || [file, &fresh].map(|f| Predictor::new(f).unwrap()).to_vec();
    for (how, exact) in [
        (Average::Probability, true),
        (Average::Vote, true),
        (Average::Logit, false),
    ] {
        let all = Ensemble::new(members(), how, Views::default()).unwrap();
        let found = all.predict_photo(photo).unwrap().heads[2].number.unwrap();
        let mean = 0.5 * (one.mean + other.mean);
        assert_eq!((found.mean - mean).abs() < 1e-9, exact, "{how:?}");
        assert!(found.low < found.mean && found.mean < found.high);
    }
    // Of one that has only learnt labels nothing is known of the number.
    let plain = HeadSpec {
        labels: hydranet::LabelSpec {
            number: None,
            ..file.description.model.heads[2].labels.clone()
        },
        ..file.description.model.heads[2].clone()
    };
    let plain = replace(file, "age", plain, NewTensors::Fresh { seed: 1 }).unwrap();
    for order in [[file, &plain], [&plain, file]] {
        let members = order.map(|f| Predictor::new(f).unwrap()).to_vec();
        let all = Ensemble::new(members, Average::default(), Views::default()).unwrap();
        assert_eq!(all.predict_photo(photo).unwrap().heads[2].number, None);
    }
    let mut wide = file.description.model.heads[2].clone();
    wide.labels.number.as_mut().unwrap().range = [0.0, 120.0];
    let wide = replace(file, "age", wide, NewTensors::Fresh { seed: 1 }).unwrap();
    let members = [file, &wide].map(|f| Predictor::new(f).unwrap()).to_vec();
    let error = Ensemble::new(members, Average::default(), Views::default()).unwrap_err();
    assert!(error.to_string().contains("25 in [0.0, 100.0]"), "{error}");
    assert!(bench.out("run").is_dir());
}

/// A temperature in the last layer leaves the labels' order and makes the bins less sure.
fn calibration(bench: &Bench, config: &hydranet::train::Config, file: &ModelFile, photo: &Photo) {
    let dataset = bench.dataset(config);
    let all: Vec<usize> = (0..dataset.samples.len()).collect();
    let input = &file.description.model.input;
    let model = file.build().unwrap();
    let loading = hydranet::data::loader::LoaderConfig::new(64);
    let features = features(&model, input, &dataset, &all, loading, &mut |_| ()).unwrap();
    let taxonomy = file.description.model.taxonomy().unwrap();
    let labels = all
        .iter()
        .map(|i| hydranet::data::targets::labels(&dataset.heads, &dataset.samples[*i]));
    let labels: Vec<_> = labels.collect();
    let classes: Vec<_> = labels.iter().map(|l| taxonomy.class_of(l)).collect();
    let (calibrated, report) =
        calibrate(file, &features, &labels, &classes, Abstain::Unchanged).unwrap();
    let of_age = &report.temperatures[2];
    let [before, after] = of_age.log_loss.unwrap();
    assert!(after <= before && of_age.temperature != 1.0, "{of_age:?}");
    // What the report says is what the file does.
    let logits = calibrated
        .build()
        .unwrap()
        .logits(&features, Mode::Eval)
        .unwrap();
    let rows = logits.rows().unwrap();
    let loss: f64 = rows
        .iter()
        .zip(&labels)
        .map(|(row, labels)| {
            let p = Prediction::from_logits(&taxonomy, &Decision::default(), row).unwrap();
            -p.heads[2].probs[labels[2].unwrap()].ln() / rows.len() as f64
        })
        .sum();
    assert!((loss - after).abs() < 1e-5, "{loss} {after}");
    let (plain, tempered) = (
        age(file, photo).number.unwrap(),
        age(&calibrated, photo).number.unwrap(),
    );
    let wider = tempered.high - tempered.low > plain.high - plain.low;
    assert_eq!(wider, of_age.temperature > 1.0);
}

/// The ONNX file has the number and its distribution beside the labels.
fn graph(file: &ModelFile) {
    let bytes = onnx::to_bytes(file).unwrap();
    let has = |name: &str| bytes.windows(name.len()).any(|w| w == name.as_bytes());
    assert!(has("age_mean") && has("age_bins"));
    let mut taken = file.description.model.heads[0].clone();
    taken.name = "age_bins".into();
    let given = NewTensors::Given(head_tensors(file, "mask").unwrap());
    let taken = replace(file, "mask", taken, given).unwrap();
    let error = onnx::to_bytes(&taken).unwrap_err().to_string();
    assert!(error.contains("`age_bins`"), "{error}");
}
