//! Vision transformer (Dosovitskiy et al. 2020). Tensors are named as in timm.

use super::{Each, HALVES, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{Conv, ConvConfig, LayerNorm, Linear, Mode, Padding, residual};
use crate::ops::{Activation, Map, Tape, resample_pos_embed};
use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// A vision transformer whose features are those of its class token.
pub(super) struct VisionTransformer {
    patches: Conv,
    class_token: Tensor,
    /// `(1, 1 + grid · grid, width)`.
    positions: Tensor,
    grid: usize,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

/// Attention and a perceptron of two layers, each behind a norm and beside a shortcut.
struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    projection: Linear,
    wide: Linear,
    narrow: Linear,
    heads: usize,
    drop_path: f32,
    index: u64,
}

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "vit_tiny_patch16_224",
    tag: "augreg_in21k_ft_in1k",
    num_features: 192,
    side: 224,
    crop_pct: 0.9,
    interpolation: Interpolation::Bicubic,
    norm: HALVES,
    stages: || {
        let first = ["cls_token", "pos_embed", "patch_embed."];
        let mut stages = numbered(&first, "blocks.", 12, &[]);
        stages[12].push("norm.".into());
        stages
    },
    build: |vb, drop_path| Ok(Box::new(VisionTransformer::new(vb, drop_path)?)),
}];

const EPS: f64 = 1e-6;
const PATCH: usize = 16;

impl VisionTransformer {
    fn new(vb: &VarBuilder, drop_path: f32) -> Result<Self> {
        let (width, depth, heads, grid) = (192, 12, 3, 14);
        let patches = ConvConfig {
            inputs: 3,
            outputs: width,
            kernel: PATCH,
            stride: PATCH,
            groups: 1,
            padding: Padding::None,
            activation: Activation::Identity,
        };
        let small = Init::Randn {
            mean: 0.0,
            stdev: 0.02,
        };
        let blocks = (0..depth)
            .map(|b| {
                let vb = vb.pp(format!("blocks.{b}"));
                Ok(Block {
                    norms: [
                        LayerNorm::new(width, EPS, vb.pp("norm1"))?,
                        LayerNorm::new(width, EPS, vb.pp("norm2"))?,
                    ],
                    qkv: Linear::small(width, 3 * width, vb.pp("attn.qkv"))?,
                    projection: Linear::small(width, width, vb.pp("attn.proj"))?,
                    wide: Linear::small(width, 4 * width, vb.pp("mlp.fc1"))?,
                    narrow: Linear::small(4 * width, width, vb.pp("mlp.fc2"))?,
                    heads,
                    drop_path: drop_path * b as f32 / (depth - 1) as f32,
                    index: b as u64,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            patches: Conv::new(patches, vb.pp("patch_embed.proj"))?,
            class_token: vb.get_with_hints((1, 1, width), "cls_token", small)?,
            positions: vb.get_with_hints((1, 1 + grid * grid, width), "pos_embed", small)?,
            grid,
            blocks,
            norm: LayerNorm::new(width, EPS, vb.pp("norm"))?,
        })
    }
}

impl Block {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let [first, second] = &self.norms;
        let none = Activation::Identity;
        let y = first.forward(tape, x)?;
        let y = self.qkv.on_tape(tape, &y, none)?;
        let y = tape.attention(&y, self.heads)?;
        let y = self.projection.on_tape(tape, &y, none)?;
        let x = residual(tape, x, &y, self.drop_path, mode, 2 * self.index)?;
        let y = second.forward(tape, &x)?;
        let y = self.wide.on_tape(tape, &y, Activation::Gelu)?;
        let y = self.narrow.on_tape(tape, &y, none)?;
        residual(tape, &x, &y, self.drop_path, mode, 2 * self.index + 1)
    }
}

impl Network for VisionTransformer {
    fn run(&self, tape: &mut Tape, images: &Map, mode: Mode, each: &mut Each) -> Result<Map> {
        let (h, w) = images.size();
        if h == 0 || w == 0 || h % PATCH != 0 || w % PATCH != 0 {
            bail!(
                "vision transformer: expected an image of whole patches of {PATCH}, found {h} × {w}"
            )
        }
        let grid = (h / PATCH, w / PATCH);
        let positions = match grid == (self.grid, self.grid) {
            true => self.positions.clone(),
            false => resample_pos_embed(&self.positions, 1, (self.grid, self.grid), grid)?,
        };
        let x = self.patches.forward(tape, images)?;
        let mut x = tape.tokens(&x, &self.class_token, &positions)?;
        each(tape, &x)?;
        for block in &self.blocks {
            x = block.forward(tape, &x, mode)?;
            each(tape, &x)?;
        }
        let x = tape.token(&x, 0)?;
        self.norm.forward(tape, &x)
    }
}
