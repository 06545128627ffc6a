//! Heads without their backbone, and heads of several models on one.

use crate::common::tiny;
use hydranet::heads;
use hydranet::heads::{HeadsFile, NewTensors, heads_only, merge};
use hydranet::model_file::heads::apart::backbone_sha256;
use hydranet::{Decision, HeadSpec, JointSpec, Labels, ModelFile, Predictor};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
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

fn glasses(seed: u64) -> (HeadSpec, NewTensors) {
    let spec = HeadSpec::new(format!("glasses{seed}"), ["none", "clear", "dark"])
        .with_hidden((seed % 3) as usize);
    (spec, NewTensors::Fresh { seed })
}

/// The tiny model's backbone under other heads.
fn other(seeds: &[u64]) -> ModelFile {
    let mut file = tiny::model();
    for seed in seeds {
        let (spec, tensors) = glasses(*seed);
        file = heads::add(&file, spec, None, tensors).unwrap();
    }
    for head in ["mask", "gender", "age"] {
        file = heads::remove(&file, head).unwrap();
    }
    file
}

#[test]
fn heads_alone_are_small_and_find_their_backbone_again() {
    let model = tiny::model();
    let heads = heads_only(&model).unwrap();
    let bytes = heads.to_bytes().unwrap();
    let whole = model.to_bytes().unwrap();
    assert!(bytes.len() * 100 < whole.len(), "{}", bytes.len());
    let read = HeadsFile::from_bytes(&bytes, "heads").unwrap();
    assert_eq!(read.to_bytes().unwrap(), bytes);
    // On the model itself, on another with the same backbone, and on the backbone alone.
    for tensors in [&model.tensors, &other(&[1]).tensors] {
        let attached = read.attach(tensors).unwrap();
        assert_eq!(attached.to_bytes().unwrap(), whole);
    }
    let message = read
        .attach(&tiny::build(2).tensors)
        .unwrap_err()
        .to_string();
    let found = backbone_sha256(&tiny::build(2).tensors).unwrap();
    let expected = backbone_sha256(&model.tensors).unwrap();
    for word in [found.as_str(), &expected, "mask, gender, age"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    let message = format!("{:#}", read.attach(&read.tensors).unwrap_err());
    assert!(message.contains("no tensor of a backbone"), "{message}");
}

#[test]
fn the_fingerprint_is_the_documented_one() {
    let model = tiny::model();
    let mut hash = Sha256::new();
    for (name, t) in &model.tensors {
        if name.starts_with("backbone.") {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update((t.rank() as u64).to_le_bytes());
            t.dims()
                .iter()
                .for_each(|d| hash.update((*d as u64).to_le_bytes()));
            let values: Vec<f32> = t.flatten_all().unwrap().to_vec1().unwrap();
            values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
    }
    let expected: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(backbone_sha256(&model.tensors).unwrap(), expected);
    assert_eq!(
        heads_only(&model).unwrap().description.backbone_sha256,
        Some(expected)
    );
}

#[test]
fn each_kind_of_file_says_what_it_is_to_the_wrong_reader() {
    let model = tiny::model();
    let heads = heads_only(&model).unwrap().to_bytes().unwrap();
    let message = ModelFile::from_bytes(&heads, "h.safetensors")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("h.safetensors") && message.contains("attached"),
        "{message}"
    );
    let message = HeadsFile::from_bytes(&model.to_bytes().unwrap(), "m.safetensors");
    let message = format!("{:#}", message.unwrap_err());
    assert!(
        message.contains("m.safetensors") && message.contains("taken out"),
        "{message}"
    );
    let mut broken = heads_only(&model).unwrap();
    broken.tensors.remove("heads.age.fc.bias");
    broken.tensors.insert(
        "heads.hair.fc.bias".into(),
        broken.tensors["heads.mask.fc.bias"].clone(),
    );
    let message = HeadsFile::from_bytes(&broken.to_bytes().unwrap(), "h")
        .unwrap_err()
        .to_string();
    for word in ["heads.age.fc.bias", "heads.hair.fc.bias"] {
        assert!(message.contains(word), "{message}");
    }
    broken = heads_only(&model).unwrap();
    broken.description.backbone_sha256 = None;
    let message = HeadsFile::from_bytes(&broken.to_bytes().unwrap(), "h")
        .unwrap_err()
        .to_string();
    assert!(message.contains("backbone_sha256"), "{message}");
}

#[test]
fn what_cannot_be_merged_is_said() {
    let model = tiny::model();
    let message = merge(&[model.clone(), model.clone()])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("`mask`") && message.contains("rename"),
        "{message}"
    );
    let mut elsewhere = tiny::build(2);
    for head in ["mask", "gender", "age"] {
        elsewhere = heads::rename(&elsewhere, head, &format!("{head}2")).unwrap();
    }
    let message = format!("{:#}", merge(&[model.clone(), elsewhere]).unwrap_err());
    assert!(message.contains("backbone"), "{message}");
    assert!(merge(&[]).is_err());
    assert_eq!(
        merge(std::slice::from_ref(&model))
            .unwrap()
            .to_bytes()
            .unwrap(),
        model.to_bytes().unwrap()
    );
}

