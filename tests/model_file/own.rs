//! Heads that pool, read stages and see other heads: kept in files, changed, joined, exported.

use crate::common::tiny;
use candle_core::Tensor;
use hydranet::heads::{
    Graft, HeadsFile, NewTensors, Place, add, graft, heads_only, merge, remove, rename, replace,
    reset,
};
use hydranet::onnx::to_bytes;
use hydranet::{Ensemble, HeadSpec, Mode, ModelFile, PoolKind, Predictor};
use std::collections::BTreeMap;

fn fresh(seed: u64) -> NewTensors {
    NewTensors::Fresh { seed }
}

/// The tiny model with heads that have something of their own: `look` pools by itself, `shade` reads stages and comes before
/// those it sees.
pub fn model() -> ModelFile {
    let mut look = HeadSpec::new("look", ["a", "b"]);
    look.layers.pool = PoolKind::Gem;
    let mut near = HeadSpec::new("near", ["yes", "no"]);
    near.layers.pool = PoolKind::Attention;
    near.layers.from_stage = vec![4, 3];
    let mut shade = HeadSpec::new("shade", ["light", "dark", "none"]).with_hidden(6);
    shade.layers.from_stage = vec![2];
    shade.layers.after = vec!["look".into(), "age".into()];
    let file = add(&tiny::model(), look, None, fresh(1)).unwrap();
    let file = add(&file, near, None, fresh(2)).unwrap();
    add(&file, shade, Some(0), fresh(3)).unwrap()
}

