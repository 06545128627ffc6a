//! Heads are changed; everything else stays as it was, to the last bit.

use crate::common::tiny;
use candle_core::{DType, Device, Tensor};
use hydranet::heads;
use hydranet::heads::{Graft, NewTensors, Place};
use hydranet::{Error, HeadSpec, ModelFile, Predictor};
use hydranet::{Tensors, read_tensors, to_bytes};
use std::collections::BTreeMap;

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

fn names(file: &ModelFile) -> Vec<&str> {
    let heads = &file.description.model.heads;
    heads.iter().map(|h| h.name.as_str()).collect()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn fresh(seed: u64) -> NewTensors {
    NewTensors::Fresh { seed }
}

fn glasses() -> HeadSpec {
    HeadSpec::new("glasses", ["none", "clear", "dark"])
}

fn deep_glasses() -> HeadSpec {
    glasses().with_hidden(4)
}

fn problem(result: hydranet::Result<ModelFile>) -> String {
    result.unwrap_err().to_string()
}

fn assert_says(case: &str, message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{case}: no `{word}` in: {message}");
    }
}

#[test]
fn every_operation_leaves_the_other_heads_bit_for_bit() {
    let model = tiny::model();
    let mut other = heads::rename(&model, "mask", "cover").unwrap();
    other = heads::reset(&other, "cover", 5).unwrap();
    let replacing = Graft {
        place: Place::Replacing("gender".into()),
        ..Graft::default()
    };
    let renamed = Graft {
        rename: Some("scarf".into()),
        place: Place::At(0),
        ..Graft::default()
    };
    let gender = heads::head_tensors(&model, "gender").unwrap();
    let male = || HeadSpec::new("sex", ["m", "f"]);
    // (operation, its result, the heads after it, the heads untouched)
    type Case<'a> = (&'a str, ModelFile, &'a [&'a str], &'a [&'a str]);
    let cases: Vec<Case> = vec![
        (
            "replace",
            heads::replace(&model, "gender", deep_glasses(), fresh(1)).unwrap(),
            &["mask", "glasses", "age"],
            &["mask", "age"],
        ),
        (
            "replace",
            heads::replace(&model, "gender", male(), NewTensors::Given(gender)).unwrap(),
            &["mask", "sex", "age"],
            &["mask", "age"],
        ),
        (
            "add",
            heads::add(&model, glasses(), None, fresh(1)).unwrap(),
            &["mask", "gender", "age", "glasses"],
            &["mask", "gender", "age"],
        ),
        (
            "add",
            heads::add(&model, deep_glasses(), Some(1), fresh(1)).unwrap(),
            &["mask", "glasses", "gender", "age"],
            &["mask", "gender", "age"],
        ),
        (
            "remove",
            heads::remove(&model, "mask").unwrap(),
            &["gender", "age"],
            &["gender", "age"],
        ),
        (
            "rename",
            heads::rename(&model, "age", "years").unwrap(),
            &["mask", "gender", "years"],
            &["mask", "gender"],
        ),
        (
            "reset",
            heads::reset(&model, "age", 3).unwrap(),
            &["mask", "gender", "age"],
            &["mask", "gender"],
        ),
        (
            "add",
            heads::graft(&model, &other, "cover", &Graft::default()).unwrap(),
            &["mask", "gender", "age", "cover"],
            &["mask", "gender", "age"],
        ),
        (
            "add",
            heads::graft(&model, &other, "cover", &renamed).unwrap(),
            &["scarf", "mask", "gender", "age"],
            &["mask", "gender", "age"],
        ),
        (
            "replace",
            heads::graft(&model, &other, "cover", &replacing).unwrap(),
            &["mask", "cover", "age"],
            &["mask", "age"],
        ),
    ];
    let before = logits(&model);
    for (operation, file, order, untouched) in cases {
        let case = format!("{operation} giving {order:?}");
        assert_eq!(names(&file), order, "{case}");
        let after = logits(&file);
        for head in untouched {
            assert_eq!(after[*head], before[*head], "{case}: head {head}");
        }
        let classes = file.description.model.taxonomy().unwrap().class_names();
        assert_eq!(file.description.classes, classes, "{case}");
        let training = &file.description.training;
        assert_eq!(training["seed"], 1, "{case}");
        assert_eq!(training["surgery"].as_array().unwrap().len(), 1, "{case}");
        assert_eq!(training["surgery"][0]["operation"], operation, "{case}");
        let bytes = file.to_bytes().unwrap();
        let again = ModelFile::from_bytes(&bytes, &case).unwrap();
        assert_eq!(again.description, file.description, "{case}");
        assert_eq!(again.to_bytes().unwrap(), bytes, "{case}");
    }
}

