//! A model file of EfficientNet-Lite0 read by the guide's chapter `file_format`, without hydranet: `read_file MODEL`. The image is
//! a pattern of the model's own size.

use candle_core::{D, DType, Device, Result, Tensor, safetensors};
use candle_nn::{VarBuilder, ops::softmax};
use serde_json::Value;

/// A convolution with TensorFlow's padding, and batch normalisation with its ε.
fn conv_norm(x: &Tensor, conv: VarBuilder, norm: VarBuilder, stride: usize) -> Result<Tensor> {
    let weight = conv.get_unchecked("weight")?;
    let (kernel, groups) = (weight.dim(2)?, x.dim(1)? / weight.dim(1)?);
    let pad = |x: &Tensor, axis| {
        let side: usize = x.dim(axis)?;
        let pad = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
        x.pad_with_zeros(axis, pad / 2, pad - pad / 2)
    };
    let x = pad(&pad(x, 2)?, 3)?.conv2d(&weight, 0, stride, 1, groups)?;
    let of = |name: &str| norm.get_unchecked(name)?.reshape((1, (), 1, 1));
    let scale = (of("weight")? / (of("running_var")? + 1e-3)?.sqrt()?)?;
    let x = x.broadcast_sub(&of("running_mean")?)?;
    x.broadcast_mul(&scale)?.broadcast_add(&of("bias")?)
}

fn features(net: &VarBuilder, images: &Tensor) -> Result<Tensor> {
    let relu6 = |x: Tensor| x.clamp(0f32, 6f32);
    let mut x = relu6(conv_norm(images, net.pp("conv_stem"), net.pp("bn1"), 2)?)?;
    for (stage, first) in [1, 2, 2, 2, 1, 2, 1].into_iter().enumerate() {
        let convs = ["conv_pw", "conv_dw", "conv_pwl"];
        let convs = if stage == 0 {
            &["conv_dw", "conv_pw"]
        } else {
            &convs[..]
        };
        for block in 0.. {
            let at = net.pp(format!("blocks.{stage}.{block}"));
            if !at.contains_tensor("conv_dw.weight") {
                break;
            }
            let mut y = x.clone();
            for (i, conv) in convs.iter().enumerate() {
                let stride = if block == 0 && *conv == "conv_dw" {
                    first
                } else {
                    1
                };
                y = conv_norm(&y, at.pp(conv), at.pp(format!("bn{}", i + 1)), stride)?;
                y = if i + 1 < convs.len() { relu6(y)? } else { y };
            }
            x = if x.dims() == y.dims() { (x + y)? } else { y };
        }
    }
    relu6(conv_norm(&x, net.pp("conv_head"), net.pp("bn2"), 1)?)?.mean((2, 3))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::read(std::env::args().nth(1).unwrap_or_default())?;
    let length = u64::from_le_bytes(bytes[..8].try_into()?) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length])?;
    let text = header["__metadata__"]["hydranet"].as_str();
    let said: Value = serde_json::from_str(text.unwrap_or_default())?;
    let tensors = safetensors::load_buffer(&bytes, &Device::Cpu)?;
    let file = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);

    let input = &said["model"]["input"];
    let number = |of: &Value| of.as_f64().unwrap_or_default() as f32;
    let [height, width] = [0, 1].map(|i| input["size"][i].as_u64().unwrap_or_default() as usize);
    let pixel = |c: usize, y: usize, x: usize| ((7 * y + 13 * x + 50 * c) % 256) as f32 / 255.0;
    let planes = (0..3 * height * width).map(|i| {
        let (c, y, x) = (i / (height * width), i / width % height, i % width);
        (pixel(c, y, x) - number(&input["mean"][c])) / number(&input["std"][c])
    });
    let images = Tensor::from_iter(planes, &Device::Cpu)?.reshape((1, 3, height, width))?;

    let features = features(&file.pp("backbone"), &images)?;
    let (mut class, mut prob) = (0, 1.0);
    for head in said["model"]["heads"].as_array().into_iter().flatten() {
        let fc = format!("heads.{}.fc", head["name"].as_str().unwrap_or_default());
        let logits = features.matmul(&file.get_unchecked(&format!("{fc}.weight"))?.t()?)?;
        let logits = logits.broadcast_add(&file.get_unchecked(&format!("{fc}.bias"))?)?;
        let probs = softmax(&logits, D::Minus1)?.squeeze(0)?;
        let best = probs.argmax(0)?.to_scalar::<u32>()? as usize;
        class = class * probs.dim(0)? + best;
        prob *= probs.get(best)?.to_scalar::<f32>()?;
    }
    let name = said["classes"][class].as_str();
    println!("{} {prob:.6}", name.unwrap_or_default());
    Ok(())
}
