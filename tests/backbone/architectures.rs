//! Every architecture beside timm's of its name: the tensors it is built of, and what is known of its pretrained weights.
//! `tests/golden/make_architectures.py` made the values.

use crate::common::golden;
use crate::common::recorded;
use hydranet::{Architecture, Interpolation};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Known {
    tag: String,
    licence: String,
    num_features: usize,
    side: usize,
    crop_pct: f64,
    interpolation: Interpolation,
    mean: [f32; 3],
    std: [f32; 3],
    parameters: usize,
    tensors: usize,
    hash: String,
}

fn known() -> BTreeMap<String, Known> {
    serde_json::from_value(golden::json("architectures.json")).unwrap()
}

/// FNV-1a of the lines `name dimension …`.
fn hash(shapes: &recorded::Shapes) -> String {
    let lines = shapes.iter().map(|(name, shape)| {
        let sizes = shape.iter().map(|d| format!(" {d}"));
        format!("{name}{}\n", sizes.collect::<String>())
    });
    let text: String = lines.collect();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[test]
fn every_architecture_is_built_of_the_tensors_of_timm() {
    let known = known();
    let mut failed = Vec::new();
    for architecture in Architecture::all() {
        let Some(theirs) = known.get(architecture.name()) else {
            failed.push(format!("{architecture}: not among timm's"));
            continue;
        };
        let shapes = recorded::shapes(architecture);
        let ours = (
            shapes.len(),
            recorded::parameters(&shapes),
            hash(&shapes),
            architecture.num_features(),
        );
        let theirs = (
            theirs.tensors,
            theirs.parameters,
            theirs.hash.clone(),
            theirs.num_features,
        );
        if ours != theirs {
            failed.push(format!(
                "{architecture} (tensors, parameters, hash, features): {ours:?}, timm's {theirs:?}"
            ));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(known.len(), Architecture::all().count());
}

#[test]
fn every_architecture_sees_photos_as_the_pretrained_weights_of_timm() {
    let known = known();
    for architecture in Architecture::all() {
        let theirs = &known[architecture.name()];
        let input = architecture.input();
        let hub = (!theirs.tag.is_empty()).then(|| format!("timm/{architecture}.{}", theirs.tag));
        assert_eq!(architecture.hub_name(), hub);
        assert_eq!(architecture.licence(), theirs.licence, "{architecture}");
        assert_eq!(input.size, [theirs.side; 2], "{architecture}");
        assert_eq!(input.crop, None, "{architecture}");
        assert_eq!(architecture.crop_pct(), theirs.crop_pct, "{architecture}");
        assert_eq!(input.interpolation, theirs.interpolation, "{architecture}");
        // timm rounds the Lite family's (x − 127) / 128 to halves.
        let tolerance = if architecture.name().contains("_lite") {
            0.0025
        } else {
            0.0
        };
        let ours = input.mean.into_iter().chain(input.std);
        for (ours, theirs) in ours.zip(theirs.mean.into_iter().chain(theirs.std)) {
            assert!((ours - theirs).abs() <= tolerance, "{architecture}: {ours}");
        }
    }
}

#[test]
fn every_tensor_belongs_to_one_stage_and_every_stage_has_one() {
    for architecture in Architecture::all() {
        let stages = architecture.stages();
        let shapes = recorded::shapes(architecture);
        let mut held = vec![0; stages.len()];
        for tensor in shapes.keys() {
            let mut count = 0;
            for (prefixes, held) in stages.iter().zip(&mut held) {
                for _ in prefixes.iter().filter(|p| tensor.starts_with(p.as_str())) {
                    count += 1;
                    *held += 1;
                }
            }
            assert_eq!(count, 1, "{architecture} {tensor}");
        }
        assert!(!held.contains(&0), "{architecture}: {held:?}");
    }
}
