//! Optimisers: one pass over each variable a step.

pub mod average;
pub mod groups;
pub mod lora;
pub mod pattern;
pub mod schedule;
pub mod variables;

use crate::error::{Error, Result};
use crate::model_file::Tensors;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Tensor, Var, bail};
use hydranet_kernels::update;
use hydranet_tape::internal::with_values;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The optimiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum OptimizerKind {
    /// AdamW (Loshchilov and Hutter 2019) with β = (0.9, 0.999), ε = 1e-8: decoupled weight decay.
    #[default]
    AdamW,
    /// Stochastic gradient descent with momentum as in PyTorch: m = momentum·m + g; p −= lr·m, weight decay decoupled.
    Sgd {
        /// From 0 to below 1.
        momentum: f64,
    },
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// How one variable is optimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Learning rate at the peak of the schedule.
    pub lr: f64,
    /// Weight decay; each step multiplies the value by 1 − lr · weight decay.
    pub weight_decay: f64,
    /// Steps the optimiser had done when it was trained for the first time.
    pub since: u64,
}

/// An optimiser and its state.
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    vars: BTreeMap<String, (Var, Group)>,
    /// First and second moments (AdamW) or momentum (SGD, second empty).
    state: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
    steps: u64,
    /// Factor of all learning rates, as candle's trait sets it.
    scale: f64,
}

impl Optimizer {
    /// An optimiser over `vars`, each with its group.
    pub(crate) fn new(kind: OptimizerKind, vars: BTreeMap<String, (Var, Group)>) -> Self {
        let state = vars
            .iter()
            .map(|(name, (var, _))| {
                let n = var.elem_count();
                let second = if kind == OptimizerKind::AdamW { n } else { 0 };
                (name.clone(), (vec![0.0; n], vec![0.0; second]))
            })
            .collect();
        Self {
            kind,
            vars,
            state,
            steps: 0,
            scale: 1.0,
        }
    }

    fn greatest_lr(&self) -> f64 {
        self.vars.values().map(|(_, g)| g.lr).fold(0.0, f64::max)
    }

