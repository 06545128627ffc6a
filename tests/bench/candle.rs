//! EfficientNet-Lite0 out of candle's own layers.

use super::training::{LABELS, cross_entropy};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Optimizer as _, VarBuilder, VarMap};

/// The network.
pub struct Theirs {
    layers: Vec<(candle_nn::Conv2d, candle_nn::BatchNorm, bool)>,
    /// (first layer, layers, residual) of each block.
    blocks: Vec<(usize, usize, bool)>,
    heads: Vec<candle_nn::Linear>,
    optimizer: candle_nn::AdamW,
}

impl Theirs {
    pub fn new() -> Result<Self> {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let (mut layers, mut blocks) = (Vec::new(), Vec::new());
        let mut add =
            |(i, o): (usize, usize), k: usize, s: usize, g: usize, act: bool| -> Result<()> {
                let config = candle_nn::Conv2dConfig {
                    stride: s,
                    padding: k / 2,
                    groups: g,
                    ..Default::default()
                };
                let vb = vb.pp(layers.len());
                layers.push((
                    candle_nn::conv2d_no_bias(i, o, k, config, vb.pp("c"))?,
                    candle_nn::batch_norm(o, 1e-3, vb.pp("n"))?,
                    act,
                ));
                Ok(())
            };
        add((3, 32), 3, 2, 1, true)?;
        blocks.push((0, 1, false));
        let (mut inputs, mut at) = (32, 1);
        for (n, k, s, e, o) in [
            (1, 3, 1, 1, 16),
            (2, 3, 2, 6, 24),
            (2, 5, 2, 6, 40),
            (3, 3, 2, 6, 80),
            (3, 5, 1, 6, 112),
            (4, 5, 2, 6, 192),
            (1, 3, 1, 6, 320),
        ] {
            for b in 0..n {
                let (mid, stride, start) = (inputs * e, if b == 0 { s } else { 1 }, at);
                if e > 1 {
                    add((inputs, mid), 1, 1, 1, true)?;
                    at += 1;
                }
                add((mid, mid), k, stride, mid, true)?;
                add((mid, o), 1, 1, 1, false)?;
                at += 2;
                blocks.push((start, at - start, stride == 1 && inputs == o));
                inputs = o;
            }
        }
        add((inputs, 1280), 1, 1, 1, true)?;
        blocks.push((at, 1, false));
        let heads = LABELS
            .iter()
            .enumerate()
            .map(|(i, n)| candle_nn::linear(1280, *n, vb.pp(format!("h{i}"))))
            .collect::<Result<_>>()?;
        let vars = map
            .data()
            .lock()
            .map_err(|_| candle_core::Error::Msg("lock".into()))?
            .iter()
            .filter(|(n, _)| !n.contains("running"))
            .map(|(_, v)| v.clone())
            .collect();
        Ok(Self {
            layers,
            blocks,
            heads,
            optimizer: candle_nn::AdamW::new_lr(vars, 1e-4)?,
        })
    }

    pub fn step(&mut self, images: &Tensor) -> Result<()> {
        let mut x = images.clone();
        for (start, len, residual) in &self.blocks {
            let before = x.clone();
            for (conv, norm, act) in &self.layers[*start..start + len] {
                x = x.apply(conv)?.apply_t(norm, true)?;
                if *act {
                    x = x.clamp(0f32, 6f32)?;
                }
            }
            if *residual {
                x = (x + before)?;
            }
        }
        let features = x.mean((2, 3))?;
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for head in &self.heads {
            loss = (loss + cross_entropy(&features.apply(head)?)?)?;
        }
        self.optimizer.backward_step(&loss)
    }
}