#[test]
fn a_renamed_head_says_the_same_and_reads_the_same_column() {
    let model = tiny::model();
    let file = heads::rename(&model, "age", "years").unwrap();
    assert_eq!(logits(&file)["years"], logits(&model)["age"]);
    assert_eq!(file.description.model.heads[2].column(), "age");
    let back = heads::rename(&file, "years", "age").unwrap();
    assert_eq!(back.description.model.heads[2].column(), "age");
    let done = back.description.training["surgery"].as_array().unwrap();
    assert_eq!(done.len(), 2);
}

#[test]
fn a_grafted_head_says_what_it_said_in_its_own_model() {
    let model = tiny::model();
    let other = heads::reset(&model, "age", 8).unwrap();
    let how = Graft {
        rename: Some("second_age".into()),
        ..Graft::default()
    };
    let file = heads::graft(&model, &other, "age", &how).unwrap();
    assert_eq!(logits(&file)["second_age"], logits(&other)["age"]);
    assert_ne!(logits(&file)["second_age"], logits(&file)["age"]);
    assert_eq!(file.description.model.heads[3].column(), "age");
}

#[test]
fn a_graft_from_another_backbone_or_input_must_be_allowed() {
    let model = tiny::model();
    let how = Graft {
        place: Place::Replacing("age".into()),
        ..Graft::default()
    };
    let allowed = Graft {
        allow_other_backbone: true,
        ..how.clone()
    };
    let mut other_input = model.clone();
    other_input.description.model.input.size = [48, 48];
    for (case, other, word) in [
        ("tensors", tiny::build(2), "backbone."),
        ("input", other_input, "input"),
    ] {
        let message = problem(heads::graft(&model, &other, "age", &how));
        assert_says(case, &message, &["age", word, "allow_other_backbone"]);
        heads::graft(&model, &other, "age", &allowed).unwrap();
    }
    // One bit of one tensor: 0 and −0 are equal, but not the same.
    let mut signed = model.clone();
    let key = "backbone.bn1.bias";
    signed
        .tensors
        .insert(key.into(), model.tensors[key].neg().unwrap());
    let message = problem(heads::graft(&model, &signed, "age", &how));
    assert_says("sign", &message, &[key]);
}

#[test]
fn fresh_tensors_follow_from_seed_and_name() {
    let model = tiny::model();
    let add = |spec, at, seed| heads::add(&model, spec, at, fresh(seed)).unwrap();
    let tensors = |file: &ModelFile| -> Vec<Vec<f32>> {
        let own = heads::head_tensors(file, "glasses").unwrap();
        own.values().map(values).collect()
    };
    let first = add(deep_glasses(), None, 1);
    assert_eq!(tensors(&first), tensors(&add(deep_glasses(), Some(0), 1)));
    assert_ne!(tensors(&first), tensors(&add(deep_glasses(), None, 2)));
    let own = heads::head_tensors(&first, "glasses").unwrap();
    let keys: Vec<&str> = own.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["fc.bias", "fc.weight", "hidden.bias", "hidden.weight"]
    );
    for (name, inputs) in [("fc", 4.0f32), ("hidden", 1280.0)] {
        let weight = values(&own[&format!("{name}.weight")]);
        let bias = values(&own[&format!("{name}.bias")]);
        let bound = 1.0 / inputs.sqrt();
        assert!(bias.iter().all(|v| v.abs() <= bound), "{name}");
        assert!(weight.iter().all(|v| v.abs() <= bound), "{name}");
        let greatest = weight.iter().fold(0f32, |a, v| a.max(v.abs()));
        assert!(greatest > 0.7 * bound, "{name}: {greatest} of {bound}");
        assert!(weight.iter().any(|v| *v > 0.0) && weight.iter().any(|v| *v < 0.0));
    }
}

#[test]
fn a_heads_tensors_pass_through_a_file_of_their_own() {
    let model = tiny::model();
    let bytes = to_bytes(&heads::head_tensors(&model, "age").unwrap(), None).unwrap();
    let (_, own) = read_tensors(&bytes, "age.safetensors").unwrap();
    let spec = model.description.model.heads[2].clone();
    let emptied = heads::reset(&model, "age", 2).unwrap();
    assert_ne!(logits(&emptied)["age"], logits(&model)["age"]);
    let file = heads::replace(&emptied, "age", spec, NewTensors::Given(own)).unwrap();
    assert_eq!(logits(&file), logits(&model));
}

