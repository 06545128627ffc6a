//! A model with random weights, and its training step.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::Optimizer as _;
use hydranet::train::{Group, Optimizer, OptimizerKind, Variables};
use hydranet::{Architecture, BatchNormMode, HeadSpec, InputSpec, Mode, ModelSpec, MultiTaskModel};
use std::collections::BTreeMap;

pub const LABELS: [usize; 3] = [3, 2, 3];

pub fn cross_entropy(logits: &Tensor) -> Result<Tensor> {
    let labels = Tensor::zeros((logits.dim(0)?, 1), DType::U32, logits.device())?;
    candle_nn::ops::log_softmax(logits, D::Minus1)?
        .gather(&labels, 1)?
        .mean_all()?
        .neg()
}

pub fn spec(architecture: Architecture, (h, w): (usize, usize)) -> ModelSpec {
    let names = |n: usize| (0..n).map(|i| i.to_string());
    let heads = LABELS.iter().enumerate();
    let heads = heads.map(|(i, n)| HeadSpec::new(format!("h{i}"), names(*n)));
    let input = InputSpec {
        size: [h, w],
        ..InputSpec::default()
    };
    ModelSpec::new(architecture, heads.collect(), input)
}

#[allow(dead_code)]
pub fn constant(
    architecture: Architecture,
    size: (usize, usize),
) -> hydranet::Result<MultiTaskModel> {
    let variables = Variables::new(BTreeMap::new(), 0, |_| false, |_| true);
    MultiTaskModel::new(&spec(architecture, size), 0.0, &variables.builder())
}

pub struct Training {
    pub model: MultiTaskModel,
    optimizer: Optimizer,
}

impl Training {
    pub fn new(architecture: Architecture, size: (usize, usize)) -> hydranet::Result<Self> {
        let variables = Variables::new(BTreeMap::new(), 0, |_| true, |_| true);
        let model = MultiTaskModel::new(&spec(architecture, size), 0.0, &variables.builder())?;
        let group = Group {
            lr: 1e-4,
            weight_decay: 0.01,
            since: 0,
        };
        let vars = variables.vars().into_values().collect();
        Ok(Self {
            model,
            optimizer: Optimizer::new(vars, (OptimizerKind::AdamW, group))?,
        })
    }

    pub fn step(&mut self, images: &Tensor) -> hydranet::Result<()> {
        let mode = Mode::Train {
            batch_norm: BatchNormMode::Train,
            key: 0,
        };
        let features = self.model.features(images, mode)?;
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for logits in self.model.logits(&features, mode)?.iter() {
            loss = (loss + cross_entropy(logits)?)?;
        }
        Ok(self.optimizer.step(&loss.backward()?)?)
    }
}
