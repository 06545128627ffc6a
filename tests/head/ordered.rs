//! Heads of ordered labels, deferred class weights and sums of losses in training, files and surgery.

use hydranet::model_file::heads::{Graft, Place, graft, reset};
use hydranet::{LossKind, ModelFile, Photo, Predictor};

use crate::common::runs::Bench;

#[test]
fn heads_of_ordered_labels_are_trained_saved_predicted_with_and_moved_to_another_model() {
    let bench = Bench::new();
    let plain = Bench::config(&["train.epochs=1"]).unwrap();
    bench.train(&plain, "plain", false, None).unwrap();
    for (loss, rows) in [("coral", 1), ("corn", 2)] {
        let setting = format!("heads.age.loss={loss}");
        let frozen = ["train.fine_tune=frozen", "train.epochs=1"];
        let config = Bench::config(&[&[setting.as_str()][..], &frozen].concat()).unwrap();
        bench.train(&config, loss, false, None).unwrap();
        // Stopped and resumed it is the same model.
        let parts = format!("{loss}-parts");
        bench.train(&config, &parts, false, Some(3)).unwrap();
        bench.train(&config, &parts, true, None).unwrap();
        for file in ["last.safetensors", "metrics.csv", "valid_predictions.csv"] {
            assert!(bench.bytes(loss, file) == bench.bytes(&parts, file));
        }
        let file = ModelFile::read(bench.out(loss).join("last.safetensors")).unwrap();
        assert_eq!(file.tensors["heads.age.fc.weight"].dims(), [rows, 1280]);
        assert_eq!(file.tensors["heads.age.fc.bias"].dims(), [2]);
        let predictor = Predictor::new(&file).unwrap();
        let image = bench.data.parent().unwrap().join("images");
        let mut photos: Vec<_> = std::fs::read_dir(image).unwrap().flatten().collect();
        photos.sort_by_key(|p| p.path());
        let photo = Photo::open(photos[0].path()).unwrap();
        let prediction = predictor.predict_photo(&photo).unwrap();
        let age = &prediction.heads[2];
        assert_eq!(age.probs.len(), 3);
        assert!((age.probs.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(age.probs.iter().all(|p| *p > 0.0), "{:?}", age.probs);
        // Fresh tensors have the same shapes, and the head fits another model of the same backbone.
        let fresh = reset(&file, "age", 1).unwrap();
        assert_eq!(fresh.tensors["heads.age.fc.weight"].dims(), [rows, 1280]);
        let other = ModelFile::read(bench.out("plain").join("last.safetensors")).unwrap();
        let how = Graft {
            place: Place::Replacing("age".into()),
            allow_other_backbone: true,
            ..Graft::default()
        };
        let grafted = graft(&other, &file, "age", &how).unwrap();
        let kind = match loss {
            "coral" => LossKind::Coral,
            _ => LossKind::Corn,
        };
        assert_eq!(grafted.description.model.heads[2].loss.kind, kind);
        let bytes = grafted.to_bytes().unwrap();
        assert!(Predictor::from_bytes(&bytes).is_ok());
        // The tensors of another kind of head do not fit, and are named.
        let mut wrong = grafted.clone();
        wrong.description.model.heads[2].loss.kind = LossKind::CrossEntropy;
        let error = wrong.build().err().unwrap().to_string();
        assert!(error.contains("heads.age.fc"), "{error}");
    }
}

#[test]
fn deferred_class_weights_and_sums_of_losses_change_what_is_trained_from_their_epoch_on() {
    let bench = Bench::new();
    let base = [
        "train.fine_tune=frozen",
        "train.mix_up=0",
        "train.augment.flip=0",
        "train.epochs=2",
        "heads.mask.class_weights=[1.0,9.0,0.5]",
    ];
    let run = |name: &str, more: &[&str]| {
        let config = Bench::config(&[&base[..], more].concat()).unwrap();
        let outcome = bench.train(&config, name, false, None).unwrap();
        let losses = outcome.progress.records.iter().map(|r| r.train_loss);
        losses.collect::<Vec<f64>>()
    };
    let weighted = run("weighted", &[]);
    let deferred = run("deferred", &["heads.mask.reweight_after=0.5"]);
    let equal = run("equal", &["heads.mask.class_weights=[1.0,1.0,1.0]"]);
    assert_eq!(deferred[0], equal[0]);
    assert_ne!(deferred[0], weighted[0]);
    assert_ne!(deferred[1], equal[1]);
    let one = run("one", &["heads.mask.loss={sum=[{kind=\"cross_entropy\"}]}"]);
    assert_eq!(one, weighted);
    let two = "heads.mask.loss={sum=[{kind=\"cross_entropy\"},{kind=\"soft_f1\",factor=0.5}]}";
    assert!(run("two", &[two])[0] > weighted[0]);
}
