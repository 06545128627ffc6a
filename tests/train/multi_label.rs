//! A head of several labels at once, from the photos to every kind of file.

use crate::common::runs::Bench;
use hydranet::data::dataset::Split;
use hydranet::eval::calibrate::{Abstain, calibrate, with_novelty};
use hydranet::eval::decide::with_thresholds;
use hydranet::eval::evaluate::{features, logits, score};
use hydranet::heads::{
    HeadsFile, NewTensors, add, graft, head_tensors, heads_only, remove, rename, reset,
    set_thresholds,
};
use hydranet::train::{Config, train_head};
use hydranet::{
    Average, Decision, Ensemble, Error, HeadPrediction, HeadSpec, ModelFile, Photo, Predictor,
    Views, onnx,
};
use std::path::{Path, PathBuf};

const TAGS: [&str; 4] = [
    "heads.tags={name='tags',kind='multi_label',labels=['masked','woman','grown']}",
    "model.heads=['mask','tags','age']",
    "train.fine_tune=frozen",
    "train.epochs=2",
];

/// The portraits with a column of tags; of some nothing is known.
fn tagged(bench: &mut Bench) -> Vec<Vec<&'static str>> {
    let text = std::fs::read_to_string(&bench.data).unwrap();
    let mut all = Vec::new();
    let mut lines = text.lines();
    let mut written = format!("{},tags\n", lines.next().unwrap());
    for (i, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let is_grown = cells[4].parse::<f64>().unwrap() >= 40.0;
        let tags = [
            ("masked", cells[2] == "worn"),
            ("woman", cells[3] == "female"),
            ("grown", is_grown),
        ];
        let tags: Vec<&str> = tags.iter().filter(|(_, is)| *is).map(|(t, _)| *t).collect();
        let cell = if i % 7 == 3 {
            String::new()
        } else if tags.is_empty() {
            "-".into()
        } else {
            tags.join("; ")
        };
        written += &format!("{line},{cell}\n");
        all.push(tags);
    }
    bench.data = bench.data.with_file_name("tagged.csv");
    std::fs::write(&bench.data, written).unwrap();
    all
}

