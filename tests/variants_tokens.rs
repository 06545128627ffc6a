//! Every ConvNeXt, ViT, DINOv2 and Swin variant against timm: names and shapes of its tensors, and what is known of its input.
//! `tests/golden/make_variants_tokens.py` made the file, and says what is in it.

mod golden;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use hydranet::Mode;
use hydranet::backbone::Architecture;
use hydranet::train::variables::is_buffer;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Deserialize)]
struct Variant {
    parameters: usize,
    tensors: String,
    num_features: usize,
    mean: [f32; 3],
    std: [f32; 3],
    crop_pct: f64,
    interpolation: String,
    side: usize,
    tag: Option<String>,
}

/// Notes what is asked for, and gives one zero spread to any shape.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<BTreeMap<String, Vec<usize>>>>);

impl SimpleBackend for Asked {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let before = self
            .0
            .lock()
            .unwrap()
            .insert(name.into(), shape.dims().into());
        assert!(before.is_none(), "{name} is asked for twice");
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} is asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

#[test]
fn every_variant_has_the_tensors_and_the_input_of_timm() {
    let variants: BTreeMap<String, Variant> =
        serde_json::from_value(golden::json("variants_tokens.json")).unwrap();
    let families = ["convnext", "vit_", "deit", "swin_"];
    let ours = Architecture::all().filter(|a| families.iter().any(|f| a.name().starts_with(f)));
    let mut count = 0;
    for architecture in ours {
        count += 1;
        let name = architecture.name();
        let timm = &variants[name];
        let asked = Asked::default();
        let backend = Box::new(asked.clone());
        let builder = VarBuilder::from_backend(backend, DType::F32, Device::Cpu);
        let net = architecture.build(builder, 0.0).unwrap();
        let tensors = asked.0.lock().unwrap();
        let lines: String = tensors
            .iter()
            .map(|(name, shape)| {
                let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
                format!("{name} {}\n", shape.join("x"))
            })
            .collect();
        let digest = Sha256::digest(lines.as_bytes());
        let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest, timm.tensors, "{name}: {lines}");
        let parameters = tensors.iter().filter(|(name, _)| !is_buffer(name));
        let parameters: usize = parameters.map(|(_, s)| s.iter().product::<usize>()).sum();
        assert_eq!(parameters, timm.parameters, "{name}");
        for tensor in tensors.keys() {
            let stages = architecture.stages();
            let prefixes = stages.iter().flatten();
            let stages = prefixes.filter(|p| tensor.starts_with(p.as_str())).count();
            assert_eq!(stages, 1, "{name} {tensor}");
        }

        assert_eq!(net.num_features(), timm.num_features, "{name}");
        assert_eq!(architecture.num_features(), timm.num_features, "{name}");
        let input = architecture.input();
        assert_eq!((input.mean, input.std), (timm.mean, timm.std), "{name}");
        assert_eq!(input.size, [timm.side; 2], "{name}");
        let interpolation = serde_json::to_value(input.interpolation).unwrap();
        assert_eq!(interpolation, timm.interpolation.as_str(), "{name}");
        assert_eq!(architecture.crop_pct(), timm.crop_pct, "{name}");
        let hub = timm.tag.as_ref().map(|tag| format!("timm/{name}.{tag}"));
        assert_eq!(architecture.hub_name(), hub);
    }
    assert_eq!(count, variants.len());
}

/// A network of zeros.
fn zeros(name: &str) -> Box<dyn hydranet::Backbone> {
    let builder = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let architecture = Architecture::from_name(name).unwrap();
    architecture.build(builder, 0.0).unwrap()
}

fn image(height: usize, width: usize) -> Tensor {
    Tensor::ones((1, 3, height, width), DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn an_image_that_is_not_made_of_whole_patches_is_an_error_that_says_so() {
    for (name, patch) in [
        ("swin_tiny_patch4_window7_224", 4),
        ("vit_small_patch14_reg4_dinov2", 14),
        ("vit_tiny_patch16_224", 16),
    ] {
        let net = zeros(name);
        for (height, width) in [(2 * patch, patch + 1), (patch - 1, patch), (0, patch)] {
            let error = net.features(&image(height, width), Mode::Eval);
            let (error, says) = (
                error.unwrap_err().to_string(),
                format!("of whole patches of {patch}, found {height} × {width}"),
            );
            assert!(error.contains(&says), "{name}: {error}");
        }
    }
}

#[test]
fn a_network_shows_the_map_of_each_stage() {
    let tokens = |count: usize, width| vec![vec![1, width, 1, count]; 13];
    let maps = |sizes: [(usize, usize, usize); 5]| sizes.map(|(c, h, w)| vec![1, c, h, w]);
    for (name, (height, width), expected) in [
        ("deit_tiny_patch16_224", (32, 16), tokens(3, 192)),
        ("vit_small_patch14_dinov2", (28, 42), tokens(7, 384)),
        ("vit_small_patch14_reg4_dinov2", (28, 42), tokens(11, 384)),
        (
            "swin_tiny_patch4_window7_224",
            (36, 20),
            maps([
                (96, 9, 5),
                (96, 9, 5),
                (192, 5, 3),
                (384, 3, 2),
                (768, 2, 1),
            ])
            .into(),
        ),
        (
            "convnextv2_atto",
            (64, 32),
            maps([
                (40, 16, 8),
                (40, 16, 8),
                (80, 8, 4),
                (160, 4, 2),
                (320, 2, 1),
            ])
            .into(),
        ),
    ] {
        let found = zeros(name).feature_maps(&image(height, width), Mode::Eval);
        let found: Vec<Vec<usize>> = found.unwrap().iter().map(|m| m.dims().to_vec()).collect();
        assert_eq!(found, expected, "{name}");
    }
}
