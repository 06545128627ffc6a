//! A model file of EfficientNet-Lite0 read by the guide's chapter `file_format`, without hydranet: `read_file MODEL`. The image is
//! a pattern of the model's own size.

use candle_core::{D, Device, Result, Tensor, safetensors};
use candle_nn::ops::softmax;
use serde_json::Value;
use std::collections::HashMap;

struct Net(HashMap<String, Tensor>);

impl Net {
    fn get(&self, name: &str) -> Result<&Tensor> {
        let found = self.0.get(name);
        found.ok_or_else(|| candle_core::Error::Msg(format!("there is no `{name}`")))
    }

    /// A convolution with TensorFlow's padding, and batch normalisation with its ε.
    fn conv_norm(&self, x: &Tensor, conv: &str, norm: &str, stride: usize) -> Result<Tensor> {
        let weight = self.get(&format!("backbone.{conv}.weight"))?;
        let (kernel, channels) = (weight.dim(2)?, x.dim(1)?);
        let groups = channels / weight.dim(1)?;
        let pad = |x: Tensor, axis| {
            let side: usize = x.dim(axis)?;
            let pad = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
            x.pad_with_zeros(axis, pad / 2, pad - pad / 2)
        };
        let x = pad(pad(x.clone(), 2)?, 3)?.conv2d(weight, 0, stride, 1, groups)?;
        let of = |name: &str| {
            self.get(&format!("backbone.{norm}.{name}"))?
                .reshape((1, (), 1, 1))
        };
        let scale = (of("weight")? / (of("running_var")? + 1e-3)?.sqrt()?)?;
        x.broadcast_sub(&of("running_mean")?)?
            .broadcast_mul(&scale)?
            .broadcast_add(&of("bias")?)
    }

    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let relu6 = |x: Tensor| x.clamp(0f32, 6f32);
        let mut x = relu6(self.conv_norm(images, "conv_stem", "bn1", 2)?)?;
        for (stage, first) in [1, 2, 2, 2, 1, 2, 1].into_iter().enumerate() {
            for block in 0.. {
                let at = |name: &str| format!("blocks.{stage}.{block}.{name}");
                if !self
                    .0
                    .contains_key(&format!("backbone.{}", at("conv_dw.weight")))
                {
                    break;
                }
                let (before, stride) = (x.clone(), if block == 0 { first } else { 1 });
                let norm = if stage == 0 {
                    x = relu6(self.conv_norm(&x, &at("conv_dw"), &at("bn1"), stride)?)?;
                    self.conv_norm(&x, &at("conv_pw"), &at("bn2"), 1)?
                } else {
                    x = relu6(self.conv_norm(&x, &at("conv_pw"), &at("bn1"), 1)?)?;
                    x = relu6(self.conv_norm(&x, &at("conv_dw"), &at("bn2"), stride)?)?;
                    self.conv_norm(&x, &at("conv_pwl"), &at("bn3"), 1)?
                };
                x = if before.dims() == norm.dims() {
                    (before + norm)?
                } else {
                    norm
                };
            }
        }
        relu6(self.conv_norm(&x, "conv_head", "bn2", 1)?)?.mean((2, 3))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::read(std::env::args().nth(1).unwrap_or_default())?;
    let length = u64::from_le_bytes(bytes[..8].try_into()?) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length])?;
    let text = header["__metadata__"]["hydranet"]
        .as_str()
        .unwrap_or_default();
    let said: Value = serde_json::from_str(text)?;
    let net = Net(safetensors::load_buffer(&bytes, &Device::Cpu)?);

    let input = &said["model"]["input"];
    let number = |of: &Value| of.as_f64().unwrap_or_default() as f32;
    let [height, width] = [0, 1].map(|i| input["size"][i].as_u64().unwrap_or_default() as usize);
    let pixel = |c: usize, y: usize, x: usize| ((7 * y + 13 * x + 50 * c) % 256) as f32 / 255.0;
    let planes = (0..3 * height * width).map(|i| {
        let (c, y, x) = (i / (height * width), i / width % height, i % width);
        (pixel(c, y, x) - number(&input["mean"][c])) / number(&input["std"][c])
    });
    let images = Tensor::from_iter(planes, &Device::Cpu)?.reshape((1, 3, height, width))?;

    let features = net.features(&images)?;
    let (mut class, mut prob) = (0, 1.0);
    for head in said["model"]["heads"].as_array().into_iter().flatten() {
        let fc = format!("heads.{}.fc", head["name"].as_str().unwrap_or_default());
        let logits = features.matmul(&net.get(&format!("{fc}.weight"))?.t()?)?;
        let logits = logits.broadcast_add(net.get(&format!("{fc}.bias"))?)?;
        let probs = softmax(&logits, D::Minus1)?.squeeze(0)?;
        let best = probs.argmax(0)?.to_scalar::<u32>()? as usize;
        class = class * probs.dim(0)? + best;
        prob *= probs.get(best)?.to_scalar::<f32>()?;
    }
    println!(
        "{} {prob:.6}",
        said["classes"][class].as_str().unwrap_or_default()
    );
    Ok(())
}
