//! The trainable layers of a head.

use super::inputs::Inputs;
use super::loss_kind::LossKind;
use super::number::Sums;
use super::ordinal::{borders, label_log_probs};
use super::pool::Pool;
use super::spec::HeadSpec;
use crate::error::{Error, Result};
use crate::layers::{Linear, Mode, dropout};
use crate::tape::linear;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};

/// Values of all heads' layers: 1 GiB, so that a small file cannot ask for all memory.
const MAX_VALUES: usize = 1 << 28;

/// Refuses heads whose layers, each over so many features, would take more than 1 GiB.
pub(crate) fn check_layers<'a>(heads: impl Iterator<Item = (&'a HeadSpec, usize)>) -> Result<()> {
    let mut sum = 0usize;
    for (head, num_features) in heads {
        let outputs = head.num_scores();
        let values = match head.layers.hidden {
            0 => num_features.saturating_mul(outputs),
            hidden => hidden.saturating_mul(num_features.saturating_add(outputs)),
        };
        sum = sum.saturating_add(values);
        if sum > MAX_VALUES {
            return Err(Error::Invalid {
                what: format!("head `{}`, hidden and labels", head.name),
                expected: format!(
                    "at most {MAX_VALUES} values in the layers of all heads together"
                ),
                found: format!(
                    "{values} values: {num_features} features, hidden {}, {outputs} labels or bins",
                    head.layers.hidden
                ),
            });
        }
    }
    Ok(())
}

/// The trainable layers of one head: the pooling of what it reads, dropout, an optional hidden layer with ReLU, and a linear
/// layer to the outputs.
#[derive(Clone, Debug)]
pub struct Head {
    inputs: Inputs,
    pool: Pool,
    dropout: f32,
    hidden: Option<Linear>,
    fc: Last,
    readout: Readout,
    stream: u64,
}

/// From a head's outputs to its labels.
#[derive(Clone, Debug)]
pub(crate) struct Readout {
    loss: LossKind,
    sums: Option<Sums>,
}

impl Readout {
    pub(crate) fn new(spec: &HeadSpec) -> Self {
        Self {
            loss: spec.loss.kind.clone(),
            sums: spec.sums(),
        }
    }

    /// Whether the outputs are the labels' logits as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.sums.is_none() && !self.loss.is_cumulative()
    }

    /// The labels that so many outputs tell.
    fn num_labels(&self, outputs: usize) -> usize {
        let borders = usize::from(self.loss.is_cumulative());
        self.sums
            .as_ref()
            .map_or(outputs + borders, Sums::num_labels)
    }

    /// The labels' logits of one photo, which are log-probabilities where they are not the outputs.
    pub(crate) fn logits(&self, outputs: &[f32]) -> Vec<f32> {
        match &self.sums {
            Some(sums) => sums.log_probs(outputs),
            None if self.loss.is_cumulative() => label_log_probs(&self.loss, outputs),
            None => outputs.to_vec(),
        }
    }
}

/// The last layer.
#[derive(Clone, Debug)]
enum Last {
    Linear(Linear),
    /// One vector of weights `(1, inputs)` for all outputs, a bias `(outputs)`, and `start` `(outputs)`, which the bias counts
    /// from.
    Shared {
        weight: Tensor,
        bias: Tensor,
        start: Tensor,
    },
}