#[test]
fn conditions_and_impossible_combinations_come_along_and_decisions_do_not() {
    let mut model = tiny::model();
    model.description.decision = Decision {
        min_confidence: 0.5,
        ..Decision::default()
    };
    let mut theirs = other(&[3, 4, 5]);
    let one = |head: &str, label: &str| Labels::from([(head.into(), vec![label.into()])]);
    theirs.description.model.heads[1].labels.when = one("glasses3", "dark");
    let mut never = one("glasses3", "none");
    never.extend(one("glasses5", "dark"));
    theirs.description.model.impossible = vec![never];
    theirs.description.classes = theirs.description.model.taxonomy().unwrap().class_names();
    let merged = merge(&[model.clone(), theirs.clone()]).unwrap();
    let spec = &merged.description.model;
    assert_eq!(
        spec.heads[4].labels.when,
        theirs.description.model.heads[1].labels.when
    );
    assert_eq!(spec.impossible, theirs.description.model.impossible);
    assert_eq!(merged.description.decision, Decision::default());
    let classes = model.description.classes.len() * theirs.description.classes.len();
    assert_eq!(merged.description.classes.len(), classes);
    let bytes = merged.to_bytes().unwrap();
    ModelFile::from_bytes(&bytes, "merged").unwrap();
    // A joint head would be for other classes.
    let mut with_joint = theirs;
    with_joint.description.model.joint = Some(JointSpec::default());
    let classes = with_joint.description.classes.len();
    for (part, shape) in [("weight", vec![classes, 1280]), ("bias", vec![classes])] {
        let zeros =
            candle_core::Tensor::zeros(shape, candle_core::DType::F32, &candle_core::Device::Cpu);
        with_joint
            .tensors
            .insert(format!("joint.fc.{part}"), zeros.unwrap());
    }
    let merged = merge(&[with_joint, model]).unwrap();
    assert!(merged.description.model.joint.is_none());
    assert!(!merged.tensors.keys().any(|k| k.starts_with("joint.")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn merged_heads_say_what_they_said_to_the_last_bit(
        groups in prop::sample::subsequence((1u64..9).collect::<Vec<_>>(), 2..6).prop_shuffle(),
        cut in 1usize..5,
        first in any::<bool>(),
    ) {
        let cut = cut.min(groups.len() - 1);
        let (a, b) = groups.split_at(cut);
        let mut parts = vec![other(a), other(b)];
        parts.insert(if first { 0 } else { 2 }, tiny::model());
        let expected: BTreeMap<_, _> = parts.iter().flat_map(logits).collect();
        // Through files without the backbone.
        let heads: Vec<HeadsFile> = parts
            .iter()
            .map(|p| HeadsFile::from_bytes(&heads_only(p).unwrap().to_bytes().unwrap(), "heads").unwrap())
            .collect();
        let attached: Vec<ModelFile> =
            heads.iter().map(|h| h.attach(&tiny::model().tensors).unwrap()).collect();
        let merged = merge(&attached).unwrap();
        prop_assert_eq!(logits(&merged), expected);
        let order: Vec<String> = parts
            .iter()
            .flat_map(|p| p.description.model.heads.iter().map(|h| h.name.clone()))
            .collect();
        let found: Vec<String> =
            merged.description.model.heads.iter().map(|h| h.name.clone()).collect();
        prop_assert_eq!(found, order);
    }
}