fn photos(bench: &Bench) -> Vec<PathBuf> {
    let folder = bench.data.parent().unwrap().join("images");
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn tags(file: &ModelFile, photo: &Photo) -> HeadPrediction {
    let predictor = Predictor::new(file).unwrap();
    let prediction = predictor.predict_photo(photo).unwrap();
    let found = prediction.heads.into_iter().find(|h| h.head == "tags");
    found.unwrap()
}

#[test]
fn several_labels_are_trained_measured_and_predicted_beside_the_final_class() {
    let mut bench = Bench::new();
    tagged(&mut bench);
    let config = Bench::config(&TAGS).unwrap();
    let outcome = bench.train(&config, "run", false, None).unwrap();
    let records = &outcome.progress.records;
    assert!(records.iter().all(|r| r.valid_loss.unwrap().is_finite()));
    assert!(records[0].head_macro_f1[1].is_some());
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
    assert_eq!(file.tensors["heads.tags.fc.weight"].dims(), [3, 1280]);
    // mask · age.
    assert_eq!(file.description.classes.len(), 9);

    // What is written of it.
    let scores: serde_json::Value =
        serde_json::from_slice(&bench.bytes("run", "scores.json")).unwrap();
    let of_tags = &scores["heads"][1];
    assert!(of_tags["average_precision"].as_f64().unwrap() > 0.0);
    assert!(of_tags["micro_f1"].is_number() && of_tags.get("confusion").is_none());
    assert!(of_tags["labels"][2]["f1"].is_number());
    assert!(of_tags["photos"].as_u64() < scores["heads"][0]["photos"].as_u64());
    let csv = String::from_utf8(bench.bytes("run", "valid_predictions.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    let wanted = "tags,tags_truth,tags_masked,tags_woman,tags_grown,";
    assert!(header.contains(wanted), "{header}");
    assert!(csv.contains("masked;") || csv.contains(";grown"), "{csv}");

    said_and_read_again(&bench, &file);
    thresholds(&bench, &config, &file);
    surgery_and_ensembles(&bench, &file);
    calibration(&bench, &config, &file);
    graph(&file);
}

fn said_and_read_again(bench: &Bench, file: &ModelFile) {
    let photo = Photo::open(&photos(bench)[0]).unwrap();
    let found = tags(file, &photo);
    assert_eq!((found.index, &found.label), (None, &None));
    let names = ["masked", "woman", "grown"];
    let said: Vec<&str> = names
        .into_iter()
        .zip(&found.probs)
        .filter(|(_, p)| **p >= 0.5)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(found.labels.as_deref().unwrap(), said);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["labels"], serde_json::json!(said));
    let all = Predictor::new(file).unwrap().predict_photo(&photo).unwrap();
    assert_eq!(all.labels("tags").unwrap(), said);
    assert_eq!((all.labels("mask"), all.label("tags")), (None, None));
    let json = serde_json::to_value(&all.heads[0]).unwrap();
    assert!(json.get("labels").is_none());
    let bytes = file.to_bytes().unwrap();
    let read = ModelFile::from_bytes(&bytes, "tags").unwrap();
    assert!(read.to_bytes().unwrap() == bytes);
}

fn thresholds(bench: &Bench, config: &Config, file: &ModelFile) {
    let photo = Photo::open(&photos(bench)[0]).unwrap();
    let all = set_thresholds(file, "tags", &[1e-9, 1e-9, 1.0]).unwrap();
    assert_eq!(tags(&all, &photo).labels.unwrap(), ["masked", "woman"]);
    assert_eq!(tags(&all, &photo).probs, tags(file, &photo).probs);
    assert_eq!(all.description.decision, file.description.decision);
    for (borders, words) in [(&[0.5][..], "one a label"), (&[0.5, 2.0, 0.5], "at most 1")] {
        let error = set_thresholds(file, "tags", borders).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }));
        assert!(error.to_string().contains(words), "{error}");
    }
    // Tuned on photos, no label's F1 is less than it was there.
    let mut dataset = bench.dataset(config);
    let split = (&config.train.split, config.train.seed);
    dataset.put_on_sides(split.0, split.1, &[]).unwrap();
    let valid = dataset.indices(Split::Valid);
    let spec = &file.description.model;
    let taxonomy = spec.taxonomy().unwrap();
    let loading = hydranet::data::loader::LoaderConfig::new(64);
    let model = file.build().unwrap();
    let kept = features(&model, &spec.input, &dataset, &valid, loading, &mut |_| ()).unwrap();
    let logits = logits(&model, &kept).unwrap();
    let tuned = with_thresholds(spec, &dataset, &valid, &logits).unwrap();
    let found = tuned.heads[1].labels.multi_label.as_ref().unwrap();
    assert_eq!(found.thresholds.len(), 3);
    let f1 = |heads: &[HeadSpec]| -> Vec<f64> {
        let mut dataset = dataset.clone();
        dataset.heads = heads.to_vec();
        let decision = Decision::default();
        let (_, report) = score(&taxonomy, &decision, &dataset, &valid, &logits).unwrap();
        report.heads[1]
            .labels
            .iter()
            .map(|l| l.metrics.f1)
            .collect()
    };
    let (before, after) = (f1(&spec.heads), f1(&tuned.heads));
    let pairs = before.iter().zip(&after);
    assert!(pairs.clone().all(|(b, a)| a >= b), "{before:?} {after:?}");
    assert!(with_thresholds(spec, &dataset, &[], &[]).is_err());
}

