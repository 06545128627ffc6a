//! Swin Transformer (Liu et al. 2021). Tensors are named as in timm.

use super::transformer::{Block, Within};
use super::{Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{Conv, ConvConfig, LayerNorm, Mode, SMALL};
use crate::tape::{Activation, Map, Tape, Weight};
use candle_core::{Result, bail};
use candle_nn::VarBuilder;

/// A Swin Transformer. For images of other sizes than its weights were made for, windows stay as they are, and maps that are not
/// made of whole windows are filled up, as in timm with `dynamic_img_size`.
pub(super) struct Swin {
    patches: Conv,
    norm: LayerNorm,
    stages: Vec<Stage>,
    last: LayerNorm,
}

/// A map of a quarter of the positions with twice the channels, except in the first stage, and blocks over it.
struct Stage {
    smaller: Option<(LayerNorm, Weight)>,
    blocks: Vec<Block>,
}

macro_rules! variants {
    ($($name:literal $tag:literal $repeats:expr,)*) => {
        &[$(Variant {
            name: $name,
            tag: $tag,
            licence: "mit",
            num_features: 8 * WIDTH,
            side: 224,
            crop_pct: 0.9,
            interpolation: Interpolation::Bicubic,
            norm: IMAGENET,
            stages,
            build: |vb, drop_path| Ok(Box::new(Swin::new($repeats, vb, drop_path)?)),
        }),*]
    };
}

#[rustfmt::skip] // A row is a line.
pub(super) const VARIANTS: &[Variant] = variants! {
    "swin_tiny_patch4_window7_224" "ms_in1k" [2, 2, 6, 2],
    "swin_small_patch4_window7_224" "ms_in22k_ft_in1k" [2, 2, 18, 2],
};

/// Channels of the first stage and of a head, the sides of patches and windows.
const WIDTH: usize = 96;
const HEAD: usize = 32;
const PATCH: usize = 4;
const WINDOW: usize = 7;

const EPS: f64 = 1e-5;

fn stages() -> Vec<Vec<String>> {
    let mut stages = numbered(&["patch_embed."], "layers.", 4, &[]);
    stages[4].push("norm.".into());
    stages
}

impl Swin {
    fn new(repeats: [usize; 4], vb: &VarBuilder, drop_path: f32) -> Result<Self> {
        let patches = ConvConfig::patches((3, WIDTH), PATCH, Activation::Identity);
        let count: usize = repeats.iter().sum();
        let (mut width, mut index) = (WIDTH, 0);
        let mut stages = Vec::new();
        for (s, repeats) in repeats.into_iter().enumerate() {
            let vb = vb.pp(format!("layers.{s}"));
            let mut smaller = None;
            if s > 0 {
                let vb = vb.pp("downsample");
                let (norm, shape) = (
                    LayerNorm::new(4 * width, EPS, vb.pp("norm"))?,
                    (2 * width, 4 * width),
                );
                let weight = vb.get_with_hints(shape, "reduction.weight", SMALL)?;
                smaller = Some((norm, Weight::new(weight)));
                width *= 2;
            }
            let mut blocks = Vec::new();
            for b in 0..repeats {
                // The last stage's map is a single window at 224 × 224: timm does not shift there, at any size.
                let shift = if b % 2 == 1 && s < 3 { WINDOW / 2 } else { 0 };
                let rate = drop_path * index as f32 / (count - 1) as f32;
                let vb = vb.pp(format!("blocks.{b}"));
                let heads = width / HEAD;
                let biases = ((2 * WINDOW - 1) * (2 * WINDOW - 1), heads);
                let bias = "attn.relative_position_bias_table";
                let windows = Within {
                    side: WINDOW,
                    shift,
                    bias: vb.get_with_hints(biases, bias, SMALL)?,
                };
                let block = Block::new(width, heads, EPS, &vb, rate, index)?;
                blocks.push(block.within(windows));
                index += 1;
            }
            stages.push(Stage { smaller, blocks });
        }
        Ok(Self {
            patches: Conv::new(patches, vb.pp("patch_embed.proj"))?,
            norm: LayerNorm::new(WIDTH, EPS, vb.pp("patch_embed.norm"))?,
            stages,
            last: LayerNorm::new(width, EPS, vb.pp("norm"))?,
        })
    }

    /// From images to patches.
    fn stem(&self, tape: &mut Tape, images: &Map) -> Result<Map> {
        let (h, w) = images.size();
        if h % PATCH != 0 || w % PATCH != 0 {
            bail!(
                "Swin Transformer: expected an image of whole patches of {PATCH}, found {h} × {w}"
            )
        }
        let x = self.patches.forward(tape, images)?;
        self.norm.forward(tape, &x)
    }
}

impl Network for Swin {
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
        for stage in self.stages.iter().skip(start.saturating_sub(1)) {
            if let Some((norm, weight)) = &stage.smaller {
                let y = tape.merge(&x)?;
                let y = norm.forward(tape, &y)?;
                x = tape.linear(&y, weight, None, Activation::Identity)?;
            }
            for block in &stage.blocks {
                x = block.forward(tape, &x, mode)?;
            }
            each(tape, &mut x)?;
        }
        let x = self.last.forward(tape, &x)?;
        tape.global_avg_pool(&x)
    }

    fn shown(&self, tape: &mut Tape, map: &Map, last: bool) -> Result<Map> {
        if last {
            self.last.forward(tape, map)
        } else {
            Ok(map.clone())
        }
    }
}
