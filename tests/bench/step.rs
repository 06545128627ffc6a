//! Throughput of EfficientNet-Lite0 side by side: hydranet, candle's own operators, and PyTorch if there is one.
//!
//! `cargo bench --bench step -- [--batch 16] [--size 224x224] [--rounds 3] [--no-candle] [--python PYTHON]`
//!
//! A training step is forward, cross-entropy of three heads, backward and AdamW, batch norm in train mode; images a second, higher
//! is better. Contestants take turns, round by round; the ratio printed is the median of the rounds' ratios.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Optimizer as _, VarBuilder, VarMap};
use hydranet::layers::{BatchNormMode, Mode};
use hydranet::train::optim::{Group, Optimizer, OptimizerKind};
use hydranet::train::variables::Variables;
use hydranet::{Architecture, HeadSpec, InputSpec, ModelSpec, MultiTaskModel};
use std::collections::BTreeMap;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LABELS: [usize; 3] = [3, 2, 3];

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    hydranet::ops::keep_freed_memory();
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        let value = if arg == "--no-candle" {
            String::new()
        } else {
            args.next().unwrap_or_default()
        };
        options.insert(arg, value);
    }
    let number = |key: &str, default: usize| {
        options
            .get(key)
            .and_then(|v| v.parse().ok())
            .unwrap_or(default)
    };
    let (batch, rounds) = (number("--batch", 16), number("--rounds", 3));
    let size = options.get("--size").map_or("224x224", String::as_str);
    let (h, w) = size
        .split_once('x')
        .and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)))
        .ok_or("--size HxW")?;

    let images = Tensor::randn(0f32, 1.0, (batch, 3, h, w), &Device::Cpu)?;
    let mut ours = Ours::new()?;
    let mut theirs = Theirs::new()?;
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    ours.step(&images)?;
    for round in 0..rounds {
        let rate = measure(batch, 3, || ours.step(&images))?;
        rates.entry("hydranet train").or_default().push(rate);
        let rate = measure(batch, 3, || ours.infer(&images))?;
        rates.entry("hydranet infer").or_default().push(rate);
        if !options.contains_key("--no-candle") {
            // A few photos and one step: a step of sixteen takes a minute.
            let few = images.narrow(0, 0, batch.min(2))?;
            let rate = measure(few.dim(0)?, 1, || theirs.step(&few))?;
            rates.entry("candle train").or_default().push(rate);
        }
        if let Some(python) = options.get("--python") {
            for (name, value) in peer(python, batch, h, w)? {
                rates
                    .entry(if name.contains("train") {
                        "pytorch train"
                    } else {
                        "pytorch infer"
                    })
                    .or_default()
                    .push(value);
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    println!(
        "EfficientNet-Lite0, batch {batch}, {h} × {w}, {} threads; img/s",
        rayon::current_num_threads()
    );
    for (name, values) in &rates {
        println!(
            "{name:15} median {:8.2}   rounds {values:.2?}",
            median(values)
        );
    }
    for (a, b) in [
        ("hydranet train", "candle train"),
        ("hydranet train", "pytorch train"),
        ("hydranet infer", "pytorch infer"),
    ] {
        if let (Some(x), Some(y)) = (rates.get(a), rates.get(b)) {
            let ratios: Vec<f64> = x.iter().zip(y).map(|(x, y)| x / y).collect();
            println!(
                "{a} / {b}: median {:.2}   rounds {ratios:.2?}",
                median(&ratios)
            );
        }
    }
    Ok(())
}

fn measure<E>(
    images: usize,
    steps: usize,
    mut f: impl FnMut() -> std::result::Result<(), E>,
) -> std::result::Result<f64, E> {
    let start = Instant::now();
    for _ in 0..steps {
        f()?;
    }
    Ok((images * steps) as f64 / start.elapsed().as_secs_f64())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs `peer.py`, which prints one JSON line a measurement.
fn peer(
    python: &str,
    batch: usize,
    h: usize,
    w: usize,
) -> std::result::Result<Vec<(String, f64)>, Box<dyn std::error::Error>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peer.py");
    let (batch, (h, w), threads) = (
        batch.to_string(),
        (h.to_string(), w.to_string()),
        rayon::current_num_threads().to_string(),
    );
    let out = std::process::Command::new(python)
        .args([
            script,
            "--batch",
            &batch,
            "--size",
            &h,
            &w,
            "--threads",
            &threads,
        ])
        .output()?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned().into());
    }
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let value: serde_json::Value = serde_json::from_str(line)?;
        found.push((
            value["what"].as_str().unwrap_or("").to_string(),
            value["img_per_s"].as_f64().unwrap_or(0.0),
        ));
    }
    Ok(found)
}

fn cross_entropy(logits: &Tensor) -> Result<Tensor> {
    let labels = Tensor::zeros((logits.dim(0)?, 1), DType::U32, logits.device())?;
    candle_nn::ops::log_softmax(logits, D::Minus1)?
        .gather(&labels, 1)?
        .mean_all()?
        .neg()
}

struct Ours {
    model: MultiTaskModel,
    /// The same network over constants, for inference.
    constant: MultiTaskModel,
    optimizer: Optimizer,
}

impl Ours {
    fn new() -> hydranet::Result<Self> {
        let names = |n: usize| (0..n).map(|i| i.to_string());
        let heads = LABELS
            .iter()
            .enumerate()
            .map(|(i, n)| HeadSpec::new(format!("h{i}"), names(*n)))
            .collect();
        let spec = ModelSpec {
            backbone: Architecture::TfEfficientnetLite0,
            heads,
            input: InputSpec::default(),
        };
        let variables = Variables::new(BTreeMap::new(), 0, |_| true, |_| true);
        let model = MultiTaskModel::new(&spec, 0.0, &variables.builder())?;
        let group = Group {
            lr: 1e-4,
            weight_decay: 0.01,
        };
        let vars = variables
            .vars()
            .into_iter()
            .map(|(n, v)| (n, (v, group)))
            .collect();
        let constant = Variables::new(BTreeMap::new(), 0, |_| false, |_| true);
        let constant = MultiTaskModel::new(&spec, 0.0, &constant.builder())?;
        Ok(Self {
            model,
            constant,
            optimizer: Optimizer::new(OptimizerKind::AdamW, vars),
        })
    }

    fn step(&mut self, images: &Tensor) -> hydranet::Result<()> {
        let mode = Mode::Train {
            batch_norm: BatchNormMode::Train,
            key: 0,
        };
        let features = self.model.features(images, mode)?;
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for logits in self.model.logits(&features, mode)? {
            loss = (loss + cross_entropy(&logits)?)?;
        }
        let grads = self.optimizer.collect(&loss.backward()?)?;
        self.optimizer.step(&grads, 1.0, 1.0)
    }

    fn infer(&self, images: &Tensor) -> hydranet::Result<()> {
        let features = self.constant.features(images, Mode::Eval)?;
        self.constant.logits(&features, Mode::Eval).map(|_| ())
    }
}

/// The same network out of candle's own layers.
struct Theirs {
    layers: Vec<(candle_nn::Conv2d, candle_nn::BatchNorm, bool)>,
    /// (first layer, layers, residual) of each block.
    blocks: Vec<(usize, usize, bool)>,
    heads: Vec<candle_nn::Linear>,
    optimizer: candle_nn::AdamW,
}

impl Theirs {
    fn new() -> Result<Self> {
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

    fn step(&mut self, images: &Tensor) -> Result<()> {
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