#[test]
fn training_metadata_of_any_form_is_kept() {
    for (before, kept) in [
        (serde_json::json!(null), "null"),
        (serde_json::json!("by hand"), "\"by hand\""),
        (serde_json::json!({"surgery": "once"}), "once"),
    ] {
        let mut model = tiny::model();
        model.description.training = before;
        let file = heads::remove(&model, "age").unwrap();
        let text = file.description.training.to_string();
        assert!(kept == "null" || text.contains(kept), "{text}");
        let done = file.description.training["surgery"].as_array().unwrap();
        assert_eq!(done.last().unwrap()["operation"], "remove");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let model = tiny::model();
    let alone = heads::remove(&heads::remove(&model, "age").unwrap(), "mask").unwrap();
    let add = |spec, at| heads::add(&model, spec, at, fresh(1));
    let given = |tensors| heads::add(&model, glasses(), None, NewTensors::Given(tensors));
    let tensor = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
    let set = |weight: Tensor| {
        let bias = tensor(&[3], DType::F32);
        Tensors::from([("fc.weight".into(), weight), ("fc.bias".into(), bias)])
    };
    let mut more = set(tensor(&[3, 1280], DType::F32));
    more.insert("hidden.bias".into(), tensor(&[3], DType::F32));
    let taken = || HeadSpec::new("mask", ["a", "b"]);
    let graft = |name: &str, how| heads::graft(&model, &model, name, &how);
    let into = |place| Graft {
        place,
        rename: Some("x".into()),
        ..Graft::default()
    };
    let cases: Vec<(&str, hydranet::Result<ModelFile>, &[&str])> = vec![
        (
            "remove unknown",
            heads::remove(&model, "hat"),
            &["hat", "mask, gender, age"],
        ),
        (
            "remove last",
            heads::remove(&alone, "gender"),
            &["gender", "only head"],
        ),
        (
            "reset unknown",
            heads::reset(&model, "hat", 1),
            &["hat", "mask, gender, age"],
        ),
        (
            "rename unknown",
            heads::rename(&model, "hat", "cap"),
            &["hat"],
        ),
        (
            "rename to taken",
            heads::rename(&model, "age", "mask"),
            &["age", "`mask`"],
        ),
        (
            "rename to itself",
            heads::rename(&model, "age", "age"),
            &["`age`"],
        ),
        (
            "rename to no name",
            heads::rename(&model, "age", "a.b"),
            &["a.b", "letters"],
        ),
        ("add taken", add(taken(), None), &["mask", "twice"]),
        (
            "add too far",
            add(glasses(), Some(4)),
            &["glasses", "below 4"],
        ),
        (
            "add invalid",
            add(HeadSpec::new("one", ["a"]), None),
            &["one", "at least two"],
        ),
        (
            "replace unknown",
            heads::replace(&model, "hat", glasses(), fresh(1)),
            &["hat", "mask, gender, age"],
        ),
        (
            "replace by taken",
            heads::replace(&model, "age", taken(), fresh(1)),
            &["mask", "twice"],
        ),
        (
            "missing",
            given(Tensors::new()),
            &["missing", "heads.glasses.fc.weight"],
        ),
        (
            "misshapen",
            given(set(tensor(&[3, 7], DType::F32))),
            &["[3, 7]", "[3, 1280]"],
        ),
        (
            "integers",
            given(set(tensor(&[3, 1280], DType::I64))),
            &["I64", "floating"],
        ),
        (
            "unexpected",
            given(more),
            &["unexpected", "heads.glasses.hidden.bias"],
        ),
        (
            "graft taken",
            graft("age", Graft::default()),
            &["age", "twice"],
        ),
        ("graft unknown", graft("hat", Graft::default()), &["hat"]),
        (
            "graft too far",
            graft("age", into(Place::At(9))),
            &["x", "below 4"],
        ),
        (
            "graft in an unknown place",
            graft("age", into(Place::Replacing("hat".into()))),
            &["hat"],
        ),
    ];
    for (case, result, words) in cases {
        assert_says(case, &problem(result), words);
    }
    assert!(matches!(
        heads::head_tensors(&model, "hat"),
        Err(Error::UnknownName { .. })
    ));
}

#[test]
fn a_head_with_other_thresholds_has_other_labels_and_the_decision_for_those_before_goes() {
    let mut model = tiny::model();
    model.description.decision.temperature = 2.0;
    let same = model.description.model.heads[2].clone();
    let kept = heads::replace(&model, "age", same.clone(), fresh(3)).unwrap();
    assert_eq!(kept.description.decision, model.description.decision);
    let spec = same.with_thresholds([25.0, 55.0]);
    let other = heads::replace(&model, "age", spec, fresh(3)).unwrap();
    assert_eq!(other.description.decision.temperature, 1.0);
    let done = &other.description.training["surgery"][0];
    assert_eq!(done["decision"], "the product again");
}