/// Each head's logits, bit for bit, by name.
fn logits(file: &ModelFile) -> BTreeMap<String, Vec<Vec<u32>>> {
    let predictor = Predictor::new(file).unwrap();
    let mut all: BTreeMap<String, Vec<Vec<u32>>> = BTreeMap::new();
    for photo in predictor.logits(&tiny::images()).unwrap() {
        for (name, logits) in predictor.taxonomy().heads().iter().zip(photo.heads) {
            let bits = logits.into_iter().map(f32::to_bits).collect();
            all.entry(name.clone()).or_default().push(bits);
        }
    }
    all
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

fn refused(result: hydranet::Result<ModelFile>, words: &[&str]) {
    assert_says(&result.unwrap_err().to_string(), words);
}

#[test]
fn a_file_keeps_what_heads_have_of_their_own_under_their_names() {
    let file = model();
    let dims = |name: &str| file.tensors[name].dims().to_vec();
    assert_eq!(dims("heads.look.pool.p"), [1]);
    assert_eq!(dims("heads.near.pool.query"), [1, 112 + 40]);
    assert_eq!(dims("heads.near.fc.weight"), [2, 112 + 40]);
    assert_eq!(dims("heads.shade.hidden.weight"), [6, 24 + 2 + 3]);
    let p: Vec<f32> = file.tensors["heads.look.pool.p"].to_vec1().unwrap();
    assert_eq!(p, [3.0]);
    let bytes = file.to_bytes().unwrap();
    let read = ModelFile::from_bytes(&bytes, "own").unwrap();
    assert_eq!(read.description, file.description);
    assert_eq!(logits(&read), logits(&file));
    // Heads that have nothing of their own say what they said without the others.
    let before = logits(&tiny::model());
    for (name, logits) in &before {
        assert_eq!(logits, &self::logits(&file)[name], "{name}");
    }
    let mut broken = file.clone();
    broken.tensors.remove("heads.look.pool.p");
    let error = format!("{:#}", broken.build().unwrap_err());
    assert_says(&error, &["heads.look.pool.p"]);

    let apart = heads_only(&file).unwrap().to_bytes().unwrap();
    let apart = HeadsFile::from_bytes(&apart, "heads").unwrap();
    let attached = apart.attach(&tiny::model().tensors).unwrap();
    assert_eq!(attached.to_bytes().unwrap(), bytes);

    let members = [&file, &read].map(|file| Predictor::new(file).unwrap());
    let ensemble = Ensemble::new(members.into(), Default::default(), Default::default());
    let ensemble = ensemble.unwrap();
    let one = Predictor::new(&file).unwrap();
    let images = tiny::images();
    let together = ensemble.predict_tensor(&images).unwrap();
    for (both, one) in together.iter().zip(one.predict_tensor(&images).unwrap()) {
        assert_eq!(both.class, one.class);
        assert!((both.prob - one.prob).abs() < 1e-6);
    }
}

#[test]
fn many_photos_are_pooled_in_parts() {
    let model = model().build().unwrap();
    let features = model.features(&tiny::images(), Mode::Eval).unwrap();
    let once = model.outputs(&features, Mode::Eval).unwrap();
    let times = 300usize.div_ceil(features.dims()[0]);
    let rows = Tensor::cat(&vec![&features; times], 0).unwrap();
    let all = model.outputs(&rows, Mode::Eval).unwrap();
    for (once, all) in once.heads.iter().zip(&all.heads) {
        let expected = vec![once.to_vec2::<f32>().unwrap(); times].concat();
        assert_eq!(all.to_vec2::<f32>().unwrap(), expected);
    }
}

#[test]
fn heads_that_apply_under_one_that_sees_another_are_merged_at_once() {
    let mut sex = HeadSpec::new("sex", ["f", "m"]);
    sex.layers.after = vec!["size".into()];
    let mut beard = HeadSpec::new("beard", ["yes", "no"]);
    beard.labels.when = [("sex".to_string(), vec!["m".to_string()])].into();
    let size = HeadSpec::new("size", ["s", "l"]);
    let mut theirs = add(&tiny::model(), size, None, fresh(1)).unwrap();
    theirs = add(&theirs, sex, Some(3), fresh(2)).unwrap();
    theirs = add(&theirs, beard, Some(4), fresh(3)).unwrap();
    let expected = logits(&theirs);
    for name in ["mask", "gender", "age"] {
        theirs = remove(&theirs, name).unwrap();
    }
    let merged = merge(&[tiny::model(), theirs]).unwrap();
    assert_eq!(logits(&merged), expected);
}

#[test]
fn surgery_minds_which_heads_see_which() {
    let file = model();
    refused(
        remove(&file, "look"),
        &["head `shade`, after", "found `look`"],
    );
    let renamed = rename(&file, "look", "view").unwrap();
    assert_eq!(
        renamed.description.model.heads[0].layers.after,
        ["view", "age"]
    );
    let (before, after) = (logits(&file), logits(&renamed));
    assert_eq!(before["shade"], after["shade"]);
    assert_eq!(before["look"], after["view"]);
    let other = HeadSpec::new("look", ["a", "c"]);
    refused(
        replace(&file, "look", other, fresh(1)),
        &["head `shade`, after", "\"b\"", "\"c\""],
    );
    let without = remove(&remove(&file, "shade").unwrap(), "look").unwrap();
    assert_eq!(logits(&without)["age"], before["age"]);
    // A head is taken only to those it has learnt behind.
    let how = Graft::default();
    refused(
        graft(&without, &file, "shade", &how),
        &["head `shade`, after", "`look`", "none"],
    );
    let two = remove(&file, "shade").unwrap();
    let back = graft(
        &two,
        &file,
        "shade",
        &Graft {
            place: Place::At(0),
            ..how.clone()
        },
    );
    assert_eq!(logits(&back.unwrap()), before);
    let strange = reset(&two, "look", 9).unwrap();
    refused(
        graft(&strange, &file, "shade", &how),
        &["head `shade`, after", "another `heads.look."],
    );
    let mut see = HeadSpec::new("see", ["x", "y"]);
    see.layers.after = vec!["nobody".into()];
    refused(
        add(&file, see, None, fresh(1)),
        &["head `see`, after", "found `nobody`"],
    );
    // `shade` stands before those it sees, and comes there in a merged model too.
    let mut alone = file;
    for name in ["mask", "gender"] {
        alone = remove(&alone, name).unwrap();
    }
    let others = remove(&tiny::model(), "age").unwrap();
    let merged = merge(&[others, alone.clone()]).unwrap();
    let names = merged
        .description
        .model
        .heads
        .iter()
        .map(|h| h.name.as_str());
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["mask", "gender", "shade", "age", "look", "near"]);
    assert_eq!(logits(&merged), before);
}

#[test]
fn the_graph_for_onnx_has_the_heads_in_an_order_that_can_be_computed() {
    let file = model();
    let onnx = super::onnx_file::read(&to_bytes(&file).unwrap());
    let faults = super::onnx::faults(&onnx);
    assert!(faults.is_empty(), "{faults:?}");
    let outputs: Vec<&str> = onnx.outputs.iter().map(|(name, _)| name.as_str()).collect();
    let heads = ["shade", "mask", "gender", "age", "look", "near"];
    assert_eq!(outputs[..6], heads);
    for tensor in [
        "heads.look.pool.p",
        "heads.near.pool.query.0",
        "heads.near.pool.query.1",
    ] {
        assert!(onnx.constants.contains_key(tensor), "{tensor}");
    }
}

/// The model with poolings that are not at their first values.
pub fn learnt() -> ModelFile {
    let mut file = model();
    let drawn = |name: &str, dims: &[usize]| {
        crate::common::drawn::tensor(name, dims, candle_core::DType::F32)
    };
    for name in ["heads.near.pool.query", "heads.look.pool.p"] {
        let tensor = drawn(name, file.tensors[name].dims());
        let tensor: Tensor = (tensor.abs().unwrap() * 4.0).unwrap();
        file.tensors.insert(name.into(), (tensor + 1.0).unwrap());
    }
    file
}