    /// The variables' names and groups, in order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, &Var, Group)> {
        self.vars.iter().map(|(n, (v, g))| (n.as_str(), v, *g))
    }

    /// The gradients of all variables, in order of name.
    ///
    /// # Errors
    /// [`Error::LostGradient`] naming every variable without one.
    pub(crate) fn collect(&self, grads: &GradStore) -> Result<Vec<Tensor>> {
        self.complete(self.find(grads))
    }

    /// The gradients there are, one place a variable, in order of name.
    pub(crate) fn find(&self, grads: &GradStore) -> Vec<Option<Tensor>> {
        let vars = self.vars.values();
        vars.map(|(var, _)| grads.get(var.as_tensor()).cloned())
            .collect()
    }

    /// The gradients of all variables, out of what [`find`](Self::find) found.
    ///
    /// # Errors
    /// [`Error::LostGradient`] naming every variable without one.
    pub(crate) fn complete(&self, found: Vec<Option<Tensor>>) -> Result<Vec<Tensor>> {
        let lost: Vec<String> = self
            .vars
            .keys()
            .zip(&found)
            .filter(|(_, gradient)| gradient.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        if lost.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(Error::LostGradient { names: lost })
        }
    }

    /// The norm of each variable's gradient, in order of name.
    ///
    /// # Errors
    /// If a gradient cannot be read.
    pub(crate) fn norms(&self, grads: &[Tensor]) -> Result<Vec<(String, f64)>> {
        self.vars
            .keys()
            .zip(grads)
            .map(|(name, g)| Ok((name.clone(), with_values(g, |g: &[f32]| Ok(norm(g)))?)))
            .collect()
    }

    /// One step: `lr_factor` times each group's learning rate, gradients times `gradient_factor`.
    ///
    /// # Errors
    /// If there is not one gradient a variable, in order of name, or one's shape is not its variable's.
    pub(crate) fn step(
        &mut self,
        grads: &[Tensor],
        lr_factor: f64,
        gradient_factor: f64,
    ) -> Result<()> {
        if grads.len() != self.vars.len() {
            return Err(Error::Invalid {
                what: "a step's gradients".into(),
                expected: format!("{}, one a variable", self.vars.len()),
                found: grads.len().to_string(),
            });
        }
        self.steps += 1;
        for (((var, group), (first, second)), grad) in
            self.vars.values().zip(self.state.values_mut()).zip(grads)
        {
            let lr = group.lr * lr_factor;
            let t = self.steps.saturating_sub(group.since).max(1) as i32;
            let update = match self.kind {
                OptimizerKind::AdamW => Update::AdamW {
                    rate: (lr / (1.0 - BETA1.powi(t))) as f32,
                    correction: (1.0 / (1.0 - BETA2.powi(t)).sqrt()) as f32,
                },
                OptimizerKind::Sgd { momentum } => Update::Sgd {
                    rate: lr as f32,
                    momentum: momentum as f32,
                },
            };
            let keep = (1.0 - lr * group.weight_decay) as f32;
            with_values(grad, |grad: &[f32]| {
                let cell = std::sync::Mutex::new((&mut *first, &mut *second));
                var.as_tensor().inplace_op1(&Step {
                    grad,
                    cell,
                    keep,
                    factor: gradient_factor as f32,
                    update,
                })
            })?;
        }
        Ok(())
    }

    /// The state, to be saved: `<kind>.<variable>` tensors and the number of steps done.
    ///
    /// # Errors
    /// If memory runs out.
    pub(crate) fn state(&self) -> Result<(Tensors, u64)> {
        let mut tensors = Tensors::new();
        for (name, (first, second)) in &self.state {
            for (kind, values) in [("first", first), ("second", second)] {
                if !values.is_empty() {
                    tensors.insert(
                        format!("{kind}.{name}"),
                        Tensor::new(values.as_slice(), &Device::Cpu)?,
                    );
                }
            }
        }
        Ok((tensors, self.steps))
    }

    /// Takes over the moments of those variables that another optimiser has trained before.
    pub(crate) fn take_over(&mut self, before: Self) {
        self.steps = before.steps;
        for (name, moments) in before.state {
            if let Some(own) = self.state.get_mut(&name)
                && own.0.len() == moments.0.len()
            {
                *own = moments;
            }
        }
    }

    /// Takes up a saved state.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming a moment that is missing or of another size.
    pub(crate) fn restore(&mut self, tensors: &Tensors, steps: u64) -> Result<()> {
        for (name, (first, second)) in &mut self.state {
            for (kind, values) in [("first", first), ("second", second)] {
                if values.is_empty() {
                    continue;
                }
                let key = format!("{kind}.{name}");
                match tensors.get(&key) {
                    Some(t) if t.elem_count() == values.len() => {
                        *values = t.flatten_all()?.to_vec1()?
                    }
                    _ => {
                        let problem = format!(
                            "no moment `{key}` of {} values; the run's heads or backbone were changed",
                            values.len()
                        );
                        return Err(Error::Checkpoint {
                            origin: "the saved optimiser".into(),
                            problem,
                            source: None,
                        });
                    }
                }
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// As candle's own optimisers: for any loop that is written over candle's trait. Made by it, all variables are of one group
/// and called by their places from 0 on, with as many digits as the last has. Buffers, which get no gradient, are not to be
/// among them: of a `VarMap` those are left out for which [`is_buffer`](variables::is_buffer) holds. Unlike candle's, it
/// refuses a variable without a gradient.
impl candle_nn::Optimizer for Optimizer {
    type Config = (OptimizerKind, Group);

    fn new(vars: Vec<Var>, (kind, group): Self::Config) -> candle_core::Result<Self> {
        let digits = vars.len().to_string().len();
        let vars = vars.into_iter().enumerate();
        let named = vars.map(|(i, var)| (format!("{i:0digits$}"), (var, group)));
        Ok(Self::new(kind, named.collect()))
    }

    fn step(&mut self, grads: &GradStore) -> candle_core::Result<()> {
        let grads = self.collect(grads).map_err(candle_core::Error::wrap)?;
        Self::step(self, &grads, self.scale, 1.0).map_err(candle_core::Error::wrap)
    }

    /// The greatest of the groups'; 0 without variables.
    fn learning_rate(&self) -> f64 {
        self.greatest_lr() * self.scale
    }

    /// Each group's changes in the same proportion.
    fn set_learning_rate(&mut self, lr: f64) {
        let greatest = self.greatest_lr();
        self.scale = if greatest > 0.0 { lr / greatest } else { 1.0 };
    }
}

/// √Σ g², summed in f64 in blocks whose size is fixed: the same for any number of threads.
fn norm(g: &[f32]) -> f64 {
    let blocks: Vec<f64> = g
        .par_chunks(1 << 14)
        .map(|b| b.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>())
        .collect();
    blocks.iter().sum::<f64>().sqrt()
}

#[derive(Clone, Copy)]
enum Update {
    AdamW { rate: f32, correction: f32 },
    Sgd { rate: f32, momentum: f32 },
}

type Moments<'a> = std::sync::Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>;

struct Step<'a> {
    grad: &'a [f32],
    /// candle hands an in-place operator out by shared reference.
    cell: Moments<'a>,
    keep: f32,
    factor: f32,
    update: Update,
}

/// Values a task updates.
const CHUNK: usize = 1 << 14;

impl InplaceOp1 for Step<'_> {
    fn name(&self) -> &'static str {
        "hydranet-optimizer-step"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets())
        else {
            bail!("optimiser: variables are contiguous f32")
        };
        let values = &mut values[start..end];
        if values.len() != self.grad.len() {
            bail!(
                "optimiser: a gradient of {} values for a variable of {}",
                self.grad.len(),
                values.len()
            )
        }
        let Ok(mut cell) = self.cell.lock() else {
            bail!("optimiser: its state was lost in a panic")
        };
        let (first, second) = &mut *cell;
        let (keep, factor) = (self.keep, self.factor);
        let pieces = values
            .par_chunks_mut(CHUNK)
            .zip(first.par_chunks_mut(CHUNK))
            .zip(self.grad.par_chunks(CHUNK));
        match self.update {
            Update::AdamW { rate, correction } => {
                pieces
                    .zip(second.par_chunks_mut(CHUNK))
                    .for_each(|(((p, m), g), v)| {
                        let step = update::AdamW {
                            beta1: BETA1 as f32,
                            beta2: BETA2 as f32,
                            rate,
                            correction,
                            eps: EPS as f32,
                            keep,
                            factor,
                        };
                        update::adam_w(p, m, v, g, step);
                    });
            }
            Update::Sgd { rate, momentum } => {
                pieces.for_each(|((p, m), g)| update::sgd(p, m, g, momentum, rate, keep, factor))
            }
        }
        Ok(())
    }
}