impl Last {
    fn new(
        loss: &LossKind,
        inputs: usize,
        targets: usize,
        vb: VarBuilder,
    ) -> candle_core::Result<Self> {
        let outputs = loss.num_outputs(targets);
        if *loss != LossKind::Coral {
            return Ok(Self::Linear(Linear::new(inputs, outputs, vb)?));
        }
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Ok(Self::Shared {
            weight: vb.get_with_hints((1, inputs), "weight", init)?,
            bias: vb.get_with_hints(outputs, "bias", Init::Const(0.0))?,
            start: Tensor::new(borders(outputs), vb.device())?.to_dtype(vb.dtype())?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Linear(layer) => layer.forward(x),
            Self::Shared { weight, .. } => linear(x, weight, None)?.broadcast_add(&self.bias()?),
        }
    }

    /// What is added to each output.
    fn bias(&self) -> candle_core::Result<Tensor> {
        match self {
            Self::Linear(layer) => Ok(layer.bias().clone()),
            Self::Shared { bias, start, .. } => bias + start,
        }
    }

    fn weight(&self) -> &Tensor {
        match self {
            Self::Linear(layer) => layer.weight(),
            Self::Shared { weight, .. } => weight,
        }
    }
}

impl Head {
    /// Over the tensors or variables of `vb`. `index`, the head's place in the model, keeps the dropout of several heads apart.
    ///
    /// # Shapes
    /// - `hidden.weight` `(hidden, num_features)` and `hidden.bias` `(hidden)`, if there is a hidden layer;
    /// - `fc.weight` `(num_labels, inputs)` and `fc.bias` `(num_labels)`, `inputs` being `hidden`, or `num_features` without it;
    /// - where it predicts a number, a row a bin in place of one a label;
    /// - with the loss `corn`, `fc.weight` `(num_labels − 1, inputs)` and `fc.bias` `(num_labels − 1)`;
    /// - with `coral`, `fc.weight` `(1, inputs)` and `fc.bias` `(num_labels − 1)`, which counts from borders two apart:
    ///   output k is w·x + bias_k + (num_labels − 2) − 2k.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the specification is not valid, the head reads more than features (`pool`, `from_stage`, `after`,
    /// `own_stages` or `crop`: such a head is part of a model, see [`MultiTaskModel::new`](crate::MultiTaskModel::new)), or the layers would be
    /// empty or take more than 1 GiB; [`Error::Candle`] if `vb` lacks a tensor.
    pub fn new(spec: &HeadSpec, num_features: usize, index: usize, vb: VarBuilder) -> Result<Self> {
        if !spec.layers.reads_features() {
            return Err(Error::Invalid {
                what: format!("head `{}`, built over features alone", spec.name),
                expected: "neither pool, from_stage, after, own_stages nor crop, which are of a model's heads".into(),
                found: "one of them".into(),
            });
        }
        Self::over(
            spec,
            Inputs::features(num_features, num_features),
            index,
            vb,
        )
    }

    /// The same over what it reads of a model. There are besides
    ///
    /// - with the pooling `gem`, `pool.p` `(maps)`;
    /// - with `attention`, `pool.query` `(1, channels of all maps)`.
    pub(crate) fn over(
        spec: &HeadSpec,
        reads: Inputs,
        index: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        spec.validate()?;
        let num_features = reads.width();
        if num_features == 0 {
            return Err(Error::Invalid {
                what: format!("head `{}`, the features it is over", spec.name),
                expected: "at least one".into(),
                found: "none".into(),
            });
        }
        check_layers(std::iter::once((spec, num_features)))?;
        let (hidden, inputs) = match spec.layers.hidden {
            0 => (None, num_features),
            width => {
                let hidden = Linear::new(num_features, width, vb.pp("hidden"))?;
                (Some(hidden), width)
            }
        };
        let fc = Last::new(&spec.loss.kind, inputs, spec.num_scores(), vb.pp("fc"))?;
        let pool = Pool::new(spec.layers.pool, &reads.channels(), &vb.pp("pool"))?;
        Ok(Self {
            inputs: reads,
            pool,
            dropout: spec.layers.dropout as f32,
            hidden,
            fc,
            readout: Readout::new(spec),
            // Streams below 2³² are the backbone's.
            stream: (1u64 << 32).wrapping_add(index as u64),
        })
    }

    /// Width of the rows of features it is over.
    pub fn num_features(&self) -> usize {
        self.inputs.row
    }

    /// What it reads of a model, and how it pools that.
    pub(crate) fn reads(&self) -> (&Inputs, &Pool) {
        (&self.inputs, &self.pool)
    }

    /// Weight and bias of its linear layers in order, with a ReLU between two. A weight `(1, inputs)` under several biases is
    /// that of all of their outputs.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub(crate) fn linears(&self) -> candle_core::Result<Vec<[Tensor; 2]>> {
        let hidden = self.hidden.as_ref();
        let hidden = hidden.map(|h| [h.weight().clone(), h.bias().clone()]);
        let last = [self.fc.weight().clone(), self.fc.bias()?];
        Ok(hidden.into_iter().chain([last]).collect())
    }