fn surgery_and_ensembles(bench: &Bench, file: &ModelFile) {
    let photo = Photo::open(&photos(bench)[0]).unwrap();
    let one = tags(file, &photo);
    let moved = set_thresholds(file, "tags", &[0.2, 0.4, 0.6]).unwrap();
    // The thresholds go where the head goes, and the final classes stay as they are.
    let renamed = rename(&moved, "tags", "traits").unwrap();
    let both = graft(file, &renamed, "traits", &Default::default()).unwrap();
    let several = |file: &ModelFile, head: usize| {
        let labels = &file.description.model.heads[head].labels;
        labels.multi_label.clone().unwrap().thresholds
    };
    assert_eq!(several(&both, 3), [0.2, 0.4, 0.6]);
    assert_eq!(both.description.classes, file.description.classes);
    let two = Predictor::new(&both)
        .unwrap()
        .predict_photo(&photo)
        .unwrap();
    assert_eq!(two.heads[3].probs, one.probs);
    let without = remove(file, "tags").unwrap();
    assert_eq!(without.description.classes, file.description.classes);
    let given = NewTensors::Given(head_tensors(file, "tags").unwrap());
    let spec = file.description.model.heads[1].clone();
    let again = add(&without, spec, Some(0), given).unwrap();
    assert_eq!(tags(&again, &photo), one);
    let apart = heads_only(file).unwrap().to_bytes().unwrap();
    let apart = HeadsFile::from_bytes(&apart, "heads").unwrap();
    assert_eq!(tags(&apart.attach(&file.tensors).unwrap(), &photo), one);

    let fresh = reset(&moved, "tags", 3).unwrap();
    let other = tags(&fresh, &photo);
    let members = || [file, &fresh].map(|f| Predictor::new(f).unwrap()).to_vec();
    for how in [Average::Probability, Average::Logit, Average::Vote] {
        let all = Ensemble::new(members(), how, Views::default()).unwrap();
        let found = all.predict_photo(&photo).unwrap().heads.remove(1);
        let least = [0.35, 0.45, 0.55];
        for label in 0..3 {
            let [a, b] = [one.probs[label], other.probs[label]];
            let logit = |p: f64| (p / (1.0 - p)).ln();
            let votes = [a >= 0.5, b >= [0.2, 0.4, 0.6][label]];
            let expected = match how {
                Average::Probability => 0.5 * (a + b),
                Average::Logit => 1.0 / (1.0 + (-0.5 * (logit(a) + logit(b))).exp()),
                _ => votes.iter().filter(|v| **v).count() as f64 / 2.0,
            };
            assert!((found.probs[label] - expected).abs() < 1e-9, "{how:?}");
            let name = ["masked", "woman", "grown"][label].to_string();
            let least = if how == Average::Vote {
                0.5
            } else {
                least[label]
            };
            let said = found.labels.as_ref().unwrap().contains(&name);
            assert_eq!(said, found.probs[label] >= least, "{how:?}");
        }
    }
    // One that has learnt one label a photo is no member beside it.
    let plain = HeadSpec::new("tags", ["masked", "woman", "grown"]);
    let plain = add(&without, plain, Some(1), NewTensors::Fresh { seed: 1 }).unwrap();
    let members = [file, &plain].map(|f| Predictor::new(f).unwrap()).to_vec();
    assert!(Ensemble::new(members, Average::default(), Views::default()).is_err());
    // Nor does it start from it, nor the other way round.
    let weights = bench.out("plain.safetensors");
    plain.write(&weights).unwrap();
    let weights = format!("model.weights={}", weights.display());
    let settings = [&TAGS[..], &[weights.as_str()]].concat();
    let error = bench.train(&Bench::config(&settings).unwrap(), "again", false, None);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("several at once"), "{error}");
}

/// Temperatures are of heads of one label and of the final class.
fn calibration(bench: &Bench, config: &Config, file: &ModelFile) {
    let dataset = bench.dataset(config);
    let all: Vec<usize> = (0..dataset.samples.len()).collect();
    let (spec, model) = (&file.description.model, file.build().unwrap());
    let loading = hydranet::data::loader::LoaderConfig::new(64);
    let kept = features(&model, &spec.input, &dataset, &all, loading, &mut |_| ()).unwrap();
    let taxonomy = spec.taxonomy().unwrap();
    let labels = dataset.samples.iter();
    let labels = labels.map(|s| hydranet::data::targets::labels(&dataset.heads, s));
    let labels: Vec<_> = labels.collect();
    let classes: Vec<_> = labels.iter().map(|l| taxonomy.class_of(l)).collect();
    let (calibrated, report) =
        calibrate(file, &kept, &labels, &classes, Abstain::Unchanged).unwrap();
    let names: Vec<&str> = report
        .temperatures
        .iter()
        .map(|t| t.name.as_str())
        .collect();
    assert_eq!(names, ["mask", "age", "class"]);
    assert!(report.shifted.is_empty());
    let photo = Photo::open(&photos(bench)[0]).unwrap();
    assert_eq!(tags(&calibrated, &photo), tags(file, &photo));
    // Behind a head that is calibrated its probabilities are others.
    let mut behind = HeadSpec::multi_label("traits", ["thin", "tall"]);
    behind.layers.after = vec!["mask".into()];
    let chained = add(file, behind, None, NewTensors::Fresh { seed: 1 }).unwrap();
    let labels: Vec<_> = labels
        .into_iter()
        .map(|l| [l, vec![None]].concat())
        .collect();
    let (_, report) = calibrate(&chained, &kept, &labels, &classes, Abstain::Unchanged).unwrap();
    assert_eq!(report.shifted, ["traits"]);
    let warnings = report.warnings().join("\n");
    assert!(
        warnings.contains("head traits, of several labels"),
        "{warnings}"
    );
}

