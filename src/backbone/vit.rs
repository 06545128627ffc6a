//! Vision transformers (Dosovitskiy et al. 2020): those of Steiner et al. 2021, DeiT (Touvron et al. 2020), DeiT III (Touvron et
//! al. 2022) and DINOv2 (Oquab et al. 2023; with registers, Darcet et al. 2023). Tensors are named as in timm.

use super::transformer::Block;
use super::{Each, HALVES, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{Conv, ConvConfig, LayerNorm, Mode, SMALL};
use crate::tape::{Activation, Map, Tape, resample_pos_embed};
use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

/// A vision transformer whose features are those of its class token.
pub(super) struct VisionTransformer {
    shape: &'static Shape,
    patches: Conv,
    class_token: Tensor,
    /// `(1, registers, width)`.
    registers: Option<Tensor>,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

/// What tells the variants apart.
struct Shape {
    heads: usize,
    patch: usize,
    /// Rows and columns of patches that the position embedding is for.
    grid: usize,
    registers: usize,
    /// Whether the class token has a place in the position embedding.
    class_has_position: bool,
    /// First value of the scales of the blocks' results, if they are scaled.
    scale: Option<f64>,
}

/// Channels of a head, and blocks.
const HEAD: usize = 64;
const DEPTH: usize = 12;

const EPS: f64 = 1e-6;

macro_rules! variants {
    ($($name:literal $tag:literal $crop_pct:literal $norm:ident $shape:expr,)*) => {
        &[$(Variant {
            name: $name,
            tag: $tag,
            licence: "apache-2.0",
            num_features: $shape.heads * HEAD,
            side: $shape.grid * $shape.patch,
            crop_pct: $crop_pct,
            interpolation: Interpolation::Bicubic,
            norm: $norm,
            stages,
            build: |vb, drop_path| {
                const SHAPE: &Shape = &$shape;
                Ok(Box::new(VisionTransformer::new(SHAPE, vb, drop_path)?))
            },
        }),*]
    };
}

#[rustfmt::skip] // A row is a line.
pub(super) const VARIANTS: &[Variant] = variants! {
    "vit_tiny_patch16_224" "augreg_in21k_ft_in1k" 0.9 HALVES plain(3),
    "vit_small_patch16_224" "augreg_in21k_ft_in1k" 0.9 HALVES plain(6),
    "vit_base_patch16_224" "augreg2_in21k_ft_in1k" 0.9 HALVES plain(12),
    "deit_tiny_patch16_224" "fb_in1k" 0.9 IMAGENET plain(3),
    "deit_small_patch16_224" "fb_in1k" 0.9 IMAGENET plain(6),
    "deit_base_patch16_224" "fb_in1k" 0.9 IMAGENET plain(12),
    "deit3_small_patch16_224" "fb_in1k" 0.9 IMAGENET deit3(6),
    "deit3_base_patch16_224" "fb_in1k" 0.9 IMAGENET deit3(12),
    "vit_small_patch14_dinov2" "lvd142m" 1.0 IMAGENET dinov2(6),
    "vit_base_patch14_dinov2" "lvd142m" 1.0 IMAGENET dinov2(12),
    "vit_small_patch14_reg4_dinov2" "lvd142m" 1.0 IMAGENET with_registers(6),
    "vit_base_patch14_reg4_dinov2" "lvd142m" 1.0 IMAGENET with_registers(12),
};

const fn plain(heads: usize) -> Shape {
    Shape {
        heads,
        patch: 16,
        grid: 14,
        registers: 0,
        class_has_position: true,
        scale: None,
    }
}

const fn deit3(heads: usize) -> Shape {
    Shape {
        class_has_position: false,
        scale: Some(1e-6),
        ..plain(heads)
    }
}

const fn dinov2(heads: usize) -> Shape {
    Shape {
        patch: 14,
        grid: 37,
        scale: Some(1e-5),
        ..plain(heads)
    }
}

const fn with_registers(heads: usize) -> Shape {
    Shape {
        registers: 4,
        class_has_position: false,
        ..dinov2(heads)
    }
}

fn stages() -> Vec<Vec<String>> {
    let first = ["cls_token", "reg_token", "pos_embed", "patch_embed."];
    let mut stages = numbered(&first, "blocks.", DEPTH, &[]);
    stages[DEPTH].push("norm.".into());
    stages
}

impl VisionTransformer {
    fn new(shape: &'static Shape, vb: &VarBuilder, drop_path: f32) -> Result<Self> {
        let width = shape.heads * HEAD;
        let patches = ConvConfig::patches((3, width), shape.patch, Activation::Identity);
        let blocks = (0..DEPTH)
            .map(|b| {
                let rate = drop_path * b as f32 / (DEPTH - 1) as f32;
                let vb = vb.pp(format!("blocks.{b}"));
                let block = Block::new(width, shape.heads, EPS, &vb, rate, b as u64)?;
                match shape.scale {
                    None => Ok(block),
                    Some(init) => block.scaled(width, init, &vb),
                }
            })
            .collect::<Result<_>>()?;
        let tokens = |count, name| vb.get_with_hints((1, count, width), name, SMALL);
        let positions = usize::from(shape.class_has_position) + shape.grid * shape.grid;
        Ok(Self {
            shape,
            patches: Conv::new(patches, vb.pp("patch_embed.proj"))?,
            class_token: tokens(1, "cls_token")?,
            registers: match shape.registers {
                0 => None,
                count => Some(tokens(count, "reg_token")?),
            },
            positions: tokens(positions, "pos_embed")?,
            blocks,
            norm: LayerNorm::new(width, EPS, vb.pp("norm"))?,
        })
    }

    /// The tokens before the patches, and the positions for a grid of patches.
    fn prefix_and_positions(&self, grid: (usize, usize)) -> Result<(Tensor, Tensor)> {
        let prefix = match &self.registers {
            None => self.class_token.clone(),
            Some(registers) => Tensor::cat(&[&self.class_token, registers], 1)?,
        };
        let (of_class, from) = (self.shape.class_has_position.into(), self.shape.grid);
        let positions = resample_pos_embed(&self.positions, of_class, (from, from), grid)?;
        Ok((prefix, positions))
    }

    /// From images to tokens.
    fn stem(&self, tape: &mut Tape, images: &Map) -> Result<Map> {
        let ((h, w), patch) = (images.size(), self.shape.patch);
        if h % patch != 0 || w % patch != 0 {
            bail!(
                "vision transformer: expected an image of whole patches of {patch}, found {h} × {w}"
            )
        }
        let (prefix, positions) = self.prefix_and_positions((h / patch, w / patch))?;
        let x = self.patches.forward(tape, images)?;
        tape.tokens(&x, &prefix, &positions)
    }
}

impl Network for VisionTransformer {
    fn run(
        &self,
        tape: &mut Tape,
        (from, start): (&Map, usize),
        mode: Mode,
        each: &mut Each,
    ) -> Result<Map> {
        let mut x = from.clone();
        if start == 0 {
            x = self.stem(tape, from)?;
            each(tape, &mut x)?;
        }
        for block in self.blocks.iter().skip(start.saturating_sub(1)) {
            x = block.forward(tape, &x, mode)?;
            each(tape, &mut x)?;
        }
        let x = tape.token(&x, 0)?;
        self.norm.forward(tape, &x)
    }

    /// The patches, without the class token and registers.
    fn shown(&self, tape: &mut Tape, map: &Map, last: bool) -> Result<Map> {
        let normed = if last {
            self.norm.forward(tape, map)?
        } else {
            map.clone()
        };
        let (_, tokens) = normed.size();
        let prefix = 1 + self.shape.registers;
        tape.tokens_from(&normed, prefix, tokens - prefix)
    }
}
