//! Networks of candle-transformers. Needs the feature `transformers`.
//!
//! | networks | can be fine-tuned | tensors are named as in | usual weights |
//! |---|---|---|---|
//! | CLIP's image half | no, without gradients | `transformers` | `openai/clip-…` |
//! | SigLIP's image half | no, without gradients | `transformers` | `google/siglip-…` |
//! | EVA-02 | no, without gradients | timm | `timm/eva02_…` |
//! | DINOv2, with and without registers | no, without gradients | timm | `timm/vit_…_dinov2.lvd142m` |
//! | MobileOne | no, weights are folded | timm | `timm/mobileone_…` |
//! | ConvNeXt, the large ones | yes | timm | `timm/convnext_…` |
//! | MobileNetV4, the large one | yes, batch norm frozen | timm | `timm/mobilenetv4_conv_large.…` |
//!
//! Each is what candle-transformers computes, which is not always what PyTorch does: DINOv2 has the approximation of GELU by tanh
//! and, without registers, an ε of 1e-5 in its norms, and the class token beside the mean of the patches as features. Hiera and
//! the smallest MobileOne are left out: candle's compute something else than timm's with the same weights.

use super::{Entry, Module, Sizes, Training};
use crate::backbone::{HALVES, numbered};
use crate::input::Interpolation;
use crate::tape::Tape;
use candle_core::{Device, Module as _, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use candle_transformers::models::dinov2::DinoVisionTransformer;
use candle_transformers::models::eva2::EVA2VisionTransformer;
use candle_transformers::models::{convnext, dinov2reg4, mobilenetv4, mobileone, siglip};

/// CLIP's mean and deviation of each channel.
const CLIP: [[f32; 3]; 2] = [
    [0.481_454_66, 0.457_827_5, 0.408_210_73],
    [0.268_629_54, 0.261_302_6, 0.275_777_1],
];

/// The shipped entries.
#[rustfmt::skip] // A row is a line.
pub(super) const ENTRIES: &[Entry] = &[
    // name, weights, features, side, stages, network
    of_clip("vit_base_patch32_clip_224", "openai/clip-vit-base-patch32", 768, 224, || towers(12),
        |vb| clip(&ClipVisionConfig::vit_base_patch32(), vb)),
    of_clip("vit_large_patch14_clip_336", "openai/clip-vit-large-patch14-336", 1024, 336, || towers(24),
        |vb| clip(&ClipVisionConfig::clip_vit_large_patch14_336(), vb)),
    of_siglip("vit_base_patch16_siglip_224", "google/siglip-base-patch16-224", 768, 224, || towers(12),
        |vb| siglip(&siglip::Config::base_patch16_224().vision_config, vb)),
    of_eva("eva02_base_patch14_448", "timm/eva02_base_patch14_448.mim_in22k_ft_in22k_in1k", 768, || blocks(12),
        |vb| eva02([12, 768, 12], vb)),
    of_eva("eva02_large_patch14_448", "timm/eva02_large_patch14_448.mim_m38m_ft_in22k_in1k", 1024, || blocks(24),
        |vb| eva02([24, 1024, 16], vb)),
    Entry {
        sizes: Sizes::Square { step: 14, least: 14 },
        ..of_dino("dinov2_vits14", "timm/vit_small_patch14_dinov2.lvd142m", 768, |vb| dinov2([12, 384, 6], vb))
    },
    of_dino("dinov2_vits14_reg4", "timm/vit_small_patch14_reg4_dinov2.lvd142m", 384, |vb| dinov2_registers([12, 384, 6], vb)),
    of_dino("dinov2_vitb14_reg4", "timm/vit_base_patch14_reg4_dinov2.lvd142m", 768, |vb| dinov2_registers([12, 768, 12], vb)),
    of_mobileone("mobileone_s1", "timm/mobileone_s1.apple_in1k", 1280, |vb| mobileone(&mobileone::Config::s1(), vb)),
    of_mobileone("mobileone_s2", "timm/mobileone_s2.apple_in1k", 2048, |vb| mobileone(&mobileone::Config::s2(), vb)),
    of_mobileone("mobileone_s3", "timm/mobileone_s3.apple_in1k", 2048, |vb| mobileone(&mobileone::Config::s3(), vb)),
    of_convnext("convnext_large", "timm/convnext_large.fb_in22k_ft_in1k", 1536,
        |vb| convnext(&convnext::Config::large(), 1536, vb)),
    of_convnext("convnext_xlarge", "timm/convnext_xlarge.fb_in22k_ft_in1k", 2048,
        |vb| convnext(&convnext::Config::xlarge(), 2048, vb)),
    Entry {
        crop_pct: 0.95,
        sizes: Sizes::Square { step: 32, least: 64 },
        training: Training::Full,
        classifier: "classifier",
        absent: |name| LARGE_LACKS.iter().any(|part| name.contains(part)),
        stages: || numbered(&["conv_stem.", "bn1."], "blocks.", 5, &["conv_head.", "norm_head."]),
        ..entry("mobilenetv4_conv_large", "timm/mobilenetv4_conv_large.e600_r384_in1k", 1280, 384,
            |vb| mobilenetv4(&mobilenetv4::Config::large(), vb))
    },
];

/// What of a universal bottleneck MobileNetV4's large variant does without.
#[rustfmt::skip]
const LARGE_LACKS: [&str; 8] = [
    "layer_scale.", "blocks.2.10.dw_mid.", "blocks.3.4.dw_mid.", "blocks.3.6.dw_mid.", "blocks.3.7.dw_mid.",
    "blocks.3.10.dw_mid.", "blocks.3.11.dw_mid.", "blocks.3.12.dw_mid.",
];

type Build = fn(VarBuilder) -> Result<Module>;
type Stages = fn() -> Vec<Vec<String>>;

const fn entry(
    name: &'static str,
    weights: &'static str,
    num_features: usize,
    side: usize,
    build: Build,
) -> Entry {
    Entry {
        weights,
        ..Entry::new(name, num_features, side, build)
    }
}

const fn normalised([mean, std]: [[f32; 3]; 2], entry: Entry) -> Entry {
    Entry { mean, std, ..entry }
}

const fn of_clip(
    name: &'static str,
    weights: &'static str,
    num_features: usize,
    side: usize,
    stages: Stages,
    build: Build,
) -> Entry {
    Entry {
        part: VISION,
        training: Training::NoGradient("vision_model.embeddings.class_embedding"),
        stages,
        ..normalised(CLIP, entry(name, weights, num_features, side, build))
    }
}

const fn of_siglip(
    name: &'static str,
    weights: &'static str,
    num_features: usize,
    side: usize,
    stages: Stages,
    build: Build,
) -> Entry {
    Entry {
        part: VISION,
        training: Training::NoGradient("vision_model.embeddings.patch_embedding.bias"),
        stages,
        ..normalised(HALVES, entry(name, weights, num_features, side, build))
    }
}

const fn of_eva(
    name: &'static str,
    weights: &'static str,
    num_features: usize,
    stages: Stages,
    build: Build,
) -> Entry {
    Entry {
        single: true,
        training: Training::NoGradient("blocks.0.attn.k_proj.weight"),
        classifier: "head",
        renamed: &[("norm.", "fc_norm.")],
        given: rotations,
        stages,
        ..normalised(CLIP, entry(name, weights, num_features, 448, build))
    }
}

const fn of_dino(
    name: &'static str,
    weights: &'static str,
    num_features: usize,
    build: Build,
) -> Entry {
    Entry {
        single: true,
        training: Training::NoGradient("blocks.0.attn.proj.bias"),
        classifier: "head",
        stages: || blocks(12),
        ..entry(name, weights, num_features, 518, build)
    }
}

const fn of_mobileone(
    name: &'static str,
    weights: &'static str,
    num_features: usize,
    build: Build,
) -> Entry {
    Entry {
        crop_pct: 0.9,
        interpolation: Interpolation::Bilinear,
        sizes: Sizes::Any,
        training: Training::FoldedWeights,
        // Only the largest variant has squeeze-and-excitation.
        absent: |name| name.contains(".attn."),
        stages: || numbered(&["stem."], "stages.", 4, &[]),
        ..entry(name, weights, num_features, 224, build)
    }
}

const fn of_convnext(
    name: &'static str,
    weights: &'static str,
    num_features: usize,
    build: Build,
) -> Entry {
    Entry {
        crop_pct: 0.875,
        // Where the last map is of one pixel, candle's layer norm takes another path, without a backward.
        sizes: Sizes::Square {
            step: 32,
            least: 64,
        },
        training: Training::Full,
        // Of the second version.
        absent: |name| name.contains(".grn."),
        stages: || {
            let mut stages = numbered(&["stem."], "stages.", 4, &[]);
            stages[4].push("head.norm.".into());
            stages
        },
        ..entry(name, weights, num_features, 224, build)
    }
}

/// The half of a network of images and texts that sees the images.
const VISION: &str = "vision_model.";

/// Stages of such a half: patches, layers, what follows them.
fn towers(layers: usize) -> Vec<Vec<String>> {
    let within = |name| format!("{VISION}{name}");
    let stages = numbered(
        &["embeddings.", "pre_layrnorm."],
        "encoder.layers.",
        layers,
        &["post_layernorm.", "head."],
    );
    let within = |stage: Vec<String>| stage.into_iter().map(within).collect();
    stages.into_iter().map(within).collect()
}

/// Stages of timm's transformers.
fn blocks(count: usize) -> Vec<Vec<String>> {
    let first = ["patch_embed.", "cls_token", "reg_token", "pos_embed"];
    numbered(&first, "blocks.", count, &["norm.", "fc_norm.", "head."])
}

/// EVA-02's rotary position embedding (Su et al. 2021) of 32 × 32 patches on a scale of 16 and of heads of 64 numbers: `(1024,
/// 128)`, sines and then cosines. timm does not save it.
fn rotations(name: &str) -> Result<Option<Tensor>> {
    if name != "rot_pos_embed" {
        return Ok(None);
    }
    let mut rows = Vec::with_capacity(1024 * 128);
    for place in 0..1024 {
        let angles = [place / 32, place % 32].into_iter().flat_map(|at| {
            let at = f64::from(at) / 32.0 * 16.0;
            (0..16).map(move |band| at / 10_000f64.powf(f64::from(band) / 16.0))
        });
        let angles: Vec<f64> = angles.flat_map(|a| [a, a]).collect();
        rows.extend(angles.iter().map(|a| a.sin()));
        rows.extend(angles.iter().map(|a| a.cos()));
    }
    Tensor::from_vec(rows, (1024, 128), &Device::Cpu).map(Some)
}

/// CLIP's image half (Radford et al. 2021).
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn clip(config: &ClipVisionConfig, vb: VarBuilder) -> Result<Module> {
    let network = ClipVisionTransformer::new(vb.pp("vision_model"), config)?;
    Ok(Box::new(network))
}

/// SigLIP's image half (Zhai et al. 2023) with its attention pooling.
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn siglip(config: &siglip::VisionConfig, vb: VarBuilder) -> Result<Module> {
    let network = siglip::VisionModel::new(config, true, vb.pp("vision_model"))?;
    Ok(Box::new(network))
}

/// EVA-02 (Fang et al. 2023) of so many blocks, of such a width, of so many attention heads of 64 numbers each.
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn eva02([depth, width, heads]: [usize; 3], vb: VarBuilder) -> Result<Module> {
    let network = EVA2VisionTransformer::new(vb, depth, width, heads)?;
    Ok(Box::new(network))
}

/// DINOv2 (Oquab et al. 2023) of so many blocks, of such a width, of so many attention heads. Features are the class token and
/// the mean of the patches.
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn dinov2([depth, width, heads]: [usize; 3], vb: VarBuilder) -> Result<Module> {
    let network = DinoVisionTransformer::new(vb, depth, width, heads)?;
    Ok(Box::new(network))
}

/// DINOv2 with registers (Darcet et al. 2023) of so many blocks, of such a width, of so many attention heads. Features are the
/// class token.
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn dinov2_registers([depth, width, heads]: [usize; 3], vb: VarBuilder) -> Result<Module> {
    let network = dinov2reg4::DinoVisionTransformer::new(vb, depth, width, heads)?;
    Ok(Box::new(network))
}

/// MobileOne (Vasu et al. 2022).
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn mobileone(config: &mobileone::Config, vb: VarBuilder) -> Result<Module> {
    Ok(Box::new(mobileone::mobileone_no_final_layer(config, vb)?))
}

/// ConvNeXt (Liu et al. 2022) whose last stage has `width` channels. Its last norm is this library's: candle's has no backward.
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn convnext(config: &convnext::Config, width: usize, vb: VarBuilder) -> Result<Module> {
    let norm = vb.pp("head.norm");
    let gamma = norm.get_with_hints(width, "weight", Init::Const(1.0))?;
    let beta = norm.get_with_hints(width, "bias", Init::Const(0.0))?;
    let network = convnext::convnext_no_final_layer(config, vb)?;
    Ok(Box::new(candle_nn::func(move |images: &Tensor| {
        let features = network.forward(images)?.unsqueeze(2)?.unsqueeze(3)?;
        let (mut tape, x) = Tape::new(&features)?;
        let y = tape.layer_norm(&x, &gamma, &beta, 1e-6)?;
        tape.finish(&y)?.flatten_from(1)
    })))
}

/// MobileNetV4 (Qin et al. 2024).
///
/// # Errors
/// If `vb` lacks a tensor.
pub fn mobilenetv4(config: &mobilenetv4::Config, vb: VarBuilder) -> Result<Module> {
    Ok(Box::new(mobilenetv4::mobilenetv4(config, 1, vb)?))
}