/// Without heads of one label there is nothing to calibrate, but there may be novelty to tell.
fn calibration_of_none(bench: &Bench, config: &Config, file: &ModelFile) {
    let dataset = bench.dataset(config);
    let all: Vec<usize> = (0..dataset.samples.len()).collect();
    let (spec, model) = (&file.description.model, file.build().unwrap());
    let loading = hydranet::data::loader::LoaderConfig::new(64);
    let kept = features(&model, &spec.input, &dataset, &all, loading, &mut |_| ()).unwrap();
    let (labels, classes) = (vec![vec![None]; all.len()], vec![None; all.len()]);
    let error = calibrate(file, &kept, &labels, &classes, Abstain::Unchanged).unwrap_err();
    assert!(
        error.to_string().contains("only those of several at once"),
        "{error}"
    );
    let novel = with_novelty(file, &kept, &kept).unwrap();
    let (_, report) = calibrate(&novel, &kept, &labels, &classes, Abstain::Unchanged).unwrap();
    assert!(report.novelty && report.temperatures.is_empty());
}

fn graph(file: &ModelFile) {
    let bytes = onnx::to_bytes(file).unwrap();
    assert!(bytes.windows(7).any(|w| w == b"Sigmoid"));
    // For a look by ONNX Runtime.
    if let Ok(folder) = std::env::var("HYDRANET_TAGS") {
        std::fs::write(Path::new(&folder).join("tags.onnx"), bytes).unwrap();
    }
}

#[test]
fn one_head_of_several_labels_is_a_model_and_is_trained_alone() {
    let mut bench = Bench::new();
    tagged(&mut bench);
    let alone = [&TAGS[..], &["model.heads=['tags']"]].concat();
    let config = Bench::config(&alone).unwrap();
    let outcome = bench.train(&config, "alone", false, None).unwrap();
    let last = outcome.progress.records.last().unwrap();
    // Without final classes the heads' mean says which epoch is best.
    assert_eq!(last.accuracy, None);
    assert_eq!(last.macro_f1, last.head_macro_f1[0]);
    let scores: serde_json::Value =
        serde_json::from_slice(&bench.bytes("alone", "scores.json")).unwrap();
    assert_eq!(scores["class"]["photos"], 0);
    let file = ModelFile::read(bench.out("alone").join("best.safetensors")).unwrap();
    let photo = Photo::open(&photos(&bench)[0]).unwrap();
    let all = Predictor::new(&file)
        .unwrap()
        .predict_photo(&photo)
        .unwrap();
    assert_eq!((all.class, all.name.as_str(), all.prob), (0, "", 1.0));
    assert!(all.labels("tags").is_some());
    onnx::to_bytes(&file).unwrap();
    calibration_of_none(&bench, &config, &file);

    // Beside the heads that a model has.
    let model = ModelFile::read(bench.out("alone").join("best.safetensors")).unwrap();
    let head = HeadSpec {
        name: "traits".into(),
        ..config.model_spec().unwrap().heads[0].clone()
    };
    let mut head_alone = head.clone();
    head_alone.labels.column = Some("tags".into());
    let mut config = Config::for_head(&model, head_alone.clone());
    config.train.epochs = 1;
    let data = std::slice::from_ref(&bench.data);
    let mut dataset = hydranet::data::Dataset::open(data, &[head_alone]).unwrap();
    dataset
        .put_on_sides(&config.train.split, config.train.seed, &[])
        .unwrap();
    let found = train_head(&config, &model, &dataset, bench.out("traits")).unwrap();
    assert_eq!(found.description.model.heads.len(), 2);
}

#[test]
fn settings_that_need_one_label_a_photo_are_refused_for_several() {
    for (setting, words) in [
        (
            "train.mix=[{kind={mix_up={alpha=0.2}},partner={same_label='tags'}}]",
            "same_label",
        ),
        ("train.sampling={by_head={head='tags'}}", "by_head"),
        ("heads.tags.loss=cross_entropy", "binary_cross_entropy"),
        ("heads.tags.class_weights=balanced", "class_weights"),
        ("heads.age.when={tags=['woman']}", "several labels at once"),
        ("heads.mask.loss=binary_cross_entropy", "multi_label"),
        ("heads.mask.none=['no']", "multi_label"),
    ] {
        let settings = [&TAGS[..], &[setting]].concat();
        let error = Bench::config(&settings)
            .and_then(|c| c.validate())
            .unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(words), "{setting}: {error}");
    }
    // Without final classes there is no partner of the same.
    for partner in ["'same_class'", "{classes=['']}"] {
        let mix = format!("train.mix=[{{kind={{mix_up={{alpha=0.2}}}},partner={partner}}}]");
        let settings = [&TAGS[..], &["model.heads=['tags']", &mix]].concat();
        let error = Bench::config(&settings)
            .and_then(|c| c.validate())
            .unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("partner by final class"), "{error}");
    }
}
