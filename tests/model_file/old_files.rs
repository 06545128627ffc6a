//! Files that an earlier version wrote load, mean the same and are written to the same bytes.
//!
//! Those of `tests/golden/old` are by the commit b8627fa: one epoch over seven photos of `tests/golden` on a frozen backbone,
//! then `calibrate --min-confidence 0.25 --no-novelty` and `export --hugging-face --license mit`. The backbone's values are a
//! short pattern over and over, so that the files are small when they are packed.

use flate2::read::GzDecoder;
use hydranet::model_file::folder;
use hydranet::train::config::Config;
use hydranet::{ModelFile, Predictor};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

const UNPACKED: [&str; 2] = ["config.json", "README.md"];
const PACKED: [&str; 2] = ["model.safetensors", "heads.safetensors"];

fn old(name: &str) -> Vec<u8> {
    std::fs::read(format!("{GOLDEN}/old/{name}")).unwrap()
}

fn unpacked(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = old(&format!("{name}.gz"));
    GzDecoder::new(packed.as_slice())
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

#[test]
fn a_model_file_predicts_as_it_did() {
    let bytes = unpacked("model.safetensors");
    let file = ModelFile::from_bytes(&bytes, "model.safetensors").unwrap();
    assert!(file.to_bytes().unwrap() == bytes);
    let predictor = Predictor::new(&file).unwrap();
    let photo = Path::new(GOLDEN).join("progressive.jpg");
    let found = serde_json::to_value(predictor.predict_file(photo).unwrap()).unwrap();
    let expected: Value = serde_json::from_slice(&old("prediction.json")).unwrap();
    for key in ["class", "name", "abstains"] {
        assert_eq!(found[key], expected[key]);
    }
    let probs = |of: &Value| -> Vec<f64> {
        let heads = of["heads"].as_array().unwrap().iter();
        let probs = heads.flat_map(|h| h["probs"].as_array().unwrap());
        probs.map(|p| p.as_f64().unwrap()).collect()
    };
    for (found, expected) in probs(&found).iter().zip(probs(&expected)) {
        // Sums are taken in another order where the processor has other instructions.
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn a_folder_is_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    std::fs::create_dir(&before).unwrap();
    let file = |name: &str| {
        let path = format!("folder/{name}");
        if PACKED.contains(&name) {
            unpacked(&path)
        } else {
            old(&path)
        }
    };
    for name in PACKED.iter().chain(&UNPACKED) {
        std::fs::write(before.join(name), file(name)).unwrap();
    }
    let model = ModelFile::read(&before).unwrap();
    assert!(model.to_bytes().unwrap() == unpacked("model.safetensors"));
    folder::write(&model, &after, Some("mit")).unwrap();
    for name in PACKED.iter().chain(&UNPACKED) {
        let found = std::fs::read(after.join(name)).unwrap();
        assert!(found == file(name), "{name}");
    }
}

#[test]
fn a_configuration_says_the_same() {
    let path = Path::new(GOLDEN).join("old/config.toml");
    let heads = Path::new(env!("CARGO_MANIFEST_DIR")).join("heads");
    let config = Config::load(&heads, Some(&path), &[]).unwrap();
    let text = String::from_utf8(old("config.toml")).unwrap();
    // What was called otherwise then.
    let text = text.replace("\naccumulate = 1\n", "\nparts = 1\n");
    assert_eq!(config.to_toml().unwrap(), text);
}
