//! Vision transformer (Dosovitskiy et al. 2020). Tensors are named as in timm.

use super::Backbone;
use crate::layers::{Conv, ConvConfig, LayerNorm, Linear, Mode, Padding, residual};
use crate::ops::{Activation, Map, Tape, resample_pos_embed};
use candle_core::{Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// A vision transformer whose features are those of its class token.
pub struct VisionTransformer {
    patches: Conv,
    class_token: Tensor,
    /// `(1, 1 + grid · grid, width)`.
    positions: Tensor,
    grid: usize,
    blocks: Vec<Block>,
    norm: LayerNorm,
    width: usize,
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

const EPS: f64 = 1e-6;
const PATCH: usize = 16;

impl VisionTransformer {
    /// ViT-Tiny with patches of 16 over tensors named as in timm's `vit_tiny_patch16_224`. Other image sizes than 224 × 224 are
    /// welcome, in whole patches; the position embeddings are resampled as timm does.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn tiny(vb: VarBuilder, drop_path: f32) -> Result<Self> {
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
            width,
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

impl Backbone for VisionTransformer {
    fn num_features(&self) -> usize {
        self.width
    }

    fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let (_, _, h, w) = images.dims4()?;
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
        let (mut tape, x) = Tape::new(images)?;
        let x = self.patches.forward(&mut tape, &x)?;
        let mut x = tape.tokens(&x, &self.class_token, &positions)?;
        for block in &self.blocks {
            x = block.forward(&mut tape, &x, mode)?;
        }
        let x = tape.token(&x, 0)?;
        let x = self.norm.forward(&mut tape, &x)?;
        tape.finish(&x)?.flatten_from(1)
    }
}