    /// What the head's loss is of: a logit for each label, where it predicts a number one for each bin, or with the losses
    /// `coral` and `corn` one for each border between labels.
    ///
    /// # Shapes
    /// - `features` `(batch, num_features)`
    /// - result `(batch, outputs)`: [`HeadSpec::num_targets`], one fewer with the losses CORAL and CORN
    ///
    /// # Errors
    /// [`Error::Shape`] if the features are others.
    pub fn outputs(&self, features: &Tensor, mode: Mode) -> Result<Tensor> {
        self.outputs_after(features, &[], mode)
    }

    /// The same beside the probabilities `(batch, labels)` of each head it comes after.
    pub(crate) fn outputs_after(
        &self,
        features: &Tensor,
        probs: &[Tensor],
        mode: Mode,
    ) -> Result<Tensor> {
        if !matches!(*features.dims(), [_, width] if width == self.inputs.row) {
            return Err(Error::Shape {
                what: "features".into(),
                expected: format!("(batch, {})", self.inputs.row),
                found: features.dims().to_vec(),
            });
        }
        Ok(self.forward(&self.pooled(features)?, probs, mode)?)
    }

    /// What it reads of rows of features, as one vector a photo.
    fn pooled(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        if self.inputs.is_row() {
            return Ok(rows.clone());
        }
        let mut start = 0;
        let segments = self.inputs.segments.iter().enumerate();
        let pooled = segments.map(|(place, segment)| {
            let map = self.pool.forward(&segment.of(rows)?, place, start);
            start += segment.channels;
            map
        });
        Tensor::cat(&pooled.collect::<candle_core::Result<Vec<_>>>()?, 1)
    }

    fn forward(
        &self,
        features: &Tensor,
        probs: &[Tensor],
        mode: Mode,
    ) -> candle_core::Result<Tensor> {
        let mut x = dropout(features, self.dropout, mode, self.stream)?;
        if !probs.is_empty() {
            let dtype = x.dtype();
            let mut all = vec![x];
            for probs in probs {
                all.push(probs.to_dtype(dtype)?);
            }
            x = Tensor::cat(&all, 1)?;
        }
        match &self.hidden {
            Some(hidden) => self.fc.forward(&relu(&hidden.forward(&x)?)?),
            None => self.fc.forward(&x),
        }
    }

    /// Logits whose softmax are the probabilities of the labels, or whose sigmoids where a photo may have several at once: the
    /// [`outputs`](Self::outputs), or with the losses `coral` and `corn` and where it predicts a number the log-probabilities that
    /// follow from them, which are `f32` and without a gradient.
    ///
    /// # Shapes
    /// - `features` `(batch, num_features)`
    /// - result `(batch, num_labels)`
    ///
    /// # Errors
    /// [`Error::Shape`] if the features are others.
    pub fn logits(&self, features: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.to_logits(self.outputs(features, mode)?)?)
    }

    /// The same from the outputs.
    pub(crate) fn to_logits(&self, outputs: Tensor) -> candle_core::Result<Tensor> {
        if self.readout.is_plain() {
            return Ok(outputs);
        }
        let (batch, n) = outputs.dims2()?;
        let rows = outputs.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let rows: Vec<f32> = rows.flatten_all()?.to_vec1()?;
        let of_labels = |row| self.readout.logits(row);
        let logits: Vec<f32> = rows.chunks_exact(n).flat_map(of_labels).collect();
        let shape = (batch, self.readout.num_labels(n));
        Tensor::from_vec(logits, shape, outputs.device())
    }

    /// The probabilities `(batch, labels)` of its labels that follow from its outputs, without a gradient.
    pub(crate) fn probs(&self, outputs: &Tensor) -> candle_core::Result<Tensor> {
        let logits = self.to_logits(outputs.detach())?;
        if self.readout.loss.is_multi_label() {
            return (logits.neg()?.exp()? + 1.0)?.recip();
        }
        let greatest = logits.max_keepdim(D::Minus1)?;
        let probs = logits.broadcast_sub(&greatest)?.exp()?;
        probs.broadcast_div(&probs.sum_keepdim(D::Minus1)?)
    }

    /// Whether it predicts a number: then its outputs are the logits of the bins.
    pub(crate) fn is_number(&self) -> bool {
        self.readout.sums.is_some()
    }
}

/// max(x, 0) with gradient 0 at 0: candle's own has gradient 1 there.
fn relu(x: &Tensor) -> candle_core::Result<Tensor> {
    let positive = x.detach().gt(0.0)?.to_dtype(x.dtype())?;
    x * positive
}
